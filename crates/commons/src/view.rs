//! Views: what people ask of a log. Each is a pure function of the log's state, and the same
//! bytes of JSON on any machine.

mod health;
mod lineage;
mod margin;
mod members;
mod milestones;
mod tally;

pub use health::{ComingWitnesses, Health, Overdue, Unanswered, health, overdue, unanswered};
pub use lineage::{Lineage, LineageEdge, LineageNode, lineage};
pub use margin::{Margin, Missing, margin};
pub use members::{MemberView, Members, Vouch, members};
pub use milestones::{MarkedRun, Milestone, Milestones, SaidRecord, milestones};
pub use tally::{HouseView, OptionView, PanelSeat, PanelView, Tally, panel, tally};

use crate::state::State;
use ids::Hash;

/// The digests of all views of one state, by name: two members with the same prefix of a log have
/// the same. They cover data only: what a view says in words may be said otherwise by another
/// version of this program.
pub fn digests(state: &State) -> Vec<(String, Hash)> {
    let mut digests = vec![
        ("members".to_owned(), digest(&members(state))),
        ("lineage".to_owned(), digest(&lineage(state))),
        ("milestones".to_owned(), digest(&milestones(state))),
        ("health".to_owned(), digest(&health(state).without_words())),
    ];
    let mut proposals: Vec<_> = state.proposals.values().collect();
    proposals.sort_by_key(|p| p.index);
    for proposal in proposals {
        let name = format!("tally {}", proposal.statement);
        digests.push((name, digest(&tally(state, proposal).without_words())));
        if let Some(margin) = margin(state, proposal) {
            digests.push((format!("margin {}", proposal.statement), digest(&margin)));
        }
        if let Some(panel) = panel(state, proposal) {
            digests.push((format!("panel {}", proposal.statement), digest(&panel)));
        }
    }
    digests
}

/// BLAKE3 of a view's JSON.
pub fn digest(view: &impl serde::Serialize) -> Hash {
    let json = serde_json::to_vec(view).expect("views have no maps with keys that JSON lacks");
    Hash::of(&json)
}
