//! A peer's secret key: made, shown, taken over.

use crate::{
    cli::SwarmKeyArgs,
    commons::{cli::Place, name_peer_key},
    files::warn_exposed,
    hint::hinted,
    print::print,
};
use anyhow::{Context, Result};
use net::key;
use std::{fs, path::Path};

/// Prints this peer's key; says in a commons, where one is named, that it is one's own.
pub fn show(args: &SwarmKeyArgs) -> Result<()> {
    fs::create_dir_all(&args.dir).with_context(|| format!("cannot make {}", args.dir.display()))?;
    let id = ids::Identity::from_seed(own(&args.dir.join("key"))?).id();
    let mut named = None;
    if let Some(dir) = &args.commons {
        let place = Place { dir: dir.clone(), keys: args.keys.clone(), json: args.json };
        named = Some(name_peer_key(&place, id)?);
    }
    let object = serde_json::json!({ "key": id, "said": named });
    print(args.json, &object, || format!("{id}\n"))?;
    if named == Some(false) {
        eprintln!("the commons has this peer as yours already");
    }
    Ok(())
}

/// The secret key in `file`, copied to `path`, so that the next start needs no `--key`.
pub fn take(file: &Path, path: &Path) -> Result<[u8; 32]> {
    key::take(file, path, &mut warn_exposed).map_err(|error| match error.path() == Some(file) {
        true => hinted(
            error,
            "`understory swarm key` makes a key; the file is `key` in the folder of a peer",
        ),
        false => error.into(),
    })
}

/// The secret key in `path`, made where there is none, readable by the user alone.
pub fn own(path: &Path) -> Result<[u8; 32]> {
    Ok(key::own(path, &mut warn_exposed)?)
}
