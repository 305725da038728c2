//! Checks of the source itself that no compiler makes: `cargo run -p xtask -- house` and
//! `cargo run -p xtask -- docs`.
#![forbid(unsafe_code)]

mod docs;
mod house;
mod rules;
mod source;
mod tree;

use std::{path::Path, process::ExitCode};

const USAGE: &str = "usage: cargo run -p xtask -- COMMAND

  house   Checks the house rules in all files that git tracks.
  docs    Builds the documentation; a link that leads nowhere is an error.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let done = match args[..] {
        ["house"] => house::check(&project),
        ["docs"] => docs::build(&project),
        ["help" | "-h" | "--help"] => {
            println!("{USAGE}");
            Ok(true)
        }
        _ => Err(format!("no such command\n{USAGE}")),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
    }
}
