//! What a demo is to do: its folder, its peers, its configuration.

use crate::peers::{Founders, Options, PeerOptions};
use cotrain::{
    cheat::Cheat,
    config::{Data, RunConfig, Shape},
    founding::{Founding, FoundingError},
};
use ids::{Hash, Identity};
use model::decoder::Family;
use recipe::{
    corpus::DataOptions,
    run::{Inner, Rounds},
};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use store::file::{self, Readers};

/// Kept in the demo's folder, so that whoever goes on needs nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// How many peers there are, 1 to [`MAX_PEERS`].
    pub peers: u32,
    /// How many of them cheat, the last ones.
    pub cheaters: u32,
    /// The name of how they cheat.
    pub cheat: String,
    /// What the peers' keys and the first parameters are derived from.
    pub seed: u64,
    /// How long it is to take, in minutes; 0 where the steps are fixed instead.
    pub minutes: f64,
    /// The run's settings.
    pub config: RunConfig,
}

/// What is asked of a demo.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Peers, 1 to [`MAX_PEERS`].
    pub peers: u32,
    /// How many of them cheat.
    pub cheaters: u32,
    /// How they cheat.
    pub cheat: Cheat,
    /// Files and folders with text; the documentation in the local cargo registry where there are
    /// none.
    pub data: Vec<PathBuf>,
    /// What the model is.
    pub family: Family,
    /// About how many minutes training takes; of no meaning where `steps` is set.
    pub minutes: f64,
    /// Rounds; as many as fit into the time where it is not set.
    pub rounds: Option<u32>,
    /// Steps of each peer in each round; as many as fit into the time where it is not set.
    pub steps: Option<u32>,
    /// What the peers' keys and the first parameters are derived from.
    pub seed: u64,
}

/// Most peers of a demo.
pub const MAX_PEERS: u32 = 16;
/// Most minutes of a demo.
const MAX_MINUTES: f64 = 10_000.0;
const FILE: &str = "demo.toml";
/// Most bytes of it.
const MAX_PLAN: u64 = 1 << 20;
/// The run's settings, for the peer that begins it.
const CONFIG: &str = "config.toml";
/// The peers' keys, all of them founding voters.
const VOTERS: &str = "voters.txt";

/// Why there is no such demo.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Nobody would be honest.
    #[error("{cheaters} cheaters among {peers} peers leave nobody honest")]
    NobodyHonest {
        /// How many are to cheat.
        cheaters: u32,
        /// Of how many.
        peers: u32,
    },
    /// The time is none.
    #[error("a demo of {0} minutes: there must be more than 0, and at most 10000")]
    Minutes(f64),
    /// A text cannot be read, or the folder or a file of it cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder cannot be made.
    #[error("cannot make {path}")]
    Make {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The settings have no form as a file.
    #[error(transparent)]
    Form(#[from] toml::ser::Error),
    /// The folder's plan is none.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<toml::de::Error>,
    },
    /// The folder's plan has a number of peers that no demo has.
    #[error("{path} is damaged: {peers} peers")]
    Peers {
        /// The file.
        path: PathBuf,
        /// How many.
        peers: u32,
    },
    /// No run can be founded like this.
    #[error(transparent)]
    Founding(#[from] FoundingError),
    /// The folder holds another demo.
    #[error("{0} holds a demo already")]
    Taken(PathBuf),
}

impl Plan {
    /// The plan of a demo that does what is wanted, checked.
    ///
    /// Errors: it cannot be done, or a text is not there.
    pub fn new(wanted: &Wanted) -> Result<Self, PlanError> {
        let (peers, cheaters) = (wanted.peers, wanted.cheaters);
        if cheaters >= peers {
            return Err(PlanError::NobodyHonest { cheaters, peers });
        }
        if !(wanted.minutes > 0.0 && wanted.minutes <= MAX_MINUTES) {
            return Err(PlanError::Minutes(wanted.minutes));
        }
        let paths = wanted.data.iter().map(|path| whole(path)).collect::<Result<_, _>>()?;
        let minutes = if wanted.steps.is_some() { 0.0 } else { wanted.minutes };
        let plan = Self {
            peers,
            cheaters,
            cheat: wanted.cheat.to_string(),
            seed: wanted.seed,
            minutes,
            config: config(wanted, paths, minutes * 60.0),
        };
        plan.config.check(plan.key(0), &Founding::default())?;
        Ok(plan)
    }

    /// Whether `folder` holds a plan.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(FILE).exists()
    }

    /// The plan that `folder` holds.
    ///
    /// Errors: there is none, or it is damaged.
    pub fn read(folder: &Path) -> Result<Self, PlanError> {
        let path = folder.join(FILE);
        let text = bounded::read_text(&path, MAX_PLAN)
            .map_err(|source| PlanError::Read { path: path.clone(), source })?;
        let plan: Self = toml::from_str(&text).map_err(|source| PlanError::Damaged {
            path: path.clone(),
            source: Box::new(source),
        })?;
        match (1..=MAX_PEERS).contains(&plan.peers) && plan.cheaters < plan.peers {
            true => Ok(plan),
            false => Err(PlanError::Peers { path, peers: plan.peers }),
        }
    }

    /// Puts the plan into `folder`, which is made, with what its peers read.
    ///
    /// Errors: it holds a plan, or cannot be written.
    pub fn keep(&self, folder: &Path) -> Result<(), PlanError> {
        if Self::is_in(folder) {
            return Err(PlanError::Taken(folder.to_owned()));
        }
        let path = || folder.to_owned();
        fs::create_dir_all(folder).map_err(|source| PlanError::Make { path: path(), source })?;
        write(&folder.join(CONFIG), &toml::to_string(&self.config)?)?;
        write(&folder.join(VOTERS), &self.voters())?;
        // Last: a folder with a plan has everything.
        write(&folder.join(FILE), &toml::to_string(self)?)
    }

    /// How its peers are started in `folder`, as processes of `program`.
    pub fn processes(&self, program: PathBuf, folder: &Path, threads: usize) -> Options {
        let peer =
            |(number, cheat)| PeerOptions { key_number: Some(self.key_number(number)), cheat };
        Options {
            program,
            folder: folder.to_owned(),
            config: folder.join(CONFIG),
            founders: Founders::Voters(folder.join(VOTERS)),
            threads,
            once: false,
            peers: self.cheats().into_iter().enumerate().map(peer).collect(),
        }
    }

    /// What each peer was told to do wrong: the last ones cheat.
    pub fn cheats(&self) -> Vec<Option<Cheat>> {
        let cheat = self.cheat.parse::<Cheat>().ok();
        (0..self.peers).map(|i| cheat.filter(|_| i >= self.peers - self.cheaters)).collect()
    }

    /// Whether so many cheat that the honest ones may not be enough to decide.
    pub fn may_not_decide(&self) -> bool {
        3 * self.cheaters >= self.peers && self.cheaters > 0 && self.peers > 3
    }

    fn key_number(&self, peer: usize) -> u64 {
        self.seed.wrapping_mul(1000).wrapping_add(peer as u64)
    }

    fn key(&self, peer: usize) -> ids::PeerId {
        Identity::from_seed(numbered_seed(self.key_number(peer))).id()
    }

    /// A file of voters with every peer in it.
    fn voters(&self) -> String {
        let line = |peer| format!("{} # peer {}\n", self.key(peer), peer + 1);
        (0..self.peers as usize).map(line).collect()
    }
}

/// The secret key of the peer that has this number instead of a key of its own.
pub fn numbered_seed(number: u64) -> [u8; 32] {
    Hash::of_parts("understory 2 demo key", &[&number.to_le_bytes()]).0
}

/// Where a text is, whatever folder a peer works in.
fn whole(path: &Path) -> Result<PathBuf, PlanError> {
    // A link keeps its name, which says what is in the file.
    fs::metadata(path)
        .and_then(|_| std::path::absolute(path))
        .map_err(|source| PlanError::Read { path: path.to_owned(), source })
}

fn write(path: &Path, text: &str) -> Result<(), PlanError> {
    file::write_atomically(path, text.as_bytes(), Readers::All)
        .map_err(|source| PlanError::Write { path: path.to_owned(), source })
}

fn config(wanted: &Wanted, paths: Vec<PathBuf>, target_seconds: f64) -> RunConfig {
    let seconds = wanted.minutes * 60.0;
    let rounds = wanted.rounds.unwrap_or((seconds / 9.0).round().clamp(3.0, 10_000.0) as u32);
    RunConfig {
        name: "demo".to_owned(),
        seed: wanted.seed,
        data: Data {
            paths,
            options: DataOptions { vocab: 2048, max_bytes: 16 << 20, ..DataOptions::default() },
        },
        // Measured: short sequences learn more per second.
        inner: Inner { seq: 128, batch: 8, ..Inner::default() },
        model: Shape { family: wanted.family, ..Shape::default() },
        rounds: rounds_of(wanted, rounds, target_seconds),
        ..RunConfig::default()
    }
}

fn rounds_of(wanted: &Wanted, rounds: u32, target_seconds: f64) -> Rounds {
    let steps = wanted.steps;
    Rounds {
        rounds,
        steps_min: steps.unwrap_or(8),
        steps_max: steps.unwrap_or(128),
        target_seconds,
        // With a time to keep, a round does not wait long for a peer that is gone.
        commit_timeout_seconds: if target_seconds > 0.0 { 25.0 } else { 120.0 },
        audit_timeout_seconds: if target_seconds > 0.0 { 30.0 } else { 120.0 },
        min_members: wanted.peers,
        max_members: wanted.peers.max(16),
        ..Rounds::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            peers: 4,
            cheaters: 1,
            cheat: Cheat::Noise,
            data: Vec::new(),
            family: Family::Llama,
            minutes: 2.0,
            rounds: None,
            steps: None,
            seed: 7,
        }
    }

    #[test]
    fn a_plan_is_read_as_it_was_kept_and_is_never_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let plan = Plan::new(&wanted()).expect("can be done");
        plan.keep(folder.path()).expect("written");
        assert_eq!(Plan::read(folder.path()).expect("reads"), plan);
        let config = RunConfig::read(&folder.path().join(CONFIG)).expect("a peer reads it");
        assert_eq!(config, plan.config);
        let voters = cotrain::founding::read_voters(&folder.path().join(VOTERS)).expect("keys");
        assert_eq!(voters, (0..4).map(|peer| plan.key(peer)).collect());
        let other = Plan::new(&Wanted { seed: 8, ..wanted() }).expect("can be done");
        assert!(matches!(other.keep(folder.path()), Err(PlanError::Taken(_))));
        assert_eq!(Plan::read(folder.path()).expect("reads"), plan);
    }

    #[test]
    fn a_folder_that_holds_no_plan_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(matches!(Plan::read(folder.path()), Err(PlanError::Read { .. })));
        let plan = Plan::new(&wanted()).expect("can be done");
        let keep = |plan: &Plan| {
            let text = toml::to_string(plan).expect("has a form");
            fs::write(folder.path().join(FILE), text).expect("written");
        };
        for (peers, cheaters) in [(0, 0), (17, 1), (4, 4)] {
            keep(&Plan { peers, cheaters, ..plan.clone() });
            assert!(matches!(Plan::read(folder.path()), Err(PlanError::Peers { .. })));
        }
        fs::write(folder.path().join(FILE), "peers =").expect("written");
        assert!(matches!(Plan::read(folder.path()), Err(PlanError::Damaged { .. })));
    }

    #[test]
    fn the_last_peers_cheat_and_nobody_honest_is_no_demo() {
        let plan = Plan::new(&wanted()).expect("can be done");
        assert_eq!(plan.cheats(), [None, None, None, Some(Cheat::Noise)]);
        assert!(!plan.may_not_decide());
        let two = Plan::new(&Wanted { cheaters: 2, ..wanted() }).expect("can be done");
        assert!(two.may_not_decide());
        let all = Plan::new(&Wanted { cheaters: 4, ..wanted() });
        assert!(matches!(all, Err(PlanError::NobodyHonest { .. })));
        for minutes in [0.0, -1.0, f64::NAN, 10_001.0] {
            let none = Plan::new(&Wanted { minutes, ..wanted() });
            assert!(matches!(none, Err(PlanError::Minutes(_))), "{minutes}");
        }
    }

    #[test]
    fn fixed_steps_leave_no_time_to_keep() {
        let fixed = Plan::new(&Wanted { steps: Some(9), ..wanted() }).expect("can be done");
        let rounds = &fixed.config.rounds;
        assert_eq!((rounds.steps_min, rounds.steps_max, fixed.minutes), (9, 9, 0.0));
        assert_eq!(rounds.target_seconds, 0.0);
        let timed = Plan::new(&wanted()).expect("can be done");
        assert_eq!((timed.config.rounds.target_seconds, timed.minutes), (120.0, 2.0));
        assert_eq!(timed.config.rounds.rounds, 13);
    }
}
