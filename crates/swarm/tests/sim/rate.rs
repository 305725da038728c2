//! How often sampled audits find a cheat, against the formula, and that they accuse nobody else.

use crate::work::{self, Habit, rules};
use std::collections::BTreeSet;
use store::Hash;
use swarm::{
    AuditJob, AuditOutcome, Commit, Identity, Member, Rules, Segments, Signed, TrainJob,
    TrainOutput, draw_audits,
};

const ROUNDS: u64 = 1000;
const LEAVES: u32 = 32;

struct Case {
    /// Audit rate.
    q: f64,
    /// Share of the segments that are made up.
    f: f64,
    /// Segments per audit.
    m: u32,
}

fn job(worker: &Identity, beacon: Hash) -> TrainJob {
    TrainJob {
        height: 1,
        round: 0,
        base: work::initial(),
        beacon,
        worker: worker.id(),
        steps: LEAVES * 2,
        leaf_every: 2,
        carry: None,
    }
}

/// The right result, but for every `1/f`-th segment, which is made up; what follows such a leaf
/// is computed from it, so that only this one segment is wrong.
fn partly_made_up(job: &TrainJob, f: f64) -> TrainOutput {
    let mut output = work::honest(job);
    let every = (1.0 / f).round() as usize;
    for (n, leaf) in output.leaves.iter_mut().enumerate() {
        if n % every == 0 {
            leaf.hash = Hash::of_parts("made up", &[&leaf.hash.0]);
        }
    }
    work::rechain(job, &mut output, every);
    output
}

fn members(peers: &[Identity], rules: &Rules) -> Vec<Member> {
    let member = |peer: &Identity| Member {
        id: peer.id(),
        joined: 0,
        contributions: 100,
        clean: rules.probation,
        missed: 0,
        unavailable: 0,
        active: true,
        since: 0,
        carry: None,
    };
    let mut members: Vec<Member> = peers.iter().map(member).collect();
    members.sort_unstable_by_key(|m| m.id);
    members
}

fn commit(peer: &Identity, output: &TrainOutput) -> Signed<Commit> {
    let commit = Commit {
        height: 1,
        round: 0,
        base: Hash::default(),
        steps: LEAVES * 2,
        leaves: output.leaves.clone(),
        update: output.update,
        carry_before: None,
        carry: output.carry,
        secret_hash: Hash::default(),
    };
    Signed::seal(peer, &Hash::default(), commit)
}

/// Share of the rounds in which the cheat is found; panics if anybody else is accused.
fn measured(case: &Case) -> f64 {
    let rules = Rules { audit_rate_ppm: (case.q * 1e6) as u32, audit_segments: case.m, ..rules() };
    let peers: Vec<Identity> = (1..=4).map(|n| Identity::from_seed([n; 32])).collect();
    let members = members(&peers, &rules);
    let mut found = 0;
    for round in 0..ROUNDS {
        let beacon = Hash::of_parts("beacon", &[&round.to_le_bytes()]);
        let outputs: Vec<TrainOutput> = peers
            .iter()
            .enumerate()
            .map(|(n, peer)| match n {
                0 => partly_made_up(&job(peer, beacon), case.f),
                _ => work::honest(&job(peer, beacon)),
            })
            .collect();
        let commits: Vec<_> = peers.iter().zip(&outputs).map(|(p, o)| commit(p, o)).collect();
        for draw in draw_audits(&rules, &beacon, &members, &commits) {
            let n = peers.iter().position(|p| p.id() == draw.contributor).expect("a peer");
            assert!(!draw.auditors.contains(&draw.contributor));
            assert!(matches!(&draw.segments, Segments::Some(s) if s.last() == Some(&LEAVES)));
            let claimed = outputs[n].clone();
            let here: BTreeSet<Hash> = claimed.leaves.iter().map(|l| l.hash).collect();
            let (job, segments) = (job(&peers[n], beacon), draw.segments);
            let audit = AuditJob { id: 0, job, claimed, segments };
            match work::audit(Habit::Honest, &audit, &here) {
                AuditOutcome::Mismatch { .. } if n == 0 => found += 1,
                AuditOutcome::Mismatch { .. } => panic!("an honest peer is accused"),
                _ => {}
            }
        }
    }
    f64::from(found) / ROUNDS as f64
}

#[test]
fn sampled_audits_find_cheats_as_often_as_the_formula_says() {
    let cases = [
        Case { q: 1.0, f: 0.5, m: 1 },
        Case { q: 0.5, f: 0.25, m: 2 },
        Case { q: 0.3, f: 0.5, m: 3 },
        Case { q: 0.05, f: 1.0, m: 1 },
    ];
    for Case { q, f, m } in cases {
        let expected = q * (1.0 - (1.0 - f).powi(m as i32));
        let rate = measured(&Case { q, f, m });
        // Three standard deviations of 1,000 draws, and the formula draws with replacement.
        let margin = 3.0 * (expected * (1.0 - expected) / ROUNDS as f64).sqrt() + 0.01;
        println!("q = {q}, f = {f}, m = {m}: {rate} of 1 expected {expected:.3} ± {margin:.3}");
        assert!((rate - expected).abs() < margin, "q = {q}, f = {f}, m = {m}: {rate}");
    }
}
