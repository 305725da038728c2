//! A hub: what is in a repository at a revision, and what each file is.

use std::collections::BTreeMap;

use serde::Deserialize;
use url::Url;

use super::digest::Expected;
use super::error::{DigestError, HubError, ListingError};
use super::http::{self, Answer, Client, HttpError, Part};
use super::is_hex;
use super::source::{self, HubName, check_name};

/// A hub, and who we are there.
pub(super) struct Hub {
    pub client: Client,
    endpoint: Url,
    has_token: bool,
}

/// A repository at one commit.
#[derive(Debug)]
pub(super) struct Listing {
    /// The commit, 40 hex digits.
    pub commit: String,
    /// Files by name; names are checked.
    pub files: BTreeMap<String, Known>,
}

/// What a hub says of a file; what is missing it says when it is asked for the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub bytes: Option<u64>,
    pub hash: Option<Expected>,
}

impl Hub {
    /// The hub at an address, for whoever has this token.
    pub fn new(endpoint: &str, token: Option<&str>) -> Result<Hub, HubError> {
        let mut endpoint = Url::parse(endpoint.trim())
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| HubError::Endpoint(source::shown(endpoint)))?;
        source::drop_login(&mut endpoint);
        let token = token.map(str::trim);
        let is_token =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !token.is_none_or(is_token) {
            return Err(HubError::Token);
        }
        let client = Client::new(Some(&endpoint), token.map(str::to_owned));
        Ok(Hub { client, endpoint, has_token: token.is_some() })
    }

    /// What the repository holds at the revision.
    pub fn list(&self, name: &HubName) -> Result<Listing, HubError> {
        let mut url = self.path(&["api", "models"], &name.repository);
        segments(&mut url).extend(["revision", &name.revision]);
        url.set_query(Some("blobs=true"));
        let what = || format!("{} at {}", name.repository, name.revision);
        let answer = self.client.get(&url, &Part::default());
        let answer = answer.map_err(|source| HubError::Get { what: what(), source })?;
        let bytes = bounded::read_from(answer.body.into_reader(), MAX_LISTING);
        let bytes = bytes.map_err(|source| match bounded::is_too_long(&source) {
            true => self.doubted(HubError::LongListing(MAX_LISTING)),
            false => HubError::BrokenOff { what: what(), source },
        })?;
        let listing = parse_listing(&bytes).map_err(|error| self.doubted(error.into()))?;
        let whole = name.revision.len() == 40 && is_hex(&name.revision);
        if whole && !name.revision.eq_ignore_ascii_case(&listing.commit) {
            let (asked, given) = (name.revision.clone(), listing.commit);
            return Err(HubError::OtherCommit { asked, given });
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
    pub fn know(
        &self,
        name: &HubName,
        listing: &Listing,
        file: &str,
    ) -> Result<(u64, Expected), HubError> {
        let mut known = listing.files.get(file).cloned().unwrap_or_default();
        if known.bytes.is_none() || known.hash.is_none() {
            let url = self.file(name, &listing.commit, file);
            let first = Part { range: Some((0, Some(0))), same_as: None };
            let answer = self.client.get(&url, &first);
            let file = || file.to_owned();
            let answer = answer.map_err(|source| HubError::Get { what: file(), source })?;
            let said = known_by_headers(&answer);
            let said = said.map_err(|source| HubError::Said { file: file(), source })?;
            known = Known { bytes: known.bytes.or(said.bytes), hash: known.hash.or(said.hash) };
        }
        match known {
            Known { bytes: Some(bytes), hash: Some(hash) } => Ok((bytes, hash)),
            _ => Err(HubError::Unchecked(file.to_owned())),
        }
    }

    /// An error with what to do about it, if a server's refusal is its cause.
    pub fn advised(&self, error: HubError, name: &HubName) -> HubError {
        match error.http().map(|http| self.advice(http, name)) {
            Some(advice) => HubError::Advised { error: Box::new(error), advice },
            None => error,
        }
    }

    fn advice(&self, error: &HttpError, name: &HubName) -> String {
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
            HttpError::Status { status: 429 | 500..=599, .. }
            | HttpError::Unreached { .. }
            | HttpError::Redirect { .. } => error.advice().to_owned(),
            _ => self.doubt(),
        }
    }

    fn doubted(&self, error: HubError) -> HubError {
        HubError::Advised { error: Box::new(error), advice: self.doubt() }
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
fn parse_listing(bytes: &[u8]) -> Result<Listing, ListingError> {
    let raw: RawListing = serde_json::from_slice(bytes)?;
    if raw.sha.len() != 40 || !is_hex(&raw.sha) {
        return Err(ListingError::Commit(raw.sha.chars().take(80).collect()));
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
            return Err(ListingError::Twice(rfilename));
        }
    }
    Ok(Listing { commit: raw.sha.to_ascii_lowercase(), files })
}

/// What the answer to a request for the first byte says of the whole file. Of large files a hub
/// sends us elsewhere, and says on the way what they are.
fn known_by_headers(answer: &Answer) -> Result<Known, DigestError> {
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
pub(super) fn size_of(answer: &Answer) -> Option<u64> {
    match answer.status {
        200 => http::number(&answer.headers, "content-length"),
        _ => http::text(&answer.headers, "content-range")?.rsplit_once('/')?.1.parse().ok(),
    }
}

fn segments(url: &mut Url) -> url::PathSegmentsMut<'_> {
    url.path_segments_mut().expect("http and https addresses have a path")
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

const MAX_LISTING: u64 = 1 << 26;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn listing(files: serde_json::Value) -> Result<Listing, ListingError> {
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

    #[test]
    fn addresses_and_tokens_are_checked_before_anybody_is_asked() {
        for endpoint in ["", "huggingface.co", "ftp://hub", "file:///etc", "https://"] {
            let error = Hub::new(endpoint, None).err().expect("refused");
            assert!(matches!(error, HubError::Endpoint(_)), "{endpoint}: {error}");
        }
        let error = Hub::new("ftp://me:s3cret@hub", None).err().expect("refused").to_string();
        assert!(error.contains("hub") && !error.contains("s3cret"), "{error}");
        let hub = Hub::new("https://me:s3cret@hub.example", None).expect("good");
        let said = hub.doubt() + hub.path(&[], "a/b").as_str();
        assert!(said.contains("hub.example") && !said.contains("s3cret"), "{said}");
        assert!(Hub::new(" https://hub.example\n", Some(" hf_x\n")).is_ok());
        for token in ["", " ", "with\nnew lines", "ä"] {
            let error = Hub::new("https://hub.example", Some(token)).err().expect("refused");
            assert!(matches!(error, HubError::Token), "{token:?}: {error}");
            assert!(token.trim().is_empty() || !error.to_string().contains(token), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_list_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse_listing(&bytes);
        }
    }
}
