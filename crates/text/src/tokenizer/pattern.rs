//! Regular expressions that cut text into words, as tokenizer files bring them, in bounded time.
//!
//! A subset: classes, groups, alternatives, greedy, lazy and possessive repetition, `(?i:…)`, and
//! looking ahead. Matching goes back and forth as in Perl, so that the leftmost alternative wins;
//! the budget of the text, or of loading, bounds what a hostile expression can cost.

mod class;
mod compile;
mod parse;

use std::ops::Range;

use super::TokenizerError;
use super::budget::{Budget, Part};
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
    budget: &'p mut Budget,
}

/// Why an expression was refused.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum PatternError {
    /// What is not understood.
    Unknown(String),
    /// It takes too much to read.
    TooCostly(TokenizerError),
}

impl From<String> for PatternError {
    fn from(text: String) -> PatternError {
        PatternError::Unknown(text)
    }
}

impl From<TokenizerError> for PatternError {
    fn from(error: TokenizerError) -> PatternError {
        PatternError::TooCostly(error)
    }
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
    pub fn new(source: &str, budget: &mut Budget) -> Result<Pattern, PatternError> {
        if source.len() > MAX_SOURCE {
            return Err(format!("{} bytes, at most {MAX_SOURCE} are read", source.len()).into());
        }
        let mut classes = Vec::new();
        let tree = parse::parse(source, &mut classes, budget)?;
        let steps = compile::compile(&tree, budget)?;
        Ok(Pattern { classes, steps })
    }

    /// Starts a search that spends from the budget of the text.
    pub fn search<'p>(&'p self, budget: &'p mut Budget) -> Search<'p> {
        Search { pattern: self, stack: Vec::new(), budget }
    }
}

impl Search<'_> {
    /// The first match at or after `from` that is not empty.
    ///
    /// Errors: the budget is spent.
    pub fn next(
        &mut self,
        text: &str,
        from: usize,
    ) -> Result<Option<Range<usize>>, TokenizerError> {
        let mut at = from;
        while at < text.len() {
            if let Some(end) = self.matches(text, 0, at)?.filter(|&end| end > at) {
                return Ok(Some(at..end));
            }
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
        Ok(None)
    }

    /// Where a match that starts at `at` ends.
    fn matches(
        &mut self,
        text: &str,
        step: u32,
        at: usize,
    ) -> Result<Option<usize>, TokenizerError> {
        let floor = self.stack.len();
        let (mut step, mut at) = (step, at);
        loop {
            self.budget.step(Part::Expressions, 1)?;
            if self.stack.len() > MAX_STACK {
                return Err(self.budget.exceeded(Part::Expressions, true));
            }
            let went = match self.advance(text, step, at)? {
                Went::On(next, to) => Some((next, to)),
                Went::Matched => {
                    self.stack.truncate(floor);
                    return Ok(Some(at));
                }
                Went::Failed => self.retry(text, floor),
            };
            let Some(next) = went else { return Ok(None) };
            (step, at) = next;
        }
    }

    fn advance(&mut self, text: &str, step: u32, at: usize) -> Result<Went, TokenizerError> {
        let pattern = self.pattern;
        Ok(match pattern.steps[step as usize] {
            Step::Class(class) => match self.char_in(text, at, class) {
                Some(size) => Went::On(step + 1, at + size),
                None => Went::Failed,
            },
            Step::Run { class, min, max } => self.run(text, step, at, class, min, max)?,
            Step::Split { first, second } => {
                self.stack.push(Retry { step: second, low: at, high: at });
                Went::On(first, at)
            }
            Step::Jump(to) => Went::On(to, at),
            Step::Look { negative, end } => {
                let found = self.matches(text, step + 1, at)?.is_some();
                if found != negative { Went::On(end, at) } else { Went::Failed }
            }
            Step::Atomic { end } => match self.matches(text, step + 1, at)? {
                Some(to) => Went::On(end, to),
                None => Went::Failed,
            },
            Step::AtEnd if at == text.len() => Went::On(step + 1, at),
            Step::AtEnd => Went::Failed,
            Step::Match => Went::Matched,
        })
    }

    /// As many characters of a class as there are; giving back one at a time is tried later.
    fn run(
        &mut self,
        text: &str,
        step: u32,
        at: usize,
        class: u32,
        min: u32,
        max: u32,
    ) -> Result<Went, TokenizerError> {
        let (mut count, mut to, mut low) = (0, at, at);
        while count < max {
            let Some(size) = self.char_in(text, to, class) else { break };
            count += 1;
            to += size;
            if count == min {
                low = to;
            }
        }
        self.budget.step(Part::Expressions, u64::from(count) / 4)?;
        if count < min {
            return Ok(Went::Failed);
        }
        if to > low {
            let high = before(text, to);
            self.stack.push(Retry { step: step + 1, low, high });
        }
        Ok(Went::On(step + 1, to))
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
/// Most ways left to try at once; bounds memory.
const MAX_STACK: usize = 1 << 20;

#[cfg(test)]
mod tests;
