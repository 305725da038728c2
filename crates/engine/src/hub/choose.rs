//! Which files of a repository make a model that can be run.

use std::collections::BTreeMap;

use model::weights::part_names;

use super::error::ChoiceError;
use super::listing::Listing;
use crate::units;

/// What is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// A model in one GGUF, or in its parts in order.
    Gguf(Vec<String>),
    /// A folder with one weight file or, if `index` is there, with those that it names.
    Folder { files: Vec<String>, index: bool },
    /// Any one file.
    Other(String),
}

/// The files of `wanted`, or of the model that the repository holds.
pub fn choose(listing: &Listing, wanted: Option<&str>) -> Result<Choice, ChoiceError> {
    match wanted {
        Some(wanted) => choose_file(listing, wanted),
        None => choose_model(listing),
    }
}

fn choose_file(listing: &Listing, wanted: &str) -> Result<Choice, ChoiceError> {
    let models = ggufs(listing)?;
    if let Some(parts) = models.values().find(|parts| parts.iter().any(|part| part == wanted)) {
        return Ok(Choice::Gguf(parts.clone()));
    }
    if listing.files.contains_key(wanted) {
        return Ok(Choice::Other(wanted.to_owned()));
    }
    let mut found = models.iter().filter(|(name, _)| has_word(name, wanted));
    match (found.next(), found.next()) {
        (Some((_, parts)), None) => Ok(Choice::Gguf(parts.clone())),
        (None, _) => {
            Err(ChoiceError::NoFile { wanted: wanted.to_owned(), there: what_is_there(listing) })
        }
        (Some(_), Some(_)) => {
            let there = names_of(&models, listing);
            Err(ChoiceError::SeveralFiles { wanted: wanted.to_owned(), there })
        }
    }
}

fn choose_model(listing: &Listing) -> Result<Choice, ChoiceError> {
    let has = |name: &str| listing.files.contains_key(name);
    if has("config.json") && (has(SINGLE) || has(INDEX)) {
        let index = !has(SINGLE);
        let mut files: Vec<String> =
            listing.files.keys().filter(|name| is_beside(name)).cloned().collect();
        files.push(if index { INDEX } else { SINGLE }.to_owned());
        return Ok(Choice::Folder { files, index });
    }
    let models = ggufs(listing)?;
    let mut usual = models.iter().filter(|(name, _)| has_word(name, USUAL));
    match (models.len(), usual.next(), usual.next()) {
        (0, ..) => Err(ChoiceError::NoModel),
        (1, ..) => Ok(Choice::Gguf(models.into_values().next().unwrap_or_default())),
        (_, Some((_, parts)), None) => Ok(Choice::Gguf(parts.clone())),
        (count, ..) => Err(ChoiceError::SeveralModels { count, there: names_of(&models, listing) }),
    }
}

/// The models in GGUF by the name of their first part. Of a model in parts all must be there.
pub fn ggufs(listing: &Listing) -> Result<BTreeMap<String, Vec<String>>, ChoiceError> {
    let mut models = BTreeMap::new();
    for name in listing.files.keys() {
        let lower = name.to_ascii_lowercase();
        let file = lower.rsplit('/').next().unwrap_or(&lower);
        if !file.ends_with(".gguf") || has_word(file, "mmproj") || has_word(file, "imatrix") {
            continue;
        }
        match part_names(name) {
            Some(parts) if parts[0] != *name => {}
            Some(parts) => {
                if let Some(part) = parts.iter().find(|part| !listing.files.contains_key(*part)) {
                    return Err(ChoiceError::NoPart(part.clone()));
                }
                models.insert(name.clone(), parts);
            }
            None => drop(models.insert(name.clone(), vec![name.clone()])),
        }
    }
    Ok(models)
}

/// Whether `word` stands in a name, with nothing of a word around it.
fn has_word(name: &str, word: &str) -> bool {
    let (name, word) = (name.to_ascii_lowercase(), word.to_ascii_lowercase());
    let of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let alone =
        |at: usize| !name[..at].ends_with(of_word) && !name[at + word.len()..].starts_with(of_word);
    !word.is_empty() && name.match_indices(&word).any(|(at, _)| alone(at))
}

/// What stands beside the weights: what `run` and `inspect` read, and the licence.
fn is_beside(name: &str) -> bool {
    let template = name.strip_prefix("additional_chat_templates/");
    let licence = ["LICENSE", "LICENCE", "USE_POLICY", "NOTICE"];
    BESIDE.contains(&name)
        || template.is_some_and(|name| !name.contains('/') && name.ends_with(".jinja"))
        || (!name.contains('/') && licence.iter().any(|word| name.starts_with(word)))
}

fn what_is_there(listing: &Listing) -> String {
    let names: Vec<&str> = listing.files.keys().map(String::as_str).take(MOST).collect();
    let more = listing.files.len().saturating_sub(names.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("there are {}{more}", names.join(", "))
}

fn names_of(models: &BTreeMap<String, Vec<String>>, listing: &Listing) -> String {
    let describe = |(name, parts): (&String, &Vec<String>)| {
        let sizes = parts.iter().map(|part| listing.files.get(part)?.bytes);
        let size = sizes.sum::<Option<u64>>();
        size.map_or(name.clone(), |size| format!("{name} ({})", units::bytes(size)))
    };
    let names: Vec<String> = models.iter().take(MOST).map(describe).collect();
    format!("there are {}", names.join(", "))
}

const SINGLE: &str = "model.safetensors";
/// The file that names the weight files of a model in several.
pub const INDEX: &str = "model.safetensors.index.json";
/// Taken of several GGUFs when none is named: what most people take.
const USUAL: &str = "q4_k_m";
/// The files beside the weights.
pub const BESIDE: [&str; 12] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "README.md",
];
/// Names listed in a hint.
const MOST: usize = 40;

#[cfg(test)]
mod tests {
    use super::super::listing::Known;
    use super::*;

    fn listing(names: &[&str]) -> Listing {
        let files = names.iter().map(|name| ((*name).to_owned(), Known::default())).collect();
        Listing { commit: "0".repeat(40), files }
    }

    fn gguf(parts: &[&str]) -> Choice {
        Choice::Gguf(parts.iter().map(|part| (*part).to_owned()).collect())
    }

    #[test]
    fn a_folder_is_what_run_needs() {
        let names = [
            ".gitattributes",
            "LICENSE.txt",
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "onnx/model.onnx",
            "pytorch_model.bin",
            "m-Q8_0.gguf",
            "runs/config.json",
            "additional_chat_templates/tool_use.jinja",
            "consolidated.safetensors",
        ];
        let Choice::Folder { files, index } = choose(&listing(&names), None).expect("a model")
        else {
            panic!("not a folder");
        };
        let want = [
            "LICENSE.txt",
            "additional_chat_templates/tool_use.jinja",
            "config.json",
            "tokenizer.json",
            "model.safetensors",
        ];
        assert_eq!((files.as_slice(), index), (want.map(str::to_owned).as_slice(), false));
        let sharded = listing(&["config.json", INDEX, "model-00001-of-00002.safetensors"]);
        let want =
            Choice::Folder { files: vec!["config.json".to_owned(), INDEX.to_owned()], index: true };
        assert_eq!(choose(&sharded, None).expect("a model"), want);
    }

    #[test]
    fn of_several_ggufs_the_usual_is_taken_or_one_is_asked_for() {
        let one = listing(&["m.gguf", "mmproj-m.gguf", "imatrix.gguf", "README.md"]);
        assert_eq!(choose(&one, None).expect("one"), gguf(&["m.gguf"]));
        let some = listing(&["m-Q8_0.gguf", "m.Q4_K_M.gguf", "m-IQ4_K_M.gguf"]);
        assert_eq!(choose(&some, None).expect("the usual"), gguf(&["m.Q4_K_M.gguf"]));
        assert_eq!(choose(&some, Some("q8_0")).expect("named"), gguf(&["m-Q8_0.gguf"]));
        assert_eq!(choose(&some, Some("m-Q8_0.gguf")).expect("named"), gguf(&["m-Q8_0.gguf"]));
        let others = listing(&["m-Q8_0.gguf", "m-F16.gguf"]);
        assert!(choose(&others, None).is_err() && choose(&others, Some("Q4_K_M")).is_err());
        let twice = listing(&["a-Q8_0.gguf", "b-Q8_0.gguf"]);
        assert!(choose(&twice, Some("Q8_0")).is_err());
        assert!(choose(&listing(&["pytorch_model.bin"]), None).is_err());
    }

    #[test]
    fn a_model_in_parts_comes_whole() {
        let parts = ["F16/m-00001-of-00002.gguf", "F16/m-00002-of-00002.gguf"];
        let all = listing(&parts);
        for wanted in [None, Some("F16"), Some(parts[0]), Some(parts[1])] {
            assert_eq!(choose(&all, wanted).expect("a model"), gguf(&parts), "{wanted:?}");
        }
        assert!(choose(&listing(&parts[..1]), None).is_err());
    }

    #[test]
    fn any_file_can_be_named() {
        let some = listing(&["config.json", "a/b.txt"]);
        assert_eq!(choose(&some, Some("a/b.txt")).expect("it"), Choice::Other("a/b.txt".into()));
        assert!(choose(&some, Some("b.txt")).is_err());
    }
}
