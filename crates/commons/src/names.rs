//! What members, options and a commons may be called, and who is meant by a name.
//!
//! One rule ([`ids::name`]), held before anything is signed, and since version 3 of the rules by
//! the log itself ([`State::check_name`]). What other programs wrote into a log of an older version
//! may break it, and newcomers may be called alike, so names never win over ids.

use crate::{
    Body,
    state::State,
    statement::{Claim, Genesis},
};
use ids::{
    PeerId, Plain,
    name::{self, SHORTEST_ID},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Named {
    /// A commons or a member, whose name stands by itself.
    Name,
    /// One of those who begin a commons.
    Founder,
    /// An option of a question.
    Option,
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Name => "name",
            Self::Founder => "founder",
            Self::Option => "option",
        })
    }
}

/// Why something cannot be called so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// People cannot read or type it, or it reads like something else.
    #[error("the {of} \"{}\" {why}", Plain(name))]
    Unfit {
        /// What is called so.
        of: Named,
        /// The name.
        name: String,
        /// What is wrong with it.
        why: name::NameError,
    },
    /// It looks like the name of a member.
    #[error(
        "\"{}\" looks like \"{}\", which is what {} is called",
        Plain(name), Plain(other), id.short()
    )]
    Taken {
        /// The name.
        name: String,
        /// The other's name.
        other: String,
        /// The other.
        id: PeerId,
    },
    /// An option's name that reads like its number.
    #[error("the option {name:?} reads like a place on the ballot")]
    LikePlace {
        /// The name.
        name: String,
    },
    /// Two options that people cannot tell apart.
    #[error("the options {other:?} and {name:?} look alike")]
    AlikeOptions {
        /// The one that is listed first.
        other: String,
        /// The other.
        name: String,
    },
}

impl NameError {
    /// What can be done about it.
    pub fn todo(&self) -> &'static str {
        match self {
            Self::Unfit { .. } => name::HINT,
            Self::Taken { .. } => {
                "names differ in more than case, spacing or form; add a second name"
            }
            Self::LikePlace { .. } => "#1, #2 and so on are how ballots number the options",
            Self::AlikeOptions { .. } => {
                "give them names that differ in more than case, spacing or form"
            }
        }
    }
}

/// Why no member can be told by a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// Nobody is called so.
    #[error("nobody here is {:?}", Plain(text).to_string())]
    Nobody {
        /// The text.
        text: String,
        /// Somebody whose name it looks like, and that name.
        like: Option<(PeerId, String)>,
    },
    /// Several can be meant.
    #[error(
        "{:?} can be read as more than one: {}",
        Plain(text).to_string(), listed(found)
    )]
    Several {
        /// The text.
        text: String,
        /// All of them.
        found: Vec<PeerId>,
    },
}

impl FindError {
    /// What can be done about it.
    pub fn todo(&self) -> String {
        match self {
            Self::Nobody { like: None, .. } => {
                "`understory commons show members` lists names and ids".to_owned()
            }
            Self::Nobody { like: Some((id, name)), .. } => {
                format!("{} is called {:?}", id.short(), Plain(name).to_string())
            }
            Self::Several { .. } => "give the whole id instead".to_owned(),
        }
    }
}

/// Errors: the statement gives a name that is none, or, for a member, one that looks like
/// another member's.
pub fn check_statement(
    state: &State,
    author: Option<PeerId>,
    body: &Body,
) -> Result<(), NameError> {
    let Body::Attest(attest) = body else { return Ok(()) };
    let Claim::Person { name } = &attest.claim else { return Ok(()) };
    state.check_name(author.as_ref(), name)
}

/// Errors: the commons or a founder has a name that is none, or two founders look the same.
pub fn check_genesis(genesis: &Genesis) -> Result<(), NameError> {
    check(Named::Name, &genesis.name)?;
    for (at, founder) in genesis.founders.iter().enumerate() {
        check(Named::Founder, &founder.name)?;
        for before in &genesis.founders[..at] {
            refuse_alike(&founder.name, &before.name, &before.member)?;
        }
    }
    Ok(())
}

/// Whether people can tell these options apart when they read and type them.
///
/// Errors: a name is none ([`name::check`]) or reads like a place; two names are alike.
pub fn check_options<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<(), NameError> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for name in names {
        check(Named::Option, name)?;
        if name.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        {
            return Err(NameError::LikePlace { name: name.to_owned() });
        }
        for look in BTreeSet::from(name::looks(name)) {
            if let Some(other) = seen.insert(look, name) {
                let (other, name) = (other.to_owned(), name.to_owned());
                return Err(NameError::AlikeOptions { other, name });
            }
        }
    }
    Ok(())
}

/// Errors: a text is no name; `of` says what it would be of. Only options may have the digits of a
/// key inside, as those that name a member do.
pub fn check(of: Named, text: &str) -> Result<(), NameError> {
    let unfit = |why| NameError::Unfit { of, name: text.to_owned(), why };
    name::check(text).map_err(unfit)?;
    match of != Named::Option && name::has_id(text) {
        true => Err(unfit(name::NameError::LikeId)),
        false => Ok(()),
    }
}

fn refuse_alike(name: &str, other: &str, id: &PeerId) -> Result<(), NameError> {
    match name::alike(name, other) {
        true => Err(NameError::Taken { name: name.to_owned(), other: other.to_owned(), id: *id }),
        false => Ok(()),
    }
}

/// A member by name, id or the beginning of its id.
///
/// Errors: there is none, or more than one can be meant: members call themselves what they like,
/// also what another one is called, or its id.
pub fn find_member(state: &State, text: &str) -> Result<PeerId, FindError> {
    if let Some(id) = text.parse().ok().filter(|id| state.members.contains_key(id)) {
        return Ok(id);
    }
    let looks = name::looks(text);
    let is_called = |name: &str| {
        name == text || (!name.is_empty() && name::looks(name).iter().any(|l| looks.contains(l)))
    };
    let called = state.members.iter().filter(|(_, member)| is_called(&member.name));
    let mut found: Vec<PeerId> = called.map(|(id, _)| *id).collect();
    // Nobody takes a member's name out of use by calling itself so before it is a member, or after.
    if found.iter().any(|id| state.is_member(id)) {
        found.retain(|id| state.is_member(id));
    }
    let is_exact = found.iter().any(|id| state.members[id].name == text);
    // What is printed of an id is one, whoever is called so; fewer digits are where nobody is.
    if text.len() >= SHORTEST_ID || (text.len() >= 4 && found.is_empty()) {
        let begins = |id: &&PeerId| id.to_string().starts_with(text);
        let by_id: Vec<PeerId> = state.members.keys().filter(begins).copied().collect();
        found.extend(by_id.into_iter().filter(|id| !found.contains(id)).collect::<Vec<_>>());
    }
    match found[..] {
        [id] if is_exact || id.to_string().starts_with(text) => Ok(id),
        [] => Err(FindError::Nobody { text: text.to_owned(), like: None }),
        [id] => {
            let like = Some((id, state.members[&id].name.clone()));
            Err(FindError::Nobody { text: text.to_owned(), like })
        }
        _ => Err(FindError::Several { text: text.to_owned(), found }),
    }
}

fn listed(ids: &[PeerId]) -> String {
    ids.iter().map(PeerId::to_string).collect::<Vec<_>>().join(" and ")
}

/// What somebody is called; with the beginning of its id where that is no name, or where it is no
/// member, so that it passes for none.
pub fn name_of(state: &State, id: &PeerId) -> String {
    let fits = |name: &str| check(Named::Name, name).is_ok();
    match state.members.get(id) {
        Some(member) if member.is_member && fits(&member.name) => member.name.clone(),
        Some(member) if !member.name.is_empty() => {
            format!("\"{}\" ({})", Plain(&member.name), id.short())
        }
        _ => id.short(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Home, author,
        statement::{Attest, Founder, Key, Rules, WitnessKey, Witnesses},
    };
    use ids::{Hash, Identity};

    fn person(number: u8) -> Identity {
        Identity::from_seed([number; 32])
    }

    /// A commons whose founders, from 1 on, are called so, as another program may write it.
    fn genesis(names: &[&str]) -> Genesis {
        let founder = |(name, number): (&&str, u8)| Founder {
            name: (*name).to_owned(),
            member: person(number).id(),
            next: Key::digest(&person(100 + number).id()),
            guardians: Vec::new(),
            threshold: 0,
            steward: true,
        };
        let witness = WitnessKey { name: "w".to_owned(), key: person(99).id() };
        Genesis {
            name: "Garden".to_owned(),
            charter: Hash::of(b"charter"),
            rules: Rules::default(),
            founders: names.iter().zip(1..).map(founder).collect(),
            operator: person(98).id(),
            witnesses: Witnesses { keys: vec![witness], threshold: 1 },
            parent: None,
            created: 1_700_000_000,
            // By the rules of a later version such names begin no commons.
            version: Some(2),
        }
    }

    fn state(names: &[&str]) -> State {
        let (statement, head) =
            author::found(&person(1), &person(98), genesis(names)).expect("a genesis");
        let dir = tempfile::tempdir().expect("a folder");
        let home = Home::create(&dir.path().join("c"), &statement, Some(&head)).expect("made");
        let archive = home.archive().expect("opens");
        home.state(&archive.snapshot().expect("reads")).expect("a state")
    }

    #[test]
    fn nobody_is_found_by_an_id_or_name_that_another_one_took() {
        let anna = person(1).id();
        let (whole, short) = (anna.to_string(), anna.short());
        let state = state(&["Anna", &whole, &short, "\u{410}nna", "Bert"]);
        assert_eq!(find_member(&state, &whole).expect("whoever has it"), anna);
        assert_eq!(find_member(&state, "Bert").expect("one"), person(5).id());
        assert_eq!(find_member(&state, &person(5).id().short()).expect("one"), person(5).id());
        for text in [short.as_str(), "Anna", "\u{410}nna"] {
            let error = find_member(&state, text).expect_err(text).to_string();
            assert!(error.contains("more than one") && error.contains(&whole), "{error}");
        }
        for text in ["bert", "B\u{435}rt", "Ber", "", "b"] {
            assert!(find_member(&state, text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_that_is_none_is_shown_with_its_id() {
        let anna = person(1).id();
        let state = state(&["Anna", &anna.short(), "Bert"]);
        assert_eq!(name_of(&state, &anna), "Anna");
        let bait = person(2).id();
        assert_eq!(name_of(&state, &bait), format!("\"{}\" ({})", anna.short(), bait.short()));
    }

    #[test]
    fn what_would_mislead_is_not_signed() {
        let state = state(&["Anna", "Bert"]);
        let says = |number: u8, name: &str| {
            let id = person(number).id();
            let body = Attest { subject: id, claim: Claim::Person { name: name.to_owned() } };
            check_statement(&state, state.member_of(&id), &body.into())
        };
        for name in
            ["\u{410}nna", " anna ", &person(1).id().short(), " ", "B\u{200b}", "fu\u{308}r"]
        {
            assert!(says(2, name).is_err(), "{name:?}");
        }
        for (number, name) in [(1, "Anna"), (1, "ANNA"), (2, "Anna Berta"), (9, "Dora")] {
            says(number, name).expect(name);
        }
        assert!(says(9, "Bert").is_err(), "a newcomer");
        check_genesis(&genesis(&["Anna", "Bert"])).expect("two names");
        for names in [["Anna", "anna"], ["Il", "ll"], ["Anna", ""]] {
            assert!(check_genesis(&genesis(&names)).is_err(), "{names:?}");
        }
    }

    #[test]
    fn options_that_people_cannot_tell_apart_are_refused() {
        let good: [&[&str]; 4] =
            [&["yes", "no"], &["3", "5", "7"], &["für", "wider"], &["Ja", "Nein", "日本"]];
        for names in good {
            check_options(names.iter().copied()).expect("they differ");
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
            assert!(check_options(names.iter().copied()).is_err(), "{names:?}");
        }
    }
}
