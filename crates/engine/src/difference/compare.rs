//! How far two tensors are apart, read piece by piece.

use super::Aligned;
use std::ops::Range;

use model::families::Rows;
use model::weights::TensorInfo;
use model::{FormatError, Weights};
use serde::Serialize;

use crate::Opened;

/// How far apart two tensors of one shape are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Distance {
    /// Sum over all elements of the difference squared.
    pub difference: f64,
    /// Sum of the squares of the first.
    pub first: f64,
    /// Sum of the squares of the second.
    pub second: f64,
    /// Sum of the products of both.
    pub product: f64,
    /// The largest difference.
    pub largest: f64,
    /// Elements that differ.
    pub changed: u64,
}

impl Distance {
    /// ‖b − a‖ ÷ ‖a‖, Frobenius; 0 for equal ones, infinite for a change of nothing.
    pub fn relative(&self) -> f64 {
        match (self.difference, self.first) {
            (0.0, _) => 0.0,
            (_, 0.0) => f64::INFINITY,
            (difference, first) => (difference / first).sqrt(),
        }
    }

    /// The cosine of the angle between them; 1 for equal ones.
    pub fn cosine(&self) -> f64 {
        let lengths = (self.first * self.second).sqrt();
        if self.difference == 0.0 || lengths == 0.0 { 1.0 } else { self.product / lengths }
    }

    /// Both together.
    pub fn add(&mut self, other: &Distance) {
        self.difference += other.difference;
        self.first += other.first;
        self.second += other.second;
        self.product += other.product;
        self.largest = self.largest.max(other.largest);
        self.changed += other.changed;
    }

    fn add_values(&mut self, a: &[f32], b: &[f32]) {
        for (&a, &b) in a.iter().zip(b) {
            let (a, b) = (f64::from(a), f64::from(b));
            let difference = b - a;
            self.difference += difference * difference;
            self.first += a * a;
            self.second += b * b;
            self.product += a * b;
            // A difference that is no number is the largest there is.
            let size = if difference.is_nan() { f64::INFINITY } else { difference.abs() };
            self.largest = self.largest.max(size);
            self.changed += u64::from(a.to_bits() != b.to_bits());
        }
    }
}

/// What comparing two tensors gave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    /// The same bytes.
    Identical,
    /// Shapes differ.
    Shapes,
    /// An element type that does not become floats here.
    Types,
    /// How far apart they are; 0 where only the bytes differ.
    Distance(Distance),
}

/// Compares two tensors.
///
/// Errors: a tensor that is not what its root says; a file that cannot be read.
pub(super) fn compare(
    a: (&Opened, &Aligned<'_>),
    b: (&Opened, &Aligned<'_>),
) -> Result<Compared, FormatError> {
    let (left, right) = (a.1.tensor, b.1.tensor);
    if left.shape != right.shape {
        return Ok(Compared::Shapes);
    }
    let known = a.0.known_hash(left).zip(b.0.known_hash(right));
    if known.is_some_and(|(a, b)| a == b) {
        return Ok(Compared::Identical);
    }
    a.0.check_tensor(left, &mut |_| {})?;
    b.0.check_tensor(right, &mut |_| {})?;
    let (a_weights, b_weights) = (a.0.weights(), b.0.weights());
    let same_order = a.1.shared.rows == b.1.shared.rows;
    let same_offset = a.1.shared.offset == b.1.shared.offset;
    let alike = left.element == right.element && same_order && same_offset;
    if alike && same_bytes((a_weights, left), (b_weights, right))? {
        return Ok(Compared::Identical);
    }
    if left.element.format.is_none() || right.element.format.is_none() {
        return Ok(Compared::Types);
    }
    // In whatever order rows lie, alike they can be compared as they lie.
    let as_they_lie = Rows::default();
    let (left, right) = match same_order {
        true => (&as_they_lie, &as_they_lie),
        false => (&a.1.shared.rows, &b.1.shared.rows),
    };
    distance([(a.1, a_weights, left), (b.1, b_weights, right)]).map(Compared::Distance)
}

fn same_bytes(a: (&Weights, &TensorInfo), b: (&Weights, &TensorInfo)) -> Result<bool, FormatError> {
    let length = a.1.bytes;
    let size = length.min(PIECE as u64) as usize;
    let (mut left, mut right) = (vec![0; size], vec![0; size]);
    let mut at = 0;
    while at < length {
        let count = (length - at).min(size as u64) as usize;
        a.0.read(a.1, at, &mut left[..count])?;
        b.0.read(b.1, at, &mut right[..count])?;
        if left[..count] != right[..count] {
            return Ok(false);
        }
        at += count as u64;
    }
    Ok(true)
}

fn distance(sides: [(&Aligned<'_>, &Weights, &Rows); 2]) -> Result<Distance, FormatError> {
    let tensor = sides[0].0.tensor;
    let width = tensor.rows().1.max(1);
    let rows = tensor.elements() as usize / width;
    let some = (PIECE / 4 / width).max(1);
    let mut values = [Vec::new(), Vec::new()];
    let mut distance = Distance::default();
    for first in (0..rows).step_by(some) {
        let piece = first..rows.min(first + some);
        for ((aligned, weights, order), values) in sides.iter().zip(&mut values) {
            read_values(aligned, weights, order, piece.clone(), values)?;
        }
        distance.add_values(&values[0], &values[1]);
    }
    Ok(distance)
}

/// The values of some rows in the order that is compared.
fn read_values(
    aligned: &Aligned<'_>,
    weights: &Weights,
    order: &Rows,
    rows: Range<usize>,
    values: &mut Vec<f32>,
) -> Result<(), FormatError> {
    let (width, row_bytes) = (aligned.tensor.rows().1, aligned.tensor.row_bytes() as usize);
    let mut raw = vec![0; rows.len() * row_bytes];
    let mut row = rows.start;
    while row < rows.end {
        // Rows that lie together are read together.
        let from = order.source(row);
        let together = (row..rows.end).take_while(|next| order.source(*next) == from + next - row);
        let count = together.count();
        let at = (row - rows.start) * row_bytes;
        let to = &mut raw[at..at + count * row_bytes];
        weights.read(aligned.tensor, (from * row_bytes) as u64, to)?;
        row += count;
    }
    values.clear();
    values.resize(rows.len() * width, 0.0);
    if let Some(format) = aligned.tensor.element.format {
        format.dequantize(&raw, values);
    }
    if aligned.shared.offset != 0.0 {
        values.iter_mut().for_each(|x| *x += aligned.shared.offset);
    }
    Ok(())
}

/// Bytes in memory at a time, of each side.
const PIECE: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_vectors() {
        let mut distance = Distance::default();
        distance.add_values(&[3.0, 4.0, 0.0], &[3.0, 4.0, 5.0]);
        assert_eq!((distance.relative(), distance.largest, distance.changed), (1.0, 5.0, 1));
        assert!((distance.cosine() - 0.5f64.sqrt()).abs() < 1e-12);
        let nothing = Distance::default();
        assert_eq!((nothing.relative(), nothing.cosine()), (0.0, 1.0));
        let mut broken = Distance::default();
        broken.add_values(&[f32::NAN], &[1.0]);
        assert_eq!((broken.largest, broken.changed), (f64::INFINITY, 1));
    }
}
