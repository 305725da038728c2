//! Models ready to continue texts, from our stores and from other programs' files.

use crate::{
    hint::WithHint,
    model_source::{self, LoadedModel},
    template::Template,
    units::{bytes, count, plural},
};
use anyhow::{Context, Result};
use ids::{Hash, Plain};
use kernel::Kernel;
use model::{Memory, Model, Plan, Weights};
use std::{path::Path, sync::Arc};
use text::Tokenizer;

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
}

/// Opens what `text` names, as [`model_source::load`] does, but runs the weights of `.gguf` files
/// and Hugging Face folders as they are, of every family and format. `tokens` is how long the
/// text may become, for the memory that is asked for.
pub fn open(text: &str, tokens: usize, kernel: &Kernel) -> Result<Runnable> {
    let path = Path::new(text);
    if path.is_file() || path.join("config.json").is_file() {
        return from_files(path, tokens, kernel);
    }
    Runnable::new(model_source::load(text)?)
}

impl Runnable {
    /// Packs a model trained here. Its texts begin as documents do in training, after one
    /// end-of-text token.
    pub fn new(loaded: LoadedModel) -> Result<Self> {
        let LoadedModel { model, tokenizer, root, .. } = loaded;
        let model = Arc::new(Model::from(&model));
        let prefix = vec![tokenizer.end_of_text()];
        Ok(Self { model, tokenizer, template: None, prefix, root })
    }
}

fn from_files(path: &Path, tokens: usize, kernel: &Kernel) -> Result<Runnable> {
    let weights = Weights::open(path).hint("a .gguf file or a Hugging Face folder can be run")?;
    let plan = Plan::new(&weights).hint(
        "of Hugging Face folders weights in F32, F16 and BF16 are run, of GGUF files all types from \
         F32 to Q2_K; the README lists the architectures",
    )?;
    let tokens = tokens.min(plan.decoder().context);
    let memory = plan.memory();
    eprintln!("{}: {}", path.display(), needs(plan.decoder(), memory));
    check_memory(memory, tokens)?;
    let (tokenizer, templates) = (engine::tokenizer(&weights)?, engine::templates(&weights)?);
    let (most, known) = (plan.decoder().vocab, tokenizer.len());
    if known > most {
        // As elsewhere: only a text that needs one of them cannot be read.
        let more = plural(known - most, "token");
        eprintln!("{}: the tokenizer has {more} that the model has not", path.display());
    }
    // The template is looked at while the weights are read.
    let (model, template) = std::thread::scope(|scope| {
        let template = scope.spawn(|| templates.choose(false).map(Template::new).transpose());
        (plan.load(kernel), template.join().expect("it does not panic"))
    });
    let model = Arc::new(model?);
    // A template that cannot be used is no reason not to continue texts.
    let template = template.unwrap_or_else(|error| {
        eprintln!("the model's chat template is left out: {}", Plain(error));
        None
    });
    let prefix = tokenizer.prefix().to_vec();
    Ok(Runnable { model, tokenizer, template, prefix, root: None })
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

fn check_memory(memory: Memory, tokens: usize) -> Result<()> {
    let Some(free) = free_memory() else { return Ok(()) };
    let needed = memory.total(1, tokens as u64);
    if needed > free {
        return Err(anyhow::anyhow!(
            "{} are needed for the weights and {tokens} tokens, {} are free",
            bytes(needed),
            bytes(free)
        ))
        .hint("take a smaller model or a smaller format, or fewer tokens with -n");
    }
    Ok(())
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
    /// The ids of a text that is to be continued; there is at least one.
    pub fn text_ids(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.prefix.clone();
        ids.extend(self.tokenizer.encode(text)?);
        if ids.is_empty() {
            ids.push(self.tokenizer.bos().unwrap_or(self.tokenizer.end_of_text()));
        }
        Ok(ids)
    }

    /// The ids of a conversation, up to where the model's answer begins.
    pub fn chat_ids(&self, messages: &[text::chat::Json]) -> Result<Vec<u32>> {
        let template = self.template.as_ref().context("the model has no chat template")?;
        let mut conversation = text::chat::Conversation::new(messages).with_tokens(&self.tokenizer);
        conversation.now = now();
        let text = template.render(&conversation)?;
        Ok(self.tokenizer.encode_prompt(&text, true)?)
    }
}

/// Seconds since 1970: some templates tell the model the date.
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |time| time.as_secs())
}
