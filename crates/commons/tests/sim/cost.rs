//! People who make others work: what a statement costs everybody, in counted steps.

use crate::{attacks::withdraw, bare::*, town::*, voting::*};
use commons::{
    state::Electorate,
    statement::{
        Choice, Claim, Effect, Method, ProposalType, Propose, Quota, Rules, Verdict, Work, WorkType,
    },
};
use ids::{Hash, PeerId};
use std::{collections::BTreeSet, sync::Arc};

fn plain(options: Vec<Choice>) -> Propose {
    closing(START + 2 * DAY, ProposalType::Question, options)
}

/// A panel that is refused once its electors are known.
fn impossible_panel() -> Propose {
    Propose {
        topic: ProposalType::Panel,
        method: Method::Lot,
        options: vec![],
        default: None,
        seats: 3,
        quotas: vec![Quota { stratum: "Nobody's".into(), min: 1, max: 1 }],
        reveal: Some(START + 4 * DAY),
        ..plain(vec![no_change()])
    }
}

/// C1: two members with a tree of vouched-for keys toggle one vouch.
#[test]
fn a_vouch_taken_back_and_given_again_does_not_cost_the_whole_tree() {
    let mut log = Bare::new(3, rules());
    let roots = [log.people[0].clone(), log.people[1].clone()];
    let tree = log.tree(1_500, &roots);
    assert_eq!(log.members(), 1_503);
    let (anna, root) = (&roots[0], tree[0].id);
    let before = log.state.steps();
    let toggles = 400;
    for _ in 0..toggles {
        log.say(&anna.key, withdraw(&root)).unwrap();
        log.say(&anna.key, vouch(&root)).unwrap();
    }
    let steps = log.state.steps() - before;
    assert!(steps <= Bare::paid(2 * toggles), "{steps} steps for {} statements", 2 * toggles);
    // In the end the vouch says who is a member, once the statements have paid for counting.
    log.say(&anna.key, withdraw(&root)).unwrap();
    settle(&mut log, 200);
    assert!(log.members() < 1_000, "its tree is gone: {}", log.members());
    log.say(&anna.key, vouch(&root)).unwrap();
    assert_eq!(log.members(), 1_503, "and comes back at once");
}

fn settle(log: &mut Bare, statements: usize) {
    let cleo = log.people[2].clone();
    (0..statements).for_each(|n| log.rename(&cleo, &format!("Cleo {n}")));
}

/// The root of the tree has a supporter more each time, and loses another: nobody stops being a
/// member, and that costs no more either.
#[test]
fn supporters_who_take_turns_cost_no_more() {
    let mut log = Bare::new(4, rules());
    let roots = [log.people[0].clone(), log.people[1].clone()];
    let tree = log.tree(1_500, &roots);
    let root = tree[0].id;
    let three = [roots[0].clone(), roots[1].clone(), log.people[2].clone()];
    log.say(&three[2].key, vouch(&root)).unwrap();
    let before = log.state.steps();
    for n in 0..400 {
        let who = &three[n % 3];
        log.say(&who.key, withdraw(&root)).unwrap();
        assert!(log.state.is_member(&root));
        log.say(&who.key, vouch(&root)).unwrap();
        assert!(log.state.is_member(&root) && log.state.is_member(&tree[1_499].id));
    }
    let steps = log.state.steps() - before;
    assert!(steps <= Bare::paid(800), "{steps}");
}

/// Each fake takes back what it vouched for, the deepest first: each time another part falls.
#[test]
fn a_tree_that_is_taken_apart_piece_by_piece_costs_what_its_statements_pay() {
    let mut log = Bare::new(3, rules());
    let roots = [log.people[0].clone(), log.people[1].clone()];
    let tree = log.tree(1_200, &roots);
    let before = log.state.steps();
    let mut said = 0;
    for person in tree.iter().rev() {
        for subject in log.state.members[&person.id].vouches.clone() {
            // Who fell already says nothing that counts.
            let _ = log.say(&person.key, withdraw(&subject));
            said += 1;
        }
    }
    let steps = log.state.steps() - before;
    assert!(steps <= Bare::paid(said), "{steps} for {said}");
}

/// Between each two questions somebody changes its name: who may vote is not worked out anew for
/// each, void or not.
#[test]
fn questions_do_not_each_cost_a_roll_of_electors() {
    for void in [true, false] {
        let generous = Rules { vouch_budget: 255, ..rules() };
        let mut log = Bare::new(12, generous);
        let founders = log.people.clone();
        let members: Vec<Person> =
            (0..1_000).map(|n| log.join(&founders[2 * (n / 200)..2 * (n / 200) + 2])).collect();
        assert_eq!(log.members(), 1_012);
        let before = log.state.steps();
        let mut rolls: BTreeSet<*const Electorate> = BTreeSet::new();
        for (n, person) in members.iter().enumerate().take(400) {
            log.rename(person, &format!("name {n}"));
            let ask = plain(vec![choice("yes", Effect::None), no_change()]);
            if void {
                log.say(&person.key, impossible_panel()).unwrap_err();
            } else {
                let asked = log.say(&person.key, ask).unwrap();
                rolls.insert(Arc::as_ptr(&log.state.proposals[&asked].electorate));
            }
        }
        let steps = log.state.steps() - before;
        assert!(steps <= Bare::paid(800), "{steps}");
        // What each roll keeps is paid for as well.
        assert!(rolls.len() <= 800 * 64 / 2_000 + 2, "{} rolls", rolls.len());
    }
}

/// A member with a thousand works that its colleague confirmed, which give it no standing and are
/// looked at for each roll: rolls are larger, and so rarer.
#[test]
fn what_gives_no_standing_and_is_looked_at_is_paid_for() {
    let mut log = Bare::new(3, rules());
    let (anna, bert) = (log.people[0].clone(), log.people[1].clone());
    let dora = log.join(&[anna.clone(), bert.clone()]);
    for person in [&anna, &dora] {
        let (org, role) = ("Acme".to_owned(), "engineer".to_owned());
        let claim = Claim::Affiliation { org, role, from: START, to: None };
        log.say(&person.key, about(person, claim)).unwrap();
    }
    for n in 0..1_000u64 {
        let work = Work {
            task: Hash::of(&n.to_le_bytes()),
            work: WorkType::Compute,
            quantity: 1,
            unit: "hour".into(),
            inputs: vec![],
            output: Hash::default(),
        };
        let done = log.say(&dora.key, work).unwrap();
        log.say(&anna.key, check(done, Verdict::Confirmed)).unwrap();
    }
    let before = log.state.steps();
    for n in 0..400 {
        log.rename(&bert, &format!("Bert {n}"));
        log.say(&bert.key, impossible_panel()).unwrap_err();
    }
    let steps = log.state.steps() - before;
    assert!(steps > 2_000, "her works are looked at");
    assert!(steps <= Bare::paid(800), "{steps}");
}

/// Many removals at one mark are one count of the members, not one each.
#[test]
fn removals_that_come_into_force_together_count_the_members_once() {
    let mut town = Town::with_rules(4, Rules { vouch_budget: 20, ..rules() });
    let victims: Vec<PeerId> = (10..22).map(|n| town.join(n, &[n as usize % 2, 2]).id).collect();
    town.people.truncate(4);
    let mut asked = Vec::new();
    for (n, victim) in victims.iter().take(10).enumerate() {
        let key = town.people[n % 4].key.clone();
        asked.push(town.must(&key, crate::attacks::removal(&town, victim)));
    }
    for &asked in &asked {
        vote_all(&mut town, asked, &[0, 1]);
    }
    town.tick(DAY);
    town.tick(DAY + 60);
    let before = town.state.steps();
    town.tick(6 * DAY);
    assert!(victims[..10].iter().all(|victim| !town.state.is_member(victim)));
    let census = (town.state.members.len() * 6) as u64;
    let steps = town.state.steps() - before;
    assert!(steps <= 3 * census, "{steps}, one count is at most {census}");
}
