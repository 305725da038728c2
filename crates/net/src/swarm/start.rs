//! Starting a node, and the handle to it.

use crate::{
    causes::{BoxError, with_causes},
    swarm::{
        driver::{Driver, FIRST_PAUSE, LAST_PAUSE, Shared},
        pins::Pins,
        report::{NetStatus, Outcome, Report, Reports, Stage},
        ticket::{Invitation, MAX_MANIFEST, Mark, Ticket},
    },
    transport::{
        address::PeerAddr,
        book::Saved,
        endpoint::{self, EndpointError, Relay},
        fetch::{FetchError, FetchProgress, FetchRequest, Fetcher, Parts, STALL},
        mesh::{Events, GREETING_TIME, Mesh},
        objects::Server,
        traffic::{Traffic, TrafficTable},
        wire::ALPN,
    },
};
use ids::{Hash, Identity, ObjectRef, PeerId};
use iroh::SecretKey;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};
use store::{Log, LogError, Store, StoreError};
use swarm::{Arrival, Checkpoint, LogEntry, Node, RestoreError, Run, Urgency, Worker};
use tokio::{
    runtime::Runtime,
    sync::{broadcast, watch},
    task::spawn_blocking,
    time::{interval, sleep},
};

/// Reports that wait for a slow subscriber before it misses some.
const REPORTS: usize = 4096;

/// What a node needs to start.
#[derive(Clone)]
pub struct Config {
    /// Where objects are.
    pub store: Store,
    /// Folder of this node's own files: `log` (what it promised; see [`store::Log`]) and `peers`
    /// (where others were). It must exist.
    pub folder: PathBuf,
    /// The ed25519 secret, of the swarm identity and of the endpoint alike.
    pub seed: [u8; 32],
    /// Which run.
    pub source: Source,
    /// Records that the run is known to have beside the one that a ticket names: a history with
    /// others is refused.
    pub known: Vec<Checkpoint>,
    /// Where to listen: `127.0.0.1:0` for this machine only, `0.0.0.0:0` for all its networks.
    /// With port 0 the port of the last start is taken again if it is free.
    pub bind: SocketAddr,
    /// Help for peers that cannot reach each other directly.
    pub relay: Relay,
    /// Addresses to tell others besides those the machine has, such as a forwarded port.
    pub external: Vec<SocketAddr>,
    /// The most bytes of one object; larger ones are not fetched.
    pub max_object: u64,
    /// Keep objects that the protocol needs no longer, so that the run can be verified.
    pub keep_everything: bool,
}

/// The bound on one object's bytes for those who have no reason for another.
pub const MAX_OBJECT: u64 = 64 << 20;

/// Where the run comes from.
#[derive(Clone)]
pub enum Source {
    /// This node founds the run (or goes on with one that it founded).
    Founder {
        /// The run's manifest, 1 byte to 1 MiB; what it names is in the store.
        manifest: Vec<u8>,
    },
    /// This node joins a run (or goes on with one that it joined).
    Join {
        /// What it was handed.
        ticket: Ticket,
    },
    /// This node joins a run as a founding voter, with an invitation for one person.
    Invited {
        /// What it was handed.
        invitation: Invitation,
    },
}

impl Source {
    /// What was handed to who did not found the run.
    fn ticket(&self) -> Option<&Ticket> {
        match self {
            Self::Founder { .. } => None,
            Self::Join { ticket } | Self::Invited { invitation: Invitation { ticket, .. } } => {
                Some(ticket)
            }
        }
    }

    /// What of it the protocol needs, with what else is known of the run.
    fn arrival(&self, known: &[Checkpoint]) -> Arrival {
        let invitation = match self {
            Self::Invited { invitation } => Some(Identity::from_seed(invitation.secret)),
            _ => None,
        };
        let mark = self.ticket().and_then(|ticket| ticket.checkpoint);
        let named = mark.map(|Mark { height, record, .. }| Checkpoint { height, record });
        Arrival {
            invitation,
            checkpoints: named.into_iter().chain(known.iter().copied()).collect(),
        }
    }
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The manifest is empty or too large.
    #[error("a run manifest is 1 to {MAX_MANIFEST} bytes, not {0}")]
    Manifest(usize),
    /// The store failed.
    #[error("keeping the run manifest")]
    Store(#[from] StoreError),
    /// The endpoint could not be made.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// No threads to run on.
    #[error("starting the network threads")]
    Runtime(#[source] std::io::Error),
}

/// Opens the project: checks the manifest's bytes and builds the worker over what is in the store.
pub type Open =
    dyn FnOnce(&[u8], &Store) -> Result<(Run, Arc<dyn Worker>), BoxError> + Send + 'static;

/// Starts a node and returns once it listens. In the background it brings the manifest and all
/// that `parts` finds in it (and the readers it names find in those) into the store, has `open` make the
/// worker, replays the log and takes part.
///
/// Errors after that show as [`Outcome::Failed`].
pub async fn start(
    config: Config,
    parts: Arc<Parts>,
    open: Box<Open>,
) -> Result<Handle, StartError> {
    let manifest = manifest_of(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("understory-net")
        .enable_all()
        .build()
        .map_err(StartError::Runtime)?;
    let secret = SecretKey::from_bytes(&config.seed);
    let saved = Saved::read(&config.folder.join("peers"));
    let endpoint = {
        let (secret, relay) = (secret.clone(), config.relay.clone());
        let (at, before) = (config.bind, saved.bound);
        let bound = runtime
            .spawn(async move { endpoint::bind(ALPN, &secret, at, before, &relay).await })
            .await;
        match bound {
            Ok(Ok(endpoint)) => endpoint,
            Ok(Err(e)) => return Err(abandon(runtime, e.into())),
            Err(e) => {
                let error = StartError::Runtime(std::io::Error::other(e));
                return Err(abandon(runtime, error));
            }
        }
    };
    let ticket = config.source.ticket();
    let founder =
        ticket.map_or_else(|| crate::transport::address::peer_id(secret.public()), |t| t.founder);
    let traffic = Arc::new(TrafficTable::default());
    let server = Server::new(config.store.clone());
    let external = config.external.clone();
    let (mesh, events) = Mesh::new(
        ALPN,
        endpoint,
        secret,
        manifest.hash,
        external,
        server,
        traffic.clone(),
        GREETING_TIME,
    );
    mesh.hint(saved.peers);
    if let Some(ticket) = ticket {
        mesh.hint(ticket.peers.clone());
    }
    runtime.spawn(mesh.clone().run());
    let (shared, handle) = share(&config, manifest, founder, mesh, traffic, runtime);
    let stop = handle.stop.subscribe();
    handle.runtime().spawn(live(shared, config, parts, open, manifest, events, stop));
    Ok(handle)
}

/// A runtime must not be dropped where async code runs.
fn abandon(runtime: Runtime, error: StartError) -> StartError {
    runtime.shutdown_background();
    error
}

fn manifest_of(config: &Config) -> Result<ObjectRef, StartError> {
    match &config.source {
        Source::Founder { manifest } => {
            if manifest.is_empty() || manifest.len() as u64 > MAX_MANIFEST {
                return Err(StartError::Manifest(manifest.len()));
            }
            config.store.put(manifest)?;
            Ok(ObjectRef::of(manifest))
        }
        Source::Join { ticket } | Source::Invited { invitation: Invitation { ticket, .. } } => {
            Ok(ticket.manifest())
        }
    }
}

fn share(
    config: &Config,
    manifest: ObjectRef,
    founder: PeerId,
    mesh: Arc<Mesh>,
    traffic: Arc<TrafficTable>,
    runtime: Runtime,
) -> (Shared, Handle) {
    let (reports, first) = broadcast::channel(REPORTS);
    let me = mesh.own_address().peer;
    let status = NetStatus {
        me,
        run: manifest.hash,
        stage: Stage::Fetching,
        node: None,
        linked: Vec::new(),
        clock: None,
        total: Traffic::default(),
        traffic: BTreeMap::new(),
    };
    let status = watch::Sender::new(status);
    let outcome = watch::Sender::new(None);
    let fetcher = Fetcher::new(
        b"",
        config.store.clone(),
        mesh.clone(),
        traffic.clone(),
        config.max_object,
        STALL,
    );
    let handle = Handle {
        manifest,
        founder,
        mesh: mesh.clone(),
        reports: reports.clone(),
        first: Mutex::new(Some(first)),
        status: status.subscribe(),
        outcome: outcome.subscribe(),
        stop: watch::Sender::new(false),
        runtime: Some(runtime),
    };
    let shared = Shared {
        run: manifest.hash,
        store: config.store.clone(),
        mesh,
        fetcher,
        traffic,
        reports: Reports(reports),
        status,
        outcome,
        peers_file: config.folder.join("peers"),
        keep_everything: config.keep_everything,
    };
    (shared, handle)
}

/// The whole life of a node after it listens.
async fn live(
    shared: Shared,
    config: Config,
    parts: Arc<Parts>,
    open: Box<Open>,
    manifest: ObjectRef,
    mut events: Events,
    mut stop: watch::Receiver<bool>,
) {
    let stopped = stop.clone();
    let prepared = tokio::select! {
        prepared = prepare(&shared, &config, parts, open, manifest) => Some(prepared),
        () = ignore(&mut events) => None,
        _ = stop.wait_for(|stop| *stop) => None,
    };
    match prepared {
        Some(Ok((node, log, worker, pins))) => {
            shared.reports.send(Report::Started { run: shared.run });
            let driver = Driver::new(shared.clone(), node, log, worker, pins, stopped);
            driver.run(events).await;
        }
        Some(Err(why)) => {
            shared.end(Outcome::Failed { why });
            shared.mesh.close(Duration::from_millis(1200)).await;
        }
        None => {
            shared.save_peers().await;
            shared.mesh.close(Duration::from_millis(1200)).await;
        }
    }
    shared.end(Outcome::Stopped);
    shared.publish(Stage::Ended, None);
}

/// Before the node runs there is nothing to do with what peers say; they say it again.
async fn ignore(events: &mut Events) {
    while events.recv().await.is_some() {}
}

async fn prepare(
    shared: &Shared,
    config: &Config,
    parts: Arc<Parts>,
    open: Box<Open>,
    manifest: ObjectRef,
) -> Result<(Node, Log, Arc<dyn Worker>, Pins), String> {
    let pins = Pins::new(gather(shared, config, parts, manifest).await?);
    let (store, seed) = (config.store.clone(), config.seed);
    let arrival = config.source.arrival(&config.known);
    let path = config.folder.join("log");
    let make = move || -> Result<_, String> {
        let bytes = store.get(&manifest.hash).map_err(|e| with_causes(&e))?;
        let (run, worker) = open(&bytes, &store).map_err(|e| with_causes(&*e))?;
        if run.id != manifest.hash {
            return Err(format!(
                "the run's id is {}, its manifest's hash {}",
                run.id, manifest.hash
            ));
        }
        let (log, entries) = open_log(&path).map_err(|e| with_causes(&e))?;
        let entries = entries.into_iter().map(LogEntry).collect();
        let identity = Identity::from_seed(seed);
        let node = Node::new(identity, run, entries, arrival)
            .map_err(|e: RestoreError| format!("log {}: {}", path.display(), with_causes(&e)))?;
        Ok((node, log, worker, pins))
    };
    spawn_blocking(make).await.map_err(|e| format!("opening the run: {e}"))?
}

/// A log that was closed a moment ago may still be held for an instant.
fn open_log(path: &std::path::Path) -> Result<(Log, Vec<Vec<u8>>), LogError> {
    for _ in 0..20 {
        match Log::open(path) {
            Err(LogError::InUse { .. }) => std::thread::sleep(Duration::from_millis(100)),
            opened => return opened,
        }
    }
    Log::open(path)
}

/// Brings the manifest and everything below it into the store. Who joins waits for peers as long
/// as it takes; who founds must have it all.
async fn gather(
    shared: &Shared,
    config: &Config,
    parts: Arc<Parts>,
    manifest: ObjectRef,
) -> Result<BTreeSet<Hash>, String> {
    let mut tick = interval(Duration::from_millis(500));
    let mut pause = FIRST_PAUSE;
    loop {
        let progress = Arc::new(FetchProgress::default());
        let wants = vec![FetchRequest::manifest(manifest, parts.clone())];
        let fetch = shared.fetcher.fetch(wants, Vec::new(), Urgency::Checkpoint, &progress);
        tokio::pin!(fetch);
        let fetched = loop {
            tokio::select! {
                fetched = &mut fetch => break fetched,
                _ = tick.tick() => {
                    shared.reports.fetching(&progress);
                    shared.publish(Stage::Fetching, None);
                }
            }
        };
        shared.reports.fetching(&progress);
        match (fetched, config.source.ticket()) {
            (Ok(all), _) => return Ok(all),
            (Err(FetchError::Missing(hash)), Some(_)) => {
                tracing::info!("nobody gave object {} yet; trying again", hash.short());
                sleep(Duration::from_millis(500)).await;
            }
            (Err(e), _) if e.may_pass() => {
                shared.reports.wait_for(&e);
                sleep(pause).await;
                pause = (2 * pause).min(LAST_PAUSE);
            }
            (Err(e), _) => return Err(with_causes(&e)),
        }
    }
}

fn newest_record(status: &swarm::Status) -> Option<Mark> {
    Some(Mark { height: status.height?, record: status.record?, standing: status.weight })
}

/// A running node. Dropping it without [`Handle::stop`] ends it as a crash would: at once, with
/// everything durable that it ever promised.
pub struct Handle {
    manifest: ObjectRef,
    founder: PeerId,
    mesh: Arc<Mesh>,
    reports: broadcast::Sender<Report>,
    /// Since the start, for the first subscriber.
    first: Mutex<Option<broadcast::Receiver<Report>>>,
    status: watch::Receiver<NetStatus>,
    outcome: watch::Receiver<Option<Outcome>>,
    stop: watch::Sender<bool>,
    runtime: Option<Runtime>,
}

impl Handle {
    /// This node's key.
    pub fn id(&self) -> PeerId {
        self.status.borrow().me
    }

    /// The run's id.
    pub fn run(&self) -> Hash {
        self.manifest.hash
    }

    /// What somebody else needs to join: this node's addresses and some of its peers', and the
    /// newest record.
    pub fn ticket(&self) -> Ticket {
        let checkpoint = self.status.borrow().node.as_ref().and_then(newest_record);
        let mut peers = vec![self.mesh.own_address()];
        peers.extend(self.mesh.known(3));
        Ticket {
            run: self.manifest.hash,
            manifest_len: self.manifest.len,
            founder: self.founder,
            peers,
            checkpoint,
        }
    }

    /// What the node reports: the first subscriber gets it from the start, later ones from now
    /// on. A subscriber that falls behind (by some thousands) misses the oldest.
    pub fn subscribe(&self) -> broadcast::Receiver<Report> {
        let first = self.first.lock().expect("no holder of this lock panics").take();
        first.unwrap_or_else(|| self.reports.subscribe())
    }

    /// Where the node stands, at most half a second old.
    pub fn status(&self) -> watch::Receiver<NetStatus> {
        self.status.clone()
    }

    /// Adds addresses of peers to try.
    pub fn hint(&self, peers: impl IntoIterator<Item = PeerAddr>) {
        self.mesh.hint(peers);
    }

    /// Waits until the run is over for this node (which then still serves others), or until it
    /// stopped or failed.
    pub async fn finished(&self) -> Outcome {
        let mut outcome = self.outcome.clone();
        match outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Outcome::Stopped),
            Err(_) => Outcome::Failed { why: "the node's task ended early".to_owned() },
        }
    }

    /// Ends the node within about two seconds; started again in the same folder it goes on.
    pub async fn stop(mut self) -> Outcome {
        self.stop.send_replace(true);
        let mut status = self.status.clone();
        let ended = status.wait_for(|status| status.stage == Stage::Ended);
        let _ = tokio::time::timeout(Duration::from_secs(3), ended).await;
        let outcome = self.outcome.borrow().clone().unwrap_or(Outcome::Stopped);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        outcome
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("only stop and drop take the runtime away")
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
