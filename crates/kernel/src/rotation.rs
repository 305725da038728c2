//! Rotary position embedding in the "rotate half" layout of Hugging Face. Source: Su et al. 2021.

use crate::kernel::Kernel;
use crate::scratch::Shared;
use crate::simd::{Simd, each_isa};

/// Which way a rotation goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// By the angles.
    Forward,
    /// Back by them, which is also the gradient of the rotation forward.
    Backward,
}

impl Kernel {
    /// Rotates the first `heads` heads of each row by the angles of its position, in place.
    ///
    /// Shapes: `x` `[T, row]` with `row` at least `heads * head_dim`; `angles` one for each row,
    /// `[2, dims / 2]`, cosines then sines; the first `dims` values of a head are rotated.
    /// Bits: `a' = fma(a, cos, −(b * sin))`, `b' = fma(b, cos, a * sin)`, for `a`, `b` half of
    /// `dims` apart; sines negated where the direction is backward.
    pub fn rotate(
        &self,
        x: &mut [f32],
        heads: usize,
        head_dim: usize,
        angles: &[&[f32]],
        direction: Direction,
    ) {
        let row = x.len() / angles.len().max(1);
        let width = heads * head_dim;
        assert_eq!(x.len(), angles.len() * row, "rotate: rows");
        assert!(head_dim > 0 && width <= row, "rotate: heads");
        assert!(angles.iter().all(|a| a.len() <= head_dim && a.len() % 2 == 0), "rotate: angles");
        let sign = match direction {
            Direction::Forward => 1.0,
            Direction::Backward => -1.0,
        };
        let x = Shared::new(x);
        self.split(angles.len(), 1, width, |rows| {
            // SAFETY: runs of rows do not overlap.
            let x = unsafe { x.part(rows.start * row..rows.end * row) };
            for (x, angles) in x.chunks_exact_mut(row).zip(&angles[rows]) {
                rotate_row(self.cpu, &mut x[..width], head_dim, angles, sign);
            }
        });
    }
}

each_isa! {
    fn rotate_row(x: &mut [f32], head_dim: usize, angles: &[f32], sign: f32) = rotate_row_body;
}

#[inline(always)]
fn rotate_row_body<S: Simd>(x: &mut [f32], head_dim: usize, angles: &[f32], sign: f32) {
    let (cosines, sines) = angles.split_at(angles.len() / 2);
    for head in x.chunks_exact_mut(head_dim) {
        let (first, second) = head[..angles.len()].split_at_mut(cosines.len());
        for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cosines).zip(sines) {
            let sin = sin * sign;
            let turned = S::fma(*a, *cos, -(*b * sin));
            *b = S::fma(*b, *cos, *a * sin);
            *a = turned;
        }
    }
}
