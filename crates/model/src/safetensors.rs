//! The safetensors format: an 8-byte little-endian header length, a JSON header, tensor bytes.
//!
//! The reader is strict: no holes, no overlaps, no duplicate keys, every length checked.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::FormatError;
pub use crate::dtype::Dtype;
use crate::element::ElementType;
use crate::format::{bf16_to_f32, f16_to_f32, f32_from_le, u16_from_le, write_f32};

/// A parsed file; tensor bytes are borrowed from the input.
#[derive(Debug, Clone, PartialEq)]
pub struct File<'a> {
    tensors: BTreeMap<String, View<'a>>,
    metadata: BTreeMap<String, String>,
}

/// One tensor of a [`File`].
#[derive(Debug, Clone, PartialEq)]
pub struct View<'a> {
    /// Element type.
    pub dtype: Dtype,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Little-endian elements, row-major.
    pub bytes: &'a [u8],
}

/// A tensor to be written: name, shape, elements.
pub type Source<'a> = (&'a str, &'a [usize], &'a [f32]);

/// Writes `f32` tensors in the given order, names must differ. The same input gives the same
/// bytes. Panics if a shape disagrees with its elements.
pub fn write_to(
    out: &mut impl Write,
    tensors: &[Source<'_>],
    metadata: &BTreeMap<String, String>,
) -> io::Result<()> {
    let header = header(tensors, metadata);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    for (_, _, values) in tensors {
        write_f32(out, values)?;
    }
    Ok(())
}

/// [`write_to`] a vector.
pub fn write(tensors: &[Source<'_>], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let mut out = Vec::new();
    write_to(&mut out, tensors, metadata).expect("writing to a vector does not fail");
    out
}

/// A file's header.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// The `__metadata__` map.
    pub metadata: BTreeMap<String, String>,
    /// All tensors by name; together they cover the data without holes or overlaps.
    pub tensors: BTreeMap<String, Entry>,
    /// Where the data begin in the file.
    pub start: u64,
}

/// One tensor of a [`Header`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Element type.
    pub dtype: Dtype,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Where its bytes begin and end, counted from [`Header::start`].
    pub data_offsets: [u64; 2],
}

/// Reads a file's header and checks that its tensors tile the rest exactly.
pub fn parse(bytes: &[u8]) -> Result<File<'_>, FormatError> {
    let header = parse_header(bytes, bytes.len() as u64)?;
    let header = header.ok_or_else(|| FormatError::new("safetensors: the file is cut off"))?;
    let data = &bytes[header.start as usize..];
    let view = |(name, Entry { dtype, shape, data_offsets: [start, end] })| {
        (name, View { dtype, shape, bytes: &data[start as usize..end as usize] })
    };
    let tensors = header.tensors.into_iter().map(view).collect();
    Ok(File { tensors, metadata: header.metadata })
}

/// Bytes of a file that hold its header, from the first 8 of them.
pub fn header_size(first: [u8; 8], length: u64) -> Result<u64, FormatError> {
    let size = u64::from_le_bytes(first);
    if size > MAX_HEADER || length < 8 || size > length - 8 {
        let text = format!("safetensors: header of {size} bytes in a file of {length}");
        return Err(FormatError::new(text));
    }
    Ok(8 + size)
}

/// Reads the header of a file of `length` bytes from the first of them. `None` if these are too
/// few to hold it.
pub fn parse_header(bytes: &[u8], length: u64) -> Result<Option<Header>, FormatError> {
    let Some(first) = bytes.first_chunk() else {
        if (bytes.len() as u64) < length {
            return Ok(None);
        }
        let text = format!("safetensors: {length} bytes, the length alone takes 8");
        return Err(FormatError::new(text));
    };
    let start = header_size(*first, length)?;
    let Some(header) = bytes.get(8..start as usize) else { return Ok(None) };
    if header.first() != Some(&b'{') {
        return Err(FormatError::new("safetensors: header does not start with {"));
    }
    let header: RawHeader = serde_json::from_slice(header)
        .map_err(|error| FormatError::new(format!("safetensors header: {error}")))?;
    let available = length - start;
    let mut spans = Vec::with_capacity(header.tensors.len());
    for (name, entry) in &header.tensors {
        check(name, entry, available)?;
        spans.push((entry.data_offsets[0], entry.data_offsets[1]));
    }
    tile(spans, available)?;
    Ok(Some(Header { metadata: header.metadata, tensors: header.tensors, start }))
}

impl<'a> File<'a> {
    /// All tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, View<'a>> {
        &self.tensors
    }

    /// The `__metadata__` map.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The elements of a tensor of this shape as `f32`; F32, F16 and BF16 are understood.
    pub fn floats(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, FormatError> {
        let view = self.tensors.get(name);
        let view = view.ok_or_else(|| FormatError::new(format!("tensor {name} is missing")))?;
        if view.shape != shape {
            let text = format!("tensor {name} has shape {:?}, needs {shape:?}", view.shape);
            return Err(FormatError::new(text));
        }
        match view.dtype {
            Dtype::F32 => Ok(f32_from_le(view.bytes).collect()),
            Dtype::F16 => Ok(u16_from_le(view.bytes).map(f16_to_f32).collect()),
            Dtype::BF16 => Ok(u16_from_le(view.bytes).map(bf16_to_f32).collect()),
            other => {
                let element = ElementType::of_safetensors(other).name;
                Err(FormatError::new(format!("tensor {name} is {element}, needs a float")))
            }
        }
    }
}

fn header(tensors: &[Source<'_>], metadata: &BTreeMap<String, String>) -> String {
    let quote = |text: &str| serde_json::Value::from(text).to_string();
    let mut entries = Vec::new();
    if !metadata.is_empty() {
        let pairs: Vec<String> =
            metadata.iter().map(|(k, v)| format!("{}:{}", quote(k), quote(v))).collect();
        entries.push(format!("\"__metadata__\":{{{}}}", pairs.join(",")));
    }
    let mut at = 0;
    for (name, shape, values) in tensors {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "shape of {name}");
        let end = at + 4 * values.len();
        entries.push(format!(
            "{}:{{\"dtype\":\"F32\",\"shape\":{shape:?},\"data_offsets\":[{at},{end}]}}",
            quote(name)
        ));
        at = end;
    }
    let mut header = format!("{{{}}}", entries.join(","));
    // Tensor bytes start at a multiple of 8, as other writers do it.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    header
}

/// One tensor's own numbers agree with each other and with the file.
fn check(name: &str, entry: &Entry, available: u64) -> Result<(), FormatError> {
    let [start, end] = entry.data_offsets;
    let one = entry.dtype.size() as u64;
    let size = entry.shape.iter().try_fold(one, |size, &n| size.checked_mul(n as u64));
    if start > end || end > available || size != Some(end - start) {
        let text = format!(
            "safetensors: tensor {name} of {} {:?} at bytes {start} to {end}, there are {available}",
            ElementType::of_safetensors(entry.dtype).name,
            entry.shape
        );
        return Err(match end > available {
            true => FormatError::refused(
                format!("the file is cut off or damaged: {text}"),
                "fetch it again; `understory pull` goes on with what is there and checks it",
            ),
            false => FormatError::new(text),
        });
    }
    Ok(())
}

/// The tensors together cover the data without holes or overlaps.
fn tile(mut spans: Vec<(u64, u64)>, available: u64) -> Result<(), FormatError> {
    spans.sort_unstable();
    let mut at = 0;
    for (start, end) in spans {
        if start != at {
            let kind = if start > at { "hole" } else { "overlap" };
            let text = format!("safetensors: {kind} between bytes {at} and {start}");
            return Err(FormatError::new(text));
        }
        at = end;
    }
    if at != available {
        let text = format!("safetensors: {available} bytes of data, tensors cover {at}");
        return Err(FormatError::new(text));
    }
    Ok(())
}

/// The header in file order, so that duplicate keys are seen.
struct RawHeader {
    metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, Entry>,
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawHeader, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = RawHeader;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
        let mut metadata: Option<UniqueMap> = None;
        let mut tensors = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            let repeated = if key == "__metadata__" {
                metadata.replace(map.next_value()?).is_some()
            } else {
                tensors.insert(key.clone(), map.next_value()?).is_some()
            };
            if repeated {
                return Err(serde::de::Error::custom(format!("duplicate key {key}")));
            }
        }
        Ok(RawHeader { metadata: metadata.unwrap_or_default().0, tensors })
    }
}

/// A map of strings without duplicate keys.
#[derive(Default)]
struct UniqueMap(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for UniqueMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<UniqueMap, D::Error> {
        struct StringMap;
        impl<'de> Visitor<'de> for StringMap {
            type Value = UniqueMap;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UniqueMap, A::Error> {
                let mut out = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, String>()? {
                    if out.insert(key.clone(), value).is_some() {
                        return Err(serde::de::Error::custom(format!("duplicate key {key}")));
                    }
                }
                Ok(UniqueMap(out))
            }
        }
        deserializer.deserialize_map(StringMap)
    }
}

/// Largest header accepted, as in the reference implementation.
const MAX_HEADER: u64 = 100_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Vec<u8> {
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        let (a, b) = ([1.0, -2.5, 3.0, 0.0, 1e-9, 6.0], [7.0]);
        write(&[("a.weight", &[2, 3], &a), ("b", &[1], &b)], &metadata)
    }

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut out = (header.len() as u64).to_le_bytes().to_vec();
        out.extend_from_slice(header.as_bytes());
        out.resize(out.len() + data, 0);
        out
    }

    #[test]
    fn reads_what_it_wrote() {
        let bytes = sample();
        let file = parse(&bytes).expect("own file");
        let a = file.floats("a.weight", &[2, 3]).expect("present");
        assert_eq!(a, [1.0, -2.5, 3.0, 0.0, 1e-9, 6.0]);
        assert_eq!(file.metadata()["format"], "pt");
        assert!(file.floats("a.weight", &[3, 2]).is_err());
        assert!(file.floats("c", &[1]).is_err());
        assert_eq!(bytes, sample());
    }

    #[test]
    fn refuses_holes_overlaps_duplicates_and_wrong_lengths() {
        let t = |start: usize, end: usize| {
            format!("{{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[{start},{end}]}}")
        };
        let two = |x: String, y: String| format!("{{\"a\":{x},\"b\":{y}}}");
        assert!(parse(&file(&two(t(0, 4), t(4, 8)), 8)).is_ok());
        let bad = [
            file(&two(t(0, 4), t(8, 12)), 12),
            file(&two(t(0, 4), t(0, 4)), 4),
            file(&two(t(0, 4), t(4, 8)), 9),
            file(&two(t(0, 4), t(4, 8)), 7),
            file(&two(t(0, 4), t(4, 12)), 12),
            file(&two(t(4, 0), t(4, 8)), 8),
            file(&format!("{{\"a\":{},\"a\":{}}}", t(0, 4), t(4, 8)), 8),
            file("{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0),
            file(" {}", 0),
            file(
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[18446744073709551615,9],\"data_offsets\":[0,4]}}",
                4,
            ),
            u64::MAX.to_le_bytes().to_vec(),
            vec![0; 7],
        ];
        for bytes in bad {
            assert!(parse(&bytes).is_err(), "{}", String::from_utf8_lossy(&bytes));
        }
    }

    proptest! {
        #[test]
        fn mutated_bytes_never_panic(at in 0usize..400, byte: u8, cut in 0usize..400) {
            let mut bytes = sample();
            let n = bytes.len();
            bytes[at % n] = byte;
            bytes.truncate(n - cut % n);
            if let Ok(file) = parse(&bytes) {
                for (name, view) in file.tensors() {
                    let _ = file.floats(name, &view.shape);
                }
            }
        }
    }
}
