//! A model ready to continue texts: its weights, its tokenizer, its chat template and how long a
//! text may be in the memory there is.

mod choice;
mod room;

use std::sync::Arc;

use ids::Hash;
use kernel::Kernel;
use model::{FormatError, Model, Plan};
use text::Tokenizer;
use text::chat::{Conversation, Json};

pub use room::RoomError;

use crate::template::{Render, Template, TemplateError};
use crate::{EngineError, Opened};
use progress::{Counter, Note, Progress, Tell, Work};

/// A model with what turns text into its tokens and back.
pub struct Ready {
    /// Its weights, packed.
    pub model: Arc<Model>,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// For models that were made for conversation.
    pub template: Option<Template>,
    /// What stands before a text that the model is to continue.
    pub prefix: Vec<u32>,
    /// The root, where it has one.
    pub root: Option<Hash>,
    /// Most tokens of a text.
    pub context: usize,
}

/// How a model is opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Opening<'a> {
    /// Tokens of the text that it is to continue, or more, such as its bytes.
    pub prompt: usize,
    /// Tokens that come after it; `None` for as many as may be.
    pub answer: Option<usize>,
    /// Most tokens of a text, if fewer than the model's context.
    pub context: Option<usize>,
    /// Texts are continued as they are: templates are left alone.
    pub raw: bool,
    /// The template to use.
    pub template: Option<&'a str>,
    /// Bytes of memory that are free, where that is known: what does not fit is refused, and a
    /// context without a bound of its own is cut to what fits.
    pub free: Option<u64>,
}

/// Why a model cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub enum ReadyError {
    /// Its files are refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A text of that length has no place.
    #[error(transparent)]
    Room(#[from] RoomError),
    /// There is no template of that name.
    #[error("there is no chat template {}", ids::Plain(.wanted))]
    NoTemplate {
        /// What was asked for.
        wanted: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// The template that was asked for cannot be used.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

impl Opening<'_> {
    /// For texts of so many tokens.
    pub fn of(tokens: usize) -> Self {
        Self { prompt: tokens, answer: Some(0), ..Self::default() }
    }
}

impl ReadyError {
    /// What the person can do, the nearest to the cause first; nothing where nothing is known.
    pub fn hints(&self) -> Vec<String> {
        match self {
            ReadyError::Engine(EngineError::Tokenizer(_)) => vec![OTHER_TOKENIZER.to_owned()],
            ReadyError::Engine(error) => error.hints(),
            ReadyError::Room(error) => error.hint().map(str::to_owned).into_iter().collect(),
            ReadyError::NoTemplate { known, .. } if known.is_empty() => {
                vec!["the model has no chat template at all".to_owned()]
            }
            ReadyError::NoTemplate { known, .. } => {
                vec![format!("the model has {}", known.join(", "))]
            }
            ReadyError::Template(_) => Vec::new(),
        }
    }
}

impl From<FormatError> for ReadyError {
    fn from(error: FormatError) -> Self {
        EngineError::from(error).into()
    }
}

impl Ready {
    /// Checks a model and loads its weights as they are, of every family and format. Templates run
    /// where `render` runs them.
    ///
    /// Errors: also what does not fit into memory. A template that is not asked for and cannot be
    /// used is a note, and no error.
    pub fn open(
        opened: &Opened,
        opening: &Opening<'_>,
        kernel: &Kernel,
        render: Arc<dyn Render>,
        tell: &mut Tell<'_>,
    ) -> Result<Ready, ReadyError> {
        let plan = Plan::new(opened.weights())?;
        let (decoder, memory) = (plan.decoder(), plan.memory());
        let most = decoder.context;
        let name = || opened.name().to_owned();
        tell(Progress::Note(Note::Needs {
            model: name(),
            parameters: decoder.parameters(),
            weights: memory.weights,
            context: most as u64,
            cache: memory.total(1, most as u64) - memory.weights,
        }));
        let context = room::context(opening, most, memory)?;
        if context < most {
            tell(Progress::Note(Note::Shortened { model: name(), used: context, most }));
        }
        let tokenizer = opened.tokenizer()?.clone();
        let templates = opened.templates()?;
        if let Some(count) = tokenizer.len().checked_sub(decoder.vocab).filter(|&n| n > 0) {
            tell(Progress::Note(Note::MoreTokens { model: name(), count }));
        }
        if let Some(named) = tokenizer.lacking_end() {
            let taken = tokenizer.token(tokenizer.end_of_text()).to_owned();
            tell(Progress::Note(Note::OtherEnd { model: name(), named: named.to_owned(), taken }));
        }
        let chosen = match opening.raw {
            true => None,
            false => choice::choose(&templates, opening.template, tell)?,
        };
        // The template is looked at while the weights are read.
        let (model, template) = std::thread::scope(|scope| {
            let compiled = scope.spawn(|| {
                chosen.map(|(name, source)| Template::new(name, source, render)).transpose()
            });
            let model = load(opened, plan, kernel, tell);
            (model, compiled.join().expect("it does not panic"))
        });
        let model = Arc::new(model?);
        let template = match template {
            // A template that cannot be used is no reason not to continue texts.
            Err(error) if opening.template.is_none() => {
                let why = crate::causes::whole(&error);
                tell(Progress::Note(Note::TemplateLeftOut { why }));
                None
            }
            template => template?,
        };
        let prefix = opened.prefix(&tokenizer);
        Ok(Ready { model, tokenizer, template, prefix, root: opened.root(), context })
    }

    /// Checks and packs a model that is trained here, for its whole context. Its texts begin as
    /// documents do in training, after one end-of-text token.
    pub fn trained(opened: &Opened, tell: &mut Tell<'_>) -> Result<Ready, ReadyError> {
        let model = Arc::new(Model::from(&opened.parameters(tell)?));
        let tokenizer = opened.tokenizer()?.clone();
        let (prefix, context) = (opened.prefix(&tokenizer), model.context());
        Ok(Ready { model, tokenizer, template: None, prefix, root: opened.root(), context })
    }

    /// The ids of a text that is to be continued; see [`text_ids`].
    pub fn text_ids(&self, text: &str, special: bool) -> Result<Vec<u32>, EngineError> {
        text_ids(&self.tokenizer, &self.prefix, text, special)
    }

    /// The ids at which an answer ends: the model's, and special tokens that are called as one of
    /// `stops`.
    pub fn ends(&self, stops: &[String]) -> Vec<u32> {
        let special = |text: &String| {
            let id = self.tokenizer.id(text);
            id.filter(|&id| self.tokenizer.is_special(id))
        };
        self.tokenizer.ends().iter().copied().chain(stops.iter().filter_map(special)).collect()
    }

    /// The ids of a conversation, up to where the model's answer begins; some templates tell the
    /// model the date, which is that of `now` in Unix seconds. `None` for a model without a template.
    pub fn chat_ids(&self, messages: &[Json], now: u64) -> Result<Option<Vec<u32>>, ReadyError> {
        let Some(template) = &self.template else { return Ok(None) };
        let mut conversation = Conversation::new(messages).with_tokens(&self.tokenizer);
        conversation.now = now;
        let text = template.text(&conversation)?;
        let ids = self.tokenizer.encode_prompt(&text, true);
        Ok(Some(ids.map_err(EngineError::from)?))
    }
}

fn load(
    opened: &Opened,
    plan: Plan<'_>,
    kernel: &Kernel,
    tell: &mut Tell<'_>,
) -> Result<Model, FormatError> {
    opened.check(tell)?;
    let mut count = Counter::new(Work::Loading, opened.bytes(), tell);
    let model = plan.load_told(kernel, &mut |n| count.add(n))?;
    count.end();
    Ok(model)
}

/// The ids of a text with `prefix` before it, unless it begins with that already; there is at least
/// one. With `special`, text that spells a special token becomes it.
pub fn text_ids(
    tokenizer: &Tokenizer,
    prefix: &[u32],
    text: &str,
    special: bool,
) -> Result<Vec<u32>, EngineError> {
    let mut ids = tokenizer.encode_with(text, special)?;
    if !special || !ids.starts_with(prefix) {
        ids.splice(0..0, prefix.iter().copied());
    }
    if ids.is_empty() {
        ids.push(tokenizer.bos().unwrap_or(tokenizer.end_of_text()));
    }
    Ok(ids)
}

const OTHER_TOKENIZER: &str =
    "take another file or folder of the same model; `understory inspect` says what this one has";
