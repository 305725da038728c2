//! Fetching objects from peers that may be slow, gone or lying.

use crate::{
    mesh::Mesh,
    traffic::{TrafficTable, add},
    wire::{Request, Status},
};
use iroh::endpoint::Connection;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use store::{Hash, ObjectRef, Store, StoreError};
use swarm::PeerId;
use tokio::{
    sync::Semaphore,
    task::{JoinSet, spawn_blocking},
    time::{sleep, timeout},
};

/// Objects being received at a time, and KiB of them held in memory.
const MAX_FETCHING: usize = 8;
const MAX_MEMORY_KIB: usize = 256 << 10;
/// A provider that sends nothing for so long is left for the next.
pub(crate) const STALL: Duration = Duration::from_secs(8);
const ANSWER_TIME: Duration = Duration::from_secs(15);
/// How often all providers are asked, with growing pauses, before the object counts as missing.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// A provider caught so often is asked no more.
const MAX_LIES: u32 = 3;
/// The most objects of one fetch.
const MAX_OBJECTS: usize = 1 << 17;

/// Finds what a manifest names; an error says why the bytes are not the manifest they should be.
pub type Parts = dyn Fn(&[u8]) -> Result<Vec<Want>, String> + Send + Sync;

/// An object to get. What it is was known before it came: only what is wanted as a manifest is
/// read as one, whatever the bytes of other objects look like.
#[derive(Clone)]
pub struct Want {
    /// What to get, of exactly this length.
    pub object: ObjectRef,
    /// How to find what else belongs to it; `None` for an object that names nothing.
    pub parts: Option<Arc<Parts>>,
}

impl Want {
    /// A manifest, with what `parts` finds in it.
    pub fn manifest(object: ObjectRef, parts: Arc<Parts>) -> Self {
        Self { object, parts: Some(parts) }
    }
}

impl From<ObjectRef> for Want {
    fn from(object: ObjectRef) -> Self {
        Self { object, parts: None }
    }
}

impl std::fmt::Debug for Want {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let manifest = self.parts.is_some();
        f.debug_struct("Want").field("object", &self.object).field("manifest", &manifest).finish()
    }
}

/// Why an object is not here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("object {0} could not be had from any peer")]
    Missing(Hash),
    #[error("object {hash} of {len} bytes is beyond the bound of {most}")]
    TooLarge { hash: Hash, len: u64, most: u64 },
    #[error("manifest {hash} does not parse: {why}")]
    Manifest { hash: Hash, why: String },
    #[error("more than {MAX_OBJECTS} objects, {0} among them")]
    TooMany(Hash),
    #[error("storing object {hash}: {source}")]
    Store { hash: Hash, source: StoreError },
}

impl FetchError {
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

/// How far a deep fetch is; shared with whoever shows it.
#[derive(Debug, Default)]
pub(crate) struct FetchProgress {
    pub objects: AtomicU64,
    pub objects_known: AtomicU64,
    pub bytes: AtomicU64,
    pub bytes_known: AtomicU64,
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
    stall: Duration,
    slots: Semaphore,
    memory: Semaphore,
    lies: Mutex<BTreeMap<PeerId, u32>>,
    /// Objects being fetched, so that two who want one fetch it once.
    busy: Mutex<BTreeMap<Hash, Weak<tokio::sync::Mutex<()>>>>,
}

/// The bytes received so far.
#[derive(Debug, Default)]
struct Partial {
    bytes: Vec<u8>,
    /// Who sent what follows from which byte on.
    senders: Vec<(PeerId, usize)>,
}

/// A part of bytes that turned out wrong as a whole, to find its sender's guilt later.
#[derive(Debug)]
struct Suspect {
    peer: PeerId,
    range: Range<usize>,
    hash: Hash,
}

/// What became of bytes received.
enum Kept {
    /// They are the object; these peers sent other bytes before.
    Stored(Vec<PeerId>),
    /// They are not; who sent which part.
    Wrong(Vec<Suspect>),
}

/// How one provider's answer ended.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// All bytes are there.
    Whole,
    /// It does not have the object or is busy, or the answer broke off.
    Elsewhere,
    /// More bytes than it may be.
    Lie,
}

impl Fetcher {
    pub fn new(
        prefix: &'static [u8],
        store: Store,
        mesh: Arc<Mesh>,
        traffic: Arc<TrafficTable>,
        max_object: u64,
        stall: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            prefix,
            store,
            mesh,
            traffic,
            max_object,
            stall,
            slots: Semaphore::new(MAX_FETCHING),
            memory: Semaphore::new(MAX_MEMORY_KIB),
            lies: Mutex::default(),
            busy: Mutex::default(),
        })
    }

    /// Brings `wants` and what the manifests among them name into the store. Asks `providers`
    /// first, then everybody else who is linked. How deep it goes follows from the wants: each
    /// manifest's reader says which of its parts are manifests again.
    pub async fn fetch(
        self: &Arc<Self>,
        wants: Vec<Want>,
        providers: Vec<PeerId>,
        progress: &Arc<FetchProgress>,
    ) -> Result<(), FetchError> {
        let providers: Arc<[PeerId]> = providers.into();
        let mut seen = BTreeSet::new();
        let mut level = wants;
        loop {
            level.retain(|want| seen.insert(want.object.hash));
            let Some(first) = level.first() else { return Ok(()) };
            if seen.len() > MAX_OBJECTS {
                return Err(FetchError::TooMany(first.object.hash));
            }
            let known = level.iter().fold(0u64, |sum, want| sum.saturating_add(want.object.len));
            progress.bytes_known.fetch_add(known, Relaxed);
            progress.objects_known.fetch_add(level.len() as u64, Relaxed);
            level = self.level(level, &providers, progress).await?;
        }
    }

    /// Fetches one level of a graph of objects and returns what its manifests name.
    async fn level(
        self: &Arc<Self>,
        wants: Vec<Want>,
        providers: &Arc<[PeerId]>,
        progress: &Arc<FetchProgress>,
    ) -> Result<Vec<Want>, FetchError> {
        let mut running = JoinSet::new();
        let mut found = Vec::new();
        for (turn, Want { object, parts }) in wants.into_iter().enumerate() {
            if running.len() >= 2 * MAX_FETCHING {
                collect(&mut running, &mut found).await?;
            }
            let fetcher = self.clone();
            let (providers, progress) = (providers.clone(), progress.clone());
            running.spawn(async move {
                let children = fetcher.object(object, parts, &providers, turn).await?;
                progress.objects.fetch_add(1, Relaxed);
                progress.bytes.fetch_add(object.len, Relaxed);
                Ok(children)
            });
        }
        while !running.is_empty() {
            collect(&mut running, &mut found).await?;
        }
        Ok(found)
    }

    /// Brings one object into the store and returns what it names. `turn` spreads the objects
    /// of one fetch over the providers.
    async fn object(
        &self,
        object: ObjectRef,
        parts: Option<Arc<Parts>>,
        providers: &[PeerId],
        turn: usize,
    ) -> Result<Vec<Want>, FetchError> {
        let ObjectRef { hash, len } = object;
        if len > self.max_object {
            return Err(FetchError::TooLarge { hash, len, most: self.max_object });
        }
        let lock = self.lock_of(hash);
        let _only = lock.lock().await;
        if let Some(children) = self.children(object, parts.clone()).await? {
            return Ok(children);
        }
        let _slot = self.slots.acquire().await.expect("never closed");
        let kib = (len / 1024 + 1).min(MAX_MEMORY_KIB as u64) as u32;
        let _memory = self.memory.acquire_many(kib).await.expect("never closed");
        self.receive(object, providers, turn).await?;
        self.children(object, parts).await?.ok_or(FetchError::Missing(hash))
    }

    fn lock_of(&self, hash: Hash) -> Arc<tokio::sync::Mutex<()>> {
        let mut busy = self.busy.lock().expect("no holder of this lock panics");
        busy.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = busy.get(&hash).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        busy.insert(hash, Arc::downgrade(&lock));
        lock
    }

    /// What the object names, or `None` where it is not in the store or damaged there.
    async fn children(
        &self,
        object: ObjectRef,
        parts: Option<Arc<Parts>>,
    ) -> Result<Option<Vec<Want>>, FetchError> {
        let store = self.store.clone();
        let hash = object.hash;
        let read = move || match store.get(&hash) {
            Ok(bytes) if bytes.len() as u64 != object.len => Ok(None),
            Ok(bytes) => match parts {
                Some(parts) => {
                    parts(&bytes).map(Some).map_err(|why| FetchError::Manifest { hash, why })
                }
                None => Ok(Some(Vec::new())),
            },
            Err(_) => Ok(None),
        };
        spawn_blocking(read).await.map_err(|_| FetchError::Missing(hash))?
    }

    /// Asks one provider after the other, each going on where the last one broke off.
    async fn receive(
        &self,
        object: ObjectRef,
        providers: &[PeerId],
        turn: usize,
    ) -> Result<(), FetchError> {
        let mut partial = Partial::default();
        let mut suspects = Vec::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                sleep(FIRST_PAUSE * (1 << (attempt - 1))).await;
            }
            for peer in self.candidates(providers, turn) {
                let Some(connection) = self.mesh.connection(peer) else { continue };
                match self.ask(&connection, peer, object, &mut partial).await {
                    Answer::Whole => {}
                    Answer::Lie => {
                        self.caught(peer);
                        partial = Partial::default();
                        continue;
                    }
                    Answer::Elsewhere => {
                        // Once parts of several peers did not fit, only one peer's word counts.
                        if !suspects.is_empty() {
                            partial = Partial::default();
                        }
                        continue;
                    }
                }
                match self.keep(object, std::mem::take(&mut partial), &mut suspects).await? {
                    Kept::Stored(liars) => {
                        liars.into_iter().for_each(|liar| self.caught(liar));
                        return Ok(());
                    }
                    Kept::Wrong(parts) if parts.len() == 1 => self.caught(peer),
                    Kept::Wrong(parts) => suspects = parts,
                }
            }
        }
        Err(FetchError::Missing(object.hash))
    }

    fn candidates(&self, providers: &[PeerId], turn: usize) -> Vec<PeerId> {
        let lies = self.lies.lock().expect("no holder of this lock panics");
        let honest = |peer: &PeerId| lies.get(peer).is_none_or(|&n| n < MAX_LIES);
        let mut named: Vec<_> = providers.iter().copied().filter(honest).collect();
        if !named.is_empty() {
            let by = turn % named.len();
            named.rotate_left(by);
        }
        let others = self.mesh.linked().into_iter().filter(|p| !named.contains(p)).filter(honest);
        let mut others: Vec<_> = others.collect();
        if !others.is_empty() {
            let by = turn % others.len();
            others.rotate_left(by);
        }
        named.extend(others);
        named
    }

    fn caught(&self, peer: PeerId) {
        let mut lies = self.lies.lock().expect("no holder of this lock panics");
        // Only linked peers are asked, so the table is as bounded as the mesh; keys that come and
        // go forget the oldest verdicts at worst.
        if lies.len() > 1024 {
            lies.pop_first();
        }
        let count = lies.entry(peer).or_default();
        *count += 1;
        tracing::warn!("peer {} sent wrong bytes ({count} of {MAX_LIES})", peer.short());
    }

    /// Asks one peer for what is missing of `partial`.
    async fn ask(
        &self,
        connection: &Connection,
        peer: PeerId,
        object: ObjectRef,
        partial: &mut Partial,
    ) -> Answer {
        let counters = self.traffic.of(peer);
        let request = Request { object, offset: partial.bytes.len() as u64 };
        let opened = timeout(ANSWER_TIME, async {
            let (mut send, mut recv) = connection.open_bi().await.ok()?;
            send.write_all(&[self.prefix, &request.encode()].concat()).await.ok()?;
            send.finish().ok()?;
            let mut status = [0];
            recv.read_exact(&mut status).await.ok()?;
            Some((Status::decode(status[0])?, recv))
        });
        let Ok(Some((Status::Here, mut recv))) = opened.await else { return Answer::Elsewhere };
        add(&counters.objects_in, 1);
        let mut buffer = vec![0; 64 << 10];
        loop {
            let Ok(Ok(read)) = timeout(self.stall, recv.read(&mut buffer)).await else {
                return Answer::Elsewhere;
            };
            match read {
                Some(n) => {
                    add(&counters.objects_in, n);
                    if partial.bytes.len() as u64 + n as u64 > object.len {
                        return Answer::Lie;
                    }
                    partial.add(peer, &buffer[..n]);
                }
                None if partial.bytes.len() as u64 == object.len => return Answer::Whole,
                None => return Answer::Elsewhere,
            }
        }
    }

    /// Stores the bytes if they are the object, and says whose earlier parts differ from it.
    async fn keep(
        &self,
        object: ObjectRef,
        partial: Partial,
        suspects: &mut Vec<Suspect>,
    ) -> Result<Kept, FetchError> {
        let store = self.store.clone();
        let hash = object.hash;
        let earlier = std::mem::take(suspects);
        let checked = move || {
            if Hash::of(&partial.bytes) != hash {
                return Ok((Kept::Wrong(partial.suspects()), earlier));
            }
            store.put(&partial.bytes)?;
            let differs = |s: &&Suspect| Hash::of(&partial.bytes[s.range.clone()]) != s.hash;
            let liars = earlier.iter().filter(differs).map(|s| s.peer).collect();
            Ok((Kept::Stored(liars), earlier))
        };
        let result = spawn_blocking(checked).await.map_err(|_| FetchError::Missing(hash))?;
        let (kept, earlier) = result.map_err(|source| FetchError::Store { hash, source })?;
        *suspects = earlier;
        Ok(kept)
    }
}

impl Partial {
    fn add(&mut self, peer: PeerId, bytes: &[u8]) {
        if self.senders.last().is_none_or(|(last, _)| *last != peer) {
            self.senders.push((peer, self.bytes.len()));
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Each sender's part by hash. Bytes of length 0 have no sender and are never wrong.
    fn suspects(&self) -> Vec<Suspect> {
        let ends = self.senders.iter().skip(1).map(|(_, at)| *at).chain([self.bytes.len()]);
        let part = |((peer, start), end): (&(PeerId, usize), usize)| {
            let range = *start..end;
            Suspect { peer: *peer, hash: Hash::of(&self.bytes[range.clone()]), range }
        };
        self.senders.iter().zip(ends).map(part).collect()
    }
}

type Running = JoinSet<Result<Vec<Want>, FetchError>>;

async fn collect(running: &mut Running, found: &mut Vec<Want>) -> Result<(), FetchError> {
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
