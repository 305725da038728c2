//! How far a fetch is, on a terminal in one line.

use crate::{terminal, units};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Counts bytes of all files together.
pub struct Progress {
    total: u64,
    done: u64,
    /// Bytes that came over the network.
    fetched: u64,
    began: Instant,
    shown: Option<Instant>,
    on_terminal: bool,
}

impl Progress {
    /// Of `total` bytes.
    pub fn new(total: u64) -> Progress {
        let on_terminal = std::io::stderr().is_terminal();
        Progress { total, done: 0, fetched: 0, began: Instant::now(), shown: None, on_terminal }
    }

    /// Bytes that were there already.
    pub fn had(&mut self, bytes: u64) {
        self.done += bytes;
    }

    /// Bytes that came and did not count after all.
    pub fn lost(&mut self, bytes: u64) {
        self.done = self.done.saturating_sub(bytes);
    }

    /// Bytes that came.
    pub fn came(&mut self, bytes: u64) {
        self.done += bytes;
        self.fetched += bytes;
        if self.on_terminal && self.shown.is_none_or(|shown| shown.elapsed() >= EVERY) {
            self.shown = Some(Instant::now());
            terminal::eprint_over(&self.line());
        }
    }

    /// Prints a line above the progress.
    pub fn say(&self, line: &str) {
        self.clear();
        eprintln!("{line}");
    }

    /// Takes the progress away.
    pub fn clear(&self) {
        if self.on_terminal {
            terminal::eprint_over("");
        }
    }

    fn line(&self) -> String {
        let share = 100.0 * self.done as f64 / self.total.max(1) as f64;
        let rate = self.fetched as f64 / self.began.elapsed().as_secs_f64().max(1e-3);
        let left = (self.total.saturating_sub(self.done) as f64 / rate.max(1.0)) as u64;
        format!(
            "{share:5.1} % of {}, {}/s, {}:{:02} left",
            units::bytes(self.total),
            units::bytes(rate as u64),
            left / 60,
            left % 60
        )
    }
}

const EVERY: Duration = Duration::from_millis(100);
