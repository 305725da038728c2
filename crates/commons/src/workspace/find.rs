//! What a person means by a text: a member, a statement, a question.

use super::{Result, Workspace, WorkspaceError};
use crate::{
    ArchiveError, Statement, names,
    state::{Proposal, State},
};
use ids::{Hash, PeerId, name::SHORTEST_ID};

impl Workspace {
    /// A member by name, id or the beginning of its id.
    ///
    /// Errors: [`names::FindError`].
    pub fn member(&self, text: &str) -> Result<PeerId> {
        Ok(names::find_member(&self.state, text)?)
    }

    /// What a member is called.
    pub fn name(&self, id: &PeerId) -> String {
        names::name_of(&self.state, id)
    }

    /// A statement by number, as `37` or `#37`, or by the beginning of its hash, whatever digits
    /// that has.
    ///
    /// Errors: there is none, or it can be read in more than one way.
    pub fn statement(&self, text: &str) -> Result<Statement> {
        let log = self.log()?;
        let hash = |index| log.statement(index).map(|statement| statement.hash());
        let found = meant(text, log.size(), hash)?;
        match found[..] {
            [index] => Ok(log.statement(index)?),
            [] => Err(WorkspaceError::NoStatement { text: text.to_owned(), size: log.size() }),
            _ => {
                let all = found.iter().map(|&index| Ok((index, hash(index)?)));
                let found = all.collect::<Result<_>>()?;
                Err(WorkspaceError::Ambiguous { text: text.to_owned(), found })
            }
        }
    }

    /// A question by the number or hash of its statement.
    ///
    /// Errors: as [`Self::statement`]; it asks no question that counts.
    pub fn question<'a>(&self, state: &'a State, text: &str) -> Result<&'a Proposal> {
        let hash = self.statement(text)?.hash();
        let none = || WorkspaceError::NoQuestion { text: text.to_owned() };
        state.proposals.get(&hash).ok_or_else(none)
    }
}

/// Which of `size` statements a text can mean: one by its number, those whose hashes begin so.
fn meant(
    text: &str,
    size: u64,
    hash: impl Fn(u64) -> std::result::Result<Hash, ArchiveError>,
) -> Result<Vec<u64>> {
    let number = text.strip_prefix('#').unwrap_or(text).parse::<u64>().ok();
    let number = number.filter(|&index| index < size);
    // Fewer digits than are ever printed are a number where there is one.
    let least = if number.is_some() { SHORTEST_ID } else { 4 };
    let mut found = Vec::new();
    if text.len() >= least && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        let text = text.to_ascii_lowercase();
        for index in 0..size {
            if hash(index)?.to_string().starts_with(&text) {
                found.push(index);
            }
        }
    }
    found.extend(number.filter(|index| !found.contains(index)));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_found_by_the_digits_that_are_printed_whatever_they_are() {
        let hashes: [Hash; 3] = ["12345678", "abcd1234", "00000002"]
            .map(|start| format!("{start:0<64}").parse().expect("64 digits"));
        let meant = |text: &str, size: u64| {
            let hash = |at: u64| Ok(hashes[at as usize % 3]);
            meant(text, size, hash).expect("every statement can be read")
        };
        assert_eq!(meant("12345678", 3), [0], "all digits are decimal");
        assert_eq!(meant("ABCD1234", 3), [1]);
        assert_eq!(meant("abcd", 3), [1]);
        assert_eq!(meant("1234", 3), [0], "there is no such number");
        for number in ["2", "#2", "02"] {
            assert_eq!(meant(number, 3), [2], "{number}");
        }
        assert_eq!(meant("00000002", 3), [2], "number and hash are the same one");
        assert_eq!(meant("00000001", 3), [1]);
        for none in ["3", "#3", "", "#", "abc", "xyzw", "#abcd1234", "-1", "1.0"] {
            assert_eq!(meant(none, 3), [] as [u64; 0], "{none:?}");
        }
        // Both readings are found, and the one who asked for it says which.
        assert_eq!(meant("00000002", 2), [] as [u64; 0]);
        let both = meant("00000000", 1);
        assert_eq!(both, [0]);
    }
}
