//! `%` between a text and values, as Python formats: `'%s: %d' % (name, count)`.
//!
//! The engine knows `%` for numbers alone, and no way to add to it. So before a template is compiled
//! `a % b` is written as `a | FILTER(b)`, which binds as tightly where no `*` or `/` stands before
//! `a`; the filter formats texts and divides numbers.

use std::ops::Range;

use minijinja::{Environment, Error, ErrorKind, State, Value};

/// Adds the filter.
pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter(FILTER, percent);
}

/// The template with every `%` that may format as the filter.
pub(super) fn as_filter(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while let Some((text, inside)) = next_block(source, at) {
        out.push_str(&source[at..text]);
        out.push_str(&expression(&source[inside.clone()]));
        at = inside.end;
    }
    out + &source[at..]
}

fn percent(state: &mut State<'_, '_>, left: &Value, right: &Value) -> Result<Value, Error> {
    if left.as_str().is_none() {
        return remainder(left, right);
    }
    let mut args = vec![left.clone()];
    match right.is_tuple() {
        true if right.len().is_some_and(|length| length > MAX_VALUES) => {
            return Err(Error::new(ErrorKind::InvalidOperation, "% of too many values"));
        }
        true => args.extend(right.try_iter()?),
        false => args.push(right.clone()),
    }
    state.apply_filter("format", &args)
}

/// With the sign of the divisor, as in Python.
fn remainder(left: &Value, right: &Value) -> Result<Value, Error> {
    let wrong = || Error::new(ErrorKind::InvalidOperation, "% of values that are no numbers");
    if !left.is_number() || !right.is_number() {
        return Err(wrong());
    }
    let zero = || Error::new(ErrorKind::InvalidOperation, "division by zero");
    if left.is_integer() && right.is_integer() {
        let (a, b) = (i128::try_from(left.clone())?, i128::try_from(right.clone())?);
        let rest = a.checked_rem(b).ok_or_else(zero)?;
        return Ok(Value::from(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }));
    }
    let (a, b) = (f64::try_from(left.clone())?, f64::try_from(right.clone())?);
    if b == 0.0 {
        return Err(zero());
    }
    let rest = a % b;
    Ok(Value::from(if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }))
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A name, a number or a text.
    Value,
    Open,
    Close,
    /// Anything else.
    Sign,
}

/// A token of an expression, by its place.
#[derive(Debug, Clone)]
struct Token {
    kind: Kind,
    place: Range<usize>,
}

fn expression(inside: &str) -> String {
    if !inside.contains('%') {
        return inside.to_owned();
    }
    let tokens = tokens(inside);
    // What is put before the byte at a place, in the order of the places.
    let mut added: Vec<(usize, &str)> = Vec::new();
    let mut taken = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        if &inside[token.place.clone()] != "%" {
            continue;
        }
        if let Some(end) = right(inside, &tokens, i + 1).filter(|_| is_operand(inside, &tokens, i))
        {
            taken.push(token.place.start);
            added.push((token.place.start, OPEN));
            added.push((tokens[end - 1].place.end, ")"));
        }
    }
    added.sort_by_key(|(place, _)| *place);
    let (mut out, mut at) = (String::with_capacity(inside.len() + 32 * added.len()), 0);
    for (place, text) in added {
        out.push_str(&inside[at..place]);
        out.push_str(text);
        at = place + usize::from(taken.contains(&place) && text == OPEN);
    }
    out + &inside[at..]
}

fn tokens(inside: &str) -> Vec<Token> {
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
            _ if word(c) => (Kind::Value, rest.find(|c| !word(c)).unwrap_or(rest.len())),
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

/// Whether what stands before the `%` at `sign` is by itself what the filter is for.
fn is_operand(inside: &str, tokens: &[Token], sign: usize) -> bool {
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
            "*" | "/" | "//" | "**" => return false,
            // At the beginning of a block it takes white space away.
            "-" if before > 0 => return false,
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
fn right(inside: &str, tokens: &[Token], from: usize) -> Option<usize> {
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
/// Most values of a tuple.
const MAX_VALUES: usize = 1000;
/// No template uses a name like this.
const FILTER: &str = "python_percent_operator";
const OPEN: &str = "|python_percent_operator(";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{ChatTemplate, Conversation};

    fn render(source: &str) -> String {
        let template = ChatTemplate::new(source).expect("a template");
        template.render(&Conversation::new(&[])).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn texts_are_formatted_as_in_python() {
        // Each as Python has it.
        let cases = [
            ("{{ '%s' % 'a' }}", "a"),
            ("{{ '%s: %d' % ('a', 3) }}", "a: 3"),
            ("{{ \"%05.2f|%-4s|%x\" % (3.14159, 'b', 255) }}", "03.14|b   |ff"),
            ("{{ '%(name)s=%(n)d' % {'name': 'x', 'n': 2} }}", "x=2"),
            ("{{ '100%%' % () }}", "100%"),
            ("{{ 'a' ~ '%s' % 'b' ~ 'c' }}", "abc"),
            ("{{ 'x' + '%s' % 'y'|upper + 'z' }}", "xYz"),
            ("{% set f = '<%s>' %}{{ f % 'q' }}{{ f % 5 }}", "<q><5>"),
            ("{% set d = {'f': '%s!'} %}{{ d.f % d['f'] }}{{ (d.f) % 'a'.upper() }}", "%s!!A!"),
            ("{% if '%s' % 'a' == 'a' and 7 % 4 == 3 %}yes{% endif %}", "yes"),
            ("{{ '%s-%s' % ('a' % (), ('b',)[0]) }}", "a-b"),
            ("{{ '%s' % [1, 2] }}", "[1, 2]"),
            ("{{ ['%s' % 'a', '%s' % 'b']|join(' % ') }}", "a % b"),
            ("{%- set x = '%s' % 'a' -%} {{- '%s' % x -}} ", "a"),
            ("{# '%s' % 'a' #}{% raw %}{{ '%s' % 'a' }}{% endraw %}", "{{ '%s' % 'a' }}"),
        ];
        for (source, want) in cases {
            assert_eq!(render(source), want, "{source}");
        }
        assert!(render("{{ '%s' % () }}").contains("format"), "{}", render("{{ '%s' % () }}"));
        assert!(render("{{ '%d' % 'a' }}").starts_with("chat template: "));
        assert!(render("{{ '%99999999999d' % 1 }}").starts_with("chat template: "));
    }

    #[test]
    fn numbers_are_divided_as_before() {
        let cases = [
            ("{{ 7 % 4 }} {{ -7 % 4 }} {{ 7 % -4 }} {{ 7.5 % 2 }}", "3 1 -1 1.5"),
            ("{{ 2 * 7 % 4 }} {{ 14 % 8 % 4 }} {{ 9 // 2 % 3 }} {{ 7 % 2 ** 2 }}", "2 2 1 3"),
            ("{{ 1 + 7 % 4 }} {{ (1 + 7) % 3 }} {{ 10 - 7 % 4 }}", "4 2 7"),
            ("{% for i in range(3) %}{{ loop.index0 % 2 == 0 }} {% endfor %}", "True False True "),
            ("{{ [5][0] % 3 }}{{ [1, 2]|length % 2 }}{{ 5 % [2, 3]|length }}", "201"),
        ];
        for (source, want) in cases {
            assert_eq!(render(source).to_lowercase(), want.to_lowercase(), "{source}");
        }
        assert!(render("{{ 7 % 0 }}").starts_with("chat template: "));
        assert!(render("{{ none % 2 }}").starts_with("chat template: "));
    }

    #[test]
    fn what_is_no_operator_stays() {
        for source in ["50 % of it", "{{ a }} % {{ b }}", "{% if a %}", "{{ 'a % b' }}", "{{ x"] {
            assert_eq!(as_filter(source), source);
        }
    }
}
