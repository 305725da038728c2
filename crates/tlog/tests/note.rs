//! Notes, checkpoints, cosignatures and policies: the specifications' own examples, and what no
//! note may be.

use ids::{
    Identity,
    canonical::{decode, encode},
};
use proptest::prelude::*;
use tlog::{
    Checkpoint, CheckpointError, Hash, KeyKind, KeyName, MAX_NOTE, MAX_SIGNATURES, Note, NoteError,
    Policy, PolicyError, Signed, SignedCheckpoint, VerifierKey,
};

/// C2SP, signed-note: the example with its key.
const EXAMPLE_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const EXAMPLE: &str = "This is an example message.\n\n\u{2014} example.com/foo \
    Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

/// C2SP, tlog-cosignature: a checkpoint with a witness's line. Their keys are not published.
const CHECKPOINT: &str = "example.com/behind-the-sofa\n20852163\n\
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
    \u{2014} example.com/behind-the-sofa \
    Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
    \u{2014} witness.example.com/w1 \
    jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";

#[test]
fn the_example_of_signed_note_verifies() {
    let key: VerifierKey = EXAMPLE_KEY.parse().unwrap();
    assert_eq!((key.name().as_str(), key.kind()), ("example.com/foo", KeyKind::Log));
    assert_eq!(key.to_string(), EXAMPLE_KEY);
    let note = Note::parse(EXAMPLE.as_bytes()).unwrap();
    assert_eq!(note.text(), "This is an example message.\n");
    assert_eq!(note.signed_by(&key), Signed::Yes);
    assert_eq!(note.to_string(), EXAMPLE);

    let other = EXAMPLE.replace("an example", "no example");
    assert_eq!(Note::parse(other.as_bytes()).unwrap().signed_by(&key), Signed::Wrong);
    let stranger = VerifierKey::new(name("example.com/foo"), KeyKind::Log, id(1).id());
    assert_eq!(note.signed_by(&stranger), Signed::No);
}

#[test]
fn the_example_of_a_checkpoint_reads_and_prints_the_same() {
    let signed = SignedCheckpoint::parse(CHECKPOINT.as_bytes()).unwrap();
    assert_eq!(signed.to_string(), CHECKPOINT);
    let checkpoint = signed.checkpoint();
    assert_eq!(checkpoint.origin, "example.com/behind-the-sofa");
    assert_eq!(checkpoint.size, 20_852_163);
    assert_eq!(checkpoint.root.base64(), "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=");
    let line = &signed.note().signatures()[1];
    assert_eq!((line.name().as_str(), line.bytes().len()), ("witness.example.com/w1", 72));
    assert_eq!(line.bytes()[..8], 1_679_315_147_u64.to_be_bytes());
}

#[test]
fn what_a_witness_signs_is_what_the_specification_shows() {
    let mut signed = SignedCheckpoint::parse(CHECKPOINT.as_bytes()).unwrap();
    let line = signed.cosign(&id(7), &name("w"), 1_679_315_147);
    let message = "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n\
        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    assert_eq!(line.bytes()[8..], id(7).sign(message.as_bytes()).0);
    signed.add(line).unwrap();
    assert_eq!(signed.cosigned_by(&witness(7)), Ok(Some(1_679_315_147)));
}

#[test]
fn a_logs_signature_and_a_witnesss_do_not_stand_for_each_other() {
    let (log, key) = (id(1), id(7));
    let mut signed = checkpoint(8).sign(&log).unwrap();
    let line = signed.cosign(&key, &name("w"), 5);
    signed.add(line).unwrap();
    let as_log = VerifierKey::new(name("w"), KeyKind::Log, key.id());
    assert_eq!(signed.signed_by(&as_log), Signed::No);
    assert_eq!(signed.signed_by(&witness(7)), Signed::No);
    let as_witness = VerifierKey::new(name("log.example"), KeyKind::Witness, log.id());
    assert_eq!(signed.cosigned_by(&as_witness), Ok(None));
    assert_eq!(signed.cosigned_by(&log_key(1)), Ok(None));
    assert_ne!(as_log.id(), witness(7).id(), "the id tells the kinds apart");
}

#[test]
fn a_line_that_does_not_hold_spoils_the_note() {
    let mut signed = checkpoint(8).sign(&id(1)).unwrap();
    let other = checkpoint(9).sign(&id(1)).unwrap();
    let wrong = other.cosign(&id(7), &name("w"), 5);
    signed.add(signed.cosign(&id(7), &name("w"), 9)).unwrap();
    assert_eq!(signed.cosigned_by(&witness(7)), Ok(Some(9)));
    signed.add(wrong).unwrap();
    assert!(signed.cosigned_by(&witness(7)).is_err());
    let policy = Policy::new(0, vec![witness(7)]).unwrap();
    let error = policy.witnessed(&signed).unwrap_err();
    assert_eq!(error.to_string(), "the cosignature of w does not hold");

    signed.add(other.note().signatures()[0].clone()).unwrap();
    assert_eq!(signed.signed_by(&log_key(1)), Signed::Wrong);
    assert_eq!(signed.only(&[log_key(2)]).signed_by(&log_key(1)), Signed::No);
}

#[test]
fn a_policy_takes_the_lower_median_of_its_own_witnesses() {
    let keys: Vec<VerifierKey> = (10..15).map(witness).collect();
    let policy = Policy::new(3, keys.clone()).unwrap();
    let mut signed = checkpoint(8).sign(&id(1)).unwrap();
    assert_eq!(policy.witnessed(&signed).unwrap().time(), None);
    // The last is a stranger; the second says two things, of which the earlier counts.
    for (who, time) in [(12, 30), (10, 10), (14, 99), (11, 500), (11, 20), (77, 1)] {
        let holds = policy.witnessed(&signed).unwrap().holds();
        assert_eq!(holds, signed.note().signatures().len() > 3, "before {who}");
        signed.add(signed.cosign(&id(who), &name("w"), time)).unwrap();
    }
    let witnessed = policy.witnessed(&signed).unwrap();
    assert_eq!(witnessed.times, [Some(10), Some(20), Some(30), None, Some(99)]);
    assert_eq!((witnessed.count(), witnessed.time()), (4, Some(20)));
    assert!(Policy::new(0, vec![]).unwrap().witnessed(&signed).unwrap().holds());

    let error = |threshold, keys| Policy::new(threshold, keys).unwrap_err();
    assert_eq!(error(6, keys.clone()), PolicyError::Threshold { threshold: 6, count: 5 });
    assert_eq!(error(1, vec![log_key(1)]), PolicyError::NotAWitness(log_key(1)));
    let renamed = VerifierKey::new(name("other"), KeyKind::Witness, keys[0].key());
    assert_eq!(error(1, vec![keys[0].clone(), renamed.clone()]), PolicyError::Twice(renamed));
    assert_eq!(error(1, vec![keys[0].clone(); 33]), PolicyError::TooMany { count: 33 });
}

#[test]
fn notes_of_wrong_shape_are_refused() {
    let signature = EXAMPLE.lines().last().unwrap();
    for bad in [
        String::new(),
        "text\n".into(),
        "text\n\n".into(),
        format!("text\n{signature}\n"),
        format!("text\n\n{signature}"),
        format!("text\n\n{signature}\n\n"),
        format!("text\n\n{signature}\nmore\n"),
        format!("text\n\n{signature} \n"),
        format!("text\n\n{}\n", signature.replace('\u{2014}', "-")),
        format!("text\n\n{}\n", signature.replace("foo", "foo+bar")),
        format!("text\n\n{}\n", signature.replace("foo", "foo\u{a0}bar")),
        format!("text\n\n{}\n", signature.replace("example.com/foo", "")),
        format!("text\n\n{}\n", signature.replace("QM=", "QM")),
        format!("text\n\n{}\n", signature.replace("QM=", "QN=")),
        "text\n\n\u{2014} name AAAAAA==\n".into(),
        format!("te\txt\n\n{signature}\n"),
        format!("text\r\n\n{signature}\n"),
    ] {
        assert!(Note::parse(bad.as_bytes()).is_err(), "{bad:?}");
    }
    let not_text = [b"te\xffxt\n\n", signature.as_bytes(), b"\n"].concat();
    assert_eq!(Note::parse(&not_text), Err(NoteError::NotText { at: 2 }));
    let long = format!("{}\n\n{signature}\n", "x".repeat(MAX_NOTE));
    assert_eq!(Note::parse(long.as_bytes()), Err(NoteError::TooLong { len: long.len() }));
    let many = format!("text\n\n{}", format!("{signature}\n").repeat(MAX_SIGNATURES + 1));
    assert_eq!(Note::parse(many.as_bytes()), Err(NoteError::TooManySignatures));
    let most = format!("text\n\n{}", format!("{signature}\n").repeat(MAX_SIGNATURES));
    assert_eq!(Note::parse(most.as_bytes()).unwrap().signatures().len(), MAX_SIGNATURES);
}

#[test]
fn a_note_takes_no_more_signatures_than_are_read() {
    let mut signed = checkpoint(8).sign(&id(1)).unwrap();
    for who in 1..MAX_SIGNATURES {
        signed.add(signed.cosign(&id(7), &name("w"), who as u64)).unwrap();
    }
    signed.add(signed.cosign(&id(7), &name("w"), 1)).expect("the same once more is no more");
    let more = signed.cosign(&id(7), &name("w"), 1000);
    assert_eq!(signed.add(more), Err(NoteError::TooManySignatures));
    assert_eq!(SignedCheckpoint::parse(signed.to_string().as_bytes()), Ok(signed));
    let mut long = Note::new("x".repeat(MAX_NOTE - 20) + "\n").unwrap();
    let signature = long.sign(&id(1), &name("log.example"));
    assert!(matches!(long.add(signature), Err(NoteError::TooLong { .. })));
}

#[test]
fn texts_of_the_wrong_shape_are_no_checkpoint() {
    let root = Hash::EMPTY_TREE.base64();
    for good in [
        format!("a\n0\n{root}\n"),
        format!("a b+c\n4611686018427387904\n{root}\n"),
        format!("a\n1\n{root}\nmore\n  and more\n"),
    ] {
        assert_eq!(good.parse::<Checkpoint>().unwrap().to_string(), good);
    }
    for bad in [
        String::new(),
        format!("a\n0\n{root}"),
        "a\n0\n".to_owned(),
        format!("\n0\n{root}\n"),
        format!("a\n00\n{root}\n"),
        format!("a\n+1\n{root}\n"),
        format!("a\n-1\n{root}\n"),
        format!("a\n 1\n{root}\n"),
        format!("a\n\n{root}\n"),
        format!("a\n0x1\n{root}\n"),
        format!("a\n4611686018427387905\n{root}\n"),
        format!("a\n99999999999999999999999\n{root}\n"),
        format!("a\n0\n{root} \n"),
        format!("a\n0\n{}\n", &root[..43]),
        format!("a\n0\n{root}\n\n"),
        format!("a\n0\n{root}\n\nmore\n"),
        format!("a\n0\n{root}\nmo\re\n"),
    ] {
        assert!(bad.parse::<Checkpoint>().is_err(), "{bad:?}");
    }
}

#[test]
fn nothing_is_signed_that_would_not_be_read() {
    for bad in [
        Checkpoint { origin: "two words".into(), ..checkpoint(8) },
        Checkpoint { origin: "two\nlines".into(), ..checkpoint(8) },
        Checkpoint { origin: String::new(), ..checkpoint(8) },
        Checkpoint { size: u64::MAX, ..checkpoint(8) },
        Checkpoint { extensions: vec![String::new()], ..checkpoint(8) },
        Checkpoint { extensions: vec!["two\nlines".into()], ..checkpoint(8) },
        Checkpoint { extensions: vec!["x".repeat(MAX_NOTE)], ..checkpoint(8) },
    ] {
        let error: CheckpointError = bad.clone().sign(&id(1)).unwrap_err();
        assert!(!error.to_string().is_empty(), "{bad:?}");
    }
}

#[test]
fn verifier_keys_have_one_spelling() {
    for bad in [
        "",
        "example.com/foo",
        "example.com/foo+530d903a",
        &EXAMPLE_KEY.replace("530d903a", "530D903A"),
        &EXAMPLE_KEY.replace("530d903a", "530d903b"),
        &EXAMPLE_KEY.replace("foo", "fo o"),
        &EXAMPLE_KEY.replace("+AekyeR", "+Aekye"),
        &EXAMPLE_KEY.replace("+AekyeR", "+BOkyeR"),
        &EXAMPLE_KEY.replace("+AekyeR", "+AukyeR"),
        &format!("{EXAMPLE_KEY}="),
        &format!("+{EXAMPLE_KEY}"),
    ] {
        assert!(bad.parse::<VerifierKey>().is_err(), "{bad:?}");
    }
    let key = witness(7);
    assert_eq!(key.to_string().parse(), Ok(key.clone()));
    assert_eq!(decode("key", &encode(&key), 200), Ok(key));
}

proptest! {
    #[test]
    fn any_changed_byte_is_refused_or_fails(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut signed = checkpoint(8).sign(&id(1)).unwrap();
        signed.add(signed.cosign(&id(7), &name("w"), 5)).unwrap();
        let mut bytes = signed.to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(other) = SignedCheckpoint::parse(&bytes) {
            let log = other.signed_by(&log_key(1)) == Signed::Yes;
            let witness = other.cosigned_by(&witness(7)) == Ok(Some(5));
            prop_assert!(!(log && witness), "byte {at} may change");
        }
    }

    #[test]
    fn what_is_read_prints_the_same(
        lines in prop::collection::vec("[^\\x00-\\x1f]{1,12}", 1..4),
        size in 0u64..=1 << 62,
        names in prop::collection::vec("[a-z./\u{e4}]{1,9}", 1..5),
        signature in prop::collection::vec(any::<u8>(), 5..90),
    ) {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let root = Hash::of_leaf(&signature).base64();
        let mut text = format!("{}\n{size}\n{root}\n", lines[0]);
        lines[1..].iter().for_each(|line| text += &format!("{line}\n"));
        text.push('\n');
        for name in names {
            text += &format!("\u{2014} {name} {}\n", STANDARD.encode(&signature));
        }
        let signed = SignedCheckpoint::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(signed.to_string(), text);
        let bytes = encode(&signed);
        prop_assert_eq!(decode("checkpoint", &bytes, MAX_NOTE), Ok(signed));
    }
}

fn checkpoint(size: u64) -> Checkpoint {
    Checkpoint::new("log.example", size, Hash::of_leaf(&size.to_be_bytes()))
}

fn id(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

fn name(text: &str) -> KeyName {
    text.parse().expect("a key's name")
}

fn log_key(seed: u8) -> VerifierKey {
    VerifierKey::new(name("log.example"), KeyKind::Log, id(seed).id())
}

fn witness(seed: u8) -> VerifierKey {
    VerifierKey::new(name("w"), KeyKind::Witness, id(seed).id())
}
