//! What a member does with what it is given: the agreement, from what the member remembers.

use super::{
    moves::{Delivery, Given},
    *,
};

/// Later than every timer that is set at time 0.
const LATE: Time = Time(1 << 40);

const STAGES: [Stage; 4] = [Stage::Idle, Stage::Propose, Stage::Prevote, Stage::Precommit];

impl Setting {
    /// Somebody who sees that a record is due.
    pub(super) fn first(&self, me: usize) -> Member {
        let nothing = Member {
            view: 0,
            stage: 0,
            locked: None,
            valid: None,
            durable: None,
            said: Said::default(),
            unproven: false,
            dragged: false,
        };
        let mut a = self.fresh(me);
        a.begin(Time(0));
        self.read(me, &a, nothing)
    }

    /// What becomes of a member with a move; nothing past the last view.
    pub(super) fn outcome(&self, me: usize, member: &Member, what: &Move) -> Option<Outcome> {
        match what {
            Move::Take(delivery) => self.take(me, member, delivery),
            Move::Restart => {
                let then = self.restart(me, member);
                Some(Outcome { then, skipped: false, decided: None })
            }
        }
    }

    fn fresh(&self, me: usize) -> Agreement {
        let id = self.cast.ids[me];
        Agreement::new(cast::HEIGHT, self.cast.electorate.clone(), id, self.cast.seed, 1000)
    }

    fn value(&self, value: u8) -> Value {
        let of = &self.cast.values[usize::from(value)];
        let validity = if of.ruling.is_some() { Validity::Valid } else { Validity::Invalid };
        // The agreement does not look into a record.
        Value { body: Vec::new(), ruling: of.ruling.clone(), validity }
    }

    fn hash(&self, value: u8) -> Hash {
        self.cast.values[usize::from(value)].hash
    }

    fn index(&self, hash: &Hash) -> u8 {
        let at = self.cast.values.iter().position(|v| v.hash == *hash);
        at.expect("a value of this setting") as u8
    }

    fn ballot(&self, (author, slot, value): Given) -> Signed<Vote> {
        self.cast.ballots[&(author, slot, value)].clone()
    }

    /// Hands in a proposal as the node does, which then finds its value right if the rules allow it.
    fn hand_in(&self, a: &mut Agreement, by: usize, view: u8, (value, valid_view): Offer) {
        let hash = self.hash(value);
        let known = a.values.remove(&hash);
        let proposal = Proposal {
            height: cast::HEIGHT,
            view: view.into(),
            value: hash,
            valid_view: valid_view.map(u32::from),
        };
        let header = Signed::assemble(&cast::RUN, self.cast.ids[by], proposal, Signature([0; 64]));
        let taken = a.propose(header, Vec::new(), self.value(value).ruling);
        if let (false, Some(known)) = (taken == Taken::New, known) {
            a.values.insert(hash, known);
        }
        a.judge(&hash, Validity::Valid);
    }

    /// The agreement as a member has it that remembers this.
    fn agreement(&self, me: usize, member: &Member) -> Agreement {
        let mut a = self.fresh(me);
        a.begin(Time(0));
        a.view = member.view.into();
        a.stage = STAGES[usize::from(member.stage)];
        let lock = |lock: Option<(u8, u8)>| lock.map(|(view, v)| (view.into(), self.hash(v)));
        (a.locked, a.valid) = (lock(member.locked), lock(member.valid));
        a.values = (0..self.cast.count()).map(|v| (self.hash(v), self.value(v))).collect();
        self.say_again(&mut a, me, member);
        a
    }

    /// What a member said itself.
    fn say_again(&self, a: &mut Agreement, me: usize, member: &Member) {
        for (slot, bits) in member.said.votes.iter().enumerate() {
            for value in spoken(*bits) {
                a.vote(self.ballot((me, slot, value)));
            }
        }
        for (view, proposed) in (0..).zip(member.said.proposed) {
            if let Some(offer) = proposed {
                self.hand_in(a, me, view, offer);
            }
        }
    }

    fn read(&self, me: usize, a: &Agreement, member: Member) -> Member {
        let index =
            |lock: Option<(u32, Hash)>| lock.map(|(view, hash)| (view as u8, self.index(&hash)));
        let mut later = self.cast.proposers.iter().zip(member.said.proposed).skip(a.view as usize);
        let proposes = later.any(|(by, said)| *by == me && said.is_none());
        let valid = index(a.valid.filter(|_| proposes));
        Member {
            view: a.view as u8,
            stage: a.stage as u8,
            locked: index(a.locked),
            valid,
            ..member
        }
    }

    fn take(&self, me: usize, member: &Member, delivery: &Delivery) -> Option<Outcome> {
        let (mut a, mut then, mut decided) = (self.agreement(me, member), *member, None);
        if delivery.disputed {
            a.discount(self.cast.culprits());
        }
        for (value, _) in member.said.proposed.iter().flatten().filter(|_| delivery.unjudged) {
            a.judge(&self.hash(*value), Validity::Pending);
        }
        if let Some((by, view, offer)) = delivery.proposal {
            self.hand_in(&mut a, by, view, offer);
        }
        for given in &delivery.votes {
            a.vote(self.ballot(*given));
        }
        if let Some(value) = delivery.offer.filter(|_| a.wants_value())
            && let Some(ruling) = self.value(value).ruling
        {
            a.offer(self.hash(value), Vec::new(), ruling);
        }
        let mut drive = |a: &mut Agreement, now: Time| {
            self.drive(a, me, (&mut then, &mut decided), &delivery.votes, now)
        };
        if !drive(&mut a, Time(0)) {
            return None;
        }
        let skipped = a.view > member.view.into();
        if delivery.late && !drive(&mut a, LATE) {
            return None;
        }
        let unproven = then.unproven;
        if decided.is_some() {
            then = *member;
            then.unproven = unproven;
            return Some(Outcome { then, skipped: false, decided });
        }
        Some(Outcome { then: self.read(me, &a, then), skipped, decided })
    }

    /// Runs until nothing more comes, as the node does; false past the last view.
    fn drive(
        &self,
        a: &mut Agreement,
        me: usize,
        (member, decided): (&mut Member, &mut Option<u8>),
        given: &[Given],
        now: Time,
    ) -> bool {
        loop {
            let outputs = a.run(now);
            if outputs.is_empty() {
                return true;
            }
            for output in outputs {
                member.unproven |= !self.is_proven(me, member, given, &output);
                match output {
                    Output::View(view) if view as usize >= self.cast.proposers.len() => {
                        return false;
                    }
                    Output::View(_) => {}
                    Output::Propose { view, valid_view, value } => {
                        let offer = (self.index(&value), valid_view.map(|v| v as u8));
                        member.said.proposed[view as usize] = Some(offer);
                        self.hand_in(a, me, view as u8, offer);
                    }
                    Output::Vote { view, step, value } => {
                        let (slot, value) = (slot(view as u8, step), value.map(|v| self.index(&v)));
                        member.said.votes[slot] |= bit(value);
                        a.vote(self.ballot((me, slot, value)));
                    }
                    Output::Lock { view, value } => {
                        member.durable = Some((view as u8, self.index(&value)));
                    }
                    Output::Decided { value, .. } => *decided = Some(self.index(&value)),
                }
            }
        }
    }

    /// Whether the votes that a member has allow what it does: a lock and a decision take a quorum
    /// in their step; a precommit takes a lock that is durable; whoever is locked prevotes another
    /// value only with a quorum of prevotes for it, in the view of the lock or later. Counted apart
    /// from the agreement.
    fn is_proven(&self, me: usize, member: &Member, given: &[Given], output: &Output) -> bool {
        let enough = |at: usize, value: u8| {
            let others = given.iter().filter(|(_, slot, v)| (*slot, *v) == (at, Some(value)));
            let own = member.said.votes[at] & bit(Some(value)) != 0;
            let own = u8::from(own) << me;
            self.cast.suffice(value, others.fold(own, |voters, (by, ..)| voters | 1 << by))
        };
        match *output {
            Output::Lock { view, value } => {
                enough(slot(view as u8, Step::Prevote), self.index(&value))
            }
            Output::Decided { view, value } => {
                enough(slot(view as u8, Step::Precommit), self.index(&value))
            }
            Output::Vote { view, step: Step::Prevote, value: Some(value) } => {
                let value = self.index(&value);
                member.durable.is_none_or(|(since, locked)| {
                    let mut views = since..view as u8;
                    locked == value || views.any(|v| enough(slot(v, Step::Prevote), value))
                })
            }
            Output::Vote { view, step: Step::Precommit, value: Some(value) } => {
                member.durable == Some((view as u8, self.index(&value)))
            }
            _ => true,
        }
    }

    /// A member that crashed and is back, with what it had made durable.
    fn restart(&self, me: usize, member: &Member) -> Member {
        let mut a = self.fresh(me);
        let Said { votes, proposed } = member.said;
        let voted = (0..SLOTS).filter(|slot| votes[*slot] != 0).map(|slot| slot as u32 / 2);
        let proposed = (0..).zip(proposed).filter_map(|(view, said)| said.map(|_| view));
        let locked = member.durable.map(|lock| lock.0.into());
        a.restore_view(voted.chain(proposed).chain(locked).max().unwrap_or(0));
        if let Some((view, value)) = member.durable {
            let ruling = self.value(value).ruling.expect("nothing else is locked");
            a.restore_lock(view.into(), self.hash(value), Vec::new(), ruling);
        }
        self.say_again(&mut a, me, member);
        a.resume(Time(0));
        a.begin(Time(0));
        self.read(me, &a, *member)
    }
}
