//! What long work tells, as lines for programs: a few a second, and always the last of each work.

use progress::{At, Line, Progress};
use std::time::{Duration, Instant};

/// Thins out what is told often.
#[derive(Default)]
pub struct Lines {
    /// What was put out last, and when.
    last: Option<(At, Instant)>,
    /// What came since.
    held: Option<At>,
}

impl Lines {
    /// What to put out now.
    pub fn tell(&mut self, progress: Progress, now: Instant) -> Vec<Line> {
        let at = match progress {
            Progress::At(at) => at,
            note => return self.rest().into_iter().chain([note.into()]).collect(),
        };
        let (mut lines, last) = (Vec::new(), self.last);
        let is_same = last.is_some_and(|(last, _)| last.work == at.work && last.done < last.total);
        if !is_same {
            lines.extend(self.rest());
        }
        self.held = (last.map(|(last, _)| last) != Some(at)).then_some(at);
        let due = last.is_none_or(|(_, then)| now >= then + EVERY);
        if !is_same || due || at.done >= at.total {
            lines.extend(self.rest());
            self.last = Some((at, now));
        }
        lines
    }

    /// What was held back.
    pub fn rest(&mut self) -> Option<Line> {
        self.held.take().map(|at| Progress::At(at).into())
    }
}

/// Time between two lines of one work.
const EVERY: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;
    use progress::{Note, Work};

    fn at(work: Work, done: u64) -> Progress {
        Progress::At(At { work, done, total: 1000, fresh: done })
    }

    #[test]
    fn a_few_lines_a_second_and_always_the_last() {
        let (mut lines, start) = (Lines::default(), Instant::now());
        let mut put = Vec::new();
        for n in 0..=1000 {
            let now = start + Duration::from_millis(n);
            put.extend(lines.tell(at(Work::Hashing, n), now));
        }
        let of = |n| Line::from(at(Work::Hashing, n));
        assert_eq!(put, [0, 250, 500, 750, 1000].map(of));
        let again = lines.tell(at(Work::Hashing, 1000), start + Duration::from_millis(1001));
        assert_eq!(again, [], "an end that is told twice is put out once");
        assert_eq!(lines.rest(), None);
    }

    #[test]
    fn what_was_held_back_comes_before_other_things_and_at_the_end() {
        let (mut lines, now) = (Lines::default(), Instant::now());
        let note = || Progress::Note(Note::Damaged { file: "a".to_owned() });
        let of = |work, n| Line::from(at(work, n));
        assert_eq!(lines.tell(at(Work::Hashing, 1), now), [of(Work::Hashing, 1)]);
        assert_eq!(lines.tell(at(Work::Hashing, 2), now), []);
        assert_eq!(lines.tell(note(), now), [of(Work::Hashing, 2), note().into()]);
        assert_eq!(lines.tell(at(Work::Hashing, 3), now), []);
        let other = lines.tell(at(Work::Loading, 1), now);
        assert_eq!(other, [of(Work::Hashing, 3), of(Work::Loading, 1)]);
        assert_eq!(lines.tell(at(Work::Loading, 2), now), []);
        assert_eq!(lines.rest(), Some(of(Work::Loading, 2)), "work that fails tells no end");
        assert_eq!(lines.rest(), None);
    }
}
