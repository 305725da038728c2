//! How far long work over a text has come, on a terminal.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Tells of work that takes longer than a moment.
pub struct Reading {
    what: &'static str,
    total: usize,
    since: Instant,
    told: Option<Instant>,
    shown: bool,
}

impl Reading {
    /// Tells on standard error, if that is a terminal.
    pub fn shown(what: &'static str, total: usize) -> Self {
        let shown = std::io::stderr().is_terminal();
        Self { what, total, since: Instant::now(), told: None, shown }
    }

    /// Tells nothing.
    pub fn silent() -> Self {
        Self { shown: false, ..Self::shown("", 0) }
    }

    /// So many tokens are done.
    pub fn at(&mut self, done: usize) {
        let quiet = self.told.unwrap_or(self.since).elapsed() < EVERY;
        if !self.shown || quiet || done >= self.total {
            return;
        }
        self.told = Some(Instant::now());
        let percent = 100 * done / self.total.max(1);
        let text = format!("[{}: {percent} % of {} tokens]", self.what, self.total);
        crate::terminal::eprint_over(&text);
    }

    /// It is done: the line goes away.
    pub fn over(&mut self) {
        if self.told.take().is_some() {
            crate::terminal::eprint_over("");
        }
    }
}

/// Time between two lines, and before the first.
const EVERY: Duration = Duration::from_millis(500);
