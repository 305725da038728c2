//! A commons in a folder, as one member keeps it.
//!
//! ```text
//! log.redb            the log
//! ancestors/ID.redb   the logs it was forked from, up to the fork
//! splits/HASH.cbor    proofs that the log's operator signed two histories
//! store/              texts and other payloads, by BLAKE3
//! ```
//!
//! The log's file is open for short moments only, so that commands work beside a running service.

use crate::{
    Archive, ArchiveError, Body, Snapshot, Statement,
    state::{ReplayError, State},
    statement::ParentLog,
    verify::{Report, VerifyError, verify},
};
use ids::Hash;
use progress::{Counter, Tell, Work};
use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};
use store::{Store, StoreError, file::Readers};
use tlog::{MAX_SPLIT_PROOF, SignedCheckpoint, SplitProof};

/// How long another process may keep the log's file.
const PATIENCE: Duration = Duration::from_secs(20);

/// Generations of forks that are followed back.
const MAX_ANCESTORS: usize = 64;

/// Proofs of a second history that are kept; one is enough to show it.
const MAX_SPLITS: usize = 64;

/// Statements copied at a time.
const CHUNK: u64 = 4096;

/// A commons in a folder.
#[derive(Clone, Debug)]
pub struct Home {
    dir: PathBuf,
}

/// Why a commons in a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Reading or writing a file.
    #[error("{}: {why}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// There is none.
    #[error("there is no commons in {}", .0.display())]
    Missing(PathBuf),
    /// There is one already.
    #[error("there is a commons in {} already", .0.display())]
    Exists(PathBuf),
    /// The log.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Its state.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A payload.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log that it was forked from is not what its genesis says.
    #[error("the log of commons {id}, which this one was forked from, {why}")]
    Ancestor {
        /// Which.
        id: Hash,
        /// What is wrong with it.
        why: String,
    },
    /// A check failed.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

impl HomeError {
    /// What can be done about it, where that is known.
    pub fn todo(&self) -> Option<&'static str> {
        match self {
            Self::Missing(_) => Some(
                "begin one with `understory commons create`, join one, or name its folder with \
                 --dir",
            ),
            _ => None,
        }
    }
}

impl Home {
    /// The commons in `dir`.
    ///
    /// Errors: there is none.
    pub fn open(dir: &Path) -> Result<Self, HomeError> {
        let home = Self { dir: dir.to_owned() };
        if !home.log_path().is_file() {
            return Err(HomeError::Missing(dir.to_owned()));
        }
        Ok(home)
    }

    /// Begins a commons in `dir` from its genesis and, where it is at hand, its first head. The
    /// log of a fork is put there by [`Home::fork`], or at [`Home::ancestor_path`] by whoever joins.
    ///
    /// Errors: there is one already; files cannot be written.
    pub fn create(
        dir: &Path,
        genesis: &Statement,
        head: Option<&SignedCheckpoint>,
    ) -> Result<Self, HomeError> {
        let home = Self { dir: dir.to_owned() };
        if !store::file::is_absent(&home.log_path()) {
            return Err(HomeError::Exists(dir.to_owned()));
        }
        make_dir(dir)?;
        // Whole or not at all: under its name the log has its genesis and head.
        let unfinished = dir.join("log.redb.unfinished");
        let _ = fs::remove_file(&unfinished);
        let archive = Archive::create(&unfinished, genesis)?;
        if let Some(head) = head {
            archive.keep_checkpoint(head)?;
        }
        drop(archive);
        settle(&unfinished, &home.log_path())?;
        Ok(home)
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Opens the log, waiting while another process has it.
    ///
    /// Errors: it is taken for too long, or damaged.
    pub fn archive(&self) -> Result<Archive, HomeError> {
        open_patiently(&self.log_path())
    }

    /// The payloads.
    ///
    /// Errors: the folder cannot be made.
    pub fn objects(&self) -> Result<Store, HomeError> {
        Ok(Store::open(self.dir.join("store"))?)
    }

    /// Keeps a proof that the log's operator signed two histories. Whether it was news.
    ///
    /// Errors: the file cannot be written.
    pub fn keep_split(&self, split: &SplitProof) -> Result<bool, HomeError> {
        let (dir, bytes) = (self.splits_dir(), split.to_bytes());
        let path = dir.join(format!("{}.cbor", Hash::of(&bytes)));
        make_dir(&dir)?;
        if path.exists() || split_paths(&dir)?.len() >= MAX_SPLITS {
            return Ok(false);
        }
        store::file::write_atomically(&path, &bytes, Readers::All)
            .map_err(|why| HomeError::Io { path, why })?;
        Ok(true)
    }

    /// The proofs of two histories that are kept here; whether they hold is not checked.
    ///
    /// Errors: a file cannot be read.
    pub fn splits(&self) -> Result<Vec<SplitProof>, HomeError> {
        let mut found = Vec::new();
        for path in split_paths(&self.splits_dir())?.into_iter().take(MAX_SPLITS) {
            match bounded::read(&path, MAX_SPLIT_PROOF as u64) {
                // Whatever else lies there is no proof.
                Ok(bytes) => found.extend(SplitProof::parse(&bytes)),
                Err(why) if bounded::is_too_long(&why) => {}
                Err(why) => return Err(HomeError::Io { path, why }),
            }
        }
        Ok(found)
    }

    /// The state of the whole log.
    ///
    /// Errors: the log, or one that it was forked from, is missing or damaged.
    pub fn state(&self, log: &Snapshot) -> Result<State, HomeError> {
        self.state_at(log, log.size())
    }

    /// The state of the log's first `size` statements.
    ///
    /// Errors: as [`Self::state`].
    pub fn state_at(&self, log: &Snapshot, size: u64) -> Result<State, HomeError> {
        let parent = self.parent_state(&log.statement(0)?)?;
        Ok(State::replay(log, size, parent.as_ref())?)
    }

    /// The state of the log that `genesis` was forked from, if it was.
    fn parent_state(&self, genesis: &Statement) -> Result<Option<State>, HomeError> {
        let mut state = None;
        for (parent, archive) in self.lineage(genesis)?.into_iter().rev() {
            let log = archive.snapshot()?;
            state = Some(State::replay(&log, parent.size, state.as_ref())?);
        }
        Ok(state)
    }

    /// Checks everything from the genesis on, ancestors first, and reports on each log. `tell` hears
    /// how many statements of all logs are done.
    ///
    /// Errors: the first thing that does not hold.
    pub fn verify(&self, tell: &mut Tell<'_>) -> Result<(State, Vec<Report>), HomeError> {
        let archive = self.archive()?;
        let (mut state, mut reports) = (None, Vec::new());
        let mut logs: Vec<Archive> =
            self.lineage(archive.genesis())?.into_iter().rev().map(|(_, log)| log).collect();
        logs.push(archive);
        let logs = logs.iter().map(Archive::snapshot).collect::<Result<Vec<_>, _>>()?;
        let all = logs.iter().map(Snapshot::size).sum();
        let mut count = Counter::new(Work::Checking, all, tell);
        for log in &logs {
            let (next, report) = verify(log, state.as_ref(), |done| count.add(done))?;
            reports.push(report);
            state = Some(next);
        }
        let state = state.expect("a commons has at least its own log");
        Ok((state, reports))
    }

    /// Begins a fork in `dir`: a new commons with this one's first `size` statements as history.
    /// `genesis` makes its genesis from where it is forked.
    ///
    /// Errors: the log is shorter; `dir` has a commons already; files cannot be written.
    pub fn fork<E: From<HomeError>>(
        &self,
        dir: &Path,
        size: u64,
        genesis: impl FnOnce(ParentLog, &State) -> Result<(Statement, SignedCheckpoint), E>,
    ) -> Result<Self, E> {
        let archive = self.archive()?;
        let log = archive.snapshot().map_err(HomeError::from)?;
        let root = log.root_at(size).map_err(HomeError::from)?.0;
        let parent = ParentLog { id: archive.id(), size, root };
        let (genesis, head) = genesis(parent, &self.state_at(&log, size)?)?;
        if dir.join("log.redb").exists() {
            return Err(HomeError::Exists(dir.to_owned()).into());
        }
        let fork = Self { dir: dir.to_owned() };
        make_dir(&dir.join("ancestors"))?;
        for (ancestor, archive) in self.lineage(archive.genesis())? {
            copy_log(&archive, &fork.ancestor_path(&ancestor.id), ancestor.size)?;
        }
        copy_log(&archive, &fork.ancestor_path(&parent.id), size)?;
        Ok(Self::create(dir, &genesis, Some(&head))?)
    }

    /// Where the log of an ancestor belongs.
    pub fn ancestor_path(&self, id: &Hash) -> PathBuf {
        self.dir.join("ancestors").join(format!("{id}.redb"))
    }

    /// The log of an ancestor.
    ///
    /// Errors: it is missing or damaged.
    pub fn ancestor(&self, id: &Hash) -> Result<Archive, HomeError> {
        let path = self.ancestor_path(id);
        if !path.is_file() {
            return Err(HomeError::Ancestor { id: *id, why: "is missing".into() });
        }
        open_patiently(&path)
    }

    /// The logs that `genesis` was forked from, the nearest first, with the root checked.
    fn lineage(&self, genesis: &Statement) -> Result<Vec<(ParentLog, Archive)>, HomeError> {
        let mut found = Vec::new();
        let mut next = parent_of(genesis);
        while let Some(parent) = next {
            let wrong = |why: &str| HomeError::Ancestor { id: parent.id, why: why.into() };
            if found.len() == MAX_ANCESTORS {
                return Err(wrong("is one of too many"));
            }
            let archive = self.ancestor(&parent.id)?;
            if archive.id() != parent.id {
                return Err(wrong("is of another commons"));
            }
            if archive.snapshot()?.root_at(parent.size)?.0 != parent.root {
                return Err(wrong("has another root than the genesis says"));
            }
            next = parent_of(archive.genesis());
            found.push((parent, archive));
        }
        Ok(found)
    }

    fn splits_dir(&self) -> PathBuf {
        self.dir.join("splits")
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("log.redb")
    }
}

/// Where a genesis says it was forked from.
pub fn parent_of(genesis: &Statement) -> Option<ParentLog> {
    match &genesis.body {
        Body::Genesis(body) => body.parent,
        _ => None,
    }
}

fn open_patiently(path: &Path) -> Result<Archive, HomeError> {
    let began = Instant::now();
    loop {
        match Archive::open(path) {
            Err(ArchiveError::Busy) if began.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(20));
            }
            other => return Ok(other?),
        }
    }
}

/// The files in a folder of proofs, in the order of their names.
fn split_paths(dir: &Path) -> Result<Vec<PathBuf>, HomeError> {
    let io = |why| HomeError::Io { path: dir.to_owned(), why };
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(io)?,
    };
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>();
    let mut paths = paths.map_err(io)?;
    paths.retain(|path| path.extension().is_some_and(|e| e == "cbor"));
    paths.sort();
    Ok(paths)
}

/// Copies the first `size` statements of a log, and its checkpoints up to there.
fn copy_log(from: &Archive, to: &Path, size: u64) -> Result<(), HomeError> {
    let unfinished = to.with_extension("unfinished");
    let _ = fs::remove_file(&unfinished);
    let log = from.snapshot()?;
    let copy = Archive::create(&unfinished, from.genesis())?;
    let mut next = 1;
    while next < size {
        let end = (next + CHUNK).min(size);
        let mut statements = Vec::new();
        for (index, entry) in (next..).zip(log.entries(next..end)?) {
            let statement = Statement::parse_unsigned(&entry?);
            statements.push(statement.map_err(|why| ArchiveError::Statement { index, why })?);
        }
        copy.append(&statements)?;
        next = end;
    }
    for checkpoint in log.checkpoints()? {
        let checkpoint = checkpoint?;
        if checkpoint.checkpoint().size <= size {
            copy.keep_checkpoint(&checkpoint)?;
        }
    }
    drop(copy);
    settle(&unfinished, to)
}

fn make_dir(dir: &Path) -> Result<(), HomeError> {
    fs::create_dir_all(dir).map_err(|why| HomeError::Io { path: dir.to_owned(), why })
}

/// Gives a finished log its name, durably; never that of another log.
fn settle(from: &Path, to: &Path) -> Result<(), HomeError> {
    store::file::settle_new(from, to).map_err(|why| HomeError::Io { path: to.to_owned(), why })
}
