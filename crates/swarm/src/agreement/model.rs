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
//! may have run out or not. A value that somebody finds out about late, or finds wrong, is a
//! proposal that does not arrive: either way the prevote is nil or open.

pub(crate) mod cast;
mod member;
mod moves;

use super::*;
use cast::{Cast, FAULTY, HONEST};
use ids::Signature;
use moves::{Move, Way};
use stateright::{Checker, HasDiscoveries, Model, Property};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

/// The most views that can be looked at.
const MOST_VIEWS: usize = 3;
/// A slot is a step of a view: each member votes once in it.
const SLOTS: usize = 2 * MOST_VIEWS;

/// Value and valid view of a proposal.
type Offer = (u8, Option<u8>);

/// What an honest member remembers of itself. Views and values are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Member {
    view: u8,
    stage: u8,
    locked: Option<(u8, u8)>,
    /// Only of somebody who will propose once more: nobody else looks at it.
    valid: Option<(u8, u8)>,
    /// The lock as it was made durable.
    durable: Option<(u8, u8)>,
    /// What it said to others.
    said: Said,
    /// It locked, let go of a lock, or decided without votes that allow it.
    unproven: bool,
    /// It was carried to a view in which nobody honest was before.
    dragged: bool,
}

/// Everything that a member has signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Said {
    /// By slot: a bit for nil, then one for each value.
    votes: [u8; SLOTS],
    /// By view.
    proposed: [Option<Offer>; MOST_VIEWS],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct State {
    /// The honest ones.
    members: [Member; HONEST],
    /// What somebody honest decided: a bit for each value. Who has decided goes on as if it had
    /// not, as after a crash at that moment; so its state need not say it.
    decided: u8,
}

/// Somebody's move and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Action {
    who: usize,
    what: Arc<Move>,
    becomes: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outcome {
    then: Member,
    /// Whether it went to another view without having waited.
    skipped: bool,
    decided: Option<u8>,
}

/// Everything that a member may do next.
type Ways = Arc<[Way]>;

/// One setting to explore. What was worked out once is kept: the agreement is a function.
struct Setting {
    cast: Cast,
    alike: bool,
    ways: Mutex<HashMap<(usize, Member), Ways>>,
}

fn slot(view: u8, step: Step) -> usize {
    2 * usize::from(view) + usize::from(step == Step::Precommit)
}

/// Everything that a set of bits stands for: nil, and values.
fn spoken(bits: u8) -> impl Iterator<Item = Option<u8>> {
    (0..8u8).filter(move |bit| bits >> *bit & 1 != 0).map(|bit| bit.checked_sub(1))
}

fn bit(value: Option<u8>) -> u8 {
    1 << value.map_or(0, |v| v + 1)
}

impl Setting {
    fn new(cast: Cast) -> Self {
        let alike = cast.alike();
        Self { cast, alike, ways: Mutex::default() }
    }

    /// Whether two values have a quorum in one step, with what the arbitrary member can add.
    fn torn(&self, state: &State) -> bool {
        let has_quorum = |slot: usize, value: u8| {
            let said = |n: &usize| state.members[*n].said.votes[slot] & bit(Some(value)) != 0;
            let voters = (0..HONEST).filter(said).fold(1 << FAULTY, |all, n| all | 1 << n);
            self.cast.suffice(value, voters)
        };
        let both = |slot| (0..self.cast.count()).filter(|v| has_quorum(slot, *v)).count() > 1;
        (0..2 * self.cast.proposers.len()).any(both)
    }

    /// Whether an honest member voted for what an honest proposer did not propose in that view.
    fn usurped(&self, state: &State) -> bool {
        let strange = |view: usize, by: usize| {
            let proposed = state.members[by].said.proposed[view].map_or(0, |p| bit(Some(p.0)));
            let allowed = proposed | bit(None);
            state
                .members
                .iter()
                .any(|m| (m.said.votes[2 * view] | m.said.votes[2 * view + 1]) & !allowed != 0)
        };
        let honest = self.cast.proposers.iter().enumerate().filter(|(_, by)| **by < HONEST);
        honest.into_iter().any(|(view, by)| strange(view, *by))
    }
}

impl Model for Setting {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State { members: std::array::from_fn(|me| self.first(me)), decided: 0 }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (me, member) in state.members.iter().enumerate() {
            let ways = self.ways(me, member);
            let open = ways.iter().filter(|way| way.is_open(&state.members));
            actions.extend(open.map(|way| way.action.clone()));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let (mut next, Outcome { then, skipped, decided }) = (*last, action.becomes);
        let alone = !(0..HONEST).any(|n| n != action.who && last.members[n].view >= then.view);
        next.members[action.who] = then;
        next.members[action.who].dragged |= skipped && alone;
        next.decided |= decided.map_or(0, |value| 1 << value);
        // Two that are alike may change places.
        if self.alike && next.members[0] > next.members[1] {
            next.members.swap(0, 1);
        }
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no two honest members decide different values", |_, s: &State| {
                s.decided.count_ones() < 2
            }),
            Property::always("no two values have a quorum in one step", |m: &Self, s: &State| {
                !m.torn(s)
            }),
            Property::always("no lock and no decision without proof", |_, s: &State| {
                s.members.iter().all(|m| !m.unproven)
            }),
            Property::always("nothing that breaks the rules is decided", |m: &Self, s: &State| {
                let decided = |v: &usize| s.decided >> *v & 1 != 0;
                (0..m.cast.values.len()).filter(decided).all(|v| m.cast.values[v].allowed)
            }),
            Property::always("nothing counts that the proposer did not propose", |m: &Self, s| {
                !m.usurped(s)
            }),
            Property::always("no honest member votes twice in one step", |_, s: &State| {
                s.members.iter().flat_map(|m| m.said.votes).all(|bits| bits.count_ones() < 2)
            }),
            Property::always("the faulty alone carry nobody to another view", |_, s: &State| {
                s.members.iter().all(|m| !m.dragged)
            }),
            Property::sometimes("the first value is decided", |_, s: &State| s.decided == 1),
        ]
    }
}

/// Explores a setting whole; gives how many states it has.
fn explore(cast: Cast) -> usize {
    let what = cast.to_string();
    let checker = Setting::new(cast).checker().threads(2).finish_when(HasDiscoveries::AnyFailures);
    let checker = checker.spawn_bfs().join();
    let states = checker.unique_state_count();
    println!("{what}: {states} states");
    let reached = |name: &'static str| {
        let actions = checker.discovery(name)?.into_actions().into_iter();
        Some(actions.map(|a| format!("\n  {} {}", a.who, a.what)).collect::<String>())
    };
    for property in checker.model().properties() {
        let (name, path) = (property.name, reached(property.name));
        match property.expectation {
            stateright::Expectation::Always => {
                assert!(path.is_none(), "{what}: not so: {name}:{}", path.unwrap_or_default());
            }
            _ => assert!(path.is_some(), "{what}: never: {name}"),
        }
    }
    states
}

#[test]
fn two_records_whoever_proposes() {
    for proposers in [[FAULTY, 2], [0, FAULTY], [1, 2], [FAULTY, FAULTY]] {
        explore(Cast::new(&proposers, &["advance", "another advance"], false));
    }
}

#[test]
fn an_advance_and_a_repair() {
    for proposers in [[FAULTY, 2], [0, FAULTY], [1, 2], [FAULTY, FAULTY]] {
        explore(Cast::new(&proposers, &["repair", "advance"], true));
    }
}

#[test]
fn a_repair_that_ejects_more_than_may_be_faulty() {
    for proposers in [[FAULTY, FAULTY], [1, FAULTY]] {
        explore(Cast::new(&proposers, &["advance", "large repair"], true));
    }
}

#[test]
fn a_record_that_breaks_the_rules() {
    for proposers in [[FAULTY, FAULTY], [FAULTY, 1]] {
        explore(Cast::new(&proposers, &["advance", "baseless repair"], true));
    }
}

/// One view more, and three records.
#[test]
#[ignore = "takes long"]
fn three_views_or_three_records() {
    explore(Cast::new(&[FAULTY, FAULTY], &["advance", "another advance", "repair"], true));
    explore(Cast::new(&[FAULTY, 0, FAULTY], &["repair", "advance"], true));
    explore(Cast::new(&[FAULTY; 3], &["advance", "another advance"], false));
}
