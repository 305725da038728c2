//! What a command found, for people or for programs.

use anyhow::Result;

/// Prints a view as JSON or as text.
pub fn print(
    json: bool,
    view: &impl serde::Serialize,
    text: impl FnOnce() -> String,
) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string(view)?);
    } else {
        print!("{}", text());
    }
    Ok(())
}
