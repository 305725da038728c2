//! Files that people write and bring here: charters, rules, lists of seats, texts and evidence.

use crate::{
    founding::DEFAULT_CHARTER,
    statement::{HeldSeat, HeldSeats, Invalid, Rules},
};
use ids::Hash;
use serde::Deserialize;
use std::{
    io,
    path::{Path, PathBuf},
};

/// Most bytes of a text that is asked about, agreed on or kept: a charter, rules, a list, evidence.
pub const MAX_DOCUMENT: u64 = 16 << 20;

/// Why a file is of no use here.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It cannot be read.
    #[error("cannot read {what}{}", path.display())]
    Read {
        /// What it was to be, such as `the charter `; nothing where it may be anything.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A text that is neither a digest nor the name of a file.
    #[error("{text:?} is no digest, and no file that can be read")]
    NoDigest {
        /// The text.
        text: String,
        /// Why it cannot be read.
        source: io::Error,
    },
    /// It has no rules.
    #[error("{} does not hold rules", path.display())]
    NoRules {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<toml::de::Error>,
    },
    /// Rules that no commons may have.
    #[error(transparent)]
    Rules(#[from] Invalid),
    /// It has no seats.
    #[error("it does not list seats")]
    NoSeats(#[source] Box<toml::de::Error>),
}

impl DocumentError {
    /// What can be done about it, where that is known.
    pub fn todo(&self) -> Option<&'static str> {
        match self {
            Self::NoRules { .. } => Some("`understory commons show rules` prints all of them"),
            Self::NoSeats(_) => Some(
                "committee = \"…\" and for each seat [[seat]] with name, org (or none) and until",
            ),
            _ => None,
        }
    }
}

/// A text in UTF-8; `what` it is, for an error.
///
/// Errors: [`DocumentError::Read`], also where it is longer than [`MAX_DOCUMENT`].
pub fn text(what: &'static str, path: &Path) -> Result<String, DocumentError> {
    bounded::read_named_text(path, MAX_DOCUMENT).map_err(unread(what, path))
}

/// [`text()`] of any bytes.
///
/// Errors: as [`text()`].
pub fn bytes(what: &'static str, path: &Path) -> Result<Vec<u8>, DocumentError> {
    bounded::read_named(path, MAX_DOCUMENT).map_err(unread(what, path))
}

fn unread(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DocumentError {
    let path = path.to_owned();
    move |source| DocumentError::Read { what, path, source }
}

/// A charter, or the one that a commons has where it has none of its own.
///
/// Errors: it cannot be read.
pub fn charter(path: Option<&Path>) -> Result<String, DocumentError> {
    path.map_or_else(|| Ok(DEFAULT_CHARTER.to_owned()), |path| text("the charter ", path))
}

/// Rules in TOML. What the file leaves out is as usual.
///
/// Errors: it cannot be read, or its rules are none that a commons may have.
pub fn rules(path: &Path) -> Result<Rules, DocumentError> {
    let text = text("the rules ", path)?;
    let rules: Rules = toml::from_str(&text).map_err(|error| DocumentError::NoRules {
        path: path.to_owned(),
        source: Box::new(error),
    })?;
    rules.validate()?;
    Ok(rules)
}

/// Seats that are held already, in TOML: the committee, and for each seat `[[seat]]` with `name`,
/// `org` (or none) and `until`, in Unix seconds.
///
/// Errors: it cannot be read, or lists no seats.
pub fn seats(path: &Path) -> Result<HeldSeats, DocumentError> {
    let list: SeatList = toml::from_str(&text("the list ", path)?)
        .map_err(|error| DocumentError::NoSeats(Box::new(error)))?;
    let seats = list.seat.into_iter();
    let seats = seats.map(|SeatEntry { name, org, until }| HeldSeat { name, org, until });
    Ok(HeldSeats { committee: list.committee, seats: seats.collect() })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeatList {
    committee: String,
    seat: Vec<SeatEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeatEntry {
    name: String,
    org: Option<String>,
    until: u64,
}

/// A digest in hex, or that of a file.
///
/// Errors: [`DocumentError::NoDigest`].
pub fn digest(text: &str) -> Result<Hash, DocumentError> {
    if let Ok(hash) = text.parse() {
        return Ok(hash);
    }
    let bytes = bounded::read_named(Path::new(text), MAX_DOCUMENT)
        .map_err(|source| DocumentError::NoDigest { text: text.to_owned(), source })?;
    Ok(Hash::of(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), content).expect("written");
        file
    }

    #[test]
    fn rules_are_the_usual_ones_where_a_file_says_nothing_else() {
        let read = |content: &str| rules(file(content).path());
        assert_eq!(read("").expect("rules"), Rules::default());
        let own = read("notice = 5\n").expect("rules");
        assert_eq!(own, Rules { notice: 5, ..Rules::default() });
        for unknown in ["notices = 5\n", "notice = \"soon\"\n", "notice"] {
            let error = read(unknown).expect_err("no rules");
            assert!(matches!(error, DocumentError::NoRules { .. }) && error.todo().is_some());
        }
        let none = "quorum = [1, 0]\n";
        assert!(matches!(read(none), Err(DocumentError::Rules(_))), "out of bounds");
    }

    #[test]
    fn a_list_has_a_committee_and_seats_and_nothing_else() {
        let read = |content: &str| seats(file(content).path());
        let one = "committee = \"Council\"\n[[seat]]\nname = \"Anna\"\nuntil = 7\n";
        let list = read(one).expect("a list");
        let anna = HeldSeat { name: "Anna".to_owned(), org: None, until: 7 };
        assert_eq!(list, HeldSeats { committee: "Council".to_owned(), seats: vec![anna] });
        for bad in ["", "committee = \"Council\"\n", &format!("{one}since = 3\n")] {
            assert!(matches!(read(bad), Err(DocumentError::NoSeats(_))), "{bad:?}");
        }
    }

    #[test]
    fn a_digest_is_one_or_that_of_a_file() {
        let hash = Hash::of(b"bread");
        assert_eq!(digest(&hash.to_string()).expect("hex"), hash);
        let bread = file("bread");
        let path = bread.path().to_str().expect("UTF-8");
        assert_eq!(digest(path).expect("a file"), hash);
        assert!(matches!(digest("no such file"), Err(DocumentError::NoDigest { .. })));
    }

    #[test]
    fn no_more_is_read_than_a_document_may_have() {
        let long = file("");
        long.as_file().set_len(MAX_DOCUMENT + 1).expect("a hole");
        assert!(matches!(bytes("", long.path()), Err(DocumentError::Read { .. })));
        assert!(matches!(charter(Some(long.path())), Err(DocumentError::Read { .. })));
        assert_eq!(charter(None).expect("the usual one"), DEFAULT_CHARTER);
    }
}
