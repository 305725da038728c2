//! Who founds a run, as the flags say it.

use crate::{cli::FoundingArgs, hint::WithHint};
use anyhow::{Result, anyhow};
use cotrain::{
    founding::{self, Founding, read_voters, voters_of_commons},
    invitations::Invitations,
};
use ids::PeerId;
use recipe::RunManifest;
use std::{collections::BTreeSet, path::Path};

/// What `--voters` takes for the members of the commons that `--commons` names.
const MEMBERS: &str = "members";

/// What the flags ask for; `commons` is the folder that `--commons` names.
///
/// Errors: the file or the commons cannot be read, or names no keys.
pub fn asked(args: &FoundingArgs, commons: Option<&Path>) -> Result<Founding> {
    let secrets = (0..args.friends.unwrap_or(0)).map(|_| store::file::random());
    let invitations = Invitations::of(secrets.collect::<Result<_, _>>()?);
    Ok(Founding { voters: voters(args, commons)?.unwrap_or_default(), invitations })
}

/// Checks that the flags ask for nothing else than the run that is here already has.
///
/// Errors: they do.
pub fn must_be_same(args: &FoundingArgs, commons: Option<&Path>, run: &RunManifest) -> Result<()> {
    let friends = args.friends.map(|friends| friends as usize);
    founding::must_be_same(run, friends, None)?;
    Ok(founding::must_be_same(run, None, voters(args, commons)?.as_ref())?)
}

fn voters(args: &FoundingArgs, commons: Option<&Path>) -> Result<Option<BTreeSet<PeerId>>> {
    let Some(file) = args.voters.as_deref() else { return Ok(None) };
    Ok(Some(match commons {
        _ if file != Path::new(MEMBERS) => read_voters(file)?,
        Some(dir) => members(dir)?,
        None => Err(anyhow!("--voters members asks for the members of a commons"))
            .hint("name its folder with --commons; a file of that name is ./members")?,
    }))
}

/// The peers' keys that the members of a commons have named as theirs.
fn members(dir: &Path) -> Result<BTreeSet<PeerId>> {
    let named = voters_of_commons(dir)?;
    if !named.without.is_empty() {
        eprintln!(
            "note: no founding voters, because they have named no peer's key as theirs \
             (`understory swarm key --commons DIR`): {}",
            named.without.join(", ")
        );
    }
    Ok(named.keys)
}
