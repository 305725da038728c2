//! What a running node tells whoever watches it.

use crate::{
    causes::with_causes,
    transport::{clocks::ClockDoubt, fetch::FetchProgress, traffic::Traffic},
};
use ids::{Hash, PeerId};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed};
use swarm::{Notice, Progress, State};
use tokio::sync::broadcast;

/// Something that happened, for screens and logs.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "report", rename_all = "kebab-case")]
pub enum Report {
    /// The manifest and what it names are being brought here before the node starts, or later the
    /// state that it goes on from.
    Fetching {
        /// Objects that are here.
        objects: u64,
        /// Objects that are known to be needed so far.
        objects_known: u64,
        /// Bytes that are here.
        bytes: u64,
        /// Bytes of all objects that are known to be needed so far.
        bytes_known: u64,
        /// Bytes that came over the network just now.
        bytes_fetched: u64,
    },
    /// The node takes part from now on.
    Started {
        /// The run.
        run: Hash,
    },
    /// A peer is connected.
    Connected {
        /// The peer.
        peer: PeerId,
    },
    /// A peer is not connected any more.
    Disconnected {
        /// The peer.
        peer: PeerId,
    },
    /// The protocol's own notice.
    Notice(Notice),
    /// Training goes on.
    Progress {
        /// Height of the record it is for.
        height: u64,
        /// Inner steps done.
        step: u32,
        /// Inner steps in all.
        steps: u32,
        /// Training loss of the last step, nats per token.
        loss: f32,
        /// Tokens trained on in this job.
        tokens: u64,
    },
    /// Bytes since the start, every few seconds.
    Traffic {
        /// Over all peers.
        total: Traffic,
        /// By peer.
        peers: BTreeMap<PeerId, Traffic>,
    },
    /// How the node ended, or that the run is over.
    Outcome(Outcome),
}

impl Report {
    pub(crate) fn progress(height: u64, progress: Progress) -> Self {
        let Progress { step, steps, loss, tokens } = progress;
        Self::Progress { height, step, steps, loss, tokens }
    }
}

/// How a node's part in a run ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// The run is over. The node goes on serving others until it is stopped.
    Finished {
        /// The final state.
        state: State,
        /// Height of the last record.
        height: u64,
    },
    /// Stopped by the caller; starting again in the same folder goes on.
    Stopped,
    /// It cannot go on.
    Failed {
        /// Why.
        why: String,
    },
}

/// Where a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Bringing the manifest and what it names here.
    Fetching,
    /// Taking part.
    Running,
    /// Stopped, or unable to go on.
    Ended,
}

impl Stage {
    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fetching => "fetching",
            Self::Running => "running",
            Self::Ended => "ended",
        }
    }
}

/// Where a node stands, at most half a second old.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetStatus {
    /// This node.
    pub me: PeerId,
    /// The run.
    pub run: Hash,
    /// Where it is.
    pub stage: Stage,
    /// The protocol's status, once it takes part.
    pub node: Option<swarm::Status>,
    /// Who is connected.
    pub linked: Vec<PeerId>,
    /// That this machine's clock is wrong, where enough of those that decide say so.
    pub clock: Option<ClockDoubt>,
    /// Bytes since the start, over all peers.
    pub total: Traffic,
    /// Bytes since the start, by peer.
    pub traffic: BTreeMap<PeerId, Traffic>,
}

/// Where reports go; nobody may be listening.
#[derive(Clone, Debug)]
pub(crate) struct Reports(pub broadcast::Sender<Report>);

impl Reports {
    pub fn send(&self, report: Report) {
        let _ = self.0.send(report);
    }

    /// How far a fetch is.
    pub fn fetching(&self, progress: &FetchProgress) {
        self.send(Report::Fetching {
            objects: progress.objects.load(Relaxed),
            objects_known: progress.objects_known.load(Relaxed),
            bytes: progress.bytes.load(Relaxed),
            bytes_known: progress.bytes_known.load(Relaxed),
            bytes_fetched: progress.bytes_fetched.load(Relaxed),
        });
    }

    /// Something of this machine keeps the node from going on, and it is tried again.
    pub fn wait_for(&self, error: &dyn std::error::Error) {
        let why = format!("{}; it is tried again until that has passed", with_causes(error));
        self.send(Report::Notice(Notice::Waiting { why }));
    }
}
