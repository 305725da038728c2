//! The house rules. Each returns what breaks it, a line for each; nothing means that it is kept.

mod errors;
mod layout;
mod paths;
mod printing;
mod reading;
mod registers;

use crate::tree::Tree;

/// One rule.
pub struct Rule {
    /// What it says.
    pub name: &'static str,
    /// What breaks it.
    pub offences: fn(&Tree) -> Vec<String>,
}

/// All of them, in the order in which they are told.
pub const RULES: &[Rule] = &[
    Rule { name: "no file of more than 900 lines", offences: layout::long_files },
    Rule { name: "unsafe code only in kernel", offences: layout::unsafe_code },
    Rule { name: "no unwrap in what ships", offences: errors::unwraps },
    Rule { name: "nothing left to do in the source", offences: errors::leftovers },
    Rule { name: "only terminal.rs writes to the terminal", offences: printing::streams },
    Rule { name: "whatever is read whole has a limit", offences: reading::unbounded },
    Rule { name: "registers are not filled by closures", offences: registers::closures },
    Rule { name: "modules are NAME.rs beside NAME/", offences: layout::modules },
    Rule { name: "kernel depends on nothing", offences: layout::kernel_dependencies },
    Rule { name: "every library denies missing docs", offences: layout::undocumented },
    Rule { name: "errors of public functions have a type", offences: errors::text_errors },
    Rule { name: "every path into crates/ exists", offences: paths::dead_paths },
    Rule { name: "every #[path] exists", offences: paths::dead_modules },
];
