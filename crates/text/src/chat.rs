//! Chat templates: from the messages of a conversation to the text that a model continues.
//!
//! Models bring Jinja templates that were written for Python; `minijinja` runs them, with the
//! functions, filters and methods that `transformers` offers. What a template may cost is bounded,
//! for it comes from a stranger: [`FUEL`] pays for steps and for every byte made on the way. The
//! engine does not see all costs before they arise, so a program renders a stranger's template in
//! a process with bounds of its own: that is what a [`Job`] is for.
//!
//! ```
//! use text::chat::{ChatTemplate, Conversation, message};
//!
//! let source = "{% for m in messages %}[{{ m.role }}] {{ m.content | trim }}\n{% endfor %}";
//! let template = ChatTemplate::new(source)?;
//! let messages = [message("user", " How are you? ")];
//! assert_eq!(template.render(&Conversation::new(&messages))?, "[user] How are you?\n");
//! # Ok::<(), text::chat::ChatError>(())
//! ```

mod concat;
mod cycler;
mod expression;
mod files;
mod filters;
mod floats;
mod job;
mod methods;
mod percent;
mod texts;
mod time;

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Value};
use serde::{Deserialize, Serialize};

pub use files::{ChatTemplates, DEFAULT};
pub use job::Job;

/// JSON whose keys keep their order, as templates print them. It can be deserialized, so that
/// messages and tools of a request arrive as they were sent.
pub type Json = Value;

/// A template, compiled.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    source: String,
    environment: Environment<'static>,
}

/// What a template is given.
#[derive(Debug, Clone)]
pub struct Conversation<'a> {
    /// Messages with `role` and `content` and whatever else the template knows.
    pub messages: &'a [Json],
    /// Tools that the model may call, as JSON schemas.
    pub tools: Option<&'a [Json]>,
    /// Whether the text ends where the model's answer begins.
    pub add_generation_prompt: bool,
    /// Texts of special tokens by their names: `bos_token`, `eos_token` …
    pub tokens: BTreeMap<&'a str, &'a str>,
    /// Further variables, such as `enable_thinking`.
    pub extra: BTreeMap<&'a str, Json>,
    /// Seconds since 1970 in the time zone of the reader, for templates that tell the date. It is
    /// an input so that the same conversation gives the same text.
    pub now: u64,
}

/// Why there is no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ChatError {
    /// The template is not one, or too long.
    #[error("chat template: {0}")]
    Invalid(String),
    /// The template refused the conversation; its own words.
    #[error("the chat template refuses this conversation: {0}")]
    Refused(String),
    /// The template failed.
    #[error("chat template: {0}")]
    Failed(String),
    /// The template took more than it may.
    #[error("chat template: took more than {FUEL} steps")]
    TooMuch,
}

impl ChatTemplate {
    /// Compiles a template.
    pub fn new(source: &str) -> Result<ChatTemplate, ChatError> {
        if source.len() > MAX_SOURCE {
            let text = format!("{} bytes, at most {MAX_SOURCE} are read", source.len());
            return Err(ChatError::Invalid(text));
        }
        let mut environment = Environment::new();
        environment.set_syntax(syntax());
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(MAX_RECURSION);
        filters::add(&mut environment);
        let plain = concat::of_texts(&percent::as_filter(&without_generation_tags(source)));
        environment
            .add_template_owned(NAME, plain)
            .map_err(|error| ChatError::Invalid(describe(&error)))?;
        Ok(ChatTemplate { source: source.to_owned(), environment })
    }

    /// The template as it was given.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text of a conversation. It says all there is to say, special tokens included: encode it
    /// with [`crate::Tokenizer::encode_prompt`], which does not double a BOS.
    pub fn render(&self, conversation: &Conversation<'_>) -> Result<String, ChatError> {
        let template = self.environment.get_template(NAME);
        let template = template.map_err(|error| ChatError::Invalid(describe(&error)))?;
        template.render(context(conversation)).map_err(|error| failed(&error))
    }
}

impl<'a> Conversation<'a> {
    /// A conversation that the model is to continue, without tools, on the first day of 1970.
    pub fn new(messages: &'a [Json]) -> Conversation<'a> {
        Conversation {
            messages,
            tools: None,
            add_generation_prompt: true,
            tokens: BTreeMap::new(),
            extra: BTreeMap::new(),
            now: 0,
        }
    }

    /// With the special tokens of a tokenizer.
    #[must_use]
    pub fn with_tokens(mut self, tokenizer: &'a crate::Tokenizer) -> Conversation<'a> {
        self.tokens.insert("eos_token", tokenizer.token(tokenizer.end_of_text()));
        if let Some(bos) = tokenizer.bos() {
            self.tokens.insert("bos_token", tokenizer.token(bos));
        }
        self
    }
}

/// As `transformers` sets its engine up.
fn syntax() -> SyntaxConfig {
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    syntax.expect("the usual delimiters do not collide")
}

/// A message of a role.
pub fn message(role: &str, content: &str) -> Json {
    Value::from_pairs([("role", role), ("content", content)])
}

/// The variables of a template. A message of the caller can not replace the functions.
fn context(conversation: &Conversation<'_>) -> Value {
    let list = |values: &[Json]| Value::from(values.to_vec());
    let mut all: BTreeMap<&str, Value> = conversation.extra.clone();
    all.extend(conversation.tokens.iter().map(|(&name, &text)| (name, Value::from(text))));
    all.insert("messages", list(conversation.messages));
    all.insert("tools", conversation.tools.map_or(Value::from(()), list));
    all.entry("documents").or_insert(Value::from(()));
    all.insert("add_generation_prompt", Value::from(conversation.add_generation_prompt));
    all.insert("raise_exception", Value::from_function(raise_exception));
    let now = conversation.now;
    let strftime = move |format: &str| time::strftime(now, format);
    all.insert("strftime_now", Value::from_function(strftime));
    Value::from_pairs(all)
}

/// What a template said when it refused.
#[derive(Debug)]
struct Refusal(String);

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, "refused").with_source(Refusal(message)))
}

fn failed(error: &Error) -> ChatError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(at) = cause {
        if let Some(Refusal(message)) = at.downcast_ref::<Refusal>() {
            return ChatError::Refused(message.clone());
        }
        let out_of_fuel = |error: &Error| error.kind() == ErrorKind::OutOfFuel;
        if at.downcast_ref::<Error>().is_some_and(out_of_fuel) {
            return ChatError::TooMuch;
        }
        cause = at.source();
    }
    ChatError::Failed(describe(error))
}

/// What went wrong and in which line.
fn describe(error: &Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) => format!("{what} in line {line}"),
        None => what,
    }
}

/// `{% generation %}` marks what the model said, for training; it changes no text.
fn without_generation_tags(source: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(source.len()), source);
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        out.push_str(before);
        let Some(end) = tag[2..].find("%}") else { return out + tag };
        let (tag, after) = tag.split_at(end + 4);
        let inside = &tag[2..tag.len() - 2];
        let word = inside.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
        let open = if inside.starts_with(['-', '+']) { &inside[..1] } else { "" };
        let close = if inside.ends_with(['-', '+']) { &inside[inside.len() - 1..] } else { "" };
        match word {
            "generation" => out.push_str(&format!("{{%{open} if true {close}%}}")),
            "endgeneration" => out.push_str(&format!("{{%{open} endif {close}%}}")),
            _ => out.push_str(tag),
        }
        rest = after;
    }
    out + rest
}

/// What a template may cost: steps, and one for every 64 bytes that it makes, kept or not.
pub const FUEL: u64 = 2_000_000;

const NAME: &str = "chat";
const MAX_SOURCE: usize = 1 << 20;
const MAX_RECURSION: usize = 100;

#[cfg(test)]
mod tests;
