//! What a member may be given in one move.

use super::*;
use std::fmt;

/// Author, slot and value of a vote.
pub(super) type Given = (usize, usize, Option<u8>);

/// What a member is given, and what else it finds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Delivery {
    /// Author, view, and what is proposed.
    pub proposal: Option<(usize, u8, Offer)>,
    pub votes: Vec<Given>,
    /// A record it makes itself, if it is its turn to propose.
    pub offer: Option<u8>,
    /// Whether it knows who cheated.
    pub disputed: bool,
    /// Whether its timers run out.
    pub late: bool,
    /// Whether it still has to find out about its own proposals, as after a restart.
    pub unjudged: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Move {
    Take(Delivery),
    Restart,
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Take(given) = self else { return f.write_str("crashes and is back") };
        let value = |value: Option<u8>| value.map_or("nil".to_owned(), |v| format!("value {v}"));
        if let Some((by, view, (v, valid_view))) = given.proposal {
            write!(f, "gets the proposal of value {v} by {by} for view {view}")?;
            valid_view.map_or(Ok(()), |v| write!(f, ", valid since view {v}"))?;
            f.write_str("; ")?;
        }
        for (by, slot, v) in &given.votes {
            let step = if slot % 2 == 0 { "prevote" } else { "precommit" };
            write!(f, "gets the {step} of {by} in view {} for {}; ", slot / 2, value(*v))?;
        }
        if let Some(offer) = given.offer {
            write!(f, "makes value {offer}; ")?;
        }
        let more = [(given.disputed, "knows who cheated"), (given.late, "its time runs out")];
        let more: Vec<&str> = more.iter().filter(|m| m.0).map(|m| m.1).collect();
        write!(f, "goes on{}{}", if more.is_empty() { "" } else { ": " }, more.join(", "))
    }
}

/// What others must have said before a delivery can come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Need {
    slot: usize,
    /// By member: the bit of its vote in that slot, or nothing.
    votes: [u8; HONEST],
    /// Author, view, and what it proposed.
    proposal: Option<(usize, u8, Offer)>,
}

impl Need {
    fn of(delivery: &Delivery) -> Self {
        let slot = delivery.votes.first().map_or(0, |given| given.1);
        let mut votes = [0; HONEST];
        for (by, _, value) in delivery.votes.iter().filter(|given| given.0 < HONEST) {
            votes[*by] = bit(*value);
        }
        Self { slot, votes, proposal: delivery.proposal.filter(|p| p.0 < HONEST) }
    }

    fn is_met(&self, members: &[Member; HONEST]) -> bool {
        let voted = |n: usize| self.votes[n] & !members[n].said.votes[self.slot] == 0;
        let proposed = self.proposal.is_none_or(|(by, view, offer)| {
            members[by].said.proposed[usize::from(view)] == Some(offer)
        });
        (0..HONEST).all(voted) && proposed
    }

    /// Whether it is met wherever the other is.
    fn covers(&self, other: &Self) -> bool {
        let fewer = self.votes.iter().zip(other.votes).all(|(mine, its)| mine & !its == 0);
        let votes = self.votes == [0; HONEST] || (self.slot == other.slot && fewer);
        votes && (self.proposal.is_none() || self.proposal == other.proposal)
    }
}

/// What a member may do in one move, and after what.
pub(super) struct Way {
    pub action: Action,
    after: Vec<Need>,
}

impl Way {
    pub(super) fn is_open(&self, members: &[Member; HONEST]) -> bool {
        self.after.iter().any(|need| need.is_met(members))
    }
}

impl Setting {
    /// Every move of a member that changes something, each outcome once.
    pub(super) fn ways(&self, me: usize, member: &Member) -> Ways {
        let key = (me, *member);
        if let Some(known) = self.ways.lock().expect("no thread panics").get(&key) {
            return known.clone();
        }
        let takes = self.deliveries(me, member).into_iter().map(Move::Take);
        let mut ways: Vec<Way> = Vec::new();
        for what in takes.chain([Move::Restart]) {
            let Some(becomes) = self.outcome(me, member, &what) else { continue };
            if becomes.then == *member && becomes.decided.is_none() {
                continue;
            }
            let need = match &what {
                Move::Take(delivery) => Need::of(delivery),
                Move::Restart => Need::of(&Delivery::default()),
            };
            match ways.iter_mut().find(|way| way.action.becomes == becomes) {
                Some(way) if way.after.iter().any(|known| known.covers(&need)) => {}
                Some(way) => {
                    way.after.retain(|known| !need.covers(known));
                    way.after.push(need);
                }
                None => {
                    let action = Action { who: me, what: Arc::new(what), becomes };
                    ways.push(Way { action, after: vec![need] });
                }
            }
        }
        let ways: Ways = ways.into();
        self.ways.lock().expect("no thread panics").insert(key, ways.clone());
        ways
    }

    /// Every choice that can make a difference: each rule looks at the votes of one step of one
    /// view, a proposal, and the clock. Whether a timer has run out matters beside the votes that
    /// let somebody precommit or go on, and beside nothing.
    fn deliveries(&self, me: usize, member: &Member) -> Vec<Delivery> {
        let mut all = vec![Delivery { late: true, ..Delivery::default() }, Delivery::default()];
        let disputes: &[bool] = if self.cast.disputed { &[false, true] } else { &[false] };
        if member.stage == Stage::Propose as u8 {
            self.at_propose(me, member, &mut all);
        } else {
            let prevotes = self.votes(me, slot(member.view, Step::Prevote));
            for (votes, proposal) in pairs(prevotes, self.proposals(me, member.view)) {
                for (late, disputed) in pairs(vec![false, true], disputes.to_vec()) {
                    let votes = votes.clone();
                    all.push(Delivery { proposal, votes, late, disputed, ..Delivery::default() });
                }
            }
        }
        for view in 0..self.cast.proposers.len() as u8 {
            let precommits = self.votes(me, slot(view, Step::Precommit));
            for (votes, disputed) in pairs(precommits, disputes.to_vec()) {
                let now = Delivery { votes, disputed, ..Delivery::default() };
                if view == member.view {
                    all.push(Delivery { late: true, ..now.clone() });
                }
                all.push(now);
            }
            if view > member.view {
                let prevotes = self.votes(me, slot(view, Step::Prevote));
                for (votes, proposal) in pairs(prevotes, self.proposals(me, view)) {
                    all.push(Delivery { votes, proposal, ..Delivery::default() });
                }
            }
        }
        all
    }

    /// What somebody may get who has not prevoted: a proposal, with prevotes for its valid view.
    fn at_propose(&self, me: usize, member: &Member, all: &mut Vec<Delivery>) {
        all.push(Delivery { late: true, unjudged: true, ..Delivery::default() });
        let offers = (0..self.cast.count()).map(Some);
        all.extend(offers.map(|offer| Delivery { offer, ..Delivery::default() }));
        let own = member.said.proposed[usize::from(member.view)];
        for proposal in self.proposals(me, member.view) {
            let votes = match proposal.map(|p| p.2).or(own).and_then(|offer| offer.1) {
                Some(view) => self.votes(me, slot(view, Step::Prevote)),
                None => vec![Vec::new()],
            };
            let with = |votes| Delivery { proposal, votes, ..Delivery::default() };
            all.extend(votes.into_iter().map(with));
        }
    }

    /// Every choice of votes of a slot that may reach a member: of each other honest member one or
    /// none, and one of the arbitrary member, which does no harm by saying nothing.
    fn votes(&self, me: usize, slot: usize) -> Vec<Vec<Given>> {
        let values: Vec<_> = (0..self.cast.count()).map(Some).chain([None]).collect();
        let mut choices: Vec<Vec<_>> = values.iter().map(|v| vec![(FAULTY, slot, *v)]).collect();
        for other in (0..HONEST).filter(|other| *other != me) {
            for (so_far, value) in pairs(choices.clone(), values.clone()) {
                choices.push([so_far.as_slice(), &[(other, slot, value)]].concat());
            }
        }
        choices
    }

    /// Every proposal of a view that may reach a member, or none. Out of turn the arbitrary member
    /// proposes without a valid view: then it needs no votes besides.
    fn proposals(&self, me: usize, view: u8) -> Vec<Option<(usize, u8, Offer)>> {
        let by = self.cast.proposers[usize::from(view)];
        let offers = |earlier: u8| {
            let valid_views = [None].into_iter().chain((0..earlier).map(Some)).collect();
            pairs((0..self.cast.count()).collect(), valid_views).into_iter()
        };
        let faulty = offers(if by == FAULTY { view } else { 0 }).map(|o| (FAULTY, view, o));
        let honest = offers(view).filter(|_| by != me && by != FAULTY).map(|o| (by, view, o));
        [None].into_iter().chain(faulty.chain(honest).map(Some)).collect()
    }
}

fn pairs<A: Clone, B: Clone>(left: Vec<A>, right: Vec<B>) -> Vec<(A, B)> {
    left.into_iter()
        .flat_map(|a| right.iter().map(move |b| (a.clone(), b.clone())).collect::<Vec<_>>())
        .collect()
}
