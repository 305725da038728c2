//! Folders as Hugging Face `transformers` reads and writes them: tokenizer and templates of any
//! model; models as `LlamaForCausalLM`, written and read.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use model::safetensors::{self, Source};
use model::{Config, FormatError, Layout, Parameters};
use serde::Deserialize;
use serde_json::{Value, json};
use text::{
    Tokenizer,
    chat::{ChatTemplates, DEFAULT},
    tokenizer::HfFiles,
};

use crate::files::{read_file, write_file};
use crate::{EngineError, Imported, Lineage};

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
    let (model, json) = (optional("config.json")?, optional("tokenizer.json")?);
    // What is beside a tokenizer.json says the same, and need not be whole.
    let (sentencepiece, added) = match json {
        Some(_) => (None, None),
        None => (optional("tokenizer.model")?, optional("added_tokens.json")?),
    };
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
pub fn export(
    dir: &Path,
    model: &Parameters,
    tokenizer: &Tokenizer,
    lineage: &Lineage,
) -> Result<(), EngineError> {
    fs::create_dir_all(dir).map_err(FormatError::io(dir))?;
    let end = tokenizer.end_of_text();
    let end_text = tokenizer.token(end);
    let documents = [
        ("config.json", config_json(model.config(), end)),
        ("generation_config.json", json!({ "bos_token_id": end, "eos_token_id": end })),
        ("tokenizer_config.json", tokenizer_config(model.config(), tokenizer)),
        ("special_tokens_map.json", json!({ "bos_token": end_text, "eos_token": end_text })),
    ];
    for (name, document) in documents {
        let text = serde_json::to_string_pretty(&document).expect("a JSON value can be written");
        write_file(&dir.join(name), |out| writeln!(out, "{text}"))?;
    }
    let tokenizer = tokenizer.to_hugging_face()?;
    write_file(&dir.join("tokenizer.json"), |out| out.write_all(tokenizer.as_bytes()))?;
    Ok(write_file(&dir.join("model.safetensors"), |out| write_weights(out, model, lineage))?)
}

/// Reads such a folder; weights may be F32, F16 or BF16 in one `model.safetensors`. A missing
/// `tokenizer.json` is no error, an unsupported one is.
pub fn import(dir: &Path) -> Result<Imported, EngineError> {
    let config = parse_config(&read_file(&dir.join("config.json"), MAX_JSON)?)?;
    let path = dir.join("model.safetensors");
    let largest = 4 * config.parameters() as u64 + MAX_JSON;
    let params = parse_weights(&read_file(&path, largest)?, &config)?;
    let path = dir.join("tokenizer.json");
    let tokenizer = match path.exists() {
        true => {
            let mut plain = Tokenizer::from_json(&read_file(&path, MAX_JSON)?)?;
            plain.set_add_bos(tokenizer(dir)?.add_bos());
            Some(plain)
        }
        false => None,
    };
    if let Some(tokenizer) = tokenizer.as_ref().filter(|t| t.len() > config.vocab) {
        let text =
            format!("tokenizer of {} tokens, the model has {}", tokenizer.len(), config.vocab);
        return Err(FormatError::new(text).into());
    }
    Ok(Imported { config, params, tokenizer })
}

/// Reads the weights of a model of this shape from safetensors bytes. A tied model may carry a
/// copy of its head; any other tensor too many is refused.
pub fn parse_weights(bytes: &[u8], config: &Config) -> Result<Vec<f32>, FormatError> {
    let file = safetensors::parse(bytes)?;
    let layout = Layout::new(config)?;
    let mut params = Vec::with_capacity(layout.len().min(bytes.len() / 2));
    for tensor in layout.tensors() {
        params.extend(file.floats(&tensor.name, &tensor.shape)?);
    }
    let known = |name: &str| layout.tensor(name).is_some() || (config.tied && name == HEAD);
    match file.tensors().keys().find(|name| !known(name)) {
        Some(name) => Err(FormatError::new(format!("tensor {name} has no place in this model"))),
        None => Ok(params),
    }
}

/// Reads a `config.json` of a `LlamaForCausalLM`. What we would compute differently is refused.
pub fn parse_config(bytes: &[u8]) -> Result<Config, FormatError> {
    let hf: HfConfig = serde_json::from_slice(bytes)
        .map_err(|error| FormatError::new(format!("config.json: {error}")))?;
    hf.check_supported()?;
    if hf.num_attention_heads == 0 {
        return Err(FormatError::new("config.json: num_attention_heads is 0"));
    }
    let rope = hf.rope_parameters.as_ref().and_then(|rope| rope.rope_theta);
    let config = Config {
        vocab: hf.vocab_size,
        dim: hf.hidden_size,
        layers: hf.num_hidden_layers,
        heads: hf.num_attention_heads,
        kv_heads: hf.num_key_value_heads.unwrap_or(hf.num_attention_heads),
        head_dim: hf.head_dim.unwrap_or(hf.hidden_size / hf.num_attention_heads),
        ffn: hf.intermediate_size,
        norm_eps: hf.rms_norm_eps.unwrap_or(1e-6),
        rope_theta: rope.or(hf.rope_theta).unwrap_or(10_000.0),
        tied: hf.tie_word_embeddings,
        context: hf.max_position_embeddings,
    };
    config.validate()?;
    Ok(config)
}

/// `config.json`: rope parameters both as transformers 4 and as 5 wants them.
fn config_json(config: &Config, end: u32) -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab,
        "hidden_size": config.dim,
        "intermediate_size": config.ffn,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "attention_bias": false,
        "mlp_bias": false,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "max_position_embeddings": config.context,
        "rms_norm_eps": number(config.norm_eps),
        "rope_theta": number(config.rope_theta),
        "rope_parameters": { "rope_type": "default", "rope_theta": number(config.rope_theta) },
        "tie_word_embeddings": config.tied,
        "torch_dtype": "float32",
        "dtype": "float32",
        "bos_token_id": end,
        "eos_token_id": end,
        "use_cache": true,
    })
}

fn tokenizer_config(config: &Config, tokenizer: &Tokenizer) -> Value {
    let end = tokenizer.token(tokenizer.end_of_text());
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config.context,
        "bos_token": end,
        "eos_token": end,
        "add_bos_token": tokenizer.add_bos(),
        "add_eos_token": false,
        "clean_up_tokenization_spaces": false,
    })
}

/// The shortest decimal of an `f32`, so that 1e-5 does not become 0.000009999999747378752.
fn number(value: f32) -> Value {
    let shortest: f64 = value.to_string().parse().expect("a printed float can be read");
    json!(shortest)
}

fn write_weights(
    out: &mut impl Write,
    model: &Parameters,
    lineage: &Lineage,
) -> std::io::Result<()> {
    let mut metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    if !lineage.name.is_empty() {
        metadata.insert("name".to_owned(), lineage.name.clone());
    }
    for (key, value) in lineage.pairs() {
        metadata.insert(key.to_owned(), value.to_owned());
    }
    let tensors = model.layout().tensors().iter();
    let sources: Vec<Source<'_>> = tensors
        .map(|t| (t.name.as_str(), t.shape.as_slice(), &model.params()[t.range.clone()]))
        .collect();
    safetensors::write_to(out, &sources, &metadata)
}

#[derive(Deserialize)]
struct HfConfig {
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    max_position_embeddings: usize,
    rms_norm_eps: Option<f32>,
    rope_theta: Option<f32>,
    rope_parameters: Option<Rope>,
    rope_scaling: Option<Rope>,
    hidden_act: Option<String>,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
}

#[derive(Deserialize)]
struct Rope {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f32>,
}

impl HfConfig {
    fn check_supported(&self) -> Result<(), FormatError> {
        let refuse = |what: String| Err(FormatError::new(format!("config.json: {what}")));
        if self.model_type != "llama" {
            return refuse(format!("model_type {:?} is not supported", self.model_type));
        }
        if let Some(act) = self.hidden_act.as_ref().filter(|act| *act != "silu") {
            return refuse(format!("hidden_act {act:?} is not supported"));
        }
        for rope in [&self.rope_parameters, &self.rope_scaling].into_iter().flatten() {
            let kind = rope.rope_type.as_deref().unwrap_or("default");
            if kind != "default" {
                return refuse(format!("rope type {kind:?} is not supported"));
            }
        }
        if self.attention_bias || self.mlp_bias {
            return refuse("biases are not supported".to_owned());
        }
        Ok(())
    }
}

const HEAD: &str = "lm_head.weight";
const MAX_JSON: u64 = 1 << 27;
const MAX_TEMPLATE: u64 = 1 << 25;
const MAX_TEMPLATES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn model(tied: bool) -> (Parameters, Tokenizer) {
        let texts = ["the commons hold the commons", "the commons hold"];
        let tokenizer = Tokenizer::train(texts, 262).expect("enough room");
        let config = Config { tied, ..Config::tiny(tokenizer.len()) };
        let params = model::init(&config, 5).expect("valid");
        (Parameters::new(&config, params).expect("fits"), tokenizer)
    }

    #[test]
    fn a_folder_comes_back_the_same() {
        for tied in [true, false] {
            let dir = tempfile::tempdir().expect("a temporary folder");
            let (model, tokenizer) = model(tied);
            let lineage = Lineage { name: "m".into(), run: Some("r".into()), root: None };
            export(dir.path(), &model, &tokenizer, &lineage).expect("written");
            let back = import(dir.path()).expect("own folder");
            assert_eq!(&back.config, model.config());
            assert_eq!(back.params, model.params());
            assert_eq!(back.tokenizer.as_ref(), Some(&tokenizer));
            let weights = fs::read(dir.path().join("model.safetensors")).expect("there");
            let file = safetensors::parse(&weights).expect("own file");
            assert_eq!(file.metadata()["understory.run"], "r");
        }
    }

    #[test]
    fn end_tokens_are_taken_from_every_file_that_names_them() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (model, trained) = model(true);
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
    fn a_tokenizer_model_beside_a_tokenizer_json_is_left_alone() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (model, trained) = model(true);
        export(dir.path(), &model, &trained, &Lineage::default()).expect("written");
        let pointer = "version https://git-lfs.github.com/spec/v1\n";
        fs::write(dir.path().join("tokenizer.model"), pointer).expect("written");
        assert!(tokenizer(dir.path()).is_ok());
        fs::remove_file(dir.path().join("tokenizer.json")).expect("it was there");
        let error = tokenizer(dir.path()).expect_err("a pointer").to_string();
        assert!(error.contains("Git LFS pointer"), "{error}");
        fs::remove_file(dir.path().join("tokenizer.model")).expect("it was there");
        let error = tokenizer(dir.path()).expect_err("none").to_string();
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
    fn refuses_configs_it_would_compute_differently() {
        let good = config_json(&Config::tiny(300), 0);
        let parse = |value: &Value| parse_config(value.to_string().as_bytes());
        assert_eq!(parse(&good).expect("own config"), Config::tiny(300));
        let changes = [
            ("model_type", json!("mistral")),
            ("hidden_act", json!("gelu")),
            ("attention_bias", json!(true)),
            ("rope_scaling", json!({"rope_type": "llama3", "factor": 8.0})),
            ("num_attention_heads", json!(0)),
            ("hidden_size", json!(1u64 << 60)),
        ];
        for (key, value) in changes {
            let mut bad = good.clone();
            bad[key] = value;
            assert!(parse(&bad).is_err(), "{key}");
        }
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

    proptest! {
        #[test]
        fn mutated_configs_never_panic(at: usize, byte: u8) {
            let mut bytes = config_json(&Config::tiny(300), 0).to_string().into_bytes();
            let n = bytes.len();
            bytes[at % n] = byte;
            let _ = parse_config(&bytes);
        }
    }
}
