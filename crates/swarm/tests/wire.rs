//! The bytes on the wire: one example of each message, the same as in `docs/protocol.md`, and
//! what becomes of bytes that are not what they should be.

use proptest::prelude::*;
use store::Hash;
use swarm::{
    Action, Certificate, Commit, DecodeError, Event, Evidence, Finding, Have, Identity, Join, Kind,
    MAX_MESSAGE, Message, Node, ObjectRef, Proposal, Record, Reveal, Rules, Run, Scope, Signed,
    SignedRecord, State, Step, Time, Verdict, Vote, parse_message, parse_record, secret_hash,
    verify_chain,
};

fn peer() -> Identity {
    Identity::from_seed([1; 32])
}

fn hash(n: u8) -> Hash {
    Hash([n; 32])
}

fn object(n: u8) -> ObjectRef {
    ObjectRef { hash: hash(n), len: 1000 }
}

fn run() -> Hash {
    hash(0xAA)
}

fn sealed<T: swarm::Body>(body: T) -> Signed<T> {
    Signed::seal(&peer(), &run(), body)
}

fn vote(value: Option<Hash>) -> Signed<Vote> {
    sealed(Vote { height: 3, view: 1, step: Step::Precommit, value })
}

/// One message of each kind, by the name it has in the document.
fn examples() -> Vec<(&'static str, Message)> {
    let commit = Commit {
        height: 3,
        round: 2,
        base: hash(1),
        steps: 8,
        leaves: vec![object(2), object(3)],
        update: object(4),
        carry_before: Some(object(5)),
        carry: object(6),
        secret_hash: secret_hash(&hash(7)),
    };
    let verdict = Verdict {
        height: 3,
        contributor: peer().id(),
        scope: Scope::Dispute { segment: 1 },
        finding: Finding::Mismatch { segment: 1 },
    };
    let proposal = Proposal { height: 3, view: 1, valid_view: Some(0), value: hash(8) };
    let record = vec![1, 2, 3].into();
    let evidence = Evidence::equivocation(vote(None).envelope(), vote(Some(hash(8))).envelope());
    vec![
        ("join", Message::Join(sealed(Join { nonce: hash(9), height: 0 }))),
        ("commit", Message::Commit(sealed(commit))),
        ("reveal", Message::Reveal(sealed(Reveal { height: 3, secret: hash(7) }))),
        ("have", Message::Have(sealed(Have { height: 3, commit: hash(10) }))),
        ("proposal", Message::Proposal { header: sealed(proposal), record }),
        ("vote", Message::Vote(vote(Some(hash(8))))),
        ("verdict", Message::Verdict(sealed(verdict))),
        ("evidence", Message::Evidence(evidence.expect("two votes for one step"))),
        ("head", Message::Head { run: run(), height: Some(3), record: hash(11), elapsed_ms: 1500 }),
        ("request", Message::RecordsRequest { run: run(), from: 2 }),
        ("records", Message::Records { run: run(), records: vec![vec![1, 2, 3].into()] }),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn every_example_of_the_document_is_what_the_code_writes_and_reads() {
    let document = include_str!("../../../docs/protocol.md");
    // Lines of hex are wrapped in the document.
    let document: String = document.split_whitespace().collect();
    let mut examples: Vec<(&str, Vec<u8>)> = Vec::new();
    for (name, message) in self::examples() {
        let bytes = message.to_bytes();
        assert_eq!(parse_message(&bytes), Ok(message), "{name}");
        examples.push((name, bytes));
    }
    examples.push(("record", genesis().to_bytes()));
    let missing = examples.iter().filter(|(_, bytes)| !document.contains(&hex(bytes)));
    let missing: Vec<String> = missing.map(|(name, b)| format!("{name} {}", hex(b))).collect();
    assert!(missing.is_empty(), "not in the document:\n{}", missing.join("\n"));
}

fn genesis() -> SignedRecord {
    let state = State { model: object(1), outer: object(2) };
    let record = Record {
        run: run(),
        height: 0,
        kind: Kind::Genesis,
        round: 0,
        prev: Hash::default(),
        members: Vec::new(),
        joins: Vec::new(),
        contributions: Vec::new(),
        verdicts: Vec::new(),
        ejected: Vec::new(),
        state,
        beacon: hash(3),
    };
    let certificate =
        Certificate { view: 0, signatures: vec![(peer().id(), vote(None).signature())] };
    SignedRecord::new(record.to_bytes(), certificate).expect("a record")
}

#[test]
fn a_second_encoding_of_a_message_is_refused() {
    // 3 as one byte, and as two.
    let head = Message::RecordsRequest { run: run(), from: 3 }.to_bytes();
    assert_eq!(head.last(), Some(&3));
    let mut longer = head[..head.len() - 1].to_vec();
    longer.extend([0x18, 3]);
    assert_eq!(parse_message(&longer), Err(DecodeError::NotCanonical { what: "message" }));
    let mut trailing = head.clone();
    trailing.push(0);
    assert!(parse_message(&trailing).is_err());
    assert!(matches!(parse_message(&vec![0; MAX_MESSAGE + 1]), Err(DecodeError::TooLong { .. })));
}

#[test]
fn a_signature_of_one_kind_or_run_or_author_does_not_count_as_another() {
    let reveal = sealed(Reveal { height: 3, secret: hash(7) });
    let have = Have { height: 3, commit: hash(7) };
    assert!(reveal.is_signed(&run()));
    assert!(!reveal.is_signed(&hash(0xAB)), "another run");
    // The same body bytes under another kind.
    let moved = Signed::assemble(&run(), peer().id(), have, reveal.signature());
    assert_eq!(moved.envelope().body, reveal.envelope().body);
    assert!(!moved.is_signed(&run()));
    let other = Identity::from_seed([2; 32]).id();
    assert!(!Signed::assemble(&run(), other, *reveal.body(), reveal.signature()).is_signed(&run()));
}

#[test]
fn only_statements_of_one_slot_contradict_each_other() {
    let at = |view, step, value| sealed(Vote { height: 3, view, step, value });
    let (a, b) = (at(0, Step::Prevote, None), at(0, Step::Prevote, Some(hash(1))));
    let evidence = Evidence::equivocation(a.envelope(), b.envelope()).expect("a contradiction");
    assert_eq!(evidence.equivocator(), Some(peer().id()));
    for other in [at(1, Step::Prevote, Some(hash(1))), at(0, Step::Precommit, None), a.clone()] {
        assert_eq!(Evidence::equivocation(a.envelope(), other.envelope()), None);
    }
    let reveal = sealed(Reveal { height: 3, secret: hash(1) });
    assert_eq!(Evidence::equivocation(a.envelope(), reveal.envelope()), None);
}

fn lone_run() -> Run {
    let rules = Rules {
        rounds: 2,
        steps_min: 2,
        steps_max: 4,
        leaf_every: 2,
        target_ms: 0,
        commit_timeout_ms: 100,
        view_timeout_ms: 100,
        audit_timeout_ms: 100,
        probation: 1,
        audit_rate_ppm: 0,
        audit_segments: 0,
        min_members: 1,
        max_members: 4,
        update_len: 1,
        leaf_len: 1,
        carry_len: 1,
        absent_after: 2,
    };
    let initial = State { model: object(1), outer: object(2) };
    Run { id: run(), founder: peer().id(), rules, initial }
}

/// A founder on its own that has opened its run.
fn lone_node() -> Node {
    let mut node = Node::new(peer(), lone_run(), Vec::new()).expect("an empty log");
    node.handle(Time(0), Event::Start);
    assert_eq!(node.chain().len(), 1);
    node
}

#[test]
fn a_peer_that_keeps_breaking_the_protocol_is_dropped() {
    let mut node = lone_node();
    let stranger = Identity::from_seed([9; 32]).id();
    node.handle(Time(1), Event::PeerUp(stranger));
    let mut dropped = 0;
    for _ in 0..20 {
        let event = Event::Message { from: stranger, bytes: vec![0xFF; 9] };
        let actions = node.handle(Time(2), event);
        dropped += actions
            .iter()
            .filter(|a| matches!(a, Action::Disconnect { peer, .. } if *peer == stranger))
            .count();
    }
    assert_eq!(dropped, 1);
    let request = Message::RecordsRequest { run: run(), from: 0 }.to_bytes();
    let actions = node.handle(Time(3), Event::Message { from: stranger, bytes: request });
    assert_eq!(actions, [], "it is not answered any more");
}

#[test]
fn messages_of_another_run_or_of_strangers_change_nothing() {
    let mut node = lone_node();
    let stranger = Identity::from_seed([9; 32]);
    let other_run = Message::Head { run: hash(1), height: Some(9), record: hash(1), elapsed_ms: 0 };
    let vote = Vote { height: 1, view: 0, step: Step::Prevote, value: None };
    let vote = Message::Vote(Signed::seal(&stranger, &run(), vote));
    for message in [other_run, vote] {
        let bytes = message.to_bytes();
        let actions = node.handle(Time(1), Event::Message { from: stranger.id(), bytes });
        let harmless = |a: &Action| matches!(a, Action::Notice(_) | Action::WakeAt(_));
        assert!(actions.iter().all(harmless), "{actions:?}");
    }
}

#[test]
fn every_flipped_bit_of_a_genesis_record_is_found() {
    let node = lone_node();
    let bytes = node.chain()[0].to_bytes();
    let check = |bytes: &[u8]| verify_chain(&lone_run(), std::iter::once(bytes));
    assert!(check(&bytes).is_ok());
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(check(&bad).is_err(), "bit {bit}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_safe_to_read(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(message) = parse_message(&bytes) {
            prop_assert_eq!(message.to_bytes(), bytes.clone());
        }
        if let Ok(record) = parse_record(&bytes) {
            prop_assert_eq!(record.to_bytes(), bytes);
        }
    }

    #[test]
    fn damaged_messages_are_refused_or_are_other_messages(
        which in 0usize..11,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let (_, message) = examples().swap_remove(which);
        let mut bytes = message.to_bytes();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(read) = parse_message(&bytes) {
            prop_assert_eq!(read.to_bytes(), bytes.clone());
        }
        // Whatever it is, a node takes it without harm.
        let mut node = lone_node();
        let from = Identity::from_seed([9; 32]).id();
        node.handle(Time(1), Event::Message { from, bytes });
        prop_assert_eq!(node.chain().len(), 1);
    }

    #[test]
    fn damaged_records_are_refused_or_are_other_records(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = genesis().to_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = parse_record(&bytes) {
            prop_assert_eq!(read.to_bytes(), bytes);
        }
    }
}
