//! What loading a tokenizer, or encoding one text with it, may cost.
//!
//! A tokenizer's file is a stranger's program: parts that are harmless alone multiply when they
//! stand in a row. So one [`Budget`] is made for each load and one for each text, and every part
//! spends from it. Steps and bytes are counted, not timed: what is refused is refused on every
//! machine.

use super::TokenizerError;

/// What may still be spent.
#[derive(Debug)]
pub(super) struct Budget {
    steps: u64,
    bytes: u64,
    most: (u64, u64),
    /// Length of the text; `None` for loading.
    text: Option<usize>,
}

/// Who spends, for the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Normalizers,
    AddedTokens,
    PreTokenizers,
    Expressions,
    Merging,
    Template,
}

impl Budget {
    /// For encoding a text of this many bytes.
    pub fn for_text(bytes: usize) -> Budget {
        let length = bytes as u64;
        let steps = TEXT_STEPS.saturating_add(length.saturating_mul(STEPS_PER_BYTE));
        let out = TEXT_BYTES.saturating_add(length.saturating_mul(BYTES_PER_BYTE));
        Budget { steps, bytes: out, most: (steps, out), text: Some(bytes) }
    }

    /// For putting a tokenizer together whose files have this many bytes.
    pub fn for_load(bytes: usize) -> Budget {
        let length = bytes as u64;
        let steps = LOAD_STEPS.saturating_add(length.saturating_mul(LOAD_STEPS_PER_BYTE));
        let out = LOAD_BYTES.saturating_add(length.saturating_mul(LOAD_BYTES_PER_BYTE));
        Budget { steps, bytes: out, most: (steps, out), text: None }
    }

    /// Spends steps, before the work is done.
    pub fn step(&mut self, part: Part, steps: u64) -> Result<(), TokenizerError> {
        match self.steps.checked_sub(steps) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => Err(self.exceeded(part, true)),
        }
    }

    /// Spends bytes of text or memory, before they are written.
    pub fn write(&mut self, part: Part, bytes: u64) -> Result<(), TokenizerError> {
        match self.bytes.checked_sub(bytes) {
            Some(left) => {
                self.bytes = left;
                Ok(())
            }
            None => Err(self.exceeded(part, false)),
        }
    }

    /// Steps and bytes spent so far.
    #[cfg(test)]
    pub fn spent(&self) -> (u64, u64) {
        (self.most.0 - self.steps, self.most.1 - self.bytes)
    }

    /// The error of a part that needs more than there is.
    #[cold]
    pub fn exceeded(&self, part: Part, steps: bool) -> TokenizerError {
        let (most, unit) = if steps { (self.most.0, "steps") } else { (self.most.1, "bytes") };
        let what = match self.text {
            Some(bytes) => format!("encoding a text of {bytes} bytes"),
            None => "loading".to_owned(),
        };
        TokenizerError::TooCostly { part: part.name(), most, unit, what }
    }
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Part::Normalizers => "normalizer",
            Part::AddedTokens => "added tokens",
            Part::PreTokenizers => "pre-tokenizer",
            Part::Expressions => "pre-tokenizer's expressions",
            Part::Merging => "merging",
            Part::Template => "post-processor",
        }
    }
}

/// Steps for a text, whatever its length, and for each of its bytes. The tokenizers of the models
/// that are tested take up to about a hundred per byte; see the test of that name.
const TEXT_STEPS: u64 = 1 << 22;
const STEPS_PER_BYTE: u64 = 512;
/// Bytes that may be written on the way, by all parts together.
const TEXT_BYTES: u64 = 1 << 20;
const BYTES_PER_BYTE: u64 = 64;
/// The same for loading. Steps are mostly those of compiling expressions.
const LOAD_STEPS: u64 = 1 << 24;
const LOAD_STEPS_PER_BYTE: u64 = 64;
const LOAD_BYTES: u64 = 1 << 22;
const LOAD_BYTES_PER_BYTE: u64 = 16;
