//! What an operator signed to have, and what it does with it; who gets a place, and when.

use crate::{town::*, voting::*};
use commons::{
    Statement, follow,
    operator::{self, promise},
    receipt::Receipt,
    statement::{
        Check, Claim, DeviceKey, Effect, Evidence, Key, KeyOp, ProposalType, Rights, Subject,
        Verdict,
    },
    view,
};
use ids::{Hash, Identity, PeerId};
use std::collections::BTreeSet;

fn named(town: &Town, at: usize, name: &str) -> (Identity, commons::statement::Attest) {
    let person = &town.people[at];
    (person.key.clone(), about(person, Claim::Person { name: name.into() }))
}

fn wait(town: &Town, at: usize, name: &str) -> Hash {
    let (key, body) = named(town, at, name);
    town.say(&key, body)
}

fn receipts(town: &Town, wanted: &[Hash]) -> Vec<Receipt> {
    let wanted: BTreeSet<Hash> = wanted.iter().copied().collect();
    promise(&town.archive, &town.state, &town.operator, &wanted, &mut |_| false).unwrap()
}

fn overdue(town: &Town) -> Vec<Hash> {
    let log = town.archive.snapshot().unwrap();
    view::overdue(&log, &town.state).unwrap().iter().map(|late| late.statement).collect()
}

fn unanswered(town: &Town) -> Vec<Hash> {
    let log = town.archive.snapshot().unwrap();
    view::unanswered(&log, &town.state).unwrap().iter().map(|late| late.statement).collect()
}

/// Says something that gets its place alone, with a head: what else waits is left out.
fn leave_out(town: &mut Town, name: &str) {
    let (key, body) = named(town, 0, name);
    let (seq, prev) = town.state.chain_head(&town.people[0].id);
    let other = town.forge(&key, seq, prev, body);
    town.state = town.append_only(&other);
}

fn shown(receipt: &Receipt, statement: &Statement) -> Check {
    let evidence = Evidence::Receipt(receipt.to_bytes(), statement.bytes().to_vec());
    Check { subject: Subject::Log, verdict: Verdict::Unavailable, evidence }
}

fn waiting(town: &Town, hash: Hash) -> Statement {
    let pending = town.archive.snapshot().unwrap().pending().unwrap();
    pending.into_iter().find(|p| p.statement.hash() == hash).unwrap().statement
}

/// The operator says it has Bert's statement and never places it: that is overdue, for everybody
/// once the receipt is in the log. Of Cleo's, which it gave no receipt for, it can only be said
/// that it waits.
#[test]
fn only_what_the_operator_signed_to_have_is_overdue() {
    let mut town = Town::new(3);
    let berts = wait(&town, 1, "Bert");
    let cleos = wait(&town, 2, "Cleo");
    let receipt = receipts(&town, &[berts])[0];
    let statement = waiting(&town, berts);
    for n in 0..3 {
        assert!(overdue(&town).is_empty(), "after {n}");
        leave_out(&mut town, &format!("Anna {n}"));
    }
    assert_eq!((overdue(&town), unanswered(&town)), (vec![berts], vec![cleos]));
    // Anybody who has both brings them.
    let check = shown(&receipt, &statement);
    let (seq, prev) = town.state.chain_head(&town.people[0].id);
    let word = town.forge(&town.people[0].key.clone(), seq, prev, check);
    town.state = town.append_only(&word);
    assert!(town.verdict(word.hash()).is_ok());
    let left_out = |town: &Town| -> Vec<Hash> {
        town.state.left_out().map(|promised| promised.statement).collect()
    };
    assert!(left_out(&town).is_empty(), "its marks are counted, not its heads");
    for n in 0..3 {
        let head = operator::sign_head(&town.archive, &town.state, &town.operator).unwrap();
        town.now += 60;
        let head = town.cosigned(head);
        let evidence = Evidence::Checkpoint(head.to_string());
        let check = Check { subject: Subject::Log, verdict: Verdict::Confirmed, evidence };
        let key = town.operator.clone();
        let (seq, prev) = town.state.chain_head(&key.id());
        let mark = town.forge(&key, seq, prev, check);
        town.state = town.append_only(&mark);
        assert_eq!(left_out(&town).len(), usize::from(n == 2));
    }
    assert_eq!(
        view::health(&town.state, &view::Beside::default(), view::Bounds::NONE).log.left_out.len(),
        1
    );
    town.integrate();
    assert!(overdue(&town).is_empty() && left_out(&town).is_empty(), "it has its place");
    assert_eq!(views(&town.state), views(&town.replayed()));
}

/// A member that contradicts itself after it has a receipt charges nobody: what it said first can
/// have no place any more.
#[test]
fn a_member_does_not_make_an_operator_break_its_word() {
    let mut town = Town::new(3);
    let first = wait(&town, 1, "one");
    let second = wait(&town, 1, "two");
    assert_eq!(receipts(&town, &[first, second]).len(), 2);
    let (seq, prev) = town.state.chain_head(&town.people[1].id);
    let (key, body) = named(&town, 1, "another");
    let other = town.forge(&key, seq, prev, body);
    // It reaches the log first, through another operator or a race.
    town.state = town.append_only(&other);
    for n in 0..4 {
        leave_out(&mut town, &format!("Anna {n}"));
    }
    assert!(overdue(&town).is_empty());
    // Through this one, what is promised goes first, and both are there.
    let mut town = Town::new(3);
    let first = wait(&town, 1, "one");
    let second = wait(&town, 1, "two");
    receipts(&town, &[first, second]);
    let (seq, prev) = town.state.chain_head(&town.people[1].id);
    for n in 0..64 {
        let (key, body) = named(&town, 1, &format!("another {n}"));
        town.archive.hold(&town.forge(&key, seq, prev, body)).unwrap();
    }
    town.integrate();
    assert!(town.state.place(&first).is_some() && town.state.place(&second).is_some());
}

/// No receipt for what may never get its place: before its predecessor, for a head that is not
/// here, for another log; and none by somebody who does not operate the log.
#[test]
fn receipts_are_for_what_is_ready() {
    let mut town = Town::new(3);
    let (key, body) = named(&town, 1, "later");
    let (seq, prev) = town.state.chain_head(&town.people[1].id);
    let first = town.forge(&key, seq, prev, body.clone());
    let later = town.forge(&key, seq + 1, Some(first.hash()), body.clone());
    town.archive.hold(&later).unwrap();
    assert!(receipts(&town, &[later.hash()]).is_empty());
    town.archive.hold(&first).unwrap();
    let both = receipts(&town, &[later.hash(), first.hash()]);
    assert_eq!(both.len(), 2);
    assert_eq!(receipts(&town, &[first.hash()])[0], both[0], "the same again");
    let stranger = Identity::from_seed([7; 32]);
    let all = BTreeSet::from([first.hash()]);
    assert!(
        promise(&town.archive, &town.state, &stranger, &all, &mut |_| true).unwrap().is_empty()
    );
    // Forged ones.
    let (log, hash, size) = (town.state.id, first.hash(), town.state.size);
    let by = |key: &Identity, log, size| Receipt::sign(key, log, hash, size);
    assert!(!by(&stranger, log, size).is_of(&town.state));
    assert!(!by(&town.operator, Hash::of(b"x"), size).is_of(&town.state));
    assert!(!by(&town.operator, log, size + 1).is_of(&town.state), "it would never be due");
    assert!(by(&town.operator, log, size).is_of(&town.state));
    let mut bytes = by(&town.operator, log, size).to_bytes();
    for at in 0..bytes.len() {
        bytes[at] ^= 1;
        let changed = Receipt::parse(&bytes);
        assert!(changed.is_err(), "byte {at}");
        bytes[at] ^= 1;
    }
    assert!(Receipt::parse(&bytes).is_ok());
    let forged = by(&stranger, log, size);
    let key = town.people[2].key.clone();
    assert!(town.void(&key, shown(&forged, &first)).contains("not of this log's operator"));
}

/// Of two receipts for one statement the earlier one counts, whichever comes first.
#[test]
fn a_second_receipt_does_not_put_off_the_first() {
    for later_first in [false, true] {
        let mut town = Town::new(3);
        let said = wait(&town, 1, "Bert");
        let (log, size) = (town.state.id, town.state.size);
        leave_out(&mut town, "one");
        let early = Receipt::sign(&town.operator, log, said, size);
        let late = Receipt::sign(&town.operator, log, said, town.state.size);
        let order = if later_first { [late, early] } else { [early, late] };
        for receipt in order {
            town.archive.keep_receipts(&[receipt]).unwrap();
        }
        leave_out(&mut town, "two");
        leave_out(&mut town, "three");
        assert_eq!(overdue(&town), [said]);
    }
}

/// Whoever takes the log over promised nothing, and is not charged with its predecessor's word.
#[test]
fn an_heir_keeps_no_promises_of_others() {
    let mut town = Town::new(3);
    let said = wait(&town, 2, "Cleo");
    receipts(&town, &[said]);
    let heir = identity(8_001, 0);
    for at in 0..2 {
        let key = town.people[at].key.clone();
        let (seq, prev) = town.state.chain_head(&town.people[at].id);
        let word = town.forge(&key, seq, prev, Rights::to_operate(heir.id()));
        if at == 0 {
            town.state = town.append_only(&word);
        } else {
            town.archive.append(std::slice::from_ref(&word)).unwrap();
            town.state.apply(&word, &town.archive.snapshot().unwrap()).unwrap();
        }
    }
    town.operator = heir;
    operator::sign_head(&town.archive, &town.state, &town.operator).unwrap();
    for n in 0..4 {
        leave_out(&mut town, &format!("Anna {n}"));
    }
    assert!(overdue(&town).is_empty());
    assert_eq!(unanswered(&town), [said], "the new one gave no receipt");
}

/// However much others say, an operator that keeps its word has kept it with the next head: what
/// is promised comes first, and no more is promised than a batch has room for.
#[test]
fn an_honest_operator_keeps_its_word_in_a_flood() {
    let mut town = Town::new(6);
    let large = |n: u32| Claim::Affiliation {
        org: format!("{n}"),
        role: "x".repeat(200),
        from: u64::from(n),
        to: None,
    };
    let mut all = Vec::new();
    for at in 1..6 {
        let person = town.people[at].clone();
        let (mut seq, mut prev) = town.state.chain_head(&person.id);
        let mut own = Vec::new();
        for n in 0..500 {
            let statement = town.forge(&person.key, seq, prev, about(&person, large(n)));
            (seq, prev) = (seq + 1, Some(statement.hash()));
            own.push(statement);
        }
        town.archive.hold_all(&own).unwrap();
        all.extend(own.iter().map(Statement::hash));
    }
    let given = receipts(&town, &all);
    assert_eq!(given.len(), 5 * 128, "a sixteenth for each");
    // Others whose keys sort first say more still.
    let said = wait(&town, 0, "Anna");
    town.integrate();
    assert!(given.iter().all(|receipt| town.state.place(&receipt.statement).is_some()));
    assert!(town.state.place(&said).is_some());
}

/// A member that says as much as a batch holds, with a key that sorts first, keeps nobody waiting.
#[test]
fn a_batch_is_shared_out_among_its_authors() {
    let mut town = Town::new(8);
    let mut people = town.people.clone();
    people.sort_by_key(|person| person.id);
    let note = Check {
        subject: Subject::Log,
        verdict: Verdict::Confirmed,
        evidence: Evidence::Checkpoint("x".repeat(16_000)),
    };
    for _ in 0..300 {
        town.say(&people[0].key.clone(), note.clone());
    }
    let last = people[7].clone();
    let said = town.say(&last.key, about(&last, Claim::Person { name: "last".into() }));
    town.integrate();
    assert!(town.state.place(&said).is_some());
    let left = town.archive.snapshot().unwrap().pending().unwrap();
    assert!(!left.is_empty(), "more waited than a batch holds");
    let log = town.archive.snapshot().unwrap();
    let before = town.state.size - (300 - left.len() as u64) - 1;
    let range = follow::range(&log, before, town.state.size, follow::MAX_RANGE_BYTES).unwrap();
    assert_eq!(range.first + range.entries.len() as u64, town.state.size, "one range");
}

/// Whom a policy keeps waiting: nobody who speaks for a member.
#[test]
fn members_are_not_kept_waiting_by_a_policy_for_others() {
    let mut town = Town::new(3);
    let dora = town.join(3, &[0, 1]);
    let people = town.people.clone();
    let options = vec![choice("yes", Effect::None), no_change()];
    let asked = town.must(&people[0].key, question(&town, ProposalType::Question, options));
    town.must(&people[0].key, crate::attacks::withdraw(&dora.id));
    let stranger = Person::new(70);
    let rotate = Key {
        member: people[1].id,
        op: KeyOp::Rotate,
        keys: vec![DeviceKey::bind(&people[1].next, &town.state.id, &people[1].id)],
        next: Key::digest(&identity(71, 0).id()),
        guardians: vec![],
        threshold: 0,
    };
    let ballot = town.say(&dora.key, rank(asked, &[0]));
    let name = town.say(&people[2].key, about(&people[2], Claim::Person { name: "Cleo".into() }));
    let next = town.say(&people[1].next, rotate);
    let start = town.say(&stranger.key, town.start_body(&stranger));
    let mut asked_of: Vec<PeerId> = Vec::new();
    let mut none = |statement: &Statement| {
        asked_of.push(statement.author);
        false
    };
    operator::integrate_some(&town.archive, &mut town.state, &town.operator, &mut none).unwrap();
    for hash in [ballot, name, next] {
        assert!(town.verdict(hash).is_ok());
    }
    assert!(town.state.place(&start).is_none());
    assert_eq!(asked_of, [stranger.id]);
    // What Dora says besides is a stranger's again, and waits behind what it follows.
    let said = town.say(&dora.key, about(&dora, Claim::Person { name: "Dora".into() }));
    operator::integrate_some(&town.archive, &mut town.state, &town.operator, &mut |_| false)
        .unwrap();
    assert!(town.state.place(&said).is_none());
    town.integrate();
    assert!(town.state.place(&said).is_some() && town.state.place(&start).is_some());
}
