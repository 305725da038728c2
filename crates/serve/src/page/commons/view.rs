//! What the page can ask of a commons: the views of [`commons::view`](::commons::view), with bounds
//! on how much of each is shown.

use ::commons::view::{self, Bounds};
use ids::Hash;
use serde::Serialize;

use super::Reading;

/// What can be asked of a commons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum View {
    /// Who belongs to it.
    Members,
    /// What was made from what.
    Lineage,
    /// The questions.
    Tallies,
    /// The count of a question.
    Tally(Hash),
    /// The panel of a question that is decided by lot.
    Panel(Hash),
    /// Whether the log is well.
    Health,
}

/// A view as JSON; none if there is no such question.
pub(super) fn json(reading: &Reading, view: View) -> Option<String> {
    let (state, bounds) = (&reading.state, Bounds::PAGE);
    let question = |hash| state.proposals.get(&hash);
    match view {
        View::Members => text(&view::members(state, bounds)),
        View::Lineage => text(&view::lineage(state, bounds)),
        View::Tallies => text(&view::tallies(state, bounds)),
        View::Tally(hash) => text(&view::tally(state, question(hash)?, bounds)),
        View::Panel(hash) => text(&view::panel(state, question(hash)?)?),
        View::Health => text(&view::health(state, &reading.beside, bounds)),
    }
}

fn text(view: &impl Serialize) -> Option<String> {
    Some(serde_json::to_string(view).expect("views have no maps with keys that JSON lacks"))
}
