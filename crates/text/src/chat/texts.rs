//! Filters of Jinja2 on texts that `minijinja` has not.

use minijinja::value::{Kwargs, Rest};
use minijinja::{Environment, Error, ErrorKind, Value};

use super::methods;

/// Adds them.
pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("center", |text: &Value, width: Option<usize>, named: Kwargs| {
        let width = named.get::<Option<usize>>("width")?.or(width).unwrap_or(80);
        named.assert_all_used()?;
        methods::center(&text.to_string(), width, ' ')
    });
    environment.add_filter("wordcount", wordcount);
    environment.add_filter("wordwrap", wordwrap);
    environment.add_filter("truncate", truncate);
    environment.add_filter("filesizeformat", |bytes: f64, binary: Option<bool>, named: Kwargs| {
        let binary = named.get::<Option<bool>>("binary")?.or(binary);
        named.assert_all_used()?;
        Ok(minijinja_contrib::filters::filesizeformat(bytes, binary))
    });
}

/// Runs of letters, digits and underscores.
fn wordcount(text: &str) -> usize {
    let words = text.split(|c: char| !is_word(&c));
    words.filter(|word| !word.is_empty()).count()
}

/// The arguments of a filter, by their places or by name.
struct Args<'a> {
    placed: &'a [Value],
    named: &'a Kwargs,
}

impl Args<'_> {
    fn get(&self, at: usize, name: &str) -> Result<Option<Value>, Error> {
        let given = self.named.get::<Option<Value>>(name)?.or_else(|| self.placed.get(at).cloned());
        Ok(given.filter(|value| !value.is_none()))
    }
}

/// `truncate(length=255, killwords=False, end='...', leeway=5)`.
fn truncate(text: &str, placed: Rest<Value>, named: Kwargs) -> Result<String, Error> {
    let args = Args { placed: &placed, named: &named };
    let length = args.get(0, "length")?.map_or(Ok(255), usize::try_from)?;
    let kill_words = args.get(1, "killwords")?.is_some_and(|kill| kill.is_true());
    let end = args.get(2, "end")?.map_or_else(|| "...".to_owned(), |end| end.to_string());
    let leeway = args.get(3, "leeway")?.map_or(Ok(5), usize::try_from)?;
    named.assert_all_used()?;
    let ending = end.chars().count();
    if length < ending {
        let text = "truncate: the length is less than that of the end";
        return Err(Error::new(ErrorKind::InvalidOperation, text));
    }
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(text.to_owned());
    }
    let kept: String = text.chars().take(length - ending).collect();
    let kept = match kept.rsplit_once(' ') {
        Some((words, _)) if !kill_words => words,
        _ => &kept,
    };
    Ok(format!("{kept}{end}"))
}

/// `wordwrap(width=79, break_long_words=True, wrapstring=None, break_on_hyphens=True)`.
fn wordwrap(text: &str, placed: Rest<Value>, named: Kwargs) -> Result<String, Error> {
    let args = Args { placed: &placed, named: &named };
    let width = args.get(0, "width")?.map_or(Ok(79), usize::try_from)?;
    let break_long = args.get(1, "break_long_words")?.is_none_or(|long| long.is_true());
    let with = args.get(2, "wrapstring")?.map_or_else(|| "\n".to_owned(), |with| with.to_string());
    let hyphens = args.get(3, "break_on_hyphens")?.is_none_or(|hyphens| hyphens.is_true());
    named.assert_all_used()?;
    if width == 0 {
        return Err(Error::new(ErrorKind::InvalidOperation, "wordwrap: a width of 0"));
    }
    let wrap = Wrap { width, break_long, hyphens };
    // There are no more lines than characters.
    if text.len().saturating_mul(with.len()) > MAX_JOINED {
        return Err(Error::new(ErrorKind::InvalidOperation, "wordwrap: too long a text"));
    }
    let lines: Vec<String> = text.lines().map(|line| wrap.line(line).join(&with)).collect();
    Ok(lines.join(&with))
}

/// Python's `textwrap`, with white space kept as it is inside a line.
struct Wrap {
    width: usize,
    break_long: bool,
    hyphens: bool,
}

impl Wrap {
    fn line(&self, text: &str) -> Vec<String> {
        let text: Vec<char> = text.chars().collect();
        let mut chunks = self.chunks(&text);
        // The next one is the last.
        chunks.reverse();
        let is_space = |chunk: &&[char]| chunk.iter().all(|c| c.is_whitespace());
        let mut lines: Vec<String> = Vec::new();
        while !chunks.is_empty() {
            if !lines.is_empty() && chunks.last().is_some_and(is_space) {
                chunks.pop();
            }
            let (mut line, mut length): (Vec<&[char]>, usize) = (Vec::new(), 0);
            while let Some(chunk) = chunks.pop_if(|chunk| length + chunk.len() <= self.width) {
                length += chunk.len();
                line.push(chunk);
            }
            if let Some(long) = chunks.last_mut().filter(|chunk| chunk.len() > self.width) {
                if self.break_long {
                    let (piece, rest) = long.split_at(self.end_of_piece(long, self.width - length));
                    line.push(piece);
                    *long = rest;
                } else if line.is_empty() {
                    line.extend(chunks.pop());
                }
            }
            if line.last().is_some_and(is_space) {
                line.pop();
            }
            if !line.is_empty() {
                lines.push(line.concat().into_iter().collect());
            }
        }
        lines
    }

    /// How much of a long word goes into `space` characters; nothing where there is none left.
    fn end_of_piece(&self, word: &[char], space: usize) -> usize {
        let hyphen = word[..space.min(word.len())].iter().rposition(|c| *c == '-');
        match hyphen.filter(|&at| at > 0 && word[..at].iter().any(|c| *c != '-')) {
            Some(at) if self.hyphens && word.len() > space => at + 1,
            _ => space.min(word.len()),
        }
    }

    /// Words, and the white space between them; words end behind hyphens between letters, and
    /// dashes stand apart.
    fn chunks<'a>(&self, text: &'a [char]) -> Vec<&'a [char]> {
        let begins = |at: usize| {
            let (last, c) = (text[at - 1], text[at]);
            if last.is_whitespace() != c.is_whitespace() {
                return true;
            }
            self.hyphens
                && match (last, c) {
                    ('-', '-') => false,
                    ('-', _) => is_dash(text, at - 1) || is_between_letters(text, at - 1),
                    (_, '-') => is_dash(text, at),
                    _ => false,
                }
        };
        let (mut chunks, mut start) = (Vec::new(), 0);
        for at in 1..=text.len() {
            if at == text.len() || begins(at) {
                chunks.push(&text[start..at]);
                start = at;
            }
        }
        chunks
    }
}

fn is_word(c: &char) -> bool {
    c.is_alphanumeric() || *c == '_'
}

/// Whether the hyphens around `at` are a dash between words: two or more of them.
fn is_dash(text: &[char], at: usize) -> bool {
    let before = text[..at].iter().rev().take_while(|c| **c == '-').count();
    let after = text[at..].iter().take_while(|c| **c == '-').count();
    let ends_word = |c: &char| is_word(c) || "!\"'&.,?".contains(*c);
    let (left, right) = (at - before, at + after);
    right - left >= 2
        && text[..left].last().is_some_and(ends_word)
        && text.get(right).is_some_and(is_word)
}

/// Whether a hyphen joins two words: a word of two characters or more before it that ends with a
/// letter, and another behind it.
fn is_between_letters(text: &[char], hyphen: usize) -> bool {
    let is_letter = |c: &char| c.is_alphabetic() || *c == '_';
    let before = hyphen >= 2 && is_word(&text[hyphen - 2]) && is_letter(&text[hyphen - 1]);
    let behind: Vec<&char> = text[hyphen + 1..].iter().take_while(|c| is_word(c)).collect();
    before && behind.iter().skip(1).any(|c| is_letter(c))
}

/// Bytes that the texts between lines may come to.
const MAX_JOINED: usize = 1 << 24;
