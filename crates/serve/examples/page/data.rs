//! A made-up run that looks like a real one: four peers, twelve rounds, one cheat.

use cotrain::events::{CorpusInfo, ModelInfo};
use progress::{At, Work};
use serve::{
    Audit, Baseline, Contribution, CurvePoint, Evidence, Peer, RoundInfo, Snapshot, Summary, Totals,
};

const ROUNDS: u32 = 12;
const ROUND_S: f64 = 10.0;
/// The peer that cheats, the round it is caught for, and when.
const CHEAT: usize = 2;
const CAUGHT_ROUND: u32 = 3;
const CAUGHT_S: f64 = 36.0;
const PARAMS: u64 = 1_312_000;
const STEPS: [u32; 4] = [26, 24, 28, 17];
const TOKENS_PER_STEP: u64 = 1024;

/// How long the made-up run takes, with a pause at its end.
pub const LENGTH_S: f64 = ROUNDS as f64 * ROUND_S;

/// The made-up run, `t` seconds after its start.
pub fn snapshot(t: f64) -> Snapshot {
    let t = t.clamp(0.0, LENGTH_S);
    let done = (t / ROUND_S) as u32;
    let finished = t >= LENGTH_S;
    let caught = t >= CAUGHT_S;
    let rounds_done = rounds(done, caught);
    let tokens =
        tokens_after(done) + (tokens_in_round(done + 1) as f64 * (t / ROUND_S).fract()) as u64;
    let peers = peers(t, done, caught, finished);
    Snapshot {
        run: hash("run", 0, 0),
        name: "example data, not a run".into(),
        phase: phase(t, done, finished).into(),
        message: Some(
            "Example data: everything on this page is made up, to show how it looks.".into(),
        ),
        round: (done + 1).min(ROUNDS),
        rounds: ROUNDS,
        elapsed_s: t,
        remaining_s: Some(LENGTH_S - t),
        model: ModelInfo { params: PARAMS, layers: 6, dim: 128, heads: 4, vocab: 2048, seq: 256 },
        corpus: corpus(),
        baselines: vec![
            Baseline { name: "gzip -9".into(), bits_per_byte: 2.412 },
            Baseline { name: "xz -9".into(), bits_per_byte: 2.147 },
        ],
        curve: curve(done, caught),
        totals: Totals {
            tokens,
            tokens_per_s: peers.iter().map(|peer| peer.tokens_per_s).sum(),
            bytes_sent: rounds_done.iter().map(|round| round.bytes_sent).sum(),
            audit_share: if done == 0 { 0.0 } else { 0.094 - 0.004 * f64::from(done) },
        },
        peers,
        rounds_done,
        audits: audits(t),
        evidence: if caught { vec![evidence()] } else { Vec::new() },
        summary: finished.then(summary),
    }
}

fn phase(t: f64, done: u32, finished: bool) -> &'static str {
    let within = t - f64::from(done) * ROUND_S;
    match within {
        _ if finished => "finished",
        _ if t < 1.0 => "lobby",
        _ if (CAUGHT_S..CAUGHT_S + 2.0).contains(&t) => "repairing",
        within if within > 9.0 => "deciding",
        within if within < 1.5 => "auditing",
        _ => "training",
    }
}

fn peers(t: f64, done: u32, caught: bool, finished: bool) -> Vec<Peer> {
    (0..4)
    .map(|at| {
      let out = caught && at == CHEAT;
      let within = ((t / ROUND_S).fract() * 1.12).min(1.0);
      let speed = f64::from(STEPS[at]) * 102.0 * (0.93 + 0.14 * chance("speed", at as u64, (t * 2.0) as u64));
      let alive = if out { CAUGHT_S } else { t };
      Peer {
        id: hash("peer", at as u64, 0),
        name: format!("peer {}", at + 1),
        you: at == 0,
        status: status(out, finished, t, done, within).into(),
        reason: out.then(|| "its work of round 3 does not come out when re-run; two peers confirmed that".into()),
        cheat: (at == CHEAT).then(|| "lazy".into()),
        step: if finished { 0 } else { (f64::from(STEPS[at]) * within) as u32 },
        steps: if finished { 0 } else { STEPS[at] },
        tokens_per_s: if out || finished { 0.0 } else { speed },
        sent_bytes: (alive * 412_000.0 * (0.9 + 0.05 * at as f64)) as u64,
        received_bytes: (alive * 405_000.0 * (0.92 + 0.04 * at as f64)) as u64,
        root: (done > 0).then(|| if out { hash("forged", 0, 0) } else { root(done, caught) }),
        audits_passed: if at == CHEAT { done.min(2) } else { done.min(4) + done / 3 },
        standing: if out { 0 } else { u64::from(done) * u64::from(STEPS[at]) },
        vote: if out { 0.0 } else { 0.25 },
        work: work(at, t),
      }
    })
    .collect()
}

/// What a peer prepares with in the first second: who founds builds the corpus, the others fetch it.
fn work(at: usize, t: f64) -> Option<At> {
    let (work, total) = match at {
        0 => (Work::Tokenizing, 31_480_112),
        _ => (Work::Fetching, 22_600_000),
    };
    let done = (t * total as f64) as u64 / (1 + at as u64 / 2);
    (t < 1.0).then_some(At { work, done, total, fresh: done })
}

fn status(out: bool, finished: bool, t: f64, done: u32, within: f64) -> &'static str {
    let since = t - f64::from(done) * ROUND_S;
    if out {
        "ejected"
    } else if finished || within >= 1.0 || t < 1.0 {
        "waiting"
    } else if since < 1.5 && done > 0 {
        "auditing"
    } else {
        "training"
    }
}

fn curve(done: u32, caught: bool) -> Vec<CurvePoint> {
    (0..=done)
        .map(|round| CurvePoint {
            round,
            t_s: f64::from(round) * ROUND_S,
            tokens: tokens_after(round),
            bits_per_byte: 1.78
                + 1.95 / (1.0 + 0.62 * f64::from(round))
                + 0.012 * chance("loss", round.into(), 0),
            root: root(round, caught),
            repaired: caught && round == CAUGHT_ROUND,
        })
        .collect()
}

fn rounds(done: u32, caught: bool) -> Vec<RoundInfo> {
    let mut rounds = Vec::new();
    for round in 1..=done {
        let kind = if round == ROUNDS { "close" } else { "advance" };
        rounds.push(round_info(round, rounds.len() as u64 + 1, kind, round > CAUGHT_ROUND, done));
        if round == CAUGHT_ROUND && caught {
            rounds.push(round_info(round, rounds.len() as u64 + 1, "repair", true, done));
        }
    }
    rounds
}

fn round_info(round: u32, height: u64, kind: &str, without: bool, done: u32) -> RoundInfo {
    let present = |at: &usize| *at != CHEAT || round <= CAUGHT_ROUND;
    let contributions: Vec<_> =
        (0..4).filter(present).map(|at| contribution(at, round, without, done)).collect();
    RoundInfo {
        round,
        height,
        kind: kind.into(),
        root: root(round, without),
        seconds: ROUND_S - 0.4 + 0.6 * chance("seconds", round.into(), height),
        bytes_sent: 1_356_000 * contributions.len() as u64 * 3 + u64::from(round) * 1730,
        bytes_per_param: 1.034,
        contributions,
    }
}

fn contribution(at: usize, round: u32, without: bool, done: u32) -> Contribution {
    let wrong = at == CHEAT && round == CAUGHT_ROUND && (without || done > CAUGHT_ROUND);
    let left_out = wrong && without;
    let verdict = match (round, at) {
        _ if wrong => "mismatch",
        _ if round == done => "pending",
        (1..=3, _) => "confirmed",
        (7, 3) => "unavailable",
        (round, at) if (round as usize + at).is_multiple_of(3) => "confirmed",
        _ => "not drawn",
    };
    let steps = STEPS[at] - (chance("steps", at as u64, round.into()) * 4.0) as u32;
    Contribution {
        peer: hash("peer", at as u64, 0),
        steps,
        weight: if left_out { 0.0 } else { f64::from(steps) / 95.0 },
        norm: 0.7 + 0.5 * chance("norm", at as u64, round.into()),
        clipped: chance("clip", at as u64, round.into()) > 0.85,
        included: !left_out,
        verdict: verdict.into(),
    }
}

fn audits(t: f64) -> Vec<Audit> {
    let mut audits = Vec::new();
    for round in 1..ROUNDS {
        for at in 0..4_usize {
            let t_s = f64::from(round) * ROUND_S + 2.0 + at as f64 * 1.3;
            let drawn =
                round <= 3 || (round as usize + at).is_multiple_of(3) || (round, at) == (7, 3);
            if t_s > t || !drawn || (at == CHEAT && round > CAUGHT_ROUND) {
                continue;
            }
            let verdict = match (round, at) {
                (CAUGHT_ROUND, CHEAT) => "mismatch",
                (7, 3) => "unavailable",
                _ if t - t_s < 1.0 => "pending",
                _ => "confirmed",
            };
            let auditors = if verdict == "mismatch" { vec![0, 3] } else { vec![[3, 0, 1, 0][at]] };
            audits.extend(auditors.into_iter().map(|auditor| Audit {
                round,
                contributor: hash("peer", at as u64, 0),
                auditor: hash("peer", auditor, 0),
                verdict: verdict.into(),
                part: Some((round + at as u32) % 4),
                t_s,
            }));
        }
    }
    audits
}

fn evidence() -> Evidence {
    Evidence {
    peer: hash("peer", CHEAT as u64, 0),
    round: CAUGHT_ROUND,
    what: "It signed 28 training steps, but the state it committed to after step 8 is not what those steps give.".into(),
    part: Some(1),
    expected: Some(hash("honest", 0, 0)),
    claimed: Some(hash("claimed", 0, 0)),
    confirmed_by: vec![hash("peer", 0, 0), hash("peer", 3, 0)],
  }
}

fn summary() -> Summary {
    Summary {
    agree: 3,
    honest: 3,
    root: root(ROUNDS, true),
    sample: "/// Returns the number of bytes that can be written to the buffer without\n/// blocking.\n///\n/// # Errors\n///\n/// If the stream is closed, this returns an error of the kind\n/// [`ErrorKind::NotConnected`].\npub fn remaining(&self) -> Result<usize> {\n    self.inner.len()\n}".into(),
    next: vec![
      "understory run runs/example/model \"/// Returns\"".into(),
      "understory verify runs/example --all".into(),
      "understory export runs/example/model --to gguf out/".into(),
      "understory demo --resume".into(),
    ],
  }
}

fn corpus() -> CorpusInfo {
    CorpusInfo {
        files: 4812,
        bytes: 31_480_112,
        tokens: 9_870_400,
        held_out_bytes: 262_144,
        licences: [
            ("MIT OR Apache-2.0", 3644),
            ("MIT", 702),
            ("Apache-2.0", 208),
            ("Unlicense OR MIT", 141),
            ("BSD-3-Clause", 64),
            ("ISC", 33),
            ("Zlib", 20),
        ]
        .map(|(name, files)| (name.into(), files))
        .to_vec(),
        source: "Doc comments and Markdown of the crates this program was built from".into(),
    }
}

fn tokens_in_round(round: u32) -> u64 {
    let steps: u32 =
        (0..4).filter(|&at| at != CHEAT || round < CAUGHT_ROUND).map(|at| STEPS[at]).sum();
    u64::from(steps) * TOKENS_PER_STEP
}

fn tokens_after(round: u32) -> u64 {
    (1..=round).map(tokens_in_round).sum()
}

fn root(round: u32, without: bool) -> String {
    hash("root", round.into(), u64::from(without && round >= CAUGHT_ROUND))
}

/// 0 to 1, always the same for the same arguments.
fn chance(what: &str, a: u64, b: u64) -> f64 {
    (mix(what, a, b) >> 11) as f64 / (1_u64 << 53) as f64
}

/// 64 hex digits, always the same for the same arguments.
fn hash(what: &str, a: u64, b: u64) -> String {
    (0..4).map(|part| format!("{:016x}", mix(what, a * 4 + part, b))).collect()
}

fn mix(what: &str, a: u64, b: u64) -> u64 {
    let mut state = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_mul(0xd1b5_4a32_d192_ed03);
    for byte in what.bytes() {
        state = (state ^ u64::from(byte)).wrapping_mul(0x1000_0000_01b3);
    }
    for _ in 0..2 {
        state = (state ^ (state >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
    state ^ (state >> 29)
}
