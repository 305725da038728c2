//! Who belongs to a run, and how a record changes what each one stands for.

use crate::{Commit, Electorate, Finding, Join, Member, Rules, Signed, Verdict};
use ids::{Hash, PeerId};
use std::collections::BTreeSet;

/// A member that is away loses this part of its standing with each advance.
const FADES: u64 = 4;
/// A voter that does not show its draw, or does not say what came of an audit, this part.
const SLACK: u64 = 8;
/// Whole audits of newcomers are at most this part of the steps that voters train.
const AUDIT_BUDGET: usize = 8;
/// All losses of one advance together are at most this part of all standing: so nobody can drop
/// the others quickly, and a quorum of the old standing is asked again and again on the way.
const LOSSES: u64 = 20;

/// Finds a member.
pub fn member<'a>(members: &'a [Member], id: &PeerId) -> Option<&'a Member> {
    members.binary_search_by(|m| m.id.cmp(id)).ok().map(|at| &members[at])
}

impl Member {
    /// Inner steps that it stands for: those that audits confirmed, or what it was granted as a
    /// founding voter while that is more.
    pub fn standing(&self) -> u64 {
        self.grant.max(self.earned)
    }

    /// Whether its standing counts when there is something to decide.
    pub fn votes(&self, rules: &Rules) -> bool {
        self.grant > 0 || self.clean >= rules.probation
    }

    /// Whether it is no newcomer: a founding voter, or confirmed as often as it takes.
    pub fn is_settled(&self, rules: &Rules) -> bool {
        self.grant > 0 || self.clean >= rules.tenure()
    }

    /// Whether audits of its work are to have their verdicts in the next record: those of settled
    /// members; and those of members in probation, since whoever votes has all that they take
    /// before the work is in a record. What audits of the others take these could hold back.
    pub fn is_audited_in_time(&self, rules: &Rules) -> bool {
        self.is_settled(rules) || !self.votes(rules)
    }

    /// Whether it missed so many advances that nobody waits for it.
    pub fn is_away(&self, rules: &Rules) -> bool {
        self.missed >= rules.absent_after
    }

    fn lose(&mut self, amount: u64) {
        self.grant = self.grant.min(self.standing().saturating_sub(amount));
        self.earned = self.earned.saturating_sub(amount);
    }
}

/// A member that has just come.
pub fn fresh_member(id: PeerId, height: u64) -> Member {
    Member {
        id,
        joined: height,
        contributions: 0,
        grant: 0,
        earned: 0,
        clean: 0,
        missed: 0,
        carry: None,
        link: Hash::default(),
        link_at: height,
    }
}

/// What a join makes of its author; `grant` is what it begins with.
pub fn joined(join: &Signed<Join>, height: u64, grant: u64) -> Member {
    Member { grant, link: join.body().chain, ..fresh_member(join.author(), height) }
}

/// How many newcomers in probation a run takes at a time. Each of them costs the voters two whole
/// audits a round, of the fewest steps that a contribution may have: together at most an eighth of
/// what the voters train at most, but one may always come, and never more than there are voters.
pub fn seats(rules: &Rules, members: &[Member]) -> usize {
    let electorate = Electorate::of(rules, members);
    let away = |id: &PeerId| member(members, id).is_some_and(|m| m.is_away(rules));
    let voters = electorate.voters().filter(|v| !away(v)).count().max(1);
    let each = AUDIT_BUDGET * 2 * rules.steps_min.max(1) as usize;
    (voters * rules.steps_max as usize).div_ceil(each).min(voters)
}

/// How many newcomers a genesis record may have: as many as there are seats for, and those that the
/// run's rules want for a beginning.
pub fn first_seats(rules: &Rules, members: &[Member]) -> usize {
    let wanted =
        (rules.min_members as usize).saturating_sub(members.len() - seated(rules, members));
    seats(rules, members).max(wanted)
}

/// Members that take such a seat.
pub fn seated(rules: &Rules, members: &[Member]) -> usize {
    members.iter().filter(|m| !m.votes(rules)).count()
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
    /// What came of the advance before, if this record closes its audits.
    pub audited: Option<Audited<'a>>,
}

/// What came of the audits of an advance.
pub struct Audited<'a> {
    /// The advance's height.
    pub height: u64,
    /// Its contributions that still count.
    pub contributions: &'a [Signed<Commit>],
    /// Links that voters have shown.
    pub links: Vec<(PeerId, Hash)>,
    /// Verdicts.
    pub verdicts: &'a [Signed<Verdict>],
    /// Voters that did not show a link, or did not say what came of an audit they had drawn.
    /// Newcomers are not waited for, so they lose nothing by it, and are credited nothing.
    pub slack: BTreeSet<PeerId>,
    /// Contributors whose objects holders of more standing than may be faulty could not get.
    pub unavailable: BTreeSet<PeerId>,
}

/// The members after a record, in the order of their keys.
pub fn members_after(rules: &Rules, before: &[Member], changes: &Changes<'_>) -> Vec<Member> {
    let mut after: Vec<Member> =
        before.iter().filter(|m| !changes.ejected.contains(&m.id)).copied().collect();
    if let Some(audited) = &changes.audited {
        credit(rules, &mut after, audited);
    }
    if let Some(contributions) = &changes.contributions {
        after.iter_mut().for_each(|m| count(m, contributions));
    }
    if changes.contributions.is_some() {
        let full = after.clone();
        take(rules, before, &mut after, changes.audited.as_ref());
        after.retain(|m| !m.is_away(rules) || m.standing() > 0);
        // Somebody has to vote on the next record.
        if Electorate::of(rules, &after).total() == 0 {
            after = full;
        }
    }
    for join in changes.joins {
        let fresh = joined(join, changes.height, 0);
        if let Err(at) = after.binary_search_by(|m| m.id.cmp(&fresh.id)) {
            after.insert(at, fresh);
        }
    }
    after
}

/// Confirmed steps are standing; links move on.
fn credit(rules: &Rules, members: &mut [Member], audited: &Audited<'_>) {
    for member in members {
        if let Some((_, link)) = audited.links.iter().find(|(id, _)| *id == member.id) {
            (member.link, member.link_at) = (*link, audited.height);
        }
        let commit = audited.contributions.iter().find(|c| c.author() == member.id);
        let Some(commit) = commit else { continue };
        if audited.unavailable.contains(&member.id) {
            // Whoever withholds what its work can be checked by is a newcomer again.
            member.clean = 0;
        } else if audited.verdicts.iter().any(|v| confirms(v.body(), &member.id))
            && (member.is_settled(rules) || !audited.slack.contains(&member.id))
        {
            member.clean = member.clean.saturating_add(1);
            member.earned = member.earned.saturating_add(commit.body().steps.into());
        }
    }
}

fn confirms(verdict: &Verdict, contributor: &PeerId) -> bool {
    verdict.contributor == *contributor
        && verdict.scope.is_of_work()
        && matches!(verdict.finding, Finding::Confirmed { .. })
}

fn count(member: &mut Member, contributions: &[&Signed<Commit>]) {
    match contributions.iter().find(|c| c.author() == member.id) {
        Some(commit) => {
            member.contributions = member.contributions.saturating_add(1);
            member.missed = 0;
            member.carry = Some(commit.body().carry);
        }
        None => member.missed = member.missed.saturating_add(1),
    }
}

/// Takes standing from whoever is away, does not audit, or withholds what audits need. Who was
/// settled `before` pays as such, though what it withheld makes it a newcomer.
fn take(rules: &Rules, before: &[Member], members: &mut [Member], audited: Option<&Audited<'_>>) {
    let loss = |m: &Member| {
        let slack = audited.is_some_and(|a| a.slack.contains(&m.id));
        let withheld = audited.is_some_and(|a| a.unavailable.contains(&m.id));
        match member(before, &m.id).is_some_and(|m| m.is_settled(rules)) {
            // A newcomer that withholds begins again: rounds do not wait for it a second time.
            false if withheld => m.standing(),
            _ if m.is_away(rules) || withheld => m.standing().div_ceil(FADES),
            true if slack => m.standing().div_ceil(SLACK),
            _ => 0,
        }
    };
    let losses: Vec<u64> = members.iter().map(loss).collect();
    let (lost, all) = (losses.iter().sum::<u64>(), members.iter().map(Member::standing).sum());
    let most = u64::max(all, 1).div_ceil(LOSSES).min(lost);
    for (member, loss) in members.iter_mut().zip(losses) {
        if loss > 0 {
            let part = u128::from(loss) * u128::from(most) / u128::from(lost);
            member.lose((part as u64).max(u64::from(lost <= most)));
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

    fn founders(count: u8) -> Vec<Member> {
        (1..=count).map(|n| Member { grant: rules().grant(), ..fresh_member(id(n), 0) }).collect()
    }

    /// An advance to which nobody but these has contributed.
    fn advance(members: &[Member], height: u64, by: &[ids::Identity]) -> Vec<Member> {
        let object = crate::ObjectRef { hash: Hash::default(), len: 1 };
        let commit = |identity: &ids::Identity| {
            let commit = Commit {
                height,
                round: 0,
                base: Hash::default(),
                steps: 64,
                trail: object,
                update: object,
                carry_before: None,
                carry: object,
            };
            Signed::seal(identity, &Hash::default(), commit)
        };
        let commits: Vec<_> = by.iter().map(commit).collect();
        let none = BTreeSet::new();
        let changes = Changes {
            height,
            ejected: &none,
            joins: &[],
            contributions: Some(commits.iter().collect()),
            audited: None,
        };
        members_after(&rules(), members, &changes)
    }

    #[test]
    fn one_advance_takes_at_most_a_twentieth_of_all_standing() {
        let mut members = founders(10);
        for height in 1..200 {
            let before: u64 = members.iter().map(Member::standing).sum();
            members = advance(&members, height, &[]);
            let after: u64 = members.iter().map(Member::standing).sum();
            assert!(before - after <= before.div_ceil(20), "{before} to {after}");
        }
        let left: u64 = members.iter().map(Member::standing).sum();
        assert!(left > 0 && left < rules().grant(), "of ten grants {left} are left");
    }

    #[test]
    fn a_member_that_is_back_stops_fading() {
        let identity = ids::Identity::from_seed([1; 32]);
        let mut members = founders(3);
        members.push(Member { grant: rules().grant(), ..fresh_member(identity.id(), 0) });
        members.sort_unstable_by_key(|m| m.id);
        for height in 1..5 {
            members = advance(&members, height, &[]);
        }
        let standing = |members: &[Member]| {
            member(members, &identity.id()).map(|m| (m.standing(), m.is_away(&rules())))
        };
        let (faded, away) = standing(&members).expect("still there");
        assert!(away && faded < rules().grant());
        members = advance(&members, 5, std::slice::from_ref(&identity));
        assert_eq!(standing(&members), Some((faded, false)));
    }

    #[test]
    fn an_idle_newcomer_leaves_its_seat() {
        let mut members = founders(2);
        members.push(fresh_member(id(9), 1));
        assert_eq!(seated(&rules(), &members), 1);
        members = advance(&members, 2, &[]);
        members = advance(&members, 3, &[]);
        assert_eq!(seated(&rules(), &members), 0);
    }

    /// What comes of an advance in which number 9, settled, took 64 steps, with these findings.
    fn audited(
        verdicts: &[(crate::Scope, Finding)],
        slack: &[u8],
        unavailable: &[u8],
    ) -> (Member, Member) {
        audited_at(rules().tenure(), verdicts, slack, unavailable)
    }

    /// The same, with so many clean audits before.
    fn audited_at(
        clean: u32,
        verdicts: &[(crate::Scope, Finding)],
        slack: &[u8],
        unavailable: &[u8],
    ) -> (Member, Member) {
        let nine = ids::Identity::from_seed([9; 32]);
        let object = crate::ObjectRef { hash: Hash::default(), len: 1 };
        let commit = Commit {
            height: 1,
            round: 0,
            base: Hash::default(),
            steps: 64,
            trail: object,
            update: object,
            carry_before: None,
            carry: object,
        };
        let commits = [Signed::seal(&nine, &Hash::default(), commit)];
        let verdict = |(scope, finding): &(crate::Scope, Finding)| {
            let (scope, finding) = (*scope, *finding);
            let body = Verdict { height: 1, contributor: nine.id(), scope, finding };
            Signed::seal(&ids::Identity::from_seed([1; 32]), &Hash::default(), body)
        };
        let verdicts: Vec<_> = verdicts.iter().map(verdict).collect();
        let who = |n: &u8| if *n == 9 { nine.id() } else { id(*n) };
        let before = Member { earned: 80, clean, ..fresh_member(nine.id(), 0) };
        let mut members = founders(4);
        members.push(before);
        members.sort_unstable_by_key(|m| m.id);
        let none = BTreeSet::new();
        let changes = Changes {
            height: 2,
            ejected: &none,
            joins: &[],
            contributions: Some(commits.iter().collect()),
            audited: Some(Audited {
                height: 1,
                contributions: &commits,
                links: Vec::new(),
                verdicts: &verdicts,
                slack: slack.iter().map(who).collect(),
                unavailable: unavailable.iter().map(who).collect(),
            }),
        };
        let after = members_after(&rules(), &members, &changes);
        (before, *member(&after, &nine.id()).expect("it stays"))
    }

    #[test]
    fn confirmed_steps_are_earned_once_and_a_recheck_earns_nothing() {
        let confirmed = Finding::Confirmed { digest: Hash::default() };
        let (before, after) = audited(&[(crate::Scope::Drawn, confirmed); 2], &[], &[]);
        assert_eq!((after.earned, after.clean), (before.earned + 64, before.clean + 1));
        let scope = crate::Scope::Recheck { auditor: id(2) };
        let (before, after) = audited(&[(scope, confirmed)], &[], &[]);
        assert_eq!((after.earned, after.clean), (before.earned, before.clean));
    }

    #[test]
    fn who_withholds_or_does_not_audit_loses_standing() {
        let confirmed = Finding::Confirmed { digest: Hash::default() };
        let (before, after) = audited(&[(crate::Scope::Drawn, confirmed)], &[], &[9]);
        assert_eq!((after.standing(), after.clean), (before.standing() / 4 * 3, 0), "a quarter");
        let (before, after) = audited(&[], &[9], &[]);
        assert_eq!(after.clean, before.clean);
        assert!(after.standing() < before.standing(), "{after:?}");
    }

    #[test]
    fn a_newcomer_that_withholds_begins_again_and_one_that_does_not_audit_gains_nothing() {
        let confirmed = [(crate::Scope::Drawn, Finding::Confirmed { digest: Hash::default() })];
        let new = rules().tenure() - 1;
        let (_, after) = audited_at(new, &confirmed, &[], &[9]);
        assert_eq!((after.standing(), after.clean), (0, 0), "{after:?}");
        let (before, after) = audited_at(new, &confirmed, &[9], &[]);
        assert_eq!((after.earned, after.clean), (before.earned, before.clean));
        let (before, after) = audited_at(new, &confirmed, &[], &[]);
        assert_eq!((after.earned, after.clean), (before.earned + 64, before.clean + 1));
    }

    #[test]
    fn audited_work_replaces_a_grant_and_only_it_gives_a_vote() {
        let founder = Member { grant: 512, earned: 100, ..fresh_member(id(1), 0) };
        assert_eq!(founder.standing(), 512);
        assert_eq!(Member { earned: 600, ..founder }.standing(), 600);
        let newcomer = Member { earned: 600, clean: 1, ..fresh_member(id(2), 1) };
        assert!(!newcomer.votes(&rules()), "still in probation");
        assert!(Member { clean: 2, ..newcomer }.votes(&rules()));
    }

    #[test]
    fn as_many_newcomers_as_there_are_voters_that_are_not_away() {
        let mut members = founders(5);
        assert_eq!(seats(&rules(), &members), 5);
        members[0].missed = rules().absent_after;
        assert_eq!(seats(&rules(), &members), 4);
    }

    #[test]
    fn whole_audits_of_newcomers_are_an_eighth_of_what_voters_train() {
        let of = |steps_min, voters| seats(&Rules { steps_min, ..rules() }, &founders(voters));
        assert_eq!((of(8, 4), of(8, 10), of(8, 1)), (2, 5, 1));
        assert_eq!((of(64, 4), of(64, 16), of(64, 17)), (1, 1, 2), "all steps are audited twice");
        assert_eq!(of(1, 4), 4, "never more than voters");
    }
}
