//! Members of a commons on loopback: honest ones, and some that break every rule.

mod converge;
mod crash;
mod hostile;
mod visits;

use super::{Config, Handle, Pace, Status, start};
use commons::{
    Body, Home, Place, Statement, author, operator,
    state::State,
    statement::{
        Attest, Claim, Founder, Genesis, Key, RULES_VERSION, Rules, WitnessKey, Witnesses,
    },
};
use ids::{Hash, Identity, PeerId};
use std::{collections::BTreeMap, path::Path, time::Duration};
use tempfile::TempDir;
use tlog::KeyName;
use tokio::time::timeout;

/// Long enough for a loaded machine; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(60);

fn identity(what: &str, number: usize) -> Identity {
    Identity::from_seed(Hash::of_parts("test key", &[what.as_bytes(), &number.to_le_bytes()]).0)
}

fn founder(number: usize) -> Identity {
    identity("founder", number)
}

fn operator_key() -> Identity {
    identity("operator", 0)
}

fn witness(number: usize) -> (Identity, KeyName) {
    let name = format!("witness{number}").parse().expect("a name");
    (identity("witness", number), name)
}

/// Three founders, all stewards, `threshold` of two witnesses.
fn genesis(name: &str, threshold: u8) -> Genesis {
    let founders = (0..3).map(|number| Founder {
        name: format!("founder {number}"),
        member: founder(number).id(),
        next: Key::digest(&identity("next", number).id()),
        guardians: vec![],
        threshold: 0,
        steward: true,
    });
    let key = |number| {
        let (key, name) = witness(number);
        WitnessKey { name: name.to_string(), key: key.id() }
    };
    Genesis {
        name: name.to_owned(),
        charter: Hash::of(b"be kind"),
        rules: Rules::default(),
        founders: founders.collect(),
        operator: operator_key().id(),
        witnesses: Witnesses { threshold, keys: vec![key(0), key(1)] },
        parent: None,
        created: 1_700_000_000,
        version: Some(RULES_VERSION),
    }
}

/// A commons in a new folder, with its first head.
fn found(dir: &Path, name: &str, threshold: u8) -> Home {
    let genesis = genesis(name, threshold);
    let (genesis, head) = author::found(&founder(0), &operator_key(), genesis).expect("founded");
    Home::create(dir, &genesis, Some(&head)).expect("created")
}

/// A copy of a commons that has the genesis only.
fn bare_copy(of: &Home, dir: &Path) -> Home {
    let genesis = of.archive().expect("opens").genesis().clone();
    Home::create(dir, &genesis, None).expect("created")
}

/// The next place in an author's chain, as its folder has the log.
fn next_place(home: &Home, key: &Identity) -> Place {
    let archive = home.archive().expect("opens");
    let log = archive.snapshot().expect("reads");
    let state = home.state(&log).expect("a state");
    author::next_place(&log, &state, &key.id()).expect("a place")
}

fn say(home: &Home, key: &Identity, body: impl Into<Body>) -> Hash {
    let archive = home.archive().expect("opens");
    let state = home.state(&archive.snapshot().expect("reads")).expect("a state");
    archive.write(&state, key, body).expect("written").hash()
}

fn named(number: usize, name: &str) -> Attest {
    Attest { subject: founder(number).id(), claim: Claim::Person { name: name.to_owned() } }
}

/// Lets `key` say `count` things that get their place, in batches of at most 1000 with a head each.
fn grow(home: &Home, key: &Identity, count: usize) {
    let archive = home.archive().expect("opens");
    let mut state = home.state(&archive.snapshot().expect("reads")).expect("a state");
    let mut left = count;
    while left > 0 {
        let log = archive.snapshot().expect("reads");
        let mut place = author::next_place(&log, &state, &key.id()).expect("a place");
        drop(log);
        let batch: Vec<Statement> = (0..left.min(1000))
            .map(|at| {
                let claim = Claim::Person { name: format!("name {}", left - at) };
                let attest = Attest { subject: key.id(), claim };
                let statement = Statement::sign(key, place, attest).expect("signed");
                (place.seq, place.prev) = (place.seq + 1, Some(statement.hash()));
                statement
            })
            .collect();
        archive.hold_all(&batch).expect("held");
        let taken =
            operator::integrate(&archive, &mut state, &operator_key()).expect("taken").taken;
        assert!(taken >= batch.len(), "{taken}");
        left -= batch.len();
    }
}

/// A commons with a log of `size` statements.
fn grown(dir: &Path, size: usize) -> Home {
    let home = found(dir, "town", 1);
    grow(&home, &founder(0), size - 1);
    home
}

/// All views, as bytes: what two members compare.
fn views(home: &Home) -> BTreeMap<String, Hash> {
    commons::view::digests(&state(home)).into_iter().collect()
}

fn state(home: &Home) -> State {
    let archive = home.archive().expect("opens");
    home.state(&archive.snapshot().expect("reads")).expect("a state")
}

fn pace() -> Pace {
    let ms = Duration::from_millis;
    Pace { batch: ms(50), mark: ms(1000), heartbeat: ms(3_600_000), refresh: ms(1000) }
}

/// A member's service in a folder of its own.
struct Member {
    handle: Handle,
    home: Home,
    _folder: TempDir,
}

impl Member {
    async fn new(folder: TempDir, seed: u8, change: impl FnOnce(&mut Config)) -> Self {
        let home = Home::open(folder.path()).expect("a commons");
        let mut config = config(folder.path(), seed);
        change(&mut config);
        let handle = start(config).await.expect("starts");
        Self { handle, home, _folder: folder }
    }

    /// A member that begins with the genesis only.
    async fn copy(of: &Home, seed: u8, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        bare_copy(of, folder.path());
        Self::new(folder, seed, change).await
    }

    fn at(&self) -> crate::transport::PeerAddr {
        self.handle.ticket().peers[0].clone()
    }

    /// Waits until the member's status is as wanted.
    async fn until(&self, what: &str, mut wanted: impl FnMut(&Status) -> bool) -> Status {
        let mut status = self.handle.status();
        let reached = timeout(PATIENCE, async {
            loop {
                let now = status.borrow_and_update().clone();
                if wanted(&now) {
                    return now;
                }
                // Some look at the file too, which changes beside the status.
                let _ = timeout(Duration::from_millis(200), status.changed()).await;
            }
        });
        match reached.await {
            Ok(status) => status,
            Err(_) => panic!("{what}: {:?}", self.handle.status().borrow().clone()),
        }
    }
}

fn config(dir: &Path, seed: u8) -> Config {
    let mut config = Config::new(dir, [seed; 32]);
    config.bind = "127.0.0.1:0".parse().expect("an address");
    config.pace = pace();
    config
}

fn id_of(seed: u8) -> PeerId {
    crate::transport::address::peer_id(iroh::SecretKey::from_bytes(&[seed; 32]).public())
}
