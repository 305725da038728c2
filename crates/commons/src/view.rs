//! Views: what people ask of a log. Each is a pure function of the log's state, and the same
//! bytes of JSON on any machine.

mod digests;
mod health;
mod lineage;
mod margin;
mod members;
mod milestones;
mod tally;

pub use digests::{digest, digests};
pub use health::{
    ComingWitnesses, Health, LogHealth, Overdue, Reason, Unanswered, VoidView, health, overdue,
    unanswered,
};
pub use lineage::{Lineage, LineageEdge, LineageNode, lineage};
pub use margin::{Margin, Missing, margin};
pub use members::{MemberView, Members, Vouch, members};
pub use milestones::{MarkedRun, Milestone, Milestones, SaidRecord, milestones};
pub use tally::{HouseView, OptionView, PanelSeat, PanelView, Tally, panel, tally};
