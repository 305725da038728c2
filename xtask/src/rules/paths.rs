//! What one file says of another is there.

use crate::tree::Tree;

/// Every `crates/…` that ends like a file of ours, in any text: docs, checks, manifests, comments.
/// The history of changes may name what is gone, and this program's tests make paths up.
pub fn dead_paths(tree: &Tree) -> Vec<String> {
    let ours = |path: &str| path != "CHANGELOG.md" && !path.starts_with("xtask/src/");
    let mut found = Vec::new();
    for (path, text) in tree.texts().filter(|(path, _)| ours(path)) {
        for (number, line) in (1..).zip(text.lines()) {
            let dead = named(line).into_iter().filter(|name| !tree.has(name));
            found.extend(dead.map(|name| format!("{path}:{number}: there is no {name}")));
        }
    }
    found
}

/// The paths into `crates/` that a line names.
fn named(line: &str) -> Vec<&str> {
    let part = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    let kinds = [".rs", ".json", ".py", ".sh", ".mjs", ".toml"];
    let whole =
        |at: usize| !line[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || "_-".contains(c));
    let path = |(at, _): (usize, &str)| {
        let rest = &line[at..];
        let path = &rest[..rest.find(|c| !part(c)).unwrap_or(rest.len())];
        let path = path.trim_end_matches('.');
        (whole(at) && kinds.iter().any(|kind| path.ends_with(kind))).then_some(path)
    };
    line.match_indices("crates/").filter_map(path).collect()
}

/// Every module that is taken from a path of its own. A path counts from the folder of the file that names it.
pub fn dead_modules(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree.rust().filter(|(path, _)| !path.starts_with("xtask/src/")) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_start();
            let named = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]"));
            let dead = named.filter(|named| !tree.has(&resolved(folder, named)));
            found.extend(dead.map(|named| format!("{path}:{number}: there is no {named}")));
        }
    }
    found
}

/// `path` from `folder`, without `.` and `..`.
fn resolved(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leads_nowhere_is_found() {
        let text = "See crates/a/src/lib.rs and `crates/a/src/gone.rs`.\nnot-crates/a/b.rs crates/a/src/ crates/a.md\n";
        let tree = Tree::made_up(&[
            ("crates/a/src/lib.rs", ""),
            ("docs/a.md", text),
            ("checks/b.toml", "file = \"../crates/b/data.json\""),
            ("CHANGELOG.md", text),
        ]);
        let found = [
            "checks/b.toml:1: there is no crates/b/data.json",
            "docs/a.md:1: there is no crates/a/src/gone.rs",
        ];
        assert_eq!(dead_paths(&tree), found);
    }

    #[test]
    fn a_module_whose_path_leads_nowhere_is_found() {
        let text = "#[path = \"../examples/data.rs\"]\nmod data;\n    #[path = \"gone.rs\"]\n    mod gone;\n";
        let tree =
            Tree::made_up(&[("crates/a/tests/b.rs", text), ("crates/a/examples/data.rs", "")]);
        assert_eq!(dead_modules(&tree), ["crates/a/tests/b.rs:3: there is no gone.rs"]);
    }
}
