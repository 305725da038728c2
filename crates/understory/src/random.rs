//! Randomness from the system, for keys and secrets.

use anyhow::{Context, Result};
use std::{fs::File, io::Read};

/// 32 bytes that nobody can guess.
pub fn seed() -> Result<[u8; 32]> {
    let mut seed = [0; 32];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut seed))
        .context("the system gives no random numbers")?;
    Ok(seed)
}
