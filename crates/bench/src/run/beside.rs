//! llama.cpp's own benches, run beside ours.

use super::Work;
use crate::BenchError;
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A build of llama.cpp.
pub struct Beside {
    bench: PathBuf,
    /// For several streams; beside `bench`, if it was built.
    batched: Option<PathBuf>,
    model: PathBuf,
    threads: usize,
}

impl Beside {
    /// `path` names `llama-bench`; `llama-batched-bench` is looked for beside it.
    pub fn new(path: &Path, model: &Path, threads: usize) -> Result<Self, BenchError> {
        if !path.is_file() {
            return Err(BenchError::NoProgram(path.to_owned()));
        }
        let batched = Some(path.with_file_name("llama-batched-bench")).filter(|p| p.is_file());
        Ok(Self { bench: path.to_owned(), batched, model: model.to_owned(), threads })
    }

    /// Tokens per second of one turn; `None` where the program for it is missing.
    pub fn turn(&self, work: Work) -> Result<Option<f64>, BenchError> {
        match work {
            Work::Prompt(tokens) => self.single(tokens, 0).map(Some),
            Work::Decode(tokens) => self.single(0, tokens).map(Some),
            Work::Streams(streams, tokens) => {
                let program = self.batched.as_deref();
                program.map(|program| self.streams(program, streams, tokens)).transpose()
            }
        }
    }

    fn single(&self, prompt: usize, generate: usize) -> Result<f64, BenchError> {
        let mut command = self.command(&self.bench);
        command.args(["-p", &prompt.to_string(), "-n", &generate.to_string()]);
        let output = said(command.args(["-r", "1", "-o", "json"]))?;
        let without = |what| BenchError::ProgramSaid { program: "llama-bench".to_owned(), what };
        let results: Value = serde_json::from_str(&output).map_err(|_| without("JSON"))?;
        results[0]["avg_ts"].as_f64().ok_or_else(|| without("avg_ts"))
    }

    fn streams(&self, program: &Path, streams: usize, tokens: usize) -> Result<f64, BenchError> {
        let mut command = self.command(program);
        let context = (streams * (tokens + 16)).to_string();
        command.args(["-c", &context, "-npp", "1", "-ntg", &tokens.to_string()]);
        let output =
            said(command.args(["-npl", &streams.to_string(), "--output-format", "jsonl"]))?;
        let line = output.lines().find(|line| line.starts_with('{'));
        let program = || "llama-batched-bench".to_owned();
        let without = |what| BenchError::ProgramSaid { program: program(), what };
        let line = line.ok_or_else(|| without("JSON"))?;
        let result: Value = serde_json::from_str(line).map_err(|_| without("JSON"))?;
        result["speed_tg"].as_f64().ok_or_else(|| without("speed_tg"))
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("-m").arg(&self.model).args(["-t", &self.threads.to_string()]);
        command
    }
}

fn said(command: &mut Command) -> Result<String, BenchError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = match command.output() {
        Ok(output) => output,
        Err(source) => return Err(BenchError::Program { program, source }),
    };
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        let said = error.lines().last().unwrap_or("it said nothing").to_owned();
        return Err(BenchError::ProgramFailed { program, said });
    }
    let text = String::from_utf8(output.stdout);
    text.map_err(|_| BenchError::ProgramSaid { program, what: "text" })
}
