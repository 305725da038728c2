//! Errors that also say what to do.

use ::bench::BenchError;
use ::commons::{
    HomeError, WorkspaceError,
    ballot::{OptionError, SealedError, UntimelyError},
    documents::DocumentError,
    founding::FoundingError,
    keys::KeyError,
    names::FindError,
    naming::NameError,
    portable::ProofFileError,
    proposal::ProposalError,
    tasks::TaskError,
    tiles::TilesError,
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
use engine::{
    EngineError,
    generation::GenerationError,
    hub::HubError,
    ready::{ReadyError, RoomError},
};
use model::FormatError;
use net::{
    commons::{ReplicaError, ServiceError, VisitError},
    key::SecretKeyError,
};
use serve::ServeError;
use std::{collections::BTreeSet, error::Error, fmt};

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
    // What a command says of an error, the error may say itself.
    let mut said = BTreeSet::new();
    hints.retain(|hint| said.insert(hint.clone()));
    (texts.join(": "), hints)
}

fn collect_hints(cause: &(dyn Error + 'static), into: &mut Vec<String>) {
    if let Some(Hinted { error, hint }) = cause.downcast_ref() {
        collect_hints(error.as_ref(), into);
        into.push(hint.clone());
    }
    into.extend(of_library(cause));
    into.extend(of_bench(cause));
}

/// What a library knows to do about an error of its own. An error that shows another as its own
/// (`#[error(transparent)]`) hides it from the chain of causes, so each such error is asked itself.
fn of_library(error: &(dyn Error + 'static)) -> Vec<String> {
    HINTS.iter().find_map(|hints| hints(error)).unwrap_or_default()
}

/// The hints of an error if it is of one type.
type Hints = fn(&(dyn Error + 'static)) -> Option<Vec<String>>;

/// The hints of errors of a type that has so many of them as `$todo` collects into a list.
macro_rules! hints {
    ($($error:ty => $todo:expr),* $(,)?) => {
        [$(|error| {
            let todo: fn(&$error) -> Vec<String> = $todo;
            error.downcast_ref::<$error>().map(todo)
        }),*]
    };
}

/// Every error of a library that knows what can be done.
const HINTS: [Hints; 34] = hints![
    WorkspaceError => |e| list(e.todo()),
    KeyError => |e| list(e.todo()),
    RecorderError => |e| list(e.todo()),
    FoundingError => |e| list(e.todo()),
    TilesError => |e| list(e.todo()),
    FindError => |e| list(Some(e.todo())),
    HomeError => |e| list(e.todo()),
    SealedError => |e| list(e.todo()),
    ProposalError => |e| list(Some(e.todo())),
    VisitError => |e| list(e.todo()),
    ReplicaError => |e| list(e.todo()),
    ServiceError => |e| list(e.todo()),
    NameError => |e| list(Some(e.todo())),
    OptionError => |e| list(Some(e.todo())),
    UntimelyError => |e| list(Some(e.todo())),
    FormatError => |e| list(e.todo()),
    RoomError => |e| list(e.hint()),
    ServeError => |e| list(e.hint()),
    EngineError => EngineError::hints,
    HubError => HubError::hints,
    ReadyError => ReadyError::hints,
    GenerationError => GenerationError::hints,
    TaskError => |e| list(e.todo()),
    DocumentError => |e| list(e.todo()),
    ProofFileError => |e| list(e.todo()),
    PeerError => |e| list(e.todo()),
    OldRunError => |e| list(e.todo()),
    cotrain::founding::FoundingError => |e| list(e.todo()),
    VotersError => |e| list(e.todo()),
    FoundedError => |e| list(Some(e.todo())),
    InvitationsError => |e| list(e.todo()),
    ConfigError => |e| list(Some(e.todo())),
    TwoHistories => |e| list(Some(e.todo())),
    SecretKeyError => |e| list(e.todo()),
];

/// The hints of an error of measuring, which has none of its own.
fn of_bench(error: &(dyn Error + 'static)) -> Vec<String> {
    match error.downcast_ref() {
        Some(BenchError::Open(error) | BenchError::Load(error)) => list(error.todo()),
        _ => Vec::new(),
    }
}

fn list(todo: Option<impl Into<String>>) -> Vec<String> {
    todo.map(Into::into).into_iter().collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn hints(error: impl Into<anyhow::Error>) -> Vec<String> {
        told(&error.into()).1
    }

    #[test]
    fn an_error_that_another_shows_as_its_own_keeps_its_hint() {
        let missing = || HomeError::Missing(PathBuf::from("garden"));
        let begin = [missing().todo().expect("it has one").to_owned()];
        assert_eq!(hints(missing()), begin);
        assert_eq!(hints(WorkspaceError::from(missing())), begin);
        assert_eq!(hints(RecorderError::from(WorkspaceError::from(missing()))), begin);
        assert_eq!(hints(FoundingError::from(missing())), begin);
        assert_eq!(hints(TilesError::from(WorkspaceError::from(missing()))), begin);
        let replica = || ReplicaError::from(missing());
        assert_eq!(hints(replica()), begin);
        assert_eq!(hints(VisitError::from(missing())), begin);
        assert_eq!(hints(VisitError::from(replica())), begin);
        assert_eq!(hints(ServiceError::from(missing())), begin);
        assert_eq!(hints(ServiceError::from(replica())), begin);

        let refused = || FormatError::refused("no model", "fetch it whole");
        let fetch = ["fetch it whole".to_owned()];
        let engine = || EngineError::from(refused());
        assert_eq!(hints(refused()), fetch);
        assert_eq!(hints(engine()), fetch);
        assert_eq!(hints(ReadyError::from(engine())), fetch);
        assert_eq!(hints(GenerationError::from(engine())), fetch);
        assert_eq!(hints(HubError::from(refused())), fetch);
        assert_eq!(hints(EngineError::from(Box::new(HubError::from(refused())))), fetch);
        assert_eq!(hints(BenchError::Open(refused())), fetch);
        assert_eq!(hints(BenchError::Load(refused())), fetch);

        let alike = ["pay", "p\u{430}y"];
        let name = ::commons::naming::check_options(alike).expect_err("they look alike");
        let other = [name.todo().to_owned()];
        assert_eq!(hints(ProposalError::from(name)), other);
    }

    #[test]
    fn hints_come_through_causes_and_each_once() {
        let refused = FormatError::refused("no model", "fetch it whole");
        let within = anyhow::Error::from(refused).context("opening it");
        assert_eq!(hints(hinted(within, "fetch it whole")), ["fetch it whole"]);
        let late = UntimelyError::Open;
        assert_eq!(hints(hinted(late, "later")), [late.todo(), "later"]);
    }
}
