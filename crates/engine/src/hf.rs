//! Folders as Hugging Face `transformers` reads and writes them: tokenizer and templates, and models
//! of every family, written.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use model::families::write::{FileTensor, hugging_face};
use model::safetensors::{self, Source};
use model::{Decoder, FormatError, Parameters};
use serde_json::{Value, json};
use text::{
    Tokenizer,
    chat::{ChatTemplates, DEFAULT},
    tokenizer::HfFiles,
};

use crate::files::{read_file, write_file};
use crate::{EngineError, Lineage};

/// Reads the tokenizer of a folder: `tokenizer.json`, or `tokenizer.model` where that is alone, with
/// the files beside it.
pub fn tokenizer(dir: &Path) -> Result<Tokenizer, EngineError> {
    let read = |name: &str| read_file(&dir.join(name), MAX_JSON);
    let optional = |name: &str| match dir.join(name).exists() {
        true => read(name).map(Some),
        false => Ok(None),
    };
    let config = optional("tokenizer_config.json")?;
    let special = optional("special_tokens_map.json")?;
    let generation = optional("generation_config.json")?;
    let (model, added) = (optional("config.json")?, optional("added_tokens.json")?);
    let (json, sentencepiece) = (optional("tokenizer.json")?, optional("tokenizer.model")?);
    let files = HfFiles {
        tokenizer: json.as_deref().unwrap_or_default(),
        config: config.as_deref(),
        special: special.as_deref(),
        generation: generation.as_deref(),
        model: model.as_deref(),
        added: added.as_deref(),
    };
    match (&json, &sentencepiece) {
        (Some(_), _) => Ok(Tokenizer::from_hf(&files)?),
        (None, Some(model)) => Ok(Tokenizer::from_sentencepiece(model, &files)?),
        (None, None) => {
            let text = format!(
                "{}: no tokenizer: neither tokenizer.json nor tokenizer.model",
                dir.display()
            );
            let todo = "fetch it too; `understory pull` fetches a whole model";
            Err(FormatError::refused(text, todo).into())
        }
    }
}

/// The templates of a folder: `chat_template.jinja` and those in `additional_chat_templates`, else
/// `chat_template.json`, else those that `tokenizer_config.json` has.
pub fn templates(dir: &Path) -> Result<ChatTemplates, EngineError> {
    let path = dir.join("chat_template.jinja");
    if path.exists() {
        let mut sources = BTreeMap::from([(DEFAULT.to_owned(), read_text(&path)?)]);
        read_more(&dir.join("additional_chat_templates"), &mut sources)?;
        return Ok(ChatTemplates::new(sources));
    }
    for name in ["chat_template.json", "tokenizer_config.json"] {
        let path = dir.join(name);
        if path.exists() {
            let templates = ChatTemplates::from_config(&read_file(&path, MAX_TEMPLATE)?)?;
            if !templates.is_empty() {
                return Ok(templates);
            }
        }
    }
    Ok(ChatTemplates::default())
}

/// Every `NAME.jinja` of a folder that may not exist.
fn read_more(dir: &Path, sources: &mut BTreeMap<String, String>) -> Result<(), FormatError> {
    if !dir.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(dir).map_err(FormatError::io(dir))?.take(MAX_TEMPLATES) {
        let path = entry.map_err(FormatError::io(dir))?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        if let (Some(name), true) = (name, path.extension().is_some_and(|ext| ext == "jinja")) {
            sources.insert(name.to_owned(), read_text(&path)?);
        }
    }
    Ok(())
}

fn read_text(path: &Path) -> Result<String, FormatError> {
    let bytes = read_file(path, MAX_TEMPLATE)?;
    String::from_utf8(bytes)
        .map_err(|_| FormatError::new(format!("{} is not UTF-8", path.display())))
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
        write_file(&dir.join(name), |out| writeln!(out, "{text}"))?;
    }
    let tokenizer = tokenizer.to_hugging_face()?;
    write_file(&dir.join("tokenizer.json"), |out| out.write_all(tokenizer.as_bytes()))?;
    Ok(write_file(&dir.join("model.safetensors"), |out| write_weights(out, &tensors, lineage))?)
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
const MAX_TEMPLATES: usize = 64;

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
            let read = tokenizer(dir.path()).expect("own folder");
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
            let read = tokenizer(dir.path()).expect("own folder");
            assert!(read.ends().contains(&want) && read.ends().contains(&trained.end_of_text()));
        }
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
        let read = || templates(dir.path()).expect("good");
        assert!(read().is_empty());
        write("tokenizer_config.json", r#"{"chat_template": "config"}"#);
        assert_eq!(read().iter().next(), Some(("default", "config")));
        write("chat_template.jinja", "file");
        std::fs::create_dir(dir.path().join("additional_chat_templates")).expect("made");
        write("additional_chat_templates/tool_use.jinja", "tools");
        assert_eq!(read().iter().collect::<Vec<_>>(), [("default", "file"), ("tool_use", "tools")]);
    }
}
