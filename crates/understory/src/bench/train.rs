//! A training step at the sizes and with the formulas of the PyTorch script that the project
//! compares itself with.

use crate::hint::WithHint;
use anyhow::{Context, Result, bail};
use kernel::Kernel;
use model::Arithmetic;
use model::bench::{SIZES, StepFigures};
use serde_json::{Value, json};
use std::{io::Write, process::Command};

/// Measures each of `sizes` (all, if there are none) and prints one line for each.
///
/// Every size has a process of its own, so that its peak of memory is its own too.
pub fn train(
    sizes: &[String],
    threads: Option<usize>,
    steps: usize,
    arithmetic: Arithmetic,
    print_json: bool,
) -> Result<()> {
    if let Some(unknown) = sizes.iter().find(|s| !SIZES.contains(&s.as_str())) {
        return Err(anyhow::anyhow!("no size {unknown}"))
            .hint(format!("there are {}", SIZES.join(", ")));
    }
    let all: Vec<String> = SIZES.map(str::to_owned).to_vec();
    let sizes = if sizes.is_empty() { &all } else { sizes };
    if !print_json {
        writeln!(crate::terminal::stdout(), "{HEAD}")?;
    }
    for size in sizes {
        let cell = match sizes {
            [_] => in_this_process(&crate::kernel_for(threads)?, size, steps, arithmetic)?,
            _ => in_a_process(size, threads, steps, arithmetic)?,
        };
        let line = if print_json { cell.to_string() } else { row(&cell) };
        writeln!(crate::terminal::stdout(), "{line}")?;
    }
    Ok(())
}

fn in_this_process(
    kernel: &Kernel,
    size: &str,
    steps: usize,
    arithmetic: Arithmetic,
) -> Result<Value> {
    let figures: StepFigures =
        model::bench::step(kernel, size, steps, arithmetic).context("the size was checked")?;
    let mut cell = json!({ "bench": "train_scratch", "framework": "understory" });
    cell["dtype"] = json!(match arithmetic {
        Arithmetic::Strict1 => "f32",
        Arithmetic::StrictI8 => "i8",
    });
    let fields = serde_json::to_value(figures)?;
    for (name, value) in fields.as_object().into_iter().flatten() {
        cell[name] = value.clone();
    }
    Ok(cell)
}

fn in_a_process(
    size: &str,
    threads: Option<usize>,
    steps: usize,
    arithmetic: Arithmetic,
) -> Result<Value> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", "train", "--json", "--size", size, "--steps", &steps.to_string()]);
    command.args(["--arithmetic", arithmetic.name()]);
    if let Some(threads) = threads {
        command.args(["--threads", &threads.to_string()]);
    }
    let output = command.output().context("cannot start this program again")?;
    if !output.status.success() {
        bail!("size {size}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

const HEAD: &str =
    "size  parameters  threads  isa      tokens/s min  median     max  GFLOP/s  peak MiB";

fn row(cell: &Value) -> String {
    let number = |name: &str| cell[name].as_f64().unwrap_or(f64::NAN);
    format!(
        "{:<4}  {:>10}  {:>7}  {:<7}  {:>12.0}  {:>6.0}  {:>6.0}  {:>7.0}  {:>8.0}",
        cell["size"].as_str().unwrap_or_default(),
        number("nonemb_params"),
        number("threads"),
        cell["isa"].as_str().unwrap_or_default(),
        number("tok_s_min"),
        number("tok_s_median"),
        number("tok_s_max"),
        number("model_gflops"),
        number("peak_rss_mib"),
    )
}
