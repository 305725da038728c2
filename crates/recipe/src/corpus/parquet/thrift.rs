//! Thrift's compact protocol, as far as Parquet is written in it: read once, front to back.

use super::{ParquetError, damaged};
use std::io::{self, BufRead, Read};

/// Deepest nesting of what is passed over.
const MAX_DEPTH: u32 = 32;

/// The types that are looked at; what is of another is passed over.
pub(super) const TRUE: u8 = 1;
pub(super) const FALSE: u8 = 2;
pub(super) const I32: u8 = 5;
pub(super) const I64: u8 = 6;
pub(super) const BINARY: u8 = 8;
pub(super) const LIST: u8 = 9;
pub(super) const STRUCT: u8 = 12;

/// A reader of at most so many bytes.
pub(super) struct Thrift<R> {
    from: io::Take<R>,
}

/// A field of a structure: its number and its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub id: i16,
    pub kind: u8,
}

impl<R: BufRead> Thrift<R> {
    pub fn new(from: R, most: u64) -> Self {
        Self { from: from.take(most) }
    }

    /// The next field of a structure whose last one was `last` (0 before the first); `None` at its
    /// end.
    pub fn field(&mut self, last: &mut i16) -> Result<Option<Field>, ParquetError> {
        let head = self.byte()?;
        if head == 0 {
            return Ok(None);
        }
        *last = match head >> 4 {
            0 => i16::try_from(self.int()?).map_err(|_| damaged("a field has no number"))?,
            step => last.checked_add(i16::from(step)).ok_or_else(|| damaged("too many fields"))?,
        };
        Ok(Some(Field { id: *last, kind: head & 15 }))
    }

    /// The length of a list and the type of what is in it.
    pub fn list(&mut self) -> Result<(u64, u8), ParquetError> {
        let head = self.byte()?;
        let length = match head >> 4 {
            15 => self.varint()?,
            short => short.into(),
        };
        Ok((length, head & 15))
    }

    /// A number of any width.
    pub fn int(&mut self) -> Result<i64, ParquetError> {
        let folded = self.varint()?;
        Ok((folded >> 1) as i64 ^ -((folded & 1) as i64))
    }

    /// A text; what is no UTF-8 in it is replaced.
    pub fn text(&mut self) -> Result<String, ParquetError> {
        let length = self.varint()?;
        let mut bytes = Vec::new();
        let read = self.from.by_ref().take(length).read_to_end(&mut bytes)?;
        if read as u64 != length {
            return Err(cut());
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Passes over a value. Each step takes a byte at least, so this ends with what is read.
    pub fn skip(&mut self, kind: u8) -> Result<(), ParquetError> {
        self.skip_in(kind, 0)
    }

    fn skip_in(&mut self, kind: u8, depth: u32) -> Result<(), ParquetError> {
        if depth > MAX_DEPTH {
            return Err(damaged("its metadata is nested too deeply"));
        }
        match kind {
            TRUE | FALSE => Ok(()),
            3 => self.pass(1),
            4 | I32 | I64 => self.varint().map(drop),
            7 => self.pass(8),
            BINARY => {
                let length = self.varint()?;
                self.pass(length)
            }
            LIST | 10 => {
                let (length, kind) = self.list()?;
                (0..length).try_for_each(|_| self.skip_item(kind, depth + 1))
            }
            11 => {
                let length = self.varint()?;
                let kinds = if length > 0 { self.byte()? } else { 0 };
                (0..length).try_for_each(|_| {
                    self.skip_item(kinds >> 4, depth + 1)?;
                    self.skip_item(kinds & 15, depth + 1)
                })
            }
            STRUCT => {
                let mut last = 0;
                while let Some(field) = self.field(&mut last)? {
                    self.skip_in(field.kind, depth + 1)?;
                }
                Ok(())
            }
            13 => self.pass(16),
            _ => Err(damaged("its metadata has a value of no known type")),
        }
    }

    /// In a list a truth takes a byte; in a field it is the type.
    fn skip_item(&mut self, kind: u8, depth: u32) -> Result<(), ParquetError> {
        match kind {
            TRUE | FALSE => self.pass(1),
            _ => self.skip_in(kind, depth),
        }
    }

    fn pass(&mut self, length: u64) -> Result<(), ParquetError> {
        let passed = io::copy(&mut self.from.by_ref().take(length), &mut io::sink())?;
        if passed == length { Ok(()) } else { Err(cut()) }
    }

    fn varint(&mut self) -> Result<u64, ParquetError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Ok(number);
            }
        }
        Err(damaged("its metadata has a number of more than 64 bits"))
    }

    fn byte(&mut self) -> Result<u8, ParquetError> {
        let byte = self.from.fill_buf()?.first().copied().ok_or_else(cut)?;
        self.from.consume(1);
        Ok(byte)
    }
}

fn cut() -> ParquetError {
    damaged("its metadata ends too early")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(bytes: &[u8]) -> Thrift<&[u8]> {
        Thrift::new(bytes, 1 << 20)
    }

    #[test]
    fn fields_are_told_and_passed_over() {
        // 1: i32 -3; 2: list of two truths; 4: map of one; 40: struct {1: binary "ab"}; end.
        let bytes = [
            0x15, 5, 0x19, 0x21, 1, 2, 0x2b, 1, 0x85, b'x', 2, 0x0c, 80, 0x18, 2, b'a', b'b', 0, 0,
        ];
        // The map has binary keys of a byte: its length comes first.
        let bytes = [&bytes[..9], &[1, b'x', 2], &bytes[11..]].concat();
        let mut thrift = over(&bytes);
        let (mut last, mut seen) = (0, Vec::new());
        while let Some(field) = thrift.field(&mut last).expect("reads") {
            seen.push(field.id);
            match field.id {
                1 => assert_eq!(thrift.int().expect("a number"), -3),
                _ => thrift.skip(field.kind).expect("passes"),
            }
        }
        assert_eq!(seen, [1, 2, 4, 40]);
    }

    #[test]
    fn what_is_deep_long_or_cut_is_an_error() {
        assert!(over(&[0x1c; 100]).skip(STRUCT).is_err());
        let deep = vec![0x19; 1 << 16];
        assert!(over(&deep).skip(LIST).is_err_and(|e| e.to_string().contains("deeply")));
        assert!(over(&[0xff; 11]).int().is_err());
        assert!(over(&[0xff, 0xff, 0xff, 0xff, 0x0f, b'a']).text().is_err());
        assert!(over(&[0xf9, 0xff, 0xff, 0xff, 0xff, 0x0f]).skip(LIST).is_err());
        assert!(Thrift::new(&[4, b'a', b'b'][..], 2).text().is_err());
        assert!(over(&[]).field(&mut 0).is_err());
    }
}
