//! Joining neighbours, best pair first: the core of byte-pair encoding, by rank or by score.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::TokenizerError;

/// Part of a word: a token, or what will become bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Symbol {
    /// Token, or [`NONE`].
    pub id: u32,
    /// Bytes of the word that it covers.
    pub start: u32,
    pub end: u32,
    previous: u32,
    next: u32,
}

impl Symbol {
    /// A symbol of `start..end`.
    pub fn new(id: u32, start: usize, end: usize) -> Symbol {
        Symbol { id, start: start as u32, end: end as u32, previous: NONE, next: NONE }
    }
}

/// (order, product) of a pair that can be joined.
type Joined = Result<Option<(u32, u32)>, TokenizerError>;

/// Memory of the work on one word, kept for the next.
#[derive(Default)]
pub(super) struct Merger {
    pub symbols: Vec<Symbol>,
    heap: BinaryHeap<Reverse<Candidate>>,
}

/// Lowest first: by order, then from the left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    order: u32,
    left: u32,
    right: u32,
    left_id: u32,
    right_id: u32,
    product: u32,
}

impl Merger {
    /// Joins neighbours in `symbols` until `join` knows no pair any more; what is left is in the
    /// order of the word. `join` gives (order, product), the lowest order is joined first and,
    /// among equals, the leftmost.
    ///
    /// Time: n log n for n symbols, and at most 3 n calls of `join`, whose error ends it.
    pub fn run(
        &mut self,
        mut join: impl FnMut(Symbol, Symbol) -> Joined,
    ) -> Result<(), TokenizerError> {
        let count = self.symbols.len();
        self.heap.clear();
        for i in 0..count {
            self.symbols[i].previous = if i == 0 { NONE } else { i as u32 - 1 };
            self.symbols[i].next = if i + 1 == count { NONE } else { i as u32 + 1 };
        }
        for i in 1..count as u32 {
            self.offer(i - 1, i, &mut join)?;
        }
        while let Some(Reverse(best)) = self.heap.pop() {
            if self.is_stale(&best) {
                continue;
            }
            self.join(&best);
            let Symbol { previous, next, .. } = self.symbols[best.left as usize];
            self.offer(previous, best.left, &mut join)?;
            self.offer(best.left, next, &mut join)?;
        }
        self.symbols.retain(|symbol| symbol.start < symbol.end);
        Ok(())
    }

    fn offer(
        &mut self,
        left: u32,
        right: u32,
        join: &mut impl FnMut(Symbol, Symbol) -> Joined,
    ) -> Result<(), TokenizerError> {
        if left == NONE || right == NONE {
            return Ok(());
        }
        let (a, b) = (self.symbols[left as usize], self.symbols[right as usize]);
        if let Some((order, product)) = join(a, b)? {
            let (left_id, right_id) = (a.id, b.id);
            let candidate = Candidate { order, left, right, left_id, right_id, product };
            self.heap.push(Reverse(candidate));
        }
        Ok(())
    }

    /// Whether one of the two has meanwhile been joined to another.
    fn is_stale(&self, candidate: &Candidate) -> bool {
        let (left, right) =
            (self.symbols[candidate.left as usize], self.symbols[candidate.right as usize]);
        let gone = left.start == left.end || right.start == right.end;
        gone || left.next != candidate.right
            || left.id != candidate.left_id
            || right.id != candidate.right_id
    }

    fn join(&mut self, pair: &Candidate) {
        let right = self.symbols[pair.right as usize];
        self.symbols[pair.right as usize].end = right.start; // gone
        let left = &mut self.symbols[pair.left as usize];
        left.id = pair.product;
        left.end = right.end;
        left.next = right.next;
        if right.next != NONE {
            self.symbols[right.next as usize].previous = pair.left;
        }
    }
}

/// No token; no neighbour.
pub(super) const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids are digits; the product of two is their sum, the order what is asked for.
    fn run(ids: &[u32], order: impl Fn(u32, u32) -> Option<u32>) -> Vec<u32> {
        let symbols = ids.iter().enumerate().map(|(i, &id)| Symbol::new(id, i, i + 1));
        let mut merger = Merger { symbols: symbols.collect(), ..Merger::default() };
        let join = |a: Symbol, b: Symbol| Ok(order(a.id, b.id).map(|order| (order, a.id + b.id)));
        merger.run(join).expect("nothing fails");
        merger.symbols.iter().map(|symbol| symbol.id).collect()
    }

    #[test]
    fn the_best_pair_goes_first_and_the_leftmost_among_equals() {
        assert_eq!(run(&[1, 1, 1], |a, b| (a + b == 2).then_some(0)), [2, 1]);
        assert_eq!(run(&[1, 2, 3], |a, b| Some(9 - a.max(b))), [6]);
        assert_eq!(run(&[1, 2, 4], |a, b| (a + b == 6).then_some(0)), [1, 6]);
        assert_eq!(run(&[], |_, _| Some(0)), [0; 0]);
    }

    /// A word of a megabyte in which everything can be joined: at most three questions a symbol,
    /// each of which puts one candidate on the heap.
    #[test]
    fn a_long_word_takes_few_steps_for_each_of_its_symbols() {
        let count = 1 << 20;
        let symbols = (0..count).map(|i| Symbol::new((i % 3) as u32, i, i + 1));
        let mut merger = Merger { symbols: symbols.collect(), ..Merger::default() };
        let mut questions = 0;
        let join = |a: Symbol, b: Symbol| {
            questions += 1;
            Ok(Some(((a.id ^ b.id) % 5, (a.id + b.id) % 1000)))
        };
        merger.run(join).expect("nothing fails");
        assert_eq!(merger.symbols.len(), 1);
        assert!(questions <= 3 * count, "{questions}");
    }
}
