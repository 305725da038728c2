//! The log as files for other programs: tiles, bundles, the policy and a head that enough witnesses
//! have cosigned (C2SP).

use crate::{ArchiveError, Workspace, WorkspaceError, portable::cosigned_head};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use store::file::{Readers, write_atomically};
use tlog::{Bundle, Tile, TileError, TreeError};

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Statements of the head.
    pub size: u64,
    /// Files with hashes.
    pub tiles: u64,
    /// Files with statements.
    pub bundles: u64,
}

/// Why nothing whole was written.
#[derive(Debug, thiserror::Error)]
pub enum TilesError {
    /// The folder has something in it.
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// No head is of use to others.
    #[error("enough witnesses have cosigned no head of this log yet")]
    NoHead,
    /// The log cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The tree over the log cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError<ArchiveError>),
    /// A statement does not fit a bundle.
    #[error(transparent)]
    Tile(#[from] TileError),
    /// The commons cannot be read.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl TilesError {
    /// What can be done about it, where that is known.
    pub fn todo(&self) -> Option<String> {
        match self {
            Self::Workspace(error) => error.todo(),
            _ => None,
        }
    }
}

/// Writes the log into the folder `to`, which must be empty or not be there.
///
/// Errors: it is not empty, no head has enough cosignatures, or a file cannot be written.
pub fn write(workspace: &Workspace, to: &Path) -> Result<Written, TilesError> {
    if to.exists() && fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(TilesError::NotEmpty(to.to_owned()));
    }
    let log = workspace.log()?;
    // The newest head may have nobody's cosignature yet; somebody with a witness policy could do
    // nothing with it.
    let head = cosigned_head(&log, &workspace.state)?.ok_or(TilesError::NoHead)?;
    let policy = workspace.state.policy();
    let size = head.checkpoint().size;
    let operator = workspace.state.log_key_at(size);
    let mut written = Written { size, tiles: 0, bundles: 0 };
    for tile in Tile::all(size) {
        file(&to.join(tile.to_string()), &tile.to_bytes(&log)?)?;
        written.tiles += 1;
    }
    for bundle in Bundle::all(size) {
        let range = bundle.first()..bundle.first() + u64::from(bundle.width());
        let entries: Vec<Vec<u8>> = log.entries(range)?.collect::<Result<_, _>>()?;
        file(&to.join(bundle.to_string()), &bundle.to_bytes(&entries)?)?;
        written.bundles += 1;
    }
    file(&to.join("policy"), policy.to_text(&operator).as_bytes())?;
    // Last: whoever sees it finds everything it covers.
    file(&to.join("checkpoint"), head.to_string().as_bytes())?;
    Ok(written)
}

fn file(path: &Path, bytes: &[u8]) -> Result<(), TilesError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir)
        .and_then(|()| write_atomically(path, bytes, Readers::All))
        .map_err(|source| TilesError::Write { path: path.to_owned(), source })
}
