//! What the rules know of Rust: which of it ships, what is a comment, where a signature ends. The
//! source is formatted by rustfmt, so indentation says where an item ends.

use crate::tree::Tree;
use std::collections::BTreeSet;

/// The lines of a file that are in what ships, with their numbers from 1: no tests, no comments.
pub fn shipped(text: &str) -> Vec<(usize, &str)> {
    let mut kept = Vec::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        if line.trim_start() == "#[cfg(test)]" {
            let indent = &line[..line.len() - line.trim_start().len()];
            skip_item(indent, &mut lines);
        } else if !line.trim_start().starts_with("//") {
            kept.push((number, line));
        }
    }
    kept
}

/// Goes on behind an item whose first line is indented by `indent`.
fn skip_item<'a>(indent: &str, lines: &mut impl Iterator<Item = (usize, &'a str)>) {
    for (_, line) in lines {
        let Some(rest) = line.strip_prefix(indent) else { continue };
        let outermost = !rest.starts_with(' ');
        if outermost && !rest.starts_with('#') && rest.ends_with([';', '}', ',']) {
            return;
        }
    }
}

/// Files that hold tests alone: those in folders for tests, and modules declared for tests.
pub fn test_files(tree: &Tree) -> BTreeSet<&str> {
    let declared: BTreeSet<String> = tree.rust().flat_map(declared_for_tests).collect();
    let of_module = |path: &str| {
        let module = path.trim_end_matches(".rs");
        declared.iter().any(|name| {
            module.strip_prefix(name.as_str()).is_some_and(|r| r.is_empty() || r.starts_with('/'))
        })
    };
    let folders = ["tests", "benches", "examples", "fuzz"];
    let in_folder = |path: &str| path.split('/').any(|part| folders.contains(&part));
    let tests = |path: &&str| in_folder(path) || path.ends_with("/tests.rs") || of_module(path);
    tree.rust().map(|(path, _)| path).filter(tests).collect()
}

/// Paths, without `.rs`, of the modules that a file declares under `#[cfg(test)]`.
fn declared_for_tests((path, text): (&str, &str)) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let module = |pair: &[&str]| {
        let declaration = pair[1].strip_suffix(';')?;
        let name = declaration.rsplit(' ').next()?;
        let is_module = declaration.ends_with(&format!("mod {name}"));
        (pair[0] == "#[cfg(test)]" && is_module).then(|| format!("{}/{name}", inside(path)))
    };
    lines.windows(2).filter_map(module).collect()
}

/// The folder of the modules inside the file `path`.
fn inside(path: &str) -> &str {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    match name {
        "lib.rs" | "main.rs" | "mod.rs" => folder,
        _ => path.trim_end_matches(".rs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_tests_does_not_ship() {
        let text = "use a;\n#[cfg(test)]\nmod tests;\nfn b() {}\n#[cfg(test)]\n#[derive(Debug)]\n\
                    struct C {\n    d: u8,\n}\n// comment\nstruct E {\n    f: u8,\n    #[cfg(test)]\n    \
                    g: u8,\n    h: u8,\n}\n#[cfg(test)]\nmod tests {\n    fn i() {\n    }\n}\nfn j() {}\n";
        let lines: Vec<&str> = shipped(text).into_iter().map(|(_, line)| line).collect();
        let wanted =
            ["use a;", "fn b() {}", "struct E {", "    f: u8,", "    h: u8,", "}", "fn j() {}"];
        assert_eq!(lines, wanted);
        assert_eq!(shipped("// a\n\nb\n").last(), Some(&(3, "b")));
    }

    #[test]
    fn modules_declared_for_tests_are_tests() {
        let tree = Tree::made_up(&[
            ("crates/a/src/lib.rs", "mod b;\n#[cfg(test)]\nmod world;\n"),
            ("crates/a/src/b.rs", "#[cfg(test)]\npub(crate) mod model;\nmod modest;\n"),
            ("crates/a/src/b/model.rs", ""),
            ("crates/a/src/b/model/moves.rs", ""),
            ("crates/a/src/b/modest.rs", ""),
            ("crates/a/src/world.rs", ""),
            ("crates/a/src/b/tests.rs", ""),
            ("crates/a/tests/c.rs", ""),
        ]);
        let found: Vec<&str> = test_files(&tree).into_iter().collect();
        assert_eq!(
            found,
            [
                "crates/a/src/b/model.rs",
                "crates/a/src/b/model/moves.rs",
                "crates/a/src/b/tests.rs",
                "crates/a/src/world.rs",
                "crates/a/tests/c.rs",
            ]
        );
    }
}
