//! Code for one instruction set builds its arrays by loops.

use crate::{
    source::{shipped, test_files},
    tree::Tree,
};

/// Arrays built by closures in files that use an instruction set. A closure is a function of its
/// own: where it is not inlined, it has not the instruction set of the function around it, and each
/// of its instructions becomes a call. The kernels' macro `array_of!` is a loop instead.
pub fn closures(tree: &Tree) -> Vec<String> {
    let tests = test_files(tree);
    let files = tree.rust().filter(|(path, text)| !tests.contains(path) && uses_set(text));
    files.flat_map(|(path, text)| closures_of(path, text)).collect()
}

fn uses_set(text: &str) -> bool {
    shipped(text).iter().any(|(_, line)| line.trim_start().starts_with("use std::arch::"))
}

fn closures_of(path: &str, text: &str) -> Vec<String> {
    let lines = shipped(text).into_iter().filter(|(_, line)| line.contains("array::from_fn("));
    lines.map(|(number, line)| format!("{path}:{number}: {}", line.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closures_beside_an_instruction_set_are_found() {
        let line = "let a = std::array::from_fn(|i| load(i));\n";
        let found = |path: &str, text: &str| !closures(&Tree::made_up(&[(path, text)])).is_empty();
        let set = format!("mod b {{\n    use std::arch::x86_64::*;\n}}\n{line}");
        assert!(found("crates/a/src/c.rs", &set));
        assert!(!found("crates/a/src/c.rs", line));
        assert!(!found("crates/a/benches/c.rs", &set));
    }
}
