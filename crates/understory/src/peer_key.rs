//! A peer's secret key: made, shown, taken over. It lies open, as PKCS#8 in PEM ([`key_file`]).

use crate::{
    cli::SwarmKeyArgs,
    commons::{cli::Place, name_peer_key},
    files,
    hint::WithHint,
};
use anyhow::{Context, Result, anyhow};
use ids::{Hash, key_file};
use std::{fs, path::Path};
use store::file;
use zeroize::Zeroizing;

/// Prints this peer's key; says in a commons, where one is named, that it is one's own.
pub fn show(args: &SwarmKeyArgs) -> Result<()> {
    fs::create_dir_all(&args.dir).with_context(|| format!("cannot make {}", args.dir.display()))?;
    let id = ids::Identity::from_seed(own(&args.dir.join("key"))?).id();
    let mut named = None;
    if let Some(dir) = &args.commons {
        let place = Place { dir: dir.clone(), keys: args.keys.clone(), json: args.json };
        named = Some(name_peer_key(&place, id)?);
    }
    match args.json {
        true => println!("{}", serde_json::json!({ "key": id, "said": named })),
        false => println!("{id}"),
    }
    if named == Some(false) {
        eprintln!("the commons has this peer as yours already");
    }
    Ok(())
}

/// The secret key in `file`, copied to `path`, so that the next start needs no `--key`.
pub fn take(file: &Path, path: &Path) -> Result<[u8; 32]> {
    let seed = read_key(file)
        .hint("`understory swarm key` makes a key; the file is `key` in the folder of a peer")?;
    if !file::is_absent(path) {
        if read_key(path)? != seed {
            return Err(anyhow!("{} holds another key", path.display()))
                .hint("leave out --key, or choose another --dir");
        }
        return Ok(seed);
    }
    files::create_secret(path, key_file::to_pem(&seed).as_bytes())?;
    Ok(seed)
}

fn read_key(path: &Path) -> Result<[u8; 32]> {
    let bytes = files::read_secret(path)
        .hint("a key is never replaced: mend what keeps it from being read, or move it away")?;
    let text = str::from_utf8(&bytes).unwrap_or_default();
    // Earlier versions wrote it in hex.
    let secret = match text.trim().parse::<Hash>() {
        Ok(hex) => Ok(Zeroizing::new(hex.0)),
        Err(_) => key_file::from_pem(text),
    };
    let secret = secret
        .with_context(|| format!("{} holds no key", path.display()))
        .hint("restore it from a copy, or remove it to become a new peer")?;
    Ok(*secret)
}

/// The secret key in `path`, made where there is none, readable by the user alone.
pub fn own(path: &Path) -> Result<[u8; 32]> {
    // Whatever is in its place is not written over: it may be somebody's only copy.
    if !file::is_absent(path) {
        return read_key(path);
    }
    let seed = store::file::random()?;
    files::create_secret(path, key_file::to_pem(&seed).as_bytes())?;
    Ok(seed)
}
