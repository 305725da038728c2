//! `run`, `tokens` and `score`: prompts from everywhere, how texts end, what is said of it, and what
//! users have by mistake.

mod common;

use common::{Said, run, say, text, understory};
use model::decoder::{Family, Sizes};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// An untrained model with a tokenizer, as a Hugging Face folder.
fn folder_model(at: &Path, context: usize) -> PathBuf {
    let (model, tokenizer) = tiny(context);
    let path = at.join("hf");
    engine::hf::export(&path, &model, &tokenizer, &engine::Lineage::default()).expect("written");
    path
}

fn gguf_model(at: &Path, name: &str) -> PathBuf {
    let (model, tokenizer) = tiny(64);
    let path = at.join(name);
    engine::gguf::export(&path, &model, &tokenizer, &engine::Lineage::default()).expect("written");
    path
}

fn tiny(context: usize) -> (model::Parameters, text::Tokenizer) {
    let words = "the soil under the old trees holds more than the trees themselves. ".repeat(20);
    let tokenizer = text::Tokenizer::train([words.as_str()], 300).expect("enough text");
    let decoder = model::Decoder { context, ..model::Decoder::tiny(tokenizer.len()) };
    let params = model::init(&decoder, 3).expect("a valid shape");
    (model::Parameters::new(&decoder, params).expect("a valid model"), tokenizer)
}

const TEMPLATE: &str = "{% for m in messages %}{{ m.role }} {{ m.content }}\n{% endfor %}";

fn with_template(model: &Path, source: &str) {
    fs::write(model.join("chat_template.jinja"), source).expect("written");
}

/// Runs with this on standard input.
fn piped(args: &[&str], input: &[u8]) -> Said {
    let mut child = understory()
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_vec();
    // A program that refuses early does not read it all.
    let writing = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("it ends");
    writing.join().expect("it writes");
    let text = |bytes| String::from_utf8(bytes).expect("it prints UTF-8");
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn object(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{}{}", said.out, said.err))
}

fn refused(said: &Said, parts: &[&str]) {
    assert_eq!(said.code, Some(2), "{}{}", said.out, said.err);
    for part in parts {
        assert!(said.err.contains(part), "no {part:?} in {}", said.err);
    }
    for debug in ["Some(", "None", "Ok(", "Err(", "String("] {
        assert!(!said.err.contains(debug), "{debug} in {}", said.err);
    }
}

#[test]
fn a_prompt_is_all_that_is_given() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let model = folder_model(dir.path(), 4096);
    let (model, file) = (text(&model), dir.path().join("prompt.txt"));
    fs::write(&file, "from a file\n").expect("writes");
    let prompt = |args: &[&str], input: &[u8]| {
        let said = piped(&[&["run", model, "--json", "-n", "1"], args].concat(), input);
        object(&said)["prompt"].as_str().expect("a text").to_owned()
    };
    assert_eq!(prompt(&["summarise:"], b"a\n\nb\n"), "summarise:\na\n\nb");
    assert_eq!(prompt(&[], "ä\n\n".as_bytes()), "ä\n");
    assert_eq!(prompt(&["said\n"], b""), "said\n");
    assert_eq!(prompt(&["--prompt-file", text(&file)], b""), "from a file");
    assert_eq!(prompt(&["x", "--prompt-file", text(&file)], b"y"), "x\nfrom a file\ny");
    let run = |args: &[&str], input: &[u8]| piped(&[&["run", model], args].concat(), input);
    refused(&run(&[], &vec![b'a'; (1 << 24) + 1]), &["16.8 MB", "hint: nothing of it was used"]);
    refused(&run(&[], b"\xff\xfea\0"), &["not UTF-8", "hint: "]);
    refused(&run(&["--prompt-file", text(dir.path())], b""), &["cannot read", "folder"]);
    refused(&run(&["--prompt-file", "/nowhere"], b""), &["cannot read /nowhere"]);
    let long = "the soil ".repeat(9000);
    refused(&run(&[], long.as_bytes()), &["the context holds 4096", "nothing was left out"]);
}

#[test]
fn the_end_is_told_with_its_reason() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let model = folder_model(dir.path(), 64);
    let model = text(&model);
    let greedy = |args: &[&str]| {
        let said = say(&[&["run", model, "the soil", "--temperature", "0"], args].concat());
        assert_eq!(said.code, Some(0), "{}", said.err);
        said
    };
    let finish = |args: &[&str]| object(&greedy(&[&["--json"], args].concat()))["finish"].clone();
    assert_eq!(finish(&["-n", "3"]), "length");
    assert_eq!(finish(&["-n", "-1"]), "context full");
    assert_eq!(finish(&["-n", "-1", "--context", "20"]), "context full");
    assert!(greedy(&["-n", "3"]).err.contains("cut off after 3 tokens"));
    assert!(greedy(&["-n", "-1"]).err.contains("the context is full"));
    let few = object(&greedy(&["--json", "-n", "-1", "--context", "20"]));
    let sum =
        few["tokens"].as_u64().expect("a count") + few["prompt_tokens"].as_u64().expect("too");
    // The last token is chosen and not read.
    assert_eq!(sum, 21);
    refused(
        &say(&["run", model, "x", "--context", "65"]),
        &["--context 65", "is 64 tokens", "hint"],
    );
    refused(&say(&["run", model, "x", "--context", "0"]), &["at least one token"]);
    // Answers have no limit of their own, texts that are continued have one.
    with_template(Path::new(model), TEMPLATE);
    assert_eq!(finish(&[]), "context full");
    let raw = object(&greedy(&["--json", "--raw", "-n", "2"]));
    assert_eq!((&raw["finish"], &raw["template"]), (&"length".into(), &Value::Null));
}

#[test]
fn stop_texts_end_an_answer_and_are_not_shown() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let model = folder_model(dir.path(), 64);
    let model = text(&model);
    let greedy = |args: &[&str]| {
        let base = ["run", model, "the soil", "--temperature", "0", "--json", "-n", "20"];
        object(&say(&[&base, args].concat()))
    };
    let whole = greedy(&[])["text"].as_str().expect("a text").to_owned();
    let middle: Vec<(usize, char)> = whole.char_indices().collect();
    // Some characters from the middle, which no token's border need respect.
    let (from, to) = (middle[middle.len() / 2].0, middle[middle.len() / 2 + 3].0);
    let stop = &whole[from..to];
    let cut = greedy(&["--stop", "never that", "--stop", stop]);
    assert_eq!(cut["text"], whole.split_once(stop).expect("it is there").0);
    assert_eq!((&cut["finish"], &cut["stop"]), (&"stop".into(), &stop.into()));
    assert!(cut["tokens"].as_u64() < Some(20));
    let said = say(&["run", model, "the soil", "--temperature", "0", "--stop", stop]);
    assert!(said.err.contains("it came to the stop text"), "{}", said.err);
    refused(&say(&["run", model, "x", "--stop", ""]), &["--stop is empty"]);
}

#[test]
fn seeds_may_be_negative_or_drawn_and_penalties_change_what_is_written() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let model = folder_model(dir.path(), 64);
    let model = text(&model);
    let run = |args: &[&str]| {
        let said = say(&[&["run", model, "the", "--json", "-n", "12"], args].concat());
        (object(&said), said.err)
    };
    let (drawn, told) = run(&["--seed", "-1"]);
    let seed = drawn["seed"].as_u64().expect("a number");
    assert!(!told.contains("[seed"), "the object has it: {told}");
    let said = say(&["run", model, "the", "-n", "12", "--seed", "-1"]);
    let seed_told =
        said.err.lines().find_map(|line| line.strip_prefix("[seed ")?.strip_suffix(']'));
    let same = say(&["run", model, "the", "-n", "12", "--seed", seed_told.expect("it is told")]);
    assert_eq!(same.out, said.out);
    assert_eq!(run(&["--seed", &seed.to_string()]).0["text"], drawn["text"]);
    assert_ne!(run(&["--seed=-1"]).0["seed"], drawn["seed"]);
    assert_eq!(run(&["--seed", "-7"]).0["seed"], u64::MAX - 6);
    let plain = run(&["--temperature", "0"]).0["text"].clone();
    for penalty in ["--repeat-penalty=50", "--frequency-penalty=90", "--presence-penalty=90"] {
        assert_ne!(run(&["--temperature", "0", penalty]).0["text"], plain, "{penalty}");
    }
    let negative = say(&["run", model, "x", "--frequency-penalty", "-1000"]);
    refused(&negative, &["frequency_penalty", "-1000"]);
    refused(&say(&["run", model, "x", "--temperature", "-1"]), &["temperature is -1"]);
}

#[test]
fn special_tokens_are_read_where_it_is_asked_for() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let model = folder_model(dir.path(), 64);
    let tokens =
        |args: &[&str]| object(&say(&[&["tokens", text(&model), "--json"], args].concat()));
    let spelled = tokens(&["a<|endoftext|>", "--bare"])["count"].as_u64().expect("a count");
    let special = tokens(&["a<|endoftext|>", "--bare", "--special"]);
    assert!(spelled > 2 && special["count"] == 2, "{special}");
    assert_eq!(special["tokens"][1]["token"], "<|endoftext|>");
    assert_eq!(special["tokens"][1]["special"], true);
    // What begins a text is not doubled.
    assert_eq!(tokens(&["<|endoftext|>a", "--special"])["count"], 2);
    let count = |args: &[&str]| {
        let said =
            say(&[&["run", text(&model), "a<|endoftext|>", "--json", "-n", "1"], args].concat());
        object(&said)["prompt_tokens"].as_u64().expect("a count")
    };
    assert_eq!((count(&[]), count(&["--special"])), (spelled + 1, 3));
    with_template(&model, TEMPLATE);
    let said = say(&["run", text(&model), "x", "--special"]);
    refused(&said, &["--special", "hint: ", "--raw"]);
    assert_eq!(count(&["--raw", "--special"]), 3);
}

#[test]
fn tokens_and_scores_agree_with_each_other() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let model = folder_model(dir.path(), 64);
    let model = text(&model);
    let said = say(&["tokens", model, "the soil ä"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.lines().any(|line| line.ends_with("\"\\xC3\"")), "{}", said.out);
    assert!(said.out.starts_with("      0  <|endoftext|>\n"), "{}", said.out);
    let piped_in = piped(&["tokens", model], "the soil ä\n".as_bytes());
    assert_eq!(piped_in.out, said.out);
    let tokens = object(&say(&["tokens", model, "the soil ä", "--json", "--bare"]));
    let score = object(&say(&["score", model, "the soil ä", "--json"]));
    assert_eq!(tokens["bytes"], 11);
    assert_eq!((&score["scored"], &score["bytes"]), (&tokens["count"], &tokens["bytes"]));
    let scored = score["tokens"].as_array().expect("a list");
    let number = |value: &Value| value.as_f64().expect("a number");
    let sum: f64 = scored.iter().map(|token| number(&token["logprob"])).sum();
    assert!((sum - number(&score["sum"])).abs() < 1e-9);
    let per_token = -sum / scored.len() as f64;
    assert!((number(&score["perplexity"]).ln() - per_token).abs() < 1e-6);
    assert!((number(&score["bits_per_byte"]) + sum / 11.0 / 2f64.ln()).abs() < 1e-9);
    for (a, b) in scored.iter().zip(tokens["tokens"].as_array().expect("a list")) {
        assert_eq!(a["id"], b["id"]);
        assert!(number(&a["logprob"]) < 0.0);
    }
    let plain = say(&["score", model, "the soil ä", "--total"]);
    let want = format!("perplexity     {:.4}", number(&score["perplexity"]));
    assert!(plain.out.contains(&want) && plain.out.lines().count() == 4, "{}", plain.out);
    // A text longer than the context is read in windows.
    let long = "the old trees hold the soil. ".repeat(40);
    let score = object(&piped(&["score", model, "--json"], long.as_bytes()));
    let count = object(&piped(&["tokens", model, "--json", "--bare"], long.as_bytes()));
    assert_eq!(score["scored"], count["count"]);
    assert!(score["scored"].as_u64() > Some(200));
    refused(&say(&["score", model, ""]), &["one token"]);
}

#[test]
fn a_folder_with_one_gguf_is_that_file() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = gguf_model(dir.path(), "a.gguf");
    fs::write(dir.path().join("mmproj-a.gguf"), "pictures").expect("writes");
    fs::write(dir.path().join("README.md"), "a card").expect("writes");
    let args = |path: &Path| ["run", text(path), "the", "-n", "4"].map(str::to_owned);
    let (one, all) =
        (run(understory().args(args(&file))), run(understory().args(args(dir.path()))));
    assert_eq!((all.code, &all.out), (Some(0), &one.out), "{}", all.err);
    assert_eq!(say(&["inspect", text(dir.path())]).code, Some(0));
    fs::copy(&file, dir.path().join("b.gguf")).expect("copies");
    for command in ["run", "inspect", "tokens"] {
        let said = say(&[command, text(dir.path())]);
        refused(&said, &["has 2 models: a.gguf, b.gguf", "hint: name one of them", "a.gguf"]);
    }
}

#[test]
fn what_users_have_by_mistake_is_said_with_what_to_do() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let whole = fs::read(gguf_model(dir.path(), "whole.gguf")).expect("written");
    let case = |name: &str, bytes: &[u8], parts: &[&str]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).expect("writes");
        refused(&say(&["run", text(&path), "x"]), &[parts, &["hint: "]].concat());
    };
    case("page.gguf", b"<!DOCTYPE html><html>", &["a web page", "fetch the file's own"]);
    case("lfs.gguf", b"version https://git-lfs.github.com/spec/v1\n", &["LFS", "git lfs pull"]);
    case("cut.gguf", &whole[..whole.len() / 2], &["cut off or damaged", "fetch it again"]);
    case("head.gguf", &whole[..100], &["cut off or damaged", "fetch it again"]);
    let mut big = whole.clone();
    big[4..8].reverse();
    case("big.gguf", &big, &["big-endian", "gguf_convert_endian"]);
    let renamed = |from: &str, to: &str| {
        let at = whole.windows(from.len()).position(|part| part == from.as_bytes()).expect("there");
        let mut bytes = whole.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    let other = renamed("llama", "mamba");
    case("other.gguf", &other, &["the architecture mamba is not supported", "Qwen 2 and 3"]);
    let mut adapter = model::gguf::Writer::default();
    for (key, value) in [("general.architecture", "llama"), ("general.type", "adapter")] {
        adapter.set(key, model::gguf::Value::String(value.to_owned()));
    }
    let mut bytes = Vec::new();
    adapter.write_to(&mut bytes).expect("memory");
    case("adapter.gguf", &bytes, &["an adapter (LoRA), not a model"]);
    let part = dir.path().join("m-00002-of-00003.gguf");
    fs::write(&part, &whole).expect("writes");
    let said = say(&["run", text(&part), "x"]);
    refused(&said, &["2 of the 3 parts", "m-00001-of-00003.gguf, m-00003-of-00003.gguf", "hint: "]);
}

#[test]
fn folders_that_lack_something_say_what() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let model = folder_model(dir.path(), 64);
    let config = model.join("config.json");
    let original = fs::read_to_string(&config).expect("written");
    let changed = |key: &str, value: Value, parts: &[&str]| {
        let mut with: Value = serde_json::from_str(&original).expect("JSON");
        with["rope_parameters"] = Value::Null;
        with[key] = value;
        fs::write(&config, with.to_string()).expect("writes");
        refused(&say(&["run", text(&model), "x"]), &[parts, &["hint: "]].concat());
    };
    changed("quantization", json!({"bits": 4}), &["quantized by MLX", "take a GGUF"]);
    changed("quantization_config", json!({"quant_method": "awq"}), &["quantized by AWQ"]);
    let weights = fs::read(model.join("model.safetensors")).expect("written");
    let packed = [("model.layers.0.mlp.up_proj.qweight", &[1][..], &[0.0][..])];
    let mut file = fs::File::create(model.join("model.safetensors")).expect("a file");
    model::safetensors::write_to(&mut file, &packed, &Default::default()).expect("written");
    changed("torch_dtype", json!("float16"), &["quantized by GPTQ or AWQ", "take a GGUF"]);
    fs::write(model.join("model.safetensors"), weights).expect("writes");
    changed("model_type", json!("bloom"), &["models of type bloom", "Gemma"]);
    changed("rope_scaling", json!("linear"), &["rope_scaling", "not an object"]);
    changed("rope_scaling", json!({"factor": 4.0}), &["no rope_type"]);
    changed("rope_scaling", json!({"type": "linear"}), &["no factor"]);
    changed("rope_scaling", json!({"type": "yarn"}), &["no factor"]);
    changed("rope_scaling", json!({"type": "linear", "factor": -2.0}), &["out of range", "-2"]);
    changed("eos_token_id", json!([0, 99_999]), &["eos_token_id is 99999"]);
    fs::write(&config, &original).expect("writes");
    let tokenizer = fs::read(model.join("tokenizer.json")).expect("written");
    fs::remove_file(model.join("tokenizer.json")).expect("it was there");
    refused(&say(&["run", text(&model), "x"]), &["neither tokenizer.json nor", "hint: "]);
    let said = say(&["inspect", text(&model)]);
    assert!(said.out.contains("missing       a tokenizer"), "{}", said.out);
    let inspected = object(&say(&["inspect", text(&model), "--json"]));
    assert!(inspected["missing"].to_string().contains("a tokenizer"), "{inspected}");
    fs::write(model.join("tokenizer.json"), tokenizer).expect("writes");
    fs::remove_file(model.join("model.safetensors")).expect("it was there");
    refused(&say(&["run", text(&model), "x"]), &["no weights", "hint: "]);
    let part = model.join("model-00001-of-00002.safetensors");
    fs::write(&part, "").expect("writes");
    refused(&say(&["run", text(&model), "x"]), &["index.json is missing", "hint: "]);
    let index = json!({"weight_map": {
        "a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}});
    fs::write(model.join("model.safetensors.index.json"), index.to_string()).expect("writes");
    let missing = ["1 of the 2 parts", "model-00002-of-00002.safetensors", "hint: "];
    refused(&say(&["run", text(&model), "x"]), &missing);
    let adapter = dir.path().join("adapter");
    fs::create_dir(&adapter).expect("made");
    fs::write(adapter.join("adapter_config.json"), "{}").expect("writes");
    refused(&say(&["run", text(&adapter), "x"]), &["an adapter (LoRA), not a model", "hint: "]);
}

#[test]
fn a_pointer_in_the_place_of_weights_and_weights_that_are_no_numbers_are_named() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let model = folder_model(dir.path(), 64);
    let file = model.join("model.safetensors");
    let whole = fs::read(&file).expect("written");
    fs::write(&file, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
        .expect("writes");
    refused(&say(&["run", text(&model), "x"]), &["a Git LFS pointer", "hint: `git lfs pull`"]);
    fs::write(&file, "<!DOCTYPE html><html>").expect("writes");
    refused(&say(&["run", text(&model), "x"]), &["a web page", "hint: "]);
    let numbers = ["infinite or no number", "tensor ", "hint: nothing of use"];
    for odd in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
        let mut bytes = whole.clone();
        let last = bytes.len() - 4;
        bytes[last..].copy_from_slice(&odd.to_le_bytes());
        fs::write(&file, bytes).expect("writes");
        refused(&say(&["run", text(&model), "x"]), &numbers);
    }
    let gguf = gguf_model(dir.path(), "inf.gguf");
    let mut bytes = fs::read(&gguf).expect("written");
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&f32::INFINITY.to_le_bytes());
    fs::write(&gguf, bytes).expect("writes");
    refused(&say(&["run", text(&gguf), "x"]), &numbers);
}

#[test]
fn a_tokenizer_may_have_more_tokens_than_the_model_and_fewer() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let model = folder_model(dir.path(), 64);
    let args = ["run", text(&model), "the soil", "-n", "4", "--temperature", "0"];
    let before = say(&args);
    assert_eq!(before.code, Some(0), "{}", before.err);
    let path = model.join("tokenizer.json");
    let original = fs::read_to_string(&path).expect("written");
    let mut tokenizer: Value = serde_json::from_str(&original).expect("JSON");
    let vocab = tokenizer["model"]["vocab"].as_object().expect("tokens").len();
    let added = tokenizer["added_tokens"].as_array_mut().expect("a list");
    let ids = added.iter().filter_map(|token| token["id"].as_u64());
    let next = ids.chain([vocab as u64 - 1]).max().expect("there are some") + 1;
    added.push(json!({"id": next, "content": "<|pad|>", "special": true, "single_word": false,
        "lstrip": false, "rstrip": false, "normalized": false}));
    fs::write(&path, tokenizer.to_string()).expect("writes");
    let more = say(&args);
    assert_eq!((more.code, &more.out), (Some(0), &before.out), "{}", more.err);
    assert!(more.err.contains("the tokenizer has 1 token that the model has not"), "{}", more.err);
    // A model with rows to spare, as most have.
    fs::write(&path, original).expect("writes");
    let (wide, tokenizer) = tiny_of(7);
    let spare = dir.path().join("spare");
    engine::hf::export(&spare, &wide, &tokenizer, &engine::Lineage::default()).expect("written");
    let fewer = say(&["run", text(&spare), "the soil", "-n", "4", "--temperature", "0"]);
    assert_eq!(fewer.code, Some(0), "{}", fewer.err);
}

/// A model of so many tokens more than its tokenizer has.
fn tiny_of(spare: usize) -> (model::Parameters, text::Tokenizer) {
    let (_, tokenizer) = tiny(64);
    let decoder = model::Decoder { context: 64, ..model::Decoder::tiny(tokenizer.len() + spare) };
    let params = model::init(&decoder, 3).expect("a valid shape");
    (model::Parameters::new(&decoder, params).expect("a valid model"), tokenizer)
}

#[test]
fn a_template_is_chosen_by_name_and_told() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let model = folder_model(dir.path(), 64);
    let all = json!({"chat_template": [
        {"name": "default", "template": TEMPLATE},
        {"name": "tool_use", "template": "{{ 'T %s' % messages[0].content }}"}]});
    fs::write(model.join("tokenizer_config.json"), all.to_string()).expect("writes");
    let base = ["run", text(&model), "hi", "-n", "1", "--json"];
    let used = |args: &[&str]| {
        let said = say(&[&base, args].concat());
        assert_eq!(said.code, Some(0), "{}", said.err);
        (object(&said)["template"].clone(), said.err)
    };
    let (name, told) = used(&[]);
    assert_eq!(name, "default");
    let note = |chosen: &str| format!(r#"{{"note":{{"templates":{{"chosen":"{chosen}","all":"#);
    assert!(told.contains(&note("default")), "{told}");
    let (name, told) = used(&["--template-name", "tool_use"]);
    assert!(name == "tool_use" && told.contains(&note("tool_use")), "{told}");
    let words = say(&base[..5]).err;
    assert!(words.contains("chat template default of default, tool_use"), "{words}");
    let said = say(&[&base[..], &["--template-name", "rag"]].concat());
    refused(&said, &["no chat template rag", "hint: the model has default, tool_use"]);
}

#[test]
fn a_folder_with_a_sentencepiece_model_alone_runs() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let golden = include_str!("../../text/tests/golden/sentencepiece.json");
    let golden: Value = serde_json::from_str(golden).expect("the oracle wrote it");
    let hex = golden["models"]["bpe_bytes"].as_str().expect("digits").as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a digit") as u8;
    let bytes: Vec<u8> = hex.chunks(2).map(|two| digit(two[0]) << 4 | digit(two[1])).collect();
    let (_, tokenizer) = tiny(64);
    let decoder = model::Decoder::tiny(700);
    let params = model::init(&decoder, 3).expect("a valid shape");
    let model = model::Parameters::new(&decoder, params).expect("a valid model");
    let path = dir.path().join("hf");
    engine::hf::export(&path, &model, &tokenizer, &engine::Lineage::default()).expect("written");
    for name in ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"] {
        fs::remove_file(path.join(name)).expect("it was there");
    }
    fs::write(path.join("tokenizer.model"), bytes).expect("writes");
    let said = say(&["run", text(&path), "the commons", "-n", "3", "--json"]);
    assert_eq!(object(&said)["tokens"], 3, "{}", said.err);
    let tokens = object(&say(&["tokens", text(&path), "the commons", "--json"]));
    assert_eq!(tokens["tokens"][0]["token"], "<s>");
    assert_eq!(tokens["tokens"][1]["piece"], " the");
    let inspected = say(&["inspect", text(&path)]);
    assert!(inspected.out.contains("SentencePiece, by scores"), "{}", inspected.out);
}

/// A process on a terminal of its own.
struct Terminal {
    child: Child,
    to: fs::File,
    err: BufReader<std::process::ChildStderr>,
}

impl Terminal {
    fn start(command: &mut Command) -> Self {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let to = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&to).expect("granted");
        unlockpt(&to).expect("unlocked");
        let name = ptsname(&to, Vec::new()).expect("it has a name");
        let name = name.to_str().expect("plain").to_owned();
        let input = fs::OpenOptions::new().read(true).write(true).open(name).expect("its end");
        let command = command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let err = BufReader::new(child.stderr.take().expect("it is piped"));
        Self { child, to: fs::File::from(to), err }
    }

    fn types(&mut self, text: &str) {
        self.to.write_all(text.as_bytes()).expect("it reads");
    }

    /// Reads what the program says until `what`.
    fn hears(&mut self, what: &str) -> String {
        let mut said = Vec::new();
        while !String::from_utf8_lossy(&said).ends_with(what) {
            let mut byte = [0];
            let read = self.err.read(&mut byte).expect("it speaks");
            assert!(read > 0, "never {what:?}: {}", String::from_utf8_lossy(&said));
            said.push(byte[0]);
        }
        String::from_utf8_lossy(&said).into_owned()
    }

    fn interrupt(&self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::INT).expect("it is there");
    }

    fn ends(mut self) -> Option<i32> {
        let mut out = self.child.stdout.take().expect("it is piped");
        drop(std::io::copy(&mut out, &mut std::io::sink()));
        self.child.wait().expect("it ends").code()
    }
}

#[test]
fn a_conversation_takes_pasted_lines_as_one_message_and_survives_ctrl_c() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let model = folder_model(dir.path(), 512);
    // The answer to a message of three lines is the template's refusal, which names them.
    with_template(
        &model,
        "{% for m in messages %}{% if 'three' in m.content %}\
        {{ raise_exception('lines:' ~ m.content.count('\n')) }}{% endif %}{{ m.content }}{% endfor %}",
    );
    let args = ["run", text(&model), "-n", "2", "--temperature", "0"];
    let mut terminal = Terminal::start(understory().args(args));
    terminal.hears("> ");
    terminal.types("one\ntwo\nthree");
    terminal.hears("[2 lines; Enter sends them]");
    terminal.types("\n");
    terminal.hears("refuses this conversation: lines:2");
    terminal.hears("> ");
    terminal.interrupt();
    terminal.hears("ends the conversation]\n> ");
    terminal.types("hello\n");
    let said = terminal.hears("]\n> ");
    assert!(said.contains("cut off after 2 tokens"), "{said}");
    terminal.types(&format!("{}\n", "x".repeat(5000)));
    let said = terminal.hears("> ");
    assert!(!cfg!(target_os = "linux") || said.contains("its end may be missing"), "{said}");
    terminal.types("/edit\n");
    terminal.hears("the text to say instead");
    terminal.types("/quit\n");
    assert_eq!(terminal.ends(), Some(0));
}

/// A model whose most likely text does not end for a long time.
fn endless(at: &Path) -> PathBuf {
    let (_, tokenizer) = tiny(64);
    let sizes = Sizes { context: 100_000, layers: 8, ..Sizes::tiny(tokenizer.len()) };
    let decoder = sizes.decoder(Family::Llama);
    let params = model::init(&decoder, 3).expect("a valid shape");
    let model = model::Parameters::new(&decoder, params).expect("a valid model");
    let path = at.join("hf");
    engine::hf::export(&path, &model, &tokenizer, &engine::Lineage::default()).expect("written");
    path
}

#[test]
fn ctrl_c_ends_an_answer_and_not_the_conversation() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let model = endless(dir.path());
    with_template(&model, "{{ messages[0].content }}");
    let args = ["run", text(&model), "--temperature", "0"];
    let mut terminal = Terminal::start(understory().args(args));
    // Nobody reads the answer; it must not wait for that.
    let mut out = terminal.child.stdout.take().expect("it is piped");
    let reading = std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    terminal.hears("> ");
    for _ in 0..2 {
        terminal.types("go on\n");
        std::thread::sleep(std::time::Duration::from_millis(500));
        terminal.interrupt();
        let said = terminal.hears("]\n> ");
        assert!(said.contains("used; cancelled]"), "{said}");
    }
    terminal.types("/quit\n");
    assert_eq!(terminal.child.wait().expect("it ends").code(), Some(0));
    drop(reading.join().expect("it reads"));
}

#[test]
fn ctrl_c_ends_a_text_and_says_so() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let model = endless(dir.path());
    let args = ["run", text(&model), "the", "--temperature", "0", "-n", "-1", "--json"];
    let child = understory().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.expect("the program starts");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).expect("it is there");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130));
    let object: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(object["finish"], "cancelled");
}
