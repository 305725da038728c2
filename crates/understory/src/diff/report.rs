//! What was found, for people and for programs.

use crate::inspect::shape;
use anyhow::Result;
use engine::difference::{Compared, Difference, Distance, Found};
use ids::Plain;
use serde_json::{Value, json};
use std::io::Write;

/// A table of layers (or of all tensors), then what else differs.
pub fn text(difference: &Difference, every: bool, out: &mut impl Write) -> Result<()> {
    let counts = counts(difference);
    writeln!(out, "{} tensors: {}", difference.tensors.len(), summary(&counts))?;
    if counts.changed > 0 {
        let rows: Vec<(String, Distance)> =
            if every { tensors(difference) } else { layers(difference) };
        table(&rows, out)?;
    }
    for (name, found) in &difference.tensors {
        if let Some(why) = odd(found) {
            writeln!(out, "{}: {why}", Plain(name))?;
        }
    }
    let none = || "none".to_owned();
    for (name, one, other) in &difference.metadata {
        let [one, other] = [one, other].map(|value| value.clone().unwrap_or_else(none));
        writeln!(out, "{}: {} → {}", Plain(name), Plain(one), Plain(other))?;
    }
    if let Some(tokenizer) = &difference.tokenizer {
        writeln!(out, "tokenizer: {}", Plain(tokenizer))?;
    }
    if let Some(template) = &difference.template {
        writeln!(out, "chat template: {}", Plain(template))?;
    }
    if difference.is_nothing() {
        writeln!(out, "the same model")?;
    }
    Ok(())
}

/// One object.
pub fn json(difference: &Difference, out: &mut impl Write) -> Result<()> {
    let tensors = difference.tensors.iter().map(|(name, found)| {
        let [a, b] = &found.sides;
        let side = |side: &Option<(Vec<usize>, &str)>| {
            side.as_ref().map(|(shape, element)| json!({ "shape": shape, "type": element }))
        };
        let mut object = json!({ "name": name, "a": side(a), "b": side(b), "result": word(found) });
        if let Some(Compared::Distance(distance)) = &found.compared {
            object["distance"] = of_distance(distance);
        }
        object
    });
    let layers = difference
        .layers()
        .into_iter()
        .map(|(layer, distance)| json!({ "layer": layer, "distance": of_distance(&distance) }));
    let metadata =
        difference.metadata.iter().map(|(name, a, b)| json!({ "name": name, "a": a, "b": b }));
    let object = json!({
        "same": difference.is_nothing(),
        "tensors": tensors.collect::<Vec<_>>(),
        "layers": layers.collect::<Vec<_>>(),
        "metadata": metadata.collect::<Vec<_>>(),
        "tokenizer": difference.tokenizer,
        "chat_template": difference.template,
    });
    writeln!(out, "{object}")?;
    Ok(())
}

/// JSON has no infinity: a value that is no number is null.
fn of_distance(distance: &Distance) -> Value {
    json!({
        "relative": distance.relative(), "largest": distance.largest,
        "cosine": distance.cosine(), "changed": distance.changed,
    })
}

fn word(found: &Found) -> &'static str {
    match (&found.compared, &found.sides) {
        (Some(Compared::Identical), _) => "identical",
        (Some(Compared::Shapes), _) => "shapes differ",
        (Some(Compared::Types), _) => "types differ",
        (Some(Compared::Distance(d)), _) if d.changed == 0 => "equal values",
        (Some(Compared::Distance(_)), _) => "changed",
        (None, [Some(_), _]) => "only in a",
        (None, _) => "only in b",
    }
}

/// What is to say of a tensor that has no distance.
fn odd(found: &Found) -> Option<String> {
    let side = |at: usize| match &found.sides[at] {
        Some((sizes, element)) => format!("{element} {}", shape(sizes)),
        None => "none".to_owned(),
    };
    match found.compared {
        Some(Compared::Identical | Compared::Distance(_)) => None,
        Some(Compared::Shapes | Compared::Types) => Some(format!("{} → {}", side(0), side(1))),
        None if found.sides[0].is_some() => Some(format!("only in the first, {}", side(0))),
        None => Some(format!("only in the second, {}", side(1))),
    }
}

struct Counts {
    identical: usize,
    equal: usize,
    changed: usize,
    other: usize,
}

fn counts(difference: &Difference) -> Counts {
    let count = |words: &[&str]| {
        difference.tensors.values().filter(|found| words.contains(&word(found))).count()
    };
    Counts {
        identical: count(&["identical"]),
        equal: count(&["equal values"]),
        changed: count(&["changed"]),
        other: count(&["shapes differ", "types differ", "only in a", "only in b"]),
    }
}

fn summary(counts: &Counts) -> String {
    let parts = [
        (counts.identical, "identical"),
        (counts.equal, "of equal values"),
        (counts.changed, "changed"),
        (counts.other, "not comparable"),
    ];
    let said = parts.iter().filter(|(count, _)| *count > 0);
    said.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
}

fn layers(difference: &Difference) -> Vec<(String, Distance)> {
    let layers = difference.layers();
    let name = |layer: Option<usize>| match layer {
        Some(layer) => format!("layer {layer}"),
        None => "outside".to_owned(),
    };
    layers.into_iter().map(|(layer, distance)| (name(layer), distance)).collect()
}

fn tensors(difference: &Difference) -> Vec<(String, Distance)> {
    let all = difference.tensors.iter();
    let rows = all.filter_map(|(name, found)| match &found.compared {
        Some(Compared::Distance(distance)) => Some((ids::plain(name), *distance)),
        _ => None,
    });
    rows.collect()
}

fn table(rows: &[(String, Distance)], out: &mut impl Write) -> Result<()> {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let most = rows.iter().map(|(_, distance)| finite(distance.relative())).fold(0.0, f64::max);
    writeln!(out, "{:width$}  {:>9}  {:>9}  {:>9}", "", "relative", "largest", "cosine")?;
    for (name, distance) in rows {
        let share = if most > 0.0 { finite(distance.relative()) / most } else { 0.0 };
        let bar = "█".repeat((share * BAR).round() as usize);
        let line = format!(
            "{name:width$}  {:>9.2e}  {:>9.2e}  {:>9.6}  {bar}",
            distance.relative(),
            distance.largest,
            distance.cosine()
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}

/// Columns of the longest bar.
const BAR: f64 = 24.0;
