//! Changes of licence, rights or rules: two houses must agree.

use std::collections::BTreeSet;

use serde::Serialize;

use super::bound::Bound;
use super::count::tally;
use super::election::{Ballot, DecideError, Election, Method, Voter};
use super::field::Field;
use super::left::Left;
use super::margin::{Margin, Removal, VoterMargin, Wanted, blocs, fewest, safe};
use super::outcome::Outcome;

/// One house: its rules (electors and quorum are its own) and its ballots. Both houses number voters
/// alike; whoever sits in both has a ballot in each.
#[derive(Debug, Clone, Copy)]
pub struct House<'a> {
    /// What it is asked.
    pub election: &'a Election,
    /// What it says.
    pub ballots: &'a [Ballot],
}

/// What both houses decided together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TwoHouses {
    /// The count of the users' house.
    pub users: Outcome,
    /// The count of the contributors' house.
    pub contributors: Outcome,
    /// The option that both elected, if it is one and not the default option.
    pub passed: Option<u32>,
}

/// Counts both houses. An option passes if both elect it by their own quorum and by its ratio.
///
/// Errors: [`DecideError::Houses`], or as for [`tally`].
pub fn two_houses(users: House, contributors: House) -> Result<TwoHouses, DecideError> {
    check_houses(users, contributors)?;
    let (election, users) = (users.election, tally(users.election, users.ballots)?);
    let contributors = tally(contributors.election, contributors.ballots)?;
    let passed = passed(election, &users.winners, &contributors.winners);
    Ok(TwoHouses { users, contributors, passed })
}

/// The margins of what both houses decided together: what would make another option pass, or none.
/// `winners` in it are what passes then, and a voter who is missing is missing in both houses.
///
/// Errors: as for [`two_houses`].
pub fn two_houses_margin(
    users: House,
    contributors: House,
    voters: &[Voter],
    effort: u64,
) -> Result<Margin, DecideError> {
    check_houses(users, contributors)?;
    let fields = [
        Field::new(users.election, users.ballots)?,
        Field::new(contributors.election, contributors.ballots)?,
    ];
    let bounds = [Bound::new(&fields[0]), Bound::new(&fields[1])];
    let both = Both { election: users.election, fields: &fields, bounds: &bounds };
    let found = both.fewest(effort);
    let decide = |left: &[Left]| both.decide(&left[0], &left[1]);
    let safes = [0, 1].map(|house| safe(&fields[house], &bounds[house], Wanted::Others));
    let safe = safes[0].min(safes[1]);
    Ok(blocs(&[&fields[0], &fields[1]], safe, voters, found, effort, decide))
}

/// The margin by voters alone.
///
/// Errors: as for [`two_houses`].
pub fn two_houses_voters(
    users: House,
    contributors: House,
    effort: u64,
) -> Result<VoterMargin, DecideError> {
    check_houses(users, contributors)?;
    let fields = [
        Field::new(users.election, users.ballots)?,
        Field::new(contributors.election, contributors.ballots)?,
    ];
    let bounds = [Bound::new(&fields[0]), Bound::new(&fields[1])];
    Ok(Both { election: users.election, fields: &fields, bounds: &bounds }.fewest(effort))
}

/// Whether both houses are asked the same, and in a way that one option can pass.
///
/// Errors: [`DecideError::Houses`].
pub fn check_houses(users: House, contributors: House) -> Result<(), DecideError> {
    let (a, b) = (users.election, contributors.election);
    let fit = |e: &Election| e.seats == 1 && e.default.is_some() && e.method != Method::Stv;
    if a.options != b.options || a.default != b.default || !fit(a) || !fit(b) {
        return Err(DecideError::Houses);
    }
    Ok(())
}

/// What two houses decide that elect these, each by itself.
pub(super) fn passed(election: &Election, users: &[u32], contributors: &[u32]) -> Option<u32> {
    match (users, contributors) {
        (&[a], &[b]) if a == b && election.default != Some(a) => Some(a),
        _ => None,
    }
}

struct Both<'a> {
    election: &'a Election,
    fields: &'a [Field<'a>; 2],
    bounds: &'a [Bound<'a>; 2],
}

impl Both<'_> {
    fn decide(&self, users: &Left, contributors: &Left) -> Vec<u32> {
        let users = self.fields[0].decide(users);
        let contributors = self.fields[1].decide(contributors);
        passed(self.election, &users, &contributors).into_iter().collect()
    }

    /// The margin by voters of both, from margins of each.
    fn fewest(&self, effort: u64) -> VoterMargin {
        let before = self.decide(&self.fields[0].all, &self.fields[1].all);
        let (at_least, tries) =
            if before.is_empty() { self.to_pass(effort) } else { self.to_fail(effort) };
        let result = |voters: Vec<u32>| Removal { winners: self.without(&voters), voters };
        let found = tries.into_iter().map(result).filter(|removal| removal.winners != before);
        match found.min_by_key(|removal| removal.voters.len()) {
            _ if at_least == u64::MAX => VoterMargin::Never,
            Some(removal) if removal.voters.len() as u64 == at_least => VoterMargin::Exact(removal),
            found => VoterMargin::Between { at_least, found },
        }
    }

    /// What has passed does not as soon as one house elects another: a proven bound, and voters to try.
    fn to_fail(&self, effort: u64) -> (u64, Vec<Vec<u32>>) {
        let margins = [0, 1]
            .map(|house| fewest(&self.fields[house], &self.bounds[house], Wanted::Others, effort));
        (least(&margins[0]).min(least(&margins[1])), margins.iter().filter_map(found).collect())
    }

    /// For an option to pass, each house has to elect it. Who sits in both may count for both.
    fn to_pass(&self, effort: u64) -> (u64, Vec<Vec<u32>>) {
        let options = 0..self.election.options.len() as u32;
        let effort = effort / u64::from(options.end);
        let (mut at_least, mut tries) = (u64::MAX, Vec::new());
        let apart = self.are_apart();
        for option in options.filter(|&option| self.election.default != Some(option)) {
            let [users, contributors] = [0, 1].map(|house| self.to_elect(house, option, effort));
            at_least = at_least.min(match (least(&users), least(&contributors)) {
                (a, b) if apart => a.saturating_add(b),
                (a, b) => a.max(b),
            });
            if let Some((users, contributors)) = found(&users).zip(found(&contributors)) {
                let all: BTreeSet<u32> = users.into_iter().chain(contributors).collect();
                tries.push(all.into_iter().collect());
            }
        }
        (at_least, tries)
    }

    /// The fewest voters without whom a house elects this option.
    fn to_elect(&self, house: usize, option: u32, effort: u64) -> VoterMargin {
        let field = &self.fields[house];
        if field.winners == [option] {
            return VoterMargin::Exact(Removal { voters: Vec::new(), winners: vec![option] });
        }
        fewest(field, &self.bounds[house], Wanted::Only(option), effort)
    }

    fn without(&self, voters: &[u32]) -> Vec<u32> {
        let left = [0, 1].map(|house| self.fields[house].without(voters));
        self.decide(&left[0], &left[1])
    }

    /// Whether nobody votes in both.
    fn are_apart(&self) -> bool {
        let [users, contributors] = [0, 1].map(|house| -> BTreeSet<u32> {
            self.fields[house].piles.iter().flat_map(|pile| &pile.voters).copied().collect()
        });
        users.is_disjoint(&contributors)
    }
}

fn least(margin: &VoterMargin) -> u64 {
    margin.proven().unwrap_or(u64::MAX)
}

fn found(margin: &VoterMargin) -> Option<Vec<u32>> {
    match margin {
        VoterMargin::Exact(removal) => Some(removal.voters.clone()),
        VoterMargin::Between { found, .. } => found.as_ref().map(|removal| removal.voters.clone()),
        VoterMargin::Never => None,
    }
}
