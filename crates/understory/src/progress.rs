//! How far long work is, on standard error. For people: notes as lines, and on a terminal one line
//! that is drawn over and goes away at the end. For programs (`--json`): lines of JSON.

mod lines;
pub mod words;

use crate::{terminal, units};
use lines::Lines;
use progress::{At, Progress, Tell, Unit, Work};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Shows what work tells; whatever line is left goes away with it.
pub struct Screen {
    to: To,
}

/// Does work, and shows what it tells meanwhile; `json` is for programs.
pub fn shown<T>(json: bool, work: impl FnOnce(&mut Tell<'_>) -> T) -> T {
    let mut screen = Screen::new(json);
    work(&mut |progress| screen.tell(progress))
}

/// Who looks.
enum To {
    /// Programs.
    Lines(Lines),
    /// People, with a line that is drawn over where standard error is a terminal.
    People(Option<Line>),
}

impl Screen {
    /// Nothing yet; `json` is for programs.
    pub fn new(json: bool) -> Self {
        let line = || std::io::stderr().is_terminal().then(Line::default);
        Self { to: if json { To::Lines(Lines::default()) } else { To::People(line()) } }
    }

    /// Takes in what work tells.
    pub fn tell(&mut self, progress: Progress) {
        match (&mut self.to, progress) {
            (To::Lines(lines), progress) => {
                lines.tell(progress, Instant::now()).iter().for_each(put)
            }
            (To::People(line), Progress::At(at)) => {
                let line = line.as_mut().and_then(|line| line.at(at, Instant::now()));
                if let Some(line) = line {
                    terminal::eprint_over(&line);
                }
            }
            (To::People(_), Progress::Note(note)) => {
                self.clear();
                eprintln!("{}", words::of(&note));
            }
        }
    }

    /// Takes the line away, so that something else can be printed.
    pub fn clear(&mut self) {
        if let To::People(Some(line)) = &mut self.to
            && line.shown.take().is_some()
        {
            terminal::eprint_over("");
        }
    }
}

fn put(line: &progress::Line) {
    eprintln!("{}", serde_json::to_string(line).expect("a line has a JSON form"));
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.clear();
        if let To::Lines(lines) = &mut self.to {
            lines.rest().iter().for_each(put);
        }
    }
}

/// When the work that goes on began, and when its line was drawn.
#[derive(Default)]
struct Line {
    began: Option<(Work, Instant)>,
    shown: Option<Instant>,
}

impl Line {
    /// What to draw at this time, if anything; an empty line takes it away.
    fn at(&mut self, at: At, now: Instant) -> Option<String> {
        if at.done >= at.total {
            self.began = None;
            return self.shown.take().map(|_| String::new());
        }
        let (_, began) = *match &mut self.began {
            Some(same) if same.0 == at.work => same,
            other => other.insert((at.work, now)),
        };
        let due = self.shown.map_or(began + PATIENCE, |shown| shown + EVERY);
        if now < due {
            return None;
        }
        self.shown = Some(now);
        Some(text(at, now - began))
    }
}

/// `fetching: 45.3 % of 4.1 GB, 12.0 MB/s, 3:05 left`.
fn text(at: At, elapsed: Duration) -> String {
    let share = 100.0 * at.done as f64 / at.total.max(1) as f64;
    let (name, unit) = (words::work(at.work), at.work.unit());
    let mut text = format!("{name}: {share:.1} % of {}", amount(at.total, unit));
    let rate = (at.fresh as f64 / elapsed.as_secs_f64().max(1e-3)) as u64;
    if let Some(left) = (at.total - at.done).checked_div(rate) {
        let (rate, minutes, seconds) = (amount(rate, unit), left / 60, left % 60);
        text += &format!(", {rate}/s, {minutes}:{seconds:02} left");
    }
    text
}

fn amount(count: u64, unit: Unit) -> String {
    match unit {
        Unit::Bytes => units::bytes(count),
        Unit::Tokens => format!("{count} tokens"),
        Unit::Records => format!("{count} records"),
        Unit::Statements => format!("{count} statements"),
        Unit::Rounds => format!("{count} rounds"),
        Unit::Contributions => format!("{count} contributions"),
    }
}

/// Time before the first line: what is over sooner is not worth one.
const PATIENCE: Duration = Duration::from_millis(250);
/// Time between two lines.
const EVERY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    fn at(work: Work, done: u64) -> At {
        At { work, done, total: 4_000_000_000, fresh: done / 2 }
    }

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long() {
        let half = at(Work::Fetching, 2_000_000_000);
        let said = text(half, Duration::from_secs(10));
        assert_eq!(said, "fetching: 50.0 % of 4.0 GB, 100.0 MB/s, 0:20 left");
        let found = At { fresh: 0, ..half };
        assert_eq!(text(found, Duration::from_secs(10)), "fetching: 50.0 % of 4.0 GB");
        let read = At { work: Work::Reading, done: 512, total: 4096, fresh: 512 };
        let said = text(read, Duration::from_secs(4));
        assert_eq!(said, "reading the prompt: 12.5 % of 4096 tokens, 128 tokens/s, 0:28 left");
    }

    #[test]
    fn a_line_comes_late_is_drawn_seldom_and_goes_away() {
        let (mut line, start) = (Line::default(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        let work = Work::Hashing;
        assert_eq!(line.at(at(work, 1), after(0)), None, "it may be over in a moment");
        assert!(line.at(at(work, 2), after(300)).is_some());
        assert_eq!(line.at(at(work, 3), after(350)), None, "too soon");
        assert!(line.at(at(work, 4), after(450)).is_some());
        assert_eq!(line.at(at(work, 4_000_000_000), after(451)), Some(String::new()));
        assert_eq!(line.at(at(work, 1), after(452)), None, "the next work begins anew");
        assert_eq!(line.at(at(work, 4_000_000_000), after(453)), None, "nothing to take away");
    }
}
