//! Before the first record: who is there, and the founder's opening of the run. And wishes to come
//! in, before it and later.

use super::{Core, Node, Stage};
use crate::{
    Certificate, ChainState, Invitation, Join, Kind, Lobby, MAX_MEMBERS, Message, Record, Signed,
    SignedRecord, Step, Vote,
    chain::{first_beacon, is_invited, members_of_genesis},
    draw::own_link,
    members::first_seats,
};
use ids::{Hash, PeerId};
use std::collections::BTreeSet;

/// The most joins that are remembered: anybody can make up keys.
const MAX_JOINS: usize = 2 * MAX_MEMBERS as usize;

/// Somebody's wish to come in.
pub struct Wish {
    pub join: Signed<Join>,
    /// How many records this node had when it first heard of it. The beacon of a record draws among
    /// those that were heard before: a key that is made for a beacon comes too late for its lot.
    pub heard: usize,
}

impl Node {
    /// The founder opens the run once enough members are there.
    pub(super) fn open_run(&mut self) -> bool {
        debug_assert!(matches!(self.stage, Stage::Lobby), "a run is opened once");
        let core = &mut self.core;
        let me = core.id();
        if core.run.founder != me {
            return false;
        }
        core.joins.insert(me, Wish { join: core.own_join(), heard: 0 });
        let joins = core.joins_of_genesis();
        let founding = joins.iter().filter(|j| core.founds(j)).count();
        let least = core.run.rules.min_members as usize;
        if founding < core.run.founding_voters() || joins.len() < least {
            return false;
        }
        let signed = core.certify_alone(&core.genesis(joins));
        let records = vec![signed.to_bytes().into()];
        if let Err(why) = self.follow(signed, None) {
            self.core.die(format!("the run cannot be opened: {why}"));
            return false;
        }
        self.core.broadcast(&Message::Records { run: self.core.run.id, records });
        true
    }

    /// Takes in somebody's wish to be a member.
    pub(super) fn joining(&mut self, from: PeerId, join: Signed<Join>) {
        // Only first hand: a wish is not passed on, so nobody can fill the list with others' keys.
        if join.author() != from {
            return;
        }
        let fits = match self.chain_state() {
            None => join.body().height == 0,
            Some(chain) => chain.may_join(&join),
        };
        let beacon = self.chain_state().map_or(self.core.run.id, |chain| chain.beacon);
        if fits && self.core.is_new_wish(&join) && self.core.is_right(from, join.envelope()) {
            let first = self.core.joins.get(&from).map(|wish| wish.heard);
            let heard = first.unwrap_or(self.core.records.len());
            self.core.joins.insert(from, Wish { join, heard });
            self.core.bound_joins(beacon);
        }
    }
}

impl Core {
    /// Whether a join makes a founding voter.
    fn founds(&self, join: &Signed<Join>) -> bool {
        self.run.founders.contains(&join.author()) || is_invited(&self.run, join)
    }

    /// Who is there and who is not, before the run begins.
    pub fn lobby(&self) -> Lobby {
        let mut here: BTreeSet<PeerId> = self.joins.keys().copied().collect();
        here.insert(self.id());
        let wishes = self.joins.values().map(|wish| &wish.join);
        let invited = wishes.filter(|j| is_invited(&self.run, j));
        let others = invited.filter_map(|j| j.body().invitation).map(|i| i.key);
        let own = self.arrival.invitation.as_ref().map(|secret| secret.id());
        let used: BTreeSet<PeerId> = others.chain(own).collect();
        Lobby {
            awaited: self.run.founders.difference(&here).copied().collect(),
            unused: self.run.invitations.difference(&used).copied().collect(),
            here: here.into_iter().collect(),
        }
    }

    /// All founding voters, and as many others as there are seats for.
    fn joins_of_genesis(&self) -> Vec<Signed<Join>> {
        let (mut joins, others): (Vec<_>, Vec<_>) =
            self.joins.values().map(|wish| wish.join.clone()).partition(|j| self.founds(j));
        let seats = first_seats(&self.run.rules, &members_of_genesis(&self.run, &joins));
        let places = (self.run.rules.max_members as usize).saturating_sub(joins.len());
        joins.extend(others.into_iter().take(seats.min(places)));
        joins.sort_unstable_by_key(Signed::author);
        joins
    }

    fn genesis(&self, joins: Vec<Signed<Join>>) -> Record {
        Record {
            run: self.run.id,
            height: 0,
            kind: Kind::Genesis,
            round: 0,
            prev: Hash::default(),
            members: members_of_genesis(&self.run, &joins),
            beacon: first_beacon(&self.run, &joins),
            joins,
            contributions: Vec::new(),
            shows: Vec::new(),
            verdicts: Vec::new(),
            ejected: Vec::new(),
            state: self.run.initial,
        }
    }

    fn certify_alone(&self, record: &Record) -> SignedRecord {
        let body = record.to_bytes();
        let value = Some(Record::hash_of(&body));
        let vote = Vote { height: 0, view: 0, step: Step::Precommit, value };
        let vote = Signed::seal(&self.identity, &self.run.id, vote);
        let signatures = vec![(self.id(), vote.signature())];
        SignedRecord::new(body, Certificate { view: 0, signatures })
            .expect("a record just encoded decodes")
    }

    /// This peer's wish to be a member, the same each time for one height.
    pub fn own_join(&self) -> Signed<Join> {
        let height = self.height().unwrap_or(0);
        let (run, me) = (self.run.id, self.id());
        let nonce = self.identity.derive("join nonce", &[&run.0, &height.to_le_bytes()]);
        let chain =
            own_link(&self.identity, &run, &self.run.rules, height, 0).expect("a chain has an end");
        let invitation = self.arrival.invitation.as_ref().filter(|_| self.records.is_empty());
        let invitation = invitation.map(|secret| Invitation::new(secret, &run, &me));
        Signed::seal(&self.identity, &run, Join { nonce, height, chain, invitation })
    }

    /// Whether a wish is not known yet, and its invitation counts, if it has one: for whoever came
    /// first.
    fn is_new_wish(&self, join: &Signed<Join>) -> bool {
        let from = join.author();
        let invitation = |j: &Signed<Join>| j.body().invitation.map(|i| i.key);
        let taken = invitation(join).is_some_and(|key| {
            self.joins.iter().any(|(id, w)| *id != from && invitation(&w.join) == Some(key))
        });
        let known = self.joins.get(&from).is_some_and(|w| w.join.body() == join.body());
        !known && !taken && (join.body().invitation.is_none() || is_invited(&self.run, join))
    }

    /// Anybody can make up keys, so that not all wishes can be remembered: which ones are is drawn
    /// anew with each beacon, by a number that nobody else knows, so that no key can be made for it.
    /// Founding voters stay.
    fn bound_joins(&mut self, beacon: Hash) {
        while self.joins.len() > MAX_JOINS {
            let lot = |id: &PeerId| self.identity.derive("wishes", &[&beacon.0, &id.0]).0;
            let others =
                self.joins.iter().filter(|(_, w)| !self.founds(&w.join)).map(|(id, _)| *id);
            // More founding voters than that no run has.
            let Some(out) = others.max_by_key(lot) else { return };
            self.joins.remove(&out);
        }
    }

    /// Forgets wishes that were granted or cannot be any more.
    pub fn prune_joins(&mut self, chain: &ChainState) {
        self.joins.retain(|_, wish| chain.may_join(&wish.join));
    }
}

/// Who of those that ask comes in when a record has to be made after so many `records`: up to `room`,
/// drawn by the newest one's `beacon` among those that were heard before it was known. In the order
/// of their keys.
pub fn drawn<'a>(
    wishes: impl Iterator<Item = &'a Wish>,
    records: usize,
    beacon: &Hash,
    room: usize,
) -> Vec<Signed<Join>> {
    let lot = |join: &Signed<Join>| {
        Hash::of_parts("understory swarm 2 seat", &[&beacon.0, &join.envelope().author.0])
    };
    let early = wishes.filter(|wish| wish.heard < records);
    let mut joins: Vec<_> = early.map(|wish| wish.join.clone()).collect();
    joins.sort_unstable_by_key(lot);
    joins.truncate(room);
    joins.sort_unstable_by_key(Signed::author);
    joins
}

#[cfg(test)]
mod tests {
    use super::*;
    use ids::Identity;

    fn wish(seed: u8, heard: usize) -> Wish {
        let join =
            Join { nonce: Hash::default(), height: 1, chain: Hash::default(), invitation: None };
        let identity = Identity::from_seed([seed; 32]);
        Wish { join: Signed::seal(&identity, &Hash::default(), join), heard }
    }

    #[test]
    fn a_key_that_is_made_for_a_beacon_comes_too_late_for_its_lot() {
        let beacon = Hash::of(b"beacon");
        let lot = |seed: &u8| {
            let author = wish(*seed, 0).join.author();
            Hash::of_parts("understory swarm 2 seat", &[&beacon.0, &author.0])
        };
        let made = (2..100u8).min_by_key(lot).expect("many keys");
        let honest = (2..100u8).max_by_key(lot).expect("many keys");
        let authors = |wishes: &[Wish]| -> Vec<PeerId> {
            drawn(wishes.iter(), 5, &beacon, 1).iter().map(Signed::author).collect()
        };
        let of = |seed: u8| vec![wish(seed, 0).join.author()];
        assert_eq!(authors(&[wish(honest, 4), wish(made, 5)]), of(honest));
        assert_eq!(
            authors(&[wish(honest, 4), wish(made, 4)]),
            of(made),
            "among equals the lot decides"
        );
        assert_eq!(authors(&[wish(made, 5)]), [], "an empty seat waits for the next beacon");
    }
}
