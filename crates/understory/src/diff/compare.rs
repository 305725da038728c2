//! How far two tensors are apart, read piece by piece.

use super::names::Aligned;
use crate::inspect::{Bytes, Opened, Tensor};
use anyhow::Result;

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
    let alike = left.element == right.element
        && a.1.paired_heads == b.1.paired_heads
        && a.1.offset == b.1.offset;
    if alike && same_bytes(left.bytes, &a_bytes, &b_bytes)? {
        return Ok(Compared::Identical);
    }
    if left.format.is_none() || right.format.is_none() {
        return Ok(Compared::Types);
    }
    let pairs = [(left, &a_bytes, a.1), (right, &b_bytes, b.1)];
    distance(pairs, a.1.paired_heads != b.1.paired_heads).map(Compared::Distance)
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

fn distance(pairs: [(&Tensor, &Bytes<'_>, &Aligned<'_>); 2], reorder: bool) -> Result<Distance> {
    let shape = &pairs[0].0.shape;
    let width = pairs[0].0.row.0;
    let rows = pairs[0].0.elements() as usize / width.max(1);
    // Rows are put in order a head at a time, so pieces are whole heads.
    let heads = pairs.iter().find_map(|(_, _, aligned)| aligned.paired_heads).filter(|_| reorder);
    let unit = match heads {
        Some(heads) if shape[0].is_multiple_of(2 * heads) => shape[0] / heads,
        _ => 1,
    };
    let some = (PIECE / 4 / width.max(1) / unit).max(1) * unit;
    let mut values = [Vec::new(), Vec::new()];
    let mut distance = Distance::default();
    for first in (0..rows).step_by(some) {
        let count = some.min(rows - first);
        for ((tensor, bytes, aligned), values) in pairs.iter().zip(&mut values) {
            read_values(tensor, bytes, first, count, values)?;
            if reorder && aligned.paired_heads.is_some() && unit > 1 {
                *values = to_halves(values, unit, width);
            }
            values.iter_mut().for_each(|x| *x += aligned.offset);
        }
        distance.add_values(&values[0], &values[1]);
    }
    Ok(distance)
}

fn read_values(
    tensor: &Tensor,
    bytes: &Bytes<'_>,
    first: usize,
    count: usize,
    values: &mut Vec<f32>,
) -> Result<()> {
    let (width, row_bytes) = tensor.row;
    let mut raw = vec![0; count * row_bytes];
    bytes.read((first * row_bytes) as u64, &mut raw)?;
    values.clear();
    values.resize(count * width, 0.0);
    if let Some(format) = tensor.format {
        format.dequantize(&raw, values);
    }
    Ok(())
}

/// Rows of each head from neighbouring pairs to two halves.
fn to_halves(values: &[f32], head: usize, width: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len());
    for row in 0..values.len() / width {
        let (start, row) = (row / head * head, row % head);
        let from = start + row % (head / 2) * 2 + row / (head / 2);
        out.extend_from_slice(&values[from * width..(from + 1) * width]);
    }
    out
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

    #[test]
    fn rows_of_pairs_become_halves() {
        // Two heads of four rows: pairs (0,2), (1,3) lie side by side.
        let pairs = [0.0, 2.0, 1.0, 3.0, 10.0, 12.0, 11.0, 13.0];
        assert_eq!(to_halves(&pairs, 4, 1), [0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0]);
    }
}
