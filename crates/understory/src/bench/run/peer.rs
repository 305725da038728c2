//! llama.cpp's own benches, run beside ours.

use super::Work;
use crate::{cli::BenchRunArgs, hint::WithHint};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A build of llama.cpp.
pub struct Peer {
    bench: PathBuf,
    /// For several streams; beside `bench`, if it was built.
    batched: Option<PathBuf>,
    model: PathBuf,
    threads: usize,
}

impl Peer {
    /// `path` names `llama-bench`; `llama-batched-bench` is looked for beside it.
    pub fn new(path: &Path, args: &BenchRunArgs, threads: usize) -> Result<Peer> {
        if !path.is_file() {
            return Err(anyhow::anyhow!("{} is no file", path.display()))
                .hint("--beside names the program llama-bench of llama.cpp");
        }
        let batched = Some(path.with_file_name("llama-batched-bench")).filter(|p| p.is_file());
        Ok(Peer { bench: path.to_owned(), batched, model: args.model.clone(), threads })
    }

    /// Tokens per second of one turn; `None` where the program for it is missing.
    pub fn turn(&self, work: Work) -> Result<Option<f64>> {
        match work {
            Work::Prompt(tokens) => self.single(tokens, 0).map(Some),
            Work::Decode(tokens) => self.single(0, tokens).map(Some),
            Work::Streams(streams, tokens) => {
                let program = self.batched.as_deref();
                program.map(|program| self.streams(program, streams, tokens)).transpose()
            }
        }
    }

    fn single(&self, prompt: usize, generate: usize) -> Result<f64> {
        let mut command = self.command(&self.bench);
        command.args(["-p", &prompt.to_string(), "-n", &generate.to_string()]);
        let output = said(command.args(["-r", "1", "-o", "json"]))?;
        let results: Value = serde_json::from_str(&output).context("llama-bench wrote no JSON")?;
        results[0]["avg_ts"].as_f64().context("llama-bench wrote no avg_ts")
    }

    fn streams(&self, program: &Path, streams: usize, tokens: usize) -> Result<f64> {
        let mut command = self.command(program);
        let context = (streams * (tokens + 16)).to_string();
        command.args(["-c", &context, "-npp", "1", "-ntg", &tokens.to_string()]);
        let output =
            said(command.args(["-npl", &streams.to_string(), "--output-format", "jsonl"]))?;
        let line = output.lines().find(|line| line.starts_with('{'));
        let line = line.context("llama-batched-bench wrote no JSON")?;
        let result: Value = serde_json::from_str(line)?;
        result["speed_tg"].as_f64().context("llama-batched-bench wrote no speed_tg")
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("-m").arg(&self.model).args(["-t", &self.threads.to_string()]);
        command
    }
}

fn said(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("{name} failed: {}", error.lines().last().unwrap_or("it said nothing"));
    }
    String::from_utf8(output.stdout).with_context(|| format!("{name} wrote no text"))
}
