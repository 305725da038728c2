//! The text that a command is given: as an argument, in a file, on standard input.

use crate::{hint::WithHint, units::bytes};
use anyhow::{Context, Result, anyhow, bail};
use rustix::event::{PollFd, PollFlags, poll};
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::Path;
use std::time::Duration;

/// All there is, one below the other: the argument, the file, and what comes on standard input
/// unless that is a terminal. `None` if nothing was given.
pub fn given(argument: Option<&str>, file: Option<&Path>) -> Result<Option<String>> {
    let mut parts: Vec<String> = argument.map(str::to_owned).into_iter().collect();
    if let Some(path) = file {
        let opened = File::open(path).with_context(|| cannot_read(path))?;
        if opened.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            bail!("{}: it is a folder", cannot_read(path));
        }
        parts.push(whole(opened, &path.display().to_string())?);
    }
    if !std::io::stdin().is_terminal() {
        let piped = piped()?;
        if !piped.is_empty() || parts.is_empty() {
            parts.push(piped);
        }
    }
    let text = parts.join("\n");
    check_size(text.len(), "the prompt")?;
    Ok(Some(text).filter(|_| !parts.is_empty()))
}

/// What somebody types, up to the end of input.
pub fn typed() -> Result<String> {
    eprintln!("[type a text, end with Ctrl-D]");
    whole(std::io::stdin(), "standard input")
}

fn piped() -> Result<String> {
    if input_within(PATIENCE).is_ok_and(|events| events.is_empty()) {
        eprintln!("[reading standard input; `</dev/null` behind the command gives none]");
    }
    whole(std::io::stdin(), "standard input")
}

/// What happens on standard input within a time: nothing, or there is something to read, or its
/// end.
pub fn input_within(time: Duration) -> std::io::Result<PollFlags> {
    let stdin = std::io::stdin();
    let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
    poll(&mut ready, Some(&time.try_into().map_err(std::io::Error::other)?))?;
    Ok(ready[0].revents())
}

/// A text of bounded size, without the line feed at its end and a mark of its encoding.
fn whole(from: impl Read, name: &str) -> Result<String> {
    let read = match bounded::read_from(from, MOST) {
        Err(error) if bounded::is_too_long(&error) => return too_long(name),
        read => read.with_context(|| format!("cannot read {name}"))?,
    };
    let text = String::from_utf8(read).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        anyhow!("{name} is not UTF-8 from byte {place} on")
    });
    let text = text.hint("`iconv -f ENCODING -t UTF-8` makes text of another encoding UTF-8")?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.strip_suffix('\n').unwrap_or(text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

fn check_size(length: usize, name: &str) -> Result<()> {
    if length as u64 <= MOST { Ok(()) } else { too_long(name) }
}

fn too_long<T>(name: &str) -> Result<T> {
    let most = bytes(MOST);
    Err(anyhow!("{name} has more than {most}")).hint("nothing of it was used; shorten it")
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

/// Most bytes of a text.
pub const MOST: u64 = 1 << 24;
/// Time without a byte before standard input is told of.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_whole_or_not_at_all() {
        let text = |bytes: &[u8]| whole(bytes, "x").map_err(|error| error.to_string());
        assert_eq!(text("a\n\nb ä \n\n".as_bytes()).as_deref(), Ok("a\n\nb ä \n"));
        assert_eq!(text("\u{feff}a\r\n".as_bytes()).as_deref(), Ok("a"));
        assert_eq!(text(b"ab\xff"), Err("x is not UTF-8 from byte 2 on".to_owned()));
        let long = whole(std::io::repeat(b'a').take(MOST + 5), "x").expect_err("too long");
        assert!(long.to_string().contains("16.8 MB"), "{long}");
        assert!(whole(std::io::repeat(b'a').take(MOST), "x").is_ok());
    }
}
