//! Metadata as GGUF files have it, without the files: what tokenizers and templates are read from.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// Values by their keys, such as `tokenizer.ggml.tokens`.
pub type Metadata<'a> = BTreeMap<String, Field<'a>>;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Field<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// A whole number that is not negative.
    Whole(u64),
    /// A float, rounded to `f32`.
    Float(f32),
    /// True or false.
    Flag(bool),
    /// A list.
    List(Vec<Field<'a>>),
    /// Anything else.
    Other,
}

impl Field<'_> {
    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Field::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is a whole one.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Field::Whole(number) => Some(number),
            _ => None,
        }
    }

    /// The number, if it is a float.
    pub fn as_f32(&self) -> Option<f32> {
        match *self {
            Field::Float(number) => Some(number),
            _ => None,
        }
    }

    /// The elements, if it is a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Field::List(fields) => Some(fields),
            _ => None,
        }
    }
}
