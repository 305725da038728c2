//! Records: the chain that everybody agrees on and anybody can check.

use crate::{
    Body, Envelope, MAX_MESSAGE, MAX_RECORD, ObjectRef, Scope, Signed, State,
    message::{Commit, Have, Join, Proposal, Show, Step, Verdict, Vote},
};
use ids::{
    DecodeError, Hash, PeerId, Signature,
    canonical::{decode, encode},
};
use minicbor::{Decode, Encode, bytes::ByteVec};
use serde::{Deserialize, Serialize};

/// What a record does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cbor(index_only)]
pub enum Kind {
    /// Opens the run; signed by the founder.
    #[n(0)]
    Genesis,
    /// Closes a round: its contributions and the state they lead to.
    #[n(1)]
    Advance,
    /// The last advance again, without members that were proven to have cheated in it.
    #[n(2)]
    Repair,
    /// Ends the run, after the audits of the last round.
    #[n(3)]
    Close,
}

impl std::fmt::Display for Kind {
    /// The name that it has in JSON.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Serialize::serialize(self, f)
    }
}

/// A member after a record.
///
/// Encoding: CBOR array of the fields in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    #[n(0)]
    pub id: PeerId,
    /// Height at which it joined; 0 for a member of genesis.
    #[n(1)]
    pub joined: u64,
    /// Contributions included so far.
    #[n(2)]
    pub contributions: u32,
    /// What is left of what it was granted as a founding voter, in inner steps.
    #[n(3)]
    pub grant: u64,
    /// Inner steps of its contributions that an audit confirmed, less what it has lost.
    #[n(4)]
    pub earned: u64,
    /// Contributions that an audit confirmed, since it last withheld what audits need.
    #[n(5)]
    pub clean: u32,
    /// Advances running without a contribution of it.
    #[n(6)]
    pub missed: u32,
    /// Its carry after its last included contribution.
    #[n(7)]
    pub carry: Option<ObjectRef>,
    /// The newest link of its hash chain that a record has.
    #[n(8)]
    pub link: Hash,
    /// The height that link belongs to.
    #[n(9)]
    pub link_at: u64,
}

/// One contribution in an advance.
///
/// Encoding: CBOR array of the fields in order.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Contribution {
    /// The work.
    #[n(0)]
    pub commit: Signed<Commit>,
    /// Who else holds the update, in the order of their keys.
    #[n(1)]
    pub haves: Vec<Signed<Have>>,
}

/// Proof that a key does not belong among the members.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Evidence {
    /// Voters of more standing than may be faulty, two at least, re-ran a contribution or a part of
    /// it and got another hash.
    #[n(0)]
    Mismatch {
        /// Height of the advance with the contribution.
        #[n(0)]
        height: u64,
        /// Their verdicts, in the order of their keys.
        #[n(1)]
        verdicts: Vec<Signed<Verdict>>,
    },
    /// A mismatch that voters of more standing than may be faulty, two at least, did not find in
    /// that part.
    #[n(1)]
    FalseAccusation {
        /// The accuser's verdict.
        #[n(0)]
        accusation: Signed<Verdict>,
        /// The others' verdicts, in the order of their keys.
        #[n(1)]
        contradictions: Vec<Signed<Verdict>>,
    },
    /// Two different statements of one author where one is allowed.
    #[n(2)]
    Equivocation {
        /// One of them: the smaller.
        #[n(0)]
        first: Envelope,
        /// The other.
        #[n(1)]
        second: Envelope,
    },
    /// A confirmation whose digest voters of more standing than may be faulty, two at least, did
    /// not get: its author did not look.
    #[n(3)]
    BlindConfirmation {
        /// The confirmation.
        #[n(0)]
        confirmation: Signed<Verdict>,
        /// The others' verdicts on it, in the order of their keys.
        #[n(1)]
        verdicts: Vec<Signed<Verdict>>,
    },
}

/// A member that is out for good.
///
/// Encoding: CBOR array of the fields in order.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Ejection {
    /// Who.
    #[n(0)]
    pub peer: PeerId,
    /// Why.
    #[n(1)]
    pub evidence: Evidence,
}

/// One link of the chain.
///
/// Encoding: CBOR array of the fields in order.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Record {
    /// The run's id.
    #[n(0)]
    pub run: Hash,
    /// 0 for genesis.
    #[n(1)]
    pub height: u64,
    /// What it does.
    #[n(2)]
    pub kind: Kind,
    /// Rounds done after it.
    #[n(3)]
    pub round: u32,
    /// Hash of the record before; zeros for genesis.
    #[n(4)]
    pub prev: Hash,
    /// Everybody who belongs to the run after it, in the order of their keys.
    #[n(5)]
    pub members: Vec<Member>,
    /// Who asks to be let in (for genesis: everybody), in the order of their keys.
    #[n(6)]
    pub joins: Vec<Signed<Join>>,
    /// The contributions of the round, in the order of their authors' keys.
    #[n(7)]
    pub contributions: Vec<Contribution>,
    /// Links that voters have shown since the advance before, in the order of their keys.
    #[n(8)]
    pub shows: Vec<Signed<Show>>,
    /// Verdicts on the advance before, by contributor, auditor and scope.
    #[n(9)]
    pub verdicts: Vec<Signed<Verdict>>,
    /// Who goes, in the order of their keys.
    #[n(10)]
    pub ejected: Vec<Ejection>,
    /// The state after it.
    #[n(11)]
    pub state: State,
    /// The beacon after it.
    #[n(12)]
    pub beacon: Hash,
}

/// The signatures under a record: precommits of one view.
///
/// Encoding: CBOR array `[view, [[peer, signature], …]]`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Certificate {
    /// The view they were given in.
    #[n(0)]
    pub view: u32,
    /// In the order of the keys.
    #[n(1)]
    pub signatures: Vec<(PeerId, Signature)>,
}

/// A record with what makes it binding.
///
/// Encoding: CBOR array `[body, certificate]` with `body` the record's bytes as a byte string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRecord {
    body: Vec<u8>,
    record: Record,
    hash: Hash,
    certificate: Certificate,
}

#[derive(Encode, Decode)]
struct SignedRecordBytes {
    #[n(0)]
    body: ByteVec,
    #[n(1)]
    certificate: Certificate,
}

impl Record {
    /// The record's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads a record; says nothing about whether it may follow another.
    ///
    /// Errors: [`DecodeError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode("record", bytes, MAX_RECORD)
    }

    /// The name of a record with these bytes.
    pub fn hash_of(bytes: &[u8]) -> Hash {
        Hash::of_parts("understory swarm 2 record", &[bytes])
    }

    /// Who goes by this record.
    pub fn culprits(&self) -> impl Iterator<Item = PeerId> {
        self.ejected.iter().map(|e| e.peer)
    }
}

impl SignedRecord {
    /// Puts a record and its certificate together.
    ///
    /// Errors: [`DecodeError`] if `body` is no record.
    pub fn new(body: Vec<u8>, certificate: Certificate) -> Result<Self, DecodeError> {
        let record = Record::from_bytes(&body)?;
        let hash = Record::hash_of(&body);
        Ok(Self { body, record, hash, certificate })
    }

    /// Reads a record and its certificate.
    ///
    /// Errors: [`DecodeError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let parts: SignedRecordBytes = decode("signed record", bytes, MAX_MESSAGE)?;
        Self::new(parts.body.into(), parts.certificate)
    }

    /// The record and its certificate as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (body, certificate) = (self.body.clone().into(), self.certificate.clone());
        encode(&SignedRecordBytes { body, certificate })
    }

    /// The record.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The record's bytes, as they were signed.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The record's hash.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The signatures under it.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The votes that the certificate stands for.
    pub fn votes(&self) -> impl Iterator<Item = Signed<Vote>> {
        let vote = Vote {
            height: self.record.height,
            view: self.certificate.view,
            step: Step::Precommit,
            value: Some(self.hash),
        };
        let run = self.record.run;
        let signatures = self.certificate.signatures.iter();
        signatures.map(move |(peer, signature)| Signed::assemble(&run, *peer, vote, *signature))
    }
}

impl Evidence {
    /// The run it is about.
    pub fn run(&self) -> Hash {
        match self {
            Self::Mismatch { verdicts, .. } => {
                verdicts.first().map_or(Hash::default(), |v| v.envelope().run)
            }
            Self::FalseAccusation { accusation, .. } => accusation.envelope().run,
            Self::BlindConfirmation { confirmation, .. } => confirmation.envelope().run,
            Self::Equivocation { first, .. } => first.run,
        }
    }

    /// The evidence that one author signed both; `None` if an honest one may have.
    pub fn equivocation(a: &Envelope, b: &Envelope) -> Option<Self> {
        let (first, second) = if a < b { (a.clone(), b.clone()) } else { (b.clone(), a.clone()) };
        let evidence = Self::Equivocation { first, second };
        evidence.equivocator().map(|_| evidence)
    }

    /// Who contradicts itself, if this is an equivocation in form (signatures are not looked at).
    pub fn equivocator(&self) -> Option<PeerId> {
        let Self::Equivocation { first, second } = self else { return None };
        let alike = first.run == second.run
            && first.author == second.author
            && first.kind == second.kind
            && first < second
            && first.body != second.body;
        (alike && slot(first)? == slot(second)?).then_some(first.author)
    }
}

/// What an author may say once only: a commit per height, a proposal per view, a vote per step, a
/// verdict per contribution that it drew.
fn slot(envelope: &Envelope) -> Option<(u8, u64, u32, u32, Option<PeerId>)> {
    let e = || envelope.clone();
    match envelope.kind {
        Commit::KIND => {
            let commit = Signed::<Commit>::open(e()).ok()?;
            Some((Commit::KIND, commit.body().height, 0, 0, None))
        }
        Proposal::KIND => {
            let proposal = Signed::<Proposal>::open(e()).ok()?;
            Some((Proposal::KIND, proposal.body().height, proposal.body().view, 0, None))
        }
        Vote::KIND => {
            let vote = Signed::<Vote>::open(e()).ok()?;
            let vote = vote.body();
            Some((Vote::KIND, vote.height, vote.view, vote.step as u32, None))
        }
        Verdict::KIND => {
            let verdict = Signed::<Verdict>::open(e()).ok()?;
            let Verdict { height, contributor, scope, .. } = *verdict.body();
            (scope == Scope::Drawn).then_some((Verdict::KIND, height, 0, 0, Some(contributor)))
        }
        _ => None,
    }
}
