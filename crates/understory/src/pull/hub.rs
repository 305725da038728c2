//! A hub: what is in a repository at a revision, and what each file is.

use super::digest::Expected;
use super::http::{self, Answer, Client, HttpError, Part};
use super::source::{HubName, check_name};
use crate::hint::WithHint;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::{collections::BTreeMap, io::Read, path::PathBuf};
use url::Url;

/// A hub, and who we are there.
pub struct Hub {
    pub client: Client,
    endpoint: Url,
    has_token: bool,
}

/// A repository at one commit.
#[derive(Debug)]
pub struct Listing {
    /// The commit, 40 hex digits.
    pub commit: String,
    /// Files by name; names are checked.
    pub files: BTreeMap<String, Known>,
}

/// What a hub says of a file; what is missing it says when it is asked for the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    pub bytes: Option<u64>,
    pub hash: Option<Expected>,
}

impl Hub {
    /// The hub of the environment, with the token of the usual places.
    pub fn from_env() -> Result<Hub> {
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let endpoint = var("HF_ENDPOINT").unwrap_or_else(|| HUGGING_FACE.to_owned());
        let endpoint = Url::parse(endpoint.trim())
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .with_context(|| format!("HF_ENDPOINT {endpoint:?} is no address"))
            .hint(format!("unset HF_ENDPOINT to take {HUGGING_FACE}"))?;
        let token = token()?;
        let has_token = token.is_some();
        Ok(Hub { client: Client::new(Some(&endpoint), token), endpoint, has_token })
    }

    /// What the repository holds at the revision.
    pub fn list(&self, name: &HubName) -> Result<Listing> {
        let mut url = self.path(&["api", "models"], &name.repository);
        segments(&mut url).extend(["revision", &name.revision]);
        url.set_query(Some("blobs=true"));
        let answer = self.client.get(&url, &Part::default());
        let answer = answer
            .with_context(|| format!("cannot get {} at {}", name.repository, name.revision))?;
        let bytes = bounded::read_from(answer.body.into_reader(), MAX_LISTING)
            .context("the list of files cannot be read")
            .hint(self.doubt())?;
        let listing = parse_listing(&bytes).context("the hub's list of files is not good");
        let listing = listing.hint(self.doubt())?;
        let whole = name.revision.len() == 40 && is_hex(&name.revision);
        if whole && !name.revision.eq_ignore_ascii_case(&listing.commit) {
            bail!("asked for commit {}, the hub gives {}", name.revision, listing.commit);
        }
        Ok(listing)
    }

    /// The address of a file.
    pub fn file(&self, name: &HubName, commit: &str, file: &str) -> Url {
        let mut url = self.path(&[], &name.repository);
        segments(&mut url).extend(["resolve", commit]).extend(file.split('/'));
        url
    }

    /// Size and hash of a file, from the list of files or else from the hub's word on the file.
    pub fn know(&self, name: &HubName, listing: &Listing, file: &str) -> Result<(u64, Expected)> {
        let mut known = listing.files.get(file).cloned().unwrap_or_default();
        if known.bytes.is_none() || known.hash.is_none() {
            let url = self.file(name, &listing.commit, file);
            let first = Part { range: Some((0, Some(0))), same_as: None };
            let answer = self.client.get(&url, &first);
            let answer = answer.with_context(|| format!("cannot get {file}"))?;
            let said = known_by_headers(&answer)
                .with_context(|| format!("what the hub says of {file} is not good"))?;
            known = Known { bytes: known.bytes.or(said.bytes), hash: known.hash.or(said.hash) };
        }
        match known {
            Known { bytes: Some(bytes), hash: Some(hash) } => Ok((bytes, hash)),
            _ => bail!("the hub does not say the size and hash of {file}: it cannot be checked"),
        }
    }

    /// What to do about an error of the hub.
    pub fn advice(&self, error: &HttpError, name: &HubName) -> String {
        let page = self.path(&[], &name.repository);
        match error {
            HttpError::Status { status: 401, .. } if !self.has_token => format!(
                "if the name is right, the model wants a token: put it into HF_TOKEN, and accept \
                 its conditions at {page}"
            ),
            HttpError::Status { status: 401, .. } => {
                "the token is not valid here; renew it, or unset HF_TOKEN".to_owned()
            }
            HttpError::Status { status: 403, .. } => {
                format!("the token has no access: accept the model's conditions at {page}")
            }
            HttpError::Status { status: 404, .. } => {
                "there is no such repository, revision or file; look at the spelling".to_owned()
            }
            HttpError::Status { status: 429 | 500..=599, .. } | HttpError::Unreached { .. } => {
                error.advice().to_owned()
            }
            _ => self.doubt(),
        }
    }

    fn doubt(&self) -> String {
        format!("is HF_ENDPOINT right? {} was asked", self.endpoint)
    }

    /// The endpoint with `prefix` and the two parts of a repository's name.
    fn path(&self, prefix: &[&str], repository: &str) -> Url {
        let mut url = self.endpoint.clone();
        segments(&mut url).pop_if_empty().extend(prefix).extend(repository.split('/'));
        url
    }
}

/// Reads a hub's list of files. Any name that would lead out of its folder spoils it all.
pub fn parse_listing(bytes: &[u8]) -> Result<Listing> {
    let raw: RawListing = serde_json::from_slice(bytes)?;
    if raw.sha.len() != 40 || !is_hex(&raw.sha) {
        bail!("{:.80?} is no commit", raw.sha);
    }
    let mut files = BTreeMap::new();
    for RawFile { rfilename, size, blob_id, lfs } in raw.siblings {
        check_name(&rfilename)?;
        let hash = match (&lfs, &blob_id) {
            (Some(lfs), _) => lfs.sha256.as_deref(),
            (None, blob_id) => blob_id.as_deref(),
        };
        let hash = hash.map(Expected::parse).transpose()?;
        let bytes = lfs.map_or(size, |lfs| lfs.size.or(size));
        if files.insert(rfilename.clone(), Known { bytes, hash }).is_some() {
            bail!("{rfilename:?} is there twice");
        }
    }
    Ok(Listing { commit: raw.sha.to_ascii_lowercase(), files })
}

/// What the answer to a request for the first byte says of the whole file. Of large files a hub
/// sends us elsewhere, and says on the way what they are.
fn known_by_headers(answer: &Answer) -> Result<Known> {
    let mut known = Known::default();
    // Another server's own tag is no word of the hub.
    let own = (!answer.is_elsewhere).then_some(&answer.headers);
    for headers in answer.way.iter().chain(own) {
        let tag = http::text(headers, "x-linked-etag").or_else(|| http::text(headers, "etag"));
        if let Some(tag) = tag.filter(|_| known.hash.is_none()) {
            known.hash = Some(Expected::parse(tag.trim_start_matches("W/").trim_matches('"'))?);
        }
        known.bytes = known.bytes.or_else(|| http::number(headers, "x-linked-size"));
    }
    known.bytes = known.bytes.or_else(|| size_of(answer));
    Ok(known)
}

/// The size of a file by the answer to a request for its first byte.
pub fn size_of(answer: &Answer) -> Option<u64> {
    match answer.status {
        200 => http::number(&answer.headers, "content-length"),
        _ => http::text(&answer.headers, "content-range")?.rsplit_once('/')?.1.parse().ok(),
    }
}

/// The token of the usual places: `HF_TOKEN`, else the file that `hf auth login` writes.
fn token() -> Result<Option<String>> {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let given = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"].into_iter().find_map(var);
    let text = match given {
        Some(given) => given.into_string().ok(),
        None => {
            let home = || Some(PathBuf::from(var("HOME")?));
            let cache = var("XDG_CACHE_HOME").map(PathBuf::from);
            let cache = cache.or_else(|| Some(home()?.join(".cache")));
            let folder = var("HF_HOME").map(PathBuf::from);
            let folder = folder.or_else(|| Some(cache?.join("huggingface")));
            let path = var("HF_TOKEN_PATH").map(PathBuf::from);
            let path = path.or_else(|| Some(folder?.join("token")));
            let file = path.and_then(|path| std::fs::File::open(path).ok());
            let mut text = String::new();
            match file.map(|file| file.take(MAX_TOKEN).read_to_string(&mut text)) {
                Some(Ok(_)) => Some(text),
                _ => return Ok(None),
            }
        }
    };
    let token = text.map(|text| text.trim().to_owned()).unwrap_or_default();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        // Not printed: it may be a secret with a typing error.
        return Err(anyhow::anyhow!("the token for the hub is not a token"))
            .hint("look at HF_TOKEN or ~/.cache/huggingface/token");
    }
    Ok(Some(token))
}

fn segments(url: &mut Url) -> url::PathSegmentsMut<'_> {
    url.path_segments_mut().expect("http and https addresses have a path")
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[derive(Deserialize)]
struct RawListing {
    sha: String,
    siblings: Vec<RawFile>,
}

#[derive(Deserialize)]
struct RawFile {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
    lfs: Option<RawLarge>,
}

#[derive(Deserialize)]
struct RawLarge {
    #[serde(alias = "oid")]
    sha256: Option<String>,
    size: Option<u64>,
}

const HUGGING_FACE: &str = "https://huggingface.co";
const MAX_LISTING: u64 = 1 << 26;
const MAX_TOKEN: u64 = 1 << 12;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn listing(files: serde_json::Value) -> Result<Listing> {
        parse_listing(json!({ "sha": "a".repeat(40), "siblings": files }).to_string().as_bytes())
    }

    #[test]
    fn large_files_have_a_sha256_and_small_ones_a_blob_id() {
        let files = json!([
            { "rfilename": "config.json", "size": 12, "blobId": "b".repeat(40) },
            { "rfilename": "m.gguf", "size": 9, "blobId": "c".repeat(40),
              "lfs": { "sha256": "D".repeat(64), "size": 9, "pointerSize": 130 } },
            { "rfilename": "x.txt" },
        ]);
        let listing = listing(files).expect("good");
        let known = |bytes, hash: &str| Known {
            bytes: Some(bytes),
            hash: Some(Expected::parse(hash).expect("a hash")),
        };
        assert_eq!(listing.files["config.json"], known(12, &"b".repeat(40)));
        assert_eq!(listing.files["m.gguf"], known(9, &"d".repeat(64)));
        assert_eq!(listing.files["x.txt"], Known::default());
    }

    #[test]
    fn a_bad_name_hash_or_commit_spoils_the_list() {
        for name in ["../x", "/etc/passwd", "a\\b", "a/../b", "a\u{1b}[2J", ""] {
            assert!(listing(json!([{ "rfilename": name }])).is_err(), "{name:?}");
        }
        let file = |hash: &str| json!([{ "rfilename": "x", "size": 1, "blobId": hash }]);
        assert!(listing(file("../../x")).is_err());
        assert!(listing(json!([{ "rfilename": "x" }, { "rfilename": "x" }])).is_err());
        assert!(parse_listing(br#"{"sha": "main", "siblings": []}"#).is_err());
        assert!(parse_listing(br#"{"siblings": []}"#).is_err());
    }

    proptest! {
        #[test]
        fn any_list_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse_listing(&bytes);
        }
    }
}
