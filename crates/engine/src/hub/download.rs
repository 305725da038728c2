//! One file: fetched, gone on with where it stopped, checked, and only then given its name.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use store::file;
use url::Url;

use super::digest::{Digests, Expected, Hashing};
use super::error::DownloadError as E;
use super::http::{self, Answer, Client, Part};
use crate::causes::whole;
use progress::{Counter, Note};

/// A file to be fetched.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub url: Url,
    /// Where it will lie.
    pub to: PathBuf,
    /// How long it is: not a byte more is taken.
    pub bytes: u64,
    pub expected: Option<Expected>,
    /// The server's tag of the file, to go on only with the same.
    pub tag: Option<String>,
    /// What to think of another file in its place.
    pub place: Place,
}

/// Whose the place of a file is.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// The person's: another file there is not touched.
    Theirs,
    /// The cache's: another file there is a damaged one, unless it is what was noted when the same
    /// commit was fetched. Then the hub has changed its word.
    Ours { noted: Option<Digests> },
}

/// What is in a file's place.
enum There {
    Nothing,
    Whole(Digests),
    Damaged,
}

/// A file that is there.
#[derive(Debug)]
pub(super) struct Fetched {
    pub digests: Digests,
    /// Whether it was there before.
    pub was_there: bool,
}

/// Fetches a file unless it is there.
pub(super) fn fetch(
    client: &Client,
    wanted: &Wanted,
    count: &mut Counter<'_, '_>,
) -> Result<Fetched, E> {
    match already(wanted, count)? {
        There::Whole(digests) => return Ok(Fetched { digests, was_there: true }),
        There::Damaged => count.note(Note::Damaged { file: wanted.name() }),
        There::Nothing => {}
    }
    let folder = folder_of(&wanted.to);
    fs::create_dir_all(folder).map_err(E::file("make", folder))?;
    let part = part_path(wanted);
    let file = locked(&part, wanted, count)?;
    // Another program may have fetched it until now.
    if let There::Whole(digests) = already(wanted, count)? {
        fs::remove_file(&part).map_err(E::file("remove", &part))?;
        return Ok(Fetched { digests, was_there: true });
    }
    let mut download = Download::open(client, wanted, part, file)?;
    let digests = download.run(count)?;
    download.finish()?;
    Ok(Fetched { digests, was_there: false })
}

/// The hidden file of a file on its way, for this program alone: others that fetch the same wait
/// until this one ends, however it does.
fn locked(part: &Path, wanted: &Wanted, count: &mut Counter<'_, '_>) -> Result<File, E> {
    let mut waited = false;
    loop {
        let open =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(part);
        let file = open.map_err(E::file("write", part))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                if !std::mem::replace(&mut waited, true) {
                    count.note(Note::Waiting { file: wanted.name() });
                }
                file.lock().map_err(E::file("lock", part))?;
            }
            // Some network folders have no locks.
            Err(TryLockError::Error(_)) => return Ok(file),
        }
        // Who had the lock may have given the file its name, or removed it.
        if is_at(&file, part) {
            return Ok(file);
        }
    }
}

/// Whether an open file is the one that has this name now.
fn is_at(file: &File, path: &Path) -> bool {
    let which = |found: fs::Metadata| (found.dev(), found.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => which(open) == which(named),
        _ => false,
    }
}

/// Bytes of a file that came in an earlier attempt.
pub(super) fn begun(wanted: &Wanted) -> u64 {
    let there = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    there(&wanted.to).max(there(&part_path(wanted))).min(wanted.bytes)
}

/// Copies a file durably: it is at `to` whole, or not at all.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), E> {
    let folder = folder_of(to);
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let part = folder.join(format!(".{name}.copy.part"));
    fs::create_dir_all(folder).map_err(E::file("make", folder))?;
    fs::copy(from, &part).map_err(E::file("write", &part))?;
    settle(&part, to)
}

/// The hashes of a file on this machine; `each` hears how many bytes were hashed since it heard last.
pub(super) fn hash_file(
    path: &Path,
    expected: Option<&Expected>,
    each: &mut dyn FnMut(u64),
) -> Result<Digests, E> {
    let mut hashed = || {
        let file = File::open(path)?;
        let mut hashing = Hashing::new(expected, file.metadata()?.len());
        hashing.read_all(&file, each)?;
        Ok(hashing.finish())
    };
    hashed().map_err(E::file("read", path))
}

/// Looks at what is in the file's place.
///
/// Errors: another file of the person's, or the one that was fetched where the hub has changed its
/// word.
fn already(wanted: &Wanted, count: &mut Counter<'_, '_>) -> Result<There, E> {
    let Ok(found) = fs::metadata(&wanted.to) else { return Ok(There::Nothing) };
    let mut how = format!("{} bytes, not {}", found.len(), wanted.bytes);
    if found.is_file() && found.len() == wanted.bytes {
        let digests = hash_file(&wanted.to, wanted.expected.as_ref(), &mut |n| count.had(n))?;
        match wanted.expected.as_ref().map(|expected| expected.check(&digests)) {
            Some(Err(error)) => how = error.to_string(),
            _ => return Ok(There::Whole(digests)),
        }
        count.lost(wanted.bytes);
    }
    match &wanted.place {
        Place::Ours { noted } if found.is_file() => match noted {
            Some(noted) if is_still(&wanted.to, noted)? => {
                Err(E::OtherWord { path: wanted.to.clone(), how })
            }
            _ => Ok(There::Damaged),
        },
        _ => Err(E::Exists { path: wanted.to.clone(), how: format!(": {how}") }),
    }
}

/// Whether a file has the bytes that were noted.
pub(super) fn is_still(path: &Path, noted: &Digests) -> Result<bool, E> {
    let length = fs::metadata(path).map_err(E::file("read", path))?.len();
    Ok(length == noted.bytes && hash_file(path, None, &mut |_| {})?.blake3 == noted.blake3)
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
    Passing(E),
    /// None will.
    Lasting(E),
}

impl<'a> Download<'a> {
    fn open(
        client: &'a Client,
        wanted: &'a Wanted,
        part: PathBuf,
        mut file: File,
    ) -> Result<Self, E> {
        // Without a hash or a tag nobody knows whether the rest would be of the same file.
        let can_go_on = wanted.expected.is_some() || wanted.tag.is_some();
        let mut hashing = Hashing::new(wanted.expected.as_ref(), wanted.bytes);
        let mut take_in = || {
            if !can_go_on || file.metadata()?.len() > wanted.bytes {
                file.set_len(0)?;
            }
            file.seek(SeekFrom::Start(0))?;
            hashing.read_all(&file, &mut |_| {})
        };
        take_in().map_err(E::file("read", &part))?;
        Ok(Self { client, wanted, part, file, hashing })
    }

    /// Fetches what is missing, in as many attempts as bring something, and checks the whole.
    fn run(&mut self, count: &mut Counter<'_, '_>) -> Result<Digests, E> {
        let had = self.hashing.bytes();
        count.had(had);
        let mut poor = 0;
        while self.hashing.bytes() < self.wanted.bytes {
            let before = self.hashing.bytes();
            let error = match self.attempt(count) {
                Ok(()) => continue,
                Err(Trouble::Lasting(error)) => return Err(error),
                Err(Trouble::Passing(error)) => error,
            };
            let enough = self.hashing.bytes() >= before.saturating_add(ENOUGH);
            poor = if enough { 0 } else { poor + 1 };
            if poor == ATTEMPTS {
                return Err(E::GaveUp(Box::new(error)));
            }
            count.note(Note::Retry { why: whole(&error) });
            std::thread::sleep(PAUSE * 2_u32.pow(poor));
        }
        let (bytes, expected) = (self.wanted.bytes, self.wanted.expected.as_ref());
        let digests = std::mem::replace(&mut self.hashing, Hashing::new(expected, bytes)).finish();
        let Some(Err(source)) = expected.map(|expected| expected.check(&digests)) else {
            return Ok(digests);
        };
        // The next attempt begins anew, be it by this program or by the user.
        self.restart(count)?;
        if had > 0 {
            count.note(Note::Damaged { file: self.name() });
            return self.run(count);
        }
        Err(E::Differs { name: self.name(), source })
    }

    fn attempt(&mut self, count: &mut Counter<'_, '_>) -> Result<(), Trouble> {
        let have = self.hashing.bytes();
        let same_as = self.wanted.tag.as_deref().filter(|_| have > 0);
        let part = Part { range: (have > 0).then_some((have, None)), same_as };
        let answer = self.client.get(&self.wanted.url, &part).map_err(|source| {
            let passing = source.may_pass();
            let error = E::Get { name: self.name(), source };
            if passing { Trouble::Passing(error) } else { Trouble::Lasting(error) }
        })?;
        self.place(&answer, count)?;
        self.take(answer, count)
    }

    /// Checks that the answer goes on where we are, or begins anew if it does.
    fn place(&mut self, answer: &Answer, count: &mut Counter<'_, '_>) -> Result<(), Trouble> {
        let (have, all) = (self.hashing.bytes(), self.wanted.bytes);
        let goes_on = match answer.status {
            206 => {
                let got = http::text(&answer.headers, "content-range").unwrap_or_default();
                let wanted = format!("bytes {have}-{}/{all}", all - 1);
                if got != wanted {
                    let (name, got) = (self.name(), got.to_owned());
                    return Err(Trouble::Lasting(E::OtherPart { name, wanted, got }));
                }
                have > 0
            }
            416 => {
                self.restart(count).map_err(Trouble::Lasting)?;
                return Err(Trouble::Passing(E::NoPart(self.name())));
            }
            _ => false,
        };
        if !goes_on && have > 0 {
            self.restart(count).map_err(Trouble::Lasting)?;
        }
        let wanted = if goes_on { all - have } else { all };
        match http::number(&answer.headers, "content-length") {
            Some(sent) if sent != wanted => {
                Err(Trouble::Lasting(E::Length { name: self.name(), sent, wanted }))
            }
            _ => Ok(()),
        }
    }

    /// Writes what comes, and not a byte more than there should be.
    fn take(&mut self, answer: Answer, count: &mut Counter<'_, '_>) -> Result<(), Trouble> {
        let mut body = answer.body.into_with_config().limit(u64::MAX).reader();
        let mut piece = vec![0; PIECE];
        loop {
            let came = body.read(&mut piece);
            let came =
                came.map_err(|source| Trouble::Passing(E::Broken { name: self.name(), source }))?;
            let (have, all) = (self.hashing.bytes(), self.wanted.bytes);
            if came as u64 > all - have {
                return Err(Trouble::Lasting(E::TooMuch { name: self.name(), most: all }));
            }
            if came == 0 && have < all {
                return Err(Trouble::Passing(E::Short { name: self.name(), have, all }));
            }
            if came == 0 {
                return Ok(());
            }
            let written = self.file.write_all(&piece[..came]);
            written.map_err(E::file("write", &self.part)).map_err(Trouble::Lasting)?;
            self.hashing.update(&piece[..came]);
            count.add(came as u64);
        }
    }

    fn restart(&mut self, count: &mut Counter<'_, '_>) -> Result<(), E> {
        let mut empty = || {
            count.lost(self.file.metadata()?.len());
            self.file.set_len(0)?;
            self.file.seek(SeekFrom::Start(0))
        };
        empty().map_err(E::file("write", &self.part))?;
        self.hashing = Hashing::new(self.wanted.expected.as_ref(), self.wanted.bytes);
        Ok(())
    }

    fn finish(self) -> Result<(), E> {
        let length = self.file.metadata().map_err(E::file("read", &self.part))?.len();
        if length != self.wanted.bytes {
            return Err(E::Changed(self.part));
        }
        settle(&self.part, &self.wanted.to)
    }

    fn name(&self) -> String {
        self.wanted.name()
    }
}

impl Wanted {
    fn name(&self) -> String {
        let name = self.to.file_name().map(|name| name.to_string_lossy().into_owned());
        name.unwrap_or_default()
    }
}

fn settle(part: &Path, to: &Path) -> Result<(), E> {
    file::settle(part, to).map_err(E::file("write", to))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
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
