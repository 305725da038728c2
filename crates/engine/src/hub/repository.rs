//! A model of a repository: what is to be taken of it, and all of that fetched.

use std::collections::BTreeMap;
use std::path::Path;

use super::choose::{self, Choice};
use super::digest::Digests;
use super::download::{self, Fetched, Place, Wanted};
use super::error::{DownloadError, HubError};
use super::listing::{Hub, Listing};
use super::source::HubName;
use super::{Pulled, PulledFile, Settings, cached, room};
use progress::{Note, Progress, Tell};

/// Fetches what `name` means at the hub.
pub(super) fn pull(
    hub: &Hub,
    name: &HubName,
    settings: &Settings,
    to: Option<&Path>,
    tell: &mut Tell<'_>,
) -> Result<Pulled, HubError> {
    let listing = hub.list(name)?;
    let refused = |source| {
        let (repository, revision) = (name.repository.clone(), name.revision.clone());
        HubError::Choice { repository, revision, source }
    };
    let choice = choose::choose(&listing, name.file.as_deref()).map_err(refused)?;
    let folder = match to {
        Some(folder) => folder.to_owned(),
        None => settings.cache()?.join(&name.repository).join(&listing.commit),
    };
    let (repository, commit) = (name.repository.clone(), listing.commit.clone());
    tell(Progress::Note(Note::Commit { repository, commit }));
    let noted = match to {
        Some(_) => None,
        None => Some(cached::noted(name, settings.cache()?, &listing.commit)),
    };
    let checkout = Checkout { hub, name, listing: &listing, folder: &folder, noted };
    let (path, files) = match choice {
        Choice::Gguf(parts) => {
            let models = choose::ggufs(&listing).map_err(refused)?;
            if name.file.is_none() && models.len() > 1 {
                let others = models.into_keys().filter(|name| !parts.contains(name)).collect();
                tell(Progress::Note(Note::Chosen { name: parts[0].clone(), others }));
            }
            (folder.join(&parts[0]), checkout.fetch(&parts, tell)?)
        }
        Choice::Other(file) => (folder.join(&file), checkout.fetch(&[file], tell)?),
        Choice::Folder { files, index: false } => (folder.clone(), checkout.fetch(&files, tell)?),
        Choice::Folder { mut files, index: true } => {
            files.extend(checkout.shards(tell)?);
            (folder.clone(), checkout.fetch(&files, tell)?)
        }
    };
    Ok(Pulled { path, commit: Some(listing.commit), files })
}

/// A repository at one commit, and where its files go.
struct Checkout<'a> {
    hub: &'a Hub,
    name: &'a HubName,
    listing: &'a Listing,
    folder: &'a Path,
    /// What was noted of its files when it was fetched into the cache; `None` elsewhere.
    noted: Option<BTreeMap<String, Digests>>,
}

impl Checkout<'_> {
    fn fetch(&self, names: &[String], tell: &mut Tell<'_>) -> Result<Vec<PulledFile>, HubError> {
        let mut all = Vec::with_capacity(names.len());
        for name in names {
            let (bytes, hash) = self.hub.know(self.name, self.listing, name)?;
            let url = self.hub.file(self.name, &self.listing.commit, name);
            let (to, expected) = (self.folder.join(name), Some(hash));
            let place = match &self.noted {
                Some(noted) => Place::Ours { noted: noted.get(name).cloned() },
                None => Place::Theirs,
            };
            all.push((name, Wanted { url, to, bytes, expected, tag: None, place }));
        }
        // What tells whether the rest is of use comes first.
        all.sort_by_key(|(_, wanted)| wanted.bytes);
        let (names, wanted): (Vec<&String>, Vec<Wanted>) = all.into_iter().unzip();
        let mut count = room::begin(&wanted, self.folder, tell)?;
        let mut files = Vec::with_capacity(wanted.len());
        for (name, wanted) in names.into_iter().zip(wanted) {
            let Fetched { digests, was_there } =
                download::fetch(&self.hub.client, &wanted, &mut count)?;
            files.push(PulledFile { name: name.clone(), path: wanted.to, digests, was_there });
        }
        Ok(files)
    }

    /// The weight files that the index names; the index is fetched for it.
    fn shards(&self, tell: &mut Tell<'_>) -> Result<Vec<String>, HubError> {
        self.fetch(&[choose::INDEX.to_owned()], tell)?;
        let path = self.folder.join(choose::INDEX);
        let bytes = bounded::read(&path, MAX_INDEX).map_err(DownloadError::file("read", &path))?;
        let mut shards: Vec<String> = model::weights::parse_index(&bytes)?.into_values().collect();
        shards.sort_unstable();
        shards.dedup();
        match shards.iter().find(|shard| !self.listing.files.contains_key(*shard)) {
            Some(shard) => Err(HubError::NoShard { shard: shard.clone(), index: choose::INDEX }),
            None => Ok(shards),
        }
    }
}

/// Most bytes of an index of weights.
const MAX_INDEX: u64 = 1 << 26;
