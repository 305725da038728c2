//! Errors that also say what to do.

use commons::{
    HomeError, WorkspaceError, ballot::OptionError, documents::DocumentError,
    founding::FoundingError, keys::KeyError, names::FindError, naming::NameError,
    portable::ProofFileError, proposal::ProposalError, tasks::TaskError,
};
use cotrain::{
    config::ConfigError,
    continuing::OldRunError,
    founding::{FoundedError, VotersError},
    invitations::InvitationsError,
    marks::TwoHistories,
    peer::PeerError,
    recorder::RecorderError,
};
use net::key::SecretKeyError;
use std::{error::Error, fmt};

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

impl Error for Hinted {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
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

/// An error that also says these things to do, the first first.
pub fn with_hints(error: impl Into<anyhow::Error>, hints: Vec<String>) -> anyhow::Error {
    hints.into_iter().fold(error.into(), hinted)
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
    told(error).1.iter().for_each(|hint| eprintln!("hint: {}", shown(hint)));
}

/// An error and its causes in one line, and its hints, for whoever shows them elsewhere.
pub fn told(error: &anyhow::Error) -> (String, Vec<String>) {
    let mut texts: Vec<String> = error.chain().map(ToString::to_string).collect();
    texts.dedup();
    let mut hints = Vec::new();
    error.chain().for_each(|cause| collect_hints(cause, &mut hints));
    (texts.join(": "), hints)
}

fn collect_hints(cause: &(dyn Error + 'static), into: &mut Vec<String>) {
    if let Some(Hinted { error, hint }) = cause.downcast_ref() {
        collect_hints(error.as_ref(), into);
        into.push(hint.clone());
    }
    into.extend(of_library(cause));
}

/// What a library knows to do about an error of its own.
fn of_library(error: &(dyn Error + 'static)) -> Option<String> {
    macro_rules! first_of {
        ($($kind:ty),*) => {
            $(if let Some(error) = error.downcast_ref::<$kind>() {
                return error.todo().known();
            })*
        };
    }
    first_of!(WorkspaceError, HomeError, FoundingError, KeyError, TaskError, RecorderError);
    first_of!(PeerError, OldRunError, cotrain::founding::FoundingError, VotersError);
    first_of!(FoundedError, InvitationsError, ConfigError, TwoHistories, SecretKeyError);
    first_of!(DocumentError, ProofFileError, ProposalError, OptionError, FindError, NameError);
    None
}

/// What there is to do, as a library says it.
trait Todo {
    /// The same, where it is known.
    fn known(self) -> Option<String>;
}

impl Todo for String {
    fn known(self) -> Option<String> {
        Some(self)
    }
}

impl Todo for &str {
    fn known(self) -> Option<String> {
        Some(self.to_owned())
    }
}

impl<T: Todo> Todo for Option<T> {
    fn known(self) -> Option<String> {
        self.and_then(T::known)
    }
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
