//! The folder of keys that the flags name, and the person who knows its passphrase.

use crate::hint::WithHint;
use anyhow::{Context, Result};
use commons::keys::{KeyHolder, Keys, PassphraseError, Purpose};
use std::{
    fs::File,
    io::IsTerminal,
    path::{Path, PathBuf},
    sync::Arc,
};
use zeroize::Zeroizing;

const PASSPHRASE: &str = "UNDERSTORY_PASSPHRASE";

/// The keys in the folder that was asked for, or the usual one.
pub fn keys(named: Option<&Path>) -> Result<Keys> {
    Ok(Keys::at(&dir(named)?, Person))
}

/// The folder that was asked for, or the usual one.
pub fn dir(named: Option<&Path>) -> Result<PathBuf> {
    named.map_or_else(usual_dir, |dir| Ok(dir.to_owned()))
}

/// Who knows the passphrase.
pub fn person() -> Arc<dyn KeyHolder> {
    Arc::new(Person)
}

/// Asks for the passphrase now, if it takes a person to say it.
pub fn unlock(keys: &Keys) -> Result<()> {
    if std::io::stdin().is_terminal() {
        keys.unlock()?;
    }
    Ok(())
}

/// Whoever sits at the terminal, or has put the passphrase into the environment.
struct Person;

impl KeyHolder for Person {
    fn passphrase(&self, purpose: Purpose) -> Result<Zeroizing<String>, PassphraseError> {
        if let Ok(text) = std::env::var(PASSPHRASE) {
            return Ok(Zeroizing::new(text));
        }
        let somebody = match purpose {
            // What is asked is who sits there: standard input is the secret.
            Purpose::Import => File::open("/dev/tty").is_ok(),
            Purpose::Open | Purpose::Make => std::io::stdin().is_terminal(),
        };
        if !somebody {
            let todo = format!("run it in a terminal, or put the passphrase into {PASSPHRASE}");
            return Err(PassphraseError::Nobody { todo });
        }
        let first = Zeroizing::new(rpassword::prompt_password("passphrase of your keys: ")?);
        let is_new = purpose != Purpose::Open;
        if is_new && Zeroizing::new(rpassword::prompt_password("the same again: ")?) != first {
            return Err(PassphraseError::Differs);
        }
        Ok(first)
    }

    fn exposed(&self, path: &Path) {
        crate::files::warn_exposed(path);
    }
}

fn usual_dir() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let base = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    let base =
        base.context("there is no HOME to keep keys in").hint("name a folder with --keys")?;
    Ok(base.join("understory").join("keys"))
}
