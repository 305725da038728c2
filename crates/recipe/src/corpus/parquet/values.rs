//! Texts in a page, in each encoding that Parquet has for them.

use super::{
    ParquetError, damaged,
    levels::{Hybrid, bits, varint},
};

/// The texts of a dictionary page.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    bytes: Vec<u8>,
    /// Where each begins and ends.
    ranges: Vec<(u32, u32)>,
}

/// Where a decoder stands in the bytes of a page, which are handed to each call.
#[derive(Debug)]
pub(super) enum Values {
    Plain { at: usize },
    Indices(Hybrid),
    Lengths(Delta, usize),
    Prefixes { prefixes: Delta, lengths: Delta, at: usize, last: Vec<u8> },
}

/// Most texts of a dictionary: each takes memory beside its bytes.
const MAX_DICTIONARY: u64 = 1 << 23;

impl Dictionary {
    /// So many texts, one after the other.
    pub fn new(bytes: Vec<u8>, number: u64) -> Result<Self, ParquetError> {
        if number > MAX_DICTIONARY {
            return Err(ParquetError::LargeDictionary { number, most: MAX_DICTIONARY });
        }
        let (mut at, mut ranges) = (0, Vec::new());
        for _ in 0..number {
            let long = plain(&bytes, &mut at)?.len();
            ranges.push(((at - long) as u32, at as u32));
        }
        Ok(Self { bytes, ranges })
    }

    fn text(&self, index: u32) -> Result<&[u8], ParquetError> {
        let range = self.ranges.get(index as usize);
        let (from, to) = *range.ok_or_else(|| damaged("a value is not in its dictionary"))?;
        Ok(&self.bytes[from as usize..to as usize])
    }
}

impl Values {
    /// What stands in `bytes` from `at` on, in the encoding of this number.
    pub fn new(encoding: i64, bytes: &[u8], at: usize) -> Result<Self, ParquetError> {
        Ok(match encoding {
            0 => Values::Plain { at },
            2 | 8 => {
                // A page in which all is null may end here.
                let width = bytes.get(at).copied().unwrap_or(0);
                if width > 32 {
                    return Err(damaged("its indices are too wide"));
                }
                Values::Indices(Hybrid::new((at + 1).min(bytes.len()), bytes.len(), width.into()))
            }
            6 => {
                let lengths = Delta::new(bytes, at)?;
                let at = lengths.end(bytes)?;
                Values::Lengths(lengths, at)
            }
            7 => {
                let prefixes = Delta::new(bytes, at)?;
                let lengths = Delta::new(bytes, prefixes.end(bytes)?)?;
                let at = lengths.end(bytes)?;
                Values::Prefixes { prefixes, lengths, at, last: Vec::new() }
            }
            other => return Err(ParquetError::Encoding(other)),
        })
    }

    /// The next text.
    pub fn next<'a>(
        &'a mut self,
        bytes: &'a [u8],
        dictionary: &'a Dictionary,
    ) -> Result<&'a [u8], ParquetError> {
        match self {
            Values::Plain { at } => plain(bytes, at),
            Values::Indices(hybrid) => dictionary.text(hybrid.next(bytes)?),
            Values::Lengths(lengths, at) => taken(bytes, at, lengths.next(bytes)?),
            Values::Prefixes { prefixes, lengths, at, last } => {
                let kept = length(prefixes.next(bytes)?)?;
                if kept > last.len() {
                    return Err(damaged("a text goes on from more than there is"));
                }
                last.truncate(kept);
                last.extend_from_slice(taken(bytes, at, lengths.next(bytes)?)?);
                Ok(last)
            }
        }
    }
}

/// A text behind its length in four bytes.
fn plain<'a>(bytes: &'a [u8], at: &mut usize) -> Result<&'a [u8], ParquetError> {
    let head = bytes.get(*at..).and_then(<[u8]>::first_chunk::<4>);
    let long = i32::from_le_bytes(*head.ok_or_else(short)?);
    *at += 4;
    taken(bytes, at, long)
}

fn taken<'a>(bytes: &'a [u8], at: &mut usize, long: i32) -> Result<&'a [u8], ParquetError> {
    let text = bytes.get(*at..).and_then(|rest| rest.get(..length(long).ok()?));
    let text = text.ok_or_else(short)?;
    *at += text.len();
    Ok(text)
}

fn length(long: i32) -> Result<usize, ParquetError> {
    usize::try_from(long).map_err(|_| damaged("a text has a negative length"))
}

fn short() -> ParquetError {
    damaged("a page ends inside a text")
}

/// Whole numbers as differences, in blocks of packed bits.
#[derive(Clone, Debug)]
pub(super) struct Delta {
    /// Numbers of a miniblock, and miniblocks of a block.
    size: u64,
    minis: usize,
    left: u64,
    value: i32,
    first: bool,
    /// The least difference in this block, and where its widths are.
    least: i32,
    widths: usize,
    /// The next miniblock of the block, and where it begins.
    mini: usize,
    at: usize,
    /// Of the current miniblock: its width, its next bit, and how many are left.
    width: u32,
    bit: usize,
    in_mini: u64,
}

impl Delta {
    fn new(bytes: &[u8], mut at: usize) -> Result<Self, ParquetError> {
        let mut number = || varint(bytes, &mut at).ok_or_else(short);
        let (block, minis, left, value) = (number()?, number()?, number()?, number()?);
        // Blocks are of 128 numbers and more, miniblocks of 32, so each ends with a byte.
        if !(1..=1 << 10).contains(&minis)
            || !(1..=1 << 20).contains(&block)
            || block % minis != 0
            || !(block / minis).is_multiple_of(32)
        {
            return Err(damaged("its lengths are in blocks of an impossible size"));
        }
        let (size, minis) = (block / minis, minis as usize);
        let value = unfolded(value);
        let none = Self {
            size,
            minis,
            left,
            value,
            first: true,
            least: 0,
            widths: 0,
            mini: minis,
            at,
            width: 0,
            bit: 0,
            in_mini: 0,
        };
        Ok(none)
    }

    fn next(&mut self, bytes: &[u8]) -> Result<i32, ParquetError> {
        self.left = self.left.checked_sub(1).ok_or_else(short)?;
        if std::mem::take(&mut self.first) {
            return Ok(self.value);
        }
        if self.in_mini == 0 {
            self.miniblock(bytes)?;
        }
        let step = bits(bytes, self.bit, self.width).ok_or_else(short)? as i32;
        self.bit += self.width as usize;
        self.in_mini -= 1;
        self.value = self.value.wrapping_add(self.least).wrapping_add(step);
        Ok(self.value)
    }

    /// Where the numbers end.
    fn end(&self, bytes: &[u8]) -> Result<usize, ParquetError> {
        let mut ahead = self.clone();
        let mut left = self.left.saturating_sub(1);
        while left > 0 {
            ahead.miniblock(bytes)?;
            left = left.saturating_sub(self.size);
        }
        Ok(ahead.at.min(bytes.len()))
    }

    fn miniblock(&mut self, bytes: &[u8]) -> Result<(), ParquetError> {
        if self.mini == self.minis {
            self.least = unfolded(varint(bytes, &mut self.at).ok_or_else(short)?);
            self.widths = self.at;
            self.at += self.minis;
            self.mini = 0;
        }
        let width = *bytes.get(self.widths + self.mini).ok_or_else(short)?;
        if width > 32 {
            return Err(damaged("its lengths are too wide"));
        }
        self.width = width.into();
        self.bit = 8 * self.at;
        self.in_mini = self.size;
        self.mini += 1;
        self.at += self.size as usize / 8 * usize::from(width);
        Ok(())
    }
}

fn unfolded(folded: u64) -> i32 {
    ((folded >> 1) as i64 ^ -((folded & 1) as i64)) as i32
}
