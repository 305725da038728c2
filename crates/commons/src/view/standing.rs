//! How each option of a question fared, from the steps of its count.

use decide::{Outcome, Step};

/// How one option fared.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Standing {
    /// Which option, from 0.
    pub option: u32,
    /// Its place among the winners, from 1.
    pub elected: Option<u32>,
    /// Why it is out.
    pub out: Option<Out>,
    /// Members that approve of it, by approval.
    pub approvals: Option<u64>,
    /// Its votes at the last stage it took part in, in 1/100,000 votes, by transferable vote.
    pub transferable: Option<u64>,
    /// Options that it beats one to one.
    pub beats: u32,
    /// Options that beat it.
    pub beaten_by: u32,
}

/// Why an option is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Out {
    /// Too few voices.
    Quorum,
    /// It lacks its majority over the default option.
    Majority,
    /// Its employer has as many seats as it may have.
    Cap,
    /// The fewest votes at some stage of a transferable vote.
    Excluded,
}

/// How the options fared: the elected in order, then those who were left in, then those who were
/// out, each by what they have.
pub(super) fn standings(outcome: &Outcome) -> Vec<Standing> {
    let pairs = &outcome.pairwise;
    let mut all: Vec<Standing> = (0..pairs.options())
        .map(|a| {
            let others = || (0..pairs.options()).filter(move |&b| b != a);
            let beats = others().filter(|&b| pairs.votes(a, b) > pairs.votes(b, a)).count();
            let beaten = others().filter(|&b| pairs.votes(a, b) < pairs.votes(b, a)).count();
            Standing {
                option: a as u32,
                elected: None,
                out: None,
                approvals: None,
                transferable: None,
                beats: beats as u32,
                beaten_by: beaten as u32,
            }
        })
        .collect();
    for (place, winner) in (1..).zip(&outcome.winners) {
        change(&mut all, *winner, |s| s.elected = Some(place));
    }
    outcome.steps.iter().for_each(|step| note(&mut all, step));
    all.sort_by_key(|s| {
        let votes = s.approvals.or(s.transferable).unwrap_or(0);
        (s.elected.unwrap_or(u32::MAX), s.out.is_some(), u64::MAX - votes, s.beaten_by, s.option)
    });
    all
}

fn note(all: &mut [Standing], step: &Step) {
    match step {
        Step::BelowQuorum { option, .. } => change(all, *option, |s| s.out = Some(Out::Quorum)),
        Step::BelowMajority { option, .. } => change(all, *option, |s| s.out = Some(Out::Majority)),
        Step::Capped { option, .. } => change(all, *option, |s| s.out = Some(Out::Cap)),
        Step::Excluded { option, .. } => change(all, *option, |s| s.out = Some(Out::Excluded)),
        Step::Approvals { option, votes } => change(all, *option, |s| s.approvals = Some(*votes)),
        Step::Stage { votes, .. } => {
            for (option, votes) in (0..).zip(votes) {
                change(all, option, |s| {
                    if s.out.is_none() {
                        s.transferable = Some(*votes);
                    }
                });
            }
        }
        _ => {}
    }
}

fn change(all: &mut [Standing], option: u32, change: impl FnOnce(&mut Standing)) {
    if let Some(standing) = all.get_mut(option as usize) {
        change(standing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use decide::{Outcome, Pairwise};

    fn outcome(rows: &[Vec<u64>], winners: Vec<u32>, steps: Vec<Step>) -> Outcome {
        let pairwise = Pairwise::from_rows(rows).expect("a square");
        Outcome { winners, ballots: 9, spoilt: vec![], pairwise, steps }
    }

    #[test]
    fn winners_come_first_then_the_votes_then_who_is_out() {
        let rows = [vec![0, 5, 5, 5], vec![4, 0, 6, 6], vec![4, 3, 0, 9], vec![4, 3, 0, 0]];
        let steps =
            vec![Step::BelowQuorum { option: 0, votes: 5, least: 6 }, Step::Elected { option: 2 }];
        let all = standings(&outcome(&rows, vec![2], steps));
        let order: Vec<u32> = all.iter().map(|s| s.option).collect();
        assert_eq!(order, [2, 1, 3, 0]);
        assert_eq!((all[0].elected, all[0].beats, all[0].beaten_by), (Some(1), 1, 2));
        assert_eq!((all[3].out, all[3].beats), (Some(Out::Quorum), 3));
    }

    #[test]
    fn transferable_votes_are_those_of_the_last_stage_that_an_option_took_part_in() {
        let rows = vec![vec![0; 3]; 3];
        let stage =
            |number, votes: [u64; 3]| Step::Stage { number, votes: votes.to_vec(), lost: 0 };
        let steps = vec![
            stage(1, [4, 3, 2]),
            Step::Excluded { option: 2, votes: 2 },
            stage(2, [4, 5, 0]),
            Step::Elected { option: 1 },
        ];
        let all = standings(&outcome(&rows, vec![1], steps));
        let votes: Vec<_> = all.iter().map(|s| (s.option, s.transferable)).collect();
        assert_eq!(votes, [(1, Some(5)), (0, Some(4)), (2, Some(2))]);
    }

    #[test]
    fn a_step_about_an_option_that_is_not_there_changes_nothing() {
        let steps =
            vec![Step::Approvals { option: 9, votes: 1 }, Step::Excluded { option: 7, votes: 0 }];
        let all = standings(&outcome(&[vec![0]], vec![5], steps));
        assert_eq!((all.len(), all[0].elected), (1, None));
    }
}
