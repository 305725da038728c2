//! How each option of a question fared, from the steps of its count.

use ::commons::decide::{Outcome, Step};
use serde::Serialize;

/// How one option fared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Standing {
    /// Which option, from 0.
    option: u32,
    /// Its place among the winners, from 1.
    elected: Option<u32>,
    /// Why it is out: `quorum`, `majority`, `cap` or `excluded`.
    out: Option<&'static str>,
    /// Members that approve of it, by approval.
    approvals: Option<u64>,
    /// Its votes at the last stage it took part in, in 1/100,000 votes, by transferable vote.
    transferable: Option<u64>,
    /// Options that it beats one to one.
    beats: u32,
    /// Options that beat it.
    beaten_by: u32,
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
        Step::BelowQuorum { option, .. } => change(all, *option, |s| s.out = Some("quorum")),
        Step::BelowMajority { option, .. } => change(all, *option, |s| s.out = Some("majority")),
        Step::Capped { option, .. } => change(all, *option, |s| s.out = Some("cap")),
        Step::Excluded { option, .. } => change(all, *option, |s| s.out = Some("excluded")),
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
