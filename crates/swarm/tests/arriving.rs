//! What a joiner is shown: with a record that its ticket names, or records that a commons has marked,
//! it cannot be given another past. The founder writes two histories of one run, as whoever has its
//! old keys could.

use ids::{Hash, Identity, PeerId};
use std::collections::VecDeque;
use swarm::{
    Action, AggregateOutput, Arrival, Checkpoint, Event, LogEntry, Message, Node, Notice,
    ObjectRef, RestoreError, Rules, Run, SignedRecord, State, Time, TrainOutput, Trained,
    parse_message,
};

fn object(parts: &[&[u8]], len: u64) -> ObjectRef {
    ObjectRef { hash: Hash::of_parts("test", parts), len }
}

fn run(rounds: u32) -> Run {
    let founder = Identity::from_seed([1; 32]).id();
    let rules = Rules {
        rounds,
        steps_min: 2,
        steps_max: 2,
        target_ms: 0,
        commit_timeout_ms: 1000,
        view_timeout_ms: 1000,
        draw_timeout_ms: 500,
        audit_timeout_ms: 1000,
        probation: 1,
        audit_milli: 0,
        audit_rate_ppm: 0,
        recheck_ppm: 0,
        min_members: 1,
        max_members: 4,
        update_len: 10,
        state_len: 10,
        carry_len: 10,
        absent_after: 2,
    };
    let initial = State { model: object(&[b"model"], 1), outer: object(&[b"outer"], 1) };
    let (founders, invitations) = ([founder].into(), Default::default());
    Run { id: Hash::of(b"run"), founder, founders, invitations, rules, initial }
}

/// The records of a run that the founder does alone; `tale` makes the history another one.
fn history(run: &Run, tale: &[u8]) -> Vec<SignedRecord> {
    rewritten(run, tale, 0)
}

/// The records of a run of which those from height `from` on are another tale.
fn rewritten(run: &Run, tale: &[u8], from: u64) -> Vec<SignedRecord> {
    let founder = Identity::from_seed([1; 32]);
    let mut node = Node::new(founder, run.clone(), Vec::new(), Arrival::default()).expect("a node");
    let mut events = VecDeque::from([Event::Start]);
    for now in 0.. {
        assert!(now < 100_000, "the founder gets no further than {}", node.chain().len());
        let actions = node.handle(Time(now), events.pop_front().unwrap_or(Event::Tick));
        for action in actions {
            match action {
                Action::Train(job) => {
                    let tale = if job.height < from { b"as it was" } else { tale };
                    let part = |name: &[u8], len| object(&[name, tale, &job.base.hash().0], len);
                    let (trail, update) = (part(b"trail", 64), part(b"update", 10));
                    let output = TrainOutput { trail, update, carry: part(b"carry", 10) };
                    let result = Ok(Trained { output, kept: Vec::new() });
                    events.push_back(Event::Trained { height: job.height, result });
                }
                Action::Aggregate(job) => {
                    let names: Vec<u8> = job.updates.iter().flat_map(|u| u.update.hash.0).collect();
                    let model = object(&[b"next", &names], 1);
                    let state = State { model, outer: job.base.outer };
                    let (norms, clipped) = (vec![1.0; job.updates.len()], Vec::new());
                    let result = Ok(AggregateOutput { state, norms, clipped });
                    events.push_back(Event::Aggregated { id: job.id, result });
                }
                Action::Fetch { id, .. } => {
                    events.push_back(Event::Fetched { id, stored: Vec::new() });
                }
                Action::Finished { .. } => return node.chain().to_vec(),
                Action::Fatal(why) => panic!("{why}"),
                _ => {}
            }
        }
    }
    unreachable!("it finishes or the assertion fails")
}

/// A joiner that talks to peers which show it a history each.
struct Joiner {
    node: Node,
    now: u64,
    said: Vec<String>,
    out: Vec<PeerId>,
    log: Vec<LogEntry>,
}

impl Joiner {
    fn new(run: &Run, checkpoints: &[Checkpoint]) -> Self {
        let node = restart(run, checkpoints, Vec::new()).expect("a node");
        let (said, out, log) = (Vec::new(), Vec::new(), Vec::new());
        let mut joiner = Self { node, now: 0, said, out, log };
        joiner.handle(Event::Start);
        joiner
    }

    fn handle(&mut self, event: Event) -> Vec<Action> {
        self.now += 5_000;
        let actions = self.node.handle(Time(self.now), event);
        for action in &actions {
            match action {
                Action::Notice(Notice::Misbehaved { why, .. } | Notice::Waiting { why }) => {
                    self.said.push(why.clone());
                }
                Action::Disconnect { peer, .. } => self.out.push(*peer),
                Action::Persist(entry) => self.log.push(entry.clone()),
                _ => {}
            }
        }
        actions
    }

    /// Gives it what `peer` has, up to `most` records a message, until it asks for no more.
    fn shown(&mut self, run: &Run, peer: u8, records: &[SignedRecord], most: usize) {
        let peer = Identity::from_seed([peer; 32]).id();
        self.handle(Event::PeerUp(peer));
        let height = Some(records.len() as u64 - 1);
        let record = records[records.len() - 1].hash();
        let head = Message::Head { run: run.id, height, record, elapsed_ms: 0 };
        let mut actions = self.handle(Event::Message { from: peer, bytes: head.to_bytes() });
        for _ in 0..100 {
            let asked = actions.iter().find_map(|action| match action {
                Action::Send { to, bytes } if *to == peer => match parse_message(bytes) {
                    Ok(Message::RecordsRequest { from, .. }) => Some(from as usize),
                    _ => None,
                },
                _ => None,
            });
            let Some(from) = asked.filter(|from| *from < records.len()) else { return };
            let page = records[from..].iter().take(most).map(|r| r.to_bytes().into()).collect();
            let answer = Message::Records { run: run.id, records: page };
            actions = self.handle(Event::Message { from: peer, bytes: answer.to_bytes() });
        }
        panic!("it asks for ever");
    }

    fn hashes(&self) -> Vec<Hash> {
        self.node.chain().iter().map(SignedRecord::hash).collect()
    }
}

/// The joiner with what it had persisted.
fn restart(
    run: &Run,
    checkpoints: &[Checkpoint],
    log: Vec<LogEntry>,
) -> Result<Node, RestoreError> {
    let arrival = Arrival { invitation: None, checkpoints: checkpoints.to_vec() };
    Node::new(Identity::from_seed([9; 32]), run.clone(), log, arrival)
}

fn hashes(records: &[SignedRecord]) -> Vec<Hash> {
    records.iter().map(SignedRecord::hash).collect()
}

fn at(records: &[SignedRecord], height: usize) -> Checkpoint {
    Checkpoint { height: height as u64, record: records[height].hash() }
}

/// A checkpoint in the middle of a history.
fn middle(records: &[SignedRecord]) -> Checkpoint {
    at(records, records.len() / 2)
}

#[test]
fn another_history_is_refused_and_the_right_one_taken_after_it() {
    let run = run(6);
    let (right, wrong) = (history(&run, b"as it was"), history(&run, b"as it was not"));
    assert_eq!(right[0].hash(), wrong[0].hash(), "both begin alike");
    assert_ne!(right[1].hash(), wrong[1].hash());
    let mut joiner = Joiner::new(&run, &[middle(&right)]);
    // It asks who shows a false past no more, and keeps nothing of it.
    joiner.shown(&run, 2, &wrong, 2);
    assert!(joiner.hashes().is_empty(), "{:?}", joiner.said);
    assert_eq!(joiner.out, [Identity::from_seed([2; 32]).id()]);
    let why = joiner.said.iter().find(|why| why.contains("another history")).expect("it says so");
    assert!(why.contains(&middle(&right).record.short()), "{why}");
    joiner.shown(&run, 3, &right, 2);
    assert_eq!(joiner.hashes(), hashes(&right));
}

#[test]
fn a_false_past_that_ends_before_the_known_record_counts_for_nothing() {
    let run = run(6);
    let (right, wrong) = (history(&run, b"as it was"), history(&run, b"as it was not"));
    let known = middle(&right);
    let mut joiner = Joiner::new(&run, &[known]);
    let short = &wrong[..known.height as usize];
    joiner.shown(&run, 2, short, 256);
    assert!(joiner.hashes().is_empty(), "taken up, it could not be left again");
    let waits = joiner.said.iter().any(|why| why.contains("the run is known to have"));
    assert!(waits, "{:?}", joiner.said);
    // Many who do so keep nobody out.
    for peer in 20..40 {
        joiner.shown(&run, peer, short, 1);
    }
    for _ in 0..3 {
        joiner.shown(&run, 3, &right, 1);
    }
    assert_eq!(joiner.hashes(), hashes(&right));
}

#[test]
fn who_shows_the_truth_slowly_keeps_no_place() {
    let run = run(24);
    let right = history(&run, b"as it was");
    let mut joiner = Joiner::new(&run, &[at(&right, 23)]);
    // Much is sent, and little of it is new.
    let filler = right[0].to_bytes();
    for next in &right[..16] {
        for peer in 20..24 {
            let mut records = vec![next.to_bytes().into()];
            records.extend((0..(60 << 10) / filler.len()).map(|_| filler.clone().into()));
            let bytes = Message::Records { run: run.id, records }.to_bytes();
            let from = Identity::from_seed([peer; 32]).id();
            joiner.handle(Event::PeerUp(from));
            joiner.handle(Event::Message { from, bytes });
        }
    }
    assert!(joiner.hashes().is_empty());
    joiner.shown(&run, 3, &right, 256);
    assert_eq!(joiner.hashes(), hashes(&right));
}

#[test]
fn a_wrong_checkpoint_takes_up_no_history_at_all() {
    let run = run(4);
    let right = history(&run, b"as it was");
    let wrong = Checkpoint { record: Hash::of(b"no record"), ..middle(&right) };
    let mut joiner = Joiner::new(&run, &[wrong]);
    joiner.shown(&run, 2, &right, 256);
    assert!(joiner.hashes().is_empty());
}

#[test]
fn without_a_known_record_the_first_history_is_taken() {
    let run = run(4);
    let right = history(&run, b"as it was");
    let mut joiner = Joiner::new(&run, &[]);
    joiner.shown(&run, 2, &right, 256);
    assert_eq!(joiner.hashes(), hashes(&right));
}

#[test]
fn history_rewritten_from_some_height_on_is_refused_by_a_later_mark() {
    let run = run(8);
    let right = history(&run, b"as it was");
    let wrong = rewritten(&run, b"as it was not", 4);
    assert_eq!(hashes(&right[..4]), hashes(&wrong[..4]), "old keys go on from what is true");
    assert_ne!(right[4].hash(), wrong[4].hash());
    // The ticket is of before, so it does not tell the two apart; the marks do.
    let known = [at(&right, 2), at(&right, 5), at(&right, 7)];
    let mut joiner = Joiner::new(&run, &known[..1]);
    joiner.shown(&run, 2, &wrong, 3);
    assert_eq!(joiner.hashes(), hashes(&wrong));
    let mut joiner = Joiner::new(&run, &known);
    joiner.shown(&run, 2, &wrong, 3);
    assert!(joiner.hashes().is_empty(), "{:?}", joiner.said);
    assert_eq!(joiner.out, [Identity::from_seed([2; 32]).id()]);
    let why = joiner.said.iter().find(|why| why.contains("another history")).expect("it says so");
    assert!(why.contains("record 5 is") && why.contains(&known[1].record.short()), "{why}");
    joiner.shown(&run, 3, &right, 3);
    assert_eq!(joiner.hashes(), hashes(&right));
}

#[test]
fn a_past_that_ends_before_the_newest_mark_counts_for_nothing_though_it_has_the_older_ones() {
    let run = run(8);
    let right = history(&run, b"as it was");
    let mut joiner = Joiner::new(&run, &[at(&right, 6), at(&right, 2)]);
    joiner.shown(&run, 2, &right[..5], 256);
    assert!(joiner.hashes().is_empty());
    let awaited = format!("{} at height 6", at(&right, 6).record.short());
    assert!(joiner.said.iter().any(|why| why.contains(&awaited)), "{:?}", joiner.said);
    assert!(joiner.out.is_empty(), "who is behind tells no lie");
    joiner.shown(&run, 2, &right, 256);
    assert_eq!(joiner.hashes(), hashes(&right));
}

#[test]
fn of_two_records_for_one_height_neither_history_is_taken() {
    let run = run(6);
    let (right, wrong) = (history(&run, b"as it was"), history(&run, b"as it was not"));
    let mut joiner = Joiner::new(&run, &[middle(&right), middle(&wrong)]);
    joiner.shown(&run, 2, &right, 256);
    joiner.shown(&run, 3, &wrong, 256);
    assert!(joiner.hashes().is_empty());
    assert_eq!(joiner.out.len(), 2);
}

#[test]
fn a_false_past_that_was_taken_up_before_is_found_at_the_next_start() {
    let run = run(6);
    let (right, wrong) = (history(&run, b"as it was"), history(&run, b"as it was not"));
    let mut joiner = Joiner::new(&run, &[]);
    joiner.shown(&run, 2, &wrong, 256);
    assert_eq!(joiner.hashes(), hashes(&wrong));
    let refused = restart(&run, &[middle(&right)], joiner.log.clone()).err().expect("refused");
    assert!(matches!(&refused, RestoreError::OtherHistory(why) if why.contains("another history")));
    let node = restart(&run, &[middle(&wrong)], joiner.log).expect("its own history has it");
    assert_eq!(node.chain().len(), wrong.len());
}
