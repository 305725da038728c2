//! What a file holds, as its name says, and how it is unpacked.

use flate2::bufread::GzDecoder;
use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub format: Format,
    pub packing: Packing,
}

/// What the text of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One document.
    Text,
    /// A JSON value on every line, or one array of them.
    JsonLines,
    /// JSON values one after the other, or one array of them.
    Json,
    /// Rows of a table in Parquet.
    Parquet,
}

/// What a file, or a page of one, is packed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Gzip,
    Zstandard,
}

/// What a file of this name holds; `None` where it is no text by its name. Endings count in any
/// case.
pub(super) fn by_name(path: &Path) -> Option<Kind> {
    let (name, packing) = unpacked_name(path);
    let format = FORMATS.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, f)| *f)?;
    Some(Kind { format, packing })
}

/// The same for a file that was named outright: what is no other kind is text.
pub(super) fn of_named(path: &Path) -> Kind {
    let text = || Kind { format: Format::Text, packing: unpacked_name(path).1 };
    by_name(path).unwrap_or_else(text)
}

const FORMATS: [(&str, Format); 6] = [
    (".txt", Format::Text),
    (".md", Format::Text),
    (".jsonl", Format::JsonLines),
    (".ndjson", Format::JsonLines),
    (".json", Format::Json),
    (".parquet", Format::Parquet),
];

fn unpacked_name(path: &Path) -> (String, Packing) {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    for (ending, packing) in [(".gz", Packing::Gzip), (".zst", Packing::Zstandard)] {
        if let Some(plain) = name.strip_suffix(ending) {
            return (plain.to_owned(), packing);
        }
    }
    (name, Packing::None)
}

/// The bytes of a file, unpacked; `heard` gets how many bytes of the file were read since it heard
/// last.
pub(super) fn open<'a>(
    path: &Path,
    kind: Kind,
    heard: &'a mut dyn FnMut(u64),
) -> io::Result<Box<dyn Read + 'a>> {
    let file = BufReader::with_capacity(PIECE, Heard { inner: File::open(path)?, heard });
    Ok(match kind.packing {
        Packing::None => Box::new(file),
        packing => Box::new(Members::new(packing, file)),
    })
}

/// Bytes of a file that are read at a time.
const PIECE: usize = 1 << 18;

/// Tells how much is read.
struct Heard<'a, R> {
    inner: R,
    heard: &'a mut dyn FnMut(u64),
}

impl<R: Read> Read for Heard<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        (self.heard)(read as u64);
        Ok(read)
    }
}

/// Reads the members of a packed file, which may be several, one after the other; zeros may follow
/// them, with which some programs fill up blocks.
pub(super) struct Members<S> {
    packing: Packing,
    at: At<S>,
}

enum At<S> {
    Beginning(S),
    Between(S),
    Gzip(GzDecoder<S>),
    Zstandard(Box<FrameDecoder>, S),
    End,
}

impl<S: BufRead> Read for Members<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let read = match &mut self.at {
                At::End => return Ok(0),
                At::Beginning(_) | At::Between(_) => 0,
                At::Gzip(member) => member.read(buffer)?,
                At::Zstandard(frame, source) => read_frame(frame, source, buffer)?,
            };
            if read > 0 {
                return Ok(read);
            }
            self.at = match std::mem::replace(&mut self.at, At::End) {
                At::Beginning(source) => self.member(source)?,
                At::Between(mut source) => {
                    skip_zeros(&mut source)?;
                    self.member(source)?
                }
                At::Gzip(member) => At::Between(member.into_inner()),
                At::Zstandard(frame, source) => {
                    check_sum(&frame)?;
                    At::Between(source)
                }
                At::End => At::End,
            };
        }
    }
}

impl<S: BufRead> Members<S> {
    /// Of `packing`, which is not none.
    pub fn new(packing: Packing, source: S) -> Self {
        Self { packing, at: At::Beginning(source) }
    }

    /// The member that begins here, or the end.
    fn member(&self, mut source: S) -> io::Result<At<S>> {
        let Some(first) = source.fill_buf()?.first().copied() else { return Ok(At::End) };
        if self.packing == Packing::Gzip {
            if first != GZIP {
                return Err(invalid("there is something in it that is not gzip"));
            }
            return Ok(At::Gzip(GzDecoder::new(source)));
        }
        let mut frame = Box::new(FrameDecoder::new());
        frame.set_max_window_size(MAX_WINDOW);
        match frame.init(&mut source) {
            Ok(()) => Ok(At::Zstandard(frame, source)),
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                let skipped = io::copy(&mut source.by_ref().take(length.into()), &mut io::sink())?;
                match skipped == u64::from(length) {
                    true => Ok(At::Between(source)),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                }
            }
            Err(error) => Err(invalid(&format!("it is not Zstandard: {error}"))),
        }
    }
}

/// What gzip members begin with.
const GZIP: u8 = 0x1f;
/// Memory that a Zstandard file may ask for: what `zstd --ultra -22` makes, and `--long`.
const MAX_WINDOW: u64 = 128 << 20;

fn read_frame(
    frame: &mut FrameDecoder,
    source: &mut impl BufRead,
    buffer: &mut [u8],
) -> io::Result<usize> {
    while frame.can_collect() == 0 && !frame.is_finished() {
        frame
            .decode_blocks(&mut *source, BlockDecodingStrategy::UptoBlocks(1))
            .map_err(|e| invalid(&format!("its Zstandard data is damaged or cut off: {e}")))?;
    }
    frame.read(buffer)
}

fn check_sum(frame: &FrameDecoder) -> io::Result<()> {
    match (frame.get_checksum_from_data(), frame.get_calculated_checksum()) {
        (Some(said), Some(is)) if said != is => Err(invalid("its checksum is wrong")),
        _ => Ok(()),
    }
}

fn skip_zeros(source: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = source.fill_buf()?;
        let zeros = buffer.iter().take_while(|byte| **byte == 0).count();
        if zeros == 0 {
            return Ok(());
        }
        source.consume(zeros);
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    use std::{fs, io::Write};

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).expect("compresses");
        encoder.finish().expect("compresses")
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        compress_to_vec(text, CompressionLevel::Fastest)
    }

    fn read(name: &str, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("writes");
        let mut read = Vec::new();
        open(&path, of_named(&path), &mut |_| {})?.read_to_end(&mut read)?;
        Ok(read)
    }

    #[test]
    fn names_count_in_any_case() {
        let format = |name: &str| by_name(Path::new(name)).map(|kind| kind.format);
        assert_eq!(format("A.TXT"), Some(Format::Text));
        assert_eq!(format("a.b/README.Md.GZ"), Some(Format::Text));
        assert_eq!(format("x.JsonL.Zst"), Some(Format::JsonLines));
        assert_eq!(format("x.ndjson"), Some(Format::JsonLines));
        assert_eq!(format("x.JSON"), Some(Format::Json));
        assert_eq!(format("x.Parquet"), Some(Format::Parquet));
        assert_eq!([format("x.csv"), format("txt"), format("x.gz")], [None; 3]);
        assert_eq!(of_named(Path::new("x.gz")).packing, Packing::Gzip);
        assert_eq!(of_named(Path::new("x.dat")).format, Format::Text);
    }

    #[test]
    fn members_are_read_one_after_the_other_and_padding_is_none() {
        for (name, pack) in [("x.gz", gzip as fn(&[u8]) -> Vec<u8>), ("x.ZST", zstd)] {
            let two = [pack(b"one "), vec![0; 700], pack(b"two"), vec![0; 70_000]].concat();
            assert_eq!(read(name, &two).expect("reads"), b"one two");
            let other = [pack(b"one"), b"\0\0rubbish".to_vec()].concat();
            assert!(read(name, &other).is_err(), "{name}: what follows is not dropped silently");
            let whole = pack(&b"words ".repeat(9999));
            assert!(read(name, &whole[..whole.len() - 6]).is_err(), "{name} is cut off");
            assert_eq!(read(name, b"").expect("reads"), b"");
        }
        let skipped = [&b"\x52\x2a\x4d\x18\x03\0\0\0abc"[..], &zstd(b"text")].concat();
        assert_eq!(read("x.zst", &skipped).expect("reads"), b"text");
        assert!(read("x.zst", &skipped[..9]).is_err());
    }

    #[test]
    fn a_damaged_archive_is_an_error_or_other_text_and_never_a_panic() {
        let words: Vec<u8> =
            (0..6000u32).flat_map(|i| (i * i % 977).to_string().into_bytes()).collect();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.zst");
        let whole = zstd(&words);
        let mut refused = 0;
        for at in (0..whole.len()).step_by(1 + whole.len() / 700) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(&path, &bytes).expect("writes");
            let mut read = Vec::new();
            let heard = &mut |_| {};
            let opened = open(&path, of_named(&path), heard).expect("opens");
            refused += u32::from(opened.take(1 << 22).read_to_end(&mut read).is_err());
        }
        assert!(refused > 100, "{refused}: the checksum finds what decodes");
    }

    #[test]
    fn a_window_that_takes_too_much_memory_and_a_wrong_checksum_are_errors() {
        // A frame with a window of 2 GiB, as `zstd --long=31` makes.
        let long = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0, 0];
        let error = read("x.zst", &long).expect_err("2 GiB").to_string();
        assert!(error.contains("not Zstandard"), "{error}");
        // A raw block "abc" with a checksum.
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x00, 0x19, 0, 0];
        frame.extend(b"abc");
        frame.extend([1, 2, 3, 4]);
        let error = read("x.zst", &frame).expect_err("another sum").to_string();
        assert!(error.contains("checksum"), "{error}");
    }
}
