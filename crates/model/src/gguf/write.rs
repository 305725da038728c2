//! Writing GGUF.

use std::borrow::Cow;
use std::io::{self, Write};

use super::{ALIGNMENT, F32, MAGIC, VERSION, Value};
use crate::element::ElementType;
use crate::format::write_f32;

/// Collects metadata and tensors and writes them in the order in which they came.
#[derive(Default)]
pub struct Writer<'a> {
    metadata: Vec<(String, Value)>,
    tensors: Vec<Tensor<'a>>,
}

struct Tensor<'a> {
    name: String,
    shape: Vec<usize>,
    kind: u32,
    data: Data<'a>,
}

enum Data<'a> {
    Floats(Cow<'a, [f32]>),
    Bytes(Cow<'a, [u8]>),
}

impl Data<'_> {
    fn len(&self) -> usize {
        match self {
            Data::Floats(values) => 4 * values.len(),
            Data::Bytes(bytes) => bytes.len(),
        }
    }
}

impl<'a> Writer<'a> {
    /// Adds a key-value pair. Arrays must be of one type and not empty.
    pub fn set(&mut self, key: &str, value: Value) {
        self.metadata.push((key.to_owned(), value));
    }

    /// Adds an `f32` tensor; `shape` outermost first, as everywhere here.
    /// Panics if the shape disagrees with the elements.
    pub fn tensor(&mut self, name: &str, shape: &[usize], values: impl Into<Cow<'a, [f32]>>) {
        let values = values.into();
        assert_eq!(shape.iter().product::<usize>(), values.len(), "shape of {name}");
        self.push(name, shape, F32, Data::Floats(values));
    }

    /// Adds a tensor of ggml's type `kind` as its bytes; `shape` outermost first.
    /// Panics if that type and shape do not take so many bytes.
    pub fn tensor_bytes(
        &mut self,
        name: &str,
        shape: &[usize],
        kind: u32,
        bytes: impl Into<Cow<'a, [u8]>>,
    ) {
        let bytes = bytes.into();
        let size = ElementType::of_gguf(kind).and_then(|element| element.byte_size(shape));
        assert_eq!(size, Some(bytes.len() as u64), "type and shape of {name}");
        self.push(name, shape, kind, Data::Bytes(bytes));
    }

    fn push(&mut self, name: &str, shape: &[usize], kind: u32, data: Data<'a>) {
        self.tensors.push(Tensor { name: name.to_owned(), shape: shape.to_vec(), kind, data });
    }

    /// Writes the file.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let header = self.header();
        out.write_all(&header)?;
        for Tensor { data, .. } in &self.tensors {
            match data {
                Data::Floats(values) => write_f32(out, values)?,
                Data::Bytes(bytes) => out.write_all(bytes)?,
            }
            pad(out, data.len())?;
        }
        Ok(())
    }

    fn header(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(VERSION.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            string(&mut out, key);
            out.extend(value.kind().to_le_bytes());
            put(&mut out, value);
        }
        let mut offset = 0u64;
        for Tensor { name, shape, kind, data } in &self.tensors {
            string(&mut out, name);
            out.extend((shape.len() as u32).to_le_bytes());
            // The format lists the innermost size first.
            for size in shape.iter().rev() {
                out.extend((*size as u64).to_le_bytes());
            }
            out.extend(kind.to_le_bytes());
            out.extend(offset.to_le_bytes());
            offset += data.len().next_multiple_of(ALIGNMENT) as u64;
        }
        out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
        out
    }
}

fn pad(out: &mut impl Write, length: usize) -> io::Result<()> {
    out.write_all(&[0; ALIGNMENT][..length.next_multiple_of(ALIGNMENT) - length])
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(x) => out.push(*x),
        Value::I8(x) => out.extend(x.to_le_bytes()),
        Value::U16(x) => out.extend(x.to_le_bytes()),
        Value::I16(x) => out.extend(x.to_le_bytes()),
        Value::U32(x) => out.extend(x.to_le_bytes()),
        Value::I32(x) => out.extend(x.to_le_bytes()),
        Value::F32(x) => out.extend(x.to_le_bytes()),
        Value::Bool(x) => out.push(u8::from(*x)),
        Value::String(text) => string(out, text),
        Value::U64(x) => out.extend(x.to_le_bytes()),
        Value::I64(x) => out.extend(x.to_le_bytes()),
        Value::F64(x) => out.extend(x.to_le_bytes()),
        Value::Array(values) => {
            out.extend(values.first().map_or(0, Value::kind).to_le_bytes());
            out.extend((values.len() as u64).to_le_bytes());
            values.iter().for_each(|value| put(out, value));
        }
    }
}
