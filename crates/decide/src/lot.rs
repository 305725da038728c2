//! Numbers that follow from a public seed.

use std::collections::BTreeMap;

use num_bigint::BigUint;

/// Numbers that follow from a seed, without bias: what does not divide evenly is drawn again.
pub(super) struct Lot(blake3::OutputReader);

impl Lot {
    pub(super) fn new(seed: &[u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("understory commons v1 draw of a panel");
        hasher.update(seed);
        Self(hasher.finalize_xof())
    }

    /// A number below `end`, which is not zero.
    fn below(&mut self, end: u64) -> u64 {
        let uneven = (u64::MAX % end + 1) % end;
        loop {
            let mut bytes = [0; 8];
            self.0.fill(&mut bytes);
            let number = u64::from_le_bytes(bytes);
            if number <= u64::MAX - uneven {
                return number % end;
            }
        }
    }

    /// The same for any length.
    fn below_big(&mut self, end: &BigUint) -> BigUint {
        let bits = end.bits();
        let mut bytes = vec![0; bits.div_ceil(8) as usize];
        loop {
            self.0.fill(&mut bytes);
            if let Some(top) = bytes.last_mut() {
                *top &= u8::MAX >> ((8 - bits % 8) % 8);
            }
            let number = BigUint::from_bytes_le(&bytes);
            if number < *end {
                return number;
            }
        }
    }

    /// One of the things, by weight; there is one whose weight is not zero.
    pub(super) fn weighted<T>(&mut self, things: impl Iterator<Item = (T, BigUint)>) -> T {
        let things: Vec<(T, BigUint)> = things.collect();
        let mut at = self.below_big(&things.iter().map(|(_, weight)| weight).sum());
        let chosen = things.into_iter().find_map(|(thing, weight)| {
            if at < weight {
                return Some(thing);
            }
            at -= weight;
            None
        });
        chosen.expect("a number below the sum of all weights is inside one of them")
    }

    /// `taken` of the numbers below `count`, in a drawn order, each choice with the same chance: the
    /// first places of a shuffled list, of which only what moved is kept.
    pub(super) fn pick(&mut self, count: usize, taken: usize) -> Vec<usize> {
        let mut moved = BTreeMap::new();
        let mut picked = Vec::new();
        for at in 0..taken.min(count) {
            let other = at + self.below((count - at) as u64) as usize;
            let here = moved.get(&at).copied().unwrap_or(at);
            picked.push(moved.insert(other, here).unwrap_or(other));
        }
        picked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_are_different_numbers() {
        let mut lot = Lot::new(&[1; 32]);
        for count in 0..30 {
            let mut all = lot.pick(count, count);
            all.sort_unstable();
            assert_eq!(all, (0..count).collect::<Vec<_>>());
            assert_eq!(lot.pick(count, 3).len(), count.min(3));
        }
    }

    /// Chi-square with 119 degrees of freedom: above 190 once in 30,000 seeds.
    #[test]
    fn orders_are_equally_likely() {
        let mut lot = Lot::new(&[2; 32]);
        let mut seen: BTreeMap<Vec<usize>, f64> = BTreeMap::new();
        (0..12_000).for_each(|_| *seen.entry(lot.pick(5, 5)).or_default() += 1.0);
        assert_eq!(seen.len(), 120);
        let chi: f64 = seen.values().map(|count| (count - 100.0).powi(2) / 100.0).sum();
        assert!(chi < 190.0, "{chi}");
    }

    #[test]
    fn long_numbers_stay_below_their_end() {
        let mut lot = Lot::new(&[3; 32]);
        for bits in [0u32, 1, 7, 8, 9, 64, 200] {
            let end = BigUint::from(1u8) << bits;
            let drawn: Vec<BigUint> = (0..50).map(|_| lot.below_big(&end)).collect();
            assert!(drawn.iter().all(|number| *number < end));
            assert!(bits == 0 || drawn.iter().any(|number| *number >= &end >> 1u8));
        }
    }
}
