//! What a verification found, in words.

use cotrain::{
    marks,
    verify::{Finding, MarkFound, MarksFound, OtherSum, Outcome, Part, Rerun, Verdict},
};

/// What it is called.
pub fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Confirmed => "confirmed",
        Verdict::Mismatch => "mismatch",
        Verdict::Unavailable => "unavailable",
    }
}

/// A finding, in one line.
pub fn finding_words(finding: &Finding) -> String {
    match finding {
        Finding::NoRun => "no peer has a readable log or a ref to its run".to_owned(),
        Finding::Missing { object, part } => {
            format!("object {object}, {}, is whole in no store", part_words(*part))
        }
        Finding::NoManifest { object, why } => format!("object {object} is no run manifest: {why}"),
        Finding::ImpossibleRun { run } => {
            format!("run {run} has rules or a vocabulary that no run can have")
        }
        Finding::BadCorpus { corpus, why } => format!("corpus {corpus}: {why}"),
        Finding::LogOfOtherRun { log, other, run } => {
            format!("{}: is about run {other}, another peer's about {run}", log.display())
        }
        Finding::RefToOtherRun { file, other, run } => {
            format!("{}: names run {other}, the log is about {run}", file.display())
        }
        Finding::Damage { file, what } => format!("{}: {what}", file.display()),
        Finding::NoLog { log } => format!("{}: is not there", log.display()),
        Finding::TornLog { log, entry } => format!(
            "{}: ends within entry {entry}, as after a crash; the whole entries count",
            log.display()
        ),
        Finding::BadLog { log, why } | Finding::BadChain { log, why } => {
            format!("{}: {why}", log.display())
        }
        Finding::Fork { log, height, other } => {
            format!("{}: record {height} is another one than {other}'s", log.display())
        }
        Finding::NoRecords => "no peer has a record of the run".to_owned(),
        Finding::BadRef { file } => {
            format!("{}: is not written the way refs are", file.display())
        }
        Finding::UndecidedRef { file, model } => {
            format!("{}: names {model}, which no record decided", file.display())
        }
        Finding::DanglingRef { file, absent } => {
            format!("{}: is not there, {} leads to it", absent.display(), file.display())
        }
        Finding::OtherRoot { height, sum } => {
            format!("record {height}, added up again: {}", sum_words(sum))
        }
        Finding::NoSum { height, missing } => format!(
            "record {height} cannot be added up again: object {missing} is whole in no store"
        ),
        Finding::Unwitnessed { commons } => format!(
            "too few witnesses have cosigned the log of commons {}: no mark in it counts",
            commons.short()
        ),
        Finding::NoMarks { commons } => {
            format!("commons {} has no marks of this run", commons.short())
        }
        Finding::Contradiction { height, said } => format!(
            "members of the commons say two things of record {height}: {}",
            marks::words(said)
        ),
        Finding::OtherRecord { mark, record } => format!(
            "record {} is {}, marked in the commons is {}",
            mark.height,
            record.short(),
            mark.words()
        ),
        Finding::BeyondHistory { mark, records } => format!(
            "the history has {records} records and ends before record {}, marked in the commons: {}",
            mark.height,
            mark.words()
        ),
    }
}

fn part_words(part: Part) -> &'static str {
    match part {
        Part::Manifest => "the run's manifest",
        Part::CorpusManifest => "the corpus's manifest",
        Part::Corpus => "a part of the corpus",
        Part::Start => "a part of the state that the run begins from",
    }
}

fn sum_words(sum: &OtherSum) -> String {
    match sum {
        OtherSum::Changed => "nothing is left of it, yet its state changed".to_owned(),
        OtherSum::Other { computed, decided } => {
            format!("its root is {computed}, decided was {decided}")
        }
        OtherSum::Failed { error } => error.clone(),
    }
}

/// What came of a contribution that was computed again.
pub fn rerun_words(rerun: &Rerun) -> String {
    let found = match &rerun.outcome {
        Outcome::Confirmed => "confirmed".to_owned(),
        Outcome::Mismatch { part } if *part < rerun.steps => {
            format!("mismatch in step {} of {}", part + 1, rerun.steps)
        }
        Outcome::Mismatch { .. } => "mismatch in the update, the carry or the trail".to_owned(),
        Outcome::Unavailable { missing } => {
            format!("unavailable: object {missing} is in no store")
        }
        Outcome::Failed { why } => format!("unavailable: {why}"),
    };
    match (&rerun.outcome, rerun.excluded) {
        (_, false) => found,
        (Outcome::Mismatch { .. }, true) => format!("excluded, {found} confirmed"),
        (Outcome::Confirmed, true) => {
            "excluded, yet it is what it claims to be: a mismatch of the evidence".to_owned()
        }
        (_, true) => format!("excluded, {found}"),
    }
}

/// What came of the marks of a commons.
pub fn marks_words(marks: &MarksFound) -> String {
    let later = match marks.later {
        0 => String::new(),
        n => format!("; {n} that too few witnesses have cosigned do not count"),
    };
    if marks.checked.is_empty() {
        return format!("no marks of this run in {} statements{later}", marks.size);
    }
    let confirmed = marks.checked.iter().filter(|c| c.found == MarkFound::Confirmed).count();
    let all = marks.checked.len();
    format!("{confirmed} of {all} confirmed, in {} cosigned statements{later}", marks.size)
}

/// A time for people.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 100.0 => format!("{s:.0} s"),
        s if s < 6000.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}
