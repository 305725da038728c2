//! The loop around one [`swarm::Node`]: events in, actions out, nothing sent before what it rests
//! on is on disk.

use crate::{
    causes::with_causes,
    swarm::{
        jobs::Jobs,
        pins::{Pins, discard},
        report::{NetStatus, Outcome, Report, Reports, Stage},
    },
    transport::{
        clocks,
        fetch::{FetchProgress, FetchRequest, Fetcher, Parts},
        mesh::{Events, Mesh, MeshEvent},
        traffic::TrafficTable,
    },
};
use ids::{Hash, ObjectRef, PeerId};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use store::{Log, LogError, Store};
use swarm::{Action, Event, Node, Time, Urgency, Worker};
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, spawn_blocking},
    time::{interval, sleep_until, timeout},
};

/// Events handled before their actions are carried out together (with one flush to disk).
const BATCH: usize = 64;
const STATUS_INTERVAL: Duration = Duration::from_millis(250);
const FETCH_INTERVAL: Duration = Duration::from_millis(500);
const TRAFFIC_INTERVAL: Duration = Duration::from_secs(2);
const SAVE_INTERVAL: Duration = Duration::from_secs(10);

/// Between attempts to write what has to be written before anything goes on.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(500);
pub(crate) const LAST_PAUSE: Duration = Duration::from_secs(15);

/// What the parts of a running node share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub run: Hash,
    pub store: Store,
    pub mesh: Arc<Mesh>,
    pub fetcher: Arc<Fetcher>,
    pub traffic: Arc<TrafficTable>,
    pub reports: Reports,
    pub status: watch::Sender<NetStatus>,
    pub outcome: watch::Sender<Option<Outcome>>,
    pub peers_file: PathBuf,
    pub keep_everything: bool,
}

impl Shared {
    /// Publishes how it ended; the first outcome but `Stopped` stays.
    pub fn end(&self, outcome: Outcome) {
        let new = self.outcome.send_if_modified(|now| {
            let first = now.is_none();
            if first {
                *now = Some(outcome.clone());
            }
            first
        });
        if new {
            self.reports.send(Report::Outcome(outcome));
        }
    }

    pub fn publish(&self, stage: Stage, node: Option<swarm::Status>) {
        self.status.send_modify(|status| {
            status.stage = stage;
            if let Some(node) = node {
                status.clock = clocks::doubt(self.clocks(&node));
                status.node = Some(node);
            }
            status.linked = self.mesh.linked();
            status.total = self.traffic.total();
            status.traffic = self.traffic.read();
        });
    }

    /// What the clocks of those say who decide, or, before the run begins, of those who wait for it:
    /// a crowd of strangers has no say.
    fn clocks(&self, node: &swarm::Status) -> Vec<i64> {
        let voters = node.members.iter().filter(|m| m.weight > 0).map(|m| m.member.id);
        let here = node.lobby.iter().flat_map(|lobby| lobby.here.iter().copied());
        let asked: BTreeSet<PeerId> = voters.chain(here).collect();
        let clocks = self.mesh.clocks().into_iter();
        clocks.filter(|(peer, _)| asked.contains(peer)).map(|(_, ahead)| ahead).collect()
    }

    /// Writes the addresses down for the next start.
    pub async fn save_peers(&self) {
        let (saved, path) = (self.mesh.to_save(), self.peers_file.clone());
        let written = spawn_blocking(move || saved.write(&path)).await;
        if let Ok(Err(e)) = written {
            tracing::warn!("writing {}: {e}", self.peers_file.display());
        }
    }
}

/// One node and everything it acts on.
pub(crate) struct Driver {
    shared: Shared,
    node: Node,
    /// Absent only while an append is under way.
    log: Option<Log>,
    worker: Arc<dyn Worker>,
    pins: Arc<Pins>,
    jobs: Option<Jobs>,
    results: mpsc::UnboundedReceiver<Event>,
    results_in: mpsc::UnboundedSender<Event>,
    fetches: BTreeMap<u64, AbortHandle>,
    up: BTreeSet<PeerId>,
    members: BTreeSet<PeerId>,
    begun: Instant,
    wake: Option<Instant>,
    stop: watch::Receiver<bool>,
}

/// What made the loop turn.
enum Turn {
    Stop,
    Node(Event),
    Mesh(MeshEvent),
    Status,
    Traffic,
    Save,
}

impl Driver {
    pub fn new(
        shared: Shared,
        node: Node,
        log: Log,
        worker: Arc<dyn Worker>,
        pins: Pins,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let (results_in, results) = mpsc::unbounded_channel();
        let jobs = Some(Jobs::start(&worker, &results_in, shared.reports.clone()));
        Self {
            shared,
            node,
            log: Some(log),
            worker,
            pins: Arc::new(pins),
            jobs,
            results,
            results_in,
            fetches: BTreeMap::new(),
            up: BTreeSet::new(),
            members: BTreeSet::new(),
            begun: Instant::now(),
            wake: None,
            stop,
        }
    }

    /// Runs until it is to stop or the node cannot go on.
    pub async fn run(mut self, mut mesh_events: Events) {
        let mut stop = self.stop.clone();
        let ended = self.turn_until_stopped(&mut mesh_events, &mut stop).await;
        let ended = match ended {
            Ok(()) => self.leave().await,
            failed => failed,
        };
        if let Err(why) = ended {
            self.shared.end(Outcome::Failed { why });
        }
        self.shutdown().await;
    }

    async fn turn_until_stopped(
        &mut self,
        mesh_events: &mut Events,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), String> {
        let mut status = interval(STATUS_INTERVAL);
        let mut traffic = interval(TRAFFIC_INTERVAL);
        let mut save = interval(SAVE_INTERVAL);
        let mut actions = self.handle(Event::Start);
        for peer in self.shared.mesh.linked() {
            actions.extend(self.peer_up(peer));
        }
        self.perform(actions).await?;
        loop {
            let turn = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => Turn::Stop,
                Some(event) = self.results.recv() => Turn::Node(event),
                () = sleep_to(self.wake) => Turn::Node(Event::Tick),
                _ = status.tick() => Turn::Status,
                _ = traffic.tick() => Turn::Traffic,
                _ = save.tick() => Turn::Save,
                Some(event) = mesh_events.recv() => Turn::Mesh(event),
            };
            let actions = match turn {
                Turn::Stop => return Ok(()),
                Turn::Status => self.publish(),
                Turn::Traffic => self.report_traffic(),
                Turn::Save => {
                    self.shared.save_peers().await;
                    Vec::new()
                }
                Turn::Node(event) => self.handle(event),
                Turn::Mesh(event) => self.batch(event, mesh_events),
            };
            self.perform(actions).await?;
        }
    }

    /// Handles `first` and what else has come by now.
    fn batch(&mut self, first: MeshEvent, more: &mut Events) -> Vec<Action> {
        let mut actions = self.handle_mesh(first);
        for _ in 1..BATCH {
            let Some(event) = more.try_recv() else { break };
            actions.extend(self.handle_mesh(event));
        }
        actions
    }

    fn handle_mesh(&mut self, event: MeshEvent) -> Vec<Action> {
        match event {
            MeshEvent::Message { from, bytes, hold } => {
                let actions = self.handle(Event::Message { from, bytes });
                drop(hold);
                actions
            }
            MeshEvent::Up(peer) => self.peer_up(peer),
            MeshEvent::Restarted(peer) => {
                let mut actions = self.peer_down(peer);
                actions.extend(self.peer_up(peer));
                actions
            }
            // A later connection may have been told of before the end of an earlier one.
            MeshEvent::Down(peer) if self.shared.mesh.connection(peer).is_some() => Vec::new(),
            MeshEvent::Down(peer) => self.peer_down(peer),
        }
    }

    fn peer_up(&mut self, peer: PeerId) -> Vec<Action> {
        if !self.up.insert(peer) {
            return Vec::new();
        }
        self.shared.reports.send(Report::Connected { peer });
        self.handle(Event::PeerUp(peer))
    }

    fn peer_down(&mut self, peer: PeerId) -> Vec<Action> {
        if !self.up.remove(&peer) {
            return Vec::new();
        }
        self.shared.reports.send(Report::Disconnected { peer });
        self.handle(Event::PeerDown(peer))
    }

    fn handle(&mut self, event: Event) -> Vec<Action> {
        match &event {
            Event::Tick => self.wake = None,
            Event::Fetched { id, .. } | Event::FetchFailed { id, .. } => {
                self.fetches.remove(id);
            }
            _ => {}
        }
        let now = Time(self.begun.elapsed().as_millis() as u64);
        self.node.handle(now, event)
    }

    /// Makes everything durable that has to be, then does the rest in order.
    async fn perform(&mut self, mut actions: Vec<Action>) -> Result<(), String> {
        let mut entries = Vec::new();
        for action in &mut actions {
            if let Action::Persist(entry) = action {
                entries.push(std::mem::take(&mut entry.0));
            }
        }
        if !entries.is_empty() {
            self.persist(entries).await?;
        }
        actions.into_iter().try_for_each(|action| self.act(action))
    }

    /// Appends to the log; where that fails for a cause that may pass, again and again: nothing may
    /// leave before it is written, so everything else waits.
    async fn persist(&mut self, entries: Vec<Vec<u8>>) -> Result<(), String> {
        let entries = Arc::new(entries);
        let mut pause = FIRST_PAUSE;
        loop {
            match self.append(entries.clone()).await? {
                Ok(()) => return Ok(()),
                Err(e) if e.may_pass() && !*self.stop.borrow() => {
                    self.shared.reports.wait_for(&e);
                    let _ = timeout(pause, self.stop.wait_for(|stop| *stop)).await;
                    pause = (2 * pause).min(LAST_PAUSE);
                }
                Err(e) => return Err(with_causes(&e)),
            }
        }
    }

    async fn append(&mut self, entries: Arc<Vec<Vec<u8>>>) -> Result<Result<(), LogError>, String> {
        let mut log = self.log.take().expect("one append at a time");
        let append = spawn_blocking(move || {
            let appended = log.append_all(&entries);
            (log, appended)
        });
        let (log, appended) = append.await.map_err(|e| format!("appending to the log: {e}"))?;
        self.log = Some(log);
        Ok(appended)
    }

    fn act(&mut self, action: Action) -> Result<(), String> {
        let shared = &self.shared;
        match action {
            Action::Persist(_) => {}
            Action::Send { to, bytes } => shared.mesh.send(to, &bytes),
            Action::Broadcast { bytes } => shared.mesh.broadcast(&bytes),
            Action::Train(job) => self.jobs().train(job),
            Action::CancelTrain => self.jobs().cancel_train(),
            Action::Audit(job) => self.jobs().audit(job),
            Action::Open(job) => self.jobs().open(job),
            Action::Aggregate(job) => self.jobs().aggregate(job),
            Action::Fetch { id, objects, models, providers, urgency } => {
                self.fetch(id, objects, models, providers, urgency);
            }
            Action::CancelFetch { id } => {
                if let Some(fetch) = self.fetches.remove(&id) {
                    fetch.abort();
                }
            }
            Action::Drop { objects } if !shared.keep_everything => self.discard(objects),
            Action::Drop { .. } => {}
            Action::WakeAt(at) => self.wake = Some(self.begun + Duration::from_millis(at.0)),
            Action::Disconnect { peer, why } => shared.mesh.disconnect(peer, &why),
            Action::Notice(notice) => shared.reports.send(Report::Notice(notice)),
            Action::Finished { state, height } => shared.end(Outcome::Finished { state, height }),
            Action::Fatal(why) => return Err(why),
        }
        Ok(())
    }

    fn jobs(&mut self) -> &mut Jobs {
        self.jobs.as_mut().expect("only shutdown takes the threads away")
    }

    fn fetch(
        &mut self,
        id: u64,
        objects: Vec<ObjectRef>,
        models: Vec<ObjectRef>,
        providers: Vec<PeerId>,
        urgency: Urgency,
    ) {
        let worker = self.worker.clone();
        let parts: Arc<Parts> = Arc::new(move |manifest| {
            let parts = worker.model_parts(manifest)?;
            Ok(parts.into_iter().map(FetchRequest::from).collect())
        });
        // What is here already was not stored by this fetch, and never goes because of it.
        let here = self.shared.store.clone();
        let lacking: Vec<Hash> =
            objects.iter().map(|o| o.hash).filter(|hash| !here.has(hash)).collect();
        // A state is large; other objects are parts of a round, which is shown as such.
        let are_models = !models.is_empty();
        let models = models.into_iter().map(|model| FetchRequest::manifest(model, parts.clone()));
        let wants = models.chain(objects.into_iter().map(FetchRequest::from)).collect();
        let (fetcher, results) = (self.shared.fetcher.clone(), self.results_in.clone());
        let reports = self.shared.reports.clone();
        let task = tokio::spawn(async move {
            let progress = Arc::new(FetchProgress::default());
            let fetch = fetcher.fetch(wants, providers, urgency, &progress);
            let fetched = match are_models {
                true => told(fetch, &reports, &progress).await,
                false => fetch.await,
            };
            let stored = lacking.into_iter().filter(|hash| here.has(hash)).collect();
            let _ = results.send(match fetched {
                Ok(_) => Event::Fetched { id, stored },
                Err(e) => {
                    tracing::info!("fetch {id}: {}", with_causes(&e));
                    // Others that lack something are usual; this machine's disk is not.
                    if e.may_pass() {
                        reports.wait_for(&e);
                    }
                    Event::FetchFailed { id, missing: e.object(), stored }
                }
            });
        });
        if let Some(old) = self.fetches.insert(id, task.abort_handle()) {
            old.abort();
        }
    }

    /// Removes objects, except what something names: an object's name comes from a peer, who may
    /// have named somebody else's.
    fn discard(&self, objects: Vec<Hash>) {
        let (store, worker, pins) =
            (self.shared.store.clone(), self.worker.clone(), self.pins.clone());
        let chain = self.node.chain_state();
        let advances = chain.into_iter().flat_map(|c| c.last.iter().chain(&c.previous));
        let mut states = vec![self.node.status().state];
        states.extend(advances.map(|advance| advance.base));
        spawn_blocking(move || {
            if let Err(e) = discard(&store, &*worker, &pins, &states, &objects) {
                tracing::warn!("{}", with_causes(&e));
            }
        });
    }

    fn publish(&mut self) -> Vec<Action> {
        let status = self.node.status();
        let members: BTreeSet<PeerId> = status.members.iter().map(|m| m.member.id).collect();
        if members != self.members {
            self.members = members.clone();
            self.shared.mesh.set_members(members);
        }
        self.shared.publish(Stage::Running, Some(status));
        Vec::new()
    }

    fn report_traffic(&self) -> Vec<Action> {
        let (total, peers) = (self.shared.traffic.total(), self.shared.traffic.read());
        self.shared.reports.send(Report::Traffic { total, peers });
        Vec::new()
    }

    /// Tells the node that it ends here, so that what it wants to remember is on disk.
    async fn leave(&mut self) -> Result<(), String> {
        let actions = self.handle(Event::Leave);
        self.perform(actions).await
    }

    async fn shutdown(mut self) {
        self.fetches.values().for_each(AbortHandle::abort);
        let jobs = self.jobs.take().expect("only shutdown takes the threads away");
        let stopped = spawn_blocking(move || jobs.stop(Duration::from_millis(1200)));
        self.publish();
        self.report_traffic();
        self.shared.save_peers().await;
        self.shared.mesh.close(Duration::from_millis(1200)).await;
        let _ = stopped.await;
    }
}

async fn sleep_to(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Waits for a fetch and reports how far it is meanwhile.
async fn told<T>(fetch: impl Future<Output = T>, reports: &Reports, progress: &FetchProgress) -> T {
    let mut tick = interval(FETCH_INTERVAL);
    tokio::pin!(fetch);
    let fetched = loop {
        tokio::select! {
            fetched = &mut fetch => break fetched,
            _ = tick.tick() => reports.fetching(progress),
        }
    };
    reports.fetching(progress);
    fetched
}
