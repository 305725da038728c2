//! Clients that break the rules: each costs little, and the others go on.

use super::*;
use crate::transport::wire::{MAX_FRAME, Request, message_frame};
use ids::ObjectRef;
use std::time::Instant;

/// Two honest peers, linked, and the check that they still talk and serve each other.
struct Village {
    a: Peer,
    b: Peer,
}

impl Village {
    async fn new(seed: u8) -> Self {
        let (mut a, mut b) = (Peer::new(seed).await, Peer::new(seed + 1).await);
        a.mesh.hint([b.at()]);
        a.up(b.id()).await;
        b.up(a.id()).await;
        Self { a, b }
    }

    async fn still_lives(&mut self) {
        self.b.mesh.send(self.a.id(), b"are you well");
        while self.a.message().await != (self.b.id(), b"are you well".to_vec()) {}
        let object = self.a.id().0.to_vec();
        self.a.store.put(&object).expect("put");
        self.b.fetch(&object, &[self.a.id()]).await.expect("served");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_speaks_another_protocol_is_not_connected() {
    let mut village = Village::new(50).await;
    let endpoint = loopback(60).await;
    let at = village.a.at().to_endpoint().expect("its key is a key");
    assert!(endpoint.connect(at, b"understory/0").await.is_err());
    village.still_lives().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_for_another_run_is_sent_away() {
    let mut village = Village::new(52).await;
    let endpoint = loopback(61).await;
    let connection = connect(&endpoint, &village.a).await;
    let mut send = connection.open_uni().await.expect("a stream");
    send.write_all(&hello(&endpoint, 61, b"another run").encode()).await.expect("taken");
    assert_eq!(close_code(&connection).await, 1);
    village.still_lives().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_say_hello_or_says_it_for_somebody_else_is_sent_away() {
    let mut village = Village::new(54).await;
    let endpoint = loopback(62).await;
    let silent = connect(&endpoint, &village.a).await;
    assert_eq!(close_code(&silent).await, 3, "silent");
    let mut drips = connect(&endpoint, &village.a).await.open_uni().await.expect("a stream");
    drips.write_all(&[9]).await.expect("one byte");
    for wrong in [hello(&endpoint, 63, RUN).encode(), message_frame(b"hello"), vec![0; 64]] {
        let connection = connect(&endpoint, &village.a).await;
        let mut send = connection.open_uni().await.expect("a stream");
        send.write_all(&wrong).await.expect("taken");
        assert_eq!(close_code(&connection).await, 3);
    }
    assert_eq!(village.a.mesh.linked(), [village.b.id()]);
    village.still_lives().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_out_of_bounds_or_out_of_place_end_the_connection() {
    let mut village = Village::new(56).await;
    let endpoint = loopback(64).await;
    let too_long = (MAX_FRAME as u32 + 2).to_le_bytes().to_vec();
    let empty = 0u32.to_le_bytes().to_vec();
    let kind = [1u32.to_le_bytes().as_slice(), &[9]].concat();
    let records = [6u32.to_le_bytes().as_slice(), &[2, 0x9a, 0xff, 0xff, 0xff, 0xff]].concat();
    let again = hello(&endpoint, 64, RUN).encode();
    for wrong in [too_long, empty, kind, records, again] {
        let mut rogue = Rogue::join_from(endpoint.clone(), 64, &village.a).await;
        rogue.send.write_all(&wrong).await.expect("taken");
        assert_eq!(rogue.closed_with().await, 3, "{:?}", &wrong[..4]);
    }
    village.still_lives().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_floods_is_throttled_then_cut_off_and_stays_out() {
    let mut village = Village::new(58).await;
    let mut rogue = Rogue::join(65, &village.a).await;
    village.a.up(id(65)).await;
    let frame = message_frame(b"noise");
    let burst: Vec<u8> = std::iter::repeat_n(frame, 500).flatten().collect();
    let drain = async {
        // The driver's part: what is delivered is handled.
        while village.a.mesh.connection(id(65)).is_some() {
            let _ = timeout(SHORT / 5, village.a.events.recv()).await;
        }
    };
    let flood = async { while rogue.send.write_all(&burst).await.is_ok() {} };
    timeout(PATIENCE, async { tokio::join!(drain, flood) }).await.expect("cut off");
    assert_eq!(rogue.closed_with().await, 5);
    assert!(village.a.traffic_with(id(65)).dropped_in > 5000);
    let again = connect(&rogue.endpoint, &village.a).await;
    assert_eq!(close_code(&again).await, 5);
    drop(rogue.recv);
    village.still_lives().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_members_message_overtakes_those_of_strangers() {
    let mut village = Village::new(76).await;
    let (a, b) = (village.a.id(), village.b.id());
    village.a.mesh.set_members([b].into());
    let mut rogue = Rogue::join(68, &village.a).await;
    village.a.up(id(68)).await;
    let noise: Vec<u8> = std::iter::repeat_n(message_frame(b"noise"), 50).flatten().collect();
    rogue.send.write_all(&noise).await.expect("taken");
    let came = |from, than: u64| {
        let (peer, deadline) = (&village.a, Instant::now() + PATIENCE);
        async move {
            while peer.traffic_with(from).messages_in < than {
                assert!(Instant::now() < deadline, "nothing comes");
                tokio::time::sleep(SHORT / 20).await;
            }
        }
    };
    came(id(68), 50).await;
    let before = village.a.traffic_with(b).messages_in;
    village.b.mesh.send(a, b"vote");
    came(b, before + 1).await;
    // Counted a moment before it is delivered.
    tokio::time::sleep(SHORT / 5).await;
    assert_eq!(village.a.message().await, (b, b"vote".to_vec()));
    assert_eq!(village.a.message().await, (id(68), b"noise".to_vec()));
    drop(rogue.recv);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_nothing_costs_a_bounded_queue() {
    let mut village = Village::new(70).await;
    let _rogue = Rogue::join(66, &village.a).await;
    village.a.up(id(66)).await;
    let message = vec![7; MAX_FRAME];
    for _ in 0..200 {
        village.a.mesh.send(id(66), &message);
    }
    let traffic = village.a.traffic_with(id(66));
    assert!(traffic.dropped_out >= 100, "{traffic:?}");
    village.still_lives().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_never_end_or_make_no_sense_do_not_keep_others_from_being_served() {
    let mut village = Village::new(72).await;
    let rogue = Rogue::join(67, &village.a).await;
    let mut open = Vec::new();
    for _ in 0..16 {
        let (mut send, recv) = rogue.connection.open_bi().await.expect("a stream");
        send.write_all(&[1, 2, 3]).await.expect("taken");
        open.push((send, recv));
    }
    village.still_lives().await;
    drop(open);
    let object = ObjectRef::of(&village.a.id().0);
    let beyond = Request { object, offset: 33 }.encode();
    let (mut send, mut recv) = rogue.connection.open_bi().await.expect("a stream");
    send.write_all(&beyond).await.expect("taken");
    let mut answer = [0];
    let answered = timeout(PATIENCE, recv.read_exact(&mut answer)).await.expect("an end");
    assert!(answered.is_err(), "an offset beyond the end is not answered");
    village.still_lives().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_at_once_do_not_keep_an_honest_one_out() {
    let mut village = Village::new(74).await;
    let mut callers = Vec::new();
    for _ in 0..80 {
        let endpoint = loopback(150 + callers.len() as u8).await;
        let at = village.a.at().to_endpoint().expect("its key is a key");
        callers.push(tokio::spawn(async move {
            let connection = endpoint.connect(at, ALPN).await;
            // Stays silent: holds its place until it is sent away.
            if let Ok(connection) = connection {
                connection.closed().await;
            }
        }));
    }
    let mut late = Peer::new(49).await;
    late.mesh.hint([village.a.at()]);
    late.up(village.a.id()).await;
    village.still_lives().await;
    callers.iter().for_each(JoinHandle::abort);
}

/// Forty from one address, well behaved and idle: half the places are the most that they take as
/// long as others want some, and a member always has one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_idle_connections_from_one_address_keep_no_member_out() {
    let mut village = Village::new(76).await;
    let mut callers = Vec::new();
    for seed in 160..191 {
        callers.push(Rogue::join(seed, &village.a).await);
        village.a.up(id(seed)).await;
    }
    for seed in 191..200 {
        let endpoint = loopback(seed).await;
        let connection = connect(&endpoint, &village.a).await;
        let mut send = connection.open_uni().await.expect("a stream");
        send.write_all(&hello(&endpoint, seed, RUN).encode()).await.expect("taken");
        assert_eq!(close_code(&connection).await, 4, "full");
    }
    assert_eq!(village.a.mesh.linked().len(), 32);
    let mut member = Peer::new(48).await;
    village.a.mesh.set_members([member.id(), village.b.id()].into());
    member.mesh.hint([village.a.at()]);
    member.up(village.a.id()).await;
    village.a.up(member.id()).await;
    village.still_lives().await;
}
