//! Signals that end processes, by name.

use rustix::process::Signal as Known;
use std::{fmt, os::unix::process::ExitStatusExt, process::ExitStatus};

/// A signal that ended a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal {
    /// The system's number for it.
    pub number: i32,
}

impl Signal {
    /// What ended a process, if a signal did.
    pub fn of(status: ExitStatus) -> Option<Self> {
        status.signal().map(|number| Self { number })
    }

    /// Its usual name, such as `SIGKILL`.
    pub fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|(known, _)| known.as_raw() == self.number).map(|(_, name)| *name)
    }

    /// Whether it is what the system sends when memory has run out. Others can send it too.
    pub fn may_be_want_of_memory(self) -> bool {
        self.number == Known::KILL.as_raw()
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "signal {} ({name})", self.number),
            None => write!(f, "signal {}", self.number),
        }
    }
}

/// Signals that end a process unless it handles them.
const NAMES: [(Known, &str); 12] = [
    (Known::HUP, "SIGHUP"),
    (Known::INT, "SIGINT"),
    (Known::QUIT, "SIGQUIT"),
    (Known::ILL, "SIGILL"),
    (Known::ABORT, "SIGABRT"),
    (Known::BUS, "SIGBUS"),
    (Known::FPE, "SIGFPE"),
    (Known::KILL, "SIGKILL"),
    (Known::SEGV, "SIGSEGV"),
    (Known::TERM, "SIGTERM"),
    (Known::XCPU, "SIGXCPU"),
    (Known::XFSZ, "SIGXFSZ"),
];
