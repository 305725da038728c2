//! SentencePiece's way of changing a text before it is cut: rules for characters in a trie, white
//! space made one, and a mark where a word begins.

use std::ops::Range;

use super::invalid;
use crate::tokenizer::budget::{Budget, Part};
use crate::tokenizer::sorted::narrow;
use crate::tokenizer::{SPACE, TokenizerError};

/// All of a `NormalizerSpec`, and the symbols that it leaves alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::tokenizer) struct Charsmap {
    /// A double array as the Darts library writes it: from characters to places in `texts`.
    trie: Vec<u32>,
    /// What takes their place, each with a zero byte behind it.
    texts: Vec<u8>,
    /// Symbols of the user, sorted.
    symbols: Vec<String>,
    /// Puts a mark before the text.
    pub prefix: bool,
    /// Only before the very first text, not behind special tokens.
    pub first_only: bool,
    /// White space at the ends goes away, and several become one.
    pub squeeze: bool,
    /// Spaces become marks.
    pub escape: bool,
}

impl Charsmap {
    /// Takes a `precompiled_charsmap`; an empty one changes no character.
    pub fn new(blob: &[u8], mut symbols: Vec<String>) -> Result<Charsmap, TokenizerError> {
        symbols.sort_unstable();
        let (trie, texts) = match blob.split_first_chunk::<4>() {
            None if blob.is_empty() => (&blob[..0], &blob[..0]),
            None => return Err(damaged()),
            Some((size, rest)) => {
                let size = u32::from_le_bytes(*size) as usize;
                rest.split_at_checked(size).ok_or_else(damaged)?
            }
        };
        if !trie.len().is_multiple_of(4) || texts.last().is_some_and(|&byte| byte != 0) {
            return Err(damaged());
        }
        let units = trie.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let (prefix, first_only, squeeze, escape) = (true, false, true, true);
        let (trie, texts) = (units.collect(), texts.to_vec());
        Ok(Charsmap { trie, texts, symbols, prefix, first_only, squeeze, escape })
    }

    /// Changes a text; `first` says whether nothing came before it.
    pub fn apply(
        &self,
        text: &str,
        first: bool,
        budget: &mut Budget,
    ) -> Result<String, TokenizerError> {
        let mut rest = text;
        while self.squeeze && !rest.is_empty() {
            let (piece, length) = self.next(rest, budget)?;
            if piece != " " {
                break;
            }
            rest = &rest[length..];
        }
        let mut out = String::new();
        if rest.is_empty() {
            return Ok(out);
        }
        let space = if self.escape { SPACE } else { " " };
        if self.prefix && (first || !self.first_only) {
            out.push_str(space);
        }
        let mut after_space = self.squeeze;
        while !rest.is_empty() {
            let (piece, length) = self.next(rest, budget)?;
            let piece = if after_space { piece.trim_start_matches(' ') } else { piece };
            // A space becomes three bytes.
            budget.write(Part::Normalizers, 3 * piece.len() as u64)?;
            match self.escape {
                true => out.push_str(&piece.replace(' ', SPACE)),
                false => out.push_str(piece),
            }
            if !piece.is_empty() {
                after_space = piece.ends_with(' ');
            }
            after_space &= self.squeeze;
            rest = &rest[length..];
        }
        while self.squeeze && out.ends_with(space) {
            out.truncate(out.len() - space.len());
        }
        Ok(out)
    }

    /// What the beginning of a text becomes, and how many bytes of it that is.
    fn next<'t>(
        &'t self,
        text: &'t str,
        budget: &mut Budget,
    ) -> Result<(&'t str, usize), TokenizerError> {
        let one = text.chars().next().map_or(0, char::len_utf8);
        let symbol = self.symbol(text.as_bytes());
        budget.step(Part::Normalizers, 1 + symbol.0)?;
        if let Some(length) = symbol.1 {
            return Ok((&text[..length], length));
        }
        let (walked, found) = self.longest(text.as_bytes());
        budget.step(Part::Normalizers, walked)?;
        let Some((length, at)) = found.filter(|(length, _)| text.is_char_boundary(*length)) else {
            return Ok((&text[..one], one));
        };
        let bytes = self.texts.get(at..).and_then(|texts| texts.split(|&byte| byte == 0).next());
        let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
        Ok((text.ok_or_else(damaged)?, length))
    }

    /// Bytes looked at, and the length of the longest symbol that the text begins with.
    fn symbol(&self, text: &[u8]) -> (u64, Option<usize>) {
        let (mut range, mut longest): (Range<usize>, Option<usize>) = (0..self.symbols.len(), None);
        for (depth, &byte) in text.iter().enumerate() {
            range = narrow(range, depth, byte, |i| self.symbols[i].as_bytes());
            match self.symbols.get(range.start).filter(|_| !range.is_empty()) {
                None => return (depth as u64, longest),
                Some(symbol) if symbol.len() == depth + 1 => longest = Some(depth + 1),
                Some(_) => {}
            }
        }
        (text.len() as u64, longest)
    }

    /// Units looked at, and the longest beginning in the trie with the place of its text.
    fn longest(&self, text: &[u8]) -> (u64, Option<(usize, usize)>) {
        let mut found = None;
        let Some(&root) = self.trie.first() else { return (0, None) };
        let mut at = offset(root);
        for (depth, &byte) in text.iter().enumerate() {
            at ^= usize::from(byte);
            let Some(&unit) = self.trie.get(at) else { return (depth as u64, found) };
            if unit & LABEL != u32::from(byte) {
                return (depth as u64, found);
            }
            at ^= offset(unit);
            if unit >> 8 & 1 == 1 {
                let Some(&leaf) = self.trie.get(at) else { return (depth as u64, found) };
                found = Some((depth + 1, (leaf & !(1 << 31)) as usize));
            }
        }
        (text.len() as u64, found)
    }
}

fn damaged() -> TokenizerError {
    invalid("its charsmap is damaged")
}

/// Where the children of a unit are, relative to it.
fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize
}

/// The bits of a unit that are its label; the highest marks a leaf.
const LABEL: u32 = 1 << 31 | 0xff;
