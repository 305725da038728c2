//! What long work tells while it goes on: one type for everything that takes a while, so that a
//! terminal, a page and a program show it in one way. It is a crate of its own since what fetches a
//! model, what builds a corpus and what verifies a run know nothing of each other.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Something that long work tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// How far a piece of work is.
    At(At),
    /// Something worth knowing that is no error.
    Note(Note),
}

/// What a program that is asked for JSON writes on standard error, one a line:
/// `{"progress":{"at":{…}}}` or `{"note":{…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// How far a piece of work is.
    Progress(Progress),
    /// Something worth knowing that is no error.
    Note(Note),
}

impl From<Progress> for Line {
    fn from(progress: Progress) -> Self {
        match progress {
            Progress::Note(note) => Line::Note(note),
            at => Line::Progress(at),
        }
    }
}

/// Whom long work tells; it is called often, so whoever shows it thins it out.
pub type Tell<'a> = dyn FnMut(Progress) + 'a;

/// How far a piece of work is. `done == total` is its end; work that fails or is ended tells no
/// end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// What is being done.
    pub work: Work,
    /// How much of it is done, in [`Work::unit`].
    pub done: u64,
    /// How much there is, in the same unit.
    pub total: u64,
    /// What of `done` was not found done already: the base of a rate.
    pub fresh: u64,
}

/// Kinds of long work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Files come over the network.
    Fetching,
    /// Bytes of a model or of a store are hashed, to name them or to compare them with their names.
    Hashing,
    /// Texts to train on are read.
    Gathering,
    /// The tokens of a vocabulary are learned from a text.
    Learning,
    /// A text is cut into tokens.
    Tokenizing,
    /// Records that others of a run have come and are followed.
    CatchingUp,
    /// Statements of a commons are checked.
    Checking,
    /// Rounds of a run are added up again.
    AddingUp,
    /// Contributions to a run are computed again.
    Rerunning,
    /// Weights are read and packed.
    Loading,
    /// Tokens of a prompt are read.
    Reading,
    /// Tokens of a text are scored.
    Scoring,
    /// Values of two models are compared.
    Comparing,
    /// A model is written in another format.
    Writing,
}

/// What work is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Tokens.
    Tokens,
    /// Records of a run.
    Records,
    /// Statements of a commons.
    Statements,
    /// Rounds of a run.
    Rounds,
    /// Contributions to a run.
    Contributions,
}

impl Work {
    /// What it is counted in.
    pub fn unit(self) -> Unit {
        match self {
            Work::Reading | Work::Scoring | Work::Learning => Unit::Tokens,
            Work::CatchingUp => Unit::Records,
            Work::Checking => Unit::Statements,
            Work::AddingUp => Unit::Rounds,
            Work::Rerunning => Unit::Contributions,
            _ => Unit::Bytes,
        }
    }
}

/// Something worth knowing that is no error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// A repository of a hub is taken at this commit.
    Commit {
        /// `OWNER/NAME`.
        repository: String,
        /// 40 hex digits.
        commit: String,
    },
    /// A model that was named is not on this machine: it is fetched.
    NotHere {
        /// Its name.
        model: String,
    },
    /// A model that was fetched has lost or changed files since: these are fetched again.
    NotWhole {
        /// Its name.
        model: String,
    },
    /// A repository has several models, and the person named none.
    Chosen {
        /// The file that is taken.
        name: String,
        /// The others.
        others: Vec<String>,
    },
    /// What is to be fetched.
    ToFetch {
        /// Number of files.
        files: usize,
        /// Bytes of all of them.
        bytes: u64,
        /// Bytes that are not here yet.
        missing: u64,
        /// Where they go.
        folder: PathBuf,
        /// Bytes that are free there.
        free: u64,
    },
    /// An attempt to fetch a file failed; another follows.
    Retry {
        /// The error with its causes.
        why: String,
    },
    /// Another program fetches a file: this one waits, and goes on if that one ends without it.
    Waiting {
        /// The file's name.
        file: String,
    },
    /// What is here of a file is damaged; it is fetched once more.
    Damaged {
        /// The file's name.
        file: String,
    },
    /// What a model that is being opened takes.
    Needs {
        /// As it was named.
        model: String,
        /// Its parameters.
        parameters: u64,
        /// Bytes of its weights in memory.
        weights: u64,
        /// Tokens of its context.
        context: u64,
        /// Bytes of keys and values for that many tokens.
        cache: u64,
    },
    /// Memory does not hold the whole context of a model.
    Shortened {
        /// As it was named.
        model: String,
        /// Tokens that are used.
        used: usize,
        /// Tokens of its context.
        most: usize,
    },
    /// A tokenizer has tokens that its model has not: only a text that needs one cannot be read.
    MoreTokens {
        /// As it was named.
        model: String,
        /// How many.
        count: usize,
    },
    /// The end token that a tokenizer's configuration names is no token: one that another file names
    /// ends a text instead.
    OtherEnd {
        /// As the model was named.
        model: String,
        /// What is named and is no token.
        named: String,
        /// The token that is taken.
        taken: String,
    },
    /// A model has several chat templates.
    Templates {
        /// The one that is used, if one is.
        chosen: Option<String>,
        /// All of them.
        all: Vec<String>,
    },
    /// A model is not run here.
    NotRun {
        /// What of it is not understood.
        why: String,
    },
    /// A model's chat template cannot be used: texts are continued without it.
    TemplateLeftOut {
        /// The error with its causes.
        why: String,
    },
}

/// Counts work of one kind and tells how far it is.
pub struct Counter<'a, 't> {
    at: At,
    tell: &'a mut Tell<'t>,
}

impl<'a, 't> Counter<'a, 't> {
    /// Of `total` in the work's unit.
    pub fn new(work: Work, total: u64, tell: &'a mut Tell<'t>) -> Self {
        Self { at: At { work, done: 0, total, fresh: 0 }, tell }
    }

    /// So much more was found done.
    pub fn had(&mut self, count: u64) {
        // A total that was estimated is no less than all of it.
        self.at.done = self.at.done.saturating_add(count).min(self.at.total);
        self.show();
    }

    /// So much more is done.
    pub fn add(&mut self, count: u64) {
        self.at.fresh = self.at.fresh.saturating_add(count);
        self.had(count);
    }

    /// So much has to be done again.
    pub fn lost(&mut self, count: u64) {
        self.at.done = self.at.done.saturating_sub(count);
        self.show();
    }

    /// All of it is done.
    pub fn end(mut self) {
        self.add(self.at.total.saturating_sub(self.at.done));
    }

    /// Tells something else.
    pub fn note(&mut self, note: Note) {
        (self.tell)(Progress::Note(note));
    }

    fn show(&mut self) {
        (self.tell)(Progress::At(self.at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_is_done_and_not_fresh() {
        let mut told = Vec::new();
        let mut tell = |progress| told.push(progress);
        let mut counter = Counter::new(Work::Fetching, 10, &mut tell);
        counter.had(4);
        counter.add(6);
        counter.lost(7);
        counter.add(8);
        counter.lost(7);
        counter.note(Note::Damaged { file: "a".to_owned() });
        let at = |done, fresh| Progress::At(At { work: Work::Fetching, done, total: 10, fresh });
        let note = Progress::Note(Note::Damaged { file: "a".to_owned() });
        assert_eq!(told, [at(4, 0), at(10, 6), at(3, 6), at(10, 14), at(3, 14), note]);
    }

    #[test]
    fn its_json_is_for_other_programs() {
        let at = At { work: Work::Reading, done: 1, total: 2, fresh: 1 };
        let json = serde_json::to_value(Progress::At(at)).expect("it has a JSON form");
        let want = serde_json::json!({ "work": "reading", "done": 1, "total": 2, "fresh": 1 });
        assert_eq!(json, serde_json::json!({ "at": want }));
        let note = Note::Damaged { file: "a".to_owned() };
        for (progress, want) in [
            (Progress::At(at), serde_json::json!({ "progress": { "at": want } })),
            (Progress::Note(note), serde_json::json!({ "note": { "damaged": { "file": "a" } } })),
        ] {
            let line = Line::from(progress);
            assert_eq!(serde_json::to_value(&line).expect("it has a JSON form"), want);
            assert_eq!(serde_json::from_value::<Line>(want).expect("a line"), line);
        }
        assert_eq!((Work::Reading.unit(), Work::Loading.unit()), (Unit::Tokens, Unit::Bytes));
    }
}
