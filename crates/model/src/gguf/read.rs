//! Reading GGUF: nothing is allocated for a count before the bytes for it are known to be there.

use std::collections::BTreeMap;

use super::{ALIGNMENT, BF16, F16, F32, MAGIC, VERSION, Value};
use crate::FormatError;
use crate::element::ElementType;
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

/// Everything before the tensors' bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// All key-value pairs.
    pub metadata: BTreeMap<String, Value>,
    /// All tensors by name; they lie inside the file and do not overlap.
    pub tensors: BTreeMap<String, Entry>,
}

/// One tensor of a [`Header`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// The element type.
    pub element: ElementType,
    /// Number of the element type as in ggml.
    pub kind: u32,
    /// Where its bytes begin in the file.
    pub offset: u64,
    /// How many there are.
    pub bytes: u64,
}

/// Reads metadata and tensor infos and checks every length, offset, duplicate and overlap.
pub fn parse(bytes: &[u8]) -> Result<File<'_>, FormatError> {
    let header = parse_header(bytes, bytes.len() as u64)?;
    let header = header.ok_or_else(|| FormatError::new("gguf: the file is cut off"))?;
    let place = |(name, entry): (String, Entry)| {
        // Inside the input, which the header's reader was told the length of.
        let (start, size) = (entry.offset as usize, entry.bytes as usize);
        let bytes = &bytes[start..start + size];
        (name, Info { shape: entry.shape, kind: entry.kind, bytes })
    };
    let tensors = header.tensors.into_iter().map(place).collect();
    Ok(File { metadata: header.metadata, tensors })
}

/// Reads the header of a file of `length` bytes from the first of them. `None` if these are too
/// few to hold it.
pub fn parse_header(bytes: &[u8], length: u64) -> Result<Option<Header>, FormatError> {
    let mut cursor = Cursor { bytes, at: 0, values: 0, short: false };
    match cursor.header(length) {
        Err(_) if cursor.short && (bytes.len() as u64) < length => Ok(None),
        result => result.map(Some),
    }
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

/// Finds each tensor's place in a file of `length` bytes whose data begin at `start`; tensors may
/// not overlap.
fn place(
    raw: Vec<Raw>,
    start: u64,
    length: u64,
    alignment: u64,
) -> Result<BTreeMap<String, Entry>, FormatError> {
    let mut spans = Vec::with_capacity(raw.len());
    let mut tensors = BTreeMap::new();
    for Raw { name, shape, kind, offset } in raw {
        let element = ElementType::of_gguf(kind);
        let size = element.and_then(|element| element.byte_size(&shape));
        let (Some(element), Some(bytes)) = (element, size) else {
            return Err(no_size(&name, kind, &shape));
        };
        let place = Some(offset).filter(|offset| offset.is_multiple_of(alignment));
        let place = place.and_then(|offset| offset.checked_add(start));
        let end = place.and_then(|place| place.checked_add(bytes));
        let (Some(offset), Some(end)) = (place, end.filter(|&end| end <= length)) else {
            let at = format!("tensor {name} of {bytes} bytes at {offset}, the file has {length}");
            return Err(match end.is_some_and(|end| end > length) {
                true => cut_off(&at),
                false => FormatError::new(format!("gguf: no place for {at}")),
            });
        };
        spans.push((offset, end));
        if tensors.insert(name.clone(), Entry { shape, element, kind, offset, bytes }).is_some() {
            return Err(FormatError::new(format!("gguf: tensor {name} is there twice")));
        }
    }
    spans.sort_unstable();
    match spans.windows(2).find(|pair| pair[0].1 > pair[1].0) {
        Some(pair) => Err(FormatError::new(format!("gguf: tensors overlap at {}", pair[1].0))),
        None => Ok(tensors),
    }
}

fn alignment(metadata: &BTreeMap<String, Value>) -> Result<u64, FormatError> {
    let Some(value) = metadata.get("general.alignment") else { return Ok(ALIGNMENT as u64) };
    let size = value.as_u64().filter(|size| size.is_power_of_two() && (8..=1 << 20).contains(size));
    size.ok_or_else(|| {
        FormatError::new("gguf: general.alignment is no power of two from 8 to 1048576")
    })
}

/// Why a tensor has no size: a type that is not known, or rows that are no whole blocks of it.
fn no_size(name: &str, kind: u32, shape: &[usize]) -> FormatError {
    match ElementType::of_gguf(kind) {
        None => FormatError::refused(
            format!("gguf: tensor {name} has weights of type {kind}, which is not known here"),
            "take the same model in another quantization, such as Q4_K_M or Q8_0",
        ),
        Some(element) => FormatError::new(format!(
            "gguf: tensor {name}: its shape {shape:?} is none that weights of type {} can have",
            element.name
        )),
    }
}

/// What is wanted is beyond the end of the file.
fn cut_off(what: &str) -> FormatError {
    FormatError::refused(
        format!("gguf: the file is cut off or damaged: {what}"),
        "fetch it again; `understory pull` goes on with what is there and checks it",
    )
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Values read so far, bounded by [`MAX_VALUES`].
    values: usize,
    /// Whether more bytes were wanted than there are.
    short: bool,
}

impl<'a> Cursor<'a> {
    fn header(&mut self, length: u64) -> Result<Header, FormatError> {
        if self.take(4)? != MAGIC {
            return Err(FormatError::refused(
                "gguf: the file does not start with GGUF",
                "a .gguf file, a folder with one, or a Hugging Face folder is read",
            ));
        }
        let version = self.u32()?;
        if (2..=VERSION).contains(&version.swap_bytes()) {
            return Err(FormatError::refused(
                "gguf: a big-endian file, only little-endian ones are read",
                "llama.cpp's gguf_convert_endian.py turns it around",
            ));
        }
        if !(2..=VERSION).contains(&version) {
            let text = format!("gguf: version {version}, 2 and 3 are supported");
            let todo = "take a newer file of the same model, or a newer version of this program";
            return Err(FormatError::refused(text, todo));
        }
        let (tensors, pairs) = (self.u64()?, self.u64()?);
        let mut metadata = BTreeMap::new();
        for _ in 0..pairs {
            let (key, kind) = (self.string()?, self.u32()?);
            let value = self.value(kind, 0)?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(FormatError::new(format!("gguf: key {key} is there twice")));
            }
        }
        let alignment = alignment(&metadata)?;
        let raw = (0..tensors).map(|_| self.info());
        // Collecting stops at the first error, so a false count costs nothing.
        let raw = raw.collect::<Result<Vec<Raw>, _>>()?;
        let start = (self.at as u64).next_multiple_of(alignment);
        let tensors = place(raw, start, length, alignment)?;
        Ok(Header { metadata, tensors })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], FormatError> {
        let rest = &self.bytes[self.at..];
        let Some(taken) = rest.get(..length) else {
            self.short = true;
            let (at, left) = (self.at, rest.len());
            return Err(cut_off(&format!("{length} bytes wanted at {at}, {left} are left")));
        };
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
