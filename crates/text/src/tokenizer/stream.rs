//! Text from ids as they come.

use super::Tokenizer;

/// Turns a stream of ids into text without cutting characters in half.
#[derive(Debug, Default, Clone)]
pub struct StreamDecoder {
    pending: Vec<u8>,
}

impl StreamDecoder {
    /// The text that is certain after this id; bytes that can never be UTF-8 become U+FFFD, an
    /// unfinished character is held back.
    pub fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> String {
        self.pending.extend_from_slice(tokenizer.bytes(id));
        let mut text = String::new();
        let (mut held, mut read) = (0, 0);
        for chunk in self.pending.utf8_chunks() {
            text.push_str(chunk.valid());
            let bad = chunk.invalid();
            read += chunk.valid().len() + bad.len();
            if read == self.pending.len() && unfinished(bad) {
                held = bad.len();
            } else if !bad.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.pending.drain(..self.pending.len() - held);
        text
    }

    /// What is left at the end, as lossy text.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}

/// Whether bytes that are no UTF-8 are the beginning of a character.
fn unfinished(bad: &[u8]) -> bool {
    std::str::from_utf8(bad).is_err_and(|error| error.error_len().is_none())
}
