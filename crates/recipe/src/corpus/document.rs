//! What of a JSON value or a row of a table is a document: one rule for all formats.

use serde::Deserialize;

/// What a document is, for errors.
pub(super) const WANTED: &str = "each must be an object with a \"text\" string, with \"prompt\" \
                                 and \"completion\", with \"messages\", or with a \"content\" string";

/// A document, and how many parts of its messages were no text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Document {
    pub text: String,
    pub other_parts: u64,
}

/// What is read of an object or a row; anything else in it takes no memory.
#[derive(Default, Deserialize)]
pub(super) struct Fields {
    #[serde(default)]
    pub text: Value,
    #[serde(default)]
    pub prompt: Value,
    #[serde(default)]
    pub completion: Value,
    #[serde(default)]
    pub content: Value,
    pub messages: Option<Messages>,
}

/// A field, as far as it is text.
#[derive(Default)]
pub(super) enum Value {
    Text(String),
    Null,
    /// An array, as of the parts of a message.
    Parts(Document),
    /// An object, with its `text`, if it has one.
    Part(Option<String>),
    /// Something else, or nothing.
    #[default]
    Other,
}

/// The contents of messages, one below the other.
#[derive(Default)]
pub(super) struct Messages {
    document: Document,
    number: u64,
    /// The first message, from 1, without a content.
    without: Option<u64>,
}

/// Why an object or a row is no document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDocument {
    /// Nothing in it is a text.
    #[error("no \"text\" in it")]
    NoText,
    /// The message of this number, from 1, has no content that is text.
    #[error("message {0} has no \"content\" that can be read")]
    NoContent(u64),
}

impl Fields {
    /// The document: `text`, or `prompt` and `completion`, or the contents of `messages`, or
    /// `content`.
    pub fn document(self) -> Result<Document, NoDocument> {
        let plain = |text| Ok(Document { text, other_parts: 0 });
        if let Value::Text(text) = self.text {
            return plain(text);
        }
        if let (Value::Text(prompt), Value::Text(completion)) = (self.prompt, self.completion) {
            return plain(prompt + &completion);
        }
        if let Some(messages) = self.messages {
            return messages.document();
        }
        match self.content {
            Value::Text(text) => plain(text),
            _ => Err(NoDocument::NoText),
        }
    }
}

impl Messages {
    /// Puts the content of the next message below the others.
    pub fn push(&mut self, content: Value) {
        self.number += 1;
        if self.number > 1 {
            self.document.text.push_str("\n\n");
        }
        match content {
            Value::Text(text) => self.document.text.push_str(&text),
            // As in a message that only calls a tool.
            Value::Null => {}
            Value::Parts(parts) => {
                self.document.text.push_str(&parts.text);
                self.document.other_parts += parts.other_parts;
            }
            Value::Part(_) | Value::Other => {
                self.without.get_or_insert(self.number);
            }
        }
    }

    fn document(self) -> Result<Document, NoDocument> {
        match self.without {
            Some(number) => Err(NoDocument::NoContent(number)),
            None => Ok(self.document),
        }
    }
}

impl Document {
    /// Puts a part of a message behind the others.
    pub fn push(&mut self, part: Value) {
        match part {
            Value::Text(text) | Value::Part(Some(text)) => self.text.push_str(&text),
            _ => self.other_parts += 1,
        }
    }
}
