//! Short visits: joining a commons, and bringing one up to date without a service.

use super::{
    client::{AskError, ask},
    pull::Puller,
    replica::{Replica, ReplicaError},
    server::Server,
    service::{Link, Shared},
    ticket::Ticket,
    wire::{MAX_BATCH_BYTES, MAX_STATEMENTS, RangeRequest, Request, decode_list, decode_range},
};
use crate::transport::{
    EndpointError, PeerAddr, Relay,
    book::Saved,
    mesh::{Events, Mesh, MeshEvent},
    objects::{Answers, Served},
    traffic::Counters,
};
use commons::{
    Archive, ArchiveError, Home, HomeError, Statement,
    follow::{self, MAX_RANGE_BYTES},
    parent_of,
    statement::ParentLog,
};
use ids::{Hash, PeerId};
use iroh::endpoint::Connection;
use minicbor::bytes::ByteVec;
use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tlog::Hash as TreeHash;
use tokio::{
    sync::Notify,
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

/// Generations of forks that are followed back.
const MAX_ANCESTORS: usize = 64;
/// How long a parting word may take.
const CLOSE_TIME: Duration = Duration::from_millis(800);

/// How a visit reaches others.
#[derive(Clone, Debug)]
pub struct Visit {
    /// The ed25519 secret of the endpoint: not that of a service that may be running.
    pub seed: [u8; 32],
    /// Where to listen, mostly port 0.
    pub bind: SocketAddr,
    /// Help for members that cannot be reached directly.
    pub relay: Relay,
    /// How long to look for members, and to wait for one that gives something.
    pub patience: Duration,
}

/// What a visit did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Visited {
    /// Members that answered.
    pub members: usize,
    /// Statements that the log grew by.
    pub statements: u64,
    /// Statements in the log.
    pub size: u64,
    /// Statements that wait here and that a member has too now, from this visit or before.
    pub brought: usize,
    /// Statements that a member refused, and why.
    pub refused: Vec<(Hash, String)>,
    /// What kept members from answering, by member.
    pub failures: Vec<(PeerId, String)>,
}

/// Why a visit came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum VisitError {
    /// The folder.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The log.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The endpoint could not be made.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The folder keeps another commons.
    #[error("the folder keeps commons {found}, the ticket is for {expected}")]
    Other {
        /// Which it keeps.
        found: Hash,
        /// Which was asked for.
        expected: Hash,
    },
    /// Nobody gave what was asked for.
    #[error("no member gave {what} within {patience:?}{last}")]
    Nobody {
        /// What.
        what: &'static str,
        /// How long they had.
        patience: Duration,
        /// What the last of them answered.
        last: String,
    },
}

impl VisitError {
    /// What can be done about it, where that is known.
    pub fn todo(&self) -> Option<&'static str> {
        match self {
            Self::Home(error) => error.todo(),
            Self::Replica(error) => error.todo(),
            _ => None,
        }
    }
}

/// Gets a commons into a folder: its genesis, which the id of the ticket names, the logs that it
/// was forked from, and all statements, everything checked. What is there already stays, so that
/// a visit that was interrupted goes on. `progress` gets the size of the log now and then.
///
/// Errors: [`VisitError`]; the folder can be tried again.
pub async fn join(
    ticket: &Ticket,
    dir: &Path,
    visit: &Visit,
    progress: impl Fn(u64),
) -> Result<Visited, VisitError> {
    let id = ticket.commons;
    let deadline = Instant::now() + visit.patience;
    let mut stay = Stay::open(id, Arc::new(Deaf), visit, &ticket.peers).await?;
    let home = match Home::open(dir) {
        Ok(home) => home,
        Err(HomeError::Missing(_)) => {
            let genesis = stay.genesis(id, visit, deadline).await?;
            let dir = dir.to_owned();
            blocking(move || Home::create(&dir, &genesis, None)).await?
        }
        Err(e) => return Err(e.into()),
    };
    let genesis = {
        let archive = home.archive()?;
        if archive.id() != id {
            return Err(VisitError::Other { found: archive.id(), expected: id });
        }
        archive.genesis().clone()
    };
    let mut next = parent_of(&genesis);
    for _ in 0..MAX_ANCESTORS {
        let Some(parent) = next else { break };
        next = stay.ancestor(&home, parent, visit, deadline).await?;
    }
    let replica = blocking(move || Replica::open(home)).await?;
    let done = stay.catch_up(&Arc::new(replica), visit, deadline, progress).await;
    stay.close().await;
    done
}

/// Brings a commons up to date, and what waits here to others. For commands, where no service
/// runs; beside one it does no harm.
///
/// Errors: [`VisitError`]; no member at all could be reached.
pub async fn sync(home: Home, peers: &[PeerAddr], visit: &Visit) -> Result<Visited, VisitError> {
    let replica = Arc::new(blocking(move || Replica::open(home)).await?);
    let store = replica.home().objects()?;
    let server = Server::new(replica.clone(), None, None, store, Arc::new(Notify::new()));
    let deadline = Instant::now() + visit.patience;
    let mut stay = Stay::open(replica.id(), server, visit, peers).await?;
    let expected: BTreeSet<PeerId> = peers.iter().map(|at| at.peer).collect();
    let puller = Puller::new(replica.clone(), None);
    let (mut visited, mut met) = (Visited::default(), BTreeSet::new());
    while let Some(peer) = stay.next(deadline).await {
        if !expected.contains(&peer) || !met.insert(peer) {
            continue;
        }
        if let Some(connection) = stay.mesh.connection(peer) {
            let outcome = visit_one(&puller, &replica, peer, &connection, &mut visited).await;
            match outcome {
                Ok(()) => visited.members += 1,
                Err(e) => visited.failures.push((peer, e.to_string())),
            }
        }
        if met.len() == expected.len() {
            break;
        }
    }
    stay.close().await;
    visited.size = Shared::blocking(&replica, |r| r.summary()).await?.news.size;
    if visited.members == 0 {
        let last = visited.failures.last().map(|(peer, why)| format!("; {peer}: {why}"));
        let last = last.unwrap_or_default();
        return Err(VisitError::Nobody { what: "an answer", patience: visit.patience, last });
    }
    Ok(visited)
}

async fn visit_one(
    puller: &Puller,
    replica: &Arc<Replica>,
    peer: PeerId,
    connection: &Connection,
    visited: &mut Visited,
) -> Result<(), AskError> {
    visited.statements += puller.pull(peer, connection).await?.statements;
    let body = ask(connection, &Request::Pending).await?;
    let theirs: BTreeSet<Hash> =
        decode_list("a list of what waits", &body, commons::MAX_PENDING as usize)?
            .into_iter()
            .collect();
    let ours = Shared::blocking(replica, |r| r.waiting()).await?;
    let (there, new): (Vec<Hash>, Vec<Hash>) =
        ours.into_iter().partition(|hash| theirs.contains(hash));
    visited.brought += there.len();
    for part in new.chunks(MAX_STATEMENTS / 4) {
        // A quarter of the number, so that statements of the largest size fit too.
        let asked = part.to_vec();
        let bytes =
            Shared::blocking(replica, move |r| r.statements(&asked, MAX_BATCH_BYTES)).await?;
        let bytes: Vec<ByteVec> = bytes.into_iter().map(ByteVec::from).collect();
        let hashes: Vec<Hash> = bytes.iter().map(|b| Hash::of(b)).collect();
        let answer = ask(connection, &Request::Submit(bytes)).await?;
        let reasons: Vec<Option<String>> = decode_list("reasons", &answer, hashes.len())?;
        for (hash, reason) in hashes.into_iter().zip(reasons) {
            match reason {
                Some(why) => visited.refused.push((hash, why)),
                None => visited.brought += 1,
            }
        }
    }
    puller.pull_receipts(connection).await
}

/// An endpoint for the time of a visit.
struct Stay {
    mesh: Arc<Mesh>,
    events: Events,
    running: JoinHandle<()>,
}

impl Stay {
    async fn open(
        id: Hash,
        answers: Arc<dyn Answers>,
        visit: &Visit,
        peers: &[PeerAddr],
    ) -> Result<Self, VisitError> {
        let link = Link {
            seed: visit.seed,
            bind: visit.bind,
            relay: visit.relay.clone(),
            external: Vec::new(),
            peers: peers.to_vec(),
            saved: Saved::default(),
        };
        let (mesh, events, _) = link.open(id, answers).await?;
        let running = tokio::spawn(mesh.clone().run());
        Ok(Self { mesh, events, running })
    }

    async fn close(self) {
        self.mesh.close(CLOSE_TIME).await;
    }

    /// The next member that is linked.
    async fn next(&mut self, deadline: Instant) -> Option<PeerId> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match timeout(left, self.events.recv()).await.ok()?? {
                MeshEvent::Up(peer) | MeshEvent::Restarted(peer) => return Some(peer),
                MeshEvent::Down(_) | MeshEvent::Message { .. } => {}
            }
        }
    }

    /// A member to ask: in turn one of those that are linked, or the next that will be.
    async fn somebody(&mut self, turn: usize, deadline: Instant) -> Option<(PeerId, Connection)> {
        loop {
            while let Some(event) = self.events.try_recv() {
                drop(event);
            }
            let linked = self.mesh.linked();
            if !linked.is_empty() {
                let peer = linked[turn % linked.len()];
                if let Some(connection) = self.mesh.connection(peer) {
                    return Some((peer, connection));
                }
            }
            self.next(deadline).await?;
        }
    }

    /// Asks one member after the other until `attempt` succeeds with one.
    async fn until<T>(
        &mut self,
        what: &'static str,
        visit: &Visit,
        deadline: Instant,
        mut attempt: impl AsyncFnMut(PeerId, Connection) -> Result<T, AskError>,
    ) -> Result<T, VisitError> {
        let (mut turn, mut last) = (0, String::new());
        while let Some((peer, connection)) = self.somebody(turn, deadline).await {
            turn += 1;
            match attempt(peer, connection).await {
                Ok(value) => return Ok(value),
                Err(AskError::Here(e)) => return Err(e.into()),
                Err(e) => {
                    last = format!("; {peer}: {e}");
                    if !matches!(e, AskError::Gone(_)) {
                        self.mesh.disconnect(peer, &e.to_string());
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(VisitError::Nobody { what, patience: visit.patience, last })
    }

    async fn genesis(
        &mut self,
        id: Hash,
        visit: &Visit,
        deadline: Instant,
    ) -> Result<Statement, VisitError> {
        let attempt = async |_, connection: Connection| {
            let body = ask(&connection, &Request::Genesis(id)).await?;
            let genesis = Statement::parse(&body).map_err(|e| AskError::Lie(e.to_string()))?;
            if genesis.commons_id() != Some(id) {
                return Err(AskError::Lie("the genesis of another commons".to_owned()));
            }
            Ok(genesis)
        };
        self.until("the genesis", visit, deadline, attempt).await
    }

    /// Gets the log of an ancestor, and returns where that was forked from.
    async fn ancestor(
        &mut self,
        home: &Home,
        parent: ParentLog,
        visit: &Visit,
        deadline: Instant,
    ) -> Result<Option<ParentLog>, VisitError> {
        let path = home.ancestor_path(&parent.id);
        let archive = match blocking({
            let path = path.clone();
            move || open_unfinished(&path)
        })
        .await?
        {
            Some(archive) => archive,
            None => {
                let genesis = self.genesis(parent.id, visit, deadline).await?;
                blocking(move || Archive::create(&path, &genesis)).await.map_err(HomeError::from)?
            }
        };
        let archive = Arc::new(archive);
        let mut size = archive.snapshot().map_err(HomeError::from)?.size();
        while size < parent.size {
            let archive = archive.clone();
            let attempt = async |_, connection: Connection| {
                let (head, most) = (parent.size, MAX_RANGE_BYTES as u32);
                let request = RangeRequest { log: parent.id, first: size, head, most };
                let body = ask(&connection, &Request::Range(request)).await?;
                let range = decode_range(&body)?;
                let archive = archive.clone();
                let take = move || {
                    let root = TreeHash(parent.root);
                    follow::take_history(&archive, &range, parent.size, &root)
                };
                blocking(take).await.map_err(|e| AskError::Lie(e.to_string()))
            };
            size = self.until("an ancestor's log", visit, deadline, attempt).await?;
        }
        Ok(parent_of(archive.genesis()))
    }

    async fn catch_up(
        &mut self,
        replica: &Arc<Replica>,
        visit: &Visit,
        deadline: Instant,
        progress: impl Fn(u64),
    ) -> Result<Visited, VisitError> {
        let puller = Puller::new(replica.clone(), None);
        let before = Shared::blocking(replica, |r| r.summary()).await?.news.size;
        let attempt = async |peer, connection: Connection| {
            let pull = puller.pull(peer, &connection);
            tokio::pin!(pull);
            let mut tick = tokio::time::interval(Duration::from_millis(500));
            loop {
                tokio::select! {
                    pulled = &mut pull => return pulled,
                    _ = tick.tick() => progress(replica.last_size()),
                }
            }
        };
        self.until("its statements", visit, deadline, attempt).await?;
        let size = Shared::blocking(replica, |r| r.summary()).await?.news.size;
        Ok(Visited { members: 1, statements: size - before, size, ..Visited::default() })
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// Answers nothing: who has nothing yet.
#[derive(Debug)]
struct Deaf;

impl Answers for Deaf {
    fn serve<'a>(self: Arc<Self>, connection: &'a Connection, _: &'a Arc<Counters>) -> Served<'a> {
        Box::pin(async move {
            connection.closed().await;
        })
    }
}

/// A log that an earlier visit began; one that was cut off before its genesis is begun anew.
fn open_unfinished(path: &Path) -> Result<Option<Archive>, HomeError> {
    let io = |why| HomeError::Io { path: path.to_owned(), why };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(io)?;
    }
    if !path.exists() {
        return Ok(None);
    }
    match Archive::open(path) {
        Ok(archive) => Ok(Some(archive)),
        Err(ArchiveError::Empty | ArchiveError::Database(_)) => {
            fs::remove_file(path).map_err(io)?;
            Ok(None)
        }
        Err(e) => Err(e.into()),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work).await.expect("work on files does not panic")
}
