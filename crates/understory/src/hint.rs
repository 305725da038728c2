//! Errors that also say what to do.

use std::fmt;

/// An error with a way out of it.
#[derive(Debug)]
pub struct Hinted {
    error: anyhow::Error,
    hint: String,
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Hinted {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// Adds a hint to a failing result.
pub trait WithHint<T> {
    /// Where this fails, tells the user `hint` below the error.
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> WithHint<T> for Result<T, E> {
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T> {
        self.map_err(|e| hinted(e, hint))
    }
}

/// An error that also says what to do.
pub fn hinted(error: impl Into<anyhow::Error>, hint: impl Into<String>) -> anyhow::Error {
    Hinted { error: error.into(), hint: hint.into() }.into()
}

/// Prints an error, its causes and its hints to stderr.
pub fn print(error: &anyhow::Error) {
    let mut last = error.to_string();
    eprintln!("error: {}", shown(&last));
    for cause in error.chain().skip(1) {
        let text = cause.to_string();
        // A transparent wrapper says the same as what it wraps.
        if text != last {
            eprintln!("  because: {}", shown(&text));
        }
        last = text;
    }
    error.chain().for_each(|cause| print_hints(cause.downcast_ref()));
}

/// What an error says, which may quote a stranger: of bounded length, and no line of it begins
/// where ours do.
fn shown(text: &str) -> String {
    let text = match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    };
    text.trim_end().replace('\n', "\n    ")
}

/// Most characters shown of an error.
const MOST: usize = 4000;

/// Prints a hint and those of the error it was put on, which say more of the same.
fn print_hints(hinted: Option<&Hinted>) {
    if let Some(Hinted { error, hint }) = hinted {
        print_hints(error.downcast_ref());
        eprintln!("hint: {}", shown(hint));
    }
}
