//! Real iroh endpoints on loopback: honest ones, and clients that break every rule.

mod hostile;
mod linking;
mod transfer;

use crate::transport::{
    address::{AddrRecord, PeerAddr, peer_id},
    endpoint::{Relay, bind},
    fetch::{FetchProgress, Fetcher},
    mesh::{Events, Mesh, MeshEvent},
    objects::Server,
    traffic::{Traffic, TrafficTable},
    wire::{ALPN, Frame, Hello},
};
use ids::{Hash, PeerId};
use iroh::{
    Endpoint, SecretKey,
    endpoint::{Connection, RecvStream, SendStream},
};
use std::{sync::Arc, time::Duration};
use store::Store;
use swarm::Urgency;
use tokio::{task::JoinHandle, time::timeout};

/// Long enough for a loaded machine; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(30);
/// For what must time out: short, because a test waits for it to pass.
const SHORT: Duration = Duration::from_millis(500);
/// How far a reader may be behind: short, but an honest one on a loaded machine keeps up.
const READ_TIME: Duration = Duration::from_secs(3);
const RUN: &[u8] = b"the run of these tests";

fn secret(seed: u8) -> SecretKey {
    SecretKey::from_bytes(&[seed; 32])
}

fn id(seed: u8) -> PeerId {
    peer_id(secret(seed).public())
}

/// Two keys' seeds, the one with the lower key first.
fn in_order(a: u8, b: u8) -> (u8, u8) {
    if id(a) < id(b) { (a, b) } else { (b, a) }
}

/// An honest peer without a driver.
struct Peer {
    mesh: Arc<Mesh>,
    events: Events,
    store: Store,
    fetcher: Arc<Fetcher>,
    traffic: Arc<TrafficTable>,
    running: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Peer {
    async fn new(seed: u8) -> Self {
        Self::with_bound(seed, 1 << 20).await
    }

    async fn with_bound(seed: u8, max_object: u64) -> Self {
        Self::over(loopback(seed).await, seed, max_object)
    }

    fn over(endpoint: Endpoint, seed: u8, max_object: u64) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(folder.path().join("store")).expect("an empty store opens");
        let traffic = Arc::new(TrafficTable::default());
        let server = Server::with_read_time(store.clone(), READ_TIME);
        let run = Hash::of(RUN);
        let (mesh, events) = Mesh::new(
            ALPN,
            endpoint,
            secret(seed),
            run,
            Vec::new(),
            server,
            traffic.clone(),
            SHORT * 4,
        );
        let fetcher =
            Fetcher::new(b"", store.clone(), mesh.clone(), traffic.clone(), max_object, SHORT);
        let running = tokio::spawn(mesh.clone().run());
        Self { mesh, events, store, fetcher, traffic, running, _folder: folder }
    }

    fn at(&self) -> PeerAddr {
        self.mesh.own_address()
    }

    fn id(&self) -> PeerId {
        self.at().peer
    }

    async fn event(&mut self) -> MeshEvent {
        let event = timeout(PATIENCE, self.events.recv()).await;
        event.expect("an event comes").expect("the mesh runs")
    }

    /// Waits until `peer` is linked, passing over other events.
    async fn up(&mut self, peer: PeerId) {
        while !matches!(self.event().await, MeshEvent::Up(p) if p == peer) {}
    }

    async fn message(&mut self) -> (PeerId, Vec<u8>) {
        loop {
            if let MeshEvent::Message { from, bytes, .. } = self.event().await {
                return (from, bytes);
            }
        }
    }

    async fn fetch(
        &self,
        bytes: &[u8],
        providers: &[PeerId],
    ) -> Result<(), crate::transport::fetch::FetchError> {
        let wanted = vec![ids::ObjectRef::of(bytes).into()];
        let progress = Arc::new(FetchProgress::default());
        self.fetcher.fetch(wanted, providers.to_vec(), Urgency::Round, &progress).await.map(drop)
    }

    fn traffic_with(&self, peer: PeerId) -> Traffic {
        self.traffic.read().get(&peer).copied().unwrap_or_default()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn loopback(seed: u8) -> Endpoint {
    let at = "127.0.0.1:0".parse().expect("an address");
    bind(ALPN, &secret(seed), at, None, &Relay::None).await.expect("loopback can be bound")
}

/// A client that says hello as it should; what it does then is up to the test.
struct Rogue {
    endpoint: Endpoint,
    connection: Connection,
    send: SendStream,
    /// Kept open: the other end's messages.
    recv: RecvStream,
}

impl Rogue {
    async fn join(seed: u8, victim: &Peer) -> Self {
        let endpoint = loopback(seed).await;
        Self::join_from(endpoint, seed, victim).await
    }

    async fn join_from(endpoint: Endpoint, seed: u8, victim: &Peer) -> Self {
        let connection = connect(&endpoint, victim).await;
        let mut send = connection.open_uni().await.expect("a stream");
        send.write_all(&hello(&endpoint, seed, RUN).encode()).await.expect("hello is taken");
        let mut recv = connection.accept_uni().await.expect("a stream");
        let greeted = Frame::read(&mut recv).await.expect("a frame");
        assert!(matches!(greeted, Frame::Hello(_)));
        Self { endpoint, connection, send, recv }
    }

    /// The application code with which the other end closes.
    async fn closed_with(&self) -> u64 {
        close_code(&self.connection).await
    }
}

fn hello(endpoint: &Endpoint, seed: u8, run: &[u8]) -> Frame {
    let at = PeerAddr::from_endpoint(&endpoint.addr());
    let at = AddrRecord::sign(at, 1, &secret(seed));
    Frame::Hello(Box::new(Hello { run: Hash::of(run), instance: u64::from(seed), at, now: None }))
}

async fn connect(endpoint: &Endpoint, victim: &Peer) -> Connection {
    let at = victim.at().to_endpoint().expect("its key is a key");
    endpoint.connect(at, ALPN).await.expect("connected")
}

async fn close_code(connection: &Connection) -> u64 {
    use iroh::endpoint::ConnectionError;
    match timeout(PATIENCE, connection.closed()).await.expect("the connection is closed") {
        ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
        other => panic!("closed otherwise: {other}"),
    }
}
