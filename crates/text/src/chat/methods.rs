//! Methods that Python's texts have and `minijinja-contrib` has not.

use minijinja::value::{Kwargs, from_args};
use minijinja::{Error, ErrorKind, Value};

/// The method `name` of a text; nothing where it is none of these.
pub(super) fn of_text(text: &str, name: &str, args: &[Value]) -> Option<Result<Value, Error>> {
    let made = match name {
        "rsplit" => rsplit(text, args),
        "partition" => separator(args).map(|by| parts(text.split_once(by), text, by, false)),
        "rpartition" => separator(args).map(|by| parts(text.rsplit_once(by), text, by, true)),
        "removeprefix" => one(args).map(|end: &str| text.strip_prefix(end).unwrap_or(text).into()),
        "removesuffix" => one(args).map(|end: &str| text.strip_suffix(end).unwrap_or(text).into()),
        "zfill" => one(args).and_then(|width| zfill(text, width)),
        "ljust" => {
            padded(text, args, |text, width, fill| Ok(beside(text, 0, missing(text, width)?, fill)))
        }
        "rjust" => {
            padded(text, args, |text, width, fill| Ok(beside(text, missing(text, width)?, 0, fill)))
        }
        "center" => padded(text, args, center),
        "swapcase" => none(args).map(|()| swapcase(text).into()),
        "casefold" => none(args).map(|()| text.to_lowercase().replace('ß', "ss").into()),
        "istitle" => none(args).map(|()| is_title(text).into()),
        "isdecimal" => {
            let decimal = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
            none(args).map(|()| decimal.into())
        }
        "index" => one(args).and_then(|what: &str| place(text, text.find(what))),
        "rindex" => one(args).and_then(|what: &str| place(text, text.rfind(what))),
        "expandtabs" => expand_tabs(text, args),
        _ => return None,
    };
    Some(made)
}

fn none(args: &[Value]) -> Result<(), Error> {
    from_args::<()>(args)
}

fn one<'a, T>(args: &'a [Value]) -> Result<T, Error>
where
    (T,): minijinja::value::FunctionArgs<'a, Output = (T,)>,
{
    from_args::<(T,)>(args).map(|(argument,)| argument)
}

fn separator(args: &[Value]) -> Result<&str, Error> {
    match one(args)? {
        "" => Err(invalid("empty separator")),
        by => Ok(by),
    }
}

/// `rsplit(sep=None, maxsplit=-1)`: without a separator at runs of white space.
fn rsplit(text: &str, args: &[Value]) -> Result<Value, Error> {
    let (by, most, options): (Option<Value>, Option<i64>, Kwargs) = from_args(args)?;
    let by = options.get::<Option<Value>>("sep")?.or(by).filter(|by| !by.is_none());
    let most = options.get::<Option<i64>>("maxsplit")?.or(most).unwrap_or(-1);
    options.assert_all_used()?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut parts: Vec<&str> = match &by {
        Some(by) => match by.as_str() {
            Some("") => return Err(invalid("empty separator")),
            Some(by) => text.rsplitn(most.saturating_add(1), by).collect(),
            None => return Err(invalid("the separator is no text")),
        },
        None => words_from_the_right(text, most),
    };
    parts.reverse();
    Ok(parts.into_iter().map(Value::from).collect())
}

fn words_from_the_right(text: &str, most: usize) -> Vec<&str> {
    let (mut rest, mut words) = (text.trim_end(), Vec::new());
    while !rest.is_empty() && words.len() < most {
        let (before, word) = match rest.rfind(char::is_whitespace) {
            Some(at) => rest.split_at(at + rest[at..].chars().next().map_or(0, char::len_utf8)),
            None => ("", rest),
        };
        words.push(word);
        rest = before.trim_end();
    }
    if !rest.is_empty() {
        words.push(rest);
    }
    words
}

/// What `partition` gives: before, separator, behind; the text and nothing where there is none.
fn parts(found: Option<(&str, &str)>, text: &str, by: &str, from_the_right: bool) -> Value {
    let parts = match found {
        Some((before, behind)) => [before, by, behind],
        None if from_the_right => ["", "", text],
        None => [text, "", ""],
    };
    parts.into_iter().map(Value::from).collect()
}

fn zfill(text: &str, width: i64) -> Result<Value, Error> {
    let zeros = "0".repeat(missing(text, usize::try_from(width).unwrap_or(0))?);
    let sign = text.len() - text.trim_start_matches(['+', '-']).len();
    let (sign, digits) = text.split_at(sign.min(1));
    Ok(format!("{sign}{zeros}{digits}").into())
}

/// `ljust`, `rjust` and `center`: `pad` puts the padding beside the text.
fn padded(
    text: &str,
    args: &[Value],
    pad: impl Fn(&str, usize, char) -> Result<Value, Error>,
) -> Result<Value, Error> {
    let (width, fill): (i64, Option<char>) = from_args(args)?;
    pad(text, usize::try_from(width).unwrap_or(0), fill.unwrap_or(' '))
}

fn beside(text: &str, left: usize, right: usize, fill: char) -> Value {
    let side = |count: usize| std::iter::repeat_n(fill, count).collect::<String>();
    format!("{}{text}{}", side(left), side(right)).into()
}

/// A text in the middle of a width. Of an odd padding the larger half stands on the left where the
/// width is odd, as in Python.
pub(super) fn center(text: &str, width: usize, fill: char) -> Result<Value, Error> {
    let pad = missing(text, width)?;
    let left = pad / 2 + (pad & width & 1);
    Ok(beside(text, left, pad - left, fill))
}

/// How many characters a text lacks of a width.
fn missing(text: &str, width: usize) -> Result<usize, Error> {
    match width {
        0..=MAX_WIDTH => Ok(width.saturating_sub(text.chars().count())),
        _ => Err(invalid("a width of more than 65536 characters")),
    }
}

fn swapcase(text: &str) -> String {
    let swap = |c: char| match c.is_uppercase() {
        true => c.to_lowercase().collect::<String>(),
        false => c.to_uppercase().collect(),
    };
    text.chars().map(swap).collect()
}

/// Whether every word begins with a capital and goes on without.
fn is_title(text: &str) -> bool {
    let (mut cased, mut any) = (false, false);
    for c in text.chars() {
        if (c.is_uppercase() && cased) || (c.is_lowercase() && !cased) {
            return false;
        }
        cased = c.is_uppercase() || c.is_lowercase();
        any |= cased;
    }
    any
}

/// A place in characters.
fn place(text: &str, at: Option<usize>) -> Result<Value, Error> {
    let at = at.ok_or_else(|| invalid("substring not found"))?;
    Ok(text[..at].chars().count().into())
}

/// `expandtabs(tabsize=8)`.
fn expand_tabs(text: &str, args: &[Value]) -> Result<Value, Error> {
    let (size, named): (Option<usize>, Kwargs) = from_args(args)?;
    let size = named.get::<Option<usize>>("tabsize")?.or(size).unwrap_or(8);
    named.assert_all_used()?;
    let tabs = text.bytes().filter(|b| *b == b'\t').count();
    if tabs.saturating_mul(size) > MAX_SPACES {
        return Err(invalid("more than a million spaces for tabs"));
    }
    let (mut out, mut column) = (String::with_capacity(text.len()), 0);
    for c in text.chars() {
        match c {
            '\t' => {
                let spaces = if size == 0 { 0 } else { size - column % size };
                out.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            c => {
                out.push(c);
                column = if matches!(c, '\n' | '\r') { 0 } else { column + 1 };
            }
        }
    }
    Ok(out.into())
}

fn invalid(text: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, text)
}

/// Rendering is paid for by bytes only once a text is used: no single call makes a long one.
const MAX_WIDTH: usize = 1 << 16;
const MAX_SPACES: usize = 1 << 20;
