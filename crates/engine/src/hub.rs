//! Models from elsewhere: from a repository of a hub, from an address or from a path, every byte
//! checked against what the hub says of it.
//!
//! Nothing here knows an environment or a home: whoever calls says where the hub is, which token
//! it takes and where models are kept ([`Settings`]).

mod cached;
mod choose;
mod digest;
mod download;
mod error;
mod http;
mod listing;
mod reach;
mod repository;
mod room;
mod source;

use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

pub use digest::{Digests, Expected};
pub use error::{ChoiceError, DigestError, DownloadError, HttpError, HubError};
pub use error::{ListingError, NameError};
pub use source::{HUB, HubName, Source, shown};

use crate::Opened;
use cached::{Cached, Found};
use download::Wanted;
use http::{Client, Part};
use listing::Hub;
use progress::{Counter, Note, Progress, Tell, Work};

/// Where models come from and where they are kept.
#[derive(Clone, Default)]
pub struct Settings {
    /// The hub's address, `https://…`; `None` for [`HUGGING_FACE`].
    pub endpoint: Option<String>,
    /// The token for the hub; it is sent to nobody else.
    pub token: Option<String>,
    /// The folder in which models of hubs and addresses are kept, each in a folder of its own.
    pub cache: Option<PathBuf>,
}

/// What is to be fetched.
#[derive(Debug, Clone)]
pub struct Pull<'a> {
    /// From where.
    pub source: &'a Source,
    /// Into this folder instead of the cache.
    pub to: Option<&'a Path>,
    /// The hash of the one file.
    pub expected: Option<&'a Expected>,
}

/// A model on this machine, fetched and checked.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// The file or folder by which it is opened.
    pub path: PathBuf,
    /// The commit of the repository, where it comes from one.
    pub commit: Option<String>,
    /// Its files.
    pub files: Vec<PulledFile>,
}

/// A file of a model on this machine.
#[derive(Debug, Clone)]
pub struct PulledFile {
    /// Its name in the repository or address.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Its length and hashes.
    pub digests: Digests,
    /// Whether it was there before.
    pub was_there: bool,
}

/// Fetches a model unless it is here, goes on with what an interrupted call left, and checks all of
/// it. A path is checked where it lies, or copied.
///
/// Errors: see [`HubError`]; a file has its name only once it is whole and checked.
pub fn pull(pull: &Pull<'_>, settings: &Settings, tell: &mut Tell<'_>) -> Result<Pulled, HubError> {
    let pulled = match pull.source {
        Source::Hub(name) => {
            let hub = settings.hub()?;
            let pulled = repository::pull(&hub, name, settings, pull.to, tell);
            let pulled = pulled.map_err(|error| hub.advised(error, name))?;
            if pull.to.is_none() {
                cached::keep(name, settings.cache()?, &pulled)?;
            }
            pulled
        }
        Source::Url(url) => from_url(url, settings, pull, tell)?,
        Source::Path(path) => from_path(path, pull.to, tell)?,
    };
    if let Some(expected) = pull.expected {
        pulled.check(expected)?;
    }
    Ok(pulled)
}

/// The file or folder by which the model of a hub is opened: as it was fetched last, if all of it is
/// here, which asks nobody; else it is fetched. Files that were written to since they were fetched
/// are hashed again.
///
/// Errors: see [`pull`].
pub fn located(
    name: &HubName,
    settings: &Settings,
    tell: &mut Tell<'_>,
) -> Result<PathBuf, HubError> {
    let model = || name.to_string();
    match cached::find(name, settings.cache()?, tell) {
        Found::Here(Cached { path, commit }) => {
            let repository = name.repository.clone();
            tell(Progress::Note(Note::Commit { repository, commit }));
            return Ok(path);
        }
        Found::NotWhole => tell(Progress::Note(Note::NotWhole { model: model() })),
        Found::Nothing => tell(Progress::Note(Note::NotHere { model: model() })),
    }
    let source = Source::Hub(name.clone());
    let wanted = Pull { source: &source, to: None, expected: None };
    Ok(pull(&wanted, settings, tell)?.path)
}

/// Says whether there is a token, and not which; nor the hub's password.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { endpoint, token, cache } = self;
        let token = token.as_ref().map(|_| "secret");
        let endpoint = endpoint.as_deref().map(shown);
        let mut all = f.debug_struct("Settings");
        all.field("endpoint", &endpoint).field("token", &token).field("cache", cache).finish()
    }
}

impl Settings {
    fn hub(&self) -> Result<Hub, HubError> {
        Hub::new(self.endpoint.as_deref().unwrap_or(HUGGING_FACE), self.token.as_deref())
    }

    fn cache(&self) -> Result<&Path, HubError> {
        self.cache.as_deref().ok_or(HubError::NoFolder)
    }
}

impl Pulled {
    fn check(&self, expected: &Expected) -> Result<(), HubError> {
        match self.files.as_slice() {
            [file] => expected
                .check(&file.digests)
                .map_err(|source| HubError::Differs { path: file.path.clone(), source }),
            files => Err(HubError::SeveralFiles(files.len())),
        }
    }
}

fn from_url(
    url: &Url,
    settings: &Settings,
    pull: &Pull<'_>,
    tell: &mut Tell<'_>,
) -> Result<Pulled, HubError> {
    let client = Client::new(None, None);
    let first = Part { range: Some((0, Some(0))), same_as: None };
    let answer = client.get(url, &first);
    let answer = answer.map_err(|source| HubError::Get { what: "the file".to_owned(), source })?;
    let bytes = listing::size_of(&answer).ok_or(HubError::NoLength)?;
    let name = name_of(url).ok_or(HubError::NoFileName)?;
    let folder = match pull.to {
        Some(folder) => folder.to_owned(),
        None => {
            let address = blake3::hash(url.as_str().as_bytes()).to_hex();
            settings.cache()?.join("url").join(&address[..16])
        }
    };
    let strong = |tag: &&str| tag.starts_with('"');
    let tag = http::text(&answer.headers, "etag").filter(strong);
    let tag = tag.or_else(|| http::text(&answer.headers, "last-modified")).map(str::to_owned);
    drop(answer);
    let (to, expected) = (folder.join(&name), pull.expected.cloned());
    let place = download::Place::Theirs;
    let wanted = Wanted { url: url.clone(), to: to.clone(), bytes, expected, tag, place };
    let mut count = room::begin(std::slice::from_ref(&wanted), &folder, tell)?;
    let fetched = download::fetch(&client, &wanted, &mut count)?;
    let download::Fetched { digests, was_there } = fetched;
    let file = PulledFile { name, path: to.clone(), digests, was_there };
    Ok(Pulled { path: to, commit: None, files: vec![file] })
}

/// The last part of an address's path, if it can be the name of a file.
fn name_of(url: &Url) -> Option<String> {
    let last = url.path_segments()?.next_back()?;
    // Escapes are left as they are: no address then names a folder or hides what it is.
    source::check_name(last).ok().map(|()| last.to_owned())
}

fn from_path(path: &Path, to: Option<&Path>, tell: &mut Tell<'_>) -> Result<Pulled, HubError> {
    let opened = Opened::open(&path.to_string_lossy()).map_err(Box::new)?;
    let mut paths = match opened.root() {
        Some(_) => Vec::new(),
        None => opened.weights().files().map(Path::to_owned).collect(),
    };
    if paths.is_empty() && to.is_some() {
        return Err(HubError::Stored(path.to_owned()));
    }
    if path.is_dir() && !paths.is_empty() {
        let beside = choose::BESIDE.into_iter().map(|name| path.join(name));
        paths.extend(beside.filter(|path| path.is_file()));
    }
    let sizes = paths.iter().map(|path| std::fs::metadata(path).map_or(0, |file| file.len()));
    let mut count = Counter::new(Work::Hashing, sizes.sum(), tell);
    let mut files = Vec::new();
    for from in &paths {
        let digests = download::hash_file(from, None, &mut |n| count.add(n))?;
        let name = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (to, was_there) = match to {
            Some(folder) => (folder.join(&name), copy(from, &folder.join(&name), &digests)?),
            None => (from.clone(), true),
        };
        files.push(PulledFile { name, path: to, digests, was_there });
    }
    opened.weights().check_unchanged()?;
    let path = match (to, files.first()) {
        (Some(folder), _) if path.is_dir() => folder.to_owned(),
        (Some(_), Some(first)) => first.path.clone(),
        _ => path.to_owned(),
    };
    Ok(Pulled { path, commit: None, files })
}

/// Copies unless the same file is there; whether it was.
fn copy(from: &Path, to: &Path, digests: &Digests) -> Result<bool, DownloadError> {
    let was_there = to.exists();
    if !was_there {
        download::copy(from, to)?;
    }
    match download::hash_file(to, None, &mut |_| {})? == *digests {
        true => Ok(was_there),
        false => Err(DownloadError::Exists { path: to.to_owned(), how: String::new() }),
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The hub that is asked where no other is named.
pub const HUGGING_FACE: &str = "https://huggingface.co";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_shown() {
        let endpoint = Some("https://me:s3cret@hub.example".to_owned());
        let token = Some("hf_s3cret".to_owned());
        let settings = Settings { endpoint, token, cache: None };
        let shown = format!("{settings:?}");
        assert!(!shown.contains("s3cret") && shown.contains("token: Some"), "{shown}");
    }

    #[test]
    fn the_end_of_an_address_names_a_file_or_nothing() {
        let name = |text: &str| name_of(&Url::parse(text).expect("an address"));
        assert_eq!(name("https://a.example/x/m.gguf?key=1").as_deref(), Some("m.gguf"));
        assert_eq!(name("https://a.example/..%2fm").as_deref(), Some("..%2fm"));
        for text in ["https://a.example", "https://a.example/x/", "https://a.example/a%00b:c"] {
            assert_eq!(name(text), None, "{text}");
        }
    }
}
