//! Reading GGUF: nothing is allocated for a count before the bytes for it are known to be there.

use std::collections::BTreeMap;

use super::{ALIGNMENT, BF16, F16, F32, MAGIC, VERSION, Value};
use crate::FormatError;
use crate::format::{bf16_to_f32, f16_to_f32, f32_from_le, u16_from_le};

/// A parsed file; tensor bytes are borrowed from the input.
#[derive(Debug, Clone, PartialEq)]
pub struct File<'a> {
    metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, Info<'a>>,
}

/// One tensor of a [`File`].
#[derive(Debug, Clone, PartialEq)]
pub struct Info<'a> {
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Number of the element type as in ggml.
    pub kind: u32,
    /// The tensor's bytes.
    pub bytes: &'a [u8],
}

/// Reads metadata and tensor infos and checks every length, offset, duplicate and overlap.
pub fn parse(bytes: &[u8]) -> Result<File<'_>, FormatError> {
    let mut cursor = Cursor { bytes, at: 0, values: 0 };
    if cursor.take(4)? != MAGIC {
        return Err(FormatError::new("gguf: the file does not start with GGUF"));
    }
    let version = cursor.u32()?;
    if !(2..=VERSION).contains(&version) {
        return Err(FormatError::new(format!("gguf: version {version}, 2 and 3 are supported")));
    }
    let (tensors, pairs) = (cursor.u64()?, cursor.u64()?);
    let mut metadata = BTreeMap::new();
    for _ in 0..pairs {
        let (key, kind) = (cursor.string()?, cursor.u32()?);
        let value = cursor.value(kind, 0)?;
        if metadata.insert(key.clone(), value).is_some() {
            return Err(FormatError::new(format!("gguf: key {key} is there twice")));
        }
    }
    let alignment = alignment(&metadata)?;
    let raw = (0..tensors).map(|_| cursor.info());
    // Collecting stops at the first error, so a false count costs nothing.
    let raw = raw.collect::<Result<Vec<Raw>, _>>()?;
    let start = cursor.at.next_multiple_of(alignment).min(bytes.len());
    let tensors = place(raw, &bytes[start..], alignment)?;
    Ok(File { metadata, tensors })
}

impl<'a> File<'a> {
    /// All key-value pairs.
    pub fn metadata(&self) -> &BTreeMap<String, Value> {
        &self.metadata
    }

    /// All tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, Info<'a>> {
        &self.tensors
    }

    /// The elements of a tensor of this shape as `f32`; F32, F16 and BF16 are understood.
    pub fn floats(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, FormatError> {
        let info = self.tensors.get(name);
        let info = info.ok_or_else(|| FormatError::new(format!("tensor {name} is missing")))?;
        if info.shape != shape {
            let text = format!("tensor {name} has shape {:?}, needs {shape:?}", info.shape);
            return Err(FormatError::new(text));
        }
        match info.kind {
            F32 => Ok(f32_from_le(info.bytes).collect()),
            F16 => Ok(u16_from_le(info.bytes).map(f16_to_f32).collect()),
            BF16 => Ok(u16_from_le(info.bytes).map(bf16_to_f32).collect()),
            kind => Err(FormatError::new(format!("tensor {name} has type {kind}, needs a float"))),
        }
    }
}

struct Raw {
    name: String,
    shape: Vec<usize>,
    kind: u32,
    offset: u64,
}

/// Finds each tensor's bytes; tensors may not overlap.
fn place<'a>(
    raw: Vec<Raw>,
    data: &'a [u8],
    alignment: usize,
) -> Result<BTreeMap<String, Info<'a>>, FormatError> {
    let mut spans = Vec::with_capacity(raw.len());
    let mut tensors = BTreeMap::new();
    for Raw { name, shape, kind, offset } in raw {
        let size = byte_size(&shape, kind);
        let size = size.ok_or_else(|| {
            FormatError::new(format!("gguf: tensor {name} of type {kind} and shape {shape:?}"))
        })?;
        let start = usize::try_from(offset).ok().filter(|start| start.is_multiple_of(alignment));
        let end = start.and_then(|start| start.checked_add(size));
        let (Some(start), Some(end)) = (start, end.filter(|&end| end <= data.len())) else {
            let text =
                format!("gguf: tensor {name} of {size} bytes at {offset}, file has {}", data.len());
            return Err(FormatError::new(text));
        };
        spans.push((start, end));
        let info = Info { shape, kind, bytes: &data[start..end] };
        if tensors.insert(name.clone(), info).is_some() {
            return Err(FormatError::new(format!("gguf: tensor {name} is there twice")));
        }
    }
    spans.sort_unstable();
    match spans.windows(2).find(|pair| pair[0].1 > pair[1].0) {
        Some(pair) => Err(FormatError::new(format!("gguf: tensors overlap at {}", pair[1].0))),
        None => Ok(tensors),
    }
}

/// Bytes of a tensor; `None` for unknown types, rows that are not whole blocks, and overflow.
fn byte_size(shape: &[usize], kind: u32) -> Option<usize> {
    let (_, elements, bytes) = *BLOCKS.iter().find(|block| block.0 == kind)?;
    let row = *shape.last()?;
    let count = shape.iter().try_fold(1usize, |count, &n| count.checked_mul(n))?;
    if !row.is_multiple_of(elements) {
        return None;
    }
    (count / elements).checked_mul(bytes)
}

fn alignment(metadata: &BTreeMap<String, Value>) -> Result<usize, FormatError> {
    let Some(value) = metadata.get("general.alignment") else { return Ok(ALIGNMENT) };
    let size = value.as_u64().filter(|size| size.is_power_of_two() && (8..=1 << 20).contains(size));
    let size = size.ok_or_else(|| FormatError::new(format!("gguf: alignment is {value:?}")))?;
    Ok(size as usize)
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Values read so far, bounded by [`MAX_VALUES`].
    values: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], FormatError> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..length).ok_or_else(|| {
            let (at, left) = (self.at, rest.len());
            FormatError::new(format!("gguf: {length} bytes wanted at {at}, {left} are left"))
        })?;
        self.at += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        Ok(self.take(N)?.try_into().expect("took N bytes"))
    }

    fn u32(&mut self) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn string(&mut self) -> Result<String, FormatError> {
        let (at, length) = (self.at, self.u64()?);
        let bytes = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        let text = std::str::from_utf8(bytes);
        Ok(text.map_err(|_| FormatError::new(format!("gguf: text at {at} is not UTF-8")))?.into())
    }

    fn value(&mut self, kind: u32, depth: usize) -> Result<Value, FormatError> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(FormatError::new(format!("gguf: more than {MAX_VALUES} values")));
        }
        Ok(match kind {
            0 => Value::U8(self.array::<1>()?[0]),
            1 => Value::I8(i8::from_le_bytes(self.array()?)),
            2 => Value::U16(u16::from_le_bytes(self.array()?)),
            3 => Value::I16(i16::from_le_bytes(self.array()?)),
            4 => Value::U32(self.u32()?),
            5 => Value::I32(i32::from_le_bytes(self.array()?)),
            6 => Value::F32(f32::from_le_bytes(self.array()?)),
            7 => match self.array::<1>()?[0] {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                x => return Err(FormatError::new(format!("gguf: {x} is no bool"))),
            },
            8 => Value::String(self.string()?),
            9 if depth < MAX_DEPTH => {
                let (kind, count) = (self.u32()?, self.u64()?);
                let values = (0..count).map(|_| self.value(kind, depth + 1));
                Value::Array(values.collect::<Result<_, _>>()?)
            }
            10 => Value::U64(self.u64()?),
            11 => Value::I64(i64::from_le_bytes(self.array()?)),
            12 => Value::F64(f64::from_le_bytes(self.array()?)),
            _ => return Err(FormatError::new(format!("gguf: type {kind} at {}", self.at))),
        })
    }

    fn info(&mut self) -> Result<Raw, FormatError> {
        let name = self.string()?;
        let dimensions = self.u32()?;
        if !(1..=4).contains(&dimensions) {
            let text = format!("gguf: tensor {name} has {dimensions} dimensions");
            return Err(FormatError::new(text));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            let size = self.u64()?;
            let size = usize::try_from(size).ok().filter(|&size| size > 0);
            let size = size.ok_or_else(|| {
                FormatError::new(format!("gguf: tensor {name} has a size that is no use"))
            })?;
            shape.push(size);
        }
        shape.reverse();
        Ok(Raw { name, shape, kind: self.u32()?, offset: self.u64()? })
    }
}

/// Most metadata values, elements of arrays included: bounds memory, since a value in memory is
/// larger than in the file.
const MAX_VALUES: usize = 1 << 23;
const MAX_DEPTH: usize = 3;

/// (type, elements of a block, bytes of a block).
const BLOCKS: [(u32, usize, usize); 21] = [
    (F32, 1, 4),
    (F16, 1, 2),
    (2, 32, 18),    // Q4_0
    (3, 32, 20),    // Q4_1
    (6, 32, 22),    // Q5_0
    (7, 32, 24),    // Q5_1
    (8, 32, 34),    // Q8_0
    (9, 32, 36),    // Q8_1
    (10, 256, 84),  // Q2_K
    (11, 256, 110), // Q3_K
    (12, 256, 144), // Q4_K
    (13, 256, 176), // Q5_K
    (14, 256, 210), // Q6_K
    (15, 256, 292), // Q8_K
    (20, 32, 18),   // IQ4_NL
    (24, 1, 1),     // I8
    (25, 1, 2),     // I16
    (26, 1, 4),     // I32
    (27, 1, 8),     // I64
    (28, 1, 8),     // F64
    (BF16, 1, 2),
];
