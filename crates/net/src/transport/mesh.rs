//! Connections to every other peer of the run: one each, made again when lost.

use crate::transport::{
    address::{AddrRecord, PeerAddr, peer_id},
    book::{Book, Dial, Heard, Saved, Whom},
    clocks::{Told, wall_ms},
    limit::{Origin, Quota, SharedQuotas},
    objects::Answers,
    outbox::Outbox,
    traffic::{Counters, TrafficTable, add},
    wire::{Frame, FrameError, Hello, MAX_RECORDS, message_frame},
};
use ids::{Hash, PeerId, Plain};
use iroh::{
    Endpoint, SecretKey,
    endpoint::{Connection, Incoming, IncomingAddr, RecvStream, SendStream, VarInt},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};

/// The most peers connected at a time.
pub(crate) const MAX_LINKS: usize = 64;
/// The most connections that have not said hello yet; past half of it, callers must first prove
/// that they own their address.
const MAX_GREETING: usize = 32;
/// Of these, so many may come from one address, and so many are kept for addresses of members.
const MAX_GREETING_ORIGIN: usize = 16;
const KEPT_FOR_MEMBERS: usize = 8;
/// The most strangers, past which only those are let in whose address has fewer than
/// [`MAX_STRANGERS_ORIGIN`] connected; members take a stranger's place at any time.
const MANY_STRANGERS: usize = MAX_LINKS / 2;
const MAX_STRANGERS_ORIGIN: usize = 8;
const MAX_DIALLING: usize = 8;
/// A peer that takes no byte for so long is cut off.
const WRITE_TIME: Duration = Duration::from_secs(60);
const DIAL_INTERVAL: Duration = Duration::from_millis(100);
const ADDRESS_INTERVAL: Duration = Duration::from_secs(5);

/// A peer that sent so many messages beyond its rate is cut off for [`BAN`].
const MAX_EXCESS: u64 = 5_000;
const BAN: Duration = Duration::from_secs(60);
const MAX_BANS: usize = 256;
/// Bytes of one peer's messages that wait to be handled; each counts as at least 4 KiB.
const INBOX: u32 = 1 << 20;

/// Application close codes.
mod close {
    pub const BYE: u32 = 0;
    pub const NOT_THIS_RUN: u32 = 1;
    pub const REPLACED: u32 = 2;
    pub const PROTOCOL: u32 = 3;
    pub const FULL: u32 = 4;
    pub const FLOOD: u32 = 5;
}

/// What the mesh tells the driver.
#[derive(Debug)]
pub(crate) enum MeshEvent {
    Up(PeerId),
    /// Told late at times: whether the peer is linked again by now, [`Mesh::connection`] knows.
    Down(PeerId),
    /// A new life of a linked peer took the place of the former.
    Restarted(PeerId),
    /// A message; dropping `hold` lets the peer send more.
    Message {
        from: PeerId,
        bytes: Vec<u8>,
        hold: OwnedSemaphorePermit,
    },
}

/// What the mesh tells, in order; strangers' messages only when there is nothing else, so that a
/// crowd of them delays nobody's vote.
#[derive(Debug)]
pub(crate) struct Events {
    first: mpsc::Receiver<MeshEvent>,
    strangers: mpsc::Receiver<MeshEvent>,
}

impl Events {
    /// The next one; `None` once the mesh is gone.
    pub async fn recv(&mut self) -> Option<MeshEvent> {
        tokio::select! {
            biased;
            Some(event) = self.first.recv() => Some(event),
            Some(event) = self.strangers.recv() => Some(event),
            else => None,
        }
    }

    /// The next one that is there already.
    pub fn try_recv(&mut self) -> Option<MeshEvent> {
        self.first.try_recv().or_else(|_| self.strangers.try_recv()).ok()
    }
}

/// All links of one endpoint.
#[derive(Debug)]
pub(crate) struct Mesh {
    alpn: &'static [u8],
    endpoint: Endpoint,
    key: SecretKey,
    me: PeerId,
    run: Hash,
    instance: u64,
    /// Addresses this node cannot see itself, such as a forwarded port.
    external: Vec<SocketAddr>,
    state: Mutex<State>,
    events: mpsc::Sender<MeshEvent>,
    strangers: mpsc::Sender<MeshEvent>,
    traffic: Arc<TrafficTable>,
    server: Arc<dyn Answers>,
    greeting: Arc<Semaphore>,
    greeting_time: Duration,
    dial_now: Notify,
}

/// How long a connection may take to be made and to say hello.
pub(crate) const GREETING_TIME: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct State {
    links: BTreeMap<PeerId, Arc<Link>>,
    book: Book,
    record: AddrRecord,
    bans: BTreeMap<PeerId, Instant>,
    /// Connections that have not said hello, by where they come from.
    greeting: BTreeMap<Origin, usize>,
    quotas: SharedQuotas,
}

#[derive(Debug)]
struct Link {
    peer: PeerId,
    connection: Connection,
    /// Whether we made the connection.
    dialled: bool,
    /// Where it came from; `None` if we made it.
    origin: Option<Origin>,
    instance: u64,
    clock: Option<Told>,
    outbox: Outbox,
    inbox: Arc<Semaphore>,
    counters: Arc<Counters>,
}

/// A caller's place until it has said hello.
struct Greeting {
    mesh: Arc<Mesh>,
    origin: Origin,
    _slot: OwnedSemaphorePermit,
}

impl Drop for Greeting {
    fn drop(&mut self) {
        let mut state = self.mesh.state();
        if let Some(count) = state.greeting.get_mut(&self.origin) {
            *count -= 1;
            if *count == 0 {
                state.greeting.remove(&self.origin);
            }
        }
    }
}

/// What became of a new link.
#[derive(Debug, PartialEq, Eq)]
enum Admission {
    /// The first one to this peer; `restarted`: a former life of the peer was still linked.
    New {
        restarted: bool,
    },
    /// It took the place of another to the same peer.
    InPlace,
    /// The other one stays.
    Duplicate,
    Full,
}

impl Mesh {
    pub fn new(
        alpn: &'static [u8],
        endpoint: Endpoint,
        key: SecretKey,
        run: Hash,
        external: Vec<SocketAddr>,
        server: Arc<dyn Answers>,
        traffic: Arc<TrafficTable>,
        greeting_time: Duration,
    ) -> (Arc<Self>, Events) {
        let (events, first) = mpsc::channel(1024);
        let (strangers, theirs) = mpsc::channel(64);
        let me = peer_id(key.public());
        let record = AddrRecord::sign(own_address(&endpoint, &external), wall_ms(), &key);
        let state = State {
            links: BTreeMap::new(),
            book: Book::new(me),
            record,
            bans: BTreeMap::new(),
            greeting: BTreeMap::new(),
            quotas: SharedQuotas::default(),
        };
        let mesh = Self {
            alpn,
            instance: instance(me),
            endpoint,
            key,
            me,
            run,
            external,
            state: Mutex::new(state),
            events,
            strangers,
            traffic,
            server,
            greeting: Arc::new(Semaphore::new(MAX_GREETING)),
            greeting_time,
            dial_now: Notify::new(),
        };
        (Arc::new(mesh), Events { first, strangers: theirs })
    }

    /// Keeps accepting, dialling and announcing until the endpoint closes.
    pub async fn run(self: Arc<Self>) {
        tokio::join!(self.accept_loop(), self.dial_loop(), self.announce_loop());
    }

    /// Adds addresses to try.
    pub fn hint(&self, addresses: impl IntoIterator<Item = PeerAddr>) {
        let now = Instant::now();
        let mut state = self.state();
        addresses.into_iter().for_each(|at| state.book.hint(at, now));
        drop(state);
        self.dial_now.notify_one();
    }

    /// Names the run's members: they are dialled first and keep their place when it gets full.
    pub fn set_members(&self, members: BTreeSet<PeerId>) {
        self.state().book.set_members(members);
    }

    /// Queues a message for one peer; a peer that is not linked does not get it.
    pub fn send(&self, to: PeerId, bytes: &[u8]) {
        if let Some(link) = self.link(to) {
            link.push(message_frame(bytes).into());
        }
    }

    /// Queues a message for every linked peer.
    pub fn broadcast(&self, bytes: &[u8]) {
        self.push_all(message_frame(bytes).into(), None);
    }

    /// Cuts a peer off for [`BAN`].
    pub fn disconnect(&self, peer: PeerId, why: &str) {
        tracing::info!("disconnecting {}: {}", peer.short(), Plain(why));
        let code = self.ban(peer);
        if let Some(link) = self.link(peer) {
            link.close(code);
        }
    }

    /// The live connection to `peer`.
    pub fn connection(&self, peer: PeerId) -> Option<Connection> {
        self.link(peer).map(|link| link.connection.clone())
    }

    /// Everybody linked at the moment, in the order of their keys.
    pub fn linked(&self) -> Vec<PeerId> {
        self.state().links.keys().copied().collect()
    }

    /// By how many milliseconds this machine's clock is ahead of each linked peer's.
    pub fn clocks(&self) -> Vec<(PeerId, i64)> {
        let (own, now) = (wall_ms(), Instant::now());
        let state = self.state();
        let ahead = |link: &Arc<Link>| Some((link.peer, link.clock?.ahead_ms(own, now)));
        state.links.values().filter_map(ahead).collect()
    }

    /// Where this endpoint says it can be reached.
    pub fn own_address(&self) -> PeerAddr {
        own_address(&self.endpoint, &self.external)
    }

    /// Other peers' addresses, the most useful first.
    pub fn known(&self, most: usize) -> Vec<PeerAddr> {
        self.state().book.best(most)
    }

    /// What to keep on disk for the next start.
    pub fn to_save(&self) -> Saved {
        let bound = self.endpoint.bound_sockets().first().copied();
        Saved::of(&self.state().book, bound)
    }

    /// Says goodbye to everybody and closes the endpoint, within `most`.
    pub async fn close(&self, most: Duration) {
        for link in self.state().links.values() {
            link.connection.close(VarInt::from_u32(close::BYE), b"bye");
        }
        if timeout(most, self.endpoint.close()).await.is_err() {
            tracing::debug!("the endpoint took longer than {most:?} to close");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    fn link(&self, peer: PeerId) -> Option<Arc<Link>> {
        self.state().links.get(&peer).cloned()
    }

    fn push_all(&self, frame: Arc<[u8]>, except: Option<PeerId>) {
        let state = self.state();
        for link in state.links.values().filter(|link| Some(link.peer) != except) {
            link.push(frame.clone());
        }
    }

    async fn accept_loop(self: &Arc<Self>) {
        while let Some(incoming) = self.endpoint.accept().await {
            let Ok(slot) = self.greeting.clone().try_acquire_owned() else {
                incoming.refuse();
                continue;
            };
            let origin = Origin::of(&incoming.remote_addr());
            if !self.may_greet(&incoming, &origin) {
                incoming.refuse();
                continue;
            }
            let crowded = self.greeting.available_permits() < MAX_GREETING / 2;
            if crowded && !incoming.remote_addr_validated() {
                // A forged sender address never answers this, and it costs us no state.
                let _ = incoming.retry();
                continue;
            }
            *self.state().greeting.entry(origin.clone()).or_default() += 1;
            let greeting = Greeting { mesh: self.clone(), origin, _slot: slot };
            tokio::spawn(self.clone().accept(incoming, greeting));
        }
    }

    /// Whether a caller may have one of the places for those who have not said hello: not more
    /// than one address may have, and the last ones only where a member is known to be.
    fn may_greet(&self, incoming: &Incoming, origin: &Origin) -> bool {
        let state = self.state();
        let here = state.greeting.get(origin).copied().unwrap_or(0);
        let member = match incoming.remote_addr() {
            IncomingAddr::Ip(addr) => state.book.is_member_at(addr),
            _ => false,
        };
        let kept = self.greeting.available_permits() < KEPT_FOR_MEMBERS;
        member || here < MAX_GREETING_ORIGIN && !kept
    }

    async fn accept(self: Arc<Self>, incoming: Incoming, greeting: Greeting) {
        match timeout(self.greeting_time, incoming).await {
            Ok(Ok(connection)) => {
                let origin = Some(greeting.origin.clone());
                self.converse(connection, origin, greeting).await;
            }
            Ok(Err(e)) => tracing::debug!("an incoming connection failed: {}", Plain(e)),
            Err(_) => tracing::debug!("an incoming connection took too long"),
        }
    }

    async fn dial_loop(self: &Arc<Self>) {
        let slots = Arc::new(Semaphore::new(MAX_DIALLING));
        while !self.endpoint.is_closed() {
            let due = {
                let mut state = self.state();
                let State { links, book, .. } = &mut *state;
                let strangers = links.len() < MANY_STRANGERS;
                let whom = if strangers { Whom::Everybody } else { Whom::Members };
                // A member takes a stranger's place, but no other member's.
                let members = links.keys().filter(|peer| book.is_member(**peer)).count();
                let room = slots.available_permits().min(MAX_LINKS.saturating_sub(members));
                book.due(|peer| links.contains_key(&peer), whom, room, Instant::now())
            };
            for at in due {
                let slot = slots.clone().acquire_owned().await.expect("never closed");
                tokio::spawn(self.clone().dial(at, slot));
            }
            let _ = timeout(DIAL_INTERVAL, self.dial_now.notified()).await;
        }
    }

    async fn dial(self: Arc<Self>, at: PeerAddr, slot: OwnedSemaphorePermit) {
        let connected = match at.to_endpoint() {
            Some(endpoint) => {
                timeout(self.greeting_time, self.endpoint.connect(endpoint, self.alpn)).await.ok()
            }
            None => None,
        };
        let connected = connected.and_then(|r| {
            r.inspect_err(|e| tracing::debug!("dialling {}: {}", at.peer.short(), Plain(e))).ok()
        });
        let dial = if connected.is_some() { Dial::Connected } else { Dial::Failed };
        self.state().book.dialled(at.peer, dial, Instant::now());
        if let Some(connection) = connected {
            self.converse(connection, None, slot).await;
        }
    }

    /// Own addresses change (a laptop moves): sign the new one and tell everybody.
    async fn announce_loop(self: &Arc<Self>) {
        while !self.endpoint.is_closed() {
            tokio::time::sleep(ADDRESS_INTERVAL).await;
            let at = self.own_address();
            let mut state = self.state();
            if state.record.at == at {
                continue;
            }
            state.record = AddrRecord::sign(at, wall_ms(), &self.key);
            let frame = Frame::Addresses(vec![state.record.clone()]).encode();
            drop(state);
            self.push_all(frame.into(), None);
        }
    }

    /// Greets the peer at the other end and, if it may stay, talks to it until either leaves.
    async fn converse(
        self: &Arc<Self>,
        connection: Connection,
        origin: Option<Origin>,
        greeting: impl Send,
    ) {
        let greeted = timeout(self.greeting_time, self.greet(&connection)).await;
        drop(greeting);
        let (hello, send, recv) = match greeted {
            Ok(Ok(greeted)) => greeted,
            Ok(Err(code)) => return connection.close(VarInt::from_u32(code), b"greeting"),
            Err(_) => return connection.close(VarInt::from_u32(close::PROTOCOL), b"too slow"),
        };
        let peer = peer_id(connection.remote_id());
        let link = Arc::new(Link {
            peer,
            connection,
            dialled: origin.is_none(),
            origin,
            instance: hello.instance,
            clock: hello.now.map(Told::now),
            outbox: Outbox::default(),
            inbox: Arc::new(Semaphore::new(INBOX as usize)),
            counters: self.traffic.of(peer),
        });
        let admission = self.admit(&link);
        match admission {
            Admission::Full => return link.close(close::FULL),
            Admission::Duplicate => return link.close(close::REPLACED),
            Admission::InPlace => {}
            Admission::New { restarted: true } => self.tell(MeshEvent::Restarted(peer)).await,
            Admission::New { restarted: false } => self.tell(MeshEvent::Up(peer)).await,
        }
        self.learn(vec![hello.at], Some(peer));
        link.push(Frame::Addresses(self.state().book.records(MAX_RECORDS)).encode().into());
        let code = self.serve_link(&link, send, recv).await;
        link.close(code);
        if self.remove(&link) {
            self.tell(MeshEvent::Down(peer)).await;
        }
    }

    /// Exchanges hellos; the error is a close code.
    async fn greet(&self, connection: &Connection) -> Result<(Hello, SendStream, RecvStream), u32> {
        let broken = |_| close::PROTOCOL;
        let peer = peer_id(connection.remote_id());
        if peer == self.me || self.is_banned(peer) {
            return Err(close::FLOOD);
        }
        let mut send = connection.open_uni().await.map_err(broken)?;
        // Messages go before the bytes of objects.
        let _ = send.set_priority(10);
        let at = self.state().record.clone();
        let hello = Frame::Hello(Box::new(Hello {
            run: self.run,
            instance: self.instance,
            at,
            now: Some(wall_ms()),
        }));
        send.write_all(&hello.encode()).await.map_err(|_| close::PROTOCOL)?;
        let mut recv = connection.accept_uni().await.map_err(broken)?;
        match Frame::read(&mut recv).await {
            Ok(Frame::Hello(hello)) if hello.run != self.run => Err(close::NOT_THIS_RUN),
            Ok(Frame::Hello(hello)) if hello.at.at.peer == peer && hello.at.is_valid() => {
                Ok((*hello, send, recv))
            }
            _ => Err(close::PROTOCOL),
        }
    }

    fn is_banned(&self, peer: PeerId) -> bool {
        let mut state = self.state();
        let now = Instant::now();
        state.bans.retain(|_, until| *until > now);
        state.bans.contains_key(&peer)
    }

    /// Decides which of two connections to one peer stays. Both sides decide alike: a restarted
    /// peer's new connection; else of two made by the same side the later, of two made by
    /// different sides the one made by the peer with the lower key.
    /// Members have their place; strangers share what is left, and once they are many, by
    /// where they come from.
    fn admit(&self, link: &Arc<Link>) -> Admission {
        let mut state = self.state();
        let is_member = |peer: &PeerId| state.book.is_member(*peer);
        let strangers = || state.links.values().filter(|l| !is_member(&l.peer));
        let many = strangers().count() >= MANY_STRANGERS
            && strangers().filter(|l| l.origin == link.origin).count() >= MAX_STRANGERS_ORIGIN;
        let admission = match state.links.get(&link.peer) {
            Some(old) if old.connection.close_reason().is_some() => Admission::InPlace,
            Some(old) if old.instance != link.instance => Admission::New { restarted: true },
            Some(old) if old.dialled == link.dialled => Admission::InPlace,
            Some(_) if link.dialled == (self.me < link.peer) => Admission::InPlace,
            Some(_) => return Admission::Duplicate,
            None if many && !is_member(&link.peer) => return Admission::Full,
            None if state.links.len() < MAX_LINKS => Admission::New { restarted: false },
            None if !is_member(&link.peer) => return Admission::Full,
            None => {
                // Of the address that most strangers come from.
                let together = |l: &Link| strangers().filter(|o| o.origin == l.origin).count();
                let stranger = strangers().max_by_key(|l| together(l)).map(|l| l.peer);
                let Some(stranger) = stranger else { return Admission::Full };
                // Its own task notices the closed connection and removes it.
                state.links[&stranger].close(close::FULL);
                Admission::New { restarted: false }
            }
        };
        if let Some(old) = state.links.insert(link.peer, link.clone()) {
            old.close(close::REPLACED);
        }
        admission
    }

    /// Whether `link` was still the one to its peer.
    fn remove(&self, link: &Arc<Link>) -> bool {
        let mut state = self.state();
        let current = state.links.get(&link.peer).is_some_and(|now| Arc::ptr_eq(now, link));
        if current {
            state.links.remove(&link.peer);
            state.book.lost(link.peer, Instant::now());
        }
        current
    }

    async fn serve_link(&self, link: &Arc<Link>, send: SendStream, recv: RecvStream) -> u32 {
        tokio::select! {
            code = self.read_loop(link, recv) => code,
            () = write_loop(link, send) => close::BYE,
            () = self.server.clone().serve(&link.connection, &link.counters) => close::BYE,
            _ = link.connection.closed() => close::BYE,
        }
    }

    async fn read_loop(&self, link: &Arc<Link>, mut recv: RecvStream) -> u32 {
        let start = Instant::now();
        let mut quota = Quota::of_a_peer(start);
        let mut few = Quota::of_a_stranger(start);
        let shared = link.origin.as_ref().map(|o| self.state().quotas.of(o, start));
        let mut excess = 0;
        loop {
            let frame = match Frame::read(&mut recv).await {
                Ok(frame) => frame,
                Err(FrameError::Ended) => return close::BYE,
                Err(e) => {
                    tracing::warn!("peer {} broke the protocol: {}", link.peer.short(), Plain(e));
                    return close::PROTOCOL;
                }
            };
            let len = match &frame {
                Frame::Message(bytes) => bytes.len() + 5,
                Frame::Addresses(records) => 8 + 200 * records.len(),
                Frame::Hello(_) => return close::PROTOCOL,
            };
            add(&link.counters.messages_in, len);
            let now = Instant::now();
            let within = |shared: &Arc<Mutex<Quota>>| {
                shared.lock().expect("no holder of this lock panics").take(len, now)
            };
            let allowed = match self.is_stranger(link.peer) {
                true => few.take(len, now) && shared.as_ref().is_none_or(within),
                false => quota.take(len, now),
            };
            if !allowed {
                add(&link.counters.dropped_in, 1);
                excess += 1;
                if excess > MAX_EXCESS {
                    tracing::warn!("peer {} floods us: cut off for {BAN:?}", link.peer.short());
                    return self.ban(link.peer);
                }
                continue;
            }
            match frame {
                Frame::Message(bytes) => self.deliver(link, bytes).await,
                Frame::Addresses(records) => self.learn(records, Some(link.peer)),
                Frame::Hello(_) => return close::PROTOCOL,
            }
        }
    }

    fn ban(&self, peer: PeerId) -> u32 {
        let mut state = self.state();
        if state.bans.len() < MAX_BANS {
            state.bans.insert(peer, Instant::now() + BAN);
        }
        close::FLOOD
    }

    async fn deliver(&self, link: &Link, bytes: Vec<u8>) {
        let cost = (bytes.len() as u32).max(4 << 10);
        let hold = link.inbox.clone().acquire_many_owned(cost).await.expect("never closed");
        let message = MeshEvent::Message { from: link.peer, bytes, hold };
        // Without a driver the node is on its way out.
        let _ = match self.is_stranger(link.peer) {
            true => self.strangers.send(message).await,
            false => self.events.send(message).await,
        };
    }

    /// Whether there are members, and this peer is none of them.
    fn is_stranger(&self, peer: PeerId) -> bool {
        let state = self.state();
        state.book.has_members() && !state.book.is_member(peer)
    }

    async fn tell(&self, event: MeshEvent) {
        // Without a driver the node is on its way out.
        let _ = self.events.send(event).await;
    }

    /// Takes signed addresses and passes on those that are news.
    fn learn(&self, records: Vec<AddrRecord>, from: Option<PeerId>) {
        let valid: Vec<_> = records.into_iter().filter(AddrRecord::is_valid).collect();
        let now = Instant::now();
        let mut state = self.state();
        let news: Vec<_> = valid
            .into_iter()
            .filter(|record| {
                let itself = from == Some(record.at.peer);
                let heard = if itself { Heard::FromItself } else { Heard::FromOthers };
                state.book.learn(record.clone(), heard, now)
            })
            .collect();
        drop(state);
        if !news.is_empty() {
            self.push_all(Frame::Addresses(news).encode().into(), from);
            self.dial_now.notify_one();
        }
    }
}

impl Link {
    fn push(&self, frame: Arc<[u8]>) {
        add(&self.counters.dropped_out, self.outbox.push(frame));
    }

    fn close(&self, code: u32) {
        self.connection.close(VarInt::from_u32(code), b"");
    }
}

async fn write_loop(link: &Link, mut send: SendStream) {
    loop {
        let frame = link.outbox.next().await;
        match timeout(WRITE_TIME, send.write_all(&frame)).await {
            Ok(Ok(())) => add(&link.counters.messages_out, frame.len()),
            _ => return,
        }
    }
}

fn own_address(endpoint: &Endpoint, external: &[SocketAddr]) -> PeerAddr {
    let mut at = PeerAddr::from_endpoint(&endpoint.addr());
    for addr in external.iter().rev() {
        at.addrs.retain(|known| known != addr);
        at.addrs.insert(0, *addr);
    }
    at.addrs.truncate(crate::transport::address::MAX_ADDRS);
    at
}

/// A number that no earlier start of this node drew.
fn instance(me: PeerId) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let pid = std::process::id();
    let draw =
        Hash::of_parts("understory net instance", &[&me.0, &now.to_le_bytes(), &pid.to_le_bytes()]);
    u64::from_le_bytes(draw.0[..8].try_into().expect("eight bytes were sliced"))
}
