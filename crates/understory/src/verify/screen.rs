//! How far a verification is, for people only.

use super::words::{duration, rerun_words};
use crate::terminal;
use cotrain::verify::{Progress, Rerun};
use std::{
    io::{self, IsTerminal, Write, stderr},
    ops::ControlFlow,
    time::{Duration, Instant},
};

/// What is on the terminal meanwhile.
pub struct Screen {
    json: bool,
    begun: Instant,
    on_screen: bool,
    failed: Option<io::Error>,
}

impl Screen {
    /// Nothing yet, and nothing at all if what is found is printed as JSON.
    pub fn new(json: bool) -> Self {
        Self { json, begun: Instant::now(), on_screen: false, failed: None }
    }

    /// Shows how far it is; to break off once there is nobody to show it to.
    pub fn show(&mut self, progress: Progress<'_>) -> ControlFlow<()> {
        if self.json {
            return ControlFlow::Continue(());
        }
        match progress {
            Progress::AddedUp { round } => self.over(&format!("adding up round {round} …")),
            Progress::Estimate { contributions, steps, time } => {
                self.estimate(contributions, steps, time);
            }
            Progress::Reran(rerun) => {
                if let Err(error) = self.line(rerun) {
                    self.failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            Progress::Done { done, all } => self.over(&format!("re-run {done} of {all} …")),
        }
        ControlFlow::Continue(())
    }

    /// Takes what is on the screen off it.
    ///
    /// Errors: a line could not be written.
    pub fn end(mut self) -> io::Result<()> {
        self.clear();
        self.failed.map_or(Ok(()), Err)
    }

    fn line(&mut self, rerun: &Rerun) -> io::Result<()> {
        self.clear();
        let (round, worker) = (rerun.round, rerun.worker.short());
        writeln!(terminal::stdout(), "round {round:<4} {worker}  {}", rerun_words(rerun))
    }

    fn estimate(&mut self, contributions: usize, steps: u32, time: Duration) {
        if time > Duration::from_secs(2) {
            self.clear();
            let time = duration(time.as_secs_f64());
            eprintln!("re-running {contributions} contributions, {steps} steps: about {time}");
        }
    }

    /// A line that the next one replaces, only if it takes long.
    fn over(&mut self, text: &str) {
        let late = self.begun.elapsed() > Duration::from_millis(250);
        if late && stderr().is_terminal() {
            terminal::eprint_over(text);
            self.on_screen = true;
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.on_screen) {
            terminal::eprint_over("");
        }
    }
}
