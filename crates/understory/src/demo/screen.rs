//! The demo on a terminal: a view that redraws itself, plain lines elsewhere, JSON for machines.

use crate::{
    events::{left_out_words, licences, words},
    terminal,
};
use cotrain::events::PeerEvent;
use ids::plain;
use local::{
    board::Board,
    peers::{MAX_RESTARTS, Signal},
};
use serve::{Peer, Snapshot};
use std::{
    io::{IsTerminal, Write},
    time::Duration,
};
use swarm::{Kind, Notice, VerdictKind};

/// Lines of news kept below the view.
const NEWS: usize = 6;

/// Where a demo's progress is shown.
pub struct Screen {
    mode: Mode,
    colour: bool,
    page: Option<String>,
    news: Vec<String>,
    /// Lines of the view on screen, to go back over.
    drawn: usize,
    /// Heights and events told already: every peer tells of the same things.
    told: std::collections::BTreeSet<String>,
    /// Round and phase last printed as JSON.
    last: (u32, String, usize, usize),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    View,
    Lines,
    Json,
}

impl Screen {
    pub fn new(json: bool) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let mode = match (json, terminal) {
            (true, _) => Mode::Json,
            (false, true) => Mode::View,
            (false, false) => Mode::Lines,
        };
        Self {
            mode,
            colour: terminal && std::env::var_os("NO_COLOR").is_none(),
            page: None,
            news: Vec::new(),
            drawn: 0,
            told: std::collections::BTreeSet::new(),
            last: (0, String::new(), 0, 0),
        }
    }

    /// Where the page is.
    pub fn page(&mut self, url: &str) {
        self.page = Some(url.to_owned());
        match self.mode {
            Mode::Lines => put(&format!("page: {url}")),
            Mode::Json => put(&serde_json::json!({ "page": url }).to_string()),
            Mode::View => {}
        }
    }

    /// Tells what is news to people; each thing once, whoever reports it.
    pub fn event(&mut self, board: &Board, from: usize, event: &PeerEvent) {
        // A peer says why it fails, or its end says it.
        if let PeerEvent::Failed { error, hints } = event
            && !self.told.insert(failed_words(from, error, hints))
        {
            return;
        }
        let news = match event {
            PeerEvent::Preparing { what } if from == 0 => Some(format!("{what} …")),
            PeerEvent::Corpus(c) if from == 0 => Some(format!(
                "{}: {} files, {:.1} MB of text, {} tokens; {}",
                c.source,
                c.files,
                c.bytes as f64 / 1e6,
                c.tokens,
                licences(&c.licences)
            )),
            PeerEvent::Started { peer, .. } => {
                Some(format!("peer {} is {}", from + 1, peer.short()))
            }
            PeerEvent::Protocol {
                notice: Notice::WorkFailed { why, .. } | Notice::Waiting { why },
            } => self.trouble(from, why),
            PeerEvent::NotWritten { why } => self.trouble(from, why),
            PeerEvent::Clock { .. } => {
                words(event).map(|words| format!("peer {}: {words}", from + 1))
            }
            PeerEvent::Protocol { notice } => self.notice(board, notice),
            PeerEvent::LeftOut(left_out) => Some(left_out_words(left_out)),
            PeerEvent::Failed { error, hints } => Some(failed_words(from, error, hints)),
            _ => None,
        };
        if let Some(news) = news {
            news.lines().for_each(|line| self.tell(line.to_owned()));
        }
        if self.mode == Mode::Json {
            self.machine(from, event);
        }
    }

    /// What no snapshot says.
    fn machine(&self, from: usize, event: &PeerEvent) {
        let mut value = match event {
            PeerEvent::LeftOut(_)
            | PeerEvent::Failed { .. }
            | PeerEvent::NotWritten { .. }
            | PeerEvent::Clock { .. }
            | PeerEvent::Protocol { notice: Notice::WorkFailed { .. } | Notice::Waiting { .. } } => {
                serde_json::to_value(event).expect("an event has a JSON form")
            }
            _ => return,
        };
        value["peer"] = (from + 1).into();
        put(&value.to_string());
    }

    /// What keeps a peer from working, once for each cause.
    fn trouble(&mut self, from: usize, why: &str) -> Option<String> {
        let text = format!("peer {}: {why}", from + 1);
        self.told.insert(text.clone()).then_some(text)
    }

    /// Tells that a signal ended a peer and whether it is started again; returns what became of it.
    pub fn killed(&mut self, peer: usize, signal: Signal, again_in: Option<Duration>) -> String {
        let words = killed_words(signal, again_in);
        self.tell(format!("peer {}: {words}", peer + 1));
        self.machine_says(serde_json::json!({
            "event": "killed", "peer": peer + 1, "signal": signal.number, "name": signal.name(),
            "again_in_s": again_in.map(|time| time.as_secs()),
        }));
        words
    }

    /// Tells that a peer that was killed is started again.
    pub fn back(&mut self, peer: usize) {
        self.tell(format!("peer {} is started again", peer + 1));
        self.machine_says(serde_json::json!({ "event": "restarted", "peer": peer + 1 }));
    }

    fn machine_says(&self, value: serde_json::Value) {
        if self.mode == Mode::Json {
            put(&value.to_string());
        }
    }

    /// A root was measured.
    pub fn measured(&mut self, round: u32, rounds: u32, bits: f64) {
        self.tell(format!("after round {round} of {rounds}: {bits:.3} bits per byte held out"));
    }

    /// Shows the snapshot: redraws the view, or prints JSON when something has moved on.
    pub fn draw(&mut self, snapshot: &Snapshot) {
        match self.mode {
            Mode::View => self.redraw(snapshot),
            Mode::Lines => {}
            Mode::Json => {
                let now = (
                    snapshot.round,
                    snapshot.phase.clone(),
                    snapshot.rounds_done.len(),
                    snapshot.curve.len(),
                );
                if now != self.last {
                    self.last = now;
                    put(&serde_json::to_string(snapshot).expect("a snapshot has a JSON form"));
                }
            }
        }
    }

    /// Nothing is redrawn from here on.
    pub fn close(&mut self) {
        self.drawn = 0;
    }

    /// How it ended.
    pub fn summary(&mut self, snapshot: &Snapshot, bits: f64, bytes: u64) {
        let Some(summary) = &snapshot.summary else { return };
        if self.mode == Mode::Json {
            return;
        }
        let mut text = vec![String::new()];
        text.push(format!(
            "{} of {} honest peers hold the same root {}",
            summary.agree, summary.honest, summary.root
        ));
        let compare: Vec<String> = snapshot
            .baselines
            .iter()
            .map(|b| format!("{} {:.3}", b.name, b.bits_per_byte))
            .collect();
        text.push(format!(
            "held-out text ({bytes} bytes): {bits:.3} bits per byte; {}",
            compare.join(", ")
        ));
        let t = &snapshot.totals;
        text.push(format!(
            "{} tokens in {:.0} s, {:.1} MB sent, {:.1} % of the work was auditing",
            t.tokens,
            snapshot.elapsed_s,
            t.bytes_sent as f64 / 1e6,
            t.audit_share * 100.0
        ));
        for evidence in &snapshot.evidence {
            let name = name_of(snapshot, &evidence.peer);
            let told = snapshot.peers.iter().find(|p| p.id == evidence.peer);
            let cheat = told.and_then(|p| p.cheat.clone()).unwrap_or_else(|| "unknown".into());
            let by: Vec<String> =
                evidence.confirmed_by.iter().map(|id| name_of(snapshot, id)).collect();
            text.push(format!("{name} is out (it was told to cheat: {cheat}): {}", evidence.what));
            text.push(format!("  re-run by {}", by.join(", ")));
        }
        text.push(String::new());
        text.push("a sample of text:".to_owned());
        text.extend(summary.sample.lines().map(|l| format!("  {l}")));
        text.push(String::new());
        text.push("next:".to_owned());
        text.extend(summary.next.iter().map(|n| format!("  {n}")));
        put(&text.join("\n"));
    }

    fn notice(&mut self, board: &Board, notice: &Notice) -> Option<String> {
        let name = |id: &ids::PeerId| board.name(id);
        let (key, text) = match notice {
            Notice::Decided(r) => {
                let text = match r.kind {
                    Kind::Genesis => "the run begins".to_owned(),
                    Kind::Close => "the last audits are done: the run is closed".to_owned(),
                    Kind::Advance => format!(
                        "round {}: {} contributions, root {}",
                        r.round,
                        r.contributions.len(),
                        r.state.model.hash.short()
                    ),
                    Kind::Repair => format!(
                        "round {} again without {}: root {}",
                        r.round,
                        r.ejected.iter().map(name).collect::<Vec<_>>().join(", "),
                        r.state.model.hash.short()
                    ),
                };
                (format!("decided {}", r.height), text)
            }
            Notice::Verdict { height, contributor, auditor, kind, part, .. }
                if *kind != VerdictKind::Confirmed =>
            {
                let what = match (kind, part) {
                    (VerdictKind::Mismatch, Some(p)) => format!("another result in part {}", p + 1),
                    (VerdictKind::Mismatch, None) => "another result".to_owned(),
                    _ => "what it needs is unavailable".to_owned(),
                };
                (
                    format!("verdict {height} {contributor} {auditor}"),
                    format!("{} re-ran {}: {what}", name(auditor), name(contributor)),
                )
            }
            Notice::Ejected { peer, evidence, .. } => {
                (format!("ejected {peer}"), format!("{} is out: {evidence}", name(peer)))
            }
            Notice::Absent { peer, height } => (
                format!("absent {peer} {height}"),
                format!("{} is away: no round waits for it", name(peer)),
            ),
            Notice::Rejoined { peer, height } => {
                (format!("back {peer} {height}"), format!("{} is back", name(peer)))
            }
            _ => return None,
        };
        self.told.insert(key).then_some(text)
    }

    fn tell(&mut self, news: String) {
        let news = plain(&news);
        match self.mode {
            Mode::Lines => put(&news),
            Mode::View => {
                self.news.push(news);
                if self.news.len() > NEWS {
                    self.news.remove(0);
                }
            }
            Mode::Json => {}
        }
    }

    fn redraw(&mut self, snapshot: &Snapshot) {
        let mut lines = vec![self.headline(snapshot), self.quality(snapshot), String::new()];
        for peer in &snapshot.peers {
            lines.push(self.peer(peer));
        }
        lines.push(String::new());
        lines.extend(self.news.iter().map(|n| self.dim(n)));
        if let Some(page) = &self.page {
            lines.push(format!("page: {page}"));
        }
        let width = terminal_width();
        let mut out = String::new();
        if self.drawn > 0 {
            out.push_str(&format!("\x1b[{}A", self.drawn));
        }
        for line in &lines {
            out.push_str("\x1b[2K");
            out.push_str(&clip(line, width));
            out.push('\n');
        }
        out.push_str("\x1b[J");
        self.drawn = lines.len();
        let mut stdout = terminal::raw_stdout().lock();
        let _ = stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush());
    }

    fn headline(&self, s: &Snapshot) -> String {
        let left = s.remaining_s.map_or_else(String::new, |r| format!(", {} left", clock(r)));
        let what = plain(s.message.as_deref().unwrap_or(""));
        let round = if s.rounds > 0 && s.round > 0 {
            format!(" · round {} of {}", s.round, s.rounds)
        } else {
            String::new()
        };
        let run: String = s.run.chars().take(8).collect();
        let title = self.bold(&format!("understory {run}"));
        format!("{title} · {}{round} · {}{left} {what}", s.phase, clock(s.elapsed_s))
    }

    fn quality(&self, s: &Snapshot) -> String {
        let bits = s.curve.last().map_or_else(
            || "not measured yet".to_owned(),
            |p| format!("{:.3} bits per byte held out", p.bits_per_byte),
        );
        let base: Vec<String> =
            s.baselines.iter().map(|b| format!("{} {:.2}", b.name, b.bits_per_byte)).collect();
        let spark = sparkline(s.curve.iter().map(|p| p.bits_per_byte));
        format!(
            "{bits} {spark} ({}) · {:.0} tokens/s · {:.1} MB sent",
            base.join(", "),
            s.totals.tokens_per_s,
            s.totals.bytes_sent as f64 / 1e6
        )
    }

    fn peer(&self, p: &Peer) -> String {
        let done = if p.steps > 0 { f64::from(p.step) / f64::from(p.steps) } else { 0.0 };
        let filled = (done * 12.0).round() as usize;
        let bar: String = (0..12).map(|i| if i < filled { '█' } else { '·' }).collect();
        let root: String = p.root.as_deref().unwrap_or("").chars().take(8).collect();
        let key: String = p.id.chars().take(8).collect();
        let line = format!(
            "{:<7} {key:<8} {:<9} {bar} {:>3}/{:<3} {:>7.0} tok/s {:>7.1} MB  {:>3.0} % of votes  \
             audits {:<3} {root}",
            p.name,
            p.status,
            p.step,
            p.steps,
            p.tokens_per_s,
            p.sent_bytes as f64 / 1e6,
            p.vote * 100.0,
            p.audits_passed
        );
        let line = plain(&line);
        match (p.status.as_str(), p.reason.as_deref().map(plain)) {
            ("ejected", reason) => self.red(&format!("{line}  {}", reason.unwrap_or_default())),
            (_, Some(reason)) => format!("{line}  {reason}"),
            _ => line,
        }
    }

    fn bold(&self, text: &str) -> String {
        self.style("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.style("2", text)
    }

    fn red(&self, text: &str) -> String {
        self.style("31", text)
    }

    fn style(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Which signal ended a peer, and what comes of it.
fn killed_words(signal: Signal, again_in: Option<Duration>) -> String {
    let why = match signal.may_be_want_of_memory() {
        true => ", which the system sends when memory runs out",
        false => "",
    };
    let then = match again_in {
        Some(time) => format!("it is started again in {} s", time.as_secs()),
        None => format!("it is not started again, after {MAX_RESTARTS} restarts of peers"),
    };
    format!("ended by {signal}{why}; {then}")
}

/// Why a peer failed and what to do about it.
fn failed_words(from: usize, error: &str, hints: &[String]) -> String {
    let mut text = format!("peer {}: {error}", from + 1);
    hints.iter().for_each(|hint| text.push_str(&format!("\n  hint: {hint}")));
    text
}

fn put(line: &str) {
    let mut out = terminal::stdout();
    // Who reads may be gone; the run goes on.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn name_of(snapshot: &Snapshot, id: &str) -> String {
    let peer = snapshot.peers.iter().find(|p| p.id == id);
    peer.map_or_else(|| id.chars().take(8).collect(), |p| p.name.clone())
}

fn clock(seconds: f64) -> String {
    let seconds = seconds as u64;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

fn sparkline(values: impl Iterator<Item = f64>) -> String {
    let values: Vec<f64> = values.collect();
    let values = &values[values.len().saturating_sub(24)..];
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
    let ticks = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let tick = |v: &f64| ticks[(((v - low) / (high - low).max(1e-9)) * 7.0).round() as usize];
    values.iter().map(tick).collect()
}

fn terminal_width() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
    columns.or_else(stty_columns).unwrap_or(100).clamp(20, 400)
}

/// The size the terminal tells `stty`, asked for once.
fn stty_columns() -> Option<usize> {
    static COLUMNS: std::sync::OnceLock<Option<usize>> = std::sync::OnceLock::new();
    *COLUMNS.get_or_init(|| {
        let tty = std::fs::File::open("/dev/tty").ok()?;
        let output = std::process::Command::new("stty").arg("size").stdin(tty).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        text.split_whitespace().nth(1)?.parse().ok()
    })
}

/// At most `width` visible characters; escape sequences take no room.
fn clip(line: &str, width: usize) -> String {
    let (mut out, mut seen, mut escape) = (String::new(), 0, false);
    for c in line.chars() {
        if c == '\x1b' {
            escape = true;
        }
        if escape {
            out.push(c);
            escape = !c.is_ascii_alphabetic();
        } else if seen < width {
            out.push(c);
            seen += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_what_is_seen_and_keeps_colours_closed() {
        assert_eq!(clip("\x1b[31mabcdef\x1b[0m", 3), "\x1b[31mabc\x1b[0m");
        assert_eq!(clip("né", 9), "né");
    }

    #[test]
    fn what_ended_a_peer_is_named_with_what_comes_of_it() {
        let (kill, bus) = (Signal { number: 9 }, Signal { number: 200 });
        assert_eq!(
            killed_words(kill, Some(Duration::from_secs(5))),
            "ended by signal 9 (SIGKILL), which the system sends when memory runs out; it is \
             started again in 5 s"
        );
        assert_eq!(
            killed_words(bus, None),
            "ended by signal 200; it is not started again, after 8 restarts of peers"
        );
    }

    #[test]
    fn sparkline_falls_from_high_to_low() {
        assert_eq!(sparkline([3.0, 2.0, 1.0].into_iter()), "█▅▁");
        assert_eq!(sparkline([].into_iter()), "");
        assert_eq!(sparkline([2.0].into_iter()), "▁");
    }
}
