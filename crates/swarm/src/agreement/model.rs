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
use commons::Signature;
use moves::Move;
use stateright::{Checker, Model, Property};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    decided: Option<u8>,
    /// It locked, let go of a lock, or decided without votes that allow it.
    unproven: bool,
    /// It was carried to a view in which nobody honest was before.
    dragged: bool,
}

/// Everything that a member has signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Said {
    /// By slot: a bit for nil, then one for each value.
    votes: [u8; SLOTS],
    /// By view.
    proposed: [Option<Offer>; MOST_VIEWS],
}

/// The honest members.
type State = [Member; HONEST];

/// Somebody's move and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Action {
    who: usize,
    what: Arc<Move>,
    then: Member,
    /// Whether it went to another view without having waited.
    skipped: bool,
}

/// What becomes of a member, and whether it skipped to another view; nothing past the last view.
type Outcome = Option<(Member, bool)>;

/// One setting to explore. What was worked out once is kept: the agreement is a function.
struct Setting {
    cast: Cast,
    outcomes: Mutex<HashMap<(usize, Member, Arc<Move>), Outcome>>,
    moves: Mutex<HashMap<(usize, Member, [Said; HONEST]), Arc<[Action]>>>,
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
        Self { cast, outcomes: Mutex::default(), moves: Mutex::default() }
    }

    /// Whether two values have a quorum in one step, with what the arbitrary member can add.
    fn torn(&self, state: &State) -> bool {
        let has_quorum = |slot: usize, value: u8| {
            let said = |n: &usize| state[*n].said.votes[slot] & bit(Some(value)) != 0;
            self.cast.suffice(value, (0..HONEST).filter(said).chain([FAULTY]))
        };
        let both = |slot| (0..self.cast.count()).filter(|v| has_quorum(slot, *v)).count() > 1;
        (0..SLOTS).any(both)
    }

    /// Whether an honest member voted for what an honest proposer did not propose in that view.
    fn usurped(&self, state: &State) -> bool {
        let honest = (0..).zip(&self.cast.proposers).filter(|(_, by)| **by < HONEST);
        honest.into_iter().any(|(view, by)| {
            let proposed = state[*by].said.proposed[usize::from(view)].map(|p| p.0);
            let votes = [Step::Prevote, Step::Precommit].map(|step| slot(view, step));
            let said = votes.into_iter().flat_map(|s| state.iter().map(move |m| m.said.votes[s]));
            said.flat_map(spoken).flatten().any(|value| Some(value) != proposed)
        })
    }
}

impl Model for Setting {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![std::array::from_fn(|me| self.first(me))]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (me, member) in state.iter().enumerate().filter(|(_, m)| m.decided.is_none()) {
            actions.extend(self.moves(me, member, state.map(|m| m.said)).iter().cloned());
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = *last;
        let view = action.then.view;
        let alone = !(0..HONEST).any(|n| n != action.who && last[n].view >= view);
        next[action.who] = action.then;
        next[action.who].dragged |= action.skipped && alone;
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no two honest members decide different values", |_, s: &State| {
                let decided: BTreeSet<u8> = s.iter().filter_map(|m| m.decided).collect();
                decided.len() < 2
            }),
            Property::always("no two values have a quorum in one step", |m: &Self, s: &State| {
                !m.torn(s)
            }),
            Property::always("no lock and no decision without proof", |_, s: &State| {
                s.iter().all(|m| !m.unproven)
            }),
            Property::always("nothing that breaks the rules is decided", |m: &Self, s: &State| {
                let mut decided = s.iter().filter_map(|m| m.decided);
                decided.all(|v| m.cast.values[usize::from(v)].allowed)
            }),
            Property::always("nothing counts that the proposer did not propose", |m: &Self, s| {
                !m.usurped(s)
            }),
            Property::always("no honest member votes twice in one step", |_, s: &State| {
                s.iter().flat_map(|m| m.said.votes).all(|bits| bits.count_ones() < 2)
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
        let actions = checker.discovery(name)?.into_actions().into_iter();
        Some(actions.map(|a| format!("\n  {} {:?}", a.who, a.what)).collect::<String>())
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
    for proposers in [[FAULTY, 0], [0, FAULTY], [1, 2], [FAULTY, FAULTY]] {
        explore(Cast::new(&proposers, &["advance", "another advance"], false));
    }
}

#[test]
fn an_advance_and_a_repair() {
    for proposers in [[FAULTY, 0], [0, FAULTY], [1, 2], [FAULTY, FAULTY]] {
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
