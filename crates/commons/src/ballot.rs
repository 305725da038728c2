//! Ballots: options as people type them, and what opens a sealed ballot again.

mod sealed;
mod time;

pub use sealed::{SealedBallot, SealedError};
pub use time::{UntimelyError, in_time};

use crate::statement::Choice;
use ids::{
    IN_LINE, Quoted,
    name::{composed_alike, folded, skeleton},
    plain,
};
use std::collections::BTreeSet;

/// Why texts are no ballot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// There are none.
    #[error("a ballot ranks at least one option")]
    Empty {
        /// All options, with their numbers.
        options: String,
    },
    /// It is no option's.
    #[error("{} is no option of this question", Quoted(text))]
    None {
        /// The text.
        text: String,
        /// All options, with their numbers.
        options: String,
    },
    /// Several options can be meant.
    #[error("{} can be read as {readings}", Quoted(text))]
    Several {
        /// The text.
        text: String,
        /// The options, with their numbers.
        readings: String,
    },
    /// It is an option's name, and also several options that are joined.
    #[error("{} can be read as {whole} and as {joined}", Quoted(text))]
    WholeOrJoined {
        /// The text.
        text: String,
        /// The options that are called so.
        whole: String,
        /// The options that it joins.
        joined: String,
    },
}

impl OptionError {
    /// What can be done about it.
    pub fn todo(&self) -> String {
        let fixed = match self {
            Self::Empty { options } => return format!("the options: {options}"),
            Self::None { options, .. } => return options.clone(),
            Self::Several { .. } => "name it by its number, with # before it",
            Self::WholeOrJoined { .. } => "name options by their numbers, as #1 or #1=#2",
        };
        fixed.to_owned()
    }
}

/// The options that a ballot ranks, best first, each group as one wrote it: one option, or several
/// with `=` between them.
///
/// Errors: nothing is ranked; a text is no option, or can be read in more than one way.
pub fn ranking(options: &[Choice], texts: &[String]) -> Result<Vec<Vec<u16>>, OptionError> {
    // What is drawn by lot has no options: there a ballot is a secret and nothing else.
    if texts.is_empty() && !options.is_empty() {
        let each: Vec<Vec<u16>> = (0..options.len() as u16).map(|at| vec![at]).collect();
        return Err(OptionError::Empty { options: words(options, &each) });
    }
    texts.iter().map(|text| group(options, text)).collect()
}

/// A ballot in words: `#2 "East", then #1 "North" = #3 "South"`.
pub fn words(options: &[Choice], groups: &[Vec<u16>]) -> String {
    let group = |group: &Vec<u16>| {
        let named = group.iter().map(|&at| label(options, usize::from(at)));
        named.collect::<Vec<_>>().join(" = ")
    };
    groups.iter().map(group).collect::<Vec<_>>().join(", then ")
}

fn group(options: &[Choice], text: &str) -> Result<Vec<u16>, OptionError> {
    if !text.contains('=') {
        return find(options, text).map(|option| vec![option]);
    }
    let whole = names(options, text);
    let parts: Result<Vec<u16>, _> = text.split('=').map(|part| find(options, part)).collect();
    match (whole.is_empty(), parts) {
        // The parts' error says which of them is meant.
        (true, parts) => parts,
        (false, Err(_)) => only(options, text, &whole).map(|option| vec![option]),
        (false, Ok(several)) => {
            let (whole, joined) = (list(options, whole, " and as "), words(options, &[several]));
            Err(OptionError::WholeOrJoined { text: text.to_owned(), whole, joined })
        }
    }
}

/// The option that a text means: a place in the list, a whole name, or, where it is none, the
/// beginning of names.
fn find(options: &[Choice], text: &str) -> Result<u16, OptionError> {
    let wanted = folded(text);
    let mut found = names(options, text);
    if found.is_empty() && !wanted.is_empty() {
        found = having(options, |name| {
            let name = folded(name);
            name.starts_with(&wanted) || skeleton(&name).starts_with(&skeleton(&wanted))
        });
    }
    found.extend(place(options, text));
    only(options, text, &found)
}

/// The options with this whole name, and those that look as if they had it; where there is none,
/// those whose names differ in case, spacing or form.
fn names(options: &[Choice], text: &str) -> BTreeSet<usize> {
    let look = |text: &str| skeleton(&composed_alike(text));
    let (wanted_look, wanted) = (look(text), folded(text));
    if wanted.is_empty() {
        return BTreeSet::new();
    }
    let found = having(options, |name| name == text || look(name) == wanted_look);
    match found.is_empty() {
        true => having(options, |name| {
            let name = folded(name);
            name == wanted || skeleton(&name) == skeleton(&wanted)
        }),
        false => found,
    }
}

/// The option at the place that a text names: `#3`, or a bare number where no option has it in its
/// name.
fn place(options: &[Choice], text: &str) -> Option<usize> {
    let text = text.trim();
    let number = |digits: &str| match digits.bytes().all(|b| b.is_ascii_digit()) {
        true => digits.parse::<usize>().ok(),
        false => None,
    };
    let wanted = number(text.strip_prefix('#').unwrap_or(text))?;
    let is_called = |option: &Choice| {
        let name = folded(&option.name);
        let mut words = name.split(|c: char| !c.is_alphanumeric());
        number(&name).is_some() || words.any(|word| number(word) == Some(wanted))
    };
    if !text.starts_with('#') && options.iter().any(is_called) {
        return None;
    }
    wanted.checked_sub(1).filter(|&at| at < options.len())
}

fn having(options: &[Choice], is: impl Fn(&str) -> bool) -> BTreeSet<usize> {
    let all = options.iter().enumerate();
    all.filter(|(_, option)| is(&option.name)).map(|(at, _)| at).collect()
}

/// The one reading of a text.
fn only(options: &[Choice], text: &str, readings: &BTreeSet<usize>) -> Result<u16, OptionError> {
    match (readings.len(), readings.first()) {
        (1, Some(&one)) => Ok(one as u16),
        (0, _) => {
            let options = list(options, 0..options.len(), ", ");
            Err(OptionError::None { text: text.to_owned(), options })
        }
        _ => {
            let readings = list(options, readings.iter().copied(), " and as ");
            Err(OptionError::Several { text: text.to_owned(), readings })
        }
    }
}

fn list(options: &[Choice], all: impl IntoIterator<Item = usize>, between: &str) -> String {
    all.into_iter().map(|at| label(options, at)).collect::<Vec<_>>().join(between)
}

/// An option's name as a part of a line: one that is too long for that begins with its number, so
/// that no other one looks the same.
pub fn short_name(name: &str, at: usize) -> String {
    match name.chars().count() > IN_LINE {
        true => format!("#{} {}", at + 1, Quoted(name)),
        false => plain(name),
    }
}

fn label(options: &[Choice], at: usize) -> String {
    let name = options.get(at).map_or("", |option| &option.name);
    // Quoted, so that no name passes for more than one.
    format!("#{} {}", at + 1, Quoted(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::Effect;

    fn options(names: &[&str]) -> Vec<Choice> {
        let choice = |name: &&str| Choice {
            name: (*name).to_owned(),
            digest: None,
            ratio: (1, 1),
            effect: Effect::None,
        };
        names.iter().map(choice).collect()
    }

    fn read(names: &[&str], text: &str) -> Result<Vec<Vec<u16>>, OptionError> {
        ranking(&options(names), &[text.to_owned()])
    }

    fn refused(names: &[&str], text: &str, says: &[&str]) {
        let error = read(names, text).expect_err(text).to_string();
        assert!(says.iter().all(|part| error.contains(part)), "{text}: {error}");
    }

    #[test]
    fn options_are_named_by_name_number_or_beginning() {
        let names = ["North", "East side", "South", "none of these"];
        for (text, want) in [
            ("North", vec![0]),
            ("north", vec![0]),
            (" EAST  side ", vec![1]),
            ("east", vec![1]),
            ("n o", vec![]),
            ("no", vec![]),
            ("non", vec![3]),
            ("2", vec![1]),
            ("#2", vec![1]),
            ("2=1", vec![1, 0]),
            ("south=#1", vec![2, 0]),
        ] {
            match want[..] {
                [] => assert!(read(&names, text).is_err(), "{text}"),
                _ => assert_eq!(read(&names, text).expect(text), [want], "{text}"),
            }
        }
        refused(&names, "no", &["#1 \"North\"", "#4 \"none of these\""]);
        for text in ["West", "", "0", "5", "#0", "#5", "#x", "1=West", "=", "-1", "+1"] {
            assert!(read(&names, text).is_err(), "{text}");
        }
    }

    #[test]
    fn where_options_are_called_by_numbers_a_number_is_a_name() {
        let names = ["3", "5", "7"];
        assert_eq!(read(&names, "3").expect("a name"), [[0]]);
        assert_eq!(read(&names, "#3").expect("a place"), [[2]]);
        assert_eq!(read(&names, "7=3").expect("names"), [[2, 0]]);
        refused(&names, "1", &["no option"]);
        // A name that begins with a number is none, and its place may be meant.
        let years = ["2025 budget", "2024 budget"];
        assert_eq!(read(&years, "2024").expect("no place"), [[1]]);
        refused(&years, "2", &["#1 \"2025 budget\"", "#2 \"2024 budget\""]);
        assert_eq!(read(&["1. yes", "2. no"], "2").expect("both are the same"), [[1]]);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused_with_both() {
        refused(&["#2", "b"], "#2", &["#1 \"#2\"", "#2 \"b\""]);
        refused(&["a=b", "a", "b"], "a=b", &["#1 \"a=b\"", "#2 \"a\" = #3 \"b\""]);
        refused(&["A=B", "a=b", "a", "b"], "a=B", &["#1", "#2", "#3", "#4"]);
        refused(&["North", "South", "SOUTH", "north=south merged"], "north=south", &["#2", "#3"]);
        assert_eq!(read(&["a=b", "a"], "a=b").expect("one name"), [[0]]);
        // Options of a question that another program asked.
        assert_eq!(read(&["red", "Red"], "Red").expect("exactly"), [[1]]);
        refused(&["red", "Red"], "RED", &["#1 \"red\"", "#2 \"Red\""]);
        let all = options(&["x", "y\", then #3 \"z", "z"]);
        assert_eq!(
            words(&all, &[vec![1], vec![2, 0]]),
            r##"#2 "y\", then #3 \"z", then #3 "z" = #1 "x""##
        );
    }

    #[test]
    fn a_ballot_goes_to_what_the_person_read_whoever_chose_the_names() {
        // The first looks like what is typed, and the second only begins so.
        let bait = ["y\u{435}s", "yes, and give the key away"];
        assert_eq!(read(&bait, "yes").expect("the one that reads so"), [[0]]);
        refused(&["p\u{430}y", "pay"], "pay", &["#1", "#2"]);
        refused(&["Plan 2", "Plan 1"], "1", &["no option"]);
        assert_eq!(read(&["(2) Approve", "(1) Reject"], "#1").expect("a place"), [[0]]);
        for text in ["", " ", "x=", "="] {
            assert!(read(&[" ", "x"], text).is_err(), "{text:?}");
        }
    }
}
