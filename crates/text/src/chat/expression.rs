//! Expressions of a template, looked at before it is compiled: the engine knows no way to give an
//! operator another meaning, so some are written as filters.

use std::ops::Range;

/// The template with the inside of each of its blocks written anew by `change`.
pub(super) fn rewritten(source: &str, change: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while let Some((text, inside)) = next_block(source, at) {
        out.push_str(&source[at..text]);
        out.push_str(&change(&source[inside.clone()]));
        at = inside.end;
    }
    out + &source[at..]
}

/// A text with each of some places in it written anew, which are in order and do not overlap; an
/// empty place is where something is put in.
pub(super) fn spliced(text: &str, places: Vec<(Range<usize>, &str)>) -> String {
    let added: usize = places.iter().map(|(_, new)| new.len()).sum();
    let (mut out, mut at) = (String::with_capacity(text.len() + added), 0);
    for (place, new) in places {
        out.push_str(&text[at..place.start]);
        out.push_str(new);
        at = place.end;
    }
    out + &text[at..]
}

/// Where the next `{{` or `{%` stands at or behind `from`, and what is inside it. Comments and raw
/// blocks are left alone.
fn next_block(source: &str, from: usize) -> Option<(usize, Range<usize>)> {
    let mut at = from;
    loop {
        let start = at + source[at..].find(['{'])?;
        let open = source.get(start..start + 2).unwrap_or_default();
        let inside = start + 2;
        match open {
            "{#" => at = inside + source[inside..].find("#}")? + 2,
            "{{" | "{%" => {
                let close = if open == "{{" { "}}" } else { "%}" };
                let end = inside + end_of(&source[inside..], close)?;
                let word = source[inside..end].trim_matches(['-', '+', ' ', '\n', '\t', '\r']);
                if open == "{%" && word == "raw" {
                    at = end + source[end..].find("endraw")?;
                    continue;
                }
                return Some((inside, inside..end));
            }
            _ => at = start + 1,
        }
    }
}

/// Where a block ends: at `close` outside of quotes and brackets.
fn end_of(inside: &str, close: &str) -> Option<usize> {
    let (mut quote, mut escaped, mut depth) = (None, false, 0usize);
    for (at, c) in inside.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(mark), _) if c == mark => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, _) if depth == 0 && inside[at..].starts_with(close) => return Some(at),
            (None, '{' | '[' | '(') => depth += 1,
            (None, '}' | ']' | ')') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name, a number or a text.
    Value,
    Open,
    Close,
    /// Anything else.
    Sign,
}

/// A token of an expression, by its place.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub kind: Kind,
    pub place: Range<usize>,
}

/// The tokens of the inside of a block.
pub(super) fn tokens(inside: &str) -> Vec<Token> {
    let (mut tokens, mut at) = (Vec::new(), 0);
    while let Some(c) = inside[at..].chars().next() {
        let rest = &inside[at..];
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let (kind, length) = match c {
            _ if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            '\'' | '"' => (Kind::Value, text_length(rest, c)),
            _ if word(c) => (Kind::Value, word_length(rest, word)),
            '(' | '[' | '{' => (Kind::Open, 1),
            ')' | ']' | '}' => (Kind::Close, 1),
            '*' | '/' if rest[1..].starts_with(c) => (Kind::Sign, 2),
            _ => (Kind::Sign, c.len_utf8()),
        };
        tokens.push(Token { kind, place: at..at + length });
        at += length;
    }
    tokens
}

/// Bytes of a name or a number; an exponent has a sign of its own.
fn word_length(rest: &str, word: impl Fn(char) -> bool) -> usize {
    let end = |from: usize| rest[from..].find(|c| !word(c)).map_or(rest.len(), |at| from + at);
    let first = end(0);
    let exponent = rest.starts_with(|c: char| c.is_ascii_digit())
        && rest[..first].ends_with(['e', 'E'])
        && rest[first..].starts_with(['-', '+'])
        && rest[first + 1..].starts_with(|c: char| c.is_ascii_digit());
    if exponent { end(first + 1) } else { first }
}

/// Bytes of a text in quotes.
fn text_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Whether what stands before the sign at `sign` is an operand by itself. It is none where one of
/// `tighter` stands before it, which bind what is behind them first.
pub(super) fn is_operand(inside: &str, tokens: &[Token], sign: usize, tighter: &[&str]) -> bool {
    let text = |i: usize| &inside[tokens[i].place.clone()];
    let mut at = sign;
    loop {
        // One part of it: a value, or something in brackets.
        let Some(last) = at.checked_sub(1) else { return false };
        at = match tokens[last].kind {
            Kind::Value if !WORDS.contains(&text(last)) => last,
            Kind::Close => match opening(tokens, last) {
                Some(open) => open,
                None => return false,
            },
            _ => return false,
        };
        let Some(before) = at.checked_sub(1) else { return true };
        let joined = tokens[before].kind == Kind::Close
            || (tokens[before].kind == Kind::Value && !WORDS.contains(&text(before)));
        match text(before) {
            "." | "|" => at = before,
            // At the beginning of a block it takes white space away.
            "-" if before == 0 => return true,
            sign if tighter.contains(&sign) => return false,
            // A call, an item, or texts side by side.
            _ if joined => {}
            _ => return true,
        }
    }
}

/// The bracket that opens what the one at `close` closes.
fn opening(tokens: &[Token], close: usize) -> Option<usize> {
    let mut depth = 0usize;
    for at in (0..=close).rev() {
        match tokens[at].kind {
            Kind::Close => depth += 1,
            Kind::Open => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

fn closing(tokens: &[Token], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Where the operand that begins at `from` ends: a value or brackets, with what is called, taken
/// and filtered of it.
pub(super) fn right(inside: &str, tokens: &[Token], from: usize) -> Option<usize> {
    let text = |i: usize| tokens.get(i).map(|token| &inside[token.place.clone()]);
    let mut at = from;
    if matches!(text(at), Some("-" | "+")) {
        at += 1;
    }
    let first = tokens.get(at)?;
    at = match first.kind {
        Kind::Value if !WORDS.contains(&text(at)?) => at + 1,
        Kind::Open => closing(tokens, at)? + 1,
        _ => return None,
    };
    loop {
        at = match (text(at), tokens.get(at).map(|token| token.kind)) {
            (Some("." | "|"), _) if tokens.get(at + 1)?.kind == Kind::Value => at + 2,
            (Some("(" | "["), _) => closing(tokens, at)? + 1,
            (Some("**"), _) => return None,
            _ => return Some(at),
        };
    }
}

/// Words that are no values.
const WORDS: [&str; 9] = ["if", "else", "in", "is", "not", "and", "or", "set", "elif"];
