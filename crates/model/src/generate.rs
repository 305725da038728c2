//! Running a model token by token.

use std::sync::Arc;

use kernel::{HeadShape, Kernel, RopeTable};

use crate::{Config, ConfigError, Layout, Sampler, SamplerError};

/// A model ready to run: shape and parameters.
pub struct Model {
    config: Config,
    layout: Layout,
    params: Vec<f32>,
    rope: RopeTable,
}

/// Why a model could not be run.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GenerateError {
    /// The shape is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Parameters of another shape.
    #[error("model has {found} parameters, its config asks for {expected}")]
    Length {
        /// What was passed.
        found: usize,
        /// What the config asks for.
        expected: usize,
    },
    /// More tokens than the context holds. The session is as before.
    #[error("context is full: {held} tokens held, {added} more do not fit in {context}")]
    ContextFull {
        /// Tokens in the session.
        held: usize,
        /// Tokens that were to be added.
        added: usize,
        /// The model's context.
        context: usize,
    },
    /// A token id outside the vocabulary. The session is as before.
    #[error("token {token} at index {index}, vocabulary is {vocab}")]
    Token {
        /// Where in the added tokens.
        index: usize,
        /// The id.
        token: u32,
        /// The vocabulary.
        vocab: usize,
    },
    /// The sampler refused its settings or the logits.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// No tokens were added.
    #[error("no tokens to run, an empty prompt needs at least the end-of-text token")]
    Empty,
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// A stop token was chosen.
    Stop,
    /// As many tokens as asked for.
    Length,
    /// The context is full.
    ContextFull,
    /// The caller said so.
    Cancelled,
}

impl Model {
    /// Puts parameters (in [`Layout`] order) to a shape.
    pub fn new(config: &Config, params: Vec<f32>) -> Result<Model, GenerateError> {
        let layout = Layout::new(config)?;
        if params.len() != layout.len() {
            return Err(GenerateError::Length { found: params.len(), expected: layout.len() });
        }
        let rope = RopeTable::new(config.head_dim, config.context, config.rope_theta);
        Ok(Model { config: config.clone(), layout, params, rope })
    }

    /// The shape.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where the tensors lie in [`Model::params`].
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// All parameters.
    pub fn params(&self) -> &[f32] {
        &self.params
    }

    /// The parameters, without the rest.
    pub fn into_params(self) -> Vec<f32> {
        self.params
    }
}

/// A text in progress: the keys and values of its tokens so far.
///
/// The logits after a token are the same bits however the tokens were cut into calls, and the
/// same as training computes.
pub struct Session {
    model: Arc<Model>,
    kernel: Kernel,
    shape: HeadShape,
    len: usize,
    /// Per block: keys and values, each `[capacity, KV]`.
    cache: Vec<(Vec<f32>, Vec<f32>)>,
    scratch: Scratch,
    logits: Vec<f32>,
}

/// Buffers for up to [`PIECE`] tokens (`R` rows).
#[derive(Default)]
struct Scratch {
    rows: usize,
    positions: Vec<u32>,
    x: Vec<f32>,
    norm: Vec<f32>,
    rstd: Vec<f32>,
    qkv: Vec<f32>,
    q: Vec<f32>,
    mixed: Vec<f32>,
    gate_up: Vec<f32>,
    act: Vec<f32>,
}

impl Session {
    /// An empty text. Memory for keys and values grows with it.
    pub fn new(model: Arc<Model>, kernel: Kernel) -> Session {
        let config = model.config();
        let cache = (0..config.layers).map(|_| (Vec::new(), Vec::new())).collect();
        let (shape, logits) = (config.head_shape(), vec![0.0; config.vocab]);
        Session { model, kernel, shape, len: 0, cache, scratch: Scratch::default(), logits }
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no token is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Tokens that still fit.
    pub fn room(&self) -> usize {
        self.model.config.context - self.len
    }

    /// Goes back to the first `len` tokens; keeps the memory. Does nothing if there are no more.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len {
            self.len = len;
            let width = self.model.config.kv_dim();
            for (keys, values) in &mut self.cache {
                keys.truncate(len * width);
                values.truncate(len * width);
            }
        }
    }

    /// Adds tokens and returns the logits of what follows the last of them, `[V]`.
    pub fn extend(&mut self, tokens: &[u32]) -> Result<&[f32], GenerateError> {
        self.check(tokens)?;
        for piece in tokens.chunks(PIECE) {
            self.run(piece);
        }
        let rows = (tokens.len() - 1) % PIECE + 1;
        self.last_logits(rows);
        Ok(&self.logits)
    }

    /// Adds `prompt`, then chooses up to `max` tokens and hands each to `on_token` until that
    /// returns `false`, a `stop` token comes (which is not handed on), or the context is full.
    ///
    /// The `i`-th choice uses the sampler's `i`-th random number.
    pub fn generate(
        &mut self,
        prompt: &[u32],
        sampler: &Sampler,
        max: usize,
        stop: &[u32],
        mut on_token: impl FnMut(u32) -> bool,
    ) -> Result<Finish, GenerateError> {
        sampler.validate()?;
        self.extend(prompt)?;
        for index in 0..max {
            let token = sampler.choose(&self.logits, index as u64)?;
            if stop.contains(&token) {
                return Ok(Finish::Stop);
            }
            if !on_token(token) {
                return Ok(Finish::Cancelled);
            }
            if index + 1 == max {
                break;
            }
            if self.room() == 0 {
                return Ok(Finish::ContextFull);
            }
            self.extend(&[token])?;
        }
        Ok(Finish::Length)
    }

    fn check(&self, tokens: &[u32]) -> Result<(), GenerateError> {
        let Config { context, vocab, .. } = self.model.config;
        if tokens.is_empty() {
            return Err(GenerateError::Empty);
        }
        if tokens.len() > self.room() {
            let (held, added) = (self.len, tokens.len());
            return Err(GenerateError::ContextFull { held, added, context });
        }
        match tokens.iter().position(|&token| token as usize >= vocab) {
            Some(index) => Err(GenerateError::Token { index, token: tokens[index], vocab }),
            None => Ok(()),
        }
    }

    /// Runs all blocks over at most [`PIECE`] tokens; leaves the residual stream in `scratch.x`.
    fn run(&mut self, tokens: &[u32]) {
        let model = Arc::clone(&self.model);
        let (config, params, m) = (&model.config, &model.params, tokens.len());
        self.scratch.plan(config, m);
        let s = &mut self.scratch;
        for (i, position) in s.positions[..m].iter_mut().enumerate() {
            *position = (self.len + i) as u32;
        }
        let table = &params[model.layout.embedding()];
        self.kernel.embed(&mut s.x[..m * config.dim], table, tokens, config.dim);
        for layer in 0..config.layers {
            self.attend(&model, layer, m);
            self.feed_forward(&model, layer, m);
        }
        self.len += m;
    }

    fn attend(&mut self, model: &Model, layer: usize, m: usize) {
        let (config, params, block) = (&model.config, &model.params, &model.layout.blocks()[layer]);
        let (c, q, kv, wide) = (config.dim, config.q_dim(), config.kv_dim(), config.qkv_dim());
        let (kernel, s) = (&self.kernel, &mut self.scratch);
        let x = &mut s.x[..m * c];
        let norm = &mut s.norm[..m * c];
        let weight = &params[block.attn_norm.clone()];
        kernel.rms_norm(norm, &mut s.rstd[..m], x, weight, config.norm_eps);
        let qkv = &mut s.qkv[..m * wide];
        kernel.linear(qkv, norm, &params[block.qkv.clone()], m, wide, c);
        kernel.rope(qkv, &s.positions[..m], &model.rope, &self.shape);
        let (keys, values) = &mut self.cache[layer];
        for (row, queries) in qkv.chunks_exact(wide).zip(s.q.chunks_exact_mut(q)) {
            queries.copy_from_slice(&row[..q]);
            keys.extend_from_slice(&row[q..q + kv]);
            values.extend_from_slice(&row[q + kv..]);
        }
        let mixed = &mut s.mixed[..m * q];
        let len = self.len + m;
        kernel.attention_cached(mixed, &s.q[..m * q], keys, values, m, len, &self.shape);
        kernel.linear_add(x, mixed, &params[block.o.clone()], m, c, q);
    }

    fn feed_forward(&mut self, model: &Model, layer: usize, m: usize) {
        let (config, params, block) = (&model.config, &model.params, &model.layout.blocks()[layer]);
        let (c, f) = (config.dim, config.ffn);
        let (kernel, s) = (&self.kernel, &mut self.scratch);
        let x = &mut s.x[..m * c];
        let norm = &mut s.norm[..m * c];
        let weight = &params[block.ffn_norm.clone()];
        kernel.rms_norm(norm, &mut s.rstd[..m], x, weight, config.norm_eps);
        let gate_up = &mut s.gate_up[..m * 2 * f];
        kernel.linear(gate_up, norm, &params[block.gate_up.clone()], m, 2 * f, c);
        kernel.swiglu(&mut s.act[..m * f], gate_up, f);
        kernel.linear_add(x, &s.act[..m * f], &params[block.down.clone()], m, c, f);
    }

    /// Last norm and head over the last of `rows` rows.
    fn last_logits(&mut self, rows: usize) {
        let model = &self.model;
        let (c, v) = (model.config.dim, model.config.vocab);
        let s = &mut self.scratch;
        let x = &s.x[(rows - 1) * c..rows * c];
        let norm = &mut s.norm[..c];
        let weight = &model.params[model.layout.final_norm()];
        self.kernel.rms_norm(norm, &mut s.rstd[..1], x, weight, model.config.norm_eps);
        let weight = &model.params[model.layout.head()];
        self.kernel.linear(&mut self.logits, norm, weight, 1, v, c);
    }
}

impl Scratch {
    fn plan(&mut self, config: &Config, rows: usize) {
        if rows <= self.rows {
            return;
        }
        let floats = |width: usize| vec![0.0; rows * width];
        *self = Scratch {
            rows,
            positions: vec![0; rows],
            x: floats(config.dim),
            norm: floats(config.dim),
            rstd: floats(1),
            qkv: floats(config.qkv_dim()),
            q: floats(config.q_dim()),
            mixed: floats(config.q_dim()),
            gate_up: floats(2 * config.ffn),
            act: floats(config.ffn),
        };
    }
}

/// Most tokens run at once.
const PIECE: usize = 256;

#[cfg(test)]
mod tests;
