//! Tokenizers in the metadata of GGUF files, with llama.cpp's rules.

use super::added::{AddedToken, AddedTokens};
use super::cut::named;
use super::engine::{Engine, MergeOptions, Merges, Scores, byte_tokens, split_merge};
use super::merge::NONE;
use super::normal::Normal;
use super::vocab::{Kind, Vocab};
use super::{MAX_VOCAB, Roles, SPACE, Tokenizer, TokenizerError};
use crate::{Field, Metadata};

impl Tokenizer {
    /// Reads the tokenizer that a file's metadata describes: `gpt2` (byte-level BPE, cut as
    /// `tokenizer.ggml.pre` names) or `llama` (SentencePiece with scores and bytes). Anything else
    /// is refused by name: it would encode differently.
    ///
    /// Special tokens are found as llama.cpp finds them, by the metadata and by their usual names.
    pub fn from_gguf(metadata: &Metadata<'_>) -> Result<Tokenizer, TokenizerError> {
        let file = File(metadata);
        let model = file.text("model")?.unwrap_or("none");
        let mut vocab = file.vocab()?;
        let merges = if model == "gpt2" { file.merges()? } else { Vec::new() };
        let named_ends = find_ends(&mut vocab, &|token| {
            merges.iter().any(|(left, right)| token.strip_prefix(left) == Some(*right))
        });
        match model {
            "gpt2" => file.byte_level(vocab, merges, named_ends),
            "llama" => file.by_scores(vocab, named_ends),
            "none" => Err(TokenizerError::Invalid("the file has none".to_owned())),
            other => Err(TokenizerError::Unsupported(format!(
                "the kind {other} (gpt2 and llama are read)"
            ))),
        }
    }
}

/// Reads keys below `tokenizer.ggml.`.
struct File<'a>(&'a Metadata<'a>);

impl<'a> File<'a> {
    fn byte_level(
        &self,
        vocab: Vocab,
        merges: Vec<(&str, &str)>,
        ends: Vec<u32>,
    ) -> Result<Tokenizer, TokenizerError> {
        let pre = self.text("pre")?.unwrap_or("default");
        let rules = named(pre)
            .ok_or_else(|| TokenizerError::Unsupported(format!("the pre-tokenizer {pre}")))?;
        let options = MergeOptions {
            byte_level: true,
            ignore_merges: rules.ignore_merges,
            byte_fallback: false,
            unknown: None,
            fuse_unknown: false,
        };
        let engine = Engine::Merges(Merges::new(&vocab, merges.into_iter(), options)?);
        let roles = self.roles(&vocab, ends, (None, None), (rules.add_bos, false))?;
        let mut tokenizer = Tokenizer::new(vocab, engine, roles)?;
        tokenizer.added = added(&tokenizer.vocab)?;
        tokenizer.plain = pre == "gpt-2"
            && (0..tokenizer.len() as u32)
                .all(|id| tokenizer.kind(id) != Kind::Added && tokenizer.is_spelled(id));
        tokenizer.cuts = rules.cuts;
        if self.flag("add_space_prefix")?.unwrap_or(false) {
            return Err(TokenizerError::Unsupported("a space before byte-level text".to_owned()));
        }
        Ok(tokenizer)
    }

    fn by_scores(&self, vocab: Vocab, ends: Vec<u32>) -> Result<Tokenizer, TokenizerError> {
        let scores = self.scores(vocab.len())?;
        let bytes = byte_tokens(&vocab);
        let unknown = (0..=255u8).find(|&byte| bytes[byte as usize] == NONE);
        if let Some(byte) = unknown {
            return Err(TokenizerError::Invalid(format!("no token <0x{byte:02X}>")));
        }
        let roles = self.roles(&vocab, ends, (Some(1), Some(2)), (true, false))?;
        let mut tokenizer =
            Tokenizer::new(vocab, Engine::Scores(Scores { scores, bytes, unknown: None }), roles)?;
        tokenizer.added = added(&tokenizer.vocab)?;
        let prefix = self.flag("add_space_prefix")?.unwrap_or(true);
        tokenizer.strip_spaces = usize::from(prefix);
        let escape = Normal::Replace { from: " ".to_owned(), to: SPACE.to_owned() };
        tokenizer.after =
            prefix.then(|| Normal::Prepend(" ".to_owned())).into_iter().chain([escape]).collect();
        Ok(tokenizer)
    }

    /// Tokens with what they are for; a model may have more ids, which stay unused.
    fn vocab(&self) -> Result<Vocab, TokenizerError> {
        let tokens = self.list("tokens")?.ok_or_else(|| missing("tokens"))?;
        if tokens.is_empty() || tokens.len() > MAX_VOCAB {
            return Err(TokenizerError::VocabSize(tokens.len()));
        }
        let kinds = self.list("token_type")?;
        if let Some(kinds) = kinds.filter(|kinds| kinds.len() < tokens.len()) {
            let text = format!("{} tokens, {} types", tokens.len(), kinds.len());
            return Err(TokenizerError::Invalid(text));
        }
        let mut texts = Vec::with_capacity(tokens.len());
        for (id, token) in tokens.iter().enumerate() {
            let text = token.as_str();
            let text = text.ok_or_else(|| invalid(format!("token {id} is no text")))?;
            // Empty tokens get a name that no other token has.
            texts.push(match text {
                "" => std::borrow::Cow::Owned(format!("[EMPTY_{id}]")),
                text => text.into(),
            });
        }
        let kind = |id: usize| kinds.map_or(Kind::Normal, |kinds| kind_of(kinds[id].as_u64()));
        Vocab::new(texts.iter().enumerate().map(|(id, text)| (text.as_ref(), kind(id))))
    }

    fn merges(&self) -> Result<Vec<(&'a str, &'a str)>, TokenizerError> {
        let merges = self.list("merges")?.ok_or_else(|| missing("merges"))?;
        let texts = merges.iter().enumerate().map(|(rank, merge)| (rank, merge.as_str()));
        // An export without merges has one empty text, because an empty array has no type.
        let texts = texts.filter(|(_, merge)| *merge != Some(""));
        let pairs = texts.map(|(rank, merge)| {
            let pair = merge.and_then(split_merge);
            pair.ok_or_else(|| invalid(format!("merge {rank} is not two tokens")))
        });
        pairs.collect()
    }

    fn scores(&self, tokens: usize) -> Result<Vec<f32>, TokenizerError> {
        let scores = self.list("scores")?.ok_or_else(|| missing("scores"))?;
        if scores.len() < tokens {
            return Err(invalid(format!("{tokens} tokens, {} scores", scores.len())));
        }
        let scores = scores[..tokens].iter().enumerate().map(|(id, score)| {
            let score = score.as_f32().filter(|score| !score.is_nan());
            score.ok_or_else(|| invalid(format!("the score of token {id} is no number")))
        });
        scores.collect()
    }

    /// Tokens with a task: what the file says, else the defaults for (BOS, EOS) and for whether to
    /// add them.
    fn roles(
        &self,
        vocab: &Vocab,
        mut ends: Vec<u32>,
        default: (Option<u32>, Option<u32>),
        add: (bool, bool),
    ) -> Result<Roles, TokenizerError> {
        let fits = |id: &u32| (*id as usize) < vocab.len();
        let bos = self.special("bos_token_id", vocab)?.or(default.0.filter(fits));
        let eos = self.special("eos_token_id", vocab)?.or(default.1.filter(fits));
        let eot = self.special("eot_token_id", vocab)?;
        let eot = eot.or_else(|| TURN_ENDS.iter().find_map(|name| vocab.id(name)));
        let eom = self.special("eom_token_id", vocab)?;
        ends.extend([eos, eot, eom].into_iter().flatten());
        ends.sort_unstable();
        ends.dedup();
        let eos = eos.or(eot).or(ends.first().copied());
        let eos = eos.ok_or_else(|| invalid("no token ends a text".to_owned()))?;
        let put = |flag: bool, id: Option<u32>| id.filter(|_| flag).into_iter().collect();
        let prefix = put(self.flag("add_bos_token")?.unwrap_or(add.0), bos);
        let suffix = put(self.flag("add_eos_token")?.unwrap_or(add.1), Some(eos));
        Ok(Roles { bos, eos, eot, ends, prefix, suffix, lacking_end: None })
    }

    /// The id under a key, which must exist.
    fn special(&self, key: &str, vocab: &Vocab) -> Result<Option<u32>, TokenizerError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let id = value.as_u64().ok_or_else(|| invalid(format!("{key} is no id")))?;
        match u32::try_from(id).ok().filter(|&id| (id as usize) < vocab.len()) {
            Some(id) => Ok(Some(id)),
            None => Err(invalid(format!("{key} is {id}, there are {} tokens", vocab.len()))),
        }
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, TokenizerError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| invalid(format!("{key} is no text")))
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, TokenizerError> {
        match self.get(key) {
            None => Ok(None),
            Some(Field::Flag(flag)) => Ok(Some(*flag)),
            Some(_) => Err(invalid(format!("{key} is neither true nor false"))),
        }
    }

    fn list(&self, key: &str) -> Result<Option<&'a [Field<'a>]>, TokenizerError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_list().map(Some).ok_or_else(|| invalid(format!("{key} is no list")))
    }

    fn get(&self, key: &str) -> Option<&'a Field<'a>> {
        self.0.get(&format!("tokenizer.ggml.{key}"))
    }
}

fn kind_of(number: Option<u64>) -> Kind {
    match number {
        Some(1) => Kind::Normal,
        Some(2) => Kind::Unknown,
        Some(3) => Kind::Control,
        Some(4) => Kind::Added,
        Some(6) => Kind::Byte,
        _ => Kind::Unused,
    }
}

/// Tokens that end a text by their name; they steer the model whatever the file says of them,
/// except that a token which merges make is text (as `</s>` is in Qwen's vocabulary).
pub(super) fn find_ends(vocab: &mut Vocab, is_product: &dyn Fn(&str) -> bool) -> Vec<u32> {
    let text = |name: &str, id: u32| vocab.kind(id) == Kind::Normal && is_product(name);
    let ends = ENDS.iter().filter_map(|name| vocab.id(name).filter(|&id| !text(name, id)));
    let ends: Vec<u32> = ends.collect();
    ends.iter().for_each(|&id| vocab.set_kind(id, Kind::Control));
    ends.into_iter().chain(MORE_ENDS.iter().filter_map(|name| vocab.id(name))).collect()
}

/// All tokens that are looked for in a text.
pub(super) fn added(vocab: &Vocab) -> Result<AddedTokens, TokenizerError> {
    let all = (0..vocab.len() as u32).map(|id| (id, vocab.kind(id)));
    let found = all.filter(|(_, kind)| matches!(kind, Kind::Control | Kind::Unknown | Kind::Added));
    let found = found.map(|(id, kind)| AddedToken::plain(id, vocab.token(id), kind != Kind::Added));
    AddedTokens::new(found.collect())
}

fn missing(key: &str) -> TokenizerError {
    invalid(format!("no {key}"))
}

fn invalid(text: String) -> TokenizerError {
    TokenizerError::Invalid(text)
}

/// Names of tokens that end a text.
const ENDS: [&str; 17] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<｜end▁of▁sentence｜>",
];
/// Names of tokens at which code models stop.
const MORE_ENDS: [&str; 5] =
    ["<|fim_pad|>", "<|fim_repo|>", "<|repo_name|>", "<|file_sep|>", "<fim_pad>"];
/// Names of tokens that end a turn, the most telling first.
pub(super) const TURN_ENDS: [&str; 6] =
    ["<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>"];

#[cfg(test)]
mod tests;
