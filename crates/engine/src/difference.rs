//! What changed between two models, and by how much, as data.

mod compare;
mod facts;
mod json;

use std::collections::{BTreeMap, BTreeSet};

use model::families::{Shared, shared};
use model::weights::TensorInfo;
use model::{FormatError, Weights};
use text::Tokenizer;

use crate::Opened;
use progress::{Counter, Tell, Work};

pub use compare::{Compared, Distance};
pub use facts::Differing;

/// Everything that was found.
pub struct Difference {
    /// Tensors by their shared names.
    pub tensors: BTreeMap<String, Found>,
    /// Metadata that differs: name, value in the first, value in the second.
    pub metadata: Vec<Differing>,
    /// What is to say of the tokenizers; nothing if they are the same.
    pub tokenizer: Option<String>,
    /// What is to say of the chat templates; nothing if they are the same.
    pub template: Option<String>,
}

/// One tensor: its shape and types in both, and what comparing gave.
pub struct Found {
    /// Shape and type in the first and in the second.
    pub sides: [Option<(Vec<usize>, &'static str)>; 2],
    /// Nothing if it is in one only.
    pub compared: Option<Compared>,
}

/// Compares two models: tensors by their values, whatever their formats.
///
/// Errors: a file that cannot be read or has changed; a tensor that is not what its root says.
pub fn diff(a: &Opened, b: &Opened, tell: &mut Tell<'_>) -> Result<Difference, FormatError> {
    let difference = find(a, b, tell)?;
    a.weights().check_unchanged()?;
    b.weights().check_unchanged()?;
    Ok(difference)
}

/// What came of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The same bytes.
    Identical,
    /// Other bytes that mean the same values.
    Equal,
    /// Other values.
    Changed,
    /// Other shapes.
    Shapes,
    /// Types of which one is not compared.
    Types,
    /// There is none in the second.
    OnlyFirst,
    /// There is none in the first.
    OnlySecond,
}

impl Kind {
    /// What it is called in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identical => "identical",
            Self::Equal => "equal values",
            Self::Changed => "changed",
            Self::Shapes => "shapes differ",
            Self::Types => "types differ",
            Self::OnlyFirst => "only in a",
            Self::OnlySecond => "only in b",
        }
    }
}

impl Found {
    /// What came of it.
    pub fn kind(&self) -> Kind {
        match (&self.compared, &self.sides) {
            (Some(Compared::Identical), _) => Kind::Identical,
            (Some(Compared::Shapes), _) => Kind::Shapes,
            (Some(Compared::Types), _) => Kind::Types,
            (Some(Compared::Distance(d)), _) if d.changed == 0 => Kind::Equal,
            (Some(Compared::Distance(_)), _) => Kind::Changed,
            (None, [Some(_), _]) => Kind::OnlyFirst,
            (None, _) => Kind::OnlySecond,
        }
    }

    /// The distance of its values, where they were compared and are not the same bytes.
    pub fn distance(&self) -> Option<&Distance> {
        match &self.compared {
            Some(Compared::Distance(distance)) => Some(distance),
            _ => None,
        }
    }
}

impl Difference {
    /// How many tensors came out in each way that any did.
    pub fn kinds(&self) -> BTreeMap<Kind, usize> {
        let mut kinds = BTreeMap::new();
        self.tensors.values().for_each(|found| *kinds.entry(found.kind()).or_default() += 1);
        kinds
    }

    /// Whether the two are the same model.
    pub fn is_nothing(&self) -> bool {
        let same = |found: &Found| found.compared == Some(Compared::Identical);
        self.tensors.values().all(same)
            && self.metadata.is_empty()
            && self.tokenizer.is_none()
            && self.template.is_none()
    }

    /// The distance of everything in a layer, by layer; `None` for what is in no layer.
    pub fn layers(&self) -> BTreeMap<Option<usize>, Distance> {
        let mut layers: BTreeMap<Option<usize>, Distance> = BTreeMap::new();
        for (name, found) in &self.tensors {
            let distance = layers.entry(layer(name)).or_default();
            if let Some(other) = found.distance() {
                distance.add(other);
            }
        }
        layers
    }
}

/// A tensor, and what it is beside those of other formats.
struct Aligned<'a> {
    tensor: &'a TensorInfo,
    shared: Shared,
}

/// All tensors by the names that formats share.
fn align(weights: &Weights) -> BTreeMap<String, Aligned<'_>> {
    let one = |(name, shared): (String, Shared)| {
        Some((shared.name.clone(), Aligned { tensor: weights.tensors().get(&name)?, shared }))
    };
    shared(weights).into_iter().filter_map(one).collect()
}

/// The layer of a shared name; what comes before and after the layers stands for itself.
fn layer(name: &str) -> Option<usize> {
    let rest =
        name.strip_prefix("model.layers.").or_else(|| name.strip_prefix("transformer.h."))?;
    rest.split('.').next()?.parse().ok()
}

fn find(a: &Opened, b: &Opened, tell: &mut Tell<'_>) -> Result<Difference, FormatError> {
    let decoders = [a, b].map(|model| model.decoder().ok());
    let (left, right) = (align(a.weights()), align(b.weights()));
    let all: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let mut tensors = BTreeMap::new();
    let mut count = Counter::new(Work::Comparing, a.bytes().saturating_add(b.bytes()), tell);
    for name in all {
        let pair = (left.get(name), right.get(name));
        let compared = match pair {
            (Some(one), Some(other)) => Some(compare::compare((a, one), (b, other))?),
            _ => None,
        };
        let side = |one: Option<&Aligned<'_>>| {
            one.map(|one| (one.tensor.shape.clone(), one.tensor.element.name))
        };
        tensors.insert(name.clone(), Found { sides: [side(pair.0), side(pair.1)], compared });
        let bytes = [pair.0, pair.1].into_iter().flatten().map(|one| one.tensor.bytes);
        count.add(bytes.sum());
    }
    let metadata = facts::differing((a, decoders[0].as_ref()), (b, decoders[1].as_ref()));
    Ok(Difference { tensors, metadata, tokenizer: tokenizer(a, b), template: template(a, b) })
}

fn tokenizer(a: &Opened, b: &Opened) -> Option<String> {
    match (a.tokenizer(), b.tokenizer()) {
        (Err(_), Err(_)) => None,
        (Err(error), Ok(_)) => Some(format!("the first has none that is read here: {error}")),
        (Ok(_), Err(error)) => Some(format!("the second has none that is read here: {error}")),
        (Ok(one), Ok(other)) => tokenizers(one, other),
    }
}

fn tokenizers(one: &Tokenizer, other: &Tokenizer) -> Option<String> {
    let only =
        |a: &Tokenizer, b: &Tokenizer| a.tokens().filter(|token| b.id(token).is_none()).count();
    let moved = one.tokens().enumerate();
    let moved = moved.filter(|(id, token)| other.id(token).is_some_and(|new| new != *id as u32));
    let parts = [
        (only(one, other), "only in the first"),
        (only(other, one), "only in the second"),
        (moved.count(), "with another id"),
        (usize::from(one.merges().ne(other.merges())), "list of merges"),
        (usize::from(one.ends() != other.ends()), "set of ends"),
        (usize::from(one.prefix() != other.prefix()), "rule for beginnings"),
        (usize::from(one.describe() != other.describe()), "kind"),
    ];
    let said = parts.iter().filter(|(count, _)| *count > 0);
    let said: Vec<String> = said.map(|(count, what)| format!("{count} {what}")).collect();
    if said.is_empty() { None } else { Some(said.join(", ")) }
}

fn template(a: &Opened, b: &Opened) -> Option<String> {
    let all = |model: &Opened| -> BTreeMap<String, String> {
        let templates = model.templates().unwrap_or_default();
        templates.iter().map(|(name, source)| (name.to_owned(), source.to_owned())).collect()
    };
    let (one, other) = (all(a), all(b));
    if one == other {
        return None;
    }
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let said = names.into_iter().filter_map(|name| match (one.get(name), other.get(name)) {
        (Some(_), None) => Some(format!("{name} only in the first")),
        (None, Some(_)) => Some(format!("{name} only in the second")),
        (one, other) if one != other => Some(format!("{name} differs")),
        _ => None,
    });
    Some(said.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(compared: Option<Compared>, sides: [bool; 2]) -> Found {
        Found { sides: sides.map(|is_there| is_there.then(|| (vec![2, 3], "F32"))), compared }
    }

    #[test]
    fn tensors_are_counted_by_what_came_of_them_and_have_it_in_json() {
        let changed = Distance { changed: 1, ..Distance::default() };
        let all = [
            found(Some(Compared::Identical), [true; 2]),
            found(Some(Compared::Distance(Distance::default())), [true; 2]),
            found(Some(Compared::Distance(changed)), [true; 2]),
            found(Some(Compared::Shapes), [true; 2]),
            found(Some(Compared::Types), [true; 2]),
            found(None, [true, false]),
            found(None, [false, true]),
            found(Some(Compared::Identical), [true; 2]),
        ];
        let tensors = all.into_iter().enumerate().map(|(at, one)| (at.to_string(), one)).collect();
        let (metadata, tokenizer, template) = (Vec::new(), None, None);
        let difference = Difference { tensors, metadata, tokenizer, template };
        let counts: Vec<(Kind, usize)> = difference.kinds().into_iter().collect();
        use Kind::{Changed, Equal, Identical, OnlyFirst, OnlySecond, Shapes, Types};
        let one_each = [Equal, Changed, Shapes, Types, OnlyFirst, OnlySecond].map(|k| (k, 1));
        assert_eq!(counts, [&[(Identical, 2)][..], &one_each].concat());
        let json = serde_json::to_value(&difference).expect("has a form");
        assert_eq!(json["same"], false);
        let tensor = |at: usize| json["tensors"][at].clone();
        let side = serde_json::json!({ "shape": [2, 3], "type": "F32" });
        assert_eq!(
            tensor(5),
            serde_json::json!({ "name": "5", "a": side, "b": null, "result": "only in a" })
        );
        assert_eq!(tensor(2)["distance"]["changed"], 1);
        assert!(tensor(0).get("distance").is_none(), "there is none to say");
        assert_eq!(json["layers"][0]["distance"]["changed"], 1);
    }

    #[test]
    fn layers_are_read_off_names() {
        assert_eq!(layer("model.layers.12.mlp.up_proj.weight"), Some(12));
        assert_eq!(layer("transformer.h.3.ln_mlp.weight"), Some(3));
        assert_eq!(layer("model.norm.weight"), None);
    }
}
