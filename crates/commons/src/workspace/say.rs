//! What a person says of itself, of others and of artifacts.

use super::{Result, Workspace};
use crate::{
    Statement,
    statement::{
        Attest, Check, Claim, Component, Derive, Evidence, Parent, Publish, Purpose, Relation,
        Reproducible, Rights, Subject, Use, Verdict,
    },
};
use ids::{Hash, PeerId};

/// What made a statement about how something was made.
pub const TOOL: &str = concat!("understory ", env!("CARGO_PKG_VERSION"));

const DAY: u64 = 24 * 60 * 60;

/// Each says one thing and, beside what it names, fails as [`Workspace::say`] does.
impl Workspace {
    /// Something about oneself.
    ///
    /// Errors: this device's key signs for nobody here.
    pub fn claim(&mut self, claim: Claim, now: u64) -> Result<Statement> {
        let subject = self.me()?;
        self.say(Attest { subject, claim }, now)
    }

    /// That a member is one person and not here twice; or that one does not say so any more.
    pub fn vouch(&mut self, member: &PeerId, withdrawn: bool, now: u64) -> Result<Statement> {
        self.say(Attest { subject: *member, claim: Claim::Vouch { withdrawn } }, now)
    }

    /// That one uses an artifact for some days, for oneself or for the organisation `by`.
    pub fn uses(
        &mut self,
        artifact: Hash,
        by: Option<String>,
        days: u64,
        now: u64,
    ) -> Result<Statement> {
        let expiry = self.state.now().max(now).saturating_add(days.saturating_mul(DAY));
        self.say(Use { artifact, by, purpose: Purpose::Personal, expiry }, now)
    }

    /// That an artifact is called `name`, in the place of what was said of it before; with its
    /// licence, an SPDX expression, where that is not empty.
    pub fn publish(
        &mut self,
        name: &str,
        artifact: Hash,
        licence: &str,
        now: u64,
    ) -> Result<Statement> {
        let supersedes = self.state.artifacts.get(&artifact).map(|known| known.statement);
        let component = Component {
            mof: 0,
            digest: Some(artifact),
            licence: licence.to_owned(),
            text: None,
            mutable: false,
            location: String::new(),
        };
        let components = if licence.is_empty() { Vec::new() } else { vec![component] };
        self.say(Publish { name: name.to_owned(), artifact, components, supersedes }, now)
    }

    /// That `child` was made from `parents` by `recipe`, with an equal share of each.
    pub fn derive(
        &mut self,
        child: Hash,
        parents: &[Hash],
        relation: Relation,
        recipe: Hash,
        now: u64,
    ) -> Result<Statement> {
        let share = (1000 / parents.len().max(1)) as u16;
        let parents = parents.iter().map(|&digest| Parent { digest, relation, share }).collect();
        let tool = TOOL.to_owned();
        self.say(Derive { child, parents, recipe, tool, reproducible: Reproducible::Exact }, now)
    }

    /// What one found of a statement, by its number or the beginning of its hash.
    ///
    /// Errors: none is meant.
    pub fn check(
        &mut self,
        statement: &str,
        verdict: Verdict,
        note: Option<String>,
        now: u64,
    ) -> Result<Statement> {
        let subject = Subject::Statement(self.statement(statement)?.hash());
        let evidence = note.map_or(Evidence::None, Evidence::Note);
        self.say(Check { subject, verdict, evidence }, now)
    }

    /// Who operates the log from here on: a key, or a member by name or id.
    ///
    /// Errors: nobody is meant.
    pub fn name_operator(&mut self, holder: &str, now: u64) -> Result<Statement> {
        let holder = holder.parse::<PeerId>().or_else(|_| self.member(holder))?;
        self.say(Rights::to_operate(holder), now)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Body, Statement, Workspace,
        statement::{Candidate, Relation},
        workspace::member::tests::{NOW, garden},
    };
    use ids::Hash;

    #[test]
    fn what_is_published_again_takes_the_place_of_what_was_said_before() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut garden = garden(dir.path());
        let bread = Hash::of(b"bread");
        let mut publish = |licence: &str| {
            let said = garden.publish("Bread", bread, licence, NOW).expect("it is said");
            let Body::Publish(publish) = &said.body else { panic!("it publishes") };
            (said.hash(), publish.supersedes, publish.components.len())
        };
        let (first, nothing, components) = publish("MIT");
        assert_eq!((nothing, components), (None, 1));
        let (_, before, components) = publish("");
        assert_eq!((before, components), (Some(first), 0), "without a licence");
    }

    #[test]
    fn parents_have_equal_shares_and_days_of_use_have_an_end() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut garden = garden(dir.path());
        let [child, recipe] = [Hash::of(b"child"), Hash::of(b"recipe")];
        let parents = [b"a", b"b", b"c"].map(|name| Hash::of(name));
        let said = garden.derive(child, &parents, Relation::Merged, recipe, NOW);
        let Body::Derive(derive) = said.expect("it is said").body else { panic!("it derives") };
        assert!(derive.parents.iter().all(|parent| parent.share == 333), "{derive:?}");
        let expiry = |said: Statement| {
            let Body::Use(used) = said.body else { panic!("it is a use") };
            used.expiry
        };
        // The commons' time is that of the first mark.
        let begin = garden.state.now().max(NOW);
        let said = garden.uses(child, None, 2, NOW).expect("it is said");
        assert_eq!(expiry(said), begin + 2 * 24 * 60 * 60);
        let said = garden.uses(child, None, u64::MAX, NOW).expect("it is said");
        assert_eq!(expiry(said), u64::MAX);
    }

    #[test]
    fn an_operator_is_named_by_its_key_or_as_a_member() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut garden = garden(dir.path());
        let berta = garden.member("Berta").expect("a member");
        let holder = |garden: &mut Workspace, text: &str| {
            let said = garden.name_operator(text, NOW).expect("it is said");
            let Body::Rights(rights) = said.body else { panic!("it names an operator") };
            rights.holder
        };
        assert_eq!(holder(&mut garden, "Berta"), Candidate::Key(berta));
        let other = ids::Identity::from_seed([9; 32]).id();
        assert_eq!(holder(&mut garden, &other.to_string()), Candidate::Key(other));
    }
}
