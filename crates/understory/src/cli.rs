//! The commands and their flags: one definition feeds parsing, help and the docs.

mod bench;
mod help;
mod texts;

pub use bench::{
    ArithmeticArgs, BenchCommand, BenchInputsArgs, BenchRunArgs, BenchSwarmArgs, BenchTrainArgs,
    LossGapArgs, TrainedOn,
};
pub use texts::{RunArgs, ScoreArgs, Seed, TextArgs, TokensArgs};

use crate::commons::cli::{
    CommonsCommand, KeyCommand, ProposeArgs, QuestionArgs, TallyArgs, VoteArgs,
};
use clap::{
    Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
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

impl Cli {
    /// What this process was asked for; whatever cannot be understood ends it with a usage error.
    pub fn asked() -> Self {
        let program = help::with_negative_numbers(help::grouped(Self::command()));
        Self::from_arg_matches(&program.get_matches()).unwrap_or_else(|error| error.exit())
    }
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Train a small model with four peers on this machine, one of which cheats
    Demo(DemoArgs),
    /// Fetch a model from a hub, an address or a path, and check every byte
    ///
    /// Prints the path that `run` takes. Resumes interrupted downloads; skips files that are
    /// already there. The token for the hub comes from HF_TOKEN or from the file that `hf auth
    /// login` writes; HF_ENDPOINT sets the address of another hub.
    Pull(PullArgs),
    /// Generate text with a model
    Run(RunArgs),
    /// Show the tokens into which a model splits a text
    Tokens(TokensArgs),
    /// Show how likely a model finds a text, token by token
    ///
    /// Prints natural logarithms. A text longer than the context is read in overlapping windows:
    /// after the first window, every token is predicted from at least half a window of text before
    /// it.
    Score(ScoreArgs),
    /// Give a model in other files a root: the hash of everything in it
    ///
    /// The files stay where they are and are not copied: the store keeps the hash of each tensor
    /// and its place in the files. Prints STORE@ROOT, which every command accepts as a model.
    Import(ImportArgs),
    /// Describe a model: architecture, parameters, types, tokenizer, template, lineage
    Inspect(InspectArgs),
    /// Show what differs between two models, and by how much
    ///
    /// Compares the values of tensors, so the two models may have different layouts and weight
    /// formats. Exit status: 0 the same, 1 different, 2 failed.
    Diff(DiffArgs),
    /// Re-run contributions to a co-training and compare the results
    ///
    /// Works on a run that has finished or is still going, from the objects in its folder. Exit
    /// status: 0 confirmed, 1 mismatch, 2 unavailable or failed.
    Verify(VerifyArgs),
    /// Write a model in the format of another program
    Export(ExportArgs),
    /// Train a model together with others
    Swarm {
        #[command(subcommand)]
        command: SwarmCommand,
    },
    /// Hold models in common, with a signed log of who made what and who decides
    Commons {
        #[command(subcommand)]
        command: CommonsCommand,
    },
    /// Create, show, replace and recover your keys
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Put a question to the members of a commons
    Propose(ProposeArgs),
    /// Cast a ballot
    Vote(VoteArgs),
    /// Count the ballots on a question, and explain the count
    Tally(TallyArgs),
    /// Show how few voters, or which employer, could change a result
    Margin(QuestionArgs),
    /// Show a panel that was drawn by lot
    Panel(QuestionArgs),
    /// Measure this program on this machine
    Bench {
        #[command(subcommand)]
        command: BenchCommand,
    },
    /// Run the protocol against attackers in a simulated network
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
    /// Run every known attack and print a table of the results
    ///
    /// Exit status: 0 every promise held, 1 a promise was broken, 2 failed.
    Attacks(SimArgs),
}

#[derive(Args, Debug)]
pub struct SimArgs {
    /// Simulate this many networks for each attack and each share of the standing
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub seeds: u64,
    /// Run only the attacks whose names contain this text
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,
    /// Print one line of JSON for each row
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
    /// Start this many peers, each as its own process
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub peers: u32,
    /// Let this many of the peers cheat
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=15))]
    pub cheaters: u32,
    /// Choose how they cheat
    #[arg(long, value_parser = cheats(), default_value_t = Cheat::SignFlip)]
    pub cheat: Cheat,
    /// Train on these files or folders (.txt, .md, .jsonl, .ndjson, .json, also .gz and
    /// .zst; .parquet) instead of the documentation in the local cargo registry
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// Train a model of this family: llama, mistral, falcon, smollm3, qwen2, qwen3, gemma2 or
    /// gemma3
    #[arg(long, default_value_t = Family::Llama)]
    pub family: Family,
    /// Train for about this many minutes
    #[arg(long, default_value_t = 2.0, conflicts_with = "steps")]
    pub minutes: f64,
    /// Train for this many rounds
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rounds: Option<u32>,
    /// Have every peer take exactly this many steps in a round, instead of as many as fit into the
    /// time. With this, the same command gives the same bits every time
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub steps: Option<u32>,
    /// Derive the peers' keys and the first parameters from this number
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Put the run into this folder. The default is the first unused name of understory-demo,
    /// understory-demo-2, …
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Continue the newest demo, or the one in --dir
    #[arg(long)]
    pub resume: bool,
    /// Serve the page at this port of 127.0.0.1. The default is 7070, or a free port if 7070 is
    /// taken; 0 chooses a free port
    #[arg(long)]
    pub port: Option<u16>,
    /// Do not serve the page
    #[arg(long)]
    pub no_page: bool,
    /// Keep serving the page after the run has ended, until Ctrl-C
    #[arg(long)]
    pub stay: bool,
    /// Print events as JSON, one object on each line
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct PullArgs {
    /// Fetch from here: hf:OWNER/NAME, https://…, or a path. After hf:OWNER/NAME, @REVISION chooses
    /// a revision and :FILE a file; part of a GGUF's name, such as Q4_K_M, is enough
    pub source: String,
    /// Put the files into this folder. The default is a folder in the user's cache
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Fail unless the file has this SHA-256
    #[arg(long, value_name = "HEX")]
    pub sha256: Option<String>,
    /// Print one JSON object with the path, the commit, and the files with their hashes
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct ImportArgs {
    /// Import this model: a .gguf file, a Hugging Face folder, a folder with one .gguf file, or
    /// hf:OWNER/NAME
    pub model: String,
    /// Keep the hashes in the store in this folder, which is created if needed
    #[arg(long, value_name = "DIR", default_value = "understory-models")]
    pub store: PathBuf,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct InspectArgs {
    /// Describe this model; it is named as for `run`
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
    /// Compare this model; it is named as for `run`
    pub a: String,
    /// Compare it with this model
    pub b: String,
    /// Print a line for every tensor that differs, instead of one for every layer
    #[arg(long)]
    pub tensors: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// Check the run in this folder of a demo or a peer
    pub run: PathBuf,
    /// Re-run every contribution
    #[arg(long, conflicts_with = "sample")]
    pub all: bool,
    /// Re-run this share of the contributions, for example 5%
    #[arg(long, default_value = "10%", value_parser = parse_share)]
    pub sample: f64,
    /// Draw the sample with this seed. The default is a new random seed each time
    #[arg(long)]
    pub seed: Option<u64>,
    /// Compare the run's records with the marks in the commons in this folder. If you are a member,
    /// also report there whether re-running gave the same model
    #[arg(long, value_name = "DIR")]
    pub commons: Option<PathBuf>,
    /// Use your keys for the commons from this folder
    #[arg(long, value_name = "DIR", requires = "commons")]
    pub keys: Option<PathBuf>,
    /// Work on this many threads, which changes no bit
    #[arg(long)]
    pub threads: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct ExportArgs {
    /// Export this model; it is named as for `run`
    pub model: String,
    /// Write this format
    #[arg(long, value_enum)]
    pub to: ExportFormat,
    /// Write into this folder, which must be empty or not exist yet
    pub dir: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// Writes a folder that Hugging Face transformers loads
    Hf,
    /// Writes a file that llama.cpp loads
    Gguf,
}

#[derive(Subcommand, Debug)]
pub enum SwarmCommand {
    /// Start a run and print what others need to join, or resume the run in the folder
    ///
    /// The founding voters decide together from the first round on. They are you, the friends to
    /// whom you give invitations, and the keys in --voters. The run begins once all of them are
    /// there. The open ticket is for everybody else: a peer that joins with it contributes at once,
    /// and votes once others have checked enough of its work.
    Start(StartArgs),
    /// Join a run, or resume the one in the folder
    Join(JoinArgs),
    /// Start a new run from the last model of an old one, with new founding voters
    ///
    /// Use this for a run that has ended, or that has stopped because too many of its voters are
    /// gone. The text, the tokenizer and the model's shape stay the same; every other setting can
    /// be changed.
    Continue(ContinueArgs),
    /// Show the state of a peer
    Status {
        /// Use the peer in this folder
        #[arg(default_value = "understory-swarm")]
        dir: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print this peer's key, for a file of voters; creates the key if there is none
    Key(SwarmKeyArgs),
    /// Print a configuration with every setting explained, to edit and start from
    Config,
}

#[derive(Args, Debug)]
pub struct StartArgs {
    /// Start a run with this configuration; `understory swarm config` prints one. Leave it out to
    /// resume a run
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub founding: FoundingArgs,
    #[command(flatten)]
    pub peer: PeerArgs,
}

/// Who founds a run besides whoever begins it.
#[derive(Args, Debug, Default)]
pub struct FoundingArgs {
    /// Create this many invitations. Each is a secret for one person: whoever uses it first becomes a
    /// founding voter
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=63))]
    pub friends: Option<u32>,
    /// Make the keys in this file founding voters. It has one key on each line, as `understory
    /// swarm key` prints it; # begins a comment. The word `members` instead of a file takes the
    /// keys that the members of the commons in --commons have named as theirs
    #[arg(long, value_name = "FILE")]
    pub voters: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct JoinArgs {
    /// Join with this ticket or invitation; - reads it from standard input. Leave it out to resume
    /// a run
    pub ticket: Option<String>,
    #[command(flatten)]
    pub peer: PeerArgs,
}

#[derive(Args, Debug)]
pub struct SwarmKeyArgs {
    /// Use the peer in this folder
    #[arg(long, value_name = "DIR", default_value = "understory-swarm")]
    pub dir: PathBuf,
    /// State in the commons in this folder that this peer is yours
    #[arg(long, value_name = "DIR")]
    pub commons: Option<PathBuf>,
    /// Use your keys for the commons from this folder
    #[arg(long, value_name = "DIR", requires = "commons")]
    pub keys: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct ContinueArgs {
    /// Continue from the last model in this folder of a peer of the old run
    pub from: PathBuf,
    /// Change the settings in this file: the lines of a configuration that differ from the old
    /// run's
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub founding: FoundingArgs,
    #[command(flatten)]
    pub peer: PeerArgs,
}

#[derive(Args, Debug)]
pub struct PeerArgs {
    /// Keep this peer's key, objects and log in this folder
    #[arg(long, value_name = "DIR", default_value = "understory-swarm")]
    pub dir: PathBuf,
    /// Listen on this address. 0.0.0.0:0 accepts connections from other machines; 127.0.0.1:0 does
    /// not
    #[arg(long, default_value = "0.0.0.0:0")]
    pub bind: std::net::SocketAddr,
    /// Be the peer whose secret key is in this file, such as `key` in the folder of another peer.
    /// The file is copied
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Use this relay for peers that cannot reach each other directly: the URL of an iroh relay, or
    /// "public"
    #[arg(long, value_name = "URL")]
    pub relay: Option<String>,
    /// Record in the commons in this folder what work you and others did and how checking it ended,
    /// and mark the run's records. `join` refuses a history that contradicts the marks there, even
    /// if you are not a member
    #[arg(long, value_name = "DIR")]
    pub commons: Option<PathBuf>,
    /// Use your keys for the commons from this folder
    #[arg(long, value_name = "DIR", requires = "commons")]
    pub keys: Option<PathBuf>,
    /// Mark every record whose height is a multiple of this number, at most one a minute, and the
    /// last record
    #[arg(long, value_name = "N", default_value_t = 16, requires = "commons",
          value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub mark_every: u64,
    /// Work on this many threads, which changes no bit
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
    /// Print events as JSON, one object on each line
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
