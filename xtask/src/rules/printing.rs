//! What is printed is made plain, by `terminal.rs` of the binary alone; libraries are quiet.

use crate::{
    source::{shipped, test_files},
    tree::Tree,
};

const TERMINAL: &str = "crates/understory/src/terminal.rs";
const PROGRAM: &str = "crates/understory/src/";

/// In libraries no macro that prints and no stream; in the binary `terminal`'s macros of the same
/// names and its streams.
pub fn streams(tree: &Tree) -> Vec<String> {
    let tests = test_files(tree);
    let checked = |path: &str| {
        let crate_source = path.starts_with("crates/") && path.contains("/src/");
        crate_source && path != TERMINAL && !tests.contains(path)
    };
    let mut found = Vec::new();
    for (path, text) in tree.rust().filter(|(path, _)| checked(path)) {
        let program = path.starts_with(PROGRAM);
        let bad = |line: &str| writes_directly(line, program) || !program && prints(line);
        let lines = shipped(text).into_iter().filter(|(_, line)| bad(line));
        found.extend(lines.map(|(number, line)| format!("{path}:{number}: {}", line.trim())));
    }
    found
}

/// A stream of the process, or the standard library's macros by their full names.
fn writes_directly(line: &str, program: bool) -> bool {
    let full = ["std::print", "std::println", "std::eprint", "std::eprintln"];
    if full.iter().any(|name| calls(line, name, "!")) {
        return true;
    }
    ["stdout", "stderr"].iter().any(|stream| {
        line.match_indices(&format!("{stream}()")).any(|(at, found)| {
            let (before, after) = (&line[..at], &line[at + found.len()..]);
            let ours = before.ends_with("terminal::") || before.ends_with("terminal::raw_");
            let asked = after.starts_with(".is_terminal()");
            !(program && (ours || asked)) && !ends_in_name(before)
        })
    })
}

fn prints(line: &str) -> bool {
    ["print", "println", "eprint", "eprintln", "dbg"].iter().any(|name| calls(line, name, "!"))
}

/// Whether `name` stands in `line` as a whole word with `then` after it, outside of a comment.
fn calls(line: &str, name: &str, then: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    code.match_indices(&format!("{name}{then}")).any(|(at, _)| !ends_in_name(&code[..at]))
}

fn ends_in_name(before: &str) -> bool {
    before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, line: &str) -> bool {
        !streams(&Tree::made_up(&[(path, line)])).is_empty()
    }

    #[test]
    fn a_library_that_prints_is_found() {
        let library = "crates/a/src/b/c.rs";
        for line in [
            "    println!(\"{x}\");",
            "eprint!(\"\")",
            "std::print!()",
            "dbg!(x)",
            "io::stdout().lock()",
        ] {
            assert!(found(library, line), "{line}");
        }
        for line in ["// println!()", "pprint!()", "writeln!(out)", "let a = my_stdout();"] {
            assert!(!found(library, line), "{line}");
        }
        assert!(!found("crates/a/src/tests.rs", "println!()"));
        assert!(!found("crates/a/examples/b.rs", "println!()"));
    }

    #[test]
    fn the_program_prints_by_its_own_terminal() {
        let program = "crates/understory/src/run.rs";
        for line in ["std::println!()", "io::stderr().write_all(b)", "let out = stdout();"] {
            assert!(found(program, line), "{line}");
        }
        for line in [
            "println!()",
            "terminal::stdout()",
            "terminal::raw_stderr()",
            "io::stdout().is_terminal()",
        ] {
            assert!(!found(program, line), "{line}");
        }
        assert!(!found(TERMINAL, "std::io::stdout()"));
    }
}
