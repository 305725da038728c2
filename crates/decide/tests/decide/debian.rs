//! Real votes of the Debian project, from their published pairwise matrices.

use decide::{
    Ballot, Choice, Election, Method, Outcome, Pairwise, Quorum, Ratio, Step, TieRule, Unranked,
    explain, tally, tally_pairwise,
};

/// The tally of "Lenny and resolving DFSG violations" as the project's secretary published it
/// (general resolution 003 of 2008): row x, column y prefer option x to option y.
const VOTE_2008_003: [[u64; 7]; 7] = [
    [0, 46, 60, 72, 73, 89, 117],
    [281, 0, 160, 160, 171, 177, 224],
    [255, 61, 0, 125, 137, 151, 204],
    [253, 121, 146, 0, 160, 166, 194],
    [234, 105, 128, 135, 0, 136, 191],
    [220, 118, 134, 125, 134, 0, 180],
    [226, 129, 145, 153, 160, 169, 0],
];

fn general_resolution(options: &[(&str, u32)], electors: u64) -> Election {
    let choice =
        |&(name, num): &(&str, u32)| Choice { ratio: Ratio::new(num, 1), ..Choice::new(name) };
    Election {
        options: options.iter().map(choice).collect(),
        default: Some(options.len() as u32 - 1),
        method: Method::Schulze,
        unranked: Unranked::Last,
        tie: TieRule::Listed,
        seats: 1,
        employer_cap: None,
        quorum: Quorum::Root { times: Ratio::new(3, 1) },
        electors,
        held: vec![],
    }
}

fn lenny(super_majority: u32) -> Election {
    general_resolution(
        &[
            ("Reaffirm the Social Contract", 1),
            ("Allow Lenny to release with proprietary firmware", super_majority),
            ("Allow Lenny to release with DFSG violations", super_majority),
            ("Empower the release team to decide", super_majority),
            ("Assume blobs comply with GPL unless proven otherwise", 1),
            ("Exclude source requirements for firmware", super_majority),
            ("Further discussion", 1),
        ],
        1018,
    )
}

fn count(election: &Election, rows: &[[u64; 7]; 7]) -> Outcome {
    let rows: Vec<Vec<u64>> = rows.iter().map(|row| row.to_vec()).collect();
    let matrix = Pairwise::from_rows(&rows).expect("a square");
    tally_pairwise(election, &matrix, 367).expect("an election that can be held")
}

#[test]
fn vote_003_of_2008_elects_option_5_with_its_ratios_and_option_2_without() {
    let with = count(&lenny(3), &VOTE_2008_003);
    assert_eq!(with.winners, [4]);
    let dropped: Vec<u32> = with
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::BelowMajority { option, .. } => Some(*option),
            _ => None,
        })
        .collect();
    assert_eq!(dropped, [0, 1, 2, 3, 5], "as published");
    assert_eq!(count(&lenny(1), &VOTE_2008_003).winners, [1]);
}

#[test]
fn the_count_of_2008_003_in_words() {
    let election = lenny(3);
    insta::assert_snapshot!(explain(&election, &count(&election, &VOTE_2008_003)).join("\n"));
}

/// The technical committee on merged `/usr` (2019), whose sheet was published: digits are the ranks of
/// the options W, M, H and of further discussion, in this order.
const SHEET_2019: [(&str, [u32; 4]); 6] = [
    ("odyx", [3, 2, 1, 4]),
    ("bremner", [2, 1, 3, 4]),
    ("gwolf", [4, 2, 1, 3]),
    ("ntyni", [3, 1, 2, 4]),
    ("marga", [2, 1, 3, 4]),
    ("fil", [4, 2, 1, 3]),
];

#[test]
fn the_committee_of_2019_is_tied_until_the_chair_casts() {
    let mut election = general_resolution(
        &[("weak", 1), ("middle", 1), ("hard", 1), ("Further discussion", 1)],
        8,
    );
    election.quorum = Quorum::Votes(2);
    let rank =
        |ranks: &[u32; 4], wanted| (0..4u32).filter(|&o| ranks[o as usize] == wanted).collect();
    let ballots: Vec<Ballot> = (0..)
        .zip(&SHEET_2019)
        .map(|(voter, (_, ranks))| Ballot {
            voter,
            groups: (1..=4).map(|wanted| rank(ranks, wanted)).collect(),
        })
        .collect();
    let outcome = tally(&election, &ballots).expect("an election that can be held");
    let rows: Vec<&[u64]> = outcome.pairwise.rows().collect();
    assert_eq!(rows, [[0, 0, 2, 4], [6, 0, 3, 6], [4, 3, 0, 6], [2, 0, 0, 0]], "as published");
    let tied = |step: &Step| matches!(step, Step::Tied { among, .. } if among == &[1, 2]);
    assert!(outcome.steps.iter().any(tied), "{:?}", outcome.steps);
    for (chair, winner) in [(0, 2), (4, 1)] {
        election.tie = TieRule::Casting { voter: chair };
        assert_eq!(tally(&election, &ballots).expect("the same").winners, [winner]);
    }
}
