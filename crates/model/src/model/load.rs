//! Loading: every tensor is checked before one is read; then they are read and packed piece by
//! piece.

use std::collections::BTreeSet;

use kernel::{Format, Kernel, Matrix};

use super::Model;
use super::assemble::Parts;
use super::finite::is_finite;
use crate::decoder::{Kind, Part};
use crate::families;
use crate::families::names::{RowMap, Style};
use crate::format::{bf16_to_f32, f16_to_f32, f32_from_le, u16_from_le};
use crate::weights::{TensorInfo, Weights};
use crate::{Decoder, FormatError, Layout, Parameters};

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
        self.load_told(kernel, &mut |_| {})
    }

    /// The same; `read` hears how many bytes of tensors were read since it heard last.
    pub fn load_told(
        self,
        kernel: &Kernel,
        read: &mut dyn FnMut(u64),
    ) -> Result<Model, FormatError> {
        let mut reader = Packer { kernel, reader: Reader::new(&self, read) };
        let model = Model::assemble(&self.decoder, &mut reader)?;
        self.weights.check_unchanged()?;
        Ok(model)
    }

    /// Reads the weights as they are trained: in `f32`, whatever they are in the file.
    pub fn parameters(self) -> Result<Parameters, FormatError> {
        self.parameters_told(&mut |_| {})
    }

    /// The same; `read` hears how many bytes of tensors were read since it heard last.
    pub fn parameters_told(self, read: &mut dyn FnMut(u64)) -> Result<Parameters, FormatError> {
        let layout = Layout::new(&self.decoder)?;
        let mut reader = Reader::new(&self, read);
        let mut values = vec![0.0; layout.len()];
        for tensor in layout.tensors() {
            let out = &mut values[tensor.range.clone()];
            match tensor.kind {
                Kind::Weight if !tensor.part.is_norm() => {
                    reader.widened(tensor.part, tensor.layer, out)?;
                }
                kind => out.copy_from_slice(&reader.vector(tensor.part, tensor.layer, kind)?),
            }
        }
        self.weights.check_unchanged()?;
        Ok(Parameters::new(&self.decoder, values).expect("one value for each parameter"))
    }

    /// Bytes of a part's matrix in memory.
    fn packed_size(
        &self,
        part: Part,
        format: Format,
        tensor: &TensorInfo,
    ) -> Result<u64, FormatError> {
        let (rows, cols) = (self.decoder.rows(part), self.decoder.columns(part));
        let size = Matrix::size_of(format, rows, cols).map(|size| size as u64);
        size.ok_or_else(|| {
            FormatError::new(format!("tensor {}: rows of {cols} {format}", tensor.name))
        })
    }

    /// Checks every tensor; returns the bytes that they take in memory.
    fn check(&self) -> Result<u64, FormatError> {
        let mut used = BTreeSet::new();
        let mut bytes = 0u64;
        for (part, layer, kind) in self.decoder.tensors() {
            let tensor = match kind {
                Kind::Weight if !part.is_norm() => {
                    let (tensor, format, _) = self.find_matrix(part, layer)?;
                    bytes = bytes.saturating_add(self.packed_size(part, format, tensor)?);
                    tensor
                }
                kind => self.find_vector(part, layer, kind)?,
            };
            used.insert(tensor.name.as_str());
        }
        let left = self
            .weights
            .tensors()
            .keys()
            .find(|name| !used.contains(name.as_str()) && !self.idle(name));
        match left {
            Some(name) => {
                Err(FormatError::new(format!("tensor {name} has no place in this model")))
            }
            None => Ok(bytes),
        }
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
        let (tensor, rows) = self.find(part, layer, Kind::Weight)?;
        let want = [rows.total, self.decoder.columns(part)];
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
        kind: Kind,
    ) -> Result<&'a TensorInfo, FormatError> {
        let (tensor, rows) = self.find(part, layer, kind)?;
        if tensor.shape != [rows.total] {
            let (name, shape) = (&tensor.name, &tensor.shape);
            let text = format!("tensor {name} has shape {shape:?}, not [{}]", rows.total);
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
        kind: Kind,
    ) -> Result<(&'a TensorInfo, RowMap), FormatError> {
        let source = self.style.source(&self.decoder, part, layer, self.is_fused(layer));
        Ok((self.weights.tensor(&format!("{}.{}", source.name, kind.suffix()))?, source.rows))
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
    /// Hears how much was read.
    read: &'a mut dyn FnMut(u64),
    /// Rows in the part's order.
    piece: Vec<u8>,
    /// Rows as they lie in the file.
    rows: Vec<u8>,
}

/// Reads checked tensors and packs them.
struct Packer<'a> {
    reader: Reader<'a>,
    kernel: &'a Kernel,
}

impl Parts for Packer<'_> {
    type Error = FormatError;

    fn matrix(&mut self, part: Part, layer: usize) -> Result<Matrix, FormatError> {
        let (_, format, _) = self.reader.plan.find_matrix(part, layer)?;
        let decoder = &self.reader.plan.decoder;
        let mut matrix = Matrix::zeroed(format, decoder.rows(part), decoder.columns(part));
        self.reader.each_piece(part, layer, |first, rows| {
            self.kernel.pack_rows(&mut matrix, first, rows);
        })?;
        Ok(matrix)
    }

    fn vector(&mut self, part: Part, layer: usize, kind: Kind) -> Result<Vec<f32>, FormatError> {
        self.reader.vector(part, layer, kind)
    }
}

impl<'a> Reader<'a> {
    fn new(plan: &'a Plan<'a>, read: &'a mut dyn FnMut(u64)) -> Self {
        Self { plan, read, piece: Vec::new(), rows: Vec::new() }
    }

    /// A part's matrix as floats, `[rows, columns]`.
    fn widened(&mut self, part: Part, layer: usize, out: &mut [f32]) -> Result<(), FormatError> {
        let (_, format, _) = self.plan.find_matrix(part, layer)?;
        let columns = self.plan.decoder.columns(part);
        let row_bytes = format.row_bytes(columns).expect("a checked tensor has whole rows");
        self.each_piece(part, layer, |first, rows| {
            let count = rows.len() / row_bytes;
            format.dequantize(rows, &mut out[first * columns..(first + count) * columns]);
        })
    }

    /// Hands a part's rows to `each`, some at a time, with the number of the first.
    fn each_piece(
        &mut self,
        part: Part,
        layer: usize,
        mut each: impl FnMut(usize, &[u8]),
    ) -> Result<(), FormatError> {
        let (tensor, format, map) = self.plan.find_matrix(part, layer)?;
        let rows = self.plan.decoder.rows(part);
        let row_bytes = tensor.row_bytes() as usize;
        // Whole heads where rows are permuted, and a multiple of what is packed together.
        let unit = 16 * map.paired.max(1);
        let some = (PIECE / row_bytes / unit).max(1) * unit;
        for first in (0..rows).step_by(some) {
            let count = some.min(rows - first);
            self.gather(tensor, &map, first, count)?;
            check_finite(tensor, format, &self.piece)?;
            each(first, &self.piece);
            (self.read)(self.piece.len() as u64);
        }
        Ok(())
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

    /// A norm's weight, or a bias.
    fn vector(&mut self, part: Part, layer: usize, kind: Kind) -> Result<Vec<f32>, FormatError> {
        let tensor = self.plan.find_vector(part, layer, kind)?;
        let (_, map) = self.plan.find(part, layer, kind)?;
        let mut bytes = vec![0; tensor.bytes as usize];
        self.plan.weights.read(tensor, 0, &mut bytes)?;
        let format = format_of(tensor)?;
        check_finite(tensor, format, &bytes)?;
        (self.read)(tensor.bytes);
        let all: Vec<f32> = match format {
            Format::F16 => u16_from_le(&bytes).map(f16_to_f32).collect(),
            Format::BF16 => u16_from_le(&bytes).map(bf16_to_f32).collect(),
            _ => f32_from_le(&bytes).collect(),
        };
        let rows = 0..self.plan.decoder.rows(part);
        let mut values: Vec<f32> = rows.map(|i| all[map.source(i)]).collect();
        if let Some(shift) = self.plan.style.norm_shift(part, kind) {
            values.iter_mut().for_each(|x| *x += shift);
        }
        Ok(values)
    }
}

/// Bytes read and packed at a time.
const PIECE: usize = 1 << 20;
