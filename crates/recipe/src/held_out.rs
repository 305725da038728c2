//! How well a model predicts text it has not seen, in bits per byte, so that models with
//! different tokenizers, and compressors, stand side by side.

use crate::corpus::Corpus;
use kernel::Kernel;
use model::{TrainError, Trainer};

/// Evaluates models of one shape on the held-out part of one corpus.
pub struct HeldOut {
    trainer: Trainer,
    seq: usize,
    rows: Vec<u32>,
    /// Part of the last row that only pads it.
    padding: usize,
    bytes: f64,
}

impl HeldOut {
    /// Uses the first `max_tokens` held-out tokens (0: all), in windows of `seq` that do not
    /// overlap; every token is predicted once from those before it in its window.
    pub fn new(corpus: &Corpus, decoder: &model::Decoder, seq: usize, max_tokens: usize) -> Self {
        let all = corpus.held_out.len();
        let used = if max_tokens == 0 { all } else { all.min(max_tokens) };
        let windows = (used.saturating_sub(1)).div_ceil(seq).max(1);
        let mut stream: Vec<u32> = corpus.held_out[..used].iter().map(|t| u32::from(*t)).collect();
        let padding = (windows * seq + 1).saturating_sub(stream.len());
        stream.resize(windows * seq + 1, corpus.tokenizer.end_of_text());
        let rows = (0..windows).flat_map(|w| stream[w * seq..=(w + 1) * seq].to_vec()).collect();
        let text: Vec<u32> = stream[..used].to_vec();
        let bytes = corpus.tokenizer.byte_len(&text) as f64;
        let trainer = Trainer::new(decoder).expect("the caller's shape is valid");
        Self { trainer, seq, rows, padding, bytes }
    }

    /// Bytes of text that are predicted.
    pub fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// Bits per byte of the model `params`.
    pub fn bits_per_byte(&mut self, kernel: &Kernel, params: &[f32]) -> Result<f64, TrainError> {
        let row = self.seq + 1;
        let windows = self.rows.len() / row;
        let mut nats = 0.0;
        if windows > 1 {
            let whole = &self.rows[..(windows - 1) * row];
            nats += self.trainer.loss(kernel, params, whole, windows - 1, self.seq)?;
        }
        // The last window without its padding.
        let last = &self.rows[(windows - 1) * row..];
        let rest = self.seq - self.padding.min(self.seq);
        if rest > 0 {
            nats += self.trainer.loss(kernel, params, &last[..=rest], 1, rest)?;
        }
        Ok(nats / std::f64::consts::LN_2 / self.bytes)
    }
}
