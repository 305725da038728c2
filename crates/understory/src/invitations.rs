//! The invitations of a run that its founder handed out: secrets, one for each friend.

use crate::{files::write_secret, hint::WithHint, random};
use anyhow::{Context, Result, anyhow};
use ids::{Hash, Identity, PeerId};
use net::swarm::{Invitation, Ticket};
use std::{collections::BTreeSet, fs, io::ErrorKind, path::Path};

/// In the founder's folder, readable by its owner alone.
const FILE: &str = "invitations";
/// What it may be long: [`swarm::MAX_MEMBERS`] lines and some words.
const MAX_BYTES: u64 = 16 << 10;

const HEAD: &str =
    "# Secrets of this run's invitations. Whoever has one can become a founding voter.\n";

/// The secret key of each invitation, in the order in which they are shown.
#[derive(Clone, Default)]
pub struct Invitations(Vec<[u8; 32]>);

impl Invitations {
    /// New ones.
    ///
    /// Errors: the system gives no random numbers.
    pub fn make(count: u32) -> Result<Self> {
        (0..count).map(|_| random::seed()).collect::<Result<_>>().map(Self)
    }

    /// Those of the peer in `dir`; none where it handed out none.
    ///
    /// Errors: the file cannot be read, or a line of it is no secret.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let text = match fs::metadata(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Ok(meta) if meta.len() > MAX_BYTES => Err(anyhow!("{} bytes are too many", meta.len())),
            _ => fs::read_to_string(&path).map_err(Into::into),
        };
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        let lines = text.lines().enumerate().filter(|(_, l)| !l.is_empty() && !l.starts_with('#'));
        let secret = |(at, line): (usize, &str)| {
            // The line itself is a secret, however damaged: it is not shown.
            let secret: Option<Hash> = line.parse().ok();
            secret
                .map(|secret| secret.0)
                .with_context(|| format!("line {} of {} is no secret", at + 1, path.display()))
                .hint("put the file back from a copy; without it nobody new can use an invitation")
        };
        lines.map(secret).collect::<Result<_>>().map(Self)
    }

    /// Keeps them in `dir`, before anything names their keys.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let lines: String = self.0.iter().map(|secret| format!("{}\n", Hash(*secret))).collect();
        write_secret(&dir.join(FILE), format!("{HEAD}{lines}").as_bytes())
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
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn they_are_kept_for_the_owner_alone_and_read_back() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(Invitations::read(folder.path()).expect("none yet").keys().is_empty());
        let made = Invitations::make(3).expect("random numbers");
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
        let error = format!("{error:#}");
        assert!(error.contains("line 4") && !error.contains("0202"), "{error}");
    }
}
