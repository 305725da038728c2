//! The parts of a `tokenizer.json`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::super::cut::{Cut, Keep};
use super::{
    Budget, Normal, Part, Pattern, PatternError, TokenizerError, invalid, split_merge, unsupported,
};

#[derive(Deserialize)]
pub(in super::super) struct File {
    #[serde(default)]
    pub added_tokens: Vec<Added>,
    pub normalizer: Option<Normalizer>,
    pub pre_tokenizer: Option<PreTokenizer>,
    pub post_processor: Option<PostProcessor>,
    pub decoder: Option<Value>,
    pub model: Model,
}

#[derive(Deserialize)]
pub(in super::super) struct Added {
    pub id: u32,
    pub content: String,
    #[serde(default)]
    pub special: bool,
    #[serde(default)]
    pub lstrip: bool,
    #[serde(default)]
    pub rstrip: bool,
    #[serde(default)]
    pub single_word: bool,
    #[serde(default)]
    pub normalized: bool,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
pub(in super::super) enum Normalizer {
    Sequence {
        normalizers: Vec<Normalizer>,
    },
    #[serde(rename = "NFC")]
    Nfc,
    #[serde(rename = "NFD")]
    Nfd,
    #[serde(rename = "NFKC")]
    Nfkc,
    #[serde(rename = "NFKD")]
    Nfkd,
    Lowercase,
    Strip {
        strip_left: bool,
        strip_right: bool,
    },
    Prepend {
        prepend: String,
    },
    Replace {
        pattern: Source,
        content: String,
    },
}

impl Normalizer {
    /// Appends the changes it makes, in order.
    pub fn steps(&self, all: &mut Vec<Normal>) -> Result<(), TokenizerError> {
        all.push(match self {
            Normalizer::Sequence { normalizers } => {
                return normalizers.iter().try_for_each(|normalizer| normalizer.steps(all));
            }
            Normalizer::Nfc => Normal::Nfc,
            Normalizer::Nfd => Normal::Nfd,
            Normalizer::Nfkc => Normal::Nfkc,
            Normalizer::Nfkd => Normal::Nfkd,
            Normalizer::Lowercase => Normal::Lowercase,
            Normalizer::Strip { strip_left: left, strip_right: right } => {
                Normal::Strip { left: *left, right: *right }
            }
            Normalizer::Prepend { prepend } => Normal::Prepend(prepend.clone()),
            Normalizer::Replace { pattern: Source::String(from), content } if !from.is_empty() => {
                Normal::Replace { from: from.clone(), to: content.clone() }
            }
            Normalizer::Replace { .. } => {
                return Err(unsupported("a normalizer that replaces by an expression"));
            }
        });
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(tag = "type")]
pub(in super::super) enum PreTokenizer {
    Sequence {
        pretokenizers: Vec<PreTokenizer>,
    },
    ByteLevel {
        #[serde(default = "yes")]
        add_prefix_space: bool,
        #[serde(default = "yes")]
        use_regex: bool,
    },
    Split {
        pattern: Source,
        behavior: Behavior,
        #[serde(default)]
        invert: bool,
    },
    Digits {
        #[serde(default)]
        individual_digits: bool,
    },
    Punctuation {
        #[serde(default)]
        behavior: Behavior,
    },
    Metaspace(Metaspace),
}

#[derive(Deserialize)]
pub(in super::super) struct Metaspace {
    replacement: char,
    #[serde(default = "yes")]
    add_prefix_space: bool,
    prepend_scheme: Option<Scheme>,
    #[serde(default = "yes")]
    split: bool,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Scheme {
    First,
    Never,
    Always,
}

#[derive(Deserialize, Clone, Copy, Default)]
pub(in super::super) enum Behavior {
    #[default]
    Isolated,
    Removed,
    MergedWithPrevious,
    MergedWithNext,
    Contiguous,
}

/// What is looked for.
#[derive(Deserialize)]
pub(in super::super) enum Source {
    String(String),
    Regex(String),
}

impl PreTokenizer {
    /// The parts of sequences, in order.
    pub fn flatten(&self) -> Vec<&PreTokenizer> {
        match self {
            PreTokenizer::Sequence { pretokenizers } => {
                pretokenizers.iter().flat_map(PreTokenizer::flatten).collect()
            }
            one => vec![one],
        }
    }

    /// How one that only cuts does so.
    pub fn cut(&self, budget: &mut Budget) -> Result<Cut, PatternError> {
        match self {
            PreTokenizer::Split { pattern, behavior, invert } => {
                pattern.cut(*behavior, *invert, budget)
            }
            PreTokenizer::Digits { individual_digits: true } => Cut::isolating(r"\p{N}", budget),
            PreTokenizer::Digits { .. } => Cut::isolating(r"\p{N}+", budget),
            PreTokenizer::Punctuation { behavior } => {
                Source::Regex(r"[\p{P}$+<=>^~|`]".to_owned()).cut(*behavior, false, budget)
            }
            _ => Err("a pre-tokenizer in this place".to_owned().into()),
        }
    }

    /// Whether it cuts at ASCII only, so that spelling words in the byte alphabet changes nothing.
    pub fn is_ascii(&self) -> bool {
        match self {
            PreTokenizer::Split { pattern: Source::Regex(regex), .. } => {
                // Digits and their ranges and counts; nothing that could be negated.
                let known = |c: char| c.is_ascii_digit() || "[]-{},".contains(c);
                regex.chars().all(known)
            }
            _ => false,
        }
    }
}

impl Metaspace {
    /// Spaces become its character, and one is put in front.
    pub fn normals(&self) -> Vec<Normal> {
        let mark = self.replacement.to_string();
        let replace = Normal::Replace { from: " ".to_owned(), to: mark.clone() };
        let default = if self.add_prefix_space { Scheme::Always } else { Scheme::Never };
        let scheme = self.prepend_scheme.unwrap_or(default);
        let first = scheme == Scheme::First;
        let prepend = Normal::PrependOnce { text: mark, first };
        [replace].into_iter().chain((scheme != Scheme::Never).then_some(prepend)).collect()
    }

    /// Before each of its characters, if it cuts.
    pub fn cut(&self, budget: &mut Budget) -> Result<Option<Cut>, PatternError> {
        let mark = Source::String(self.replacement.to_string());
        self.split.then(|| mark.cut(Behavior::MergedWithNext, false, budget)).transpose()
    }
}

impl Source {
    fn cut(
        &self,
        behavior: Behavior,
        invert: bool,
        budget: &mut Budget,
    ) -> Result<Cut, PatternError> {
        let keep = match behavior {
            Behavior::Isolated => Keep::Isolated,
            Behavior::Removed => Keep::Removed,
            Behavior::MergedWithPrevious => Keep::WithPrevious,
            Behavior::MergedWithNext => Keep::WithNext,
            Behavior::Contiguous => Keep::Contiguous,
        };
        let source = match self {
            Source::Regex(regex) => regex.clone(),
            Source::String(text) => text.chars().map(escape).collect(),
        };
        // What an expression that matches everything keeps or isolates is the same.
        if matches!(keep, Keep::Isolated) && !invert {
            return Cut::isolating(&source, budget).map_err(|why| of_expression(&source, why));
        }
        let pattern = Pattern::new(&source, budget);
        let pattern = pattern.map_err(|why| of_expression(&source, why))?;
        Ok(Cut::Split { pattern, keep, invert })
    }
}

/// Says which expression is not understood.
fn of_expression(source: &str, why: PatternError) -> PatternError {
    let shown: String = source.chars().take(200).collect();
    match why {
        PatternError::Unknown(why) => format!("the expression {shown:?}: {why}").into(),
        costly => costly,
    }
}

/// A character as an expression that matches only it.
fn escape(c: char) -> String {
    if c.is_ascii_punctuation() { format!("\\{c}") } else { c.to_string() }
}

#[derive(Deserialize)]
#[serde(tag = "type")]
pub(in super::super) enum PostProcessor {
    Sequence {
        processors: Vec<PostProcessor>,
    },
    ByteLevel {},
    TemplateProcessing {
        single: Vec<Slot>,
        #[serde(default)]
        special_tokens: BTreeMap<String, Special>,
    },
}

#[derive(Deserialize)]
pub(in super::super) enum Slot {
    Sequence {},
    SpecialToken { id: String },
}

#[derive(Deserialize)]
pub(in super::super) struct Special {
    ids: Vec<u32>,
}

impl File {
    /// The ids that a template puts before and behind a text.
    pub fn template(&self, budget: &mut Budget) -> Result<(Vec<u32>, Vec<u32>), TokenizerError> {
        let mut around = (Vec::new(), Vec::new());
        let mut found = false;
        let mut all: Vec<&PostProcessor> = self.post_processor.iter().collect();
        while let Some(one) = all.pop() {
            match one {
                PostProcessor::Sequence { processors } => all.extend(processors),
                PostProcessor::ByteLevel {} => {}
                PostProcessor::TemplateProcessing { .. } if found => {
                    return Err(unsupported("more than one template"));
                }
                PostProcessor::TemplateProcessing { single, special_tokens } => {
                    found = true;
                    around = template(single, special_tokens, budget)?;
                }
            }
        }
        Ok(around)
    }
}

fn template(
    single: &[Slot],
    special: &BTreeMap<String, Special>,
    budget: &mut Budget,
) -> Result<(Vec<u32>, Vec<u32>), TokenizerError> {
    let (mut before, mut behind, mut texts) = (Vec::new(), Vec::new(), 0);
    for slot in single {
        match slot {
            Slot::Sequence {} => texts += 1,
            Slot::SpecialToken { id } => {
                let token = special.get(id);
                let token = token.ok_or_else(|| invalid(format!("template's token {id:?}")))?;
                budget.write(Part::Template, 4 * token.ids.len() as u64)?;
                if texts == 0 { &mut before } else { &mut behind }.extend(&token.ids);
            }
        }
    }
    if texts != 1 || before.len() + behind.len() > 16 {
        return Err(unsupported("a template of not one text and a few tokens"));
    }
    Ok((before, behind))
}

#[derive(Deserialize)]
pub(in super::super) struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    dropout: Option<f32>,
    pub unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    pub fuse_unk: bool,
    #[serde(default)]
    pub byte_fallback: bool,
    #[serde(default)]
    pub ignore_merges: bool,
    pub vocab: Entries,
    #[serde(default)]
    pub merges: Vec<Merge>,
}

impl Model {
    /// Refuses what is not byte-pair encoding as done here.
    pub fn check_supported(&self) -> Result<(), TokenizerError> {
        if let Some(kind) = self.kind.as_ref().filter(|kind| *kind != "BPE") {
            return Err(TokenizerError::Unsupported(format!("model {kind:?}")));
        }
        let affix = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        if affix(&self.continuing_subword_prefix) || affix(&self.end_of_word_suffix) {
            return Err(unsupported("a prefix or suffix for parts of words"));
        }
        match self.dropout {
            Some(dropout) if dropout != 0.0 => Err(unsupported("dropout")),
            _ => Ok(()),
        }
    }
}

/// Tokens and ids in the order of the file. Read directly, because a map would first sort them.
pub(in super::super) struct Entries(pub Vec<(String, u32)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Entries, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tokens with their ids")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        from.deserialize_map(All)
    }
}

/// `"left right"` or `["left", "right"]`.
pub(in super::super) enum Merge {
    Text(String),
    Pair(String, String),
}

impl Merge {
    pub fn pair(&self) -> Option<(&str, &str)> {
        match self {
            Merge::Text(text) => split_merge(text),
            Merge::Pair(left, right) => Some((left, right)),
        }
    }
}

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Merge, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = Merge;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("two tokens")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Merge, E> {
                Ok(Merge::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Merge, A::Error> {
                let two = (seq.next_element()?, seq.next_element()?);
                match (two, seq.next_element::<String>()?) {
                    ((Some(left), Some(right)), None) => Ok(Merge::Pair(left, right)),
                    _ => Err(A::Error::custom("a merge is not two tokens")),
                }
            }
        }
        from.deserialize_any(One)
    }
}

fn yes() -> bool {
    true
}
