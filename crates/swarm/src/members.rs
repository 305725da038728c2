//! Who belongs, who takes part, who votes.

use crate::{Commit, Finding, Join, Member, PeerId, Rules, Signed, Verdict};
use std::collections::BTreeSet;

/// Audits running without the objects they need, after which a member counts as absent.
const UNAVAILABLE_MAX: u32 = 2;

/// Past probation, a newcomer stays one for so many times `probation` contributions.
const TENURE: u32 = 4;

/// The voters among `members`, in the order of their keys.
///
/// Members of genesis vote at once. Newcomers vote after `probation` clean audits, oldest first,
/// and all newcomers together have at most a third of the votes, until they have `4 · probation`
/// contributions behind them: a crowd of fresh keys cannot take over at once.
pub fn voters(rules: &Rules, members: &[Member]) -> Vec<PeerId> {
    let tenured = |m: &&Member| {
        m.joined == 0
            || m.clean >= rules.probation
                && m.contributions >= rules.probation.saturating_mul(TENURE)
    };
    let active = || members.iter().filter(|m| m.active);
    let mut chosen: Vec<PeerId> = active().filter(tenured).map(|m| m.id).collect();
    let mut newcomers: Vec<(u64, PeerId)> = active()
        .filter(|m| !tenured(m) && m.clean >= rules.probation)
        .map(|m| (m.joined, m.id))
        .collect();
    newcomers.sort_unstable();
    let places = chosen.len() / 2;
    chosen.extend(newcomers.into_iter().take(places).map(|(_, id)| id));
    chosen.sort_unstable();
    chosen
}

/// Finds a member.
pub fn member<'a>(members: &'a [Member], id: &PeerId) -> Option<&'a Member> {
    members.binary_search_by(|m| m.id.cmp(id)).ok().map(|at| &members[at])
}

/// What of a record changes the members.
pub struct Changes<'a> {
    /// The record's height.
    pub height: u64,
    /// Who is ejected by it.
    pub ejected: &'a BTreeSet<PeerId>,
    /// Who asks to be let in.
    pub joins: &'a [Signed<Join>],
    /// The contributions, if it is an advance.
    pub contributions: Option<Vec<&'a Signed<Commit>>>,
    /// Verdicts on the advance before.
    pub verdicts: &'a [Signed<Verdict>],
}

/// The members after a record, in the order of their keys.
pub fn members_after(rules: &Rules, before: &[Member], changes: &Changes<'_>) -> Vec<Member> {
    let mut after: Vec<Member> =
        before.iter().filter(|m| !changes.ejected.contains(&m.id)).copied().collect();
    for member in &mut after {
        if let Some(contributions) = &changes.contributions {
            count_contribution(rules, member, contributions, changes.height);
        }
        count_verdicts(member, changes.verdicts, changes.height);
    }
    for join in changes.joins {
        let fresh = fresh_member(join.author(), changes.height);
        match after.binary_search_by(|m| m.id.cmp(&fresh.id)) {
            Ok(at) => {
                let back = &mut after[at];
                (back.active, back.since) = (true, changes.height);
                (back.missed, back.unavailable) = (0, 0);
            }
            Err(at) => after.insert(at, fresh),
        }
    }
    keep_a_voter(rules, before, &mut after, changes.height);
    // An absent newcomer that never had a clean audit leaves its place to others.
    after.retain(|m| m.active || m.joined == 0 || m.clean > 0);
    after
}

/// Somebody has to vote on the next record: if the last voters would be marked absent by this one,
/// they stay.
fn keep_a_voter(rules: &Rules, before: &[Member], after: &mut [Member], height: u64) {
    if !voters(rules, after).is_empty() {
        return;
    }
    let stay = voters(rules, before);
    for member in after.iter_mut().filter(|m| stay.contains(&m.id) && m.since == height) {
        let was = before.iter().find(|m| m.id == member.id);
        (member.active, member.since) = (true, was.map_or(height, |m| m.since));
    }
}

/// A member that has just come.
pub fn fresh_member(id: PeerId, height: u64) -> Member {
    Member {
        id,
        joined: height,
        contributions: 0,
        clean: 0,
        missed: 0,
        unavailable: 0,
        active: true,
        since: height,
        carry: None,
    }
}

fn count_contribution(
    rules: &Rules,
    member: &mut Member,
    contributions: &[&Signed<Commit>],
    height: u64,
) {
    if let Some(commit) = contributions.iter().find(|c| c.author() == member.id) {
        member.contributions = member.contributions.saturating_add(1);
        member.missed = 0;
        member.carry = Some(commit.body().carry);
    } else if member.active {
        member.missed = member.missed.saturating_add(1);
        if member.missed >= rules.absent_after {
            (member.active, member.since) = (false, height);
        }
    }
}

fn count_verdicts(member: &mut Member, verdicts: &[Signed<Verdict>], height: u64) {
    let about = || verdicts.iter().map(Signed::body).filter(|v| v.contributor == member.id);
    if about().any(|v| v.finding == Finding::Confirmed) {
        member.clean = member.clean.saturating_add(1);
        member.unavailable = 0;
    } else if about().any(|v| matches!(v.finding, Finding::Unavailable { .. })) {
        member.unavailable = member.unavailable.saturating_add(1);
        if member.unavailable >= UNAVAILABLE_MAX && member.active {
            (member.active, member.since) = (false, height);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tests::rules;

    fn id(n: u8) -> PeerId {
        PeerId([n; 32])
    }

    #[test]
    fn a_hundred_fresh_keys_get_no_vote_and_later_at_most_a_third() {
        let rules = rules();
        let mut members: Vec<Member> = (0..7).map(|n| fresh_member(id(n), 0)).collect();
        members.extend((10..110).map(|n| fresh_member(id(n), u64::from(n))));
        assert_eq!(voters(&rules, &members).len(), 7);
        for member in &mut members {
            member.clean = rules.probation;
        }
        let chosen = voters(&rules, &members);
        assert_eq!(chosen, (0..7).chain(10..13).map(id).collect::<Vec<_>>());
    }

    #[test]
    fn two_misses_make_a_member_absent_and_a_join_brings_it_back() {
        let (rules, none) = (rules(), BTreeSet::new());
        let identity = crate::Identity::from_seed([1; 32]);
        let mut members = vec![fresh_member(identity.id(), 0)];
        let changes = |height, joins| Changes {
            height,
            ejected: &none,
            joins,
            contributions: Some(Vec::new()),
            verdicts: &[],
        };
        members = members_after(&rules, &members, &changes(1, &[]));
        assert!(members[0].active);
        members.push(Member { contributions: 0, ..fresh_member(PeerId([255; 32]), 0) });
        members.sort_unstable_by_key(|m| m.id);
        members = members_after(&rules, &members, &changes(2, &[]));
        let at = members.iter().position(|m| m.id == identity.id()).expect("still there");
        assert!(!members[at].active && members[at].since == 2);
        assert_eq!(voters(&rules, &members), [PeerId([255; 32])]);
        let join = Join { nonce: store::Hash::default(), height: 2 };
        let join = [Signed::seal(&identity, &store::Hash::default(), join)];
        members = members_after(&rules, &members, &changes(3, &join));
        assert!(members[at].active && members[at].missed == 0 && members[at].since == 3);
    }

    #[test]
    fn the_last_voter_is_never_marked_absent() {
        let (rules, none) = (rules(), BTreeSet::new());
        let mut members = vec![fresh_member(id(1), 0)];
        for height in 1..10 {
            let contributions = Some(Vec::new());
            let (joins, verdicts) = (&[], &[]);
            let changes = Changes { height, ejected: &none, joins, contributions, verdicts };
            members = members_after(&rules, &members, &changes);
            assert_eq!(voters(&rules, &members), [id(1)]);
        }
    }
}
