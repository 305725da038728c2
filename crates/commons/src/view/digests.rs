//! Digests of the views: what two members compare.
//!
//! They are over bytes that stay as they are: a view that shows more, or calls it otherwise, has the
//! digest that it had. What is said in words is not covered.

use super::{Health, LogHealth, health, lineage, margin, members, milestones, panel, tally};
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
        ("health".to_owned(), digest(&HealthData::of(&health(state)))),
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

/// What the digest of the health covers.
#[derive(serde::Serialize)]
struct HealthData<'a> {
    #[serde(flatten)]
    log: &'a LogHealth,
    last_void: Vec<VoidData>,
}

/// A void statement, whatever it is called why.
#[derive(serde::Serialize)]
struct VoidData {
    index: u64,
    statement: Hash,
    /// Empty: here were the words.
    reason: &'static str,
}

impl<'a> HealthData<'a> {
    fn of(health: &'a Health) -> Self {
        let void = |void: &super::VoidView| VoidData {
            index: void.index,
            statement: void.statement,
            reason: "",
        };
        Self { log: &health.log, last_void: health.last_void.iter().map(void).collect() }
    }
}

/// BLAKE3 of a view's JSON.
pub fn digest(view: &impl serde::Serialize) -> Hash {
    let json = serde_json::to_vec(view).expect("views have no maps with keys that JSON lacks");
    Hash::of(&json)
}
