//! What somebody says in the terminal, one message at a time.

use crate::prompt::{MOST, input_within};
use anyhow::{Context, Result, anyhow, bail};
use rustix::event::PollFlags;
use std::io::{BufRead, Read};
use std::time::Duration;

/// What was said.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    Message(String),
    /// The end of the conversation.
    End,
}

/// Reads a message. Lines that come faster than anybody types were pasted and belong together: they
/// wait for an Enter, because the last of them may still be in the terminal's own line. `waiting`
/// says whether more is there already; `pasted` hears how many lines have come so far.
///
/// Errors: what cannot be taken whole; all of it is left out.
pub fn message(
    input: &mut impl BufRead,
    mut waiting: impl FnMut() -> bool,
    mut pasted: impl FnMut(usize),
) -> Result<Said> {
    let (mut lines, mut cut, mut bytes): (Vec<Vec<u8>>, bool, u64) = (Vec::new(), false, 0);
    let mut take = |lines: &mut Vec<Vec<u8>>| -> Result<bool> {
        let Some(line) = line(input)? else { return Ok(false) };
        bytes = bytes.saturating_add(line.len() as u64);
        if bytes <= MOST {
            cut |= cfg!(target_os = "linux") && line.len() >= MAX_LINE;
            lines.push(line);
        }
        Ok(true)
    };
    loop {
        if !take(&mut lines)? {
            if lines.is_empty() {
                return Ok(Said::End);
            }
            break;
        }
        if !waiting() {
            break;
        }
        while waiting() && take(&mut lines)? {}
        pasted(lines.len());
    }
    if bytes > MOST {
        bail!("the message has {bytes} bytes, at most {MOST} are taken");
    }
    if cut {
        let text = "a line is as long as a terminal can pass on, so its end may be missing";
        return Err(anyhow!(text));
    }
    let text = String::from_utf8(lines.join(&b'\n')).context("the message is not UTF-8")?;
    Ok(Said::Message(text.trim_end_matches('\n').to_owned()))
}

/// A line without its end; nothing at the end of input.
fn line(input: &mut impl BufRead) -> Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let read = input.by_ref().take(MOST + 1).read_until(b'\n', &mut line).context("cannot read")?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok((read > 0).then_some(line))
}

/// Whether more lines are there on standard input, or come within a moment.
pub fn is_waiting() -> bool {
    // At the end of input it is ready too, and says so once more.
    input_within(MOMENT).is_ok_and(|events| !events.is_empty() && !events.contains(PollFlags::HUP))
}

/// Nobody types two lines within this time.
const MOMENT: Duration = Duration::from_millis(30);
/// Bytes of a line that Linux passes on; what is beyond goes away without a word.
const MAX_LINE: usize = 4095;

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Counts the lines that were read.
    struct Counted<'a>(&'a [u8], &'a Cell<usize>);

    impl Read for Counted<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(out)
        }
    }

    impl BufRead for Counted<'_> {
        fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
            Ok(self.0)
        }

        fn consume(&mut self, count: usize) {
            let (read, rest) = self.0.split_at(count);
            self.1.set(self.1.get() + read.iter().filter(|&&byte| byte == b'\n').count());
            self.0 = rest;
        }
    }

    /// Reads all messages of a text, of which after `pauses` lines nothing more is there yet.
    fn messages(text: &str, pauses: &[usize]) -> Vec<Result<Said, String>> {
        let lines = Cell::new(0);
        let mut input = Counted(text.as_bytes(), &lines);
        let mut said = Vec::new();
        loop {
            let waiting = || !pauses.contains(&lines.get());
            let one = message(&mut input, waiting, |_| ()).map_err(|error| error.to_string());
            let end = one == Ok(Said::End);
            said.push(one);
            if end {
                return said;
            }
        }
    }

    #[test]
    fn pasted_lines_are_one_message() {
        let said = |text: &str| Ok(Said::Message(text.to_owned()));
        let found = messages("one\ntwo\n", &[1, 2]);
        assert_eq!(found, [said("one"), said("two"), Ok(Said::End)]);
        // Three lines at once and the fourth, still without an end, with the next Enter.
        let found = messages("a\nb\n\nc\nnext\n", &[3, 4, 5]);
        assert_eq!(found, [said("a\nb\n\nc"), said("next"), Ok(Said::End)]);
        let found = messages("a\nb", &[]);
        assert_eq!(found, [said("a\nb"), Ok(Said::End)]);
        assert_eq!(messages("", &[]), [Ok(Said::End)]);
    }

    #[test]
    fn what_a_terminal_may_have_cut_is_refused() {
        let found = messages(&format!("{}\nnext\n", "x".repeat(MAX_LINE)), &[1, 2]);
        if cfg!(target_os = "linux") {
            assert!(found[0].as_ref().is_err_and(|error| error.contains("end may be missing")));
        }
        assert_eq!(found[1], Ok(Said::Message("next".to_owned())));
    }
}
