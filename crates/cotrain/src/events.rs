//! What a peer tells whoever watches it, as data: the terminal, a page and `--json` each show it in
//! their way.

use crate::marks::Mark;
use ids::{Hash, PeerId};
use progress::At;
use recipe::corpus::LeftOut;
use serde::{Deserialize, Serialize};
use swarm::Notice;

/// Something that a peer tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum PeerEvent {
    /// Work before the run can begin.
    Preparing {
        /// What is being done.
        what: String,
    },
    /// How far such work is, where it can be counted.
    Working(At),
    /// A ticket or an invitation was taken.
    Joining {
        /// Into this run.
        run: Hash,
        /// The record that it names.
        checkpoint: Option<net::swarm::Mark>,
    },
    /// What the part of a commons' log that enough witnesses have cosigned says of the run's
    /// records.
    Marks {
        /// The commons' id.
        commons: Hash,
        /// Statements of that part.
        size: u64,
        /// When the witnesses saw it.
        witnessed: Option<u64>,
        /// What it says.
        marks: Vec<Mark>,
        /// How many marks beyond it do not count yet.
        later: usize,
    },
    /// Who is there before the run begins.
    Lobby {
        /// Their keys.
        here: Vec<PeerId>,
        /// Founding voters that are missing.
        awaited: Vec<PeerId>,
        /// How many invitations nobody has used.
        unused: usize,
    },
    /// What the founder hands out.
    Invitations {
        /// A secret for each friend that is missing.
        unused: Vec<String>,
    },
    /// Not all of the text that was given is trained on.
    LeftOut(LeftOut),
    /// The corpus is ready.
    Corpus(CorpusInfo),
    /// This peer takes part from now on.
    Started {
        /// In this run.
        run: Hash,
        /// What people call it.
        name: String,
        /// This peer's key.
        peer: PeerId,
        /// Rounds in all.
        rounds: u32,
        /// Tokens of one inner step.
        step_tokens: u64,
        /// The model's shape.
        model: ModelInfo,
        /// For others to join with.
        ticket: String,
    },
    /// Something the protocol did or saw.
    Protocol {
        /// What.
        notice: Notice,
    },
    /// Inner training goes on.
    Progress {
        /// Steps done.
        step: u32,
        /// Steps in all.
        steps: u32,
        /// Training loss of the last one, nats per token.
        loss: f32,
        /// Tokens trained on in this contribution.
        tokens: u64,
    },
    /// Bytes since the peer started.
    Traffic {
        /// To others.
        sent: u64,
        /// From others.
        received: u64,
    },
    /// Seconds since the peer started that went into each kind of work.
    Work {
        /// Own contributions.
        training_s: f64,
        /// Others' contributions.
        auditing_s: f64,
        /// Sums of contributions.
        aggregating_s: f64,
    },
    /// What the members have done and weigh.
    Standing {
        /// After the record at this height.
        height: u64,
        /// Each of them.
        members: Vec<Standing>,
    },
    /// A newer model is in this peer's store.
    Model {
        /// Height of the record that decided it.
        height: u64,
        /// After this round.
        round: u32,
        /// Its root.
        root: Hash,
    },
    /// This machine's clock is wrong, as the clocks of most of those who decide have it; or it is
    /// right again.
    Clock {
        /// By so many seconds it is ahead; negative where it is behind, 0 where it is right again.
        ahead_s: i64,
        /// So many others say so.
        others: usize,
    },
    /// A connection came or went.
    Connection {
        /// With whom.
        peer: PeerId,
        /// Whether it came.
        up: bool,
    },
    /// Statements were written in the commons.
    Recorded {
        /// So many.
        statements: usize,
    },
    /// They could not be.
    NotRecorded {
        /// Why.
        why: String,
    },
    /// A record was marked in the commons.
    Marked {
        /// The one at this height.
        height: u64,
    },
    /// It could not be; it is tried again.
    NotMarked {
        /// Why.
        why: String,
    },
    /// Members have marked different records at one height.
    MarkedOtherwise {
        /// The height.
        height: u64,
        /// What each says, in words.
        said: String,
    },
    /// This peer cannot go on.
    Failed {
        /// Why.
        error: String,
        /// What to do about it, as far as that can be told.
        #[serde(default)]
        hints: Vec<String>,
    },
    /// This machine keeps the peer from writing what others only look at; the peer goes on, and it
    /// is tried again.
    NotWritten {
        /// What and why.
        why: String,
    },
    /// This peer ended in order and can go on later.
    Stopped,
}

/// A member's standing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Its key.
    pub peer: PeerId,
    /// Audited inner steps, or what a founding voter began with.
    pub steps: u64,
    /// Its part of the weight that decides, 0 to 1; 0 for newcomers.
    pub vote: f64,
}

/// A model's shape, as far as people are told of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Parameters in all, embeddings included.
    pub params: u64,
    /// Transformer blocks.
    pub layers: u32,
    /// Width of the residual stream.
    pub dim: u32,
    /// Query heads.
    pub heads: u32,
    /// Tokens in the vocabulary.
    pub vocab: u32,
    /// Tokens in a training sequence.
    pub seq: u32,
}

/// The text a run learns from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CorpusInfo {
    /// Files read.
    pub files: u64,
    /// Bytes of text in all.
    pub bytes: u64,
    /// Training tokens.
    pub tokens: u64,
    /// Bytes kept back to measure the loss on.
    pub held_out_bytes: u64,
    /// Licence and how many files carry it, most frequent first.
    pub licences: Vec<(String, u64)>,
    /// Where the text comes from, in words.
    pub source: String,
}
