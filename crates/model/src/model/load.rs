//! Loading: every tensor is checked before one is read; then they are read and packed piece by
//! piece.

use std::collections::BTreeSet;

use kernel::{Format, Kernel, Matrix};

use super::finite::is_finite;
use super::{BlockWeights, Linear, Model, Norm};
use crate::decoder::Block;
use crate::families;
use crate::families::names::{self, Part, RowMap, Style, columns, width};
use crate::format::{bf16_to_f32, f16_to_f32, f32_from_le, u16_from_le};
use crate::weights::{TensorInfo, Weights};
use crate::{Decoder, FormatError};

/// What will be loaded, all checked: every tensor is there, of the right shape, in a format that
/// can be run, and none is left over.
pub struct Plan<'a> {
    weights: &'a Weights,
    decoder: Decoder,
    style: Style,
    memory: Memory,
}

/// Memory that a model needs, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// The weights.
    pub weights: u64,
    /// Keys and values of each token of a sequence.
    pub cache_per_token: u64,
}

impl Memory {
    /// With `sequences` of `tokens` each.
    pub fn total(&self, sequences: u64, tokens: u64) -> u64 {
        let cache = self.cache_per_token.saturating_mul(tokens).saturating_mul(sequences);
        self.weights.saturating_add(cache)
    }
}

impl<'a> Plan<'a> {
    /// Checks all tensors of a model.
    pub fn new(weights: &'a Weights) -> Result<Plan<'a>, FormatError> {
        let (decoder, style) = families::style(weights)?;
        let cache_per_token = decoder.cache_bytes_per_token();
        let mut plan =
            Plan { weights, decoder, style, memory: Memory { weights: 0, cache_per_token } };
        plan.memory.weights = plan.check()?;
        Ok(plan)
    }

    /// What the model computes.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Memory that it needs.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// Reads and packs the weights.
    pub fn load(self, kernel: &Kernel) -> Result<Model, FormatError> {
        let mut reader = Reader { plan: &self, kernel, piece: Vec::new(), rows: Vec::new() };
        let embedding = reader.matrix(Part::Embedding, 0)?;
        let head = match self.decoder.tied {
            true => None,
            false => Some(reader.matrix(Part::Head, 0)?),
        };
        let final_norm = reader.norm(Part::FinalNorm, 0)?;
        let layers = 0..self.decoder.layers.len();
        let blocks = layers.map(|layer| reader.block(layer)).collect::<Result<_, _>>()?;
        self.weights.check_unchanged()?;
        Ok(Model::assemble(self.decoder, embedding, head, final_norm, blocks))
    }

    /// Checks every tensor; returns the bytes that they take in memory.
    fn check(&self) -> Result<u64, FormatError> {
        let mut used = BTreeSet::new();
        let mut bytes = 0u64;
        let mut matrix = |part: Part, layer: usize, bias: bool| -> Result<(), FormatError> {
            let (tensor, format, rows) = self.find_matrix(part, layer)?;
            used.insert(tensor.name.clone());
            let cols = columns(&self.decoder, part);
            let size = Matrix::size_of(format, width(&self.decoder, part), cols);
            let size = size.ok_or_else(|| {
                FormatError::new(format!("tensor {}: rows of {cols} {format}", tensor.name))
            })?;
            bytes = bytes.saturating_add(size as u64);
            if bias {
                used.insert(self.find_vector(part, layer, "bias", rows.total)?.name.clone());
            }
            Ok(())
        };
        matrix(Part::Embedding, 0, false)?;
        if !self.decoder.tied {
            matrix(Part::Head, 0, false)?;
        }
        for layer in 0..self.decoder.layers.len() {
            for (part, bias) in self.matrices() {
                matrix(part, layer, bias)?;
            }
        }
        for (part, layer) in self.norms() {
            let size = width(&self.decoder, part);
            used.insert(self.find_vector(part, layer, "weight", size)?.name.clone());
            if self.has_bias(part) {
                used.insert(self.find_vector(part, layer, "bias", size)?.name.clone());
            }
        }
        let left =
            self.weights.tensors().keys().find(|name| !used.contains(*name) && !self.idle(name));
        match left {
            Some(name) => {
                Err(FormatError::new(format!("tensor {name} has no place in this model")))
            }
            None => Ok(bytes),
        }
    }

    /// The matrices of a block, and whether they have biases.
    fn matrices(&self) -> Vec<(Part, bool)> {
        let biases = self.decoder.biases;
        let mut parts = vec![
            (Part::Query, biases.qkv),
            (Part::Key, biases.qkv),
            (Part::Value, biases.qkv),
            (Part::Output, biases.output),
            (Part::Up, biases.ffn),
            (Part::Down, biases.ffn),
        ];
        if self.decoder.gated {
            parts.push((Part::Gate, biases.ffn));
        }
        parts
    }

    /// All norms, with their layers.
    fn norms(&self) -> Vec<(Part, usize)> {
        let mut norms = vec![(Part::FinalNorm, 0)];
        for layer in 0..self.decoder.layers.len() {
            norms.extend(names::block_norms(&self.decoder).into_iter().map(|part| (part, layer)));
            if self.decoder.qk_norms {
                norms.extend([(Part::QueryNorm, layer), (Part::KeyNorm, layer)]);
            }
        }
        norms
    }

    fn has_bias(&self, norm: Part) -> bool {
        names::norm_has_bias(&self.decoder) && !matches!(norm, Part::QueryNorm | Part::KeyNorm)
    }

    /// Whether a tensor that is not loaded may be there all the same.
    fn idle(&self, name: &str) -> bool {
        match &self.style {
            Style::Gguf { .. } => name == "rope_freqs.weight",
            Style::Llama { head, .. } => {
                let other_tower =
                    ["vision_tower.", "multi_modal_projector.", "model.vision_tower."];
                name.ends_with("rotary_emb.inv_freq")
                    || (self.decoder.tied && name.strip_suffix(".weight") == Some(head))
                    || other_tower.iter().any(|tower| name.starts_with(tower))
                    || name.starts_with("model.multi_modal_projector.")
            }
            Style::Falcon { .. } => {
                name.ends_with("rotary.inv_freq") || (self.decoder.tied && name == "lm_head.weight")
            }
        }
    }

    fn find_matrix(
        &self,
        part: Part,
        layer: usize,
    ) -> Result<(&'a TensorInfo, Format, RowMap), FormatError> {
        let (tensor, rows) = self.find(part, layer, "weight")?;
        let want = [rows.total, columns(&self.decoder, part)];
        if tensor.shape != want {
            let (name, shape) = (&tensor.name, &tensor.shape);
            return Err(FormatError::new(format!(
                "tensor {name} has shape {shape:?}, not {want:?}"
            )));
        }
        Ok((tensor, format_of(tensor)?, rows))
    }

    fn find_vector(
        &self,
        part: Part,
        layer: usize,
        kind: &str,
        size: usize,
    ) -> Result<&'a TensorInfo, FormatError> {
        let (tensor, _) = self.find(part, layer, kind)?;
        if tensor.shape != [size] {
            let (name, shape) = (&tensor.name, &tensor.shape);
            let text = format!("tensor {name} has shape {shape:?}, not [{size}]");
            return Err(FormatError::new(text));
        }
        match format_of(tensor)? {
            Format::F32 | Format::F16 | Format::BF16 => Ok(tensor),
            other => Err(FormatError::new(format!("tensor {} is {other}", tensor.name))),
        }
    }

    fn find(
        &self,
        part: Part,
        layer: usize,
        kind: &str,
    ) -> Result<(&'a TensorInfo, RowMap), FormatError> {
        let source = self.style.source(&self.decoder, part, layer, self.is_fused(layer));
        Ok((self.weights.tensor(&format!("{}.{kind}", source.name))?, source.rows))
    }

    /// Whether a GGUF has queries, keys and values of this layer in one tensor.
    fn is_fused(&self, layer: usize) -> bool {
        self.weights.tensors().contains_key(&format!("blk.{layer}.attn_qkv.weight"))
    }
}

/// How a tensor is computed with.
fn format_of(tensor: &TensorInfo) -> Result<Format, FormatError> {
    tensor.element.format.ok_or_else(|| {
        let (name, element) = (&tensor.name, tensor.element.name);
        let text = format!("tensor {name} has weights of type {element}, which are not run");
        let run = Format::ALL.map(Format::name).join(", ");
        FormatError::refused(text, format!("take the same model in one of {run}"))
    })
}

fn check_finite(tensor: &TensorInfo, format: Format, rows: &[u8]) -> Result<(), FormatError> {
    if is_finite(format, rows) {
        return Ok(());
    }
    let text = format!("tensor {}: a weight is infinite or no number", tensor.name);
    let todo = "nothing of use comes from such a model; fetch it again, or take another file of it";
    Err(FormatError::refused(text, todo))
}

/// Reads checked tensors, with the buffers for it.
struct Reader<'a> {
    plan: &'a Plan<'a>,
    kernel: &'a Kernel,
    /// Rows in the part's order, to be packed.
    piece: Vec<u8>,
    /// Rows as they lie in the file.
    rows: Vec<u8>,
}

impl Reader<'_> {
    fn block(&mut self, layer: usize) -> Result<BlockWeights, FormatError> {
        let (d, biases) = (&self.plan.decoder, self.plan.decoder.biases);
        let optional = |on: bool, part: Part| on.then_some(part);
        let ffn_norm = optional(d.block != Block::Parallel, Part::FfnNorm);
        let after_attention = optional(d.post_norms, Part::AfterAttention);
        let after_ffn = optional(d.post_norms, Part::AfterFfn);
        let (query_norm, key_norm) =
            (optional(d.qk_norms, Part::QueryNorm), optional(d.qk_norms, Part::KeyNorm));
        let gate = optional(d.gated, Part::Gate);
        let mut norm = |part: Option<Part>| part.map(|part| self.norm(part, layer)).transpose();
        let (ffn_norm, after_attention) = (norm(ffn_norm)?, norm(after_attention)?);
        let (after_ffn, query_norm, key_norm) =
            (norm(after_ffn)?, norm(query_norm)?, norm(key_norm)?);
        Ok(BlockWeights {
            attention_norm: self.norm(Part::AttentionNorm, layer)?,
            ffn_norm,
            query: self.linear(Part::Query, layer, biases.qkv)?,
            key: self.linear(Part::Key, layer, biases.qkv)?,
            value: self.linear(Part::Value, layer, biases.qkv)?,
            query_norm: query_norm.map(|norm| norm.weight),
            key_norm: key_norm.map(|norm| norm.weight),
            output: self.linear(Part::Output, layer, biases.output)?,
            after_attention,
            gate: gate.map(|gate| self.linear(gate, layer, biases.ffn)).transpose()?,
            up: self.linear(Part::Up, layer, biases.ffn)?,
            down: self.linear(Part::Down, layer, biases.ffn)?,
            after_ffn,
        })
    }

    fn norm(&mut self, part: Part, layer: usize) -> Result<Norm, FormatError> {
        let size = width(&self.plan.decoder, part);
        let mut weight = self.vector(part, layer, "weight", RowMap::whole(size), size)?;
        if self.plan.style.shifted_norms() {
            weight.iter_mut().for_each(|w| *w += 1.0);
        }
        let bias = match self.plan.has_bias(part) {
            true => Some(self.vector(part, layer, "bias", RowMap::whole(size), size)?),
            false => None,
        };
        Ok(Norm { weight, bias })
    }

    fn linear(&mut self, part: Part, layer: usize, bias: bool) -> Result<Linear, FormatError> {
        let weight = self.matrix(part, layer)?;
        let bias = match bias {
            true => {
                let (_, rows) = self.plan.find(part, layer, "bias")?;
                Some(self.vector(part, layer, "bias", rows, weight.rows())?)
            }
            false => None,
        };
        Ok(Linear { weight, bias })
    }

    fn matrix(&mut self, part: Part, layer: usize) -> Result<Matrix, FormatError> {
        let (tensor, format, map) = self.plan.find_matrix(part, layer)?;
        let (rows, cols) = (width(&self.plan.decoder, part), columns(&self.plan.decoder, part));
        let mut matrix = Matrix::zeroed(format, rows, cols);
        let row_bytes = tensor.row_bytes() as usize;
        // Whole heads where rows are permuted, and a multiple of what is packed together.
        let unit = 16 * map.paired.max(1);
        let some = (PIECE / row_bytes / unit).max(1) * unit;
        for first in (0..rows).step_by(some) {
            let count = some.min(rows - first);
            self.gather(tensor, &map, first, count)?;
            check_finite(tensor, format, &self.piece)?;
            self.kernel.pack_rows(&mut matrix, first, &self.piece);
        }
        Ok(matrix)
    }

    /// Reads some rows of a part into `piece`, in the part's order.
    fn gather(
        &mut self,
        tensor: &TensorInfo,
        map: &RowMap,
        first: usize,
        count: usize,
    ) -> Result<(), FormatError> {
        let row_bytes = tensor.row_bytes() as usize;
        self.piece.resize(count * row_bytes, 0);
        let sources: Vec<usize> = (first..first + count).map(|row| map.source(row)).collect();
        let low = sources.iter().copied().min().unwrap_or(0);
        let high = sources.iter().copied().max().unwrap_or(0);
        if sources.is_sorted() {
            // Runs of rows that lie together are read where they belong.
            let mut done = 0;
            for run in sources.chunk_by(|a, b| a + 1 == *b) {
                let to = &mut self.piece[done * row_bytes..(done + run.len()) * row_bytes];
                self.plan.weights.read(tensor, (run[0] * row_bytes) as u64, to)?;
                done += run.len();
            }
            return Ok(());
        }
        self.rows.resize((high + 1 - low) * row_bytes, 0);
        self.plan.weights.read(tensor, (low * row_bytes) as u64, &mut self.rows)?;
        for (to, row) in self.piece.chunks_exact_mut(row_bytes).zip(&sources) {
            let at = (row - low) * row_bytes;
            to.copy_from_slice(&self.rows[at..at + row_bytes]);
        }
        Ok(())
    }

    fn vector(
        &mut self,
        part: Part,
        layer: usize,
        kind: &str,
        map: RowMap,
        size: usize,
    ) -> Result<Vec<f32>, FormatError> {
        let tensor = self.plan.find_vector(part, layer, kind, map.total)?;
        let mut bytes = vec![0; tensor.bytes as usize];
        self.plan.weights.read(tensor, 0, &mut bytes)?;
        let format = format_of(tensor)?;
        check_finite(tensor, format, &bytes)?;
        let all: Vec<f32> = match format {
            Format::F16 => u16_from_le(&bytes).map(f16_to_f32).collect(),
            Format::BF16 => u16_from_le(&bytes).map(bf16_to_f32).collect(),
            _ => f32_from_le(&bytes).collect(),
        };
        Ok((0..size).map(|i| all[map.source(i)]).collect())
    }
}

/// Bytes read and packed at a time.
const PIECE: usize = 1 << 20;
