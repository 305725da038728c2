//! The agreement under every order of messages, at a small size: four members, one of them
//! arbitrary, two views, a dispute, a repair, and restarts whenever they come.
//!
//! What is checked is [`Agreement`] itself, with the rulings that the chain gives for real records.
//! A state holds what each honest member remembers of itself; everything that was ever said may
//! arrive now, later or never. So with each move a member is given some of what was said, and it
//! forgets what others said after the move. That allows every order of messages, loss and doubles
//! (and more: what arrived may be taken back), since no rule needs the votes of more than one step
//! of one view at a time. The arbitrary member may vote and propose whatever it can sign, another
//! thing to everybody and every time. Clocks run as they like: after each move the member's timers
//! may have run out or not.

pub(crate) mod cast;

use super::*;
use cast::{Cast, FAULTY, HONEST};
use commons::Signature;
use stateright::{Checker, Model, Property};
use std::{collections::HashMap, sync::Mutex};

/// Views that are looked at.
const VIEWS: u32 = 2;
/// Later than every timer that is set at time 0.
const LATE: Time = Time(1 << 40);

/// What an honest member remembers of itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Member {
    view: u32,
    stage: u8,
    locked: Option<(u32, usize)>,
    valid: Option<(u32, usize)>,
    /// The lock as it was made durable.
    durable: Option<(u32, usize)>,
    /// By slot (see [`slot`]): a bit for nil, then one for each value.
    said: [u8; 2 * VIEWS as usize],
    /// Value and valid view of its own proposals, by view.
    proposed: [Option<(usize, Option<u32>)>; VIEWS as usize],
    decided: Option<usize>,
    /// It was carried to a view in which nobody honest was before.
    dragged: bool,
}

/// The honest members.
type State = [Member; HONEST];

/// What a member is given in one move.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Delivery {
    /// View, value and valid view.
    proposal: Option<(u32, usize, Option<u32>)>,
    /// Author, slot and value.
    votes: Vec<(usize, usize, Option<usize>)>,
    /// A record it makes itself, if it is its turn to propose.
    offer: Option<usize>,
    /// Whether it knows that the arbitrary member cheated.
    disputed: bool,
    /// Whether its timers run out.
    late: bool,
    /// Whether it still has to find out about its own proposals, as after a restart.
    unjudged: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Move {
    Take(Delivery),
    Restart,
}

/// Somebody's move and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Action {
    who: usize,
    what: Move,
    then: Member,
    /// Whether it went to another view without having waited.
    skipped: bool,
}

type Outcome = Option<(Member, bool)>;
type Others = [([u8; 4], [Option<(usize, Option<u32>)>; 2]); HONEST];

/// One setting to explore.
struct Setting {
    cast: Cast,
    outcomes: Mutex<HashMap<(usize, Member, Move), Outcome>>,
    moves: Mutex<HashMap<(usize, Member, Others), Vec<Action>>>,
}

fn slot(view: u32, step: Step) -> usize {
    2 * view as usize + usize::from(step == Step::Precommit)
}

fn step_of(slot: usize) -> (u32, Step) {
    (slot as u32 / 2, if slot % 2 == 0 { Step::Prevote } else { Step::Precommit })
}

/// Everything that a set of bits stands for: nil, and values.
fn spoken(bits: u8) -> impl Iterator<Item = Option<usize>> {
    (0..8usize).filter(move |bit| bits >> *bit & 1 != 0).map(|bit| bit.checked_sub(1))
}

fn bit(value: Option<usize>) -> u8 {
    1 << value.map_or(0, |v| v + 1)
}

impl Setting {
    fn new(cast: Cast) -> Self {
        Self { cast, outcomes: Mutex::default(), moves: Mutex::default() }
    }

    fn fresh(&self, me: usize) -> Agreement {
        let id = self.cast.ids[me];
        Agreement::new(cast::HEIGHT, self.cast.electorate.clone(), id, self.cast.seed, 1000)
    }

    fn ballot(&self, author: usize, slot: usize, value: Option<usize>) -> Signed<Vote> {
        let (view, step) = step_of(slot);
        let value = value.map(|v| self.cast.values[v].hash);
        let vote = Vote { height: cast::HEIGHT, view, step, value };
        Signed::assemble(&cast::RUN, self.cast.ids[author], vote, Signature([0; 64]))
    }

    fn header(&self, view: u32, value: usize, valid_view: Option<u32>) -> Signed<Proposal> {
        let author = self.cast.ids[self.cast.proposers[view as usize]];
        let value = self.cast.values[value].hash;
        let proposal = Proposal { height: cast::HEIGHT, view, value, valid_view };
        Signed::assemble(&cast::RUN, author, proposal, Signature([0; 64]))
    }

    fn index(&self, value: &Hash) -> usize {
        self.cast.values.iter().position(|v| v.hash == *value).expect("a value of this setting")
    }

    /// Hands in a proposal as the node does, which then finds its value right if the rules allow it.
    fn hand_in(&self, a: &mut Agreement, view: u32, value: usize, valid_view: Option<u32>) {
        let of = &self.cast.values[value];
        a.values.remove(&of.hash);
        a.propose(self.header(view, value, valid_view), of.body.clone(), of.ruling.clone());
        a.judge(&of.hash, Validity::Valid);
    }

    /// The agreement as a member has it that remembers this.
    fn agreement(&self, me: usize, member: &Member) -> Agreement {
        let mut a = self.fresh(me);
        a.begin(Time(0));
        a.view = member.view;
        a.stage = [Stage::Idle, Stage::Propose, Stage::Prevote, Stage::Precommit]
            [usize::from(member.stage)];
        a.locked = member.locked.map(|(view, v)| (view, self.cast.values[v].hash));
        a.valid = member.valid.map(|(view, v)| (view, self.cast.values[v].hash));
        for of in &self.cast.values {
            let validity = match of.ruling {
                Some(_) => Validity::Valid,
                None => Validity::Invalid,
            };
            let (body, ruling) = (of.body.clone(), of.ruling.clone());
            a.values.insert(of.hash, Value { body, ruling, validity });
        }
        self.say_again(&mut a, me, member);
        a
    }

    /// What a member said itself.
    fn say_again(&self, a: &mut Agreement, me: usize, member: &Member) {
        for (slot, bits) in member.said.iter().enumerate() {
            for value in spoken(*bits) {
                a.vote(self.ballot(me, slot, value));
            }
        }
        for (view, proposed) in (0..).zip(&member.proposed) {
            if let Some((value, valid_view)) = *proposed {
                self.hand_in(a, view, value, valid_view);
            }
        }
    }

    fn first(&self, me: usize) -> Member {
        let mut a = self.fresh(me);
        a.begin(Time(0));
        let nothing = Member {
            view: 0,
            stage: 0,
            locked: None,
            valid: None,
            durable: None,
            said: [0; 4],
            proposed: [None; 2],
            decided: None,
            dragged: false,
        };
        self.read(&a, nothing)
    }

    fn read(&self, a: &Agreement, member: Member) -> Member {
        let index = |lock: Option<(u32, Hash)>| lock.map(|(view, hash)| (view, self.index(&hash)));
        let (locked, valid) = (index(a.locked), index(a.valid));
        Member { view: a.view, stage: a.stage as u8, locked, valid, ..member }
    }

    /// Runs until nothing more comes, as the node does; false past the last view.
    fn drive(&self, a: &mut Agreement, me: usize, member: &mut Member, now: Time) -> bool {
        loop {
            let outputs = a.run(now);
            if outputs.is_empty() {
                return true;
            }
            for output in outputs {
                match output {
                    Output::View(view) if view >= VIEWS => return false,
                    Output::View(_) => {}
                    Output::Propose { view, valid_view, value } => {
                        let index = self.index(&value);
                        member.proposed[view as usize] = Some((index, valid_view));
                        let body = self.cast.values[index].body.clone();
                        a.propose(self.header(view, index, valid_view), body, None);
                    }
                    Output::Vote { view, step, value } => {
                        let value = value.map(|v| self.index(&v));
                        member.said[slot(view, step)] |= bit(value);
                        a.vote(self.ballot(me, slot(view, step), value));
                    }
                    Output::Lock { view, value } => {
                        member.durable = Some((view, self.index(&value)));
                    }
                    Output::Decided { value, .. } => member.decided = Some(self.index(&value)),
                }
            }
        }
    }

    /// What becomes of a member with a move; `None` past the last view.
    fn outcome(&self, me: usize, member: &Member, what: &Move) -> Outcome {
        let key = (me, member.clone(), what.clone());
        if let Some(known) = self.outcomes.lock().expect("no thread panics").get(&key) {
            return known.clone();
        }
        let outcome = match what {
            Move::Take(delivery) => self.take(me, member, delivery),
            Move::Restart => Some((self.restart(me, member), false)),
        };
        self.outcomes.lock().expect("no thread panics").insert(key, outcome.clone());
        outcome
    }

    fn take(&self, me: usize, member: &Member, delivery: &Delivery) -> Outcome {
        let (mut a, mut after) = (self.agreement(me, member), member.clone());
        if delivery.disputed {
            a.discount(BTreeSet::from([self.cast.ids[FAULTY]]));
        }
        for (value, _) in member.proposed.iter().flatten().filter(|_| delivery.unjudged) {
            a.judge(&self.cast.values[*value].hash, Validity::Pending);
        }
        if let Some((view, value, valid_view)) = delivery.proposal {
            self.hand_in(&mut a, view, value, valid_view);
        }
        for (author, slot, value) in &delivery.votes {
            a.vote(self.ballot(*author, *slot, *value));
        }
        if let Some(of) = delivery.offer.map(|v| &self.cast.values[v])
            && let (true, Some(ruling)) = (a.wants_value(), &of.ruling)
        {
            a.offer(of.hash, of.body.clone(), ruling.clone());
        }
        if !self.drive(&mut a, me, &mut after, Time(0)) {
            return None;
        }
        let skipped = a.view > member.view;
        if delivery.late && !self.drive(&mut a, me, &mut after, LATE) {
            return None;
        }
        Some((self.read(&a, after), skipped))
    }

    /// A member that crashed and is back, with what it had made durable.
    fn restart(&self, me: usize, member: &Member) -> Member {
        let mut a = self.fresh(me);
        let voted = (0..4).filter(|slot| member.said[*slot] != 0).map(|slot| step_of(slot).0);
        let proposed = (0..VIEWS).filter(|view| member.proposed[*view as usize].is_some());
        let locked = member.durable.map(|lock| lock.0);
        a.restore_view(voted.chain(proposed).chain(locked).max().unwrap_or(0));
        if let Some((view, value)) = member.durable {
            let of = &self.cast.values[value];
            let ruling = of.ruling.clone().expect("nothing else is locked");
            a.restore_lock(view, of.hash, of.body.clone(), ruling);
        }
        self.say_again(&mut a, me, member);
        a.resume(Time(0));
        a.begin(Time(0));
        self.read(&a, member.clone())
    }

    /// Every choice of votes of a slot that may reach a member: of each other honest member one
    /// that it gave or none, and one of the arbitrary member.
    fn ballots(
        &self,
        me: usize,
        others: &Others,
        slot: usize,
    ) -> Vec<Vec<(usize, usize, Option<usize>)>> {
        let faulty = (0..self.cast.values.len()).map(Some).chain([None]);
        let mut choices: Vec<Vec<_>> = faulty.map(|value| vec![(FAULTY, slot, value)]).collect();
        for other in (0..HONEST).filter(|other| *other != me) {
            let given: Vec<_> = spoken(others[other].0[slot]).collect();
            let more: Vec<Vec<_>> = choices
                .iter()
                .flat_map(|so_far| {
                    given.iter().map(move |v| [so_far.as_slice(), &[(other, slot, *v)]].concat())
                })
                .collect();
            choices.extend(more);
        }
        choices
    }

    /// Every proposal of a view that may reach a member, or none.
    fn proposals(
        &self,
        me: usize,
        others: &Others,
        view: u32,
    ) -> Vec<Option<(u32, usize, Option<u32>)>> {
        let by = self.cast.proposers[view as usize];
        let mut all = vec![None];
        if by == FAULTY {
            for value in 0..self.cast.values.len() {
                let valid_views = [None].into_iter().chain((0..view).map(Some));
                all.extend(valid_views.map(|valid_view| Some((view, value, valid_view))));
            }
        } else if by != me {
            all.extend(
                others[by].1[view as usize].map(|(value, valid)| Some((view, value, valid))),
            );
        }
        all
    }

    fn deliveries(&self, me: usize, member: &Member, others: &Others) -> Vec<Delivery> {
        let mut all = vec![Delivery { late: true, ..Delivery::default() }, Delivery::default()];
        let view = member.view;
        let (prevotes, precommits) = (slot(view, Step::Prevote), slot(view, Step::Precommit));
        let disputes: &[bool] = if self.cast.disputed { &[false, true] } else { &[false] };
        if member.stage == Stage::Propose as u8 {
            all.push(Delivery { late: true, unjudged: true, ..Delivery::default() });
            let offers = (0..self.cast.values.len()).map(Some);
            all.extend(offers.map(|offer| Delivery { offer, ..Delivery::default() }));
            for proposal in self.proposals(me, others, view) {
                let own = member.proposed[view as usize];
                let valid_view = proposal.map_or(own.and_then(|p| p.1), |p| p.2);
                let votes = match valid_view {
                    Some(valid_view) => self.ballots(me, others, slot(valid_view, Step::Prevote)),
                    None => vec![Vec::new()],
                };
                let with = |votes| Delivery { proposal, votes, ..Delivery::default() };
                all.extend(votes.into_iter().map(with));
            }
        } else {
            for (votes, proposal) in
                pairs(self.ballots(me, others, prevotes), self.proposals(me, others, view))
            {
                for (late, disputed) in pairs(vec![false, true], disputes.to_vec()) {
                    let votes = votes.clone();
                    all.push(Delivery { proposal, votes, late, disputed, ..Delivery::default() });
                }
            }
        }
        for votes in self.ballots(me, others, precommits) {
            for disputed in disputes.iter().copied() {
                let votes = votes.clone();
                all.push(Delivery { votes, late: true, disputed, ..Delivery::default() });
            }
        }
        for view in 0..VIEWS {
            let votes = self.ballots(me, others, slot(view, Step::Precommit)).into_iter();
            for disputed in disputes.iter().copied() {
                let with = |votes| Delivery { votes, disputed, ..Delivery::default() };
                all.extend(votes.clone().map(with));
            }
        }
        for ahead in view + 1..VIEWS {
            let votes = self.ballots(me, others, slot(ahead, Step::Prevote));
            for (votes, proposal) in pairs(votes, self.proposals(me, others, ahead)) {
                all.push(Delivery { votes, proposal, ..Delivery::default() });
            }
        }
        all
    }

    /// Every move of a member that changes something, each outcome once.
    fn moves(&self, me: usize, member: &Member, others: &Others) -> Vec<Action> {
        let key = (me, member.clone(), *others);
        if let Some(known) = self.moves.lock().expect("no thread panics").get(&key) {
            return known.clone();
        }
        let takes = self.deliveries(me, member, others).into_iter().map(Move::Take);
        let mut moves: Vec<Action> = Vec::new();
        for what in takes.chain([Move::Restart]) {
            let Some((then, skipped)) = self.outcome(me, member, &what) else { continue };
            let known = moves.iter().any(|m| m.then == then && m.skipped == skipped);
            if then != *member && !known {
                moves.push(Action { who: me, what, then, skipped });
            }
        }
        self.moves.lock().expect("no thread panics").insert(key, moves.clone());
        moves
    }
}

fn pairs<A: Clone, B: Clone>(left: Vec<A>, right: Vec<B>) -> Vec<(A, B)> {
    left.into_iter()
        .flat_map(|a| right.iter().map(move |b| (a.clone(), b.clone())).collect::<Vec<_>>())
        .collect()
}

impl Model for Setting {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![std::array::from_fn(|me| self.first(me))]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (me, member) in state.iter().enumerate().filter(|(_, m)| m.decided.is_none()) {
            let mut others: Others = std::array::from_fn(|n| (state[n].said, state[n].proposed));
            // Its own is in the member.
            others[me] = Default::default();
            actions.extend(self.moves(me, member, &others));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        let view = action.then.view;
        let alone = !(0..HONEST).any(|n| n != action.who && last[n].view >= view);
        next[action.who] = action.then;
        next[action.who].dragged |= action.skipped && alone;
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no two honest members decide different values", |_, s: &State| {
                let decided: BTreeSet<usize> = s.iter().filter_map(|m| m.decided).collect();
                decided.len() < 2
            }),
            Property::always("nothing that breaks the rules is decided", |m: &Self, s: &State| {
                s.iter().filter_map(|m| m.decided).all(|v| m.cast.values[v].allowed)
            }),
            Property::always("no honest member votes twice in one step", |_, s: &State| {
                s.iter().flat_map(|m| m.said).all(|bits| bits.count_ones() < 2)
            }),
            Property::always("the faulty alone carry nobody to another view", |_, s: &State| {
                s.iter().all(|m| !m.dragged)
            }),
            Property::sometimes("the first value is decided by all", |_, s: &State| {
                s.iter().all(|m| m.decided == Some(0))
            }),
        ]
    }
}

/// Explores a setting whole; gives how many states it has.
fn explore(cast: Cast) -> usize {
    let what = cast.to_string();
    let checker = Setting::new(cast).checker().threads(2).spawn_bfs().join();
    let states = checker.unique_state_count();
    println!("{what}: {states} states");
    let reached = |name: &'static str| {
        let path = checker.discovery(name)?;
        let actions: Vec<String> = path
            .into_actions()
            .into_iter()
            .map(|a| format!("\n  {} {:?}", a.who, a.what))
            .collect();
        Some(actions.concat())
    };
    for property in checker.model().properties() {
        let path = reached(property.name);
        match property.expectation {
            stateright::Expectation::Always => {
                assert!(
                    path.is_none(),
                    "{what}: not so: {}:{}",
                    property.name,
                    path.unwrap_or_default()
                );
            }
            _ => assert!(path.is_some(), "{what}: never: {}", property.name),
        }
    }
    states
}

#[test]
fn two_records_whoever_proposes() {
    for proposers in [[FAULTY, 0], [0, FAULTY], [1, 2], [FAULTY, FAULTY]] {
        explore(Cast::new(proposers, &["advance", "another advance"], false));
    }
}

#[test]
fn an_advance_and_a_repair() {
    for proposers in [[FAULTY, 0], [0, FAULTY], [1, 2], [FAULTY, FAULTY]] {
        explore(Cast::new(proposers, &["repair", "advance"], true));
    }
}

#[test]
fn a_repair_that_ejects_more_than_may_be_faulty() {
    for proposers in [[FAULTY, FAULTY], [1, FAULTY]] {
        explore(Cast::new(proposers, &["advance", "large repair"], true));
    }
}

#[test]
fn a_record_that_breaks_the_rules() {
    for proposers in [[FAULTY, FAULTY], [FAULTY, 1]] {
        explore(Cast::new(proposers, &["advance", "baseless repair"], true));
    }
}
