//! The program's own help: the commands under headings, described by their one definition.

use clap::{Arg, Command};

/// Headings, and the commands below each, in the order in which they are shown.
const GROUPS: &[(&str, &[&str])] = &[
    ("Models", &["pull", "import", "run", "tokens", "score", "inspect", "diff", "export"]),
    ("Co-training", &["demo", "swarm", "verify"]),
    ("Commons", &["commons", "key", "propose", "vote", "tally", "margin", "panel"]),
    ("Checks and measures", &["bench", "sim"]),
];

/// `program` with a help that shows its commands in groups.
pub fn grouped(program: Command) -> Command {
    let header = *program.get_styles().get_header();
    let groups: Vec<String> = GROUPS
        .iter()
        .map(|(heading, names)| {
            let lines: String = names.iter().map(|name| line(&program, name)).collect();
            format!("{header}{heading}:{header:#}\n{lines}")
        })
        .collect();
    let groups = groups.join("\n");
    program.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}\n\
         {header}Options:{header:#}\n{{options}}\n\n\
         `understory help COMMAND` explains a command and its options."
    ))
}

/// `program` with arguments that take a negative number as their value, so that it is refused with
/// what the argument may be, and not as an argument that nobody knows.
pub fn with_negative_numbers(program: Command) -> Command {
    let taking = |arg: Arg| {
        let takes = arg.get_action().takes_values() && !arg.is_allow_hyphen_values_set();
        arg.allow_negative_numbers(takes)
    };
    program.mut_args(taking).mut_subcommands(with_negative_numbers)
}

/// A command and what it does.
fn line(program: &Command, name: &str) -> String {
    let literal = program.get_styles().get_literal();
    let about = program.find_subcommand(name).and_then(Command::get_about);
    let about = about.map(ToString::to_string).unwrap_or_default();
    format!("  {literal}{name:<8}{literal:#} {about}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    #[test]
    fn every_visible_command_is_in_one_group() {
        let program = Cli::command();
        let visible = program.get_subcommands().filter(|command| !command.is_hide_set());
        let mut visible: Vec<&str> = visible.map(Command::get_name).collect();
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        visible.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(grouped, visible);
    }

    /// A new command has a case there, or a reason why not.
    #[test]
    fn every_command_is_in_the_list_of_those_that_run_without_a_reader() {
        let listed = include_str!("../../tests/without_a_reader.txt").lines();
        let listed = listed.filter(|line| !line.starts_with('#')).map(|line| {
            let end = line.find(" = ").or(line.find(" ! ")).unwrap_or(line.len());
            let (command, rest) = line.split_at(end);
            assert!(rest.len() > 3, "{line}: says neither where nor why not");
            command.to_owned()
        });
        let mut listed: Vec<String> = listed.collect();
        let mut known = Vec::new();
        leaves("", &Cli::command(), &mut known);
        listed.sort_unstable();
        known.sort_unstable();
        assert_eq!(listed, known);
    }

    /// The commands that have none below them.
    fn leaves(above: &str, command: &Command, found: &mut Vec<String>) {
        for inner in command.get_subcommands() {
            let name = format!("{above} {}", inner.get_name()).trim_start().to_owned();
            match inner.has_subcommands() {
                true => leaves(&name, inner, found),
                false => found.push(name),
            }
        }
    }

    #[test]
    fn the_help_fits_one_screen() {
        let help = grouped(Cli::command()).render_long_help().to_string();
        assert!(help.lines().count() <= 40, "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }

    #[test]
    fn every_command_and_argument_is_explained_in_a_sentence() {
        explained("understory", &Cli::command());
    }

    fn explained(name: &str, command: &Command) {
        assert!(is_sentence(command.get_about()), "{name}: {:?}", command.get_about());
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            assert!(
                is_sentence(Arg::get_help(arg)),
                "{name} {}: {:?}",
                arg.get_id(),
                arg.get_help()
            );
        }
        for inner in command.get_subcommands() {
            explained(&format!("{name} {}", inner.get_name()), inner);
        }
    }

    /// Whether it begins like a sentence and is more than a word or two.
    fn is_sentence(text: Option<&clap::builder::StyledStr>) -> bool {
        let text = text.map(ToString::to_string).unwrap_or_default();
        text.starts_with(char::is_uppercase) && text.split(' ').count() >= 3
    }
}
