//! F15: keys without end that join, again and again, and do nothing.

use crate::line::{Heard, Line, Serve};
use anyhow::Result;
use ids::{Hash, Identity};
use net::swarm::Ticket;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use swarm::{Have, Join, Message, Signed};
use tokio::time::{interval, sleep};

/// How often a key asks to be let in, and how often a busy one says something.
const ASKS: Duration = Duration::from_millis(500);
const TALKS: Duration = Duration::from_millis(100);
/// After how much talk a fickle one hangs up.
const TURNS: usize = 50;

/// What an idle key does besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Asks to be let in.
    Quiet,
    /// Asks all the time, each time with a new join, and asks for records.
    Busy,
    /// Hangs up and comes back.
    Fickle,
}

/// So many keys, each at an address of its own, for as long as the process lives.
pub async fn idle(keys: usize, quiet: bool, seed: [u8; 32], ticket: &Ticket) -> Result<()> {
    let mut running = tokio::task::JoinSet::new();
    for number in 0..keys {
        let ways = [Way::Quiet, Way::Quiet, Way::Busy, Way::Fickle];
        let way = if quiet { Way::Quiet } else { ways[number % 4] };
        let parts: [&[u8]; 2] = [&seed, &(number as u64).to_le_bytes()];
        let seed = Hash::of_parts("understory rogue key", &parts).0;
        let ticket = ticket.clone();
        running.spawn(async move { one(seed, address(number), &ticket, way).await });
    }
    println!("{keys} keys join");
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}

/// A loopback address that no other key has: to the others so many machines.
fn address(number: usize) -> SocketAddr {
    let (high, low) = (2 + number / 200, 1 + number % 200);
    SocketAddr::from(([127, 0, high as u8, low as u8], 0))
}

async fn one(seed: [u8; 32], at: SocketAddr, ticket: &Ticket, way: Way) -> Result<()> {
    let identity = Identity::from_seed(seed);
    let serving = Box::new(|_, _| Serve::Honestly);
    let (line, mut hears) = Line::new(seed, at, ticket, None, serving).await?;
    let mut ask = interval(if way == Way::Busy { TALKS } else { ASKS });
    let (mut height, mut turn, mut asked) = (0, 0, None);
    loop {
        tokio::select! {
            Some(heard) = hears.recv() => match heard {
                Heard::Message(_, bytes) => height = height.max(head(&bytes)),
                Heard::Up(_) => asked = None,
                Heard::Down(_) => {}
            },
            _ = ask.tick() => {
                turn += 1;
                if asked != Some(height) || way == Way::Busy {
                    asked = Some(height);
                    let nonce = Hash::of(&[&seed[..], &(turn as u64).to_le_bytes()].concat());
                    join(&line, &identity, ticket, height, nonce);
                }
                if way == Way::Busy {
                    chatter(&line, &identity, ticket, height);
                }
                if way == Way::Fickle && turn % TURNS == 0 {
                    line.hang_up();
                    sleep(ASKS).await;
                }
            }
        }
    }
}

fn join(line: &Arc<Line>, who: &Identity, ticket: &Ticket, height: u64, nonce: Hash) {
    let join = Join { nonce, height, chain: nonce, invitation: None };
    line.broadcast(&Message::Join(Signed::seal(who, &ticket.run, join)).to_bytes());
}

/// What is allowed and costs others something.
fn chatter(line: &Arc<Line>, who: &Identity, ticket: &Ticket, height: u64) {
    let have = Have { height: height + 1, commit: Hash::of(&height.to_le_bytes()) };
    line.broadcast(&Message::Have(Signed::seal(who, &ticket.run, have)).to_bytes());
    line.broadcast(&Message::RecordsRequest { run: ticket.run, from: 0 }.to_bytes());
}

/// The height that a message names as its sender's, if it is that kind.
fn head(bytes: &[u8]) -> u64 {
    match swarm::parse_message(bytes) {
        Ok(Message::Head { height, .. }) => height.unwrap_or(0),
        _ => 0,
    }
}
