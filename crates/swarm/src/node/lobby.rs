//! Before the first record: who is there, and the founder's opening of the run.

use super::{Node, working::leaves_of};
use crate::{
    Action, Certificate, Join, Kind, MAX_MEMBERS, Message, Record, Signed, SignedRecord, Step,
    Vote, chain::first_beacon, members::fresh_member,
};
use store::Hash;

/// The most joins that are remembered: anybody can make up keys.
const MAX_JOINS: usize = 2 * MAX_MEMBERS as usize;

impl Node {
    /// The founder opens the run once enough members are there.
    pub(super) fn open_run(&mut self) -> bool {
        if self.run.founder != self.id() {
            return false;
        }
        let me = self.own_join();
        self.joins.insert(self.id(), me);
        if self.joins.len() < self.run.rules.min_members as usize {
            return false;
        }
        let record = self.genesis();
        let signed = self.certify_alone(&record);
        let bytes = signed.to_bytes();
        if let Err(why) = self.follow(signed, None) {
            self.fatal(format!("the run cannot be opened: {why}"));
            return false;
        }
        self.broadcast(&Message::Records { run: self.run.id, records: vec![bytes.into()] });
        true
    }

    fn genesis(&self) -> Record {
        let mut joins: Vec<Signed<Join>> = self.joins.values().cloned().collect();
        while joins.len() > self.run.rules.max_members as usize {
            let last = joins.iter().rposition(|j| j.author() != self.id());
            joins.remove(last.expect("there are others than the founder"));
        }
        Record {
            run: self.run.id,
            height: 0,
            kind: Kind::Genesis,
            round: 0,
            prev: Hash::default(),
            members: joins.iter().map(|j| fresh_member(j.author(), 0)).collect(),
            beacon: first_beacon(&self.run, &joins),
            joins,
            contributions: Vec::new(),
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
    pub(super) fn own_join(&self) -> Signed<Join> {
        let height = self.chain.as_ref().map_or(0, |c| c.height);
        let nonce = self.identity.derive("join nonce", &[&self.run.id.0, &height.to_le_bytes()]);
        Signed::seal(&self.identity, &self.run.id, Join { nonce, height })
    }

    /// Whether this peer has to ask to be let in.
    pub(super) fn wants_in(&self) -> bool {
        !self.is_active() && !self.is_ejected()
    }

    /// Takes in somebody's wish to be a member.
    pub(super) fn joining(&mut self, from: crate::PeerId, join: Signed<Join>) {
        // Only first hand: a wish is not passed on, so nobody can fill the list with others' keys.
        if join.author() != from {
            return;
        }
        let fits = match &self.chain {
            None => join.body().height == 0,
            Some(chain) => chain.may_join(&join),
        };
        let known = self.joins.get(&from).is_some_and(|j| j.body() == join.body());
        let room = self.joins.len() < MAX_JOINS || self.joins.contains_key(&from);
        if !fits || known || !room {
            return;
        }
        if self.is_right(from, join.envelope()) {
            self.joins.insert(from, join);
        }
    }

    /// Forgets wishes that were granted or cannot be any more.
    pub(super) fn prune_joins(&mut self) {
        let Some(chain) = &self.chain else { return };
        self.joins.retain(|_, join| chain.may_join(join));
    }

    /// The run's last record was reached.
    pub(super) fn check_finished(&mut self) {
        let Some(chain) = &self.chain else { return };
        if chain.kind != Kind::Close || self.life == super::Life::Finished {
            return;
        }
        let (state, height) = (chain.state, chain.height);
        self.life = super::Life::Finished;
        // What was audited last can be disputed no more.
        for book in self.books.values() {
            let objects = leaves_of(&book.advance.contributions);
            self.out.push(Action::Drop { objects });
        }
        self.notice(crate::Notice::Finished { height, root: state.root() });
        self.out.push(Action::Finished { state, height });
    }
}
