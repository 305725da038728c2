//! Serving the store's objects to peers that know their hash.

use crate::{
    endpoint::MAX_REQUESTS,
    traffic::{Counters, add},
    wire::{REQUEST_LEN, Request, Status},
};
use iroh::endpoint::{Connection, RecvStream, SendStream};
use std::{
    collections::VecDeque,
    fs::File,
    io::{Read, Seek, SeekFrom},
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};
use store::{Hash, Store};
use tokio::{
    sync::Semaphore,
    task::{JoinSet, spawn_blocking},
    time::timeout,
};

/// Requests answered at a time, in all and to one peer.
const MAX_SERVING: usize = 64;
pub(crate) const MAX_SERVING_ONE: usize = 8;
/// How long a request waits for its turn before it is told to ask elsewhere.
const WAIT: Duration = Duration::from_secs(10);
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// A reader slower than this (plus half a minute) is cut off.
const SLOWEST: u64 = 32 << 10;
const PIECE: usize = 256 << 10;
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
    slots: Semaphore,
    /// One at a time is read whole to be checked: bounds memory.
    checking: tokio::sync::Mutex<()>,
    checked: Mutex<VecDeque<Hash>>,
}

impl Server {
    pub fn new(store: Store) -> Arc<Self> {
        Arc::new(Self {
            store,
            slots: Semaphore::new(MAX_SERVING),
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
        let turns = async { (mine.acquire().await, self.slots.acquire().await) };
        let Ok((Ok(_mine), Ok(_slot))) = timeout(WAIT, turns).await else {
            return refuse(send, Status::Busy).await;
        };
        let Some(file) = self.open(&request).await else {
            return refuse(send, Status::NotHere).await;
        };
        let len = request.object.len - request.offset;
        let most = Duration::from_secs(30 + len / SLOWEST);
        timeout(most, stream_file(file, len, &mut send, counters)).await.ok()??;
        send.finish().ok()
    }

    /// The object's file at the offset asked for, if it is here and has the right bytes.
    async fn open(&self, request: &Request) -> Option<File> {
        let hash = request.object.hash;
        if self.store.len_of(&hash) != Some(request.object.len) {
            return None;
        }
        if !self.is_checked(&hash) {
            let _one = self.checking.lock().await;
            if !self.is_checked(&hash) {
                let store = self.store.clone();
                let read = spawn_blocking(move || store.get(&hash).map(drop)).await.ok()?;
                read.inspect_err(|e| tracing::warn!("cannot serve: {e}")).ok()?;
                self.remember(hash);
            }
        }
        let mut file = self.store.open_object(&hash).ok()?;
        file.seek(SeekFrom::Start(request.offset)).ok()?;
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
) -> Option<()> {
    send.write_all(&[Status::Here as u8]).await.ok()?;
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
        send.write_all(&piece).await.ok()?;
        add(&counters.objects_out, want);
        left -= want as u64;
    }
    Some(())
}
