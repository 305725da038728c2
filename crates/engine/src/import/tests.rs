use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kernel::{Isa, Kernel};
use model::{Plan, Session};
use store::{Store, StoreError};

use super::*;
use crate::Progress;

fn families() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/families")
}

fn open(path: &Path) -> Opened {
    Opened::open(&path.display().to_string()).expect("a model")
}

fn logits(opened: &Opened) -> Vec<u32> {
    opened.check(&mut |_| {}).expect("as it was");
    let kernel = Kernel::new(Isa::best(), 2);
    let plan = Plan::new(opened.weights()).expect("complete");
    let model = Arc::new(plan.load(&kernel).expect("loads"));
    let mut session = Session::new(model, kernel);
    session.extend(&[3, 1, 4, 1, 5, 9]).expect("room").iter().map(|x| x.to_bits()).collect()
}

fn copy(name: &str, to: &Path) -> PathBuf {
    let (from, to) = (families().join(name), to.join(name));
    if from.is_file() {
        fs::copy(from, &to).expect("copied");
        return to;
    }
    fs::create_dir_all(&to).expect("made");
    for entry in fs::read_dir(from).expect("committed") {
        let entry = entry.expect("readable");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
    to
}

#[test]
fn a_model_of_any_family_and_format_has_a_root_and_runs_under_it() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(dir.path().join("store")).expect("opens");
    let mut roots = Vec::new();
    for name in
        ["falcon_40b", "falcon_40b.gguf", "gemma3_plain", "llama_linear_biases", "qwen2.gguf"]
    {
        let files = open(&families().join(name));
        let mut last = None;
        let root = import(&files, &store, &mut |progress| last = Some(progress)).expect("imported");
        let Some(Progress::At(at)) = last else { panic!("{name}: {last:?}") };
        assert_eq!((at.work, at.done), (Work::Hashing, at.total), "{name}");
        // The same model at another place has the same root.
        let moved = copy(name, dir.path());
        let other = Store::open(dir.path().join("other")).expect("opens");
        assert_eq!(import(&open(&moved), &other, &mut |_| {}).expect("imported"), root, "{name}");
        let named = format!("{}@{root}", store.root().display());
        let stored = open(Path::new(&named));
        assert_eq!((stored.root(), stored.kind()), (Some(root), files.kind()));
        assert_eq!(stored.decoder().expect("known"), files.decoder().expect("known"));
        assert_eq!(logits(&stored), logits(&files), "{name}");
        roots.push(root);
    }
    roots.sort();
    roots.dedup();
    assert_eq!(roots.len(), 5);
    // Nothing was copied but the small files and the manifests.
    assert!(store.bytes().expect("listed") < 1 << 16, "{}", store.bytes().expect("listed"));
}

#[test]
fn tokenizer_and_templates_come_from_the_store() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let tokenizer = text::Tokenizer::train(["the commons hold the commons"], 262).expect("trains");
    let decoder = model::Decoder::tiny(tokenizer.len());
    let params = model::init(&decoder, 1).expect("valid");
    let trained = model::Parameters::new(&decoder, params).expect("fits");
    let folder = dir.path().join("hf");
    crate::hf::export(&folder, &trained, &tokenizer, &crate::Lineage::default()).expect("written");
    fs::write(folder.join("chat_template.jinja"), "main").expect("written");
    let more = folder.join("additional_chat_templates");
    fs::create_dir(&more).expect("made");
    fs::write(more.join("tool_use.jinja"), "tools").expect("written");
    let gguf = dir.path().join("m.gguf");
    crate::gguf::export(&gguf, &trained, &tokenizer, &crate::Lineage::default()).expect("written");
    let store = Store::open(dir.path().join("store")).expect("opens");
    for path in [folder, gguf] {
        let files = open(&path);
        let root = import(&files, &store, &mut |_| {}).expect("imported");
        let stored = Opened::stored("x", &store, Some(root)).expect("there");
        let (one, other) = (files.tokenizer().expect("read"), stored.tokenizer().expect("read"));
        assert_eq!(one.encode("the hold"), other.encode("the hold"));
        assert_eq!(one.prefix(), stored.prefix(other));
        let all = |opened: &Opened| {
            let templates = opened.templates().expect("read");
            templates.iter().map(|(n, s)| (n.to_owned(), s.to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(all(&stored), all(&files));
    }
}

#[test]
fn a_file_that_changes_or_goes_is_noticed() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(dir.path().join("store")).expect("opens");
    let path = copy("qwen2.gguf", dir.path());
    let root = import(&open(&path), &store, &mut |_| {}).expect("imported");
    let opened = || Opened::stored("x", &store, Some(root));
    let good = fs::read(&path).expect("there");
    let time = fs::metadata(&path).expect("there").modified().expect("told");
    // A flipped bit under the same length and time: the hash tells.
    let mut bad = good.clone();
    let last = bad.len() - 40;
    bad[last] ^= 1;
    fs::write(&path, &bad).expect("written");
    let file = fs::File::options().write(true).open(&path).expect("opens");
    file.set_modified(time).expect("set");
    let error =
        opened().expect("as long and old").check(&mut |_| {}).expect_err("damaged").to_string();
    assert!(error.contains("damaged"), "{error}");
    fs::write(&path, &good[..good.len() - 1]).expect("written");
    let changed = |error| matches!(error, EngineError::Store(StoreError::Changed { .. }));
    assert!(opened().err().is_some_and(changed));
    fs::remove_file(&path).expect("removed");
    assert!(opened().err().is_some_and(changed));
}

#[test]
fn a_second_import_of_the_same_bytes_leaves_the_first_whole() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(dir.path().join("store")).expect("opens");
    let path = copy("qwen2.gguf", dir.path());
    let root = import(&open(&path), &store, &mut |_| {}).expect("imported");
    let other = dir.path().join("other.gguf");
    fs::copy(&path, &other).expect("copied");
    assert_eq!(import(&open(&other), &store, &mut |_| {}).expect("imported"), root);
    fs::remove_file(&other).expect("removed");
    Opened::stored("x", &store, Some(root)).expect("there").check(&mut |_| {}).expect("whole");
    // Where the first is gone, a third import heals it.
    fs::rename(&path, &other).expect("moved");
    assert!(Opened::stored("x", &store, Some(root)).is_err());
    assert_eq!(import(&open(&other), &store, &mut |_| {}).expect("imported"), root);
    Opened::stored("x", &store, Some(root)).expect("there").check(&mut |_| {}).expect("whole");
}

#[test]
fn templates_in_any_order_give_one_root_and_too_many_are_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(dir.path().join("store")).expect("opens");
    let folder = copy("qwen3", dir.path());
    fs::write(folder.join("chat_template.jinja"), "main").expect("written");
    let more = folder.join("additional_chat_templates");
    fs::create_dir(&more).expect("made");
    let write = |n: usize| fs::write(more.join(format!("t{n}.jinja")), n.to_string());
    (0..30).rev().for_each(|n| write(n).expect("written"));
    fs::write(more.join("notes.txt"), "no template").expect("written");
    let root = import(&open(&folder), &store, &mut |_| {}).expect("imported");
    let templates = Opened::stored("x", &store, Some(root)).expect("there").templates();
    assert_eq!(templates.expect("read").iter().count(), 31);
    (30..33).for_each(|n| write(n).expect("written"));
    assert!(import(&open(&folder), &store, &mut |_| {}).is_err(), "33 of at most 32");
}

#[test]
fn a_manifest_that_lies_about_its_tensors_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(dir.path().join("store")).expect("opens");
    let root =
        import(&open(&families().join("qwen2.gguf")), &store, &mut |_| {}).expect("imported");
    let good = ModelManifest::load(&store, &root).expect("there");
    let changes: [fn(&mut ModelManifest); 10] = [
        |m| m.tensors[3].shape[0] += 1,
        |m| m.tensors[3].dtype = "Q4_K".into(),
        |m| m.tensors[3].dtype = "NONE".into(),
        |m| m.tensors[3].shape = vec![u64::MAX, u64::MAX],
        |m| drop(m.tensors.remove(3)),
        |m| m.tensors[3].data.hash = Hash::of(b"nowhere"),
        |m| m.tensors[3].data.len += 1,
        |m| m.tensors[3].dtype = m.tensors[3].dtype.to_lowercase(),
        |m| m.architecture = "nonsense".into(),
        |m| m.architecture.push(' '),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut bad = good.clone();
        change(&mut bad);
        let root = store.put(&bad.to_bytes()).expect("kept");
        let opened = Opened::stored("x", &store, Some(root));
        let refused = opened.is_err_and(|_| true)
            || Opened::stored("x", &store, Some(root))
                .is_ok_and(|opened| Plan::new(opened.weights()).is_err());
        assert!(refused, "change {n}");
    }
}
