//! What was made from what: a graph whose edges say whether anybody else got the same.

use crate::{
    state::State,
    statement::{Relation, Reproducible},
};
use ids::{Hash, PeerId};
use std::collections::BTreeMap;

/// The graph.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Lineage {
    /// Statements that this is computed from.
    pub size: u64,
    /// Artifacts, by digest.
    pub nodes: Vec<LineageNode>,
    /// Edges, in the log's order.
    pub edges: Vec<LineageEdge>,
}

/// An artifact.
#[derive(Clone, Debug, serde::Serialize)]
pub struct LineageNode {
    /// Its digest.
    pub digest: Hash,
    /// Its name, if it was published.
    pub name: Option<String>,
    /// Who published it.
    pub member: Option<PeerId>,
    /// Members who use it now.
    pub users: usize,
}

/// A derivation from one parent.
#[derive(Clone, Debug, serde::Serialize)]
pub struct LineageEdge {
    /// The `Derive` statement.
    pub statement: Hash,
    /// The result.
    pub child: Hash,
    /// What it was made of; none if it was made from nothing that is named.
    pub parent: Option<Hash>,
    /// How.
    pub relation: Option<Relation>,
    /// The parent's part, in thousandths.
    pub share: u16,
    /// Who says so.
    pub member: PeerId,
    /// The recipe.
    pub recipe: Hash,
    /// Whether running it again should give the same.
    pub reproducible: Reproducible,
    /// Independent members who got the same.
    pub confirmed: usize,
    /// Members who got something else.
    pub disputed: usize,
    /// In a word.
    pub verdict: EdgeVerdict,
}

/// An edge in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EdgeVerdict {
    /// Its author's word alone, or of too few others.
    Declared,
    /// Enough independent members got the same, and nobody something else.
    Confirmed,
    /// Somebody got something else.
    Disputed,
}

/// The lineage of everything in a commons.
pub fn lineage(state: &State) -> Lineage {
    let mut edges = Vec::new();
    for edge in state.edges.iter().filter(|edge| state.counts(edge.key, edge.seq)) {
        let known = state.edge_state(edge);
        let needed = usize::from(state.rules.confirmations);
        let verdict = match known.confirmed {
            _ if known.disputed > 0 => EdgeVerdict::Disputed,
            confirmed if confirmed >= needed => EdgeVerdict::Confirmed,
            _ => EdgeVerdict::Declared,
        };
        let line = |parent: Option<Hash>, relation, share| LineageEdge {
            statement: edge.statement,
            child: edge.child,
            parent,
            relation,
            share,
            member: edge.member,
            recipe: edge.recipe,
            reproducible: edge.reproducible,
            confirmed: known.confirmed,
            disputed: known.disputed,
            verdict,
        };
        if edge.parents.is_empty() {
            edges.push(line(None, None, 0));
        }
        edges.extend(
            edge.parents.iter().map(|&(parent, how, share)| line(Some(parent), Some(how), share)),
        );
    }
    Lineage { size: state.size, nodes: nodes(state, &edges), edges }
}

fn nodes(state: &State, edges: &[LineageEdge]) -> Vec<LineageNode> {
    let now = state.now();
    let mut nodes: BTreeMap<Hash, LineageNode> = BTreeMap::new();
    let node = |digest: Hash| LineageNode { digest, name: None, member: None, users: 0 };
    let ends = edges.iter().flat_map(|edge| [Some(edge.child), edge.parent]).flatten();
    for digest in ends.chain(state.artifacts.keys().copied()) {
        nodes.entry(digest).or_insert_with(|| node(digest));
    }
    for (digest, artifact) in &state.artifacts {
        nodes.entry(*digest).and_modify(|n| {
            n.name = Some(artifact.name.clone());
            n.member = Some(artifact.member);
        });
    }
    for used in state.uses.values().filter(|used| used.expiry > now) {
        nodes.entry(used.artifact).and_modify(|n| n.users += 1);
    }
    nodes.into_values().collect()
}
