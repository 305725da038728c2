//! Ties are settled by an order of all options that is fixed before counting.

use super::election::{Election, TieRule};
use super::outcome::{Log, Step, TiePurpose};

/// The options in the order of the tie rule.
pub(super) struct TieOrder {
    rule: TieRule,
    /// Place of each option.
    place: Vec<usize>,
}

impl TieOrder {
    /// `casting` is the ballot that [`TieRule::Casting`] speaks of, if it counts.
    pub(super) fn new(election: &Election, casting: Option<&[Vec<u32>]>) -> Self {
        let count = election.options.len();
        let mut order: Vec<usize> = (0..count).collect();
        match election.tie {
            TieRule::Listed => {}
            TieRule::Lot { seed } => {
                order.sort_by_cached_key(|&option| lot(&seed, &election.options[option].name));
            }
            TieRule::Casting { .. } => {
                let mut rank = vec![usize::MAX; count];
                for (at, group) in casting.unwrap_or_default().iter().enumerate() {
                    group.iter().for_each(|&option| rank[option as usize] = at);
                }
                order.sort_by_key(|&option| rank[option]);
            }
        }
        let mut place = vec![0; count];
        order.iter().enumerate().for_each(|(at, &option)| place[option] = at);
        Self { rule: election.tie, place }
    }

    /// Whether the rule puts `a` before `b`, whoever else's ballot is removed.
    pub(super) fn surely_ahead(&self, a: u32, b: u32) -> bool {
        let fixed = !matches!(self.rule, TieRule::Casting { .. });
        fixed && self.place[a as usize] < self.place[b as usize]
    }

    /// Sorts `among` by the rule.
    pub(super) fn sort(&self, among: &mut [u32]) {
        among.sort_by_key(|&option| self.place[option as usize]);
    }

    /// The first of `among` (for [`TiePurpose::Exclude`] the last), which is not empty; says so where
    /// there was a choice.
    pub(super) fn pick(&self, mut among: Vec<u32>, purpose: TiePurpose, log: &mut Log) -> u32 {
        self.sort(&mut among);
        let picked = match purpose {
            TiePurpose::Exclude => among.last(),
            TiePurpose::First | TiePurpose::Surplus => among.first(),
        };
        let picked = *picked.expect("a tie is among somebody");
        if among.len() > 1 {
            log.say(|| Step::Tied { among, rule: self.rule, purpose });
        }
        picked
    }
}

/// The lot of an option, which does not depend on its number.
fn lot(seed: &[u8; 32], name: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("understory commons v1 lot for a tie");
    hasher.update(seed).update(name.as_bytes());
    *hasher.finalize().as_bytes()
}
