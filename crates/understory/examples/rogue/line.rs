//! An attacker's own line to the peers of a run: it speaks the network's bytes as
//! `crates/net/src/transport/wire.rs` has them, and is bound by none of its rules.

use anyhow::{Context, Result, ensure};
use ids::{Hash, ObjectRef, PeerId};
use iroh::{
    Endpoint, EndpointAddr, PublicKey, RelayMode, SecretKey,
    endpoint::{
        Connection, PortmapperConfig, QuicTransportConfig, RecvStream, SendStream, VarInt, presets,
    },
};
use minicbor::bytes::ByteArray;
use net::{PeerAddr, swarm::Ticket};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use store::Store;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

const HELLO: u8 = 0;
const MESSAGE: u8 = 1;
const ADDRESSES: u8 = 2;
/// The most bytes of a frame that are read.
const MAX_FRAME: usize = (256 << 10) + 1;
/// How long a connection may take to be made.
const GREETING: Duration = Duration::from_secs(5);
/// How long a lost peer is left alone.
const AGAIN: Duration = Duration::from_secs(1);

/// What a peer signs of where it is: `[address, time, signature]`.
type Place = (PeerAddr, u64, ByteArray<64>);

/// What comes over the line.
#[derive(Debug)]
pub enum Heard {
    /// A peer is there.
    Up(PeerId),
    /// A peer is there no more.
    Down(PeerId),
    /// A peer said something.
    Message(PeerId, Vec<u8>),
}

/// How a request for an object is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serve {
    /// As it should be.
    Honestly,
    /// A byte now and then, for ever.
    Dripping,
}

/// Decides how the request of a peer for an object is answered.
pub type Serving = dyn Fn(PeerId, ObjectRef) -> Serve + Send + Sync;

/// A connection.
struct Link {
    connection: Connection,
    out: mpsc::UnboundedSender<Vec<u8>>,
}

/// Lines from one key to everybody that it has heard of.
pub struct Line {
    endpoint: Endpoint,
    key: SecretKey,
    run: Hash,
    store: Option<Store>,
    serving: Box<Serving>,
    links: Mutex<BTreeMap<PeerId, Link>>,
    known: Mutex<BTreeMap<PeerId, PeerAddr>>,
    dialling: Mutex<BTreeSet<PeerId>>,
    heard: mpsc::UnboundedSender<Heard>,
}

impl Line {
    /// A line of the key `seed`, bound at `at`. Without a store it serves nothing.
    pub async fn new(
        seed: [u8; 32],
        at: SocketAddr,
        ticket: &Ticket,
        store: Option<Store>,
        serving: Box<Serving>,
    ) -> Result<(Arc<Self>, mpsc::UnboundedReceiver<Heard>)> {
        let key = SecretKey::from_bytes(&seed);
        let transport = QuicTransportConfig::builder()
            .max_concurrent_uni_streams(VarInt::from_u32(1))
            .keep_alive_interval(Duration::from_secs(3))
            .build();
        let endpoint = Endpoint::builder(presets::Minimal)
            .relay_mode(RelayMode::Disabled)
            .portmapper_config(PortmapperConfig::Disabled)
            .secret_key(key.clone())
            .transport_config(transport)
            .clear_ip_transports()
            .bind_addr(at)?
            .bind()
            .await
            .with_context(|| format!("binding {at}"))?;
        let (heard, hears) = mpsc::unbounded_channel();
        let known = ticket.peers.iter().map(|at| (at.peer, at.clone())).collect();
        let line = Arc::new(Self {
            endpoint,
            key,
            run: ticket.run,
            store,
            serving,
            links: Mutex::default(),
            known: Mutex::new(known),
            dialling: Mutex::default(),
            heard,
        });
        tokio::spawn(line.clone().dial());
        Ok((line, hears))
    }

    /// Says something to one peer.
    pub fn send(&self, to: PeerId, message: &[u8]) {
        if let Some(link) = lock(&self.links).get(&to) {
            let _ = link.out.send(frame(MESSAGE, message));
        }
    }

    /// Says something to everybody.
    pub fn broadcast(&self, message: &[u8]) {
        for link in lock(&self.links).values() {
            let _ = link.out.send(frame(MESSAGE, message));
        }
    }

    /// Who is there.
    pub fn linked(&self) -> Vec<PeerId> {
        lock(&self.links).keys().copied().collect()
    }

    /// Hangs up on everybody; who is known is called again.
    pub fn hang_up(&self) {
        for link in lock(&self.links).values() {
            link.connection.close(VarInt::from_u32(0), b"bye");
        }
    }

    /// Asks for an object's bytes and leaves the answer unread but for a byte now and then.
    pub async fn read_slowly(&self, from: PeerId, object: ObjectRef, pause: Duration) {
        let Ok(mut answer) = self.ask(from, object).await else { return };
        let mut byte = [0];
        while let Ok(Some(_)) = answer.read(&mut byte).await {
            sleep(pause).await;
        }
    }

    /// Gets an object from `first` or from anybody else, and keeps it.
    pub async fn fetch(&self, first: &[PeerId], object: ObjectRef) -> Result<Vec<u8>> {
        let store = self.store.as_ref().context("no store")?;
        if let Ok(bytes) = store.get(&object.hash) {
            ensure!(bytes.len() as u64 == object.len, "{} has another length", object.hash);
            return Ok(bytes);
        }
        let mut from = first.to_vec();
        from.extend(self.linked().iter().filter(|peer| !first.contains(peer)));
        for peer in from {
            let Ok(Ok(mut answer)) = timeout(GREETING, self.ask(peer, object)).await else {
                continue;
            };
            let bytes = timeout(GREETING, answer.read_to_end(object.len as usize)).await;
            let Ok(Ok(bytes)) = bytes else { continue };
            if Hash::of(&bytes) == object.hash {
                store.put_relaxed(&bytes)?;
                return Ok(bytes);
            }
        }
        anyhow::bail!("nobody has {}", object.hash)
    }

    /// The stream of an answer, behind its status.
    async fn ask(&self, peer: PeerId, object: ObjectRef) -> Result<RecvStream> {
        let connection = lock(&self.links).get(&peer).map(|link| link.connection.clone());
        let (mut send, mut recv) = connection.context("not linked")?.open_bi().await?;
        let request = [&object.hash.0[..], &object.len.to_le_bytes(), &[0; 8]].concat();
        send.write_all(&request).await?;
        send.finish()?;
        let mut status = [0];
        recv.read_exact(&mut status).await?;
        ensure!(status == [0], "not here");
        Ok(recv)
    }

    async fn dial(self: Arc<Self>) {
        loop {
            let me = PeerId(*self.key.public().as_bytes());
            let known: Vec<PeerAddr> = lock(&self.known).values().cloned().collect();
            for at in known {
                let linked = lock(&self.links).contains_key(&at.peer);
                if at.peer != me && !linked && lock(&self.dialling).insert(at.peer) {
                    tokio::spawn(self.clone().call(at));
                }
            }
            sleep(AGAIN / 4).await;
        }
    }

    async fn call(self: Arc<Self>, at: PeerAddr) {
        let peer = at.peer;
        // Whatever ended it, another call follows.
        let _ = self.clone().talk(at).await;
        sleep(AGAIN).await;
        lock(&self.dialling).remove(&peer);
    }

    /// Calls a peer and talks to it until either hangs up.
    async fn talk(self: Arc<Self>, at: PeerAddr) -> Result<()> {
        let mut to = EndpointAddr::new(PublicKey::from_bytes(&at.peer.0)?);
        for addr in at.addrs {
            to = to.with_ip_addr(addr);
        }
        let connection = timeout(GREETING, self.endpoint.connect(to, net::ALPN)).await??;
        let mut send = connection.open_uni().await?;
        send.write_all(&frame(HELLO, &self.hello())).await?;
        let mut recv = timeout(GREETING, connection.accept_uni()).await??;
        let (kind, hello) = timeout(GREETING, read_frame(&mut recv)).await??;
        ensure!(kind == HELLO, "no hello");
        // What follows the place is of no use here.
        let mut hello = minicbor::Decoder::new(&hello);
        hello.array()?;
        let (_, _, place): (Hash, u64, Place) = (hello.decode()?, hello.decode()?, hello.decode()?);
        self.learn([place]);
        let (out, outbox) = mpsc::unbounded_channel();
        let peer = at.peer;
        lock(&self.links).insert(peer, Link { connection: connection.clone(), out });
        let _ = self.heard.send(Heard::Up(peer));
        let ended = tokio::select! {
            ended = write(send, outbox) => ended,
            ended = self.read(peer, recv) => ended,
            ended = self.serve(peer, &connection) => ended,
        };
        lock(&self.links).remove(&peer);
        let _ = self.heard.send(Heard::Down(peer));
        ended
    }

    /// Who calls, for which run, and no address to be called back at.
    fn hello(&self) -> Vec<u8> {
        let at = PeerAddr {
            peer: PeerId(*self.key.public().as_bytes()),
            addrs: Vec::new(),
            relay: None,
        };
        let body = cbor(&(&at, 1u64));
        let signed = [b"understory address record v1".as_slice(), &body].concat();
        let signature = ByteArray::from(self.key.sign(&signed).to_bytes());
        cbor(&(self.run, u64::from(std::process::id()), (at, 1u64, signature)))
    }

    fn learn(&self, places: impl IntoIterator<Item = Place>) {
        let mut known = lock(&self.known);
        for (at, ..) in places {
            if !at.addrs.is_empty() {
                known.insert(at.peer, at);
            }
        }
    }

    async fn read(&self, peer: PeerId, mut recv: RecvStream) -> Result<()> {
        loop {
            match read_frame(&mut recv).await? {
                (MESSAGE, body) => {
                    let _ = self.heard.send(Heard::Message(peer, body));
                }
                (ADDRESSES, body) => {
                    let places: Vec<Place> = minicbor::decode(&body)?;
                    self.learn(places);
                }
                (kind, _) => anyhow::bail!("a frame of kind {kind}"),
            }
        }
    }

    async fn serve(self: &Arc<Self>, peer: PeerId, connection: &Connection) -> Result<()> {
        loop {
            let (send, recv) = connection.accept_bi().await?;
            tokio::spawn(self.clone().answer(peer, send, recv));
        }
    }

    async fn answer(
        self: Arc<Self>,
        peer: PeerId,
        mut send: SendStream,
        mut recv: RecvStream,
    ) -> Result<()> {
        let mut request = [0; 48];
        recv.read_exact(&mut request).await?;
        let word = |at: usize| u64::from_le_bytes(request[at..at + 8].try_into().expect("8 bytes"));
        let object = ObjectRef { hash: Hash(request[..32].try_into()?), len: word(32) };
        let from = (word(40) as usize).min(object.len as usize);
        let serve = (self.serving)(peer, object);
        let bytes = self.store.as_ref().and_then(|store| store.get(&object.hash).ok());
        match (serve, bytes) {
            (Serve::Dripping, bytes) => drip(send, bytes.as_deref().unwrap_or(&[7]), from).await,
            (Serve::Honestly, Some(bytes)) if bytes.len() as u64 == object.len => {
                send.write_all(&[0]).await?;
                send.write_all(&bytes[from..]).await?;
                Ok(send.finish()?)
            }
            _ => {
                send.write_all(&[1]).await?;
                Ok(send.finish()?)
            }
        }
    }
}

/// Says that the object is here, and gives a byte every few seconds until nobody listens.
async fn drip(mut send: SendStream, bytes: &[u8], from: usize) -> Result<()> {
    send.write_all(&[0]).await?;
    for at in from.. {
        send.write_all(&[bytes[at % bytes.len()]]).await?;
        tokio::select! {
            _ = send.stopped() => break,
            () = sleep(Duration::from_secs(3)) => {}
        }
    }
    Ok(())
}

async fn write(mut send: SendStream, mut outbox: mpsc::UnboundedReceiver<Vec<u8>>) -> Result<()> {
    while let Some(frame) = outbox.recv().await {
        send.write_all(&frame).await?;
    }
    Ok(())
}

async fn read_frame(stream: &mut RecvStream) -> Result<(u8, Vec<u8>)> {
    let mut len = [0; 4];
    stream.read_exact(&mut len).await?;
    let len = u32::from_le_bytes(len) as usize;
    ensure!((1..=MAX_FRAME).contains(&len), "a frame of {len} bytes");
    let mut body = vec![0; len];
    stream.read_exact(&mut body).await?;
    let rest = body.split_off(1);
    Ok((body[0], rest))
}

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 1).to_le_bytes()[..], &[kind], body].concat()
}

fn cbor(value: &impl minicbor::Encode<()>) -> Vec<u8> {
    minicbor::to_vec(value).expect("writing to memory does not fail")
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}
