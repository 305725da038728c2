//! What came out, and by which steps.

use serde::Serialize;

use super::election::{Ratio, Spoilt, TieRule};
use super::pairwise::Pairwise;

/// The result of a count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Who or what is elected, in order. With one seat and nothing else elected, this is the default
    /// option; otherwise a seat that nobody won stays empty.
    pub winners: Vec<u32>,
    /// How many ballots were counted.
    pub ballots: u64,
    /// Ballots that were not, in the order of voters.
    pub spoilt: Vec<SpoiltBallot>,
    /// How many prefer each option to each other one.
    pub pairwise: Pairwise,
    /// How the result was reached; [`super::explain`] puts it in words.
    pub steps: Vec<Step>,
}

/// A ballot that does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SpoiltBallot {
    /// Whose it is.
    pub voter: u32,
    /// What is wrong.
    pub why: Spoilt,
}

/// `votes` prefer `winner` to `loser`, fewer (`against`) the other way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Defeat {
    /// Who is preferred.
    pub winner: u32,
    /// To whom.
    pub loser: u32,
    /// By how many.
    pub votes: u64,
    /// How many say the opposite.
    pub against: u64,
}

/// One step of a count. Options are indices. Values of the transferable vote are in 1/100,000 votes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// How many ballots there are.
    Counted {
        /// Ballots that count.
        ballots: u64,
        /// Ballots that do not.
        spoilt: u64,
        /// How many could have voted.
        electors: u64,
    },
    /// Too few ballots: nothing is decided.
    TooFewBallots {
        /// Ballots that count.
        ballots: u64,
        /// How many are needed.
        least: u64,
    },
    /// An option has too few voices.
    BelowQuorum {
        /// Which.
        option: u32,
        /// How many prefer it to the default option, or approve of it.
        votes: u64,
        /// How many are needed.
        least: u64,
    },
    /// An option lacks its majority over the default option.
    BelowMajority {
        /// Which.
        option: u32,
        /// How many prefer it to the default option.
        votes: u64,
        /// How many prefer the default option.
        against: u64,
        /// The ratio it needs.
        ratio: Ratio,
    },
    /// Who is preferred to whom among the options left.
    Defeats {
        /// All defeats, by winner and loser.
        defeats: Vec<Defeat>,
    },
    /// The options that no option outside their circle defeats, not even through others.
    Schwartz {
        /// The options.
        set: Vec<u32>,
    },
    /// Defeats in a circle: the weakest no longer count.
    WeakestDropped {
        /// The defeats.
        defeats: Vec<Defeat>,
    },
    /// The tie rule chose.
    Tied {
        /// Among these, in the order of the rule.
        among: Vec<u32>,
        /// The rule.
        rule: TieRule,
        /// For what.
        purpose: TiePurpose,
    },
    /// How many approve of an option.
    Approvals {
        /// Which.
        option: u32,
        /// How many.
        votes: u64,
    },
    /// The next in the order of the committee: no option left has a stronger path of defeats to it.
    Next {
        /// Which.
        option: u32,
    },
    /// The seat is not given: the employer has as many as it may have.
    Capped {
        /// The candidate.
        option: u32,
        /// The employer.
        employer: String,
        /// How many seats one employer may have.
        cap: u32,
    },
    /// An option is elected.
    Elected {
        /// Which.
        option: u32,
    },
    /// Nothing else was elected: the default option stands.
    DefaultStands {
        /// The default option.
        option: u32,
    },
    /// Seats that nobody won.
    Vacant {
        /// How many.
        seats: u32,
    },
    /// How many votes elect by transferable vote: ⌊ballots / (seats + 1)⌋ + 1.
    Quota {
        /// Ballots that name anybody.
        ballots: u64,
        /// The quota, in whole votes.
        quota: u64,
    },
    /// A stage of the transferable vote.
    Stage {
        /// From 1.
        number: u32,
        /// Each candidate's votes.
        votes: Vec<u64>,
        /// Votes that can go to nobody any more, with what truncation lost.
        lost: u64,
    },
    /// What a winner has over the quota goes to the next choices.
    Surplus {
        /// Whose.
        option: u32,
        /// How much.
        surplus: u64,
        /// Of how many votes.
        votes: u64,
    },
    /// A candidate is out; their votes go to the next choices.
    Excluded {
        /// Who.
        option: u32,
        /// With how many votes.
        votes: u64,
    },
    /// As many candidates are left as seats: they are elected without more transfers.
    RestElected {
        /// Who.
        options: Vec<u32>,
    },
    /// A tie that an earlier stage settled.
    EarlierStage {
        /// Among these.
        among: Vec<u32>,
        /// The stage at which they were not equal.
        stage: u32,
        /// Who was taken.
        chosen: u32,
    },
}

/// What a tie was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TiePurpose {
    /// The first is elected, or comes first.
    First,
    /// The last is excluded.
    Exclude,
    /// The first one's surplus is transferred first.
    Surplus,
}

/// Where steps are written, if anybody wants them.
pub(super) struct Log(Option<Vec<Step>>);

impl Log {
    pub(super) fn new() -> Self {
        Self(Some(Vec::new()))
    }

    /// For counts that are repeated thousands of times.
    pub(super) fn silent() -> Self {
        Self(None)
    }

    pub(super) fn say(&mut self, step: impl FnOnce() -> Step) {
        if let Some(steps) = &mut self.0 {
            steps.push(step());
        }
    }

    pub(super) fn into_steps(self) -> Vec<Step> {
        self.0.unwrap_or_default()
    }
}
