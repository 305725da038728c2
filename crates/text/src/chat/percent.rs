//! `%` between a text and values, as Python formats: `'%s: %d' % (name, count)`.
//!
//! The engine knows `%` for numbers alone, and no way to add to it. So before a template is compiled
//! `a % b` is written as `a | FILTER(b)`, which binds as tightly where no `*` or `/` stands before
//! `a`; the filter formats texts and divides numbers.

use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::expression::{is_operand, rewritten, right, spliced, tokens};

/// Adds the filter.
pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter(FILTER, percent);
}

/// The template with every `%` that may format as the filter.
pub(super) fn as_filter(source: &str) -> String {
    rewritten(source, expression)
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

fn expression(inside: &str) -> String {
    if !inside.contains('%') {
        return inside.to_owned();
    }
    let tokens = tokens(inside);
    let mut places: Vec<(std::ops::Range<usize>, &str)> = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        if &inside[token.place.clone()] != "%" {
            continue;
        }
        let before = is_operand(inside, &tokens, i, &TIGHTER);
        if let Some(end) = right(inside, &tokens, i + 1).filter(|_| before) {
            let end = tokens[end - 1].place.end;
            places.extend([(token.place.clone(), OPEN), (end..end, ")")]);
        }
    }
    places.sort_by_key(|(place, _)| place.start);
    spliced(inside, places)
}

/// Signs that bind as tightly as `%` or more so, before what it divides.
const TIGHTER: [&str; 5] = ["*", "/", "//", "**", "-"];
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
