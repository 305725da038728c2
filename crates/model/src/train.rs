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
mod feed_forward;
mod head;
#[cfg(test)]
mod tests;

use kernel::{HeadShape, Kernel, RopeTable};

use crate::{Config, ConfigError, Layout};
use attention::AttentionActs;
use feed_forward::FeedForwardActs;
use head::HeadBuffers;

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
    /// A loss that is infinite or not a number: the parameters are no use any more.
    #[error("loss of sequence {sequence} is not finite ({value})")]
    NonFiniteLoss {
        /// First sequence of the micro-batch in which it appeared.
        sequence: usize,
        /// The sum.
        value: f64,
    },
}

/// The workspace of forward and backward passes for one model shape.
///
/// Buffers are planned on first use and reused; they grow when a longer sequence or a larger
/// micro-batch comes.
pub struct Trainer {
    config: Config,
    layout: Layout,
    shape: HeadShape,
    rope: RopeTable,
    micro: Option<usize>,
    buffers: Buffers,
}

/// Everything a micro-batch of `M` tokens needs.
#[derive(Default)]
struct Buffers {
    tokens: usize,
    blocks: usize,
    inputs: Vec<u32>,
    targets: Vec<u32>,
    positions: Vec<u32>,
    /// Residual stream before each block and after the last: `blocks + 1` times `[M, C]`.
    residual: Vec<Vec<f32>>,
    /// Index of the residual buffer after the last block, for the head.
    last: usize,
    attention: Vec<AttentionActs>,
    feed_forward: Vec<FeedForwardActs>,
    head: HeadBuffers,
    /// Gradient of the residual stream, `[M, C]`.
    d_residual: Vec<f32>,
    /// Scratch for the backward pass: `[M, C]` and `[M, max(F, Q)]` and `[M, max(2F, Q + 2KV)]`.
    d_norm: Vec<f32>,
    d_inner: Vec<f32>,
    d_wide: Vec<f32>,
    /// Gradient of the embedding rows of a tied model, `[V, C]`: kept apart from the head's
    /// gradient and added once at the end, else a micro-batch split would interleave two chains.
    d_embedding: Vec<f32>,
}

impl Trainer {
    /// A trainer for models of this shape.
    pub fn new(config: &Config) -> Result<Trainer, ConfigError> {
        let layout = Layout::new(config)?;
        Ok(Trainer {
            config: config.clone(),
            layout,
            shape: config.head_shape(),
            rope: RopeTable::new(config.head_dim, config.context, config.rope_theta),
            micro: None,
            buffers: Buffers::default(),
        })
    }

    /// Works through `sequences` at a time instead of the default of about [`MICRO_TOKENS`] tokens.
    /// Changes speed and memory, no bit.
    pub fn with_micro(mut self, sequences: usize) -> Trainer {
        self.micro = Some(sequences.max(1));
        self
    }

    /// The model's shape.
    pub fn config(&self) -> &Config {
        &self.config
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
        self.plan(micro * seq, true);
        grads.fill(0.0);
        self.buffers.d_embedding.fill(0.0);
        let scale = 1.0 / (batch * seq) as f32;
        let mut sum = 0.0;
        for (index, rows) in tokens.chunks(micro * (seq + 1)).enumerate() {
            let count = self.load(rows, seq);
            self.forward(kernel, params, count, seq, true);
            self.head_backward(kernel, params, grads, count, scale, &mut sum);
            finite(sum, index * micro)?;
            self.backward(kernel, params, grads, count, seq);
        }
        if self.config.tied {
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
        self.plan(micro * seq, false);
        let mut sum = 0.0;
        for (index, rows) in tokens.chunks(micro * (seq + 1)).enumerate() {
            let count = self.load(rows, seq);
            self.forward(kernel, params, count, seq, false);
            self.head_loss(kernel, params, count, &mut sum);
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
        self.plan(seq, false);
        let mut logits = vec![0.0; batch * seq * self.config.vocab];
        for (row, out) in tokens.chunks(seq).zip(logits.chunks_mut(seq * self.config.vocab)) {
            self.buffers.inputs[..seq].copy_from_slice(row);
            self.forward(kernel, params, seq, seq, false);
            self.head_logits(kernel, params, seq, out);
        }
        Ok(logits)
    }

    /// Embedding and all blocks over the `count` loaded tokens. With `keep`, what the backward
    /// pass needs is kept for every block; without, two residual buffers and one block's worth
    /// of activations are used in turn.
    fn forward(&mut self, kernel: &Kernel, params: &[f32], count: usize, seq: usize, keep: bool) {
        let b = &mut self.buffers;
        let c = self.config.dim;
        for (i, position) in b.positions[..count].iter_mut().enumerate() {
            *position = (i % seq) as u32;
        }
        let table = &params[self.layout.embedding()];
        kernel.embed(&mut b.residual[0][..count * c], table, &b.inputs[..count], c);
        for (layer, block) in self.layout.blocks().iter().enumerate() {
            let slot = if keep { layer } else { 0 };
            let (before, after) = b.residual.split_at_mut(slot + 1);
            let (x, out) = (&mut before[slot][..count * c], &mut after[0][..count * c]);
            let acts = &mut b.attention[slot];
            let setting = attention::Setting {
                config: &self.config,
                shape: &self.shape,
                rope: &self.rope,
                positions: &b.positions[..count],
                seq,
            };
            attention::forward(kernel, params, block, &setting, x, acts);
            feed_forward::forward(
                kernel,
                params,
                block,
                &self.config,
                &acts.out[..count * c],
                &mut b.feed_forward[slot],
                out,
            );
            if !keep {
                b.residual.swap(0, 1);
            }
        }
        b.last = if keep { self.layout.blocks().len() } else { 0 };
    }

    /// From the gradient of the residual stream after the last block down to the embedding.
    fn backward(
        &mut self,
        kernel: &Kernel,
        params: &[f32],
        grads: &mut [f32],
        count: usize,
        seq: usize,
    ) {
        let b = &mut self.buffers;
        let c = self.config.dim;
        let d_x = &mut b.d_residual[..count * c];
        for (layer, block) in self.layout.blocks().iter().enumerate().rev() {
            let scratch = Scratch {
                norm: &mut b.d_norm[..count * c],
                inner: &mut b.d_inner,
                wide: &mut b.d_wide,
            };
            let acts = &b.attention[layer];
            let mid = &acts.out[..count * c];
            let ff = &b.feed_forward[layer];
            feed_forward::backward(
                kernel,
                params,
                grads,
                block,
                &self.config,
                mid,
                ff,
                d_x,
                scratch,
            );
            let scratch = Scratch {
                norm: &mut b.d_norm[..count * c],
                inner: &mut b.d_inner,
                wide: &mut b.d_wide,
            };
            let setting = attention::Setting {
                config: &self.config,
                shape: &self.shape,
                rope: &self.rope,
                positions: &b.positions[..count],
                seq,
            };
            let x = &b.residual[layer][..count * c];
            attention::backward(kernel, params, grads, block, &setting, x, acts, d_x, scratch);
        }
        let tokens = &b.inputs[..count];
        if self.config.tied {
            kernel.embed_backward(&mut b.d_embedding, d_x, tokens, c);
        } else {
            kernel.embed_backward(&mut grads[self.layout.embedding()], d_x, tokens, c);
        }
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

    fn micro_batch(&self, batch: usize, seq: usize) -> usize {
        self.micro.unwrap_or((MICRO_TOKENS / seq).max(1)).min(batch)
    }

    fn check(
        &self,
        params: &[f32],
        tokens: &[u32],
        batch: usize,
        seq: usize,
        extra: usize,
    ) -> Result<(), TrainError> {
        let context = self.config.context;
        if batch == 0 || seq == 0 || seq > context {
            return Err(TrainError::Shape { batch, seq, context });
        }
        let expected = batch.checked_mul(seq + extra);
        let expected = expected.ok_or(TrainError::Shape { batch, seq, context })?;
        length("params", params.len(), self.layout.len())?;
        length("tokens", tokens.len(), expected)?;
        let vocab = self.config.vocab;
        match tokens.iter().position(|&token| token as usize >= vocab) {
            Some(index) => Err(TrainError::Token { index, token: tokens[index], vocab }),
            None => Ok(()),
        }
    }

    /// Makes every buffer large enough for `count` tokens, with or without the backward pass.
    fn plan(&mut self, count: usize, backward: bool) {
        let config = &self.config;
        let b = &mut self.buffers;
        let count = count.max(b.tokens);
        let blocks = if backward { config.layers } else { 1 }.max(b.blocks);
        if count != b.tokens || blocks != b.blocks {
            // Drop the old buffers first: they need not live beside the new ones.
            *b = Buffers { tokens: count, blocks, ..Buffers::default() };
            let floats = |width: usize| vec![0.0; count * width];
            b.inputs = vec![0; count];
            b.targets = vec![0; count];
            b.positions = vec![0; count];
            b.residual = (0..=blocks).map(|_| floats(config.dim)).collect();
            b.attention = (0..blocks).map(|_| AttentionActs::new(config, count)).collect();
            b.feed_forward = (0..blocks).map(|_| FeedForwardActs::new(config, count)).collect();
        }
        b.head.plan(config, count);
        if backward && b.d_residual.is_empty() {
            b.d_residual = vec![0.0; count * config.dim];
            b.d_norm = vec![0.0; count * config.dim];
            b.d_inner = vec![0.0; count * config.ffn.max(config.q_dim())];
            b.d_wide = vec![0.0; count * (2 * config.ffn).max(config.qkv_dim())];
            let table = if config.tied { config.vocab * config.dim } else { 0 };
            b.d_embedding = vec![0.0; table];
        }
    }
}

/// Scratch of one piece's backward pass, see [`Buffers`].
struct Scratch<'a> {
    norm: &'a mut [f32],
    inner: &'a mut [f32],
    wide: &'a mut [f32],
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
