//! A template and what it is given as one message, for rendering in another process.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ChatError, ChatTemplate, Conversation, Json};

/// A template to be compiled and, with a conversation, rendered.
///
/// What a template may take is bounded in steps here, but engines have gaps: values that are
/// computed lazily cost nothing until something looks at all of them, be it a comparison while the
/// template is compiled. Only a process of its own, with the system's bounds on memory and time,
/// holds against any template; a program gives a stranger's template to such a process as a job.
#[derive(Debug, Serialize, Deserialize)]
pub struct Job {
    source: String,
    conversation: Option<Owned>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Owned {
    messages: Vec<Json>,
    tools: Option<Vec<Json>>,
    add_generation_prompt: bool,
    tokens: BTreeMap<String, String>,
    extra: BTreeMap<String, Json>,
    now: u64,
}

impl Job {
    /// To see whether a source is a template.
    pub fn compile(source: &str) -> Job {
        Job { source: source.to_owned(), conversation: None }
    }

    /// To get the text of a conversation.
    pub fn render(source: &str, conversation: &Conversation<'_>) -> Job {
        let own = |name: &str| name.to_owned();
        let tokens = conversation.tokens.iter().map(|(name, text)| (own(name), own(text)));
        let extra = conversation.extra.iter().map(|(name, value)| (own(name), value.clone()));
        let conversation = Owned {
            messages: conversation.messages.to_vec(),
            tools: conversation.tools.map(<[Json]>::to_vec),
            add_generation_prompt: conversation.add_generation_prompt,
            tokens: tokens.collect(),
            extra: extra.collect(),
            now: conversation.now,
        };
        Job { source: own(source), conversation: Some(conversation) }
    }

    /// Does it, in this process: the text, empty if there is no conversation.
    pub fn run(&self) -> Result<String, ChatError> {
        let template = ChatTemplate::new(&self.source)?;
        let Some(owned) = &self.conversation else { return Ok(String::new()) };
        let tokens = owned.tokens.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let extra = owned.extra.iter().map(|(name, value)| (name.as_str(), value.clone()));
        template.render(&Conversation {
            messages: &owned.messages,
            tools: owned.tools.as_deref(),
            add_generation_prompt: owned.add_generation_prompt,
            tokens: tokens.collect(),
            extra: extra.collect(),
            now: owned.now,
        })
    }
}
