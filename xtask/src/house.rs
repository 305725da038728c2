//! Runs every rule and says what came of it.

use crate::{
    rules::{RULES, Rule},
    tree::Tree,
};
use std::path::Path;

/// Whether the project at `project` keeps every rule; prints a line for each.
pub fn check(project: &Path) -> Result<bool, String> {
    let (text, kept) = report(RULES, &Tree::tracked(project)?);
    print!("{text}");
    Ok(kept)
}

fn report(rules: &[Rule], tree: &Tree) -> (String, bool) {
    let (mut text, mut passed) = (String::new(), 0);
    for rule in rules {
        let offences = (rule.offences)(tree);
        if offences.is_empty() {
            passed += 1;
            text += &format!("ok      {}\n", rule.name);
        } else {
            text += &format!("FAILED  {}\n{}\n", rule.name, offences.join("\n"));
        }
    }
    let failed = rules.len() - passed;
    text += &format!("{passed} passed, {failed} failed\n");
    (text, failed == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_names_each_rule_and_ends_with_the_counts() {
        let rules = [
            Rule { name: "good", offences: |_| Vec::new() },
            Rule { name: "bad", offences: |_| vec!["a.rs: one".into(), "b.rs: two".into()] },
        ];
        let tree = Tree::made_up(&[]);
        let (text, kept) = report(&rules, &tree);
        let wanted = "ok      good\nFAILED  bad\na.rs: one\nb.rs: two\n1 passed, 1 failed\n";
        assert_eq!(text, wanted);
        assert!(!kept);
        assert!(report(&rules[..1], &tree).1);
    }
}
