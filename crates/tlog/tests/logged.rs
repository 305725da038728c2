//! Proofs that an entry is in a log, as files: what another program made is read, written and
//! verified, and nothing else is.

use proptest::prelude::*;
use tlog::{
    Hash, MAX_EXTRA, MAX_TLOG_PROOF, NotLogged, Policy, ProofError, SignedCheckpoint, TlogProof,
    TlogProofError, VerifierKey,
};

const ORIGIN: &str = "log.example/compost";

struct Golden {
    log: VerifierKey,
    witnesses: Vec<VerifierKey>,
    /// Index, size and text.
    proofs: Vec<(u64, u64, String)>,
}

fn golden() -> Golden {
    let json: serde_json::Value =
        serde_json::from_str(include_str!("golden/tlog_proof.json")).expect("the file is JSON");
    let key = |v: &serde_json::Value| v.as_str().expect("text").parse().expect("a key");
    let number = |v: &serde_json::Value| v.as_u64().expect("a number");
    let list = |name: &str| json[name].as_array().expect("a list").clone();
    Golden {
        log: key(&json["log"]),
        witnesses: list("witnesses").iter().map(key).collect(),
        proofs: list("proofs (index, size, text)")
            .iter()
            .map(|p| (number(&p[0]), number(&p[1]), p[2].as_str().expect("text").to_owned()))
            .collect(),
    }
}

impl Golden {
    /// Whether `proof` holds for its entry with `threshold` of the three witnesses.
    fn verify(&self, proof: &TlogProof, threshold: usize) -> Result<usize, NotLogged> {
        let leaf = Hash::of_leaf(format!("entry {}", proof.index).as_bytes());
        let policy = Policy::new(threshold, self.witnesses.clone()).unwrap();
        let keys = std::slice::from_ref(&self.log);
        proof.verify(&leaf, ORIGIN, keys, &policy).map(|witnessed| witnessed.count())
    }

    fn seventh(&self) -> TlogProof {
        TlogProof::parse(self.proofs[1].2.as_bytes()).unwrap()
    }
}

#[test]
fn proofs_of_another_program_are_read_written_and_hold() {
    let golden = golden();
    for (index, size, text) in &golden.proofs {
        let proof = TlogProof::parse(text.as_bytes()).unwrap();
        assert_eq!((proof.index, proof.checkpoint.checkpoint().size), (*index, *size));
        assert_eq!(proof.to_string(), *text);
        assert_eq!(golden.verify(&proof, 2), Ok(2));
        let few = NotLogged::TooFew { have: 2, need: 3 };
        assert_eq!(golden.verify(&proof, 3), Err(few));
    }
    let extras: Vec<_> = golden.proofs.iter().map(|p| TlogProof::parse(p.2.as_bytes())).collect();
    let extra = |at: usize| extras[at].as_ref().unwrap().extra.clone();
    assert_eq!((extra(0), extra(2)), (None, Some(vec![])));
    assert_eq!(extra(1).unwrap(), b"what goes with it");
}

#[test]
fn a_proof_of_something_else_does_not_hold() {
    let golden = golden();
    let good = golden.seventh();
    let policy = Policy::new(2, golden.witnesses.clone()).unwrap();
    let keys = std::slice::from_ref(&golden.log);
    let leaf = Hash::of_leaf(b"entry 5");
    assert!(good.verify(&leaf, ORIGIN, keys, &policy).is_ok());
    let other = good.verify(&Hash::of_leaf(b"entry 6"), ORIGIN, keys, &policy);
    assert!(matches!(other, Err(NotLogged::Proof(ProofError::Root { .. }))));
    let elsewhere = good.verify(&leaf, "log.example/other", keys, &policy);
    assert!(matches!(elsewhere, Err(NotLogged::Origin { .. })));
    let unsigned = Err(NotLogged::Unsigned { size: 7 });
    assert_eq!(good.verify(&leaf, ORIGIN, &[], &policy), unsigned);
    assert_eq!(good.verify(&leaf, ORIGIN, &golden.witnesses, &policy), unsigned);

    for index in (0..7).filter(|index| *index != 5) {
        let moved = TlogProof { index, ..good.clone() };
        assert!(moved.verify(&leaf, ORIGIN, keys, &policy).is_err(), "at {index}");
    }
    for hashes in [vec![], good.hashes[1..].to_vec(), [&good.hashes[..], &[leaf]].concat()] {
        let wrong = TlogProof { hashes, ..good.clone() };
        let found = wrong.verify(&leaf, ORIGIN, keys, &policy);
        assert!(matches!(found, Err(NotLogged::Proof(ProofError::Length { .. }))));
    }
    let cosigned_once = [golden.log.clone(), golden.witnesses[1].clone()];
    let once = TlogProof { checkpoint: good.checkpoint.only(&cosigned_once), ..good.clone() };
    assert_eq!(golden.verify(&once, 2), Err(NotLogged::TooFew { have: 1, need: 2 }));
    assert_eq!(golden.verify(&once, 1), Ok(1));
    let note = good.checkpoint.to_string();
    let (start, end) = note.rsplit_once(' ').unwrap();
    let spoilt = format!("{start} {}A{}", &end[..60], &end[61..]);
    let checkpoint = SignedCheckpoint::parse(spoilt.as_bytes()).unwrap();
    let spoilt = TlogProof { checkpoint, ..good };
    assert!(matches!(golden.verify(&spoilt, 1), Err(NotLogged::Cosignature(_))));
}

#[test]
fn what_is_not_the_format_is_refused() {
    let text = golden().proofs[1].2.clone();
    let hash = text.lines().nth(3).unwrap().to_owned();
    let parse = |text: &str| TlogProof::parse(text.as_bytes());
    let line = |found: Result<TlogProof, TlogProofError>| match found {
        Err(TlogProofError::Line { line, .. }) => line,
        other => panic!("{other:?}"),
    };
    for (from, to) in [("@v1", "@v2"), ("c2sp.org/", ""), ("@v1\n", "@v1"), ("@v1\n", "@v1\r\n")] {
        assert_eq!(parse(&text.replacen(from, to, 1)), Err(TlogProofError::Shape), "{from:?}");
    }
    for index in ["05", "-5", "+5", "", " 5", "5 ", "9223372036854775808", "x"] {
        let wrong = text.replacen("index 5", &format!("index {index}"), 1);
        assert_eq!(line(parse(&wrong)), "index", "{index:?}");
    }
    for (from, to) in [
        ("index 5\n", ""),
        ("extra ", "Extra "),
        ("index 5\n", "index 5\nindex 5\n"),
        ("\n\n", "\n"),
    ] {
        assert!(matches!(line(parse(&text.replacen(from, to, 1))), "index" | "hash"));
    }
    let twice = text.replacen("index", "extra AAAA\nindex", 1);
    assert_eq!(line(parse(&twice)), "index", "extra data once");
    assert_eq!(line(parse(&text.replacen("extra ", "extra !", 1))), "extra data");
    let long = format!("{}=", &hash[..43]);
    for wrong in ["AAAA", &format!("{hash} "), &format!("{long}="), "\u{2014}"] {
        assert_eq!(line(parse(&text.replacen(&hash, wrong, 1))), "hash", "{wrong:?}");
    }
    let many = format!("{hash}\n").repeat(61);
    assert_eq!(parse(&text.replacen(&hash, many.trim_end(), 1)).unwrap().hashes.len(), 63);
    let many = format!("{hash}\n").repeat(62);
    let found = parse(&text.replacen(&hash, many.trim_end(), 1));
    assert_eq!(found, Err(TlogProofError::TooManyHashes));
    for end in ["x", "\n", "\nmore\n"] {
        let found = parse(&format!("{text}{end}"));
        assert!(matches!(found, Err(TlogProofError::Checkpoint(_))), "{end:?}");
    }
    for end in 0..text.len() {
        if text.is_char_boundary(end) && !text[..end].ends_with('\n') {
            assert!(parse(&text[..end]).is_err(), "cut at {end}");
        }
    }
}

#[test]
fn sizes_are_bounded() {
    let good = golden().seventh();
    let with = |len: usize| TlogProof { extra: Some(vec![7; len]), ..good.clone() }.to_string();
    assert_eq!(
        TlogProof::parse(with(MAX_EXTRA).as_bytes()).unwrap().extra.unwrap().len(),
        MAX_EXTRA
    );
    assert!(TlogProof::parse(with(MAX_EXTRA + 1).as_bytes()).is_err());
    let len = MAX_TLOG_PROOF + 1;
    assert_eq!(TlogProof::parse(&vec![b'x'; len]), Err(TlogProofError::TooLong { len }));
}

proptest! {
    #[test]
    fn a_changed_proof_is_refused_or_says_the_same(at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let golden = golden();
        let mut bytes = golden.proofs[1].2.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let Ok(proof) = TlogProof::parse(&bytes) else { return Ok(()) };
        prop_assert_eq!(proof.to_string().into_bytes(), bytes);
        if golden.verify(&proof, 2).is_ok() {
            // Nothing signs the extra data.
            let same = TlogProof { extra: None, ..proof };
            prop_assert_eq!(same, TlogProof { extra: None, ..golden.seventh() });
        }
    }
}
