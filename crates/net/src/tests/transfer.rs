//! Objects from peers that are honest, absent, slow, cut off or lying.

use super::*;
use crate::transport::{
    fetch::{FetchError, FetchRequest, Parts},
    wire::{REQUEST_LEN, Request, Status},
};
use ids::ObjectRef;
use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU32, Ordering},
};
use tokio::task::JoinSet;

/// Bytes that differ by `seed` and from place to place.
fn bytes(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i as u8).wrapping_mul(31) ^ (i >> 8) as u8 ^ seed).collect()
}

/// How a rogue answers every object request.
#[derive(Clone)]
enum Behaviour {
    /// These bytes, whatever was asked for, then the end.
    Say(Vec<u8>),
    /// These bytes, then nothing.
    StallAfter(Vec<u8>),
    /// The busy or absent status.
    Decline(Status),
    /// A status byte that means nothing.
    Nonsense,
    /// The right bytes from the offset asked for up to this one, then the end.
    UpTo(Vec<u8>, usize),
    /// One byte each time before a limit on silence would be reached.
    Drip,
    /// Nothing at all, not even a status.
    Silence,
}

/// A peer that answers requests as told; counts them.
async fn provider(seed: u8, victim: &mut Peer, behaviour: Behaviour) -> (Rogue, Arc<AtomicU32>) {
    let rogue = Rogue::join(seed, victim).await;
    victim.up(id(seed)).await;
    let (connection, asked) = (rogue.connection.clone(), Arc::new(AtomicU32::new(0)));
    let count = asked.clone();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut send, mut recv)) = connection.accept_bi().await {
            let mut request = [0; REQUEST_LEN];
            recv.read_exact(&mut request).await.expect("a request");
            let request = Request::decode(&request).expect("a valid request");
            count.fetch_add(1, Ordering::Relaxed);
            let behaviour = behaviour.clone();
            open.push(tokio::spawn(async move {
                let _ = reply(&behaviour, request.offset as usize, &mut send).await;
                std::future::pending::<()>().await;
                drop((send, recv));
            }));
        }
    });
    (rogue, asked)
}

async fn reply(
    behaviour: &Behaviour,
    offset: usize,
    send: &mut SendStream,
) -> Result<(), iroh::endpoint::WriteError> {
    let here = [Status::Here as u8];
    match behaviour {
        Behaviour::Say(bytes) => {
            send.write_all(&here).await?;
            send.write_all(bytes).await?;
            let _ = send.finish();
        }
        Behaviour::StallAfter(bytes) => {
            send.write_all(&here).await?;
            send.write_all(bytes).await?;
        }
        Behaviour::Decline(status) => {
            send.write_all(&[*status as u8]).await?;
            let _ = send.finish();
        }
        Behaviour::Nonsense => send.write_all(&[77]).await?,
        Behaviour::UpTo(object, end) => {
            send.write_all(&here).await?;
            send.write_all(object.get(offset..*end).unwrap_or_default()).await?;
            let _ = send.finish();
        }
        Behaviour::Drip => {
            send.write_all(&here).await?;
            loop {
                send.write_all(&[7]).await?;
                tokio::time::sleep(SHORT / 3).await;
            }
        }
        Behaviour::Silence => {}
    }
    Ok(())
}

/// A peer that wants something and an honest one that has it.
async fn pair(a: u8, b: u8, object: &[u8]) -> (Peer, Peer) {
    let (mut wants, has) = (Peer::new(a).await, Peer::new(b).await);
    has.store.put(object).expect("put");
    wants.mesh.hint([has.at()]);
    wants.up(has.id()).await;
    (wants, has)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_is_fetched_verified_and_its_bytes_are_counted() {
    let object = bytes(1, 700_001);
    let (wants, has) = pair(20, 21, &object).await;
    wants.fetch(&object, &[has.id()]).await.expect("fetched");
    assert_eq!(wants.store.get(&Hash::of(&object)).expect("stored"), object);
    assert_eq!(wants.traffic_with(has.id()).objects_in, 700_002, "one byte of status");
    wants.fetch(&object, &[has.id()]).await.expect("already here");
    assert_eq!(wants.traffic_with(has.id()).objects_in, 700_002, "nothing fetched twice");
    let empty = b"";
    has.store.put(empty).expect("put");
    wants.fetch(empty, &[]).await.expect("an empty object can be fetched, from anybody linked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_or_wrongly_sized_object_is_not_served_and_not_trusted() {
    let object = bytes(2, 5000);
    let (wants, has) = pair(22, 23, &object).await;
    let hex = Hash::of(&object).to_string();
    let path = has.store.root().join("objects").join(&hex[..2]).join(&hex[2..]);
    std::fs::write(&path, bytes(3, 5000)).expect("damage it");
    assert!(matches!(wants.fetch(&object, &[]).await, Err(FetchError::Missing(_))));
    let wrong = vec![ObjectRef { len: 4999, ..ObjectRef::of(&object) }.into()];
    let progress = Arc::default();
    let refused = wants.fetcher.fetch(wrong, Vec::new(), Urgency::Round, &progress).await;
    assert!(matches!(refused, Err(FetchError::Missing(_))));
    assert_eq!(wants.traffic_with(has.id()).objects_in, 0);
    // A damaged copy of one's own is replaced.
    has.store.put(&object).expect("repair");
    wants.store.put(&object).expect("put");
    let mine = wants.store.root().join("objects").join(&hex[..2]).join(&hex[2..]);
    std::fs::write(&mine, bytes(4, 5000)).expect("damage it");
    wants.fetch(&object, &[]).await.expect("fetched anew");
    assert_eq!(wants.store.get(&Hash::of(&object)).expect("stored"), object);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lying_provider_is_asked_last_after_one_lie_and_no_more_after_three() {
    let object = bytes(5, 30_000);
    let (mut wants, has) = pair(24, 25, &object).await;
    let (_rogue, asked) = provider(26, &mut wants, Behaviour::Say(bytes(6, 30_000))).await;
    for i in 0..6u8 {
        let object = bytes(5, 30_000 - usize::from(i));
        has.store.put(&object).expect("put");
        wants.fetch(&object, &[id(26), has.id()]).await.expect("the honest one has it");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    for i in 6..8u8 {
        let object = bytes(5, 30_000 - usize::from(i));
        assert!(wants.fetch(&object, &[id(26)]).await.is_err(), "only the liar says it has it");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_bytes_than_asked_for_are_a_lie() {
    let object = bytes(7, 30_000);
    let (mut wants, has) = pair(27, 28, &object).await;
    let (_rogue, asked) = provider(29, &mut wants, Behaviour::Say(bytes(7, 30_001))).await;
    for i in 0..5usize {
        let object = bytes(7, 30_000 - i);
        has.store.put(&object).expect("put");
        wants.fetch(&object, &[id(29)]).await.expect("the honest one has it");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1, "asked last from then on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_that_breaks_off_goes_on_with_the_next_provider() {
    let object = bytes(8, 500_000);
    let (mut wants, has) = pair(30, 31, &object).await;
    let half = object[..250_000].to_vec();
    let (_rogue, asked) = provider(32, &mut wants, Behaviour::Say(half)).await;
    wants.fetch(&object, &[id(32), has.id()]).await.expect("fetched");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    let (first, second) = (wants.traffic_with(id(32)), wants.traffic_with(has.id()));
    assert_eq!((first.objects_in, second.objects_in), (250_001, 250_001), "no byte came twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_that_stalls_goes_on_with_the_next_provider() {
    let object = bytes(9, 100_000);
    let (mut wants, has) = pair(33, 34, &object).await;
    let (_rogue, _) = provider(35, &mut wants, Behaviour::StallAfter(object[..10].to_vec())).await;
    wants.fetch(&object, &[id(35), has.id()]).await.expect("fetched");
    assert_eq!(wants.traffic_with(has.id()).objects_in - 1, 99_990);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_first_part_does_not_spoil_the_object_or_the_honest_providers_name() {
    let object = bytes(10, 50_000);
    let (mut wants, has) = pair(36, 37, &object).await;
    let wrong = bytes(11, 20_000);
    let (_rogue, asked) = provider(38, &mut wants, Behaviour::Say(wrong)).await;
    for i in 0..5 {
        let object = bytes(10, 50_000 - i);
        has.store.put(&object).expect("put");
        wants.fetch(&object, &[id(38), has.id()]).await.expect("fetched in the end");
    }
    // Once, with the other: that one gave its part to the end, is asked alone before it, and then the
    // parts were compared.
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_nothing_or_talks_nonsense_is_passed_over() {
    let object = bytes(12, 1000);
    let (mut wants, has) = pair(39, 40, &object).await;
    let behaviours = [
        Behaviour::Decline(Status::NotHere),
        Behaviour::Decline(Status::Busy),
        Behaviour::Nonsense,
    ];
    let mut kept = Vec::new();
    for (i, behaviour) in behaviours.into_iter().enumerate() {
        kept.push(provider(41 + i as u8, &mut wants, behaviour).await);
    }
    wants.fetch(&object, &[id(41), id(42), id(43), id(99), has.id()]).await.expect("fetched");
    let missing = wants.fetch(b"nobody has this", &[id(41)]).await;
    assert!(matches!(missing, Err(FetchError::Missing(h)) if h == Hash::of(b"nobody has this")));
}

/// In these tests a manifest is CBOR: a list of references.
fn manifest(children: &[ObjectRef]) -> Vec<u8> {
    minicbor::to_vec(children).expect("encode")
}

/// Reads a manifest whose parts are, for so many levels, manifests again.
fn parts(levels: u32) -> Arc<Parts> {
    Arc::new(move |bytes| {
        let refs: Vec<ObjectRef> = minicbor::decode(bytes)?;
        let want = |object| match levels {
            0 => FetchRequest::from(object),
            _ => FetchRequest::manifest(object, parts(levels - 1)),
        };
        Ok(refs.into_iter().map(want).collect())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_is_fetched_with_what_it_names_and_stops_at_the_bounds() {
    let leaves: Vec<Vec<u8>> = (0..40).map(|i| bytes(i, 1000 + usize::from(i))).collect();
    let refs: Vec<_> = leaves.iter().map(|l| ObjectRef::of(l)).collect();
    let (low, high) = (manifest(&refs[..20]), manifest(&refs[15..]));
    let top = manifest(&[ObjectRef::of(&low), ObjectRef::of(&high)]);
    let (wants, has) = pair(44, 45, &top).await;
    for object in leaves.iter().chain([&low, &high]) {
        has.store.put(object).expect("put");
    }
    let progress = Arc::new(FetchProgress::default());
    let whole = vec![FetchRequest::manifest(ObjectRef::of(&top), parts(1))];
    wants.fetcher.fetch(whole, Vec::new(), Urgency::Round, &progress).await.expect("all of it");
    assert_eq!(wants.store.objects().expect("list"), has.store.objects().expect("list"));
    assert_eq!(progress.objects.load(Ordering::Relaxed), 43);
    let (known, got) = (&progress.bytes_known, &progress.bytes);
    assert_eq!(known.load(Ordering::Relaxed), got.load(Ordering::Relaxed));

    let large = ObjectRef { hash: Hash::of(b"large"), len: (1 << 20) + 1 };
    let lists_large = manifest(&[large]);
    has.store.put(&lists_large).expect("put");
    has.store.put(b"broken").expect("put");
    for (object, what) in [(lists_large.as_slice(), "large"), (b"broken", "broken")] {
        let want = vec![FetchRequest::manifest(ObjectRef::of(object), parts(0))];
        let error =
            wants.fetcher.fetch(want, Vec::new(), Urgency::Round, &progress).await.expect_err(what);
        match what {
            "large" => assert!(matches!(error, FetchError::TooLarge { .. }), "{error}"),
            _ => assert!(matches!(error, FetchError::Manifest { .. }), "{error}"),
        }
    }
}

/// A carry or leaf is somebody else's bytes: shaped as a manifest, it is still only bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_object_that_was_not_wanted_as_a_manifest_names_is_not_fetched() {
    let named = bytes(1, 5000);
    let shaped = manifest(&[ObjectRef::of(&named)]);
    let top = manifest(&[ObjectRef::of(&shaped)]);
    let (wants, has) = pair(46, 47, &shaped).await;
    for object in [&named, &top] {
        has.store.put(object).expect("put");
    }
    let progress = Arc::default();
    let plain = vec![ObjectRef::of(&shaped).into()];
    wants.fetcher.fetch(plain, Vec::new(), Urgency::Round, &progress).await.expect("fetched");
    let part = vec![FetchRequest::manifest(ObjectRef::of(&top), parts(0))];
    wants.fetcher.fetch(part, Vec::new(), Urgency::Round, &progress).await.expect("fetched");
    assert!(wants.store.has(&Hash::of(&shaped)) && wants.store.has(&Hash::of(&top)));
    assert!(!wants.store.has(&Hash::of(&named)));
}

/// Attacks that hold a transfer: how long they hold it is bounded, and nobody else's waits for it.
/// Long enough for eight objects that one provider drips in turn.
const ALL_GIVEN_UP: Duration = Duration::from_secs(180);

/// What a commit names: a hash and the one length that the rules allow.
fn claimed(n: u64) -> ObjectRef {
    ObjectRef { hash: Hash::of(&n.to_le_bytes()), len: 1_000_000 }
}

/// Eight fetches of objects that only `from` claims to have.
fn eight_fetches(wants: &Peer, from: &[PeerId]) -> JoinSet<Result<BTreeSet<Hash>, FetchError>> {
    let mut running = JoinSet::new();
    for n in 0..8 {
        let (fetcher, from) = (wants.fetcher.clone(), vec![from[n as usize % from.len()]]);
        let want = vec![claimed(n).into()];
        running
            .spawn(async move { fetcher.fetch(want, from, Urgency::Round, &Arc::default()).await });
    }
    running
}

async fn all_end_in_missing(mut running: JoinSet<Result<BTreeSet<Hash>, FetchError>>) {
    while let Some(ended) = timeout(ALL_GIVEN_UP, running.join_next()).await.expect("it ends") {
        assert!(matches!(ended.expect("no panic"), Err(FetchError::Missing(_))));
    }
}

/// F5: a byte before each stall kept a fetch for ever, and eight such fetches took all slots.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dripping_provider_is_given_up_and_eight_such_fetches_stop_no_other() {
    let object = bytes(13, 50_000);
    let (mut wants, has) = pair(80, 81, &object).await;
    let (_rogue, asked) = provider(82, &mut wants, Behaviour::Drip).await;
    let running = eight_fetches(&wants, &[id(82)]);
    while asked.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(SHORT / 10).await;
    }
    // Less urgent, and still it does not wait: while it runs the others are all still held.
    let want = vec![ObjectRef::of(&object).into()];
    let progress = Arc::default();
    let honest = wants.fetcher.fetch(want, vec![has.id()], Urgency::History, &progress);
    timeout(PATIENCE, honest).await.expect("not held up").expect("fetched");
    all_end_in_missing(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_dripping_providers_hold_up_nothing_that_an_honest_one_has() {
    let (mut wants, has) = pair(83, 84, b"").await;
    let mut rogues = Vec::new();
    for seed in 85..93 {
        rogues.push(provider(seed, &mut wants, Behaviour::Drip).await);
    }
    let objects: Vec<_> = (0..16).map(|n| bytes(n, 60_000)).collect();
    let mut running = JoinSet::new();
    for (n, object) in objects.iter().enumerate() {
        has.store.put(object).expect("put");
        let (fetcher, from) = (wants.fetcher.clone(), vec![id(85 + n as u8 % 8)]);
        let want = vec![ObjectRef::of(object).into()];
        running
            .spawn(async move { fetcher.fetch(want, from, Urgency::Round, &Arc::default()).await });
    }
    while let Some(ended) = timeout(PATIENCE, running.join_next()).await.expect("in time") {
        ended.expect("no panic").expect("the honest one has it");
    }
    let again = bytes(99, 60_000);
    has.store.put(&again).expect("put");
    let before: u32 = rogues.iter().map(|(_, asked)| asked.load(Ordering::Relaxed)).sum();
    wants.fetch(&again, &[id(85), id(86)]).await.expect("fetched");
    let after: u32 = rogues.iter().map(|(_, asked)| asked.load(Ordering::Relaxed)).sum();
    assert_eq!(before, after, "who was slow is asked last, though named first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promise_without_bytes_and_silence_are_given_up() {
    for (seed, behaviour) in [(94, Behaviour::StallAfter(Vec::new())), (97, Behaviour::Silence)] {
        let object = bytes(seed, 10_000);
        let (mut wants, has) = pair(seed, seed + 1, &object).await;
        let (_rogue, asked) = provider(seed + 2, &mut wants, behaviour).await;
        wants.fetch(&object, &[id(seed + 2)]).await.expect("the next one has it");
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert_eq!(wants.traffic_with(has.id()).objects_in, 10_001);
        let running = eight_fetches(&wants, &[id(seed + 2)]);
        all_end_in_missing(running).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_goes_on_across_three_providers_that_break_off() {
    let object = bytes(100, 400_000);
    let (mut wants, has) = pair(100, 101, &object).await;
    let mut rogues = Vec::new();
    for (seed, upto) in [(102, 100_000), (103, 150_000), (104, 300_000)] {
        let behaviour = Behaviour::UpTo(object.clone(), upto);
        rogues.push(provider(seed, &mut wants, behaviour).await);
    }
    wants.fetch(&object, &[id(102), id(103), id(104)]).await.expect("fetched");
    let got = |seed| wants.traffic_with(id(seed)).objects_in;
    assert_eq!([got(102), got(103), got(104)], [100_001, 50_001, 150_001]);
    assert_eq!(wants.traffic_with(has.id()).objects_in, 100_001);
}

/// Gives up a fetch in the middle, as the driver does when a round is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_that_nobody_waits_for_frees_its_slots_and_memory() {
    let mut wants = Peer::new(105).await;
    let (_rogue, asked) = provider(106, &mut wants, Behaviour::Drip).await;
    let mut running = eight_fetches(&wants, &[id(106)]);
    while asked.load(Ordering::Relaxed) < 2 {
        tokio::time::sleep(SHORT / 10).await;
    }
    running.abort_all();
    let over = async {
        while !wants.fetcher.is_idle() {
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    timeout(PATIENCE, over).await.expect("stopped, and nothing is held");
}

/// Asks for `object` on a stream and returns it unread.
async fn ask(connection: &Connection, object: &[u8]) -> (SendStream, RecvStream) {
    let (mut send, recv) = connection.open_bi().await.expect("a stream");
    let request = Request { object: ObjectRef::of(object), offset: 0 };
    send.write_all(&request.encode()).await.expect("taken");
    (send, recv)
}

/// More than flow control lets pass unread.
const UNREAD: usize = 12 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_never_reads_is_cut_off() {
    let object = bytes(107, UNREAD);
    let serves = Peer::new(107).await;
    serves.store.put(&object).expect("put");
    let rogue = Rogue::join(108, &serves).await;
    let (_send, mut recv) = ask(&rogue.connection, &object).await;
    tokio::time::sleep(READ_TIME + SHORT).await;
    let read = timeout(PATIENCE, recv.read_to_end(UNREAD + 1)).await.expect("it ends");
    assert!(read.is_err(), "reset: what was not read is not kept for it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_hold_all_they_can_leave_everybody_a_slot() {
    let object = bytes(110, UNREAD);
    let serves = Peer::new(110).await;
    serves.store.put(&object).expect("put");
    let (mut held, mut rogues) = (Vec::new(), Vec::new());
    for seed in 111..123 {
        let rogue = Rogue::join(seed, &serves).await;
        for _ in 0..8 {
            held.push(ask(&rogue.connection, &object).await);
        }
        rogues.push(rogue);
    }
    let small = bytes(1, 1000);
    serves.store.put(&small).expect("put");
    let honest = Rogue::join(123, &serves).await;
    let (_send, mut recv) = ask(&honest.connection, &small).await;
    let answer = timeout(PATIENCE, recv.read_to_end(2000)).await.expect("an answer");
    let answer = answer.expect("a whole one");
    assert_eq!((answer[0], &answer[1..]), (Status::Here as u8, small.as_slice()), "not busy");
}
