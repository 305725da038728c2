//! The transparency log: notes and checkpoints, a witness's requests and responses, tiles, proofs
//! that an entry is in a log and proofs of two histories.

use crate::seeds::{Outcome, save};
use ids::Identity;
use std::{path::Path, sync::LazyLock};
use tlog::{
    AddCheckpoint, Bundle, Checkpoint, Hash, KeyKind, MAX_PROOF, MAX_SIGNATURES, MemoryTree, Nodes,
    Note, NoteSignature, Policy, Response, Signed, SignedCheckpoint, SplitProof, Tile, TileReader,
    TlogProof, VerifierKey, Witness, consistency_proof, inclusion_proof, root, verify_inclusion,
};

/// A note, a checkpoint, a signature line or a key: each has one text.
pub fn note(bytes: &[u8]) {
    if let Ok(note) = Note::parse(bytes) {
        assert_eq!(note.to_string().as_bytes(), bytes, "a note has one text");
        assert!((1..=MAX_SIGNATURES).contains(&note.signatures().len()));
        let signed = note.signed_by(&log_key()) == Signed::Yes;
        assert!(!signed || note.text() == HEAD.note().text(), "nobody guesses a signature");
    }
    if let Ok(signed) = SignedCheckpoint::parse(bytes) {
        assert_eq!(signed.checkpoint().to_string(), signed.note().text());
        let policy = Policy::new(1, vec![witness().key()]).expect("one of one");
        let holds = policy.witnessed(&signed).is_ok_and(|witnessed| witnessed.holds());
        assert!(!holds || signed.checkpoint() == HEAD.checkpoint(), "nor a cosignature");
        let again = signed.checkpoint().clone().sign(&log());
        assert!(again.is_err() || again.is_ok_and(|s| s.signed_by(&key_of(&s)) == Signed::Yes));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(line) = text.parse::<NoteSignature>() {
        assert_eq!(line.to_string(), text);
    }
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text);
    }
}

/// A request to a witness, or after a status in two bytes what it answers.
pub fn request(bytes: &[u8]) {
    if let Ok(request) = AddCheckpoint::parse(bytes) {
        assert_eq!(request.to_string().as_bytes(), bytes, "a request has one text");
        assert!(request.proof.len() <= MAX_PROOF);
    }
    let mut witness = witness();
    let answer = witness.add_checkpoint(bytes, 1, |_| Some(vec![log_key()]));
    if answer.response.status() == 200 {
        let latest = answer.persist.expect("the witness has seen nothing before");
        assert_eq!(witness.latest(&latest.checkpoint().origin), Some(&latest));
        assert_eq!(latest.cosigned_by(&witness.key()), Ok(Some(1)));
    }
    let Some((status, body)) = bytes.split_first_chunk() else { return };
    let status = u16::from_be_bytes(*status);
    if let Ok(response) = Response::parse(status, body) {
        assert_eq!(response.status(), status);
        assert_eq!(Response::parse(status, response.body().as_bytes()), Ok(response));
    }
}

/// A path; the entries of a bundle; and a log of 300 entries read from files of which one, that
/// the first byte chooses, is what the bytes say.
pub fn tile(bytes: &[u8]) {
    if let Ok(path) = std::str::from_utf8(bytes) {
        let tile = path.parse::<Tile>().map(|tile| tile.to_string());
        let bundle = path.parse::<Bundle>().map(|bundle| bundle.to_string());
        assert!(tile.is_err() || bundle.is_err(), "no path is both");
        assert!(tile.or(bundle).map_or(true, |printed| printed == path));
    }
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let bundle = Bundle::new(0, u16::from(*choice).max(1)).expect("a bundle of a small log");
    if let Ok(entries) = bundle.parse(bytes) {
        assert_eq!(bundle.to_bytes(&entries).expect("they were read"), bytes);
    }
    let tree = &*TREE;
    let fetch = |path: &str, max: usize| {
        let file = file(path, tree);
        let hostile = u64::from(*choice) % 8 == path.bytes().map(u64::from).sum::<u64>() % 8;
        if hostile { Ok(bytes[..bytes.len().min(max)].to_vec()) } else { file }
    };
    let Ok(reader) = TileReader::new(tree.size(), &tree.root(), fetch) else { return };
    for index in [0, 255, 256, 299, 300, u64::MAX] {
        if let Ok(leaf) = reader.node(0, index) {
            assert_eq!(tree.node(0, index), Ok(leaf), "nothing wrong is read");
        }
    }
    if let Ok(entries) = reader.entries(1) {
        assert_eq!(entries, (256..300).map(entry).collect::<Vec<_>>());
    }
    if let Ok(proof) = inclusion_proof(7, 300, &reader) {
        let leaf = Hash::of_leaf(&entry(7));
        verify_inclusion(&leaf, 7, 300, &tree.root(), &proof).expect("a proof from checked tiles");
    }
}

/// A proof that an entry is in the log.
pub fn logged(bytes: &[u8]) {
    let Ok(proof) = TlogProof::parse(bytes) else { return };
    assert_eq!(proof.to_string().as_bytes(), bytes, "a proof has one text");
    assert!(proof.hashes.len() <= MAX_PROOF);
    let leaf = Hash::of_leaf(&entry(proof.index % 300));
    let policy = Policy::new(1, vec![witness().key()]).expect("one of one");
    if proof.verify(&leaf, "log.example", &[log_key()], &policy).is_ok() {
        assert_eq!(proof.checkpoint.checkpoint(), HEAD.checkpoint(), "nobody guesses a signature");
        assert!(proof.index < 300, "nor an entry beyond the log");
    }
}

/// A proof of two histories.
pub fn split(bytes: &[u8]) {
    let Ok(proof) = SplitProof::parse(bytes) else { return };
    assert_eq!(proof.to_bytes(), bytes, "a proof has one encoding");
    if proof.verify(&[log_key()]).is_ok() {
        assert_eq!(proof.a.signed_by(&log_key()), Signed::Yes);
        assert_eq!(proof.b.signed_by(&log_key()), Signed::Yes);
        assert_ne!(proof.a.checkpoint(), proof.b.checkpoint());
    }
}

/// A good example or two for each.
pub fn seeds(folder: &Path) -> Outcome {
    let (one, other) = (tree(0), tree(1));
    let mut signed = head(300, &one);
    let line = signed.cosign(&Identity::from_seed([9; 32]), witness().key().name(), 7);
    signed.add(line.clone())?;
    for text in [signed.to_string(), log_key().to_string(), line.to_string()] {
        save(folder, "tlog_note", text.as_bytes())?;
    }
    let proof = consistency_proof(200, 300, &one)?;
    for (index, extra) in [(7, Some(b"extra".to_vec())), (299, None)] {
        let (hashes, checkpoint) = (inclusion_proof(index, 300, &one)?, signed.clone());
        let logged = TlogProof { extra, index, hashes, checkpoint };
        save(folder, "tlog_proof", logged.to_string().as_bytes())?;
    }
    let grown = AddCheckpoint { old: 200, proof, checkpoint: signed };
    let first = AddCheckpoint { old: 0, proof: vec![], checkpoint: head(300, &one) };
    save(folder, "tlog_request", grown.to_string().as_bytes())?;
    save(folder, "tlog_request", first.to_string().as_bytes())?;
    for (status, body) in [(200u16, format!("{line}\n")), (409, "200\n".into())] {
        let response = [&status.to_be_bytes()[..], body.as_bytes()].concat();
        save(folder, "tlog_request", &response)?;
    }
    for path in ["tile/0/x001/234.p/5", "tile/entries/001.p/44", "tile/0/000", "tile/1/000.p/1"] {
        save(folder, "tlog_tile", path.as_bytes())?;
    }
    for path in ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/001.p/44"] {
        let choice = path.bytes().map(u64::from).sum::<u64>() % 8;
        let file = [&[choice as u8], &file(path, &one)?[..]].concat();
        save(folder, "tlog_tile", &file)?;
    }
    for (a, b) in [(200, 300), (300, 300)] {
        let found = SplitProof::compare(&log_key(), &head(a, &one), &head(b, &other), &other)?;
        save(folder, "tlog_split", &found.ok_or("two histories")?.to_bytes())?;
    }
    Ok(())
}

static TREE: LazyLock<MemoryTree> = LazyLock::new(|| tree(0));
static HEAD: LazyLock<SignedCheckpoint> = LazyLock::new(|| head(300, &TREE));

/// A file of the log, as it should be.
fn file(path: &str, tree: &MemoryTree) -> Result<Vec<u8>, &'static str> {
    if let Ok(tile) = path.parse::<Tile>() {
        return tile.to_bytes(tree).map_err(|_| "beyond the log");
    }
    let bundle: Bundle = path.parse().map_err(|_| "no such file")?;
    let entries = (bundle.first()..).take(bundle.width().into()).map(entry);
    bundle.to_bytes(&entries.collect::<Vec<_>>()).map_err(|_| "too long")
}

/// Of 300 entries, those after the 150th of history `which`.
fn tree(which: u64) -> MemoryTree {
    (0..300).map(|i| Hash::of_leaf(&entry(if i < 150 { i } else { i + which * 1000 }))).collect()
}

fn entry(i: u64) -> Vec<u8> {
    i.to_string().into_bytes()
}

fn head(size: u64, tree: &MemoryTree) -> SignedCheckpoint {
    let root = root(size, tree).expect("within the tree");
    Checkpoint::new("log.example", size, root).sign(&log()).expect("a checkpoint")
}

fn log() -> Identity {
    Identity::from_seed([1; 32])
}

fn log_key() -> VerifierKey {
    VerifierKey::new("log.example".parse().expect("a name"), KeyKind::Log, log().id())
}

/// The log's key under the name that is the checkpoint's origin.
fn key_of(signed: &SignedCheckpoint) -> VerifierKey {
    let name = signed.checkpoint().origin.parse().expect("it was signed under it");
    VerifierKey::new(name, KeyKind::Log, log().id())
}

fn witness() -> Witness {
    Witness::new(Identity::from_seed([9; 32]), "w.example".parse().expect("a name"))
}
