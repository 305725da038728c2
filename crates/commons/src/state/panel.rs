//! Panels drawn by lot, from a seed that nobody could know or choose alone.
//!
//! Members commit to secrets, a mark fixes a root, then the secrets are revealed. Who reveals last
//! knows what comes out, and can choose between revealing and not. So whoever withholds a secret is
//! barred from draws for a year, and the draw is repeated without it, a bounded number of times;
//! what was withheld in the last round is stated with the result.

use super::{Cutoff, Elector, Proposal, State, Status, VoidReason};
use crate::statement::House;
use decide::{Attribute, Lottery, Person, Quotas, Share};
use ids::PeerId;
use std::collections::{BTreeMap, BTreeSet};

/// How often a draw is held until nobody withholds a secret.
const MAX_ROUNDS: usize = 3;

/// How long somebody who withheld a secret takes part in no draw, in seconds.
const BARRED: u64 = 365 * 24 * 60 * 60;

/// A round of a draw.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Round {
    /// Members whose secrets were revealed in time.
    pub revealed: usize,
    /// Members who committed to a secret that was not.
    pub withheld: Vec<PeerId>,
    /// Whether they are charged with it: a mark had reached others' secrets by then, so that theirs
    /// could have come as well.
    pub charged: bool,
}

impl State {
    /// Members whose secrets go into the draw, as far as they are revealed in the log.
    pub fn secrets(&self, proposal: &Proposal) -> usize {
        let cutoff =
            Cutoff { ballots: self.size, reveals: self.size, seed: tlog::Hash::EMPTY_TREE };
        self.reveals(proposal, cutoff).len()
    }

    /// Until when a member may not take part in a draw, if it withheld a secret.
    pub(super) fn barred_from(&self, draw: &ids::Hash, member: &PeerId) -> Option<u64> {
        let lot = self.proposals.get(draw)?.body.method == crate::statement::Method::Lot;
        let until = *self.barred.get(member)?;
        (lot && until > self.now()).then_some(until)
    }

    /// How many secrets a draw needs among the electors, of whom so many are barred.
    pub(super) fn secrets_needed(&self, proposal: &Proposal, barred: usize) -> usize {
        let all = proposal.electorate.electors.len().saturating_sub(barred);
        usize::from(self.rules.draw_secrets.unwrap_or(1)).min(all).max(1)
    }

    /// Refuses quotas that no panel meets.
    pub(super) fn check_quotas(&self, proposal: &Proposal) -> Result<(), VoidReason> {
        if self.version == 1 {
            return Ok(());
        }
        let checked = proposal.electorate.strata.check(&quotas(proposal));
        checked.map_err(|why| VoidReason::BadQuotas { why })
    }

    /// Ends a round of a draw; none if there is another one. The panel is drawn by the root of the
    /// first mark after the last commitment, which nobody knew when the secrets were committed to,
    /// and by the secrets revealed since, which the log's operator did not know when it made that
    /// root.
    pub(super) fn draw(
        &mut self,
        proposal: &mut Proposal,
        cutoff: Cutoff,
        closed: u64,
    ) -> Option<Status> {
        if self.version == 1 {
            let (status, panel) = self.draw_in_version_1(proposal, cutoff, closed);
            proposal.panel = panel;
            return Some(status);
        }
        let (revealed, withheld) = self.sort_secrets(proposal, cutoff);
        let charged = !revealed.is_empty() && !withheld.is_empty();
        if charged {
            let until = closed.saturating_add(BARRED);
            self.barred.retain(|_, until| *until > closed);
            self.barred.extend(withheld.iter().map(|member| (*member, until)));
        }
        let without = self.barred_places(proposal, closed);
        let needed = self.secrets_needed(proposal, without.len());
        let asked = revealed.len() + withheld.len();
        let all = withheld.is_empty();
        let enough = revealed.len() >= needed;
        proposal.rounds.push(Round { revealed: revealed.len(), withheld, charged });
        if asked < needed {
            return Some(Status::Failed { closed });
        }
        if !(all && enough) && proposal.rounds.len() < MAX_ROUNDS {
            return None;
        }
        if !enough {
            return Some(Status::Failed { closed });
        }
        let round = proposal.rounds.len() as u32;
        let question = &proposal.statement.0;
        let seed = decide::panel_seed(question, round, &cutoff.seed.0, &revealed);
        let Ok((drawn, steps)) =
            proposal.electorate.strata.draw(&quotas(proposal), &without, &seed)
        else {
            return Some(Status::Failed { closed });
        };
        self.cost.steps += steps;
        let electors = &proposal.electorate.electors;
        let id = |&at: &u32| electors[at as usize].member.to_string();
        proposal.panel = Some(decide::Panel {
            members: drawn.members.iter().map(id).collect(),
            stand_ins: drawn.stand_ins.iter().map(id).collect(),
            possible: drawn.possible,
            counted: drawn.counted,
            tries: drawn.tries,
        });
        let winners = drawn.members;
        Some(Status::Passed { winners, closed, due: closed, in_force: false })
    }

    /// Begins another round: new secrets, each for as long as the notice.
    pub(super) fn draw_again(&mut self, mut proposal: Proposal) {
        let hash = proposal.statement;
        proposal.since = self.size;
        proposal.close = self.now().saturating_add(self.rules.notice).saturating_add(1);
        let reveal = proposal.close.saturating_add(self.rules.notice).saturating_add(1);
        proposal.reveal = Some(reveal);
        self.proposals.insert(hash, proposal);
        self.schedule(hash);
    }

    /// The secrets that were committed to in time: those revealed, and who did not reveal.
    fn sort_secrets(&self, proposal: &Proposal, cutoff: Cutoff) -> (Vec<[u8; 32]>, Vec<PeerId>) {
        let (mut revealed, mut withheld) = (Vec::new(), Vec::new());
        for (member, casts) in &proposal.casts {
            if self.committed(proposal, casts, cutoff).is_none() {
                continue;
            }
            match self.revealed(proposal, member, cutoff) {
                Some((_, salt)) => revealed.push(salt.0),
                None => withheld.push(*member),
            }
        }
        (revealed, withheld)
    }

    /// The places of electors who take part in no draw now.
    fn barred_places(&mut self, proposal: &Proposal, now: u64) -> BTreeSet<u32> {
        self.cost.steps += self.barred.len() as u64;
        let barred = self.barred.iter().filter(|(_, until)| **until > now);
        let places = barred.filter_map(|(member, _)| proposal.electorate.position(member));
        places.map(|at| at as u32).collect()
    }

    /// By a seed that does not name the question, and from everybody.
    fn draw_in_version_1(
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

/// The lottery of a question in version 1: its electors, by house and employer, and its quotas.
fn lottery(proposal: &Proposal) -> Lottery {
    let person = |e: &Elector| Person {
        id: e.member.to_string(),
        values: vec![house(e.house).to_owned(), e.employer.clone().unwrap_or_default()],
    };
    let Quotas { houses, employers, size } = quotas(proposal);
    Lottery {
        people: proposal.electorate.electors.iter().map(|e| person(e)).collect(),
        attributes: vec![
            Attribute { name: "house".into(), quotas: houses },
            Attribute { name: "employer".into(), quotas: employers },
        ],
        size,
    }
}

/// The quotas of a question.
fn quotas(proposal: &Proposal) -> Quotas {
    let share = |q: &crate::statement::Quota| Share {
        value: q.stratum.clone(),
        min: u32::from(q.min),
        max: u32::from(q.max),
    };
    let all = proposal.body.quotas.iter();
    let (houses, employers): (Vec<_>, Vec<_>) = all.partition(|q| is_house(&q.stratum));
    Quotas {
        houses: houses.into_iter().map(share).collect(),
        employers: employers.into_iter().map(share).collect(),
        size: u32::from(proposal.body.seats),
    }
}

/// Whether a quota is for a house, and not for an employer.
pub(super) fn is_house(stratum: &str) -> bool {
    House::ALL.iter().any(|house| house.name() == stratum)
}

pub(super) fn house(house: Option<House>) -> &'static str {
    house.map_or("", House::name)
}
