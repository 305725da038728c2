//! Loss and gradient of a batch of token sequences.
//!
//! [`Trainer`] holds the workspace. A batch is worked through a few sequences at a time (a
//! *micro-batch*), so that activations stay small. Every weight gradient is one chain of fused
//! multiply-adds over all tokens of the batch in order, so the split changes no bit.
//!
//! Shapes in words: a batch has `B` sequences of `T` tokens; `M` is the number of tokens of a
//! micro-batch; `C` is the width of the residual stream, `Q` of all query heads, `KV` of all key
//! heads, `F` of the feed-forward layer; `V` is the vocabulary.

mod attention;
mod block;
mod branch;
mod feed_forward;
mod head;
mod integers;
mod linear;
#[cfg(test)]
mod tests;

use kernel::Kernel;
use serde::{Deserialize, Serialize};

use crate::decoder::RotaryTable;
use crate::{Decoder, DecoderError, Layout};
use block::BlockActs;
use head::HeadBuffers;
use integers::Integers;

/// Why a loss or gradient could not be computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// A slice that does not fit the stated shape.
    #[error("training batch: {what} has {found} elements, needs {expected}")]
    Length {
        /// Which slice.
        what: &'static str,
        /// What was passed.
        found: usize,
        /// What the shape asks for.
        expected: usize,
    },
    /// No tokens, or more of them than the context.
    #[error("training batch: {batch} sequences of {seq} tokens, context is {context}")]
    Shape {
        /// Number of sequences.
        batch: usize,
        /// Tokens in each.
        seq: usize,
        /// The model's context.
        context: usize,
    },
    /// A token id outside the vocabulary.
    #[error("training batch: token {token} at index {index}, vocabulary is {vocab}")]
    Token {
        /// Where in the batch.
        index: usize,
        /// The id.
        token: u32,
        /// The vocabulary.
        vocab: usize,
    },
    /// Gradients are rounded by chance, and nothing was said of what decides it.
    #[error("training in integers: each gradient needs noise of its own")]
    NoNoise,
    /// A loss that is infinite or not a number: the parameters are no use any more.
    #[error("loss of sequence {sequence} is not finite ({value})")]
    NonFiniteLoss {
        /// First sequence of the micro-batch in which it appeared.
        sequence: usize,
        /// The sum.
        value: f64,
    },
}

/// How the products of linear layers are computed; all else is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Arithmetic {
    /// Chains of fused multiply-adds in f32.
    #[default]
    #[serde(rename = "strict-1")]
    Strict1,
    /// Exact sums of products of 8-bit integers.
    #[serde(rename = "strict-i8")]
    StrictI8,
}

impl Arithmetic {
    /// All there are.
    pub const ALL: [Arithmetic; 2] = [Arithmetic::Strict1, Arithmetic::StrictI8];

    /// Its name in manifests, settings and flags.
    pub fn name(self) -> &'static str {
        match self {
            Arithmetic::Strict1 => "strict-1",
            Arithmetic::StrictI8 => "strict-i8",
        }
    }
}

impl std::fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The workspace of forward and backward passes for one model, of any family.
///
/// The forward pass in floats computes the bits of [`crate::Model::step`] and keeps what the backward pass
/// needs. Buffers are planned on first use and reused; they grow when a longer sequence or a larger
/// micro-batch comes.
pub struct Trainer {
    decoder: Decoder,
    layout: Layout,
    rotaries: Vec<RotaryTable>,
    slopes: Option<Vec<f32>>,
    micro: Option<usize>,
    /// Of a trainer in integers.
    integers: Option<Integers>,
    noise: Option<u64>,
    buffers: Buffers,
}

/// Everything a micro-batch of `M` tokens needs.
#[derive(Default)]
struct Buffers {
    tokens: usize,
    blocks: usize,
    inputs: Vec<u32>,
    targets: Vec<u32>,
    /// Residual stream before each block and after the last: `blocks + 1` times `[M, C]`.
    residual: Vec<Vec<f32>>,
    /// Index of the residual buffer after the last block, for the head.
    last: usize,
    acts: Vec<BlockActs>,
    head: HeadBuffers,
    /// Gradient of the residual stream, `[M, C]`.
    d_residual: Vec<f32>,
    scratch: Scratch,
    /// Gradient of the embedding rows of a tied model, `[V, C]`: kept apart from the head's
    /// gradient and added once at the end, else a micro-batch split would interleave two chains.
    d_embedding: Vec<f32>,
}

/// Room for the backward pass.
#[derive(Default)]
struct Scratch {
    /// `[M, C]`.
    norm: Vec<f32>,
    /// `[M, max(F, Q)]`.
    inner: Vec<f32>,
    /// `[M, max(2F, Q + 2KV)]`.
    wide: Vec<f32>,
}

/// A micro-batch.
#[derive(Clone, Copy)]
struct Loaded {
    /// Its tokens, and those of each sequence.
    count: usize,
    seq: usize,
    /// Tokens of the step before it.
    first: usize,
}

/// What every piece of a pass needs to know.
struct Pass<'a> {
    kernel: &'a Kernel,
    decoder: &'a Decoder,
    params: &'a [f32],
    /// Tokens of the micro-batch, `M`, and of each sequence.
    count: usize,
    seq: usize,
    /// Where products are computed in integers.
    integers: Option<&'a Integers>,
    /// Number of the first token in the step, and tokens of a unit.
    first: usize,
    unit: usize,
    /// For each kind of rotary positions the angles of each token.
    angles: Vec<Vec<&'a [f32]>>,
    /// ALiBi's slopes.
    slopes: Option<&'a [f32]>,
}

impl Trainer {
    /// A trainer for models of this description.
    pub fn new(decoder: &Decoder) -> Result<Trainer, DecoderError> {
        let layout = Layout::new(decoder)?;
        Ok(Trainer {
            layout,
            rotaries: decoder.rotary_tables(),
            slopes: decoder.alibi_slopes(),
            decoder: decoder.clone(),
            micro: None,
            integers: None,
            noise: None,
            buffers: Buffers::default(),
        })
    }

    /// Works through `sequences` at a time instead of the default of about [`MICRO_TOKENS`] tokens.
    /// Changes speed and memory, no bit.
    pub fn with_micro(mut self, sequences: usize) -> Trainer {
        self.micro = Some(sequences.max(1));
        self
    }

    /// Computes the products of linear layers so instead of in `strict-1`.
    pub fn with_arithmetic(mut self, arithmetic: Arithmetic) -> Trainer {
        self.integers = match arithmetic {
            Arithmetic::Strict1 => None,
            Arithmetic::StrictI8 => Some(Integers::default()),
        };
        self
    }

    /// Says how the next gradient is rounded, where it is: each step of each worker has a seed of
    /// its own.
    pub fn set_noise(&mut self, seed: u64) {
        self.noise = Some(seed);
    }

    /// What the model computes.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Where the tensors lie in parameters and gradients.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Sum of the losses in nats over all `batch · seq` predictions; `grads` is overwritten with
    /// the gradient of their mean.
    ///
    /// Shapes: `tokens` `[B, T + 1]`, each row predicts its own next tokens; `params`, `grads` as
    /// in [`Layout`]. After an error `grads` holds nothing of use.
    pub fn loss_and_gradient(
        &mut self,
        kernel: &Kernel,
        params: &[f32],
        tokens: &[u32],
        batch: usize,
        seq: usize,
        grads: &mut [f32],
    ) -> Result<f64, TrainError> {
        self.check(params, tokens, batch, seq, 1)?;
        length("grads", grads.len(), self.layout.len())?;
        let micro = self.micro_batch(batch, seq);
        if let Some(integers) = &mut self.integers {
            let noise = self.noise.take().ok_or(TrainError::NoNoise)?;
            integers.load(kernel, &self.layout, params, Some(noise));
        }
        self.plan(micro * seq, true);
        grads.fill(0.0);
        self.buffers.d_embedding.fill(0.0);
        let scale = 1.0 / (batch * seq) as f32;
        let mut sum = 0.0;
        for (index, rows) in tokens.chunks(micro * (seq + 1)).enumerate() {
            let count = self.load(rows, seq);
            let batch = Loaded { count, seq, first: index * micro * seq };
            self.forward(kernel, params, batch, true);
            self.head_backward(kernel, params, grads, batch, scale, &mut sum);
            finite(sum, index * micro)?;
            self.backward(kernel, params, grads, batch);
        }
        if self.decoder.tied {
            let range = self.layout.embedding();
            kernel.add_scaled(&mut grads[range], 1.0, &self.buffers.d_embedding);
        }
        Ok(sum)
    }

    /// Sum of the losses in nats over all `batch · seq` predictions, forward only.
    ///
    /// Shapes: `tokens` `[B, T + 1]`. Needs a fraction of the memory of a training step. Divide
    /// by ln 2 and by the bytes that the predicted tokens stand for to get bits per byte.
    pub fn loss(
        &mut self,
        kernel: &Kernel,
        params: &[f32],
        tokens: &[u32],
        batch: usize,
        seq: usize,
    ) -> Result<f64, TrainError> {
        self.check(params, tokens, batch, seq, 1)?;
        let micro = self.micro_batch(batch, seq);
        self.load_weights(kernel, params);
        self.plan(micro * seq, false);
        let mut sum = 0.0;
        for (index, rows) in tokens.chunks(micro * (seq + 1)).enumerate() {
            let count = self.load(rows, seq);
            let batch = Loaded { count, seq, first: index * micro * seq };
            self.forward(kernel, params, batch, false);
            self.head_loss(kernel, params, batch, &mut sum);
            finite(sum, index * micro)?;
        }
        Ok(sum)
    }

    /// The logits of every position, `[B · T, V]`; `tokens` is `[B, T]`.
    pub fn logits(
        &mut self,
        kernel: &Kernel,
        params: &[f32],
        tokens: &[u32],
        batch: usize,
        seq: usize,
    ) -> Result<Vec<f32>, TrainError> {
        self.check(params, tokens, batch, seq, 0)?;
        self.load_weights(kernel, params);
        self.plan(seq, false);
        let mut logits = vec![0.0; batch * seq * self.decoder.vocab];
        for (row, out) in tokens.chunks(seq).zip(logits.chunks_mut(seq * self.decoder.vocab)) {
            self.buffers.inputs[..seq].copy_from_slice(row);
            let row = Loaded { count: seq, seq, first: 0 };
            self.forward(kernel, params, row, false);
            self.head_logits(kernel, params, row, out);
        }
        Ok(logits)
    }

    /// Embedding and all blocks over the `count` loaded tokens. With `keep`, what the backward
    /// pass needs is kept for every block; without, two residual buffers and one block's worth
    /// of activations are used in turn.
    fn forward(&mut self, kernel: &Kernel, params: &[f32], batch: Loaded, keep: bool) {
        let Trainer { decoder, layout, rotaries, slopes, integers, buffers: b, .. } = self;
        let pass = Pass::new(kernel, decoder, params, rotaries, slopes, integers, batch);
        let size = batch.count * decoder.dim;
        let x = &mut b.residual[0][..size];
        kernel.embed(x, &params[layout.embedding()], &b.inputs[..batch.count], decoder.dim);
        if decoder.embedding_scale != 1.0 {
            kernel.scale(x, decoder.embedding_scale);
        }
        for (layer, block) in layout.blocks().iter().enumerate() {
            let slot = if keep { layer } else { 0 };
            let (before, after) = b.residual.split_at_mut(slot + 1);
            let (x, out) = (&before[slot][..size], &mut after[0][..size]);
            block::forward(&pass, layer, block, x, &mut b.acts[slot], out);
            if !keep {
                b.residual.swap(0, 1);
            }
        }
        b.last = if keep { layout.blocks().len() } else { 0 };
    }

    /// From the gradient of the residual stream after the last block down to the embedding.
    fn backward(&mut self, kernel: &Kernel, params: &[f32], grads: &mut [f32], batch: Loaded) {
        let Trainer { decoder, layout, rotaries, slopes, integers, buffers: b, .. } = self;
        let pass = Pass::new(kernel, decoder, params, rotaries, slopes, integers, batch);
        let size = batch.count * decoder.dim;
        let d_x = &mut b.d_residual[..size];
        for (layer, block) in layout.blocks().iter().enumerate().rev() {
            let (x, acts) = (&b.residual[layer][..size], &b.acts[layer]);
            block::backward(&pass, grads, layer, block, x, acts, d_x, &mut b.scratch);
        }
        if decoder.embedding_scale != 1.0 {
            kernel.scale(d_x, decoder.embedding_scale);
        }
        let d_table = match decoder.tied {
            true => &mut b.d_embedding,
            false => &mut grads[layout.embedding()],
        };
        kernel.embed_backward(d_table, d_x, &b.inputs[..batch.count], decoder.dim);
    }

    /// Splits rows of `T + 1` tokens into inputs and targets; returns the number of inputs.
    fn load(&mut self, rows: &[u32], seq: usize) -> usize {
        let b = &mut self.buffers;
        for (i, row) in rows.chunks(seq + 1).enumerate() {
            b.inputs[i * seq..(i + 1) * seq].copy_from_slice(&row[..seq]);
            b.targets[i * seq..(i + 1) * seq].copy_from_slice(&row[1..]);
        }
        rows.len() / (seq + 1) * seq
    }

    /// Sequences of a micro-batch: whole units where the arithmetic has some.
    fn micro_batch(&self, batch: usize, seq: usize) -> usize {
        let unit = if self.integers.is_some() { integers::unit(seq) } else { 1 };
        let micro = self.micro.unwrap_or((MICRO_TOKENS / seq).max(1));
        micro.next_multiple_of(unit).min(batch)
    }

    /// Readies the weights for forward passes alone.
    fn load_weights(&mut self, kernel: &Kernel, params: &[f32]) {
        if let Some(integers) = &mut self.integers {
            integers.load(kernel, &self.layout, params, None);
        }
    }

    fn check(
        &self,
        params: &[f32],
        tokens: &[u32],
        batch: usize,
        seq: usize,
        extra: usize,
    ) -> Result<(), TrainError> {
        let context = self.decoder.context;
        if batch == 0 || seq == 0 || seq > context {
            return Err(TrainError::Shape { batch, seq, context });
        }
        let expected = batch.checked_mul(seq + extra);
        let expected = expected.ok_or(TrainError::Shape { batch, seq, context })?;
        length("params", params.len(), self.layout.len())?;
        length("tokens", tokens.len(), expected)?;
        let vocab = self.decoder.vocab;
        match tokens.iter().position(|&token| token as usize >= vocab) {
            Some(index) => Err(TrainError::Token { index, token: tokens[index], vocab }),
            None => Ok(()),
        }
    }

    /// Makes every buffer large enough for `count` tokens, with or without the backward pass.
    fn plan(&mut self, count: usize, backward: bool) {
        let (d, b) = (&self.decoder, &mut self.buffers);
        let count = count.max(b.tokens);
        let blocks = if backward { d.layers.len() } else { 1 }.max(b.blocks);
        if count != b.tokens || blocks != b.blocks {
            // Drop the old buffers first: they need not live beside the new ones.
            *b = Buffers { tokens: count, blocks, ..Buffers::default() };
            b.inputs = vec![0; count];
            b.targets = vec![0; count];
            b.residual = (0..=blocks).map(|_| vec![0.0; count * d.dim]).collect();
            b.acts = (0..blocks).map(|_| BlockActs::new(d, count)).collect();
        }
        b.head.plan(d, count);
        if backward && b.d_residual.is_empty() {
            b.d_residual = vec![0.0; count * d.dim];
            b.scratch = Scratch {
                norm: vec![0.0; count * d.dim],
                inner: vec![0.0; count * d.ffn.max(d.q_dim())],
                wide: vec![0.0; count * feed_forward::up_dim(d).max(d.qkv_dim())],
            };
            b.d_embedding = vec![0.0; if d.tied { d.vocab * d.dim } else { 0 }];
        }
    }
}

impl<'a> Pass<'a> {
    fn new(
        kernel: &'a Kernel,
        decoder: &'a Decoder,
        params: &'a [f32],
        rotaries: &'a [RotaryTable],
        slopes: &'a Option<Vec<f32>>,
        integers: &'a Option<Integers>,
        Loaded { count, seq, first }: Loaded,
    ) -> Pass<'a> {
        let of_kind = |table: &'a RotaryTable| (0..count).map(|i| table.row(i % seq)).collect();
        let angles = rotaries.iter().map(of_kind).collect();
        let (integers, slopes) = (integers.as_ref(), slopes.as_deref());
        let unit = integers::unit(seq) * seq;
        Pass { kernel, decoder, params, count, seq, integers, first, unit, angles, slopes }
    }
}

/// The gradient at `range`.
fn slice<'a>(grads: &'a mut [f32], range: &std::ops::Range<usize>) -> &'a mut [f32] {
    &mut grads[range.clone()]
}

fn length(what: &'static str, found: usize, expected: usize) -> Result<(), TrainError> {
    if found == expected { Ok(()) } else { Err(TrainError::Length { what, found, expected }) }
}

fn finite(value: f64, sequence: usize) -> Result<(), TrainError> {
    if value.is_finite() { Ok(()) } else { Err(TrainError::NonFiniteLoss { sequence, value }) }
}

/// Tokens of a default micro-batch.
pub const MICRO_TOKENS: usize = 512;
