//! The threats: who cheats, and how it shows.

use crate::{town::*, voting::*};
use commons::{
    Archive, Seen, Statement, StatementError, author,
    follow::{self, FollowError},
    operator,
    state::State,
    statement::{
        Check, Claim, Effect, Evidence, ProposalType, Rights, Subject, Verdict, Vote, VoteBody,
    },
    view,
};
use ids::{Hash, Signature};
use redb::backends::InMemoryBackend;
use tlog::{Checkpoint, Hash as TreeHash, SplitProof};

fn person(name: &str) -> Claim {
    Claim::Person { name: name.into() }
}

/// Two statements of one author in one place: whatever the order in which they come, nothing that
/// it said from there on counts, and before it everything does.
#[test]
fn an_author_that_says_two_things_in_one_place_has_said_nothing() {
    let mut outcomes = Vec::new();
    for order in [[0usize, 1], [1, 0]] {
        let mut town = Town::new(4);
        let people = town.people.clone();
        let options = vec![choice("yes", Effect::None), choice("no change", Effect::None)];
        let asked = town.must(&people[0].key, question(&town, ProposalType::Question, options));
        town.must(&people[1].key, rank(asked, &[0, 1]));
        town.must(&people[3].key, about(&people[3], person("Dino")));
        let (seq, prev) = town.state.chain_head(&people[3].id);
        let ballots = [rank(asked, &[0, 1]), rank(asked, &[1, 0])]
            .map(|vote: Vote| town.forge(&people[3].key, seq, prev, vote));
        for at in order {
            town.archive.hold(&ballots[at]).unwrap();
            town.integrate();
        }
        let tally = view::tally(&town.state, &town.state.proposals[&asked], view::Bounds::NONE);
        assert_eq!(tally.counts[0].ballots, 1, "neither ballot counts");
        assert_eq!(town.state.members[&people[3].id].name, "Dino", "what came before counts");
        let found = &town.state.equivocations[0];
        assert_eq!((found.author, found.seq), (people[3].id, seq));
        outcomes.push((found.first, found.second, tally.counts[0].steps.clone()));
        assert_eq!(views(&town.state), views(&town.replayed()));
    }
    assert_eq!(outcomes[0], outcomes[1]);
}

/// Somebody who was shown the second statement only can prove it with both.
#[test]
fn two_statements_prove_themselves_wherever_they_are_shown() {
    let mut town = Town::new(3);
    let people = town.people.clone();
    let (seq, prev) = town.state.chain_head(&people[2].id);
    let a = town.forge(&people[2].key, seq, prev, about(&people[2], person("a")));
    let b = town.forge(&people[2].key, seq, prev, about(&people[2], person("b")));
    let proof = |a: &Statement, b: &Statement| Check {
        subject: Subject::Statement(a.hash()),
        verdict: Verdict::Equivocation,
        evidence: Evidence::TwoStatements(a.bytes().to_vec(), b.bytes().to_vec()),
    };
    let reason = town.void(&people[0].key, proof(&a, &a));
    assert!(reason.contains("do not contradict"), "{reason}");
    let next = town.forge(&people[2].key, seq + 1, Some(a.hash()), about(&people[2], person("c")));
    assert!(town.void(&people[0].key, proof(&a, &next)).contains("do not contradict"));
    town.must(&people[0].key, proof(&a, &b));
    assert_eq!(town.state.equivocations[0].author, people[2].id);
}

/// The operator shows Bert another history. The first statement that Bert writes on it and that
/// reaches the others proves it.
#[test]
fn one_crossing_statement_shows_a_split_view() {
    let mut town = Town::new(3);
    let people = town.people.clone();
    let size = town.state.size;
    let other = Checkpoint::new(town.archive.origin(), size, TreeHash::of_leaf(b"other"));
    let signed = other.clone().sign(&town.operator).unwrap();
    let signature = town.operator.sign(other.to_string().as_bytes());
    let seen = Seen { size, root: other.root.0, signature };
    let (seq, prev) = town.state.chain_head(&people[1].id);
    let place = commons::Place { log: town.state.id, seq, prev, seen: Some(seen) };
    let crossing =
        Statement::sign(&people[1].key, place, about(&people[1], person("Bert"))).unwrap();
    town.archive.hold(&crossing).unwrap();
    town.integrate();
    assert!(town.verdict(crossing.hash()).unwrap_err().contains("another history"));
    assert_eq!(town.state.splits[0].operator, town.operator.id());
    // The same as a proof that stands alone.
    let log = town.archive.snapshot().unwrap();
    let head = operator::sign_head(&town.archive, &town.state, &town.operator).unwrap();
    let key = commons::state::log_key(&town.archive.origin(), town.operator.id());
    let proof = SplitProof::compare(&key, &head, &signed, &log).unwrap().unwrap();
    drop(log);
    let check = Check {
        subject: Subject::Log,
        verdict: Verdict::Equivocation,
        evidence: Evidence::TwoHistories(proof.to_bytes()),
    };
    town.must(&people[0].key, check);
    assert_eq!(town.state.splits.len(), 2);
    assert_eq!(views(&town.state), views(&town.replayed()));
}

#[test]
fn nobody_forges_a_head_or_has_seen_the_future() {
    let mut town = Town::new(3);
    let people = town.people.clone();
    let (seq, prev) = town.state.chain_head(&people[1].id);
    let seen = town.seen();
    let forged = [
        (Seen { signature: Signature([7; 64]), ..seen }, "not signed"),
        (Seen { size: seen.size + 1000, ..seen }, "more of the log"),
        (Seen { root: [9; 32], ..seen }, "another history"),
    ];
    for (seen, why) in forged {
        let place = commons::Place { log: town.state.id, seq, prev, seen: Some(seen) };
        let lie = Statement::sign(&people[1].key, place, about(&people[1], person("x"))).unwrap();
        let mut state = town.state.clone();
        state.apply(&lie, &town.archive.snapshot().unwrap()).unwrap();
        assert!(state.voids.last().unwrap().reason.to_string().contains(why));
        assert!(state.splits.is_empty(), "a forged head accuses nobody");
    }
    town.tick(1);
}

/// When a statement was made is between two marks; no clock of its author's has a say.
#[test]
fn a_statement_is_no_older_than_what_it_has_seen() {
    let mut town = Town::new(3);
    let key = town.people[0].key.clone();
    let before = town.now;
    town.tick(DAY);
    let seen = town.seen().size;
    let hash = town.must(&key, about(&town.people[0].clone(), person("late")));
    town.tick(DAY);
    let (index, _) = town.state.place(&hash).unwrap();
    let interval = town.state.interval(index, seen);
    // Its author's clock may be ten years off: there is no field to say so.
    assert_eq!((interval.from, interval.to), (Some(before + DAY), Some(before + 2 * DAY)));
}

fn operate(key: ids::PeerId) -> Rights {
    Rights::to_operate(key)
}

/// The operator vanishes; two of three stewards name Bert, who goes on from what he has.
#[test]
fn stewards_hand_the_log_over_without_the_old_operator() {
    let mut town = Town::new(4);
    let people = town.people.clone();
    let bert = people[1].key.clone();
    let old = town.operator.clone();
    town.say(&people[0].key, operate(bert.id()));
    let refused = operator::integrate(&town.archive, &mut town.state, &bert);
    assert!(matches!(refused, Err(operator::OperatorError::NotOperator(_))), "one is no majority");
    town.say(&people[3].key, operate(bert.id()));
    assert!(
        operator::integrate(&town.archive, &mut town.state, &bert).is_err(),
        "nor a non-steward"
    );
    town.say(&people[1].key, operate(bert.id()));
    operator::integrate(&town.archive, &mut town.state, &bert).unwrap();
    assert_eq!(town.state.operator(), bert.id());
    town.operator = bert;
    town.tick(60);
    assert!(operator::sign_head(&town.archive, &town.state, &old).is_err());
    let log = town.archive.snapshot().unwrap();
    let (state, report) = commons::verify::verify(&log, None, |_| ()).unwrap();
    assert_eq!(report.statements, town.state.size);
    assert_eq!(views(&state), views(&town.state));
}

fn fresh(town: &Town) -> (Archive, State) {
    let archive = Archive::with_backend(InMemoryBackend::new(), Some(&town.genesis)).unwrap();
    (archive, State::begin(&town.genesis, None).unwrap())
}

#[test]
fn a_fresh_member_follows_in_ranges_and_has_the_same_views() {
    let mut town = Town::new(3);
    for number in 3..6 {
        town.join(number, &[0, 1]);
        town.tick(60);
    }
    let log = town.archive.snapshot().unwrap();
    let head = log.latest_checkpoint().unwrap().unwrap();
    let size = head.checkpoint().size;
    let (archive, mut state) = fresh(&town);
    follow::check_head(&archive.snapshot().unwrap(), &state, &head).unwrap();
    while state.size < size {
        let mut range = follow::range(&log, state.size, size, follow::MAX_RANGE_BYTES).unwrap();
        // In small steps, each with its own proof.
        let most = state.size + 3;
        if range.first + range.entries.len() as u64 > most {
            range.entries.truncate(3);
            range.proof = tlog::consistency_proof(most, size, &log).unwrap();
        }
        for lie in lies(&range) {
            let mut other = state.clone();
            assert!(follow::take_in(&archive, &mut other, &lie, &head).is_err());
        }
        follow::take_in(&archive, &mut state, &range, &head).unwrap();
    }
    assert_eq!(views(&state), views(&town.state));
    assert_eq!(views(&state), views(&town.replayed()));
}

fn lies(range: &follow::RangeProof) -> Vec<follow::RangeProof> {
    let mut lies = Vec::new();
    let mut changed = range.clone();
    changed.first += 1;
    lies.push(changed);
    let mut changed = range.clone();
    let last = changed.entries[0].len() - 1;
    changed.entries[0][last] ^= 1;
    lies.push(changed);
    if range.entries.len() > 1 {
        let mut changed = range.clone();
        changed.entries.swap(0, 1);
        lies.push(changed);
    }
    let mut changed = range.clone();
    changed.entries.clear();
    lies.push(changed);
    lies
}

#[test]
fn a_head_by_nobody_in_particular_is_refused() {
    let town = Town::new(3);
    let (archive, state) = fresh(&town);
    let log = archive.snapshot().unwrap();
    let head = Checkpoint::new(archive.origin(), 9, TreeHash::of_leaf(b"x"));
    let forged = head.sign(&identity(666, 0)).unwrap();
    assert!(matches!(
        follow::check_head(&log, &state, &forged),
        Err(FollowError::Unsigned { size: 9 })
    ));
}

/// A statement names the commons it is for, and is refused in every other.
#[test]
fn a_statement_cannot_be_replayed_in_another_commons() {
    let town = Town::new(3);
    let people = town.people.clone();
    let statement =
        town.forge(&people[0].key, 5, Some(Hash::of(b"x")), about(&people[0], person("x")));
    let body = genesis(&people, town.operator.id(), rules());
    let twin = commons::statement::Genesis { name: "twin".into(), ..body };
    let (genesis, _) = author::found(&people[0].key, &town.operator, twin).unwrap();
    let other = Archive::with_backend(InMemoryBackend::new(), Some(&genesis)).unwrap();
    assert!(other.hold(&statement).is_err());
    assert!(other.append(&[statement]).is_err());
}

#[test]
fn every_changed_bit_of_a_statement_is_noticed() {
    let town = Town::new(3);
    let people = town.people.clone();
    let vote = Vote { proposal: Hash::of(b"x"), ballot: VoteBody::Approve(vec![0]) };
    let statement = town.forge(&people[0].key, 0, None, vote);
    assert_eq!(Statement::parse(statement.bytes()), Ok(statement.clone()));
    for bit in 0..8 * statement.bytes().len() {
        let mut bytes = statement.bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(Statement::parse(&bytes).is_err(), "bit {bit}");
    }
    let long = vec![0; commons::statement::MAX_STATEMENT + 1];
    assert!(matches!(Statement::parse(&long), Err(StatementError::Decode(_))));
}

/// However much waits, and whoever wrote it, the batch with the hand-over in it has those who name
/// the new operator, and fits into the one range that members follow it by.
#[test]
fn a_flood_does_not_keep_the_log_from_being_handed_over() {
    let town = Town::new(8);
    let people = town.people.clone();
    let old = town.state.size;
    let member = Archive::with_backend(InMemoryBackend::new(), Some(&town.genesis)).unwrap();
    let log = town.archive.snapshot().unwrap();
    let statements: Vec<Statement> = (1..old).map(|at| log.statement(at).unwrap()).collect();
    member.adopt(&statements, &log.latest_checkpoint().unwrap().unwrap()).unwrap();
    drop(log);
    let large = Check {
        subject: Subject::Log,
        verdict: Verdict::Confirmed,
        evidence: Evidence::Checkpoint("x".repeat(16_000)),
    };
    for person in &people[2..] {
        for _ in 0..60 {
            town.say(&person.key, large.clone());
        }
    }
    let heir = identity(8_001, 0);
    for person in &people[..2] {
        let rights = Rights::to_operate(heir.id());
        town.say(&person.key, rights);
    }
    let mut state = town.state.clone();
    let batch = operator::integrate(&town.archive, &mut state, &heir).unwrap();
    let head = batch.checkpoint.unwrap();
    assert_eq!(state.operator(), heir.id());
    let log = town.archive.snapshot().unwrap();
    let range = follow::range(&log, old, head.checkpoint().size, follow::MAX_RANGE_BYTES).unwrap();
    let known = State::replay(&member.snapshot().unwrap(), old, None).unwrap();
    let next = follow::take_hand_over(&member, &known, &range, &head).unwrap();
    assert_eq!(next.operator(), heir.id());
    drop(log);
    // The rest follows.
    while operator::integrate(&town.archive, &mut state, &heir).unwrap().taken > 0 {}
    assert!(town.archive.snapshot().unwrap().pending().unwrap().is_empty());
}

/// A head that turns out to be nobody's takes its statements out of the log again. What waited
/// here before waits again: its author would say something else in its place and contradict itself.
#[test]
fn what_waited_outlives_a_head_of_nobody() {
    let mut town = Town::new(3);
    let people = town.people.clone();
    let said = town.say(&people[0].key, about(&people[0], person("Anna")));
    let log = town.archive.snapshot().unwrap();
    let waiting = log.pending().unwrap().remove(0).statement;
    let size = log.size();
    drop(log);
    let next = town.archive.append(std::slice::from_ref(&waiting)).unwrap();
    assert_eq!(next, size + 1);
    let again = operator::integrate(&town.archive, &mut town.replayed(), &town.operator).unwrap();
    assert_eq!(again.taken, 0, "it has its place");
    assert_eq!(town.archive.cut_back().unwrap(), size);
    let log = town.archive.snapshot().unwrap();
    assert_eq!((log.size(), log.pending().unwrap()[0].statement.hash()), (size, said));
    drop(log);
    let later = town.say(&people[0].key, about(&people[0], person("Anne")));
    town.integrate();
    assert!(town.verdict(said).is_ok() && town.verdict(later).is_ok());
    assert!(town.state.equivocations.is_empty());
    assert!(town.archive.snapshot().unwrap().pending().unwrap().is_empty());
}
