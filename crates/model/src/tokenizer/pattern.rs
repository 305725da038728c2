//! Regular expressions that cut text into words, as tokenizer files bring them, in bounded time.
//!
//! A subset: classes, groups, alternatives, greedy, lazy and possessive repetition, `(?i:…)`, and
//! looking ahead. Matching goes back and forth as in Perl, so that the leftmost alternative wins;
//! a budget of steps in proportion to the text bounds what a hostile expression can cost.

mod class;
mod compile;
mod parse;

use std::ops::Range;

use class::Class;
use compile::Step;

/// A compiled expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pattern {
    classes: Vec<Class>,
    steps: Vec<Step>,
}

/// The state of searching one text.
pub(super) struct Search<'p> {
    pattern: &'p Pattern,
    stack: Vec<Retry>,
    /// Steps that are left.
    budget: u64,
}

/// Where to go on if the present way fails: at `step`, with every text position from `high` down
/// to `low`.
#[derive(Debug, Clone, Copy)]
struct Retry {
    step: u32,
    low: usize,
    high: usize,
}

impl Pattern {
    /// Reads an expression; says what it does not understand.
    pub fn new(source: &str) -> Result<Pattern, String> {
        if source.len() > MAX_SOURCE {
            return Err(format!("{} bytes, at most {MAX_SOURCE} are read", source.len()));
        }
        let mut classes = Vec::new();
        let tree = parse::parse(source, &mut classes)?;
        let steps = compile::compile(&tree)?;
        Ok(Pattern { classes, steps })
    }

    /// Starts a search whose cost is bounded by what a text of this many bytes deserves.
    pub fn search(&self, bytes: usize) -> Search<'_> {
        let budget = BASE_BUDGET + BUDGET_PER_BYTE * bytes as u64;
        Search { pattern: self, stack: Vec::new(), budget }
    }
}

impl Search<'_> {
    /// The first match at or after `from` that is not empty. When the budget is spent nothing
    /// matches any more.
    pub fn next(&mut self, text: &str, from: usize) -> Option<Range<usize>> {
        let mut at = from;
        while at < text.len() {
            if let Some(end) = self.matches(text, 0, at).filter(|&end| end > at) {
                return Some(at..end);
            }
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
        None
    }

    /// Where a match that starts at `at` ends.
    fn matches(&mut self, text: &str, step: u32, at: usize) -> Option<usize> {
        let floor = self.stack.len();
        let (mut step, mut at) = (step, at);
        loop {
            if self.budget == 0 || self.stack.len() > MAX_STACK {
                self.budget = 0;
                self.stack.truncate(floor);
                return None;
            }
            self.budget -= 1;
            let went = match self.advance(text, step, at) {
                Went::On(next, to) => Some((next, to)),
                Went::Matched => {
                    self.stack.truncate(floor);
                    return Some(at);
                }
                Went::Failed => self.retry(text, floor),
            };
            (step, at) = went?;
        }
    }

    fn advance(&mut self, text: &str, step: u32, at: usize) -> Went {
        let pattern = self.pattern;
        match pattern.steps[step as usize] {
            Step::Class(class) => match self.char_in(text, at, class) {
                Some(size) => Went::On(step + 1, at + size),
                None => Went::Failed,
            },
            Step::Run { class, min, max } => self.run(text, step, at, class, min, max),
            Step::Split { first, second } => {
                self.stack.push(Retry { step: second, low: at, high: at });
                Went::On(first, at)
            }
            Step::Jump(to) => Went::On(to, at),
            Step::Look { negative, end } => {
                let found = self.matches(text, step + 1, at).is_some();
                if found != negative { Went::On(end, at) } else { Went::Failed }
            }
            Step::Atomic { end } => match self.matches(text, step + 1, at) {
                Some(to) => Went::On(end, to),
                None => Went::Failed,
            },
            Step::AtEnd if at == text.len() => Went::On(step + 1, at),
            Step::AtEnd => Went::Failed,
            Step::Match => Went::Matched,
        }
    }

    /// As many characters of a class as there are; giving back one at a time is tried later.
    fn run(&mut self, text: &str, step: u32, at: usize, class: u32, min: u32, max: u32) -> Went {
        let (mut count, mut to, mut low) = (0, at, at);
        while count < max {
            let Some(size) = self.char_in(text, to, class) else { break };
            count += 1;
            to += size;
            if count == min {
                low = to;
            }
        }
        self.budget = self.budget.saturating_sub(u64::from(count) / 4);
        if count < min {
            return Went::Failed;
        }
        if to > low {
            let high = before(text, to);
            self.stack.push(Retry { step: step + 1, low, high });
        }
        Went::On(step + 1, to)
    }

    fn retry(&mut self, text: &str, floor: usize) -> Option<(u32, usize)> {
        if self.stack.len() == floor {
            return None;
        }
        let last = self.stack.last_mut()?;
        let (step, at) = (last.step, last.high);
        if at > last.low {
            last.high = before(text, at);
        } else {
            self.stack.pop();
        }
        Some((step, at))
    }

    fn char_in(&self, text: &str, at: usize, class: u32) -> Option<usize> {
        let class = &self.pattern.classes[class as usize];
        let first = *text.as_bytes().get(at)?;
        if first < 0x80 {
            return class.has_ascii(first).then_some(1);
        }
        let c = text[at..].chars().next()?;
        class.has(c).then(|| c.len_utf8())
    }
}

enum Went {
    On(u32, usize),
    Failed,
    Matched,
}

/// Start of the character that ends at `at`, which is not 0.
fn before(text: &str, at: usize) -> usize {
    let mut at = at - 1;
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Longest expression read.
const MAX_SOURCE: usize = 1 << 14;
/// Steps for a text, whatever its length.
const BASE_BUDGET: u64 = 1 << 20;
/// Steps per byte of text; what real expressions need is below twenty.
const BUDGET_PER_BYTE: u64 = 256;
/// Most ways left to try at once; bounds memory.
const MAX_STACK: usize = 1 << 20;

#[cfg(test)]
mod tests;
