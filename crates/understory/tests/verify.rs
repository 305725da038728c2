//! `understory verify` over a real run: what it confirms, and that nothing escapes it.

mod common;

use common::{Said, end_quietly_without_a_reader, say, text, tiny_run, understory};
use ids::Hash;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// One run for all checks: they change a file, look, and put it back.
#[test]
fn a_run_is_confirmed_and_any_change_to_it_is_found() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = folder.path();
    tiny_run(run);
    let before = snapshot(run);

    goes_on_with_a_text_in_every_format_as_in_the_store(run);
    is_inspected_with_its_arithmetic(run);
    verifies_quietly_without_a_reader(run);
    confirms_everything_and_the_expulsion(run);
    confirms_from_one_peers_folder_alone(run);
    assert_eq!(snapshot(run), before, "verifying wrote into the run");
    finds_flipped_bits_in_objects(run);
    finds_flipped_bits_in_refs(run);
    finds_flipped_bits_in_logs(run);
    finds_changed_statements_behind_right_hashes(run);
    misses_every_update_that_is_gone(run);
    assert_eq!(snapshot(run), before, "the checks put everything back");
}

/// A text begins in the exports as it did in training.
fn goes_on_with_a_text_in_every_format_as_in_the_store(run: &Path) {
    let exports = tempfile::tempdir().expect("a temporary folder");
    let mut models = vec![run.to_owned()];
    for format in ["hf", "gguf"] {
        let to = exports.path().join(format);
        let said = say(&["export", text(run), "--to", format, text(&to), "--json"]);
        let object: serde_json::Value = serde_json::from_str(&said.out).expect("one object");
        models.push(object["written"].as_str().expect("a path").into());
    }
    let texts = models.iter().map(|model| {
        let args = ["run", text(model), "fn ", "-n", "24", "--temperature", "0", "--json"];
        let object: serde_json::Value = serde_json::from_str(&say(&args).out).expect("one object");
        (object["prompt_tokens"].clone(), object["text"].clone())
    });
    let texts: Vec<_> = texts.collect();
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
}

fn is_inspected_with_its_arithmetic(run: &Path) {
    let said = say(&["inspect", text(run)]);
    assert!(said.out.contains("\narithmetic    strict-1\n"), "{}", said.out);
    let said = say(&["inspect", text(run), "--json"]);
    let object: serde_json::Value = serde_json::from_str(&said.out).expect("one object");
    assert_eq!(object["run"]["arithmetic"], "strict-1");
    assert_eq!(object["run"]["id"].as_str().map(str::len), Some(64));
}

fn verifies_quietly_without_a_reader(run: &Path) {
    let peer = run.join("peer-1");
    let cases = [
        &["verify", text(run), "--seed", "5"][..],
        &["verify", text(run), "--seed", "5", "--json"],
        &["swarm", "status", text(&peer)],
    ];
    end_quietly_without_a_reader("verify", &cases, understory);
}

fn confirms_everything_and_the_expulsion(run: &Path) {
    let said = say(&["verify", text(run), "--all"]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    let excluded = said.out.lines().filter(|l| l.contains("excluded, mismatch")).count();
    assert!(excluded >= 1, "{}", said.out);
    assert!(said.out.contains("\nverdict    confirmed"), "{}", said.out);

    let json = say(&["verify", text(run), "--all", "--json"]);
    let object: serde_json::Value = serde_json::from_str(&json.out).expect("one object");
    assert_eq!(object["verdict"], "confirmed");
    assert_eq!(object["chain"]["round"], 4);
    for work in ["hashing", "adding_up", "rerunning"] {
        let told = common::told(&json.err, work);
        let last = told.last().unwrap_or_else(|| panic!("{work}: {}", json.err));
        assert!(last["done"] == last["total"] && last["total"].as_u64() > Some(3), "{last}");
    }
    let reruns = object["rerun"].as_array().expect("a list");
    assert_eq!(object["contributions"], reruns.len());
    let included = |r: &&serde_json::Value| r["excluded"] == false;
    assert!(reruns.iter().filter(included).all(|r| r["found"] == "confirmed"));
    assert!(reruns.iter().filter(|r| r["excluded"] == true).all(|r| r["found"] == "mismatch"));

    for threads in ["1", "3"] {
        let sampled = say(&["verify", text(run), "--seed", "5", "--threads", threads]);
        assert_eq!(sampled.code, Some(0), "{}", sampled.out);
        assert!(sampled.out.contains("seed 5"), "{}", sampled.out);
    }
}

/// The others' carries lie in their own stores: they have to be made again in order.
fn confirms_from_one_peers_folder_alone(run: &Path) {
    for threads in ["1", "4"] {
        let said =
            say(&["verify", text(&run.join("peer-2")), "--all", "--threads", threads, "--json"]);
        assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    }
}

fn finds_flipped_bits_in_objects(run: &Path) {
    for peer in [1, 3] {
        let objects = files(&run.join(format!("peer-{peer}/store/objects")));
        for (number, path) in objects.iter().enumerate().step_by(13) {
            finds_flipped_bit(run, path, number * 7919);
        }
    }
}

fn finds_flipped_bits_in_refs(run: &Path) {
    for path in files(&run.join("peer-2/store/refs")) {
        for bit in [0, 5, 100, 259, 517, 519] {
            finds_flipped_bit(run, &path, bit);
        }
    }
}

fn finds_flipped_bits_in_logs(run: &Path) {
    for peer in [1, 4] {
        let path = run.join(format!("peer-{peer}/log"));
        let bits = fs::metadata(&path).expect("it is there").len() as usize * 8;
        for part in 0..12 {
            finds_flipped_bit(run, &path, bits / 12 * part + part);
        }
    }
}

/// Somebody who writes the log's hashes anew cannot write the signatures anew.
fn finds_changed_statements_behind_right_hashes(run: &Path) {
    let path = run.join("peer-1/log");
    let whole = fs::read(&path).expect("it is there");
    let (mut at, mut checked) = (0, 0);
    while at < whole.len() {
        let word: [u8; 4] = whole[at..at + 4].try_into().expect("four bytes");
        let (start, end) = (at + 40, at + 40 + u32::from_le_bytes(word) as usize);
        // Entries are `[tag, fields]`; 0 to 2 are records and what the owner has signed.
        if whole[start + 1] <= 2 {
            for middle in [(start + end) / 2, end - 20] {
                let mut changed = whole.clone();
                changed[middle] ^= 0x10;
                let hash = Hash::of(&changed[start..end]);
                changed[at + 8..at + 40].copy_from_slice(&hash.0);
                fs::write(&path, &changed).expect("writes");
                is_found(&quick(&run.join("peer-1")), &path);
                checked += 1;
            }
        }
        at = end;
    }
    put_back(&path, &whole);
    assert!(checked > 20, "{checked} entries are a log of four rounds");
}

/// From one peer's folder each update is needed; where another peer has it, nothing is amiss.
fn misses_every_update_that_is_gone(run: &Path) {
    let peer = run.join("peer-1");
    let all = say(&["verify", text(run), "--all", "--json"]);
    let all: serde_json::Value = serde_json::from_str(&all.out).expect("one object");
    let contributions = all["contributions"].as_u64().expect("a number");
    let mut missed = 0;
    let length = update_length(&peer);
    let objects = files(&peer.join("store/objects"));
    for path in objects.iter().filter(|p| p.metadata().expect("it is there").len() == length) {
        let bytes = fs::read(path).expect("it is there");
        fs::remove_file(path).expect("it can be removed");
        let said = say(&["verify", text(&peer), "--sample", "0%"]);
        if said.code == Some(2) && said.out.contains("cannot be added up again") {
            missed += 1;
            assert!(said.out.contains("\nverdict    unavailable"), "{}", said.out);
            let others = quick(run);
            assert_eq!(others.code, Some(0), "{}", others.out);
        }
        put_back(path, &bytes);
    }
    assert_eq!(missed, contributions, "an update for every contribution");
}

/// Bytes of an update of the run that `peer` takes part in.
fn update_length(peer: &Path) -> u64 {
    let store = store::Store::open_existing(peer.join("store")).expect("it is there");
    let id = store.get_ref("run").expect("it reads").expect("it is set");
    let run = recipe::RunManifest::parse(&store.get(&id).expect("it is there")).expect("a run");
    recipe::update::encoded_len(run.parameters()) as u64
}

fn finds_flipped_bit(run: &Path, path: &Path, bit: usize) {
    let whole = fs::read(path).expect("it is there");
    let bit = bit % (whole.len() * 8);
    let mut flipped = whole.clone();
    flipped[bit / 8] ^= 1 << (bit % 8);
    fs::write(path, &flipped).expect("writes");
    is_found(&quick(peer_of(run, path)), path);
    put_back(path, &whole);
}

/// The peer's folder that a file lies in.
fn peer_of<'a>(run: &Path, file: &'a Path) -> &'a Path {
    file.ancestors().find(|f| f.parent() == Some(run)).expect("it lies in a peer's folder")
}

/// Everything but re-running contributions.
fn quick(run: &Path) -> Said {
    say(&["verify", text(run), "--sample", "0%"])
}

fn is_found(said: &Said, path: &Path) {
    assert_eq!(said.code, Some(1), "{}: {}{}", path.display(), said.out, said.err);
    let named = said.out.lines().any(|l| l.starts_with("mismatch: ") && l.contains(text(path)));
    assert!(named, "{} is not named: {}", path.display(), said.out);
}

fn put_back(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("writes");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

/// Every file and the hash of what is in it.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, Hash> {
    let hash = |path: PathBuf| {
        let hash = Hash::of(&fs::read(&path).expect("it is there"));
        (path, hash)
    };
    files(folder).into_iter().map(hash).collect()
}
