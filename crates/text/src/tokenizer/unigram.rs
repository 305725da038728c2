//! SentencePiece's unigram model: of all ways to cut a text into pieces, the one with the highest
//! sum of scores.

use super::TokenizerError;
use super::budget::{Budget, Part};
use super::engine::Bytes;
use super::sorted::narrow;
use super::vocab::{Kind, Vocab};

/// Scores by token, and what becomes of characters without one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unigram {
    scores: Vec<f32>,
    /// Ids of the pieces that text is cut into, sorted by their texts.
    order: Vec<u32>,
    /// Ids of the bytes, if unknown characters become these.
    bytes: Option<Bytes>,
    unknown: u32,
    /// Of an unknown character.
    unknown_score: f32,
    /// The highest of a piece that is text.
    highest: f32,
}

/// The best way to a place in the text.
#[derive(Clone, Copy)]
struct Best {
    score: f32,
    /// The last piece of it, and where that begins.
    id: u32,
    from: usize,
}

impl Unigram {
    /// Takes the scores of all tokens, in the order of their ids.
    pub fn new(vocab: &Vocab, scores: Vec<f32>, unknown: u32, bytes: Option<Bytes>) -> Unigram {
        let kinds = |wanted: fn(Kind) -> bool| {
            (0..vocab.len() as u32).filter(move |&id| wanted(vocab.kind(id)))
        };
        let text = kinds(|kind| kind == Kind::Normal).map(|id| scores[id as usize]);
        let (lowest, highest) =
            text.fold((f32::MAX, f32::MIN), |(low, high), score| (low.min(score), high.max(score)));
        let mut order: Vec<u32> =
            kinds(|kind| matches!(kind, Kind::Normal | Kind::Added)).collect();
        order.sort_unstable_by_key(|&id| vocab.token(id));
        let unknown_score = lowest - UNKNOWN_PENALTY;
        Unigram { scores, order, bytes, unknown, unknown_score, highest }
    }

    /// Appends the ids of a text.
    pub fn encode(
        &self,
        vocab: &Vocab,
        text: &str,
        ids: &mut Vec<u32>,
        budget: &mut Budget,
    ) -> Result<(), TokenizerError> {
        budget.write(Part::Merging, 24 * text.len() as u64)?;
        let mut best: Vec<Option<Best>> = vec![None; text.len() + 1];
        best[0] = Some(Best { score: 0.0, id: self.unknown, from: 0 });
        for (from, c) in text.char_indices() {
            let Some(Best { score: before, .. }) = best[from] else { continue };
            let one = c.len_utf8();
            let mut known = false;
            let mut offer = |length: usize, id: u32, score: f32| {
                let (place, score) = (&mut best[from + length], before + score);
                if place.is_none_or(|best| score > best.score) {
                    *place = Some(Best { score, id, from });
                }
            };
            let mut range = 0..self.order.len();
            for (depth, &byte) in text.as_bytes()[from..].iter().enumerate() {
                budget.step(Part::Merging, 1)?;
                range = narrow(range, depth, byte, |i| vocab.token(self.order[i]).as_bytes());
                let Some(&id) = self.order.get(range.start).filter(|_| !range.is_empty()) else {
                    break;
                };
                if vocab.token(id).len() == depth + 1 {
                    offer(depth + 1, id, self.score(vocab, id, depth + 1));
                    known |= depth + 1 == one;
                }
            }
            if !known {
                offer(one, self.unknown, self.unknown_score);
            }
        }
        self.collect(text, &best, ids);
        Ok(())
    }

    /// Symbols of the user are taken wherever they are.
    fn score(&self, vocab: &Vocab, id: u32, length: usize) -> f32 {
        match vocab.kind(id) {
            Kind::Added => (f64::from(length as f32 * self.highest) - 0.1) as f32,
            _ => self.scores[id as usize],
        }
    }

    /// Walks back from the end of the text.
    fn collect(&self, text: &str, best: &[Option<Best>], ids: &mut Vec<u32>) {
        let start = ids.len();
        let mut end = text.len();
        while let Some(Best { id, from, .. }) = best[end].filter(|_| end > 0) {
            match &self.bytes {
                Some(bytes) if id == self.unknown => {
                    let of_bytes = text.as_bytes()[from..end].iter().rev();
                    ids.extend(of_bytes.map(|&byte| bytes[byte as usize]));
                }
                // Unknown characters that touch are one.
                _ if id == self.unknown && ids[start..].last() == Some(&id) => {}
                _ => ids.push(id),
            }
            end = from;
        }
        ids[start..].reverse();
    }
}

/// What an unknown character is worse than the worst piece.
const UNKNOWN_PENALTY: f32 = 10.0;
