//! What long work tells, in words.

use crate::units::{bytes, plural};
use engine::progress::{Note, Work};
use ids::Plain;

/// What is being done.
pub fn work(work: Work) -> &'static str {
    match work {
        Work::Fetching => "fetching",
        Work::Hashing => "hashing",
        Work::Loading => "loading the weights",
        Work::Reading => "reading the prompt",
        Work::Scoring => "scoring",
        Work::Comparing => "comparing",
        Work::Writing => "writing",
    }
}

/// A note as a line.
pub fn of(note: &Note) -> String {
    match note {
        Note::Commit { repository, commit } => format!("{repository} at commit {commit}"),
        Note::Chosen { name, others } => {
            format!("taking {}; there are also {}", Plain(name), Plain(others.join(", ")))
        }
        Note::ToFetch { files, bytes: all, missing, folder, free } => format!(
            "{}, {}; {} to fetch into {}, where {} are free",
            plural(*files, "file"),
            bytes(*all),
            bytes(*missing),
            folder.display(),
            bytes(*free)
        ),
        Note::Retry { why } => format!("{}; trying again", Plain(why)),
        Note::Damaged { file } => {
            format!("what was there of {} is damaged: once more", Plain(file))
        }
    }
}
