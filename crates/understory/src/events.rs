//! What a peer tells, in words: with `--json` it is one JSON object per line instead.

use crate::units::{plural, span, time};
use cotrain::{events::PeerEvent, marks::Mark};
use ids::{Hash, PeerId, Plain};
use recipe::corpus::LeftOut;
use swarm::Notice;

/// An event in words, for terminals; `None` for what would only be noise there.
pub fn words(event: &PeerEvent) -> Option<String> {
    Some(match event {
        PeerEvent::Preparing { what } => format!("{what} …"),
        PeerEvent::Corpus(c) => format!(
            "corpus: {} files, {:.1} MB, {} tokens; {}",
            c.files,
            c.bytes as f64 / 1e6,
            c.tokens,
            licences(&c.licences)
        ),
        PeerEvent::Joining { run, checkpoint: Some(mark) } => format!(
            "run {}: its record {} must be {}, behind which stand {} audited steps",
            run.short(),
            mark.height,
            mark.record.short(),
            mark.standing
        ),
        PeerEvent::Joining { run, checkpoint: None } => format!(
            "run {}: the ticket is from before the run began; for a run that is well under way \
                 ask for a new one, which names a record",
            run.short()
        ),
        PeerEvent::Lobby { here, awaited, unused } => lobby_words(here, awaited, *unused),
        PeerEvent::Invitations { unused } => invitation_words(unused),
        PeerEvent::Started { run, peer, ticket, .. } => format!(
            "run {}, this peer {}\nanybody may contribute, and earns a vote by work that \
                 others have checked:\n  understory swarm join {ticket}",
            run.short(),
            peer.short()
        ),
        PeerEvent::Protocol { notice } => return notice_words(notice),
        PeerEvent::Connection { peer, up } => {
            format!("{} {}", peer.short(), if *up { "connected" } else { "disconnected" })
        }
        PeerEvent::Recorded { statements } => format!("{statements} statements in the commons"),
        PeerEvent::NotRecorded { why } => {
            format!("nothing was said in the commons: {}", Plain(why))
        }
        PeerEvent::Marks { commons, size, witnessed, marks, later } => {
            marks_words(commons, *size, *witnessed, marks, *later)
        }
        PeerEvent::Marked { height } => format!("record {height} is marked in the commons"),
        PeerEvent::NotMarked { why } => {
            format!("no mark in the commons, and it is tried again: {}", Plain(why))
        }
        PeerEvent::MarkedOtherwise { height, said } => format!(
            "WARNING: members of the commons say two things of record {height}: {}",
            Plain(said)
        ),
        PeerEvent::Clock { ahead_s: 0, .. } => "this machine's clock is right again".to_owned(),
        PeerEvent::Clock { ahead_s, others } => clock_words(*ahead_s, *others),
        PeerEvent::LeftOut(left_out) => left_out_words(left_out),
        PeerEvent::NotWritten { why } => {
            format!("not written, and it is tried again: {}", Plain(why))
        }
        PeerEvent::Failed { error, .. } => format!("failed: {}", Plain(error)),
        PeerEvent::Stopped => "stopped; the same command goes on from here".to_owned(),
        PeerEvent::Working(_)
        | PeerEvent::Progress { .. }
        | PeerEvent::Traffic { .. }
        | PeerEvent::Work { .. }
        | PeerEvent::Standing { .. }
        | PeerEvent::Model { .. } => {
            return None;
        }
    })
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

/// That this machine's clock is wrong.
pub fn clock_words(ahead_s: i64, others: usize) -> String {
    let side = if ahead_s < 0 { "behind" } else { "ahead of" };
    let that = if others == 1 { "that of 1 other" } else { &format!("that of {others} others") };
    format!(
        "WARNING: this machine's clock is {} {side} {that}: set it right (`timedatectl set-ntp true` \
         does where systemd runs)",
        span(ahead_s.unsigned_abs())
    )
}

/// What of a text is not trained on, a line for each reason.
pub fn left_out_words(left_out: &LeftOut) -> String {
    let lines = left_out.words().into_iter().map(|words| format!("left out: {}", Plain(&words)));
    lines.collect::<Vec<_>>().join("\n")
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
        Notice::Resumed(r) => {
            format!("goes on from height {}, root {}", r.height, r.state.model.hash.short())
        }
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
