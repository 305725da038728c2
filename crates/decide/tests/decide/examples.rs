//! Small elections whose results follow by hand.

use decide::{
    Ballot, DecideError, Method, Quorum, Ratio, Spoilt, Step, TieRule, Unranked, Voter,
    VoterMargin, explain, margin, matrix_table, tally,
};

use super::{ballots, election};

#[test]
fn last_and_no_opinion_elect_different_people() {
    let votes = ballots("3: A\n 2: B > A\n 1: C > B > A");
    let mut schulze = election(3, Method::Schulze, 1);
    assert_eq!(tally(&schulze, &votes).unwrap().winners, [0], "A beats B and C by three and more");
    schulze.unranked = Unranked::NoOpinion;
    // The three who name only A say nothing: B beats A 3 to 0, C beats both 1 to 0.
    let outcome = tally(&schulze, &votes).unwrap();
    assert_eq!(outcome.winners, [2]);
    assert_eq!(outcome.pairwise.rows().collect::<Vec<_>>(), [[0, 0, 0], [3, 0, 0], [1, 1, 0]]);
}

/// The example with 45 voters in Schulze's papers.
#[test]
fn schulze_s_own_example() {
    let votes = ballots(
        "5: A > C > B > E > D\n 5: A > D > E > C > B\n 8: B > E > D > A > C\n 3: C > A > B > E > D
         7: C > A > E > B > D\n 2: C > B > A > D > E\n 7: D > C > E > B > A\n 8: E > B > A > D > C",
    );
    assert_eq!(tally(&election(5, Method::Schulze, 1), &votes).unwrap().winners, [4]);
    let order = tally(&election(5, Method::Committee, 5), &votes).unwrap().winners;
    assert_eq!(order, [4, 0, 2, 1, 3], "E, A, C, B, D");
}

#[test]
fn a_committee_skips_whoever_is_over_the_cap() {
    let mut committee = election(5, Method::Committee, 3);
    for option in [0, 1, 2] {
        committee.options[option].employer = Some("Acme".to_owned());
    }
    let votes = ballots("7: A > B > C > D > E");
    assert_eq!(tally(&committee, &votes).unwrap().winners, [0, 1, 2]);
    committee.employer_cap = Some(Ratio::new(1, 3));
    assert_eq!(tally(&committee, &votes).unwrap().winners, [0, 3, 4]);
    committee.options[4].employer = Some("Acme".to_owned());
    let outcome = tally(&committee, &votes).unwrap();
    assert_eq!(outcome.winners, [0, 3], "a seat stays empty");
    assert_eq!(outcome.steps.last(), Some(&Step::Vacant { seats: 1 }));
    let lines = explain(&committee, &outcome).join("\n");
    assert!(lines.contains("“B” gets no seat: Acme has 1 seat"), "{lines}");
}

#[test]
fn approval_takes_the_most_approved_over_the_quorum() {
    let mut approval = election(4, Method::Approval, 2);
    (approval.quorum, approval.electors) = (Quorum::Share(Ratio::new(1, 2)), 10);
    let votes = ballots("4: AB\n 2: BC > D\n 3: D");
    let outcome = tally(&approval, &votes).unwrap();
    assert_eq!(outcome.winners, [1], "B has 6 of the 5 needed; nobody else has them");
    approval.quorum = Quorum::None;
    assert_eq!(tally(&approval, &votes).unwrap().winners, [1, 0]);
}

#[test]
fn a_text_needs_its_majority_over_the_default_option() {
    let mut change = election(2, Method::Schulze, 1);
    change.default = Some(1);
    change.options[0].ratio = Ratio::new(3, 1);
    assert_eq!(tally(&change, &ballots("6: A > B\n 2: B > A")).unwrap().winners, [0]);
    assert_eq!(tally(&change, &ballots("5: A > B\n 2: B > A")).unwrap().winners, [1]);
    assert_eq!(tally(&change, &[]).unwrap().winners, [1], "no votes for are not three times none");
    (change.quorum, change.electors) = (Quorum::Root { times: Ratio::new(3, 1) }, 17);
    assert_eq!(tally(&change, &ballots("6: A > B")).unwrap().winners, [1], "3 · √17 / 2 = 6.2");
}

#[test]
fn the_tie_rule_that_was_declared_decides() {
    let votes = ballots("2: A > B\n 1: B > A\n 1: B");
    let mut tied = election(2, Method::Schulze, 1);
    assert_eq!(tally(&tied, &votes).unwrap().winners, [0]);
    tied.tie = TieRule::Casting { voter: 3 };
    assert_eq!(tally(&tied, &votes).unwrap().winners, [1]);
    tied.tie = TieRule::Casting { voter: 99 };
    assert_eq!(tally(&tied, &votes).unwrap().winners, [0]);
    let drawn = |seed: u8| {
        let lot = TieRule::Lot { seed: [seed; 32] };
        tally(&decide::Election { tie: lot, ..tied.clone() }, &votes).unwrap().winners[0]
    };
    let all: Vec<u32> = (0..20).map(drawn).collect();
    assert!(all.contains(&0) && all.contains(&1), "{all:?}");
}

/// Quota ⌊20/4⌋ + 1 = 6. C's surplus of 6 of 12 passes on at half a vote a paper, and so on.
#[test]
fn a_transferable_vote_in_words() {
    let stv = election(5, Method::Stv, 3);
    let votes = ballots("4: A\n 2: B > A\n 8: C > D\n 4: C > E\n 1: D\n 1: E");
    let outcome = tally(&stv, &votes).unwrap();
    assert_eq!(outcome.winners, [2, 0, 3]);
    insta::assert_snapshot!(explain(&stv, &outcome).join("\n"));
}

/// 2 votes over a quota of 5 among 7 papers are worth 0.28571 each; what truncation cuts is lost.
#[test]
fn transfer_values_are_cut_to_five_decimals() {
    let stv = election(3, Method::Stv, 2);
    let outcome = tally(&stv, &ballots("7: A > B\n 3: B\n 3: C")).unwrap();
    let second = outcome.steps.iter().find_map(|step| match step {
        Step::Stage { number: 2, votes, lost } => Some((votes.clone(), *lost)),
        _ => None,
    });
    assert_eq!(second, Some((vec![500_000, 300_000 + 7 * 28_571, 300_000], 3)));
    assert_eq!(outcome.winners, [0, 1]);
}

#[test]
fn a_council_by_transferable_vote_keeps_the_cap() {
    let mut stv = election(5, Method::Stv, 3);
    for option in [0, 1] {
        stv.options[option].employer = Some("Acme".to_owned());
    }
    let votes = ballots("8: A > B > C\n 7: B > A > D\n 3: C\n 2: D\n 1: E");
    assert_eq!(tally(&stv, &votes).unwrap().winners[..2], [0, 1]);
    stv.employer_cap = Some(Ratio::new(1, 3));
    let outcome = tally(&stv, &votes).unwrap();
    assert_eq!(outcome.winners, [0, 3, 2], "B's papers go to D");
}

#[test]
fn a_whole_count_in_words() {
    let mut schulze = election(4, Method::Schulze, 1);
    schulze.default = Some(3);
    (schulze.quorum, schulze.electors) = (Quorum::Root { times: Ratio::new(3, 1) }, 30);
    let votes =
        ballots("4: A > B > C > D\n 3: B > C > A > D\n 2: C > A > B > D\n 2: C > A > B > D");
    let outcome = tally(&schulze, &votes).unwrap();
    let names: Vec<&str> = schulze.options.iter().map(|option| option.name.as_str()).collect();
    let mut lines = matrix_table(&names, &outcome.pairwise);
    lines.extend(explain(&schulze, &outcome));
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn spoilt_ballots_are_named_and_not_counted() {
    let mut votes = ballots("2: A > B");
    let bad = [vec![vec![7]], vec![vec![0], vec![0]], vec![vec![]], vec![vec![u32::MAX]]];
    votes.extend(bad.into_iter().zip(10..).map(|(groups, voter)| Ballot { voter, groups }));
    let outcome = tally(&election(2, Method::Schulze, 1), &votes).unwrap();
    let why: Vec<Spoilt> = outcome.spoilt.iter().map(|ballot| ballot.why.clone()).collect();
    let none = Spoilt::NoSuchOption;
    assert_eq!(why, [none(7), Spoilt::Twice(0), Spoilt::EmptyGroup, none(u32::MAX)]);
    assert_eq!((outcome.ballots, &outcome.winners[..]), (2, &[0][..]));
    let equal = ballots("1: AB");
    let outcome = tally(&election(2, Method::Stv, 1), &equal).unwrap();
    assert_eq!(outcome.spoilt[0].why, Spoilt::Equal);
}

#[test]
fn elections_that_cannot_be_held_are_errors() {
    let good = election(3, Method::Committee, 2);
    let check = |change: &dyn Fn(&mut decide::Election)| {
        let mut e = good.clone();
        change(&mut e);
        tally(&e, &[]).expect_err("it cannot be held")
    };
    assert_eq!(check(&|e| e.options.clear()), DecideError::Options(0));
    assert_eq!(check(&|e| e.default = Some(3)), DecideError::NoSuchDefault(3, 3));
    assert!(matches!(check(&|e| e.seats = 4), DecideError::Seats { .. }));
    assert!(matches!(check(&|e| e.seats = 0), DecideError::Seats { .. }));
    assert!(matches!(check(&|e| e.method = Method::Schulze), DecideError::Seats { .. }));
    let cap = |num, den| {
        move |e: &mut decide::Election| {
            e.employer_cap = Some(Ratio::new(num, den));
        }
    };
    for (num, den) in [(1, 3), (1, 0), (3, 2), (0, 1)] {
        assert!(matches!(check(&cap(num, den)), DecideError::BadCap { .. }), "{num}/{den}");
    }
    let ratio = |num, den| {
        move |e: &mut decide::Election| {
            e.options[1].ratio = Ratio::new(num, den);
        }
    };
    assert!(matches!(check(&ratio(1, 2)), DecideError::BadRatio(..)));
    assert!(matches!(check(&ratio(3, 0)), DecideError::BadRatio(..)));
    assert!(matches!(check(&ratio(3, 1)), DecideError::RatioWithoutDefault(_)));
    let zero = Quorum::Share(Ratio::new(1, 0));
    assert_eq!(check(&|e| e.quorum = zero), DecideError::BadQuorum);
    assert!(matches!(check(&|e| e.options[1].name = "A".into()), DecideError::SameName(_)));
    assert_eq!(
        check(&|e| (e.method, e.default) = (Method::Stv, Some(0))),
        DecideError::DefaultInStv
    );
    let twice = [ballots("1: A"), ballots("1: B")].concat();
    assert_eq!(tally(&good, &twice), Err(DecideError::VotedTwice(0)));
}

/// k fakes under one voucher decide; their voucher is named, and the margin is no more than k.
#[test]
fn fakes_under_one_voucher_show_in_the_margin() {
    let schulze = election(2, Method::Schulze, 1);
    let votes = ballots("10: B > A\n 13: A > B");
    let mut voters = vec![Voter::default(); 23];
    voters[12..].iter_mut().for_each(|voter| voter.vouchers = vec![7]);
    voters[..11].iter_mut().for_each(|voter| voter.employer = Some("Acme".to_owned()));
    let margin = margin(&schulze, &votes, &voters, 1_000_000).unwrap();
    let voucher = margin.voucher.expect("without them B wins");
    assert_eq!((voucher.who, voucher.voters, voucher.winners), (7, 11, vec![1]));
    assert_eq!(margin.employer, None);
    match margin.voters {
        VoterMargin::Exact(removal) => {
            assert_eq!((removal.voters.len(), removal.winners), (4, vec![1]))
        }
        other => panic!("{other:?}"),
    }
}

/// Who falls below the quorum loses, so the margin counts that too.
#[test]
fn a_quorum_can_be_the_margin() {
    let mut change = election(2, Method::Schulze, 1);
    change.default = Some(1);
    (change.quorum, change.electors) = (Quorum::Votes(8), 100);
    let margin = margin(&change, &ballots("10: A > B"), &[], 1_000_000).unwrap();
    assert_eq!(margin.voters.proven(), Some(3));
}
