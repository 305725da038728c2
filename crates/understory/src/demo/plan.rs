//! What a demo is to do: its folder, its peers, its configuration.

use crate::{
    cli::DemoArgs, files::write_atomically, hint::WithHint, peer::for_peer, peer_key::demo_seed,
};
use anyhow::{Context, Result, bail};
use cotrain::{
    cheat::Cheat,
    config::{Data, RunConfig, Shape},
    founding::Founding,
};
use ids::Identity;
use recipe::{
    corpus::DataOptions,
    run::{Inner, Rounds},
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Kept in the demo's folder, so that `--resume` needs nothing else.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    pub peers: u32,
    pub cheaters: u32,
    pub cheat: String,
    pub seed: u64,
    /// 0 where the steps are fixed instead.
    pub minutes: f64,
    pub config: RunConfig,
}

const FILE: &str = "demo.toml";
/// Most bytes of it.
const MAX_PLAN: u64 = 1 << 20;
/// The peers' keys, all of them founding voters.
pub const VOTERS: &str = "voters.txt";

impl Plan {
    /// The folder and plan that the flags ask for: a new one, or the one to go on with.
    pub fn prepare(args: &DemoArgs) -> Result<(PathBuf, Self)> {
        if args.resume {
            return Self::resume(args);
        }
        if args.cheaters >= args.peers {
            return Err(anyhow::anyhow!(
                "{} cheaters among {} peers leave nobody honest",
                args.cheaters,
                args.peers
            ))
            .hint("use fewer --cheaters or more --peers");
        }
        if 3 * args.cheaters >= args.peers && args.cheaters > 0 && args.peers > 3 {
            eprintln!(
                "note: with {} of {} peers cheating, a third or more, the honest ones may not be \
                 enough to decide",
                args.cheaters, args.peers
            );
        }
        let plan = Self::new(args)?;
        plan.check()?;
        let dir = match &args.dir {
            Some(dir) if dir.join(FILE).exists() => {
                return Err(anyhow::anyhow!("{} holds a demo already", dir.display()))
                    .hint("go on with it with --resume, or choose another --dir");
            }
            Some(dir) => dir.clone(),
            None => first_free(),
        };
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        write_atomically(&dir.join("config.toml"), toml::to_string(&plan.config)?.as_bytes())?;
        write_atomically(&dir.join(VOTERS), plan.voters().as_bytes())?;
        write_atomically(&dir.join(FILE), toml::to_string(&plan)?.as_bytes())?;
        Ok((dir, plan))
    }

    /// What `--key-seed` gives peer `i`, from 0.
    pub fn key_number(seed: u64, i: usize) -> u64 {
        seed.wrapping_mul(1000).wrapping_add(i as u64)
    }

    /// A file of voters with every peer in it.
    fn voters(&self) -> String {
        let key = |i| Identity::from_seed(demo_seed(Self::key_number(self.seed, i))).id();
        (0..self.peers as usize).map(|i| format!("{} # peer {}\n", key(i), i + 1)).collect()
    }

    /// Checks the settings before anything is made.
    fn check(&self) -> Result<()> {
        let founder = Identity::from_seed(demo_seed(Self::key_number(self.seed, 0))).id();
        self.config.check(founder, &Founding::default()).map_err(|e| for_peer(e.into()))
    }

    /// What each peer was told to do wrong: the last ones cheat.
    pub fn cheats(&self) -> Vec<Option<Cheat>> {
        let cheat = self.cheat.parse::<Cheat>().ok();
        (0..self.peers).map(|i| cheat.filter(|_| i >= self.peers - self.cheaters)).collect()
    }

    fn resume(args: &DemoArgs) -> Result<(PathBuf, Self)> {
        let dir = match &args.dir {
            Some(dir) => dir.clone(),
            None => newest().context("no demo in this folder").hint("start one first")?,
        };
        let path = dir.join(FILE);
        let text = bounded::read_text(&path, MAX_PLAN)
            .with_context(|| format!("cannot read {}", path.display()))
            .hint("--dir names the folder of a demo")?;
        let plan: Self =
            toml::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
        if !(1..=16).contains(&plan.peers) || plan.cheaters >= plan.peers {
            bail!("{} is damaged: {} peers", path.display(), plan.peers);
        }
        Ok((dir, plan))
    }

    fn new(args: &DemoArgs) -> Result<Self> {
        if !(args.minutes > 0.0 && args.minutes <= 10_000.0) {
            bail!("--minutes is {}, must be above 0", args.minutes);
        }
        let data = args.data.iter().map(|path| {
            // A link keeps its name, which says what is in the file.
            fs::metadata(path)
                .and_then(|_| std::path::absolute(path))
                .with_context(|| format!("cannot read {}", path.display()))
        });
        let paths = data.collect::<Result<Vec<PathBuf>>>()?;
        let fixed = args.steps.is_some();
        let minutes = if fixed { 0.0 } else { args.minutes };
        let seconds = args.minutes * 60.0;
        let rounds = args.rounds.unwrap_or((seconds / 9.0).round().clamp(3.0, 10_000.0) as u32);
        let config = RunConfig {
            name: "demo".to_owned(),
            seed: args.seed,
            data: Data {
                paths,
                options: DataOptions { vocab: 2048, max_bytes: 16 << 20, ..DataOptions::default() },
            },
            // Measured: short sequences learn more per second.
            inner: Inner { seq: 128, batch: 8, ..Inner::default() },
            model: Shape { family: args.family, ..Shape::default() },
            rounds: rounds_of(args, rounds, minutes * 60.0),
            ..RunConfig::default()
        };
        Ok(Self {
            peers: args.peers,
            cheaters: args.cheaters,
            cheat: args.cheat.to_string(),
            seed: args.seed,
            minutes,
            config,
        })
    }
}

fn rounds_of(args: &DemoArgs, rounds: u32, target_seconds: f64) -> Rounds {
    let steps = args.steps;
    Rounds {
        rounds,
        steps_min: steps.unwrap_or(8),
        steps_max: steps.unwrap_or(128),
        target_seconds,
        // With a time to keep, a round does not wait long for a peer that is gone.
        commit_timeout_seconds: if target_seconds > 0.0 { 25.0 } else { 120.0 },
        audit_timeout_seconds: if target_seconds > 0.0 { 30.0 } else { 120.0 },
        min_members: args.peers,
        max_members: args.peers.max(16),
        ..Rounds::default()
    }
}

fn numbered() -> impl Iterator<Item = PathBuf> {
    let name = |n: u32| match n {
        1 => "understory-demo".to_owned(),
        n => format!("understory-demo-{n}"),
    };
    (1..10_000).map(move |n| Path::new(&name(n)).to_path_buf())
}

fn first_free() -> PathBuf {
    numbered().find(|p| !p.exists()).unwrap_or_else(|| PathBuf::from("understory-demo"))
}

fn newest() -> Option<PathBuf> {
    numbered().take_while(|p| p.exists()).filter(|p| p.join(FILE).exists()).last()
}
