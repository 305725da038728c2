//! What is put to the vote, and who votes how.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The most options an election may have.
pub const MAX_OPTIONS: usize = 64;
/// The most ballots that are counted.
pub const MAX_BALLOTS: usize = 1_000_000;

/// A non-negative fraction, `num : den`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ratio {
    /// The numerator.
    pub num: u32,
    /// The denominator, not zero.
    pub den: u32,
}

impl Ratio {
    /// One to one.
    pub const ONE: Ratio = Ratio { num: 1, den: 1 };

    /// `num : den`.
    pub const fn new(num: u32, den: u32) -> Self {
        Self { num, den }
    }

    /// Whether `a ≥ self · b`, exactly.
    pub fn reached(self, a: u64, b: u64) -> bool {
        u128::from(a) * u128::from(self.den) >= u128::from(b) * u128::from(self.num)
    }

    /// `⌊self · n⌋`; 0 without a denominator.
    pub fn floor_of(self, n: u32) -> u32 {
        let part = (u64::from(self.num) * u64::from(n)).checked_div(u64::from(self.den));
        u32::try_from(part.unwrap_or(0)).unwrap_or(u32::MAX)
    }
}

/// One option on a ballot: a text to adopt, or a person to elect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// What members read. Names of one election are all different.
    pub name: String,
    /// The majority it needs over the default option; 1:1 without a default option.
    pub ratio: Ratio,
    /// Who employs the candidate, for the cap; `None` for texts and the unaffiliated.
    pub employer: Option<String>,
}

impl Choice {
    /// An option of simple majority and no employer.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ratio: Ratio::ONE, employer: None }
    }
}

/// How ballots become winners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// Most approvals. The first group of a ballot is what it approves of, later groups are not.
    Approval,
    /// Schulze by Debian's constitution, A.5: one winner.
    Schulze,
    /// The Schulze order by winning votes, walked down under the employer cap: `seats` winners.
    Committee,
    /// The single transferable vote by the rules of Scottish local elections (SSI 2007/42): weighted
    /// inclusive Gregory, Droop quota, values truncated to five decimals.
    Stv,
}

impl Method {
    /// Its name, wherever people read or write it.
    pub const fn name(self) -> &'static str {
        match self {
            Method::Approval => "approval",
            Method::Schulze => "schulze",
            Method::Committee => "committee",
            Method::Stv => "stv",
        }
    }
}

/// What a ballot says of options that it does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unranked {
    /// They come after all that are named, and are equal (Debian).
    Last,
    /// Nothing: no pair with such an option is counted (Kubernetes).
    NoOpinion,
}

impl Unranked {
    /// Its name, wherever people read or write it.
    pub const fn name(self) -> &'static str {
        match self {
            Unranked::Last => "last",
            Unranked::NoOpinion => "no-opinion",
        }
    }
}

/// Who or what settles a tie that the method leaves. What a lot is drawn from and who has the casting
/// vote are known in other forms, or not at all, before ballots are counted: `S` and `V`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TieRule<S = [u8; 32], V = u32> {
    /// The option that stands first in the election.
    Listed,
    /// A lot: options in the order of a hash of `seed` and their names. The seed must be public and
    /// later than the last ballot.
    Lot {
        /// What the lot is drawn from.
        seed: S,
    },
    /// The ballot of this voter; where it is missing or indifferent, the option that stands first.
    Casting {
        /// Index into the voters.
        voter: V,
    },
}

impl<S, V> TieRule<S, V> {
    /// The same rule with the seed and the voter in another form; the option that stands first
    /// where there is no such seed or voter.
    pub fn with<T, W>(
        self,
        seed: impl FnOnce(S) -> Option<T>,
        voter: impl FnOnce(V) -> Option<W>,
    ) -> TieRule<T, W> {
        let rule = match self {
            TieRule::Listed => None,
            TieRule::Lot { seed: known } => seed(known).map(|seed| TieRule::Lot { seed }),
            TieRule::Casting { voter: known } => {
                voter(known).map(|voter| TieRule::Casting { voter })
            }
        };
        rule.unwrap_or(TieRule::Listed)
    }
}

/// How many voices a decision needs to count at all.
///
/// With a default option (Schulze, committee) or with approval it is asked of each option: so many
/// must prefer it to the default, or approve of it. Otherwise it is asked of the number of ballots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quorum {
    /// None.
    None,
    /// This many.
    Votes(u64),
    /// This part of the electors.
    Share(Ratio),
    /// `times · √N / 2` of N electors. Debian's general resolutions have `times` 3:1.
    Root {
        /// The factor before `√N / 2`.
        times: Ratio,
    },
}

impl Quorum {
    /// Whether `votes` of `electors` are enough, exactly (roots are compared by their squares).
    pub fn met(self, votes: u64, electors: u64) -> bool {
        match self {
            Quorum::None => true,
            Quorum::Votes(least) => votes >= least,
            Quorum::Share(part) => part.reached(votes, electors),
            Quorum::Root { times } => root_reached(votes, times, electors),
        }
    }

    /// The least number of votes that is enough.
    pub fn least(self, electors: u64) -> u64 {
        let (mut low, mut high) = (0, u64::MAX);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.met(middle, electors) { high = middle } else { low = middle + 1 }
        }
        low
    }
}

/// `votes ≥ times · √electors / 2`: `(2 · votes · den)² ≥ num² · electors`.
fn root_reached(votes: u64, times: Ratio, electors: u64) -> bool {
    let left = 2 * u128::from(votes) * u128::from(times.den);
    let num = u128::from(times.num);
    match (left.checked_mul(left), (num * num).checked_mul(u128::from(electors))) {
        (Some(left), Some(right)) => left >= right,
        // The left side is past 2^128: it is the larger, unless both are.
        (None, Some(_)) => true,
        (Some(_), None) => false,
        // √electors < 2^32 and num < 2^32, so the root of the right side is below 2^64.
        (None, None) => left >= 1 << 64,
    }
}

/// A question, its options and its rules: everything but the ballots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Election {
    /// The options, in the order of the ballot paper.
    pub options: Vec<Choice>,
    /// The option that stands if no other gets its majority ("further discussion").
    pub default: Option<u32>,
    /// How winners are found.
    pub method: Method,
    /// What silence about an option means.
    pub unranked: Unranked,
    /// What settles ties.
    pub tie: TieRule,
    /// How many are elected; 1 for [`Method::Schulze`].
    pub seats: u32,
    /// The largest part of the seats that people of one employer may hold together.
    pub employer_cap: Option<Ratio>,
    /// How many voices are needed.
    pub quorum: Quorum,
    /// How many may vote (N).
    pub electors: u64,
    /// Seats of the same body that are held already and not up for election, each with its holder's
    /// employer: the cap is a part of all seats, and they count in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<Option<String>>,
}

/// A ballot: groups of options, the best first; options of one group are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ballot {
    /// Index into the voters.
    pub voter: u32,
    /// Indices into the options. For [`Method::Approval`] the first group approves.
    pub groups: Vec<Vec<u32>>,
}

/// What is known of one who votes. One member has one vote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voter {
    /// Who employs them.
    pub employer: Option<String>,
    /// Who vouched for them (any numbering; all that stand or fall with that voucher).
    pub vouchers: Vec<u32>,
}

/// Why an election cannot be held or counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecideError {
    /// None, or more than [`MAX_OPTIONS`].
    #[error("{0} options, there must be between 1 and {MAX_OPTIONS}")]
    Options(usize),
    /// More than [`MAX_BALLOTS`].
    #[error("{0} ballots, at most {MAX_BALLOTS} are counted")]
    Ballots(usize),
    /// Two options of one name.
    #[error("two options have the name {0:?}")]
    SameName(String),
    /// The default option is not among the options.
    #[error("the default option is number {0}, there are {1} options")]
    NoSuchDefault(u32, usize),
    /// A ratio of zero, below 1:1 or without a denominator.
    #[error("option {0:?} needs {1}:{2}, a majority is at least 1:1")]
    BadRatio(String, u32, u32),
    /// A majority of nothing.
    #[error("option {0:?} needs more than 1:1, but there is no default option to compare it with")]
    RatioWithoutDefault(String),
    /// No seats, more than options, or not one for Schulze.
    #[error("{seats} seats for {options} options by {method:?}")]
    Seats {
        /// The seats.
        seats: u32,
        /// The options, without the default.
        options: usize,
        /// The method.
        method: Method,
    },
    /// A cap that is no part of one, or leaves no seat to anybody with an employer.
    #[error("an employer may hold {num}/{den} of {seats} seats: not one seat, or not a part")]
    BadCap {
        /// The cap's numerator.
        num: u32,
        /// The cap's denominator.
        den: u32,
        /// The seats.
        seats: u32,
    },
    /// A quorum that is not a number.
    #[error("the quorum has the denominator zero")]
    BadQuorum,
    /// The single transferable vote knows no default option.
    #[error("the single transferable vote has no default option")]
    DefaultInStv,
    /// The same voter has two ballots.
    #[error("voter {0} has two ballots")]
    VotedTwice(u32),
    /// A matrix that does not fit.
    #[error("a pairwise matrix of {0} options for an election of {1}")]
    MatrixSize(usize, usize),
    /// Two houses that are not asked the same, or not in a way that one option can pass.
    #[error(
        "both houses need the same options, one seat, a default option, and no transferable vote"
    )]
    Houses,
    /// Not countable from pairs alone.
    #[error("{0:?} cannot be counted from a pairwise matrix")]
    NotPairwise(Method),
}

/// Why one ballot does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Spoilt {
    /// It names an option that does not exist.
    #[error("it names option {0}, which does not exist")]
    NoSuchOption(u32),
    /// It names an option twice.
    #[error("it names option {0} twice")]
    Twice(u32),
    /// A group of nothing.
    #[error("one of its ranks is empty")]
    EmptyGroup,
    /// Two options of one rank, where each transfer needs exactly one.
    #[error("it ranks several options equal, which a transferable vote cannot")]
    Equal,
}

impl Election {
    /// Whether the election can be held.
    ///
    /// Errors: any [`DecideError`] about the election itself.
    pub fn check(&self) -> Result<(), DecideError> {
        let count = self.options.len();
        if count == 0 || count > MAX_OPTIONS {
            return Err(DecideError::Options(count));
        }
        if let Some(default) = self.default.filter(|&d| d as usize >= count) {
            return Err(DecideError::NoSuchDefault(default, count));
        }
        if self.method == Method::Stv && self.default.is_some() {
            return Err(DecideError::DefaultInStv);
        }
        self.check_choices()?;
        self.check_seats()?;
        match self.quorum {
            Quorum::Share(ratio) | Quorum::Root { times: ratio } if ratio.den == 0 => {
                Err(DecideError::BadQuorum)
            }
            _ => Ok(()),
        }
    }

    /// Whether `ballot` counts in this election.
    ///
    /// Errors: what is wrong with it.
    pub fn check_ballot(&self, ballot: &Ballot) -> Result<(), Spoilt> {
        let mut seen = 0u64;
        for group in &ballot.groups {
            if group.is_empty() {
                return Err(Spoilt::EmptyGroup);
            }
            if self.method == Method::Stv && group.len() > 1 {
                return Err(Spoilt::Equal);
            }
            for &option in group {
                if option as usize >= self.options.len().min(MAX_OPTIONS) {
                    return Err(Spoilt::NoSuchOption(option));
                }
                if seen >> option & 1 == 1 {
                    return Err(Spoilt::Twice(option));
                }
                seen |= 1 << option;
            }
        }
        Ok(())
    }

    /// The most seats that people of one employer may hold, with those held already.
    pub fn cap(&self) -> u32 {
        let all = self.all_seats();
        self.employer_cap.map_or(all, |cap| cap.floor_of(all))
    }

    /// The seats to be given and those held already.
    pub fn all_seats(&self) -> u32 {
        let held = u32::try_from(self.held.len()).unwrap_or(u32::MAX);
        self.seats.saturating_add(held)
    }

    /// The name of an option.
    pub fn name(&self, option: u32) -> &str {
        self.options.get(option as usize).map_or("?", |choice| &choice.name)
    }

    fn check_choices(&self) -> Result<(), DecideError> {
        let mut names = BTreeSet::new();
        for choice in &self.options {
            let Ratio { num, den } = choice.ratio;
            if !names.insert(&choice.name) {
                return Err(DecideError::SameName(choice.name.clone()));
            }
            if den == 0 || num < den {
                return Err(DecideError::BadRatio(choice.name.clone(), num, den));
            }
            if num > den && self.default.is_none() {
                return Err(DecideError::RatioWithoutDefault(choice.name.clone()));
            }
        }
        Ok(())
    }

    fn check_seats(&self) -> Result<(), DecideError> {
        let (seats, method) = (self.seats, self.method);
        let options = self.options.len() - usize::from(self.default.is_some());
        let one = method == Method::Schulze;
        if seats == 0 || (one && seats != 1) || (!one && seats as usize > options.max(1)) {
            return Err(DecideError::Seats { seats, options, method });
        }
        match self.employer_cap {
            Some(Ratio { num, den }) if den == 0 || num > den || self.cap() == 0 => {
                Err(DecideError::BadCap { num, den, seats })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quorums_are_compared_without_roots() {
        let debian = Quorum::Root { times: Ratio::new(3, 1) };
        assert_eq!(debian.least(1010), 48); // 3 · √1010 / 2 = 47.67
        assert_eq!(debian.least(1024), 48); // exactly 48
        assert_eq!(debian.least(1025), 49);
        assert_eq!(Quorum::Share(Ratio::new(1, 3)).least(10), 4);
        assert_eq!(Quorum::None.least(10), 0);
        assert_eq!(Quorum::Votes(7).least(0), 7);
    }

    #[test]
    fn huge_numbers_do_not_overflow() {
        let most = Ratio::new(u32::MAX, 1);
        assert!(!Quorum::Root { times: most }.met(1, u64::MAX));
        assert!(Quorum::Root { times: most }.met(u64::MAX, u64::MAX));
        let tiny = Ratio::new(1, u32::MAX);
        assert!(Quorum::Root { times: tiny }.met(u64::MAX, u64::MAX));
        assert!(Quorum::Share(most).least(u64::MAX) > 0);
    }
}
