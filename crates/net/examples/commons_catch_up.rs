//! How long a fresh member takes to get and check a commons of so many statements, from one other
//! on this machine: `cargo run --release -p understory-net --example commons_catch_up -- 100000`

use commons::{
    Home, Statement, author, operator,
    statement::{
        Attest, Claim, Founder, Genesis, Key, RULES_VERSION, Rules, WitnessKey, Witnesses,
    },
};
use ids::{Hash, Identity};
use net::{
    Relay,
    commons::{Config, Visit, join, start},
};
use std::{
    error::Error,
    path::Path,
    time::{Duration, Instant},
};

const FOUNDERS: u8 = 50;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let size = std::env::args().nth(1).map_or(Ok(100_000), |n| n.parse())?;
    let folder = std::env::temp_dir().join(format!("commons-catch-up-{}", std::process::id()));
    let began = Instant::now();
    let home = make(&folder.join("first"), size)?;
    println!("{size} statements written and placed in {:.1} s", began.elapsed().as_secs_f64());
    let mut config = Config::new(home.dir(), [1; 32]);
    config.bind = "127.0.0.1:0".parse()?;
    let service = start(config).await?;
    let visit = Visit {
        seed: [2; 32],
        bind: "127.0.0.1:0".parse()?,
        relay: Relay::None,
        patience: Duration::from_secs(600),
    };
    let began = Instant::now();
    let copy = folder.join("copy");
    let visited = join(&service.ticket(), &copy, &visit, |_| ()).await?;
    let seconds = began.elapsed().as_secs_f64();
    let (sent, rate) = (service.traffic().messages_out, visited.size as f64 / seconds);
    println!("{} had and checked in {seconds:.2} s: {rate:.0} per second", visited.size);
    println!("{:.1} MB sent, {:.1} MB on disk", sent as f64 / 1e6, len(&copy)? as f64 / 1e6);
    let began = Instant::now();
    Home::open(&copy)?.verify(&mut |_| ())?;
    println!("checked again from the disk in {:.2} s", began.elapsed().as_secs_f64());
    let began = Instant::now();
    for _ in 0..100 {
        home.archive()?.snapshot()?.size();
    }
    println!("opening the log's file takes {:.2} ms", began.elapsed().as_secs_f64() * 10.0);
    service.stop().await;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

/// A commons whose founders talk in turn.
fn make(dir: &Path, size: usize) -> Result<Home, Box<dyn Error>> {
    let key = |n: u8| Identity::from_seed([n + 1; 32]);
    let by = Identity::from_seed([255; 32]);
    let founder = |n: u8| Founder {
        name: format!("founder {n}"),
        member: key(n).id(),
        next: Key::digest(&key(n + 100).id()),
        guardians: vec![],
        threshold: 0,
        steward: n < 3,
    };
    let witness = WitnessKey { name: "witness".into(), key: key(200).id() };
    let genesis = Genesis {
        name: "catch-up".into(),
        charter: Hash::of(b"charter"),
        rules: Rules::default(),
        founders: (0..FOUNDERS).map(founder).collect(),
        operator: by.id(),
        witnesses: Witnesses { threshold: 1, keys: vec![witness] },
        parent: None,
        created: 1_700_000_000,
        version: Some(RULES_VERSION),
    };
    let (genesis, head) = author::found(&key(0), &by, genesis)?;
    let home = Home::create(dir, &genesis, Some(&head))?;
    let archive = home.archive()?;
    let mut state = home.state(&archive.snapshot()?)?;
    while (state.size as usize) < size {
        let log = archive.snapshot()?;
        let left = (size - state.size as usize).min(4000);
        let mut batch = Vec::with_capacity(left);
        for n in 0..FOUNDERS {
            let mut place = author::next_place(&log, &state, &key(n).id())?;
            for at in (n as usize..left).step_by(FOUNDERS as usize) {
                let claim = Claim::Person { name: format!("founder {n} after {at}") };
                let body = Attest { subject: key(n).id(), claim };
                let statement = Statement::sign(&key(n), place, body)?;
                (place.seq, place.prev) = (place.seq + 1, Some(statement.hash()));
                batch.push(statement);
            }
        }
        drop(log);
        archive.hold_all(&batch)?;
        operator::integrate(&archive, &mut state, &by)?;
    }
    Ok(home)
}

fn len(dir: &Path) -> std::io::Result<u64> {
    Ok(std::fs::metadata(dir.join("log.redb"))?.len())
}
