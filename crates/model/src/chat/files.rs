//! Where templates stand in files.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::FormatError;
use crate::gguf::Value;
use crate::hf::read_file;

/// The templates of a model by name; most have one, named `default`.
#[derive(Debug, Clone, Default)]
pub struct ChatTemplates {
    sources: BTreeMap<String, String>,
}

impl ChatTemplates {
    /// The templates in the metadata of a GGUF file.
    pub fn from_gguf(metadata: &BTreeMap<String, Value>) -> ChatTemplates {
        let mut sources = BTreeMap::new();
        for (key, value) in metadata {
            let Some(rest) = key.strip_prefix("tokenizer.chat_template") else { continue };
            let name = if rest.is_empty() { Some(DEFAULT) } else { rest.strip_prefix('.') };
            if let (Some(name), Some(source)) = (name, value.as_str()) {
                sources.insert(name.to_owned(), source.to_owned());
            }
        }
        ChatTemplates { sources }
    }

    /// The templates of a Hugging Face folder: `chat_template.jinja` and those in
    /// `additional_chat_templates`, else `chat_template.json`, else those that
    /// `tokenizer_config.json` has.
    pub fn from_folder(dir: &Path) -> Result<ChatTemplates, FormatError> {
        let path = dir.join("chat_template.jinja");
        let mut sources = BTreeMap::new();
        if path.exists() {
            sources.insert(DEFAULT.to_owned(), read_text(&path)?);
            read_more(&dir.join("additional_chat_templates"), &mut sources)?;
            return Ok(ChatTemplates { sources });
        }
        for name in ["chat_template.json", "tokenizer_config.json"] {
            let path = dir.join(name);
            if path.exists() {
                let templates = ChatTemplates::from_config(&read_file(&path, MAX_FILE)?)?;
                if !templates.is_empty() {
                    return Ok(templates);
                }
            }
        }
        Ok(ChatTemplates::default())
    }

    /// The templates in a `tokenizer_config.json`: one, or several with names.
    pub fn from_config(json: &[u8]) -> Result<ChatTemplates, FormatError> {
        let config: Config = serde_json::from_slice(json)
            .map_err(|error| FormatError::new(format!("chat template: {error}")))?;
        let sources = match config.chat_template {
            None => BTreeMap::new(),
            Some(Entry::One(source)) => BTreeMap::from([(DEFAULT.to_owned(), source)]),
            Some(Entry::Many(all)) => all.into_iter().map(|one| (one.name, one.template)).collect(),
        };
        Ok(ChatTemplates { sources })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Names and sources.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sources.iter().map(|(name, source)| (name.as_str(), source.as_str()))
    }

    /// The source of the template for a conversation: with tools the one named `tool_use` if there
    /// is one, else `default`, else the only one.
    pub fn choose(&self, tools: bool) -> Option<&str> {
        let with_tools = self.sources.get("tool_use").filter(|_| tools);
        let only = self.sources.values().next().filter(|_| self.sources.len() == 1);
        with_tools.or_else(|| self.sources.get(DEFAULT)).or(only).map(String::as_str)
    }
}

#[derive(Deserialize)]
struct Config {
    chat_template: Option<Entry>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    One(String),
    Many(Vec<Named>),
}

#[derive(Deserialize)]
struct Named {
    name: String,
    template: String,
}

/// Every `NAME.jinja` of a folder that may not exist.
fn read_more(dir: &Path, sources: &mut BTreeMap<String, String>) -> Result<(), FormatError> {
    if !dir.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(dir).map_err(FormatError::io(dir))?.take(MAX_TEMPLATES) {
        let path = entry.map_err(FormatError::io(dir))?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        if let (Some(name), true) = (name, path.extension().is_some_and(|ext| ext == "jinja")) {
            sources.insert(name.to_owned(), read_text(&path)?);
        }
    }
    Ok(())
}

fn read_text(path: &Path) -> Result<String, FormatError> {
    let bytes = read_file(path, MAX_FILE)?;
    String::from_utf8(bytes)
        .map_err(|_| FormatError::new(format!("{} is not UTF-8", path.display())))
}

const DEFAULT: &str = "default";
const MAX_FILE: u64 = 1 << 25;
const MAX_TEMPLATES: usize = 64;
