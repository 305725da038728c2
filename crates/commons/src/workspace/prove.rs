//! Proofs that a person hands to others.

use super::{Result, Workspace, WorkspaceError};
use crate::portable::{LoggedStatement, Portable, PortableSplit};

impl Workspace {
    /// The proof that a statement, by its number or the beginning of its hash, is in the log.
    ///
    /// Errors: as [`Self::statement`]; [`WorkspaceError::NotWitnessed`].
    pub fn prove(&self, text: &str) -> Result<Portable> {
        let hash = self.statement(text)?.hash();
        let (index, _) = self.state.place(&hash).ok_or(WorkspaceError::NoPlace)?;
        let logged = LoggedStatement::new(&self.log()?, &self.state, index)?;
        let logged = logged.ok_or(WorkspaceError::NotWitnessed { index })?;
        Ok(Portable::Logged(Box::new(logged)))
    }

    /// The proof that an operator of the log signed two histories.
    ///
    /// Errors: [`WorkspaceError::NoSplit`]; the log cannot be read.
    pub fn prove_split(&self) -> Result<Portable> {
        let split = PortableSplit::new(&self.log()?, &self.state, self.home.splits()?)?;
        Ok(Portable::Split(Box::new(split.ok_or(WorkspaceError::NoSplit)?)))
    }
}
