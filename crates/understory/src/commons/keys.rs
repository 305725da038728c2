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
//! Keys of earlier versions lie in age files; [`Keys::import`] takes over what is in them.

use crate::{
    files::{create_secret, read_secret, write_secret},
    hint::WithHint,
    random,
};
use anyhow::{Context, Result, anyhow, bail};
use commons::statement::Key;
use ids::{
    Hash, Identity, PeerId,
    key_file::{self, Seed},
};
use std::{
    fs::{self, File},
    io::IsTerminal,
    path::{Path, PathBuf},
};
use store::file;
use zeroize::Zeroizing;

const SECRET: &str = "pem";
/// Most bytes of a file with a public key.
const MAX_PUBLIC: u64 = 1 << 10;

/// What secret keys were called when they were age files.
const OLD: &str = "age";

/// All names that a key may have here, the first four by role.
const STEMS: [&str; 5] = ["key", "next", "operator", "witness", "new"];

const PASSPHRASE: &str = "UNDERSTORY_PASSPHRASE";

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

/// A folder of keys.
pub struct Keys {
    dir: PathBuf,
    passphrase: std::cell::OnceCell<Zeroizing<String>>,
}

impl Keys {
    /// The folder that was asked for, or the usual one.
    pub fn at(dir: Option<&Path>) -> Result<Self> {
        let dir = match dir {
            Some(dir) => dir.to_owned(),
            None => usual_dir()?,
        };
        Ok(Self { dir, passphrase: std::cell::OnceCell::new() })
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
    pub fn public(&self, role: Role) -> Result<PeerId> {
        self.public_of(role.stem())
    }

    fn public_of(&self, stem: &str) -> Result<PeerId> {
        let path = self.file(stem, "pub");
        if file::is_absent(&path) && !file::is_absent(&self.file(stem, SECRET)) {
            // What was begun when the secret was made is finished now.
            let public = Identity::from_seed(*self.unseal(stem)?).id();
            write_secret(&path, format!("{public}\n").as_bytes())?;
        }
        let text = bounded::read_text(&path, MAX_PUBLIC)
            .with_context(|| format!("no key in {}", self.dir.display()))
            .hint("make one with `understory key create`, or name its folder with --keys")?;
        text.trim().parse().with_context(|| format!("{} is damaged", path.display()))
    }

    /// The secret key of a role.
    pub fn identity(&self, role: Role) -> Result<Identity> {
        self.refuse_old(role)?;
        let path = self.file(role.stem(), SECRET);
        let identity = Identity::from_seed(*self.unseal(role.stem())?);
        if self.public(role)? != identity.id() {
            return Err(anyhow!("{} and the .pub file beside it are of two keys", path.display()))
                .hint("`understory key rotate` finishes a rotation that was cut short");
        }
        Ok(identity)
    }

    fn unseal(&self, stem: &str) -> Result<Seed> {
        let path = self.file(stem, SECRET);
        let sealed = read_secret(&path)
            .hint("make a key with `understory key create`, or name its folder with --keys")?;
        let text = str::from_utf8(&sealed).unwrap_or_default();
        key_file::unseal(text, self.passphrase(false)?)
            .with_context(|| format!("cannot open {}", path.display()))
            .hint("is the passphrase right?")
    }

    /// Asks for the passphrase now, if it takes a person to say it.
    pub fn unlock(&self) -> Result<()> {
        if self.has(Role::Current) && std::io::stdin().is_terminal() {
            self.refuse_old(Role::Current)?;
            self.passphrase(false)?;
        }
        Ok(())
    }

    /// Makes a key of a role, unless there is one.
    pub fn make(&self, role: Role) -> Result<Identity> {
        let _alone = self.alone()?;
        if self.has(role) {
            return self.identity(role);
        }
        self.make_as(role.stem())
    }

    /// Takes over a secret that an age file held, under the name whose public key it has; where
    /// there is no public key, as `role`. Returns the name.
    ///
    /// Errors: there is a key of that name, or the secret belongs to no public key here.
    pub fn import(&self, seed: &Seed, role: Role) -> Result<PathBuf> {
        let _alone = self.alone()?;
        let identity = Identity::from_seed(**seed);
        let is_its = |stem: &&str| self.public_of(stem).is_ok_and(|key| key == identity.id());
        let stem = STEMS.into_iter().find(is_its).unwrap_or(role.stem());
        let (public, secret) = (self.file(stem, "pub"), self.file(stem, SECRET));
        if !file::is_absent(&secret) {
            return Err(anyhow!("{} is there already", secret.display()))
                .hint("a key is never replaced; --keys names another folder");
        }
        if !file::is_absent(&public) && self.public_of(stem)? != identity.id() {
            return Err(anyhow!("this is not the secret key of {}", public.display())).hint(
                "--as names another of your keys (next, operator, witness), --keys another folder",
            );
        }
        // What is asked is who sits there: standard input is the secret.
        self.passphrase_from(true, File::open("/dev/tty").is_ok())?;
        self.write_as(stem, &identity, seed)?;
        Ok(secret)
    }

    /// Puts the next key in the place of the current one, and the successor in that of the next.
    /// Called after the rotation is in the log's waiting room; cut short at any point and called
    /// again it goes on, and called once more it changes nothing.
    pub fn advance(&self) -> Result<()> {
        let _alone = self.alone()?;
        for stem in ["next", "new"].into_iter().filter(|stem| self.file(stem, "pub").exists()) {
            self.refuse_old_of(stem)?;
        }
        for (from, to) in [("next", "key"), ("new", "next")] {
            for suffix in ["pub", SECRET] {
                let (from, to) = (self.file(from, suffix), self.file(to, suffix));
                // While there is a successor the next key has not moved, or has and is not there.
                if self.file("new", suffix).exists() && from.exists() {
                    fs::rename(&from, &to)
                        .with_context(|| format!("cannot rename {}", from.display()))?;
                }
            }
        }
        sync_dir(&self.dir)
    }

    /// Whether [`Self::advance`] was cut short.
    pub fn is_halfway(&self) -> bool {
        let has = |stem: &str, suffix: &str| self.file(stem, suffix).exists();
        let moved = !has("next", "pub") || (!has("next", SECRET) && !has("new", "pub"));
        has("new", SECRET) && moved
    }

    /// Makes the key that will be committed to at a rotation, beside the present ones.
    pub fn make_successor(&self) -> Result<Identity> {
        let _alone = self.alone()?;
        // One that was made before may be what another commons' log commits to.
        if let Ok(old) = bounded::read_text(&self.dir.join("new.pub"), MAX_PUBLIC) {
            let old: String = old.chars().filter(char::is_ascii_hexdigit).take(8).collect();
            for suffix in [SECRET, OLD, "pub"] {
                let from = self.file("new", suffix);
                if !file::is_absent(&from) {
                    fs::rename(&from, self.dir.join(format!("new-{old}.{suffix}")))
                        .with_context(|| format!("cannot rename {}", from.display()))?;
                }
            }
        }
        self.make_as("new")
    }

    /// What others need to know of these keys: `PUBLIC.NEXT`, with the digest of the next key.
    pub fn card(&self) -> Result<Card> {
        let next = Key::digest(&self.public(Role::Next)?);
        Ok(Card { key: self.public(Role::Current)?, next })
    }

    /// Keeps other processes from making or moving keys here until it is dropped.
    fn alone(&self) -> Result<File> {
        let lock = || {
            fs::create_dir_all(&self.dir)?;
            let folder = File::open(&self.dir)?;
            folder.lock()?;
            Ok::<_, std::io::Error>(folder)
        };
        lock().with_context(|| format!("cannot lock {}", self.dir.display()))
    }

    fn make_as(&self, stem: &str) -> Result<Identity> {
        let public = self.file(stem, "pub");
        if !file::is_absent(&public) {
            return Err(anyhow!("{} is there and its secret key is not", public.display())).hint(
                "a key is never replaced: bring the secret key back from where it is kept, or name \
                 another folder with --keys",
            );
        }
        let seed = Zeroizing::new(random::seed()?);
        let identity = Identity::from_seed(*seed);
        self.write_as(stem, &identity, &seed)?;
        Ok(identity)
    }

    fn write_as(&self, stem: &str, identity: &Identity, seed: &[u8; 32]) -> Result<()> {
        fs::create_dir_all(&self.dir)
            .with_context(|| format!("cannot make {}", self.dir.display()))?;
        let sealed = key_file::seal(seed, self.passphrase(true)?, &random::seed()?);
        // The secret first: a public part without it is one whose secret is kept elsewhere.
        create_secret(&self.file(stem, SECRET), sealed.as_bytes())?;
        let public = format!("{}\n", identity.id());
        write_secret(&self.file(stem, "pub"), public.as_bytes())
    }

    fn file(&self, stem: &str, suffix: &str) -> PathBuf {
        self.dir.join(format!("{stem}.{suffix}"))
    }

    /// Whether all there is of a secret key is an age file.
    fn is_old(&self, stem: &str) -> bool {
        file::is_absent(&self.file(stem, SECRET)) && !file::is_absent(&self.file(stem, OLD))
    }

    /// Fails where all there is of a role's secret key is an age file.
    pub fn refuse_old(&self, role: Role) -> Result<()> {
        self.refuse_old_of(role.stem())
    }

    fn refuse_old_of(&self, stem: &str) -> Result<()> {
        if !self.is_old(stem) {
            return Ok(());
        }
        let (path, dir) = (self.file(stem, OLD), self.dir.display());
        Err(anyhow!("{} is an age file, which earlier versions wrote", path.display())).hint(
            format!(
                "take it over with: age -d {} | understory key import --keys {dir}",
                path.display()
            ),
        )
    }

    /// The passphrase: from the environment, or asked for, twice where it is new.
    fn passphrase(&self, new: bool) -> Result<&str> {
        self.passphrase_from(new, std::io::stdin().is_terminal())
    }

    /// The same; `person` says whether there is somebody to ask.
    fn passphrase_from(&self, new: bool, person: bool) -> Result<&str> {
        if let Some(known) = self.passphrase.get() {
            return Ok(known);
        }
        let passphrase = match std::env::var(PASSPHRASE) {
            Ok(text) => Zeroizing::new(text),
            Err(_) if person => ask(new)?,
            Err(_) => Err(anyhow!("the keys in {} need a passphrase", self.dir.display()))
                .hint(format!("run it in a terminal, or put the passphrase into {PASSPHRASE}"))?,
        };
        if passphrase.is_empty() {
            bail!("an empty passphrase protects nothing");
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
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (key, next) = text
            .trim()
            .split_once('.')
            .context("a card is two numbers of 64 hex digits with a dot between")?;
        Ok(Self { key: key.parse()?, next: next.parse()? })
    }
}

fn ask(new: bool) -> Result<Zeroizing<String>> {
    let first = Zeroizing::new(rpassword::prompt_password("passphrase of your keys: ")?);
    if new && Zeroizing::new(rpassword::prompt_password("the same again: ")?) != first {
        bail!("the two are not the same");
    }
    Ok(first)
}

fn usual_dir() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let base = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    let base =
        base.context("there is no HOME to keep keys in").hint("name a folder with --keys")?;
    Ok(base.join("understory").join("keys"))
}

fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .with_context(|| format!("cannot write {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&str; 6] = ["key.pub", "key.pem", "next.pub", "next.pem", "new.pub", "new.pem"];

    /// The files of a rotation after its first `done` renames, each with whose it was.
    fn after(done: usize) -> (tempfile::TempDir, Keys) {
        let dir = tempfile::tempdir().expect("a folder");
        for name in FILES {
            fs::write(dir.path().join(name), name.split('.').next().expect("a stem"))
                .expect("kept");
        }
        let keys = Keys::at(Some(dir.path())).expect("a folder");
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
