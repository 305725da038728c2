//! Who audits what: drawn by the beacon of the record that included the contribution, so nobody
//! knew it when the work was committed to.

use crate::{Commit, Member, PeerId, Rules, Segments, Signed};
use store::Hash;

/// One contribution drawn for an audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Whose.
    pub contributor: PeerId,
    /// Which parts.
    pub segments: Segments,
    /// Who audits: the first, or if nothing comes of it the second. The rest stand by in case
    /// those are ejected.
    pub auditors: Vec<PeerId>,
}

/// Draws the audits of an advance: members in probation always and wholly, the others by rate.
///
/// `members` is the standing after the advance, `beacon` the one it made. Nobody audits itself; a
/// member alone is not audited.
pub fn draw_audits(
    rules: &Rules,
    beacon: &Hash,
    members: &[Member],
    contributions: &[Signed<Commit>],
) -> Vec<Draw> {
    let draw = |commit: &Signed<Commit>| {
        let contributor = commit.author();
        let member = members.iter().find(|m| m.id == contributor)?;
        let leaves = commit.body().leaves.len() as u32;
        let segments = if member.clean < rules.probation {
            Segments::All
        } else if number(beacon, "whether", &contributor, 0) % 1_000_000
            < u64::from(rules.audit_rate_ppm)
        {
            some_segments(rules, beacon, &contributor, leaves)
        } else {
            return None;
        };
        let auditors = order_of_auditors(beacon, members, &contributor);
        (!auditors.is_empty()).then_some(Draw { contributor, segments, auditors })
    };
    contributions.iter().filter_map(draw).collect()
}

/// `audit_segments` of the contribution's segments, and always the encoding of its update.
fn some_segments(rules: &Rules, beacon: &Hash, contributor: &PeerId, leaves: u32) -> Segments {
    let mut all: Vec<(u64, u32)> =
        (0..leaves).map(|s| (number(beacon, "segment", contributor, s.into()), s)).collect();
    all.sort_unstable();
    let mut drawn: Vec<u32> =
        all.iter().take(rules.audit_segments as usize).map(|&(_, s)| s).collect();
    drawn.sort_unstable();
    drawn.push(leaves);
    Segments::Some(drawn)
}

fn order_of_auditors(beacon: &Hash, members: &[Member], contributor: &PeerId) -> Vec<PeerId> {
    let others = members.iter().filter(|m| m.active && m.id != *contributor);
    let key = |m: &Member| {
        Hash::of_parts("understory swarm 1 auditor", &[&beacon.0, &contributor.0, &m.id.0])
    };
    let mut order: Vec<(Hash, PeerId)> = others.map(|m| (key(m), m.id)).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, id)| id).collect()
}

fn number(beacon: &Hash, what: &str, peer: &PeerId, index: u64) -> u64 {
    let index = index.to_le_bytes();
    let parts: [&[u8]; 4] = [&beacon.0, what.as_bytes(), &peer.0, &index];
    let hash = Hash::of_parts("understory swarm 1 draw", &parts);
    u64::from_le_bytes(hash.0[..8].try_into().expect("eight bytes are eight bytes"))
}
