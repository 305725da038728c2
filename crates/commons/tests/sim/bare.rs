//! A log that is folded and kept nowhere: for thousands of statements.

use crate::town::*;
use commons::{
    ArchiveError, Body, Place, Seen, Statement, author,
    state::{Roots, State},
    statement::{Claim, Rules},
};
use ids::{Hash, Identity, PeerId};
use std::collections::BTreeMap;
use tlog::Hash as TreeHash;

pub struct Bare {
    pub state: State,
    pub people: Vec<Person>,
    root: Genesis,
    seen: Seen,
    chains: BTreeMap<PeerId, (u64, Option<Hash>)>,
    number: u32,
}

/// The one head that everybody has seen.
struct Genesis(TreeHash);

impl Roots for Genesis {
    fn root_at(&self, size: u64) -> Result<TreeHash, ArchiveError> {
        assert_eq!(size, 1, "only the first head is seen here");
        Ok(self.0)
    }
}

impl Bare {
    pub fn new(founders: u32, rules: Rules) -> Self {
        let people: Vec<Person> = (0..founders).map(Person::new).collect();
        let operator = identity(8_000, 0);
        let body = genesis(&people, operator.id(), rules);
        let (genesis, head) = author::found(&people[0].key, &operator, body).unwrap();
        let state = State::begin(&genesis, None).unwrap();
        let key = commons::state::log_key(&head.checkpoint().origin, operator.id());
        let root = head.checkpoint().root;
        let seen = Seen { size: 1, root: root.0, signature: head.signature(&key).unwrap() };
        let chains = BTreeMap::new();
        Self { state, people, root: Genesis(root), seen, chains, number: 10_000 }
    }

    /// Says it; whether it counts.
    pub fn say(&mut self, key: &Identity, body: impl Into<Body>) -> Result<Hash, String> {
        let (seq, prev) = self.chains.get(&key.id()).copied().unwrap_or_default();
        let place = Place { log: self.state.id, seq, prev, seen: Some(self.seen) };
        let statement = Statement::sign(key, place, body).unwrap();
        let hash = statement.hash();
        self.chains.insert(key.id(), (seq + 1, Some(hash)));
        let voids = self.state.voids.len();
        self.state.apply(&statement, &self.root).unwrap();
        match self.state.voids.get(voids) {
            Some(void) => Err(void.reason.to_string()),
            None => Ok(hash),
        }
    }

    /// Somebody new for whom these vouch.
    pub fn join(&mut self, vouchers: &[Person]) -> Person {
        self.number += 1;
        let person = Person::new(self.number);
        let start = start_body(&self.state.id, &person);
        self.say(&person.key, start).unwrap();
        for voucher in vouchers {
            self.say(&voucher.key, vouch(&person.id)).unwrap();
        }
        person
    }

    /// A tree of members under two: each pair vouches for more, the first pair for two only.
    pub fn tree(&mut self, size: usize, roots: &[Person; 2]) -> Vec<Person> {
        let (mut made, mut level) = (Vec::new(), roots.to_vec());
        while made.len() < size {
            let width = if made.is_empty() { 2 } else { 5 };
            let mut next = Vec::new();
            for pair in level.chunks_exact(2) {
                let more = width.min(size - made.len() - next.len());
                next.extend((0..more).map(|_| self.join(pair)));
            }
            made.extend(next.iter().cloned());
            level = next;
        }
        made
    }

    /// Something small that changes who may vote.
    pub fn rename(&mut self, person: &Person, name: &str) {
        let claim = Claim::Person { name: name.into() };
        self.say(&person.key, about(person, claim)).unwrap();
    }

    pub fn members(&self) -> usize {
        self.state.members.values().filter(|m| m.is_member).count()
    }

    /// What so many statements may cost together, in steps.
    pub fn paid(statements: u64) -> u64 {
        // Counting members and admitting them again are each paid for, and so is a roll.
        3 * 64 * statements + 20_000
    }
}
