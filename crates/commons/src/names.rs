//! Who is meant by a name, and what somebody is called.
//!
//! What other programs wrote into a log of an older version may be no name
//! ([`crate::naming`]), and newcomers may be called alike, so names never win over ids.

use crate::{
    Body,
    naming::{self, NameError, Named},
    state::State,
    statement::Claim,
};
use ids::{
    IN_LINE, PeerId, Quoted,
    name::{self, SHORTEST_ID},
};

/// Why no member can be told by a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// Nobody is called so.
    #[error("nobody here is {}", Quoted(text))]
    Nobody {
        /// The text.
        text: String,
        /// Somebody whose name it looks like, and that name.
        like: Option<(PeerId, String)>,
    },
    /// Several can be meant.
    #[error("{} can be read as more than one: {}", Quoted(text), listed(found))]
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
                format!("{} is called {}", id.short(), Quoted(name))
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

/// What somebody is called, for commands and pages: with the beginning of its id where that is no
/// name, too long for a part of a line, or looks like another member's, and where it is no member.
pub fn name_of(state: &State, id: &PeerId) -> String {
    let fits = |name: &str| {
        naming::check(Named::Name, name).is_ok()
            && name.chars().count() <= IN_LINE
            && !state.has_namesake(id)
    };
    match state.members.get(id) {
        Some(member) if member.is_member && fits(&member.name) => member.name.clone(),
        Some(member) if !member.name.is_empty() => {
            format!("{} ({})", Quoted(&member.name), id.short())
        }
        _ => id.short(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Home, author,
        statement::{Attest, Founder, Genesis, Key, Rules, WitnessKey, Witnesses},
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
    fn names_that_look_alike_or_are_long_are_shown_with_their_ids() {
        let long = "long ".repeat(20).trim_end().to_owned();
        let state = state(&["Anna", "\u{410}nna", "Bert", &long]);
        for (number, name) in [(1, "Anna"), (2, "\u{410}nna")] {
            let id = person(number).id();
            assert_eq!(name_of(&state, &id), format!("\"{name}\" ({})", id.short()));
        }
        assert_eq!(name_of(&state, &person(3).id()), "Bert");
        let shown = name_of(&state, &person(4).id());
        assert!(shown.chars().count() < long.len(), "{shown}");
        assert!(shown.ends_with(&format!("({})", person(4).id().short())), "{shown}");
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
        genesis(&["Anna", "Bert"]).check_names().expect("two names");
        for names in [["Anna", "anna"], ["Il", "ll"], ["Anna", ""]] {
            assert!(genesis(&names).check_names().is_err(), "{names:?}");
        }
    }
}
