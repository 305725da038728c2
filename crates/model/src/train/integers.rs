//! Profile `strict-i8`: the products of linear layers over 8-bit integers.
//!
//! A linear layer has three products, and each of its matrices is rounded once for each that it is
//! in, with a scale for each line that the product does not sum over:
//!
//! | Product | summed over | scales, rounding |
//! |---|---|---|
//! | `y = x · wᵀ` | inputs | rows of `x` and of `w`, nearest |
//! | `dx = dy · w` | outputs | rows of `dy`, by chance; columns of `w`, nearest |
//! | `dw = dyᵀ · x` | tokens of a unit | columns of `dy`, by chance; of `x`, nearest |
//!
//! Rounding gradients to nearest would lose all that is small beside the largest of its line, step
//! after step; by chance, the mean stays right.

use std::cell::RefCell;
use std::collections::BTreeMap;

use kernel::random::Stream;
use kernel::{Kernel, Quantized, Rounding, Scales};

use super::slice;
use crate::layout::{Layout, Linear};

/// Tokens of a unit, about: sums over tokens, and the scales that they need, end with a unit.
const UNIT: usize = 512;

/// Sequences of `seq` tokens that make up a unit. Micro-batches are whole units.
pub(super) fn unit(seq: usize) -> usize {
    (UNIT / seq).max(1)
}

/// The weights of a step as integers, and room for what they are multiplied with.
#[derive(Default)]
pub(super) struct Integers {
    /// By where they start in the parameters: with scales for rows, and for columns.
    weights: BTreeMap<usize, [Quantized; 2]>,
    room: RefCell<[Quantized; 2]>,
    noise: u64,
}

impl Integers {
    /// Rounds the weights of all linear layers, those of the backward pass too if there is `noise`,
    /// which decides how its gradients are rounded.
    pub fn load(&mut self, kernel: &Kernel, layout: &Layout, params: &[f32], noise: Option<u64>) {
        self.noise = noise.unwrap_or_default();
        for linear in layout.linears() {
            let [rows, columns] = self.weights.entry(linear.weight.start).or_default();
            let w = &params[linear.weight.clone()];
            kernel.quantize(rows, w, linear.columns, Scales::Rows, Rounding::Nearest);
            if noise.is_some() {
                kernel.quantize(columns, w, linear.columns, Scales::Columns, Rounding::Nearest);
            }
        }
    }

    /// `y = x · wᵀ`, added to `y` if `accumulate`. Shapes: `x` `[M, columns]`, `y` `[M, rows]`.
    pub fn forward(
        &self,
        kernel: &Kernel,
        linear: &Linear,
        y: &mut [f32],
        x: &[f32],
        accumulate: bool,
    ) {
        let [rows, _] = &mut *self.room.borrow_mut();
        kernel.quantize(rows, x, linear.columns, Scales::Rows, Rounding::Nearest);
        kernel.integer_product(y, rows, &self.weights[&linear.weight.start][0], accumulate);
    }

    /// `dx = dy · w`, added to `dx` if `accumulate`. Shapes: `dx` `[M, columns]`, `dy` `[M, rows]`;
    /// `first` is the number of the first token in the step.
    pub fn backward_input(
        &self,
        kernel: &Kernel,
        linear: &Linear,
        dx: &mut [f32],
        dy: &[f32],
        accumulate: bool,
        first: usize,
    ) {
        let [rows, _] = &mut *self.room.borrow_mut();
        let stream = self.stream(linear, "input gradient");
        let chance = Rounding::Stochastic { stream: &stream, first: first as u64 };
        kernel.quantize(rows, dy, linear.rows, Scales::Rows, chance);
        kernel.integer_product(dx, rows, &self.weights[&linear.weight.start][1], accumulate);
    }

    /// Adds `dyᵀ · x` to the weight's gradient, unit by unit. Shapes as in
    /// [`Integers::backward_input`]; `unit` is the length of a unit in tokens.
    pub fn backward_weight(
        &self,
        kernel: &Kernel,
        linear: &Linear,
        grads: &mut [f32],
        dy: &[f32],
        x: &[f32],
        first: usize,
        unit: usize,
    ) {
        let [left, right] = &mut *self.room.borrow_mut();
        let stream = self.stream(linear, "weight gradient");
        let dw = slice(grads, &linear.weight);
        let units = dy.chunks(unit * linear.rows).zip(x.chunks(unit * linear.columns));
        for (index, (dy, x)) in units.enumerate() {
            let first = (first + index * unit) as u64;
            let chance = Rounding::Stochastic { stream: &stream, first };
            kernel.quantize(left, dy, linear.rows, Scales::Columns, chance);
            kernel.quantize(right, x, linear.columns, Scales::Columns, Rounding::Nearest);
            kernel.integer_product(dw, left, right, true);
        }
    }

    /// What decides how the gradient of a linear layer's output is rounded for one product.
    fn stream(&self, linear: &Linear, product: &str) -> Stream {
        Stream::new(self.noise, product, linear.weight.start as u64)
    }
}
