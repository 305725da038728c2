//! An attacker as a process: joins a run as anybody may, with a key of its own, and does otherwise
//! than it should. For `checks/adversary.sh`; no part of the program.
//!
//!     rogue repair|erase|drip|idle TICKET --dir DIR …
#![forbid(unsafe_code)]

mod drip;
mod erase;
mod forge;
mod idle;
mod line;
mod peer;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use erase::{Eraser, Field};
use forge::Forger;
use ids::{Hash, Identity};
use line::{Line, Serve};
use net::swarm::Admission;
use peer::{Habit, Peer};
use std::{path::PathBuf, sync::Arc, time::Instant};
use store::Store;
use swarm::{Arrival, Checkpoint};

#[derive(Parser)]
struct Args {
    /// What it does
    #[arg(value_enum)]
    what: What,
    /// A ticket or an invitation
    ticket: String,
    /// Folder for its objects
    #[arg(long)]
    dir: PathBuf,
    /// The height from which on it does it
    #[arg(long, default_value_t = 3)]
    from: u64,
    /// The height from which on it forges signatures, too
    #[arg(long, default_value_t = 12)]
    loud: u64,
    /// Which of its objects it names wrongly
    #[arg(long, value_enum, default_value_t = Part::Update)]
    part: Part,
    /// Name other members' work, and nothing else
    #[arg(long)]
    copies: bool,
    /// Serve updates as it should, so that only audits wait
    #[arg(long)]
    audits: bool,
    /// How many keys
    #[arg(long, default_value_t = 40)]
    keys: usize,
    /// Keys only ask to be let in: none says all it may, none hangs up
    #[arg(long)]
    quiet: bool,
    /// A number that its keys come from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Repair,
    Erase,
    Drip,
    Idle,
}

#[derive(Clone, Copy, ValueEnum)]
enum Part {
    Update,
    Trail,
    Carry,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let args = Args::parse();
    let admission: Admission = args.ticket.parse()?;
    let ticket = admission.ticket();
    let seed = Hash::of_parts("understory rogue", &[&ticket.run.0, &args.seed.to_le_bytes()]).0;
    if args.what == What::Idle {
        return idle::idle(args.keys, args.quiet, seed, ticket).await;
    }
    let known = |mark: net::swarm::Mark| Checkpoint { height: mark.height, record: mark.record };
    let checkpoints = ticket.checkpoint.map(known).into_iter().collect();
    let invitation = admission.secret().map(|secret| Identity::from_seed(*secret));
    let arrival = Arrival { invitation, checkpoints };
    std::fs::create_dir_all(&args.dir)?;
    let store = Store::open(args.dir.join("store"))?;
    println!("key {}", Identity::from_seed(seed).id());
    let dripping = Arc::default();
    let serving: Box<line::Serving> = match args.what {
        What::Drip => drip::serving(&dripping),
        _ => Box::new(|_, _| Serve::Honestly),
    };
    let habit: Box<dyn Habit> = match args.what {
        What::Repair => Box::new(Forger::new(args.from, args.loud)),
        What::Erase => {
            let field = match args.part {
                Part::Update => Field::Update,
                Part::Trail => Field::Trail,
                Part::Carry => Field::Carry,
            };
            Box::new(Eraser::new(args.from, field, args.copies))
        }
        What::Drip | What::Idle => Box::new(drip::Dripper {
            from: args.from,
            audits: args.audits,
            state: dripping,
            reported: Instant::now(),
        }),
    };
    let at = "127.0.0.1:0".parse()?;
    let line = Line::new(seed, at, ticket, Some(store.clone()), serving).await?;
    Peer::live(seed, arrival, ticket, store, line, habit).await
}
