//! The arithmetic of understory: profile `strict-1`, the same bits on every CPU.
//!
//! The specification is scalar Rust over f32 with fused multiply-add (see each operation's *Bits*
//! line); every instruction set, any number of threads and any batching give its bits:
//!
//! - An output of a matrix product is one chain of fused multiply-adds over the inner index in
//!   order, continued from the output when accumulating.
//! - A reduction along a row uses 16 lanes (lane = index mod 16) and the fold 8-4-2-1.
//! - Weight gradients are chains over tokens, so splitting a batch changes nothing.
//! - Elementary functions are those of [`math`]; random numbers those of [`random`].
//!
//! Matrices are row-major f32 slices. A [`Kernel`] holds the instruction set and the threads.
//! Operations panic when the lengths of slices disagree with the shapes, and for nothing else
//! but an index (token, target, position) out of range.

#![deny(missing_docs)]

mod activation;
mod attention;
mod bias;
mod conformance;
mod embed;
mod gemm;
mod integer;
mod isa;
mod kernel;
mod layer_norm;
mod loss;
pub mod math;
mod matrix;
mod memory;
mod norm;
mod optim;
mod philox;
mod pool;
mod quant;
pub mod random;
mod rotation;
mod scratch;
mod simd;

pub use activation::Activation;
pub use attention::{HeadShape, KvCache, Query, Scoring};
pub use conformance::{EXPECTED, conformance};
pub use integer::{LONGEST_SUM, Quantized, Rounding, Scales};
pub use isa::{Isa, IsaError};
pub use kernel::Kernel;
pub use matrix::{Activations, Format, Inputs, Matrix, Product};
pub use memory::prefer_large_pages;
pub use optim::{AdamW, power};
pub use rotation::Direction;
