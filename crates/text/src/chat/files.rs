//! Where templates stand in files.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::ChatError;
use crate::Metadata;

/// The templates of a model by name; most have one, named `default`.
#[derive(Debug, Clone, Default)]
pub struct ChatTemplates {
    sources: BTreeMap<String, String>,
}

impl ChatTemplates {
    /// Templates by name.
    pub fn new(sources: BTreeMap<String, String>) -> ChatTemplates {
        ChatTemplates { sources }
    }

    /// The templates in the metadata of a GGUF file.
    pub fn from_gguf(metadata: &Metadata<'_>) -> ChatTemplates {
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

    /// The templates in a `tokenizer_config.json`: one, or several with names.
    pub fn from_config(json: &[u8]) -> Result<ChatTemplates, ChatError> {
        let config: Config =
            serde_json::from_slice(json).map_err(|error| ChatError::Invalid(error.to_string()))?;
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

    /// Name and source of the template for a conversation: with tools the one named `tool_use` if
    /// there is one, else `default`, else the only one.
    pub fn choose(&self, tools: bool) -> Option<(&str, &str)> {
        let named = |name: &str| self.iter().find(|(known, _)| *known == name);
        let with_tools = if tools { named("tool_use") } else { None };
        let only = self.iter().next().filter(|_| self.sources.len() == 1);
        with_tools.or_else(|| named(DEFAULT)).or(only)
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

/// The name of a template that has none.
pub const DEFAULT: &str = "default";
