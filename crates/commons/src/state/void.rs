//! Why a statement counts for nothing, as data; the words are its `Display`.
//!
//! The code of each reason (`"code"` in JSON) and the names of its fields are read by other
//! programs: they stay. The words may change, and no digest covers them.

mod detail;

pub use detail::Detail;

use crate::naming::{NameError, Named};
use crate::statement::ProposalType;
use decide::{DecideError, SortitionError};
use ids::{Hash, PeerId, Quoted};
use serde::{Deserialize, Serialize};

/// A statement that counts for nothing, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Void {
    /// Its index in the log.
    pub index: u64,
    /// Its hash.
    pub statement: Hash,
    /// Why.
    pub reason: VoidReason,
}

/// Why a statement counts for nothing. Times are in Unix seconds of the witnesses' clock, lengths of
/// time in seconds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum VoidReason {
    // The author's chain and what it has seen.
    /// A genesis, or a statement that has seen no head, after the first one.
    #[error("a log has one genesis")]
    SecondGenesis,
    /// The same statement once more.
    #[error("it is in the log already")]
    AlreadyInLog,
    /// Another statement has its place in the author's chain.
    #[error("its author said something else in the same place")]
    PlaceTaken {
        /// The statement that has the place.
        by: Hash,
    },
    /// It is not the next link of its author's chain.
    #[error("it does not follow its author's last statement")]
    OutOfChain {
        /// The next place in the chain.
        next: u64,
    },
    /// The author contradicted itself before.
    #[error("its author contradicted itself at statement {seq}")]
    AuthorContradicted {
        /// The first place in its chain at which it did.
        seq: u64,
    },
    /// It says that it has seen a longer log.
    #[error("it has seen more of the log than comes before it")]
    SeenTooMuch {
        /// How many statements it says it has seen.
        seen: u64,
    },
    /// It has seen another log of the same id.
    #[error("it was written for another history of this log")]
    SeenOtherHistory {
        /// The size at which that one differs.
        seen: u64,
    },
    /// No operator signed the head that it says it has seen.
    #[error("the head it has seen is not signed by the log's operator")]
    SeenUnsignedHead {
        /// The head's size.
        seen: u64,
    },
    /// The key signs for no member.
    #[error("its key is in force for nobody")]
    KeyNotInForce,
    /// The author is no member.
    #[error("its author is not a member")]
    NotAMember,

    // Keys.
    /// A start that is not signed by its own first key.
    #[error("a member begins with the key that signs")]
    StartNotSelfSigned,
    /// A start of somebody who is here.
    #[error("this member has begun already")]
    AlreadyBegun,
    /// A rotation for somebody who is not here.
    #[error("it rotates the keys of nobody")]
    RotatesForNobody,
    /// A rotation by another key than the one committed to.
    #[error("it is not signed by the next key that the member committed to")]
    NotTheNextKey,
    /// A recovery that is not signed by its own first key.
    #[error("a recovery is signed by the first of the new keys")]
    RecoveryNotSelfSigned,
    /// A recovery for somebody who is not here.
    #[error("it recovers nobody's keys")]
    RecoversForNobody,
    /// A recovery for somebody who named no guardians.
    #[error("the member has no guardians")]
    NoGuardians,
    /// A word for a recovery that is over.
    #[error("the recovery is settled")]
    RecoverySettled,
    /// A word for a recovery by somebody else.
    #[error("its author is not a guardian of the member")]
    NotAGuardian,
    /// A key is revoked by another one.
    #[error("a key revokes itself, or a rotation all of them")]
    RevokesOtherKey,
    /// A key without its own word that it is the member's.
    #[error("key {key} does not say that it is the member's")]
    KeyNotBound {
        /// The key.
        key: PeerId,
    },
    /// A key of somebody else.
    #[error("key {key} is somebody else's")]
    KeyTaken {
        /// The key.
        key: PeerId,
    },

    // Names, since version 3 of the rules.
    /// A name that people cannot read or type, or that reads like something else.
    #[error("the {of} {} {why}", Quoted(name))]
    UnfitName {
        /// What is called so.
        of: Named,
        /// The name.
        name: String,
        /// What is wrong with it.
        why: Detail,
    },
    /// A name that looks like that of a member.
    #[error(
        "{} looks like {}, which is what {} is called",
        Quoted(name), Quoted(other), by.short()
    )]
    NameTaken {
        /// The name.
        name: String,
        /// The member's name.
        other: String,
        /// The member.
        by: PeerId,
    },
    /// An option that reads like its number.
    #[error("the option {} reads like a place on the ballot", Quoted(name))]
    OptionLikePlace {
        /// Its name.
        name: String,
    },
    /// Two options that people cannot tell apart.
    #[error("the options {} and {} look alike", Quoted(other), Quoted(name))]
    OptionsAlike {
        /// The name of the first.
        other: String,
        /// The name of the second.
        name: String,
    },

    // What is said about people.
    /// A vouch for oneself, or another claim about somebody else.
    #[error("one vouches for others, and says everything else of oneself")]
    WrongSubject,
    /// One affiliation too many.
    #[error("it has {most} affiliations already")]
    TooManyAffiliations {
        /// How many one may have.
        most: u32,
    },
    /// One conflict too many.
    #[error("it has {most} conflicts already")]
    TooManyConflicts {
        /// How many one may have.
        most: u32,
    },
    /// A vouch for somebody who is not here.
    #[error("it vouches for nobody who has begun here")]
    VouchesForNobody,
    /// The end of a vouch that is not there.
    #[error("it withdraws a vouch that was not given")]
    NoSuchVouch,
    /// The same vouch once more.
    #[error("it has vouched for this one already")]
    AlreadyVouched,
    /// One vouch too many.
    #[error("its author's {budget} vouches are given")]
    VouchesSpent {
        /// How many one may give.
        budget: u32,
    },

    // What was made, and checks of it.
    /// The artifact has a name, and this does not replace it.
    #[error("this artifact is published already")]
    AlreadyPublished {
        /// The statement that published it.
        by: Hash,
    },
    /// It would replace what another member said.
    #[error("somebody else, who is a member, published this artifact")]
    PublishedByOther {
        /// Who.
        by: PeerId,
    },
    /// A use that is over.
    #[error("the use has ended before it was said")]
    UseEnded {
        /// When it ended.
        expiry: u64,
    },
    /// A checkpoint as evidence for something else.
    #[error("a checkpoint is evidence of the log alone")]
    CheckpointOfStatement,
    /// What it judges is not here.
    #[error("it checks a statement that is not in the log")]
    ChecksNothing,
    /// Its author judges its own work.
    #[error("nobody checks what it did itself")]
    ChecksItself,
    /// The member marked this record before.
    #[error("its author has said so already")]
    AlreadyMarked,

    // Checkpoints, proofs and receipts.
    /// A verdict on the log that means nothing.
    #[error("a check of the log is a checkpoint, a proof or a receipt")]
    NoSuchLogCheck,
    /// A mark without its evidence.
    #[error("confirms the log without a checkpoint")]
    NoCheckpoint,
    /// The evidence is no checkpoint.
    #[error("{why}")]
    BadCheckpoint {
        /// What is wrong.
        why: Detail,
    },
    /// A checkpoint of another log, or of what comes later.
    #[error("the checkpoint is not of this log before here")]
    CheckpointOfOtherLog,
    /// A checkpoint that no operator of that size signed.
    #[error("the checkpoint is not signed by the log's operator")]
    CheckpointUnsigned,
    /// A cosignature that does not hold.
    #[error("{why}")]
    BadCosignature {
        /// Whose, and what is wrong.
        why: Detail,
    },
    /// Fewer witnesses than must cosign.
    #[error("{cosigned} of {needed} witnesses cosigned the checkpoint")]
    TooFewWitnesses {
        /// How many did.
        cosigned: u64,
        /// How many must.
        needed: u64,
    },
    /// No witness at all.
    #[error("nobody cosigned the checkpoint")]
    NotCosigned,
    /// Its time or size is that of the last mark, or before it.
    #[error("the checkpoint is not newer than the last")]
    CheckpointNotNewer,
    /// A checkpoint of another root.
    #[error("the checkpoint is of another history")]
    CheckpointOfOtherHistory,
    /// An operator that is named otherwise than by a key.
    #[error("a log's operator is a key")]
    OperatorIsNoKey,
    /// Two histories without their evidence.
    #[error("two histories are proven by two checkpoints")]
    NoSplitProof,
    /// The evidence proves no second history.
    #[error("{why}")]
    BadSplitProof {
        /// What is wrong.
        why: Detail,
    },
    /// Equivocation without its evidence.
    #[error("equivocation is proven by two statements")]
    NoTwoStatements,
    /// One of two statements that are shown is none.
    #[error("{} statement: {why}", if *.place == 0 { "first" } else { "second" })]
    BadOneOfTwo {
        /// Which, from 0.
        place: u8,
        /// What is wrong.
        why: Detail,
    },
    /// The two statements may both be said.
    #[error("the two statements do not contradict each other")]
    NoContradiction,
    /// What is shown is no statement.
    #[error("{why}")]
    BadStatement {
        /// What is wrong.
        why: Detail,
    },
    /// What is shown was said elsewhere.
    #[error("the statement is of another commons")]
    OfOtherCommons {
        /// Where.
        commons: Hash,
    },
    /// Something left out without its evidence.
    #[error("what is left out is shown by a receipt")]
    NoReceipt,
    /// The evidence is no receipt.
    #[error("{why}")]
    BadReceipt {
        /// What is wrong.
        why: Detail,
    },
    /// A receipt for something else, or by somebody else.
    #[error("the receipt is not of this log's operator for this statement")]
    ReceiptOfOther,
    /// Nothing is left out.
    #[error("the statement has its place")]
    HasItsPlace {
        /// Which.
        index: u64,
    },
    /// A receipt that says no more than one before it.
    #[error("a receipt for it is in the log already")]
    ReceiptKnown,

    // Questions: when.
    /// Voting ends too early.
    #[error("it closes at {close}, before the notice of {notice} s is over")]
    ClosesTooEarly {
        /// When voting ends.
        close: u64,
        /// How long everybody must have known of it.
        notice: u64,
    },
    /// Too little time to open sealed ballots.
    #[error("its ballots can be revealed for {window} s, less than the notice of {notice} s")]
    RevealTooShort {
        /// How long they can be.
        window: u64,
        /// How long they must be.
        notice: u64,
    },
    /// It ends too late.
    #[error("it ends at {end}, and may be open until {latest} at the latest")]
    OpenTooLong {
        /// When it ends.
        end: u64,
        /// When it must have.
        latest: u64,
    },
    /// Its author has as many open questions as one may have.
    #[error("its author has asked {open} questions that are open")]
    TooManyQuestions {
        /// How many.
        open: u32,
    },

    // Questions: what.
    /// A draw without time to reveal.
    #[error("a panel is drawn from members' secrets: it says until when they are revealed")]
    PanelWithoutReveal,
    /// A lot without secrets to draw it from.
    #[error("a lot for ties is drawn from what kept ballots secret, and these are open")]
    LotWithoutSecrets,
    /// A change that one house cannot decide.
    #[error("a change of charter, rules, licence, rights or witnesses needs both houses")]
    NeedsBothHouses {
        /// What it would change.
        topic: ProposalType,
    },
    /// One house about something that binds all.
    #[error("one house alone decides nothing for all")]
    OneHouseAlone,
    /// A panel that is not drawn, or something else that is.
    #[error("panels, and only they, are drawn by lot")]
    LotOnlyForPanels,
    /// Quotas of something that is not drawn.
    #[error("only a panel has quotas")]
    QuotasWithoutPanel,
    /// A list of seats that one house would decide.
    #[error("all members together list the seats that are held")]
    ListNeedsAllMembers,
    /// A decision without a default option, or by another method.
    #[error("it needs a default option and the Schulze method")]
    NeedsDefaultAndSchulze,
    /// An appeal with its answer in the question.
    #[error("an appeal asks, by Schulze and a simple majority, whether to overturn or not")]
    UnfairAppeal,
    /// A default option with an effect.
    #[error("its default option, which stands for none of the others, does something")]
    DefaultHasEffect,
    /// Rules that are not allowed now.
    #[error("{why}")]
    BadRules {
        /// Which, and what is wrong.
        why: Detail,
    },
    /// An option that changes what the topic is not about.
    #[error("an option has an effect that its kind of question cannot")]
    EffectOutsideTopic {
        /// What the question is about.
        topic: ProposalType,
    },
    /// Held seats named where they are known.
    #[error("which stewards' seats are held is known from their elections")]
    StewardSeatsAreKnown,
    /// Held seats of something without seats.
    #[error("only a committee's seats are listed")]
    NoCommittee,
    /// Held seats by a question that lists none now.
    #[error("the seats that are held are not listed by a decision in force")]
    NoListInForce {
        /// The question that it names.
        named: Hash,
    },
    /// An election of other seats than those that end.
    #[error("all members together elect all {seats} stewards, or those whose terms end")]
    WrongStewardSeats {
        /// How many stewards there are.
        seats: u64,
    },
    /// A candidate whose term goes on.
    #[error("a candidate has a seat already")]
    CandidateHasSeat,
    /// No way to want none of the candidates.
    #[error("an election of stewards has an option for none of them")]
    NoOptionForNone,
    /// A panel larger than those it is drawn from.
    #[error("a panel of {seats} cannot be drawn from {members} members")]
    PanelTooLarge {
        /// How large.
        seats: u64,
        /// How many may vote.
        members: u64,
    },
    /// Quotas that no panel meets.
    #[error("{why}")]
    BadQuotas {
        /// Why not.
        why: SortitionError,
    },
    /// An election that cannot be held.
    #[error("{why}")]
    NotCountable {
        /// Why not.
        why: DecideError,
    },

    // Appeals.
    /// An appeal against what was not asked here.
    #[error("it appeals against no question")]
    AppealsAgainstNothing,
    /// An appeal against what has no result.
    #[error("what it appeals against is not decided")]
    AppealedNotDecided,
    /// An appeal too late.
    #[error("the time to appeal is over")]
    AppealTooLate {
        /// Until when it could be brought.
        until: u64,
    },
    /// An appeal against something that is the last word.
    #[error("there is no appeal against an appeal, a draw or what was decided before a fork")]
    NoAppealAgainstThis,
    /// An appeal that takes too long, or is put to a house.
    #[error("an appeal is heard by one panel, and ends at {latest} at the latest")]
    AppealTooLong {
        /// When it must have ended.
        latest: u64,
    },
    /// An appeal with nobody to hear it.
    #[error("no panel that may hear it was drawn since the result")]
    NoPanelForAppeal,

    // Ballots.
    /// A ballot on what was not asked here.
    #[error("it votes on no question")]
    VotesOnNothing,
    /// A ballot too late.
    #[error("the question is closed")]
    QuestionClosed,
    /// A ballot of somebody else.
    #[error("its author may not vote on this question")]
    MayNotVote,
    /// Its author withheld a secret from an earlier draw.
    #[error("its author withheld a secret, and takes part in no draw until {until}")]
    Barred {
        /// Until when it is barred.
        until: u64,
    },
    /// An open ballot where they are secret, a ranking where approval is asked for, and so on.
    #[error("it is not the kind of ballot that the question asks for")]
    WrongBallot,
}

impl From<NameError> for VoidReason {
    fn from(error: NameError) -> Self {
        match error {
            NameError::Unfit { of, name, why } => {
                Self::UnfitName { of, name, why: Detail::of(why) }
            }
            NameError::Taken { name, other, id } => Self::NameTaken { name, other, by: id },
            NameError::LikePlace { name } => Self::OptionLikePlace { name },
            NameError::AlikeOptions { other, name } => Self::OptionsAlike { other, name },
        }
    }
}
