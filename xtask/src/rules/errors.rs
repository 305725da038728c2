//! What is said when something goes wrong, and what is not done yet.

use crate::{
    source::{shipped, test_files},
    tree::Tree,
};

/// Tests may unwrap; what ships states why a value must be there.
pub fn unwraps(tree: &Tree) -> Vec<String> {
    let tests = test_files(tree);
    let mut found = Vec::new();
    for (path, text) in tree.rust().filter(|(path, _)| !tests.contains(path)) {
        let lines =
            shipped(text).into_iter().filter(|(_, line)| line.contains(concat!(".unwrap", "()")));
        found.extend(lines.map(|(number, line)| format!("{path}:{number}: {}", line.trim())));
    }
    found
}

pub fn leftovers(tree: &Tree) -> Vec<String> {
    // Written in two halves, so that the rule does not find itself.
    let marks = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
    ];
    let kinds = [".rs", ".sh", ".mjs", ".py"];
    let mut found = Vec::new();
    for (path, text) in tree.texts().filter(|(path, _)| kinds.iter().any(|k| path.ends_with(k))) {
        let lines = (1..).zip(text.lines());
        let lines = lines.filter(|(_, line)| marks.iter().any(|mark| line.contains(mark)));
        found.extend(lines.map(|(number, line)| format!("{path}:{number}: {}", line.trim())));
    }
    found
}

/// A caller can tell errors apart only by a type: no public function, method of a public trait or
/// public alias of a library gives `Result<_, String>`.
pub fn text_errors(tree: &Tree) -> Vec<String> {
    let tests = test_files(tree);
    let library = |path: &str| {
        let inside = path.strip_prefix("crates/").is_some_and(|rest| rest.contains("/src/"));
        inside && !path.starts_with("crates/understory/") && !tests.contains(path)
    };
    let sources = tree.rust().filter(|(path, _)| library(path));
    let found = sources.flat_map(|(path, text)| {
        let signatures = with_text_error(text).into_iter();
        signatures.map(move |signature| format!("{path}:{signature}"))
    });
    found.collect()
}

/// `LINE: SIGNATURE` of what is public in a file and gives an error as text.
fn with_text_error(text: &str) -> Vec<String> {
    let lines = shipped(text);
    let mut in_trait = false;
    let mut found = Vec::new();
    for (at, (number, line)) in lines.iter().enumerate() {
        in_trait = line.starts_with("pub trait ") || in_trait && *line != "}";
        let begins = line.trim_start();
        let public = ["pub fn ", "pub async fn ", "pub const fn ", "pub type "];
        let method = in_trait && (begins.starts_with("fn ") || begins.starts_with("async fn "));
        if method || public.iter().any(|p| begins.starts_with(p)) {
            let signature = signature(lines[at..].iter().map(|(_, line)| *line));
            if gives_text(&signature) {
                found.push(format!("{number}: {begins}"));
            }
        }
    }
    found
}

/// What stands before the body, on one line.
fn signature<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let mut signature = String::new();
    for line in lines {
        let line = line.trim();
        signature += line;
        if line.ends_with(['{', ';', '}']) {
            break;
        }
    }
    signature
}

/// Whether there is a `Result` in it whose second type is `String`.
fn gives_text(signature: &str) -> bool {
    signature.match_indices("Result<").any(|(at, begins)| {
        let mut depth = 0;
        for (end, c) in signature[at + begins.len()..].char_indices() {
            let rest = &signature[at + begins.len() + end + c.len_utf8()..];
            match c {
                '<' | '(' | '[' => depth += 1,
                '>' | ')' | ']' if depth == 0 => return false,
                '>' | ')' | ']' => depth -= 1,
                ',' if depth == 0 => {
                    return rest
                        .trim_start()
                        .trim_start_matches("std::string::")
                        .starts_with("String>");
                }
                _ => {}
            }
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unwrap_in_what_ships_is_found() {
        let text = "fn a() {\n    b.unwrap();\n}\n// c.unwrap()\n#[cfg(test)]\nmod tests {\n    fn d() {\n        \
                    e.unwrap();\n    }\n}\n";
        let tree = Tree::made_up(&[
            ("crates/a/src/lib.rs", text),
            ("crates/a/src/tests.rs", text),
            ("crates/a/tests/all.rs", text),
            ("fuzz/src/lib.rs", text),
            ("xtask/src/main.rs", "fn f() {\n    g.unwrap_or(1)\n}\n"),
        ]);
        assert_eq!(unwraps(&tree), ["crates/a/src/lib.rs:2: b.unwrap();"]);
    }

    #[test]
    fn what_is_left_to_do_is_found() {
        let (todo, fixme) = (concat!("to", "do!(\"later\")"), concat!("# FIX", "ME"));
        let tree =
            Tree::made_up(&[("a.rs", todo), ("b.py", fixme), ("c.md", fixme), ("d.sh", "done")]);
        assert_eq!(leftovers(&tree), [format!("a.rs:1: {todo}"), format!("b.py:1: {fixme}")]);
    }

    const PUBLIC: &str = "pub fn a(x: u8) -> Result<u8, String> {\n}\n";

    #[test]
    fn a_public_error_of_text_is_found() {
        let found = |text: &str| text_errors(&Tree::made_up(&[("crates/a/src/b.rs", text)]));
        assert_eq!(found(PUBLIC), ["crates/a/src/b.rs:1: pub fn a(x: u8) -> Result<u8, String> {"]);
        let long = "    pub async fn a(\n        x: u8,\n    ) -> Result<Vec<(u8, u8)>, String>\n    where\n    {\n";
        assert_eq!(found(long).len(), 1);
        assert_eq!(
            found("pub type A =\n    dyn Fn(&[u8]) -> Result<(u8, u8), String> + Send;\n").len(),
            1
        );
        assert_eq!(found("pub trait A {\n    fn b(&self) -> Result<u8, String>;\n}\n").len(), 1);
    }

    #[test]
    fn what_is_no_public_error_of_text_is_left_alone() {
        let tree = Tree::made_up(&[
            ("crates/a/src/b.rs", "pub(crate) fn a() -> Result<u8, String> {\n"),
            ("crates/a/src/c.rs", "fn a() -> Result<u8, String> {\n"),
            ("crates/a/src/d.rs", "pub fn a() -> Result<BTreeMap<String, String>, Error> {\n"),
            ("crates/a/src/e.rs", "trait A {\n    fn b(&self) -> Result<u8, String>;\n}\n"),
            (
                "crates/a/src/f.rs",
                "pub fn a(b: Map<u8, String>) {\n    c::<Result<u8, String>>();\n",
            ),
            ("crates/a/src/tests.rs", PUBLIC),
            ("crates/understory/src/main.rs", PUBLIC),
            ("xtask/src/main.rs", PUBLIC),
        ]);
        assert_eq!(text_errors(&tree), Vec::<String>::new());
    }
}
