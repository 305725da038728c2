//! The history beside what members of a commons have marked of it.

use super::{history::History, report::Report};
use crate::{
    commons::{Marks, contradictions, marks},
    events::Mark,
};
use anyhow::Result;
use ids::Hash;
use serde::Serialize;
use std::path::Path;

/// What came of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Found {
    /// The history has this record.
    Confirmed,
    /// It has another one.
    Mismatch,
    /// It ends before.
    Beyond,
}

/// A mark beside the history.
#[derive(Debug, Serialize)]
pub struct Checked {
    #[serde(flatten)]
    pub mark: Mark,
    pub found: Found,
}

/// All marks of the run.
#[derive(Debug, Serialize)]
pub struct MarksLine {
    /// The commons' id.
    pub commons: Hash,
    /// Statements that enough witnesses have cosigned.
    pub size: u64,
    /// When.
    pub witnessed: Option<u64>,
    /// Marks beyond those, which do not count.
    pub later: usize,
    pub checked: Vec<Checked>,
}

impl MarksLine {
    /// In words.
    pub fn words(&self) -> String {
        let later = match self.later {
            0 => String::new(),
            n => format!("; {n} that too few witnesses have cosigned do not count"),
        };
        if self.checked.is_empty() {
            return format!("no marks of this run in {} statements{later}", self.size);
        }
        let confirmed = self.checked.iter().filter(|c| c.found == Found::Confirmed).count();
        let all = self.checked.len();
        format!("{confirmed} of {all} confirmed, in {} cosigned statements{later}", self.size)
    }
}

/// Compares the history with the marks of the run in the commons in `dir`.
///
/// Errors: there is no commons, or it cannot be read.
pub fn check(dir: &Path, history: &History, report: &mut Report) -> Result<()> {
    let Marks { commons, size, time, records, unwitnessed } = marks(dir, &history.run)?;
    if size == 0 {
        report.unavailable(format!(
            "too few witnesses have cosigned the log of commons {}: no mark in it counts",
            commons.short()
        ));
    } else if records.is_empty() {
        report.note(format!("commons {} has no marks of this run", commons.short()));
    }
    for (height, said) in contradictions(&records) {
        report
            .mismatch(format!("members of the commons say two things of record {height}: {said}"));
    }
    let checked = records.into_iter().map(|mark| compare(mark, history, report)).collect();
    report.marks = Some(MarksLine { commons, size, witnessed: time, later: unwitnessed, checked });
    Ok(())
}

fn compare(mark: Mark, history: &History, report: &mut Report) -> Checked {
    let found = match history.record(mark.height) {
        Some(record) if record == mark.record => Found::Confirmed,
        Some(record) => {
            report.mismatch(format!(
                "record {} is {}, marked in the commons is {}",
                mark.height,
                record.short(),
                mark.words()
            ));
            Found::Mismatch
        }
        None => {
            report.unavailable(format!(
                "the history has {} records and ends before record {}, marked in the commons: {}",
                history.len(),
                mark.height,
                mark.words()
            ));
            Found::Beyond
        }
    };
    Checked { mark, found }
}
