//! A line of the table: one attack with one share of the standing, over many seeds.

use super::{Case, Place, Trial, trial, verdict};

/// The least part of the pace without attackers that has to be left under newcomers' attacks.
const PACE: f64 = 0.8;
/// Honest peers lose at most this part of their first standing more than without attackers: in so
/// tight a time some are late twice running, because they audit, and count as away.
const ROBBED: f64 = 0.2;
/// A cheat is caught late if it takes so many times what the formula says.
const LATE: f64 = 3.0;

/// One line.
#[derive(Clone)]
pub struct Row {
    /// The attack.
    pub case: Case,
    /// Attackers among ten founding voters.
    pub share: usize,
    /// Worlds.
    pub seeds: u64,
    /// All trials with attackers together.
    pub sums: Trial,
    /// All without.
    pub baseline: Trial,
    /// Trials that a check of the simulation ended.
    pub failed: Vec<String>,
}

/// All lines, nothing measured yet.
pub fn rows(seeds: u64) -> Vec<Row> {
    let shares = |case: &Case| match case.place {
        Place::Newcomers { .. } => 0..=0,
        _ => 1..=3,
    };
    let all = super::all().into_iter();
    let pairs = all.flat_map(|case| shares(&case).map(move |share| (case, share)));
    let row = |(case, share)| Row {
        case,
        share,
        seeds,
        sums: Trial::default(),
        baseline: Trial::default(),
        failed: Vec::new(),
    };
    pairs.map(row).collect()
}

impl Row {
    /// The line with its trials done.
    pub fn filled(mut self) -> Self {
        for seed in 0..self.seeds {
            let tried = std::panic::catch_unwind(|| verdict(&self.case, self.share, seed));
            match tried {
                Ok(verdict) => {
                    self.sums = self.sums.and(&verdict.attacked);
                    self.baseline = self.baseline.and(&verdict.baseline);
                }
                Err(_) => self.failed.push(format!("seed {seed} failed")),
            }
        }
        self
    }

    /// The share of the standing that the attackers have.
    pub fn share_text(&self) -> String {
        match self.case.place {
            Place::Newcomers { keys, founders } => format!("{keys}+{founders}"),
            _ => format!("{}%", 10 * self.share),
        }
    }

    /// What part of the pace without attackers is left.
    pub fn kept(&self) -> f64 {
        self.sums.pace / self.baseline.pace.max(1e-9)
    }

    /// Inner steps re-run for each that was trained.
    pub fn audit_share(&self) -> f64 {
        self.sums.audited as f64 / self.sums.trained.max(1) as f64
    }

    /// What part of their first standing honest peers lose more than without attackers.
    pub fn robbed(&self) -> f64 {
        (self.sums.robbed - self.baseline.robbed) / self.seeds.max(1) as f64
    }

    /// How much further from the goal the model is than without attackers.
    pub fn harm(&self) -> f64 {
        self.sums.loss / self.baseline.loss
    }

    /// Contributions that an attacker got in until it was out, in the mean.
    pub fn caught_after(&self) -> Option<f64> {
        let caught = self.sums.ejected > 0;
        caught.then(|| f64::from(self.sums.caught_after) / f64::from(self.sums.ejected))
    }

    /// What the formula says of that, for who makes up a part of its steps.
    ///
    /// Each of `h` honest auditors among `n` members re-runs the whole of a contribution in
    /// probation with the chance `2 / (n − 1)`, and draws `a / (n − 1)` steps of it later.
    pub fn expected(&self) -> Option<f64> {
        let made_up = self.case.made_up?;
        let rules = trial::rules();
        let (others, honest) = (trial::PEERS as f64 - 1.0, (trial::PEERS - self.share) as f64);
        let found = |each: f64| 1.0 - (1.0 - each / others).powf(honest);
        let whole = found(2.0);
        let sampled = found(made_up * f64::from(rules.audit_milli) / 1e3)
            .max(f64::from(rules.audit_rate_ppm) / 1e6);
        let mut left = 1.0;
        let mut rounds = 0.0;
        for round in 0..1000 {
            rounds += left;
            left *= 1.0 - if round < rules.probation { whole } else { sampled };
        }
        Some(rounds)
    }

    /// What had to hold and did not.
    pub fn broken(&self) -> Vec<String> {
        let sums = &self.sums;
        let zero = [
            ("honest ejected", sums.honest_ejected),
            ("more than one root", sums.forks),
            ("objects lost", sums.lost),
            ("honest peers not at the end", sums.stalled),
        ];
        let broken = zero.iter().filter(|(_, count)| *count > 0);
        let mut all: Vec<String> = broken.map(|(what, count)| format!("{what}: {count}")).collect();
        all.extend(self.failed.iter().cloned());
        if self.robbed() > ROBBED {
            all.push(format!("{:.0} % of the honest standing taken", 100.0 * self.robbed()));
        }
        let late = self.caught_after().zip(self.expected());
        if late.is_some_and(|(after, expected)| after > LATE * expected) {
            all.push("caught late".to_owned());
        }
        all
    }

    /// Whether newcomers slow the others down more than they may.
    pub fn is_slow(&self) -> bool {
        matches!(self.case.place, Place::Newcomers { .. }) && self.kept() < PACE
    }
}
