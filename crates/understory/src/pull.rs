//! `understory pull`: a model from a hub, from an address or from a path, checked.

mod choose;
mod digest;
mod download;
mod http;
mod hub;
mod progress;
mod source;

pub use source::HUB;

use crate::{cli::PullArgs, hint::WithHint, model_source::opened, terminal, units};
use anyhow::{Context, Result, anyhow, bail};
use choose::Choice;
use digest::{Digests, Expected};
use download::Wanted;
use http::{Client, HttpError, Part};
use hub::{Hub, Listing};
use progress::Progress;
use source::{HubName, Source};
use std::io::Write;
use std::path::{Path, PathBuf};
use url::Url;

pub fn pull(args: &PullArgs) -> Result<()> {
    let source = Source::parse(&args.source)
        .hint("name hf:OWNER/NAME, hf:OWNER/NAME@REVISION:FILE, https://…, or a path")?;
    let expected = args.sha256.as_deref().map(sha256).transpose()?;
    let pulled = match &source {
        Source::Hub(name) => from_hub(name, args)?,
        Source::Url(url) => from_url(url, args, expected.clone())?,
        Source::Path(path) => from_path(path, args)?,
    };
    if let Some(expected) = expected {
        pulled.check(&expected)?;
    }
    pulled.print(args)
}

/// A model on this machine.
struct Pulled {
    /// What `run` takes.
    path: PathBuf,
    commit: Option<String>,
    files: Vec<PulledFile>,
}

struct PulledFile {
    name: String,
    path: PathBuf,
    digests: Digests,
    was_there: bool,
}

fn from_hub(name: &HubName, args: &PullArgs) -> Result<Pulled> {
    let hub = Hub::from_env()?;
    let pulled = pull_repository(&hub, name, args);
    let advice = pulled.as_ref().err().and_then(|error| {
        let http = error.chain().find_map(|cause| cause.downcast_ref::<HttpError>());
        http.map(|http| hub.advice(http, name))
    });
    match advice {
        Some(advice) => pulled.hint(advice),
        None => pulled,
    }
}

fn pull_repository(hub: &Hub, name: &HubName, args: &PullArgs) -> Result<Pulled> {
    let listing = hub.list(name)?;
    let choice = choose::choose(&listing, name.file.as_deref())
        .with_context(|| format!("cannot take {} at {}", name.repository, name.revision))?;
    let folder = match &args.to {
        Some(folder) => folder.clone(),
        None => cache()?.join(&name.repository).join(&listing.commit),
    };
    eprintln!("{} at commit {}", name.repository, listing.commit);
    let checkout = Checkout { hub, name, listing: &listing, folder: &folder };
    let (path, files) = match choice {
        Choice::Gguf(parts) => {
            checkout.tell_of_others(&parts)?;
            (folder.join(&parts[0]), checkout.fetch(&parts)?)
        }
        Choice::Other(file) => (folder.join(&file), checkout.fetch(&[file])?),
        Choice::Folder { files, index: false } => (folder.clone(), checkout.fetch(&files)?),
        Choice::Folder { mut files, index: true } => {
            files.extend(checkout.shards()?);
            (folder.clone(), checkout.fetch(&files)?)
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
}

impl Checkout<'_> {
    fn fetch(&self, names: &[String]) -> Result<Vec<PulledFile>> {
        let mut wanted = Vec::with_capacity(names.len());
        for name in names {
            let (bytes, hash) = self.hub.know(self.name, self.listing, name)?;
            let url = self.hub.file(self.name, &self.listing.commit, name);
            let to = self.folder.join(name);
            wanted.push((name, Wanted { url, to, bytes, expected: Some(hash), tag: None }));
        }
        // What tells whether the rest is of use comes first.
        wanted.sort_by_key(|(_, wanted)| wanted.bytes);
        let mut progress = begin(wanted.iter().map(|(_, wanted)| wanted), self.folder)?;
        let mut files = Vec::with_capacity(wanted.len());
        for (name, wanted) in &wanted {
            let fetched = download::fetch(&self.hub.client, wanted, &mut progress);
            let download::Fetched { digests, was_there } =
                fetched.inspect_err(|_| progress.clear())?;
            let (name, path) = ((*name).clone(), wanted.to.clone());
            files.push(PulledFile { name, path, digests, was_there });
        }
        progress.clear();
        Ok(files)
    }

    /// The weight files that the index names; the index is fetched for it.
    fn shards(&self) -> Result<Vec<String>> {
        let index = self.fetch(&[choose::INDEX.to_owned()])?;
        let map = model::weights::parse_index(&bounded::read(&index[0].path, MAX_INDEX)?)?;
        let mut shards: Vec<String> = map.into_values().collect();
        shards.sort_unstable();
        shards.dedup();
        match shards.iter().find(|shard| !self.listing.files.contains_key(*shard)) {
            Some(shard) => bail!("{shard} is missing, which {} names", choose::INDEX),
            None => Ok(shards),
        }
    }

    /// Says which other models there are, if the user named none.
    fn tell_of_others(&self, taken: &[String]) -> Result<()> {
        let models = choose::ggufs(self.listing)?;
        if self.name.file.is_none() && models.len() > 1 {
            let others = models.keys().filter(|name| !taken.contains(name));
            let others: Vec<&str> = others.map(String::as_str).collect();
            eprintln!("taking {}; there are also {}", taken[0], others.join(", "));
        }
        Ok(())
    }
}

fn from_url(url: &Url, args: &PullArgs, expected: Option<Expected>) -> Result<Pulled> {
    let client = Client::new(None, None);
    let first = Part { range: Some((0, Some(0))), same_as: None };
    let answer = client.get(url, &first);
    let advice = answer.as_ref().err().map_or("", HttpError::advice);
    let answer = answer.hint(advice)?;
    let bytes = hub::size_of(&answer)
        .context("the server does not say how large the file is")
        .hint("fetch it with another program, then run it by its path")?;
    let name = name_of(url)
        .with_context(|| "the address does not end with the name of a file")
        .hint("fetch it with another program, then run it by its path")?;
    let folder = match &args.to {
        Some(folder) => folder.clone(),
        None => cache()?.join("url").join(&blake3::hash(url.as_str().as_bytes()).to_hex()[..16]),
    };
    let strong = |tag: &&str| tag.starts_with('"');
    let tag = http::text(&answer.headers, "etag").filter(strong);
    let tag = tag.or_else(|| http::text(&answer.headers, "last-modified")).map(str::to_owned);
    drop(answer);
    let to = folder.join(&name);
    let wanted = Wanted { url: url.clone(), to, bytes, expected, tag };
    let mut progress = begin([&wanted].into_iter(), &folder)?;
    let fetched = download::fetch(&client, &wanted, &mut progress);
    progress.clear();
    let download::Fetched { digests, was_there } = fetched?;
    let path = wanted.to;
    let file = PulledFile { name, path: path.clone(), digests, was_there };
    Ok(Pulled { path, commit: None, files: vec![file] })
}

/// The last part of an address's path, if it can be the name of a file.
fn name_of(url: &Url) -> Option<String> {
    let last = url.path_segments()?.next_back()?;
    // Escapes are left as they are: no address then names a folder or hides what it is.
    source::check_name(last).ok().map(|()| last.to_owned())
}

fn from_path(path: &Path, args: &PullArgs) -> Result<Pulled> {
    let opened = opened(&path.to_string_lossy())?;
    let mut paths = match opened.root() {
        Some(_) => Vec::new(),
        None => opened.weights().files().map(Path::to_owned).collect(),
    };
    if paths.is_empty() && args.to.is_some() {
        return Err(anyhow!("{} is a store, it is not copied file by file", path.display()))
            .hint("understory export writes it as a GGUF or a Hugging Face folder");
    }
    if path.is_dir() && !paths.is_empty() {
        let beside = choose::BESIDE.into_iter().map(|name| path.join(name));
        paths.extend(beside.filter(|path| path.is_file()));
    }
    let mut files = Vec::new();
    for from in &paths {
        let digests = download::hash_file(from, None)?;
        let name = from.file_name().context("a file has a name")?.to_string_lossy().into_owned();
        let (to, was_there) = match &args.to {
            Some(folder) => (folder.join(&name), copy(from, &folder.join(&name), &digests)?),
            None => (from.clone(), true),
        };
        files.push(PulledFile { name, path: to, digests, was_there });
    }
    opened.weights().check_unchanged()?;
    let path = match &args.to {
        Some(folder) if path.is_dir() => folder.clone(),
        Some(_) => files[0].path.clone(),
        None => path.to_owned(),
    };
    Ok(Pulled { path, commit: None, files })
}

/// Copies unless the same file is there; whether it was.
fn copy(from: &Path, to: &Path, digests: &Digests) -> Result<bool> {
    if !to.exists() {
        download::copy(from, to)?;
    }
    let was_there = to.exists();
    if download::hash_file(to, None)? != *digests {
        return Err(anyhow!("{} exists already and is another file", to.display()))
            .hint("remove it, or name another folder with --to");
    }
    Ok(was_there)
}

impl Pulled {
    fn check(&self, expected: &Expected) -> Result<()> {
        match self.files.as_slice() {
            [file] => {
                expected.check(&file.digests).with_context(|| file.path.display().to_string())
            }
            files => bail!("--sha256 is of one file, there are {}", files.len()),
        }
    }

    fn print(&self, args: &PullArgs) -> Result<()> {
        let mut out = terminal::stdout();
        if args.json {
            let files: Vec<_> = self.files.iter().map(PulledFile::to_json).collect();
            let object = serde_json::json!({
                "source": args.source, "commit": self.commit, "path": self.path, "files": files,
            });
            return Ok(writeln!(out, "{object}")?);
        }
        for PulledFile { name, digests, was_there, .. } in &self.files {
            let how = if *was_there { "was here" } else { "new" };
            eprintln!("{name}: {}, {how}", units::bytes(digests.bytes));
            eprintln!("  sha256 {}\n  blake3 {}", digests.sha256, digests.blake3);
        }
        if self.files.iter().all(|file| file.was_there) && !self.files.is_empty() {
            eprintln!("all of it was here and is whole");
        }
        match opened(&self.path.to_string_lossy()).and_then(|opened| Ok(opened.decoder()?)) {
            Ok(decoder) => {
                let parameters = units::count(decoder.parameters());
                eprintln!("{}, {parameters} parameters", decoder.family);
            }
            Err(error) => eprintln!("not run here: {error:#}"),
        }
        Ok(writeln!(out, "{}", self.path.display())?)
    }
}

impl PulledFile {
    fn to_json(&self) -> serde_json::Value {
        let Digests { bytes, blake3, sha256, .. } = &self.digests;
        serde_json::json!({
            "name": self.name, "path": self.path, "bytes": bytes, "sha256": sha256,
            "blake3": blake3, "was_there": self.was_there,
        })
    }
}

/// Says what will be fetched and refuses what does not fit on the disk.
fn begin<'a>(wanted: impl Iterator<Item = &'a Wanted> + Clone, folder: &Path) -> Result<Progress> {
    let sum = |each: &dyn Fn(&Wanted) -> u64| {
        let mut sizes = wanted.clone().map(each);
        sizes.try_fold(0_u64, u64::checked_add).context("more bytes than can be counted")
    };
    let total = sum(&|wanted| wanted.bytes)?;
    let missing = sum(&|wanted| wanted.bytes - download::begun(wanted))?;
    let free = free_space(folder)?;
    let count = wanted.count();
    let (files, missing_text) = (if count == 1 { "file" } else { "files" }, units::bytes(missing));
    eprintln!(
        "{count} {files}, {}; {missing_text} to fetch into {}, where {} are free",
        units::bytes(total),
        folder.display(),
        units::bytes(free)
    );
    if missing.saturating_add(MARGIN) > free {
        let text = format!("{missing_text} do not fit into {}", folder.display());
        return Err(anyhow!(text)).hint("make room, or name a folder on another disk with --to");
    }
    Ok(Progress::new(total))
}

/// Bytes that can be written at a folder that may not exist yet.
fn free_space(folder: &Path) -> Result<u64> {
    let folder = std::path::absolute(folder)?;
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let disk = rustix::fs::statvfs(there)
        .with_context(|| format!("cannot look at the disk of {}", there.display()))?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Where models are kept if no folder is named.
fn cache() -> Result<PathBuf> {
    let folder = |name: &str| {
        std::env::var_os(name).map(PathBuf::from).filter(|folder| folder.is_absolute())
    };
    folder("XDG_CACHE_HOME")
        .or_else(|| Some(folder("HOME")?.join(".cache")))
        .map(|cache| cache.join("understory/models"))
        .context("neither XDG_CACHE_HOME nor HOME names a folder")
        .hint("name a folder with --to")
}

fn sha256(text: &str) -> Result<Expected> {
    match Expected::parse(text) {
        Ok(expected @ Expected::Sha256(_)) => Ok(expected),
        _ => bail!("--sha256 wants 64 hex digits"),
    }
}

/// Space that is left free.
const MARGIN: u64 = 1 << 26;
/// Most bytes of an index of weights.
const MAX_INDEX: u64 = 1 << 26;
