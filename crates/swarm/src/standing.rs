//! Standing: audited work, and what it weighs.
//!
//! A key is nothing, since anybody can make up a thousand. What weighs is the number of inner
//! steps that others have re-run a sample of and found right. So whoever splits a machine over
//! ten keys has ten tenths. Two rules bound the weights besides: newcomers, all together, weigh
//! less than a third, and from four settled voters on none weighs more than a quarter.

use crate::{Member, Rules, faults, quorum};
use ids::PeerId;
use std::sync::{Arc, OnceLock};

/// From so many settled voters on, none weighs more than one part in so many.
const EQUALS: u64 = 4;

/// Who decides on the next record, and what each one weighs. Made from the chain alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Electorate {
    /// Only weights above 0, in the order of the keys.
    weights: Arc<[(PeerId, u64)]>,
    total: u64,
}

/// The electorate of members that do not change, computed once: it is asked for with every message.
#[derive(Clone, Debug, Default)]
pub struct Voters(OnceLock<Electorate>);

impl Voters {
    /// The electorate of these members, always the same ones.
    pub fn of(&self, rules: &Rules, members: &[Member]) -> Electorate {
        self.0.get_or_init(|| Electorate::of(rules, members)).clone()
    }
}

impl Electorate {
    /// The electorate of these members.
    pub fn of(rules: &Rules, members: &[Member]) -> Self {
        let (settled, newcomers): (Vec<&Member>, Vec<&Member>) =
            members.iter().filter(|m| m.votes(rules)).partition(|m| m.is_settled(rules));
        let standing = |some: &[&Member]| some.iter().map(|m| m.standing()).collect::<Vec<u64>>();
        let (mut old, mut new) = (standing(&settled), standing(&newcomers));
        let most = most_of_one(&old);
        old.iter_mut().for_each(|weight| *weight = (*weight).min(most));
        if most > 0 {
            new.iter_mut().for_each(|weight| *weight = (*weight).min(most));
            fit(&mut new, under_a_third(&old));
        }
        let ids = settled.iter().chain(&newcomers).map(|m| m.id);
        Self::from_weights(ids.zip(old.into_iter().chain(new)).collect())
    }

    /// An electorate of these weights.
    pub fn from_weights(mut weights: Vec<(PeerId, u64)>) -> Self {
        weights.retain(|(_, weight)| *weight > 0);
        weights.sort_unstable();
        let total = weights.iter().map(|(_, weight)| weight).sum();
        Self { weights: weights.into(), total }
    }

    /// The voters, in the order of their keys.
    pub fn voters(&self) -> impl Iterator<Item = PeerId> {
        self.weights.iter().map(|(id, _)| *id)
    }

    /// The voters with their weights, in the order of their keys.
    pub fn weights(&self) -> &[(PeerId, u64)] {
        &self.weights
    }

    /// What `id` weighs; 0 for whoever has no vote.
    pub fn weight(&self, id: &PeerId) -> u64 {
        let at = self.weights.binary_search_by(|(voter, _)| voter.cmp(id));
        at.map_or(0, |at| self.weights[at].1)
    }

    /// What several weigh together, each of them once.
    pub fn weight_of(&self, ids: impl IntoIterator<Item = PeerId>) -> u64 {
        let ids: std::collections::BTreeSet<PeerId> = ids.into_iter().collect();
        ids.iter().map(|id| self.weight(id)).sum()
    }

    /// What all weigh.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How much of the weight may be faulty.
    pub fn faults(&self) -> u64 {
        faults(self.total)
    }

    /// How much of the weight decides.
    pub fn quorum(&self) -> u64 {
        quorum(self.total)
    }

    /// How much decides on a repair that ejects voters of this weight, none of whom has a say on
    /// it. What is proven to be faulty is at most what may be: then the others decide as if they
    /// were alone, which still meets every other quorum in an honest voter. Otherwise it takes a
    /// whole quorum of all.
    pub fn repair_quorum(&self, culprits: u64) -> u64 {
        match culprits <= self.faults() {
            true => quorum(self.total - culprits),
            false => self.quorum(),
        }
    }

    /// Whether these witnesses prove something: two at least, and together more than may be
    /// faulty, so that somebody honest is among them.
    pub fn prove(&self, witnesses: impl IntoIterator<Item = PeerId>) -> bool {
        let voters = witnesses.into_iter().filter(|w| self.weight(w) > 0);
        let voters: std::collections::BTreeSet<PeerId> = voters.collect();
        voters.len() >= 2 && self.weight_of(voters) > self.faults()
    }

    /// The voter at `point` of the line on which each takes as much room as it weighs.
    pub fn at(&self, point: u64) -> Option<PeerId> {
        let mut rest = point.checked_rem(self.total)?;
        for (id, weight) in self.weights.iter() {
            match rest.checked_sub(*weight) {
                Some(left) => rest = left,
                None => return Some(*id),
            }
        }
        None
    }
}

/// The weights of contributions in the sum, in the order of `steps`: each by its steps, but no
/// more than its author's standing while it is in probation (nobody knows yet whether those steps
/// were taken); and of all newcomers together less than a third.
pub fn sum_weights(rules: &Rules, steps: &[(Option<&Member>, u32)]) -> Vec<u64> {
    let weight = |(member, steps): &(Option<&Member>, u32)| match member {
        Some(member) if member.clean < rules.probation => u64::from(*steps).min(member.standing()),
        Some(_) => u64::from(*steps),
        None => 0,
    };
    let is_new = |m: &Option<&Member>| m.is_none_or(|m| !m.is_settled(rules));
    let mut weights: Vec<u64> = steps.iter().map(weight).collect();
    let of = |weights: &[u64], new: bool| -> Vec<u64> {
        let kept = weights.iter().zip(steps).filter(|(_, (m, _))| is_new(m) == new);
        kept.map(|(weight, _)| *weight).collect()
    };
    let (old, mut new) = (of(&weights, false), of(&weights, true));
    if old.iter().any(|w| *w > 0) {
        fit(&mut new, under_a_third(&old));
    }
    let mut new = new.into_iter();
    for (weight, (member, _)) in weights.iter_mut().zip(steps) {
        if is_new(member) {
            *weight = new.next().unwrap_or(0);
        }
    }
    weights
}

/// The most that others may weigh together beside these, to be less than a third of all.
fn under_a_third(weights: &[u64]) -> u64 {
    weights.iter().sum::<u64>().saturating_sub(1) / 2
}

/// Shortens all weights in proportion until they are no more than `most` together.
fn fit(weights: &mut [u64], most: u64) {
    let total: u64 = weights.iter().sum();
    if total > most {
        let share = |w: u64| u128::from(w) * u128::from(most) / u128::from(total);
        weights.iter_mut().for_each(|w| *w = share(*w) as u64);
    }
}

/// The most that one of these may weigh: a quarter of what all weigh once bounded so; with fewer
/// than four, as much as the lightest, so that each has its equal part.
fn most_of_one(weights: &[u64]) -> u64 {
    let mut heaviest = weights.to_vec();
    heaviest.sort_unstable_by(|a, b| b.cmp(a));
    let equals = EQUALS.min(heaviest.len() as u64);
    // With the k heaviest bounded to `most` and the rest R, most = (k · most + R) / equals.
    for k in 0..equals {
        let rest: u64 = heaviest[k as usize..].iter().sum();
        let most = rest / (equals - k);
        if heaviest[k as usize] <= most {
            return match k {
                0 => heaviest[0],
                _ => most,
            };
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{members::fresh_member, rules::tests::rules};

    fn member(n: u8, grant: u64, earned: u64, clean: u32) -> Member {
        Member { grant, earned, clean, ..fresh_member(PeerId([n; 32]), 1) }
    }

    fn weights(members: &[Member]) -> Vec<u64> {
        let all = Electorate::of(&rules(), members);
        members.iter().map(|m| all.weight(&m.id)).collect()
    }

    fn founders(standing: &[u64]) -> Vec<Member> {
        (1..).zip(standing).map(|(n, s)| member(n, *s, 0, 2)).collect()
    }

    #[test]
    fn from_four_settled_voters_on_none_weighs_more_than_a_quarter() {
        for standing in
            [vec![1000, 1, 1, 1, 1], vec![9, 9, 9, 9], vec![500, 400, 30, 20, 10, 5], vec![7; 30]]
        {
            let weights = weights(&founders(&standing));
            let total: u64 = weights.iter().sum();
            assert!(weights.iter().all(|w| 4 * w <= total), "{standing:?} weigh {weights:?}");
            assert!(weights.iter().all(|w| *w > 0), "{standing:?} weigh {weights:?}");
        }
    }

    #[test]
    fn fewer_than_four_weigh_the_same() {
        assert_eq!(weights(&founders(&[1000, 30, 500])), [30, 30, 30]);
        assert_eq!(weights(&founders(&[3, 800])), [3, 3]);
        assert_eq!(weights(&founders(&[800])), [800]);
    }

    #[test]
    fn weights_that_break_no_bound_stay() {
        assert_eq!(weights(&founders(&[10, 11, 12, 13, 14])), [10, 11, 12, 13, 14]);
    }

    #[test]
    fn newcomers_together_weigh_under_a_third_however_many_keys_they_have() {
        let rules = rules();
        for keys in [1u64, 2, 10, 50] {
            let mut members = founders(&[100; 4]);
            for n in 0..keys {
                members.push(member(50 + n as u8, 0, 1_000_000 / keys, rules.probation));
            }
            members.sort_unstable_by_key(|m| m.id);
            let all = Electorate::of(&rules, &members);
            let new: u64 = members.iter().skip(4).map(|m| all.weight(&m.id)).sum();
            assert!(3 * new < all.total(), "{keys} keys weigh {new} of {}", all.total());
        }
    }

    /// One fast machine as one key and as ten: the same standing earned, the same weight.
    #[test]
    fn a_machine_split_over_ten_keys_gains_nothing() {
        let rules = rules();
        let settled = rules.tenure();
        for clean in [rules.probation, settled] {
            let weigh = |keys: u64| {
                let mut members: Vec<Member> =
                    (1..=8).map(|n| member(n, 1000, 0, settled)).collect();
                let part = |n: u64| member(100 + n as u8, 0, 1000 / keys, clean);
                members.extend((0..keys).map(part));
                let all = Electorate::of(&rules, &members);
                all.weight_of((0..keys).map(|n| PeerId([100 + n as u8; 32])))
            };
            assert!(weigh(10) <= weigh(1), "{} and {}", weigh(10), weigh(1));
        }
    }

    #[test]
    fn fresh_keys_weigh_nothing_in_the_sum_and_newcomers_little() {
        let rules = rules();
        let (old, fresh) = (member(1, 256, 0, 0), member(2, 0, 0, 0));
        let new = member(3, 0, 64, rules.probation);
        let steps = [(Some(&old), 64), (Some(&fresh), 64), (Some(&new), 64), (None, 64)];
        assert_eq!(sum_weights(&rules, &steps), [64, 0, 31, 0]);
        let tenured = member(3, 0, 640, rules.tenure());
        assert_eq!(sum_weights(&rules, &[(Some(&old), 64), (Some(&tenured), 48)]), [64, 48]);
    }

    #[test]
    fn a_proof_takes_two_and_more_than_may_be_faulty() {
        let id = |n| PeerId([n; 32]);
        let seven = Electorate::of(&rules(), &founders(&[10; 7]));
        assert!(!seven.prove([id(1), id(2)]), "two of seven may be faulty");
        assert!(seven.prove([id(1), id(2), id(3)]));
        assert!(!seven.prove([id(1), id(1), id(1)]));
        let three = Electorate::of(&rules(), &founders(&[10; 3]));
        assert!(!three.prove([id(1)]) && three.prove([id(1), id(2)]));
        let one = Electorate::of(&rules(), &founders(&[10]));
        assert!(!one.prove([id(1), id(9)]));
    }

    #[test]
    fn proposers_are_drawn_by_weight() {
        let all = Electorate::from_weights(vec![(PeerId([1; 32]), 3), (PeerId([2; 32]), 1)]);
        let drawn: Vec<u8> = (0..8).filter_map(|n| all.at(n)).map(|id| id.0[0]).collect();
        assert_eq!(drawn, [1, 1, 1, 2, 1, 1, 1, 2]);
        assert_eq!(Electorate::from_weights(Vec::new()).at(5), None);
    }
}
