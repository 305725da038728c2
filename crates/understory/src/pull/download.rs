//! One file: fetched, gone on with where it stopped, checked, and only then given its name.

use super::digest::{Digests, Expected, Hashing};
use super::http::{self, Answer, Client, Part};
use super::progress::Progress;
use crate::hint::WithHint;
use anyhow::{Context, Result, anyhow, bail};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::file;
use url::Url;

/// A file to be fetched.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub url: Url,
    /// Where it will lie.
    pub to: PathBuf,
    /// How long it is: not a byte more is taken.
    pub bytes: u64,
    pub expected: Option<Expected>,
    /// The server's tag of the file, to go on only with the same.
    pub tag: Option<String>,
}

/// A file that is there.
#[derive(Debug)]
pub struct Fetched {
    pub digests: Digests,
    /// Whether it was there before.
    pub was_there: bool,
}

/// Fetches a file unless it is there.
pub fn fetch(client: &Client, wanted: &Wanted, progress: &mut Progress) -> Result<Fetched> {
    if let Some(digests) = already(wanted)? {
        progress.had(wanted.bytes);
        return Ok(Fetched { digests, was_there: true });
    }
    let folder = wanted.to.parent().context("a file lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut download = Download::open(client, wanted)?;
    let digests = download.run(progress)?;
    download.finish()?;
    Ok(Fetched { digests, was_there: false })
}

/// Bytes of a file that came in an earlier attempt.
pub fn begun(wanted: &Wanted) -> u64 {
    let there = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    there(&wanted.to).max(there(&part_path(wanted))).min(wanted.bytes)
}

/// Copies a file durably: it is at `to` whole, or not at all.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("a file lies in a folder")?;
    let name = to.file_name().context("a file has a name")?.to_string_lossy();
    let part = folder.join(format!(".{name}.copy.part"));
    fs::create_dir_all(folder)?;
    fs::copy(from, &part).with_context(|| format!("cannot write {}", part.display()))?;
    settle(&part, to)
}

/// The hashes of a file on this machine.
pub fn hash_file(path: &Path, expected: Option<&Expected>) -> Result<Digests> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut hashing = Hashing::new(expected, file.metadata()?.len());
    hashing.read_all(&file).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(hashing.finish())
}

/// The hashes of the file if it is there; another file of its name is not touched.
fn already(wanted: &Wanted) -> Result<Option<Digests>> {
    let Ok(found) = fs::metadata(&wanted.to) else { return Ok(None) };
    let differs = |how: String| {
        Err(anyhow!("{} exists already and is another file: {how}", wanted.to.display()))
            .hint("remove it, or name another folder with --to")
    };
    if !found.is_file() || found.len() != wanted.bytes {
        return differs(format!("{} bytes, not {}", found.len(), wanted.bytes));
    }
    let digests = hash_file(&wanted.to, wanted.expected.as_ref())?;
    match wanted.expected.as_ref().map(|expected| expected.check(&digests)) {
        Some(Err(error)) => differs(error.to_string()),
        _ => Ok(Some(digests)),
    }
}

/// A file on its way, in a hidden file beside its place.
struct Download<'a> {
    client: &'a Client,
    wanted: &'a Wanted,
    part: PathBuf,
    file: File,
    hashing: Hashing,
}

/// How an attempt failed.
enum Trouble {
    /// Another may do better.
    Passing(anyhow::Error),
    Lasting(anyhow::Error),
}

impl<'a> Download<'a> {
    fn open(client: &'a Client, wanted: &'a Wanted) -> Result<Self> {
        let part = part_path(wanted);
        let open =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&part);
        let mut file = open.with_context(|| format!("cannot write {}", part.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(anyhow!("another program is fetching {}", wanted.to.display()))
                    .hint("wait for it, or end it");
            }
            // Some network folders have no locks.
            Err(TryLockError::Error(_)) => {}
        }
        // Without a hash or a tag nobody knows whether the rest would be of the same file.
        let can_go_on = wanted.expected.is_some() || wanted.tag.is_some();
        if !can_go_on || file.metadata()?.len() > wanted.bytes {
            file.set_len(0)?;
        }
        let mut hashing = Hashing::new(wanted.expected.as_ref(), wanted.bytes);
        file.seek(SeekFrom::Start(0))?;
        hashing.read_all(&file)?;
        Ok(Self { client, wanted, part, file, hashing })
    }

    /// Fetches what is missing, in as many attempts as bring something, and checks the whole.
    fn run(&mut self, progress: &mut Progress) -> Result<Digests> {
        let had = self.hashing.bytes();
        progress.had(had);
        let mut poor = 0;
        while self.hashing.bytes() < self.wanted.bytes {
            let before = self.hashing.bytes();
            let error = match self.attempt(progress) {
                Ok(()) => continue,
                Err(Trouble::Lasting(error)) => return Err(error),
                Err(Trouble::Passing(error)) => error,
            };
            let enough = self.hashing.bytes() >= before.saturating_add(ENOUGH);
            poor = if enough { 0 } else { poor + 1 };
            if poor == ATTEMPTS {
                return Err(error).hint("what came is kept: the same command goes on from there");
            }
            progress.say(&format!("{error:#}; trying again"));
            std::thread::sleep(PAUSE * 2_u32.pow(poor));
        }
        let (bytes, expected) = (self.wanted.bytes, self.wanted.expected.as_ref());
        let digests = std::mem::replace(&mut self.hashing, Hashing::new(expected, bytes)).finish();
        let Some(Err(error)) = expected.map(|expected| expected.check(&digests)) else {
            return Ok(digests);
        };
        // The next attempt begins anew, be it by this program or by the user.
        self.restart(progress)?;
        if had > 0 {
            progress.say(&format!("what was there of {} is damaged: once more", self.name()));
            return self.run(progress);
        }
        let error = error.context(format!("{} is not what it should be", self.name()));
        Err(error).hint("nothing of it was kept; try again, or do not trust this server")
    }

    fn attempt(&mut self, progress: &mut Progress) -> Result<(), Trouble> {
        let have = self.hashing.bytes();
        let same_as = self.wanted.tag.as_deref().filter(|_| have > 0);
        let part = Part { range: (have > 0).then_some((have, None)), same_as };
        let answer = self.client.get(&self.wanted.url, &part).map_err(|error| {
            let passing = error.may_pass();
            let error = anyhow::Error::new(error).context(format!("cannot get {}", self.name()));
            if passing { Trouble::Passing(error) } else { Trouble::Lasting(error) }
        })?;
        self.place(&answer, progress)?;
        self.take(answer, progress)
    }

    /// Checks that the answer goes on where we are, or begins anew if it does.
    fn place(&mut self, answer: &Answer, progress: &mut Progress) -> Result<(), Trouble> {
        let (have, all) = (self.hashing.bytes(), self.wanted.bytes);
        let goes_on = match answer.status {
            206 => {
                let range = http::text(&answer.headers, "content-range").unwrap_or_default();
                let good = format!("bytes {have}-{}/{all}", all - 1);
                if range != good {
                    let text = format!("{}: asked for {good:?}, got {range:?}", self.name());
                    return Err(Trouble::Lasting(anyhow!(text)));
                }
                have > 0
            }
            416 => {
                self.restart(progress).map_err(Trouble::Lasting)?;
                return Err(Trouble::Passing(anyhow!("{}: no such part", self.name())));
            }
            _ => false,
        };
        if !goes_on && have > 0 {
            self.restart(progress).map_err(Trouble::Lasting)?;
        }
        let rest = if goes_on { all - have } else { all };
        match http::number(&answer.headers, "content-length") {
            Some(length) if length != rest => {
                let text = format!("{}: {length} bytes are sent, not {rest}", self.name());
                Err(Trouble::Lasting(anyhow!(text)))
            }
            _ => Ok(()),
        }
    }

    /// Writes what comes, and not a byte more than there should be.
    fn take(&mut self, answer: Answer, progress: &mut Progress) -> Result<(), Trouble> {
        let mut body = answer.body.into_with_config().limit(u64::MAX).reader();
        let mut piece = vec![0; PIECE];
        loop {
            let count = match body.read(&mut piece) {
                Ok(count) => count,
                Err(error) => {
                    let text = format!("{}: the connection broke", self.name());
                    return Err(Trouble::Passing(anyhow::Error::new(error).context(text)));
                }
            };
            let (have, all) = (self.hashing.bytes(), self.wanted.bytes);
            if count as u64 > all - have {
                let text = format!("{}: more than {all} bytes are sent", self.name());
                return Err(Trouble::Lasting(anyhow!(text)));
            }
            if count == 0 && have < all {
                let text = format!("{}: ended after {have} of {all} bytes", self.name());
                return Err(Trouble::Passing(anyhow!(text)));
            }
            if count == 0 {
                return Ok(());
            }
            let written = self.file.write_all(&piece[..count]);
            written
                .with_context(|| format!("cannot write {}", self.part.display()))
                .map_err(Trouble::Lasting)?;
            self.hashing.update(&piece[..count]);
            progress.came(count as u64);
        }
    }

    fn restart(&mut self, progress: &mut Progress) -> Result<()> {
        progress.lost(self.file.metadata()?.len());
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.hashing = Hashing::new(self.wanted.expected.as_ref(), self.wanted.bytes);
        Ok(())
    }

    fn finish(self) -> Result<()> {
        if self.file.metadata()?.len() != self.wanted.bytes {
            bail!("{} was changed by another program", self.part.display());
        }
        settle(&self.part, &self.wanted.to)
    }

    fn name(&self) -> String {
        let name = self.wanted.to.file_name().map(|name| name.to_string_lossy().into_owned());
        name.unwrap_or_default()
    }
}

fn settle(part: &Path, to: &Path) -> Result<()> {
    file::settle(part, to).with_context(|| format!("cannot write {}", to.display()))
}

/// The hidden file for a file on its way: another version of it has another.
fn part_path(wanted: &Wanted) -> PathBuf {
    let Wanted { url, bytes, expected, tag, .. } = wanted;
    let version = match expected {
        Some(expected) => expected.hex().to_owned(),
        None => format!("{url}\n{bytes}\n{}", tag.as_deref().unwrap_or_default()),
    };
    let mut name = blake3::hash(version.as_bytes()).to_hex().to_string();
    name.truncate(16);
    let file = wanted.to.file_name().unwrap_or_default().to_string_lossy();
    wanted.to.with_file_name(format!(".{file}.{name}.part"))
}

/// Bytes of an attempt that make it worth another at once.
const ENOUGH: u64 = 1 << 20;
/// Attempts in a row that bring less.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);
const PIECE: usize = 1 << 18;
