//! From the text of an expression to its tree.

use super::class::Class;
use super::{Budget, Part, PatternError};

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tree {
    /// One character of a class, by its number.
    Class(u32),
    Sequence(Vec<Tree>),
    Alternatives(Vec<Tree>),
    Repeat {
        tree: Box<Tree>,
        min: u32,
        max: u32,
        how: How,
    },
    Look {
        tree: Box<Tree>,
        negative: bool,
    },
    Atomic(Box<Tree>),
    End,
}

/// How a repetition gives back what it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Greedy,
    Lazy,
    Possessive,
}

/// Reads an expression; its classes are appended to `classes`.
pub(super) fn parse(
    source: &str,
    classes: &mut Vec<Class>,
    budget: &mut Budget,
) -> Result<Tree, PatternError> {
    let mut parser = Parser { source, at: 0, classes, sources: Vec::new(), depth: 0, budget };
    let mut fold = false;
    if let Some(rest) = source.strip_prefix("(?i)") {
        parser.at = source.len() - rest.len();
        fold = true;
    }
    let tree = parser.alternatives(fold)?;
    match parser.peek() {
        None => Ok(tree),
        Some(c) => Err(format!("{c:?} at {}", parser.at).into()),
    }
}

struct Parser<'a> {
    source: &'a str,
    at: usize,
    classes: &'a mut Vec<Class>,
    /// What each class was made from, to make it once.
    sources: Vec<(String, bool)>,
    depth: usize,
    budget: &'a mut Budget,
}

impl Parser<'_> {
    fn alternatives(&mut self, fold: bool) -> Result<Tree, PatternError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} groups inside each other").into());
        }
        let mut ways = vec![self.sequence(fold)?];
        while self.eat("|") {
            ways.push(self.sequence(fold)?);
        }
        self.depth -= 1;
        Ok(if ways.len() == 1 { ways.remove(0) } else { Tree::Alternatives(ways) })
    }

    fn sequence(&mut self, fold: bool) -> Result<Tree, PatternError> {
        let mut parts = Vec::new();
        while let Some(c) = self.peek().filter(|&c| c != '|' && c != ')') {
            let part = self.part(c, fold)?;
            parts.push(self.repeated(part)?);
        }
        Ok(Tree::Sequence(parts))
    }

    fn part(&mut self, c: char, fold: bool) -> Result<Tree, PatternError> {
        match c {
            '(' => self.group(fold),
            '[' => {
                let end = self.bracket_end()?;
                self.class(end, fold)
            }
            '\\' => {
                let end = self.escape_end()?;
                self.class(end, fold)
            }
            '$' => {
                self.at += 1;
                Ok(Tree::End)
            }
            '.' => self.class(self.at + 1, false),
            '^' | '*' | '+' | '?' | '{' | '}' => Err(format!("{c:?} at {}", self.at).into()),
            c => self.class(self.at + c.len_utf8(), fold),
        }
    }

    fn group(&mut self, fold: bool) -> Result<Tree, PatternError> {
        let kinds = [("(?:", 0), ("(?i:", 1), ("(?=", 2), ("(?!", 3), ("(?>", 4)];
        let kind = kinds.iter().find(|(open, _)| self.eat(open)).map(|&(_, kind)| kind);
        let kind = match kind {
            Some(kind) => kind,
            None if self.source[self.at..].starts_with("(?") => {
                return Err(format!("group at {}", self.at).into());
            }
            None => {
                self.at += 1;
                0
            }
        };
        let tree = self.alternatives(fold || kind == 1)?;
        if !self.eat(")") {
            return Err("a group that does not end".to_owned().into());
        }
        Ok(match kind {
            2 => Tree::Look { tree: Box::new(tree), negative: false },
            3 => Tree::Look { tree: Box::new(tree), negative: true },
            4 => Tree::Atomic(Box::new(tree)),
            _ => tree,
        })
    }

    fn repeated(&mut self, tree: Tree) -> Result<Tree, PatternError> {
        let (min, max) = match self.peek() {
            Some('?') => (0, 1),
            Some('*') => (0, u32::MAX),
            Some('+') => (1, u32::MAX),
            Some('{') => return self.counted(tree),
            _ => return Ok(tree),
        };
        self.at += 1;
        self.finish_repeat(tree, min, max)
    }

    /// `{n}`, `{n,}`, `{n,m}`.
    fn counted(&mut self, tree: Tree) -> Result<Tree, PatternError> {
        let bad = || format!("repetition at {}", self.at);
        let close = self.source[self.at..].find('}').ok_or_else(bad)?;
        let inside = &self.source[self.at + 1..self.at + close];
        let number = |text: &str| text.parse::<u32>().ok().filter(|&n| n <= MAX_COUNT);
        let (min, max) = match inside.split_once(',') {
            None => (number(inside).ok_or_else(bad)?, number(inside).ok_or_else(bad)?),
            Some((min, "")) => (number(min).ok_or_else(bad)?, u32::MAX),
            Some((min, max)) => (number(min).ok_or_else(bad)?, number(max).ok_or_else(bad)?),
        };
        if max < min {
            return Err(bad().into());
        }
        self.at += close + 1;
        self.finish_repeat(tree, min, max)
    }

    fn finish_repeat(&mut self, tree: Tree, min: u32, max: u32) -> Result<Tree, PatternError> {
        let how = if self.eat("+") {
            How::Possessive
        } else if self.eat("?") {
            How::Lazy
        } else {
            How::Greedy
        };
        if let Some(c @ ('?' | '*' | '+' | '{')) = self.peek() {
            return Err(format!("{c:?} at {}", self.at).into());
        }
        Ok(Tree::Repeat { tree: Box::new(tree), min, max, how })
    }

    /// Makes the class of the source up to `end` and goes there.
    fn class(&mut self, end: usize, fold: bool) -> Result<Tree, PatternError> {
        let source = &self.source[self.at..end];
        self.at = end;
        self.budget.step(Part::Expressions, 1 + self.sources.len() as u64)?;
        let known = self.sources.iter().position(|(known, f)| known == source && *f == fold);
        let number = match known {
            Some(number) => number,
            None if self.classes.len() == MAX_CLASSES => {
                return Err(format!("more than {MAX_CLASSES} classes").into());
            }
            None => {
                // Folding goes through all characters of a range, one by one.
                let each = if fold { FOLDING } else { READING };
                self.budget.step(Part::Expressions, source.len() as u64 * each)?;
                let class = if source == "." { Class::dot() } else { Class::new(source, fold)? };
                self.budget.write(Part::Expressions, class.bytes())?;
                self.classes.push(class);
                self.sources.push((source.to_owned(), fold));
                self.classes.len() - 1
            }
        };
        Ok(Tree::Class(number as u32))
    }

    /// Just behind the bracket that starts here.
    fn bracket_end(&self) -> Result<usize, String> {
        let mut depth = 0usize;
        let mut chars = self.source[self.at..].char_indices().peekable();
        let mut first = false; // a `]` right after the opening is a member
        while let Some((i, c)) = chars.next() {
            match c {
                '\\' => drop(chars.next()),
                '[' => {
                    depth += 1;
                    if let Some((_, '^')) = chars.peek() {
                        chars.next();
                    }
                    first = true;
                    continue;
                }
                ']' if !first => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(self.at + i + 1);
                    }
                }
                _ => {}
            }
            first = false;
        }
        Err(format!("bracket at {} that does not end", self.at))
    }

    /// Just behind the escape that starts here; classes and escaped characters only.
    fn escape_end(&self) -> Result<usize, String> {
        let bad = || format!("escape at {}", self.at);
        let rest = &self.source[self.at + 1..];
        let c = rest.chars().next().ok_or_else(bad)?;
        match c {
            'p' | 'P' | 'x' | 'u' if rest[1..].starts_with('{') => {
                Ok(self.at + 1 + rest.find('}').ok_or_else(bad)? + 1)
            }
            'p' | 'P' => {
                let name = rest[1..].chars().next().ok_or_else(bad)?;
                Ok(self.at + 2 + name.len_utf8())
            }
            's' | 'S' | 'd' | 'D' | 'w' | 'W' | 'r' | 'n' | 't' => Ok(self.at + 2),
            c if c.is_ascii_punctuation() => Ok(self.at + 2),
            _ => Err(bad()),
        }
    }

    fn peek(&self) -> Option<char> {
        self.source[self.at..].chars().next()
    }

    fn eat(&mut self, wanted: &str) -> bool {
        let found = self.source[self.at..].starts_with(wanted);
        self.at += if found { wanted.len() } else { 0 };
        found
    }
}

const MAX_DEPTH: usize = 16;
const MAX_CLASSES: usize = 256;
const MAX_COUNT: u32 = 1024;
/// Steps for each byte of a class.
const READING: u64 = 1 << 8;
const FOLDING: u64 = 1 << 14;
