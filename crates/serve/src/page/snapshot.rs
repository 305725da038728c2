//! What a screen shows of one run: the page, the terminal view and `--json` all read this.

use cotrain::events::{CorpusInfo, ModelInfo};
use progress::At;
use serde::{Deserialize, Serialize};

/// Everything a screen shows of one run, at one moment.
///
/// Plain data without behaviour: whoever runs the swarm fills it, whoever shows it reads it.
/// States and verdicts are short English words (listed at each field), so that an old screen can
/// show a word it does not know. Hashes and peer ids are lower case hex. Times are seconds since
/// the run began unless a field says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The run's id.
    pub run: String,
    /// The run's name for people.
    pub name: String,
    /// `preparing`, `lobby`, `training`, `deciding`, `auditing`, `repairing`, `finished`,
    /// `stopped` or `failed`.
    pub phase: String,
    /// One sentence about what is going on, or what went wrong.
    pub message: Option<String>,
    /// The round under way, from 1; 0 before the first.
    pub round: u32,
    /// How many rounds the run plans; 0 when only the clock ends it.
    pub rounds: u32,
    /// Seconds since the run began.
    pub elapsed_s: f64,
    /// Seconds until it ends, where that can be told.
    pub remaining_s: Option<f64>,
    /// The model's shape.
    pub model: ModelInfo,
    /// The text it learns from.
    pub corpus: CorpusInfo,
    /// What general compressors reach on the same held-out text.
    pub baselines: Vec<Baseline>,
    /// Held-out loss, oldest first.
    pub curve: Vec<CurvePoint>,
    /// Every peer that ever joined, in a fixed order.
    pub peers: Vec<Peer>,
    /// Rounds that have ended, oldest first.
    pub rounds_done: Vec<RoundInfo>,
    /// Audits, oldest first.
    pub audits: Vec<Audit>,
    /// Proofs against peers that are out.
    pub evidence: Vec<Evidence>,
    /// Sums over the run.
    pub totals: Totals,
    /// How it ended; absent while it runs.
    pub summary: Option<Summary>,
}

/// A general compressor on the held-out text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The command, such as `gzip -9`.
    pub name: String,
    /// Compressed bits per byte of text.
    pub bits_per_byte: f64,
}

/// Held-out loss at the end of a round.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// The round that ended; 0 is the untrained model.
    pub round: u32,
    /// When it was measured, seconds.
    pub t_s: f64,
    /// Training tokens the model had seen.
    pub tokens: u64,
    /// Held-out loss in bits per byte of text.
    pub bits_per_byte: f64,
    /// The root that was measured.
    pub root: String,
    /// Whether the round was computed again without a culprit.
    pub repaired: bool,
}

/// One peer as this machine sees it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// The peer's public key.
    pub id: String,
    /// A name for people, such as `peer 1`.
    pub name: String,
    /// Whether it is the peer that shows this.
    pub you: bool,
    /// `joined`, `training`, `auditing`, `waiting`, `down` or `ejected`.
    pub status: String,
    /// Why it is in that state, where there is more to say.
    pub reason: Option<String>,
    /// What a demo told this peer to do wrong, such as `lazy`.
    pub cheat: Option<String>,
    /// Inner steps done in this round.
    pub step: u32,
    /// Inner steps it will do in this round.
    pub steps: u32,
    /// Training tokens per second, lately.
    pub tokens_per_s: f64,
    /// Bytes sent since the run began.
    pub sent_bytes: u64,
    /// Bytes received since the run began.
    pub received_bytes: u64,
    /// The last root it signed.
    pub root: Option<String>,
    /// Audits of its work that confirmed it.
    pub audits_passed: u32,
    /// Standing: inner steps that audits stand behind, or what a founding voter began with.
    pub standing: u64,
    /// Its part of the votes, 0 to 1; 0 for who has none yet.
    pub vote: f64,
    /// How far the work is that it prepares with: building the corpus, fetching the run; absent
    /// while there is none.
    pub work: Option<At>,
}

/// A round that has ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RoundInfo {
    /// The round, from 1.
    pub round: u32,
    /// Height of the decision in the run's chain; repairs take heights of their own.
    pub height: u64,
    /// `advance`, `repair` or `close`.
    pub kind: String,
    /// The root that every honest peer computed.
    pub root: String,
    /// How long it took.
    pub seconds: f64,
    /// Bytes sent by all peers in it.
    pub bytes_sent: u64,
    /// Bytes of one update per parameter.
    pub bytes_per_param: f64,
    /// What each peer put in, in the peers' order.
    pub contributions: Vec<Contribution>,
}

/// What one peer put into a round.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Contribution {
    /// The peer's id.
    pub peer: String,
    /// Inner steps it did.
    pub steps: u32,
    /// Its weight in the mean.
    pub weight: f64,
    /// L2 norm of its update before clipping.
    pub norm: f64,
    /// Whether the update was clipped.
    pub clipped: bool,
    /// Whether it went into the round's root.
    pub included: bool,
    /// `confirmed`, `mismatch`, `unavailable`, `not drawn` or `pending`.
    pub verdict: String,
}

/// One peer's re-running of a part of another's work.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// The round the work was done in.
    pub round: u32,
    /// Whose work; a peer id.
    pub contributor: String,
    /// Who re-ran it; a peer id.
    pub auditor: String,
    /// `confirmed`, `mismatch`, `unavailable` or `pending`.
    pub verdict: String,
    /// Which part of the round's work, from 0: a step, and after the last of them the packing of
    /// the update; absent where none stands out.
    pub part: Option<u32>,
    /// When the verdict came in, seconds.
    pub t_s: f64,
}

/// Why a peer is out, as anyone can check it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The peer it is about.
    pub peer: String,
    /// The round in which it happened.
    pub round: u32,
    /// What happened, in a sentence.
    pub what: String,
    /// Which part of the round's work, from 0, where it was one.
    pub part: Option<u32>,
    /// The hash that re-running gives.
    pub expected: Option<String>,
    /// The hash that the peer signed.
    pub claimed: Option<String>,
    /// Ids of the peers that re-ran it and agree.
    pub confirmed_by: Vec<String>,
}

/// Sums over a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Training tokens of all peers.
    pub tokens: u64,
    /// All peers' training tokens per second, lately.
    pub tokens_per_s: f64,
    /// Bytes sent by all peers.
    pub bytes_sent: u64,
    /// Share of working time that went into audits, 0 to 1.
    pub audit_share: f64,
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Honest peers that hold `root`.
    pub agree: u32,
    /// Honest peers in all.
    pub honest: u32,
    /// The final root.
    pub root: String,
    /// Text that the model wrote.
    pub sample: String,
    /// Commands to try next.
    pub next: Vec<String>,
}
