//! The pages of a column, one after the other, unpacked.

use super::{
    Budget, ParquetError, damaged,
    footer::Chunk,
    levels::Hybrid,
    schema::Level,
    thrift::{FALSE, I32, STRUCT, Thrift},
    values::{Dictionary, Values},
};
use crate::corpus::kind::{Members, Packing};
use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
};

/// Most bytes of a page, unpacked; writers make pages of a megabyte.
const MAX_PAGE: u64 = 256 << 20;
/// Most bytes of the header of a page, which may have the least and the greatest value in it.
const MAX_HEADER: u64 = 16 << 20;

/// Reads the pages of a column.
pub(super) struct Pages<'a> {
    from: BufReader<Window<'a>>,
    codec: i64,
    most: Level,
    pub dictionary: Dictionary,
}

/// Values of a page, with their levels.
pub(super) struct Page {
    pub bytes: Vec<u8>,
    /// Values, absent ones included, that are still to be read.
    pub left: u64,
    pub repetition: Hybrid,
    pub definition: Hybrid,
    pub values: Values,
}

/// What a header says of a page.
#[derive(Debug, Default)]
struct Header {
    kind: i64,
    unpacked: u64,
    packed: u64,
    values: u64,
    encoding: i64,
    /// How repetitions and definitions are encoded in pages of the first kind.
    level_encodings: [i64; 2],
    /// Bytes of levels before the values, which are not packed, in pages of the second kind.
    levels: [u64; 2],
    /// Whether the values of such a page are as they are.
    plain: bool,
}

const DATA: i64 = 0;
const DICTIONARY: i64 = 2;
const DATA_2: i64 = 3;
/// The encoding of levels in runs and packed bits.
const RUNS: i64 = 3;

impl<'a> Pages<'a> {
    pub fn new(file: &'a File, chunk: &Chunk, most: Level) -> Self {
        let window = Window { file, at: chunk.at, left: chunk.length };
        let (from, dictionary) = (BufReader::new(window), Dictionary::default());
        Self { from, codec: chunk.codec, most, dictionary }
    }

    /// The next page with values; `None` after the last.
    pub fn next(&mut self, budget: &mut Budget) -> Result<Option<Page>, ParquetError> {
        loop {
            if io::BufRead::fill_buf(&mut self.from)?.is_empty() {
                return Ok(None);
            }
            let header = header(&mut Thrift::new(&mut self.from, MAX_HEADER))?;
            if header.unpacked > MAX_PAGE || header.packed > MAX_PAGE {
                return Err(damaged("a page has more than 256 MiB"));
            }
            let mut packed = Vec::new();
            let read = self.from.by_ref().take(header.packed).read_to_end(&mut packed)?;
            if read as u64 != header.packed {
                return Err(damaged("it ends inside a page"));
            }
            budget.page(header.unpacked)?;
            match header.kind {
                DATA => return self.data(&header, &packed).map(Some),
                DATA_2 => return self.data_2(&header, packed).map(Some),
                DICTIONARY => self.keep(&header, &packed)?,
                // An index, or something newer that readers may pass over.
                _ => {}
            }
        }
    }

    fn keep(&mut self, header: &Header, packed: &[u8]) -> Result<(), ParquetError> {
        if ![0, 2].contains(&header.encoding) {
            return Err(ParquetError::Encoding(header.encoding));
        }
        let bytes = unpack(self.codec, packed, header.unpacked)?;
        self.dictionary = Dictionary::new(bytes, header.values)?;
        Ok(())
    }

    fn data(&self, header: &Header, packed: &[u8]) -> Result<Page, ParquetError> {
        let bytes = unpack(self.codec, packed, header.unpacked)?;
        let mut at = 0;
        let mut levels = |most: u32, encoding: i64| {
            if most == 0 {
                return Ok(Hybrid::none());
            }
            if encoding != RUNS {
                return Err(ParquetError::Encoding(encoding));
            }
            let short = || damaged("a page ends inside its levels");
            let head = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>).ok_or_else(short)?;
            let from = at + 4;
            at = from.saturating_add(u32::from_le_bytes(*head) as usize);
            match at <= bytes.len() {
                true => Ok(Hybrid::new(from, at, width(most))),
                false => Err(short()),
            }
        };
        let repetition = levels(self.most.repetition, header.level_encodings[0])?;
        let definition = levels(self.most.definition, header.level_encodings[1])?;
        let values = Values::new(header.encoding, &bytes, at)?;
        Ok(Page { left: header.values, bytes, repetition, definition, values })
    }

    fn data_2(&self, header: &Header, packed: Vec<u8>) -> Result<Page, ParquetError> {
        let [repeated, defined] = header.levels;
        let levels = repeated.saturating_add(defined);
        if levels > packed.len() as u64 || levels > header.unpacked {
            return Err(damaged("a page ends inside its levels"));
        }
        let (repeated, at) = (repeated as usize, levels as usize);
        let mut bytes = packed;
        if !header.plain && self.codec != 0 {
            let values = bytes.split_off(at);
            bytes.extend(unpack(self.codec, &values, header.unpacked - levels)?);
        }
        let values = Values::new(header.encoding, &bytes, at)?;
        let levels = |from, to, most| match most {
            0 => Hybrid::none(),
            most => Hybrid::new(from, to, width(most)),
        };
        let repetition = levels(0, repeated, self.most.repetition);
        let definition = levels(repeated, at, self.most.definition);
        Ok(Page { left: header.values, bytes, repetition, definition, values })
    }
}

/// Bits of a level.
fn width(most: u32) -> u32 {
    u32::BITS - most.leading_zeros()
}

fn header(thrift: &mut Thrift<impl io::BufRead>) -> Result<Header, ParquetError> {
    let (mut header, mut last) = (Header::default(), 0);
    while let Some(field) = thrift.field(&mut last)? {
        match (field.id, field.kind) {
            (1, I32) => header.kind = thrift.int()?,
            (2, I32) => header.unpacked = size(thrift.int()?)?,
            (3, I32) => header.packed = size(thrift.int()?)?,
            (5 | 7 | 8, STRUCT) => part(thrift, field.id, &mut header)?,
            (_, kind) => thrift.skip(kind)?,
        }
    }
    Ok(header)
}

/// What the header of a page says of its kind.
fn part(
    thrift: &mut Thrift<impl io::BufRead>,
    of: i16,
    header: &mut Header,
) -> Result<(), ParquetError> {
    let mut last = 0;
    while let Some(field) = thrift.field(&mut last)? {
        match (of, field.id, field.kind) {
            (_, 1, I32) => header.values = size(thrift.int()?)?,
            (5 | 7, 2, I32) | (8, 4, I32) => header.encoding = thrift.int()?,
            (5, 3, I32) => header.level_encodings[1] = thrift.int()?,
            (5, 4, I32) => header.level_encodings[0] = thrift.int()?,
            (8, 5, I32) => header.levels[1] = size(thrift.int()?)?,
            (8, 6, I32) => header.levels[0] = size(thrift.int()?)?,
            (8, 7, FALSE) => header.plain = true,
            (_, _, kind) => thrift.skip(kind)?,
        }
    }
    Ok(())
}

fn size(number: i64) -> Result<u64, ParquetError> {
    u64::try_from(number).map_err(|_| damaged("a page has a negative size"))
}

/// The bytes of a page, which have to be `length` unpacked.
fn unpack(codec: i64, packed: &[u8], length: u64) -> Result<Vec<u8>, ParquetError> {
    let bytes = match codec {
        0 => packed.to_vec(),
        1 => snappy(packed, length)?,
        2 => members(Packing::Gzip, packed, length)?,
        6 => members(Packing::Zstandard, packed, length)?,
        other => return Err(ParquetError::Codec(other)),
    };
    match bytes.len() as u64 == length {
        true => Ok(bytes),
        false => Err(damaged("a page unpacks to another length than it says")),
    }
}

fn snappy(packed: &[u8], length: u64) -> Result<Vec<u8>, ParquetError> {
    let said = snap::raw::decompress_len(packed).map_err(|_| damaged(SNAPPY))?;
    // Three bytes become 64 at most; so memory comes from what is there, not from what is claimed.
    if said as u64 != length || length > 32 * packed.len() as u64 {
        return Err(damaged("a page unpacks to another length than it says"));
    }
    snap::raw::Decoder::new().decompress_vec(packed).map_err(|_| damaged(SNAPPY))
}

const SNAPPY: &str = "its Snappy data is damaged";

fn members(packing: Packing, packed: &[u8], length: u64) -> Result<Vec<u8>, ParquetError> {
    let mut bytes = Vec::new();
    let unpacked = Members::new(packing, packed).take(length + 1).read_to_end(&mut bytes);
    match unpacked {
        Ok(_) => Ok(bytes),
        Err(error) => Err(ParquetError::Damaged(format!("a page cannot be unpacked: {error}"))),
    }
}

/// A part of a file, read from where it is, wherever others read.
struct Window<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Window<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut file = self.file;
        file.seek(SeekFrom::Start(self.at))?;
        let read = file.take(self.left).read(buffer)?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}
