//! Who audits what: each voter draws for itself, by a number that nobody else can know before the
//! record is decided and that it cannot choose.
//!
//! On joining a member commits to the end of a chain of hashes, each the hash of the one before.
//! After every advance it shows the link that belongs to the advance's height; whoever hashes it
//! as often as heights have passed gets what was committed to. That link and the record's hash
//! draw what this voter re-runs. A contributor that is no friend of the voter learns it when its
//! work is in the record and can no longer be taken back; and whatever friends of its own draw,
//! the others draw without them. Source of the device: Lamport 1981, one-time passwords.

use crate::{Electorate, Member, Rules, Sample, members::member};
use ids::{Hash, Identity, PeerId};

/// In probation each contribution is re-run whole by so many auditors in the mean.
const WHOLE: f64 = 2.0;

/// What one auditor re-runs of one contribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Who audits.
    pub auditor: PeerId,
    /// Who drew it: the auditor itself, or a voter that has shown no link and that it stands in
    /// for.
    pub drawer: PeerId,
    /// Whose contribution.
    pub contributor: PeerId,
    /// Which parts.
    pub sample: Sample,
}

/// Links of a hash chain: one for each height there may be, and some for repairs.
pub fn chain_length(rules: &Rules) -> u64 {
    4 * u64::from(rules.rounds) + 4096
}

/// The next element of a hash chain.
fn hashed(link: &Hash) -> Hash {
    Hash::of_parts("understory swarm 2 link", &[&link.0])
}

fn hashed_times(link: Hash, times: u64) -> Hash {
    (0..times).fold(link, |link, _| hashed(&link))
}

/// The link of `identity`'s chain `after` heights from its join; 0 gives the chain's end. `tag` is
/// [`crate::Join::height`]: who joins a second time begins a second chain, since the first one's
/// links are known. `None` past the chain's beginning.
pub fn own_link(
    identity: &Identity,
    run: &Hash,
    rules: &Rules,
    tag: u64,
    after: u64,
) -> Option<Hash> {
    let times = chain_length(rules).checked_sub(after)?;
    let secret = identity.derive("draws", &[&run.0, &tag.to_le_bytes()]);
    Some(hashed_times(secret, times))
}

/// Whether `link` is the member's for a height.
pub fn is_link(rules: &Rules, member: &Member, height: u64, link: &Hash) -> bool {
    let within = height.checked_sub(member.joined).is_some_and(|n| n <= chain_length(rules));
    let Some(times) = height.checked_sub(member.link_at).filter(|n| within && *n > 0) else {
        return false;
    };
    hashed_times(*link, times) == member.link
}

/// The member's link for a height, from a later one that the records have.
pub(crate) fn link_of(member: &Member, height: u64) -> Option<Hash> {
    let times = member.link_at.checked_sub(height).filter(|_| member.joined < height)?;
    Some(hashed_times(member.link, times))
}

/// One contribution that may be drawn.
#[derive(Clone, Copy, Debug)]
pub struct Drawable {
    /// Whose.
    pub contributor: PeerId,
    /// Inner steps.
    pub steps: u32,
}

/// What `auditor` re-runs of an advance with this record hash. `link` is what it has shown; where
/// it has shown nothing the rule draws in its place, by the record alone.
///
/// `members` and `electorate` are those before the advance. Nobody audits itself.
pub fn draws_of(
    rules: &Rules,
    electorate: &Electorate,
    members: &[Member],
    record: &Hash,
    auditor: &PeerId,
    link: Option<&Hash>,
    contributions: &[Drawable],
) -> Vec<Draw> {
    let seed = match link {
        Some(link) => Hash::of_parts("understory swarm 2 draw", &[&record.0, &link.0]),
        None => Hash::of_parts("understory swarm 2 rule's draw", &[&record.0, &auditor.0]),
    };
    let drawn = contributions.iter().filter(|c| c.contributor != *auditor).filter_map(|c| {
        let others = electorate.total() - electorate.weight(&c.contributor);
        let share = electorate.weight(auditor) as f64 / (others.max(1)) as f64;
        let clean = member(members, &c.contributor).map_or(0, |m| m.clean);
        let sample = sample(rules, &seed, c, clean, share)?;
        let contributor = c.contributor;
        Some(Draw { auditor: *auditor, drawer: *auditor, contributor, sample })
    });
    drawn.collect()
}

/// What an auditor with this share of the others' weight re-runs of one contribution.
fn sample(rules: &Rules, seed: &Hash, of: &Drawable, clean: u32, share: f64) -> Option<Sample> {
    let whole = match clean < rules.probation {
        true => WHOLE,
        false => f64::from(rules.audit_rate_ppm) / 1e6,
    };
    if times(seed, "whole", &of.contributor, whole * share) > 0 {
        return Some(Sample::All);
    }
    let count = times(seed, "parts", &of.contributor, f64::from(rules.audit_milli) / 1e3 * share);
    let mut parts: Vec<u32> = (0..count)
        .map(|n| (number(seed, "part", &of.contributor, n) % u64::from(of.steps.max(1))) as u32)
        .collect();
    parts.sort_unstable();
    parts.dedup();
    (!parts.is_empty()).then_some(Sample::Parts(parts))
}

/// How often something happens that happens `rate` times in the mean: its whole part, and once
/// more with the chance that is left.
fn times(seed: &Hash, what: &str, about: &PeerId, rate: f64) -> u64 {
    // Exact to a millionth on every machine: one rounding of a product, then whole numbers.
    let millionths = (rate * 1e6) as u64;
    let more = number(seed, what, about, 0) % 1_000_000 < millionths % 1_000_000;
    millionths / 1_000_000 + u64::from(more)
}

/// Whether `auditor` makes a confirmation by another again, to compare.
pub fn rechecks(
    rules: &Rules,
    electorate: &Electorate,
    seed: &Hash,
    auditor: &PeerId,
    (confirmer, contributor): (&PeerId, &PeerId),
) -> bool {
    if auditor == confirmer || auditor == contributor {
        return false;
    }
    let others = electorate.total() - electorate.weight_of([*confirmer, *contributor]);
    let share = electorate.weight(auditor) as f64 / (others.max(1)) as f64;
    let seed = Hash::of_parts("understory swarm 2 recheck", &[&seed.0, &confirmer.0]);
    times(&seed, "again", contributor, f64::from(rules.recheck_ppm) / 1e6 * share) > 0
}

/// Who does what a voter has drawn that shows nothing: another one, drawn by the record.
pub fn stand_in(electorate: &Electorate, record: &Hash, for_whom: &PeerId) -> Option<PeerId> {
    let rest = electorate.weights().iter().filter(|(id, _)| id != for_whom).copied().collect();
    Electorate::from_weights(rest).at(number(record, "stand-in", for_whom, 0))
}

fn number(seed: &Hash, what: &str, peer: &PeerId, index: u64) -> u64 {
    let index = index.to_le_bytes();
    let parts: [&[u8]; 4] = [&seed.0, what.as_bytes(), &peer.0, &index];
    let hash = Hash::of_parts("understory swarm 2 number", &parts);
    u64::from_le_bytes(hash.0[..8].try_into().expect("eight bytes are eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{members::fresh_member, rules::tests::rules};

    const RUN: Hash = Hash([7; 32]);

    #[test]
    fn a_link_counts_for_its_height_and_author_and_once() {
        let identity = Identity::from_seed([1; 32]);
        let link =
            |who: &Identity, after| own_link(who, &RUN, &rules(), 0, after).expect("in reach");
        let mut member = Member { link: link(&identity, 0), ..fresh_member(identity.id(), 3) };
        let is = |member: &Member, height, link| is_link(&rules(), member, height, &link);
        assert!(is(&member, 5, link(&identity, 2)));
        assert!(!is(&member, 5, link(&identity, 1)) && !is(&member, 5, link(&identity, 3)));
        assert!(!is(&member, 5, link(&Identity::from_seed([2; 32]), 2)));
        assert!(!is(&member, 3, link(&identity, 0)), "the end itself was never secret");
        (member.link, member.link_at) = (link(&identity, 2), 5);
        assert!(!is(&member, 5, link(&identity, 2)), "shown already");
        assert!(is(&member, 6, link(&identity, 3)));
    }

    #[test]
    fn the_link_draws_and_without_one_the_record() {
        let peers: Vec<PeerId> = (1..=20).map(|n| PeerId([n; 32])).collect();
        let rules = Rules { probation: 0, ..rules() };
        let all = Electorate::from_weights(peers.iter().map(|p| (*p, 10)).collect());
        let members: Vec<Member> = peers.iter().map(|p| fresh_member(*p, 0)).collect();
        let work: Vec<Drawable> =
            peers.iter().map(|p| Drawable { contributor: *p, steps: 30 }).collect();
        let drawn = |record: &[u8], link: Option<&[u8]>| {
            let (record, link) = (Hash::of(record), link.map(Hash::of));
            draws_of(&rules, &all, &members, &record, &peers[0], link.as_ref(), &work)
        };
        let first = drawn(b"a", Some(b"x"));
        assert_eq!(first, drawn(b"a", Some(b"x")));
        assert!((0..8u8).any(|n| drawn(b"a", Some(&[n])) != first), "the link must matter");
        assert!((0..8u8).any(|n| drawn(&[n], Some(b"x")) != first), "the record must matter");
        assert!((0..8u8).any(|n| drawn(&[n], None) != drawn(b"a", None)));
        let lists = (0..50u8).flat_map(|n| drawn(&[n], None));
        assert!(lists.into_iter().all(|d| d.contributor != peers[0]), "nobody audits itself");
    }

    #[test]
    fn another_one_stands_in() {
        let peers: Vec<PeerId> = (1..=3).map(|n| PeerId([n; 32])).collect();
        let all = Electorate::from_weights(peers.iter().map(|p| (*p, 10)).collect());
        let by: std::collections::BTreeSet<_> =
            (0..50u8).filter_map(|n| stand_in(&all, &Hash::of(&[n]), &peers[0])).collect();
        assert_eq!(by.into_iter().collect::<Vec<_>>(), peers[1..]);
    }
}
