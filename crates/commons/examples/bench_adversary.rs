//! What a log costs that strangers and members fill on purpose: placing, folding and following it,
//! by how long it already is: `cargo run --release -p understory-commons --example bench_adversary`
//!
//! Of ten statements two are by members, three begin somebody who is nobody's member, two are such a
//! person's, one is void, one contradicts another, and one is a mark that is none.

use commons::{
    Archive, Body, Place, Snapshot, Statement, author, follow, operator,
    state::State,
    statement::{
        Attest, Check, Claim, DeviceKey, Evidence, Founder, Genesis, Key, KeyOp, RULES_VERSION,
        Rules, Subject, Verdict, WitnessKey, Witnesses,
    },
};
use ids::{Hash, Identity};
use redb::backends::InMemoryBackend;
use std::{error::Error, time::Instant};

const FOUNDERS: u32 = 20;
const BATCH: usize = 1000;

fn key(kind: &str, number: u32) -> Identity {
    Identity::from_seed(Hash::of_parts(kind, &[&number.to_le_bytes()]).0)
}

fn genesis() -> Result<(Statement, tlog::SignedCheckpoint), Box<dyn Error>> {
    let founder = |n: u32| Founder {
        name: format!("founder {n}"),
        member: key("founder", n).id(),
        next: Key::digest(&key("next", n).id()),
        guardians: vec![],
        threshold: 0,
        steward: n < 3,
    };
    let witness = WitnessKey { name: "witness".into(), key: key("witness", 0).id() };
    let body = Genesis {
        name: "adversary".into(),
        charter: Hash::of(b"charter"),
        rules: Rules::default(),
        founders: (0..FOUNDERS).map(founder).collect(),
        operator: key("operator", 0).id(),
        witnesses: Witnesses { threshold: 1, keys: vec![witness] },
        parent: None,
        created: 1_700_000_000,
        version: Some(RULES_VERSION),
    };
    Ok(author::found(&key("founder", 0), &key("operator", 0), body)?)
}

/// Those who write, and where their chains are.
struct Crowd {
    heads: std::collections::BTreeMap<ids::PeerId, (u64, Option<Hash>)>,
    begun: u32,
    turn: u32,
}

impl Crowd {
    fn batch(&mut self, log: &Snapshot, state: &State) -> Result<Vec<Statement>, Box<dyn Error>> {
        let seen = Some(author::head(log, state)?);
        let mut batch = Vec::with_capacity(BATCH);
        while batch.len() < BATCH {
            self.turn += 1;
            let (by, body) = self.next(state);
            let head = self.heads.entry(by.id()).or_default();
            let place = Place { log: state.id, seq: head.0, prev: head.1, seen };
            let statement = Statement::sign(&by, place, body)?;
            if self.turn % 10 == 8 && head.0 > 0 {
                // The same place again.
                let place = Place { seq: 0, prev: None, ..place };
                let said = Claim::Person { name: format!("another {}", self.turn) };
                batch.push(Statement::sign(&by, place, Attest { subject: by.id(), claim: said })?);
                continue;
            }
            *head = (head.0 + 1, Some(statement.hash()));
            batch.push(statement);
        }
        Ok(batch)
    }

    fn next(&mut self, state: &State) -> (Identity, Body) {
        let member = key("founder", self.turn / 10 % FOUNDERS);
        let stranger = key("stranger", self.turn % self.begun.max(1));
        let named = |by: &Identity, turn: u32| {
            let claim = Claim::Person { name: format!("name {turn}") };
            Attest { subject: by.id(), claim }.into()
        };
        match self.turn % 10 {
            0 | 1 => {
                let body = named(&member, self.turn);
                (member, body)
            }
            2..=4 => {
                let new = key("stranger", self.begun);
                self.begun += 1;
                let body = Key {
                    member: new.id(),
                    op: KeyOp::Start,
                    keys: vec![DeviceKey::bind(&new, &state.id, &new.id())],
                    next: Hash::default(),
                    guardians: vec![],
                    threshold: 0,
                };
                (new, body.into())
            }
            7 => {
                let vouch =
                    Attest { subject: member.id(), claim: Claim::Vouch { withdrawn: false } };
                (stranger, vouch.into())
            }
            9 => {
                let evidence = Evidence::Checkpoint("not a checkpoint".repeat(16));
                let verdict = Verdict::Confirmed;
                (stranger, Check { subject: Subject::Log, verdict, evidence }.into())
            }
            _ => {
                let body = named(&stranger, self.turn);
                (stranger, body)
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let size: u64 = std::env::args().nth(1).map_or(Ok(100_000), |n| n.parse())?;
    let (first, head) = genesis()?;
    let archive = Archive::with_backend(InMemoryBackend::new(), Some(&first))?;
    archive.keep_checkpoint(&head)?;
    let mut state = State::begin(&first, None)?;
    let mut crowd = Crowd { heads: Default::default(), begun: 0, turn: 0 };
    println!("statements  µs to place one  µs to fold one");
    let (mut placing, mut folding, mut counted, mut next_line) = (0.0, 0.0, 0u64, size / 10);
    let mut apart = state.clone();
    while state.size < size {
        let log = archive.snapshot()?;
        let batch = crowd.batch(&log, &state)?;
        drop(log);
        archive.hold_all(&batch)?;
        let before = state.size;
        let began = Instant::now();
        operator::integrate(&archive, &mut state, &key("operator", 0))?;
        placing += began.elapsed().as_secs_f64();
        counted += state.size - before;
        let log = archive.snapshot()?;
        let new: Vec<Statement> =
            (before..state.size).map(|at| log.statement(at)).collect::<Result<_, _>>()?;
        let began = Instant::now();
        for statement in &new {
            apart.apply(statement, &log)?;
        }
        folding += began.elapsed().as_secs_f64();
        if state.size >= next_line {
            let each = |seconds: f64| seconds * 1e6 / counted as f64;
            println!("{:10}  {:15.1}  {:14.1}", state.size, each(placing), each(folding));
            (placing, folding, counted) = (0.0, 0.0, 0);
            next_line += size / 10;
        }
    }
    follow_all(&archive, &first, &state)
}

/// A fresh member: every signature, the proofs, the state.
fn follow_all(archive: &Archive, first: &Statement, state: &State) -> Result<(), Box<dyn Error>> {
    let copy = Archive::with_backend(InMemoryBackend::new(), Some(first))?;
    let mut own = State::begin(first, None)?;
    let log = archive.snapshot()?;
    let head = log.latest_checkpoint()?.ok_or("a head")?;
    let began = Instant::now();
    while own.size < head.checkpoint().size {
        let range = follow::range(&log, own.size, head.checkpoint().size, follow::MAX_RANGE_BYTES)?;
        follow::take_in(&copy, &mut own, &range, &head)?;
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("followed {} in {seconds:.1} s, {} of them void", own.size, own.voids.len());
    let began = Instant::now();
    drop(state.clone());
    println!("the state copied in {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    Ok(())
}
