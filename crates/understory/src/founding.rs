//! Who founds a run: keys that are known, and invitations for friends whose keys are not.

use crate::{cli::FoundingArgs, commons::peer_keys, hint::WithHint, invitations::Invitations};
use anyhow::{Context, Result, anyhow, bail};
use ids::PeerId;
use net::PeerAddr;
use recipe::RunManifest;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};
use swarm::MAX_MEMBERS;

/// What `--voters` takes for the members of the commons that `--commons` names.
const MEMBERS: &str = "members";
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

impl Founding {
    /// What the flags ask for; `commons` is the folder that `--commons` names.
    ///
    /// Errors: the file or the commons cannot be read, or names no keys.
    pub fn new(args: &FoundingArgs, commons: Option<&Path>) -> Result<Self> {
        let invitations = Invitations::make(args.friends.unwrap_or(0))?;
        Ok(Self { voters: voters(args, commons)?, invitations })
    }

    /// Checks that the flags ask for nothing else than the run that is here already has.
    ///
    /// Errors: they do.
    pub fn same(args: &FoundingArgs, commons: Option<&Path>, run: &RunManifest) -> Result<()> {
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
}

fn voters(args: &FoundingArgs, commons: Option<&Path>) -> Result<BTreeSet<PeerId>> {
    match (args.voters.as_deref(), commons) {
        (None, _) => Ok(BTreeSet::new()),
        (Some(name), Some(dir)) if name == Path::new(MEMBERS) => members(dir),
        (Some(name), None) if name == Path::new(MEMBERS) => {
            Err(anyhow!("--voters members asks for the members of a commons"))
                .hint("name its folder with --commons; a file of that name is ./members")
        }
        (Some(file), _) => read(file),
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

/// The keys in a file.
fn read(path: &Path) -> Result<BTreeSet<PeerId>> {
    let text = match fs::metadata(path) {
        Ok(meta) if meta.len() > MAX_BYTES => Err(anyhow!("{} bytes are too many", meta.len())),
        _ => fs::read_to_string(path).map_err(Into::into),
    };
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text)
        .with_context(|| format!("{} is no file of voters", path.display()))
        .hint("one key a line, as `understory swarm key` prints it; # begins a comment")
}

/// The keys in a text: one a line, alone or as `swarm status` prints it (`key      KEY`).
///
/// Errors: a line that is no key, names one a second time, or is too many; by its number.
fn parse(text: &str) -> Result<BTreeSet<PeerId>> {
    let mut seen: BTreeMap<PeerId, usize> = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split_once('#').map_or(line, |(before, _)| before).trim();
        if line.is_empty() {
            continue;
        }
        let key = line.strip_prefix("key ").unwrap_or(line).trim();
        let key: PeerId = key.parse().map_err(|e| anyhow!("line {number}: {e}"))?;
        // Of 32 bytes only about half are a point on the curve; nobody has the others' secret.
        if !(PeerAddr { peer: key, addrs: Vec::new(), relay: None }).is_valid() {
            bail!("line {number}: no secret belongs to this key; it is mistyped");
        }
        if let Some(before) = seen.insert(key, number) {
            bail!("line {number} names the key of line {before} again");
        }
        if seen.len() >= MAX_MEMBERS as usize {
            bail!("line {number} is one too many: a run has at most {MAX_MEMBERS} members");
        }
    }
    if seen.is_empty() {
        bail!("there is no key in it");
    }
    Ok(seen.into_keys().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ids::Identity;

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
    fn a_bad_line_is_named_by_its_number() {
        let (a, b) = (key(1), key(2));
        let refused = |text: &str, words: &[&str]| {
            let error = format!("{:#}", parse(text).expect_err("must be refused"));
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
