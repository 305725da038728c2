//! Draws and lots that somebody wants to choose, and panels that somebody wants to keep from being
//! drawn.

use crate::{attacks::*, town::*, voting::*};
use commons::{
    state::Status,
    statement::{
        Check, Effect, Evidence, ProposalType, Propose, Rules, Subject, TieRule, Verdict, Vote,
        VoteBody,
    },
    view,
};
use decide::{panel_seed, tie_seed};
use ids::Hash;

/// One round: these commit, these reveal, and time goes by until it is over.
fn round(town: &mut Town, asked: Hash, commit: &[Person], reveal: &[Person]) {
    town.each_says(commit, |p| commit_secret(asked, p));
    town.tick(1);
    let (close, end) = {
        let proposal = &town.state.proposals[&asked];
        (proposal.close, proposal.end())
    };
    let to = close + 1 - town.now;
    town.tick(to);
    town.each_says(reveal, |p| reveal_secret(asked, p));
    town.tick(60);
    let to = end + 1 - town.now;
    town.tick(to);
}

fn seated(town: &Town, asked: Hash) -> Vec<String> {
    town.state.proposals[&asked].panel.as_ref().map(|p| p.members.clone()).unwrap_or_default()
}

/// C3: a panel without secrets is drawn by a root, and the operator makes roots.
#[test]
fn no_panel_is_drawn_from_a_root_alone() {
    let mut town = Town::new(8);
    let key = town.people[7].key.clone();
    let open = Propose { reveal: None, ..lottery(&town, 3, &[]) };
    assert!(town.void(&key, open).contains("secrets"));
}

/// The operator and its friends, fewer than the rules say may act together, are the only ones who
/// give secrets.
#[test]
fn a_draw_needs_secrets_of_more_people_than_may_collude() {
    let mut town = Town::new(8);
    let people = town.people.clone();
    let asked = town.must(&people[0].key, lottery(&town, 3, &[]));
    give_secrets(&mut town, asked, &people[..4]);
    assert!(matches!(status(&town, asked), Status::Failed { .. }));
    let asked = town.must(&people[0].key, lottery(&town, 3, &[]));
    give_secrets(&mut town, asked, &people[..5]);
    assert!(matches!(status(&town, asked), Status::Passed { .. }));
    assert_eq!(views(&town.state), views(&town.replayed()));
}

/// One of five who committed does not reveal: without its secret there are too few.
#[test]
fn withholding_does_not_lower_the_number_of_secrets() {
    let mut town = Town::new(8);
    let people = town.people.clone();
    let asked = town.must(&people[0].key, lottery(&town, 3, &[]));
    for n in 0..3 {
        round(&mut town, asked, &people[n..n + 5], &people[n + 1..n + 5]);
    }
    assert!(matches!(status(&town, asked), Status::Failed { .. }));
    assert!(seated(&town, asked).is_empty());
}

/// Ties of open ballots by a lot from the root: the operator would grind it.
#[test]
fn no_tie_is_settled_from_a_root_alone() {
    let mut town = Town::new(6);
    let people = town.people.clone();
    let options = || vec![choice("a", Effect::None), choice("b", Effect::None), no_change()];
    let ask = Propose {
        tie: TieRule::Lot { seed: () },
        ..question(&town, ProposalType::Question, options())
    };
    assert!(town.void(&people[0].key, ask.clone()).contains("lot for ties"));
    // Sealed, it is drawn from the secrets of enough voters, and else not at all.
    for (voters, lot) in [(4, false), (6, true)] {
        let ask =
            Propose { close: town.now + 2 * DAY, reveal: Some(town.now + 4 * DAY), ..ask.clone() };
        let asked = town.must(&people[0].key, ask);
        let ballot = |at: usize| vec![vec![at as u16 % 2]];
        for (at, person) in people[..voters].iter().enumerate() {
            let digest = commit(&asked, &person.id, &secret(&asked, person), &ballot(at));
            town.must(&person.key, Vote { proposal: asked, ballot: VoteBody::Commit(digest) });
        }
        town.tick(60);
        town.tick(2 * DAY);
        let root = town.state.marks.last().unwrap().root;
        for (at, person) in people[..voters].iter().enumerate() {
            let ballot = VoteBody::Reveal { groups: ballot(at), salt: secret(&asked, person) };
            town.must(&person.key, Vote { proposal: asked, ballot });
        }
        town.tick(60);
        town.tick(2 * DAY);
        let rule = town.state.proposals[&asked].count.as_ref().unwrap().houses[0].election.tie;
        let secrets: Vec<[u8; 32]> = people.iter().map(|p| secret(&asked, p).0).collect();
        let drawn = TieRule::Lot { seed: tie_seed(&asked.0, &root.0, &secrets) };
        assert_eq!(rule, if lot { drawn } else { TieRule::Listed });
    }
}

/// C4: who reveals last knows the panel and withholds. It is barred, and the draw repeated.
#[test]
fn whoever_withholds_is_barred_and_the_draw_repeated() {
    let mut town = Town::new(8);
    let people = town.people.clone();
    let asked = town.must(&people[0].key, lottery(&town, 7, &[]));
    round(&mut town, asked, &people, &people[1..]);
    assert_eq!(status(&town, asked), Status::Open, "there is another round");
    let first = town.state.proposals[&asked].rounds[0].clone();
    assert_eq!((first.revealed, first.withheld, first.charged), (7, vec![people[0].id], true));
    let reason = town.void(&people[0].key, commit_secret(asked, &people[0]));
    assert!(reason.contains("no draw"), "{reason}");
    round(&mut town, asked, &people[1..], &people[1..]);
    let on_it = seated(&town, asked);
    assert_eq!(on_it.len(), 7, "all but the one who withheld");
    assert!(!on_it.contains(&people[0].id.to_string()));
    let panel = view::panel(&town.state, &town.state.proposals[&asked]).unwrap();
    assert_eq!((panel.rounds.len(), panel.withheld), (2, 0));
    // It is barred from other draws as well, for a year.
    let next = town.must(&people[0].key, lottery(&town, 3, &[]));
    assert!(town.void(&people[0].key, commit_secret(next, &people[0])).contains("no draw"));
    town.tick(366 * DAY);
    let later = town.must(&people[0].key, lottery(&town, 3, &[]));
    town.must(&people[0].key, commit_secret(later, &people[0]));
    assert_eq!(views(&town.state), views(&town.replayed()));
}

/// Secrets of an earlier round are known, and do not count in the next one.
#[test]
fn a_known_secret_is_not_used_again() {
    let mut town = Town::new(8);
    let people = town.people.clone();
    let asked = town.must(&people[0].key, lottery(&town, 3, &[]));
    round(&mut town, asked, &people, &people[1..]);
    // Nobody commits anew: what was revealed in the first round opens nothing.
    round(&mut town, asked, &[], &people[1..]);
    assert!(matches!(status(&town, asked), Status::Failed { .. }));
}

/// Colluders who give up one of them in each round get three tries, and the last one says what
/// they could choose.
#[test]
fn a_draw_repeats_a_bounded_number_of_times_and_states_the_choice() {
    let mut town = Town::new(12);
    let people = town.people.clone();
    let asked = town.must(&people[11].key, lottery(&town, 3, &[]));
    round(&mut town, asked, &people, &people[1..]);
    round(&mut town, asked, &people[1..], &people[2..]);
    round(&mut town, asked, &people[2..], &people[4..]);
    let panel = view::panel(&town.state, &town.state.proposals[&asked]).unwrap();
    assert_eq!((panel.drawn.len(), panel.rounds.len(), panel.withheld), (3, 3, 2));
    let withheld: Vec<_> = people[..4].iter().map(|p| p.id.to_string()).collect();
    assert!(!seated(&town, asked).iter().any(|member| withheld.contains(member)));
    assert!(matches!(status(&town, asked), Status::Passed { .. }));
}

/// The log stood still while secrets were to be revealed: nobody is charged for that.
#[test]
fn nobody_is_charged_where_no_mark_reached_anybodys_secret() {
    let mut town = Town::new(6);
    let people = town.people.clone();
    let asked = town.must(&people[0].key, lottery(&town, 3, &[]));
    round(&mut town, asked, &people, &[]);
    let rounds = &town.state.proposals[&asked].rounds;
    assert_eq!((rounds[0].withheld.len(), rounds[0].charged), (6, false));
    round(&mut town, asked, &people, &people);
    assert!(matches!(status(&town, asked), Status::Passed { .. }));
}

/// The operator leaves one member's secret out to have it barred; another member shows it.
#[test]
fn a_secret_that_the_operator_leaves_out_counts_when_another_shows_it() {
    let mut town = Town::new(6);
    let people = town.people.clone();
    let asked = town.must(&people[0].key, lottery(&town, 3, &[]));
    town.each_says(&people, |p| commit_secret(asked, p));
    town.tick(1);
    town.tick(DAY + 1);
    town.each_says(&people[1..], |p| reveal_secret(asked, p));
    let (seq, prev) = town.state.chain_head(&people[0].id);
    let left_out = town.forge(&people[0].key, seq, prev, reveal_secret(asked, &people[0]));
    let show = |statement: &commons::Statement| Check {
        subject: Subject::Statement(statement.hash()),
        verdict: Verdict::Unavailable,
        evidence: Evidence::Statement(statement.bytes().to_vec()),
    };
    town.must(&people[2].key, show(&left_out));
    // A made-up one shows nothing.
    let forged =
        town.forge(&people[3].key, 99, Some(Hash::of(b"x")), reveal_secret(asked, &people[0]));
    town.must(&people[3].key, show(&forged));
    town.tick(60);
    town.tick(2 * DAY);
    let rounds = &town.state.proposals[&asked].rounds;
    assert_eq!((rounds.len(), rounds[0].revealed, rounds[0].withheld.len()), (1, 6, 0));
    assert!(matches!(status(&town, asked), Status::Passed { .. }));
    assert_eq!(views(&town.state), views(&town.replayed()));
}

/// C6: two panels under one checkpoint, with the same secrets, are two draws.
#[test]
fn every_draw_and_lot_is_seeded_with_its_question() {
    let mut town = Town::new(12);
    let people = town.people.clone();
    let ask = lottery(&town, 4, &[]);
    let asked =
        [0, 1].map(|n| town.must(&people[n].key, Propose { title: format!("{n}"), ..ask.clone() }));
    let salt = Hash::of(b"the same");
    for person in &people {
        for question in asked {
            let digest = commit(&question, &person.id, &salt, &[]);
            town.say(&person.key, Vote { proposal: question, ballot: VoteBody::Commit(digest) });
        }
    }
    town.tick(1);
    town.tick(DAY + 1);
    for person in &people {
        for proposal in asked {
            let ballot = VoteBody::Reveal { groups: vec![], salt };
            town.say(&person.key, Vote { proposal, ballot });
        }
    }
    town.tick(60);
    town.tick(DAY);
    let [a, b] = asked.map(|question| seated(&town, question));
    assert_eq!((a.len(), b.len()), (4, 4));
    assert_ne!(a, b);
    let seeds = asked
        .map(|q| [panel_seed(&q.0, 1, &[1; 32], &[salt.0]), tie_seed(&q.0, &[1; 32], &[salt.0])]);
    assert!(seeds[0][0] != seeds[1][0] && seeds[0][1] != seeds[1][1]);
    assert_ne!(seeds[0][0], panel_seed(&asked[0].0, 2, &[1; 32], &[salt.0]), "each round too");
}

/// C5: quotas that nobody can meet.
#[test]
fn quotas_that_no_panel_meets_are_refused_when_asked() {
    let mut town = Town::new(6);
    let people = town.people.clone();
    town.work_at(&people[0], "Acme");
    let key = people[1].key.clone();
    let impossible: [&[(&str, u16, u16)]; 5] = [
        &[("Nobody's", 1, 3)],
        &[("Acme", 2, 3)],
        &[("users", 1, 3)],
        &[("contributors", 0, 2)],
        &[("Acme", 1, 1), ("contributors", 3, 3), ("users", 0, 0), ("Beta", 1, 1)],
    ];
    for quotas in impossible {
        let reason = town.void(&key, lottery(&town, 3, quotas));
        assert!(reason.contains("no panel meets"), "{quotas:?}: {reason}");
    }
    let twice = lottery(&town, 3, &[("Acme", 0, 1), ("Acme", 0, 2)]);
    assert!(town.void(&key, twice).contains("twice"));
    let ask = lottery(&town, 3, &[("Acme", 1, 1), ("contributors", 3, 3)]);
    let asked = drawn(&mut town, ask);
    assert!(seated(&town, asked).contains(&people[0].id.to_string()));
}

/// A panel that might hear the appeal is asked for, and its friends withhold to run out the time.
#[test]
fn an_appeal_does_not_run_out_while_its_panel_is_kept_from_being_drawn() {
    let short = Rules { appeal_period: 3 * DAY, ..rules() };
    let mut town = Town::with_rules(8, short);
    let people = town.people.clone();
    let victim = people[7].clone();
    let removed = decide(&mut town, |town| removal(town, &victim.id), &[0, 1]);
    let asked = town.must(&victim.key, lottery(&town, 3, &[]));
    round(&mut town, asked, &people, &people[1..]);
    round(&mut town, asked, &people[1..], &people[2..]);
    let Status::Passed { closed, .. } = status(&town, removed) else { panic!("not passed") };
    assert!(town.now > closed + 3 * DAY, "the appeal period is over");
    assert!(town.state.is_member(&victim.id), "and the removal waits");
    round(&mut town, asked, &people[2..], &people[2..]);
    let heard = town.must(&victim.key, appeal(&town, removed));
    panel_votes(&mut town, heard, &[0]);
    town.tick(60);
    town.tick(DAY + 60);
    assert!(matches!(status(&town, removed), Status::Overturned { .. }));
    // Where nobody appeals, it comes into force when the panel could have heard it.
    let again = decide(&mut town, |town| removal(town, &victim.id), &[0, 1]);
    let ask = lottery(&town, 3, &[]);
    let key = people[3].key.clone();
    let asked = town.must(&key, ask);
    give_secrets(&mut town, asked, &people[2..]);
    town.tick(8 * DAY);
    town.tick(60);
    assert!(matches!(status(&town, again), Status::Passed { in_force: true, .. }));
    assert!(!town.state.is_member(&victim.id));
}
