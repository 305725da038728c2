//! A person's secret keys on disk: age files under a passphrase, which any age program opens.
//!
//! ```text
//! key.age        signs for this device
//! next.age       replaces it one day; better kept somewhere else
//! operator.age   signs the checkpoints of logs operated here
//! witness.age    cosigns as a witness
//! key.pub …      the public key of each, in hex
//! ```

use crate::{
    files::{create_secret, write_secret},
    hint::WithHint,
    random,
};
use age::secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use anyhow::{Context, Result, anyhow, bail};
use commons::statement::Key;
use ids::{Hash, Identity, PeerId};
use std::{
    fs::{self, File},
    io::IsTerminal,
    path::{Path, PathBuf},
};
use store::file;

/// The cost of trying a passphrase: 2¹⁶ blocks, 64 MiB and a fifth of a second.
const WORK_FACTOR: u8 = 16;

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
    passphrase: std::cell::OnceCell<SecretString>,
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

    /// Whether there is a key of this role.
    pub fn has(&self, role: Role) -> bool {
        !file::is_absent(&self.path(role))
    }

    /// The public key of a role, without any passphrase.
    pub fn public(&self, role: Role) -> Result<PeerId> {
        let path = self.dir.join(format!("{}.pub", role.stem()));
        let text = fs::read_to_string(&path)
            .with_context(|| format!("no key in {}", self.dir.display()))
            .hint("make one with `understory key create`, or name its folder with --keys")?;
        text.trim().parse().with_context(|| format!("{} is damaged", path.display()))
    }

    /// The secret key of a role.
    pub fn identity(&self, role: Role) -> Result<Identity> {
        let path = self.path(role);
        let sealed = fs::read(&path)
            .with_context(|| format!("cannot read {}", path.display()))
            .hint("make a key with `understory key create`, or name its folder with --keys")?;
        let passphrase = self.passphrase(false)?;
        let mut lock = age::scrypt::Identity::new(passphrase.clone());
        lock.set_max_work_factor(22);
        let secret = age::decrypt(&lock, &sealed)
            .map_err(|e| anyhow!("{}: {e}", path.display()))
            .hint("is the passphrase right?")?;
        let secret = Zeroizing::new(secret);
        let seed: Zeroizing<[u8; 32]> = secret
            .as_slice()
            .try_into()
            .map(Zeroizing::new)
            .map_err(|_| anyhow!("{} holds no key of this program", path.display()))?;
        let identity = Identity::from_seed(*seed);
        if self.public(role)? != identity.id() {
            return Err(anyhow!("{} and the .pub file beside it are of two keys", path.display()))
                .hint("`understory key rotate` finishes a rotation that was cut short");
        }
        Ok(identity)
    }

    /// Asks for the passphrase now, if it takes a person to say it.
    pub fn unlock(&self) -> Result<()> {
        if self.has(Role::Current) && std::io::stdin().is_terminal() {
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

    /// Puts the next key in the place of the current one, and the successor in that of the next.
    /// Called after the rotation is in the log's waiting room; cut short at any point and called
    /// again it goes on, and called once more it changes nothing.
    pub fn advance(&self) -> Result<()> {
        let _alone = self.alone()?;
        let file = |stem: &str, suffix: &str| self.dir.join(format!("{stem}.{suffix}"));
        for (from, to) in [("next", "key"), ("new", "next")] {
            for suffix in ["pub", "age"] {
                let (from, to) = (file(from, suffix), file(to, suffix));
                // While there is a successor the next key has not moved, or has and is not there.
                if file("new", suffix).exists() && from.exists() {
                    fs::rename(&from, &to)
                        .with_context(|| format!("cannot rename {}", from.display()))?;
                }
            }
        }
        sync_dir(&self.dir)
    }

    /// Whether [`Self::advance`] was cut short.
    pub fn is_halfway(&self) -> bool {
        let has = |name: &str| self.dir.join(name).exists();
        has("new.age") && (!has("next.pub") || (!has("next.age") && !has("new.pub")))
    }

    /// Makes the key that will be committed to at a rotation, beside the present ones.
    pub fn make_successor(&self) -> Result<Identity> {
        let _alone = self.alone()?;
        // One that was made before may be what another commons' log commits to.
        if let Ok(old) = fs::read_to_string(self.dir.join("new.pub")) {
            let old: String = old.chars().filter(char::is_ascii_hexdigit).take(8).collect();
            for suffix in ["age", "pub"] {
                let from = self.dir.join(format!("new.{suffix}"));
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
        let seed = Zeroizing::new(random::seed()?);
        let identity = Identity::from_seed(*seed);
        self.write_as(stem, &identity, &seed)?;
        Ok(identity)
    }

    fn write_as(&self, stem: &str, identity: &Identity, seed: &[u8; 32]) -> Result<()> {
        fs::create_dir_all(&self.dir)
            .with_context(|| format!("cannot make {}", self.dir.display()))?;
        let mut lock = age::scrypt::Recipient::new(self.passphrase(true)?.clone());
        lock.set_work_factor(WORK_FACTOR);
        let sealed =
            age::encrypt_and_armor(&lock, seed).map_err(|e| anyhow!("sealing a key: {e}"))?;
        // The public part first: a secret key is never without it.
        let public = format!("{}\n", identity.id());
        write_secret(&self.dir.join(format!("{stem}.pub")), public.as_bytes())?;
        create_secret(&self.dir.join(format!("{stem}.age")), sealed.as_bytes())
    }

    fn path(&self, role: Role) -> PathBuf {
        self.dir.join(format!("{}.age", role.stem()))
    }

    /// The passphrase: from the environment, or asked for, twice where it is new.
    fn passphrase(&self, new: bool) -> Result<&SecretString> {
        if let Some(known) = self.passphrase.get() {
            return Ok(known);
        }
        let passphrase = match std::env::var(PASSPHRASE) {
            Ok(text) => SecretString::from(text),
            Err(_) if std::io::stdin().is_terminal() => ask(new && !self.has(Role::Current))?,
            Err(_) => Err(anyhow!("the keys in {} need a passphrase", self.dir.display()))
                .hint(format!("run it in a terminal, or put the passphrase into {PASSPHRASE}"))?,
        };
        if passphrase.expose_secret().is_empty() {
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

fn ask(new: bool) -> Result<SecretString> {
    let first = rpassword::prompt_password("passphrase of your keys: ")?;
    if new && rpassword::prompt_password("the same again: ")? != first {
        bail!("the two are not the same");
    }
    Ok(SecretString::from(first))
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

    const FILES: [&str; 6] = ["key.pub", "key.age", "next.pub", "next.age", "new.pub", "new.age"];

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
            ("next.age", "key.age"),
            ("new.pub", "next.pub"),
            ("new.age", "next.age"),
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
        fs::remove_file(dir.path().join("next.age")).expect("moved away");
        assert!(!keys.is_halfway());
    }
}
