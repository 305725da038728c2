//! Answers other members' requests, each bounded in bytes and time.

use super::{
    intake::{Network, Origin},
    replica::{Replica, ReplicaError},
    wire::{
        Growth, HeadAnswer, MAX_BATCH_BYTES, MAX_HEADS, MAX_REASON, OBJECT, Request, Status,
        WitnessName, cbor,
    },
};
use crate::transport::{
    address::peer_id,
    limit::Bucket,
    objects::{self, Answers, MAX_SERVING_ONE, Served},
    paced::read_to_end,
    traffic::{Counters, add},
};
use commons::Statement;
use ids::Identity;
use iroh::endpoint::{Connection, RecvStream, SendStream, VarInt};
use minicbor::bytes::ByteVec;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use store::Store;
use tokio::{
    sync::{Notify, Semaphore},
    task::{JoinSet, spawn_blocking},
    time::{sleep, timeout},
};

/// Requests of one peer per second and in one burst; further ones wait, and with them the peer,
/// because only so many streams of it may be open.
const REQUEST_RATE: (f64, f64) = (40.0, 400.0);
/// Those of all peers at one address together.
const ADDRESS_RATE: (f64, f64) = (160.0, 1600.0);
/// Addresses whose requests are counted before those that ask little are forgotten.
const MAX_NETWORKS: usize = 1024;
const THROTTLE: Duration = Duration::from_millis(20);
/// Requests that are worked on at a time, of all peers; reading and answering are not in it, so
/// that those who do it slowly hold up nobody else.
const MAX_WORKING: usize = 16;
/// Requests of one peer that are read, worked on or answered at a time.
const MAX_REQUESTS_ONE: usize = 4;
/// How long a request waits for its turn.
const WAIT: Duration = Duration::from_secs(10);
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// A reader slower than this (plus half a minute) is cut off.
const SLOWEST: usize = 32 << 10;

/// What a member answers with.
pub(crate) struct Server {
    replica: Arc<Replica>,
    witness: Option<Identity>,
    operator: Option<Identity>,
    objects: Arc<objects::Server>,
    store: Store,
    working: Semaphore,
    /// What all peers at one address may ask.
    rates: Mutex<BTreeMap<Network, Bucket>>,
    /// Rung when a peer brought something.
    changed: Arc<Notify>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.replica.id().short())
    }
}

/// What one peer may have at a time.
struct Lane {
    requests: Semaphore,
    /// Large bodies that are read.
    reading: Semaphore,
    /// Ranges, from reading them here until they are sent.
    ranges: Semaphore,
    objects: Semaphore,
}

/// What becomes of a request that cannot be answered.
enum Refusal {
    NotHere,
    Busy,
    /// The asker broke the rules; it learns by the stream's reset.
    Broken,
}

impl Server {
    /// A server of one commons.
    pub fn new(
        replica: Arc<Replica>,
        witness: Option<Identity>,
        operator: Option<Identity>,
        store: Store,
        changed: Arc<Notify>,
    ) -> Arc<Self> {
        Arc::new(Self {
            replica,
            witness,
            operator,
            objects: objects::Server::new(store.clone()),
            store,
            working: Semaphore::new(MAX_WORKING),
            rates: Mutex::default(),
            changed,
        })
    }

    /// The key to cosign with.
    pub fn witness(&self) -> Option<&Identity> {
        self.witness.as_ref()
    }

    /// Whether one more request of a peer and of its address is within their rates.
    fn takes_one(&self, own: &mut Bucket, network: Option<Network>) -> bool {
        let now = Instant::now();
        let Some(network) = network else { return own.take(1.0, now) };
        let mut rates = self.rates.lock().expect("no holder of this lock panics");
        if rates.len() > MAX_NETWORKS {
            rates.retain(|_, bucket| !bucket.is_full(now));
        }
        let fresh = || Bucket::new(ADDRESS_RATE.0, ADDRESS_RATE.1, now);
        let of_address = rates.entry(network).or_insert_with(fresh);
        own.holds(1.0, now) && of_address.take(1.0, now) && own.take(1.0, now)
    }

    async fn serve_all(self: Arc<Self>, connection: &Connection, counters: &Arc<Counters>) {
        let peer = peer_id(connection.remote_id());
        let lane = Arc::new(Lane {
            requests: Semaphore::new(MAX_REQUESTS_ONE),
            reading: Semaphore::new(1),
            ranges: Semaphore::new(1),
            objects: Semaphore::new(MAX_SERVING_ONE),
        });
        let mut rate = Bucket::new(REQUEST_RATE.0, REQUEST_RATE.1, Instant::now());
        let mut running = JoinSet::new();
        while let Ok((send, recv)) = connection.accept_bi().await {
            while running.try_join_next().is_some() {}
            let network = Network::of_connection(connection);
            while !self.takes_one(&mut rate, network) {
                sleep(THROTTLE).await;
            }
            let from = Origin { peer, network };
            let (server, lane, counters) = (self.clone(), lane.clone(), counters.clone());
            running.spawn(async move {
                server.serve_one(from, send, recv, &lane, &counters).await;
            });
        }
    }

    async fn serve_one(
        &self,
        from: Origin,
        mut send: SendStream,
        mut recv: RecvStream,
        lane: &Lane,
        counters: &Counters,
    ) {
        let mut kind = [0];
        let first = timeout(REQUEST_TIME, recv.read_exact(&mut kind)).await;
        if matches!(first, Ok(Ok(()))) && kind[0] == OBJECT {
            self.objects.answer(send, recv, &lane.objects, counters).await;
        } else if self.exchange(from, kind[0], &mut send, recv, lane, counters).await.is_none() {
            // Without this, what was written so far would pass for a whole answer.
            let _ = send.reset(VarInt::from_u32(0));
        }
    }

    /// `None` where the peer went away, is too slow or broke the rules.
    async fn exchange(
        &self,
        from: Origin,
        kind: u8,
        send: &mut SendStream,
        mut recv: RecvStream,
        lane: &Lane,
        counters: &Counters,
    ) -> Option<()> {
        let bound = Request::bound(kind)?;
        let Ok(Ok(_mine)) = timeout(WAIT, lane.requests.acquire()).await else {
            return answer(send, Status::Busy, &[], counters).await;
        };
        let large = Request::is_large(kind);
        let reading = if large { Some(lane.reading.acquire().await.ok()?) } else { None };
        let body = read_to_end(&mut recv, bound, REQUEST_TIME).await.ok()?;
        drop(reading);
        add(&counters.messages_in, body.len() + 1);
        let request = Request::decode(kind, &body).ok()?;
        let is_range = matches!(request, Request::Range(_));
        let _range = if is_range { Some(lane.ranges.acquire().await.ok()?) } else { None };
        let Ok(Ok(slot)) = timeout(WAIT, self.working.acquire()).await else {
            return answer(send, Status::Busy, &[], counters).await;
        };
        let response = self.respond(from, request).await;
        drop(slot);
        match response {
            Ok(body) => answer(send, Status::Here, &body, counters).await,
            Err(Refusal::NotHere) => answer(send, Status::NotHere, &[], counters).await,
            Err(Refusal::Busy) => answer(send, Status::Busy, &[], counters).await,
            Err(Refusal::Broken) => None,
        }
    }

    async fn respond(&self, from: Origin, request: Request) -> Result<Vec<u8>, Refusal> {
        let (replica, witness) = (self.replica.clone(), self.witness.clone());
        let (operator, store) = (self.operator.clone(), self.store.clone());
        let brings = matches!(request, Request::Submit(_));
        let work = move || match request {
            Request::Head(ask) => head(&replica, ask.above, witness.as_ref()),
            Request::Range(ask) => {
                here(replica.range(&ask))?.ok_or(Refusal::NotHere).map(|r| cbor(&r))
            }
            Request::Genesis(id) => here(replica.genesis(&id))?.ok_or(Refusal::NotHere),
            Request::Growth(ask) => {
                let growth: Option<Growth> = here(replica.growth(ask.old, ask.new))?;
                growth.ok_or(Refusal::NotHere).map(|g| cbor(&g))
            }
            Request::Pending => Ok(cbor(&[here(replica.waiting())?])),
            Request::Statements(hashes) => {
                let found = here(replica.statements(&hashes, MAX_BATCH_BYTES))?;
                let found: Vec<ByteVec> = found.into_iter().map(ByteVec::from).collect();
                Ok(cbor(&[found]))
            }
            Request::Submit(statements) => submit(&replica, from, &statements),
            Request::Cosign(body) => {
                let witness = witness.ok_or(Refusal::NotHere)?;
                let response = here(replica.cosign(&witness, &body, unix_time()))?;
                Ok([&response.status().to_le_bytes()[..], response.body().as_bytes()].concat())
            }
            Request::Receipts(hashes) => {
                let receipts = here(replica.receipts(&hashes, operator.as_ref()))?;
                let receipts: Vec<ByteVec> =
                    receipts.iter().map(|receipt| receipt.to_bytes().into()).collect();
                Ok(cbor(&[receipts]))
            }
            Request::Length(hash) => {
                store.len_of(&hash).map(|len| cbor(&[len])).ok_or(Refusal::NotHere)
            }
        };
        let result = spawn_blocking(work).await.unwrap_or(Err(Refusal::Busy));
        if brings {
            self.changed.notify_one();
        }
        result
    }
}

impl Answers for Server {
    fn serve<'a>(
        self: Arc<Self>,
        connection: &'a Connection,
        counters: &'a Arc<Counters>,
    ) -> Served<'a> {
        Box::pin(self.serve_all(connection, counters))
    }
}

fn head(replica: &Replica, above: u64, witness: Option<&Identity>) -> Result<Vec<u8>, Refusal> {
    let key = witness.map(Identity::id);
    let name = key.map(|key| here(replica.witness_name(&key))).transpose()?.flatten();
    let witness = key.zip(name).map(|(key, name)| WitnessName { name: name.to_string(), key });
    let heads = here(replica.heads(above, MAX_HEADS))?;
    let summary = here(replica.summary())?;
    Ok(cbor(&HeadAnswer {
        size: summary.news.size,
        heads: heads.iter().map(ToString::to_string).collect(),
        pending: summary.news.pending,
        witness,
    }))
}

fn submit(replica: &Replica, from: Origin, bytes: &[ByteVec]) -> Result<Vec<u8>, Refusal> {
    let parsed: Result<Vec<Statement>, _> = bytes.iter().map(|b| Statement::parse(b)).collect();
    let statements = parsed.map_err(|e| {
        tracing::debug!("peer {} brought no statement: {}", from.peer.short(), ids::Plain(e));
        Refusal::Broken
    })?;
    let reasons = here(replica.submit(Some(from), &statements))?;
    let short = |why: String| why.chars().take(MAX_REASON / 4).collect::<String>();
    let reasons: Vec<Option<String>> = reasons.into_iter().map(|why| why.map(short)).collect();
    Ok(cbor(&[reasons]))
}

/// What fails here is not the asker's fault, and not its business.
fn here<T>(result: Result<T, ReplicaError>) -> Result<T, Refusal> {
    result.map_err(|e| {
        tracing::warn!("cannot answer: {e}");
        Refusal::Busy
    })
}

async fn answer(
    send: &mut SendStream,
    status: Status,
    body: &[u8],
    counters: &Counters,
) -> Option<()> {
    let most = Duration::from_secs(30 + (body.len() / SLOWEST) as u64);
    let write = async {
        send.write_all(&[status as u8]).await.ok()?;
        send.write_all(body).await.ok()?;
        send.finish().ok()
    };
    timeout(most, write).await.ok()??;
    add(&counters.messages_out, body.len() + 1);
    Some(())
}

/// This machine's clock, in seconds since 1970.
pub(crate) fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
