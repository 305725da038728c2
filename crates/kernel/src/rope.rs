//! Rotary position embedding in the "rotate half" layout of Hugging Face. Source: Su et al. 2021.

use crate::attention::HeadShape;
use crate::kernel::Kernel;
use crate::math::{cos64, pow64, sin64};
use crate::scratch::Shared;
use crate::simd::{Simd, each_isa};

/// Sines and cosines for every position and frequency.
#[derive(Clone, Debug)]
pub struct RopeTable {
    half: usize,
    /// `[positions, half]`.
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl RopeTable {
    /// The table for heads of `head_dim` (even) and positions below `max_positions`.
    ///
    /// Bits: frequency `i` is `1 / theta^(2i / head_dim)`, power in f64 and rounded to f32 before
    /// the division; the angle is its f32 product with the position, as in `transformers`; sine
    /// and cosine of that angle are taken in f64 and rounded.
    /// Panics: if `head_dim` is odd.
    pub fn new(head_dim: usize, max_positions: usize, theta: f32) -> Self {
        assert!(head_dim.is_multiple_of(2), "rope: head_dim {head_dim} is odd");
        let half = head_dim / 2;
        let frequencies: Vec<f32> = (0..half)
            .map(|i| {
                let exponent = (2 * i) as f32 / head_dim as f32;
                1.0 / pow64(f64::from(theta), f64::from(exponent)) as f32
            })
            .collect();
        let angles = (0..max_positions).flat_map(|position| {
            frequencies.iter().map(move |frequency| f64::from(position as f32 * frequency))
        });
        let (cos, sin) = angles.map(|angle| (cos64(angle) as f32, sin64(angle) as f32)).unzip();
        RopeTable { half, cos, sin }
    }

    /// The number of positions in the table.
    pub fn positions(&self) -> usize {
        self.cos.len().checked_div(self.half).unwrap_or(0)
    }

    fn row(&self, position: u32) -> (&[f32], &[f32]) {
        let start = position as usize * self.half;
        let row = start..start + self.half;
        (&self.cos[row.clone()], &self.sin[row])
    }
}

impl Kernel {
    /// Rotates the query and key heads of each row by its position, in place.
    ///
    /// Shapes: `qkv` rows are `[q heads | k heads | v heads]`; `positions` one per row.
    /// Bits: `a' = fma(a, cos, −(b * sin))`, `b' = fma(b, cos, a * sin)`, for `a`, `b` a half apart.
    /// Panics: also for a position outside the table.
    pub fn rope(&self, qkv: &mut [f32], positions: &[u32], table: &RopeTable, s: &HeadShape) {
        self.rotate(qkv, positions, table, s, 1.0);
    }

    /// The gradient of [`Kernel::rope`], in place: the rotation the other way.
    pub fn rope_backward(
        &self,
        dqkv: &mut [f32],
        positions: &[u32],
        table: &RopeTable,
        s: &HeadShape,
    ) {
        self.rotate(dqkv, positions, table, s, -1.0);
    }

    /// Rotates the heads of each row by the cosines and sines of its position, in place.
    ///
    /// Shapes: `x` `[T, heads * head_dim]`; `turns` one for each row, `[2, dims / 2]`, cosines then
    /// sines; the first `dims` values of a head are turned.
    /// Bits: as [`Kernel::rope`], for `a`, `b` half of `dims` apart.
    pub fn turn(&self, x: &mut [f32], head_dim: usize, turns: &[&[f32]]) {
        let width = x.len() / turns.len().max(1);
        assert_eq!(x.len(), turns.len() * width, "turn: rows");
        assert!(head_dim > 0 && width.is_multiple_of(head_dim), "turn: heads");
        assert!(turns.iter().all(|t| t.len() <= head_dim && t.len() % 2 == 0), "turn: turns");
        let x = Shared::new(x);
        self.split(turns.len(), 1, 2 * width, |rows| {
            // SAFETY: runs of rows do not overlap.
            let x = unsafe { x.part(rows.start * width..rows.end * width) };
            for (row, turn) in x.chunks_exact_mut(width).zip(&turns[rows]) {
                turn_row(self.cpu, row, head_dim, turn);
            }
        });
    }

    fn rotate(
        &self,
        qkv: &mut [f32],
        positions: &[u32],
        table: &RopeTable,
        s: &HeadShape,
        sign: f32,
    ) {
        let width = s.row();
        assert_eq!(table.half * 2, s.head_dim, "rope: table");
        assert_eq!(qkv.len(), positions.len() * width, "rope: qkv");
        let heads = s.heads + s.kv_heads;
        let qkv = Shared::new(qkv);
        self.split(positions.len(), 1, heads * s.head_dim, |rows| {
            // SAFETY: runs of rows do not overlap.
            let qkv = unsafe { qkv.part(rows.start * width..rows.end * width) };
            for (row, &position) in qkv.chunks_exact_mut(width).zip(&positions[rows]) {
                let (cos, sin) = table.row(position);
                rotate(self.cpu, &mut row[..heads * s.head_dim], cos, sin, sign);
            }
        });
    }
}

each_isa! {
    fn turn_row(row: &mut [f32], head_dim: usize, turn: &[f32]) = turn_row_body;
    fn rotate(heads: &mut [f32], cos: &[f32], sin: &[f32], sign: f32) = rotate_body;
}

#[inline(always)]
fn turn_row_body<S: Simd>(row: &mut [f32], head_dim: usize, turn: &[f32]) {
    let (cos, sin) = turn.split_at(turn.len() / 2);
    for head in row.chunks_exact_mut(head_dim) {
        rotate_body::<S>(&mut head[..turn.len()], cos, sin, 1.0);
    }
}

#[inline(always)]
fn rotate_body<S: Simd>(heads: &mut [f32], cos: &[f32], sin: &[f32], sign: f32) {
    for head in heads.chunks_exact_mut(2 * cos.len()) {
        let (first, second) = head.split_at_mut(cos.len());
        for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
            let sin = sin * sign;
            let turned = S::fma(*a, *cos, -(*b * sin));
            *b = S::fma(*b, *cos, *a * sin);
            *a = turned;
        }
    }
}
