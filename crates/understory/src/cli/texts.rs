//! The commands that read and write text with a model.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Args, Debug)]
pub struct RunArgs {
    /// Use this model: the folder of a demo, of a peer or of a Hugging Face model; a .gguf file or
    /// a folder with one; FOLDER@ROOT; or hf:OWNER/NAME as in `pull`, which is fetched if it is not
    /// on this machine yet
    pub model: String,
    /// Say this to a model with a chat template, or continue it. Text from standard input is added
    /// below it; on a terminal, with neither, a conversation starts
    pub prompt: Option<String>,
    /// Read the prompt from a file
    #[arg(long, value_name = "FILE")]
    pub prompt_file: Option<PathBuf>,
    /// Begin the conversation with this system prompt
    #[arg(long)]
    pub system: Option<String>,
    /// Continue the text as it is, without the model's chat template
    #[arg(long)]
    pub raw: bool,
    /// Treat special tokens in the text, such as <|im_start|>, as special tokens
    #[arg(long)]
    pub special: bool,
    /// Use the model's chat template of this name, such as tool_use
    #[arg(long, value_name = "NAME", conflicts_with = "raw")]
    pub template_name: Option<String>,
    /// Choose what quantized weights are multiplied with: inputs rounded to 8-bit integers, as
    /// other programs do, or f32 inputs, which are slower and closer to the model before it was
    /// quantized
    #[arg(long, value_enum, default_value_t = Inputs::Int8)]
    pub inputs: Inputs,
    /// Generate at most this many tokens; -1 lifts the limit. By default 128 are generated where a text
    /// is continued, and answers have no limit
    #[arg(short = 'n', long, value_name = "N", value_parser = parse_most,
          allow_negative_numbers = true)]
    pub max_tokens: Option<usize>,
    /// Keep prompt and answer together within this many tokens, fewer than the model's context
    #[arg(long, value_name = "N")]
    pub context: Option<usize>,
    /// End where the model writes this; can be given several times. It is not shown
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub stop: Vec<String>,
    /// Make unlikely tokens likelier the higher this is; 0 always takes the most likely token
    #[arg(long, default_value_t = 0.8, allow_negative_numbers = true)]
    pub temperature: f32,
    /// Keep the most likely tokens that together have this probability
    #[arg(long, default_value_t = 0.95, allow_negative_numbers = true)]
    pub top_p: f32,
    /// Keep this many of the most likely tokens; 0 keeps all
    #[arg(long, default_value_t = 40)]
    pub top_k: usize,
    /// Drop tokens less likely than this part of the most likely one
    #[arg(long, default_value_t = 0.05, allow_negative_numbers = true)]
    pub min_p: f32,
    /// Divide the positive logits of recent tokens by this and multiply the others, as llama.cpp
    /// does; 1 changes nothing
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub repeat_penalty: f32,
    /// Apply --repeat-penalty to this many of the last tokens
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub repeat_last: usize,
    /// Take this from a token's logit for each time that it was written, as OpenAI does
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    pub frequency_penalty: f32,
    /// Take this from the logit of every token that was written, as OpenAI does
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    pub presence_penalty: f32,
    /// Draw the choices by this seed; -1 takes one at random and says which
    #[arg(long, default_value = "0", value_parser = parse_seed, allow_negative_numbers = true)]
    pub seed: Seed,
    /// Work on this many threads, which changes no bit
    #[arg(long)]
    pub threads: Option<usize>,
    /// Print one JSON object with the text, the tokens, why it ended, the seed and the root
    #[arg(long)]
    pub json: bool,
}

/// A text that a model only reads.
#[derive(Args, Debug)]
pub struct TextArgs {
    /// Read this text. Text from standard input is added below it
    pub text: Option<String>,
    /// Read the text from a file
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Treat special tokens in the text, such as <|im_start|>, as special tokens
    #[arg(long)]
    pub special: bool,
}

#[derive(Args, Debug)]
pub struct TokensArgs {
    /// Use this model's tokenizer; it is named as for `run`
    pub model: String,
    #[command(flatten)]
    pub text: TextArgs,
    /// Leave out the tokens that the model puts before every text
    #[arg(long)]
    pub bare: bool,
    /// Print one JSON object with the count, the bytes, and the tokens with their ids and pieces
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct ScoreArgs {
    /// Use this model; it is named as for `run`
    pub model: String,
    #[command(flatten)]
    pub text: TextArgs,
    /// Print only the sums, without a line for each token
    #[arg(long)]
    pub total: bool,
    /// Read a longer text in overlapping windows of this many tokens. The default is the model's
    /// context
    #[arg(long, value_name = "N")]
    pub context: Option<usize>,
    /// Choose what quantized weights are multiplied with, as in `run`
    #[arg(long, value_enum, default_value_t = Inputs::Int8)]
    pub inputs: Inputs,
    /// Work on this many threads, which changes no bit
    #[arg(long)]
    pub threads: Option<usize>,
    /// Print one JSON object with the tokens and their log-probabilities, the sum, the perplexity
    /// and the bits per byte
    #[arg(long)]
    pub json: bool,
}

/// Inputs of products with quantized weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Inputs {
    Int8,
    F32,
}

impl From<Inputs> for kernel::Activations {
    fn from(inputs: Inputs) -> Self {
        match inputs {
            Inputs::Int8 => Self::Int8,
            Inputs::F32 => Self::F32,
        }
    }
}

/// Where the seed comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seed {
    Given(u64),
    Drawn,
}

/// A seed; negative ones other than -1 are as large as other programs make them.
fn parse_seed(text: &str) -> Result<Seed, String> {
    match text.parse::<i128>() {
        Ok(-1) => Ok(Seed::Drawn),
        Ok(seed) if seed >= i64::MIN.into() && seed <= u64::MAX.into() => {
            Ok(Seed::Given(seed as u64))
        }
        _ => Err(format!("must be a whole number from {} to {}", i64::MIN, u64::MAX)),
    }
}

fn parse_most(text: &str) -> Result<usize, String> {
    match text.parse::<i64>() {
        Ok(-1) => Ok(usize::MAX),
        Ok(most) => usize::try_from(most).map_err(|_| MOST.to_owned()),
        Err(_) => Err(MOST.to_owned()),
    }
}

const MOST: &str = "must be a number of tokens, or -1 for no limit";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_numbers_mean_what_they_do_elsewhere() {
        assert_eq!(parse_seed("-1"), Ok(Seed::Drawn));
        assert_eq!(parse_seed("-2"), Ok(Seed::Given(u64::MAX - 1)));
        assert_eq!(parse_seed("18446744073709551615"), Ok(Seed::Given(u64::MAX)));
        assert!(parse_seed("18446744073709551616").is_err() && parse_seed("x").is_err());
        assert_eq!((parse_most("-1"), parse_most("7")), (Ok(usize::MAX), Ok(7)));
        assert!(parse_most("-2").is_err());
    }
}
