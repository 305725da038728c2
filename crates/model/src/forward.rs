//! The forward pass: one for every family, over chunks of several sequences at once.
//!
//! The logits after a token are the same bits however its sequence was cut into chunks, whatever
//! else is in the batch, for any number of threads and on every instruction set: every operation
//! here treats rows alone, and attention asks only the row's own sequence.

use kernel::{Activations, Direction, Inputs, Kernel, KvCache, Product, Query};

use crate::decoder::{Block, Decoder};
use crate::model::{BlockWeights, Linear, Model, Norm};

/// The keys and values of a sequence's tokens so far, in every layer.
#[derive(Clone)]
pub struct Cache {
    layers: Vec<KvCache>,
    len: usize,
}

impl Cache {
    /// An empty cache for a model run by `kernel`. Memory grows with the tokens.
    pub fn new(model: &Model, kernel: &Kernel) -> Cache {
        let d = model.decoder();
        let layer = || KvCache::new(kernel, d.kv_heads, d.head_dim);
        Cache { layers: d.layers.iter().map(|_| layer()).collect(), len: 0 }
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no token is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes in use.
    pub fn bytes(&self) -> usize {
        self.layers.iter().map(KvCache::bytes).sum()
    }

    /// Goes back to the first `len` tokens; keeps the memory. Does nothing if there are no more.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        self.layers.iter_mut().for_each(|layer| layer.truncate(len));
    }

    /// A copy of the first `len` tokens, from which another text can go on.
    pub fn fork(&self, len: usize) -> Cache {
        let layers = self.layers.iter().map(|layer| layer.fork(len)).collect();
        Cache { layers, len: self.len.min(len) }
    }
}

/// Some tokens that continue a sequence.
pub struct Chunk<'a> {
    /// The sequence so far; afterwards with these tokens.
    pub cache: &'a mut Cache,
    /// The tokens, at least one; the caller sees to it that they fit into the context and the
    /// vocabulary.
    pub tokens: &'a [u32],
    /// Which logits are wanted.
    pub want: Logits,
}

/// Which logits of a chunk are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logits {
    /// None: a part of a prompt that goes on.
    None,
    /// Those after the last token.
    Last,
    /// Those after every token.
    All,
}

impl Logits {
    /// How many rows of logits `tokens` give.
    pub fn rows(self, tokens: usize) -> usize {
        match self {
            Logits::None => 0,
            Logits::Last => 1,
            Logits::All => tokens,
        }
    }
}

/// Buffers of a forward pass, kept from one to the next. What is in them has no influence.
#[derive(Default)]
pub struct Workspace {
    inputs: Inputs,
    /// Residual stream, `[M, C]`.
    x: Vec<f32>,
    /// Normalised residual stream, `[M, C]`; a second one for parallel blocks with two norms.
    norm: Vec<f32>,
    ffn_norm: Vec<f32>,
    rstd: Vec<f32>,
    /// `[M, Q]`, `[M, KV]`, `[M, KV]`.
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    /// Weighted values, `[M, Q]`.
    attended: Vec<f32>,
    /// `[M, F]` each.
    gate: Vec<f32>,
    up: Vec<f32>,
    /// What a norm after attention or feed-forward layer reads, `[M, C]`.
    branch: Vec<f32>,
    logits: Vec<f32>,
}

impl Workspace {
    /// Buffers for products with inputs represented as `activations`.
    pub fn new(activations: Activations) -> Workspace {
        Workspace { inputs: Inputs::new(activations), ..Workspace::default() }
    }

    /// The logits that the last [`Model::step`] computed.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// How inputs of quantized products are represented.
    pub fn activations(&self) -> Activations {
        self.inputs.activations()
    }

    fn plan(&mut self, d: &Decoder, rows: usize) {
        // Only lengths matter: contents are overwritten before they are read.
        let set = |buffer: &mut Vec<f32>, width: usize| buffer.resize(rows * width, 0.0);
        set(&mut self.x, d.dim);
        set(&mut self.norm, d.dim);
        set(&mut self.rstd, 1);
        set(&mut self.q, d.q_dim());
        set(&mut self.k, d.kv_dim());
        set(&mut self.v, d.kv_dim());
        set(&mut self.attended, d.q_dim());
        set(&mut self.up, d.ffn);
        set(&mut self.gate, if d.gated { d.ffn } else { 0 });
        set(&mut self.branch, if d.post_norms { d.dim } else { 0 });
        set(&mut self.ffn_norm, if d.block == Block::ParallelTwoNorms { d.dim } else { 0 });
    }
}

impl Model {
    /// Continues some sequences, all at once: the sequences' caches get the chunks' tokens, and the
    /// wanted logits, `[rows, V]` in the order of the chunks, are returned.
    ///
    /// Panics: for a token outside the vocabulary, a chunk without tokens, more tokens than the
    /// context, or a cache of another model or kernel.
    pub fn step<'w>(
        &self,
        kernel: &Kernel,
        work: &'w mut Workspace,
        chunks: &mut [Chunk<'_>],
    ) -> &'w [f32] {
        let d = &self.decoder;
        let rows = chunks.iter().map(|chunk| chunk.tokens.len()).sum();
        work.plan(d, rows);
        let mut positions = Vec::with_capacity(rows);
        for chunk in chunks.iter() {
            let (held, added) = (chunk.cache.len, chunk.tokens.len());
            assert!(added > 0 && held + added <= d.context, "step: {added} tokens after {held}");
            assert_eq!(chunk.cache.layers.len(), d.layers.len(), "step: cache");
            positions.extend(held..held + added);
        }
        self.embed(work, chunks);
        let angles: Vec<Vec<&[f32]>> = self
            .rotaries
            .iter()
            .map(|table| positions.iter().map(|&position| table.row(position)).collect())
            .collect();
        for (layer, block) in self.blocks.iter().enumerate() {
            let angles = d.layers[layer].rotary.map(|kind| angles[kind].as_slice());
            self.block(kernel, work, chunks, layer, block, angles);
        }
        for chunk in chunks.iter_mut() {
            chunk.cache.len += chunk.tokens.len();
        }
        self.logits(kernel, work, chunks);
        &work.logits
    }

    fn embed(&self, work: &mut Workspace, chunks: &[Chunk<'_>]) {
        let d = &self.decoder;
        let tokens = chunks.iter().flat_map(|chunk| chunk.tokens);
        for (row, &token) in work.x.chunks_exact_mut(d.dim).zip(tokens) {
            self.embedding.row(token as usize, row);
            if d.embedding_scale != 1.0 {
                row.iter_mut().for_each(|x| *x *= d.embedding_scale);
            }
        }
    }

    fn block(
        &self,
        kernel: &Kernel,
        w: &mut Workspace,
        chunks: &mut [Chunk<'_>],
        layer: usize,
        block: &BlockWeights,
        angles: Option<&[&[f32]]>,
    ) {
        let d = &self.decoder;
        self.normalise(kernel, &block.attention_norm, &w.x, &mut w.norm, &mut w.rstd);
        if let (Block::ParallelTwoNorms, Some(norm)) = (d.block, &block.ffn_norm) {
            self.normalise(kernel, norm, &w.x, &mut w.ffn_norm, &mut w.rstd);
        }
        self.attention(kernel, w, chunks, layer, block, angles);
        if let (Block::Sequential, Some(norm)) = (d.block, &block.ffn_norm) {
            self.normalise(kernel, norm, &w.x, &mut w.norm, &mut w.rstd);
        }
        self.feed_forward(kernel, w, block);
    }

    fn attention(
        &self,
        kernel: &Kernel,
        w: &mut Workspace,
        chunks: &mut [Chunk<'_>],
        layer: usize,
        block: &BlockWeights,
        angles: Option<&[&[f32]]>,
    ) {
        let (d, m) = (&self.decoder, w.rstd.len());
        let mut projections = [
            product(&mut w.q, &block.query),
            product(&mut w.k, &block.key),
            product(&mut w.v, &block.value),
        ];
        kernel.matmul(&mut projections, &w.norm, m, &mut w.inputs);
        let queries = (&mut w.q, d.heads, &block.query_norm);
        let keys = (&mut w.k, d.kv_heads, &block.key_norm);
        for (x, heads, norm) in [queries, keys] {
            if let Some(weight) = norm {
                kernel.rms_norm_in_place(x, weight, d.norm_eps);
            }
            if let Some(angles) = angles {
                kernel.rotate(x, heads, d.head_dim, angles, Direction::Forward);
            }
        }
        let (mut k, mut v) = (w.k.as_slice(), w.v.as_slice());
        for chunk in chunks.iter_mut() {
            let (k_rows, v_rows);
            (k_rows, k) = k.split_at(chunk.tokens.len() * d.kv_dim());
            (v_rows, v) = v.split_at(chunk.tokens.len() * d.kv_dim());
            kernel.append(&mut chunk.cache.layers[layer], k_rows, v_rows);
        }
        let queries: Vec<Query<'_>> = chunks
            .iter()
            .map(|chunk| Query { cache: &chunk.cache.layers[layer], rows: chunk.tokens.len() })
            .collect();
        let scoring = d.scoring(layer, self.slopes.as_deref());
        kernel.attend(&mut w.attended, &w.q, &queries, d.heads, &scoring);
        let (x, branch) = (&mut w.x, &mut w.branch);
        let after = &block.after_attention;
        self.add_branch(kernel, x, branch, &w.attended, &block.output, after, &mut w.inputs);
    }

    fn feed_forward(&self, kernel: &Kernel, w: &mut Workspace, block: &BlockWeights) {
        let (d, m) = (&self.decoder, w.rstd.len());
        let input = match d.block {
            Block::ParallelTwoNorms => &w.ffn_norm,
            Block::Sequential | Block::Parallel => &w.norm,
        };
        let inner = match &block.gate {
            Some(gate) => {
                let mut projections = [product(&mut w.gate, gate), product(&mut w.up, &block.up)];
                kernel.matmul(&mut projections, input, m, &mut w.inputs);
                kernel.activate(&mut w.gate, Some(&w.up), d.activation);
                &w.gate
            }
            None => {
                kernel.matmul(&mut [product(&mut w.up, &block.up)], input, m, &mut w.inputs);
                kernel.activate(&mut w.up, None, d.activation);
                &w.up
            }
        };
        let (x, branch) = (&mut w.x, &mut w.branch);
        self.add_branch(kernel, x, branch, inner, &block.down, &block.after_ffn, &mut w.inputs);
    }

    /// `x += inner · wᵀ`, through a norm where there is one.
    fn add_branch(
        &self,
        kernel: &Kernel,
        x: &mut [f32],
        branch: &mut [f32],
        inner: &[f32],
        linear: &Linear,
        after: &Option<Norm>,
        inputs: &mut Inputs,
    ) {
        let m = x.len() / self.decoder.dim;
        match after {
            Some(norm) => {
                kernel.matmul(&mut [product(branch, linear)], inner, m, inputs);
                kernel.rms_norm_add(x, branch, &norm.weight, self.decoder.norm_eps);
            }
            None => {
                let sum = Product { add: true, ..product(x, linear) };
                kernel.matmul(&mut [sum], inner, m, inputs);
            }
        }
    }

    fn normalise(
        &self,
        kernel: &Kernel,
        norm: &Norm,
        x: &[f32],
        out: &mut [f32],
        rstd: &mut [f32],
    ) {
        let eps = self.decoder.norm_eps;
        match &norm.bias {
            Some(bias) => kernel.layer_norm(out, x, &norm.weight, bias, eps),
            None => {
                let rows = x.len() / norm.weight.len();
                kernel.rms_norm(out, &mut rstd[..rows], x, &norm.weight, eps);
            }
        }
    }

    /// Last norm and head over the wanted rows.
    fn logits(&self, kernel: &Kernel, w: &mut Workspace, chunks: &[Chunk<'_>]) {
        let (c, v) = (self.decoder.dim, self.decoder.vocab);
        let (mut from, mut to) = (0, 0);
        // The wanted rows move to the front; a row never moves behind one that is yet to move.
        for chunk in chunks {
            let (count, rows) = (chunk.tokens.len(), chunk.want.rows(chunk.tokens.len()));
            from += count;
            w.x.copy_within((from - rows) * c..from * c, to * c);
            to += rows;
        }
        w.logits.resize(to * v, 0.0);
        if to == 0 {
            return;
        }
        let (x, norm) = (&w.x[..to * c], &mut w.norm[..to * c]);
        self.normalise(kernel, &self.final_norm, x, norm, &mut w.rstd);
        let mut head = [Product::new(&mut w.logits, self.head())];
        kernel.matmul(&mut head, norm, to, &mut w.inputs);
        if let Some(cap) = self.decoder.final_cap {
            kernel.soft_cap(&mut w.logits, cap);
        }
    }
}

fn product<'a>(y: &'a mut [f32], linear: &'a Linear) -> Product<'a> {
    Product { bias: linear.bias.as_deref(), ..Product::new(y, &linear.weight) }
}
