//! One link to every peer, and messages over it.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_arrive_once_and_in_order() {
    let (mut a, mut b) = (Peer::new(1).await, Peer::new(2).await);
    a.mesh.hint([b.at()]);
    a.up(b.id()).await;
    b.up(a.id()).await;
    for i in 0..200u32 {
        a.mesh.send(b.id(), &i.to_le_bytes());
        b.mesh.broadcast(&(i + 1000).to_le_bytes());
    }
    for i in 0..200u32 {
        assert_eq!(b.message().await, (a.id(), i.to_le_bytes().to_vec()));
        assert_eq!(a.message().await, (b.id(), (i + 1000).to_le_bytes().to_vec()));
    }
    let traffic = b.traffic_with(a.id());
    assert!(traffic.messages_in >= 200 * 9, "{traffic:?}");
    assert_eq!(traffic.objects_in + traffic.objects_out, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_dial_each_other_at_once_keep_one_connection() {
    for round in 0..4 {
        let (mut a, mut b) = (Peer::new(12 + 2 * round).await, Peer::new(13 + 2 * round).await);
        let (at_a, at_b) = (a.at(), b.at());
        a.mesh.hint([at_b]);
        b.mesh.hint([at_a]);
        a.up(b.id()).await;
        b.up(a.id()).await;
        // Whatever was exchanged before, both now agree: messages pass both ways.
        let (mut to_b, mut to_a) = (0u32, 0u32);
        timeout(PATIENCE, async {
            loop {
                a.mesh.send(b.id(), b"ping");
                b.mesh.send(a.id(), b"ping");
                tokio::time::sleep(Duration::from_millis(20)).await;
                while let Some(event) = a.events.try_recv() {
                    to_a += u32::from(matches!(event, MeshEvent::Message { .. }));
                }
                while let Some(event) = b.events.try_recv() {
                    to_b += u32::from(matches!(event, MeshEvent::Message { .. }));
                }
                if to_a > 10 && to_b > 10 {
                    break;
                }
            }
        })
        .await
        .expect("messages pass both ways");
        let same = |x: &Peer, y: &Peer| x.mesh.connection(y.id()).map(|c| c.side());
        assert_ne!(same(&a, &b), same(&b, &a), "two ends of one connection");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_learn_of_each_other_through_a_third() {
    let (mut a, mut b, mut c) = (Peer::new(3).await, Peer::new(4).await, Peer::new(5).await);
    a.mesh.hint([b.at()]);
    c.mesh.hint([b.at()]);
    a.up(c.id()).await;
    c.up(a.id()).await;
    assert_eq!(b.mesh.linked().len(), 2);
    b.mesh.broadcast(b"to both");
    assert_eq!(a.message().await.1, b"to both");
    assert_eq!(c.message().await.1, b"to both");
    assert!(matches!(b.event().await, MeshEvent::Up(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_peer_is_noticed_and_linked_again_when_it_is_back() {
    let (low, high) = in_order(6, 7);
    // The stale connection was made by the lower key, which the tie-break prefers; the restart
    // must win all the same.
    let mut stays = Peer::new(high).await;
    let mut goes = Peer::new(low).await;
    goes.mesh.hint([stays.at()]);
    stays.up(goes.id()).await;
    goes.up(stays.id()).await;
    let gone = goes.id();
    // As a crash: nothing is said, the old connection is only dead.
    let leaked = goes.mesh.connection(stays.id());
    drop(goes);
    let mut back = Peer::new(low).await;
    back.mesh.hint([stays.at()]);
    back.up(stays.id()).await;
    loop {
        match stays.event().await {
            MeshEvent::Restarted(peer) | MeshEvent::Up(peer) => {
                assert_eq!(peer, gone);
                break;
            }
            _ => continue,
        }
    }
    back.mesh.broadcast(b"here again");
    assert_eq!(stays.message().await, (gone, b"here again".to_vec()));
    drop(leaked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bound_to_every_network_it_can_be_reached_at_the_addresses_it_tells() {
    let everywhere = "0.0.0.0:0".parse().expect("an address");
    let endpoint = bind(ALPN, &secret(8), everywhere, None, &Relay::None).await.expect("bound");
    let mut a = Peer::over(endpoint, 8, 1 << 20);
    let endpoint = bind(ALPN, &secret(9), everywhere, None, &Relay::None).await.expect("bound");
    let mut b = Peer::over(endpoint, 9, 1 << 20);
    let at = a.at();
    assert!(!at.addrs.is_empty() && at.is_valid(), "{at:?}");
    b.mesh.hint([at]);
    a.up(b.id()).await;
    b.up(a.id()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_port_of_the_last_start_is_taken_again_if_it_is_free() {
    // An address that no other test binds, or one of them could take the port.
    let any = "127.9.9.9:0".parse().expect("an address");
    let first = bind(ALPN, &secret(10), any, None, &Relay::None).await.expect("bound");
    let port = first.bound_sockets()[0];
    let other =
        bind(ALPN, &secret(11), any, Some(port), &Relay::None).await.expect("bound elsewhere");
    assert_ne!(other.bound_sockets()[0], port);
    first.close().await;
    drop(first);
    let again = bind(ALPN, &secret(10), any, Some(port), &Relay::None).await.expect("bound");
    assert_eq!(again.bound_sockets()[0], port);
    let bad = Relay::Url("not a url".to_owned());
    assert!(bind(ALPN, &secret(10), any, None, &bad).await.is_err());
}
