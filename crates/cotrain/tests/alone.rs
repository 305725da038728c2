//! One peer through a whole run: founded, trained to its end, gone on with, checked and followed by
//! a new run, with nothing but this library.

use cotrain::{
    Cause,
    config::{Data, RunConfig, Shape},
    continuing::{ChangesError, OldRun},
    events::PeerEvent,
    founding::Founding,
    marking::{Ended, Marked, Registrar},
    marks::{Mark, Marks},
    peer::{Options, Peer, PeerError},
    status::Status,
    verify::{Finding, Found, MarkFound, Outcome, Progress, Verdict, Verification, VerifyError},
    worker::TrainingWorker,
};
use ids::{Hash, Identity, ObjectRef};
use kernel::{Isa, Kernel};
use net::Relay;
use progress::Work;
use recipe::{
    corpus::{DataOptions, Documents},
    run::{Inner, Rounds},
};
use std::{
    collections::BTreeMap,
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use store::Store;
use swarm::{
    AggregateJob, AggregateOutput, AuditJob, AuditOutcome, Control, Kind, Notice, OpenJob,
    TrainJob, Trained, WorkError, Worker,
};

const ROUNDS: u32 = 2;

fn config() -> RunConfig {
    RunConfig {
        data: Data {
            options: DataOptions { vocab: 512, held_out_every: 64, ..DataOptions::default() },
            ..Data::default()
        },
        model: Shape {
            dim: 32,
            layers: 1,
            heads: 2,
            kv_heads: 1,
            ffn: 64,
            context: 32,
            ..Shape::default()
        },
        inner: Inner { seq: 16, batch: 2, ..Inner::default() },
        rounds: Rounds {
            rounds: ROUNDS,
            steps_min: 3,
            steps_max: 3,
            min_members: 1,
            ..Rounds::default()
        },
        ..RunConfig::default()
    }
}

fn documents(folder: &Path) -> Documents {
    let paths: Vec<PathBuf> = (0..128u64)
        .map(|file| {
            let path = folder.join(format!("{file}.txt"));
            let words: String = (0..400).map(|i| format!("{} ", (i * i + file) % 977)).collect();
            fs::write(&path, words).expect("written");
            path
        })
        .collect();
    Documents::from_paths(&paths).expect("read")
}

/// Remembers what it was asked to write down.
#[derive(Default)]
struct Book {
    marked: Mutex<BTreeMap<u64, Hash>>,
    ended: Mutex<Vec<Hash>>,
}

impl Registrar for Book {
    fn mark(&self, _: Hash, due: (u64, Hash), own: &BTreeMap<u64, Hash>) -> Result<Marked, Cause> {
        assert_eq!(own.get(&due.0), Some(&due.1), "what is due is of this peer's chain");
        self.marked.lock().expect("nobody panics").insert(due.0, due.1);
        Ok(Marked { said: vec![due.0], contradictions: Vec::new() })
    }

    fn record(&self, ended: &Ended, folder: &Path) -> Result<usize, Cause> {
        assert!(ended.founder && folder.join("log").is_file());
        self.ended.lock().expect("nobody panics").push(ended.root);
        Err("the commons is away".into())
    }
}

type Told = Arc<Mutex<Vec<PeerEvent>>>;

fn peer(folder: &Path, book: &Arc<Book>) -> (Peer, Told) {
    let told = Told::default();
    let hears = told.clone();
    let options = Options {
        folder: folder.to_owned(),
        seed: [7; 32],
        kernel: Kernel::new(Isa::best(), 1),
        bind: "127.0.0.1:0".parse().expect("an address"),
        relay: Relay::None,
        once: true,
        registrar: Some(book.clone()),
        mark_every: 1,
    };
    let tell = move |event: &PeerEvent| hears.lock().expect("nobody panics").push(event.clone());
    (Peer::open(options, Box::new(tell)).expect("opened"), told)
}

fn take_part(peer: &Peer, source: net::swarm::Source) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(peer.take_part(source, std::future::pending())).expect("to its end");
}

fn verify(
    folder: &Path,
    marks: Option<Marks>,
    tell: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<Found, VerifyError> {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let kernel = Kernel::new(Isa::best(), 2);
    let mut verification =
        Verification::begin(&[folder.to_owned()], scratch.path(), kernel, &mut *tell)?;
    assert!(verification.run().is_some());
    marks.into_iter().for_each(|marks| verification.compare(marks));
    verification.finish(1.0, 1, tell)
}

#[test]
fn a_run_is_founded_trained_verified_and_continued() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (folder, book) = (home.path().join("peer"), Arc::new(Book::default()));
    let (mut founder, told) = peer(&folder, &book);
    let text = documents(home.path());
    let source = founder.found(&config(), &text, &Founding::default()).expect("founded");
    take_part(&founder, source);
    is_told(&told.lock().expect("nobody panics"), &book);
    assert!(!Status::read(&folder).expect("written").is_running(), "it has ended in order");

    let again = founder.found(&config(), &text, &Founding::default());
    assert!(matches!(again, Err(PeerError::OtherRun { .. })), "the folder has its run");
    let (later, told) = peer(&folder, &book);
    let (_, source) = later.founded().expect("readable").expect("its run");
    take_part(&later, source);
    let over = |event: &PeerEvent| matches!(event, PeerEvent::Recorded { .. });
    assert!(!told.lock().expect("nobody panics").iter().any(over));

    is_verified(&folder, &book);
    is_continued(home.path(), &folder);
}

/// What there is to tell was told, and written down.
fn is_told(told: &[PeerEvent], book: &Book) {
    let heights: Vec<u64> = told
        .iter()
        .filter_map(|event| match event {
            PeerEvent::Protocol { notice: Notice::Decided(record) } => Some(record.height),
            _ => None,
        })
        .collect();
    assert!(heights.len() > ROUNDS as usize, "{told:?}");
    let closes = |event: &&PeerEvent| matches!(event, PeerEvent::Protocol { notice: Notice::Decided(r) } if r.kind == Kind::Close);
    assert_eq!(told.iter().filter(closes).count(), 1);
    let models: Vec<Hash> = told
        .iter()
        .filter_map(|event| match event {
            PeerEvent::Model { root, .. } => Some(*root),
            _ => None,
        })
        .collect();
    let key = Identity::from_seed([7; 32]).id();
    let started = |event: &PeerEvent| matches!(event, PeerEvent::Started { peer, rounds: ROUNDS, .. } if *peer == key);
    assert!(told.iter().any(started));
    assert_eq!(told.last(), Some(&PeerEvent::Stopped));
    let marked = book.marked.lock().expect("nobody panics");
    assert_eq!(marked.keys().next_back(), heights.iter().max(), "the close is marked");
    let ended = book.ended.lock().expect("nobody panics");
    assert_eq!(ended.first(), models.last(), "the last model is what came of the run");
    let why = PeerEvent::NotRecorded { why: "the commons is away".to_owned() };
    assert!(told.contains(&why));
}

/// All of it is confirmed, and what is wrong is a finding by name.
fn is_verified(folder: &Path, book: &Book) {
    let marked = book.marked.lock().expect("nobody panics");
    let mark = |(height, record): (&u64, &Hash)| Mark {
        height: *height,
        record: *record,
        by: vec!["Anna".to_owned()],
    };
    let mut records: Vec<Mark> = marked.iter().map(mark).collect();
    let beyond = Mark { height: 99, ..records[0].clone() };
    records.push(beyond.clone());
    let (commons, unwitnessed) = (Hash::of(b"commons"), 1);
    let marks = Marks { commons, size: 5, time: Some(1), records, unwitnessed };
    let mut told = 0;
    let found = verify(folder, Some(marks), &mut |progress| {
        told += usize::from(matches!(progress, Progress::Reran(_)));
        ControlFlow::Continue(())
    });
    let found = found.expect("checked");
    assert_eq!((found.contributions, told), (Some(ROUNDS as usize), ROUNDS as usize));
    assert!(found.reruns.iter().all(|rerun| matches!(rerun.outcome, Outcome::Confirmed)));
    assert_eq!((found.roots.same, found.roots.other), (ROUNDS as usize, 0));
    let checked = &found.marks.as_ref().expect("compared").checked;
    let confirmed = checked.iter().filter(|c| c.found == MarkFound::Confirmed).count();
    assert_eq!((confirmed, checked.len()), (marked.len(), marked.len() + 1));
    assert_eq!(found.verdict(), Verdict::Unavailable);
    let records = found.chain.as_ref().expect("a chain").records;
    assert_eq!(found.findings, [Finding::BeyondHistory { mark: beyond, records }]);

    // At its first word, and at the first after the stores were hashed.
    let hashes =
        |progress: &Progress<'_>| matches!(progress, Progress::At(at) if at.work == Work::Hashing);
    let stopped = verify(folder, None, &mut |_| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(VerifyError::Stopped)));
    let mut hashed = Vec::new();
    let stopped = verify(folder, None, &mut |progress| match progress {
        Progress::At(at) if hashes(&progress) => {
            hashed.push((at.done, at.total));
            ControlFlow::Continue(())
        }
        _ => ControlFlow::Break(()),
    });
    assert!(matches!(stopped, Err(VerifyError::Stopped)));
    let bytes = Store::open_existing(folder.join("store")).and_then(|store| store.bytes());
    let bytes = bytes.expect("a store");
    assert!(hashed.len() > 3 && hashed.is_sorted(), "{hashed:?}");
    assert_eq!(hashed.last(), Some(&(bytes, bytes)), "all of the store is hashed");
    let file = folder.join("store/refs/model");
    let whole = fs::read(&file).expect("it is there");
    fs::write(&file, format!("{}\n", Hash::of(b"another"))).expect("written");
    let found = verify(folder, None, &mut |_| ControlFlow::Continue(())).expect("checked");
    let undecided = Finding::UndecidedRef { file: file.clone(), model: Hash::of(b"another") };
    assert!(found.findings.contains(&undecided), "{:?}", found.findings);
    assert_eq!(found.verdict(), Verdict::Mismatch);
    fs::write(&file, whole).expect("written");
}

/// A new run begins from the last model with what may change changed.
fn is_continued(home: &Path, folder: &Path) {
    let old = OldRun::open(folder).expect("an old run");
    let (mut next, _) = peer(&home.join("next"), &Arc::default());
    let stays = next.go_on_from(&old, "[model]\ndim = 64\n", &Founding::default());
    assert!(matches!(stays, Err(PeerError::Changes(ChangesError::Stays("model")))));
    let changes = "name = 'next'\n[rounds]\nrounds = 1\n";
    let source = next.go_on_from(&old, changes, &Founding::default()).expect("founded");
    let (run, _) = next.founded().expect("readable").expect("its run");
    assert_eq!((run.name.as_str(), run.rounds.rounds, run.start.is_some()), ("next", 1, true));
    take_part(&next, source);
}

#[test]
fn where_nobody_is_there_is_no_run() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let go_on = &mut |_: Progress<'_>| ControlFlow::Continue(());
    let begun = Verification::begin(&[], scratch.path(), Kernel::new(Isa::best(), 1), go_on);
    let verification = begun.expect("read");
    assert_eq!(verification.run(), None);
    let found = verification.finish(1.0, 1, &mut |_| ControlFlow::Continue(())).expect("checked");
    assert_eq!(found.findings, [Finding::NoRun]);
    assert_eq!(found.verdict(), Verdict::Unavailable);
}

/// Does nothing so many times, as on a full disk, before it works.
struct Held {
    worker: TrainingWorker,
    left: AtomicU32,
}

impl Worker for Held {
    fn train(&self, job: &TrainJob, control: &Control) -> Result<Trained, WorkError> {
        let taken =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        match taken {
            Ok(_) => Err(WorkError::Passing("no space left on device".to_owned())),
            Err(_) => self.worker.train(job, control),
        }
    }

    fn open(&self, job: &OpenJob, control: &Control) -> Result<Vec<ObjectRef>, WorkError> {
        self.worker.open(job, control)
    }

    fn audit(&self, job: &AuditJob, control: &Control) -> Result<AuditOutcome, WorkError> {
        self.worker.audit(job, control)
    }

    fn aggregate(&self, job: &AggregateJob) -> Result<AggregateOutput, WorkError> {
        self.worker.aggregate(job)
    }

    fn model_parts(&self, manifest: &[u8]) -> Result<Vec<ObjectRef>, WorkError> {
        self.worker.model_parts(manifest)
    }
}

#[test]
fn a_peer_goes_on_by_itself_when_what_held_it_has_passed() {
    const FAILURES: u32 = 5;
    let home = tempfile::tempdir().expect("a temporary folder");
    let folder = home.path().join("peer");
    let (founder, told) = peer(&folder, &Arc::default());
    let mut founder = founder
        .working_as(Arc::new(|worker| Arc::new(Held { worker, left: AtomicU32::new(FAILURES) })));
    let text = documents(home.path());
    let mut config = config();
    // The first pause is half of it, and each is twice as long as the one before.
    config.rounds.view_timeout_seconds = 0.1;
    let source = founder.found(&config, &text, &Founding::default()).expect("founded");
    let begun = Instant::now();
    take_part(&founder, source);
    assert!(begun.elapsed() >= Duration::from_millis(50 * ((1 << FAILURES) - 1)), "pauses grow");
    let told = told.lock().expect("nobody panics");
    let said = |event: &&PeerEvent| {
        matches!(event, PeerEvent::Protocol { notice: Notice::WorkFailed { why, .. } }
            if why.contains("no space left") && why.contains("tried again"))
    };
    assert_eq!(told.iter().filter(said).count(), FAILURES as usize);
    let decided =
        |e: &&PeerEvent| matches!(e, PeerEvent::Protocol { notice: Notice::Finished { .. } });
    assert!(told.iter().any(|e| decided(&e)));
}

#[test]
fn settings_are_checked_before_a_text_is_read_and_what_is_left_out_is_told() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (mut founder, told) = peer(&home.path().join("peer"), &Arc::default());
    let founding = Founding::default();
    for wrong in [
        RunConfig {
            data: Data {
                options: DataOptions { vocab: 7, ..DataOptions::default() },
                ..Data::default()
            },
            ..config()
        },
        RunConfig { inner: Inner { seq: 4096, ..config().inner }, ..config() },
        RunConfig { rounds: Rounds { max_members: 0, ..config().rounds }, ..config() },
    ] {
        let error = founder.check(&wrong, &founding).expect_err("out of range");
        assert!(matches!(error, PeerError::Founding(_)), "{error}");
    }
    founder.check(&config(), &founding).expect("in order");
    let mut text = documents(home.path());
    fs::write(home.path().join("table.csv"), "a,b").expect("written");
    text.left_out = Documents::from_paths(&[home.path().to_owned()]).expect("read").left_out;
    founder.found(&config(), &text, &founding).expect("founded");
    let told = told.lock().expect("nobody panics");
    let left_out = told.iter().find_map(|event| match event {
        PeerEvent::LeftOut(left_out) => Some(left_out.words().join("; ")),
        _ => None,
    });
    assert!(left_out.is_some_and(|words| words.contains("table.csv")));
}
