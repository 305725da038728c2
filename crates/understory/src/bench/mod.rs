//! Figures about this program, measured on this machine.

mod loss_gap;

pub use loss_gap::{Options as LossGapOptions, loss_gap};
