//! What was found, for people.

use crate::inspect::shape;
use anyhow::Result;
use engine::difference::{Compared, Difference, Distance, Found, Kind};
use ids::Plain;
use std::io::Write;

/// A table of layers (or of all tensors), then what else differs.
pub fn text(difference: &Difference, every: bool, out: &mut impl Write) -> Result<()> {
    writeln!(out, "{} tensors: {}", difference.tensors.len(), summary(difference))?;
    if difference.kinds().contains_key(&Kind::Changed) {
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

fn summary(difference: &Difference) -> String {
    let kinds = difference.kinds();
    let count = |all: &[Kind]| all.iter().filter_map(|kind| kinds.get(kind)).sum::<usize>();
    let parts = [
        (count(&[Kind::Identical]), "identical"),
        (count(&[Kind::Equal]), "of equal values"),
        (count(&[Kind::Changed]), "changed"),
        (count(&[Kind::Shapes, Kind::Types, Kind::OnlyFirst, Kind::OnlySecond]), "not comparable"),
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
    all.filter_map(|(name, found)| Some((ids::plain(name), *found.distance()?))).collect()
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
