//! Counts elections: JSON lines `{"election": …, "ballots": […]}` in, the outcome of each out.

use std::io::{BufRead, Write};

use decide::{Ballot, Election, tally};

#[derive(serde::Deserialize)]
struct Question {
    election: Election,
    ballots: Vec<Ballot>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let Question { election, ballots } = serde_json::from_str(&line?)?;
        serde_json::to_writer(&mut out, &tally(&election, &ballots)?)?;
        writeln!(out)?;
    }
    Ok(())
}
