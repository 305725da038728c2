//! Two houses.

use decide::{
    Ballot, DecideError, Election, House, MARGIN_EFFORT, Method, Ratio, Voter, VoterMargin,
    explain_houses, two_houses, two_houses_margin,
};
use proptest::prelude::*;

use super::{ballots, election};

/// Options A (3:1), B (3:1) and the default C.
fn change() -> Election {
    let mut change = election(3, Method::Schulze, 1);
    change.default = Some(2);
    for option in [0, 1] {
        change.options[option].ratio = Ratio::new(3, 1);
    }
    change
}

fn passed(users: &[Ballot], contributors: &[Ballot]) -> Option<u32> {
    let election = change();
    let house = |ballots| House { election: &election, ballots };
    two_houses(house(users), house(contributors)).expect("a change").passed
}

#[test]
fn a_change_needs_both_houses() {
    let election = change();
    let house = |ballots| House { election: &election, ballots };
    let (yes, no) = (ballots("3: A > C > B\n 1: C > A"), ballots("2: A > C > B\n 1: C > A"));
    let both = two_houses(house(&yes), house(&yes)).unwrap();
    assert_eq!(both.passed, Some(0));
    let words = explain_houses(&election, &both.users, &both.contributors);
    assert!(words[1].contains("“A” is adopted"));
    for (users, contributors) in [(&yes, &no), (&no, &yes), (&no, &no)] {
        let both = two_houses(house(users), house(contributors)).unwrap();
        assert_eq!(both.passed, None);
        let words = explain_houses(&election, &both.users, &both.contributors);
        assert!(words[1].contains("nothing changes"));
    }
    assert_eq!(passed(&yes, &ballots("4: B > C")), None, "they want different things");
}

fn empty(election: &Election) -> House<'_> {
    House { election, ballots: &[] }
}

#[test]
fn houses_must_be_asked_the_same() {
    let (one, mut other) = (change(), change());
    other.options[0].name = "another text".to_owned();
    assert_eq!(two_houses(empty(&one), empty(&other)), Err(DecideError::Houses));
    let open = election(3, Method::Schulze, 1);
    assert_eq!(two_houses(empty(&open), empty(&open)), Err(DecideError::Houses));
}

fn house(first: u32) -> impl Strategy<Value = Vec<Ballot>> {
    let ranking = prop_oneof![
        4 => Just(vec![vec![0], vec![2], vec![1]]),
        1 => Just(vec![vec![1], vec![0], vec![2]]),
        1 => Just(vec![vec![2]]),
        1 => Just(vec![vec![0, 1], vec![2]]),
    ];
    prop::collection::vec(ranking, 0..6).prop_map(move |rankings| {
        (first..).zip(rankings).map(|(voter, groups)| Ballot { voter, groups }).collect()
    })
}

proptest! {
    /// Voters 3 and 4 may sit in both houses; where nobody does, the margin is exact.
    #[test]
    fn margins_of_two_houses_hold(
        users in house(0),
        contributors in prop_oneof![house(3), house(5)],
        employers in prop::collection::vec(0..3u8, 10),
    ) {
        let election = change();
        let voter = |employer: &u8| Voter { employer: Some(employer.to_string()), vouchers: vec![] };
        let voters: Vec<Voter> = employers.iter().map(voter).collect();
        let before = passed(&users, &contributors);
        let without = |gone: &dyn Fn(u32) -> bool| {
            let left = |house: &[Ballot]| -> Vec<Ballot> {
                house.iter().filter(|ballot| !gone(ballot.voter)).cloned().collect()
            };
            passed(&left(&users), &left(&contributors))
        };
        let voted = |voter: u32| users.iter().chain(&contributors).any(|b| b.voter == voter);
        let least = (1u32..1 << 10)
            .filter(|set| (0..10).all(|v| set >> v & 1 == 0 || voted(v)))
            .filter(|set| without(&|v| set >> v & 1 == 1) != before)
            .map(u32::count_ones)
            .min();
        let house = |ballots| House { election: &election, ballots };
        let found =
            two_houses_margin(house(&users), house(&contributors), &voters, MARGIN_EFFORT).unwrap();
        match found.voters {
            VoterMargin::Never => prop_assert_eq!(least, None),
            VoterMargin::Exact(removal) => {
                prop_assert_eq!(Some(removal.voters.len() as u32), least);
                let after: Vec<u32> = without(&|v| removal.voters.contains(&v)).into_iter().collect();
                prop_assert_eq!(after, removal.winners);
            }
            VoterMargin::Between { at_least, found } => {
                let both = users.iter().any(|b| contributors.iter().any(|c| c.voter == b.voter));
                prop_assert!(both, "{} to {:?}, by brute force {:?}", at_least, found, least);
                prop_assert!(least.is_none_or(|least| u64::from(least) >= at_least));
                if let Some(removal) = found {
                    prop_assert!(without(&|v| removal.voters.contains(&v)) != before);
                }
            }
        }
        let of = |e: u8| (0..10).filter(|&v| voted(v) && employers[v as usize] == e).count() as u64;
        let flips = |e: &u8| without(&|v| employers[v as usize] == *e) != before;
        let smallest = (0..3).filter(flips).map(of).min();
        prop_assert_eq!(found.employer.map(|bloc| bloc.voters), smallest);
    }
}
