//! What a peer process tells whoever watches it: one JSON object per line with `--json`.

use crate::units::{plural, time};
use ids::{Hash, PeerId, Plain};
use serde::{Deserialize, Serialize};
use swarm::Notice;

/// A record of the run, and the members of a commons who say that it is the run's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub record: Hash,
    /// What the members are called.
    pub by: Vec<String>,
}

impl Mark {
    /// Who says what of this record, in words.
    pub fn words(&self) -> String {
        format!("{} by {}", self.record.short(), self.by.join(" and "))
    }
}

/// One line of a peer's output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum PeerEvent {
    /// Work before the run can begin; `done` in 0..=1 where it can be told.
    Preparing { what: String, done: Option<f64> },
    /// A ticket or an invitation was taken; the record that it names.
    Joining { run: Hash, checkpoint: Option<net::swarm::Mark> },
    /// What the part of a commons' log that enough witnesses have cosigned says of the run's records;
    /// how many marks beyond it do not count yet.
    Marks { commons: Hash, size: u64, witnessed: Option<u64>, marks: Vec<Mark>, later: usize },
    /// Who is there before the run begins: keys, founding voters that are missing, and how many
    /// invitations nobody has used.
    Lobby { here: Vec<PeerId>, awaited: Vec<PeerId>, unused: usize },
    /// What the founder hands out: a secret for each friend that is missing.
    Invitations { unused: Vec<String> },
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
    /// What the members have done and weigh after the record at `height`.
    Standing { height: u64, members: Vec<Standing> },
    /// A newer model is in this peer's store.
    Model { height: u64, round: u32, root: Hash },
    /// A connection came or went.
    Connection { peer: PeerId, up: bool },
    /// Statements were written in the commons.
    Recorded { statements: usize },
    /// They could not be.
    NotRecorded { why: String },
    /// The record at this height was marked in the commons.
    Marked { height: u64 },
    /// It could not be; it is tried again.
    NotMarked { why: String },
    /// Members have marked different records at one height.
    MarkedOtherwise { height: u64, said: String },
    /// This peer cannot go on.
    Failed { error: String },
    /// This peer ended in order and can go on later.
    Stopped,
}

/// A member's standing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    pub peer: PeerId,
    /// Audited inner steps, or what a founding voter began with.
    pub steps: u64,
    /// Its part of the weight that decides, 0 to 1; 0 for newcomers.
    pub vote: f64,
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
            Self::Joining { run, checkpoint: Some(mark) } => format!(
                "run {}: its record {} must be {}, behind which stand {} audited steps",
                run.short(),
                mark.height,
                mark.record.short(),
                mark.standing
            ),
            Self::Joining { run, checkpoint: None } => format!(
                "run {}: the ticket is from before the run began; for a run that is well under way \
                 ask for a new one, which names a record",
                run.short()
            ),
            Self::Lobby { here, awaited, unused } => lobby_words(here, awaited, *unused),
            Self::Invitations { unused } => invitation_words(unused),
            Self::Started { run, peer, ticket, .. } => format!(
                "run {}, this peer {}\nanybody may contribute, and earns a vote by work that \
                 others have checked:\n  understory swarm join {ticket}",
                run.short(),
                peer.short()
            ),
            Self::Protocol { notice } => return notice_words(notice),
            Self::Connection { peer, up } => {
                format!("{} {}", peer.short(), if *up { "connected" } else { "disconnected" })
            }
            Self::Recorded { statements } => format!("{statements} statements in the commons"),
            Self::NotRecorded { why } => format!("nothing was said in the commons: {}", Plain(why)),
            Self::Marks { commons, size, witnessed, marks, later } => {
                marks_words(commons, *size, *witnessed, marks, *later)
            }
            Self::Marked { height } => format!("record {height} is marked in the commons"),
            Self::NotMarked { why } => {
                format!("no mark in the commons, and it is tried again: {}", Plain(why))
            }
            Self::MarkedOtherwise { height, said } => format!(
                "WARNING: members of the commons say two things of record {height}: {}",
                Plain(said)
            ),
            Self::Failed { error } => format!("failed: {}", Plain(error)),
            Self::Stopped => "stopped; the same command goes on from here".to_owned(),
            Self::Progress { .. }
            | Self::Traffic { .. }
            | Self::Work { .. }
            | Self::Standing { .. }
            | Self::Model { .. } => {
                return None;
            }
        })
    }
}

/// What a joiner holds against the history that it is shown, or that there is nothing.
fn marks_words(
    commons: &Hash,
    size: u64,
    witnessed: Option<u64>,
    marks: &[Mark],
    later: usize,
) -> String {
    let seen = match witnessed {
        Some(at) => format!("the {size} statements that its witnesses saw by {}", time(at)),
        None => "nothing, for too few witnesses have cosigned it".to_owned(),
    };
    let later = match later {
        0 => String::new(),
        n => format!("; {n} beyond that do not count, since too few witnesses have cosigned them"),
    };
    let commons = commons.short();
    match marks.last() {
        Some(last) => format!(
            "commons {commons} has {} of the run's records in {seen}; the newest is record {}, {}\
             {later}",
            plural(marks.len(), "mark"),
            last.height,
            Plain(last.words())
        ),
        None => format!(
            "WARNING: commons {commons} has no mark of this run in {seen}{later}: nothing but the \
             ticket speaks for the history that you are shown"
        ),
    }
}

fn lobby_words(here: &[PeerId], awaited: &[PeerId], unused: usize) -> String {
    let names = |ids: &[PeerId]| ids.iter().map(PeerId::short).collect::<Vec<_>>().join(", ");
    let mut text = format!("here: {}", names(here));
    if !awaited.is_empty() {
        text.push_str(&format!("; founding voters that are missing: {}", names(awaited)));
    }
    match unused {
        0 => {}
        1 => text.push_str("; 1 invitation is unused"),
        n => text.push_str(&format!("; {n} invitations are unused")),
    }
    text
}

/// What the founder tells each friend.
pub fn invitation_words(unused: &[String]) -> String {
    let several = if unused.len() == 1 { "invitation" } else { "invitations" };
    let head = format!(
        "{} {several} unused. Each is a SECRET for one person, who becomes a founding voter with \
         it; the run waits for all of them. Tell each friend one line:",
        unused.len()
    );
    let lines = unused.iter().map(|text| format!("\n  understory swarm join {text}"));
    head + &lines.collect::<String>()
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
            format!(
                "height {}: {}, root {}, {}",
                r.height,
                r.kind,
                r.state.model.hash.short(),
                who.join(" ")
            )
        }
        Notice::Verdict { contributor, auditor, kind, part, .. } => {
            let at = part.map_or_else(String::new, |part| format!(" in part {}", part + 1));
            format!("{} audited {}: {kind}{at}", auditor.short(), contributor.short())
        }
        Notice::Disputed { contributor, accuser, part, .. } => format!(
            "{} accuses {} of part {}: everybody re-runs it",
            accuser.short(),
            contributor.short(),
            part + 1
        ),
        Notice::Ejected { peer, evidence, .. } => {
            format!("{} is out: {evidence}", peer.short())
        }
        Notice::Joined { peer, .. } => format!("{} joined", peer.short()),
        Notice::Absent { peer, .. } => format!("{} is away: no round waits for it", peer.short()),
        Notice::Gone { peer, .. } => {
            format!("{} is no member any more: its standing is used up", peer.short())
        }
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
