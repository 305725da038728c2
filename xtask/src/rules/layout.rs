//! Where things lie, and what stands at the top of a crate.

use crate::tree::Tree;

const MOST_LINES: usize = 900;
const KERNEL: &str = "crates/kernel/";

pub fn long_files(tree: &Tree) -> Vec<String> {
    let long = |(path, text): (&str, &str)| {
        let lines = text.lines().count();
        (lines > MOST_LINES).then(|| format!("{path}: {lines} lines"))
    };
    tree.rust().filter_map(long).collect()
}

/// The root of every crate but kernel forbids unsafe code.
pub fn unsafe_code(tree: &Tree) -> Vec<String> {
    let root = |path: &str| path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs");
    let open = |(path, text): &(&str, &str)| {
        root(path) && !path.starts_with(KERNEL) && !has_line(text, "#![forbid(unsafe_code)]")
    };
    tree.rust().filter(open).map(|(path, _)| path.to_owned()).collect()
}

/// Public items of libraries have docs.
pub fn undocumented(tree: &Tree) -> Vec<String> {
    let open =
        |(path, text): &(&str, &str)| library(path) && !has_line(text, "#![deny(missing_docs)]");
    tree.rust().filter(open).map(|(path, _)| path.to_owned()).collect()
}

fn library(path: &str) -> bool {
    path.starts_with("crates/") && path.ends_with("/src/lib.rs")
}

fn has_line(text: &str, wanted: &str) -> bool {
    text.lines().any(|line| line == wanted)
}

/// A module is NAME.rs, with what is inside in NAME/; cargo itself wants mod.rs for what tests share.
pub fn modules(tree: &Tree) -> Vec<String> {
    let shared = |path: &str| {
        let parts: Vec<&str> = path.rsplit('/').collect();
        matches!(parts[..], [_, _, "tests" | "benches", ..])
    };
    let wrong = |path: &&str| path.ends_with("/mod.rs") && !shared(path);
    tree.paths().filter(wrong).map(str::to_owned).collect()
}

pub fn kernel_dependencies(tree: &Tree) -> Vec<String> {
    let manifest = format!("{KERNEL}Cargo.toml");
    let Some(text) = tree.text(&manifest) else {
        return vec![format!("{manifest} is not there")];
    };
    let mut within = false;
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            within = section.ends_with("dependencies") && !section.ends_with("dev-dependencies");
        } else if within && !line.is_empty() && !line.starts_with('#') {
            found.push(format!("{manifest}: {line}"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_found() {
        let (most, more) = ("a\n".repeat(900), "a\n".repeat(901));
        let tree = Tree::made_up(&[("a.rs", &most), ("b.rs", &more), ("c.md", &more)]);
        assert_eq!(long_files(&tree), ["b.rs: 901 lines"]);
    }

    #[test]
    fn a_crate_that_may_be_unsafe_is_found() {
        let forbids = "//! A crate.\n#![forbid(unsafe_code)]\n";
        let tree = Tree::made_up(&[
            ("crates/kernel/src/lib.rs", ""),
            ("crates/good/src/lib.rs", forbids),
            ("crates/good/src/inner.rs", ""),
            ("crates/bad/src/lib.rs", "// #![forbid(unsafe_code)]\n"),
            ("fuzz/src/lib.rs", ""),
            ("xtask/src/main.rs", ""),
        ]);
        let found = ["crates/bad/src/lib.rs", "fuzz/src/lib.rs", "xtask/src/main.rs"];
        assert_eq!(unsafe_code(&tree), found);
    }

    #[test]
    fn a_library_that_may_be_undocumented_is_found() {
        let tree = Tree::made_up(&[
            ("crates/good/src/lib.rs", "//! A crate.\n#![deny(missing_docs)]\n"),
            ("crates/bad/src/lib.rs", "#![warn(missing_docs)]\n"),
            ("crates/program/src/main.rs", ""),
        ]);
        assert_eq!(undocumented(&tree), ["crates/bad/src/lib.rs"]);
    }

    #[test]
    fn a_mod_rs_is_found() {
        let tree = Tree::made_up(&[
            ("crates/a/tests/common/mod.rs", ""),
            ("crates/a/benches/common/mod.rs", ""),
            ("crates/a/src/b/mod.rs", ""),
            ("crates/a/tests/deep/down/mod.rs", ""),
            ("crates/a/src/b.rs", ""),
        ]);
        assert_eq!(modules(&tree), ["crates/a/src/b/mod.rs", "crates/a/tests/deep/down/mod.rs"]);
    }

    #[test]
    fn a_dependency_of_the_kernel_is_found() {
        let of =
            |text: &str| kernel_dependencies(&Tree::made_up(&[("crates/kernel/Cargo.toml", text)]));
        let none = "[package]\nname = \"kernel\"\n[dependencies]\n\n# none\n[dev-dependencies]\na = \"1\"\n";
        assert!(of(none).is_empty());
        assert_eq!(of("[dependencies]\nb = \"1\"\n"), ["crates/kernel/Cargo.toml: b = \"1\""]);
        assert_eq!(of("[target.'cfg(unix)'.dependencies]\nb = \"1\"\n[lints]\nc = 1\n").len(), 1);
        assert_eq!(kernel_dependencies(&Tree::made_up(&[])).len(), 1);
    }
}
