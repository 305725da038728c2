//! `~` between values, as Python makes texts of them: `'about ' ~ 1e22`.
//!
//! The engine makes texts of what it joins in its own way, with all digits of a float, and knows no
//! way to add to that. So before a template is compiled each operand of `~` is written with a filter
//! behind it, which makes the text of a float and leaves everything else as it is. An operand that
//! something else binds first, as in `2 * x ~ y`, stays as it is.

use minijinja::{Environment, Value};

use super::expression::{is_operand, rewritten, right, spliced, tokens};
use super::floats;

/// Adds the filter.
pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter(FILTER, |value: &Value| {
        floats::text(value).map_or_else(|| value.clone(), Value::from)
    });
}

/// The template with the operands of every `~` as texts.
pub(super) fn of_texts(source: &str) -> String {
    rewritten(source, expression)
}

fn expression(inside: &str) -> String {
    if !inside.contains('~') {
        return inside.to_owned();
    }
    let tokens = tokens(inside);
    let text = |i: usize| tokens.get(i).map(|token| &inside[token.place.clone()]);
    // Where the filter goes, in the order of the places and each once.
    let mut ends = std::collections::BTreeSet::new();
    for sign in (0..tokens.len()).filter(|&i| text(i) == Some("~")) {
        if is_operand(inside, &tokens, sign, &TIGHTER) {
            ends.insert(tokens[sign - 1].place.end);
        }
        let after = right(inside, &tokens, sign + 1);
        let by_itself = |end: usize| text(end).is_none_or(|next| !BINDS_FIRST.contains(&next));
        if let Some(end) = after.filter(|&end| by_itself(end)) {
            ends.insert(tokens[end - 1].place.end);
        }
    }
    spliced(inside, ends.into_iter().map(|end| (end..end, AS_TEXT)).collect())
}

/// Signs and words that bind what is behind them more tightly than `~`.
const TIGHTER: [&str; 7] = ["*", "/", "//", "**", "%", "is", "not"];
/// Signs and words that bind what is before them more tightly than `~`.
const BINDS_FIRST: [&str; 6] = ["*", "/", "//", "**", "%", "is"];
/// No template uses a name like this.
const FILTER: &str = "python_text_of_operand";
const AS_TEXT: &str = "|python_text_of_operand";

#[cfg(test)]
mod tests {
    use crate::chat::{ChatTemplate, Conversation};

    fn render(source: &str) -> String {
        let template = ChatTemplate::new(source).expect("a template");
        template.render(&Conversation::new(&[])).unwrap_or_else(|error| error.to_string())
    }

    /// Each as Jinja2 has it.
    #[test]
    fn floats_are_joined_as_in_python() {
        let cases = [
            ("{{ 'a' ~ 1e22 ~ 'b' }} {{ 1e22 ~ 0.00001 }}", "a1e+22b 1e+221e-05"),
            ("{% set x = 1e16 %}{{ x ~ '' }}{{ '' ~ x }}{{ -x ~ '' }}", "1e+161e+16-1e+16"),
            ("{{ [1e16, 2] ~ (1e16,) }}{{ {'a': 1e-05} ~ '' }}", "[1e+16, 2](1e+16,){'a': 1e-05}"),
            ("{{ 1e-05 ~ 1.5e-7 ~ 2.5e+20 ~ 1.5 }}", "1e-051.5e-072.5e+201.5"),
            ("{{ {'a': [1e22]}.a[0] ~ ([1e22]|first) ~ [1e22]|last }}", "1e+221e+221e+22"),
            ("{%- set x = 'a' ~ 1e22 -%} {{- x ~ x -}}", "a1e+22a1e+22"),
            ("{{ 'x' if 1e22 ~ '' == '1e+22' else 'y' }}", "x"),
            ("{{ '%s' % 1e22 ~ 1e22 }}", "1e+221e+22"),
        ];
        for (source, want) in cases {
            assert_eq!(render(source), want, "{source}");
        }
    }

    #[test]
    fn everything_else_is_joined_as_before() {
        let cases = [
            ("{{ 'a' ~ none ~ true ~ 3 ~ nothing ~ [1, 'b'] }}", "aNoneTrue3[1, 'b']"),
            ("{{ 2 * 3 ~ 4 * 5 }} {{ 7 // 2 ~ 7 % 4 }} {{ 2 ** 3 ~ 2 ** 2 }}", "620 33 84"),
            ("{{ 2 * 1.5 ~ 4.5 * 2 }} {{ 1.5 ** 2 ~ 7.5 // 2 }}", "3.09.0 2.253.0"),
            ("{{ 'a' ~ 3 is number }} {{ 3 is number ~ 'a' }}", "aTrue Truea"),
            ("{{ 'a' ~ 1.5 is number }} {{ not 'a' ~ 'b' }}", "aTrue False"),
            ("{{ '~' ~ \"~\" }}{# 'a' ~ 1e22 #}{% raw %}{{ a ~ b }}{% endraw %}", "~~{{ a ~ b }}"),
            ("{{ ('a' ~ 'b')|upper ~ 'c'|upper }}", "ABC"),
            ("{% for c in 'a' ~ 'b' %}{{ c ~ loop.index }}{% endfor %}", "a1b2"),
            ("{{ 'a' 'b' ~ 'c' }}{{ range(2)|list ~ 'x'.upper() }}", "abc[0, 1]X"),
        ];
        for (source, want) in cases {
            assert_eq!(render(source), want, "{source}");
        }
    }
}
