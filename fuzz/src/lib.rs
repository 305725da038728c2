//! What each fuzz target does with its bytes: parse, and where something was parsed, hold it to
//! what the parser promises (one encoding, bounds, a result that can be used without a panic).
#![forbid(unsafe_code)]

pub mod seeds;
pub mod statement;
pub mod tlog;

use kernel::{Isa, Kernel};
use model::{Plan, Sampler, Session, Weights};
use std::{
    fs,
    io::Write,
    path::Path,
    sync::{Arc, LazyLock},
};
use tempfile::{NamedTempFile, TempDir};
use text::Tokenizer;

/// A message of the swarm protocol.
pub fn swarm_message(bytes: &[u8]) {
    if let Ok(message) = swarm::parse_message(bytes) {
        assert_eq!(message.to_bytes(), bytes, "a message has one encoding");
    }
}

/// A record of the chain with its certificate.
pub fn swarm_record(bytes: &[u8]) {
    if let Ok(record) = swarm::parse_record(bytes) {
        assert_eq!(record.to_bytes(), bytes, "a record has one encoding");
        assert_eq!(record.record().culprits().count(), record.record().ejected.len());
    }
}

/// A node's log: entries, each after its length in two bytes.
pub fn swarm_log(mut bytes: &[u8]) {
    let mut entries = Vec::new();
    while let Some((len, rest)) = bytes.split_first_chunk() {
        let len = usize::from(u16::from_le_bytes(*len)).min(rest.len());
        let (entry, rest) = rest.split_at(len);
        entries.push(entry);
        bytes = rest;
    }
    match swarm::read_log(entries.iter().copied()) {
        Ok(contents) => assert!(contents.records.len() + contents.statements <= entries.len()),
        Err(error) => assert!(error.entry < entries.len()),
    }
}

/// A safetensors file.
pub fn safetensors(bytes: &[u8]) {
    if let Ok(file) = model::safetensors::parse(bytes) {
        for (name, view) in file.tensors() {
            drop(file.floats(name, &view.shape));
        }
    }
}

/// A GGUF file.
pub fn gguf(bytes: &[u8]) {
    let file = file_of(bytes, ".gguf");
    if let Ok(weights) = Weights::open(file.path()) {
        for tensor in weights.tensors().values() {
            weights.read_rows(tensor, |_, rows| assert!(!rows.is_empty())).expect("in the file");
        }
        run(&weights);
    }
}

/// Runs a token through a model that was not refused; numbers may be of no use, a panic not.
fn run(weights: &Weights) {
    static KERNEL: LazyLock<Kernel> = LazyLock::new(|| Kernel::new(Isa::best(), 1));
    let Ok(plan) = Plan::new(weights) else { return };
    plan.decoder().validate().expect("only valid shapes are read");
    if plan.memory().total(1, 64) > 1 << 24 {
        return;
    }
    // What was read can be written as a file of its family, or is refused.
    let trained = Plan::new(weights).and_then(Plan::parameters).expect("checked before");
    drop((model::families::write::gguf(&trained), model::families::write::hugging_face(&trained)));
    let loaded = Arc::new(plan.load(&KERNEL).expect("checked before"));
    assert!(loaded.bytes() <= 1 << 24);
    let mut session = Session::new(Arc::clone(&loaded), KERNEL.clone());
    let logits = session.extend(&[1]).expect("one token fits every context");
    assert_eq!(logits.len(), loaded.vocab());
}

/// The `config.json` of a Hugging Face folder.
pub fn hf_config(bytes: &[u8]) {
    if let Ok(decoder) = model::families::decoder_of_config(bytes) {
        decoder.validate().expect("only valid shapes are read");
        assert!(decoder.parameters() > 0);
    }
}

/// The `model.safetensors.index.json` of a sharded folder: no name leads out of the folder.
pub fn safetensors_index(bytes: &[u8]) {
    if let Ok(map) = model::weights::parse_index(bytes) {
        for file in map.values() {
            assert_eq!(Path::new(file).components().count(), 1);
            assert_eq!(Path::new(file).file_name(), Some(file.as_ref()));
        }
    }
}

/// A `tokenizer.json`; what is read must encode and decode any text without loss.
pub fn tokenizer_json(bytes: &[u8]) {
    if let Ok(tokenizer) = Tokenizer::from_json(bytes) {
        let text = "fn main() { println!(\"ä 水 \u{1F331}\\n\"); }  \r\n";
        assert_eq!(tokenizer.decode(&tokenizer.encode(text).expect("cheap")), text);
        let json = tokenizer.to_json().expect("it is of the kind that is written");
        let again = Tokenizer::from_json(json.as_bytes()).expect("what was written reads back");
        assert_eq!(again.to_json(), Ok(json));
    }
}

/// A `tokenizer.json` of any kind that is read.
pub fn tokenizer_hf(bytes: &[u8]) {
    let files = text::tokenizer::HfFiles { tokenizer: bytes, ..Default::default() };
    if let Ok(tokenizer) = Tokenizer::from_hf(&files) {
        encodes(&tokenizer);
    }
}

/// A `tokenizer.model` of SentencePiece.
pub fn tokenizer_sentencepiece(bytes: &[u8]) {
    let config: &[u8] = br#"{"eos_token": "</s>"}"#;
    let files = text::tokenizer::HfFiles { config: Some(config), ..Default::default() };
    if let Ok(tokenizer) = Tokenizer::from_sentencepiece(bytes, &files) {
        encodes(&tokenizer);
    }
}

/// The files beside a `tokenizer.json`: the first byte says which one these bytes are.
pub fn tokenizer_files(bytes: &[u8]) {
    const TOKENIZER: &[u8] = br#"{"model": {"type": "BPE", "vocab": {"a": 0, "</s>": 1}}}"#;
    let Some((which, bytes)) = bytes.split_first() else { return };
    let mut files = text::tokenizer::HfFiles { tokenizer: TOKENIZER, ..Default::default() };
    let named = br#"{"eos_token": "</s>"}"#;
    files.config = Some(named);
    match which % 4 {
        0 => files.config = Some(bytes),
        1 => files.special = Some(bytes),
        2 => files.generation = Some(bytes),
        _ => drop(text::chat::ChatTemplates::from_config(bytes)),
    }
    if let Ok(tokenizer) = Tokenizer::from_hf(&files) {
        encodes(&tokenizer);
    }
}

/// Any text, whole and in pieces: nothing in it steers a terminal, and JSON stays what it was.
pub fn plain(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let shown = ids::plain(&text);
    assert!(ids::is_plain(&shown) && !shown.contains(char::is_control));
    let lines = ids::plain_lines(&text);
    assert!(lines.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
    let mut stream = ids::PlainStream::default();
    let pieces: String = text.split_inclusive('\r').map(|piece| stream.push(piece)).collect();
    let pieces = pieces + &stream.finish();
    assert!(pieces.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
    let json = serde_json::to_string(&text).expect("a text has a JSON form");
    let back: String = serde_json::from_str(&ids::plain_lines(&json)).expect("still JSON");
    assert_eq!(back, text);
}

/// What a worker carries from one contribution into its next.
pub fn carry(bytes: &[u8]) {
    static KERNEL: LazyLock<Kernel> = LazyLock::new(|| Kernel::new(Isa::best(), 1));
    for parameters in [1, 7, 300] {
        if let Ok(carry) = recipe::carry::Carry::decode(&KERNEL, bytes, parameters) {
            assert_eq!(bytes.len(), recipe::carry::carry_len(parameters));
            assert!(carry.root.iter().all(|root| *root >= 0.0));
            assert_eq!([carry.lost.len(), carry.m.len(), carry.root.len()], [parameters; 3]);
            let bounds = recipe::Bounds::new(&recipe::run::Inner::default());
            if bounds.check(&carry, 1000).is_ok() {
                assert!((1..=1000).contains(&carry.steps));
                assert!(carry.m.iter().chain(&carry.lost).all(|x| x.is_finite()));
                let second = carry.second();
                assert!(second.iter().all(|v| (0.0..1.4).contains(v)), "within the clip");
            }
        }
    }
}

/// The tokenizer in the metadata of a GGUF file.
pub fn tokenizer_gguf(bytes: &[u8]) {
    if let Ok(file) = model::gguf::parse(bytes)
        && let Ok(tokenizer) = engine::gguf::tokenizer(file.metadata())
    {
        encodes(&tokenizer);
    }
}

/// Whatever was read, ids are tokens, and pieces of text are the whole text's bytes.
fn encodes(tokenizer: &Tokenizer) {
    for (text, special) in [("ab 1234  <s>ä\u{301}水\n\n\tIt's", true), ("<|im_end|> x\r\n", false)]
    {
        let Ok(ids) = tokenizer.encode_prompt(text, special) else { continue };
        assert!(ids.iter().all(|&id| (id as usize) < tokenizer.len()));
        let mut stream = text::StreamDecoder::default();
        let mut pieces: String = ids.iter().map(|id| stream.push(tokenizer, *id)).collect();
        pieces += &stream.finish();
        let whole = tokenizer.decode(&ids);
        let before = pieces.strip_suffix(&whole).expect("only what is before it goes away");
        assert!(before.bytes().all(|byte| byte == b' '));
    }
}

/// A chat template, rendered.
pub fn chat_template(bytes: &[u8]) {
    use text::chat::{ChatTemplate, Conversation, message};
    if let Ok(template) = ChatTemplate::new(&String::from_utf8_lossy(bytes)) {
        let messages = [message("system", "be kind"), message("user", "hi")];
        drop(template.render(&Conversation::new(&messages)));
    }
}

/// Any text through a trained tokenizer, whole and token by token.
pub fn tokenizer_text(bytes: &[u8]) {
    static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| {
        let text = "The quick brown fox, the lazy dog; the fox's 1234 tails.\n".repeat(20);
        Tokenizer::train([text.as_str()], 400).expect("enough text")
    });
    let text = String::from_utf8_lossy(bytes);
    let ids = TOKENIZER.encode(&text).expect("cheap");
    assert_eq!(TOKENIZER.decode(&ids), text);
    assert_eq!(TOKENIZER.byte_len(&ids), text.len());
    let mut stream = text::StreamDecoder::default();
    let pieces: String = ids.iter().map(|id| stream.push(&TOKENIZER, *id)).collect();
    assert_eq!(pieces + &stream.finish(), text);
}

/// The manifest of a model.
pub fn model_manifest(bytes: &[u8]) {
    if let Ok(manifest) = store::ModelManifest::parse(bytes) {
        assert_eq!(manifest.to_bytes(), bytes, "a manifest has one encoding");
        assert_eq!(manifest.references().len(), manifest.tensors.len() + 1);
    }
}

/// The manifest of a corpus.
pub fn corpus_manifest(bytes: &[u8]) {
    if let Ok(manifest) = recipe::CorpusManifest::parse(bytes) {
        assert_eq!(manifest.to_bytes(), bytes, "a manifest has one encoding");
        assert_eq!(manifest.references().len(), manifest.shards.len() + 3);
        assert!(manifest.tokens() <= 1 << 36);
    }
}

/// The manifest of a run.
pub fn run_manifest(bytes: &[u8]) {
    if let Ok(manifest) = recipe::RunManifest::parse(bytes) {
        let text = manifest.to_toml();
        let again = recipe::RunManifest::parse(text.as_bytes());
        assert_eq!(again.expect("what was written reads back"), manifest);
        assert!(manifest.step_tokens() > 0 && manifest.parameters() > 0);
    }
}

/// A contribution's update; the first two bytes say of how many parameters.
pub fn update(bytes: &[u8]) {
    static KERNEL: LazyLock<Kernel> = LazyLock::new(|| Kernel::new(Isa::best(), 1));
    let Some((count, update)) = bytes.split_first_chunk() else { return };
    let parameters = usize::from(u16::from_le_bytes(*count));
    if let Ok(values) = recipe::update::decode(&KERNEL, update, parameters) {
        assert_eq!(values.len(), parameters);
    }
    // The length that fits, so that what lies behind the length check is reached as well.
    let fitting = (0..update.len()).rev().find(|n| recipe::update::encoded_len(*n) == update.len());
    if let Some(parameters) = fitting {
        let _ = recipe::update::decode(&KERNEL, update, parameters);
    }
}

/// A log file: reading changes nothing, opening cuts off at most a torn end.
pub fn store_log(bytes: &[u8]) {
    let file = file_of(bytes, ".log");
    let read = store::Log::read(file.path());
    assert_eq!(fs::read(file.path()).expect("it is there"), bytes, "reading changes nothing");
    match store::Log::open(file.path()) {
        Ok((mut log, entries)) => {
            assert!(read.is_err() || read.is_ok_and(|read| read == entries));
            log.append(b"next").expect("an open log takes entries");
            drop(log);
            let again = store::Log::read(file.path()).expect("whole after opening");
            assert_eq!(again.len(), entries.len() + 1);
        }
        Err(_) => assert!(read.is_err()),
    }
}

/// Text files: the first byte chooses among text, JSON lines and JSON, plain and packed.
pub fn documents(bytes: &[u8]) {
    let Some((kind, text)) = bytes.split_first() else { return };
    let endings = [
        ".txt",
        ".jsonl",
        ".txt.gz",
        ".jsonl.gz",
        ".json",
        ".json.gz",
        ".txt.zst",
        ".jsonl.zst",
    ];
    let ending = endings[usize::from(kind % 8)];
    let file = file_of(text, ending);
    if let Ok(documents) = recipe::corpus::Documents::from_paths(&[file.path().to_path_buf()]) {
        assert!(!documents.texts.is_empty() && documents.texts.iter().all(|t| !t.is_empty()));
    }
}

/// Text to train on, in Parquet.
pub fn parquet(bytes: &[u8]) {
    let file = file_of(bytes, ".parquet");
    if let Ok(documents) = recipe::corpus::Documents::from_paths(&[file.path().to_path_buf()]) {
        assert!(!documents.texts.is_empty() && documents.texts.iter().all(|t| !t.is_empty()));
    }
}

/// What the page asks of the model.
pub fn prompt_request(bytes: &[u8]) {
    if let Ok(request) = serde_json::from_slice::<serve::PromptRequest>(bytes) {
        let text = serde_json::to_vec(&request).expect("a request has a JSON form");
        // A number beyond f32 becomes infinite and so null; the server's own check refuses it.
        let finite = [request.temperature, request.top_p, request.min_p];
        if finite.iter().all(|x| x.is_finite()) {
            let again: serve::PromptRequest = serde_json::from_slice(&text).expect("reads back");
            assert_eq!(again, request);
        }
    }
}

/// The choice of a token: 36 bytes of settings, then logits; their bytes are also the text before.
pub fn sampler(bytes: &[u8]) {
    let Some((settings, rest)) = bytes.split_first_chunk::<36>() else { return };
    let word = |at: usize| <[u8; 4]>::try_from(&settings[at..at + 4]).expect("four bytes");
    let sampler = Sampler {
        temperature: f32::from_le_bytes(word(0)),
        top_k: u32::from_le_bytes(word(4)) as usize,
        top_p: f32::from_le_bytes(word(8)),
        min_p: f32::from_le_bytes(word(12)),
        seed: u64::from(u32::from_le_bytes(word(16))),
        repeat_penalty: f32::from_le_bytes(word(24)),
        frequency_penalty: f32::from_le_bytes(word(28)),
        presence_penalty: f32::from_le_bytes(word(32)),
        ..Sampler::default()
    };
    let index = u64::from(u32::from_le_bytes(word(20)));
    let mut logits: Vec<f32> = recipe::checkpoint::from_bytes(rest).collect();
    if sampler.validate().is_ok() {
        let text: Vec<u32> = rest.iter().map(|&byte| u32::from(byte)).collect();
        sampler.penalize(&mut logits, &text, index as usize);
    }
    if let Ok(token) = sampler.choose(&logits, index) {
        assert!((token as usize) < logits.len());
        assert_eq!(sampler.choose(&logits, index), Ok(token));
    }
}

/// A ticket or an invitation, as typed.
pub fn ticket(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(admission) = text.parse::<net::swarm::Admission>() {
        assert_eq!(admission.to_secret_text().parse(), Ok(admission));
    }
    if let Ok(ticket) = text.parse::<net::swarm::Ticket>() {
        assert_eq!(ticket.to_string().parse(), Ok(ticket));
    }
}

/// A frame between peers, or a request for an object.
pub fn wire_frame(bytes: &[u8]) {
    net::fuzz::frame(bytes);
}

/// A ticket of a commons, as typed.
pub fn commons_ticket(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(ticket) = text.parse::<net::commons::Ticket>() {
        assert_eq!(ticket.to_string().parse(), Ok(ticket));
    }
}

/// What members of a commons ask and answer each other.
pub fn commons_frame(bytes: &[u8]) {
    net::fuzz::commons_frame(bytes);
}

/// The file of remembered addresses.
pub fn address_book(bytes: &[u8]) {
    net::fuzz::address_book(file_of(bytes, ".book").path());
}

/// A file that holds `bytes`, in memory where the system has a place for that.
fn file_of(bytes: &[u8], ending: &str) -> NamedTempFile {
    static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
        let memory = Path::new("/dev/shm");
        let made = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
        made.expect("a temporary folder can be made")
    });
    let made = tempfile::Builder::new().suffix(ending).tempfile_in(FOLDER.path());
    let mut file = made.expect("a temporary file can be made");
    file.write_all(bytes).expect("it can be written");
    file
}
