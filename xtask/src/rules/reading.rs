//! What is read whole is read by `bounded`, or says in the same statement how far.

use crate::{
    source::{shipped, test_files},
    tree::Tree,
};

/// Files that may read without a limit, and why.
const MAY: &[(&str, &str)] = &[
    ("crates/bounded/src/lib.rs", "this is where the limits are held"),
    ("xtask/src/rules/reading.rs", "it names what the rule looks for"),
    ("xtask/src/tree.rs", "the project's own files, as git lists them"),
];

/// Reads without a limit: a whole file by its path, or all of a reader that no `take` ends.
pub fn unbounded(tree: &Tree) -> Vec<String> {
    let tests = test_files(tree);
    let may = |path: &str| MAY.iter().any(|(known, _)| *known == path);
    let mut found = stale(tree);
    for (path, text) in tree.rust().filter(|(path, _)| !may(path) && !tests.contains(path)) {
        let mut statement = String::new();
        for (number, line) in shipped(text) {
            let code = line.split(" //").next().unwrap_or_default().trim();
            statement += code;
            if reads_whole(code, &statement) {
                found.push(format!("{path}:{number}: {code}"));
            }
            if code.ends_with([';', '{', '}']) || code.ends_with("=>") {
                statement.clear();
            }
        }
    }
    found
}

/// Whether a line reads something whole; `statement` is what it belongs to, as far as it.
fn reads_whole(line: &str, statement: &str) -> bool {
    let by_path = ["fs::read(", "fs::read_to_string(", "io::read_to_string("];
    let to_end = [".read_to_end(", ".read_to_string("];
    by_path.iter().any(|call| line.contains(call))
        || to_end.iter().any(|call| line.contains(call)) && !statement.contains(".take(")
}

/// Exceptions for files that need none any more.
fn stale(tree: &Tree) -> Vec<String> {
    let reads = |text: &str| shipped(text).iter().any(|(_, line)| reads_whole(line, ""));
    let needless = |path: &str| tree.rust().any(|(known, text)| known == path && !reads(text));
    let needless = MAY.iter().filter(|(path, _)| needless(path));
    needless
        .map(|(path, _)| format!("{path}: reads nothing whole and needs no exception"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        unbounded(&Tree::made_up(&[(path, text)])).len()
    }

    #[test]
    fn what_reads_without_a_limit_is_found() {
        for text in [
            "let bytes = fs::read(path)?;",
            "let text = std::fs::read_to_string(path)?;",
            "let text = io::read_to_string(io::stdin())?;",
            "file.read_to_end(&mut bytes)?;",
            "File::open(path)\n    .and_then(|mut f| f.read_to_string(&mut text))?;",
            "let a = file.take(3);\nother.read_to_end(&mut bytes)?;",
        ] {
            assert_eq!(found("crates/a/src/b.rs", text), 1, "{text}");
            assert_eq!(found("xtask/src/b.rs", text), 1, "{text}");
            for path in ["crates/a/tests/b.rs", "crates/a/src/tests.rs"] {
                assert_eq!(found(path, text), 0, "{path}: {text}");
            }
        }
    }

    #[test]
    fn what_has_a_limit_or_a_reason_is_not() {
        for text in [
            "let bytes = bounded::read(path, MOST)?;",
            "file.take(MOST).read_to_end(&mut bytes)?;",
            "let read = Members::new(packed)\n    .take(MOST)\n    .read_to_end(&mut bytes);",
            "// fs::read(path)",
            "let body = read_to_end(&mut recv, most, GRACE).await?;",
            "#[cfg(test)]\nmod tests {\n    fn a() {\n        fs::read(b);\n    }\n}\n",
        ] {
            assert_eq!(found("crates/a/src/b.rs", text), 0, "{text}");
        }
        for (path, _) in MAY {
            assert_eq!(found(path, "fs::read(path)?;"), 0);
            assert_eq!(found(path, "nothing();"), 1, "the exception is stale");
        }
    }
}
