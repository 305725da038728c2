use std::fs;

use proptest::prelude::*;

use super::*;
use crate::gguf::{Value, Writer};

fn temp() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn families() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families")
}

/// One part of a split file, with a tensor of its own.
fn part(path: &Path, number: u16, count: u16, name: &str) {
    let mut writer = Writer::default();
    writer.set("split.no", Value::U16(number));
    writer.set("split.count", Value::U16(count));
    writer.tensor(name, &[2, 3], vec![f32::from(number); 6]);
    let mut out = Vec::new();
    writer.write_to(&mut out).expect("a vector");
    fs::write(path, out).expect("written");
}

fn floats(weights: &Weights, name: &str) -> Vec<f32> {
    let mut all = Vec::new();
    let tensor = weights.tensor(name).expect("there");
    weights
        .read_rows(tensor, |first, bytes| {
            assert_eq!(first * 3, all.len());
            all.extend(crate::format::f32_from_le(bytes));
        })
        .expect("readable");
    all
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("there") {
        let path = entry.expect("there").path();
        let name = path.file_name().expect("a file").to_owned();
        fs::copy(&path, to.join(name)).expect("copied");
    }
}

#[test]
fn parts_of_a_split_file_are_one_model() {
    let dir = temp();
    let path = |n: u16| dir.path().join(format!("m-{n:05}-of-00002.gguf"));
    part(&path(1), 0, 2, "a");
    part(&path(2), 1, 2, "b");
    for opened in [path(1), path(2)] {
        let weights = Weights::open(&opened).expect("whole");
        assert_eq!(weights.files().len(), 2);
        assert_eq!(floats(&weights, "a"), [0.0; 6]);
        assert_eq!(floats(&weights, "b"), [1.0; 6]);
        assert_eq!(weights.tensors()["b"].rows(), (2, 3));
        weights.check_unchanged().expect("nobody touched it");
    }
    part(&path(2), 0, 2, "b");
    assert!(Weights::open(&path(1)).is_err(), "a part that says it is another");
    part(&path(2), 1, 2, "a");
    assert!(Weights::open(&path(1)).is_err(), "a tensor in both");
    fs::remove_file(path(2)).expect("there");
    assert!(Weights::open(&path(1)).is_err(), "a part is missing");
    let lone = dir.path().join("lone.gguf");
    fs::rename(path(1), &lone).expect("there");
    let error = Weights::open(&lone).expect_err("a part without its name").to_string();
    assert!(error.contains("lone.gguf"), "{error}");
}

#[test]
fn a_sharded_folder_is_one_model_and_its_index_is_checked() {
    let dir = temp();
    copy(&families().join("llama_linear_biases"), dir.path());
    let weights = Weights::open(dir.path()).expect("whole");
    assert!(weights.files().len() > 1);
    let index = dir.path().join("model.safetensors.index.json");
    let good = fs::read_to_string(&index).expect("there");
    let first = weights.files[0].path().file_name().expect("a name").to_string_lossy();
    let second = weights.files[1].path().file_name().expect("a name").to_string_lossy();
    for (from, to) in [
        (first.as_ref(), "../../outside.safetensors"),
        (first.as_ref(), "/outside.safetensors"),
        (first.as_ref(), "missing.safetensors"),
        (first.as_ref(), second.as_ref()),
        ("model.norm.weight", "model.other.weight"),
        ("\"weight_map\"", "\"map\""),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good, "{from}");
        fs::write(&index, bad).expect("written");
        assert!(Weights::open(dir.path()).is_err(), "{from} → {to}");
    }
}

#[test]
fn a_file_that_changes_is_an_error() {
    let dir = temp();
    let path = dir.path().join("m.gguf");
    part(&path, 0, 1, "a");
    let weights = Weights::open(&path).expect("whole");
    let file = fs::OpenOptions::new().write(true).open(&path).expect("there");
    file.set_len(100).expect("shortened");
    let tensor = weights.tensor("a").expect("there");
    let error = weights.read(tensor, 0, &mut [0; 24]).expect_err("short").to_string();
    assert!(error.contains("m.gguf") && error.contains("changed"), "{error}");
    assert!(weights.check_unchanged().is_err());
}

#[test]
fn nothing_outside_a_tensor_is_read() {
    let dir = temp();
    let path = dir.path().join("m.gguf");
    part(&path, 0, 1, "a");
    let weights = Weights::open(&path).expect("whole");
    let tensor = weights.tensor("a").expect("there");
    assert!(weights.read(tensor, 0, &mut [0; 24]).is_ok());
    assert!(weights.read(tensor, 1, &mut [0; 24]).is_err());
    assert!(weights.read(tensor, u64::MAX, &mut [0; 24]).is_err());
    assert!(weights.tensor("b").is_err());
    assert!(Weights::open(dir.path()).is_err(), "a folder without a model");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn mutated_indexes_never_panic(at: usize, byte: u8) {
        let path = families().join("llama_linear_biases/model.safetensors.index.json");
        let mut bytes = fs::read(path).expect("committed");
        let n = bytes.len();
        bytes[at % n] = byte;
        let _ = parse_index(&bytes);
    }
}

#[test]
fn what_users_have_by_mistake_is_named() {
    let dir = temp();
    let says = |path: &Path, part: &str| {
        let error = Weights::open(path).expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
    };
    fs::write(dir.path().join("config.json"), "{}").expect("written");
    let part = dir.path().join("model-00001-of-00003.safetensors");
    fs::write(&part, [0; 8]).expect("written");
    says(dir.path(), "index.json is missing");
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 91739413\n";
    fs::write(dir.path().join("model.safetensors"), pointer).expect("written");
    says(dir.path(), "a Git LFS pointer");
    fs::write(dir.path().join("model.safetensors"), "").expect("written");
    says(dir.path(), "cut off: it has 0 bytes");
    let page = "<!doctype html>";
    fs::write(dir.path().join("model.safetensors"), page).expect("written");
    says(dir.path(), "a web page");
    let gguf = dir.path().join("big.gguf");
    fs::write(&gguf, b"GGUF\0\0\0\x03").expect("written");
    says(&gguf, "big-endian");
}
