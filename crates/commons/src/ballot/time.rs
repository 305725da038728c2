//! When ballots, and what opens secret ones, are taken.

use crate::state::Proposal;
use std::fmt;

/// Why a ballot is not taken now. Times are in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UntimelyError {
    /// There is nothing to reveal.
    Open,
    /// It is too early to reveal.
    Early {
        /// When no more are taken.
        close: u64,
    },
    /// It is too late.
    Late {
        /// Whether it is too late to reveal, and not only to vote.
        reveals: bool,
        /// When it was over.
        until: u64,
        /// The time.
        now: u64,
    },
}

impl UntimelyError {
    /// The error in words, with its times as `time` writes Unix seconds: how people read a time is
    /// up to whoever shows it.
    pub fn words(&self, time: impl Fn(u64) -> String) -> String {
        match *self {
            Self::Open => "the question takes open ballots".to_owned(),
            Self::Early { close } => format!("ballots are still taken, until {}", time(close)),
            Self::Late { reveals, until, now } => {
                let what =
                    if reveals { "secret ballots were opened" } else { "ballots were taken" };
                format!("{what} until {}, and it is {}", time(until), time(now))
            }
        }
    }

    /// What can be done about it.
    pub fn todo(&self) -> &'static str {
        match self {
            Self::Open => {
                "vote with `understory vote QUESTION OPTION…`; there is nothing to reveal"
            }
            Self::Early { .. } => {
                "reveal yours after that: until then nobody should know how it goes"
            }
            Self::Late { .. } => "`understory tally` shows what came out",
        }
    }
}

impl fmt::Display for UntimelyError {
    /// [`UntimelyError::words`] with times in Unix seconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words(|seconds| seconds.to_string()))
    }
}

impl std::error::Error for UntimelyError {}

/// Whether a ballot, or where it `reveals` what opens a secret one, is taken at `now`.
///
/// Errors: it is not.
pub fn in_time(proposal: &Proposal, reveals: bool, now: u64) -> Result<(), UntimelyError> {
    in_window(proposal.close, proposal.body.reveal.is_some(), proposal.end(), reveals, now)
}

fn in_window(
    close: u64,
    secret: bool,
    end: u64,
    reveals: bool,
    now: u64,
) -> Result<(), UntimelyError> {
    if reveals && !secret {
        return Err(UntimelyError::Open);
    }
    if reveals && now <= close {
        return Err(UntimelyError::Early { close });
    }
    let until = if reveals { end } else { close };
    match now > until {
        true => Err(UntimelyError::Late { reveals, until, now }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ballots_are_taken_until_the_close_and_revealed_only_after_it() {
        let secret = |reveals, now| in_window(100, true, 200, reveals, now);
        assert_eq!(secret(false, 100), Ok(()));
        let late = |reveals, until, now| Err(UntimelyError::Late { reveals, until, now });
        assert_eq!(secret(false, 101), late(false, 100, 101));
        assert_eq!(secret(true, 100), Err(UntimelyError::Early { close: 100 }));
        assert_eq!(secret(true, 101), Ok(()));
        assert_eq!(secret(true, 200), Ok(()));
        assert_eq!(secret(true, 201), late(true, 200, 201));
        assert_eq!(in_window(100, false, 100, true, 150), Err(UntimelyError::Open));
    }

    #[test]
    fn words_have_the_times_of_whoever_shows_them() {
        let early = UntimelyError::Early { close: 100 };
        assert_eq!(early.to_string(), "ballots are still taken, until 100");
        let late = |reveals| UntimelyError::Late { reveals, until: 100, now: 101 };
        let minutes = |seconds| format!("0:{:02}:{:02}", seconds / 60, seconds % 60);
        assert_eq!(
            late(true).words(minutes),
            "secret ballots were opened until 0:01:40, and it is 0:01:41"
        );
        assert_eq!(late(false).to_string(), "ballots were taken until 100, and it is 101");
        assert_eq!(UntimelyError::Open.words(minutes), "the question takes open ballots");
    }
}
