//! Bytes as UTF-8, whatever mark a file begins with.

use super::{documents::MAX_FILE, left_out::WhyFile};
use std::io::{self, Cursor, Read};

/// Bytes of the beginning from which an encoding is told.
const HEAD: u64 = 512;

/// What a file turned out to be.
pub(super) enum Decoded<'a> {
    /// UTF-8, or what ought to be, without a mark.
    Utf8 {
        text: Box<dyn Read + 'a>,
        /// Bytes of the mark that was left out, or `None` where they were converted.
        mark: Option<usize>,
    },
    /// Parquet, whatever its name says.
    Parquet,
    /// Something else that is not read.
    Not(WhyFile),
    /// UTF-16 with half a character at this byte.
    Torn(usize),
}

/// Takes the mark off the beginning and converts UTF-16, in either order of bytes.
pub(super) fn decode<'a>(mut bytes: Box<dyn Read + 'a>) -> io::Result<Decoded<'a>> {
    let mut head = Vec::new();
    bytes.by_ref().take(HEAD).read_to_end(&mut head)?;
    let utf8 = |mark: usize, head: Vec<u8>, rest: Box<dyn Read + 'a>| Decoded::Utf8 {
        text: Box::new(Cursor::new(head[mark..].to_vec()).chain(rest)),
        mark: Some(mark),
    };
    Ok(match head.as_slice() {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Decoded::Not(WhyFile::Utf32),
        [0xff, 0xfe, ..] => utf16(&head, bytes, u16::from_le_bytes)?,
        [0xfe, 0xff, ..] => utf16(&head, bytes, u16::from_be_bytes)?,
        [0xef, 0xbb, 0xbf, ..] => utf8(3, head, bytes),
        [b'P', b'A', b'R', b'1', 0x15, ..] => Decoded::Parquet,
        _ if looks_like_utf16(&head) => Decoded::Not(WhyFile::UnmarkedUtf16),
        _ => utf8(0, head, bytes),
    })
}

fn utf16<'a>(
    head: &[u8],
    rest: Box<dyn Read + 'a>,
    order: fn([u8; 2]) -> u16,
) -> io::Result<Decoded<'a>> {
    let bytes = bounded::read_from(head[2..].chain(rest), MAX_FILE)?;
    let (pairs, half) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(bytes.len() / 2);
    let mut at = 2;
    for c in char::decode_utf16(pairs.iter().map(|pair| order(*pair))) {
        let Ok(c) = c else { return Ok(Decoded::Torn(at)) };
        text.push(c);
        at += 2 * c.len_utf16();
    }
    if !half.is_empty() {
        return Ok(Decoded::Torn(at));
    }
    Ok(Decoded::Utf8 { text: Box::new(Cursor::new(text.into_bytes())), mark: None })
}

/// Whether every other byte is zero, nearly: letters of western scripts in 16 bits each.
fn looks_like_utf16(head: &[u8]) -> bool {
    let (pairs, _) = head.as_chunks::<2>();
    let zeros = |i: usize| pairs.iter().filter(|pair| pair[i] == 0).count();
    let (even, odd, all) = (zeros(0), zeros(1), pairs.len());
    let mostly = |many: usize, few: usize| 2 * many >= all && 16 * few <= all;
    all >= 2 && (mostly(even, odd) || mostly(odd, even))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(order).collect()
    }

    fn read(bytes: &[u8]) -> Result<String, String> {
        match decode(Box::new(Cursor::new(bytes.to_vec()))).expect("reads from memory") {
            Decoded::Utf8 { mut text, .. } => {
                let mut read = String::new();
                text.read_to_string(&mut read).map_err(|e| e.to_string())?;
                Ok(read)
            }
            Decoded::Parquet => Err("Parquet".to_owned()),
            Decoded::Not(why) => Err(format!("{why:?}")),
            Decoded::Torn(at) => Err(format!("torn at {at}")),
        }
    }

    #[test]
    fn every_mark_is_understood_and_none_is_text() {
        let text = format!("Grüße, 木 und 🌱 {}", "words ".repeat(500));
        let le = [vec![0xff, 0xfe], units(&text, u16::to_le_bytes)].concat();
        let be = [vec![0xfe, 0xff], units(&text, u16::to_be_bytes)].concat();
        let marked = [&[0xef, 0xbb, 0xbf][..], text.as_bytes()].concat();
        for bytes in [&le, &be, &marked, &text.clone().into_bytes()] {
            assert_eq!(read(bytes).as_deref(), Ok(text.as_str()));
        }
        assert_eq!(read(&[0xff, 0xfe]), Ok(String::new()));
        assert_eq!(read(b""), Ok(String::new()));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let plain = "A tree, a river.";
        for order in [u16::to_le_bytes, u16::to_be_bytes] {
            assert_eq!(read(&units(plain, order)), Err("UnmarkedUtf16".to_owned()));
        }
        assert_eq!(read(&[0xff, 0xfe, 0, 0, b'a', 0, 0, 0]), Err("Utf32".to_owned()));
        assert_eq!(read(&[0xff, 0xfe, b'a', 0, b'b']), Err("torn at 4".to_owned()));
        assert_eq!(read(&[0xff, 0xfe, 0x00, 0xd8, b'b', 0]), Err("torn at 2".to_owned()));
        assert_eq!(read(b"PAR1\x15\x04"), Err("Parquet".to_owned()));
        assert!(read(b"ab").is_ok() && read("\0".as_bytes()).is_ok());
    }
}
