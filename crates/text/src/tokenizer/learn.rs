//! Byte pair encoding, learned: which two neighbours become one token, the most frequent first.
//!
//! The outcome is that of the `tokenizers` library's trainer, which is older than this code: of
//! pairs that are as frequent, the one of smaller ids comes first.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use rustc_hash::FxHashMap;

use super::Pair;
use super::alphabet::{letter, to_alphabet};

/// How much is learned.
pub(super) struct Bounds {
    /// Most tokens, the bytes among them.
    pub tokens: usize,
    /// Pairs that are less frequent are not merged.
    pub least_count: u64,
    /// Tokens of this length, in bytes of the alphabet's text, are not merged any further.
    pub longest: usize,
}

/// Tokens by id, the 256 bytes first, and the merges in their order, all in the byte alphabet.
/// `learned` hears after each merge how many tokens there are.
pub(super) fn learn(
    words: &HashMap<&str, u64>,
    bounds: &Bounds,
    learned: &mut dyn FnMut(usize),
) -> (Vec<String>, Vec<Pair>) {
    let mut learner = Learner::new(words, bounds);
    let mut merges = Vec::new();
    while learner.tokens.len() < bounds.tokens {
        match learner.most_frequent() {
            Some(next) if next.count >= bounds.least_count.max(1) => {
                merges.push(learner.merge(next));
                learned(learner.tokens.len());
            }
            _ => break,
        }
    }
    // A pair can come up once more with a token that is made in two ways; then the last one counts.
    let mut seen = HashSet::new();
    merges.reverse();
    merges.retain(|pair| seen.insert(*pair));
    merges.reverse();
    let token = |id: u32| learner.tokens[id as usize].clone();
    let merges = merges.into_iter().map(|(a, b)| (token(a), token(b))).collect();
    (learner.tokens, merges)
}

type Ids = (u32, u32);

struct Learner {
    tokens: Vec<String>,
    ids: HashMap<String, u32>,
    words: Vec<Word>,
    counts: FxHashMap<Ids, i64>,
    queue: BinaryHeap<Candidate>,
    longest: usize,
    /// How often the queue was added to.
    rounds: u32,
}

struct Word {
    ids: Vec<u32>,
    count: i64,
}

/// A pair, and in which words it came up in one round. Compared by count, then by ids; no two
/// have the same ids and round.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    count: u64,
    ids: Reverse<Ids>,
    round: Reverse<u32>,
    words: Vec<u32>,
}

impl Learner {
    fn new(words: &HashMap<&str, u64>, bounds: &Bounds) -> Self {
        let mut tokens: Vec<String> = (0..=255).map(|byte| letter(byte).to_string()).collect();
        tokens.sort_unstable();
        let ids: HashMap<String, u32> = tokens.iter().cloned().zip(0..).collect();
        let of_byte: Vec<u32> = (0..=255).map(|byte| ids[&to_alphabet(&[byte])]).collect();
        let mut sorted: Vec<(&&str, &u64)> = words.iter().collect();
        sorted.sort_unstable();
        let words = sorted.into_iter().map(|(word, &count)| Word {
            ids: word.bytes().map(|byte| of_byte[usize::from(byte)]).collect(),
            count: count as i64,
        });
        let mut learner = Self {
            tokens,
            ids,
            words: words.collect(),
            counts: FxHashMap::default(),
            queue: BinaryHeap::new(),
            longest: bounds.longest,
            rounds: 0,
        };
        let mut places = Places::default();
        for (at, word) in learner.words.iter().enumerate() {
            for pair in word.ids.windows(2) {
                let pair = (pair[0], pair[1]);
                *learner.counts.entry(pair).or_default() += word.count;
                note(&mut places, pair, at as u32);
            }
        }
        learner.queue(places);
        learner
    }

    /// The most frequent pair, with its true count.
    fn most_frequent(&mut self) -> Option<Candidate> {
        loop {
            let mut next = self.queue.pop()?;
            let count = self.count(next.ids.0);
            if next.count == count {
                return Some(next);
            }
            // It has lost to others since it was queued.
            next.count = count;
            self.queue.push(next);
        }
    }

    fn count(&self, ids: Ids) -> u64 {
        self.counts.get(&ids).copied().unwrap_or_default().max(0) as u64
    }

    /// Makes one token of a pair, in the words it is known to be in.
    fn merge(&mut self, Candidate { ids, words, .. }: Candidate) -> Ids {
        let (a, b) = ids.0;
        let text = self.tokens[a as usize].clone() + &self.tokens[b as usize];
        let made = *self.ids.entry(text).or_insert_with_key(|text| {
            self.tokens.push(text.clone());
            self.tokens.len() as u32 - 1
        });
        let mut places = Places::default();
        for at in words {
            let word = &mut self.words[at as usize];
            let count = word.count;
            merge_word(&mut word.ids, ids.0, made, |pair, more| {
                let joins = |id: u32| self.tokens[id as usize].len();
                if more && joins(pair.0) + joins(pair.1) >= self.longest {
                    return;
                }
                *self.counts.entry(pair).or_default() += if more { count } else { -count };
                if more {
                    note(&mut places, pair, at);
                }
            });
        }
        self.queue(places);
        ids.0
    }

    fn queue(&mut self, places: Places) {
        for (ids, words) in places {
            let count = self.count(ids);
            if count > 0 {
                let (ids, round) = (Reverse(ids), Reverse(self.rounds));
                self.queue.push(Candidate { count, ids, round, words });
            }
        }
        self.rounds += 1;
    }
}

/// In which words pairs are, each word once, ascending.
type Places = FxHashMap<Ids, Vec<u32>>;

fn note(places: &mut Places, pair: Ids, word: u32) {
    let words = places.entry(pair).or_default();
    if words.last() != Some(&word) {
        words.push(word);
    }
}

/// Replaces a pair in one word, and tells which pairs are there less often and which more.
fn merge_word(word: &mut Vec<u32>, (a, b): Ids, made: u32, mut tell: impl FnMut(Ids, bool)) {
    let (mut from, mut to) = (0, 0);
    while from < word.len() {
        if word[from] != a || word.get(from + 1) != Some(&b) {
            word[to] = word[from];
            (from, to) = (from + 1, to + 1);
            continue;
        }
        if let Some(before) = to.checked_sub(1) {
            tell((word[before], a), false);
            tell((word[before], made), true);
        }
        if let Some(&after) = word.get(from + 2) {
            tell((b, after), false);
            tell((made, after), true);
        }
        word[to] = made;
        (from, to) = (from + 2, to + 1);
    }
    word.truncate(to);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::words::words;
    use proptest::prelude::*;
    use tokenizers::models::bpe::{BPE, BpeTrainer};
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;

    const BOUNDS: Bounds = Bounds { tokens: 400, least_count: 2, longest: 2048 };

    fn counts(text: &str) -> HashMap<&str, u64> {
        let mut counts = HashMap::new();
        for word in words(text) {
            *counts.entry(word).or_default() += 1;
        }
        counts
    }

    /// What the library learns.
    fn reference(words: &HashMap<&str, u64>, bounds: &Bounds) -> (Vec<String>, Vec<Pair>) {
        let trainer = BpeTrainer::builder()
            .vocab_size(bounds.tokens)
            .min_frequency(bounds.least_count)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .show_progress(false)
            .max_token_length(Some(bounds.longest))
            .build();
        let words = words.iter().map(|(word, &count)| (to_alphabet(word.as_bytes()).into(), count));
        let mut bpe = BPE::default();
        trainer.do_train(&words.collect(), &mut bpe).expect("it trains");
        let json: serde_json::Value = serde_json::to_value(&bpe).expect("a model has a JSON form");
        let vocab: HashMap<String, usize> =
            serde_json::from_value(json["vocab"].clone()).expect("ids by token");
        let mut tokens = vec![String::new(); vocab.len()];
        for (token, id) in vocab {
            tokens[id] = token;
        }
        (tokens, serde_json::from_value(json["merges"].clone()).expect("pairs"))
    }

    #[test]
    fn real_text_is_learned_as_the_library_learns_it() {
        let text = include_str!("../../../../docs/protocol.md");
        let words = counts(text);
        let bounds = Bounds { tokens: 1500, ..BOUNDS };
        let (tokens, merges) = learn(&words, &bounds, &mut |_| {});
        assert_eq!(tokens.len(), bounds.tokens);
        assert_eq!((tokens, merges), reference(&words, &bounds));
    }

    #[test]
    fn no_token_is_longer_than_it_may_be() {
        let text = "abcdefgh ".repeat(9);
        let words = counts(&text);
        let (tokens, _) = learn(&words, &Bounds { longest: 5, ..BOUNDS }, &mut |_| {});
        assert!(tokens.iter().any(|token| token.len() == 4));
        assert!(tokens.iter().all(|token| token.len() < 5));
    }

    proptest! {
        #[test]
        fn texts_with_many_ties_are_learned_alike(
            text in "[ab]{1,60}( [abc]{1,9}){0,40}", tokens in 257usize..330,
        ) {
            let bounds = Bounds { tokens, ..BOUNDS };
            let words = counts(&text);
            prop_assert_eq!(learn(&words, &bounds, &mut |_| {}), reference(&words, &bounds));
        }
    }
}
