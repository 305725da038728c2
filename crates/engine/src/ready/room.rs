//! How long a text may be: the model's context, what was asked for, and what memory holds.

use model::Memory;

use super::Opening;
use crate::units::bytes;

/// Why a text has no place.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RoomError {
    /// The model has no such context.
    #[error("--context {asked}: the model's context is {most} tokens")]
    Context {
        /// Tokens that were asked for.
        asked: usize,
        /// Tokens of the model's context.
        most: usize,
    },
    /// A context of nothing.
    #[error("--context 0: a text has at least one token")]
    NoToken,
    /// Weights and text do not fit into memory.
    #[error(
        "{} are needed for the weights and {tokens} tokens, {} are free",
        bytes(*.wanted),
        bytes(*.free)
    )]
    Memory {
        /// Bytes that are needed.
        wanted: u64,
        /// Bytes that are free.
        free: u64,
        /// Tokens that must have room.
        tokens: usize,
    },
}

impl RoomError {
    /// What the person can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            RoomError::Context { .. } => {
                Some("the model was made for texts of that length; leave --context out")
            }
            RoomError::NoToken => None,
            RoomError::Memory { .. } => Some(
                "take a smaller model or a smaller format, or fewer tokens with -n or --context",
            ),
        }
    }
}

/// Most tokens of a text, of a model with a context of `most`.
pub(super) fn context(
    opening: &Opening<'_>,
    most: usize,
    memory: Memory,
) -> Result<usize, RoomError> {
    let needed = needed(opening, most);
    let fits = fits(memory, needed, opening.free)?;
    let context = opening.context.unwrap_or(most);
    if context > most {
        return Err(RoomError::Context { asked: context, most });
    }
    if context == 0 {
        return Err(RoomError::NoToken);
    }
    // What was asked for by number is an error where it does not fit.
    let open_end = opening.context.is_none() && opening.answer.is_none_or(|n| n > most);
    Ok(if open_end { context.min(fits.max(needed)) } else { context })
}

/// Tokens that memory must hold in any case.
fn needed(opening: &Opening<'_>, most: usize) -> usize {
    let answer = opening.answer.filter(|&n| n <= most).unwrap_or(LEAST_ANSWER);
    opening.context.unwrap_or(opening.prompt.saturating_add(answer)).min(most)
}

/// How many tokens fit beside the weights; an error if fewer than `needed`.
fn fits(memory: Memory, needed: usize, free: Option<u64>) -> Result<usize, RoomError> {
    let Some(free) = free else { return Ok(usize::MAX) };
    let wanted = memory.total(1, needed as u64);
    if wanted > free {
        return Err(RoomError::Memory { wanted, free, tokens: needed });
    }
    let fits = (free - memory.weights) / memory.cache_per_token.max(1);
    // Half of it: others want memory too while a long answer grows.
    Ok(usize::try_from(fits / 2).unwrap_or(usize::MAX))
}

/// Tokens that an answer may have at least, where it has no bound.
const LEAST_ANSWER: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: Memory = Memory { weights: 1000, cache_per_token: 10 };

    fn with(free: u64) -> Opening<'static> {
        Opening { free: Some(free), ..Opening::default() }
    }

    #[test]
    fn a_text_without_a_bound_is_as_long_as_half_of_memory_holds() {
        let unknown = Opening::default();
        assert_eq!(context(&unknown, 4096, MEMORY), Ok(4096));
        assert_eq!(context(&with(1000 + 10 * 600), 4096, MEMORY), Ok(300));
        // Never less than the prompt and the least answer.
        let long = Opening { prompt: 400, ..with(1000 + 10 * 600) };
        assert_eq!(context(&long, 4096, MEMORY), Ok(528));
        assert_eq!(context(&with(u64::MAX), 4096, MEMORY), Ok(4096));
    }

    #[test]
    fn what_was_asked_for_fits_or_is_refused() {
        let asked = |tokens, free| Opening { context: Some(tokens), ..with(free) };
        assert_eq!(context(&asked(500, 6000), 4096, MEMORY), Ok(500));
        let error = context(&asked(501, 6000), 4096, MEMORY).expect_err("too much");
        assert_eq!(error, RoomError::Memory { wanted: 6010, free: 6000, tokens: 501 });
        assert!(error.to_string().starts_with("6.0 kB are needed for the weights and 501 tokens"));
        let error = context(&asked(4097, u64::MAX), 4096, MEMORY).expect_err("too long");
        assert_eq!(error, RoomError::Context { asked: 4097, most: 4096 });
        assert_eq!(context(&asked(0, u64::MAX), 4096, MEMORY), Err(RoomError::NoToken));
        let bounded = Opening { prompt: 100, answer: Some(401), ..with(6000) };
        assert!(matches!(context(&bounded, 4096, MEMORY), Err(RoomError::Memory { .. })));
        // A text with an answer of a known length has the model's context.
        let small = Opening { prompt: 100, answer: Some(100), ..with(6000) };
        assert_eq!(context(&small, 4096, MEMORY), Ok(4096));
    }
}
