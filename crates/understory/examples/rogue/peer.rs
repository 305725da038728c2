//! A peer that is honest but for its habit: the protocol's own state machine and the program's own
//! training, over an attacker's line.

use crate::line::{Heard, Line};
use anyhow::{Context, Result};
use cotrain::worker::{TrainingWorker, protocol_run};
use ids::{Hash, Identity, ObjectRef, PeerId};
use net::swarm::Ticket;
use recipe::{Corpus, CorpusManifest, RunManifest};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use store::Store;
use swarm::{
    Action, Arrival, AuditJob, AuditOutcome, Control, Event, Message, Node, Notice, Run, Time,
    TrainOutput, Worker,
};
use tokio::{sync::mpsc, task::spawn_blocking, time::sleep};

/// How often a habit may say something besides.
const BESIDES: Duration = Duration::from_millis(250);

/// What a habit sees.
pub struct Scene<'a> {
    pub identity: &'a Identity,
    pub node: &'a Node,
    pub store: &'a Store,
    pub line: &'a Arc<Line>,
}

impl Scene<'_> {
    /// The run's id.
    pub fn run(&self) -> Hash {
        self.node.run().id
    }

    /// Everybody else who belongs to the run.
    pub fn others(&self) -> Vec<PeerId> {
        let members = self.node.chain_state().map(|chain| &chain.members);
        let ids = members.into_iter().flatten().map(|member| member.id);
        ids.filter(|id| *id != self.identity.id()).collect()
    }
}

/// What a peer does otherwise than it should. What is not overridden is honest.
pub trait Habit: Send {
    /// What it claims to have computed at this height.
    fn claims(&mut self, _: &Scene, _height: u64, _: &mut TrainOutput) {}

    /// What it says of somebody's work.
    fn finds(&mut self, _: &Scene, _: &AuditJob, honest: AuditOutcome) -> AuditOutcome {
        honest
    }

    /// Whether something that its node says leaves it.
    fn says(&mut self, _: &Scene, _: &Message) -> bool {
        true
    }

    /// What it says besides, several times a second.
    fn besides(&mut self, _: &Scene) -> Vec<Message> {
        Vec::new()
    }
}

/// A peer with a habit.
pub struct Peer {
    identity: Identity,
    node: Node,
    store: Store,
    line: Arc<Line>,
    worker: Arc<dyn Worker>,
    habit: Box<dyn Habit>,
    results: mpsc::UnboundedSender<Event>,
    audits: BTreeMap<u64, AuditJob>,
    training: Option<Control>,
    begun: Instant,
    wake: Option<Instant>,
}

impl Peer {
    /// Fetches the run and takes part in it for as long as the process lives.
    pub async fn live(
        seed: [u8; 32],
        arrival: Arrival,
        ticket: &Ticket,
        store: Store,
        (line, mut hears): (Arc<Line>, mpsc::UnboundedReceiver<Heard>),
        habit: Box<dyn Habit>,
    ) -> Result<()> {
        gather(&line, ticket).await;
        let (run, worker) = open(&store, ticket.run)?;
        let (results, mut done) = mpsc::unbounded_channel();
        let identity = Identity::from_seed(seed);
        let node = Node::new(Identity::from_seed(seed), run, Vec::new(), arrival)?;
        let mut peer = Self {
            identity,
            node,
            store,
            line: line.clone(),
            worker,
            habit,
            results,
            audits: BTreeMap::new(),
            training: None,
            begun: Instant::now(),
            wake: None,
        };
        peer.handle(Event::Start);
        line.linked().into_iter().for_each(|peer_id| peer.handle(Event::PeerUp(peer_id)));
        let mut besides = tokio::time::interval(BESIDES);
        loop {
            let wake = peer
                .wake
                .map_or(Duration::from_secs(60), |at| at.saturating_duration_since(Instant::now()));
            tokio::select! {
                Some(heard) = hears.recv() => peer.hear(heard),
                Some(event) = done.recv() => peer.handle(event),
                () = sleep(wake) => { peer.wake = None; peer.handle(Event::Tick) }
                _ = besides.tick() => peer.speak(),
            }
        }
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut dyn Habit, &Scene) -> T) -> T {
        let Self { identity, node, store, line, habit, .. } = self;
        act(&mut **habit, &Scene { identity, node, store, line })
    }

    fn hear(&mut self, heard: Heard) {
        self.handle(match heard {
            Heard::Up(peer) => Event::PeerUp(peer),
            Heard::Down(peer) => Event::PeerDown(peer),
            Heard::Message(from, bytes) => Event::Message { from, bytes },
        });
    }

    /// Says what the habit wants said.
    fn speak(&mut self) {
        let messages = self.with(|habit, scene| habit.besides(scene));
        messages.iter().for_each(|message| self.line.broadcast(&message.to_bytes()));
    }

    fn handle(&mut self, mut event: Event) {
        match &mut event {
            Event::Trained { height, result: Ok(trained) } => {
                self.with(|habit, scene| habit.claims(scene, *height, &mut trained.output));
            }
            Event::Audited { id, result: Ok(outcome) } => {
                if let Some(job) = self.audits.remove(id) {
                    let honest = outcome.clone();
                    *outcome = self.with(|habit, scene| habit.finds(scene, &job, honest));
                }
            }
            _ => {}
        }
        let now = Time(self.begun.elapsed().as_millis() as u64);
        for action in self.node.handle(now, event) {
            self.act(action);
        }
    }

    /// Carries out what its node wants. Nothing is kept for after a crash.
    fn act(&mut self, action: Action) {
        match action {
            Action::Send { to, bytes } if self.may_say(&bytes) => self.line.send(to, &bytes),
            Action::Broadcast { bytes } if self.may_say(&bytes) => self.line.broadcast(&bytes),
            Action::Train(job) => {
                let control = Control::quiet();
                self.training = Some(control.clone());
                let (height, of) = (job.height, control);
                self.work(move |worker| Event::Trained { height, result: worker.train(&job, &of) });
            }
            Action::CancelTrain => {
                if let Some(control) = self.training.take() {
                    control.cancel();
                }
            }
            Action::Audit(job) => {
                self.audits.insert(job.id, job.clone());
                self.work(move |worker| {
                    let result = worker.audit(&job, &Control::quiet());
                    Event::Audited { id: job.id, result }
                });
            }
            Action::Open(job) => self.work(move |worker| {
                let result = worker.open(&job, &Control::quiet());
                Event::Opened { id: job.id, result }
            }),
            Action::Aggregate(job) => self.work(move |worker| {
                let result = worker.aggregate(&job);
                Event::Aggregated { id: job.id, result }
            }),
            Action::Fetch { id, objects, models, providers, .. } => {
                self.fetch(id, objects, models, providers);
            }
            Action::WakeAt(at) => self.wake = Some(self.begun + Duration::from_millis(at.0)),
            Action::Notice(notice) => tell(&notice),
            Action::Fatal(why) => println!("stopped: {why}"),
            _ => {}
        }
    }

    fn may_say(&mut self, bytes: &[u8]) -> bool {
        let message = swarm::parse_message(bytes);
        message.map_or(true, |message| self.with(|habit, scene| habit.says(scene, &message)))
    }

    fn work(&self, job: impl FnOnce(&dyn Worker) -> Event + Send + 'static) {
        let (worker, results) = (self.worker.clone(), self.results.clone());
        spawn_blocking(move || {
            let _ = results.send(job(&*worker));
        });
    }

    fn fetch(&self, id: u64, objects: Vec<ObjectRef>, models: Vec<ObjectRef>, from: Vec<PeerId>) {
        let (line, worker, results) =
            (self.line.clone(), self.worker.clone(), self.results.clone());
        tokio::spawn(async move {
            let mut wanted = objects;
            for model in models {
                wanted.push(model);
                if let Ok(bytes) = line.fetch(&from, model).await {
                    wanted.extend(worker.model_parts(&bytes).unwrap_or_default());
                }
            }
            for object in wanted {
                if line.fetch(&from, object).await.is_err() {
                    let (missing, stored) = (object.hash, Vec::new());
                    let _ = results.send(Event::FetchFailed { id, missing, stored });
                    return;
                }
            }
            let _ = results.send(Event::Fetched { id, stored: Vec::new() });
        });
    }
}

/// What of a peer's own life is worth a line.
fn tell(notice: &Notice) {
    match notice {
        Notice::Decided(record) => println!("height {}", record.height),
        Notice::Ejected { peer, evidence, .. } => println!("{} is out: {evidence}", peer.short()),
        Notice::WorkFailed { why, .. } => println!("work failed: {why}"),
        _ => {}
    }
}

/// Brings the run and its corpus into the store, however long it takes.
async fn gather(line: &Line, ticket: &Ticket) {
    while parts(line, ticket).await.is_err() {
        sleep(Duration::from_millis(300)).await;
    }
}

async fn parts(line: &Line, ticket: &Ticket) -> Result<()> {
    let manifest = line.fetch(&[], ticket.manifest()).await?;
    let corpus = line.fetch(&[], RunManifest::parse(&manifest)?.corpus).await?;
    for object in CorpusManifest::parse(&corpus)?.references() {
        line.fetch(&[], object).await?;
    }
    Ok(())
}

/// The run and what works on it, as the program has them.
fn open(store: &Store, id: Hash) -> Result<(Run, Arc<dyn Worker>)> {
    let run = Arc::new(RunManifest::parse(&store.get(&id)?)?);
    let corpus = Arc::new(Corpus::load(store, &run.corpus.hash)?);
    let kernel = kernel::Kernel::new(kernel::Isa::from_env().context("the instruction set")?, 1);
    let worker = TrainingWorker::new(store.clone(), run.clone(), corpus, kernel)?;
    let initial = worker.initial_state().context("the first state")?;
    Ok((protocol_run(&run, id, initial), Arc::new(worker)))
}
