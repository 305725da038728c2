//! What a peer process tells whoever watches it: one JSON object per line with `--json`.

use serde::{Deserialize, Serialize};
use store::{Hash, Plain};
use swarm::{Notice, PeerId};

/// One line of a peer's output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum PeerEvent {
    /// Work before the run can begin; `done` in 0..=1 where it can be told.
    Preparing { what: String, done: Option<f64> },
    /// The corpus is ready.
    Corpus(serve::Corpus),
    /// This peer takes part from now on.
    Started {
        run: Hash,
        name: String,
        peer: PeerId,
        rounds: u32,
        /// Tokens of one inner step.
        step_tokens: u64,
        model: serve::ModelInfo,
        /// For others to join with.
        ticket: String,
    },
    /// Something the protocol did or saw.
    Protocol { notice: Notice },
    /// Inner training goes on.
    Progress { step: u32, steps: u32, loss: f32, tokens: u64 },
    /// Bytes since the process started.
    Traffic { sent: u64, received: u64 },
    /// Seconds since the process started that went into each kind of work.
    Work { training_s: f64, auditing_s: f64, aggregating_s: f64 },
    /// A newer model is in this peer's store.
    Model { height: u64, round: u32, root: Hash },
    /// A connection came or went.
    Connection { peer: PeerId, up: bool },
    /// Statements were written in the commons.
    Recorded { statements: usize },
    /// They could not be.
    NotRecorded { why: String },
    /// This peer cannot go on.
    Failed { error: String },
    /// This peer ended in order and can go on later.
    Stopped,
}

impl PeerEvent {
    /// The event in words, for terminals; `None` for what would only be noise there.
    pub fn words(&self) -> Option<String> {
        Some(match self {
            Self::Preparing { what, done: Some(done) } => {
                format!("{what} … {:.0} %", done * 100.0)
            }
            Self::Preparing { what, done: None } => format!("{what} …"),
            Self::Corpus(c) => format!(
                "corpus: {} files, {:.1} MB, {} tokens; {}",
                c.files,
                c.bytes as f64 / 1e6,
                c.tokens,
                licences(&c.licences)
            ),
            Self::Started { run, peer, ticket, .. } => format!(
                "run {}, this peer {}\njoin with: understory swarm join {ticket}",
                run.short(),
                peer.short()
            ),
            Self::Protocol { notice } => return notice_words(notice),
            Self::Connection { peer, up } => {
                format!("{} {}", peer.short(), if *up { "connected" } else { "disconnected" })
            }
            Self::Recorded { statements } => format!("{statements} statements in the commons"),
            Self::NotRecorded { why } => format!("nothing was said in the commons: {}", Plain(why)),
            Self::Failed { error } => format!("failed: {}", Plain(error)),
            Self::Stopped => "stopped; the same command goes on from here".to_owned(),
            Self::Progress { .. }
            | Self::Traffic { .. }
            | Self::Work { .. }
            | Self::Model { .. } => {
                return None;
            }
        })
    }
}

/// The most frequent licences and how many files carry them.
pub fn licences(licences: &[(String, u64)]) -> String {
    let mut sorted = licences.to_vec();
    sorted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let named: Vec<String> =
        sorted.iter().take(3).map(|(l, n)| format!("{} ({n})", Plain(l))).collect();
    let rest = sorted.len().saturating_sub(3);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    format!("licences {}{more}", named.join(", "))
}

fn notice_words(notice: &Notice) -> Option<String> {
    Some(match notice {
        Notice::Decided(r) => {
            let who: Vec<String> =
                r.contributions.iter().map(|(p, s)| format!("{}×{s}", p.short())).collect();
            let kind = format!("{:?}", r.kind).to_lowercase();
            format!(
                "height {}: {kind}, root {}, {}",
                r.height,
                r.state.model.hash.short(),
                who.join(" ")
            )
        }
        Notice::Verdict { contributor, auditor, kind, segment, .. } => {
            let at = segment.map_or_else(String::new, |s| format!(" in segment {s}"));
            let verdict = format!("{kind:?}").to_lowercase();
            format!("{} audited {}: {verdict}{at}", auditor.short(), contributor.short())
        }
        Notice::Disputed { contributor, accuser, segment, .. } => format!(
            "{} accuses {} of segment {segment}: everybody re-runs it",
            accuser.short(),
            contributor.short()
        ),
        Notice::Ejected { peer, evidence, .. } => {
            format!("{} is out: {evidence}", peer.short())
        }
        Notice::Joined { peer, .. } => format!("{} joined", peer.short()),
        Notice::Absent { peer, .. } => format!("{} is absent", peer.short()),
        Notice::Rejoined { peer, .. } => format!("{} is back", peer.short()),
        Notice::ViewChanged { view, proposer, .. } => {
            format!("no decision; {} proposes now (view {view})", proposer.short())
        }
        Notice::Waiting { why } => format!("waiting: {}", Plain(why)),
        Notice::Misbehaved { peer, why } => format!("{}: {}", peer.short(), Plain(why)),
        Notice::WorkFailed { why, .. } => format!("work failed: {}", Plain(why)),
        Notice::Finished { .. } => "finished".to_owned(),
        Notice::PhaseChanged { .. } | Notice::Committed { .. } | Notice::Aggregated { .. } => {
            return None;
        }
    })
}
