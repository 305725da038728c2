//! The worked example of docs/commons.md: how an id is computed from a genesis, byte by byte.

use commons::{
    Statement, author,
    statement::{Founder, Genesis, Key, RULES_VERSION, Rules, WitnessKey, Witnesses},
};
use ed25519_dalek::VerifyingKey;
use ids::{Hash, Identity};
use std::fmt::Write;

const DOCS: &str = include_str!("../../../docs/commons.md");
const MARK: &str = "<!-- id example -->\n";

fn genesis() -> Statement {
    let [founder, operator, witness] = [1, 2, 3].map(|seed| Identity::from_seed([seed; 32]));
    let body = Genesis {
        name: "Garden".into(),
        charter: Hash::of(b"We hold it together."),
        rules: Rules::default(),
        founders: vec![Founder {
            name: "Anna".into(),
            member: founder.id(),
            next: Key::digest(&Identity::from_seed([4; 32]).id()),
            guardians: vec![],
            threshold: 0,
            steward: true,
        }],
        operator: operator.id(),
        witnesses: Witnesses {
            threshold: 1,
            keys: vec![WitnessKey { name: "anna".into(), key: witness.id() }],
        },
        parent: None,
        created: 1_800_000_000,
        version: Some(RULES_VERSION),
    };
    author::found(&founder, &operator, body).unwrap().0
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The items of a CBOR array, the array's own first byte in front.
fn items(bytes: &[u8]) -> Vec<&[u8]> {
    let mut decoder = minicbor::Decoder::new(bytes);
    decoder.array().unwrap();
    let mut ends = vec![0, decoder.position()];
    while decoder.position() < bytes.len() {
        decoder.skip().unwrap();
        ends.push(decoder.position());
    }
    ends.windows(2).map(|at| &bytes[at[0]..at[1]]).collect()
}

/// The example as the docs have it.
fn example(statement: &Statement) -> String {
    let bytes = statement.bytes();
    let mut out = "```\n".to_owned();
    let line = |out: &mut String, bytes: &[u8], what: &str| {
        let _ = writeln!(out, "{}  {what}", hex(bytes));
    };
    let envelope = [
        "an array of 9",
        "the statement's version",
        "log: zeros, this begins one",
        "kind: genesis",
        "author: the founder's key",
        "seq",
        "prev: none",
        "seen: none",
        "body, a byte string:",
        "signature",
    ];
    let body = [
        "  an array",
        "  name",
        "  charter: BLAKE3 of its text",
        "  rules",
        "  founders: name, key, digest of the next key, guardians, how many of them, steward",
        "  operator",
        "  witnesses: how many must cosign; names and keys",
        "  parent: none",
        "  created",
        "  version of the rules",
    ];
    for (item, what) in items(bytes).into_iter().zip(envelope) {
        if !what.starts_with("body") {
            line(&mut out, item, what);
            continue;
        }
        let mut decoder = minicbor::Decoder::new(item);
        let inner = decoder.bytes().unwrap();
        line(&mut out, &item[..item.len() - inner.len()], what);
        for (item, what) in items(inner).into_iter().zip(body) {
            line(&mut out, item, what);
        }
    }
    let id = statement.commons_id().unwrap();
    let _ = write!(out, "```\n\n{} bytes; the id is `{id}`.\n", bytes.len());
    out
}

#[test]
fn the_example_of_the_docs_holds() {
    let statement = genesis();
    let (_, shown) = DOCS.split_once(MARK).expect("the docs have the example's mark");
    let right = example(&statement);
    assert!(shown.starts_with(&right), "docs/commons.md should have after its mark:\n{right}");
    // From the printed lines alone, with nothing of this library.
    let block = shown.split("```").nth(1).unwrap();
    let digits: String =
        block.lines().filter_map(|line| line.split_once(' ')).map(|(hex, _)| hex).collect();
    let bytes: Vec<u8> = (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    assert_eq!(bytes, statement.bytes());
    let mut hasher = blake3::Hasher::new_derive_key("understory commons 1 id");
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(&bytes);
    let id = hasher.finalize().to_hex().to_string();
    assert!(shown.contains(&format!("the id is `{id}`")));
    let (unsigned, signature) = bytes.split_at(bytes.len() - 66);
    let signed = [b"understory commons 1\n", unsigned].concat();
    let signature = ed25519_dalek::Signature::from_slice(&signature[2..]).unwrap();
    let key = VerifyingKey::from_bytes(&Identity::from_seed([1; 32]).id().0).unwrap();
    key.verify_strict(&signed, &signature).unwrap();
}
