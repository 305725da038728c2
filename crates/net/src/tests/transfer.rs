//! Objects from peers that are honest, absent, slow, cut off or lying.

use super::*;
use crate::{
    fetch::{FetchError, Parts, Want},
    wire::{REQUEST_LEN, Request, Status},
};
use std::sync::atomic::{AtomicU32, Ordering};
use store::ObjectRef;

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
            Request::decode(&request).expect("a valid request");
            count.fetch_add(1, Ordering::Relaxed);
            let _ = reply(&behaviour, &mut send).await;
            open.push((send, recv));
        }
    });
    (rogue, asked)
}

async fn reply(
    behaviour: &Behaviour,
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
    let refused = wants.fetcher.fetch(wrong, Vec::new(), &progress).await;
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
async fn a_lying_provider_is_passed_over_and_asked_no_more_after_three_lies() {
    let object = bytes(5, 30_000);
    let (mut wants, has) = pair(24, 25, &object).await;
    let (_rogue, asked) = provider(26, &mut wants, Behaviour::Say(bytes(6, 30_000))).await;
    for i in 0..6u8 {
        let object = bytes(5, 30_000 - usize::from(i));
        has.store.put(&object).expect("put");
        wants.fetch(&object, &[id(26), has.id()]).await.expect("the honest one has it");
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
    assert_eq!(asked.load(Ordering::Relaxed), 3);
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
    // Twice per object (with others, then alone), until its part was compared three times.
    assert_eq!(asked.load(Ordering::Relaxed), 6);
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
        let refs: Vec<ObjectRef> = minicbor::decode(bytes).map_err(|e| e.to_string())?;
        let want = |object| match levels {
            0 => Want::from(object),
            _ => Want::manifest(object, parts(levels - 1)),
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
    let whole = vec![Want::manifest(ObjectRef::of(&top), parts(1))];
    wants.fetcher.fetch(whole, Vec::new(), &progress).await.expect("all of it");
    assert_eq!(wants.store.objects().expect("list"), has.store.objects().expect("list"));
    assert_eq!(progress.objects.load(Ordering::Relaxed), 43);
    let (known, got) = (&progress.bytes_known, &progress.bytes);
    assert_eq!(known.load(Ordering::Relaxed), got.load(Ordering::Relaxed));

    let large = ObjectRef { hash: Hash::of(b"large"), len: (1 << 20) + 1 };
    let lists_large = manifest(&[large]);
    has.store.put(&lists_large).expect("put");
    has.store.put(b"broken").expect("put");
    for (object, what) in [(lists_large.as_slice(), "large"), (b"broken", "broken")] {
        let want = vec![Want::manifest(ObjectRef::of(object), parts(0))];
        let error = wants.fetcher.fetch(want, Vec::new(), &progress).await.expect_err(what);
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
    wants.fetcher.fetch(plain, Vec::new(), &progress).await.expect("fetched");
    let part = vec![Want::manifest(ObjectRef::of(&top), parts(0))];
    wants.fetcher.fetch(part, Vec::new(), &progress).await.expect("fetched");
    assert!(wants.store.has(&Hash::of(&shaped)) && wants.store.has(&Hash::of(&top)));
    assert!(!wants.store.has(&Hash::of(&named)));
}
