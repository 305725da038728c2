//! Models ready to continue texts, from our stores and from other programs' files.

use crate::{
    hint::WithHint,
    model_source::{self, LoadedModel, explained},
    template::Template,
    units::{bytes, count, now, plural},
};
use anyhow::{Context, Result, anyhow, bail};
use ids::{Hash, Plain};
use kernel::Kernel;
use model::{Memory, Model, Plan};
use std::{path::Path, sync::Arc};
use text::{Tokenizer, chat::ChatTemplates};

/// A model with what turns text into its tokens and back.
pub struct Runnable {
    pub model: Arc<Model>,
    pub tokenizer: Tokenizer,
    /// For models that were made for conversation.
    pub template: Option<Template>,
    /// What stands before a text that the model is to continue.
    pub prefix: Vec<u32>,
    /// The root, where the model came from a store.
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
}

impl Opening<'_> {
    /// For texts of so many tokens.
    pub fn of(tokens: usize) -> Self {
        Self { prompt: tokens, answer: Some(0), ..Self::default() }
    }

    /// The longest text, of which memory holds `fits` tokens.
    ///
    /// Errors: a context that the model has not.
    fn context(&self, of_model: usize, fits: usize) -> Result<usize> {
        let context = self.context.unwrap_or(of_model);
        if context > of_model {
            return Err(anyhow!("--context {context}: the model's context is {of_model} tokens"))
                .hint("the model was made for texts of that length; leave --context out");
        }
        if context == 0 {
            bail!("--context 0: a text has at least one token");
        }
        // What was asked for by number is an error where it does not fit; see `check_memory`.
        let open_end = self.context.is_none() && self.answer.is_none_or(|n| n > of_model);
        Ok(if open_end { context.min(fits.max(self.needed(of_model))) } else { context })
    }

    /// Tokens that memory must hold in any case.
    fn needed(&self, of_model: usize) -> usize {
        let answer = self.answer.filter(|&n| n <= of_model).unwrap_or(LEAST_ANSWER);
        self.context.unwrap_or(self.prompt.saturating_add(answer)).min(of_model)
    }
}

/// Opens what `text` names, as [`model_source::opened`] does, and loads its weights as they are, of
/// every family and format.
pub fn open(text: &str, opening: &Opening<'_>, kernel: &Kernel) -> Result<Runnable> {
    let opened = model_source::opened(text)?;
    let path = Path::new(text);
    let named = |error: model::FormatError| explained(error.into(), path);
    let plan = Plan::new(opened.weights()).map_err(named)?;
    let memory = plan.memory();
    eprintln!("{}: {}", path.display(), needs(plan.decoder(), memory));
    let most = plan.decoder().context;
    let context = opening.context(most, check_memory(memory, opening.needed(most))?)?;
    if context < most {
        eprintln!("{}: {context} of the {most} tokens of its context are used", path.display());
    }
    let tokenizer = opened.tokenizer().map_err(|error| match error {
        engine::EngineError::Format(error) => named(error),
        other => Err::<(), _>(other).hint(OTHER_TOKENIZER).expect_err("it is an error"),
    })?;
    let templates = opened.templates()?;
    let (most, known) = (plan.decoder().vocab, tokenizer.len());
    if known > most {
        // As elsewhere: only a text that needs one of them cannot be read.
        let more = plural(known - most, "token");
        eprintln!("{}: the tokenizer has {more} that the model has not", path.display());
    }
    let chosen = if opening.raw { None } else { choose(&templates, opening.template)? };
    // The template is looked at while the weights are read.
    let (model, template) = std::thread::scope(|scope| {
        let template =
            scope.spawn(|| chosen.map(|(name, source)| Template::new(name, source)).transpose());
        let model = opened.check().and_then(|()| plan.load(kernel));
        (model, template.join().expect("it does not panic"))
    });
    let model = Arc::new(model.map_err(named)?);
    let template = match template {
        // A template that cannot be used is no reason not to continue texts.
        Err(error) if opening.template.is_none() => {
            eprintln!("the model's chat template is left out: {}", Plain(error));
            None
        }
        template => template?,
    };
    let prefix = opened.prefix(&tokenizer);
    Ok(Runnable { model, tokenizer, template, prefix, root: opened.root(), context })
}

impl Runnable {
    /// Packs a model trained here. Its texts begin as documents do in training, after one
    /// end-of-text token.
    pub fn new(loaded: LoadedModel) -> Result<Self> {
        let LoadedModel { model, tokenizer, root, .. } = loaded;
        let model = Arc::new(Model::from(&model));
        let prefix = vec![tokenizer.end_of_text()];
        let context = model.context();
        Ok(Self { model, tokenizer, template: None, prefix, root, context })
    }
}

/// Name and source of the template to use; says which where there are several.
fn choose<'t>(
    templates: &'t ChatTemplates,
    wanted: Option<&str>,
) -> Result<Option<(&'t str, &'t str)>> {
    let names: Vec<&str> = templates.iter().map(|(name, _)| name).collect();
    let all = Plain(names.join(", "));
    let chosen = match wanted {
        Some(name) => {
            let found = templates.iter().find(|(known, _)| *known == name);
            let found = found.with_context(|| format!("there is no chat template {}", Plain(name)));
            Some(found.hint(match names.is_empty() {
                true => "the model has no chat template at all".to_owned(),
                false => format!("the model has {all}"),
            })?)
        }
        None => templates.choose(false),
    };
    match chosen {
        Some((name, _)) if names.len() > 1 => {
            eprintln!("[chat template {} of {all}; --template-name chooses]", Plain(name));
        }
        None if names.len() > 1 => {
            eprintln!("[of the chat templates {all} none is the default; --template-name chooses]")
        }
        _ => {}
    }
    Ok(chosen)
}

/// What a model takes, for people.
fn needs(decoder: &model::Decoder, memory: Memory) -> String {
    let context = decoder.context as u64;
    format!(
        "{} parameters; {} of weights, {} for its whole context of {context} tokens",
        count(decoder.parameters()),
        bytes(memory.weights),
        bytes(memory.total(1, context) - memory.weights),
    )
}

/// How many tokens fit into memory beside the weights; an error if fewer than `needed`.
fn check_memory(memory: Memory, needed: usize) -> Result<usize> {
    let Some(free) = free_memory() else { return Ok(usize::MAX) };
    let wanted = memory.total(1, needed as u64);
    if wanted > free {
        return Err(anyhow!(
            "{} are needed for the weights and {needed} tokens, {} are free",
            bytes(wanted),
            bytes(free)
        ))
        .hint("take a smaller model or a smaller format, or fewer tokens with -n or --context");
    }
    let fits = (free - memory.weights) / memory.cache_per_token.max(1);
    // Half of it: others want memory too while a long answer grows.
    Ok(usize::try_from(fits / 2).unwrap_or(usize::MAX))
}

/// Bytes that programs can still get, where the system tells.
fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// A text or a conversation as the model reads it.
impl Runnable {
    /// The ids of a text that is to be continued; see [`text_ids`].
    pub fn text_ids(&self, text: &str, special: bool) -> Result<Vec<u32>> {
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

    /// The ids of a conversation, up to where the model's answer begins.
    pub fn chat_ids(&self, messages: &[text::chat::Json]) -> Result<Vec<u32>> {
        let template = self.template.as_ref().context("the model has no chat template")?;
        let mut conversation = text::chat::Conversation::new(messages).with_tokens(&self.tokenizer);
        // Some templates tell the model the date.
        conversation.now = now();
        let text = template.render(&conversation)?;
        Ok(self.tokenizer.encode_prompt(&text, true)?)
    }
}

/// The ids of a text with `prefix` before it, unless it begins with that already; there is at least
/// one. With `special`, text that spells a special token becomes it.
pub fn text_ids(
    tokenizer: &Tokenizer,
    prefix: &[u32],
    text: &str,
    special: bool,
) -> Result<Vec<u32>> {
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
/// Tokens that an answer may have at least, where it has no bound.
const LEAST_ANSWER: usize = 128;
