//! The invitations of a run that its founder handed out: secrets, one for each friend.

use bounded::read_text;
use ids::{Hash, Identity, PeerId};
use net::swarm::{Invitation, Ticket};
use std::{
    collections::BTreeSet,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};
use store::file::{Readers, write_atomically};

/// In the founder's folder, readable by its owner alone.
const FILE: &str = "invitations";
/// What it may be long: [`swarm::MAX_MEMBERS`] lines and some words.
const MAX_BYTES: u64 = 16 << 10;

const HEAD: &str =
    "# Secrets of this run's invitations. Whoever has one can become a founding voter.\n";

/// The secret key of each invitation, in the order in which they are shown.
#[derive(Clone, Default)]
pub struct Invitations(Vec<[u8; 32]>);

/// Why invitations cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum InvitationsError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of it is no secret. The line itself is one, however damaged: it is not shown.
    #[error("line {line} of {path} is no secret")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl InvitationsError {
    /// What can be done about it, where that is known.
    pub fn todo(&self) -> Option<&'static str> {
        match self {
            Self::Line { .. } => {
                Some("put the file back from a copy; without it nobody new can use an invitation")
            }
            Self::Read { .. } | Self::Write { .. } => None,
        }
    }
}

impl Invitations {
    /// Those of these secrets, 32 bytes each that nobody can guess.
    pub fn of(secrets: Vec<[u8; 32]>) -> Self {
        Self(secrets)
    }

    /// Those of the peer in `dir`; none where it handed out none.
    ///
    /// Errors: the file cannot be read, or a line of it is no secret.
    pub fn read(dir: &Path) -> Result<Self, InvitationsError> {
        let path = dir.join(FILE);
        let text = match read_text(&path, MAX_BYTES) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(InvitationsError::Read { path, source }),
            Ok(text) => text,
        };
        let lines = text.lines().enumerate().filter(|(_, l)| !l.is_empty() && !l.starts_with('#'));
        let secret = |(at, line): (usize, &str)| match line.parse::<Hash>() {
            Ok(secret) => Ok(secret.0),
            Err(_) => Err(InvitationsError::Line { line: at + 1, path: path.clone() }),
        };
        lines.map(secret).collect::<Result<_, _>>().map(Self)
    }

    /// Keeps them in `dir`, before anything names their keys.
    ///
    /// Errors: the file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), InvitationsError> {
        let lines: String = self.0.iter().map(|secret| format!("{}\n", Hash(*secret))).collect();
        let (path, text) = (dir.join(FILE), format!("{HEAD}{lines}"));
        write_atomically(&path, text.as_bytes(), Readers::Owner)
            .map_err(|source| InvitationsError::Write { path, source })
    }

    /// Their public keys, which the run's manifest names.
    pub fn keys(&self) -> BTreeSet<PeerId> {
        self.0.iter().map(key).collect()
    }

    /// For each of the keys in `unused`, the text for the one person who is invited.
    pub fn texts(&self, ticket: &Ticket, unused: &[PeerId]) -> Vec<String> {
        let unused = self.0.iter().filter(|secret| unused.contains(&key(secret)));
        let invitation = |secret| Invitation { ticket: ticket.clone(), secret };
        unused.map(|secret| invitation(*secret).to_secret_text()).collect()
    }
}

fn key(secret: &[u8; 32]) -> PeerId {
    Identity::from_seed(*secret).id()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    #[test]
    fn they_are_kept_for_the_owner_alone_and_read_back() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(Invitations::read(folder.path()).expect("none yet").keys().is_empty());
        let made = Invitations::of(vec![[3; 32], [4; 32], [5; 32]]);
        assert_eq!(made.keys().len(), 3);
        made.write(folder.path()).expect("writes");
        let read = Invitations::read(folder.path()).expect("reads");
        assert_eq!(read.0, made.0);
        let meta = fs::metadata(folder.path().join(FILE)).expect("it is there");
        assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_line_is_named_and_not_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!("# secrets\n\n{}\n{}x\n", Hash([1; 32]), Hash([2; 32]));
        fs::write(folder.path().join(FILE), text).expect("writes");
        let Err(error) = Invitations::read(folder.path()) else { panic!("line 4 is no secret") };
        let error = error.to_string();
        assert!(error.contains("line 4") && !error.contains("0202"), "{error}");
    }
}
