//! Text from the newest model, for the page and for the end of the demo.

use crate::{kernel_for, model_source::stored};
use anyhow::{Context, Result};
use engine::generation::{Event, Wanted};
use engine::{Generator, Opened, Ready, Tell};
use ids::Hash;
use kernel::Activations;
use model::Sampler;
use serve::{Prompt, PromptDone, PromptRequest};
use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Mutex,
};
use store::Store;

/// Answers prompts with the newest root.
pub struct DemoPrompt {
    stores: Vec<PathBuf>,
    newest: Mutex<Option<(usize, Hash)>>,
    loaded: Mutex<Option<(Hash, Generator)>>,
}

impl DemoPrompt {
    pub fn new(dir: &Path, peers: usize) -> Self {
        let stores = (0..peers).map(|peer| local::peer_store(dir, peer)).collect();
        Self { stores, newest: Mutex::default(), loaded: Mutex::default() }
    }

    /// A newer model is in this peer's store.
    pub fn newest(&self, peer: usize, root: Hash) {
        *self.newest.lock().unwrap_or_else(|p| p.into_inner()) = Some((peer, root));
    }

    /// The newest model, taken out so that two prompts at once do not wait for each other.
    fn take(&self, tell: &mut Tell<'_>) -> Result<(Hash, Generator)> {
        let newest = *self.newest.lock().unwrap_or_else(|p| p.into_inner());
        let (peer, root) = newest.context("there is no model yet: the first round is not over")?;
        let loaded = self.loaded.lock().unwrap_or_else(|p| p.into_inner()).take();
        match loaded {
            Some((hash, generator)) if hash == root => Ok((root, generator)),
            _ => {
                let store = Store::open_existing(&self.stores[peer])?;
                Ok((root, generator(&stored(&store, root)?, Some(1), tell)?))
            }
        }
    }

    fn put_back(&self, root: Hash, generator: Generator) {
        *self.loaded.lock().unwrap_or_else(|p| p.into_inner()) = Some((root, generator));
    }
}

impl Prompt for DemoPrompt {
    fn generate(
        &self,
        request: PromptRequest,
        emit: &mut dyn FnMut(&str) -> bool,
        tell: &mut Tell<'_>,
    ) -> Result<PromptDone, net::BoxError> {
        let mut answer = || -> Result<PromptDone> {
            let (root, mut generator) = self.take(tell)?;
            let sampler = Sampler {
                temperature: request.temperature,
                top_k: request.top_k as usize,
                top_p: request.top_p,
                min_p: request.min_p,
                seed: request.seed,
                ..Sampler::default()
            };
            let wanted = Wanted { sampler, max: request.max_tokens as usize, stops: Vec::new() };
            let done = generator.generate(&request.prompt, &wanted, &mut |event| {
                let wanted = match event {
                    Event::Text(piece) if !piece.is_empty() => emit(piece),
                    _ => true,
                };
                if wanted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            self.put_back(root, generator);
            let done = done?;
            let tokens_per_s = done.rate();
            Ok(PromptDone { root: root.to_string(), tokens: done.tokens as u32, tokens_per_s })
        };
        Ok(answer()?)
    }
}

/// A few lines that the finished model writes; `tell` hears how far its weights are loaded.
pub fn sample(opened: &Opened, tell: &mut Tell<'_>) -> Result<String> {
    let prompt = "Returns the ";
    let mut text = prompt.to_owned();
    let wanted = Wanted { sampler: Sampler::default(), max: 96, stops: Vec::new() };
    generator(opened, None, tell)?.generate(prompt, &wanted, &mut |event| {
        if let Event::Text(piece) = event {
            text.push_str(piece);
        }
        ControlFlow::Continue(())
    })?;
    Ok(text)
}

/// A model that is trained here, ready on so many threads or all.
fn generator(opened: &Opened, threads: Option<usize>, tell: &mut Tell<'_>) -> Result<Generator> {
    let ready = Ready::trained(opened, tell)?;
    Ok(Generator::new(ready, kernel_for(threads)?, Activations::default()))
}
