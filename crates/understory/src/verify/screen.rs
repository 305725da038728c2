//! How far a verification is, and for people what it finds on the way.

use super::words::{duration, rerun_words};
use crate::{progress, terminal};
use cotrain::verify::{Progress, Rerun};
use std::{
    io::{self, Write},
    ops::ControlFlow,
    time::Duration,
};

/// What is on the terminal meanwhile.
pub struct Screen {
    json: bool,
    work: progress::Screen,
    failed: Option<io::Error>,
}

impl Screen {
    /// Nothing yet. What is found is not told if all of it is printed as JSON at the end.
    pub fn new(json: bool) -> Self {
        Self { json, work: progress::Screen::new(json), failed: None }
    }

    /// Shows how far it is; to break off once there is nobody to show it to.
    pub fn show(&mut self, progress: Progress<'_>) -> ControlFlow<()> {
        match progress {
            Progress::At(at) => self.work.tell(::progress::Progress::At(at)),
            _ if self.json => {}
            Progress::Estimate { contributions, steps, time } => {
                self.estimate(contributions, steps, time);
            }
            Progress::Reran(rerun) => {
                if let Err(error) = self.line(rerun) {
                    self.failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// Takes what is on the screen off it.
    ///
    /// Errors: a line could not be written.
    pub fn end(self) -> io::Result<()> {
        self.failed.map_or(Ok(()), Err)
    }

    fn line(&mut self, rerun: &Rerun) -> io::Result<()> {
        self.work.clear();
        let (round, worker) = (rerun.round, rerun.worker.short());
        writeln!(terminal::stdout(), "round {round:<4} {worker}  {}", rerun_words(rerun))
    }

    fn estimate(&mut self, contributions: usize, steps: u32, time: Duration) {
        if time > Duration::from_secs(2) {
            self.work.clear();
            let time = duration(time.as_secs_f64());
            eprintln!("re-running {contributions} contributions, {steps} steps: about {time}");
        }
    }
}
