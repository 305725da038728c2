//! Serving the store's objects to peers that know their hash.

use crate::transport::{
    endpoint::MAX_REQUESTS,
    traffic::{Counters, add},
    wire::{REQUEST_LEN, Request, Status},
};
use ids::Hash;
use iroh::endpoint::{Connection, RecvStream, SendStream, VarInt};
use std::{
    collections::VecDeque,
    fs::File,
    io::{Read, Seek, SeekFrom},
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use store::Store;
use tokio::{
    sync::Semaphore,
    task::{JoinSet, spawn_blocking},
    time::{timeout, timeout_at},
};

/// Requests of one peer answered at a time. The first of them every peer always has for itself;
/// the rest come out of [`MAX_SHARED`] for all.
pub(crate) const MAX_SERVING_ONE: usize = 8;
const OWN: usize = 2;
const MAX_SHARED: usize = 64;
/// How long a request waits for its turn before it is told to ask elsewhere; less than others wait
/// for an answer.
const WAIT: Duration = Duration::from_secs(5);
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// Bytes per second below which a reader is cut off, and how far it may be behind them.
const SLOWEST: u64 = 32 << 10;
pub(crate) const READ_TIME: Duration = Duration::from_secs(15);
const PIECE: usize = 256 << 10;
/// Objects up to this length are checked without waiting for the check of a large one.
const SMALL: u64 = 1 << 20;
/// Objects remembered as having the right bytes on disk.
const MAX_CHECKED: usize = 1024;

/// Answers what peers ask on streams of their own.
pub(crate) trait Answers: std::fmt::Debug + Send + Sync {
    /// Answers the requests of one peer until its connection ends.
    fn serve<'a>(
        self: Arc<Self>,
        connection: &'a Connection,
        counters: &'a Arc<Counters>,
    ) -> Served<'a>;
}

/// The service of one peer.
pub(crate) type Served<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Answers object requests from one store.
#[derive(Debug)]
pub(crate) struct Server {
    store: Store,
    shared: Semaphore,
    read_time: Duration,
    /// One large one at a time is read whole to be checked: bounds memory.
    checking: tokio::sync::Mutex<()>,
    checked: Mutex<VecDeque<Hash>>,
}

impl Server {
    pub fn new(store: Store) -> Arc<Self> {
        Self::with_read_time(store, READ_TIME)
    }

    /// `read_time`: how far a reader may be behind the least rate.
    pub fn with_read_time(store: Store, read_time: Duration) -> Arc<Self> {
        Arc::new(Self {
            store,
            shared: Semaphore::new(MAX_SHARED),
            read_time,
            checking: tokio::sync::Mutex::default(),
            checked: Mutex::default(),
        })
    }

    async fn serve_objects(self: &Arc<Self>, connection: &Connection, counters: &Arc<Counters>) {
        let mine = Arc::new(Semaphore::new(MAX_SERVING_ONE));
        let mut running = JoinSet::new();
        while let Ok((send, recv)) = connection.accept_bi().await {
            while running.try_join_next().is_some() {}
            if running.len() >= MAX_REQUESTS as usize {
                continue;
            }
            let (server, mine, counters) = (self.clone(), mine.clone(), counters.clone());
            running.spawn(async move {
                let _ = server.answer(send, recv, &mine, &counters).await;
            });
        }
    }

    /// Answers one request. `None` where the peer went away or broke the rules; it learns by the
    /// stream's end.
    pub async fn answer(
        &self,
        mut send: SendStream,
        mut recv: RecvStream,
        mine: &Semaphore,
        counters: &Counters,
    ) -> Option<()> {
        let mut request = [0; REQUEST_LEN];
        timeout(REQUEST_TIME, recv.read_exact(&mut request)).await.ok()?.ok()?;
        let request = Request::decode(&request)?;
        let turns = async {
            let own = mine.acquire().await.ok()?;
            if MAX_SERVING_ONE.saturating_sub(mine.available_permits()) <= OWN {
                return Some((own, None));
            }
            Some((own, Some(self.shared.acquire().await.ok()?)))
        };
        let Ok(Some(_turns)) = timeout(WAIT, turns).await else {
            return refuse(send, Status::Busy).await;
        };
        let Some(file) = self.open(&request).await else {
            return refuse(send, Status::NotHere).await;
        };
        let len = request.object.len - request.offset;
        if stream_file(file, len, &mut send, counters, self.read_time).await.is_none() {
            // What was written so far must neither pass for an answer nor wait to be read.
            return send.reset(VarInt::from_u32(0)).ok();
        }
        send.finish().ok()
    }

    /// The object's file at the offset asked for, if it is here and has the right bytes.
    async fn open(&self, request: &Request) -> Option<File> {
        let hash = request.object.hash;
        if self.store.len_of(&hash) != Some(request.object.len) {
            return None;
        }
        if !self.is_checked(&hash) {
            let large = request.object.len > SMALL;
            let _one = if large { Some(self.checking.lock().await) } else { None };
            if !self.is_checked(&hash) {
                let store = self.store.clone();
                let read = spawn_blocking(move || store.get(&hash).map(drop)).await.ok()?;
                read.inspect_err(|e| tracing::warn!("cannot serve: {e}")).ok()?;
                self.remember(hash);
            }
        }
        let lies = self.store.whereabouts(&hash).ok()?;
        let mut file = File::open(lies.path).ok()?;
        file.seek(SeekFrom::Start(lies.offset.checked_add(request.offset)?)).ok()?;
        Some(file)
    }

    fn is_checked(&self, hash: &Hash) -> bool {
        self.checked.lock().expect("no holder of this lock panics").contains(hash)
    }

    fn remember(&self, hash: Hash) {
        let mut checked = self.checked.lock().expect("no holder of this lock panics");
        checked.push_back(hash);
        if checked.len() > MAX_CHECKED {
            checked.pop_front();
        }
    }
}

impl Answers for Server {
    fn serve<'a>(
        self: Arc<Self>,
        connection: &'a Connection,
        counters: &'a Arc<Counters>,
    ) -> Served<'a> {
        Box::pin(async move { self.serve_objects(connection, counters).await })
    }
}

async fn refuse(mut send: SendStream, status: Status) -> Option<()> {
    timeout(REQUEST_TIME, send.write_all(&[status as u8])).await.ok()?.ok()?;
    send.finish().ok()
}

async fn stream_file(
    mut file: File,
    len: u64,
    send: &mut SendStream,
    counters: &Counters,
    read_time: Duration,
) -> Option<()> {
    let mut due = Due { at: Instant::now() + read_time, read_time };
    due.write(send, &[Status::Here as u8]).await?;
    add(&counters.objects_out, 1);
    let mut left = len;
    let mut piece = Vec::new();
    while left > 0 {
        let want = left.min(PIECE as u64) as usize;
        piece.resize(want, 0);
        (file, piece) = spawn_blocking(move || file.read_exact(&mut piece).map(|()| (file, piece)))
            .await
            .ok()?
            .ok()?;
        due.write(send, &piece).await?;
        add(&counters.objects_out, want);
        left -= want as u64;
    }
    Some(())
}

/// When a reader falls behind the least rate. It wins time by reading, never more than the
/// allowance: one that was fast cannot then hold its slot by reading a byte at a time.
struct Due {
    at: Instant,
    read_time: Duration,
}

impl Due {
    async fn write(&mut self, send: &mut SendStream, mut bytes: &[u8]) -> Option<()> {
        while !bytes.is_empty() {
            let written = timeout_at(self.at.into(), send.write(bytes)).await.ok()?.ok()?;
            bytes = &bytes[written..];
            self.win(written, Instant::now());
        }
        Some(())
    }

    fn win(&mut self, written: usize, now: Instant) {
        let won = Duration::from_secs_f64(written as f64 / SLOWEST as f64);
        self.at = (self.at + won).min(now + self.read_time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_has_the_time_of_its_bytes_and_no_more_for_having_been_fast() {
        let (start, read_time) = (Instant::now(), Duration::from_secs(10));
        let mut due = Due { at: start + read_time, read_time };
        due.win(100 << 20, start);
        assert_eq!(due.at, start + read_time);
        // One byte a second: it is over soon after the allowance.
        let mut now = start;
        while now < due.at {
            now += Duration::from_secs(1);
            due.win(1, now);
        }
        assert!(now <= start + read_time + Duration::from_secs(1));
        // At the least rate it goes on.
        let mut due = Due { at: start + read_time, read_time };
        for second in 1..1000 {
            let now = start + Duration::from_secs(second);
            assert!(now < due.at);
            due.win(SLOWEST as usize, now);
        }
    }
}
