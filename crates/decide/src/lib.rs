//! Deciding: from ballots to winners, with every step on the table.
//!
//! Pure functions in exact arithmetic: whoever has the same ballots gets the same outcome, to the byte.
//! The order of ballots and the numbering of voters change nothing.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod bound;
mod commitment;
mod count;
mod election;
mod explain;
mod field;
mod flow;
mod houses;
mod left;
mod lot;
mod margin;
mod outcome;
mod pairwise;
mod pile;
mod quotas;
mod schulze;
mod seats;
mod sortition;
mod strata;
mod stv;
mod tie;
mod ways;

pub use commitment::{commitment, reveals};
pub use count::{tally, tally_pairwise};
pub use election::{
    Ballot, Choice, DecideError, Election, MAX_BALLOTS, MAX_OPTIONS, Method, Quorum, Ratio, Spoilt,
    TieRule, Unranked, Voter,
};
pub use explain::{explain, explain_houses, matrix_table};
pub use houses::{
    House, TwoHouses, check_houses, two_houses, two_houses_margin, two_houses_voters,
};
pub use margin::{Bloc, MARGIN_EFFORT, Margin, Removal, VoterMargin, margin, voters_margin};
pub use outcome::{Defeat, Outcome, SpoiltBallot, Step, TiePurpose};
pub use pairwise::Pairwise;
pub use quotas::{Quotas, Share};
pub use sortition::{
    Attribute, Lottery, Panel, Person, SortitionError, draw_seed, panel_seed, tie_seed,
};
pub use strata::{Drawn, Strata};
