//! Chat templates, each compiled and rendered by whoever has bounds for that.

use std::fmt;
use std::sync::Arc;

use text::chat::{ChatError, Conversation, Job};

/// Does jobs of chat templates. A template is a stranger's program, and no count of its steps bounds
/// what it takes (see [`Job`]), so the engine leaves it to the program in which place it runs.
pub trait Render: Send + Sync {
    /// Does a job: the text of its conversation, or nothing for one that only compiles.
    ///
    /// Errors: the template is none, refuses the conversation, or takes more than it may.
    fn render(&self, job: &Job) -> Result<String, TemplateError>;
}

/// Why a template gives no text.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It is no template, or refuses the conversation.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// It took more than it may; what, in words.
    #[error("chat template: {0}")]
    Excess(String),
    /// The place in which templates run cannot be made.
    #[error("cannot start a process for the chat template")]
    Process(#[from] std::io::Error),
}

/// A template that was compiled once.
#[derive(Clone)]
pub struct Template {
    name: String,
    source: String,
    render: Arc<dyn Render>,
}

impl Template {
    /// Has `render` compile `source`, which the model's files call `name`.
    ///
    /// Errors: this is no template, or takes too much to compile.
    pub fn new(
        name: &str,
        source: &str,
        render: Arc<dyn Render>,
    ) -> Result<Template, TemplateError> {
        render.render(&Job::compile(source))?;
        Ok(Template { name: name.to_owned(), source: source.to_owned(), render })
    }

    /// What it is called in the model's files.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text of a conversation.
    pub fn text(&self, conversation: &Conversation<'_>) -> Result<String, TemplateError> {
        self.render.render(&Job::render(&self.source, conversation))
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").field("name", &self.name).finish_non_exhaustive()
    }
}
