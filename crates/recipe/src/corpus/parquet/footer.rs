//! The end of a Parquet file: its schema, and where the pages of each column lie.

use super::{
    ParquetError, damaged,
    schema::{Column, Element, columns},
    thrift::{BINARY, I32, I64, LIST, STRUCT, Thrift},
};
use std::io::{BufRead, Read, Seek, SeekFrom};

/// Most bytes of metadata.
const MAX_FOOTER: u64 = 64 << 20;
/// Most elements of a schema, and most row groups.
const MAX_ELEMENTS: usize = 1 << 17;
/// Bytes behind the metadata: their length and the magic.
const TAIL: u64 = 8;

/// What is read of the metadata.
#[derive(Debug)]
pub(super) struct Footer {
    pub columns: Vec<Column>,
    pub groups: Vec<Group>,
}

/// A group of rows.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub rows: u64,
    /// Where the pages of each column of texts lie, in their order.
    pub chunks: Vec<Chunk>,
}

/// The pages of a column in a group.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunk {
    pub codec: i64,
    pub at: u64,
    pub length: u64,
}

/// Reads the metadata at the end of `file`.
pub(super) fn read(mut file: impl Read + Seek) -> Result<Footer, ParquetError> {
    let size = file.seek(SeekFrom::End(0))?;
    let bytes = metadata(&mut file, size)?;
    let mut schema = None;
    let mut groups = None;
    let mut thrift = Thrift::new(bytes.as_slice(), MAX_FOOTER);
    let mut last = 0;
    while let Some(field) = thrift.field(&mut last)? {
        match (field.id, field.kind, &schema) {
            (2, LIST, None) => schema = Some(columns(elements(&mut thrift)?)?),
            (4, LIST, Some((columns, leaves))) => {
                groups = Some(row_groups(&mut thrift, columns, *leaves)?);
            }
            (4, LIST, None) => return Err(damaged("its metadata has rows before a schema")),
            _ => thrift.skip(field.kind)?,
        }
    }
    let (columns, _) = schema.ok_or_else(|| damaged("it has no schema"))?;
    let groups = groups.unwrap_or_default();
    let inside = |chunk: &Chunk| chunk.at.checked_add(chunk.length).is_some_and(|end| end <= size);
    if !groups.iter().flat_map(|group: &Group| &group.chunks).all(inside) {
        return Err(damaged("a column lies beyond its end"));
    }
    Ok(Footer { columns, groups })
}

fn metadata(file: &mut (impl Read + Seek), size: u64) -> Result<Vec<u8>, ParquetError> {
    let start = size.checked_sub(TAIL).ok_or(ParquetError::NoEnd)?;
    file.seek(SeekFrom::Start(start))?;
    let mut tail = [0; TAIL as usize];
    file.read_exact(&mut tail)?;
    let [a, b, c, d, magic @ ..] = tail;
    match &magic {
        b"PAR1" => {}
        b"PARE" => return Err(ParquetError::Encrypted),
        _ => return Err(ParquetError::NoEnd),
    }
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    if length > MAX_FOOTER {
        return Err(damaged("its metadata has more than 64 MiB"));
    }
    // Magic, at the beginning too.
    let at = start.checked_sub(length).filter(|at| *at >= 4).ok_or(ParquetError::NoEnd)?;
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    file.by_ref().take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn elements(thrift: &mut Thrift<impl BufRead>) -> Result<Vec<Element>, ParquetError> {
    structures(thrift, |thrift| {
        let (mut element, mut last) = (Element::default(), 0);
        while let Some(field) = thrift.field(&mut last)? {
            match (field.id, field.kind) {
                (1, I32) => element.physical = Some(thrift.int()?),
                (3, I32) => element.repetition = thrift.int()?,
                (4, BINARY) => element.name = thrift.text()?,
                (5, I32) => element.children = thrift.int()?,
                (_, kind) => thrift.skip(kind)?,
            }
        }
        Ok(element)
    })
}

fn row_groups(
    thrift: &mut Thrift<impl BufRead>,
    columns: &[Column],
    leaves: usize,
) -> Result<Vec<Group>, ParquetError> {
    structures(thrift, |thrift| {
        let (mut group, mut last) = (Group::default(), 0);
        while let Some(field) = thrift.field(&mut last)? {
            match (field.id, field.kind) {
                (1, LIST) => group.chunks = chunks(thrift, columns, leaves)?,
                (3, I64) => group.rows = unsigned(thrift.int()?)?,
                (_, kind) => thrift.skip(kind)?,
            }
        }
        match group.chunks.len() == columns.len() {
            true => Ok(group),
            false => Err(damaged("a group of rows has no columns")),
        }
    })
}

/// Those of the columns with texts; the others are passed over.
fn chunks(
    thrift: &mut Thrift<impl BufRead>,
    columns: &[Column],
    leaves: usize,
) -> Result<Vec<Chunk>, ParquetError> {
    let (number, kind) = thrift.list()?;
    if number != leaves as u64 || kind != STRUCT {
        return Err(damaged("a group of rows has other columns than the schema"));
    }
    let mut found = vec![Chunk::default(); columns.len()];
    for leaf in 0..leaves {
        match columns.iter().position(|column| column.leaf == leaf) {
            Some(place) => found[place] = chunk(thrift)?,
            None => thrift.skip(STRUCT)?,
        }
    }
    Ok(found)
}

fn chunk(thrift: &mut Thrift<impl BufRead>) -> Result<Chunk, ParquetError> {
    let (mut chunk, mut last) = (None, 0);
    while let Some(field) = thrift.field(&mut last)? {
        match (field.id, field.kind) {
            (1, BINARY) => return Err(ParquetError::Elsewhere),
            (3, STRUCT) => chunk = Some(placed(thrift)?),
            // How the column is encrypted, and its metadata where that is, too.
            (8, STRUCT) | (9, BINARY) => return Err(ParquetError::Encrypted),
            (_, kind) => thrift.skip(kind)?,
        }
    }
    chunk.ok_or_else(|| damaged("a column has no metadata"))
}

fn placed(thrift: &mut Thrift<impl BufRead>) -> Result<Chunk, ParquetError> {
    let (mut chunk, mut last) = (Chunk::default(), 0);
    let (mut data, mut dictionary) = (0u64, 0u64);
    while let Some(field) = thrift.field(&mut last)? {
        match (field.id, field.kind) {
            (4, I32) => chunk.codec = thrift.int()?,
            (7, I64) => chunk.length = unsigned(thrift.int()?)?,
            (9, I64) => data = unsigned(thrift.int()?)?,
            (11, I64) => dictionary = unsigned(thrift.int()?)?,
            (_, kind) => thrift.skip(kind)?,
        }
    }
    // Some writers say 0 where there is no dictionary, others name no field; where there are no rows
    // it is the other way round.
    let first = [dictionary, data].into_iter().filter(|at| *at > 0).min();
    chunk.at = first.unwrap_or_default();
    Ok(chunk)
}

fn structures<R: BufRead, T>(
    thrift: &mut Thrift<R>,
    mut one: impl FnMut(&mut Thrift<R>) -> Result<T, ParquetError>,
) -> Result<Vec<T>, ParquetError> {
    let (number, kind) = thrift.list()?;
    let mut all = Vec::new();
    if kind != STRUCT && number > 0 || number > MAX_ELEMENTS as u64 {
        return Err(damaged("its metadata has too many parts, or none that are known"));
    }
    for _ in 0..number {
        all.push(one(thrift)?);
    }
    Ok(all)
}

fn unsigned(number: i64) -> Result<u64, ParquetError> {
    u64::try_from(number).map_err(|_| damaged("a number in its metadata is negative"))
}
