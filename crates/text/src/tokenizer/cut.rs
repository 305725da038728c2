//! Cutting text into words before it is encoded: the pre-tokenizers.

use std::ops::Range;

use super::TokenizerError;
use super::budget::{Budget, Part};
use super::pattern::{Pattern, PatternError};
use super::words::words;

/// One way of cutting; several are applied one after the other.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cut {
    /// GPT-2's, written by hand.
    Words,
    /// By an expression.
    Split { pattern: Pattern, keep: Keep, invert: bool },
}

/// What becomes of the matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Each is a piece.
    Isolated,
    /// They are dropped.
    Removed,
    /// Each belongs to the text before it.
    WithPrevious,
    /// Each belongs to the text behind it.
    WithNext,
    /// Matches that touch are one piece.
    Contiguous,
}

impl Cut {
    /// By an expression whose matches stand alone.
    pub fn isolating(source: &str, budget: &mut Budget) -> Result<Cut, PatternError> {
        if source == GPT2 || source == GPT2_WITHOUT_END {
            return Ok(Cut::Words);
        }
        let pattern = Pattern::new(source, budget)?;
        Ok(Cut::Split { pattern, keep: Keep::Isolated, invert: false })
    }

    /// Appends the pieces of `text[range]` to `out`.
    fn apply(
        &self,
        text: &str,
        range: Range<usize>,
        out: &mut Vec<Range<usize>>,
        budget: &mut Budget,
    ) -> Result<(), TokenizerError> {
        budget.step(Part::PreTokenizers, range.len() as u64 + 1)?;
        let (base, text) = (range.start, &text[range]);
        match self {
            Cut::Words => {
                let mut at = base;
                out.extend(words(text).map(|word| {
                    at += word.len();
                    at - word.len()..at
                }));
            }
            Cut::Split { pattern, keep, invert } => {
                let parts = parts(pattern, text, *invert, budget)?;
                join(parts, *keep, &mut |part| out.push(base + part.start..base + part.end));
            }
        }
        Ok(())
    }
}

/// The pieces that all cuts together make of a text, in order.
pub(super) fn cut_all(
    cuts: &[Cut],
    text: &str,
    budget: &mut Budget,
) -> Result<Vec<Range<usize>>, TokenizerError> {
    let whole = 0..text.len();
    let mut pieces = vec![whole];
    for cut in cuts {
        let mut finer = Vec::with_capacity(pieces.len());
        budget.step(Part::PreTokenizers, 1)?;
        pieces.into_iter().try_for_each(|piece| cut.apply(text, piece, &mut finer, budget))?;
        pieces = finer;
    }
    Ok(pieces)
}

/// Matches (true) and gaps (false), the other way round if `invert`; none is empty.
fn parts(
    pattern: &Pattern,
    text: &str,
    invert: bool,
    budget: &mut Budget,
) -> Result<Vec<(Range<usize>, bool)>, TokenizerError> {
    let (mut search, mut at, mut parts) = (pattern.search(budget), 0, Vec::new());
    while let Some(found) = search.next(text, at)? {
        if found.start > at {
            parts.push((at..found.start, invert));
        }
        at = found.end;
        parts.push((found, !invert));
    }
    if at < text.len() {
        parts.push((at..text.len(), invert));
    }
    Ok(parts)
}

fn join(parts: Vec<(Range<usize>, bool)>, keep: Keep, emit: &mut impl FnMut(Range<usize>)) {
    let mut open: Option<(Range<usize>, bool)> = None;
    for (part, matched) in parts {
        if keep == Keep::Removed && matched {
            continue;
        }
        let joins = open.as_ref().is_some_and(|(_, before)| match keep {
            Keep::Isolated | Keep::Removed => false,
            Keep::WithPrevious => matched && !before,
            Keep::WithNext => *before && !matched,
            Keep::Contiguous => matched && *before,
        });
        open = match open {
            Some((piece, _)) if joins => Some((piece.start..part.end, matched)),
            before => {
                before.into_iter().for_each(|(piece, _)| emit(piece));
                Some((part, matched))
            }
        };
    }
    open.into_iter().for_each(|(piece, _)| emit(piece));
}

/// The cuts that a GGUF file's `tokenizer.ggml.pre` names, and what else the name says.
pub(super) struct Named {
    pub cuts: Vec<Cut>,
    /// A word that is a token is that token, whatever the merges say.
    pub ignore_merges: bool,
    /// Whether a text begins with the BOS token if the file does not say.
    pub add_bos: bool,
}

/// Looks a name up; `None` if it is not known.
pub(super) fn named(name: &str) -> Option<Named> {
    let family = FAMILIES.iter().find(|(names, ..)| names.contains(&name))?;
    let (_, sources, ignore_merges, add_bos) = *family;
    let mut budget = Budget::for_load(0);
    let cuts = sources.iter().map(|source| Cut::isolating(source, &mut budget));
    let cuts = cuts.collect::<Result<Vec<Cut>, PatternError>>();
    let cuts = cuts.expect("the expressions below are understood, as a test checks");
    Some(Named { cuts, ignore_merges, add_bos })
}

/// The expressions, as the models' own tokenizer files spell them.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const GPT2_WITHOUT_END: &str =
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DIGIT: &str = r"\p{N}";
pub(super) const FALCON_PUNCTUATION: &str = r"[\p{P}$+<=>^~|`]+";
const THREE_DIGITS: &str = "[0-9][0-9][0-9]";
const DEEPSEEK3: [&str; 3] = [
    r"\p{N}{1,3}",
    r"[一-龥\u{3040}-ゟ゠-ヿ]+",
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##,
];
const DEEPSEEK_CODER: [&str; 5] =
    [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-\u{d7ff}]+", r"\p{N}"];
const BLOOM: &str = " ?[^(\\s|.,!?…。，、।۔،)]+";

/// Names, expressions, whether merges are ignored, whether BOS is added.
type Family = (&'static [&'static str], &'static [&'static str], bool, bool);

const FAMILIES: &[Family] = &[
    (&["default"], &[r"[\p{P}$+<=>^~|]+", GPT2, r"\p{N}+", THREE_DIGITS], false, false),
    (
        &["llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"],
        &[LLAMA3],
        true,
        true,
    ),
    (&["dbrx", "smaug-bpe", "chatglm-bpe"], &[LLAMA3], false, false),
    (&["glm4", "glm5"], &[LLAMA3], true, false),
    (&["falcon"], &[FALCON_PUNCTUATION, GPT2, THREE_DIGITS], false, false),
    (
        &["starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b"],
        &[DIGIT, GPT2],
        false,
        false,
    ),
    (
        &[
            "gpt-2",
            "phi-2",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "granite-docling",
            "exaone4",
        ],
        &[GPT2],
        false,
        false,
    ),
    (
        &[
            "qwen2",
            "deepseek-r1-qwen",
            "kormo",
            "f2llmv2",
            "megrez",
            "stablelm2",
            "hunyuan",
            "solar-open",
            "grok-2",
        ],
        &[QWEN2],
        false,
        false,
    ),
    (&["qwen35"], &[QWEN35], false, false),
    (&["tekken"], &[TEKKEN], true, true),
    (&["gpt-4o", "llama4", "kanana2", "minimax-m2"], &[GPT4O], false, false),
    (&["deepseek-v3", "hunyuan-dense", "joyai-llm"], &DEEPSEEK3, false, false),
    (&["deepseek-coder"], &DEEPSEEK_CODER, false, false),
    (&["poro-chat", "bloom", "gpt3-finnish"], &[BLOOM], false, false),
    (&["viking"], &[BLOOM, DIGIT], false, false),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces<'t>(cuts: &[Cut], text: &'t str) -> Vec<&'t str> {
        let pieces = cut_all(cuts, text, &mut Budget::for_text(text.len())).expect("cheap");
        pieces.into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn every_name_is_understood_and_loses_no_text() {
        let text = "It's 12345 años,\r\n\n  “水” ΑΒγ’S\u{3000}e\u{301} <|x|> 1½\t!? a/b/\n";
        for (names, ..) in FAMILIES {
            for name in *names {
                let cuts = named(name).expect("in the table").cuts;
                assert_eq!(pieces(&cuts, text).concat(), text, "{name}");
                // What a hostile text costs is bounded, and no real expression comes near it.
                let long = text.repeat(300) + &" ".repeat(20_000) + &"aA".repeat(10_000);
                assert!(pieces(&cuts, &long).iter().all(|piece| piece.len() < 25_000), "{name}");
            }
        }
        assert!(named("no such").is_none());
    }

    #[test]
    fn matches_stay_alone_or_join_their_neighbours() {
        let cut = |keep, invert| {
            let pattern = Pattern::new("-", &mut Budget::for_load(0)).expect("understood");
            pieces(&[Cut::Split { pattern, keep, invert }], "a-b--c")
        };
        assert_eq!(cut(Keep::Isolated, false), ["a", "-", "b", "-", "-", "c"]);
        assert_eq!(cut(Keep::Removed, false), ["a", "b", "c"]);
        assert_eq!(cut(Keep::Removed, true), ["-", "-", "-"]);
        assert_eq!(cut(Keep::WithPrevious, false), ["a-", "b-", "-", "c"]);
        assert_eq!(cut(Keep::WithNext, false), ["a", "-b", "-", "-c"]);
        assert_eq!(cut(Keep::Contiguous, false), ["a", "-", "b", "--", "c"]);
    }

    #[test]
    fn families_differ_where_they_should() {
        let cut = |name: &str| pieces(&named(name).expect("known").cuts, "It'S 12345, ok\n\n x");
        let gpt2 = ["It", "'", "S", " 12345", ",", " ok", "\n", "\n", " x"];
        assert_eq!(cut("gpt-2")[..6], gpt2[..6]);
        assert_eq!(cut("llama-bpe"), ["It", "'S", " ", "123", "45", ",", " ok", "\n\n", " x"]);
        assert_eq!(cut("qwen2")[3..8], ["1", "2", "3", "4", "5"]);
        assert_eq!(cut("smollm")[3..7], [" ", "1", "2", "3"]);
        assert_eq!(cut("falcon")[3..5], [" ", "123"]);
    }
}
