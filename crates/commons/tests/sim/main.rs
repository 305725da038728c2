//! Whole commons on a virtual clock, in memory, with people who cheat.

mod attacks;
mod crashes;
mod forks;
mod keys;
mod members;
mod old;
mod portable;
mod random;
mod receipts;
mod threats;
mod time;
mod town;
mod voting;
