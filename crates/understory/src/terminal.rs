//! The only way to standard output and standard error.
//!
//! Whatever is printed goes through [`ids::plain_lines`] here, so that no text from outside can
//! do anything to a terminal, whoever forgot where it came from. A value from outside that must
//! not begin a line of its own is printed as [`ids::Plain`]. The macros below take the place of
//! the standard ones in this crate; a house rule (`xtask`) keeps everything else away from the
//! two streams.

use ids::{PlainStream, plain, plain_lines};
use std::fmt::Arguments;
use std::io::{self, Write};
use std::sync::OnceLock;

/// As [`std::print`], made plain.
macro_rules! print {
    ($($part:tt)*) => { $crate::terminal::print(format_args!($($part)*)) };
}
/// As [`std::println`], made plain.
macro_rules! println {
    () => { print!("\n") };
    ($($part:tt)*) => { print!("{}\n", format_args!($($part)*)) };
}
/// As [`std::eprint`], made plain.
macro_rules! eprint {
    ($($part:tt)*) => { $crate::terminal::eprint(format_args!($($part)*)) };
}
/// As [`std::eprintln`], made plain.
macro_rules! eprintln {
    () => { eprint!("\n") };
    ($($part:tt)*) => { eprint!("{}\n", format_args!($($part)*)) };
}

pub fn print(text: Arguments<'_>) {
    if let Err(error) = show(io::stdout().lock(), &plain_lines(&text.to_string()))
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        // The work goes on; the first error is told at its end.
        let _ = LOST.set(error);
    }
}

pub fn eprint(text: Arguments<'_>) {
    // Whoever reads this may be gone; the work does not depend on it.
    let _ = show(io::stderr().lock(), &plain_lines(&text.to_string()));
}

fn show(mut to: impl Write, text: &str) -> io::Result<()> {
    to.write_all(text.as_bytes()).and_then(|()| to.flush())
}

/// Why something that was printed on standard output did not get there, where somebody still waits
/// for it: the disk is full, say.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// The first error of [`print()`], if there was one.
pub fn lost() -> Option<&'static io::Error> {
    LOST.get()
}

/// Takes the place of the line that standard error is at, which must be a terminal.
pub fn eprint_over(line: &str) {
    let _ = show(io::stderr().lock(), &format!("\r\x1b[K{}", plain(line)));
}

/// Standard output for text.
pub fn stdout() -> PlainWriter<io::Stdout> {
    PlainWriter::new(io::stdout())
}

/// Standard output as it is: for bytes that another process of ours reads, and for screens that
/// are drawn from parts that are plain already.
pub fn raw_stdout() -> io::Stdout {
    io::stdout()
}

/// Makes text plain on its way.
pub struct PlainWriter<W> {
    to: W,
    stream: PlainStream,
    /// The beginning of a character.
    begun: Vec<u8>,
}

impl<W: Write> PlainWriter<W> {
    fn new(to: W) -> Self {
        Self { to, stream: PlainStream::default(), begun: Vec::new() }
    }
}

impl<W: Write> Write for PlainWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begun.extend_from_slice(bytes);
        let mut text = String::with_capacity(self.begun.len());
        let mut kept = 0;
        for chunk in self.begun.utf8_chunks() {
            text.push_str(chunk.valid());
            let bad = chunk.invalid();
            let unfinished = std::str::from_utf8(bad).is_err_and(|e| e.error_len().is_none());
            match unfinished {
                true => kept = bad.len(), // only the last can be
                false if bad.is_empty() => {}
                false => text.push(char::REPLACEMENT_CHARACTER),
            }
        }
        self.begun.drain(..self.begun.len() - kept);
        self.to.write_all(self.stream.push(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_makes_pieces_plain() {
        let mut out = PlainWriter::new(Vec::new());
        for piece in ["a\u{1b}[2J", "b\r", "\nc\u{9b}d"] {
            write!(out, "{piece}").expect("memory");
        }
        let half = "ä\u{202e}".as_bytes();
        for byte in half {
            out.write_all(&[*byte]).expect("memory");
        }
        out.write_all(b"\xff\n").expect("memory");
        let text = String::from_utf8(out.to).expect("UTF-8");
        assert_eq!(text, "a\\u001b[2Jb\nc\\u009bdä\\u202e\u{fffd}\n");
    }

    #[test]
    fn json_says_the_same_when_it_is_plain() {
        let value = "a\u{1b}\u{9b}\u{202e}\u{e0041}\"\\\n\u{7f}";
        let json = plain_lines(&serde_json::json!({ "a": value }).to_string());
        assert!(json.chars().all(|c| !c.is_control()));
        let back: serde_json::Value = serde_json::from_str(&json).expect("still JSON");
        assert_eq!(back["a"], value);
    }
}
