//! Nonsense is an error or a spoilt ballot, never a panic.

use decide::{
    Attribute, Ballot, Choice, Election, Lottery, MAX_OPTIONS, Method, Pairwise, Person, Quorum,
    Ratio, Share, TieRule, Unranked, Voter, explain, margin, tally, tally_pairwise,
};
use proptest::prelude::*;

/// Mostly small numbers, and the ends.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![6 => 0..5u32, 1 => 60..70u32, 1 => Just(u32::MAX), 1 => any::<u32>()]
}

prop_compose! {
    fn any_election()(
        options in prop::collection::vec((number(), number(), prop::option::of(0..3u8)), 0..=MAX_OPTIONS + 2),
        default in prop::option::of(number()),
        method in prop_oneof![Just(Method::Approval), Just(Method::Schulze), Just(Method::Committee), Just(Method::Stv)],
        no_opinion: bool,
        casting in prop::option::of(number()),
        seats in number(),
        cap in prop::option::of((number(), number())),
        quorum in (0..4u8, any::<u64>(), number(), number()),
        electors: u64,
        held in prop::collection::vec(prop::option::of((0..3u8).prop_map(|n| n.to_string())), 0..4),
        plain: bool,
    ) -> Election {
        let (kind, votes, num, den) = quorum;
        Election {
            options: (0..).zip(options).map(|(at, (num, den, employer)): (u32, _)| Choice {
                name: at.to_string(),
                ratio: if plain { Ratio::ONE } else { Ratio::new(num, den) },
                employer: employer.map(|employer| employer.to_string()),
            }).collect(),
            default,
            method,
            unranked: if no_opinion { Unranked::NoOpinion } else { Unranked::Last },
            tie: casting.map_or(TieRule::Listed, |voter| TieRule::Casting { voter }),
            seats,
            employer_cap: cap.map(|(num, den)| Ratio::new(num, den)),
            quorum: match kind {
                0 => Quorum::None,
                1 => Quorum::Votes(votes),
                2 => Quorum::Share(Ratio::new(num, den)),
                _ => Quorum::Root { times: Ratio::new(num, den) },
            },
            electors,
            held,
        }
    }
}

fn any_ballot() -> impl Strategy<Value = Ballot> {
    let groups = prop::collection::vec(prop::collection::vec(number(), 0..3), 0..4);
    (number(), groups).prop_map(|(voter, groups)| Ballot { voter, groups })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn elections(
        election in any_election(),
        ballots in prop::collection::vec(any_ballot(), 0..5),
        cells in prop::collection::vec(any::<u64>(), 25),
    ) {
        if let Ok(outcome) = tally(&election, &ballots) {
            prop_assert!(outcome.winners.len() <= election.seats as usize);
            prop_assert!(!explain(&election, &outcome).is_empty());
            prop_assert!(margin(&election, &ballots, &[Voter::default()], 10_000).is_ok());
        }
        let rows: Vec<Vec<u64>> = cells.chunks(5).map(<[u64]>::to_vec).collect();
        let matrix = Pairwise::from_rows(&rows).expect("a square");
        let five = Election { options: (0..5).map(|n| Choice::new(n.to_string())).collect(), ..election };
        if let Ok(outcome) = tally_pairwise(&five, &matrix, cells[0]) {
            prop_assert!(!explain(&five, &outcome).is_empty());
        }
    }

    #[test]
    fn lotteries(
        values in prop::collection::vec(prop::collection::vec(0..3u8, 2), 0..8),
        quotas in prop::collection::vec((0..4u8, number(), number()), 0..4),
        size in number(),
    ) {
        let person = |(id, values): (u32, Vec<u8>)| Person {
            id: id.to_string(),
            values: values.iter().map(u8::to_string).collect(),
        };
        let share = |&(value, min, max): &(u8, u32, u32)| Share { value: value.to_string(), min, max };
        let quotas: Vec<Share> = quotas.iter().map(share).collect();
        let (some, others) = quotas.split_at(quotas.len() / 2);
        let attribute = |quotas: &[Share]| Attribute { name: String::new(), quotas: quotas.to_vec() };
        let people: Vec<Person> = (0..).zip(values).map(person).collect();
        let lottery = Lottery { people, attributes: vec![attribute(some), attribute(others)], size };
        if let Ok(panel) = lottery.draw(&[1; 32]) {
            prop_assert_eq!(panel.members.len(), size as usize);
            let after = lottery.replace(&panel, &panel.members);
            prop_assert!(after.is_none_or(|members| members.len() == size as usize));
        }
    }
}
