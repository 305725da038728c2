//! Views: what people ask of a log. Each is a pure function of the log's state, and the same
//! bytes of JSON on any machine. The page and the commands' `--json` give these types, written down
//! in docs/commons.md; beside data they hold words only where a field says so.

mod digests;
mod effect;
mod health;
mod lineage;
mod log;
mod margin;
mod members;
mod milestones;
mod panel;
mod standing;
mod tally;

pub use digests::{digest, digests};
pub use effect::{EffectData, EffectView};
pub use health::{
    Beside, ComingWitnesses, Counts, Health, LogHealth, Overdue, Parent, Reason, RunMarks,
    Unanswered, VoidView, health, overdue, unanswered,
};
pub use lineage::{Derivation, EdgeVerdict, Lineage, LineageEdge, LineageNode, lineage};
pub use log::{LogLine, WaitingLine, log_line, waiting_line};
pub use margin::{Margin, Missing, margin};
pub use members::{MemberView, Members, Person, Vouch, members};
pub use milestones::{MarkedRun, Milestone, Milestones, SaidRecord, milestones};
pub use panel::{PanelSeat, PanelView, QuotaView, panel};
pub use standing::{Out, Standing};
pub use tally::{HouseTally, OptionView, Question, Tallies, Tally, tallies, tally};

/// How much a view shows of what may be long. How many there are is always said beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Members, edges, artifacts that stand alone.
    pub items: usize,
    /// Vouches.
    pub vouches: usize,
    /// Questions.
    pub questions: usize,
    /// What is listed as events, members or voters.
    pub events: usize,
    /// Steps of a count, and lines of its explanation.
    pub lines: usize,
}

impl Bounds {
    /// All of it.
    pub const NONE: Self = Self {
        items: usize::MAX,
        vouches: usize::MAX,
        questions: usize::MAX,
        events: usize::MAX,
        lines: usize::MAX,
    };

    /// What a page can show.
    pub const PAGE: Self =
        Self { items: 2000, vouches: 8000, questions: 500, events: 200, lines: 1000 };
}
