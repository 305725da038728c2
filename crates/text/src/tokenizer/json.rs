//! The `tokenizer.json` of the `tokenizers` library where it is of GPT-2's kind: the kind that is
//! learned and written here.

use std::collections::BTreeMap;

use super::hf::json;
use super::hf::parts::{Added, Entries, File, Model, PostProcessor, PreTokenizer, Slot};
use super::train::check_parts;
use super::{END_OF_TEXT, Tokenizer, TokenizerError};

impl Tokenizer {
    /// Reads a `tokenizer.json` of a byte-level BPE tokenizer with GPT-2's way of cutting words.
    /// Anything else is refused by name: it would encode differently.
    pub fn from_json(bytes: &[u8]) -> Result<Tokenizer, TokenizerError> {
        let file: File = json("json", bytes)?;
        check_supported(&file)?;
        let (tokens, special) = place(&file.model.vocab, &file.added_tokens)?;
        let merges = file.model.merges.iter().map(|merge| {
            let (left, right) = merge.pair()?;
            Some((left.to_owned(), right.to_owned()))
        });
        let merges = merges.collect::<Option<Vec<_>>>().ok_or_else(|| {
            TokenizerError::Invalid("a merge is not two tokens with a space between".to_owned())
        })?;
        Tokenizer::from_parts(tokens.into_iter().map(str::to_owned).collect(), special, merges)
    }
}

/// Whether a tokenizer that was made from a file is one that [`Tokenizer::from_json`] reads from
/// it, so that it would be written as it was read. Neither is the file read for it, nor a second
/// tokenizer made.
pub(super) fn is_plain(file: &File, tokenizer: &Tokenizer) -> bool {
    let check = || {
        check_supported(file)?;
        let (tokens, special) = place(&file.model.vocab, &file.added_tokens)?;
        let merges = file.model.merges.iter().filter_map(|merge| merge.pair());
        check_parts(&tokens, &special, merges, &tokenizer.vocab)
    };
    check().is_ok() && (0..tokenizer.len() as u32).all(|id| tokenizer.is_spelled(id))
}

/// Tokens in the order of their ids, which must be 0 to n − 1, and which of them are special.
fn place<'a>(
    vocab: &'a Entries,
    added: &'a [Added],
) -> Result<(Vec<&'a str>, Vec<bool>), TokenizerError> {
    let mut by_id: BTreeMap<u32, (&str, bool)> = BTreeMap::new();
    let all = vocab.0.iter().map(|(token, id)| (*id, token.as_str(), false));
    let added = added.iter().map(|added| (added.id, added.content.as_str(), true));
    for (id, token, special) in all.chain(added) {
        let entry = by_id.entry(id).or_insert((token, special));
        if entry.0 != token {
            return Err(TokenizerError::Invalid(format!("id {id} is {:?} and {token:?}", entry.0)));
        }
        entry.1 |= special;
    }
    let dense = by_id.keys().enumerate().all(|(i, &id)| i == id as usize);
    if !dense {
        return Err(TokenizerError::Invalid(format!("ids of {} tokens have gaps", by_id.len())));
    }
    Ok(by_id.into_values().unzip())
}

/// Refuses what would make a tokenizer encode differently from ours.
fn check_supported(file: &File) -> Result<(), TokenizerError> {
    let unsupported = |what: &str| {
        let text = format!("{what} is not supported");
        Err(TokenizerError::Invalid(text))
    };
    file.model.check_supported()?;
    let Model { byte_fallback, ignore_merges, .. } = file.model;
    if byte_fallback || ignore_merges {
        return unsupported("byte fallback or ignored merges");
    }
    if file.normalizer.is_some() {
        return unsupported("a normalizer");
    }
    match &file.pre_tokenizer {
        Some(PreTokenizer::ByteLevel { add_prefix_space: false, use_regex: true }) => {}
        Some(_) => return unsupported("the pre-tokenizer as set"),
        None => return unsupported("no pre-tokenizer"),
    }
    let known = |post: &PostProcessor| adds_nothing(post) || begins_as_we_do(post);
    if !file.post_processor.as_ref().is_none_or(known) {
        return unsupported("the post-processor as set");
    }
    match file.added_tokens.iter().find(|added| !added.special) {
        Some(added) => unsupported(&format!("added token {:?} that is not special", added.content)),
        None => Ok(()),
    }
}

/// Whether a post-processor leaves the ids of a text alone: byte-level ones change offsets only,
/// and `transformers` saves a template of just the text.
fn adds_nothing(post: &PostProcessor) -> bool {
    match post {
        PostProcessor::ByteLevel {} => true,
        PostProcessor::TemplateProcessing { single, .. } => {
            matches!(single.as_slice(), [Slot::Sequence {}])
        }
        PostProcessor::Sequence { .. } => false,
    }
}

/// Whether it puts before a text what we put there, as exports say.
fn begins_as_we_do(post: &PostProcessor) -> bool {
    let PostProcessor::TemplateProcessing { single, .. } = post else { return false };
    matches!(single.as_slice(), [Slot::SpecialToken { id }, Slot::Sequence {}] if id == END_OF_TEXT)
}
