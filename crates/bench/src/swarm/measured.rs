//! A whole run of peers, from what they tell.

use super::{Options, PEERS, Progress};
use crate::BenchError;
use cotrain::{config::RunConfig, events::PeerEvent};
use local::{
    peer_store,
    peers::{self, Ending, Founders, News, PeerOptions, Peers},
};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use store::Store;
use swarm::{Kind, Notice, RecordSummary};

/// How long all peers may be silent.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a run took.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// From the first record to the last.
    pub seconds: f64,
    /// Inner steps that went into the model.
    pub steps: u64,
    /// Steps after the last round in which everything is checked.
    pub settled_steps: u64,
    /// Seconds for them.
    pub settled_seconds: f64,
    /// Bytes that all peers sent.
    pub sent: u64,
    /// Bytes that all peers received.
    pub received: u64,
    /// The most bytes that the first peer's store had beyond those at the first record.
    pub stored: u64,
    /// Seconds of audits, all peers together.
    pub auditing_s: f64,
    /// Seconds of all work, all peers together.
    pub working_s: f64,
}

/// Has peers train in `folder` from the beginning of a run to its end.
pub(super) fn run(
    options: &Options,
    folder: &Path,
    config: &RunConfig,
    tell: &mut dyn FnMut(Progress),
) -> Result<Measured, BenchError> {
    std::fs::create_dir_all(folder)?;
    let file = folder.join("config.toml");
    std::fs::write(&file, toml::to_string(config)?)?;
    let mut peers = Peers::new(peers::Options {
        program: options.program.clone(),
        folder: folder.to_owned(),
        config: file,
        founders: Founders::Friends(PEERS as u32 - 1),
        threads: options.threads_per_peer,
        once: true,
        peers: vec![PeerOptions::default(); PEERS],
    });
    tell(Progress::Starting(peers.killer()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let run = watch(&mut peers, folder).await;
        peers.kill().await;
        run
    })
}

async fn watch(peers: &mut Peers, folder: &Path) -> Result<Measured, BenchError> {
    peers.begin()?;
    let invitations = loop {
        if let Some((_, PeerEvent::Invitations { unused })) = next(peers).await? {
            break unused;
        }
        if peers.is_gone(0) {
            return Err(BenchError::Ended);
        }
    };
    for (peer, invitation) in (1..PEERS).zip(&invitations) {
        peers.join(peer, invitation)?;
    }
    let mut watched = Watched::new(Store::open_existing(peer_store(folder, 0))?);
    while !(0..PEERS).all(|peer| peers.is_gone(peer)) {
        if let Some((peer, event)) = next(peers).await? {
            watched.event(peer, event)?;
        }
    }
    watched.end()
}

/// The next event, if it is not that a peer has ended in order; an error if one has failed or none
/// has said anything for long.
async fn next(peers: &mut Peers) -> Result<Option<(usize, PeerEvent)>, BenchError> {
    let news = tokio::time::timeout(PATIENCE, peers.next()).await;
    let failed = |peer, error| Err(BenchError::Peer { peer: peer + 1, error });
    match news.map_err(|_| BenchError::Silent)? {
        News::Event(peer, event) => match *event {
            PeerEvent::Failed { error, .. } => failed(peer, error),
            event => Ok(Some((peer, event))),
        },
        News::Ended(_, Ending::Stopped) => Ok(None),
        News::Ended(peer, Ending::Failed { error, .. }) => failed(peer, error),
        // What it takes to catch up is not what is measured.
        News::Ended(peer, Ending::Killed { signal, .. }) => {
            Err(BenchError::Killed { peer: peer + 1, signal })
        }
    }
}

/// A run that is watched.
struct Watched {
    run: Measured,
    /// The first peer's.
    store: Store,
    /// Its bytes at the first record.
    stored: u64,
    /// Of each peer, the bytes sent and received.
    traffic: [(u64, u64); PEERS],
    /// Of each peer, the seconds of audits and of all work.
    work: [(f64, f64); PEERS],
    /// The height of the last record that is made while everything is checked.
    settled: u64,
    begun: Instant,
    settled_at: Option<Instant>,
    ended: Option<Duration>,
}

impl Watched {
    fn new(store: Store) -> Self {
        Self {
            run: Measured::default(),
            store,
            stored: 0,
            traffic: [(0, 0); PEERS],
            work: [(0.0, 0.0); PEERS],
            // A contribution is audited in the round after it: those of record `probation` are the
            // last to be checked fully, while record `probation + 1` is made.
            settled: u64::from(RunConfig::default().rounds.probation) + 1,
            begun: Instant::now(),
            settled_at: None,
            ended: None,
        }
    }

    fn event(&mut self, peer: usize, event: PeerEvent) -> Result<(), BenchError> {
        match event {
            PeerEvent::Traffic { sent, received } => self.traffic[peer] = (sent, received),
            PeerEvent::Work { training_s, auditing_s, aggregating_s } => {
                self.work[peer] = (auditing_s, training_s + auditing_s + aggregating_s);
            }
            PeerEvent::Protocol { notice: Notice::Decided(record) } if peer == 0 => {
                self.record(&record)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn record(&mut self, record: &RecordSummary) -> Result<(), BenchError> {
        let bytes = self.store.bytes()?;
        self.run.stored = self.run.stored.max(bytes.saturating_sub(self.stored));
        match record.kind {
            Kind::Genesis => {
                (self.begun, self.stored, self.run.stored) = (Instant::now(), bytes, 0);
            }
            Kind::Close => self.ended = Some(self.begun.elapsed()),
            _ => {}
        }
        let steps: u64 = record.contributions.iter().map(|(_, steps)| u64::from(*steps)).sum();
        self.run.steps += steps;
        if let (Kind::Advance, Some(since)) = (record.kind, self.settled_at) {
            self.run.settled_steps += steps;
            self.run.settled_seconds = since.elapsed().as_secs_f64();
        }
        if record.height == self.settled {
            self.settled_at = Some(Instant::now());
        }
        Ok(())
    }

    fn end(self) -> Result<Measured, BenchError> {
        let Self { mut run, traffic, work, ended, .. } = self;
        run.seconds = ended.ok_or(BenchError::Ended)?.as_secs_f64();
        run.sent = traffic.iter().map(|t| t.0).sum();
        run.received = traffic.iter().map(|t| t.1).sum();
        run.auditing_s = work.iter().map(|w| w.0).sum();
        run.working_s = work.iter().map(|w| w.1).sum();
        Ok(run)
    }
}
