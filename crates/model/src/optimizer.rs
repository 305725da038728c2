//! AdamW with global-norm clipping.

use std::collections::BTreeMap;

use kernel::{AdamW, Kernel};

use crate::{Decoder, DecoderError, FormatError, Layout, safetensors};

/// AdamW over the flat parameter vector, as `torch.optim.AdamW`: decoupled weight decay (matrices
/// only, never norms and biases), bias correction, epsilon outside the root.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimizer {
    hyper: Hyper,
    clip: Option<f32>,
    runs: Vec<(std::ops::Range<usize>, bool)>,
    m: Vec<f32>,
    v: Vec<f32>,
    step: u32,
}

/// Our own copy of the constants, comparable.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Hyper {
    beta1: f32,
    beta2: f32,
    eps: f32,
    weight_decay: f32,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// Euclidean norm of the gradient before clipping.
    pub norm: f32,
    /// What the gradient was multiplied with; 1 if it was not clipped.
    pub scale: f32,
}

/// Why a step was refused. Parameters and state are as before.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OptimizerError {
    /// Parameters or gradient of another model.
    #[error("optimizer step: {what} has {found} elements, the model has {expected}")]
    Length {
        /// Which vector.
        what: &'static str,
        /// What was passed.
        found: usize,
        /// What the model has.
        expected: usize,
    },
    /// A gradient that is infinite or not a number, or whose square sum overflows.
    #[error("gradient norm at step {step} is not finite ({norm})")]
    NonFiniteGradient {
        /// The step that was about to be taken, from 1.
        step: u32,
        /// The norm.
        norm: f32,
    },
    /// A learning rate that is negative, infinite or not a number.
    #[error("learning rate of step {step} is {lr}")]
    LearningRate {
        /// The step that was about to be taken, from 1.
        step: u32,
        /// The rate.
        lr: f32,
    },
    /// The state of 2³² − 1 steps.
    #[error("optimizer has no steps left")]
    StepOverflow,
}

impl Optimizer {
    /// Fresh state for a model. `clip` bounds the gradient's Euclidean norm; `hyper.lr` is not
    /// used, each step names its own.
    pub fn new(
        decoder: &Decoder,
        hyper: AdamW,
        clip: Option<f32>,
    ) -> Result<Optimizer, DecoderError> {
        let layout = Layout::new(decoder)?;
        let AdamW { beta1, beta2, eps, weight_decay, .. } = hyper;
        Ok(Optimizer {
            hyper: Hyper { beta1, beta2, eps, weight_decay },
            clip,
            runs: layout.decay_runs(),
            m: vec![0.0; layout.len()],
            v: vec![0.0; layout.len()],
            step: 0,
        })
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u32 {
        self.step
    }

    /// First and second moment, each in the parameters' layout.
    pub fn moments(&self) -> (&[f32], &[f32]) {
        (&self.m, &self.v)
    }

    /// Takes over moments and the number of steps, as after `steps` steps.
    ///
    /// Shapes: `m` and `v` in the parameters' layout.
    pub fn set_moments(
        &mut self,
        m: Vec<f32>,
        v: Vec<f32>,
        steps: u32,
    ) -> Result<(), OptimizerError> {
        length("m", m.len(), self.m.len())?;
        length("v", v.len(), self.v.len())?;
        (self.m, self.v, self.step) = (m, v, steps);
        Ok(())
    }

    /// Forgets everything, as if new. Keeps the memory.
    pub fn reset(&mut self) {
        self.m.fill(0.0);
        self.v.fill(0.0);
        self.step = 0;
    }

    /// One step with learning rate `lr`. The gradient is scaled so that its norm is at most
    /// `clip`, as `torch.nn.utils.clip_grad_norm_` does.
    pub fn step(
        &mut self,
        kernel: &Kernel,
        params: &mut [f32],
        grads: &[f32],
        lr: f32,
    ) -> Result<StepReport, OptimizerError> {
        length("params", params.len(), self.m.len())?;
        length("grads", grads.len(), self.m.len())?;
        let step = self.step.checked_add(1).ok_or(OptimizerError::StepOverflow)?;
        if !(lr >= 0.0 && lr.is_finite()) {
            return Err(OptimizerError::LearningRate { step, lr });
        }
        let norm = kernel.sum_squares(grads).sqrt();
        if !norm.is_finite() {
            return Err(OptimizerError::NonFiniteGradient { step, norm });
        }
        let scale = match self.clip {
            Some(clip) if clip < norm + CLIP_EPSILON => clip / (norm + CLIP_EPSILON),
            _ => 1.0,
        };
        let Hyper { beta1, beta2, eps, weight_decay } = self.hyper;
        let hyper = AdamW { lr, beta1, beta2, eps, weight_decay };
        for (range, decay) in &self.runs {
            let (p, g) = (&mut params[range.clone()], &grads[range.clone()]);
            let (m, v) = (&mut self.m[range.clone()], &mut self.v[range.clone()]);
            kernel.adamw(p, g, m, v, &hyper, step, scale, *decay);
        }
        self.step = step;
        Ok(StepReport { norm, scale })
    }

    /// The state as safetensors bytes: `m`, `v` and the number of steps. The same state always
    /// gives the same bytes.
    pub fn save(&self) -> Vec<u8> {
        let metadata = BTreeMap::from([("step".to_owned(), self.step.to_string())]);
        let shape = [self.m.len()];
        safetensors::write(&[("m", &shape, &self.m), ("v", &shape, &self.v)], &metadata)
    }

    /// Takes over a state that [`Optimizer::save`] gave for a model of the same shape.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        let file = safetensors::parse(bytes)?;
        let step = file.metadata().get("step").and_then(|text| text.parse().ok());
        let step = step.ok_or_else(|| FormatError::new("optimizer state: no step number"))?;
        let shape = [self.m.len()];
        let (m, v) = (file.floats("m", &shape)?, file.floats("v", &shape)?);
        if !m.iter().all(|x| x.is_finite()) || !v.iter().all(|x| *x >= 0.0 && x.is_finite()) {
            return Err(FormatError::new("optimizer state: a moment is not finite or negative"));
        }
        (self.m, self.v, self.step) = (m, v, step);
        Ok(())
    }
}

fn length(what: &'static str, found: usize, expected: usize) -> Result<(), OptimizerError> {
    if found == expected { Ok(()) } else { Err(OptimizerError::Length { what, found, expected }) }
}

/// Added to the norm before dividing, as PyTorch does.
const CLIP_EPSILON: f32 = 1e-6;
