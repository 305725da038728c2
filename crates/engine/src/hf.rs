//! Folders as Hugging Face `transformers` reads and writes them: tokenizer and templates, and models
//! of every family, written.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use model::families::write::{FileTensor, hugging_face};
use model::safetensors::{self, Source};
use model::weights::SmallFiles;
use model::{Decoder, FormatError, Parameters};
use serde_json::{Value, json};
use text::{
    Tokenizer,
    chat::{ChatTemplates, DEFAULT},
    tokenizer::HfFiles,
};

use crate::files::write_file;
use crate::{EngineError, Lineage};

/// Reads the tokenizer of a folder: `tokenizer.json`, or `tokenizer.model` where that is alone, with
/// the files beside it.
pub fn tokenizer(files: &SmallFiles) -> Result<Tokenizer, EngineError> {
    let read = |name: &str| files.read(name, MAX_JSON);
    let config = read("tokenizer_config.json")?;
    let special = read("special_tokens_map.json")?;
    let generation = read("generation_config.json")?;
    let (model, json) = (read("config.json")?, read("tokenizer.json")?);
    // What is beside a tokenizer.json says the same, and need not be whole.
    let (sentencepiece, added) = match json {
        Some(_) => (None, None),
        None => (read("tokenizer.model")?, read("added_tokens.json")?),
    };
    let parts = HfFiles {
        tokenizer: json.as_deref().unwrap_or_default(),
        config: config.as_deref(),
        special: special.as_deref(),
        generation: generation.as_deref(),
        model: model.as_deref(),
        added: added.as_deref(),
    };
    match (&json, &sentencepiece) {
        (Some(_), _) => Ok(Tokenizer::from_hf(&parts)?),
        (None, Some(model)) => Ok(Tokenizer::from_sentencepiece(model, &parts)?),
        (None, None) => {
            let whole = files.describe("");
            let text = format!("{whole}: no tokenizer: neither tokenizer.json nor tokenizer.model");
            let todo = "fetch it too; `understory pull` fetches a whole model";
            Err(FormatError::refused(text, todo).into())
        }
    }
}

/// The templates of a folder: `chat_template.jinja` and those in `additional_chat_templates`, else
/// `chat_template.json`, else those that `tokenizer_config.json` has.
pub fn templates(files: &SmallFiles) -> Result<ChatTemplates, EngineError> {
    if let Some(first) = read_text(files, "chat_template.jinja")? {
        let mut sources = BTreeMap::from([(DEFAULT.to_owned(), first)]);
        for path in files.names(MORE_TEMPLATES, ".jinja", MAX_TEMPLATES)? {
            let name = path.strip_prefix(MORE_TEMPLATES).and_then(|name| name.strip_prefix('/'));
            let name = name.and_then(|name| name.strip_suffix(".jinja"));
            if let (Some(name), Some(text)) = (name, read_text(files, &path)?) {
                sources.insert(name.to_owned(), text);
            }
        }
        return Ok(ChatTemplates::new(sources));
    }
    for name in ["chat_template.json", "tokenizer_config.json"] {
        if let Some(bytes) = files.read(name, MAX_TEMPLATE)? {
            let templates = ChatTemplates::from_config(&bytes)?;
            if !templates.is_empty() {
                return Ok(templates);
            }
        }
    }
    Ok(ChatTemplates::default())
}

fn read_text(files: &SmallFiles, name: &str) -> Result<Option<String>, FormatError> {
    let Some(bytes) = files.read(name, MAX_TEMPLATE)? else { return Ok(None) };
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|_| FormatError::new(format!("{} is not UTF-8", files.describe(name))))
}

/// The small files that say what a model is, beside its weights: what an import keeps.
pub(crate) fn small_files(files: &SmallFiles) -> Result<Vec<(String, Vec<u8>)>, FormatError> {
    let mut names: Vec<String> = SMALL.map(str::to_owned).to_vec();
    names.extend(files.names(MORE_TEMPLATES, ".jinja", MAX_TEMPLATES)?);
    names.sort();
    let mut kept = Vec::new();
    for name in names {
        if let Some(bytes) = files.read(&name, MAX_JSON)? {
            kept.push((name, bytes));
        }
    }
    Ok(kept)
}

/// Writes `config.json`, `generation_config.json`, `model.safetensors` (F32), `tokenizer.json`,
/// `tokenizer_config.json` and `special_tokens_map.json` into a folder, which is made if needed.
/// The lineage stands in the safetensors metadata.
///
/// Errors: also a model that `config.json` has no place for, and a tokenizer of another kind than
/// GPT-2's.
pub fn export(
    dir: &Path,
    model: &Parameters,
    tokenizer: &Tokenizer,
    lineage: &Lineage,
) -> Result<(), EngineError> {
    write(dir, model, tokenizer, lineage, &mut |_| {})
}

/// [`export`]; `written` hears how many bytes were written since it heard last.
pub(crate) fn write(
    dir: &Path,
    model: &Parameters,
    tokenizer: &Tokenizer,
    lineage: &Lineage,
    written: &mut dyn FnMut(u64),
) -> Result<(), EngineError> {
    let (mut config, tensors) = hugging_face(model)?;
    let end = tokenizer.end_of_text();
    let end_text = tokenizer.token(end);
    config["bos_token_id"] = json!(end);
    config["eos_token_id"] = json!(end);
    fs::create_dir_all(dir).map_err(FormatError::io(dir))?;
    let documents = [
        ("config.json", config),
        ("generation_config.json", json!({ "bos_token_id": end, "eos_token_id": end })),
        ("tokenizer_config.json", tokenizer_config(model.decoder(), tokenizer)),
        ("special_tokens_map.json", json!({ "bos_token": end_text, "eos_token": end_text })),
    ];
    for (name, document) in documents {
        let text = serde_json::to_string_pretty(&document).expect("a JSON value can be written");
        write_file(&dir.join(name), written, |out| writeln!(out, "{text}"))?;
    }
    let tokenizer = tokenizer.to_hugging_face()?;
    write_file(&dir.join("tokenizer.json"), written, |out| out.write_all(tokenizer.as_bytes()))?;
    let path = dir.join("model.safetensors");
    Ok(write_file(&path, written, |out| write_weights(out, &tensors, lineage))?)
}

fn tokenizer_config(decoder: &Decoder, tokenizer: &Tokenizer) -> Value {
    let end = tokenizer.token(tokenizer.end_of_text());
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": decoder.context,
        "bos_token": end,
        "eos_token": end,
        "add_bos_token": tokenizer.add_bos(),
        "add_eos_token": false,
        "clean_up_tokenization_spaces": false,
    })
}

fn write_weights(
    out: &mut impl Write,
    tensors: &[FileTensor<'_>],
    lineage: &Lineage,
) -> std::io::Result<()> {
    let mut metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    if !lineage.name.is_empty() {
        metadata.insert("name".to_owned(), lineage.name.clone());
    }
    for (key, value) in lineage.pairs() {
        metadata.insert(key.to_owned(), value.to_owned());
    }
    let tensors = tensors.iter();
    let sources: Vec<Source<'_>> =
        tensors.map(|t| (t.name.as_str(), t.shape.as_slice(), &*t.values)).collect();
    safetensors::write_to(out, &sources, &metadata)
}

const MAX_JSON: u64 = 1 << 27;
const MAX_TEMPLATE: u64 = 1 << 25;
const MAX_TEMPLATES: usize = 32;
/// Where further chat templates lie.
const MORE_TEMPLATES: &str = "additional_chat_templates";
/// Files that say what a model is.
const SMALL: [&str; 10] = [
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
];

#[cfg(test)]
mod tests {
    use model::decoder::{Family, Sizes};
    use model::{Plan, Weights};

    use super::*;

    fn model(tied: bool, family: Family) -> (Parameters, Tokenizer) {
        let texts = ["the commons hold the commons", "the commons hold"];
        let tokenizer = Tokenizer::train(texts, 262).expect("enough room");
        let decoder = Sizes { tied, ..Sizes::tiny(tokenizer.len()) }.decoder(family);
        let params = model::init(&decoder, 5).expect("valid");
        (Parameters::new(&decoder, params).expect("fits"), tokenizer)
    }

    #[test]
    fn a_folder_of_every_family_comes_back_the_same() {
        for (tied, family) in [true, false].into_iter().flat_map(|t| Family::ALL.map(|f| (t, f))) {
            let dir = tempfile::tempdir().expect("a temporary folder");
            let (model, trained) = model(tied, family);
            let lineage = Lineage { name: "m".into(), run: Some("r".into()), root: None };
            export(dir.path(), &model, &trained, &lineage).expect("written");
            let weights = Weights::open(dir.path()).expect("own folder");
            let back = Plan::new(&weights).expect("whole").parameters().expect("floats");
            assert_eq!(back.decoder(), model.decoder());
            assert_eq!(back.values(), model.values());
            let read = tokenizer(&SmallFiles::Folder(dir.path().to_owned())).expect("own folder");
            assert_eq!(read.to_json(), trained.to_json());
            assert_eq!(read.prefix(), trained.prefix());
            let weights = fs::read(dir.path().join("model.safetensors")).expect("there");
            let file = safetensors::parse(&weights).expect("own file");
            assert_eq!(file.metadata()["understory.run"], "r");
        }
    }

    #[test]
    fn end_tokens_are_taken_from_every_file_that_names_them() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (model, trained) = model(true, Family::Llama);
        export(dir.path(), &model, &trained, &Lineage::default()).expect("written");
        let path = dir.path().join("config.json");
        let mut config: Value =
            serde_json::from_slice(&fs::read(&path).expect("there")).expect("own file");
        for (ends, want) in [(json!(7), 7), (json!([7, 9]), 9)] {
            config["eos_token_id"] = ends;
            fs::write(&path, config.to_string()).expect("written");
            let read = tokenizer(&SmallFiles::Folder(dir.path().to_owned())).expect("own folder");
            assert!(read.ends().contains(&want) && read.ends().contains(&trained.end_of_text()));
        }
    }

    #[test]
    fn a_tokenizer_model_beside_a_tokenizer_json_is_left_alone() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (model, trained) = model(true, Family::Llama);
        export(dir.path(), &model, &trained, &Lineage::default()).expect("written");
        let pointer = "version https://git-lfs.github.com/spec/v1\n";
        fs::write(dir.path().join("tokenizer.model"), pointer).expect("written");
        assert!(tokenizer(&SmallFiles::Folder(dir.path().to_owned())).is_ok());
        fs::remove_file(dir.path().join("tokenizer.json")).expect("it was there");
        let error = tokenizer(&SmallFiles::Folder(dir.path().to_owned()))
            .expect_err("a pointer")
            .to_string();
        assert!(error.contains("Git LFS pointer"), "{error}");
        fs::remove_file(dir.path().join("tokenizer.model")).expect("it was there");
        let error =
            tokenizer(&SmallFiles::Folder(dir.path().to_owned())).expect_err("none").to_string();
        assert!(error.contains("no tokenizer"), "{error}");
    }

    #[test]
    fn half_precision_weights_widen() {
        let header = r#"{"x":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(&[0x80, 0x3f, 0x80, 0xbf]);
        let file = safetensors::parse(&bytes).expect("valid");
        assert_eq!(file.floats("x", &[2]).expect("floats"), [1.0, -1.0]);
    }

    #[test]
    fn templates_of_a_folder_are_found_where_they_may_stand() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let write =
            |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("written");
        let read = || templates(&SmallFiles::Folder(dir.path().to_owned())).expect("good");
        assert!(read().is_empty());
        write("tokenizer_config.json", r#"{"chat_template": "config"}"#);
        assert_eq!(read().iter().next(), Some(("default", "config")));
        write("chat_template.jinja", "file");
        std::fs::create_dir(dir.path().join("additional_chat_templates")).expect("made");
        write("additional_chat_templates/tool_use.jinja", "tools");
        assert_eq!(read().iter().collect::<Vec<_>>(), [("default", "file"), ("tool_use", "tools")]);
    }
}
