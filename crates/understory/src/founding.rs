//! Who founds a run, as the flags say it.

use crate::{cli::FoundingArgs, commons::peer_keys, hint::WithHint};
use anyhow::{Result, anyhow};
use cotrain::{
    founding::{Founding, VotersError, read_voters},
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
    Ok(Founding { voters: voters(args, commons)?, invitations })
}

/// Checks that the flags ask for nothing else than the run that is here already has.
///
/// Errors: they do.
pub fn must_be_same(args: &FoundingArgs, commons: Option<&Path>, run: &RunManifest) -> Result<()> {
    let invited = run.invitations.len();
    if args.friends.is_some_and(|friends| friends as usize != invited) {
        return Err(anyhow!("the run in this folder has {invited} invitations"))
            .hint("who founds a run is fixed when it begins; another --dir begins another");
    }
    let founders: BTreeSet<PeerId> = run.founders.iter().map(|key| PeerId(key.0)).collect();
    if args.voters.is_some() && !voters(args, commons)?.is_subset(&founders) {
        return Err(anyhow!("the run in this folder has other founding voters"))
            .hint("who founds a run is fixed when it begins; another --dir begins another");
    }
    Ok(())
}

fn voters(args: &FoundingArgs, commons: Option<&Path>) -> Result<BTreeSet<PeerId>> {
    match (args.voters.as_deref(), commons) {
        (None, _) => Ok(BTreeSet::new()),
        (Some(name), Some(dir)) if name == Path::new(MEMBERS) => members(dir),
        (Some(name), None) if name == Path::new(MEMBERS) => {
            Err(anyhow!("--voters members asks for the members of a commons"))
                .hint("name its folder with --commons; a file of that name is ./members")
        }
        (Some(file), _) => match read_voters(file) {
            Err(error @ VotersError::Text { .. }) => Err(error)
                .hint("one key a line, as `understory swarm key` prints it; # begins a comment"),
            read => Ok(read?),
        },
    }
}

/// The peers' keys that the members of a commons have named as theirs.
fn members(dir: &Path) -> Result<BTreeSet<PeerId>> {
    let named = peer_keys(dir)?;
    if !named.without.is_empty() {
        eprintln!(
            "note: no founding voters, because they have named no peer's key as theirs \
             (`understory swarm key --commons DIR`): {}",
            named.without.join(", ")
        );
    }
    if named.keys.is_empty() {
        return Err(anyhow!("no member of this commons has named a peer's key as theirs"))
            .hint("each of them says `understory swarm key --commons DIR` first");
    }
    Ok(named.keys)
}
