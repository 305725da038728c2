//! Encodes texts, for comparing a tokenizer with other programs.
//!
//! Usage: `tokens MODEL < LINES`: MODEL is a GGUF file or a folder with `tokenizer.json`; each
//! line is JSON, `{"text": …, "special": bool}`. Prints for each line the ids and the text they
//! decode to, as JSON. On standard error: milliseconds to load and to encode.

use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

use engine::EngineError;
use model::FormatError;
use serde::Deserialize;
use text::Tokenizer;

#[derive(Deserialize)]
struct Line {
    text: String,
    #[serde(default)]
    special: bool,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: tokens MODEL < LINES")?;
    let tokenizer = load(Path::new(&path))?;
    let mut milliseconds = 0.0;
    for line in std::io::stdin().lock().lines() {
        let line: Line = serde_json::from_str(&line?)?;
        let start = Instant::now();
        let ids = tokenizer.encode_with(&line.text, line.special)?;
        milliseconds += start.elapsed().as_secs_f64() * 1e3;
        println!("{}", serde_json::json!({ "ids": ids, "text": tokenizer.decode(&ids) }));
    }
    eprintln!("{milliseconds:.1} ms to encode");
    Ok(())
}

fn load(path: &Path) -> Result<Tokenizer, EngineError> {
    let start = Instant::now();
    if path.is_dir() {
        let files = model::weights::SmallFiles::Folder(path.to_owned());
        let tokenizer = engine::hf::tokenizer(&files)?;
        eprintln!("{:.1} ms to load", start.elapsed().as_secs_f64() * 1e3);
        return Ok(tokenizer);
    }
    let bytes =
        std::fs::read(path).map_err(|source| FormatError::Io { path: path.to_owned(), source })?;
    let file = model::gguf::parse(&bytes)?;
    let start = Instant::now();
    let tokenizer = engine::gguf::tokenizer(file.metadata())?;
    eprintln!("{:.1} ms to load", start.elapsed().as_secs_f64() * 1e3);
    Ok(tokenizer)
}
