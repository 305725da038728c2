//! What goes into a [`crate::Node`] and what comes out.

use crate::{
    AggregateJob, AggregateOutput, AuditJob, AuditOutcome, Kind, Member, ObjectRef, OpenJob, State,
    Time, TrainJob, Trained, WorkError,
};
use ids::{Hash, PeerId};
use serde::{Deserialize, Serialize};

/// Something that happened outside.
#[derive(Clone, Debug)]
pub enum Event {
    /// The driver is ready; the first event of a node's life.
    Start,
    /// Time has passed; sent at the latest at the last [`Action::WakeAt`].
    Tick,
    /// A peer can be reached.
    PeerUp(PeerId),
    /// A peer cannot be reached any more.
    PeerDown(PeerId),
    /// A peer said something; `from` is authenticated by the connection.
    Message {
        /// Whose connection it came over (not necessarily who signed it).
        from: PeerId,
        /// A message's bytes.
        bytes: Vec<u8>,
    },
    /// The training job for this height ended.
    Trained {
        /// [`TrainJob::height`].
        height: u64,
        /// What came out.
        result: Result<Trained, WorkError>,
    },
    /// An audit ended.
    Audited {
        /// [`AuditJob::id`].
        id: u64,
        /// What came out.
        result: Result<AuditOutcome, WorkError>,
    },
    /// Training states were opened, or not.
    Opened {
        /// [`OpenJob::id`].
        id: u64,
        /// What was opened.
        result: Result<Vec<ObjectRef>, WorkError>,
    },
    /// An aggregation ended.
    Aggregated {
        /// [`AggregateJob::id`].
        id: u64,
        /// What came out.
        result: Result<AggregateOutput, WorkError>,
    },
    /// Everything a fetch asked for is in the store.
    Fetched {
        /// The fetch.
        id: u64,
        /// What was not there before.
        stored: Vec<Hash>,
    },
    /// A fetch got nowhere with any provider.
    FetchFailed {
        /// The fetch.
        id: u64,
        /// An object that nobody gave.
        missing: Hash,
        /// What was not there before and is now.
        stored: Vec<Hash>,
    },
    /// The user wants to stop taking part: training ends and nothing more is sent. What is
    /// persisted lets the peer go on later.
    Leave,
}

/// An entry of the log that a node needs to go on after a crash.
///
/// Encoding: CBOR; opaque to the driver, which keeps the entries in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry(pub Vec<u8>);

/// What a fetch is for, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// A round waits for it: updates, what an aggregate needs.
    Round,
    /// The state to work from.
    Checkpoint,
    /// What a re-run starts from.
    Audit,
    /// Nothing waits for it.
    History,
}

/// Something the driver has to do. Actions are in order: a [`Action::Persist`] must be durable
/// before any later `Send` or `Broadcast`, of the same call or of a later one, leaves.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send to one peer; may be lost, doubled, late.
    Send {
        /// To whom.
        to: PeerId,
        /// A message.
        bytes: Vec<u8>,
    },
    /// Send to every connected peer.
    Broadcast {
        /// A message.
        bytes: Vec<u8>,
    },
    /// Append to the log.
    Persist(LogEntry),
    /// Start training; at most one job at a time.
    Train(TrainJob),
    /// Stop the training job; its result, if any still comes, is ignored.
    CancelTrain,
    /// Re-run a part of somebody's work; several may be waiting.
    Audit(AuditJob),
    /// Show training states of an own contribution.
    Open(OpenJob),
    /// Add up updates; urgent.
    Aggregate(AggregateJob),
    /// Get objects into the store.
    Fetch {
        /// Comes back with the result.
        id: u64,
        /// What to get as it is, of exactly these lengths. Nothing that they may seem to refer to
        /// is followed.
        objects: Vec<ObjectRef>,
        /// Manifests of models of this run, to get with the tensors that
        /// [`crate::Worker::model_parts`] finds in them.
        models: Vec<ObjectRef>,
        /// Whom to ask first; anybody connected may be asked after them.
        providers: Vec<PeerId>,
        /// What goes before what.
        urgency: Urgency,
    },
    /// Nobody waits for this fetch any more.
    CancelFetch {
        /// The fetch.
        id: u64,
    },
    /// Remove objects that this node stored for the work of a round that is over. Never one that
    /// somebody named and that was here before.
    Drop {
        /// Which.
        objects: Vec<Hash>,
    },
    /// Send [`Event::Tick`] at this time, instead of at any time asked for before.
    WakeAt(Time),
    /// Close the connection: the peer broke the protocol once too often, or was ejected.
    Disconnect {
        /// Whom.
        peer: PeerId,
        /// Why, for people.
        why: String,
    },
    /// Something worth showing.
    Notice(Notice),
    /// The run is over. Go on delivering events: others may still need to catch up.
    Finished {
        /// Its final state.
        state: State,
        /// Height of the last record.
        height: u64,
    },
    /// This node cannot go on; what for people.
    Fatal(String),
}

/// Where a node is in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Waiting for enough members.
    Lobby,
    /// Watching, not (or not now) a member.
    Watching,
    /// Fetching the checkpoint.
    Syncing,
    /// Computing a contribution.
    Training,
    /// Waiting for the others' contributions.
    Committed,
    /// Waiting for the last audits.
    Auditing,
    /// Agreeing on the next record.
    Deciding,
    /// The run is over.
    Finished,
    /// Stopped by the user.
    Left,
    /// Out for good.
    Ejected,
}

impl Phase {
    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lobby => "lobby",
            Self::Watching => "watching",
            Self::Syncing => "syncing",
            Self::Training => "training",
            Self::Committed => "committed",
            Self::Auditing => "auditing",
            Self::Deciding => "deciding",
            Self::Finished => "finished",
            Self::Left => "left",
            Self::Ejected => "ejected",
        }
    }
}

/// A record in a few words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordSummary {
    /// Height.
    pub height: u64,
    /// Kind.
    pub kind: Kind,
    /// Rounds done after it.
    pub round: u32,
    /// View it was decided in.
    pub view: u32,
    /// Its hash.
    pub record: Hash,
    /// Hash of the state after it.
    pub state_hash: Hash,
    /// The state after it.
    pub state: State,
    /// Who contributed to the state after it and how many inner steps; after a repair, who is left.
    pub contributions: Vec<(PeerId, u32)>,
    /// Who was ejected.
    pub ejected: Vec<PeerId>,
    /// Who was let in.
    pub joined: Vec<PeerId>,
    /// Everybody who belongs to the run after it.
    pub active: Vec<PeerId>,
}

/// How an audit ended, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerdictKind {
    /// As claimed.
    Confirmed,
    /// Not as claimed.
    Mismatch,
    /// Could not be re-run.
    Unavailable,
}

impl std::fmt::Display for VerdictKind {
    /// The name that it has in JSON.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Serialize::serialize(self, f)
    }
}

/// Something worth showing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "kebab-case")]
pub enum Notice {
    /// The node goes on after a restart, from the record that was decided last.
    Resumed(RecordSummary),
    /// The node is somewhere else in the round.
    PhaseChanged {
        /// Height of the record that is being made.
        height: u64,
        /// The round of training that it belongs to, from 1.
        round: u32,
        /// What the node does now.
        phase: Phase,
    },
    /// A peer committed to its work.
    Committed {
        /// Whose work it is.
        peer: PeerId,
        /// Height of the record that it is for.
        height: u64,
        /// Inner steps that it claims.
        steps: u32,
    },
    /// A record was agreed on.
    Decided(RecordSummary),
    /// This node's aggregate for a record: norms and clipping per contributor, in order of keys.
    Aggregated {
        /// Height of the record.
        height: u64,
        /// Norm of each update, before clipping.
        norms: Vec<f32>,
        /// Whether each update was clipped.
        clipped: Vec<bool>,
    },
    /// Somebody re-ran (a part of) a contribution of the advance at `height`.
    Verdict {
        /// Height of the advance.
        height: u64,
        /// Whose contribution it is.
        contributor: PeerId,
        /// Who re-ran it.
        auditor: PeerId,
        /// Whether it is an answer to a dispute.
        dispute: bool,
        /// What came out.
        kind: VerdictKind,
        /// The part of a mismatch.
        part: Option<u32>,
    },
    /// A mismatch that the others now check.
    Disputed {
        /// Height of the advance that holds the contribution.
        height: u64,
        /// Whose contribution it is.
        contributor: PeerId,
        /// Who found the mismatch.
        accuser: PeerId,
        /// The part that gave another hash.
        part: u32,
    },
    /// A member is out for good.
    Ejected {
        /// The member.
        peer: PeerId,
        /// Height of the record that ejects it.
        height: u64,
        /// What was proven, in words.
        evidence: String,
    },
    /// A member was let in.
    Joined {
        /// The member.
        peer: PeerId,
        /// Height of the record that lets it in.
        height: u64,
    },
    /// A member has missed so much that nobody waits for it.
    Absent {
        /// The member.
        peer: PeerId,
        /// Height of the record after which nobody waits for it.
        height: u64,
    },
    /// Such a member is back.
    Rejoined {
        /// The member.
        peer: PeerId,
        /// Height of the record that takes it back.
        height: u64,
    },
    /// A member whose standing is used up belongs to the run no more.
    Gone {
        /// The member.
        peer: PeerId,
        /// Height of the record since which it is gone.
        height: u64,
    },
    /// A proposer did not bring a decision about; the next one has its turn.
    ViewChanged {
        /// Height that is being decided.
        height: u64,
        /// The new view, from 0.
        view: u32,
        /// Whose turn it is now.
        proposer: PeerId,
    },
    /// Nothing can go on for now.
    Waiting {
        /// What is missing, in words.
        why: String,
    },
    /// A peer sent something it should not have.
    Misbehaved {
        /// Who sent it.
        peer: PeerId,
        /// What was wrong with it, in words.
        why: String,
    },
    /// Training (or another job) failed here.
    WorkFailed {
        /// Height of the record that the job was for.
        height: u64,
        /// What went wrong, in words.
        why: String,
    },
    /// The run is over.
    Finished {
        /// Height of the last record.
        height: u64,
        /// Hash of the state after it.
        state_hash: Hash,
    },
}

/// Where a node stands, for screens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// This node.
    pub me: PeerId,
    /// Height of the newest record, `None` before genesis.
    pub height: Option<u64>,
    /// Hash of the newest record.
    pub record: Option<Hash>,
    /// The newest height that a member says it has; nobody has checked that.
    pub others: Option<u64>,
    /// Rounds done.
    pub round: u32,
    /// Rounds in all.
    pub rounds: u32,
    /// Where in the round.
    pub phase: Phase,
    /// View of the agreement on the next record.
    pub view: u32,
    /// Who proposes in this view.
    pub proposer: Option<PeerId>,
    /// The newest state.
    pub state: State,
    /// Its hash.
    pub state_hash: Hash,
    /// The newest beacon.
    pub beacon: Hash,
    /// Everybody who belongs to the run.
    pub members: Vec<MemberStatus>,
    /// What all voters weigh together, and how much of it decides.
    pub weight: u64,
    /// See [`Status::weight`].
    pub quorum: u64,
    /// Who is there before the run begins; `None` from then on.
    pub lobby: Option<Lobby>,
    /// Keys that are out for good.
    pub ejected: Vec<PeerId>,
    /// Inner steps of the job in progress, or of the last one.
    pub steps: u32,
    /// Measured time per inner step; 0 before the first measurement.
    pub ms_per_step: f64,
    /// Time the run has taken.
    pub elapsed_ms: u64,
}

/// Who is there before the first record, as far as this node knows: the founder knows best.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lobby {
    /// Who asked to be a member, this node among them.
    pub here: Vec<PeerId>,
    /// Founding voters by key that are not there yet.
    pub awaited: Vec<PeerId>,
    /// Invitations that nobody has used yet.
    pub unused: Vec<PeerId>,
}

/// Too little of what weighs is here to decide anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLight {
    /// What those weigh that are here.
    pub here: u64,
    /// What it takes.
    pub needed: u64,
    /// Members with a vote that are not here, and what each weighs.
    pub away: Vec<(PeerId, u64)>,
}

impl Status {
    /// Who is missing while too little weight is here to decide; `None` where enough is, and where
    /// nothing is left to decide.
    pub fn too_light(&self) -> Option<TooLight> {
        let is_here = |member: &&MemberStatus| member.member.id == self.me || member.connected;
        let weights = self.members.iter().filter(is_here).map(|member| member.weight);
        let here = weights.fold(0, u64::saturating_add);
        if self.phase == Phase::Finished || here >= self.quorum {
            return None;
        }
        let away = self.members.iter().filter(|member| !is_here(member) && member.weight > 0);
        let away = away.map(|member| (member.member.id, member.weight)).collect();
        Some(TooLight { here, needed: self.quorum, away })
    }
}

/// A member's line in [`Status`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its line in the newest record.
    #[serde(flatten)]
    pub member: Member,
    /// Its standing, in inner steps.
    pub standing: u64,
    /// What it weighs in decisions; 0: it does not vote.
    pub weight: u64,
    /// Whether rounds wait for it no more.
    pub away: bool,
    /// Clean audits it still needs; 0 past probation.
    pub probation_left: u32,
    /// Whether this node is connected to it.
    pub connected: bool,
    /// Whether it has committed for the next record.
    pub committed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(number: u8, connected: bool, weight: u64) -> MemberStatus {
        let member = Member {
            id: PeerId([number; 32]),
            joined: 0,
            contributions: 3,
            grant: 0,
            earned: weight,
            clean: 2,
            missed: 0,
            carry: None,
            link: Hash::default(),
            link_at: 0,
        };
        let (standing, away, probation_left, committed) = (weight, false, 0, false);
        MemberStatus { member, standing, weight, away, probation_left, connected, committed }
    }

    fn status() -> Status {
        let model = ObjectRef::of(b"model");
        let state = State { model, outer: model };
        Status {
            me: PeerId([1; 32]),
            height: Some(4),
            record: Some(Hash([9; 32])),
            others: None,
            round: 3,
            rounds: 12,
            phase: Phase::Deciding,
            view: 0,
            proposer: None,
            state,
            state_hash: state.hash(),
            beacon: Hash::default(),
            members: vec![
                member(1, true, 100),
                member(2, true, 100),
                member(3, false, 150),
                member(4, false, 50),
                member(5, false, 0),
            ],
            weight: 400,
            quorum: 267,
            lobby: None,
            ejected: Vec::new(),
            steps: 0,
            ms_per_step: 1.5,
            elapsed_ms: 0,
        }
    }

    #[test]
    fn who_is_missing_is_named_where_those_here_cannot_decide() {
        let mut status = status();
        let away = vec![(PeerId([3; 32]), 150), (PeerId([4; 32]), 50)];
        let light = TooLight { here: 200, needed: 267, away };
        assert_eq!(status.too_light(), Some(light), "without the newcomer, who has no vote");
        status.phase = Phase::Finished;
        assert_eq!(status.too_light(), None, "nothing is left to decide");
        status.phase = Phase::Deciding;
        status.members[2].connected = true;
        assert_eq!(status.too_light(), None);
    }

    #[test]
    fn a_status_is_read_back_and_phases_have_the_names_of_json() {
        let text = serde_json::to_string(&status()).expect("has a form");
        assert_eq!(serde_json::from_str::<Status>(&text).expect("it is one"), status());
        use Phase::{
            Auditing, Committed, Deciding, Ejected, Finished, Left, Lobby, Syncing, Training,
            Watching,
        };
        for phase in [
            Lobby, Watching, Syncing, Training, Committed, Auditing, Deciding, Finished, Left,
            Ejected,
        ] {
            let json = serde_json::to_value(phase).expect("has a form");
            assert_eq!(json, phase.name());
        }
    }
}
