//! What long work tells while it goes on: one type for everything that takes a while, so that a
//! terminal, a page and a program show it in one way. (A verification of a run tells what it finds,
//! and may be broken off there: that is `cotrain::verify::Progress`, another thing.)

use std::error::Error;
use std::path::PathBuf;

use serde::Serialize;

/// Something that long work tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// How far a piece of work is.
    At(At),
    /// Something worth knowing that is no error.
    Note(Note),
}

/// Whom long work tells; it is called often, so whoever shows it thins it out.
pub type Tell<'a> = dyn FnMut(Progress) + 'a;

/// How far a piece of work is. `done == total` is its end; work that fails or is ended tells no
/// end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Files come over the network.
    Fetching,
    /// Bytes of a model are hashed, to give it a root or to compare it with one.
    Hashing,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Tokens of a text.
    Tokens,
}

impl Work {
    /// What it is counted in.
    pub fn unit(self) -> Unit {
        match self {
            Work::Reading | Work::Scoring => Unit::Tokens,
            _ => Unit::Bytes,
        }
    }
}

/// Something worth knowing that is no error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    /// What an earlier attempt left of a file is damaged; it is fetched once more.
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
    /// A model has several chat templates.
    Templates {
        /// The one that is used, if one is.
        chosen: Option<String>,
        /// All of them.
        all: Vec<String>,
    },
    /// A model's chat template cannot be used: texts are continued without it.
    TemplateLeftOut {
        /// The error with its causes.
        why: String,
    },
}

/// Counts work of one kind and tells how far it is.
pub(crate) struct Counter<'a, 't> {
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
        self.at.done = self.at.done.saturating_add(count);
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

/// An error and its causes in one line.
pub(crate) fn whole(error: &dyn Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts.dedup();
    texts.join(": ")
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
        counter.note(Note::Damaged { file: "a".to_owned() });
        let at = |done, fresh| Progress::At(At { work: Work::Fetching, done, total: 10, fresh });
        let note = Progress::Note(Note::Damaged { file: "a".to_owned() });
        assert_eq!(told, [at(4, 0), at(10, 6), at(3, 6), note]);
    }

    #[test]
    fn its_json_is_for_other_programs() {
        let at = At { work: Work::Reading, done: 1, total: 2, fresh: 1 };
        let json = serde_json::to_value(Progress::At(at)).expect("it has a JSON form");
        let want = serde_json::json!({ "work": "reading", "done": 1, "total": 2, "fresh": 1 });
        assert_eq!(json, serde_json::json!({ "at": want }));
        assert_eq!((Work::Reading.unit(), Work::Loading.unit()), (Unit::Tokens, Unit::Bytes));
    }
}
