//! What the files of a model say beside its tensors.

use model::gguf::Value;
use model::weights::{Origin, SmallFiles};
use std::collections::BTreeMap;

/// Names and short texts, in the order of the names; lists by their length.
pub(crate) fn of(origin: &Origin) -> Vec<(String, String)> {
    match origin {
        Origin::Gguf(metadata) => {
            metadata.iter().map(|(key, value)| (key.clone(), of_value(value))).collect()
        }
        Origin::Own(decoder) => {
            let text = serde_json::to_string(decoder).unwrap_or_default();
            vec![("architecture".to_owned(), text)]
        }
        Origin::HuggingFace { files, config, metadata } => {
            let mut all = BTreeMap::new();
            if let Ok(config) = serde_json::from_slice::<serde_json::Value>(config) {
                flatten("config", &config, &mut all);
            }
            all.extend(
                metadata.iter().map(|(key, value)| (format!("weights.{key}"), short(value))),
            );
            all.extend(card(files).into_iter().map(|(key, value)| (format!("card.{key}"), value)));
            all.into_iter().collect()
        }
    }
}

/// Facts about licence and lineage, and the names under which formats keep them.
pub const FACTS: [(&str, &[&str]); 7] = [
    ("name", &["general.name", "weights.name", "config._name_or_path"]),
    ("author", &["general.author", "general.organization"]),
    ("licence", &["general.license", "general.license.name", "card.license"]),
    ("source", &["general.source.url", "general.url", "general.source.huggingface.repository"]),
    (
        "made from",
        &["general.base_model.0.repo_url", "general.base_model.0.name", "card.base_model"],
    ),
    ("run", &["general.understory.run", "weights.understory.run"]),
    ("made as", &["general.understory.root", "weights.understory.root"]),
];

/// The value of the first of these names that is there.
pub fn find<'a>(metadata: &'a [(String, String)], names: &[&str]) -> Option<&'a str> {
    let find = |name: &&str| metadata.iter().find(|(key, _)| key == name);
    names.iter().find_map(find).map(|(_, value)| value.as_str())
}

fn of_value(value: &Value) -> String {
    match value {
        Value::U8(x) => x.to_string(),
        Value::I8(x) => x.to_string(),
        Value::U16(x) => x.to_string(),
        Value::I16(x) => x.to_string(),
        Value::U32(x) => x.to_string(),
        Value::I32(x) => x.to_string(),
        Value::F32(x) => x.to_string(),
        Value::Bool(x) => x.to_string(),
        Value::String(text) => short(text),
        Value::U64(x) => x.to_string(),
        Value::I64(x) => x.to_string(),
        Value::F64(x) => x.to_string(),
        Value::Array(values) if values.len() <= LIST => {
            values.iter().map(of_value).collect::<Vec<_>>().join(", ")
        }
        Value::Array(values) => {
            let mut hasher = blake3::Hasher::new();
            for value in values {
                hasher.update(of_whole(value).as_bytes()).update(&[0]);
            }
            let hash = hasher.finalize().to_hex();
            format!("{} values, blake3 {}…", values.len(), &hash[..12])
        }
    }
}

/// A value of a long list, not shortened.
fn of_whole(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => of_value(other),
    }
}

fn flatten(name: &str, value: &serde_json::Value, all: &mut BTreeMap<String, String>) {
    match value {
        serde_json::Value::Object(map) => {
            map.iter().for_each(|(key, value)| flatten(&format!("{name}.{key}"), value, all));
        }
        serde_json::Value::String(text) => drop(all.insert(name.to_owned(), short(text))),
        other => drop(all.insert(name.to_owned(), short(&other.to_string()))),
    }
}

/// The beginning of a text, and its hash if that is not all.
fn short(text: &str) -> String {
    if text.chars().count() <= TEXT {
        return text.to_owned();
    }
    let hash = blake3::hash(text.as_bytes()).to_hex();
    let start: String = text.chars().take(TEXT - 24).collect();
    format!("{start}… (blake3 {}…)", &hash[..12])
}

/// The plain lines of a model card's front matter: `license: apache-2.0`, and lists by their
/// items.
fn card(files: &SmallFiles) -> Vec<(String, String)> {
    let Ok(Some(bytes)) = files.read("README.md", CARD) else { return Vec::new() };
    let text = String::from_utf8_lossy(&bytes);
    let Some(rest) = text.strip_prefix("---\n") else { return Vec::new() };
    let Some((front, _)) = rest.split_once("\n---") else { return Vec::new() };
    let mut all: Vec<(String, String)> = Vec::new();
    for line in front.lines() {
        let item = line.trim_start().strip_prefix("- ");
        match (item, all.last_mut(), line.split_once(':')) {
            (Some(item), Some((_, value)), _) => {
                let comma = if value.is_empty() { "" } else { ", " };
                *value = short(&format!("{value}{comma}{}", item.trim()));
            }
            (None, _, Some((key, value))) if !key.starts_with(char::is_whitespace) => {
                let value = value.trim().trim_matches(['"', '\'']);
                all.push((key.trim().to_owned(), short(value)));
            }
            _ => {}
        }
    }
    all
}

/// Longest list shown item by item.
const LIST: usize = 16;
/// Longest text shown whole.
const TEXT: usize = 120;
/// Most bytes read of a model card.
const CARD: u64 = 1 << 22;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_card_gives_licence_and_lineage() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text =
            "---\nlicense: apache-2.0\nbase_model:\n- a/b\n- c/d\nx:\n  deep: 1\n---\n# Title\n";
        std::fs::write(folder.path().join("README.md"), text).expect("writes");
        let card = card(&SmallFiles::Folder(folder.path().to_owned()));
        assert_eq!(find(&card, &["licence", "license"]), Some("apache-2.0"));
        assert_eq!(find(&card, &["base_model"]), Some("a/b, c/d"));
        assert_eq!(find(&card, &["deep"]), None);
    }

    #[test]
    fn long_values_are_told_apart_by_their_hash() {
        let list =
            |last: u8| Value::Array((0..20).map(Value::U8).chain([Value::U8(last)]).collect());
        assert_ne!(of_value(&list(1)), of_value(&list(2)));
        assert!(of_value(&list(1)).starts_with("21 values"));
        assert_eq!(of_value(&Value::Array(vec![Value::U8(1), Value::Bool(true)])), "1, true");
        assert_ne!(short(&("a".repeat(200) + "b")), short(&"a".repeat(200)));
    }
}
