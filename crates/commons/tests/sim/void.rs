//! Reasons for which statements count for nothing: codes and data for programs, words for people.

use commons::{
    naming::Named,
    state::{Detail, VoidReason},
    statement::ProposalType,
    view::Reason,
};
use decide::{DecideError, SortitionError};
use ids::{Hash, PeerId};
use std::collections::BTreeSet;

const HASH: Hash = Hash([0xab; 32]);
const KEY: PeerId = PeerId([0xcd; 32]);

/// One of each. A reason that is missing here does not compile.
macro_rules! every {
    ($($name:ident $({ $($field:ident: $value:expr),* })?,)*) => {{
        #[allow(dead_code)]
        fn none_is_missing(reason: &VoidReason) {
            match reason { $(VoidReason::$name { .. } => {})* }
        }
        vec![$(VoidReason::$name { $($($field: $value),*)? }),*]
    }};
}

fn why() -> Detail {
    serde_json::from_value("what is wrong".into()).unwrap()
}

fn all() -> Vec<VoidReason> {
    every! {
        SecondGenesis,
        AlreadyInLog,
        PlaceTaken { by: HASH },
        OutOfChain { next: 3 },
        AuthorContradicted { seq: 3 },
        SeenTooMuch { seen: 40 },
        SeenOtherHistory { seen: 40 },
        SeenUnsignedHead { seen: 40 },
        KeyNotInForce,
        NotAMember,
        StartNotSelfSigned,
        AlreadyBegun,
        RotatesForNobody,
        NotTheNextKey,
        RecoveryNotSelfSigned,
        RecoversForNobody,
        NoGuardians,
        RecoverySettled,
        NotAGuardian,
        RevokesOtherKey,
        KeyNotBound { key: KEY },
        KeyTaken { key: KEY },
        UnfitName { of: Named::Name, name: "An\u{200b}na".to_owned(), why: why() },
        NameTaken { name: "\u{410}nna".to_owned(), other: "Anna".to_owned(), by: KEY },
        OptionLikePlace { name: "#1".to_owned() },
        OptionsAlike { other: "Red".to_owned(), name: "red".to_owned() },
        WrongSubject,
        TooManyAffiliations { most: 64 },
        TooManyConflicts { most: 64 },
        VouchesForNobody,
        NoSuchVouch,
        AlreadyVouched,
        VouchesSpent { budget: 5 },
        AlreadyPublished { by: HASH },
        PublishedByOther { by: KEY },
        UseEnded { expiry: 90 },
        CheckpointOfStatement,
        ChecksNothing,
        ChecksItself,
        AlreadyMarked,
        NoSuchLogCheck,
        NoCheckpoint,
        BadCheckpoint { why: why() },
        CheckpointOfOtherLog,
        CheckpointUnsigned,
        BadCosignature { why: why() },
        TooFewWitnesses { cosigned: 1, needed: 2 },
        NotCosigned,
        CheckpointNotNewer,
        CheckpointOfOtherHistory,
        OperatorIsNoKey,
        NoSplitProof,
        BadSplitProof { why: why() },
        NoTwoStatements,
        BadOneOfTwo { place: 0, why: why() },
        NoContradiction,
        BadStatement { why: why() },
        OfOtherCommons { commons: HASH },
        NoReceipt,
        BadReceipt { why: why() },
        ReceiptOfOther,
        HasItsPlace { index: 7 },
        ReceiptKnown,
        ClosesTooEarly { close: 100, notice: 50 },
        RevealTooShort { window: 10, notice: 50 },
        OpenTooLong { end: 200, latest: 150 },
        TooManyQuestions { open: 16 },
        PanelWithoutReveal,
        LotWithoutSecrets,
        NeedsBothHouses { topic: ProposalType::Charter },
        OneHouseAlone,
        LotOnlyForPanels,
        QuotasWithoutPanel,
        ListNeedsAllMembers,
        NeedsDefaultAndSchulze,
        UnfairAppeal,
        DefaultHasEffect,
        BadRules { why: why() },
        EffectOutsideTopic { topic: ProposalType::Charter },
        StewardSeatsAreKnown,
        NoCommittee,
        NoListInForce { named: HASH },
        WrongStewardSeats { seats: 3 },
        CandidateHasSeat,
        NoOptionForNone,
        PanelTooLarge { seats: 3, members: 2 },
        BadQuotas { why: SortitionError::Impossible },
        NotCountable { why: DecideError::BadQuorum },
        AppealsAgainstNothing,
        AppealedNotDecided,
        AppealTooLate { until: 80 },
        NoAppealAgainstThis,
        AppealTooLong { latest: 150 },
        NoPanelForAppeal,
        VotesOnNothing,
        QuestionClosed,
        MayNotVote,
        Barred { until: 80 },
        WrongBallot,
    }
}

/// Other programs read the codes and the names of the fields. A reason that is new gets a line at
/// its place, and none of the others another code.
#[test]
fn every_reason_has_a_code_of_its_own_and_can_be_read_back() {
    let mut codes = BTreeSet::new();
    let mut text = String::new();
    for reason in all() {
        let said = serde_json::to_value(Reason::from(&reason)).unwrap();
        assert!(codes.insert(said["code"].as_str().unwrap().to_owned()), "{said} is there twice");
        assert_eq!(said["words"], reason.to_string());
        let read: VoidReason = serde_json::from_value(said).unwrap();
        assert_eq!(read, reason);
        let data = serde_json::to_string(&reason).unwrap();
        text.push_str(&format!("{data}\n  {reason}\n"));
    }
    assert_eq!(text, include_str!("../golden/void-reasons.txt"), "\n{text}");
}
