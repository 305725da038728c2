//! Who founds a run: keys that are known, and invitations for friends whose keys are not.

use crate::{invitations::Invitations, worker::rules};
use bounded::read_named_text;
use commons::{HomeError, peer_keys::PeerKeys};
use ids::{Hash, ParsePeerIdError, PeerId, name, name::NameError};
use net::PeerAddr;
use recipe::{CorpusError, RunError, RunManifest};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};
use swarm::{MAX_MEMBERS, RulesError};

/// A file of the most keys there can be, with a line of comment for each.
const MAX_BYTES: u64 = 64 << 10;

/// The founding voters besides who begins the run.
#[derive(Default)]
pub struct Founding {
    /// Keys.
    pub voters: BTreeSet<PeerId>,
    /// One more voter for each.
    pub invitations: Invitations,
}

/// Why a run cannot be founded like this.
#[derive(Debug, thiserror::Error)]
pub enum FoundingError {
    /// There is no place for so many voters.
    #[error("{all} founding voters, and rounds.max_members is {most}")]
    TooMany {
        /// How many there are to be.
        all: usize,
        /// How many may belong to the run.
        most: u32,
    },
    /// The run's name is none that people can tell from others.
    #[error("name {name:?} {error}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        error: NameError,
    },
    /// An option of the text is out of range.
    #[error("data.options cannot be used")]
    Text(#[from] CorpusError),
    /// A setting is out of range.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The protocol's rules allow no such run.
    #[error(transparent)]
    Rules(#[from] RulesError),
}

impl FoundingError {
    /// What can be done about it.
    pub fn todo(&self) -> Option<&'static str> {
        Some(match self {
            Self::TooMany { .. } => "set rounds.max_members higher, or name fewer",
            Self::Name { .. } => name::HINT,
            Self::Text(_) | Self::Run(_) | Self::Rules(_) => {
                "`understory swarm config` explains every setting"
            }
        })
    }
}

/// Why a run is not founded as somebody asks: it was before.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoundedError {
    /// With another number of invitations.
    #[error("the run in this folder has {invited} invitations")]
    Invitations {
        /// How many it has.
        invited: usize,
    },
    /// Without a voter that is asked for.
    #[error("the run in this folder has other founding voters")]
    Voters,
}

impl FoundedError {
    /// What can be done about it.
    pub fn todo(&self) -> &'static str {
        "who founds a run is fixed when it begins; another --dir begins another"
    }
}

/// Whether a run was founded with so many invitations and these voters among others, where either
/// is asked for.
///
/// Errors: it was not.
pub fn must_be_same(
    run: &RunManifest,
    invitations: Option<usize>,
    voters: Option<&BTreeSet<PeerId>>,
) -> Result<(), FoundedError> {
    let invited = run.invitations.len();
    if invitations.is_some_and(|asked| asked != invited) {
        return Err(FoundedError::Invitations { invited });
    }
    let is_founder = |key: &PeerId| run.founders.contains(&Hash(key.0));
    match voters.is_some_and(|voters| !voters.iter().all(is_founder)) {
        true => Err(FoundedError::Voters),
        false => Ok(()),
    }
}

/// A manifest with its founding voters, checked.
///
/// Errors: a setting that is out of range, by its name.
pub fn founded(
    mut manifest: RunManifest,
    founding: &Founding,
) -> Result<RunManifest, FoundingError> {
    let founder = PeerId(manifest.founder.0);
    let founders: BTreeSet<PeerId> = founding.voters.iter().copied().chain([founder]).collect();
    manifest.founders = founders.iter().map(|key| Hash(key.0)).collect();
    manifest.invitations = founding.invitations.keys().iter().map(|key| Hash(key.0)).collect();
    let (all, most) = (founders.len() + manifest.invitations.len(), manifest.rounds.max_members);
    if all > most as usize {
        return Err(FoundingError::TooMany { all, most });
    }
    manifest.validate()?;
    name::check(&manifest.name)
        .map_err(|error| FoundingError::Name { name: manifest.name.clone(), error })?;
    rules(&manifest).validate()?;
    Ok(manifest)
}

/// Why a file names no voters.
#[derive(Debug, thiserror::Error)]
pub enum VotersError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its text is not one of keys.
    #[error("{path} is no file of voters")]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: VotersText,
    },
    /// No member of a commons has named a peer.
    #[error("no member of this commons has named a peer's key as theirs")]
    NoMembers,
    /// The commons cannot be read.
    #[error(transparent)]
    Commons(#[from] HomeError),
}

impl VotersError {
    /// What can be done about it, where that is known.
    pub fn todo(&self) -> Option<&'static str> {
        match self {
            Self::Read { .. } => None,
            Self::Text { .. } => {
                Some("one key a line, as `understory swarm key` prints it; # begins a comment")
            }
            Self::NoMembers => Some("each of them says `understory swarm key --commons DIR` first"),
            Self::Commons(error) => error.todo(),
        }
    }
}

/// What is wrong with a text of voters.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum VotersText {
    /// A line is no key.
    #[error("line {line}: {why}")]
    NoKey {
        /// Its number, from 1.
        line: usize,
        /// What it is not.
        why: ParsePeerIdError,
    },
    /// A line looks like a key and is none.
    #[error("line {line}: no secret belongs to this key; it is mistyped")]
    Mistyped {
        /// Its number, from 1.
        line: usize,
    },
    /// A key is named twice.
    #[error("line {line} names the key of line {before} again")]
    Again {
        /// The second line, from 1.
        line: usize,
        /// The first.
        before: usize,
    },
    /// More keys than a run has members.
    #[error("line {line} is one too many: a run has at most {MAX_MEMBERS} members")]
    TooMany {
        /// The first line that is too many, from 1.
        line: usize,
    },
    /// There is none.
    #[error("there is no key in it")]
    Empty,
}

/// The keys in a file: one a line, alone or as `swarm status` prints it; # begins a comment.
///
/// Errors: it cannot be read, or a line of it is wrong.
pub fn read_voters(path: &Path) -> Result<BTreeSet<PeerId>, VotersError> {
    let text = read_named_text(path, MAX_BYTES)
        .map_err(|source| VotersError::Read { path: path.to_owned(), source })?;
    parse(&text).map_err(|source| VotersError::Text { path: path.to_owned(), source })
}

/// The peers' keys that the members of the commons in `dir` have named as theirs, and which members
/// have named none.
///
/// Errors: the commons cannot be read; nobody has named one.
pub fn voters_of_commons(dir: &Path) -> Result<PeerKeys, VotersError> {
    let named = PeerKeys::in_folder(dir)?;
    if named.keys.is_empty() {
        return Err(VotersError::NoMembers);
    }
    Ok(named)
}

/// The keys in a text: one a line, alone or as `swarm status` prints it (`key      KEY`).
///
/// Errors: a line that is no key, names one a second time, or is too many; by its number.
fn parse(text: &str) -> Result<BTreeSet<PeerId>, VotersText> {
    let mut seen: BTreeMap<PeerId, usize> = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split_once('#').map_or(line, |(before, _)| before).trim();
        if line.is_empty() {
            continue;
        }
        let key = line.strip_prefix("key ").unwrap_or(line).trim();
        let key: PeerId = key.parse().map_err(|why| VotersText::NoKey { line: number, why })?;
        // Of 32 bytes only about half are a point on the curve; nobody has the others' secret.
        if !(PeerAddr { peer: key, addrs: Vec::new(), relay: None }).is_valid() {
            return Err(VotersText::Mistyped { line: number });
        }
        if let Some(before) = seen.insert(key, number) {
            return Err(VotersText::Again { line: number, before });
        }
        if seen.len() >= MAX_MEMBERS as usize {
            return Err(VotersText::TooMany { line: number });
        }
    }
    if seen.is_empty() {
        return Err(VotersText::Empty);
    }
    Ok(seen.into_keys().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RunConfig;
    use ids::{Identity, ObjectRef};

    fn key(number: u8) -> PeerId {
        Identity::from_seed([number; 32]).id()
    }

    #[test]
    fn keys_are_read_with_comments_and_as_status_prints_them() {
        let text = format!(
            "# friends\n\n{}\n  {}   # Cleo\r\nkey      {}\n",
            key(1),
            key(2).to_string().to_uppercase(),
            key(3)
        );
        assert_eq!(parse(&text).expect("three keys"), BTreeSet::from([key(1), key(2), key(3)]));
    }

    #[test]
    fn a_run_that_was_founded_keeps_its_founders() {
        let voters = |numbers: &[u8]| -> BTreeSet<PeerId> {
            numbers.iter().map(|&number| key(number)).collect()
        };
        let run = RunManifest {
            founders: [1, 2].map(|number| Hash(key(number).0)).to_vec(),
            invitations: vec![Hash(key(3).0)],
            ..RunConfig::default()
                .manifest(key(1), &Founding::default(), ObjectRef::of(b"c"), 4096)
                .expect("a run")
        };
        let same = |invited, voters: Option<BTreeSet<PeerId>>| {
            must_be_same(&run, invited, voters.as_ref())
        };
        for (invited, named) in [(None, None), (Some(1), None), (None, Some(voters(&[2])))] {
            assert_eq!(same(invited, named.clone()), Ok(()), "{invited:?} {named:?}");
        }
        let other = Err(FoundedError::Invitations { invited: 1 });
        assert_eq!(same(Some(0), None), other);
        assert_eq!(same(Some(1), Some(voters(&[1, 3]))), Err(FoundedError::Voters));
    }

    #[test]
    fn a_bad_line_is_named_by_its_number() {
        let (a, b) = (key(1), key(2));
        let refused = |text: &str, words: &[&str]| {
            let error = parse(text).expect_err("must be refused").to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        };
        refused(&format!("{a}\n\nmy friend Bert\n"), &["line 3", "64 hex digits"]);
        refused(&format!("{a} {b}\n"), &["line 1", "64 hex digits"]);
        refused(&format!("# two\n{a}\n{b}\n{a}\n"), &["line 4", "line 2 again"]);
        // y = 2 is on no point of the curve.
        refused(&format!("{a}\n02{}\n", "0".repeat(62)), &["line 2", "mistyped"]);
        refused("# nobody yet\n", &["no key in it"]);
        let many: Vec<String> = (1..=64).map(|n| key(n).to_string()).collect();
        refused(&many.join("\n"), &["line 64", "at most 64"]);
    }
}
