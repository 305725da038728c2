//! Whole commons on a virtual clock, in memory, with people who cheat.

mod attacks;
mod bare;
mod cache;
mod committees;
mod cost;
mod crashes;
mod draws;
mod forks;
mod keys;
mod members;
mod milestones;
mod names;
mod old;
mod portable;
mod random;
mod receipts;
mod sleepers;
mod threats;
mod time;
mod town;
mod void;
mod voting;
