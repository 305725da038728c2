//! The service of one member: keeps its log in step with the others'.

use super::{
    client::AskError,
    intake::Intake,
    operate::Operating,
    pull::{Pulled, Puller},
    replica::{Replica, ReplicaError, Summary},
    server::Server,
    ticket::Ticket,
    wire::{ALPN, News, OBJECT, Request, WitnessName},
};
use crate::transport::{
    ClockDoubt, EndpointError, MAX_TICKET_PEERS, PeerAddr, Relay,
    book::Saved,
    clocks, endpoint,
    fetch::{FetchProgress, Fetcher, STALL},
    mesh::{Events, GREETING_TIME, Mesh, MeshEvent},
    traffic::{Traffic, TrafficTable},
};
use commons::{Home, HomeError};
use ids::{Hash, Identity, ObjectRef, PeerId};
use iroh::SecretKey;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{
    sync::{Notify, watch},
    task::{JoinHandle, JoinSet, spawn_blocking},
    time::interval,
};

/// Members asked at a time.
const MAX_PULLS: usize = 4;
/// A member is asked again no sooner, however often it says that there is news.
const ASK_AGAIN: Duration = Duration::from_millis(150);
/// After an answer that did not come.
const LATER: Duration = Duration::from_secs(2);
/// A member that shows heads of nobody in charge so often in a row is cut off, and one that is too
/// slow half as often.
const MAX_STRIKES: u32 = 8;
const SAVE_INTERVAL: Duration = Duration::from_secs(10);
const CLOSE_TIME: Duration = Duration::from_millis(1200);

/// How often a member does what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How often the operator gives what waits its place, and everybody looks whether a command
    /// changed the log.
    pub batch: Duration,
    /// The operator has witnesses vouch for the time no more often than this while statements come,
    pub mark: Duration,
    /// and no less often than this while none do.
    pub heartbeat: Duration,
    /// How often every linked member is asked, whatever it says.
    pub refresh: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            batch: Duration::from_millis(300),
            mark: Duration::from_secs(5),
            heartbeat: Duration::from_secs(600),
            refresh: Duration::from_secs(30),
        }
    }
}

/// What a member's service needs to start.
#[derive(Clone)]
pub struct Config {
    /// The folder of the commons (see [`Home`]); the file `peers` is added to it.
    pub home: PathBuf,
    /// The ed25519 secret of the endpoint.
    pub seed: [u8; 32],
    /// Where to listen: `127.0.0.1:0` for this machine only, `0.0.0.0:0` for all its networks.
    /// With port 0 the port of the last start is taken again if it is free.
    pub bind: SocketAddr,
    /// Help for members that cannot reach each other directly.
    pub relay: Relay,
    /// Addresses to tell others besides those the machine has, such as a forwarded port.
    pub external: Vec<SocketAddr>,
    /// Members to connect to, such as those of a ticket.
    pub peers: Vec<PeerAddr>,
    /// The key to operate the log with, once and as long as it is the log's operator.
    pub operator: Option<Identity>,
    /// The key to cosign with whenever the members have named it as a witness's.
    pub witness: Option<Identity>,
    /// A member's key to say in the log that it has two histories, should it come to that.
    pub member: Option<Identity>,
    /// What is taken in from those who are no members, where this member operates the log.
    pub intake: Intake,
    /// How often.
    pub pace: Pace,
    /// The most bytes of one object that [`Handle::fetch`] brings.
    pub max_object: u64,
}

impl Config {
    /// A member on all networks of this machine, without relay, that neither operates nor witnesses.
    pub fn new(home: impl Into<PathBuf>, seed: [u8; 32]) -> Self {
        Self {
            home: home.into(),
            seed,
            bind: SocketAddr::from(([0, 0, 0, 0], 0)),
            relay: Relay::None,
            external: Vec::new(),
            peers: Vec::new(),
            operator: None,
            witness: None,
            member: None,
            intake: Intake::default(),
            pace: Pace::default(),
            max_object: crate::swarm::MAX_OBJECT,
        }
    }
}

/// Why a service did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// There is no commons in the folder, or it cannot be read.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The log.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The endpoint could not be made.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

impl ServiceError {
    /// What can be done about it, where that is known.
    pub fn todo(&self) -> Option<&'static str> {
        match self {
            Self::Home(error) => error.todo(),
            Self::Replica(error) => error.todo(),
            Self::Endpoint(_) => None,
        }
    }
}

/// Where a member stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The endpoint's key.
    pub me: PeerId,
    /// The commons.
    pub commons: Hash,
    /// Statements in the log here.
    pub size: u64,
    /// The size of the newest checkpoint here.
    pub covered: u64,
    /// Statements that wait for their place.
    pub waiting: usize,
    /// When the newest mark was, in Unix seconds.
    pub time: u64,
    /// Digest of the charter in force.
    pub charter: Hash,
    /// The log's operator.
    pub operator: PeerId,
    /// Whether that is this service.
    pub operating: bool,
    /// Linked members.
    pub linked: Vec<PeerId>,
    /// That this machine's clock is wrong, where most of at least three linked members say so.
    pub clock: Option<ClockDoubt>,
    /// Linked members that are witnesses, by the name that they give.
    pub witnesses: BTreeMap<PeerId, String>,
    /// Proofs of a second history in the log.
    pub splits: usize,
    /// What went wrong last: with the folder, or with witnesses.
    pub trouble: Option<String>,
}

/// What the parts of a service share.
pub(crate) struct Shared {
    pub replica: Arc<Replica>,
    pub server: Arc<Server>,
    pub mesh: Arc<Mesh>,
    /// Linked members that say they are witnesses.
    pub witnesses: Mutex<BTreeMap<PeerId, WitnessName>>,
    /// Rung when the log, what waits or what else the status tells has changed.
    pub changed: Arc<Notify>,
    pub trouble: Mutex<Option<String>>,
    /// Whether linked members were asked once since the start.
    pub asked: watch::Sender<bool>,
}

/// A running service. Dropping it without [`Handle::stop`] ends it as a crash would: at once, with
/// everything durable that it ever promised.
pub struct Handle {
    shared: Arc<Shared>,
    fetcher: Arc<Fetcher>,
    traffic: Arc<TrafficTable>,
    status: watch::Receiver<Status>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// Starts a member's service on the current tokio runtime and returns once it listens.
///
/// Errors: the commons cannot be read, or the endpoint not be made.
pub async fn start(config: Config) -> Result<Handle, ServiceError> {
    let (folder, intake) = (config.home.clone(), config.intake);
    let opened = spawn_blocking(move || -> Result<_, ServiceError> {
        let home = Home::open(&folder)?;
        let store = home.objects()?;
        Ok((Arc::new(Replica::with_intake(home, intake)?), store))
    });
    let (replica, store) = opened.await.expect("opening the commons does not panic")?;
    let summary = Shared::blocking(&replica, |replica| replica.summary()).await?;
    let changed = Arc::new(Notify::new());
    let server = Server::new(
        replica.clone(),
        config.witness.clone(),
        config.operator.clone(),
        store.clone(),
        changed.clone(),
    );
    let (mesh, events, traffic) = Link::new(&config).open(replica.id(), server.clone()).await?;
    let fetcher =
        Fetcher::new(&[OBJECT], store, mesh.clone(), traffic.clone(), config.max_object, STALL);
    let shared = Arc::new(Shared {
        replica,
        server,
        mesh,
        witnesses: Mutex::default(),
        changed,
        trouble: Mutex::default(),
        asked: watch::Sender::new(false),
    });
    let first = shared.status(&summary, config.operator.as_ref());
    let (sender, status) = watch::channel(first);
    let stop = watch::Sender::new(false);
    let service = Service {
        shared: shared.clone(),
        puller: Arc::new(Puller::new(shared.replica.clone(), config.member.clone())),
        peers: BTreeMap::new(),
        pulls: JoinSet::new(),
        told: summary.news,
        status: sender,
        config: config.clone(),
    };
    let mut tasks = vec![
        tokio::spawn(shared.mesh.clone().run()),
        tokio::spawn(service.run(events, stop.subscribe())),
    ];
    if let Some(operator) = config.operator {
        let operating = Operating::new(shared.clone(), operator, config.pace);
        tasks.push(tokio::spawn(operating.run(stop.subscribe())));
    }
    Ok(Handle { shared, fetcher, traffic, status, stop, tasks })
}

/// How to reach others and be reached.
pub(crate) struct Link {
    pub seed: [u8; 32],
    pub bind: SocketAddr,
    pub relay: Relay,
    pub external: Vec<SocketAddr>,
    pub peers: Vec<PeerAddr>,
    /// Where others were, from the last start.
    pub saved: Saved,
}

impl Link {
    fn new(config: &Config) -> Self {
        Self {
            seed: config.seed,
            bind: config.bind,
            relay: config.relay.clone(),
            external: config.external.clone(),
            peers: config.peers.clone(),
            saved: Saved::read(&config.home.join("peers")),
        }
    }

    /// Binds an endpoint and makes its mesh; it is still to be run.
    pub async fn open(
        self,
        commons: Hash,
        server: Arc<dyn crate::transport::objects::Answers>,
    ) -> Result<(Arc<Mesh>, Events, Arc<TrafficTable>), EndpointError> {
        let secret = SecretKey::from_bytes(&self.seed);
        let before = self.saved.bound;
        let endpoint = endpoint::bind(ALPN, &secret, self.bind, before, &self.relay).await?;
        let traffic = Arc::new(TrafficTable::default());
        let (mesh, events) = Mesh::new(
            ALPN,
            endpoint,
            secret,
            commons,
            self.external,
            server,
            traffic.clone(),
            GREETING_TIME,
        );
        // Those whom a person named keep their place when it gets full.
        mesh.set_members(self.peers.iter().map(|at| at.peer).collect::<BTreeSet<_>>());
        mesh.hint(self.saved.peers);
        mesh.hint(self.peers);
        Ok((mesh, events, traffic))
    }
}

impl Shared {
    /// Works on the log, where waiting for the disk holds up nobody.
    pub async fn blocking<T, E>(
        replica: &Arc<Replica>,
        work: impl FnOnce(&Replica) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let replica = replica.clone();
        spawn_blocking(move || work(&replica)).await.expect("work on the log does not panic")
    }

    /// Notes what went wrong, or that it is right again.
    pub fn set_trouble(&self, trouble: Option<String>) {
        let mut now = self.trouble.lock().expect("no holder of this lock panics");
        if *now == trouble {
            return;
        }
        if let Some(why) = &trouble {
            tracing::warn!("commons {}: {}", self.replica.id().short(), ids::Plain(why));
        }
        *now = trouble;
        self.changed.notify_one();
    }

    fn status(&self, summary: &Summary, operator: Option<&Identity>) -> Status {
        let witnesses = self.witnesses.lock().expect("no holder of this lock panics");
        Status {
            me: self.mesh.own_address().peer,
            commons: self.replica.id(),
            size: summary.news.size,
            covered: summary.news.covered,
            waiting: summary.waiting,
            time: summary.time,
            charter: summary.charter,
            operator: summary.operator,
            operating: operator.is_some_and(|o| o.id() == summary.operator),
            linked: self.mesh.linked(),
            clock: clocks::doubt(self.mesh.clocks().into_iter().map(|(_, ahead)| ahead).collect()),
            witnesses: witnesses.iter().map(|(peer, w)| (*peer, w.name.clone())).collect(),
            splits: summary.splits,
            trouble: self.trouble.lock().expect("no holder of this lock panics").clone(),
        }
    }
}

impl Handle {
    /// The endpoint's key.
    pub fn id(&self) -> PeerId {
        self.status.borrow().me
    }

    /// What somebody else needs to hold this commons too.
    pub fn ticket(&self) -> Ticket {
        let mut peers = vec![self.shared.mesh.own_address()];
        peers.extend(self.shared.mesh.known(MAX_TICKET_PEERS - 1));
        Ticket { commons: self.shared.replica.id(), peers }
    }

    /// Where the member stands; changes are told.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Adds addresses of members to try.
    pub fn hint(&self, peers: impl IntoIterator<Item = PeerAddr>) {
        self.shared.mesh.hint(peers);
    }

    /// Bytes exchanged with all others since the start.
    pub fn traffic(&self) -> Traffic {
        self.traffic.total()
    }

    /// Brings a payload that a statement names into the commons' store. Whether it is there now.
    pub async fn fetch(&self, hash: Hash) -> bool {
        for peer in self.shared.mesh.linked() {
            let Some(connection) = self.shared.mesh.connection(peer) else { continue };
            let body = super::client::ask(&connection, &Request::Length(hash)).await;
            let Some(len) = body.ok().and_then(|b| decode_length(&b)) else { continue };
            let wanted = vec![ObjectRef { hash, len }.into()];
            let progress = Arc::new(FetchProgress::default());
            if self
                .fetcher
                .fetch(wanted, vec![peer], swarm::Urgency::Round, &progress)
                .await
                .is_ok()
            {
                return true;
            }
        }
        false
    }

    /// Ends the service, within about two seconds; started again in the same folder it goes on.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        for task in self.tasks.drain(1..) {
            let _ = tokio::time::timeout(Duration::from_secs(3), task).await;
        }
        self.shared.mesh.close(CLOSE_TIME).await;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Waits until told to stop.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A length as it is answered.
fn decode_length(body: &[u8]) -> Option<u64> {
    crate::transport::wire::whole::<[u64; 1]>(body).map(|[len]| len)
}

/// What is known of a linked member.
struct Known {
    /// It may have something.
    news: bool,
    busy: bool,
    /// Not to be asked before.
    ask_from: Instant,
    /// To be asked whatever it says.
    due: Instant,
    /// When it was asked last.
    asked: Option<Instant>,
    strikes: u32,
}

struct Service {
    shared: Arc<Shared>,
    puller: Arc<Puller>,
    peers: BTreeMap<PeerId, Known>,
    pulls: JoinSet<(PeerId, Result<Pulled, AskError>)>,
    /// What others were told last.
    told: News,
    status: watch::Sender<Status>,
    config: Config,
}

impl Service {
    async fn run(mut self, mut events: Events, mut stop: watch::Receiver<bool>) {
        let mut tick = interval(self.config.pace.batch);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut saved = Instant::now();
        let shared = self.shared.clone();
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.hear(event),
                    None => break,
                },
                Some(done) = self.pulls.join_next() => match done {
                    Ok((peer, result)) => self.pulled(peer, result),
                    Err(e) => tracing::error!("a task ended early: {e}"),
                },
                () = shared.changed.notified() => self.announce().await,
                _ = tick.tick() => {
                    let touched = Shared::blocking(&shared.replica, |r| Ok::<_, ()>(r.is_touched()));
                    if touched.await == Ok(true) {
                        self.announce().await;
                    }
                    if saved.elapsed() > SAVE_INTERVAL {
                        saved = Instant::now();
                        self.save_peers().await;
                    }
                }
                () = stopped(&mut stop) => break,
            }
            self.ask_around();
        }
        self.save_peers().await;
    }

    fn hear(&mut self, event: MeshEvent) {
        let now = Instant::now();
        match event {
            MeshEvent::Up(peer) | MeshEvent::Restarted(peer) => {
                let known = Known {
                    news: true,
                    busy: false,
                    ask_from: now,
                    due: now,
                    asked: None,
                    strikes: 0,
                };
                let busy = self.peers.insert(peer, known).is_some_and(|old| old.busy);
                self.known(peer, |known| known.busy = busy);
                self.shared.mesh.send(peer, &self.told.encode());
                self.publish_links();
            }
            MeshEvent::Down(peer) => {
                if self.shared.mesh.connection(peer).is_none() {
                    self.peers.remove(&peer);
                    self.shared
                        .witnesses
                        .lock()
                        .expect("no holder of this lock panics")
                        .remove(&peer);
                }
                self.publish_links();
            }
            MeshEvent::Message { from, bytes, .. } => match News::decode(&bytes) {
                Some(news) => {
                    let differs = news != self.told;
                    self.known(from, |known| known.news |= differs);
                }
                None => self.shared.mesh.disconnect(from, "it sent no hint"),
            },
        }
    }

    fn known(&mut self, peer: PeerId, change: impl FnOnce(&mut Known)) {
        if let Some(known) = self.peers.get_mut(&peer) {
            change(known);
        }
    }

    /// Asks members that may have something, and now and then everybody.
    fn ask_around(&mut self) {
        let now = Instant::now();
        let ready = |known: &Known| {
            !known.busy && known.ask_from <= now && (known.news || known.due <= now)
        };
        let mut ready: Vec<(Option<Instant>, PeerId)> = self
            .peers
            .iter()
            .filter(|(_, known)| ready(known))
            .map(|(peer, known)| (known.asked, *peer))
            .collect();
        // Whoever waits longest, and not whose key sorts first.
        ready.sort_unstable();
        for (_, peer) in ready {
            if self.pulls.len() >= MAX_PULLS {
                return;
            }
            let Some(connection) = self.shared.mesh.connection(peer) else { continue };
            let refresh = self.config.pace.refresh;
            self.known(peer, |known| {
                (known.news, known.busy) = (false, true);
                (known.ask_from, known.due) = (now + ASK_AGAIN, now + refresh);
                known.asked = Some(now);
            });
            let puller = self.puller.clone();
            self.pulls.spawn(async move { (peer, puller.pull(peer, &connection).await) });
        }
    }

    fn pulled(&mut self, peer: PeerId, result: Result<Pulled, AskError>) {
        let now = Instant::now();
        let (mut strike, mut renamed) = (0, false);
        match result {
            Ok(pulled) => {
                if let Some(name) = pulled.witness {
                    let mut all =
                        self.shared.witnesses.lock().expect("no holder of this lock panics");
                    renamed = all.insert(peer, name.clone()).is_none_or(|old| old != name);
                }
                strike = u32::from(pulled.stray);
                if renamed || pulled.news || pulled.split == Some(true) {
                    self.shared.changed.notify_one();
                }
                self.shared.asked.send_replace(true);
            }
            Err(AskError::Gone(why)) => {
                tracing::debug!("asking {}: {}", peer.short(), ids::Plain(why));
                self.known(peer, |known| (known.news, known.ask_from) = (true, now + LATER));
            }
            Err(AskError::Slow) => strike = 2,
            Err(AskError::Lie(why)) => self.shared.mesh.disconnect(peer, &why),
            Err(AskError::Here(e)) => {
                self.shared.set_trouble(Some(e.to_string()));
                self.known(peer, |known| (known.news, known.ask_from) = (true, now + LATER));
            }
        }
        let mut strikes = 0;
        self.known(peer, |known| {
            known.busy = false;
            known.strikes = if strike > 0 { known.strikes + strike } else { 0 };
            strikes = known.strikes;
            if strike == 2 {
                // It held a turn for nothing: others have theirs before.
                known.ask_from = now + LATER * strikes;
                known.due = known.due.max(known.ask_from);
            }
        });
        if strikes > MAX_STRIKES {
            self.shared.mesh.disconnect(peer, "it is too slow, or shows heads of nobody in charge");
        }
    }

    /// Tells the others that there is news, if there is.
    async fn announce(&mut self) {
        match Shared::blocking(&self.shared.replica, |replica| replica.summary()).await {
            Ok(summary) => {
                if summary.news != self.told {
                    self.told = summary.news;
                    self.shared.mesh.broadcast(&self.told.encode());
                }
                let status = self.shared.status(&summary, self.config.operator.as_ref());
                self.status.send_if_modified(|old| {
                    let changed = *old != status;
                    *old = status;
                    changed
                });
            }
            Err(e) => {
                self.shared.set_trouble(Some(e.to_string()));
                self.status.send_modify(|status| status.trouble = Some(e.to_string()));
            }
        }
    }

    fn publish_links(&self) {
        let linked = self.shared.mesh.linked();
        self.status.send_modify(|status| status.linked = linked);
    }

    async fn save_peers(&self) {
        let (saved, path) = (self.shared.mesh.to_save(), self.config.home.join("peers"));
        let written = spawn_blocking(move || saved.write(&path)).await;
        if let Ok(Err(e)) = written {
            self.shared.set_trouble(Some(format!("keeping where others are: {e}")));
        }
    }
}
