//! Members that break every rule: each is cut off at little cost, and the honest go on.

use super::*;
use crate::{
    commons::{
        client::{AskError, ask},
        intake::{Intake, Network, Origin, Rate},
        replica::Replica,
        service::Link,
        wire::{
            ALPN, GrowthRequest, HeadAnswer, MAX_HEADS, RangeRequest, Request, Status as Answered,
            WitnessName, cbor,
        },
    },
    transport::{
        book::Saved,
        mesh::{Events, Mesh, MeshEvent},
        objects::{Answers, Served},
        traffic::Counters,
        wire::{Frame, Hello},
    },
};
use commons::{Place, follow::RangeProof, receipt::Receipt};
use iroh::endpoint::Connection;
use minicbor::bytes::ByteVec;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use tlog::{Checkpoint, Hash as TreeHash};
use tokio::task::JoinHandle;

type Trick = dyn Fn(&Replica, &Request) -> Option<Vec<u8>> + Send + Sync;

/// Answers as an honest member would, except where its trick says otherwise.
struct Liar {
    replica: Replica,
    trick: Box<Trick>,
    asked: AtomicUsize,
}

impl std::fmt::Debug for Liar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Liar")
    }
}

impl Liar {
    fn answer(&self, request: &Request) -> Vec<u8> {
        self.asked.fetch_add(1, Relaxed);
        let here = |body: Vec<u8>| [&[Answered::Here as u8], &body[..]].concat();
        if let Some(answer) = (self.trick)(&self.replica, request) {
            return answer;
        }
        here(match request {
            Request::Head(ask) => cbor(&head(&self.replica, ask.above)),
            Request::Range(ask) => cbor(&self.replica.range(ask).expect("reads").expect("there")),
            Request::Pending => cbor(&[self.replica.waiting().expect("reads")]),
            Request::Growth(ask) => {
                cbor(&self.replica.growth(ask.old, ask.new).expect("reads").expect("there"))
            }
            other => panic!("an honest member does not ask {other:?} here"),
        })
    }
}

fn head(replica: &Replica, above: u64) -> HeadAnswer {
    let heads = replica.heads(above, MAX_HEADS).expect("reads");
    let news = replica.summary().expect("reads").news;
    HeadAnswer {
        size: news.size,
        heads: heads.iter().map(ToString::to_string).collect(),
        pending: news.pending,
        witness: None,
    }
}

impl Answers for Liar {
    fn serve<'a>(self: Arc<Self>, connection: &'a Connection, _: &'a Arc<Counters>) -> Served<'a> {
        Box::pin(async move {
            while let Ok((mut send, mut recv)) = connection.accept_bi().await {
                let Ok(body) = recv.read_to_end(1 << 22).await else { continue };
                let request = Request::decode(body[0], &body[1..]).expect("an honest request");
                let _ = send.write_all(&self.answer(&request)).await;
                let _ = send.finish();
            }
        })
    }
}

/// A liar that is linked to whom it wants to harm.
struct Rogue {
    mesh: Arc<Mesh>,
    events: Events,
    liar: Arc<Liar>,
    running: JoinHandle<()>,
}

impl Rogue {
    /// `home` has the true log; the trick turns it into lies.
    async fn new(home: Home, seed: u8, victim: &Member, trick: Box<Trick>) -> Self {
        let replica = Replica::open(home).expect("opens");
        let id = replica.id();
        let liar = Arc::new(Liar { replica, trick, asked: AtomicUsize::new(0) });
        let link = Link {
            seed: [seed; 32],
            bind: "127.0.0.1:0".parse().expect("an address"),
            relay: crate::transport::Relay::None,
            external: Vec::new(),
            peers: vec![victim.at()],
            saved: Saved::default(),
        };
        let (mesh, events, _) = link.open(id, liar.clone()).await.expect("bound");
        let running = tokio::spawn(mesh.clone().run());
        Self { mesh, events, liar, running }
    }

    async fn up(&mut self) {
        while !matches!(self.event().await, MeshEvent::Up(_)) {}
    }

    async fn down(&mut self) {
        while !matches!(self.event().await, MeshEvent::Down(_)) {}
    }

    async fn event(&mut self) -> MeshEvent {
        timeout(PATIENCE, self.events.recv()).await.expect("an event comes").expect("it runs")
    }
}

impl Drop for Rogue {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// A member that has nothing yet, and the commons it should have.
struct Village {
    victim: Member,
    truth: Home,
    _folder: TempDir,
}

impl Village {
    async fn new(seed: u8) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let truth = grown(folder.path(), 60);
        let victim = Member::copy(&truth, seed, |_| ()).await;
        Self { victim, truth, _folder: folder }
    }

    /// Shows the victim a liar, who is cut off; then an honest member, whom it follows.
    async fn survives(self, seed: u8, trick: Box<Trick>) {
        let liars = tempfile::tempdir().expect("a folder");
        let lie = copy_of(&self.truth, liars.path());
        let mut rogue = Rogue::new(lie, seed, &self.victim, trick).await;
        rogue.up().await;
        rogue.down().await;
        let covered = self.victim.handle.status().borrow().covered;
        assert!(covered <= 1, "nothing of a liar's log is taken: {covered}");
        let honest = tempfile::tempdir().expect("a folder");
        copy_of(&self.truth, honest.path());
        let honest = Member::new(honest, seed + 1, |_| ()).await;
        self.victim.handle.hint([honest.at()]);
        self.victim.until("the honest member's log", |s| s.covered == 60).await;
        assert!(!self.victim.handle.status().borrow().linked.contains(&id_of(seed)));
        assert_eq!(views(&self.victim.home), views(&self.truth));
        assert!(rogue.liar.asked.load(Relaxed) < 100);
    }
}

fn copy_of(home: &Home, dir: &Path) -> Home {
    std::fs::copy(home.dir().join("log.redb"), dir.join("log.redb")).expect("copied");
    Home::open(dir).expect("a commons")
}

/// A peer at no address in particular.
fn from(seed: u8) -> Origin {
    Origin { peer: id_of(seed), network: None }
}

fn here(body: Vec<u8>) -> Option<Vec<u8>> {
    Some([&[Answered::Here as u8], &body[..]].concat())
}

/// A trick with the ranges alone.
fn with_range(change: impl Fn(&mut RangeProof) + Send + Sync + 'static) -> Box<Trick> {
    Box::new(move |replica, request| {
        let Request::Range(ask) = request else { return None };
        let mut range = replica.range(ask).expect("reads").expect("there");
        change(&mut range);
        here(cbor(&range))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_statement_is_a_lie() {
    let change = |range: &mut RangeProof| {
        let mut bytes = range.entries[7].to_vec();
        *bytes.last_mut().expect("bytes") ^= 1;
        range.entries[7] = bytes.into();
    };
    Village::new(30).await.survives(31, with_range(change)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_left_out_or_in_another_order_are_a_lie() {
    let leave_out = |range: &mut RangeProof| drop(range.entries.remove(5));
    Village::new(33).await.survives(34, with_range(leave_out)).await;
    let swap = |range: &mut RangeProof| range.entries.swap(3, 4);
    Village::new(36).await.survives(37, with_range(swap)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_proof_and_statements_one_by_one_are_a_lie() {
    let wrong = |range: &mut RangeProof| range.proof.push(TreeHash::of_leaf(b"x"));
    Village::new(39).await.survives(40, with_range(wrong)).await;
    let scanty: Box<Trick> = Box::new(|replica, request| {
        let Request::Range(ask) = request else { return None };
        let mut range = replica.range(ask).expect("reads").expect("there");
        range.entries.truncate(1);
        range.proof = replica.growth(ask.first + 1, ask.head).expect("reads").expect("there").proof;
        here(cbor(&range))
    });
    Village::new(42).await.survives(43, scanty).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_malformed_empty_or_too_long_are_a_lie() {
    let tricks: [fn() -> Vec<u8>; 4] = [
        || vec![0xff; 40],
        || vec![0, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        Vec::new,
        || vec![0; 5 << 20],
    ];
    for (seed, trick) in (45u8..).step_by(3).zip(tricks) {
        Village::new(seed).await.survives(seed + 1, Box::new(move |_, _| Some(trick()))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_commons_statements_and_forged_ones_are_a_lie() {
    for forged in [false, true] {
        let village = Village::new(60).await;
        let other = tempfile::tempdir().expect("a folder");
        let home = found(other.path(), "another town", 1);
        say(&home, &founder(1), named(1, "Bert"));
        let archive = home.archive().expect("opens");
        let pending = archive.snapshot().expect("reads").pending().expect("reads");
        let mut bytes = pending[0].statement.bytes().to_vec();
        if forged {
            *bytes.last_mut().expect("bytes") ^= 1;
        }
        let trick: Box<Trick> = Box::new(move |replica, request| match request {
            Request::Head(_) => {
                let answer = HeadAnswer { heads: Vec::new(), pending: 77, ..head(replica, 1) };
                here(cbor(&answer))
            }
            Request::Pending => here(cbor(&[vec![Hash::of(&bytes)]])),
            Request::Statements(_) => here(cbor(&[vec![ByteVec::from(bytes.clone())]])),
            _ => None,
        });
        village.survives(61, trick).await;
    }
}

/// Heads signed by nobody in charge lead to one look at a range each time, and after some to
/// being cut off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_of_nobody_in_charge_are_not_followed() {
    let trick: Box<Trick> = Box::new(|replica, request| {
        let Request::Head(_) = request else { return None };
        let honest = head(replica, 1);
        let last = replica.newest().expect("reads").expect("a head").0.checkpoint().clone();
        let forged = Checkpoint::new(last.origin, last.size, last.root);
        let forged = forged.sign(&identity("nobody", 0)).expect("signed");
        here(cbor(&HeadAnswer { heads: vec![forged.to_string()], ..honest }))
    });
    Village::new(63).await.survives(64, trick).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hints_that_are_none_end_the_connection() {
    let village = Village::new(66).await;
    let liars = tempfile::tempdir().expect("a folder");
    let lie = copy_of(&village.truth, liars.path());
    let silent: Box<Trick> = Box::new(|_, _| Some(vec![Answered::Busy as u8]));
    let mut rogue = Rogue::new(lie, 67, &village.victim, silent).await;
    rogue.up().await;
    rogue.mesh.broadcast(b"not 24 bytes");
    rogue.down().await;
}

/// Keys cost nothing: what authors whom nobody knows may have waiting is bounded for each, for
/// whoever brings it, and in all; members' statements find room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_statements_is_bounded_and_members_find_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = found(folder.path(), "town", 1);
    let first = next_place(&home, &identity("stranger", 0));
    let make = |key: &Identity, seq: u64| {
        let prev = (seq > 0).then(|| Hash::of(b"any"));
        let place = Place { seq, prev, ..first };
        let claim = Claim::Person { name: "x".to_owned() };
        Statement::sign(key, place, Attest { subject: key.id(), claim }).expect("signed")
    };
    let replica = Replica::open(home).expect("opens");
    let strangers: Vec<Statement> = (0..400).map(|n| make(&identity("stranger", n), 0)).collect();
    let refused = |reasons: Vec<Option<String>>| reasons.iter().flatten().count();
    let count = refused(replica.submit(Some(from(1)), &strangers).expect("works"));
    assert_eq!(count, 400 - 256, "of one peer");
    let one: Vec<Statement> = (0..20).map(|seq| make(&identity("stranger", 1000), seq)).collect();
    let count = refused(replica.submit(Some(from(2)), &one).expect("works"));
    assert_eq!(count, 12, "of one author");
    let more: Vec<Statement> = (0..2400).map(|n| make(&identity("sybil", n), 0)).collect();
    for (peer, part) in more.chunks(200).enumerate() {
        replica.submit(Some(from(100 + peer as u8)), part).expect("works");
    }
    assert_eq!(replica.summary().expect("reads").waiting, 2048, "in all");
    let member: Vec<Statement> = (0..600).map(|seq| make(&founder(1), seq)).collect();
    let count = refused(replica.submit(Some(from(1)), &member).expect("works"));
    assert_eq!(count, 88, "of one member");
    assert_eq!(replica.submit(None, &member[..2]).expect("works"), [None, None], "known already");
}

/// What there was no room for is wanted again once the log has changed; what may never get its
/// place, because what it follows is not there, takes no newcomer's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_that_was_lacking_is_found_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = found(folder.path(), "town", 1);
    let mut place = next_place(&home, &founder(1));
    let many: Vec<Statement> = (0..513)
        .map(|_| {
            let statement = Statement::sign(&founder(1), place, named(1, "Bert")).expect("signed");
            (place.seq, place.prev) = (place.seq + 1, Some(statement.hash()));
            statement
        })
        .collect();
    let replica = Replica::open(home).expect("opens");
    let last = [many[512].hash()];
    let reasons = replica.submit(Some(from(1)), &many).expect("works");
    assert_eq!(reasons.iter().position(Option::is_some), Some(512));
    assert_eq!(replica.lacking(&last).expect("reads"), [], "it is not asked for at once");
    replica.integrate(&operator_key()).expect("works").expect("its log");
    assert_eq!(replica.lacking(&last).expect("reads"), last);
    assert_eq!(replica.submit(Some(from(1)), &many[512..]).expect("works"), [None]);
    let stranger = identity("stranger", 0);
    let claim = || Claim::Person { name: "x".to_owned() };
    let sign = |place| {
        let attest = Attest { subject: stranger.id(), claim: claim() };
        Statement::sign(&stranger, place, attest).expect("signed")
    };
    let first = sign(Place { log: place.log, seq: 0, prev: None, seen: place.seen });
    let second = sign(Place { log: place.log, seq: 1, prev: Some(first.hash()), seen: place.seen });
    let late = sign(Place { log: place.log, seq: 9, prev: Some(first.hash()), seen: place.seen });
    let reasons = replica.submit(Some(from(2)), &[late, second, first]).expect("works");
    assert_eq!(reasons.iter().map(Option::is_none).collect::<Vec<_>>(), [false, true, true]);
}

/// Anybody can say that it is a witness. Whoever says so and is not, or adds lines that spoil the
/// note, does not stop the clock: the true one is asked too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_pretends_to_be_a_witness_does_not_stop_the_clock() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = found(folder.path(), "town", 1);
    let liars = tempfile::tempdir().expect("a folder");
    let lie = copy_of(&home, liars.path());
    // The impostor comes before the honest one in any order of keys.
    let mut seeds = [75u8, 76];
    seeds.sort_by_key(|seed| id_of(*seed));
    let (key, name) = witness(1);
    let other = Checkpoint::new(commons::origin(&state(&home).id), 1, TreeHash::of_leaf(b"x"));
    let line = other.sign(&operator_key()).expect("signed").cosign(&key, &name, 1_800_000_000);
    let trick: Box<Trick> = Box::new(move |replica, request| match request {
        Request::Head(_) => {
            let (key, name) = witness(0);
            let witness = Some(WitnessName { name: name.to_string(), key: key.id() });
            here(cbor(&HeadAnswer { witness, ..head(replica, 1) }))
        }
        Request::Cosign(_) => {
            here([&200u16.to_le_bytes()[..], format!("{line}\n").as_bytes()].concat())
        }
        _ => None,
    });
    let first = Member::new(folder, 74, |c| c.operator = Some(operator_key())).await;
    let mut rogue = Rogue::new(lie, seeds[0], &first, trick).await;
    rogue.up().await;
    first.until("the impostor's word", |s| !s.witnesses.is_empty()).await;
    let peers = vec![first.at()];
    let honest = Member::copy(&home, seeds[1], |c| {
        (c.peers, c.witness) = (peers, Some(witness(0).0));
    })
    .await;
    first.until("a mark", |s| s.time > 1_700_000_000).await;
    assert!(rogue.liar.asked.load(Relaxed) > 0);
    drop(honest);
}

/// Who begins many requests and ends none holds up itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_never_end_hold_up_nobody_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = grown(folder.path(), 5);
    let victim = Member::new(folder, 77, |_| ()).await;
    let mut open = Vec::new();
    for seed in 80..92 {
        let connection = stranger(&home, seed, &victim).await;
        for kind in [1, 2, 7, 8] {
            let (mut send, recv) = connection.open_bi().await.expect("a stream");
            send.write_all(&[kind]).await.expect("taken");
            open.push((send, recv));
        }
    }
    let connection = stranger(&home, 92, &victim).await;
    for request in [Request::Pending, Request::Submit(Vec::new())] {
        ask(&connection, &request).await.expect("answered meanwhile");
    }
}

/// Requests beyond the rate wait, and others are answered meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_requests_is_throttled_and_others_are_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = grown(folder.path(), 60);
    let victim = Member::new(folder, 69, |c| c.operator = Some(operator_key())).await;
    let connection = stranger(&home, 70, &victim).await;
    let answered = Arc::new(AtomicUsize::new(0));
    let flood = (0..16).map(|_| {
        let (connection, answered) = (connection.clone(), answered.clone());
        tokio::spawn(async move {
            while ask(&connection, &Request::Pending).await.is_ok() {
                answered.fetch_add(1, Relaxed);
            }
        })
    });
    let began = std::time::Instant::now();
    let flood: Vec<JoinHandle<()>> = flood.collect();
    while answered.load(Relaxed) < 400 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let peers = vec![victim.at()];
    let honest = Member::copy(&home, 71, |c| c.peers = peers).await;
    honest.until("the log", |s| s.covered >= 60).await;
    say(&honest.home, &founder(1), named(1, "Bert"));
    honest.until("its place", |s| s.covered > 60 && s.waiting == 0).await;
    let most = 400.0 + 40.0 * began.elapsed().as_secs_f64() + 1.0;
    assert!((answered.load(Relaxed) as f64) <= most, "{answered:?} of {most}");
    flood.iter().for_each(JoinHandle::abort);
}

/// Requests that never end or are too long are reset; the connection serves on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_out_of_bounds_are_reset() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = grown(folder.path(), 5);
    let victim = Member::new(folder, 72, |_| ()).await;
    let connection = stranger(&home, 73, &victim).await;
    let long = Request::Cosign(vec![b'x'; tlog::MAX_REQUEST + 1]).encode();
    for wrong in [vec![0], vec![99, 1], vec![1, 0xff], vec![5, 0], long] {
        let (mut send, mut recv) = connection.open_bi().await.expect("a stream");
        // The end may have been sent away before all of it is written.
        let _ = send.write_all(&wrong).await;
        let _ = send.finish();
        let answer = timeout(PATIENCE, recv.read_to_end(100)).await.expect("an end");
        assert!(answer.is_err(), "{:?}", &wrong[..1]);
    }
    for request in [
        Request::Range(RangeRequest { log: Hash::of(b"x"), first: 0, head: 3, most: 1 }),
        Request::Range(RangeRequest { log: state(&home).id, first: 3, head: 3, most: 1 }),
        Request::Range(RangeRequest { log: state(&home).id, first: 0, head: 99, most: 1 }),
        Request::Growth(GrowthRequest { old: 4, new: 3 }),
        Request::Growth(GrowthRequest { old: 0, new: u64::MAX }),
        Request::Genesis(Hash::of(b"x")),
        Request::Length(Hash::of(b"x")),
        Request::Cosign(b"old 0\n".to_vec()),
    ] {
        let answer = ask(&connection, &request).await;
        assert!(matches!(answer, Err(AskError::Gone("it is not there"))), "{answer:?}");
    }
    let body = ask(&connection, &Request::Pending).await.expect("served");
    assert_eq!(body, cbor(&[Vec::<Hash>::new()]));
}

/// A connection that has said hello as it should.
async fn stranger(home: &Home, seed: u8, victim: &Member) -> Connection {
    let key = iroh::SecretKey::from_bytes(&[seed; 32]);
    let at = "127.0.0.1:0".parse().expect("an address");
    let endpoint =
        crate::transport::endpoint::bind(ALPN, &key, at, None, &crate::transport::Relay::None)
            .await;
    let endpoint = endpoint.expect("bound");
    let at = crate::transport::PeerAddr::from_endpoint(&endpoint.addr());
    let at = crate::transport::address::AddrRecord::sign(at, 1, &key);
    let hello = Hello { run: state(home).id, instance: 1, at, now: None };
    let victim = victim.at().to_endpoint().expect("its key is a key");
    let connection = endpoint.connect(victim, ALPN).await.expect("connected");
    let mut send = connection.open_uni().await.expect("a stream");
    send.write_all(&Frame::Hello(Box::new(hello)).encode()).await.expect("taken");
    let mut recv = connection.accept_uni().await.expect("a stream");
    assert!(matches!(Frame::read(&mut recv).await, Ok(Frame::Hello(_))));
    // Both stay open as long as the connection is talked to.
    let talk = connection.clone();
    tokio::spawn(async move {
        talk.closed().await;
        drop((endpoint, send, recv));
    });
    connection
}

/// The operator says that it has a member's statement, and every member that asks keeps that; a
/// receipt that nobody in charge signed, or one for a log that does not exist yet, is not kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_come_from_the_operator_and_from_nobody_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = found(folder.path(), "town", 1);
    let said = say(&home, &founder(1), named(1, "Bert"));
    let replica = Replica::open(home.clone()).expect("opens");
    assert_eq!(replica.unreceipted(64).expect("reads"), [said]);
    let (id, size) = (replica.id(), replica.last_size());
    let forged = [
        Receipt::sign(&founder(0), id, said, size),
        Receipt::sign(&operator_key(), id, said, size + 1),
        Receipt::sign(&operator_key(), Hash::of(b"x"), said, size),
        Receipt::sign(&operator_key(), id, Hash::of(b"x"), size),
    ];
    assert_eq!(replica.keep_receipts(&forged).expect("works"), 0);
    assert_eq!(replica.receipts(&[said], None).expect("works"), []);
    assert_eq!(replica.receipts(&[said], Some(&founder(0))).expect("works"), []);
    let given = replica.receipts(&[said], Some(&operator_key())).expect("works");
    assert_eq!((given.len(), given[0].statement, given[0].size), (1, said, size));
    assert_eq!(replica.receipts(&[said], None).expect("works"), given, "and passed on");
    assert_eq!(replica.unreceipted(64).expect("reads"), []);
}

/// A stranger's statement is promised and placed by the operator's rates; whoever floods it with
/// keys of its own from one address keeps members and strangers elsewhere waiting for nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_get_places_at_a_rate_and_members_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = found(folder.path(), "town", 1);
    let first = next_place(&home, &identity("stranger", 0));
    let make = |key: &Identity| {
        let claim = Claim::Person { name: "x".to_owned() };
        Statement::sign(key, first, Attest { subject: key.id(), claim }).expect("signed")
    };
    let rate = |burst| Rate { per_hour: 1e-6, burst };
    let intake = Intake { per_key: rate(2.0), per_address: rate(3.0), in_all: rate(5.0) };
    let replica = Replica::with_intake(home, intake).expect("opens");
    let at = |last: u8| {
        let network = Network::of(std::net::IpAddr::from([192, 0, 2, last]));
        Some(Origin { peer: id_of(last), network })
    };
    let flood: Vec<Statement> = (0..40).map(|n| make(&identity("sybil", n))).collect();
    replica.submit(at(1), &flood).expect("works");
    let first = replica.integrate(&operator_key()).expect("works").expect("its log");
    assert_eq!(first.taken, 3, "of one address");
    let other = [make(&identity("stranger", 1))];
    let members: Vec<Statement> = (0..3).map(|n| make(&founder(n))).collect();
    replica.submit(at(2), &other).expect("works");
    replica.submit(at(1), &members).expect("works");
    let hashes: Vec<Hash> = other.iter().chain(&members).map(Statement::hash).collect();
    let promised = replica.receipts(&hashes, Some(&operator_key())).expect("works");
    assert_eq!(promised.len(), 4, "a stranger elsewhere, and members whoever brings them");
    let flooded: Vec<Hash> = flood.iter().map(Statement::hash).collect();
    // New ones are given a few times a second, however often somebody asks.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let promised = replica.receipts(&flooded[..32], Some(&operator_key())).expect("works");
    assert_eq!(promised, [], "no promise beyond the rate");
    let second = replica.integrate(&operator_key()).expect("works").expect("its log");
    assert_eq!(second.taken, 4);
    let third = replica.integrate(&operator_key()).expect("works").expect("its log");
    assert_eq!(third.taken, 0, "the others wait");
    assert_eq!(replica.summary().expect("reads").waiting, 37);
}

/// Somebody who began and is no member is bounded as a stranger is; a member's rotation finds room
/// though the key that signs it is in force for nobody yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_begin_makes_nobody_a_member() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = found(folder.path(), "town", 1);
    let stranger = identity("stranger", 0);
    let id = state(&home).id;
    let start = Key {
        member: stranger.id(),
        op: commons::statement::KeyOp::Start,
        keys: vec![commons::statement::DeviceKey::bind(&stranger, &id, &stranger.id())],
        next: Key::digest(&identity("stranger next", 0).id()),
        guardians: vec![],
        threshold: 0,
    };
    say(&home, &stranger, start);
    let replica = Replica::open(home.clone()).expect("opens");
    replica.integrate(&operator_key()).expect("works").expect("its log");
    let archive = home.archive().expect("opens");
    let log = archive.snapshot().expect("reads");
    let state = home.state(&log).expect("a state");
    assert_eq!(state.member_of(&stranger.id()), Some(stranger.id()));
    let mut place = author::next_place(&log, &state, &stranger.id()).expect("a place");
    let next = identity("next", 1);
    let rotate = Key {
        member: founder(1).id(),
        op: commons::statement::KeyOp::Rotate,
        keys: vec![commons::statement::DeviceKey::bind(&next, &id, &founder(1).id())],
        next: Key::digest(&identity("after next", 1).id()),
        guardians: vec![],
        threshold: 0,
    };
    let rotation = author::draft(&log, &state, &next, rotate).expect("signed");
    drop((log, archive));
    let many: Vec<Statement> = (0..40)
        .map(|_| {
            let attest =
                Attest { subject: stranger.id(), claim: Claim::Person { name: "x".to_owned() } };
            let statement = Statement::sign(&stranger, place, attest).expect("signed");
            (place.seq, place.prev) = (place.seq + 1, Some(statement.hash()));
            statement
        })
        .collect();
    let refused = replica.submit(Some(from(1)), &many).expect("works");
    assert_eq!(refused.iter().flatten().count(), 32);
    let sybils: Vec<Statement> = (0..300)
        .map(|n| {
            let key = identity("sybil", n);
            let attest =
                Attest { subject: key.id(), claim: Claim::Person { name: "x".to_owned() } };
            let place = Place { log: id, seq: 0, prev: None, seen: place.seen };
            Statement::sign(&key, place, attest).expect("signed")
        })
        .collect();
    replica.submit(Some(from(1)), &sybils).expect("works");
    assert_eq!(replica.submit(Some(from(1)), &[rotation]).expect("works"), [None]);
}

/// What all peers at one address have waiting is bounded, however many keys they have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_peers_at_one_address_are_bounded_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = found(folder.path(), "town", 1);
    let first = next_place(&home, &identity("stranger", 0));
    let replica = Replica::open(home).expect("opens");
    let mut taken = 0;
    for peer in 1..=4 {
        let statements: Vec<Statement> = (0..256)
            .map(|n| {
                let key = identity("sybil", 1000 * usize::from(peer) + n);
                let claim = Claim::Person { name: "x".to_owned() };
                Statement::sign(&key, first, Attest { subject: key.id(), claim }).expect("signed")
            })
            .collect();
        let network = Network::of(std::net::IpAddr::from([192, 0, 2, 1]));
        let by = Origin { peer: id_of(peer), network };
        let reasons = replica.submit(Some(by), &statements).expect("works");
        taken += reasons.iter().filter(|reason| reason.is_none()).count();
    }
    assert_eq!(taken, 512);
}

/// Members decide on other witnesses, and the operator goes on with those before them until the new
/// one is there, who begins to cosign without being started again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_cosigns_as_soon_as_members_name_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = found(folder.path(), "town", 1);
    let replica = Replica::open(home).expect("opens");
    let key = identity("later witness", 0);
    assert_eq!(replica.witness_name(&key.id()).expect("reads"), None);
    let head = replica.newest().expect("reads").expect("a head").0;
    let request = replica.cosign_request(0, &head).expect("a request");
    let answer = replica.cosign(&key, request.as_bytes(), 1_800_000_000).expect("answers");
    assert_eq!(answer, tlog::Response::UnknownLog, "it is no witness of this log");
    let (known, name) = witness(1);
    assert_eq!(replica.witness_name(&known.id()).expect("reads"), Some(name));
}
