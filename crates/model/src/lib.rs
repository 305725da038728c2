//! What a model is: its description, weights, file formats, training step and generation.
//!
//! Everything numeric goes through [`kernel`], so results are the `strict-1` bits: the same on
//! every instruction set, for any number of threads, for any split of a batch into micro-batches,
//! and for any split of a prompt into pieces.
//!
//! | Module | What |
//! |---|---|
//! | [`layout`] | where each named tensor lies in the one flat `f32` parameter vector |
//! | [`init`] | initial parameters, a pure function of (decoder, seed) |
//! | [`train`] | loss and gradient of a batch; forward beside backward, one file per piece |
//! | [`optimizer`], [`schedule`] | AdamW with global-norm clipping; warm-up and decay |
//! | [`decoder`] | what a model of any family computes, bounded; parameter and FLOP counts |
//! | [`families`] | how the files of each family say that, and name and order their tensors |
//! | [`weights`], [`mod@forward`] | tensors where they lie; one forward pass for all families |
//! | [`generate`], [`sampler`] | key/value cache, logits, the choice of the next token |
//! | [`safetensors`], [`gguf`] | file formats, strict readers and writers |
//! | [`mod@bench`] | a timed training step |
//!
//! # A training step
//!
//! ```
//! use kernel::{AdamW, Isa, Kernel};
//! use model::{Decoder, Optimizer, Trainer};
//!
//! let kernel = Kernel::new(Isa::best(), 2);
//! let decoder = Decoder::tiny(64);
//! let mut params = model::init(&decoder, 1)?;
//! let mut grads = vec![0.0; params.len()];
//! let mut trainer = Trainer::new(&decoder)?;
//! let adamw = AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
//! let mut optimizer = Optimizer::new(&decoder, adamw, Some(1.0))?;
//! let tokens: Vec<u32> = (0..2 * 9).map(|t| t % 64).collect(); // two rows of 8 + 1 tokens
//! let sum = trainer.loss_and_gradient(&kernel, &params, &tokens, 2, 8, &mut grads)?;
//! optimizer.step(&kernel, &mut params, &grads, 1e-3)?;
//! assert!(sum / 16.0 < 5.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod bench;
pub mod decoder;
mod dtype;
pub mod element;
pub mod families;
pub mod format;
pub mod forward;
pub mod generate;
pub mod gguf;
mod init;
pub mod layout;
mod model;
pub mod optimizer;
mod parameters;
pub mod safetensors;
pub mod sampler;
pub mod schedule;
pub mod train;
pub mod weights;

pub use decoder::{Decoder, DecoderError};
pub use element::ElementType;
pub use format::FormatError;
pub use forward::{Cache, Chunk, Logits, Workspace};
pub use generate::{Finish, GenerateError, Session, Step};
pub use init::init;
pub use layout::{Layout, Tensor};
pub use model::{Memory, Model, Plan};
pub use optimizer::{Optimizer, OptimizerError, StepReport};
pub use parameters::Parameters;
pub use sampler::{Sampler, SamplerError};
pub use schedule::{Decay, Schedule};
pub use train::{Arithmetic, TrainError, Trainer};
pub use weights::{Origin, TensorInfo, Weights};
