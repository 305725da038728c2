//! What a person asks the others, and the ballot that one casts.

use super::{Result, Workspace};
use crate::{
    ballot::SealedBallot,
    documents,
    proposal::option,
    state::Proposal,
    statement::{Choice, Effect, Method, ProposalType, VoteBody},
};
use decide::Method::Approval;
use ids::Hash;
use std::path::Path;

/// Options of a question, as a person names them.
#[derive(Clone, Copy, Debug)]
pub struct Wording<'a> {
    /// What the question is about, which says how each is read: the file of a charter or of rules,
    /// a member by name or id, or a text.
    pub topic: ProposalType,
    /// Each in words.
    pub options: &'a [String],
    /// What each needs against the default option.
    pub majority: (u32, u32),
    /// The file with the text of the question, which is the evidence for a removal.
    pub text: Option<&'a Path>,
    /// Whether the options of a plain question are files that list seats.
    pub lists: bool,
}

impl Workspace {
    /// The options that are meant. A charter's text is kept beside the log.
    ///
    /// Errors: nobody is meant by a name, or a file is none of its kind.
    pub fn options(&self, wording: &Wording<'_>) -> Result<Vec<Choice>> {
        wording.options.iter().map(|text| self.option(wording, text)).collect()
    }

    fn option(&self, wording: &Wording<'_>, text: &str) -> Result<Choice> {
        let mut choice = option(text, wording.majority);
        let file = Path::new(text);
        match wording.topic {
            ProposalType::Charter => {
                let charter = documents::bytes("the charter ", file)?;
                let digest = self.home.objects()?.put(&charter).map_err(crate::HomeError::from)?;
                choice.effect = Effect::Charter(digest);
                choice.digest = Some(digest);
            }
            ProposalType::Rules => choice.effect = Effect::Rules(documents::rules(file)?),
            ProposalType::Stewards => {
                let member = self.member(text)?;
                choice.name = self.name(&member);
                choice.effect = Effect::Seat(member);
            }
            ProposalType::Removal => {
                let member = self.member(text)?;
                choice.name = format!("remove {}", self.name(&member));
                let evidence = wording.text.map(|path| documents::bytes("", path)).transpose()?;
                choice.effect = Effect::Remove(member, Hash::of(&evidence.unwrap_or_default()));
            }
            ProposalType::Appeal => choice.effect = Effect::Overturn,
            ProposalType::Question if wording.lists => {
                let list = documents::seats(file)?;
                choice.name = format!("seats held on {}", list.committee);
                choice.effect = Effect::Seats(list);
            }
            _ => {}
        }
        Ok(choice)
    }

    /// The statement of another question, by its number or the beginning of its hash.
    ///
    /// Errors: as [`Self::question`].
    pub fn question_hash(&self, text: &str) -> Result<Hash> {
        Ok(self.question(&self.state, text)?.statement)
    }

    /// A ballot of these groups, best first, as the question takes it. What opens a secret one is
    /// kept beside the log.
    ///
    /// Errors: this device's key signs for nobody here; what opens it cannot be kept.
    pub fn ballot(&self, question: &Proposal, groups: Vec<Vec<u16>>) -> Result<VoteBody> {
        Ok(match (question.body.reveal, question.body.method) {
            (Some(_), _) => {
                let sealed = SealedBallot::new(groups)?;
                sealed.keep(&self.home, &question.statement, &self.me()?)?
            }
            (None, Method::Counted(Approval)) => VoteBody::Approve(groups.concat()),
            (None, _) => VoteBody::Ranking(groups),
        })
    }

    /// What opens the secret ballot that one cast last on a question.
    ///
    /// Errors: there is none, or what opens it is not here.
    pub fn opened_ballot(&self, question: &Proposal) -> Result<VoteBody> {
        let (ahead, me) = (self.ahead()?, self.me()?);
        Ok(SealedBallot::reveal(&self.home, &ahead, &question.statement, &me)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        WorkspaceError,
        documents::DocumentError,
        workspace::member::tests::{NOW, garden},
    };

    fn wording(topic: ProposalType, options: &[String]) -> Wording<'_> {
        Wording { topic, options, majority: (1, 1), text: None, lists: false }
    }

    #[test]
    fn an_option_is_read_as_its_topic_says() {
        let dir = tempfile::tempdir().expect("a folder");
        let garden = garden(dir.path());
        let anna = garden.me().expect("a member");
        let name = ["Anna".to_owned()];
        let read = |wording: &Wording<'_>| garden.options(wording).map(|mut all| all.remove(0));
        let plain = read(&wording(ProposalType::Question, &name)).expect("a text");
        assert_eq!((&*plain.name, plain.effect), ("Anna", Effect::None));
        let seat = read(&wording(ProposalType::Stewards, &name)).expect("a member");
        assert_eq!((&*seat.name, seat.effect), ("Anna", Effect::Seat(anna)));

        let text = dir.path().join("text");
        std::fs::write(&text, "be kind").expect("written");
        let digest = Hash::of(b"be kind");
        let removal = Wording { text: Some(&text), ..wording(ProposalType::Removal, &name) };
        let removal = read(&removal).expect("a member");
        let removed = Effect::Remove(anna, digest);
        assert_eq!((&*removal.name, removal.effect), ("remove Anna", removed));

        let file = [text.to_str().expect("UTF-8").to_owned()];
        let charter = read(&wording(ProposalType::Charter, &file)).expect("a charter");
        assert_eq!((charter.effect, charter.digest), (Effect::Charter(digest), Some(digest)));
        let kept = garden.home.objects().expect("objects").get(&digest).expect("it is kept");
        assert_eq!(kept, b"be kind");
    }

    #[test]
    fn what_no_topic_reads_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let garden = garden(dir.path());
        let text = dir.path().join("text");
        std::fs::write(&text, "be kind").expect("written");
        let file = [text.to_str().expect("UTF-8").to_owned()];
        let rules = garden.options(&wording(ProposalType::Rules, &file));
        let no_rules = |error: &WorkspaceError| {
            matches!(error, WorkspaceError::Document(DocumentError::NoRules { .. }))
        };
        assert!(rules.as_ref().is_err_and(no_rules), "{rules:?}");
        let list = Wording { lists: true, ..wording(ProposalType::Question, &file) };
        let list = garden.options(&list);
        let no_seats = |error: &WorkspaceError| {
            matches!(error, WorkspaceError::Document(DocumentError::NoSeats(_)))
        };
        assert!(list.as_ref().is_err_and(no_seats), "{list:?}");
        let nobody = ["Cleo".to_owned()];
        let nobody = garden.options(&wording(ProposalType::Stewards, &nobody));
        assert!(matches!(nobody, Err(WorkspaceError::Find(_))), "{nobody:?}");
    }

    #[test]
    fn a_ballot_is_cast_as_the_question_takes_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut garden = garden(dir.path());
        let mut ask = |secret, method| {
            let asked = crate::proposal::Asked {
                topic: ProposalType::Question,
                title: "Which?".to_owned(),
                text: String::new(),
                options: Vec::new(),
                default: "none".to_owned(),
                majority: (1, 1),
                method,
                unranked: decide::Unranked::Last,
                tie: None,
                seats: None,
                cap: None,
                quotas: Vec::new(),
                open: 60,
                secret,
                appeals: None,
                held: None,
            };
            let body = asked.proposed(&garden.state, NOW).expect("a question");
            let hash = garden.say(body, NOW).expect("it is asked").hash();
            garden.state.proposals[&hash].clone()
        };
        let open = ask(None, None);
        let approval = ask(None, Some(Method::Counted(Approval)));
        let secret = ask(Some(600), None);
        let groups = || vec![vec![1], vec![0]];
        let cast = |question| garden.ballot(question, groups()).expect("a ballot");
        assert_eq!(cast(&open), VoteBody::Ranking(groups()));
        assert_eq!(cast(&approval), VoteBody::Approve(vec![1, 0]));
        let sealed = cast(&secret);
        assert!(matches!(sealed, VoteBody::Commit(_)), "{sealed:?}");
        let none = garden.opened_ballot(&secret);
        assert!(matches!(none, Err(WorkspaceError::Sealed(_))), "nothing was cast: {none:?}");
        let vote = crate::statement::Vote { proposal: secret.statement, ballot: sealed };
        garden.say(vote, NOW).expect("it is cast");
        let opened = garden.opened_ballot(&secret).expect("what opens it");
        assert!(matches!(opened, VoteBody::Reveal { groups: g, .. } if g == groups()));
    }
}
