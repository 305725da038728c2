//! What a member may be given in one move.

use super::*;

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

impl Setting {
    /// Every move of a member that changes something, each outcome once.
    pub(super) fn moves(
        &self,
        me: usize,
        member: &Member,
        mut said: [Said; HONEST],
    ) -> Arc<[Action]> {
        // Its own is in the member.
        said[me] = Said::default();
        let key = (me, *member, said);
        if let Some(known) = self.moves.lock().expect("no thread panics").get(&key) {
            return known.clone();
        }
        let takes = self.deliveries(me, member, &said).into_iter().map(Move::Take);
        let mut moves: Vec<Action> = Vec::new();
        for what in takes.chain([Move::Restart]).map(Arc::new) {
            let Some((then, skipped)) = self.outcome(me, member, &what) else { continue };
            let known = moves.iter().any(|m| m.then == then && m.skipped == skipped);
            if then != *member && !known {
                moves.push(Action { who: me, what, then, skipped });
            }
        }
        let moves: Arc<[Action]> = moves.into();
        self.moves.lock().expect("no thread panics").insert(key, moves.clone());
        moves
    }

    /// Every choice that can make a difference: each rule looks at the votes of one step of one
    /// view, a proposal, and the clock. Whether a timer has run out matters beside the votes that
    /// let somebody precommit or go on, and beside nothing.
    fn deliveries(&self, me: usize, member: &Member, said: &[Said; HONEST]) -> Vec<Delivery> {
        let mut all = vec![Delivery { late: true, ..Delivery::default() }, Delivery::default()];
        let disputes: &[bool] = if self.cast.disputed { &[false, true] } else { &[false] };
        if member.stage == Stage::Propose as u8 {
            self.at_propose(me, member, said, &mut all);
        } else {
            let prevotes = self.votes(me, said, slot(member.view, Step::Prevote));
            for (votes, proposal) in pairs(prevotes, self.proposals(me, said, member.view)) {
                for (late, disputed) in pairs(vec![false, true], disputes.to_vec()) {
                    let votes = votes.clone();
                    all.push(Delivery { proposal, votes, late, disputed, ..Delivery::default() });
                }
            }
        }
        for view in 0..self.cast.proposers.len() as u8 {
            let precommits = self.votes(me, said, slot(view, Step::Precommit));
            for (votes, disputed) in pairs(precommits, disputes.to_vec()) {
                let now = Delivery { votes, disputed, ..Delivery::default() };
                if view == member.view {
                    all.push(Delivery { late: true, ..now.clone() });
                }
                all.push(now);
            }
            if view > member.view {
                let prevotes = self.votes(me, said, slot(view, Step::Prevote));
                for (votes, proposal) in pairs(prevotes, self.proposals(me, said, view)) {
                    all.push(Delivery { votes, proposal, ..Delivery::default() });
                }
            }
        }
        all
    }

    /// What somebody may get who has not prevoted: a proposal, with prevotes for its valid view.
    fn at_propose(
        &self,
        me: usize,
        member: &Member,
        said: &[Said; HONEST],
        all: &mut Vec<Delivery>,
    ) {
        all.push(Delivery { late: true, unjudged: true, ..Delivery::default() });
        let offers = (0..self.cast.count()).map(Some);
        all.extend(offers.map(|offer| Delivery { offer, ..Delivery::default() }));
        let own = member.said.proposed[usize::from(member.view)];
        for proposal in self.proposals(me, said, member.view) {
            let votes = match proposal.map(|p| p.2).or(own).and_then(|offer| offer.1) {
                Some(view) => self.votes(me, said, slot(view, Step::Prevote)),
                None => vec![Vec::new()],
            };
            let with = |votes| Delivery { proposal, votes, ..Delivery::default() };
            all.extend(votes.into_iter().map(with));
        }
    }

    /// Every choice of votes of a slot that may reach a member: of each other honest member one
    /// that it gave or none, and one of the arbitrary member.
    fn votes(&self, me: usize, said: &[Said; HONEST], slot: usize) -> Vec<Vec<Given>> {
        let faulty = (0..self.cast.count()).map(Some).chain([None]);
        let mut choices: Vec<Vec<_>> = faulty.map(|value| vec![(FAULTY, slot, value)]).collect();
        for other in (0..HONEST).filter(|other| *other != me) {
            let given: Vec<_> = spoken(said[other].votes[slot]).map(|v| (other, slot, v)).collect();
            for (so_far, more) in pairs(choices.clone(), given) {
                choices.push([so_far.as_slice(), &[more]].concat());
            }
        }
        choices
    }

    /// Every proposal of a view that may reach a member, or none. Out of turn the arbitrary member
    /// proposes without a valid view: then it needs no votes besides.
    fn proposals(
        &self,
        me: usize,
        said: &[Said; HONEST],
        view: u8,
    ) -> Vec<Option<(usize, u8, Offer)>> {
        let by = self.cast.proposers[usize::from(view)];
        let earlier = if by == FAULTY { view } else { 0 };
        let valid_views = [None].into_iter().chain((0..earlier).map(Some)).collect();
        let faulty = pairs((0..self.cast.count()).collect(), valid_views);
        let honest = said.get(by).filter(|_| by != me);
        let honest = honest.and_then(|by| by.proposed[usize::from(view)]);
        let all = faulty.into_iter().map(|offer| (FAULTY, view, offer));
        let all = all.chain(honest.map(|offer| (by, view, offer)));
        [None].into_iter().chain(all.map(Some)).collect()
    }
}

fn pairs<A: Clone, B: Clone>(left: Vec<A>, right: Vec<B>) -> Vec<(A, B)> {
    left.into_iter()
        .flat_map(|a| right.iter().map(move |b| (a.clone(), b.clone())).collect::<Vec<_>>())
        .collect()
}
