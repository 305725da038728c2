//! What other programs made of random elections: see `oracle/elections.py`.

use std::collections::BTreeMap;

use decide::{Ballot, Election, Method, Outcome, Step, Unranked, tally};

use super::{ballots, election};

const GOLDEN: &str = include_str!("../golden/elections.txt");

/// One line of the golden file.
struct Case<'a> {
    line: &'a str,
    unranked: Unranked,
    options: u32,
    seats: u32,
    ballots: Vec<Ballot>,
    expected: BTreeMap<&'a str, &'a str>,
}

impl<'a> Case<'a> {
    fn read(line: &'a str) -> Self {
        let mut words = line.split(' ');
        let mut word = || words.next().expect("a word");
        let unranked = if word() == "N" { Unranked::NoOpinion } else { Unranked::Last };
        let options = word().parse().expect("a number");
        let seats = word().parse().expect("a number");
        let (answers, piles): (Vec<&str>, Vec<&str>) = words.partition(|word| word.contains('='));
        let expected = answers.into_iter().filter_map(|answer| answer.split_once('=')).collect();
        Self { line, unranked, options, seats, ballots: ballots(&piles.join("\n")), expected }
    }

    fn count(&self, method: Method, seats: u32) -> Outcome {
        let election =
            Election { unranked: self.unranked, ..election(self.options, method, seats) };
        tally(&election, &self.ballots).expect("an election that can be held")
    }

    /// Compares an answer, if the line has one.
    fn compare(&self, key: &str, got: impl FnOnce() -> String) -> usize {
        let Some(&expected) = self.expected.get(key) else { return 0 };
        assert_eq!(got(), expected, "{key} of {}", self.line);
        1
    }
}

#[test]
fn other_programs_agree() {
    let mut compared = BTreeMap::from([("z", 0), ("s", 0), ("o", 0), ("v", 0), ("t", 0)]);
    for line in GOLDEN.lines().filter(|line| !line.starts_with('#')) {
        let case = Case::read(line);
        let mut add = |key: &'static str, got: &dyn Fn() -> String| {
            *compared.entry(key).or_default() += case.compare(key, got);
        };
        let schulze = case.count(Method::Schulze, 1);
        let sets: Vec<&Vec<u32>> = schulze.steps.iter().filter_map(schwartz).collect();
        add("z", &|| letters(sets.first().expect("a Schwartz set")));
        add("s", &|| letters(sets.last().expect("a Schwartz set")));
        add("v", &|| most_approved(&case.count(Method::Approval, 1)));
        add("t", &|| letters(&case.count(Method::Stv, case.seats).winners));
        if let Some(pairs) = case.expected.get("o").filter(|pairs| **pairs != "-") {
            let order = letters_in_order(&case.count(Method::Committee, case.options).winners);
            for pair in pairs.split(',') {
                let place = |option| order.find(option).expect("all get a seat");
                assert!(place(&pair[..1]) < place(&pair[1..]), "{pair} in {order} of {line}");
            }
            *compared.entry("o").or_default() += 1;
        }
    }
    let least = BTreeMap::from([("z", 5000), ("s", 5000), ("o", 800), ("v", 5000), ("t", 2500)]);
    assert!(least.iter().all(|(key, least)| compared[key] >= *least), "{compared:?}");
}

fn schwartz(step: &Step) -> Option<&Vec<u32>> {
    match step {
        Step::Schwartz { set } => Some(set),
        _ => None,
    }
}

fn most_approved(outcome: &Outcome) -> String {
    let approvals = outcome.steps.iter().filter_map(|step| match step {
        Step::Approvals { option, votes } => Some((*option, *votes)),
        _ => None,
    });
    let approvals: Vec<(u32, u64)> = approvals.collect();
    let most = approvals.iter().map(|(_, votes)| *votes).max();
    let best = approvals.iter().filter(|(_, votes)| Some(*votes) == most);
    letters(&best.map(|(option, _)| *option).collect::<Vec<_>>())
}

fn letters(options: &[u32]) -> String {
    let mut sorted = options.to_vec();
    sorted.sort_unstable();
    letters_in_order(&sorted)
}

fn letters_in_order(options: &[u32]) -> String {
    options.iter().map(|&option| char::from(b'A' + option as u8)).collect()
}
