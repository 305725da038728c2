//! How long it takes to check a whole log from its genesis, and to follow one.
//!
//! `cargo bench -p understory-commons --bench verify -- 1000000`: signs that many statements (work
//! by 64 members, and checks of it), keeps them in a log on disk with a checkpoint every 4096,
//! then checks everything: every signature, the tree, every checkpoint, and the state.

use commons::{
    Archive, Place, Statement, author,
    follow::{self, MAX_RANGE, MAX_RANGE_BYTES},
    operator,
    state::State,
    statement::{
        Check, Evidence, Founder, Genesis, Key, RULES_VERSION, Rules, Subject, Verdict, WitnessKey,
        Witnesses, Work, WorkType,
    },
    verify::verify,
};
use ids::{Hash, Identity};
use std::{error::Error, path::Path, time::Instant};

const MEMBERS: usize = 64;
const BATCH: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let count = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(100_000);
    let dir = tempfile::tempdir()?;
    let people: Vec<Identity> = (0..MEMBERS).map(identity).collect();
    let began = Instant::now();
    let archive = build(&dir.path().join("log.redb"), &people, count)?;
    let log = archive.snapshot()?;
    let size = log.size();
    println!("{size} statements signed and kept in {:.1} s", began.elapsed().as_secs_f64());
    let bytes = std::fs::metadata(dir.path().join("log.redb"))?.len();
    println!("{} bytes a statement on disk", bytes / size);

    let began = Instant::now();
    let (state, report) = verify(&log, None, |_| ())?;
    let seconds = began.elapsed().as_secs_f64();
    assert_eq!((report.statements, report.void), (size, 0));
    println!("verified in {seconds:.1} s, {:.0} a second", size as f64 / seconds);

    let began = Instant::now();
    let digests = commons::view::digests(&state);
    println!("{} views in {:.2} s", digests.len(), began.elapsed().as_secs_f64());

    let began = Instant::now();
    State::replay(&log, size, None)?;
    println!("state anew in {:.1} s", began.elapsed().as_secs_f64());

    let fresh = Archive::create(&dir.path().join("fresh.redb"), archive.genesis())?;
    let mut state = State::begin(archive.genesis(), None)?;
    let head = log.latest_checkpoint()?.ok_or("a log has a checkpoint")?;
    let began = Instant::now();
    while state.size < size {
        let range = follow::range(&log, state.size, size, MAX_RANGE_BYTES)?;
        follow::take_in(&fresh, &mut state, &range, &head)?;
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "followed in ranges of at most {MAX_RANGE} in {seconds:.1} s, {:.0} a second",
        size as f64 / seconds
    );
    Ok(())
}

fn identity(number: usize) -> Identity {
    Identity::from_seed(Hash::of(&number.to_le_bytes()).0)
}

fn build(path: &Path, people: &[Identity], count: usize) -> Result<Archive, Box<dyn Error>> {
    let founder = |(at, person): (usize, &Identity)| Founder {
        name: format!("member {at}"),
        member: person.id(),
        next: Key::digest(&person.id()),
        guardians: Vec::new(),
        threshold: 0,
        steward: at < 3,
    };
    let genesis = Genesis {
        name: "bench".into(),
        charter: Hash::default(),
        rules: Rules::default(),
        founders: people.iter().enumerate().map(founder).collect(),
        operator: people[0].id(),
        witnesses: Witnesses {
            threshold: 1,
            keys: vec![WitnessKey { name: "witness".into(), key: people[1].id() }],
        },
        parent: None,
        created: 1,
        version: Some(RULES_VERSION),
    };
    let (genesis, head) = author::found(&people[0], &people[0], genesis)?;
    let archive = Archive::create(path, &genesis)?;
    archive.keep_checkpoint(&head)?;
    let mut state = State::begin(&genesis, None)?;
    let mut chains: Vec<(u64, Option<Hash>)> = vec![(0, None); people.len()];
    let mut last = Hash::default();
    while (state.size as usize) < count {
        let seen = author::head(&archive.snapshot()?, &state)?;
        let mut batch = Vec::with_capacity(BATCH);
        for at in 0..BATCH.min(count - state.size as usize) {
            let who = (state.size as usize + at) % people.len();
            let (seq, prev) = chains[who];
            let place = Place { log: state.id, seq, prev, seen: Some(seen) };
            let statement = if at % 2 == 1 {
                let subject = Subject::Statement(last);
                let (verdict, evidence) = (Verdict::Confirmed, Evidence::None);
                Statement::sign(&people[who], place, Check { subject, verdict, evidence })?
            } else {
                Statement::sign(&people[who], place, work(at as u64))?
            };
            chains[who] = (seq + 1, Some(statement.hash()));
            last = statement.hash();
            batch.push(statement);
        }
        archive.append(&batch)?;
        let log = archive.snapshot()?;
        state.apply_all(&batch, &log)?;
        drop(log);
        operator::sign_head(&archive, &state, &people[0])?;
    }
    Ok(archive)
}

fn work(quantity: u64) -> Work {
    Work {
        task: Hash::of(b"a run"),
        work: WorkType::Compute,
        quantity,
        unit: "token".into(),
        inputs: vec![Hash::of(b"a corpus")],
        output: Hash::of(&quantity.to_le_bytes()),
    }
}
