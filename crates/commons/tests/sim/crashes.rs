//! A disk that loses its power at any write, or is full: what the log said it kept is there.

use crate::town::*;
use commons::{
    Archive, ArchiveError, Statement, author,
    cosigner::{CosignError, Cosigner},
    operator,
    state::State,
    statement::Claim,
    verify::verify,
};
use ids::Identity;
use proptest::prelude::*;
use redb::StorageBackend;
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
};
use tlog::{AddCheckpoint, Checkpoint, Response, SignedCheckpoint};

/// A disk on which only what was synced is sure to outlive a crash.
#[derive(Clone, Debug)]
struct Disk(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    /// What is read back while the power lasts.
    now: Vec<u8>,
    /// What the last sync made sure of.
    durable: Vec<u8>,
    /// What was done since.
    unsure: Vec<Change>,
    /// Changes and syncs so far.
    steps: u64,
    /// At this step the disk ends.
    ends: Option<(u64, End)>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Len(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Power,
    Full,
}

impl Disk {
    fn new(now: Vec<u8>, ends: Option<(u64, End)>) -> Self {
        let durable = now.clone();
        Self(Arc::new(Mutex::new(Content { now, durable, ends, ..Content::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap()
    }

    /// What is on the disk after its power went: of what was not synced some parts, chosen by
    /// `seed`, some of them torn.
    fn after_crash(&self, mut seed: u64) -> Vec<u8> {
        let content = self.lock();
        let mut left = content.durable.clone();
        for change in &content.unsure {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            match (seed >> 60, change) {
                (0..=5, _) => {}
                (6..=8, Change::Write(at, bytes)) => {
                    let torn = bytes.len() / 2 / 512 * 512;
                    put(&mut left, *at, &bytes[..torn]);
                }
                (_, Change::Write(at, bytes)) => put(&mut left, *at, bytes),
                (_, Change::Len(len)) => left.resize(*len, 0),
            }
        }
        left
    }
}

fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(bytes);
}

impl Content {
    fn step(&mut self, grows: bool) -> io::Result<()> {
        self.steps += 1;
        match self.ends {
            Some((at, End::Power)) if self.steps >= at => Err(io::Error::other("no power")),
            Some((at, End::Full)) if self.steps >= at && grows => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let content = self.lock();
        let at = offset as usize;
        let bytes = content.now.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut content = self.lock();
        let grows = len as usize > content.now.len();
        content.step(grows)?;
        content.now.resize(len as usize, 0);
        content.unsure.push(Change::Len(len as usize));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut content = self.lock();
        content.step(false)?;
        content.durable = content.now.clone();
        content.unsure.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut content = self.lock();
        content.step(true)?;
        put(&mut content.now, offset as usize, data);
        content.unsure.push(Change::Write(offset as usize, data.to_vec()));
        Ok(())
    }
}

struct Founded {
    people: Vec<Person>,
    operator: Identity,
    genesis: Statement,
}

fn founded() -> Founded {
    let people: Vec<Person> = (0..3).map(Person::new).collect();
    let operator = identity(8_000, 0);
    let body = genesis(&people, operator.id(), rules());
    let (genesis, _) = author::found(&people[0].key, &operator, body).unwrap();
    Founded { people, operator, genesis }
}

/// What the log promised before its disk ended.
#[derive(Debug, Default)]
struct Promised {
    begun: bool,
    size: u64,
    waiting: Vec<ids::Hash>,
    fact: Option<u8>,
}

/// Writes until the disk ends or the work is done.
fn work(founded: &Founded, disk: Disk, promised: &mut Promised) -> Result<(), String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let archive = Archive::with_backend(disk, Some(&founded.genesis)).map_err(|e| text(&e))?;
    (promised.begun, promised.size) = (true, 1);
    let mut state = State::begin(&founded.genesis, None).map_err(|e| text(&e))?;
    operator::sign_head(&archive, &state, &founded.operator).map_err(|e| text(&e))?;
    for round in 0..6u8 {
        for person in &founded.people {
            let name = Claim::Person { name: format!("{round}{}", "x".repeat(200)) };
            let said =
                archive.write(&state, &person.key, about(person, name)).map_err(|e| text(&e))?;
            promised.waiting.push(said.hash());
        }
        let keep = |_: Option<&[u8]>| Ok::<_, ArchiveError>(((), Some(vec![round])));
        archive.change_fact("round", keep).map_err(|e| text(&e))?;
        promised.fact = Some(round);
        operator::integrate(&archive, &mut state, &founded.operator).map_err(|e| text(&e))?;
        promised.size = state.size;
    }
    Ok(())
}

/// Opens what is left and checks every promise.
fn check(founded: &Founded, left: Vec<u8>, promised: &Promised) {
    let archive = match Archive::with_backend(Disk::new(left, None), None) {
        Ok(archive) => archive,
        Err(e) => return assert!(!promised.begun, "{e}"),
    };
    let log = archive.snapshot().unwrap();
    assert!(log.size() >= promised.size, "{} of {promised:?}", log.size());
    let (_, report) = verify(&log, None, |_| ()).unwrap();
    assert!(report.is_covered() || log.size() == 1);
    for hash in &promised.waiting {
        let held = log.pending().unwrap().iter().any(|p| p.statement.hash() == *hash);
        assert!(held || log.place(hash).unwrap().is_some());
    }
    let fact = archive.fact("round").unwrap().map(|bytes| bytes[0]);
    assert!(fact >= promised.fact);
    drop(log);
    // And it goes on.
    let log = archive.snapshot().unwrap();
    let mut state = State::replay(&log, log.size(), None).unwrap();
    drop(log);
    operator::sign_head(&archive, &state, &founded.operator).unwrap();
    let person = &founded.people[1];
    archive.write(&state, &person.key, about(person, Claim::Person { name: "on".into() })).unwrap();
    operator::integrate(&archive, &mut state, &founded.operator).unwrap();
    assert!(state.size > promised.size);
}

/// How many steps the whole work takes.
fn steps(founded: &Founded) -> u64 {
    let disk = Disk::new(Vec::new(), None);
    work(founded, disk.clone(), &mut Promised::default()).unwrap();
    let content = disk.lock();
    content.steps
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn a_crash_at_any_write_loses_nothing_that_was_promised(at in 0u64..10_000, seed: u64) {
        let founded = founded();
        let at = 1 + at % steps(&founded);
        let disk = Disk::new(Vec::new(), Some((at, End::Power)));
        let mut promised = Promised::default();
        // The last steps are those of closing the file: without them all is kept.
        let _ = work(&founded, disk.clone(), &mut promised);
        check(&founded, disk.after_crash(seed), &promised);
    }

    #[test]
    fn a_full_disk_is_an_error_and_loses_nothing(at in 0u64..10_000) {
        let founded = founded();
        let at = 1 + at % steps(&founded);
        let disk = Disk::new(Vec::new(), Some((at, End::Full)));
        let mut promised = Promised::default();
        let _ = work(&founded, disk.clone(), &mut promised);
        let left = disk.lock().now.clone();
        check(&founded, left, &promised);
    }
}

/// A head of this commons with a root of its own, as an operator with two histories signs it.
fn head_of(archive: &Archive, operator: &Identity, root: &[u8]) -> SignedCheckpoint {
    let root = tlog::Hash::of_leaf(root);
    Checkpoint::new(archive.origin(), 1, root).sign(operator).unwrap()
}

/// Has a witness whose disk may end be asked for a cosignature; whether it leaves.
fn cosigns(founded: &Founded, disk: Disk, root: &[u8]) -> Result<bool, CosignError> {
    let archive = Archive::with_backend(disk, None)?;
    let state = State::begin(&founded.genesis, None).unwrap();
    let key = witness_identity(0);
    let witness = Cosigner::of(&archive, &state, &key).expect("the genesis names it");
    let head = head_of(&archive, &founded.operator, root);
    let request = AddCheckpoint { old: 0, proof: Vec::new(), checkpoint: head };
    let answer = witness.answer(&state, request.to_string().as_bytes(), START)?;
    Ok(matches!(answer.response, Response::Cosigned(_)))
}

#[test]
fn no_crash_lets_a_witness_cosign_a_second_history() {
    let founded = founded();
    let blank = Disk::new(Vec::new(), None);
    drop(Archive::with_backend(blank.clone(), Some(&founded.genesis)).unwrap());
    let begun = blank.lock().now.clone();
    let whole = Disk::new(begun.clone(), None);
    assert!(cosigns(&founded, whole.clone(), b"one").unwrap());
    let steps = whole.lock().steps;
    let mut left_before_a_crash = 0;
    for at in 1..=steps + 1 {
        for seed in 0..8u64 {
            let disk = Disk::new(begun.clone(), Some((at, End::Power)));
            // The crash is before the reply, or after it left; the last steps close the file.
            let left = cosigns(&founded, disk.clone(), b"one").unwrap_or(false);
            left_before_a_crash += u32::from(left);
            let after = Disk::new(disk.after_crash(seed << 58 | seed), None);
            let second = cosigns(&founded, after, b"two").unwrap();
            assert!(!(left && second), "two histories are cosigned, step {at}, seed {seed}");
        }
    }
    assert!(left_before_a_crash > 0, "no crash came after a reply");
}

#[test]
fn what_a_witness_promised_is_kept_though_its_reply_was_lost() {
    let founded = founded();
    let disk = Disk::new(Vec::new(), None);
    drop(Archive::with_backend(disk.clone(), Some(&founded.genesis)).unwrap());
    assert!(cosigns(&founded, disk.clone(), b"one").unwrap());
    let content = disk.lock().durable.clone();
    let again = || Disk::new(content.clone(), None);
    assert!(!cosigns(&founded, again(), b"two").unwrap());
    assert!(!cosigns(&founded, again(), b"one").unwrap(), "asked from size 0 it says its size");
    let archive = Archive::with_backend(again(), None).unwrap();
    let name = format!("witness {}", witness_identity(0).id());
    let kept = archive.fact(&name).unwrap().expect("a promise");
    let kept = SignedCheckpoint::parse(&kept).unwrap();
    assert_eq!(kept.checkpoint().root, tlog::Hash::of_leaf(b"one"));
}

#[test]
fn of_two_histories_at_one_moment_a_witness_cosigns_one() {
    let founded = founded();
    for _ in 0..20 {
        let archive =
            Archive::with_backend(Disk::new(Vec::new(), None), Some(&founded.genesis)).unwrap();
        let state = State::begin(&founded.genesis, None).unwrap();
        let key = witness_identity(0);
        let ask = |root: &[u8]| {
            let witness = Cosigner::of(&archive, &state, &key).unwrap();
            let checkpoint = head_of(&archive, &founded.operator, root);
            let request = AddCheckpoint { old: 0, proof: Vec::new(), checkpoint }.to_string();
            let answer = witness.answer(&state, request.as_bytes(), START).unwrap();
            usize::from(matches!(answer.response, Response::Cosigned(_)))
        };
        let cosigned = std::thread::scope(|scope| {
            let threads = [b"one", b"two"].map(|root| scope.spawn(|| ask(root)));
            threads.map(|thread| thread.join().unwrap())
        });
        assert_eq!(cosigned.iter().sum::<usize>(), 1);
    }
}
