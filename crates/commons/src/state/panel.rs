//! Panels drawn by lot, from a seed that nobody could know or choose alone.

use super::{Cutoff, Proposal, State, Status};
use crate::{
    decide::{self, Attribute, Lottery, Person, Share},
    statement::House,
};
use std::collections::BTreeMap;

impl State {
    /// Members whose secrets go into the draw, as far as they are revealed in the log.
    pub fn secrets(&self, proposal: &Proposal) -> usize {
        let cutoff =
            Cutoff { ballots: self.size, reveals: self.size, seed: crate::tlog::Hash::EMPTY_TREE };
        self.reveals(proposal, cutoff).len()
    }

    /// Draws the panel: by the root of the first mark after the last commitment, which nobody knew
    /// when the secrets were committed to, and by the secrets revealed since, which the log's
    /// operator did not know when it made that root.
    pub(super) fn draw(
        &self,
        proposal: &Proposal,
        cutoff: Cutoff,
        closed: u64,
    ) -> (Status, Option<decide::Panel>) {
        let seed = decide::draw_seed(&cutoff.seed.0, &self.reveals(proposal, cutoff));
        let Ok(panel) = lottery(proposal).draw(&seed) else {
            return (Status::Failed { closed }, None);
        };
        let electors = &proposal.electorate.electors;
        let places: BTreeMap<String, u32> =
            (0..).zip(electors).map(|(at, e)| (e.member.to_string(), at)).collect();
        let place = |id: &String| places.get(id).copied();
        let winners = panel.members.iter().filter_map(place).collect();
        (Status::Passed { winners, closed, due: closed, in_force: false }, Some(panel))
    }

    fn reveals(&self, proposal: &Proposal, cutoff: Cutoff) -> Vec<[u8; 32]> {
        let secret = |member| self.revealed(proposal, member, cutoff).map(|(_, salt)| salt.0);
        proposal.casts.keys().filter_map(secret).collect()
    }
}

/// The lottery of a question: its electors, by house and employer, and its quotas.
pub(super) fn lottery(proposal: &Proposal) -> Lottery {
    let person = |e: &super::Elector| Person {
        id: e.member.to_string(),
        values: vec![house(e.house).to_owned(), e.employer.clone().unwrap_or_default()],
    };
    let quotas = |houses: bool| {
        let of = proposal.body.quotas.iter().filter(move |q| is_house(&q.stratum) == houses);
        let share = |q: &crate::statement::Quota| Share {
            value: q.stratum.clone(),
            min: u32::from(q.min),
            max: u32::from(q.max),
        };
        of.map(share).collect()
    };
    Lottery {
        people: proposal.electorate.electors.iter().map(person).collect(),
        attributes: vec![
            Attribute { name: "house".into(), quotas: quotas(true) },
            Attribute { name: "employer".into(), quotas: quotas(false) },
        ],
        size: u32::from(proposal.body.seats),
    }
}

/// Whether a quota is for a house, and not for an employer.
pub(super) fn is_house(stratum: &str) -> bool {
    matches!(stratum, "users" | "contributors")
}

fn house(house: Option<House>) -> &'static str {
    match house {
        Some(House::Users) => "users",
        Some(House::Contributors) => "contributors",
        None => "",
    }
}
