//! What a verification found, in words and as JSON.

use super::{marks::MarksLine, stores::Scan};
use crate::{cli::VerifyArgs, terminal, units::plural};
use anyhow::Result;
use ids::{Hash, PeerId, Plain};
use serde::Serialize;
use std::{
    io::{IsTerminal, Read, Write, stderr},
    time::{Duration, Instant},
};
use swarm::Record;

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything that was looked at is as claimed.
    Confirmed,
    /// Something is not what was claimed or stored.
    Mismatch,
    /// Nothing is wrong, but something could not be checked.
    Unavailable,
}

/// Something to tell that is not about one contribution.
#[derive(Debug, Serialize)]
struct Finding {
    /// `None` for what changes no verdict.
    verdict: Option<Verdict>,
    what: String,
}

/// What adding up a round's updates again gave.
pub enum Root {
    /// The state that was decided.
    Same,
    /// Another.
    Other { height: u64, why: String },
    /// An object for it is in no store.
    Unavailable { height: u64, missing: Hash },
}

/// What computing a contribution again gave.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase", tag = "found")]
pub enum Outcome {
    /// Every hash that was claimed.
    Confirmed,
    /// Another hash after this step, counted from 0; after the last one, of what it comes to.
    Mismatch { part: u32 },
    /// An object for it is in no store.
    Unavailable { missing: Hash },
    /// The work could not be done.
    Failed { why: String },
}

/// A contribution that was computed again.
#[derive(Debug, Serialize)]
pub struct Rerun {
    /// Of the record that included it.
    pub height: u64,
    /// Counted from 1.
    pub round: u32,
    pub worker: PeerId,
    pub steps: u32,
    /// A later record proves that it is not what it claims to be.
    pub excluded: bool,
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Rerun {
    /// What it means for the run; `None` if nothing.
    fn verdict(&self) -> Option<Verdict> {
        match (&self.outcome, self.excluded) {
            (Outcome::Confirmed, false) | (Outcome::Mismatch { .. }, true) => {
                Some(Verdict::Confirmed)
            }
            // Taken out although it is what it claims to be: the evidence is false.
            (Outcome::Confirmed, true) | (Outcome::Mismatch { .. }, false) => {
                Some(Verdict::Mismatch)
            }
            (Outcome::Unavailable { .. } | Outcome::Failed { .. }, false) => {
                Some(Verdict::Unavailable)
            }
            (Outcome::Unavailable { .. } | Outcome::Failed { .. }, true) => None,
        }
    }

    fn words(&self) -> String {
        let found = match &self.outcome {
            Outcome::Confirmed => "confirmed".to_owned(),
            Outcome::Mismatch { part } if *part < self.steps => {
                format!("mismatch in step {} of {}", part + 1, self.steps)
            }
            Outcome::Mismatch { .. } => "mismatch in the update, the carry or the trail".to_owned(),
            Outcome::Unavailable { missing } => {
                format!("unavailable: object {missing} is in no store")
            }
            Outcome::Failed { why } => format!("unavailable: {why}"),
        };
        match (&self.outcome, self.excluded) {
            (_, false) => found,
            (Outcome::Mismatch { .. }, true) => format!("excluded, {found} confirmed"),
            (Outcome::Confirmed, true) => {
                "excluded, yet it is what it claims to be: a mismatch of the evidence".to_owned()
            }
            (_, true) => format!("excluded, {found}"),
        }
    }
}

#[derive(Debug, Serialize)]
struct PeerLine {
    name: String,
    id: Option<PeerId>,
    records: usize,
    objects: usize,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Chain {
    records: usize,
    round: u32,
    root: Hash,
    model: Hash,
}

#[derive(Debug, Default, Serialize)]
struct Roots {
    same: usize,
    other: usize,
    unavailable: usize,
}

/// Everything that was found.
pub struct Report {
    /// Id, name, rounds.
    pub run: Option<(Hash, String, u32)>,
    /// Of the sample.
    pub seed: u64,
    /// How long it took.
    pub seconds: f64,
    /// What a commons has marked of it, if one was named.
    pub marks: Option<MarksLine>,
    json: bool,
    begun: Instant,
    on_screen: bool,
    peers: Vec<PeerLine>,
    findings: Vec<Finding>,
    chain: Option<Chain>,
    roots: Roots,
    reruns: Vec<Rerun>,
    /// Contributions in all, and the part to re-run.
    drawn: Option<(usize, f64)>,
}

impl Report {
    /// Nothing found yet; draws the seed of the sample where none is given.
    pub fn new(args: &VerifyArgs) -> Result<Self> {
        let seed = match args.seed {
            Some(seed) => seed,
            None => {
                let mut bytes = [0; 4];
                std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
                u32::from_le_bytes(bytes).into()
            }
        };
        Ok(Self {
            run: None,
            seed,
            seconds: 0.0,
            marks: None,
            json: args.json,
            begun: Instant::now(),
            on_screen: false,
            peers: Vec::new(),
            findings: Vec::new(),
            chain: None,
            roots: Roots::default(),
            reruns: Vec::new(),
            drawn: None,
        })
    }

    /// Something is not what it should be.
    pub fn mismatch(&mut self, what: String) {
        self.findings.push(Finding { verdict: Some(Verdict::Mismatch), what });
    }

    /// Something could not be checked.
    pub fn unavailable(&mut self, what: String) {
        self.findings.push(Finding { verdict: Some(Verdict::Unavailable), what });
    }

    /// An object that is needed is in no store.
    pub fn missing(&mut self, hash: &Hash, what: &str) {
        self.unavailable(format!("object {hash}, {what}, is whole in no store"));
    }

    /// Something to know that changes nothing.
    pub fn note(&mut self, what: String) {
        self.findings.push(Finding { verdict: None, what });
    }

    /// A peer's store was read.
    pub fn peer(&mut self, name: &str, id: Option<PeerId>, records: usize, scan: &Scan) {
        let (objects, bytes) = (scan.whole.len(), scan.bytes);
        self.peers.push(PeerLine { name: name.to_owned(), id, records, objects, bytes });
    }

    /// The chain was checked; `last` is its newest record.
    pub fn chain(&mut self, last: Option<&Record>, records: usize) {
        let Some(Record { round, state, .. }) = last else { return };
        let (root, model) = (state.root(), state.model.hash);
        self.chain = Some(Chain { records, round: *round, root, model });
    }

    /// The newest model of the chain, if there is one.
    pub fn newest_model(&self) -> Option<Hash> {
        self.chain.as_ref().map(|chain| chain.model)
    }

    /// A round's updates were added up again.
    pub fn root(&mut self, root: Root) {
        match root {
            Root::Same => self.roots.same += 1,
            Root::Other { height, why } => {
                self.roots.other += 1;
                self.mismatch(format!("record {height}, added up again: {why}"));
            }
            Root::Unavailable { height, missing } => {
                self.roots.unavailable += 1;
                self.unavailable(format!(
                    "record {height} cannot be added up again: object {missing} is whole in no \
                     store"
                ));
            }
        }
    }

    /// So many of `all` contributions are to be re-run.
    pub fn drawn(&mut self, jobs: usize, all: usize, share: f64) {
        self.drawn = Some((all, share));
        self.reruns.reserve(jobs);
    }

    /// Tells how long the re-run may take.
    pub fn estimate(&mut self, jobs: usize, steps: u32, time: Duration) {
        if !self.json && time > Duration::from_secs(2) {
            self.end_progress();
            let time = duration(time.as_secs_f64());
            eprintln!("re-running {jobs} contributions, {steps} steps: about {time}");
        }
    }

    /// A contribution was re-run.
    pub fn rerun(&mut self, rerun: Rerun) -> Result<()> {
        if !self.json {
            self.end_progress();
            let worker = rerun.worker.short();
            writeln!(terminal::stdout(), "round {:<4} {worker}  {}", rerun.round, rerun.words())?;
        }
        self.reruns.push(rerun);
        Ok(())
    }

    /// Shows how far it is, to people only and only if it takes long.
    pub fn progress(&mut self, what: &str, done: usize, all: Option<usize>) {
        let late = self.begun.elapsed() > Duration::from_millis(250);
        if self.json || !late || !stderr().is_terminal() {
            return;
        }
        let of = all.map_or_else(String::new, |n| format!(" of {n}"));
        terminal::eprint_over(&format!("{what} {done}{of} …"));
        self.on_screen = true;
    }

    /// Takes the progress off the screen.
    pub fn end_progress(&mut self) {
        if std::mem::take(&mut self.on_screen) {
            terminal::eprint_over("");
        }
    }

    /// The worst that was found.
    pub fn verdict(&self) -> Verdict {
        let findings = self.findings.iter().filter_map(|f| f.verdict);
        let all: Vec<Verdict> =
            findings.chain(self.reruns.iter().filter_map(Rerun::verdict)).collect();
        [Verdict::Mismatch, Verdict::Unavailable]
            .into_iter()
            .find(|v| all.contains(v))
            .unwrap_or(Verdict::Confirmed)
    }

    /// Prints everything that was not printed yet.
    pub fn print(&mut self) -> Result<()> {
        self.end_progress();
        let mut out = terminal::stdout();
        if self.json {
            return Ok(writeln!(out, "{}", self.to_json())?);
        }
        for Finding { verdict, what } in &self.findings {
            let kind = match verdict {
                Some(Verdict::Mismatch) => "mismatch",
                Some(_) => "unavailable",
                None => "note",
            };
            writeln!(out, "{kind}: {}", Plain(what))?;
        }
        for (name, text) in self.summary() {
            writeln!(out, "{name:<10} {}", Plain(text))?;
        }
        Ok(())
    }

    fn to_json(&self) -> serde_json::Value {
        let run = self.run.as_ref();
        serde_json::json!({
            "verdict": self.verdict(),
            "run": run.map(|r| r.0),
            "name": run.map(|r| &r.1),
            "rounds": run.map(|r| r.2),
            "chain": self.chain,
            "peers": self.peers,
            "roots": self.roots,
            "marks": self.marks,
            "contributions": self.drawn.map(|d| d.0),
            "seed": self.seed,
            "rerun": self.reruns,
            "findings": self.findings,
            "seconds": self.seconds,
        })
    }

    fn summary(&self) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        if let Some((id, name, rounds)) = &self.run {
            let done = self.chain.as_ref().map_or(0, |c| c.round);
            lines.push(("run", format!("{id} ({name}), {done} of {rounds} rounds")));
        }
        let objects: usize = self.peers.iter().map(|p| p.objects).sum();
        let bytes: u64 = self.peers.iter().map(|p| p.bytes).sum();
        let peers = plural(self.peers.len(), "peer");
        lines.push((
            "stored",
            format!("{objects} whole objects of {peers}, {:.1} MB", bytes as f64 / 1e6),
        ));
        if let Some(chain) = &self.chain {
            lines.push(("records", format!("{}, root {}", chain.records, chain.model)));
            let Roots { same, other, unavailable } = self.roots;
            let all = same + other + unavailable;
            lines.push(("roots", format!("{same} of {all} added up again to the same bits")));
        }
        if let Some(marks) = &self.marks {
            lines.push(("marks", marks.words()));
        }
        if let Some((all, share)) = self.drawn {
            lines.push(("re-run", self.rerun_words(all, share)));
        }
        let verdict = match self.verdict() {
            Verdict::Confirmed => "confirmed",
            Verdict::Mismatch => "mismatch",
            Verdict::Unavailable => "unavailable",
        };
        lines.push(("verdict", format!("{verdict}, after {}", duration(self.seconds))));
        lines
    }

    fn rerun_words(&self, all: usize, share: f64) -> String {
        let drawn = if share < 1.0 {
            format!(" ({:.3} %, seed {})", share * 100.0, self.seed).replace(".000", "")
        } else {
            String::new()
        };
        let count = |excluded: bool, wanted: fn(&Outcome) -> bool| {
            self.reruns.iter().filter(|r| r.excluded == excluded && wanted(&r.outcome)).count()
        };
        let confirmed = count(false, |o| matches!(o, Outcome::Confirmed));
        let mismatch = count(false, |o| matches!(o, Outcome::Mismatch { .. }));
        let excluded = self.reruns.iter().filter(|r| r.excluded).count();
        let cheats = count(true, |o| matches!(o, Outcome::Mismatch { .. }));
        let rest = self.reruns.len() - excluded - confirmed - mismatch;
        let mut parts = vec![format!("{confirmed} confirmed")];
        for (n, what) in [(mismatch, "other bits"), (rest, "unavailable")] {
            if n > 0 {
                parts.push(format!("{n} {what}"));
            }
        }
        if excluded > 0 {
            parts.push(format!("{excluded} excluded ({cheats} with other bits, as was proven)"));
        }
        // What one peer's folder lacks of the others' carries, all before it make again.
        let way_out = if rest > 0 && share < 1.0 { "; --all may make what is missing" } else { "" };
        let n = self.reruns.len();
        format!("{n} of {all} contributions{drawn}: {}{way_out}", parts.join(", "))
    }
}

/// A time for people.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 100.0 => format!("{s:.0} s"),
        s if s < 6000.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rerun(outcome: Outcome, excluded: bool) -> Rerun {
        Rerun { height: 1, round: 1, worker: PeerId([1; 32]), steps: 8, excluded, outcome }
    }

    #[test]
    fn an_expelled_cheat_is_no_mismatch_and_an_expelled_honest_peer_is_one() {
        let other = || Outcome::Mismatch { part: 1 };
        assert_eq!(rerun(Outcome::Confirmed, false).verdict(), Some(Verdict::Confirmed));
        assert_eq!(rerun(other(), false).verdict(), Some(Verdict::Mismatch));
        assert_eq!(rerun(other(), true).verdict(), Some(Verdict::Confirmed));
        assert_eq!(rerun(Outcome::Confirmed, true).verdict(), Some(Verdict::Mismatch));
        let missing = || Outcome::Unavailable { missing: Hash::default() };
        assert_eq!(rerun(missing(), false).verdict(), Some(Verdict::Unavailable));
        assert_eq!(rerun(missing(), true).verdict(), None);
    }
}
