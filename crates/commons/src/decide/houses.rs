//! Changes of licence, rights or rules: two houses must agree.

use serde::Serialize;

use super::bound::Bound;
use super::count::tally;
use super::election::{Ballot, DecideError, Election, Method, Voter};
use super::field::{Field, Left};
use super::margin::{Margin, Removal, VoterMargin, blocs, fewest, safe};
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
    check(users, contributors)?;
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
    check(users, contributors)?;
    let fields = [
        Field::new(users.election, users.ballots)?,
        Field::new(contributors.election, contributors.ballots)?,
    ];
    let both = Both { election: users.election, fields: &fields };
    let bounds = [Bound::new(&fields[0]), Bound::new(&fields[1])];
    let safes = [safe(&fields[0], &bounds[0]), safe(&fields[1], &bounds[1])];
    let single = [0, 1].map(|house| fewest(&fields[house], &bounds[house], safes[house], effort));
    let found = both.fewest(single);
    let decide = |left: &[Left]| both.decide(&left[0], &left[1]);
    Ok(blocs(&[&fields[0], &fields[1]], safes[0].min(safes[1]), voters, found, effort, decide))
}

fn check(users: House, contributors: House) -> Result<(), DecideError> {
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
}

impl Both<'_> {
    fn decide(&self, users: &Left, contributors: &Left) -> Vec<u32> {
        let users = self.fields[0].decide(users);
        let contributors = self.fields[1].decide(contributors);
        passed(self.election, &users, &contributors).into_iter().collect()
    }

    /// The margin of both from the margins of each.
    ///
    /// What has passed fails as soon as one house changes: the smaller margin is exact. For something
    /// to pass, a house that elects the default option must change, and if neither does, one of them
    /// must; that is a proven bound, and the sets found for single houses are tried on both.
    fn fewest(&self, single: [VoterMargin; 2]) -> VoterMargin {
        let least = |margin: &VoterMargin| margin.proven().unwrap_or(u64::MAX);
        let [users, contributors] = [least(&single[0]), least(&single[1])];
        let has_passed = !self.decide(&self.fields[0].all, &self.fields[1].all).is_empty();
        let stays =
            |house: usize| self.fields[house].winners.first() == self.election.default.as_ref();
        let at_least = match (has_passed, stays(0), stays(1)) {
            (true, ..) | (false, false, false) => users.min(contributors),
            (false, true, true) => users.max(contributors),
            (false, true, false) => users,
            (false, false, true) => contributors,
        };
        let before = self.decide(&self.fields[0].all, &self.fields[1].all);
        let mut found: Vec<Removal> = single.iter().filter_map(removal_of).collect();
        found.iter_mut().for_each(|removal| removal.winners = self.without(&removal.voters));
        found.retain(|removal| removal.winners != before);
        found.sort_by_key(|removal| removal.voters.len());
        match found.into_iter().next() {
            _ if at_least == u64::MAX => VoterMargin::Never,
            Some(removal) if removal.voters.len() as u64 == at_least => VoterMargin::Exact(removal),
            found => VoterMargin::Between { at_least, found },
        }
    }

    fn without(&self, voters: &[u32]) -> Vec<u32> {
        let left = [0, 1].map(|house| self.fields[house].without(voters));
        self.decide(&left[0], &left[1])
    }
}

fn removal_of(margin: &VoterMargin) -> Option<Removal> {
    match margin {
        VoterMargin::Exact(removal) => Some(removal.clone()),
        VoterMargin::Between { found, .. } => found.clone(),
        VoterMargin::Never => None,
    }
}
