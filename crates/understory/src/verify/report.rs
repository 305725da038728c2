//! A verification on paper: in words, or as one JSON object.

use super::words::{duration, finding_words, marks_words, verdict_word};
use crate::{terminal, units::plural};
use anyhow::Result;
use cotrain::verify::{Found, RerunCounts, Roots};
use ids::Plain;
use serde_json::{Value, json};
use std::io::Write;

/// What was found, and how.
pub struct Report<'a> {
    /// What was found.
    pub found: &'a Found,
    /// What was said of it in a commons, and what became of that.
    pub judged: Option<Value>,
    /// The part of contributions that was to be re-run.
    pub share: f64,
    /// What drew it.
    pub seed: u64,
    /// How long it took.
    pub seconds: f64,
}

impl Report<'_> {
    /// Prints everything that was not printed yet.
    pub fn print(&self, json: bool) -> Result<()> {
        let mut out = terminal::stdout();
        if json {
            return Ok(writeln!(out, "{}", self.to_json())?);
        }
        for finding in &self.found.findings {
            let kind = finding.verdict().map_or("note", verdict_word);
            writeln!(out, "{kind}: {}", Plain(finding_words(finding)))?;
        }
        for (name, text) in self.summary() {
            writeln!(out, "{name:<10} {}", Plain(text))?;
        }
        Ok(())
    }

    fn to_json(&self) -> Value {
        let Found { run, peers, findings, chain, roots, marks, contributions, reruns } = self.found;
        let findings: Vec<Value> = findings
            .iter()
            .map(|f| json!({ "verdict": f.verdict(), "what": finding_words(f) }))
            .collect();
        json!({
            "verdict": self.found.verdict(),
            "run": run.as_ref().map(|run| run.id),
            "name": run.as_ref().map(|run| &run.name),
            "rounds": run.as_ref().map(|run| run.rounds),
            "chain": chain,
            "peers": peers,
            "roots": roots,
            "marks": marks,
            "judged": self.judged,
            "contributions": contributions,
            "seed": self.seed,
            "rerun": reruns,
            "findings": findings,
            "seconds": self.seconds,
        })
    }

    fn summary(&self) -> Vec<(&'static str, String)> {
        let Found { run, peers, chain, roots, marks, contributions, .. } = self.found;
        let mut lines = Vec::new();
        if let Some(run) = run {
            let done = chain.as_ref().map_or(0, |chain| chain.round);
            let (id, name, rounds) = (run.id, &run.name, run.rounds);
            lines.push(("run", format!("{id} ({name}), {done} of {rounds} rounds")));
        }
        let objects: usize = peers.iter().map(|peer| peer.objects).sum();
        let bytes: u64 = peers.iter().map(|peer| peer.bytes).sum();
        let peers = plural(peers.len(), "peer");
        lines.push((
            "stored",
            format!("{objects} whole objects of {peers}, {:.1} MB", bytes as f64 / 1e6),
        ));
        if let Some(chain) = chain {
            lines.push(("records", format!("{}, root {}", chain.records, chain.root)));
            let Roots { same, other, unavailable } = roots;
            let all = same + other + unavailable;
            lines.push(("roots", format!("{same} of {all} added up again to the same bits")));
        }
        if let Some(marks) = marks {
            lines.push(("marks", marks_words(marks)));
        }
        if let Some(all) = contributions {
            lines.push(("re-run", self.rerun_words(*all)));
        }
        let verdict = verdict_word(self.found.verdict());
        lines.push(("verdict", format!("{verdict}, after {}", duration(self.seconds))));
        lines
    }

    fn rerun_words(&self, all: usize) -> String {
        let (share, reruns) = (self.share, &self.found.reruns);
        let drawn = if share < 1.0 {
            format!(" ({:.3} %, seed {})", share * 100.0, self.seed).replace(".000", "")
        } else {
            String::new()
        };
        let counts = RerunCounts::of(reruns);
        let mut parts = vec![format!("{} confirmed", counts.confirmed)];
        for (n, what) in [(counts.mismatch, "other bits"), (counts.unavailable, "unavailable")] {
            if n > 0 {
                parts.push(format!("{n} {what}"));
            }
        }
        if counts.excluded > 0 {
            let RerunCounts { excluded, proven, .. } = counts;
            parts.push(format!("{excluded} excluded ({proven} with other bits, as was proven)"));
        }
        // What one peer's folder lacks of the others' carries, all before it make again.
        let way_out = if counts.unavailable > 0 && share < 1.0 {
            "; --all may make what is missing"
        } else {
            ""
        };
        let n = reruns.len();
        format!("{n} of {all} contributions{drawn}: {}{way_out}", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cotrain::verify::Finding;

    #[test]
    fn json_has_every_name_and_findings_in_words() {
        let torn = Finding::TornLog { log: "peer-1/log".into(), entry: 3 };
        let findings = vec![Finding::NoRecords, torn];
        let found = Found { findings, contributions: Some(7), ..Found::default() };
        let report = Report { found: &found, judged: None, share: 0.05, seed: 4, seconds: 1.5 };
        let json = report.to_json();
        let mut names: Vec<&str> = json.as_object().expect("one").keys().map(|k| &**k).collect();
        names.sort_unstable();
        let all = "chain contributions findings judged marks name peers rerun roots rounds run seconds \
                   seed verdict";
        assert_eq!(names.join(" "), all);
        let findings = json!([
            { "verdict": "unavailable", "what": "no peer has a record of the run" },
            { "verdict": null, "what": "peer-1/log: ends within entry 3, as after a crash; the \
              whole entries count" },
        ]);
        assert_eq!((&json["findings"], &json["verdict"]), (&findings, &json!("unavailable")));
        assert_eq!(report.rerun_words(7), "0 of 7 contributions (5 %, seed 4): 0 confirmed");
    }
}
