//! Floats as Python writes them: the engine prints all digits of `1e22`, and has its own words for
//! what is no number.

use std::fmt::Write;

use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, State, Value, escape_formatter, filters};

use super::filters::MAX_ITEMS;

/// Has floats printed, joined and made texts as in Python.
pub(super) fn add(environment: &mut Environment<'_>) {
    environment.set_formatter(|out, state, value| match text(value) {
        Some(text) => escape_formatter(out, state, &Value::from(text)),
        None => escape_formatter(out, state, value),
    });
    environment.add_filter("string", |state: &State<'_, '_>, value: &Value| match text(value) {
        Some(text) => Ok(Value::from(text)),
        None => filters::string(state, value),
    });
    environment.add_filter(JOIN, filters::join);
    environment.add_filter("join", join);
    environment.add_filter(FORMAT, filters::format);
    environment.add_filter("format", format);
}

/// A value as a text where it is a float or has one inside; any other is the engine's to write.
pub(super) fn text(value: &Value) -> Option<String> {
    if let Some(float) = float(value) {
        return Some(repr(float));
    }
    if !has_float(value) {
        return None;
    }
    let mut out = String::new();
    write_value(&mut out, value);
    (out.len() <= MAX_TEXT).then_some(out)
}

/// `repr` of a float: the shortest digits that are read back as the same one, with an exponent where
/// that is below -4 or above 15.
pub(super) fn repr(float: f64) -> String {
    if float.is_nan() {
        return "nan".to_owned();
    }
    if float.is_infinite() {
        return if float > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let shortest = format!("{float:e}");
    let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    match exponent {
        -4..16 => format!("{float:?}"),
        _ => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
    }
}

fn float(value: &Value) -> Option<f64> {
    let is_float = value.is_number() && !value.is_integer();
    is_float.then(|| f64::try_from(value.clone()).ok()).flatten()
}

fn join(
    state: &mut State<'_, '_>,
    value: &Value,
    rest: Rest<ValueOrKwargs>,
) -> Result<Value, Error> {
    let mut args = vec![match value.kind() {
        ValueKind::Seq if has_float(value) => {
            value.try_iter()?.map(|item| text(&item).map_or(item, Value::from)).collect()
        }
        _ => value.clone(),
    }];
    args.extend(rest.into_values());
    state.apply_filter(JOIN, &args)
}

/// `%` and the filter behind it: `%s` and `%r` take a float as a text, other conversions as a number.
fn format(
    state: &mut State<'_, '_>,
    value: &Value,
    rest: Rest<ValueOrKwargs>,
) -> Result<Value, Error> {
    let mut args = rest.into_values();
    for (at, (name, conversion)) in conversions(value.as_str().unwrap_or_default()).enumerate() {
        let arg = match (name, args.len()) {
            (Some(_), 1) => &mut args[0],
            (None, _) if at < args.len() => &mut args[at],
            _ => break,
        };
        let given = match name {
            Some(name) => arg.get_attr(name).unwrap_or_default(),
            None => arg.clone(),
        };
        let Some(text) = text(&given).filter(|_| matches!(conversion, 's' | 'r')) else { continue };
        *arg = match name {
            Some(name) => with_item(arg, name, Value::from(text)),
            None => Value::from(text),
        };
    }
    args.insert(0, value.clone());
    state.apply_filter(FORMAT, &args)
}

/// The names and letters of a format's conversions; none from a width on that is an argument.
fn conversions(format: &str) -> impl Iterator<Item = (Option<&str>, char)> {
    let mut rest = format;
    std::iter::from_fn(move || {
        loop {
            let after = &rest[rest.find('%')? + 1..];
            let named = after.strip_prefix('(').and_then(|inside| inside.split_once(')'));
            let (name, after) = named.map_or((None, after), |(name, after)| (Some(name), after));
            let after =
                after.trim_start_matches(|c: char| c.is_ascii_digit() || "-+ #.hlL".contains(c));
            let letter = after.chars().next().filter(|&c| c != '*')?;
            rest = &after[letter.len_utf8()..];
            if letter != '%' {
                return Some((name, letter));
            }
        }
    })
}

/// A map with another value under one of its keys.
fn with_item(map: &Value, key: &str, value: Value) -> Value {
    let known = map.try_iter().into_iter().flatten().take(MAX_ITEMS);
    let known = known.map(|known| (known.clone(), map.get_item(&known).unwrap_or_default()));
    Value::from_pairs(known.chain([(Value::from(key), value)]))
}

/// Whether a list or map has a float in it, within what is looked at of long and deep ones.
fn has_float(value: &Value) -> bool {
    has_float_within(value, 0, &mut { MAX_ITEMS })
}

fn has_float_within(value: &Value, depth: usize, left: &mut usize) -> bool {
    let is_list = matches!(value.kind(), ValueKind::Seq | ValueKind::Map);
    if !is_list || depth == MAX_DEPTH || value.len().is_none_or(|len| len > *left) {
        return false;
    }
    let items = items(value);
    *left = left.saturating_sub(items.len());
    items.iter().any(|item| float(item).is_some() || has_float_within(item, depth + 1, left))
}

/// The items of a list, the keys and values of a map.
fn items(value: &Value) -> Vec<Value> {
    let items: Vec<Value> = value.try_iter().into_iter().flatten().collect();
    match value.kind() {
        ValueKind::Map => {
            let of = |key: Value| [value.get_item(&key).unwrap_or_default(), key];
            items.into_iter().flat_map(of).collect()
        }
        _ => items,
    }
}

/// As Python's `repr` writes lists, tuples and maps; `value` was looked at by [`has_float`].
fn write_value(out: &mut String, value: &Value) {
    if out.len() > MAX_TEXT {
        return;
    }
    if let Some(float) = float(value) {
        out.push_str(&repr(float));
    } else if !has_float(value) {
        write!(out, "{value:?}").expect("a String can be written to");
    } else if value.kind() == ValueKind::Map {
        write_list(out, value, ["{", "}"], |out, key| {
            write_value(out, key);
            out.push_str(": ");
            write_value(out, &value.get_item(key).unwrap_or_default());
        });
    } else {
        let alone = value.is_tuple() && value.len() == Some(1);
        let around = if alone { ["(", ",)"] } else { ["(", ")"] };
        write_list(out, value, if value.is_tuple() { around } else { ["[", "]"] }, write_value);
    }
}

fn write_list(
    out: &mut String,
    list: &Value,
    [open, close]: [&str; 2],
    one: impl Fn(&mut String, &Value),
) {
    out.push_str(open);
    for (at, item) in list.try_iter().into_iter().flatten().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        one(out, &item);
    }
    out.push_str(close);
}

const MAX_DEPTH: usize = 16;
const MAX_TEXT: usize = 1 << 24;
/// The engine's own filters; no template uses names like these.
const JOIN: &str = "engines_own_join";
const FORMAT: &str = "engines_own_format";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{ChatTemplate, Conversation};

    /// Each as CPython 3.11 and Jinja2 write it.
    #[test]
    fn floats_are_written_as_in_python() {
        let written = [
            (1e22, "1e+22"),
            (1e16, "1e+16"),
            (9999999999999998.0, "9999999999999998.0"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (-1e100, "-1e+100"),
            (0.1 + 0.2, "0.30000000000000004"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-0.000012345, "-1.2345e-05"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (100.0, "100.0"),
            (f64::NAN, "nan"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (float, text) in written {
            assert_eq!(repr(float), text);
        }
    }

    #[test]
    fn wherever_a_template_makes_a_text_of_a_float() {
        let cases = [
            ("{{ 1e22 }} {{ 0.00001 }} {{ 100.0 }} {{ 3 }}", "1e+22 1e-05 100.0 3"),
            ("{{ 1e22|string }} {{ 0.00001|string|length }}", "1e+22 5"),
            ("{{ [1e22, 2, 0.5]|join('-') }} {{ ['a', 'b']|join }}", "1e+22-2-0.5 ab"),
            ("{{ [1e22, 'it', none, true] }}", "[1e+22, 'it', None, True]"),
            ("{{ (1e22,) }} {{ (1e22, 2) }}", "(1e+22,) (1e+22, 2)"),
            ("{{ {'a': [0.00001], 'b': {'c': 1e16}} }}", "{'a': [1e-05], 'b': {'c': 1e+16}}"),
            ("{{ '%s|%s|%d' % (1e22, [1e22], 3) }}", "1e+22|[1e+22]|3"),
            ("{{ '%(x)s %(y).1f' % {'x': 1e22, 'y': 0.25} }}", "1e+22 0.2"),
            ("{{ '%%%s' % 1e22 }} {{ '%s'|format(0.00001) }}", "%1e+22 1e-05"),
            ("{{ 1e22|tojson }} {{ [0.00001]|tojson }}", "1e+22 [1e-05]"),
        ];
        for (source, want) in cases {
            let template = ChatTemplate::new(source).expect("a template");
            assert_eq!(template.render(&Conversation::new(&[])).as_deref(), Ok(want), "{source}");
        }
    }
}
