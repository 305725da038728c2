//! How long and how many: every list and text of a statement has a bound.

/// A field that is out of its bounds.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{field} {why}")]
pub struct Invalid {
    /// Which field.
    pub field: &'static str,
    /// What is wrong with it.
    pub why: String,
}

/// A body whose fields have bounds.
pub(super) trait Bounded {
    /// Errors: the first field out of bounds.
    fn check(&self) -> Result<(), Invalid>;
}

/// Bytes of a name.
pub(super) const NAME: usize = 256;
/// Bytes of a note.
pub(super) const NOTE: usize = 16_384;

pub(super) fn invalid(field: &'static str, why: impl Into<String>) -> Invalid {
    Invalid { field, why: why.into() }
}

/// A name people read: not empty, no control characters.
pub(super) fn name(field: &'static str, text: &str) -> Result<(), Invalid> {
    if text.is_empty() {
        return Err(invalid(field, "is empty"));
    }
    text_of(field, text, NAME)?;
    if text.chars().any(|c| c.is_control() || is_bidi_control(c)) {
        return Err(invalid(field, "has control characters"));
    }
    Ok(())
}

/// A text of at most `max` bytes.
pub(super) fn text_of(field: &'static str, text: &str, max: usize) -> Result<(), Invalid> {
    if text.len() > max {
        return Err(invalid(field, format!("has {} bytes, at most {max} are allowed", text.len())));
    }
    Ok(())
}

/// A list of `min` to `max` items.
pub(super) fn count(
    field: &'static str,
    len: usize,
    min: usize,
    max: usize,
) -> Result<(), Invalid> {
    if (min..=max).contains(&len) {
        return Ok(());
    }
    Err(invalid(field, format!("has {len} items, {min} to {max} are allowed")))
}

/// A list without the same thing twice.
pub(super) fn distinct<T: Ord>(field: &'static str, items: &[T]) -> Result<(), Invalid> {
    let mut sorted: Vec<&T> = items.iter().collect();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(invalid(field, "names something twice"));
    }
    Ok(())
}

/// A fraction between `0` and `max`, with a denominator.
pub(super) fn ratio(field: &'static str, (num, den): (u32, u32)) -> Result<(), Invalid> {
    if den == 0 || num == 0 {
        return Err(invalid(field, format!("is {num}/{den}, both numbers must be above 0")));
    }
    Ok(())
}

/// Characters that turn the direction of what stands around them: a name with one can look like
/// another name.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
