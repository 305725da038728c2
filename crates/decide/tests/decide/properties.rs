//! What holds of every election.

use decide::{
    Ballot, Election, MARGIN_EFFORT, Method, Quorum, Ratio, Step, TieRule, Unranked, Voter,
    VoterMargin, margin, tally,
};
use proptest::prelude::*;

use super::election;

/// Rankings with ties and gaps.
fn ranking(options: u32, equal: bool) -> impl Strategy<Value = Vec<Vec<u32>>> {
    let order = Just((0..options).collect::<Vec<u32>>()).prop_shuffle();
    (order, 0..=options, any::<u64>()).prop_map(move |(order, named, joins)| {
        let mut groups: Vec<Vec<u32>> = Vec::new();
        for (at, &option) in order[..named as usize].iter().enumerate() {
            match groups.last_mut() {
                Some(group) if equal && joins >> at & 1 == 1 => group.push(option),
                _ => groups.push(vec![option]),
            }
        }
        groups
    })
}

prop_compose! {
    fn rules(most: u32)(
        options in 2..=most,
        method in prop_oneof![Just(Method::Approval), Just(Method::Schulze), Just(Method::Committee), Just(Method::Stv)],
        no_opinion: bool,
        with_default: bool,
        ratios in prop::collection::vec(1..4u32, most as usize),
        employers in prop::collection::vec(0..3u8, most as usize),
        seats in 1..=3u32,
        cap: bool,
        quorum in prop_oneof![
            Just(Quorum::None),
            (0..5u64).prop_map(Quorum::Votes),
            Just(Quorum::Root { times: Ratio::new(3, 1) }),
            Just(Quorum::Share(Ratio::new(1, 4))),
        ],
        electors in 0..40u64,
        lot in prop::option::of(any::<[u8; 32]>()),
    ) -> Election {
        let mut e = election(options, method, 1);
        let with_default = with_default && method != Method::Stv && options > 2;
        if with_default {
            e.default = Some(options - 1);
            for (choice, &num) in e.options.iter_mut().zip(&ratios) {
                choice.ratio = Ratio::new(num, 1);
            }
        }
        for (choice, &employer) in e.options.iter_mut().zip(&employers) {
            choice.employer = (employer > 0).then(|| format!("employer {employer}"));
        }
        if method != Method::Schulze {
            e.seats = seats.min(options - u32::from(with_default));
        }
        if cap && e.seats > 1 {
            e.employer_cap = Some(Ratio::new(1, 2));
        }
        e.unranked = if no_opinion { Unranked::NoOpinion } else { Unranked::Last };
        e.quorum = quorum;
        e.electors = electors;
        if let Some(seed) = lot {
            e.tie = TieRule::Lot { seed };
        }
        e
    }
}

fn cast(election: Election, most: usize) -> impl Strategy<Value = (Election, Vec<Ballot>)> {
    let options = election.options.len() as u32;
    let rankings =
        prop::collection::vec(ranking(options, election.method != Method::Stv), 0..=most);
    rankings.prop_map(move |rankings| {
        let ballot = |(voter, groups)| Ballot { voter, groups };
        (election.clone(), (0..).zip(rankings).map(ballot).collect())
    })
}

fn elections(options: u32, ballots: usize) -> impl Strategy<Value = (Election, Vec<Ballot>)> {
    rules(options).prop_flat_map(move |election| cast(election, ballots))
}

/// Few kinds of ballots, many of each: what real elections look like.
fn crowded(options: u32) -> impl Strategy<Value = (Election, Vec<Ballot>)> {
    (elections(options, 6), prop::collection::vec(1..12u32, 6)).prop_map(
        |((election, few), times)| {
            let mut ballots = Vec::new();
            for (ballot, times) in few.iter().zip(times) {
                for _ in 0..times {
                    ballots.push(Ballot { voter: ballots.len() as u32, ..ballot.clone() });
                }
            }
            (election, ballots)
        },
    )
}

fn sorted(mut options: Vec<u32>) -> Vec<u32> {
    options.sort_unstable();
    options
}

fn winners(election: &Election, ballots: &[Ballot]) -> Vec<u32> {
    sorted(tally(election, ballots).expect("an election that can be held").winners)
}

/// The winners without the ballots that `gone` says.
fn winners_without(
    election: &Election,
    ballots: &[Ballot],
    gone: impl Fn(&Ballot) -> bool,
) -> Vec<u32> {
    let left: Vec<Ballot> = ballots.iter().filter(|ballot| !gone(ballot)).cloned().collect();
    winners(election, &left)
}

/// The size of the smallest set of ballots whose removal flips the result.
fn brute_force(election: &Election, ballots: &[Ballot]) -> Option<u32> {
    let before = winners(election, ballots);
    (1u32..1 << ballots.len())
        .filter(|gone| winners_without(election, ballots, |b| gone >> b.voter & 1 == 1) != before)
        .map(u32::count_ones)
        .min()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_order_of_ballots_changes_nothing((election, ballots) in elections(7, 30), shift in 0..30usize) {
        let mut turned = ballots.clone();
        turned.rotate_left(shift % ballots.len().max(1));
        turned.iter_mut().for_each(|ballot| ballot.groups.iter_mut().for_each(|group| group.reverse()));
        prop_assert_eq!(tally(&election, &ballots), tally(&election, &turned));
    }

    /// Lots go by name, so even ties are settled alike.
    #[test]
    fn the_numbering_of_options_changes_nothing(
        (mut election, ballots) in elections(7, 30),
        seed: [u8; 32],
        by in 0..7usize,
    ) {
        election.tie = TieRule::Lot { seed };
        let count = election.options.len();
        let new = |option: u32| ((option as usize + by) % count) as u32;
        let mut renumbered = election.clone();
        renumbered.options.rotate_right(by % count);
        renumbered.default = election.default.map(new);
        let mut again = ballots.clone();
        for option in again.iter_mut().flat_map(|b| &mut b.groups).flatten() {
            *option = new(*option);
        }
        let before: Vec<u32> = tally(&election, &ballots).unwrap().winners.into_iter().map(new).collect();
        prop_assert_eq!(before, tally(&renumbered, &again).unwrap().winners);
    }

    #[test]
    fn who_beats_everybody_wins((mut election, ballots) in elections(7, 30)) {
        election.method = Method::Schulze;
        (election.seats, election.default, election.employer_cap) = (1, None, None);
        election.quorum = Quorum::None;
        election.options.iter_mut().for_each(|choice| choice.ratio = Ratio::ONE);
        let outcome = tally(&election, &ballots).unwrap();
        let count = election.options.len();
        let beats = |a: usize, b: usize| outcome.pairwise.votes(a, b) > outcome.pairwise.votes(b, a);
        if let Some(best) = (0..count).find(|&a| (0..count).all(|b| a == b || beats(a, b))) {
            prop_assert_eq!(outcome.winners, [best as u32]);
        }
    }

    /// Dropping the weakest defeats inside the Schwartz set leaves those whom no stronger path beats.
    #[test]
    fn the_last_schwartz_set_is_the_unbeaten((mut election, ballots) in elections(7, 12)) {
        election.method = Method::Schulze;
        (election.seats, election.default, election.employer_cap) = (1, None, None);
        election.quorum = Quorum::None;
        election.options.iter_mut().for_each(|choice| choice.ratio = Ratio::ONE);
        let outcome = tally(&election, &ballots).unwrap();
        let last = outcome.steps.iter().rev().find_map(|step| match step {
            Step::Schwartz { set } => Some(set.clone()),
            _ => None,
        });
        let count = election.options.len();
        let v = |a: usize, b: usize| outcome.pairwise.votes(a, b);
        let strength = |a, b| if v(a, b) > v(b, a) { (v(a, b), u64::MAX - v(b, a)) } else { (0, 0) };
        let mut path: Vec<Vec<(u64, u64)>> =
            (0..count).map(|a| (0..count).map(|b| strength(a, b)).collect()).collect();
        for by in 0..count {
            for a in 0..count {
                for b in 0..count {
                    path[a][b] = path[a][b].max(path[a][by].min(path[by][b]));
                }
            }
        }
        let unbeaten: Vec<u32> = (0..count)
            .filter(|&a| (0..count).all(|b| a == b || path[a][b] >= path[b][a]))
            .map(|a| a as u32)
            .collect();
        prop_assert_eq!(last, Some(unbeaten));
    }

    #[test]
    fn no_employer_gets_more_than_the_cap((mut election, ballots) in elections(7, 30), seats in 2..5u32) {
        if election.method != Method::Schulze {
            let most = election.options.len() as u32 - u32::from(election.default.is_some());
            election.seats = seats.min(most);
            election.employer_cap = Some(Ratio::new(1, 2));
            prop_assume!(election.cap() > 0);
            let outcome = tally(&election, &ballots).unwrap();
            for employer in ["employer 1", "employer 2"] {
                let held = outcome.winners.iter().filter(|&&option| {
                    election.options[option as usize].employer.as_deref() == Some(employer)
                });
                prop_assert!(held.count() <= election.cap() as usize);
            }
        }
    }

    #[test]
    fn margins_are_the_smallest_there_are((election, ballots) in elections(5, 9)) {
        let found = margin(&election, &ballots, &[], MARGIN_EFFORT).unwrap().voters;
        match (&found, brute_force(&election, &ballots)) {
            (VoterMargin::Never, None) => {}
            (VoterMargin::Exact(removal), Some(least)) => {
                prop_assert_eq!(removal.voters.len() as u32, least);
                let after = winners_without(&election, &ballots, |b| removal.voters.contains(&b.voter));
                prop_assert_eq!(&after, &sorted(removal.winners.clone()));
                prop_assert_ne!(after, winners(&election, &ballots));
            }
            (found, least) => prop_assert!(false, "{:?}, by brute force {:?}", found, least),
        }
    }

    /// With little effort, less is said, and all of it holds.
    #[test]
    fn hasty_margins_hold((election, ballots) in crowded(5), effort in 0..20_000u64) {
        let hasty = margin(&election, &ballots, &[], effort).unwrap().voters;
        let thorough = margin(&election, &ballots, &[], 20 * MARGIN_EFFORT).unwrap().voters;
        if let (Some(proven), VoterMargin::Exact(least)) = (hasty.proven(), &thorough) {
            prop_assert!(proven <= least.voters.len() as u64);
        }
        if let VoterMargin::Between { found: Some(removal), at_least } = hasty {
            prop_assert!(removal.voters.len() as u64 >= at_least);
            let after = winners_without(&election, &ballots, |b| removal.voters.contains(&b.voter));
            prop_assert_ne!(after, winners(&election, &ballots));
        }
    }

    #[test]
    fn blocs_are_the_smallest_that_flip(
        (election, ballots) in crowded(5),
        attributes in prop::collection::vec((0..6u8, prop::collection::vec(0..5u32, 0..3)), 80),
    ) {
        let voter = |(employer, vouchers): &(u8, Vec<u32>)| Voter {
            employer: (*employer > 0).then(|| employer.to_string()),
            vouchers: vouchers.clone(),
        };
        let voters: Vec<Voter> = attributes.iter().map(voter).collect();
        let found = margin(&election, &ballots, &voters, MARGIN_EFFORT).unwrap();
        prop_assert_eq!(found.untried, 0);
        let before = winners(&election, &ballots);
        let of = |b: &Ballot| voters.get(b.voter as usize).cloned().unwrap_or_default();
        let size = |gone: &dyn Fn(&Ballot) -> bool| {
            let flips = winners_without(&election, &ballots, gone) != before;
            flips.then(|| ballots.iter().filter(|b| gone(b)).count() as u64)
        };
        let employers = (1..6).filter_map(|e: u8| size(&|b| of(b).employer == Some(e.to_string())));
        prop_assert_eq!(found.employer.map(|bloc| bloc.voters), employers.min());
        let vouchers = (0..5).filter_map(|v| size(&|b| of(b).vouchers.contains(&v)));
        prop_assert_eq!(found.voucher.map(|bloc| bloc.voters), vouchers.min());
    }
}
