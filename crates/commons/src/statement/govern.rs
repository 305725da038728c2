//! Who decides: the genesis, rules, questions, ballots, and powers over what is held in common.

use super::{
    bounds::{Bounded, Invalid, NOTE, count, distinct, invalid, name, ratio, text_of},
    names::{known_by_name, named},
    numbered,
    people::{House, guardians},
    tie,
};
use crate::naming::{self, NameError, Named};
use decide::{TieRule, Unranked};
use ids::{Hash, PeerId};
use minicbor::{Decode, Encode};

/// What a commons may set for itself. Times are in seconds of the witnesses' clock.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Members whose vouch makes a member.
    #[n(0)]
    pub vouches_needed: u8,
    /// Vouches one member may have given and not withdrawn.
    #[n(1)]
    pub vouch_budget: u8,
    /// Stewards elected at a time.
    #[n(2)]
    pub steward_seats: u8,
    /// How long a steward's seat lasts.
    #[n(3)]
    pub steward_term: u64,
    /// The largest part of the stewards that one employer may have.
    #[n(4)]
    pub employer_cap: (u32, u32),
    /// How long a question is open at least: the notice everybody gets.
    #[n(5)]
    pub notice: u64,
    /// How long a change of licence, rights, rules or charter waits: time to leave or to fork.
    #[n(6)]
    pub exit_period: u64,
    /// The majority such a change needs in each house over the default option.
    #[n(7)]
    pub super_majority: (u32, u32),
    /// How long guardians wait before a lost key's successor is in force.
    #[n(8)]
    pub recovery_delay: u64,
    /// A result that fewer removed voters would flip goes to a panel drawn by lot.
    #[n(9)]
    pub margin_floor: u32,
    /// Independent re-runs that make an edge of the lineage confirmed.
    #[n(10)]
    pub confirmations: u8,
    /// Checkpoints after which a statement that is still not in the log is overdue.
    #[n(11)]
    pub overdue_after: u32,
    /// How long after a result an appeal may be brought.
    #[n(12)]
    pub appeal_period: u64,
    /// An option needs this many times √N / 2 voices of N electors (Debian: 3).
    #[n(13)]
    pub quorum: (u32, u32),
    /// How long a question may be open at most, with the time to reveal what was secret. None in
    /// version 1, which had no such rule.
    #[n(14)]
    pub longest_open: Option<u64>,
    /// Members whose secrets a draw needs: more than may be thought to act together, of all who can
    /// be drawn if those are fewer. None in version 1.
    #[n(15)]
    pub draw_secrets: Option<u8>,
    /// Groups of stewards whose terms end one after another; 1 for all at once. None in version 1.
    #[n(16)]
    pub steward_groups: Option<u8>,
}

const DAY: u64 = 24 * 60 * 60;

impl Default for Rules {
    fn default() -> Self {
        Self {
            vouches_needed: 2,
            vouch_budget: 5,
            steward_seats: 3,
            steward_term: 365 * DAY,
            employer_cap: (1, 3),
            notice: 7 * DAY,
            longest_open: Some(30 * DAY),
            draw_secrets: Some(5),
            steward_groups: Some(1),
            exit_period: 30 * DAY,
            super_majority: (3, 1),
            recovery_delay: 7 * DAY,
            margin_floor: 0,
            confirmations: 2,
            overdue_after: 3,
            appeal_period: 28 * DAY,
            quorum: (3, 1),
        }
    }
}

impl Rules {
    /// The same rules, with what version 1 did not have filled in.
    pub fn completed(mut self) -> Self {
        let default = Self::default();
        self.longest_open = self.longest_open.or(default.longest_open);
        self.draw_secrets = self.draw_secrets.or(default.draw_secrets);
        self.steward_groups = self.steward_groups.or(default.steward_groups);
        self
    }

    /// Whether every rule is within what is allowed now, none of them missing.
    ///
    /// Errors: [`Invalid`] names the first that is not.
    pub(crate) fn check_current(&self) -> Result<(), Invalid> {
        let (Some(longest), Some(secrets), Some(groups)) =
            (self.longest_open, self.draw_secrets, self.steward_groups)
        else {
            return Err(invalid("rules", "lack one that version 2 has"));
        };
        if longest < self.notice.saturating_mul(2) || longest > 90 * DAY {
            let why = format!("is {longest} s: at least twice the notice, at most 90 days");
            return Err(invalid("the longest time a question is open", why));
        }
        if [self.exit_period, self.appeal_period, self.recovery_delay]
            .iter()
            .any(|&t| t > 366 * DAY)
        {
            return Err(invalid("rules", "let a result or a recovery wait for more than a year"));
        }
        if secrets == 0 || groups == 0 || groups > self.steward_seats {
            return Err(invalid("rules", "need a secret for a draw and a seat in each group"));
        }
        Ok(())
    }

    /// Whether every rule is within what is allowed.
    ///
    /// Errors: [`Invalid`] names the first that is not.
    pub fn validate(&self) -> Result<(), Invalid> {
        Bounded::check(self)
    }
}

impl Bounded for Rules {
    fn check(&self) -> Result<(), Invalid> {
        ratio("employer cap", self.employer_cap)?;
        ratio("super-majority", self.super_majority)?;
        ratio("quorum", self.quorum)?;
        if self.super_majority.0 < self.super_majority.1
            || self.employer_cap.0 > self.employer_cap.1
        {
            return Err(invalid("rules", "have a majority below 1:1 or a cap above 1:1"));
        }
        let longest = 10 * 365 * DAY;
        let times = [
            self.steward_term,
            self.notice,
            self.exit_period,
            self.recovery_delay,
            self.appeal_period,
        ];
        if times.iter().any(|&time| time > longest) {
            return Err(invalid("rules", "have a time of more than ten years"));
        }
        if self.steward_seats == 0 || self.steward_seats > 32 {
            return Err(invalid("steward seats", "are 1 to 32"));
        }
        if self.vouches_needed == 0 || self.confirmations == 0 || self.overdue_after == 0 {
            return Err(invalid("rules", "need at least one vouch, confirmation and checkpoint"));
        }
        Ok(())
    }
}

/// A member that the genesis names. It also has the first stewards' seats.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Founder {
    /// Its name.
    #[n(0)]
    pub name: String,
    /// The member's first key, which is its id.
    #[n(1)]
    pub member: PeerId,
    /// [`super::Key::digest`] of its next key.
    #[n(2)]
    pub next: Hash,
    /// Its guardians.
    #[n(3)]
    pub guardians: Vec<PeerId>,
    /// How many of them it takes.
    #[n(4)]
    pub threshold: u8,
    /// Whether it has a steward's seat to begin with.
    #[n(5)]
    pub steward: bool,
}

/// A witness: somebody who cosigns checkpoints of this log.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode)]
pub struct WitnessKey {
    /// Its name in cosignatures.
    #[n(0)]
    pub name: String,
    /// Its key.
    #[n(1)]
    pub key: PeerId,
}

/// The witness policy: how many of whom must have cosigned a checkpoint.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Witnesses {
    /// How many.
    #[n(0)]
    pub threshold: u8,
    /// Of these.
    #[n(1)]
    pub keys: Vec<WitnessKey>,
}

impl Bounded for Witnesses {
    fn check(&self) -> Result<(), Invalid> {
        count("witnesses", self.keys.len(), 1, 32)?;
        let (names, keys): (Vec<&str>, Vec<PeerId>) =
            self.keys.iter().map(|w| (w.name.as_str(), w.key)).unzip();
        distinct("witnesses", &names)?;
        distinct("witnesses", &keys)?;
        if self.threshold == 0 || usize::from(self.threshold) > keys.len() {
            let why = format!("needs {} of {} cosignatures", self.threshold, keys.len());
            return Err(invalid("witness policy", why));
        }
        names.iter().try_for_each(|n| {
            if n.contains(|c: char| c.is_whitespace() || c == '+') {
                return Err(invalid("witness name", "has a space or a plus sign"));
            }
            name("witness name", n)
        })
    }
}

/// The log that a fork comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ParentLog {
    /// The old commons' id.
    #[n(0)]
    pub id: Hash,
    /// Statements of it that the fork takes over.
    #[n(1)]
    pub size: u64,
    /// The root over them.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub root: [u8; 32],
}

/// The version of the rules by which this program reads new commons. A log keeps the meaning that
/// it had under the version that its genesis names; what changes a meaning is a new version.
pub const RULES_VERSION: u32 = 3;

/// The oldest version of the rules in whose logs something new is written.
pub const OLDEST_WRITTEN: u32 = 2;

/// The first statement of a commons.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Genesis {
    /// What people call it.
    #[n(0)]
    pub name: String,
    /// The charter's text, by digest.
    #[n(1)]
    pub charter: Hash,
    /// The rules.
    #[n(2)]
    pub rules: Rules,
    /// The first members.
    #[n(3)]
    pub founders: Vec<Founder>,
    /// The key that signs checkpoints.
    #[n(4)]
    pub operator: PeerId,
    /// Who witnesses.
    #[n(5)]
    pub witnesses: Witnesses,
    /// Where it was forked from.
    #[n(6)]
    pub parent: Option<ParentLog>,
    /// When, by the founders' word, in Unix seconds: the time until the first witnessed one.
    #[n(7)]
    pub created: u64,
    /// The version of the rules it follows ([`RULES_VERSION`]); none in the first version, which
    /// had no name for it.
    #[n(8)]
    pub version: Option<u32>,
}

impl Genesis {
    /// The version of the rules it follows.
    pub fn rules_version(&self) -> u32 {
        self.version.unwrap_or(1)
    }
}

impl Genesis {
    /// Errors: the commons or a founder has a name that is none, or two founders look the same.
    pub fn check_names(&self) -> Result<(), NameError> {
        naming::check(Named::Name, &self.name)?;
        for (at, founder) in self.founders.iter().enumerate() {
            naming::check(Named::Founder, &founder.name)?;
            for before in &self.founders[..at] {
                naming::refuse_alike(&founder.name, &before.name, &before.member)?;
            }
        }
        Ok(())
    }
}

impl Bounded for Genesis {
    fn check(&self) -> Result<(), Invalid> {
        if self.version.is_some_and(|version| !(2..=RULES_VERSION).contains(&version)) {
            let version = self.rules_version();
            let why = format!("is {version}; this program knows 1 to {RULES_VERSION}");
            return Err(invalid("version of the rules", why));
        }
        name("name", &self.name)?;
        self.rules.check()?;
        if self.rules_version() > 1 {
            self.rules.check_current()?;
        }
        self.witnesses.check()?;
        count("founders", self.founders.len(), 1, 64)?;
        distinct("founders", &self.founders.iter().map(|f| f.member).collect::<Vec<_>>())?;
        for founder in &self.founders {
            name("founder", &founder.name)?;
            guardians(&founder.guardians, founder.threshold)?;
        }
        if !self.founders.iter().any(|f| f.steward) {
            return Err(invalid("founders", "have no steward among them"));
        }
        if self.rules_version() > 2 {
            self.check_names().map_err(|e| invalid("names", format!("do not hold: {e}")))?;
        }
        Ok(())
    }
}

/// What a power is over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode, serde::Serialize)]
#[cbor(index_only)]
#[serde(rename_all = "kebab-case")]
pub enum Asset {
    /// The name and its marks.
    #[n(0)]
    Trademark,
    /// Contributor agreements.
    #[n(1)]
    Cla,
    /// Copyright.
    #[n(2)]
    Copyright,
    /// Internet names.
    #[n(3)]
    Domain,
    /// An account's name on somebody's platform.
    #[n(4)]
    Namespace,
    /// What signs releases.
    #[n(5)]
    ReleaseKey,
    /// A machine that serves it.
    #[n(6)]
    Host,
    /// This log's operator: a majority of the stewards that names the same key here makes it the
    /// operator, and no word of the old one is needed.
    #[n(7)]
    Log,
}

/// What the holder can do with it alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode, serde::Serialize)]
#[cbor(index_only)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    /// Change the licence.
    #[n(0)]
    Relicense,
    /// Say who may use the name.
    #[n(1)]
    License,
    /// Take it away.
    #[n(2)]
    Revoke,
    /// Make a release.
    #[n(3)]
    Release,
    /// Take it offline.
    #[n(4)]
    TakeDown,
    /// Sign checkpoints.
    #[n(5)]
    Operate,
}

/// Who holds power over what: the control plane, declared.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Rights {
    /// Over what kind of thing.
    #[n(0)]
    pub asset: Asset,
    /// Which one.
    #[n(1)]
    pub name: String,
    /// Who holds it: a member, a key, or an organisation's name.
    #[n(2)]
    pub holder: Candidate,
    /// To do what.
    #[n(3)]
    pub powers: Vec<Power>,
    /// Whether the commons can take it back.
    #[n(4)]
    pub revocable: bool,
}

impl Rights {
    /// That the holder of `key` is to operate the log.
    pub fn to_operate(key: PeerId) -> Self {
        Self {
            asset: Asset::Log,
            name: "this log".into(),
            holder: Candidate::Key(key),
            powers: vec![Power::Operate],
            revocable: true,
        }
    }
}

impl Bounded for Rights {
    fn check(&self) -> Result<(), Invalid> {
        name("asset", &self.name)?;
        count("powers", self.powers.len(), 0, 16)?;
        distinct("powers", &self.powers)?;
        match &self.holder {
            Candidate::Named(n) => name("holder", n),
            Candidate::Key(_) => Ok(()),
        }
    }
}

/// A key or a name.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Candidate {
    /// A member's id, or a key.
    #[n(0)]
    Key(#[n(0)] PeerId),
    /// Somebody outside.
    #[n(1)]
    Named(#[n(0)] String),
}

/// What a question is about, and so what it takes to pass it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum ProposalType {
    /// Anything that needs no other type.
    #[n(0)]
    Question,
    /// The charter's text.
    #[n(1)]
    Charter,
    /// The rules.
    #[n(2)]
    Rules,
    /// The licence of what is held.
    #[n(3)]
    Licence,
    /// Who holds what power.
    #[n(4)]
    Rights,
    /// Who the stewards are.
    #[n(5)]
    Stewards,
    /// Whether a member is removed.
    #[n(6)]
    Removal,
    /// A panel drawn by lot.
    #[n(7)]
    Panel,
    /// Another look at a result.
    #[n(8)]
    Appeal,
    /// Who witnesses.
    #[n(9)]
    Witnesses,
}

named! { ProposalType, "what a question is about" {
    Question = "question",
    Charter = "charter",
    Rules = "rules",
    Licence = "licence",
    Rights = "rights",
    Stewards = "stewards",
    Removal = "removal",
    Panel = "panel",
    Appeal = "appeal",
    Witnesses = "witnesses",
} }

impl ProposalType {
    /// Whether it needs both houses, the larger majority and the exit period.
    pub fn is_constitutional(self) -> bool {
        matches!(self, Self::Charter | Self::Rules | Self::Licence | Self::Rights | Self::Witnesses)
    }
}

/// What happens if an option wins.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Effect {
    /// Nothing by itself.
    #[n(0)]
    None,
    /// This text is the charter.
    #[n(1)]
    Charter(#[n(0)] Hash),
    /// These are the rules.
    #[n(2)]
    Rules(#[n(0)] Rules),
    /// These witness.
    #[n(3)]
    Witnesses(#[n(0)] Witnesses),
    /// This member has a seat.
    #[n(4)]
    Seat(#[n(0)] PeerId),
    /// This member is no member any more; the digest is of the evidence that it was shown.
    #[n(5)]
    Remove(#[n(0)] PeerId, #[n(1)] Hash),
    /// The result of the proposal appealed against is void.
    #[n(6)]
    Overturn,
    /// These seats of a committee are held already: later elections to it count them, and give the
    /// others.
    #[n(7)]
    Seats(#[n(0)] HeldSeats),
}

/// The seats of a committee that are held already.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct HeldSeats {
    /// What the committee is called.
    #[n(0)]
    pub committee: String,
    /// Who holds them.
    #[n(1)]
    pub seats: Vec<HeldSeat>,
}

/// A seat that is held.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct HeldSeat {
    /// Who, by name.
    #[n(0)]
    pub name: String,
    /// Whom it works for.
    #[n(1)]
    pub org: Option<String>,
    /// Until when, in Unix seconds.
    #[n(2)]
    pub until: u64,
}

impl Bounded for HeldSeats {
    fn check(&self) -> Result<(), Invalid> {
        name("committee", &self.committee)?;
        count("seats held", self.seats.len(), 1, 64)?;
        distinct("seats held", &self.seats.iter().map(|s| s.name.as_str()).collect::<Vec<_>>())?;
        self.seats.iter().try_for_each(|seat| {
            name("seat", &seat.name)?;
            seat.org.iter().try_for_each(|org| name("organisation", org))
        })
    }
}

/// One option of a question.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Choice {
    /// Its name on the ballot.
    #[n(0)]
    pub name: String,
    /// A text's digest.
    #[n(1)]
    pub digest: Option<Hash>,
    /// The majority it needs over the default option.
    #[n(2)]
    pub ratio: (u32, u32),
    /// What happens if it wins.
    #[n(3)]
    pub effect: Effect,
}

/// How a question is decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// Ballots are counted.
    Counted(decide::Method),
    /// Whoever sits on a panel is drawn by lot.
    Lot,
}

impl Method {
    /// Every value, in the order of the encoding.
    pub const ALL: &[Self] = &[
        Self::Counted(decide::Method::Approval),
        Self::Counted(decide::Method::Schulze),
        Self::Counted(decide::Method::Committee),
        Self::Counted(decide::Method::Stv),
        Self::Lot,
    ];

    /// Its name, in JSON and wherever people read or write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counted(method) => method.name(),
            Self::Lot => "lot",
        }
    }

    /// Whether ballots are counted, and by this method.
    pub fn counts_by(self, method: decide::Method) -> bool {
        self == Self::Counted(method)
    }
}

known_by_name! { Method, "how a question is decided" }

/// Seats that a panel must give to a stratum of members.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Quota {
    /// Who: a house, or an organisation's name.
    #[n(0)]
    pub stratum: String,
    /// At least.
    #[n(1)]
    pub min: u16,
    /// At most.
    #[n(2)]
    pub max: u16,
}

/// A question to the members. Who may vote is fixed by its place in the log: the members there.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Propose {
    /// About what.
    #[n(0)]
    pub topic: ProposalType,
    /// The question in a line.
    #[n(1)]
    pub title: String,
    /// In full.
    #[n(2)]
    pub text: String,
    /// The options.
    #[n(3)]
    pub options: Vec<Choice>,
    /// The option that stands for "none of these", by place in `options`.
    #[n(4)]
    pub default: Option<u16>,
    /// Who votes; each house by itself. Empty: all members together.
    #[n(5)]
    pub houses: Vec<House>,
    /// How ballots are counted.
    #[cbor(n(6), with = "numbered")]
    pub method: Method,
    /// What not ranking means.
    #[cbor(n(7), with = "numbered")]
    pub unranked: Unranked,
    /// What settles a tie: a lot's seed comes from the ballots' secrets, a casting vote is this
    /// member's.
    #[cbor(n(8), with = "tie")]
    pub tie: TieRule<(), PeerId>,
    /// How many win.
    #[n(9)]
    pub seats: u16,
    /// The largest part of the seats that one employer may have.
    #[n(10)]
    pub cap: Option<(u32, u32)>,
    /// Seats of a panel by stratum.
    #[n(11)]
    pub quotas: Vec<Quota>,
    /// When voting ends, in Unix seconds of the witnesses' clock.
    #[n(12)]
    pub close: u64,
    /// When committed ballots must have been revealed; none: ballots are open.
    #[n(13)]
    pub reveal: Option<u64>,
    /// The proposal appealed against.
    #[n(14)]
    pub appeals: Option<Hash>,
    /// The question by which the members listed the seats of the committee that are held already;
    /// those of stewards are known from their elections. None in version 1.
    #[n(15)]
    pub held: Option<Hash>,
}

impl Bounded for Propose {
    fn check(&self) -> Result<(), Invalid> {
        name("title", &self.title)?;
        text_of("text", &self.text, NOTE)?;
        let lot = self.method == Method::Lot;
        count("options", self.options.len(), if lot { 0 } else { 1 }, if lot { 0 } else { 64 })?;
        distinct("options", &self.options.iter().map(|o| o.name.as_str()).collect::<Vec<_>>())?;
        for option in &self.options {
            name("option", &option.name)?;
            ratio("option's majority", option.ratio)?;
            if option.ratio.0 < option.ratio.1 {
                return Err(invalid("option's majority", "is less than 1:1"));
            }
            match &option.effect {
                Effect::Rules(rules) => rules.check()?,
                Effect::Witnesses(witnesses) => witnesses.check()?,
                Effect::Seats(seats) => seats.check()?,
                _ => {}
            }
        }
        if self.default.is_some_and(|d| usize::from(d) >= self.options.len()) {
            return Err(invalid("default", "is none of the options"));
        }
        count("houses", self.houses.len(), 0, 2)?;
        distinct("houses", &self.houses)?;
        if self.seats == 0 || self.seats > 256 {
            return Err(invalid("seats", "are 1 to 256"));
        }
        self.cap.iter().try_for_each(|&cap| ratio("cap", cap))?;
        count("quotas", self.quotas.len(), 0, 32)?;
        for quota in &self.quotas {
            name("quota", &quota.stratum)?;
            if quota.min > quota.max {
                return Err(invalid("quota", "asks for more than it allows"));
            }
        }
        if self.reveal.is_some_and(|reveal| reveal <= self.close) {
            return Err(invalid("reveal", "is not after the close"));
        }
        if (self.topic == ProposalType::Appeal) != self.appeals.is_some() {
            return Err(invalid("appeal", "names what it is against, and nothing else does"));
        }
        Ok(())
    }
}

/// What a ballot says.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum VoteBody {
    /// Options in groups, best first.
    #[n(0)]
    Ranking(#[n(0)] Vec<Vec<u16>>),
    /// Approved options.
    #[n(1)]
    Approve(#[n(0)] Vec<u16>),
    /// The digest of a ballot that will be revealed, or of a secret for a draw.
    #[n(2)]
    Commit(#[n(0)] Hash),
    /// What was committed to.
    #[n(3)]
    Reveal {
        /// The ballot, best first; empty in a draw.
        #[n(0)]
        groups: Vec<Vec<u16>>,
        /// What kept it secret.
        #[n(1)]
        salt: Hash,
    },
}

/// A ballot. The last one before the close counts.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Vote {
    /// On which `Propose` statement.
    #[n(0)]
    pub proposal: Hash,
    /// What.
    #[n(1)]
    pub ballot: VoteBody,
}

impl Bounded for Vote {
    fn check(&self) -> Result<(), Invalid> {
        let options: Vec<u16> = match &self.ballot {
            VoteBody::Ranking(groups) | VoteBody::Reveal { groups, .. } => {
                if groups.iter().any(Vec::is_empty) {
                    return Err(invalid("ballot", "has an empty place"));
                }
                groups.concat()
            }
            VoteBody::Approve(options) => options.clone(),
            VoteBody::Commit(_) => Vec::new(),
        };
        count("ballot", options.len(), 0, 64)?;
        distinct("ballot", &options)
    }
}
