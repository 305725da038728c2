//! What was made from what: a graph whose edges say whether anybody else got the same.

use super::Bounds;
use crate::{
    state::{Edge, State},
    statement::{Relation, Reproducible, Verdict},
};
use ids::{Hash, PeerId};
use std::collections::{BTreeMap, BTreeSet};

/// The graph.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Lineage {
    /// Statements that this is computed from.
    pub size: u64,
    /// Independent members who must get the same before an edge is confirmed.
    pub confirmations: u8,
    /// All edges, shown or not.
    pub count: usize,
    /// Artifacts: those that edges lead to and from, then those that stand alone; each by digest.
    pub nodes: Vec<LineageNode>,
    /// Edges, in the log's order: the newest.
    pub edges: Vec<LineageEdge>,
    /// What is known of the `Derive` statement of an edge, by its hash.
    pub derivations: BTreeMap<String, Derivation>,
}

/// What a `Derive` statement says beside its edges, and who checked it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Derivation {
    /// The program.
    pub tool: String,
    /// How many members checked it.
    pub count: usize,
    /// The last verdict of each, by member.
    pub checks: Vec<(PeerId, Verdict)>,
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
pub fn lineage(state: &State, bounds: Bounds) -> Lineage {
    let mut all = all_edges(state);
    let (count, nodes) = (all.len(), all_nodes(state, &all));
    let edges = all.split_off(count.saturating_sub(bounds.items));
    let ends: BTreeSet<Hash> =
        edges.iter().flat_map(|edge| [Some(edge.child), edge.parent]).flatten().collect();
    let (mut nodes, alone): (Vec<_>, Vec<_>) =
        nodes.into_iter().partition(|node| ends.contains(&node.digest));
    nodes.extend(alone.into_iter().filter(|node| node.name.is_some()).take(bounds.items));
    Lineage {
        size: state.size,
        confirmations: state.rules.confirmations,
        count,
        nodes,
        derivations: derivations(state, &edges, bounds),
        edges,
    }
}

fn derivations(
    state: &State,
    edges: &[LineageEdge],
    bounds: Bounds,
) -> BTreeMap<String, Derivation> {
    let statements: BTreeSet<Hash> = edges.iter().map(|edge| edge.statement).collect();
    let derivation = |edge: &Edge| {
        let checks = edge.checks.iter().take(bounds.events).map(|(id, verdict)| (*id, *verdict));
        let (tool, count) = (edge.tool.clone(), edge.checks.len());
        (edge.statement.to_string(), Derivation { tool, count, checks: checks.collect() })
    };
    state.edges.iter().filter(|edge| statements.contains(&edge.statement)).map(derivation).collect()
}

/// The edges that count, in the log's order.
pub(super) fn all_edges(state: &State) -> Vec<LineageEdge> {
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
    edges
}

/// The ends of edges and whatever was published, by digest.
pub(super) fn all_nodes(state: &State, edges: &[LineageEdge]) -> Vec<LineageNode> {
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
