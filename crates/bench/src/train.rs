//! A training step at the sizes and with the formulas of the PyTorch script that the project
//! compares itself with.

use crate::BenchError;
use kernel::Kernel;
use model::{
    Arithmetic,
    bench::{SIZES, StepFigures},
};
use serde::{Deserialize, Serialize};
use std::{path::Path, process::Command};

/// What came out for one size.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figures {
    /// The bench's name, as the PyTorch script calls it.
    pub bench: String,
    /// What was measured: `understory`.
    pub framework: String,
    /// What products are computed of: `f32` or `i8`.
    pub dtype: String,
    /// Sizes and speeds.
    #[serde(flatten)]
    pub step: StepFigures,
}

/// Checks that `size` is one of [`SIZES`].
///
/// Errors: it is not.
pub fn check(size: &str) -> Result<(), BenchError> {
    match SIZES.contains(&size) {
        true => Ok(()),
        false => Err(BenchError::NoSize(size.to_owned())),
    }
}

/// Measures `steps` steps of a model of this size in this process.
///
/// Errors: there is no such size.
pub fn here(
    kernel: &Kernel,
    size: &str,
    steps: usize,
    arithmetic: Arithmetic,
) -> Result<Figures, BenchError> {
    let step = model::bench::step(kernel, size, steps, arithmetic);
    let step = step.ok_or_else(|| BenchError::NoSize(size.to_owned()))?;
    let dtype = match arithmetic {
        Arithmetic::Strict1 => "f32",
        Arithmetic::StrictI8 => "i8",
    };
    let (bench, framework) = ("train_scratch".to_owned(), "understory".to_owned());
    Ok(Figures { bench, framework, dtype: dtype.to_owned(), step })
}

/// The same in a process of its own, so that its peak of memory is its own too: `program bench
/// train` for this size, on so many threads or all.
///
/// Errors: the program cannot be started, fails, or writes something else.
pub fn apart(
    program: &Path,
    size: &str,
    threads: Option<usize>,
    steps: usize,
    arithmetic: Arithmetic,
) -> Result<Figures, BenchError> {
    let mut command = Command::new(program);
    command.args(["bench", "train", "--json", "--size", size, "--steps", &steps.to_string()]);
    command.args(["--arithmetic", arithmetic.name()]);
    if let Some(threads) = threads {
        command.args(["--threads", &threads.to_string()]);
    }
    let output = command
        .output()
        .map_err(|source| BenchError::Program { program: program.display().to_string(), source })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(BenchError::SizeFailed { size: size.to_owned(), said });
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
