//! The commands and their flags: one definition feeds parsing, help and the docs.

mod texts;

pub use texts::{RunArgs, ScoreArgs, Seed, TokensArgs};

use crate::commons::cli::{
    CommonsCommand, KeyCommand, ProposeArgs, QuestionArgs, TallyArgs, VoteArgs,
};
use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use cotrain::cheat::Cheat;
use model::decoder::Family;
use std::path::PathBuf;

/// Train language models together with people you need not trust, and check every step.
#[derive(Parser, Debug)]
#[command(name = "understory", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Train a small model with four peers on this machine, one of which cheats
    Demo(DemoArgs),
    /// Fetch a model and check it: from a hub, from an address, or at a path
    ///
    /// Prints the path that `run` takes. What is here already is not fetched, what was begun is
    /// gone on with. A token for the hub is taken from HF_TOKEN or the file that `hf auth login`
    /// writes; HF_ENDPOINT names another hub.
    Pull(PullArgs),
    /// Generate text with a model
    Run(RunArgs),
    /// Show the tokens that a model reads a text as
    Tokens(TokensArgs),
    /// Say how likely a model finds a text, token by token
    ///
    /// Logarithms are natural ones. Of a text longer than the context every token but those of the
    /// first window is given at least half a window of text before it.
    Score(ScoreArgs),
    /// Say what a model is: architecture, parameters, types, tokenizer, template, lineage
    Inspect(InspectArgs),
    /// Say what changed between two models and by how much
    ///
    /// Tensors are compared by their values: layouts and weight formats may differ. Exit status: 0
    /// the same, 1 different, 2 failed.
    Diff(DiffArgs),
    /// Re-run contributions of a finished or running co-training from its stored objects
    ///
    /// Exit status: 0 confirmed, 1 mismatch, 2 unavailable or failed.
    Verify(VerifyArgs),
    /// Write a model in other programs' formats
    Export(ExportArgs),
    /// Co-train with others
    Swarm {
        #[command(subcommand)]
        command: SwarmCommand,
    },
    /// Hold models in common: a signed, witnessed log of who made what and who decides
    Commons {
        #[command(subcommand)]
        command: CommonsCommand,
    },
    /// Your keys: make, show, rotate, recover
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Put a question to the members of a commons
    Propose(ProposeArgs),
    /// Cast a ballot
    Vote(VoteArgs),
    /// Count a question's ballots, and say how
    Tally(TallyArgs),
    /// Say who could make a result another: how few voters, which employer, which voucher
    Margin(QuestionArgs),
    /// Show a panel drawn by lot
    Panel(QuestionArgs),
    /// Measure this program on this machine
    Bench {
        #[command(subcommand)]
        command: BenchCommand,
    },
    /// Try the protocol against attackers, in a simulated network
    Sim {
        #[command(subcommand)]
        command: SimCommand,
    },
    /// Render a chat template in bounds, for this program itself
    #[command(name = crate::template::COMMAND, hide = true)]
    RenderTemplate,
}

#[derive(Subcommand, Debug)]
pub enum SimCommand {
    /// Run every attack that we know of and print what came of it
    ///
    /// Exit status: 0 all that must hold held, 1 something did not, 2 failed.
    Attacks(SimArgs),
}

#[derive(Args, Debug)]
pub struct SimArgs {
    /// Worlds for each attack and each share of the standing
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub seeds: u64,
    /// Only attacks whose name has this in it
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,
    /// One line of JSON for each row
    #[arg(long)]
    pub json: bool,
}

/// The ways to cheat by name.
fn cheats() -> impl TypedValueParser<Value = Cheat> {
    let named = |cheat: Cheat| PossibleValue::new(cheat.name()).help(in_words(cheat));
    PossibleValuesParser::new(Cheat::ALL.map(named)).try_map(|name| name.parse())
}

fn in_words(cheat: Cheat) -> &'static str {
    match cheat {
        Cheat::Lazy => "Takes one step and claims all of them",
        Cheat::Noise => "Sends random numbers",
        Cheat::Copy => "Sends another peer's update as its own",
        Cheat::SignFlip => "Trains, then sends the opposite of what it learnt",
    }
}

#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Peers, each a process of its own
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub peers: u32,
    /// How many of them cheat
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=15))]
    pub cheaters: u32,
    /// How they cheat
    #[arg(long, value_parser = cheats(), default_value_t = Cheat::SignFlip)]
    pub cheat: Cheat,
    /// Train on these files or folders (.txt, .md, .jsonl, .ndjson, .json, also .gz and
    /// .zst) instead of the documentation in the local cargo registry
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// Family of the model: llama, mistral, falcon, smollm3, qwen2, qwen3, gemma2 or gemma3
    #[arg(long, default_value_t = Family::Llama)]
    pub family: Family,
    /// How long to train, roughly
    #[arg(long, default_value_t = 2.0, conflicts_with = "steps")]
    pub minutes: f64,
    /// Rounds of the run
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rounds: Option<u32>,
    /// Inner steps of every peer and round, instead of as many as fit into the time: with this,
    /// the same command gives the same bits
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub steps: Option<u32>,
    /// Seed of the peers' keys and the first parameters
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Folder for the run; by default the first free of understory-demo, understory-demo-2, …
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Go on with the newest demo, or with the one in --dir
    #[arg(long)]
    pub resume: bool,
    /// Port of the page on 127.0.0.1, by default 7070 or a free one; 0 takes a free one
    #[arg(long)]
    pub port: Option<u16>,
    /// Do not serve the page
    #[arg(long)]
    pub no_page: bool,
    /// Keep serving the page after the run has ended, until Ctrl-C
    #[arg(long)]
    pub stay: bool,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct PullArgs {
    /// hf:OWNER/NAME[@REVISION][:FILE], where FILE may be a part of a GGUF's name such as Q4_K_M;
    /// https://…; or a path
    pub source: String,
    /// Folder for its files, by default one in the user's cache
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Fail unless the file has this SHA-256
    #[arg(long, value_name = "HEX")]
    pub sha256: Option<String>,
    /// Print one JSON object: path, commit, files with their hashes
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct InspectArgs {
    /// A model, as `run` takes it
    pub model: String,
    /// List every tensor with the BLAKE3 of its bytes
    #[arg(long)]
    pub tensors: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct DiffArgs {
    /// The first model, as `run` takes it
    pub a: String,
    /// The second
    pub b: String,
    /// A line for every tensor that changed, not one for every layer
    #[arg(long)]
    pub tensors: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// Folder of a demo or of a peer
    pub run: PathBuf,
    /// Re-run every contribution
    #[arg(long, conflicts_with = "sample")]
    pub all: bool,
    /// Part of the contributions to re-run, for example 5%
    #[arg(long, default_value = "10%", value_parser = parse_share)]
    pub sample: f64,
    /// Seed of the sample; by default drawn anew
    #[arg(long)]
    pub seed: Option<u64>,
    /// Compare the run's records with the marks in the commons of this folder. Say there, as a
    /// member, whether the model's derivation came out the same
    #[arg(long, value_name = "DIR")]
    pub commons: Option<PathBuf>,
    /// Folder of your keys in the commons
    #[arg(long, value_name = "DIR", requires = "commons")]
    pub keys: Option<PathBuf>,
    /// Threads; changes no bit
    #[arg(long)]
    pub threads: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct ExportArgs {
    /// Folder of a demo or of a peer, or FOLDER@ROOT
    pub model: String,
    /// Format
    #[arg(long, value_enum)]
    pub to: ExportFormat,
    /// Folder to write; must not exist or be empty
    pub dir: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// A folder that Hugging Face transformers loads
    Hf,
    /// A file that llama.cpp loads
    Gguf,
}

#[derive(Subcommand, Debug)]
pub enum SwarmCommand {
    /// Begin a run and print what others join with, or go on with the run in the folder
    ///
    /// Founding voters decide together from the first round on: yourself, the friends to whom you
    /// give invitations, and keys that you know. The run begins once all of them are there. The
    /// open ticket is for anybody: who joins with it contributes, and votes once others have
    /// checked enough of its work.
    Start(StartArgs),
    /// Join a run, or go on with one
    Join(JoinArgs),
    /// Begin a new run from the last model of an old one, with founding voters named anew
    ///
    /// For a run that has stopped because too many of its voters are gone, or that has ended. The
    /// text, the tokenizer and the model's shape stay; everything else can be set anew.
    Continue(ContinueArgs),
    /// Show where a peer stands
    Status {
        /// Folder of the peer
        #[arg(default_value = "understory-swarm")]
        dir: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print this peer's key, made where there is none, for somebody's file of voters
    Key(SwarmKeyArgs),
    /// Print a configuration with every default, to begin from
    Config,
}

#[derive(Args, Debug)]
pub struct StartArgs {
    /// Configuration of the run; `understory swarm config` prints one. Not needed to go on
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub founding: FoundingArgs,
    #[command(flatten)]
    pub peer: PeerArgs,
}

/// Who founds a run besides whoever begins it.
#[derive(Args, Debug, Default)]
pub struct FoundingArgs {
    /// Make so many invitations, each for one person and secret: whoever uses one first is a
    /// founding voter
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=63))]
    pub friends: Option<u32>,
    /// Make the keys in this file founding voters: one a line, as `understory swarm key` prints
    /// them; # begins a comment. With `members` instead of a file: those that the members of the
    /// commons in --commons have named as theirs
    #[arg(long, value_name = "FILE")]
    pub voters: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct JoinArgs {
    /// Ticket or invitation of the run; - reads it from standard input. Not needed to go on
    pub ticket: Option<String>,
    #[command(flatten)]
    pub peer: PeerArgs,
}

#[derive(Args, Debug)]
pub struct SwarmKeyArgs {
    /// Folder of the peer
    #[arg(long, value_name = "DIR", default_value = "understory-swarm")]
    pub dir: PathBuf,
    /// Say in the commons of this folder that this peer is yours
    #[arg(long, value_name = "DIR")]
    pub commons: Option<PathBuf>,
    /// Folder of your keys in the commons
    #[arg(long, value_name = "DIR", requires = "commons")]
    pub keys: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct ContinueArgs {
    /// Folder of a peer of the old run
    pub from: PathBuf,
    /// Settings that are to be others than the old run's: the lines of a configuration that change
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub founding: FoundingArgs,
    #[command(flatten)]
    pub peer: PeerArgs,
}

#[derive(Args, Debug)]
pub struct PeerArgs {
    /// Folder of this peer: key, objects, log
    #[arg(long, value_name = "DIR", default_value = "understory-swarm")]
    pub dir: PathBuf,
    /// Address to listen on; 0.0.0.0:0 for other machines
    #[arg(long, default_value = "0.0.0.0:0")]
    pub bind: std::net::SocketAddr,
    /// Be the peer whose secret key is in this file, such as `key` in another folder; it is copied
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// A relay for peers that cannot reach each other directly (iroh relay URL, or "public")
    #[arg(long, value_name = "URL")]
    pub relay: Option<String>,
    /// Say in the commons of this folder what work was done and what came of it, by yourself and by
    /// others, and mark the run's records. With `join` a history that contradicts its marks is
    /// refused, also for those who are no members
    #[arg(long, value_name = "DIR")]
    pub commons: Option<PathBuf>,
    /// Folder of your keys in the commons
    #[arg(long, value_name = "DIR", requires = "commons")]
    pub keys: Option<PathBuf>,
    /// Mark the records whose height this number divides, at most one a minute, and the last one
    #[arg(long, value_name = "N", default_value_t = 16, requires = "commons",
          value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub mark_every: u64,
    /// Threads; changes no bit
    #[arg(long)]
    pub threads: Option<usize>,
    /// Derive this peer's key from a number, for tests and demos only
    #[arg(long, hide = true, conflicts_with = "key")]
    pub key_seed: Option<u64>,
    /// Cheat, to see it caught
    #[arg(long, value_parser = cheats(), hide = true)]
    pub cheat: Option<Cheat>,
    /// Stop when standard input closes
    #[arg(long, hide = true)]
    pub leash: bool,
    /// Stop when the run has finished instead of serving it to others
    #[arg(long)]
    pub once: bool,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
}

#[derive(Subcommand, Debug)]
pub enum BenchCommand {
    /// A training step at about 1M, 10M and 50M parameters
    Train {
        /// 1m, 10m, 50m; all by default
        #[arg(long)]
        size: Vec<String>,
        #[arg(long)]
        threads: Option<usize>,
        /// Timed steps
        #[arg(long, default_value_t = 7)]
        steps: usize,
        #[arg(long)]
        json: bool,
    },
    /// What co-training costs: four peers against one process, bytes, share of auditing
    Swarm {
        /// Seconds each side trains
        #[arg(long, default_value_t = 60.0)]
        seconds: f64,
        #[arg(long)]
        json: bool,
    },
    /// Running a model: tokens per second of a prompt, of decoding and of several streams
    Run(BenchRunArgs),
    /// What 8-bit inputs of quantized products lose against f32 inputs: divergence, perplexity
    Inputs(BenchInputsArgs),
    /// Loss of 4 workers with H inner steps against plain data-parallel training at equal tokens
    LossGap {
        /// Inner steps per round
        #[arg(long, default_value_t = 30)]
        h: u32,
        #[arg(long, default_value_t = 4)]
        workers: u32,
        /// Rounds
        #[arg(long, default_value_t = 20)]
        rounds: u32,
        /// Text to train on; by default the documentation in the local cargo registry
        #[arg(long, value_name = "PATH", num_args = 1..)]
        data: Vec<PathBuf>,
        /// Settings of the run, as `swarm config` prints them
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args, Debug)]
pub struct BenchRunArgs {
    /// A .gguf file or a Hugging Face folder
    pub model: PathBuf,
    /// Tokens of the prompt
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub prompt: u32,
    /// Tokens to decode
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub generate: u32,
    /// Sequences side by side in the last test; 1 leaves it out
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub streams: u32,
    /// How often each is measured, in turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub turns: u32,
    #[arg(long)]
    pub threads: Option<usize>,
    /// llama.cpp's llama-bench, to be measured in turn on the same file and threads
    #[arg(long, value_name = "PROGRAM")]
    pub beside: Option<PathBuf>,
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct BenchInputsArgs {
    /// A .gguf file, a Hugging Face folder, or what else `run` takes
    pub model: PathBuf,
    /// The text to predict
    #[arg(long, value_name = "FILE")]
    pub text: PathBuf,
    /// Tokens of it; of each window the second half is counted
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(4..=1 << 24))]
    pub tokens: u32,
    /// Tokens of a window
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(4..=1 << 20))]
    pub window: u32,
    #[arg(long)]
    pub threads: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

fn parse_share(text: &str) -> Result<f64, String> {
    let (number, unit) = match text.strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    let share = number.trim().parse::<f64>().map_err(|e| e.to_string())? / unit;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("must be from 0% to 100%".to_owned()) }
}
