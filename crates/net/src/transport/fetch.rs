//! Fetching objects from peers that may be slow, gone or lying: [`Fetching`] says who is asked for
//! what and when to give up, this carries it out over connections.

use crate::{
    causes::{BoxError, with_causes},
    transport::{
        mesh::Mesh,
        traffic::{TrafficTable, add},
        wire::{Request, Status},
    },
};
use ids::{Hash, ObjectRef, PeerId};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use store::{Store, StoreError};
use swarm::{
    Time, Urgency,
    fetching::{self, Compared, End, Fetching, Input, Limits, Order, Partial, Suspect},
};
use tokio::{
    runtime::Handle,
    sync::oneshot,
    task::{AbortHandle, JoinSet, spawn_blocking},
    time::sleep,
};

/// Objects of one fetch that are asked for at a time.
const WINDOW: usize = 32;
/// A provider that sends nothing for so long, or falls behind the least rate by so much, is left
/// for the next.
pub(crate) const STALL: Duration = Duration::from_secs(8);
/// Deadlines are kept to this precision, and who is connected is looked up as often.
const TICK: Duration = Duration::from_millis(50);
/// The most objects of one fetch.
const MAX_OBJECTS: usize = 1 << 17;

/// Finds what a manifest names; an error says why the bytes are not the manifest they should be.
pub type Parts = dyn Fn(&[u8]) -> Result<Vec<FetchRequest>, BoxError> + Send + Sync;

/// An object to get. What it is was known before it came: only what is wanted as a manifest is
/// read as one, whatever the bytes of other objects look like.
#[derive(Clone)]
pub struct FetchRequest {
    /// What to get, of exactly this length.
    pub object: ObjectRef,
    /// How to find what else belongs to it; `None` for an object that names nothing.
    pub parts: Option<Arc<Parts>>,
}

impl FetchRequest {
    /// A manifest, with what `parts` finds in it.
    pub fn manifest(object: ObjectRef, parts: Arc<Parts>) -> Self {
        Self { object, parts: Some(parts) }
    }
}

impl From<ObjectRef> for FetchRequest {
    fn from(object: ObjectRef) -> Self {
        Self { object, parts: None }
    }
}

impl std::fmt::Debug for FetchRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let manifest = self.parts.is_some();
        f.debug_struct("FetchRequest")
            .field("object", &self.object)
            .field("manifest", &manifest)
            .finish()
    }
}

/// Why an object is not here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("object {0} could not be had from any peer")]
    Missing(Hash),
    #[error("object {hash} of {len} bytes is beyond the bound of {most}")]
    TooLarge { hash: Hash, len: u64, most: u64 },
    #[error("manifest {hash} is refused: {why}")]
    Manifest { hash: Hash, why: String },
    #[error("more than {MAX_OBJECTS} objects, {0} among them")]
    TooMany(Hash),
    #[error("storing object {hash}: {}", why.text)]
    Store { hash: Hash, why: Unstored },
}

/// Why an object could not be stored.
#[derive(Clone, Debug)]
pub(crate) struct Unstored {
    text: String,
    /// Whether the same may go well later, as when the disk has room again.
    may_pass: bool,
}

impl FetchError {
    /// Whether it is of this machine alone, and the same may go well later.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Store { why, .. } if why.may_pass)
    }

    /// The object that it is about.
    pub fn object(&self) -> Hash {
        match self {
            Self::Missing(hash) | Self::TooMany(hash) => *hash,
            Self::TooLarge { hash, .. }
            | Self::Manifest { hash, .. }
            | Self::Store { hash, .. } => *hash,
        }
    }
}

/// How far a fetch is; shared with whoever shows it.
#[derive(Debug, Default)]
pub(crate) struct FetchProgress {
    pub objects: AtomicU64,
    pub objects_known: AtomicU64,
    pub bytes: AtomicU64,
    pub bytes_known: AtomicU64,
    /// What of `bytes` was not here already.
    pub bytes_fetched: AtomicU64,
}

/// Fetches objects into one store.
#[derive(Debug)]
pub(crate) struct Fetcher {
    /// What a protocol with other requests besides has in front of one for an object.
    prefix: &'static [u8],
    store: Store,
    mesh: Arc<Mesh>,
    traffic: Arc<TrafficTable>,
    max_object: u64,
    begun: Instant,
    state: Mutex<State>,
    next: AtomicU64,
}

#[derive(Debug)]
struct State {
    fetching: Fetching,
    /// Who waits for a request, and for what.
    waiting: BTreeMap<u64, oneshot::Sender<Result<(), Option<Unstored>>>>,
    running: BTreeMap<u64, AbortHandle>,
    partials: BTreeMap<ObjectRef, Partial>,
    suspects: BTreeMap<ObjectRef, Vec<Suspect>>,
    linked: BTreeSet<PeerId>,
    ticking: bool,
}

/// One fetch, as its objects see it.
struct FetchTask {
    task: u64,
    urgency: Urgency,
    providers: Vec<PeerId>,
}

/// A request that is given up when nobody waits for it any more.
struct Waiting<'a> {
    fetcher: &'a Arc<Fetcher>,
    runtime: Handle,
    request: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.fetcher.state();
        if state.waiting.remove(&self.request).is_some() {
            let input = Input::Cancel { request: self.request };
            self.fetcher.tell(&mut state, &self.runtime, input, None);
        }
    }
}

impl Fetcher {
    /// `start`: how far behind the least rate a transfer may be.
    pub fn new(
        prefix: &'static [u8],
        store: Store,
        mesh: Arc<Mesh>,
        traffic: Arc<TrafficTable>,
        max_object: u64,
        start: Duration,
    ) -> Arc<Self> {
        let limits = Limits { start_ms: start.as_millis() as u64, ..Limits::default() };
        Arc::new(Self {
            prefix,
            store,
            mesh,
            traffic,
            max_object,
            begun: Instant::now(),
            state: Mutex::new(State {
                fetching: Fetching::new(limits),
                waiting: BTreeMap::new(),
                running: BTreeMap::new(),
                partials: BTreeMap::new(),
                suspects: BTreeMap::new(),
                linked: BTreeSet::new(),
                ticking: false,
            }),
            next: AtomicU64::new(1),
        })
    }

    /// Brings `requests` and what the manifests among them name into the store. Asks `providers`
    /// first, then everybody else who is linked. How deep it goes follows from the requests: each
    /// manifest's reader says which of its parts are manifests again. Returns all that belongs to it.
    pub async fn fetch(
        self: &Arc<Self>,
        requests: Vec<FetchRequest>,
        providers: Vec<PeerId>,
        urgency: Urgency,
        progress: &Arc<FetchProgress>,
    ) -> Result<BTreeSet<Hash>, FetchError> {
        let fetch_task = FetchTask { task: self.next.fetch_add(1, Relaxed), urgency, providers };
        let fetch_task = Arc::new(fetch_task);
        let mut seen = BTreeSet::new();
        let mut level = requests;
        loop {
            level.retain(|request| seen.insert(request.object.hash));
            let Some(first) = level.first() else { return Ok(seen) };
            if seen.len() > MAX_OBJECTS {
                return Err(FetchError::TooMany(first.object.hash));
            }
            let known =
                level.iter().fold(0u64, |sum, request| sum.saturating_add(request.object.len));
            progress.bytes_known.fetch_add(known, Relaxed);
            progress.objects_known.fetch_add(level.len() as u64, Relaxed);
            level = self.level(level, &fetch_task, progress).await?;
        }
    }

    /// Fetches one level of a graph of objects and returns what its manifests name.
    async fn level(
        self: &Arc<Self>,
        requests: Vec<FetchRequest>,
        fetch_task: &Arc<FetchTask>,
        progress: &Arc<FetchProgress>,
    ) -> Result<Vec<FetchRequest>, FetchError> {
        let mut running = JoinSet::new();
        let mut found = Vec::new();
        for request in requests {
            if running.len() >= WINDOW {
                collect(&mut running, &mut found).await?;
            }
            let (fetcher, fetch_task, progress) =
                (self.clone(), fetch_task.clone(), progress.clone());
            running.spawn(async move {
                let len = request.object.len;
                let parts = fetcher.object(request, &fetch_task, &progress).await?;
                progress.objects.fetch_add(1, Relaxed);
                progress.bytes.fetch_add(len, Relaxed);
                Ok(parts)
            });
        }
        while !running.is_empty() {
            collect(&mut running, &mut found).await?;
        }
        Ok(found)
    }

    /// Brings one object into the store and returns what it names.
    async fn object(
        self: &Arc<Self>,
        request: FetchRequest,
        fetch_task: &FetchTask,
        progress: &FetchProgress,
    ) -> Result<Vec<FetchRequest>, FetchError> {
        let ObjectRef { hash, len } = request.object;
        if len > self.max_object {
            return Err(FetchError::TooLarge { hash, len, most: self.max_object });
        }
        if let Some(parts) = self.parts_of(&request).await? {
            return Ok(parts);
        }
        let brought = self.bring(request.object, fetch_task).await;
        if brought.is_ok() {
            progress.bytes_fetched.fetch_add(len, Relaxed);
        }
        match brought {
            Ok(()) if request.parts.is_none() => Ok(Vec::new()),
            Ok(()) => self.parts_of(&request).await?.ok_or(FetchError::Missing(hash)),
            Err(None) => Err(FetchError::Missing(hash)),
            Err(Some(why)) => Err(FetchError::Store { hash, why }),
        }
    }

    /// What the object names, or `None` where it is not in the store or damaged there.
    async fn parts_of(
        &self,
        request: &FetchRequest,
    ) -> Result<Option<Vec<FetchRequest>>, FetchError> {
        let (store, FetchRequest { object, parts }) = (self.store.clone(), request.clone());
        let hash = object.hash;
        let read = move || match store.get(&hash) {
            Ok(bytes) if bytes.len() as u64 != object.len => Ok(None),
            Ok(bytes) => match parts {
                Some(parts) => parts(&bytes)
                    .map(Some)
                    .map_err(|why| FetchError::Manifest { hash, why: with_causes(&*why) }),
                None => Ok(Some(Vec::new())),
            },
            Err(_) => Ok(None),
        };
        spawn_blocking(read).await.map_err(|_| FetchError::Missing(hash))?
    }

    /// Waits until the object was fetched. Errors: `None` where nobody gave it, else why it could
    /// not be stored.
    async fn bring(
        self: &Arc<Self>,
        object: ObjectRef,
        fetch_task: &FetchTask,
    ) -> Result<(), Option<Unstored>> {
        let (result, done) = oneshot::channel();
        let (request, runtime) = (self.next.fetch_add(1, Relaxed), Handle::current());
        let waiting = Waiting { fetcher: self, runtime, request };
        {
            let mut state = self.state();
            state.waiting.insert(request, result);
            let FetchTask { task, urgency, ref providers } = *fetch_task;
            let providers = providers.clone();
            let wanted = fetching::Request { id: request, task, object, urgency, providers };
            self.tell(&mut state, &waiting.runtime, Input::Want(wanted), None);
            if !std::mem::replace(&mut state.ticking, true) {
                waiting.runtime.spawn(self.clone().tick());
            }
        }
        done.await.unwrap_or(Err(None))
    }

    /// Whether nothing is being fetched and nothing held.
    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        let state = self.state();
        let empty = state.running.is_empty() && state.partials.is_empty();
        empty && state.fetching.is_idle() && state.waiting.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    fn now(&self) -> Time {
        Time(self.begun.elapsed().as_millis() as u64)
    }

    /// Keeps the deadlines, as long as anything is wanted.
    async fn tick(self: Arc<Self>) {
        loop {
            sleep(TICK).await;
            let mut state = self.state();
            if state.fetching.is_idle() {
                state.ticking = false;
                return;
            }
            self.tell(&mut state, &Handle::current(), Input::Tick, None);
        }
    }

    /// Tells the scheduler what happened and carries out what it orders. `failure`: why what is
    /// over by this could not be stored.
    fn tell(
        self: &Arc<Self>,
        state: &mut State,
        runtime: &Handle,
        input: Input,
        failure: Option<Unstored>,
    ) {
        let linked: BTreeSet<PeerId> = self.mesh.linked().into_iter().collect();
        let mut orders = Vec::new();
        if linked != state.linked {
            state.linked.clone_from(&linked);
            orders = state.fetching.handle(self.now(), Input::Linked(linked));
        }
        orders.extend(state.fetching.handle(self.now(), input));
        for order in orders {
            self.obey(state, runtime, order, &failure);
        }
        let State { suspects, fetching, .. } = state;
        suspects.retain(|object, _| fetching.is_wanted(object));
    }

    fn obey(
        self: &Arc<Self>,
        state: &mut State,
        runtime: &Handle,
        order: Order,
        failure: &Option<Unstored>,
    ) {
        match order {
            Order::Ask { transfer, peer, object, offset } => {
                let fetcher = self.clone();
                let task = runtime.spawn(async move {
                    let request = Request { object, offset };
                    let end = fetcher.ask(transfer, peer, request).await;
                    fetcher.ended(transfer, object, end);
                });
                state.running.insert(transfer, task.abort_handle());
            }
            Order::Stop { transfer } => {
                if let Some(task) = state.running.remove(&transfer) {
                    task.abort();
                }
            }
            Order::Discard { object } => drop(state.partials.remove(&object)),
            Order::Done { request, here } => {
                if let Some(waiting) = state.waiting.remove(&request) {
                    let _ = waiting.send(if here { Ok(()) } else { Err(failure.clone()) });
                }
            }
        }
    }

    /// Asks one peer for what is missing of an object. How long it may take, the scheduler knows.
    async fn ask(&self, transfer: u64, peer: PeerId, request: Request) -> End {
        let Some(connection) = self.mesh.connection(peer) else { return End::Elsewhere };
        let counters = self.traffic.of(peer);
        let opened = async {
            let (mut send, mut recv) = connection.open_bi().await.ok()?;
            send.write_all(&[self.prefix, &request.encode()].concat()).await.ok()?;
            send.finish().ok()?;
            let mut status = [0];
            recv.read_exact(&mut status).await.ok()?;
            Some((Status::decode(status[0])?, recv))
        };
        let Some((Status::Here, mut recv)) = opened.await else { return End::Elsewhere };
        add(&counters.objects_in, 1);
        let mut missing = request.object.len - request.offset;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let Ok(read) = recv.read(&mut buffer).await else { return End::Elsewhere };
            match read {
                Some(n) => {
                    add(&counters.objects_in, n);
                    let Some(left) = missing.checked_sub(n as u64) else { return End::TooLong };
                    missing = left;
                    self.received(transfer, peer, request.object, &buffer[..n]);
                }
                None if missing == 0 => return End::Whole,
                None => return End::Elsewhere,
            }
        }
    }

    fn received(&self, transfer: u64, peer: PeerId, object: ObjectRef, bytes: &[u8]) {
        let mut state = self.state();
        // Stopped a moment ago: another peer goes on from where this one was.
        if !state.fetching.is_moving(transfer) {
            return;
        }
        state.partials.entry(object).or_default().add(peer, bytes, object.len);
        let input = Input::Received { transfer, bytes: bytes.len() as u64 };
        let orders = state.fetching.handle(self.now(), input);
        debug_assert_eq!(orders, [], "bytes make no room");
    }

    /// A transfer ended by itself; a whole object is checked and stored.
    fn ended(self: &Arc<Self>, transfer: u64, object: ObjectRef, end: End) {
        let (mut state, runtime) = (self.state(), Handle::current());
        state.running.remove(&transfer);
        if !state.fetching.is_moving(transfer) {
            return;
        }
        if end == End::Whole {
            let partial = state.partials.remove(&object).unwrap_or_default();
            let earlier = state.suspects.remove(&object).unwrap_or_default();
            runtime.spawn(self.clone().check(object, partial, earlier));
        }
        self.tell(&mut state, &runtime, Input::Ended { transfer, end }, None);
    }

    async fn check(self: Arc<Self>, object: ObjectRef, partial: Partial, earlier: Vec<Suspect>) {
        let store = self.store.clone();
        let compared = spawn_blocking(move || {
            let compared = partial.compare(&object.hash, earlier);
            if let Compared::Right(_) = compared {
                store.put(partial.bytes())?;
            }
            Ok::<_, StoreError>(compared)
        })
        .await;
        let (mut state, runtime) = (self.state(), Handle::current());
        let failed =
            |text: String, may_pass| (Input::Failed { object }, Some(Unstored { text, may_pass }));
        let (input, failure) = match compared {
            Ok(Ok(Compared::Right(liars))) => {
                liars.into_iter().for_each(|liar| self.lied(&mut state, &runtime, liar));
                (Input::Stored { object }, None)
            }
            Ok(Ok(Compared::Wrong(parts, earlier))) => {
                let mixed = parts.len() > 1;
                if let (false, Some(part)) = (mixed, parts.first()) {
                    self.lied(&mut state, &runtime, part.peer);
                }
                state.suspects.insert(object, if mixed { parts } else { earlier });
                (Input::Wrong { object, mixed }, None)
            }
            Ok(Err(e)) => failed(with_causes(&e), e.may_pass()),
            Err(e) => failed(e.to_string(), false),
        };
        self.tell(&mut state, &runtime, input, failure);
    }

    fn lied(self: &Arc<Self>, state: &mut State, runtime: &Handle, peer: PeerId) {
        tracing::warn!("peer {} sent wrong bytes", peer.short());
        self.tell(state, runtime, Input::Lied(peer), None);
    }
}

type Running = JoinSet<Result<Vec<FetchRequest>, FetchError>>;

async fn collect(running: &mut Running, found: &mut Vec<FetchRequest>) -> Result<(), FetchError> {
    match running.join_next().await {
        Some(Ok(children)) => found.extend(children?),
        Some(Err(e)) => tracing::debug!("a fetch was cancelled: {e}"),
        None => {}
    }
    // A graph wider than the bound ends here, not in memory.
    if found.len() > 2 * MAX_OBJECTS {
        return Err(FetchError::TooMany(found[0].object.hash));
    }
    Ok(())
}
