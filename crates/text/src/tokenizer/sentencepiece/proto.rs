//! The protocol buffer in a `tokenizer.model`, as far as it says how text is encoded.

use super::invalid;
use crate::tokenizer::vocab::Kind;
use crate::tokenizer::{MAX_VOCAB, TokenizerError};

/// What is read of a `ModelProto`.
#[derive(Debug)]
pub(super) struct ModelProto<'a> {
    pub pieces: Vec<Piece<'a>>,
    pub trainer: Trainer<'a>,
    pub normalizer: Normalizer<'a>,
    /// Whether decoding changes the text; it is not read.
    pub denormalizes: bool,
}

/// A token.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    pub text: &'a str,
    pub score: f32,
    pub kind: Kind,
}

/// What is read of a `TrainerSpec`.
#[derive(Debug)]
pub(super) struct Trainer<'a> {
    pub kind: ModelKind,
    pub byte_fallback: bool,
    pub whitespace_as_suffix: bool,
    pub bos: &'a str,
    pub eos: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ModelKind {
    Unigram,
    Bpe,
    Word,
    Char,
}

/// A `NormalizerSpec`.
#[derive(Debug)]
pub(super) struct Normalizer<'a> {
    pub charsmap: &'a [u8],
    pub add_dummy_prefix: bool,
    pub remove_extra_whitespaces: bool,
    pub escape_whitespaces: bool,
}

impl<'a> ModelProto<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TokenizerError> {
        let mut model = ModelProto {
            pieces: Vec::new(),
            trainer: Trainer {
                kind: ModelKind::Unigram,
                byte_fallback: false,
                whitespace_as_suffix: false,
                bos: "<s>",
                eos: "</s>",
            },
            normalizer: Normalizer {
                charsmap: &[],
                add_dummy_prefix: true,
                remove_extra_whitespaces: true,
                escape_whitespaces: true,
            },
            denormalizes: false,
        };
        for field in Fields(bytes) {
            match field? {
                (1, Value::Bytes(piece)) => {
                    if model.pieces.len() == MAX_VOCAB {
                        return Err(TokenizerError::VocabSize(MAX_VOCAB + 1));
                    }
                    let piece = Piece::parse(piece, model.pieces.len())?;
                    model.pieces.push(piece);
                }
                (2, Value::Bytes(trainer)) => model.trainer.add(trainer)?,
                (3, Value::Bytes(normalizer)) => model.normalizer.add(normalizer)?,
                (5, Value::Bytes(denormalizer)) => {
                    for field in Fields(denormalizer) {
                        let charsmap = matches!(field?, (2, Value::Bytes(map)) if !map.is_empty());
                        model.denormalizes |= charsmap;
                    }
                }
                (1..=3 | 5, _) => return Err(invalid("a field is of another type")),
                _ => {}
            }
        }
        Ok(model)
    }
}

impl<'a> Piece<'a> {
    fn parse(bytes: &'a [u8], id: usize) -> Result<Self, TokenizerError> {
        let mut piece = Piece { text: "", score: 0.0, kind: Kind::Normal };
        for field in Fields(bytes) {
            match field? {
                (1, Value::Bytes(bytes)) => piece.text = text(bytes)?,
                (2, Value::Four(bytes)) => piece.score = f32::from_le_bytes(bytes),
                (3, Value::Number(number)) => piece.kind = kind(number)?,
                (1..=3, _) => return Err(invalid("a piece has a field of another type")),
                _ => {}
            }
        }
        if piece.text.is_empty() || !piece.score.is_finite() {
            return Err(invalid(&format!("piece {id} has no text, or a score that is no number")));
        }
        Ok(piece)
    }
}

impl<'a> Trainer<'a> {
    fn add(&mut self, bytes: &'a [u8]) -> Result<(), TokenizerError> {
        for field in Fields(bytes) {
            match field? {
                (3, Value::Number(number)) => {
                    self.kind = match number {
                        1 => ModelKind::Unigram,
                        2 => ModelKind::Bpe,
                        3 => ModelKind::Word,
                        4 => ModelKind::Char,
                        other => return Err(invalid(&format!("a model of type {other}"))),
                    }
                }
                (24, Value::Number(flag)) => self.whitespace_as_suffix = flag != 0,
                (35, Value::Number(flag)) => self.byte_fallback = flag != 0,
                (46, Value::Bytes(bytes)) => self.bos = text(bytes)?,
                (47, Value::Bytes(bytes)) => self.eos = text(bytes)?,
                (3 | 24 | 35 | 46 | 47, _) => {
                    return Err(invalid("the trainer's settings have a field of another type"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl<'a> Normalizer<'a> {
    fn add(&mut self, bytes: &'a [u8]) -> Result<(), TokenizerError> {
        for field in Fields(bytes) {
            match field? {
                (2, Value::Bytes(bytes)) => self.charsmap = bytes,
                (3, Value::Number(flag)) => self.add_dummy_prefix = flag != 0,
                (4, Value::Number(flag)) => self.remove_extra_whitespaces = flag != 0,
                (5, Value::Number(flag)) => self.escape_whitespaces = flag != 0,
                (2..=5, _) => return Err(invalid("the normalizer has a field of another type")),
                _ => {}
            }
        }
        Ok(())
    }
}

fn kind(number: u64) -> Result<Kind, TokenizerError> {
    Ok(match number {
        1 => Kind::Normal,
        2 => Kind::Unknown,
        3 => Kind::Control,
        4 => Kind::Added,
        5 => Kind::Unused,
        6 => Kind::Byte,
        other => return Err(invalid(&format!("a piece of type {other}"))),
    })
}

fn text(bytes: &[u8]) -> Result<&str, TokenizerError> {
    std::str::from_utf8(bytes).map_err(|_| invalid("a text that is not UTF-8"))
}

/// Number and value of each field of a message.
struct Fields<'a>(&'a [u8]);

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Four([u8; 4]),
    Eight,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), TokenizerError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or_else(|| invalid("it is cut off or damaged")))
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => Value::Number(self.number()?),
            1 => {
                self.take(8)?;
                Value::Eight
            }
            2 => {
                let length = usize::try_from(self.number()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Four(self.take(4)?.try_into().ok()?),
            _ => return None,
        };
        (tag >> 3 > 0).then_some((tag >> 3, value))
    }

    /// A number in groups of seven bits, the lowest first.
    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for group in 0..10 {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f).checked_shl(7 * group)?;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
}
