//! Whole runs over real iroh on loopback, with work that is only hashes.

mod work;

use ids::{Identity, PeerId};
use net::{
    Relay,
    swarm::{Config, Handle, Outcome, Report, Source, Stage, Ticket, start},
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use store::{Log, Store};
use swarm::{Notice, Rules, State};
use tokio::time::timeout;

/// Long enough for a loaded machine; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(120);

fn rules(rounds: u32) -> Rules {
    Rules {
        rounds,
        steps_min: 4,
        steps_max: 8,
        target_ms: 0,
        commit_timeout_ms: 4000,
        view_timeout_ms: 2000,
        draw_timeout_ms: 2000,
        audit_timeout_ms: 4000,
        probation: 2,
        audit_rate_ppm: 300_000,
        audit_milli: 1250,
        recheck_ppm: 100_000,
        min_members: 4,
        max_members: 8,
        update_len: work::UPDATE_LEN,
        state_len: work::STATE_LEN,
        carry_len: work::CARRY_LEN,
        absent_after: 2,
    }
}

/// One peer's folder and habits; the node in it comes and goes.
struct Peer {
    folder: PathBuf,
    seed: u8,
    step: Duration,
    cheats: bool,
}

impl Peer {
    fn id(&self) -> PeerId {
        Identity::from_seed([self.seed; 32]).id()
    }

    fn store(&self) -> Store {
        Store::open(self.folder.join("store")).expect("the store opens")
    }

    async fn start(&self, source: Source) -> Handle {
        let config = Config {
            store: self.store(),
            folder: self.folder.clone(),
            seed: [self.seed; 32],
            source,
            bind: "127.0.0.1:0".parse().expect("an address"),
            relay: Relay::None,
            external: Vec::new(),
            max_object: net::swarm::MAX_OBJECT,
            known: Vec::new(),
            keep_everything: true,
        };
        let (step, cheats) = (self.step, self.cheats);
        let open = move |manifest: &[u8], store: &Store| {
            let worker = work::HashWorker::shared(store, step, cheats);
            work::read_manifest(manifest).map(|run| (run, worker))
        };
        start(config, Arc::new(work::run_parts), Box::new(open)).await.expect("it listens")
    }
}

/// Peers of one test: the first is the founder.
struct Village {
    peers: Vec<Peer>,
    manifest: Vec<u8>,
    _folder: tempfile::TempDir,
}

impl Village {
    fn new(first_seed: u8, rounds: u32, step: Duration) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let peers: Vec<_> = (0..4)
            .map(|i| {
                let path = folder.path().join(i.to_string());
                std::fs::create_dir(&path).expect("a folder");
                Peer { folder: path, seed: first_seed + i, step, cheats: false }
            })
            .collect();
        let voters = peers.iter().map(Peer::id).collect();
        let manifest = work::manifest(&peers[0].store(), &rules(rounds), peers[0].id(), voters);
        Self { peers, manifest, _folder: folder }
    }

    fn founding(&self) -> Source {
        Source::Founder { manifest: self.manifest.clone() }
    }

    async fn start(&self) -> (Vec<Handle>, Ticket) {
        let mut handles = vec![self.peers[0].start(self.founding()).await];
        let ticket = handles[0].ticket();
        for peer in &self.peers[1..] {
            handles.push(peer.start(Source::Join { ticket: ticket.clone() }).await);
        }
        (handles, ticket)
    }
}

async fn final_state(handle: &Handle) -> State {
    match timeout(PATIENCE, handle.finished()).await.expect("the run ends in time") {
        Outcome::Finished { state, .. } => state,
        other => panic!("ended as {other:?}"),
    }
}

/// Waits for a notice that `wanted` accepts.
async fn notice(
    reports: &mut tokio::sync::broadcast::Receiver<Report>,
    wanted: impl Fn(&Notice) -> bool,
) {
    let found = async {
        loop {
            match reports.recv().await.expect("no report is missed") {
                Report::Notice(notice) if wanted(&notice) => return,
                _ => continue,
            }
        }
    };
    timeout(PATIENCE, found).await.expect("the notice comes in time");
}

fn decided(least: u64) -> impl Fn(&Notice) -> bool {
    move |notice| matches!(notice, Notice::Decided(record) if record.height >= least)
}

/// Every object of a checkpoint is in the store.
fn holds(store: &Store, state: &State) {
    let model = store.get(&state.model.hash).expect("the model's manifest");
    store.get(&state.outer.hash).expect("the outer state");
    for tensor in work::tensors(&model).expect("a manifest") {
        store.get(&tensor.hash).expect("a tensor");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_peers_reach_one_root_and_a_cheater_is_out() {
    let mut village = Village::new(100, 6, Duration::from_millis(10));
    village.peers[3].cheats = true;
    let (handles, _) = village.start().await;
    let mut reports = handles[0].subscribe();
    let cheater = village.peers[3].id();
    notice(&mut reports, |n| matches!(n, Notice::Ejected { peer, .. } if *peer == cheater)).await;
    let mut roots = Vec::new();
    for (handle, peer) in handles.iter().zip(&village.peers).take(3) {
        let state = final_state(handle).await;
        holds(&peer.store(), &state);
        roots.push(state);
    }
    assert!(roots.iter().all(|root| *root == roots[0]));
    let status = handles[0].status().borrow().clone();
    assert!(status.total.messages_in > 0 && status.total.objects_out > 0);
    for handle in handles {
        handle.stop().await;
    }
    for peer in &village.peers {
        Log::read(peer.folder.join("log")).expect("a whole log");
        assert_eq!(peer.store().damage().expect("scan"), []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_peer_neither_stops_the_others_nor_stays_behind() {
    let village = Village::new(110, 10, Duration::from_millis(20));
    let (mut handles, ticket) = village.start().await;
    let mut of_victim = handles[2].subscribe();
    let mut of_other = handles[1].subscribe();
    notice(&mut of_victim, decided(2)).await;
    // As a crash: every task is gone at once.
    drop(handles.remove(2));
    notice(&mut of_other, decided(5)).await;
    let back = village.peers[2].start(Source::Join { ticket }).await;
    let state = final_state(&back).await;
    holds(&village.peers[2].store(), &state);
    for handle in &handles {
        assert_eq!(final_state(handle).await, state);
    }
    back.stop().await;
    for handle in handles {
        handle.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_stop_and_go_on_without_a_ticket_that_still_holds() {
    let village = Village::new(120, 8, Duration::from_millis(20));
    let (handles, ticket) = village.start().await;
    let mut reports = handles[3].subscribe();
    notice(&mut reports, decided(2)).await;
    for handle in handles {
        let outcome = timeout(PATIENCE, handle.stop()).await.expect("it stops");
        assert_eq!(outcome, Outcome::Stopped);
    }
    // The ticket's addresses lead nowhere any more; the peers' own books have to do.
    let mut stale = ticket;
    stale.peers[0].addrs = vec!["127.0.0.1:9".parse().expect("an address")];
    stale.peers.truncate(1);
    let mut handles = vec![village.peers[0].start(village.founding()).await];
    for peer in &village.peers[1..] {
        handles.push(peer.start(Source::Join { ticket: stale.clone() }).await);
    }
    let state = final_state(&handles[0]).await;
    for handle in &handles {
        assert_eq!(final_state(handle).await, state);
    }
    for handle in handles {
        handle.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_does_not_open_fails_with_its_reason_and_a_stop_is_quick() {
    let village = Village::new(130, 2, Duration::from_millis(1));
    let handle = village.peers[0].start(Source::Founder { manifest: b"Rubbish".to_vec() }).await;
    match timeout(PATIENCE, handle.finished()).await.expect("it ends") {
        Outcome::Failed { why } => assert!(why.contains("is refused"), "{why}"),
        other => panic!("ended as {other:?}"),
    }
    let mut nowhere = handle.ticket();
    nowhere.run = ids::Hash::of(b"a run that nobody has");
    handle.stop().await;
    let joiner = village.peers[1].start(Source::Join { ticket: nowhere }).await;
    assert_eq!(joiner.status().borrow().stage, Stage::Fetching);
    assert_eq!(timeout(PATIENCE, joiner.stop()).await.expect("it stops"), Outcome::Stopped);
}
