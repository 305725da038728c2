//! What an exported file says of where its model comes from.

/// Where a model comes from, written into exports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lineage {
    /// Name for people.
    pub name: String,
    /// Id of the run that made it.
    pub run: Option<String>,
    /// Hash of its parameters in the run.
    pub root: Option<String>,
}

impl Lineage {
    /// The known facts as (key, value), keys as they stand in exported files.
    pub(crate) fn pairs(&self) -> Vec<(&'static str, &str)> {
        let run = self.run.as_deref().map(|run| ("understory.run", run));
        let root = self.root.as_deref().map(|root| ("understory.root", root));
        run.into_iter().chain(root).collect()
    }
}
