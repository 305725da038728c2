//! Artifacts: what exists, what it was made of, by whose work, what others found, what was paid.

use super::{
    bounds::{Bounded, Invalid, NOTE, count, invalid, name, text_of},
    names::named,
};
use ids::{Hash, PeerId};
use minicbor::{Decode, Encode};

/// A part of an artifact, as the Model Openness Framework counts them.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Component {
    /// The framework's component number, 1 to 17; 0 for what it does not list.
    #[n(0)]
    pub mof: u8,
    /// The content's digest, where it is content.
    #[n(1)]
    pub digest: Option<Hash>,
    /// The licence's SPDX expression, `LicenseRef-…` for others; empty where there is none.
    #[n(2)]
    pub licence: String,
    /// The licence text's digest.
    #[n(3)]
    pub text: Option<Hash>,
    /// Whether its terms can be changed by somebody after download.
    #[n(4)]
    pub mutable: bool,
    /// Where it can be had.
    #[n(5)]
    pub location: String,
}

/// An artifact.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Publish {
    /// What people call it.
    #[n(0)]
    pub name: String,
    /// The digest it goes by: a model's manifest, a data set's, a program's.
    #[n(1)]
    pub artifact: Hash,
    /// Its parts.
    #[n(2)]
    pub components: Vec<Component>,
    /// The `Publish` statement this one replaces.
    #[n(3)]
    pub supersedes: Option<Hash>,
}

impl Bounded for Publish {
    fn check(&self) -> Result<(), Invalid> {
        name("name", &self.name)?;
        count("components", self.components.len(), 0, 64)?;
        self.components.iter().try_for_each(|part| {
            if part.mof > 17 {
                return Err(invalid("component", format!("is {}, 0 to 17 are known", part.mof)));
            }
            text_of("licence", &part.licence, 512)?;
            text_of("location", &part.location, 1024)
        })
    }
}

/// How a child came from a parent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum Relation {
    /// Trained from scratch on it (the parent is data) or begun from it.
    #[n(0)]
    Trained,
    /// Trained further.
    #[n(1)]
    Tuned,
    /// Merged with others.
    #[n(2)]
    Merged,
    /// Learned from its outputs.
    #[n(3)]
    Distilled,
    /// The same weights in fewer bits.
    #[n(4)]
    Quantized,
    /// Parts taken away.
    #[n(5)]
    Pruned,
    /// Written in another format.
    #[n(6)]
    Converted,
}

named! { Relation, "how something was made from something" {
    Trained = "trained",
    Tuned = "tuned",
    Merged = "merged",
    Distilled = "distilled",
    Quantized = "quantized",
    Pruned = "pruned",
    Converted = "converted",
} }

/// One parent.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Parent {
    /// Its digest.
    #[n(0)]
    pub digest: Hash,
    /// How the child came from it.
    #[n(1)]
    pub relation: Relation,
    /// Its part in the child, in thousandths.
    #[n(2)]
    pub share: u16,
}

/// Whether somebody else gets the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, serde::Serialize)]
#[cbor(index_only)]
#[serde(rename_all = "lowercase")]
pub enum Reproducible {
    /// The same bits.
    #[n(0)]
    Exact,
    /// Close.
    #[n(1)]
    Tolerance,
    /// Not, or nobody knows.
    #[n(2)]
    No,
}

/// What was made from what.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Derive {
    /// The result's digest.
    #[n(0)]
    pub child: Hash,
    /// What it was made of.
    #[n(1)]
    pub parents: Vec<Parent>,
    /// The recipe's digest.
    #[n(2)]
    pub recipe: Hash,
    /// The program's digest or version.
    #[n(3)]
    pub tool: String,
    /// Whether running the recipe again gives `child`.
    #[n(4)]
    pub reproducible: Reproducible,
}

impl Bounded for Derive {
    fn check(&self) -> Result<(), Invalid> {
        count("parents", self.parents.len(), 0, 256)?;
        name("tool", &self.tool)?;
        let shares: u32 = self.parents.iter().map(|p| u32::from(p.share)).sum();
        if shares > 1000 {
            return Err(invalid("parents", format!("have {shares} thousandths of the child")));
        }
        if self.parents.iter().any(|p| p.digest == self.child) {
            return Err(invalid("parents", "name the child itself"));
        }
        Ok(())
    }
}

/// A kind of work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode, serde::Serialize)]
#[cbor(index_only)]
#[serde(rename_all = "lowercase")]
pub enum WorkType {
    /// Machines.
    #[n(0)]
    Compute,
    /// Collecting and cleaning.
    #[n(1)]
    Data,
    /// Reading others' work.
    #[n(2)]
    Review,
    /// Looking after people and things.
    #[n(3)]
    Care,
}

/// Work that was done. Without a [`Check`] by somebody else it earns nothing.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Work {
    /// What it was part of.
    #[n(0)]
    pub task: Hash,
    /// What kind.
    #[n(1)]
    pub work: WorkType,
    /// How much, in `unit`.
    #[n(2)]
    pub quantity: u64,
    /// Of what.
    #[n(3)]
    pub unit: String,
    /// What went in.
    #[n(4)]
    pub inputs: Vec<Hash>,
    /// What came out.
    #[n(5)]
    pub output: Hash,
}

impl Bounded for Work {
    fn check(&self) -> Result<(), Invalid> {
        name("unit", &self.unit)?;
        count("inputs", self.inputs.len(), 0, 256)
    }
}

/// Passed `k` of `n` in one topic and language.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Cell {
    /// The topic.
    #[n(0)]
    pub topic: String,
    /// The language's BCP 47 tag.
    #[n(1)]
    pub language: String,
    /// Passed.
    #[n(2)]
    pub k: u32,
    /// Tried.
    #[n(3)]
    pub n: u32,
}

/// Results of an evaluation.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Evaluate {
    /// What was evaluated.
    #[n(0)]
    pub subject: Hash,
    /// The questions' digest.
    #[n(1)]
    pub suite: Hash,
    /// The program's digest.
    #[n(2)]
    pub harness: Hash,
    /// The results.
    #[n(3)]
    pub cells: Vec<Cell>,
}

impl Bounded for Evaluate {
    fn check(&self) -> Result<(), Invalid> {
        count("cells", self.cells.len(), 1, 512)?;
        self.cells.iter().try_for_each(|cell| {
            name("topic", &cell.topic)?;
            name("language", &cell.language)?;
            if cell.k > cell.n {
                return Err(invalid("cells", format!("pass {} of {}", cell.k, cell.n)));
            }
            Ok(())
        })
    }
}

/// What a check found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum Verdict {
    /// The same.
    #[n(0)]
    Confirmed,
    /// Something else.
    #[n(1)]
    Mismatch,
    /// It could not be had.
    #[n(2)]
    Unavailable,
    /// The author contradicts it for other reasons.
    #[n(3)]
    Disputed,
    /// Two statements where there may be one, or two histories of one log.
    #[n(4)]
    Equivocation,
}

named! { Verdict, "what a check found" {
    Confirmed = "confirmed",
    Mismatch = "mismatch",
    Unavailable = "unavailable",
    Disputed = "disputed",
    Equivocation = "equivocation",
} }

/// What is checked.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Subject {
    /// A statement, by its hash.
    #[n(0)]
    Statement(#[n(0)] Hash),
    /// The log itself, at some head.
    #[n(1)]
    Log,
}

/// What a check rests on.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Evidence {
    /// The checker's own work, nothing to show.
    #[n(0)]
    None,
    /// An object: a receipt, a re-run's output, a report.
    #[n(1)]
    Object(#[n(0)] Hash),
    /// In words.
    #[n(2)]
    Note(#[n(0)] String),
    /// Two statements of one author at one place of its chain.
    #[n(3)]
    TwoStatements(
        #[cbor(n(0), with = "minicbor::bytes")] Vec<u8>,
        #[cbor(n(1), with = "minicbor::bytes")] Vec<u8>,
    ),
    /// A [`tlog::SplitProof`]: two histories of one log.
    #[n(4)]
    TwoHistories(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// A checkpoint of this log with its cosignatures: the log's clock (see `replay`).
    #[n(5)]
    Checkpoint(#[n(0)] String),
    /// A [`crate::receipt::Receipt`] of the log's operator, and the statement that it is for.
    #[n(6)]
    Receipt(
        #[cbor(n(0), with = "minicbor::bytes")] Vec<u8>,
        #[cbor(n(1), with = "minicbor::bytes")] Vec<u8>,
    ),
    /// A statement that is not in the log: whoever finds it missing shows it. A secret so shown counts
    /// as revealed.
    #[n(7)]
    Statement(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
}

/// A judgement on a statement: an audit, a rebuild, a dispute, a proof of double-dealing.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Check {
    /// On what.
    #[n(0)]
    pub subject: Subject,
    /// What was found.
    #[n(1)]
    pub verdict: Verdict,
    /// What it rests on.
    #[n(2)]
    pub evidence: Evidence,
}

impl Bounded for Check {
    fn check(&self) -> Result<(), Invalid> {
        let proof =
            matches!(self.evidence, Evidence::TwoStatements(..) | Evidence::TwoHistories(_));
        if proof != (self.verdict == Verdict::Equivocation) {
            return Err(invalid("verdict", "equivocation goes with its proof, and only with it"));
        }
        if matches!(self.evidence, Evidence::Statement(_)) && self.verdict != Verdict::Unavailable {
            return Err(invalid("verdict", "a statement is shown if it is missing in the log"));
        }
        match &self.evidence {
            Evidence::Note(note) => text_of("note", note, NOTE),
            Evidence::Checkpoint(note) => text_of("checkpoint", note, NOTE),
            _ => Ok(()),
        }
    }
}

/// What a community wants of a model on a topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode, serde::Serialize)]
#[cbor(index_only)]
#[serde(rename_all = "lowercase")]
pub enum Stance {
    /// It should answer.
    #[n(0)]
    Answer,
    /// It should answer with care.
    #[n(1)]
    Care,
    /// It should refuse.
    #[n(2)]
    Refuse,
}

/// One fence.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct FenceCell {
    /// The topic.
    #[n(0)]
    pub topic: String,
    /// The language's BCP 47 tag.
    #[n(1)]
    pub language: String,
    /// What the community wants.
    #[n(2)]
    pub stance: Stance,
    /// Why.
    #[n(3)]
    pub reason: String,
}

/// A community's fences.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Boundary {
    /// Whose.
    #[n(0)]
    pub community: String,
    /// The fences.
    #[n(1)]
    pub cells: Vec<FenceCell>,
    /// The `Boundary` this one replaces.
    #[n(2)]
    pub replaces: Option<Hash>,
}

impl Bounded for Boundary {
    fn check(&self) -> Result<(), Invalid> {
        name("community", &self.community)?;
        count("cells", self.cells.len(), 1, 512)?;
        self.cells.iter().try_for_each(|cell| {
            name("topic", &cell.topic)?;
            name("language", &cell.language)?;
            text_of("reason", &cell.reason, 1024)
        })
    }
}

/// Where money comes from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode, serde::Serialize)]
#[cbor(index_only)]
#[serde(rename_all = "lowercase")]
pub enum SourceClass {
    /// People.
    #[n(0)]
    Person,
    /// A company.
    #[n(1)]
    Company,
    /// A foundation or association.
    #[n(2)]
    Association,
    /// The public hand.
    #[n(3)]
    Public,
    /// The commons itself.
    #[n(4)]
    Commons,
}

/// Money, or machine time, from one to another.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Pay {
    /// Who gives: a member, or an account's name.
    #[n(0)]
    pub from: String,
    /// Who gets: a member, where it is one.
    #[n(1)]
    pub to: PeerId,
    /// How much, in the smallest part of `unit`.
    #[n(2)]
    pub amount: u64,
    /// Of what: an ISO 4217 code or the name of a credit.
    #[n(3)]
    pub unit: String,
    /// What for.
    #[n(4)]
    pub purpose: String,
    /// The funding round's proposal.
    #[n(5)]
    pub round: Option<Hash>,
    /// Where it comes from.
    #[n(6)]
    pub source: SourceClass,
    /// The receipt's digest.
    #[n(7)]
    pub receipt: Option<Hash>,
}

impl Bounded for Pay {
    fn check(&self) -> Result<(), Invalid> {
        name("payer", &self.from)?;
        name("unit", &self.unit)?;
        name("purpose", &self.purpose)?;
        if self.amount == 0 {
            return Err(invalid("amount", "is 0"));
        }
        Ok(())
    }
}
