//! A person's secret keys on disk: PKCS#8 under a passphrase ([`key_file`]), which openssl opens.
//!
//! ```text
//! key.pem        signs for this device
//! next.pem       replaces it one day; better kept somewhere else
//! operator.pem   signs the checkpoints of logs operated here
//! witness.pem    cosigns as a witness
//! key.pub …      the public key of each, in hex
//! ```
//!
//! Keys of earlier versions lie in age files; [`Keys::import`] takes over what is in them. Who
//! knows the passphrase is a [`KeyHolder`]: no file and no terminal is asked for it here.

mod error;

pub use error::{CardError, KeyError, PassphraseError};

use crate::statement::Key;
use error::{cannot, cannot_write};
use ids::{
    Hash, Identity, PeerId,
    key_file::{self, MAX_KEY_FILE, Seed},
};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};
use store::file::{self, Readers};
use zeroize::Zeroizing;

const SECRET: &str = "pem";
/// Most bytes of a file with a public key.
const MAX_PUBLIC: u64 = 1 << 10;

/// What secret keys were called when they were age files.
const OLD: &str = "age";

/// All names that a key may have here, the first four by role.
const STEMS: [&str; 5] = ["key", "next", "operator", "witness", "new"];

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Signs statements.
    Current,
    /// Will replace the current key.
    Next,
    /// Signs checkpoints.
    Operator,
    /// Cosigns checkpoints.
    Witness,
}

impl Role {
    fn stem(self) -> &'static str {
        match self {
            Self::Current => "key",
            Self::Next => "next",
            Self::Operator => "operator",
            Self::Witness => "witness",
        }
    }
}

/// What a passphrase is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To open keys.
    Open,
    /// To make keys under it: a mistyped one would lock them.
    Make,
    /// The same, for a key that comes on standard input, where nobody can answer then.
    Import,
}

/// Who knows the passphrase of a folder of keys.
pub trait KeyHolder: Send + Sync {
    /// The passphrase; asked for once for all keys of a folder, and again if it could not be had.
    ///
    /// Errors: [`PassphraseError`].
    fn passphrase(&self, purpose: Purpose) -> Result<Zeroizing<String>, PassphraseError>;

    /// Is told that other users of the machine can read a secret key's file.
    fn exposed(&self, path: &Path);
}

/// One who holds the keys of several folders, or of one that is opened more than once.
impl<H: KeyHolder + ?Sized> KeyHolder for std::sync::Arc<H> {
    fn passphrase(&self, purpose: Purpose) -> Result<Zeroizing<String>, PassphraseError> {
        (**self).passphrase(purpose)
    }

    fn exposed(&self, path: &Path) {
        (**self).exposed(path);
    }
}

/// A folder of keys.
pub struct Keys {
    dir: PathBuf,
    holder: Box<dyn KeyHolder>,
    passphrase: std::cell::OnceCell<Zeroizing<String>>,
}

impl Keys {
    /// The keys in `dir`, which need not exist yet.
    pub fn at(dir: &Path, holder: impl KeyHolder + 'static) -> Self {
        let (dir, holder) = (dir.to_owned(), Box::new(holder));
        Self { dir, holder, passphrase: std::cell::OnceCell::new() }
    }

    /// Where they are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether there is a key of this role, also one that has to be imported first.
    pub fn has(&self, role: Role) -> bool {
        !file::is_absent(&self.file(role.stem(), SECRET)) || self.is_old(role.stem())
    }

    /// The public key of a role, without any passphrase.
    ///
    /// Errors: there is none, or its file is damaged.
    pub fn public(&self, role: Role) -> Result<PeerId, KeyError> {
        self.public_of(role.stem())
    }

    fn public_of(&self, stem: &str) -> Result<PeerId, KeyError> {
        let path = self.file(stem, "pub");
        if file::is_absent(&path) && !file::is_absent(&self.file(stem, SECRET)) {
            // What was begun when the secret was made is finished now.
            let public = Identity::from_seed(*self.unseal(stem)?).id();
            write_public(&path, &public)?;
        }
        let text = bounded::read_text(&path, MAX_PUBLIC)
            .map_err(|source| KeyError::NoKey { dir: self.dir.clone(), source })?;
        text.trim().parse().map_err(|source| KeyError::Damaged { path, source })
    }

    /// The secret key of a role.
    ///
    /// Errors: there is none, it does not open, or it is not that of the public key beside it.
    pub fn identity(&self, role: Role) -> Result<Identity, KeyError> {
        self.refuse_old(role)?;
        let path = self.file(role.stem(), SECRET);
        let identity = Identity::from_seed(*self.unseal(role.stem())?);
        if self.public(role)? != identity.id() {
            return Err(KeyError::TwoKeys { path });
        }
        Ok(identity)
    }

    fn unseal(&self, stem: &str) -> Result<Seed, KeyError> {
        let path = self.file(stem, SECRET);
        let sealed = file::read_secret(&path, MAX_KEY_FILE)
            .map_err(|source| KeyError::NoSecret { path: path.clone(), source })?;
        if sealed.exposed {
            self.holder.exposed(&path);
        }
        let text = str::from_utf8(&sealed.bytes).unwrap_or_default();
        key_file::unseal(text, self.passphrase(Purpose::Open)?)
            .map_err(|source| KeyError::Closed { path, source })
    }

    /// Asks for the passphrase now, if there is a key to open.
    ///
    /// Errors: it cannot be had, or the key has to be imported first.
    pub fn unlock(&self) -> Result<(), KeyError> {
        if self.has(Role::Current) {
            self.refuse_old(Role::Current)?;
            self.passphrase(Purpose::Open)?;
        }
        Ok(())
    }

    /// Makes a key of a role, unless there is one.
    ///
    /// Errors: files cannot be written; only its public part is there.
    pub fn make(&self, role: Role) -> Result<Identity, KeyError> {
        let _alone = self.alone()?;
        if self.has(role) {
            return self.identity(role);
        }
        self.check_passphrase()?;
        self.make_as(role.stem())
    }

    /// Opens a key that is here, so that no other is sealed under a mistyped passphrase.
    fn check_passphrase(&self) -> Result<(), KeyError> {
        let here = STEMS.into_iter().find(|stem| !file::is_absent(&self.file(stem, SECRET)));
        here.map_or(Ok(()), |stem| self.unseal(stem).map(drop))
    }

    /// Takes over a secret that an age file held, under the name whose public key it has; where
    /// there is no public key, as `role`. Returns the name.
    ///
    /// Errors: there is a key of that name, or the secret belongs to no public key here.
    pub fn import(&self, seed: &Seed, role: Role) -> Result<PathBuf, KeyError> {
        let _alone = self.alone()?;
        let identity = Identity::from_seed(**seed);
        let is_its = |stem: &&str| self.public_of(stem).is_ok_and(|key| key == identity.id());
        let stem = STEMS.into_iter().find(is_its).unwrap_or(role.stem());
        let (public, secret) = (self.file(stem, "pub"), self.file(stem, SECRET));
        if !file::is_absent(&secret) {
            return Err(KeyError::Exists { path: secret });
        }
        if !file::is_absent(&public) && self.public_of(stem)? != identity.id() {
            return Err(KeyError::Other { path: public });
        }
        self.passphrase(Purpose::Import)?;
        self.write_as(stem, &identity, seed)?;
        Ok(secret)
    }

    /// Puts the next key in the place of the current one, and the successor in that of the next.
    /// Called after the rotation is in the log's waiting room; cut short at any point and called
    /// again it goes on, and called once more it changes nothing.
    ///
    /// Errors: files cannot be renamed; a key has to be imported first.
    pub fn advance(&self) -> Result<(), KeyError> {
        let _alone = self.alone()?;
        for stem in ["next", "new"].into_iter().filter(|stem| self.file(stem, "pub").exists()) {
            self.refuse_old_of(stem)?;
        }
        for (from, to) in [("next", "key"), ("new", "next")] {
            for suffix in ["pub", SECRET] {
                let (from, to) = (self.file(from, suffix), self.file(to, suffix));
                // While there is a successor the next key has not moved, or has and is not there.
                if self.file("new", suffix).exists() && from.exists() {
                    fs::rename(&from, &to).map_err(cannot("rename", &from))?;
                }
            }
        }
        let synced = File::open(&self.dir).and_then(|dir| dir.sync_all());
        synced.map_err(cannot_write(&self.dir))
    }

    /// Whether [`Self::advance`] was cut short.
    pub fn is_halfway(&self) -> bool {
        let has = |stem: &str, suffix: &str| self.file(stem, suffix).exists();
        let moved = !has("next", "pub") || (!has("next", SECRET) && !has("new", "pub"));
        has("new", SECRET) && moved
    }

    /// Makes the key that will be committed to at a rotation, beside the present ones.
    ///
    /// Errors: as [`Self::make`].
    pub fn make_successor(&self) -> Result<Identity, KeyError> {
        let _alone = self.alone()?;
        // One that was made before may be what another commons' log commits to.
        if let Ok(old) = bounded::read_text(&self.dir.join("new.pub"), MAX_PUBLIC) {
            let old: String = old.chars().filter(char::is_ascii_hexdigit).take(8).collect();
            for suffix in [SECRET, OLD, "pub"] {
                let from = self.file("new", suffix);
                if !file::is_absent(&from) {
                    fs::rename(&from, self.dir.join(format!("new-{old}.{suffix}")))
                        .map_err(cannot("rename", &from))?;
                }
            }
        }
        self.make_as("new")
    }

    /// What others need to know of these keys: `PUBLIC.NEXT`, with the digest of the next key.
    ///
    /// Errors: as [`Self::public`].
    pub fn card(&self) -> Result<Card, KeyError> {
        let next = Key::digest(&self.public(Role::Next)?);
        Ok(Card { key: self.public(Role::Current)?, next })
    }

    /// Keeps other processes from making or moving keys here until it is dropped.
    fn alone(&self) -> Result<File, KeyError> {
        let lock = || {
            fs::create_dir_all(&self.dir)?;
            let folder = File::open(&self.dir)?;
            folder.lock()?;
            Ok::<_, io::Error>(folder)
        };
        lock().map_err(cannot("lock", &self.dir))
    }

    fn make_as(&self, stem: &str) -> Result<Identity, KeyError> {
        let public = self.file(stem, "pub");
        if !file::is_absent(&public) {
            return Err(KeyError::Elsewhere { path: public });
        }
        let seed = Zeroizing::new(file::random().map_err(KeyError::Random)?);
        let identity = Identity::from_seed(*seed);
        self.write_as(stem, &identity, &seed)?;
        Ok(identity)
    }

    fn write_as(&self, stem: &str, identity: &Identity, seed: &[u8; 32]) -> Result<(), KeyError> {
        fs::create_dir_all(&self.dir).map_err(cannot("make", &self.dir))?;
        let random = file::random().map_err(KeyError::Random)?;
        let sealed = key_file::seal(seed, self.passphrase(Purpose::Make)?, &random);
        // The secret first: a public part without it is one whose secret is kept elsewhere.
        let secret = self.file(stem, SECRET);
        file::create(&secret, sealed.as_bytes(), Readers::Owner).map_err(cannot_write(&secret))?;
        write_public(&self.file(stem, "pub"), &identity.id())
    }

    fn file(&self, stem: &str, suffix: &str) -> PathBuf {
        self.dir.join(format!("{stem}.{suffix}"))
    }

    /// Whether all there is of a secret key is an age file.
    fn is_old(&self, stem: &str) -> bool {
        file::is_absent(&self.file(stem, SECRET)) && !file::is_absent(&self.file(stem, OLD))
    }

    /// Fails where all there is of a role's secret key is an age file.
    ///
    /// Errors: [`KeyError::Old`].
    pub fn refuse_old(&self, role: Role) -> Result<(), KeyError> {
        self.refuse_old_of(role.stem())
    }

    fn refuse_old_of(&self, stem: &str) -> Result<(), KeyError> {
        if !self.is_old(stem) {
            return Ok(());
        }
        Err(KeyError::Old { path: self.file(stem, OLD), dir: self.dir.clone() })
    }

    /// The passphrase, asked for once.
    fn passphrase(&self, purpose: Purpose) -> Result<&str, KeyError> {
        if let Some(known) = self.passphrase.get() {
            return Ok(known);
        }
        let passphrase = self.holder.passphrase(purpose).map_err(|error| match error {
            PassphraseError::Nobody { todo } => KeyError::Nobody { dir: self.dir.clone(), todo },
            error => KeyError::Passphrase(error),
        })?;
        if passphrase.is_empty() {
            return Err(KeyError::Empty);
        }
        Ok(self.passphrase.get_or_init(|| passphrase))
    }
}

/// What others need to know of somebody's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Card {
    /// The current key, which becomes the member's id.
    pub key: PeerId,
    /// Digest of the next.
    pub next: Hash,
}

impl std::fmt::Display for Card {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.key, self.next)
    }
}

impl std::str::FromStr for Card {
    type Err = CardError;

    fn from_str(text: &str) -> Result<Self, CardError> {
        let (key, next) = text.trim().split_once('.').ok_or(CardError::Shape)?;
        Ok(Self { key: key.parse()?, next: next.parse()? })
    }
}

fn write_public(path: &Path, public: &PeerId) -> Result<(), KeyError> {
    let text = format!("{public}\n");
    file::write_atomically(path, text.as_bytes(), Readers::Owner).map_err(cannot_write(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There is nobody to ask.
    struct Nobody;

    impl KeyHolder for Nobody {
        fn passphrase(&self, _: Purpose) -> Result<Zeroizing<String>, PassphraseError> {
            Err(PassphraseError::Nobody { todo: "ask somebody".to_owned() })
        }

        fn exposed(&self, _: &Path) {}
    }

    const FILES: [&str; 6] = ["key.pub", "key.pem", "next.pub", "next.pem", "new.pub", "new.pem"];

    /// The files of a rotation after its first `done` renames, each with whose it was.
    fn after(done: usize) -> (tempfile::TempDir, Keys) {
        let dir = tempfile::tempdir().expect("a folder");
        for name in FILES {
            fs::write(dir.path().join(name), name.split('.').next().expect("a stem"))
                .expect("kept");
        }
        let keys = Keys::at(dir.path(), Nobody);
        let moves = [
            ("next.pub", "key.pub"),
            ("next.pem", "key.pem"),
            ("new.pub", "next.pub"),
            ("new.pem", "next.pem"),
        ];
        for (from, to) in moves.iter().take(done) {
            fs::rename(dir.path().join(from), dir.path().join(to)).expect("renamed");
        }
        (dir, keys)
    }

    #[test]
    fn a_rotation_that_is_cut_short_goes_on_and_comes_to_the_same() {
        for done in 0..=4 {
            let (dir, keys) = after(done);
            assert_eq!(keys.is_halfway(), (1..4).contains(&done), "after {done}");
            for again in 0..2 {
                keys.advance().expect("renamed");
                let whose = |name: &str| fs::read_to_string(dir.path().join(name)).ok();
                let found = FILES.map(whose);
                let expected = [Some("next"), Some("next"), Some("new"), Some("new"), None, None];
                assert_eq!(found, expected.map(|w| w.map(str::to_owned)), "{done}, {again}");
                assert!(!keys.is_halfway());
            }
        }
    }

    #[test]
    fn a_next_key_kept_elsewhere_is_no_rotation_cut_short() {
        let (dir, keys) = after(0);
        fs::remove_file(dir.path().join("next.pem")).expect("moved away");
        assert!(!keys.is_halfway());
    }

    #[test]
    fn a_rotation_waits_for_the_import_of_old_files() {
        for stem in ["next", "new"] {
            let (dir, keys) = after(0);
            let file = |suffix: &str| dir.path().join(format!("{stem}.{suffix}"));
            fs::rename(file("pem"), file("age")).expect("renamed");
            let error = keys.advance().expect_err("nothing may move");
            assert!(error.to_string().contains("is an age file"), "{error:#}");
            assert_eq!(fs::read_to_string(dir.path().join("key.pub")).expect("a file"), "key");
            // Once it is imported, the old file is in nobody's way.
            fs::write(file("pem"), stem).expect("kept");
            keys.advance().expect("renamed");
            assert_eq!(fs::read_to_string(dir.path().join("key.pem")).expect("a file"), "next");
        }
    }
}
