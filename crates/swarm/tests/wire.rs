//! The bytes on the wire: one example of each message, the same as in `docs/protocol.md`, and
//! what becomes of bytes that are not what they should be.

use ids::{DecodeError, Hash, Identity};
use proptest::prelude::*;
use swarm::{
    Action, Arrival, Certificate, Commit, Contribution, Ejection, Event, Evidence, Finding, Have,
    Invitation, Join, Kind, MAX_MESSAGE, Member, Message, Node, ObjectRef, Proposal, Record, Rules,
    Run, Scope, Show, Signed, SignedRecord, State, Step, Time, Verdict, Vote, parse_message,
    parse_record, verify_chain,
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

fn commit() -> Signed<Commit> {
    sealed(Commit {
        height: 3,
        round: 2,
        base: hash(1),
        steps: 8,
        trail: ObjectRef { hash: hash(2), len: 256 },
        update: object(4),
        carry_before: Some(object(5)),
        carry: object(6),
    })
}

fn join() -> Signed<Join> {
    let invitation = Invitation::new(&Identity::from_seed([3; 32]), &run(), &peer().id());
    sealed(Join { nonce: hash(9), height: 0, chain: hash(12), invitation: Some(invitation) })
}

fn have() -> Signed<Have> {
    sealed(Have { height: 3, commit: hash(10) })
}

fn show() -> Signed<Show> {
    sealed(Show { height: 3, link: hash(7) })
}

fn verdict(scope: Scope, finding: Finding) -> Signed<Verdict> {
    sealed(Verdict { height: 3, contributor: peer().id(), scope, finding })
}

fn mismatch() -> Signed<Verdict> {
    verdict(Scope::Dispute { part: 1 }, Finding::Mismatch { part: 1 })
}

/// One message of each kind, by the name it has in the document.
fn examples() -> Vec<(&'static str, Message)> {
    let proposal = Proposal { height: 3, view: 1, valid_view: Some(0), value: hash(8) };
    let record = vec![1, 2, 3].into();
    let evidence = Evidence::equivocation(vote(None).envelope(), vote(Some(hash(8))).envelope());
    vec![
        ("join", Message::Join(join())),
        ("commit", Message::Commit(commit())),
        ("show", Message::Show(show())),
        ("have", Message::Have(have())),
        ("proposal", Message::Proposal { header: sealed(proposal), record }),
        ("vote", Message::Vote(vote(Some(hash(8))))),
        ("verdict", Message::Verdict(mismatch())),
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
    for (name, message) in verdicts_and_evidence() {
        let bytes = message.to_bytes();
        assert_eq!(parse_message(&bytes), Ok(message), "{name}");
    }
    let full = full_record();
    assert_eq!(parse_record(&full.to_bytes()), Ok(full));
    let missing = examples.iter().filter(|(_, bytes)| !document.contains(&hex(bytes)));
    let missing: Vec<String> = missing.map(|(name, b)| format!("{name} {}", hex(b))).collect();
    assert!(missing.is_empty(), "not in the document:\n{}", missing.join("\n"));
}

/// Every scope, finding and kind of evidence.
fn verdicts_and_evidence() -> Vec<(String, Message)> {
    let scopes = [
        Scope::Drawn,
        Scope::Dispute { part: 8 },
        Scope::Recheck { auditor: Identity::from_seed([2; 32]).id() },
    ];
    let findings = [
        Finding::Confirmed { digest: hash(13) },
        Finding::Mismatch { part: 8 },
        Finding::Unavailable { part: 0, missing: hash(14) },
    ];
    let of = |scope| findings.map(|finding| Message::Verdict(verdict(scope, finding)));
    let mut messages: Vec<Message> = scopes.into_iter().flat_map(of).collect();
    messages.extend(evidence().map(Message::Evidence));
    messages.into_iter().map(|m| (format!("{m:?}"), m)).collect()
}

fn evidence() -> [Evidence; 3] {
    let confirmation = verdict(Scope::Drawn, Finding::Confirmed { digest: hash(13) });
    [
        Evidence::Mismatch { height: 3, verdicts: vec![mismatch()] },
        Evidence::FalseAccusation {
            accusation: mismatch(),
            contradictions: vec![confirmation.clone()],
        },
        Evidence::BlindConfirmation { confirmation, verdicts: vec![mismatch()] },
    ]
}

fn genesis() -> SignedRecord {
    certified(Record {
        run: run(),
        height: 0,
        kind: Kind::Genesis,
        round: 0,
        prev: Hash::default(),
        members: Vec::new(),
        joins: Vec::new(),
        contributions: Vec::new(),
        shows: Vec::new(),
        verdicts: Vec::new(),
        ejected: Vec::new(),
        state: State { model: object(1), outer: object(2) },
        beacon: hash(3),
    })
}

/// A record in which no field is empty. (It follows nothing: only its encoding matters.)
fn full_record() -> SignedRecord {
    let member = Member {
        id: peer().id(),
        joined: 0,
        contributions: 1,
        grant: 512,
        earned: 64,
        clean: 1,
        missed: 0,
        carry: Some(object(6)),
        link: hash(12),
        link_at: 3,
    };
    let ejections = evidence().map(|evidence| Ejection { peer: peer().id(), evidence });
    certified(Record {
        kind: Kind::Advance,
        height: 4,
        round: 3,
        prev: hash(15),
        members: vec![member],
        joins: vec![join()],
        contributions: vec![Contribution { commit: commit(), haves: vec![have()] }],
        shows: vec![show()],
        verdicts: vec![mismatch()],
        ejected: ejections.into(),
        ..genesis().record().clone()
    })
}

fn certified(record: Record) -> SignedRecord {
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
    let show = show();
    let have = Have { height: 3, commit: hash(7) };
    assert!(show.is_signed(&run()));
    assert!(!show.is_signed(&hash(0xAB)), "another run");
    // The same body bytes under another kind.
    let moved = Signed::assemble(&run(), peer().id(), have, show.signature());
    assert_eq!(moved.envelope().body, show.envelope().body);
    assert!(!moved.is_signed(&run()));
    let other = Identity::from_seed([2; 32]).id();
    assert!(!Signed::assemble(&run(), other, *show.body(), show.signature()).is_signed(&run()));
}

#[test]
fn an_invitation_is_for_one_run_and_one_guest() {
    let invitation = join().body().invitation.expect("the example has one");
    let other = Identity::from_seed([2; 32]).id();
    assert!(invitation.invites(&run(), &peer().id()));
    assert!(!invitation.invites(&hash(0xAB), &peer().id()), "another run");
    assert!(!invitation.invites(&run(), &other), "another guest");
    let stolen = Invitation { key: other, ..invitation };
    assert!(!stolen.invites(&run(), &peer().id()), "another invitation");
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
    assert_eq!(Evidence::equivocation(a.envelope(), show().envelope()), None);
}

fn lone_run() -> Run {
    let rules = Rules {
        rounds: 2,
        steps_min: 2,
        steps_max: 4,
        target_ms: 0,
        commit_timeout_ms: 100,
        view_timeout_ms: 100,
        draw_timeout_ms: 100,
        audit_timeout_ms: 100,
        probation: 1,
        audit_milli: 0,
        audit_rate_ppm: 0,
        recheck_ppm: 0,
        min_members: 1,
        max_members: 4,
        update_len: 1,
        state_len: 1,
        carry_len: 1,
        absent_after: 2,
    };
    let initial = State { model: object(1), outer: object(2) };
    Run {
        id: run(),
        founder: peer().id(),
        founders: [peer().id()].into(),
        invitations: [].into(),
        rules,
        initial,
    }
}

/// A founder on its own that has opened its run.
fn lone_node() -> Node {
    let mut node =
        Node::new(peer(), lone_run(), Vec::new(), Arrival::default()).expect("an empty log");
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
