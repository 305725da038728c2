//! Filters that differ from `minijinja`'s own.

use std::fmt::Write;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::{concat, cycler, floats, methods, percent, texts};

/// Adds them.
pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("tojson", tojson);
    environment.add_filter("e", escape);
    environment.add_filter("escape", escape);
    // `none` can be walked here but not in Python, and templates ask before they do.
    environment.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    // What has a length and items: in Python texts and maps, too.
    environment.add_test("sequence", |value: &Value| {
        matches!(value.kind(), ValueKind::String | ValueKind::Seq | ValueKind::Map)
    });
    environment.set_unknown_method_callback(method);
    texts::add(environment);
    percent::add(environment);
    floats::add(environment);
    concat::add(environment);
    environment.add_filter("forceescape", escape);
    cycler::add(environment);
    environment.add_function("joiner", minijinja_contrib::globals::joiner);
}

/// HTML's characters as Jinja writes them.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// JSON as Python's `json.dumps` writes it: spaces behind commas and colons, nothing escaped but
/// what must be.
fn tojson(value: &Value, indent: Option<usize>, options: Kwargs) -> Result<String, Error> {
    let indent = options.get::<Option<usize>>("indent")?.or(indent).map(|n| n.min(MAX_INDENT));
    let ascii = options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    let sort = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    let separators = separators(options.get::<Option<Value>>("separators")?)?;
    options.assert_all_used()?;
    let default = if indent.is_some() { "," } else { ", " };
    let (comma, colon) = separators.unwrap_or((default.to_owned(), ": ".to_owned()));
    let mut writer = Writer { out: String::new(), indent, ascii, sort, comma, colon };
    writer.value(value, 0)?;
    Ok(writer.out)
}

/// Python's methods of texts, lists and maps. Their work is not paid for with fuel, so the lists
/// that they walk are bounded.
fn method(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    [value].into_iter().chain(args).try_for_each(check_length)?;
    if let Some(made) = value.as_str().and_then(|text| methods::of_text(text, name, args)) {
        return made;
    }
    if name == "copy" && value.kind() == ValueKind::Map && args.is_empty() {
        return Ok(value.clone());
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args)
}

fn check_length(value: &Value) -> Result<(), Error> {
    let walks = matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable | ValueKind::Map);
    match value.len() {
        Some(length) if walks && length > MAX_ITEMS => {
            let text = format!("a list of {length} items, at most {MAX_ITEMS} are walked");
            Err(Error::new(ErrorKind::InvalidOperation, text))
        }
        _ => Ok(()),
    }
}

fn separators(pair: Option<Value>) -> Result<Option<(String, String)>, Error> {
    let Some(pair) = pair else { return Ok(None) };
    let texts: Vec<String> = pair.try_iter()?.take(3).map(|text| text.to_string()).collect();
    match <[String; 2]>::try_from(texts) {
        Ok([comma, colon]) if comma.len() + colon.len() <= MAX_INDENT => Ok(Some((comma, colon))),
        _ => Err(Error::new(ErrorKind::InvalidOperation, "separators are two short texts")),
    }
}

/// A number as Python's `json` writes it.
fn number_text(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    match f64::try_from(value.clone()) {
        Ok(float) if float.is_nan() => "NaN".to_owned(),
        Ok(f64::INFINITY) => "Infinity".to_owned(),
        Ok(f64::NEG_INFINITY) => "-Infinity".to_owned(),
        Ok(float) => floats::repr(float),
        Err(_) => value.to_string(),
    }
}

struct Writer {
    out: String,
    indent: Option<usize>,
    ascii: bool,
    sort: bool,
    comma: String,
    colon: String,
}

impl Writer {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH || self.out.len() > MAX_JSON {
            let text = "json is nested too deeply or too long";
            return Err(Error::new(ErrorKind::InvalidOperation, text));
        }
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => {
                self.out.push_str(&number_text(value));
            }
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                // Lists can be made that are far longer than memory: nothing is collected unseen.
                check_length(value)?;
                let items: Vec<Value> = value.try_iter()?.take(MAX_ITEMS).collect();
                self.list(&items, depth)?;
            }
            ValueKind::Map => self.map(value, depth)?,
            other => {
                let text = format!("a value of kind {other} is no JSON");
                return Err(Error::new(ErrorKind::InvalidOperation, text));
            }
        }
        Ok(())
    }

    fn list(&mut self, items: &[Value], depth: usize) -> Result<(), Error> {
        self.out.push('[');
        for (number, item) in items.iter().enumerate() {
            self.before_item(number, depth + 1);
            self.value(item, depth + 1)?;
        }
        self.close(items.len(), depth, ']');
        Ok(())
    }

    fn map(&mut self, map: &Value, depth: usize) -> Result<(), Error> {
        check_length(map)?;
        let mut keys: Vec<Value> = map.try_iter()?.take(MAX_ITEMS).collect();
        if self.sort {
            keys.sort();
        }
        self.out.push('{');
        for (number, key) in keys.iter().enumerate() {
            self.before_item(number, depth + 1);
            self.string(&match key.kind() {
                ValueKind::None => "null".to_owned(),
                ValueKind::Bool => key.is_true().to_string(),
                ValueKind::Number => number_text(key),
                _ => key.to_string(),
            });
            self.out.push_str(&self.colon.clone());
            self.value(&map.get_item(key)?, depth + 1)?;
        }
        self.close(keys.len(), depth, '}');
        Ok(())
    }

    fn before_item(&mut self, number: usize, depth: usize) {
        if number > 0 {
            self.out.push_str(&self.comma.clone());
        }
        self.line(depth);
    }

    fn close(&mut self, items: usize, depth: usize, bracket: char) {
        if items > 0 {
            self.line(depth);
        }
        self.out.push(bracket);
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = self.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if c < ' ' || (self.ascii && !(' '..='~').contains(&c)) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        write!(self.out, "\\u{unit:04x}").expect("a String can be written to");
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

const MAX_INDENT: usize = 16;
const MAX_DEPTH: usize = 64;
const MAX_JSON: usize = 1 << 24;
pub(super) const MAX_ITEMS: usize = 1 << 17;
