//! Beginning a commons, and forking one.

use crate::{
    Home, HomeError,
    author::{self, AuthorError},
    keys::{Card, CardError, KeyError, Keys, Role},
    names::{self, FindError},
    naming::{self, NameError, Named},
    state::State,
    statement::{Founder, Genesis, ParentLog, RULES_VERSION, Rules, WitnessKey, Witnesses},
};
use ids::{Hash, Identity, PeerId};
use std::path::Path;
use store::StoreError;

/// The charter of a commons that has none of its own.
pub const DEFAULT_CHARTER: &str = "We hold what we make in common: everybody may use it, see how \
                                   it was made, and take part in deciding what becomes of it.\n";

/// A commons to begin.
#[derive(Clone, Debug)]
pub struct Founding {
    /// What people call it.
    pub name: String,
    /// The charter's text.
    pub charter: String,
    /// Its rules.
    pub rules: Rules,
    /// The first members.
    pub founders: Vec<Founder>,
    /// Who cosigns.
    pub witnesses: Witnesses,
}

/// A commons to fork.
#[derive(Clone, Debug)]
pub struct Forking {
    /// What people call it.
    pub name: String,
    /// The new charter's text; by default the old one stays.
    pub charter: Option<String>,
    /// Members that come along, by name or id.
    pub with: Vec<String>,
    /// Statements of the old log that it takes over; by default all.
    pub size: Option<u64>,
    /// Who cosigns.
    pub witnesses: Witnesses,
}

/// Why a commons cannot be begun.
#[derive(Debug, thiserror::Error)]
pub enum FoundingError {
    /// Its folder, or that of the old one.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Nobody is meant by a name.
    #[error(transparent)]
    Find(#[from] FindError),
    /// Its genesis cannot be signed.
    #[error(transparent)]
    Author(#[from] AuthorError),
    /// A founder as a text.
    #[error("a founder is NAME=CARD")]
    NoFounder,
    /// A founder's card.
    #[error(transparent)]
    Card(#[from] CardError),
    /// A witness as a text.
    #[error("a witness is NAME=KEY")]
    NoWitness,
    /// A witness's key.
    #[error(transparent)]
    WitnessKey(#[from] ids::ParsePeerIdError),
    /// A key of one's own.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Whoever forks is nobody in the old commons.
    #[error("your key is in force for nobody in the old commons")]
    Stranger,
}

impl From<StoreError> for FoundingError {
    fn from(error: StoreError) -> Self {
        Self::Home(error.into())
    }
}

impl FoundingError {
    /// What can be done about it, where that is known.
    pub fn todo(&self) -> Option<String> {
        match self {
            Self::Home(error) => error.todo().map(str::to_owned),
            Self::Name(error) => Some(error.todo().to_owned()),
            Self::Find(error) => Some(error.todo()),
            Self::Stranger => Some("name the folder of the key that is, with --keys".to_owned()),
            Self::Key(error) => error.todo(),
            Self::Author(_)
            | Self::NoFounder
            | Self::Card(_)
            | Self::NoWitness
            | Self::WitnessKey(_) => None,
        }
    }
}

/// A founder, who is a steward too, by the card of its keys.
pub fn founder(name: &str, card: &Card) -> Founder {
    Founder {
        name: name.to_owned(),
        member: card.key,
        next: card.next,
        guardians: Vec::new(),
        threshold: 0,
        steward: true,
    }
}

/// [`founder`] from `NAME=CARD`.
///
/// Errors: it is of another form.
pub fn named_founder(text: &str) -> Result<Founder, FoundingError> {
    let (name, card) = text.split_once('=').ok_or(FoundingError::NoFounder)?;
    Ok(founder(name, &card.parse()?))
}

/// Who cosigns: those named as `NAME=KEY`, or, where nobody is, a key of one's own, which is made
/// where there is none. So many of them have to, or a majority.
///
/// Errors: a text of another form; one's own key cannot be made or does not open.
pub fn witnesses(
    keys: &Keys,
    named: &[String],
    threshold: Option<u8>,
) -> Result<Witnesses, FoundingError> {
    let witness = |text: &String| {
        let (name, key) = text.split_once('=').ok_or(FoundingError::NoWitness)?;
        Ok(WitnessKey { name: name.to_owned(), key: key.parse()? })
    };
    let mut found = named.iter().map(witness).collect::<Result<Vec<_>, FoundingError>>()?;
    if found.is_empty() {
        let key = keys.make(Role::Witness)?.id();
        found.push(WitnessKey { name: format!("witness-{}", key.short()), key });
    }
    let threshold = threshold.unwrap_or(majority(found.len()));
    Ok(Witnesses { threshold, keys: found })
}

/// Begins a commons in `dir`: its genesis and first head. `now` is its time until the first mark.
///
/// Errors: a name that would mislead, rules or witnesses out of bounds; there is a commons in `dir`
/// already, or it cannot be written.
pub fn create(
    dir: &Path,
    me: &Identity,
    operator: &Identity,
    founding: Founding,
    now: u64,
) -> Result<Home, FoundingError> {
    let genesis = Genesis {
        name: founding.name,
        charter: Hash::of(founding.charter.as_bytes()),
        rules: founding.rules,
        founders: founding.founders,
        operator: operator.id(),
        witnesses: founding.witnesses,
        parent: None,
        created: now,
        version: Some(RULES_VERSION),
    };
    genesis.check_names()?;
    let (genesis, head) = author::found(me, operator, genesis)?;
    let home = Home::create(dir, &genesis, Some(&head))?;
    home.objects()?.put(founding.charter.as_bytes())?;
    Ok(home)
}

/// Begins a fork of the commons `old` in `dir`, of whoever's key `me` is and those who come along.
///
/// Errors: a name that would mislead; `me` is nobody there; the old log is shorter; there is a
/// commons in `dir` already, or it cannot be written.
pub fn fork(
    old: &Home,
    dir: &Path,
    me: &Identity,
    operator: &Identity,
    forking: Forking,
    now: u64,
) -> Result<Home, FoundingError> {
    naming::check(Named::Name, &forking.name)?;
    let size = match forking.size {
        Some(size) => size,
        None => old.archive()?.snapshot().map_err(HomeError::from)?.size(),
    };
    let mut old_charter = Hash::default();
    let fork = old.fork::<FoundingError>(dir, size, |parent, state| {
        old_charter = state.charter;
        let genesis = genesis_of_fork(&forking, parent, state, me, operator, now)?;
        Ok(author::found(me, operator, genesis)?)
    })?;
    let text = match forking.charter {
        Some(text) => Some(text.into_bytes()),
        None => old.objects()?.get(&old_charter).ok(),
    };
    if let Some(text) = text {
        fork.objects()?.put(&text)?;
    }
    Ok(fork)
}

fn genesis_of_fork(
    forking: &Forking,
    parent: ParentLog,
    old: &State,
    me: &Identity,
    operator: &Identity,
    now: u64,
) -> Result<Genesis, FoundingError> {
    let charter = forking.charter.as_ref().map(|text| Hash::of(text.as_bytes()));
    Ok(Genesis {
        name: forking.name.clone(),
        charter: charter.unwrap_or(old.charter),
        rules: old.rules.clone().completed(),
        founders: comrades(old, me, &forking.with)?,
        operator: operator.id(),
        witnesses: forking.witnesses.clone(),
        parent: Some(parent),
        created: now,
        version: Some(RULES_VERSION),
    })
}

/// The founders of a fork: whoever forks, and the members who come along.
fn comrades(old: &State, me: &Identity, with: &[String]) -> Result<Vec<Founder>, FoundingError> {
    let mut members = vec![old.member_of(&me.id()).ok_or(FoundingError::Stranger)?];
    for text in with {
        let member = names::find_member(old, text)?;
        if !members.contains(&member) {
            members.push(member);
        }
    }
    let mut founders: Vec<Founder> = Vec::new();
    for id in members {
        let member = &old.members[&id];
        founders.push(Founder {
            name: name_in_fork(&founders, &id, &member.name),
            member: id,
            next: member.next,
            guardians: member.guardians.clone(),
            threshold: member.threshold,
            steward: true,
        });
    }
    Ok(founders)
}

/// What somebody was called, unless that is no name any more, or looks like that of one before it.
fn name_in_fork(before: &[Founder], id: &PeerId, name: &str) -> String {
    let fits = |name: &str| {
        let alike = before.iter().any(|founder| ids::name::alike(&founder.name, name));
        !alike && naming::check(Named::Founder, name).is_ok()
    };
    if fits(name) {
        return name.to_owned();
    }
    // Fewer digits than pass for an id: those from the beginning, or from further on.
    let id = id.to_string();
    let starts = (0..=id.len() - FEW_DIGITS).step_by(FEW_DIGITS);
    let mut made = starts.map(|at| format!("member {}", &id[at..at + FEW_DIGITS]));
    made.find(|made| fits(made)).unwrap_or_else(|| format!("member {}", before.len() + 1))
}

/// Digits of an id in the name of somebody whose own does not hold.
const FEW_DIGITS: usize = ids::name::SHORTEST_ID - 1;

/// How many witnesses have to cosign where nothing else is said: more than half.
pub fn majority(witnesses: usize) -> u8 {
    u8::try_from(witnesses / 2 + 1).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::member::tests::Gardener;

    #[test]
    fn founders_and_witnesses_are_read_from_texts() {
        let (key, next) = (Identity::from_seed([1; 32]).id(), Hash::of(b"next"));
        let card = Card { key, next };
        let anna = named_founder(&format!("Anna={card}")).expect("a founder");
        assert_eq!((&*anna.name, anna.member, anna.next), ("Anna", key, next));
        assert!(matches!(named_founder("Anna"), Err(FoundingError::NoFounder)));
        assert!(matches!(named_founder("Anna=card"), Err(FoundingError::Card(_))));

        let dir = tempfile::tempdir().expect("a folder");
        let keys = Keys::at(dir.path(), Gardener);
        let named: Vec<String> = ["a", "b", "c"].map(|name| format!("{name}={key}")).to_vec();
        let three = witnesses(&keys, &named, None).expect("witnesses");
        assert_eq!((three.threshold, three.keys.len()), (2, 3), "a majority");
        assert_eq!(witnesses(&keys, &named, Some(3)).expect("witnesses").threshold, 3);
        assert!(!keys.has(Role::Witness), "nobody asked for a key of one's own");
        for (bad, shape) in [("a", true), ("a=b", false)] {
            let error = witnesses(&keys, &[bad.to_owned()], None).expect_err("no witness");
            assert_eq!(matches!(error, FoundingError::NoWitness), shape, "{bad}: {error}");
        }
        let own = witnesses(&keys, &[], None).expect("a witness");
        let made = keys.public(Role::Witness).expect("it was made");
        assert_eq!((own.threshold, own.keys[0].key), (1, made));
    }
}
