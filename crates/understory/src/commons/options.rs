//! Options as people type them on a ballot, and which options can be told apart.

use crate::hint::WithHint;
use anyhow::{Result, anyhow};
use commons::statement::Choice;
use ids::{
    Plain,
    name::{self, composed_alike, folded, skeleton},
};
use std::collections::{BTreeMap, BTreeSet};

/// The options that a ballot ranks, best first, each group as one wrote it: one option, or several
/// with `=` between them.
///
/// Errors: a text is no option, or can be read in more than one way.
pub fn ranking(options: &[Choice], texts: &[String]) -> Result<Vec<Vec<u16>>> {
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

/// Whether people can tell these options apart when they read and type them.
///
/// Errors: a name is none ([`name::check`]) or reads like a place; two names are alike.
pub fn check_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for name in names {
        name::check(name)
            .map_err(|error| anyhow!("the option {:?} {error}", Plain(name).to_string()))
            .hint(name::HINT)?;
        if name.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        {
            return Err(anyhow!("the option {name:?} reads like a place on the ballot"))
                .hint("#1, #2 and so on are how ballots number the options");
        }
        for look in BTreeSet::from(name::looks(name)) {
            if let Some(other) = seen.insert(look, name) {
                return Err(anyhow!("the options {other:?} and {name:?} look alike"))
                    .hint("give them names that differ in more than case, spacing or form");
            }
        }
    }
    Ok(())
}

fn group(options: &[Choice], text: &str) -> Result<Vec<u16>> {
    if !text.contains('=') {
        return find(options, text).map(|option| vec![option]);
    }
    let whole = names(options, text);
    let parts: Result<Vec<u16>> = text.split('=').map(|part| find(options, part)).collect();
    match (whole.is_empty(), parts) {
        // The parts' error says which of them is meant.
        (true, parts) => parts,
        (false, Err(_)) => only(options, text, &whole).map(|option| vec![option]),
        (false, Ok(several)) => {
            let (whole, several) = (list(options, whole, " and as "), words(options, &[several]));
            Err(anyhow!("{text:?} can be read as {whole} and as {several}"))
                .hint("name options by their numbers, as #1 or #1=#2")
        }
    }
}

/// The option that a text means: a place in the list, a whole name, or, where it is none, the
/// beginning of names.
fn find(options: &[Choice], text: &str) -> Result<u16> {
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
fn only(options: &[Choice], text: &str, readings: &BTreeSet<usize>) -> Result<u16> {
    match (readings.len(), readings.first()) {
        (1, Some(&one)) => Ok(one as u16),
        (0, _) => Err(anyhow!("{text:?} is no option of this question")).hint(list(
            options,
            0..options.len(),
            ", ",
        )),
        _ => {
            let all = list(options, readings.iter().copied(), " and as ");
            Err(anyhow!("{text:?} can be read as {all}"))
                .hint("name it by its number, with # before it")
        }
    }
}

fn list(options: &[Choice], all: impl IntoIterator<Item = usize>, between: &str) -> String {
    all.into_iter().map(|at| label(options, at)).collect::<Vec<_>>().join(between)
}

fn label(options: &[Choice], at: usize) -> String {
    let name = options.get(at).map_or("", |option| &option.name);
    // Quoted, so that no name passes for more than one.
    format!("#{} {:?}", at + 1, Plain(name).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use commons::statement::Effect;

    fn options(names: &[&str]) -> Vec<Choice> {
        let choice = |name: &&str| Choice {
            name: (*name).to_owned(),
            digest: None,
            ratio: (1, 1),
            effect: Effect::None,
        };
        names.iter().map(choice).collect()
    }

    fn read(names: &[&str], text: &str) -> Result<Vec<Vec<u16>>> {
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

    #[test]
    fn options_that_people_cannot_tell_apart_are_refused() {
        let good: [&[&str]; 4] =
            [&["yes", "no"], &["3", "5", "7"], &["für", "wider"], &["Ja", "Nein", "日本"]];
        for names in good {
            check_names(names.iter().copied()).expect("they differ");
        }
        let bad: [&[&str]; 10] = [
            &["#1", "x"],
            &["red", "Red"],
            &["a b", "a  b"],
            &["ﬁne", "fine"],
            &["pаy", "pay"], // the first with a Cyrillic letter
            &["modern", "rnodern"],
            &["Il", "ll"],
            &[" "],
            &["a\u{200b}b"],
            &["fu\u{308}r"],
        ];
        for names in bad {
            assert!(check_names(names.iter().copied()).is_err(), "{names:?}");
        }
    }
}
