//! From documents to token shards that everybody names by one hash.

use super::{Documents, LeftOut, left_out::WhyText};
use ids::{Hash, ObjectRef};
use progress::{Counter, Tell, Work};
use store::{Store, StoreError};
use text::Tokenizer;

/// Tokens per shard: 2 MiB objects, small enough to fetch again when a transfer breaks.
const SHARD_TOKENS: usize = 1 << 20;
/// Most shards a manifest may name (2^36 tokens).
const MAX_SHARDS: usize = 65_536;
/// Most bytes of the tokenizer and of the held-out objects, so that peers can bound a fetch.
const MAX_PART: u64 = 64 << 20;
/// Tokens are stored in 16 bits.
pub const MAX_VOCAB: usize = 1 << 16;

/// What a run trains on, as one object; its hash is the corpus root.
///
/// Encoding: deterministic CBOR array of the fields in this order. Shards are arrays of
/// little-endian u16 token ids; documents are joined, each after one `<|endoftext|>` (id 0).
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct CorpusManifest {
    /// Format version, 1.
    #[n(0)]
    pub version: u8,
    /// `tokenizer.json`.
    #[n(1)]
    pub tokenizer: ObjectRef,
    /// Size of its vocabulary.
    #[n(2)]
    pub vocab: u32,
    /// Training tokens.
    #[n(3)]
    pub shards: Vec<ObjectRef>,
    /// Held-out text, UTF-8, documents joined by nothing.
    #[n(4)]
    pub held_out_text: ObjectRef,
    /// The same as tokens, encoded as a shard is.
    #[n(5)]
    pub held_out_tokens: ObjectRef,
    /// Bytes of the training text.
    #[n(6)]
    pub train_bytes: u64,
    /// Files it came from.
    #[n(7)]
    pub files: u64,
    /// Files per licence.
    #[n(8)]
    pub licences: Vec<(String, u64)>,
    /// Where it came from, for people.
    #[n(9)]
    pub source: String,
}

/// How to cut and tokenize documents.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataOptions {
    /// Entries of the byte-level BPE vocabulary.
    pub vocab: usize,
    /// Most bytes of training text; documents are drawn by hash until it is full. 0: all.
    pub max_bytes: u64,
    /// One document in this many is held out …
    pub held_out_every: u64,
    /// … until that many bytes are.
    pub held_out_bytes: u64,
    /// Bytes of text the tokenizer is trained on.
    pub tokenizer_bytes: u64,
}

impl Default for DataOptions {
    fn default() -> Self {
        Self {
            vocab: 4096,
            max_bytes: 0,
            held_out_every: 50,
            held_out_bytes: 256 << 10,
            tokenizer_bytes: 4 << 20,
        }
    }
}

impl DataOptions {
    /// Checks what can be checked before the text is read.
    ///
    /// Errors: an option out of range.
    pub fn validate(&self) -> Result<(), CorpusError> {
        let bad = |why: String| Err(CorpusError::Option(why));
        if !(512..=MAX_VOCAB).contains(&self.vocab) {
            return bad(format!("a vocabulary of {} is outside 512..={MAX_VOCAB}", self.vocab));
        }
        if self.held_out_bytes == 0 || self.tokenizer_bytes == 0 {
            return bad("held_out_bytes and tokenizer_bytes must be above 0".to_owned());
        }
        Ok(())
    }
}

/// A corpus in memory, ready to draw batches from.
pub struct Corpus {
    /// Its manifest.
    pub manifest: CorpusManifest,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// All training tokens.
    pub tokens: Vec<u16>,
    /// Held-out tokens.
    pub held_out: Vec<u16>,
}

/// A corpus in a store.
#[derive(Clone, Debug)]
pub struct Built {
    /// Its manifest; the hash is the corpus root.
    pub root: ObjectRef,
    /// What of the documents is not in it.
    pub left_out: LeftOut,
}

/// Why a corpus cannot be built or loaded.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// Not the encoding of [`CorpusManifest`].
    #[error("not a corpus manifest: {0}")]
    Malformed(String),
    /// Too little text to split into training and held-out parts.
    #[error("{bytes} bytes of text are too few: {why}")]
    TooSmall {
        /// Bytes of text there are.
        bytes: u64,
        /// What they do not suffice for.
        why: String,
    },
    /// An option out of range.
    #[error("{0}")]
    Option(String),
    /// The tokenizer.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// An object is missing or damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Splits, trains the tokenizer, tokenizes and keeps everything in `store`.
///
/// A pure function of the documents and options: the same input gives the same root on any
/// machine. `tell` hears how far learning the tokens and cutting the text into them are.
pub fn build(
    store: &Store,
    documents: &Documents,
    options: &DataOptions,
    tell: &mut Tell<'_>,
) -> Result<Built, CorpusError> {
    options.validate()?;
    let Split { train, held_out, left_out } = split(documents, options)?;
    let tokenizer = train_tokenizer(&train, options, tell)?;
    let json = tokenizer.to_json().map_err(|e| CorpusError::Tokenizer(e.to_string()))?;
    let vocab = tokenizer.len() as u32;

    let mut shards = Vec::new();
    let mut pending: Vec<u16> = Vec::new();
    let total: usize = train.iter().map(|t| t.len()).sum();
    let mut count = Counter::new(Work::Tokenizing, total as u64, tell);
    for batch in batches(&train) {
        for tokens in encode_all(&tokenizer, batch) {
            pending.extend(tokens);
        }
        count.add(batch.iter().map(|text| text.len() as u64).sum());
        while pending.len() >= SHARD_TOKENS {
            let rest = pending.split_off(SHARD_TOKENS);
            shards.push(put(store, &to_bytes(&pending))?);
            pending = rest;
        }
    }
    if !pending.is_empty() {
        shards.push(put(store, &to_bytes(&pending))?);
    }
    let held_out_tokens = encode_all(&tokenizer, &held_out).concat();
    let manifest = CorpusManifest {
        version: 1,
        tokenizer: put(store, json.as_bytes())?,
        vocab,
        shards,
        held_out_text: put(store, held_out.concat().as_bytes())?,
        held_out_tokens: put(store, &to_bytes(&held_out_tokens))?,
        train_bytes: total as u64,
        files: documents.files,
        licences: documents.licences.iter().map(|(l, n)| (l.clone(), *n)).collect(),
        source: documents.source.clone(),
    };
    Ok(Built { root: put(store, &manifest.to_bytes())?, left_out })
}

/// Documents, or parts of them, by what becomes of them.
#[derive(Default)]
struct Split<'a> {
    train: Vec<&'a str>,
    held_out: Vec<&'a str>,
    left_out: LeftOut,
}

/// Which documents train and which are held out, by the hash of their text.
fn split<'a>(documents: &'a Documents, options: &DataOptions) -> Result<Split<'a>, CorpusError> {
    let mut split = Split::default();
    let keyed = keyed(documents, &mut split.left_out);
    let bytes = documents.bytes();
    // A single long document is cut: its last tenth is held out.
    if (keyed.len() as u64) < options.held_out_every.saturating_mul(2) {
        return split_by_bytes(documents, keyed, options, split);
    }
    let (mut train_bytes, mut held_bytes) = (0u64, 0u64);
    for (hash, index) in keyed {
        let text = documents.texts[index].as_str();
        // The first bytes of the hash order the documents, so other bytes must choose.
        let draw = u64::from_le_bytes(hash.0[24..].try_into().expect("8 of 32 bytes"));
        let mut beyond = |why| split.left_out.text(why, documents.origin(index), text.len());
        if draw.is_multiple_of(options.held_out_every.max(2)) {
            if held_bytes < options.held_out_bytes {
                held_bytes += text.len() as u64;
                split.held_out.push(text);
            } else {
                beyond(WhyText::BeyondHeldOut);
            }
        } else if options.max_bytes == 0 || train_bytes < options.max_bytes {
            train_bytes += text.len() as u64;
            split.train.push(text);
        } else {
            beyond(WhyText::BeyondMaxBytes);
        }
    }
    if split.held_out.is_empty() {
        return Err(CorpusError::TooSmall { bytes, why: "no document fell to be held out".into() });
    }
    Ok(split)
}

/// The documents by hash, each once: its hash and number.
fn keyed(documents: &Documents, left_out: &mut LeftOut) -> Vec<(Hash, usize)> {
    let texts = documents.texts.iter().enumerate();
    let mut keyed: Vec<_> = texts.map(|(i, text)| (Hash::of(text.as_bytes()), i)).collect();
    keyed.sort_unstable();
    keyed.dedup_by(|(hash, index), (kept, _)| {
        let same = hash == kept;
        if same {
            let bytes = documents.texts[*index].len();
            left_out.text(WhyText::SameDocument, documents.origin(*index), bytes);
        }
        same
    });
    keyed
}

fn split_by_bytes<'a>(
    documents: &'a Documents,
    keyed: Vec<(Hash, usize)>,
    options: &DataOptions,
    mut split: Split<'a>,
) -> Result<Split<'a>, CorpusError> {
    let bytes = documents.bytes();
    if bytes < 8192 {
        let why = "at least 8192 are needed".to_owned();
        return Err(CorpusError::TooSmall { bytes, why });
    }
    let mut wanted = (bytes / 10).min(options.held_out_bytes) as usize;
    for (_, index) in keyed {
        let text = documents.texts[index].as_str();
        let take = wanted.min(text.len() / 4);
        let mut cut = text.len() - take;
        while !text.is_char_boundary(cut) {
            cut += 1;
        }
        wanted -= text.len() - cut;
        split.train.push(&text[..cut]);
        split.held_out.push(&text[cut..]);
    }
    split.held_out.retain(|t| !t.is_empty());
    Ok(split)
}

fn train_tokenizer(
    train: &[&str],
    options: &DataOptions,
    tell: &mut Tell<'_>,
) -> Result<Tokenizer, CorpusError> {
    let mut count = Counter::new(Work::Learning, options.vocab as u64, tell);
    count.add(0);
    let (mut bytes, mut known) = (0, 0);
    let sample = train.iter().copied().take_while(|text| {
        let take = bytes < options.tokenizer_bytes;
        bytes += text.len() as u64;
        take
    });
    let tokenizer = Tokenizer::train_told(sample, options.vocab, &mut |learned| {
        count.add((learned - std::mem::replace(&mut known, learned)) as u64);
    });
    let tokenizer = tokenizer.map_err(|e| CorpusError::Tokenizer(e.to_string()))?;
    // Little text has fewer tokens than there may be.
    count.end();
    Ok(tokenizer)
}

/// Runs of documents of about a megabyte, so that progress moves and memory stays small.
fn batches<'a, 'b>(train: &'b [&'a str]) -> impl Iterator<Item = &'b [&'a str]> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let rest = &train[start..];
        let n = rest
            .iter()
            .take_while(|t| {
                let more = bytes < 1 << 20;
                bytes += t.len();
                more
            })
            .count();
        start += n;
        (n > 0).then(|| &rest[..n])
    })
}

/// Each document after one end-of-text token, on all cores; the order is the documents'.
fn encode_all(tokenizer: &Tokenizer, texts: &[&str]) -> Vec<Vec<u16>> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let share = texts.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let parts: Vec<_> = texts
            .chunks(share)
            .map(|part| scope.spawn(move || encode_part(tokenizer, part)))
            .collect();
        let mut all = Vec::with_capacity(texts.len());
        for part in parts {
            all.extend(part.join().expect("encoding does not panic"));
        }
        all
    })
}

fn encode_part(tokenizer: &Tokenizer, texts: &[&str]) -> Vec<Vec<u16>> {
    let mut encoder = tokenizer.encoder();
    let mut ids = Vec::new();
    let encode = |text: &&str| {
        ids.clear();
        ids.push(tokenizer.end_of_text());
        let encoded = encoder.encode_into(text, &mut ids);
        encoded.expect("a tokenizer that was trained takes no more than a text deserves");
        ids.iter().map(|id| u16::try_from(*id).expect("the vocabulary was bounded")).collect()
    };
    texts.iter().map(encode).collect()
}

impl CorpusManifest {
    /// The one encoding of this manifest.
    pub fn to_bytes(&self) -> Vec<u8> {
        minicbor::to_vec(self).expect("writing to memory does not fail")
    }

    /// Reads what [`CorpusManifest::to_bytes`] wrote and nothing else.
    pub fn parse(bytes: &[u8]) -> Result<Self, CorpusError> {
        let bad = |why: String| CorpusError::Malformed(why);
        if bytes.len() > 8 << 20 {
            return Err(bad(format!("{} bytes are too many", bytes.len())));
        }
        let manifest: Self = minicbor::decode(bytes).map_err(|e| bad(e.to_string()))?;
        let parts = [manifest.tokenizer, manifest.held_out_text, manifest.held_out_tokens];
        let shard = (SHARD_TOKENS * 2) as u64;
        if manifest.version != 1
            || !(1..=MAX_VOCAB as u32).contains(&manifest.vocab)
            || manifest.shards.is_empty()
            || manifest.shards.len() > MAX_SHARDS
            || parts.iter().any(|p| p.len > MAX_PART)
            || manifest.shards.iter().any(|s| s.len > shard || !s.len.is_multiple_of(2))
        {
            return Err(bad("a field is out of range".to_owned()));
        }
        if manifest.to_bytes() != bytes {
            return Err(bad("not in canonical encoding".to_owned()));
        }
        Ok(manifest)
    }

    /// Every object the corpus consists of, the manifest itself left out.
    pub fn references(&self) -> Vec<ObjectRef> {
        let parts = [self.tokenizer, self.held_out_text, self.held_out_tokens];
        self.shards.iter().copied().chain(parts).collect()
    }

    /// Training tokens in all.
    pub fn tokens(&self) -> u64 {
        self.shards.iter().map(|s| s.len / 2).sum()
    }
}

impl Corpus {
    /// Reads the corpus `root` and everything it names from `store`.
    pub fn load(store: &Store, root: &Hash) -> Result<Self, CorpusError> {
        let manifest = CorpusManifest::parse(&store.get(root)?)?;
        let tokenizer = Tokenizer::from_json(&store.get(&manifest.tokenizer.hash)?)
            .map_err(|e| CorpusError::Tokenizer(e.to_string()))?;
        let mut tokens = Vec::with_capacity(manifest.tokens().min(1 << 32) as usize);
        for shard in &manifest.shards {
            tokens.extend(read_shard(store, shard, manifest.vocab)?);
        }
        let held_out = read_shard(store, &manifest.held_out_tokens, manifest.vocab)?;
        Ok(Self { manifest, tokenizer, tokens, held_out })
    }
}

fn read_shard(store: &Store, shard: &ObjectRef, vocab: u32) -> Result<Vec<u16>, CorpusError> {
    let bytes = store.get(&shard.hash)?;
    let tokens: Vec<u16> =
        bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
    if bytes.len() % 2 != 0 || tokens.iter().any(|t| u32::from(*t) >= vocab) {
        return Err(CorpusError::Malformed(format!(
            "shard {} has tokens out of range",
            shard.hash
        )));
    }
    Ok(tokens)
}

fn to_bytes(tokens: &[u16]) -> Vec<u8> {
    tokens.iter().flat_map(|t| t.to_le_bytes()).collect()
}

fn put(store: &Store, bytes: &[u8]) -> Result<ObjectRef, CorpusError> {
    Ok(ObjectRef { hash: store.put(bytes)?, len: bytes.len() as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn building_tells_how_far_it_is() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(folder.path().join("store")).expect("opens");
        let path = folder.path().join("x.txt");
        let line = |i: usize| format!("line {i} of the text is about soil and roots\n");
        std::fs::write(&path, (0..2000).map(line).collect::<String>()).expect("writes");
        let documents = Documents::from_paths(&[path]).expect("reads");
        let options = DataOptions { vocab: 600, held_out_bytes: 500, ..DataOptions::default() };
        let mut told = Vec::new();
        build(&store, &documents, &options, &mut |progress| told.push(progress)).expect("builds");
        let of = |work| {
            let at = told.iter().filter_map(|told| match told {
                progress::Progress::At(at) if at.work == work => Some((at.done, at.total)),
                _ => None,
            });
            at.collect::<Vec<_>>()
        };
        let (learning, tokenizing) = (of(Work::Learning), of(Work::Tokenizing));
        assert!(learning.is_sorted() && learning.len() > 100, "{learning:?}");
        assert_eq!((learning[0], learning.last()), ((0, 600), Some(&(600, 600))));
        let &(done, total) = tokenizing.last().expect("told");
        assert!(done == total && total > 80_000, "{done} of {total}");
    }

    #[test]
    fn documents_that_are_not_used_are_told() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.jsonl");
        let line = |i: usize| format!("{{\"text\":\"document {}\"}}\n", i % 900);
        std::fs::write(&path, (0..1000).map(line).collect::<String>()).expect("writes");
        let documents = Documents::from_paths(&[path]).expect("reads");
        let options = DataOptions {
            max_bytes: 2000,
            held_out_every: 10,
            held_out_bytes: 200,
            ..DataOptions::default()
        };
        let split = split(&documents, &options).expect("splits");
        let number = |why| split.left_out.texts[&why].number as usize;
        assert_eq!(number(WhyText::SameDocument), 100);
        let used = split.train.len() + split.held_out.len();
        let unused = number(WhyText::BeyondMaxBytes) + number(WhyText::BeyondHeldOut);
        assert_eq!(used + unused, 900);
        assert!(split.left_out.words().iter().all(|words| words.contains("x.jsonl")));
        for wrong in [
            DataOptions { vocab: 5, ..options.clone() },
            DataOptions { held_out_bytes: 0, ..options.clone() },
            DataOptions { tokenizer_bytes: 0, ..options },
        ] {
            assert!(matches!(wrong.validate(), Err(CorpusError::Option(_))));
        }
    }
}
