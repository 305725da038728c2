//! Builds the documentation of every crate, in which no link may lead nowhere.

use std::{env, path::Path, process::Command};

const DENIED: &str = "-D rustdoc::broken_intra_doc_links -D rustdoc::private_intra_doc_links";

/// Whether the documentation of the project at `project` builds.
pub fn build(project: &Path) -> Result<bool, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["doc", "--workspace", "--no-deps", "--quiet"])
        .current_dir(project)
        .env("RUSTDOCFLAGS", flags(env::var("RUSTDOCFLAGS").ok()))
        .status()
        .map_err(|e| format!("cannot start cargo: {e}"))?;
    println!(
        "{}",
        if status.success() { "ok      documentation" } else { "FAILED  documentation" }
    );
    Ok(status.success())
}

/// What rustdoc gets: the flags of whoever called, and ours.
fn flags(given: Option<String>) -> String {
    [given.as_deref().unwrap_or_default(), DENIED].join(" ").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_links_are_denied_beside_other_flags() {
        assert_eq!(flags(None), DENIED);
        assert_eq!(flags(Some("--cfg docsrs".to_owned())), format!("--cfg docsrs {DENIED}"));
    }
}
