//! Before the first record: who is there, and the founder's opening of the run. And wishes to come
//! in, before it and later.

use super::{Core, Node, Stage};
use crate::{
    Certificate, ChainState, Invitation, Join, Kind, Lobby, MAX_MEMBERS, Message, PeerId, Record,
    Signed, SignedRecord, Step, Vote,
    chain::{first_beacon, is_invited, members_of_genesis},
    draw::own_link,
    members::first_seats,
};
use std::collections::BTreeSet;
use store::Hash;

/// The most joins that are remembered: anybody can make up keys.
const MAX_JOINS: usize = 2 * MAX_MEMBERS as usize;

impl Node {
    /// The founder opens the run once enough members are there.
    pub(super) fn open_run(&mut self) -> bool {
        debug_assert!(matches!(self.stage, Stage::Lobby), "a run is opened once");
        let core = &mut self.core;
        let me = core.id();
        if core.run.founder != me {
            return false;
        }
        core.joins.insert(me, core.own_join());
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
            self.core.joins.insert(from, join);
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
        let invited = self.joins.values().filter(|j| is_invited(&self.run, j));
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
            self.joins.values().cloned().partition(|j| self.founds(j));
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
            self.joins.iter().any(|(id, j)| *id != from && invitation(j) == Some(key))
        });
        let known = self.joins.get(&from).is_some_and(|j| j.body() == join.body());
        !known && !taken && (join.body().invitation.is_none() || is_invited(&self.run, join))
    }

    /// Anybody can make up keys, so that not all wishes can be remembered: which ones are is drawn
    /// anew with each beacon, and founding voters stay.
    fn bound_joins(&mut self, beacon: Hash) {
        while self.joins.len() > MAX_JOINS {
            let lot = |id: &PeerId| Hash::of_parts("understory swarm 2 seat", &[&beacon.0, &id.0]);
            let others = self.joins.iter().filter(|(_, j)| !self.founds(j)).map(|(id, _)| *id);
            // More founding voters than that no run has.
            let Some(out) = others.max_by_key(lot) else { return };
            self.joins.remove(&out);
        }
    }

    /// Forgets wishes that were granted or cannot be any more.
    pub fn prune_joins(&mut self, chain: &ChainState) {
        self.joins.retain(|_, join| chain.may_join(join));
    }
}
