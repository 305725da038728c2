//! What members and a commons may be called. One rule ([`ids::name`]), held before anything is
//! signed; what other programs wrote into a log may break it, so names never win over ids.

use crate::hint::WithHint;
use anyhow::{Result, anyhow};
use commons::{
    Body,
    state::State,
    statement::{Claim, Genesis},
};
use ids::{
    PeerId, Plain,
    name::{self, SHORTEST_ID},
};

/// Errors: the statement gives a name that is none, or, for a member, one that looks like
/// another member's.
pub fn check_statement(state: &State, author: Option<PeerId>, body: &Body) -> Result<()> {
    let Body::Attest(attest) = body else { return Ok(()) };
    let Claim::Person { name } = &attest.claim else { return Ok(()) };
    check("the name", name)?;
    let others = state.members.iter().filter(|(id, member)| {
        Some(**id) != author && state.is_member(id) && !member.name.is_empty()
    });
    for (id, member) in others {
        refuse_alike(name, &member.name, &id.short())?;
    }
    Ok(())
}

/// Errors: the commons or a founder has a name that is none, or two founders look the same.
pub fn check_genesis(genesis: &Genesis) -> Result<()> {
    check("the name", &genesis.name)?;
    for (at, founder) in genesis.founders.iter().enumerate() {
        check("the founder", &founder.name)?;
        for before in &genesis.founders[..at] {
            refuse_alike(&founder.name, &before.name, &before.member.short())?;
        }
    }
    Ok(())
}

/// Errors: a text is no name.
pub fn check(what: &str, text: &str) -> Result<()> {
    name::check(text)
        .map_err(|error| anyhow!("{what} {:?} {error}", Plain(text).to_string()))
        .hint(name::HINT)
}

fn refuse_alike(name: &str, other: &str, id: &str) -> Result<()> {
    if !name::alike(name, other) {
        return Ok(());
    }
    let [name, other] = [name, other].map(|name| Plain(name).to_string());
    Err(anyhow!("{name:?} looks like {other:?}, which is what {id} is called"))
        .hint("names differ in more than case, spacing or form; add a second name")
}

/// A member by name, id or the beginning of its id.
///
/// Errors: there is none, or more than one can be meant: members call themselves what they like,
/// also what another one is called, or its id.
pub fn find_member(state: &State, text: &str) -> Result<PeerId> {
    if let Some(id) = text.parse().ok().filter(|id| state.members.contains_key(id)) {
        return Ok(id);
    }
    let looks = name::looks(text);
    let is_called = |name: &str| {
        name == text || (!name.is_empty() && name::looks(name).iter().any(|l| looks.contains(l)))
    };
    let called = state.members.iter().filter(|(_, member)| is_called(&member.name));
    let mut found: Vec<PeerId> = called.map(|(id, _)| *id).collect();
    let is_exact = found.iter().any(|id| state.members[id].name == text);
    // What is printed of an id is one, whoever is called so; fewer digits are where nobody is.
    if text.len() >= SHORTEST_ID || (text.len() >= 4 && found.is_empty()) {
        let begins = |id: &&PeerId| id.to_string().starts_with(text);
        let by_id: Vec<PeerId> = state.members.keys().filter(begins).copied().collect();
        found.extend(by_id.into_iter().filter(|id| !found.contains(id)).collect::<Vec<_>>());
    }
    match found[..] {
        [id] if is_exact || id.to_string().starts_with(text) => Ok(id),
        [] => Err(anyhow!("nobody here is {:?}", Plain(text).to_string()))
            .hint("`understory commons show members` lists names and ids"),
        [id] => {
            let name = Plain(&state.members[&id].name).to_string();
            Err(anyhow!("nobody here is {:?}", Plain(text).to_string()))
                .hint(format!("{} is called {name:?}", id.short()))
        }
        _ => {
            let ids: Vec<String> = found.iter().map(PeerId::to_string).collect();
            Err(anyhow!(
                "{:?} can be read as more than one: {}",
                Plain(text).to_string(),
                ids.join(" and ")
            ))
            .hint("give the whole id instead")
        }
    }
}

/// What a member is called; with the beginning of its id where that is no name.
pub fn name_of(state: &State, id: &PeerId) -> String {
    match state.members.get(id) {
        Some(member) if name::check(&member.name).is_ok() => member.name.clone(),
        Some(member) if !member.name.is_empty() => format!("{:?} ({})", member.name, id.short()),
        _ => id.short(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use commons::{
        Home, author,
        statement::{Attest, Founder, Key, RULES_VERSION, Rules, WitnessKey, Witnesses},
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
            version: Some(RULES_VERSION),
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
}
