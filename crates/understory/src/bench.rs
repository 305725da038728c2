//! Figures about this program, measured on this machine.

mod arithmetic;
mod inputs;
mod loss_gap;
mod run;
mod swarm;
mod train;

pub use arithmetic::{Options as ArithmeticOptions, arithmetic};
pub use inputs::inputs;
pub use loss_gap::{Options as LossGapOptions, loss_gap};
pub use run::run;
pub use swarm::swarm;
pub use train::train;
