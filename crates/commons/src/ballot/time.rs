//! When ballots, and what opens secret ones, are taken.

use crate::state::Proposal;

/// Why a ballot is not taken now. Times are in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UntimelyError {
    /// There is nothing to reveal.
    #[error("the question takes open ballots")]
    Open,
    /// It is too early to reveal.
    #[error("ballots are still taken, until {close}")]
    Early {
        /// When no more are.
        close: u64,
    },
    /// It is too late.
    #[error("{} until {until}, and it is {now}", if *reveals { "secret ballots were opened" } else { "ballots were taken" })]
    Late {
        /// Whether it is too late to reveal, and not only to vote.
        reveals: bool,
        /// When it was over.
        until: u64,
        /// The time.
        now: u64,
    },
}

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
}
