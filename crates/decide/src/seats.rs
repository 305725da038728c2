//! Giving out seats under the employer cap.

use std::collections::BTreeMap;

use super::election::Election;
use super::outcome::{Log, Step};

/// The seats given so far.
pub(super) struct Seats<'a> {
    election: &'a Election,
    held: BTreeMap<&'a str, u32>,
    pub(super) winners: Vec<u32>,
}

impl<'a> Seats<'a> {
    pub(super) fn new(election: &'a Election) -> Self {
        let mut held = BTreeMap::new();
        for employer in election.held.iter().flatten() {
            *held.entry(employer.as_str()).or_default() += 1;
        }
        Self { election, held, winners: Vec::new() }
    }

    /// How many seats are still to be given.
    pub(super) fn left(&self) -> u32 {
        self.election.seats - self.winners.len() as u32
    }

    /// Whether the candidate's employer has all the seats it may have.
    pub(super) fn capped(&self, option: u32) -> bool {
        let held = self.employer(option).and_then(|employer| self.held.get(employer));
        held.is_some_and(|&held| held >= self.election.cap())
    }

    /// Gives a seat, unless the cap forbids it; says which.
    pub(super) fn offer(&mut self, option: u32, log: &mut Log) {
        if self.capped(option) { self.say_capped(option, log) } else { self.give(option, log) }
    }

    /// Gives a seat.
    pub(super) fn give(&mut self, option: u32, log: &mut Log) {
        if let Some(employer) = self.employer(option) {
            *self.held.entry(employer).or_default() += 1;
        }
        self.winners.push(option);
        log.say(|| Step::Elected { option });
    }

    pub(super) fn say_capped(&self, option: u32, log: &mut Log) {
        if let Some(employer) = self.employer(option) {
            let (employer, cap) = (employer.to_owned(), self.election.cap());
            log.say(|| Step::Capped { option, employer, cap });
        }
    }

    fn employer(&self, option: u32) -> Option<&'a str> {
        self.election.options[option as usize].employer.as_deref()
    }
}
