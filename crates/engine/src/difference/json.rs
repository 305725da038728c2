//! A difference as one JSON object.

use super::{Difference, Differing, Distance, Found};
use serde::{Serialize, Serializer};

#[derive(Serialize)]
struct Whole<'a> {
    same: bool,
    tensors: Vec<Tensor<'a>>,
    layers: Vec<Layer>,
    metadata: Vec<Fact<'a>>,
    tokenizer: &'a Option<String>,
    chat_template: &'a Option<String>,
}

#[derive(Serialize)]
struct Tensor<'a> {
    name: &'a str,
    a: Option<Side<'a>>,
    b: Option<Side<'a>>,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    distance: Option<&'a Distance>,
}

#[derive(Serialize)]
struct Side<'a> {
    shape: &'a [usize],
    #[serde(rename = "type")]
    element: &'static str,
}

#[derive(Serialize)]
struct Layer {
    layer: Option<usize>,
    distance: Distance,
}

#[derive(Serialize)]
struct Fact<'a> {
    name: &'a str,
    a: &'a Option<String>,
    b: &'a Option<String>,
}

/// JSON has no infinity: a value that is no number is null.
#[derive(Serialize)]
struct Numbers {
    relative: f64,
    largest: f64,
    cosine: f64,
    changed: u64,
}

impl Serialize for Distance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (relative, cosine) = (self.relative(), self.cosine());
        Numbers { relative, largest: self.largest, cosine, changed: self.changed }
            .serialize(serializer)
    }
}

impl Serialize for Difference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let layers = self.layers().into_iter();
        Whole {
            same: self.is_nothing(),
            tensors: self.tensors.iter().map(|(name, found)| tensor(name, found)).collect(),
            layers: layers.map(|(layer, distance)| Layer { layer, distance }).collect(),
            metadata: self.metadata.iter().map(fact).collect(),
            tokenizer: &self.tokenizer,
            chat_template: &self.template,
        }
        .serialize(serializer)
    }
}

fn fact((name, a, b): &Differing) -> Fact<'_> {
    Fact { name, a, b }
}

fn tensor<'a>(name: &'a str, found: &'a Found) -> Tensor<'a> {
    let [a, b] = found.sides.each_ref().map(|side| {
        side.as_ref().map(|(shape, element)| Side { shape: shape.as_slice(), element })
    });
    Tensor { name, a, b, result: found.kind().name(), distance: found.distance() }
}
