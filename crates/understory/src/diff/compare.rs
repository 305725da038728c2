//! How far two tensors are apart, read piece by piece.

use super::names::{Aligned, Order};
use crate::inspect::{Bytes, Opened};
use anyhow::Result;
use std::ops::Range;

/// How far apart two tensors of one shape are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Distance {
    /// Sums over all elements of: the difference squared, the squares of both, their products.
    pub difference: f64,
    pub first: f64,
    pub second: f64,
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Compared {
    /// The same bytes.
    Identical,
    /// Shapes differ.
    Shapes,
    /// An element type that does not become floats here.
    Types,
    Distance(Distance),
}

/// Compares two tensors.
pub fn compare(a: (&Opened, &Aligned<'_>), b: (&Opened, &Aligned<'_>)) -> Result<Compared> {
    let (left, right) = (a.1.tensor, b.1.tensor);
    if left.shape != right.shape {
        return Ok(Compared::Shapes);
    }
    let known = a.0.known_hash(left).zip(b.0.known_hash(right));
    if known.is_some_and(|(a, b)| a == b) {
        return Ok(Compared::Identical);
    }
    let (a_bytes, b_bytes) = (a.0.bytes(left)?, b.0.bytes(right)?);
    let same_order = a.1.order == b.1.order;
    let alike = left.element == right.element && same_order && a.1.offset == b.1.offset;
    if alike && same_bytes(left.bytes, &a_bytes, &b_bytes)? {
        return Ok(Compared::Identical);
    }
    if left.format.is_none() || right.format.is_none() {
        return Ok(Compared::Types);
    }
    let order = |order| if same_order { Order::Same } else { order };
    let sides = [(a.1, &a_bytes, order(a.1.order)), (b.1, &b_bytes, order(b.1.order))];
    distance(sides).map(Compared::Distance)
}

fn same_bytes(length: u64, a: &Bytes<'_>, b: &Bytes<'_>) -> Result<bool> {
    let size = length.min(PIECE as u64) as usize;
    let (mut left, mut right) = (vec![0; size], vec![0; size]);
    let mut at = 0;
    while at < length {
        let count = (length - at).min(size as u64) as usize;
        a.read(at, &mut left[..count])?;
        b.read(at, &mut right[..count])?;
        if left[..count] != right[..count] {
            return Ok(false);
        }
        at += count as u64;
    }
    Ok(true)
}

fn distance(sides: [(&Aligned<'_>, &Bytes<'_>, Order); 2]) -> Result<Distance> {
    let tensor = sides[0].0.tensor;
    let width = tensor.row.0.max(1);
    let rows = tensor.elements() as usize / width;
    let some = (PIECE / 4 / width).max(1);
    let mut values = [Vec::new(), Vec::new()];
    let mut distance = Distance::default();
    for first in (0..rows).step_by(some) {
        let piece = first..rows.min(first + some);
        for ((aligned, bytes, order), values) in sides.iter().zip(&mut values) {
            read_values(aligned, bytes, *order, piece.clone(), values)?;
        }
        distance.add_values(&values[0], &values[1]);
    }
    Ok(distance)
}

/// The values of some rows in the order that is compared.
fn read_values(
    aligned: &Aligned<'_>,
    bytes: &Bytes<'_>,
    order: Order,
    rows: Range<usize>,
    values: &mut Vec<f32>,
) -> Result<()> {
    let (width, row_bytes) = aligned.tensor.row;
    let mut raw = vec![0; rows.len() * row_bytes];
    let mut row = rows.start;
    while row < rows.end {
        // Rows that lie together are read together.
        let from = order.source(row);
        let together = (row..rows.end).take_while(|next| order.source(*next) == from + next - row);
        let count = together.count();
        let at = (row - rows.start) * row_bytes;
        bytes.read((from * row_bytes) as u64, &mut raw[at..at + count * row_bytes])?;
        row += count;
    }
    values.clear();
    values.resize(rows.len() * width, 0.0);
    if let Some(format) = aligned.tensor.format {
        format.dequantize(&raw, values);
    }
    if aligned.offset != 0.0 {
        values.iter_mut().for_each(|x| *x += aligned.offset);
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
