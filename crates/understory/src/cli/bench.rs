//! The flags of `understory bench`.

use clap::{
    Args, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use model::Arithmetic;
use std::path::PathBuf;

#[derive(Subcommand, Debug)]
pub enum BenchCommand {
    /// Measure a training step at about 1M, 10M and 50M parameters
    Train(BenchTrainArgs),
    /// Measure the loss of training in 8-bit integers against floats, at equal tokens and time
    Arithmetic(ArithmeticArgs),
    /// Measure what co-training costs: four peers against one process
    Swarm(BenchSwarmArgs),
    /// Measure tokens per second for a prompt, for decoding and for several streams
    Run(BenchRunArgs),
    /// Measure what 8-bit inputs lose against f32 inputs with quantized weights
    Inputs(BenchInputsArgs),
    /// Measure the loss of co-training against data-parallel training at equal tokens
    LossGap(LossGapArgs),
}

/// What the models of a bench are trained on and how.
#[derive(Args, Debug)]
pub struct TrainedOn {
    /// Train on these files or folders instead of the documentation in the local cargo registry
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// Take all other settings from this file; `swarm config` prints one
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct BenchTrainArgs {
    /// Measure this size: 1m, 10m or 50m. The default is all of them
    #[arg(long)]
    pub size: Vec<String>,
    /// Work on this many threads. The default is all that the machine has
    #[arg(long)]
    pub threads: Option<usize>,
    /// Time this many steps
    #[arg(long, default_value_t = 7)]
    pub steps: usize,
    /// Compute products so: strict-1 (floats) or strict-i8 (8-bit integers)
    #[arg(long, default_value_t, value_parser = arithmetics())]
    pub arithmetic: Arithmetic,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct ArithmeticArgs {
    /// Train a model of this size: 1m, 10m or 50m
    #[arg(long, default_value = "1m")]
    pub size: String,
    /// Train on this many tokens
    #[arg(long, default_value_t = 20_000_000)]
    pub tokens: u64,
    /// Train this many pairs of models, each from other first parameters and data
    #[arg(long, default_value_t = 3)]
    pub seeds: u64,
    #[command(flatten)]
    pub on: TrainedOn,
    /// Print one JSON object for each pair
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct BenchSwarmArgs {
    /// Train for this many seconds on each side
    #[arg(long, default_value_t = 60.0)]
    pub seconds: f64,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct BenchRunArgs {
    /// Measure this model: a .gguf file or a Hugging Face folder
    pub model: PathBuf,
    /// Read a prompt of this many tokens
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub prompt: u32,
    /// Decode this many tokens
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub generate: u32,
    /// Decode this many sequences side by side in the last test; 1 leaves the test out
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub streams: u32,
    /// Measure each this many times, in turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub turns: u32,
    /// Work on this many threads. The default is all that the machine has
    #[arg(long)]
    pub threads: Option<usize>,
    /// Measure this llama-bench of llama.cpp in turn, with the same file and threads
    #[arg(long, value_name = "PROGRAM")]
    pub beside: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct BenchInputsArgs {
    /// Measure this model; it is named as for `run`
    pub model: PathBuf,
    /// Predict the text in this file
    #[arg(long, value_name = "FILE")]
    pub text: PathBuf,
    /// Use this many tokens of the text; the second half of each window counts
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(4..=1 << 24))]
    pub tokens: u32,
    /// Read the text in windows of this many tokens
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(4..=1 << 20))]
    pub window: u32,
    /// Work on this many threads. The default is all that the machine has
    #[arg(long)]
    pub threads: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct LossGapArgs {
    /// Take this many inner steps in a round
    #[arg(long, default_value_t = 30)]
    pub h: u32,
    /// Train with this many workers
    #[arg(long, default_value_t = 4)]
    pub workers: u32,
    /// Train for this many rounds
    #[arg(long, default_value_t = 20)]
    pub rounds: u32,
    #[command(flatten)]
    pub on: TrainedOn,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// The arithmetics by name.
fn arithmetics() -> impl TypedValueParser<Value = Arithmetic> {
    PossibleValuesParser::new(Arithmetic::ALL.map(Arithmetic::name)).map(|name| {
        let named = Arithmetic::ALL.into_iter().find(|all| all.name() == name);
        named.expect("one of the possible values")
    })
}
