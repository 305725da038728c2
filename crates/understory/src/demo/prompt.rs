//! Text from the newest model, for the page and for the end of the demo.

use crate::{generate::Generator, kernel_for, model_source};
use anyhow::{Context, Result};
use model::Sampler;
use serve::{Prompt, PromptDone, PromptRequest};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};
use store::{Hash, Store};

/// Answers prompts with the newest root.
pub struct DemoPrompt {
    stores: Vec<PathBuf>,
    newest: Mutex<Option<(usize, Hash)>>,
    loaded: Mutex<Option<(Hash, Arc<Generator>)>>,
}

impl DemoPrompt {
    pub fn new(dir: &Path, peers: usize) -> Self {
        let stores = (1..=peers).map(|n| dir.join(format!("peer-{n}/store"))).collect();
        Self { stores, newest: Mutex::default(), loaded: Mutex::default() }
    }

    /// A newer model is in this peer's store.
    pub fn newest(&self, peer: usize, root: Hash) {
        *self.newest.lock().unwrap_or_else(|p| p.into_inner()) = Some((peer, root));
    }

    fn generator(&self) -> Result<(Hash, Arc<Generator>)> {
        let newest = *self.newest.lock().unwrap_or_else(|p| p.into_inner());
        let (peer, root) = newest.context("there is no model yet: the first round is not over")?;
        let mut loaded = self.loaded.lock().unwrap_or_else(|p| p.into_inner());
        if let Some((hash, generator)) = &*loaded
            && *hash == root
        {
            return Ok((root, generator.clone()));
        }
        let store = Store::open_existing(&self.stores[peer])?;
        let model = model_source::from_store(&store, Some(root))?;
        let generator = Arc::new(Generator::new(model, kernel_for(Some(1))?)?);
        *loaded = Some((root, generator.clone()));
        Ok((root, generator))
    }
}

impl Prompt for DemoPrompt {
    fn generate(
        &self,
        request: PromptRequest,
        emit: &mut dyn FnMut(&str) -> bool,
    ) -> Result<PromptDone, String> {
        let mut answer = || -> Result<PromptDone> {
            let (root, generator) = self.generator()?;
            let sampler = Sampler {
                temperature: request.temperature,
                top_k: request.top_k as usize,
                top_p: request.top_p,
                min_p: request.min_p,
                seed: request.seed,
            };
            let done =
                generator.generate(&request.prompt, &sampler, request.max_tokens as usize, emit)?;
            let tokens_per_s = done.tokens as f64 / done.seconds.max(1e-9);
            Ok(PromptDone { root: root.to_string(), tokens: done.tokens as u32, tokens_per_s })
        };
        answer().map_err(|e| format!("{e:#}"))
    }
}

/// A few lines that the finished model writes.
pub fn sample(loaded: model_source::LoadedModel) -> Result<String> {
    let generator = Generator::new(loaded, kernel_for(None)?)?;
    let prompt = "Returns the ";
    let mut text = prompt.to_owned();
    generator.generate(prompt, &Sampler::default(), 96, &mut |piece| {
        text.push_str(piece);
        true
    })?;
    Ok(text)
}
