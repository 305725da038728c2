//! A question made ready to be asked: what its author leaves out follows from its topic, the state
//! and the time.

use crate::{
    naming::{NameError, check_options},
    state::{State, Steward},
    statement::{Choice, Effect, House, Method, ProposalType, Propose, Quota, TieRule, Unranked},
};
use decide::Method::{Schulze, Stv};
use ids::{Hash, PeerId, Short};
use std::str::FromStr;

/// What somebody asks.
#[derive(Debug, Clone)]
pub struct Asked {
    /// About what.
    pub topic: ProposalType,
    /// The question in a line.
    pub title: String,
    /// In full.
    pub text: String,
    /// The options without the default one; those of the topic where there are none.
    pub options: Vec<Choice>,
    /// What the default option is called.
    pub default: String,
    /// What an option needs against the default one, where the topic gives the options.
    pub majority: (u32, u32),
    /// How ballots are counted; as usual for the topic where it is not said.
    pub method: Option<Method>,
    /// What not ranking means.
    pub unranked: Unranked,
    /// What settles a tie.
    pub tie: Option<TieRule<(), PeerId>>,
    /// How many win; as usual for the topic where it is not said.
    pub seats: Option<u16>,
    /// The largest part of the seats that one employer may have.
    pub cap: Option<(u32, u32)>,
    /// Seats of a panel by stratum.
    pub quotas: Vec<Quota>,
    /// Seconds for which it is open, beyond the notice.
    pub open: u64,
    /// Seconds in which secret ballots are revealed; open ballots where it is not said.
    pub secret: Option<u64>,
    /// The question appealed against.
    pub appeals: Option<Hash>,
    /// The question that listed the seats that are held already.
    pub held: Option<Hash>,
}

/// Why a text is no part of a question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// It is no ratio.
    #[error("{text:?} is not two numbers with {between} between")]
    Ratio {
        /// The text.
        text: String,
        /// What is to be between the numbers.
        between: char,
    },
    /// It is no quota.
    #[error("{text:?} is not a quota like users=1..2")]
    Quota {
        /// The text.
        text: String,
    },
}

/// Why a question cannot be asked so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposalError {
    /// Its topic has no options of its own.
    #[error("a question of this kind needs options")]
    NoOptions,
    /// Options that people cannot tell apart.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl ProposalError {
    /// What can be done about it.
    pub fn todo(&self) -> &'static str {
        match self {
            Self::NoOptions => {
                "name each with --option: a file for a charter or rules, else a member or a text"
            }
            Self::Name(error) => error.todo(),
        }
    }
}

impl Asked {
    /// The statement that asks it, by the state and the time, in Unix seconds.
    ///
    /// Errors: there are no options, or they cannot be told apart.
    pub fn proposed(self, state: &State, now: u64) -> Result<Propose, ProposalError> {
        let (options, default, method) = self.ballot()?;
        let lot = method == Method::Lot;
        let rules = &state.rules;
        let start = state.now().max(now);
        let close = start.saturating_add(rules.notice).saturating_add(self.open);
        // A panel is always drawn from members' secrets.
        let secret = self.secret.or(lot.then_some(0));
        let window = |seconds: u64| seconds.max(rules.notice).max(1);
        let reveal = secret.map(|seconds| close.saturating_add(window(seconds)));
        let both = vec![House::Users, House::Contributors];
        Ok(Propose {
            topic: self.topic,
            title: self.title,
            text: self.text,
            options,
            default,
            houses: if self.topic.is_constitutional() { both } else { Vec::new() },
            method,
            unranked: self.unranked,
            tie: self.tie.unwrap_or_else(|| usual_tie(reveal.is_some())),
            seats: self.seats.unwrap_or_else(|| usual_seats(self.topic, state, start)),
            cap: self.cap,
            quotas: self.quotas,
            close,
            reveal,
            appeals: self.appeals,
            held: self.held,
        })
    }

    /// All options, the place of the default one, and how they are counted.
    fn ballot(&self) -> Result<(Vec<Choice>, Option<u16>, Method), ProposalError> {
        let lot = self.topic == ProposalType::Panel;
        let elects = self.topic == ProposalType::Stewards;
        let mut options = match self.options.is_empty() && !lot {
            true => usual_options(self.topic, self.majority)?,
            false => self.options.clone(),
        };
        let method = match self.method {
            _ if lot => Method::Lot,
            Some(method) => method,
            None if elects => Method::Counted(Stv),
            None => Method::Counted(Schulze),
        };
        // A transferable vote has no default option: there "none of these" is a candidate.
        let default = (!lot && !method.counts_by(Stv)).then_some(options.len() as u16);
        if default.is_some() || elects {
            options.push(option(&self.default, (1, 1)));
        }
        if check_options(names(&options)).is_err() {
            options.iter_mut().for_each(with_id);
        }
        check_options(names(&options))?;
        Ok((options, default, method))
    }
}

/// An option that has no effect by itself. `majority`: what it needs against the default one.
pub fn option(name: &str, majority: (u32, u32)) -> Choice {
    Choice { name: name.to_owned(), digest: None, ratio: majority, effect: Effect::None }
}

/// Two numbers, such as `3:1` with `between` a colon.
///
/// Errors: [`PartError::Ratio`].
pub fn ratio(text: &str, between: char) -> Result<(u32, u32), PartError> {
    let parse = || {
        let (num, den) = text.split_once(between)?;
        Some((num.trim().parse().ok()?, den.trim().parse().ok()?))
    };
    parse().ok_or_else(|| PartError::Ratio { text: text.to_owned(), between })
}

/// `users=1..2`: so many seats of a panel for a house or an organisation.
impl FromStr for Quota {
    type Err = PartError;

    fn from_str(text: &str) -> Result<Self, PartError> {
        let parse = || {
            let (stratum, range) = text.rsplit_once('=')?;
            let (min, max) = range.split_once("..")?;
            let (min, max) = (min.parse().ok()?, max.parse().ok()?);
            Some(Self { stratum: stratum.to_owned(), min, max })
        };
        parse().ok_or_else(|| PartError::Quota { text: text.to_owned() })
    }
}

/// A lot needs what kept ballots secret.
fn usual_tie(secret: bool) -> TieRule<(), PeerId> {
    if secret { TieRule::Lot { seed: () } } else { TieRule::Listed }
}

fn usual_options(topic: ProposalType, majority: (u32, u32)) -> Result<Vec<Choice>, ProposalError> {
    match topic {
        ProposalType::Appeal => {
            let overturn = option("overturn the result", majority);
            Ok(vec![Choice { effect: Effect::Overturn, ..overturn }])
        }
        ProposalType::Question => Ok(vec![option("yes", majority), option("no", majority)]),
        _ => Err(ProposalError::NoOptions),
    }
}

fn usual_seats(topic: ProposalType, state: &State, now: u64) -> u16 {
    match topic {
        ProposalType::Stewards => seats_to_elect(state, now),
        ProposalType::Panel => 3,
        _ => 1,
    }
}

/// The stewards' seats whose terms end before anything that is asked now is decided; all of them
/// where none does.
fn seats_to_elect(state: &State, now: u64) -> u16 {
    let soon = now.saturating_add(state.rules.notice.saturating_mul(2));
    let stays = |s: &&Steward| s.until > soon && state.is_member(&s.member);
    let all = u16::from(state.rules.steward_seats);
    let staying = state.stewards.iter().filter(stays).count() as u16;
    if staying < all { all - staying } else { all }
}

fn names(options: &[Choice]) -> impl Iterator<Item = &str> {
    options.iter().map(|option| option.name.as_str())
}

/// A member's option with the beginning of its id: members call themselves what they like, also
/// what another one is called.
fn with_id(option: &mut Choice) {
    if let Effect::Seat(member) | Effect::Remove(member, _) = &option.effect {
        let name = Short(ids::name::composed(&option.name));
        option.name = format!("{name} ({})", member.short());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(topic: ProposalType, options: &[&str]) -> Asked {
        Asked {
            topic,
            title: "which".into(),
            text: String::new(),
            options: options.iter().map(|name| option(name, (3, 1))).collect(),
            default: "none of these".into(),
            majority: (2, 1),
            method: None,
            unranked: Unranked::Last,
            tie: None,
            seats: None,
            cap: None,
            quotas: Vec::new(),
            open: 60,
            secret: None,
            appeals: None,
            held: None,
        }
    }

    fn ballot(asked: &Asked) -> (Vec<String>, Option<u16>, Method) {
        let (options, default, method) = asked.ballot().expect("can be asked");
        (names(&options).map(str::to_owned).collect(), default, method)
    }

    #[test]
    fn what_is_left_out_follows_from_the_topic() {
        let (options, default, method) = ballot(&asked(ProposalType::Question, &[]));
        assert_eq!(options, ["yes", "no", "none of these"]);
        assert_eq!((default, method), (Some(2), Method::Counted(Schulze)));
        let (options, default, method) = ballot(&asked(ProposalType::Stewards, &["Anna", "Bert"]));
        assert_eq!(options, ["Anna", "Bert", "none of these"], "a candidate like the others");
        assert_eq!((default, method), (None, Method::Counted(Stv)));
        assert_eq!(ballot(&asked(ProposalType::Panel, &[])), (Vec::new(), None, Method::Lot));
        let (options, ..) = asked(ProposalType::Appeal, &[]).ballot().expect("can be asked");
        assert_eq!((&options[0].effect, options[0].ratio), (&Effect::Overturn, (2, 1)));
        let none = asked(ProposalType::Charter, &[]).ballot();
        assert_eq!(none, Err(ProposalError::NoOptions));
    }

    #[test]
    fn members_of_one_name_are_told_apart_by_their_ids_and_other_options_are_refused() {
        let seat = |number| Choice {
            effect: Effect::Seat(PeerId([number; 32])),
            ..option("Anna", (1, 1))
        };
        let mut two = asked(ProposalType::Stewards, &[]);
        two.options = vec![seat(1), seat(2)];
        let (options, ..) = ballot(&two);
        assert_eq!(options[..2], ["Anna (01010101)", "Anna (02020202)"]);
        let alike = asked(ProposalType::Question, &["East", "east"]);
        assert!(matches!(alike.ballot(), Err(ProposalError::Name(_))));
    }

    #[test]
    fn majorities_caps_and_quotas_are_read_from_texts() {
        assert_eq!((ratio("3:1", ':'), ratio(" 1 / 3 ", '/')), (Ok((3, 1)), Ok((1, 3))));
        for bad in ["", "3", "3:", "3/1", "-3:1", "3:1:1", "4294967296:1"] {
            assert!(matches!(ratio(bad, ':'), Err(PartError::Ratio { .. })), "{bad:?}");
        }
        let quota = |text: &str| text.parse::<Quota>();
        let users = Quota { stratum: "a=b".to_owned(), min: 1, max: 2 };
        assert_eq!(quota("a=b=1..2"), Ok(users), "an organisation may be called so");
        for bad in ["", "users", "users=1", "users=1..", "users=1..x", "users=1..65536"] {
            assert!(matches!(quota(bad), Err(PartError::Quota { .. })), "{bad:?}");
        }
    }

    #[test]
    fn a_lot_settles_ties_of_secret_ballots_only() {
        assert_eq!(usual_tie(true), TieRule::Lot { seed: () });
        assert_eq!(usual_tie(false), TieRule::Listed);
    }
}
