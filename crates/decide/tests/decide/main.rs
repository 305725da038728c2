//! Counting votes: published results, examples by hand, other programs' results, properties.

mod debian;
mod examples;
mod golden;
mod hostile;
mod houses;
mod properties;

use decide::{Ballot, Choice, Election, Method, Quorum, TieRule, Unranked};

/// An election of options A, B, C … without default option, quorum or cap.
pub fn election(options: u32, method: Method, seats: u32) -> Election {
    let name =
        |option: u32| char::from_u32('A' as u32 + option).map_or_else(String::new, String::from);
    Election {
        options: (0..options).map(|option| Choice::new(name(option))).collect(),
        default: None,
        method,
        unranked: Unranked::Last,
        tie: TieRule::Listed,
        seats,
        employer_cap: None,
        quorum: Quorum::None,
        electors: 100,
        held: vec![],
    }
}

/// Ballots like `3: A > BC > D`, for voters from 0 on.
pub fn ballots(text: &str) -> Vec<Ballot> {
    let mut all = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (times, ranking) = line.split_once(':').expect("times: ranking");
        let group = |group: &str| {
            group.trim().chars().map(|option| option as u32 - 'A' as u32).collect::<Vec<u32>>()
        };
        let groups: Vec<_> =
            ranking.split('>').map(group).filter(|group| !group.is_empty()).collect();
        for _ in 0..times.parse::<u32>().expect("a number") {
            all.push(Ballot { voter: all.len() as u32, groups: groups.clone() });
        }
    }
    all
}
