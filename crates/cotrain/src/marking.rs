//! The records of a run as marks in a commons: what a member who takes part writes down while it
//! works.
//!
//! Marks stand at heights that a number divides, so that those of several members are about the
//! same records; beside them only the close is marked. There is a pause between two, however fast
//! the run is. The commons stops nothing: what cannot be written is tried again.

use crate::{Cause, events::PeerEvent};
use ids::{Hash, PeerId};
use net::{swarm::NetStatus, with_causes};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

/// Who writes down outside of a run, in a commons, what becomes of it. Calls block.
pub trait Registrar: Send + Sync + 'static {
    /// Marks the record `due`, and one that somebody marked otherwise than it is in `own`, by
    /// height. What was marked before is not marked again.
    ///
    /// Errors: it cannot be read or written there.
    fn mark(&self, run: Hash, due: (u64, Hash), own: &BTreeMap<u64, Hash>)
    -> Result<Marked, Cause>;

    /// Says what the peer in `folder` did in a run that has ended and what the run made; returns how
    /// many statements that took.
    ///
    /// Errors: it cannot be read or written there.
    fn record(&self, ended: &Ended, folder: &Path) -> Result<usize, Cause>;
}

/// What became of a pass over the marks of a run.
pub struct Marked {
    /// Heights whose records were marked now.
    pub said: Vec<u64>,
    /// Heights of which members say different things, and what, in words.
    pub contradictions: Vec<(u64, String)>,
}

/// A run that has ended, as its chain of records tells.
pub struct Ended {
    /// The run's id.
    pub run: Hash,
    /// What people call it.
    pub name: String,
    /// The corpus that it learned from.
    pub corpus: Hash,
    /// The final model.
    pub root: Hash,
    /// Tokens of one inner step.
    pub step_tokens: u64,
    /// This peer, by its key in the run.
    pub peer: PeerId,
    /// Whether this peer began the run.
    pub founder: bool,
}

/// Between two marks.
const PAUSE: Duration = Duration::from_secs(60);
/// After a commons that could not be read or written.
const RETRY: Duration = Duration::from_secs(15);
/// Records that are remembered, to be compared with what others mark.
const REMEMBERED: usize = 4096;

/// A member's marks of the run that it takes part in.
pub(crate) struct Marking {
    registrar: Arc<dyn Registrar>,
    run: Hash,
    plan: Plan,
    running: Option<(u64, JoinHandle<Result<Marked, Cause>>)>,
}

impl Marking {
    /// Of `run`, at every height that `every` divides.
    pub fn new(registrar: Arc<dyn Registrar>, run: Hash, every: u64) -> Self {
        Self { registrar, run, plan: Plan::new(every), running: None }
    }

    /// Takes in a record of this peer's chain.
    pub fn note(&mut self, height: u64, record: Hash) {
        self.plan.note(height, record);
    }

    /// Takes in the newest record: of what was decided before this process began there is no other
    /// news.
    pub fn note_head(&mut self, net: &NetStatus) {
        if let Some(node) = &net.node
            && let (Some(height), Some(record)) = (node.height, node.record)
        {
            self.note(height, record);
        }
    }

    /// Goes on without waiting for the commons; what there is to tell.
    pub async fn step(&mut self) -> Vec<PeerEvent> {
        if self.running.as_ref().is_some_and(|(_, running)| !running.is_finished()) {
            return Vec::new();
        }
        let told = self.end().await;
        self.begin();
        told
    }

    /// The run is over: marks the last record that there is, whatever its height, and waits until
    /// that is done or has failed.
    pub async fn close(&mut self) -> Vec<PeerEvent> {
        let mut told = self.end().await;
        self.plan.close();
        self.begin();
        told.extend(self.end().await);
        told
    }

    fn begin(&mut self) {
        let Some((height, record)) = self.plan.next(Instant::now()) else { return };
        let (registrar, run, own) = (self.registrar.clone(), self.run, self.plan.own.clone());
        let mark = move || registrar.mark(run, (height, record), &own);
        self.running = Some((height, tokio::task::spawn_blocking(mark)));
    }

    async fn end(&mut self) -> Vec<PeerEvent> {
        let Some((height, running)) = self.running.take() else { return Vec::new() };
        let outcome = running.await.map_err(Cause::from).flatten();
        self.plan.ended(height, outcome, Instant::now())
    }
}

/// What is to be marked, and when.
struct Plan {
    every: u64,
    /// The newest record that is to be marked.
    due: Option<(u64, Hash)>,
    /// The newest height that was marked.
    done: Option<u64>,
    /// This peer's newest records.
    own: BTreeMap<u64, Hash>,
    not_before: Option<Instant>,
    /// Contradictions that were told.
    told: BTreeSet<u64>,
    /// Why the commons could not be used, as it was told last.
    trouble: Option<String>,
}

impl Plan {
    fn new(every: u64) -> Self {
        Self {
            every: every.max(1),
            due: None,
            done: None,
            own: BTreeMap::new(),
            not_before: None,
            told: BTreeSet::new(),
            trouble: None,
        }
    }

    fn note(&mut self, height: u64, record: Hash) {
        if height.is_multiple_of(self.every) {
            self.want(height, record);
        }
        self.own.insert(height, record);
        if self.own.len() > REMEMBERED {
            self.own.pop_first();
        }
    }

    /// From now on whatever is the newest record is marked: the run has ended with it.
    fn close(&mut self) {
        (self.every, self.not_before) = (1, None);
        if let Some((&height, &record)) = self.own.last_key_value() {
            self.want(height, record);
        }
    }

    fn want(&mut self, height: u64, record: Hash) {
        if self.due.map(|due| due.0).max(self.done).is_none_or(|newest| height > newest) {
            self.due = Some((height, record));
        }
    }

    fn next(&self, now: Instant) -> Option<(u64, Hash)> {
        self.due.filter(|_| self.not_before.is_none_or(|then| now >= then))
    }

    /// What is to be told of an attempt to mark the record at `height`.
    fn ended(
        &mut self,
        height: u64,
        outcome: Result<Marked, Cause>,
        now: Instant,
    ) -> Vec<PeerEvent> {
        let marked = match outcome {
            Ok(marked) => marked,
            Err(error) => {
                self.not_before = Some(now + RETRY);
                let why = with_causes(&*error);
                let is_news = self.trouble.replace(why.clone()).as_ref() != Some(&why);
                return is_news.then_some(PeerEvent::NotMarked { why }).into_iter().collect();
            }
        };
        self.trouble = None;
        self.not_before = Some(now + PAUSE);
        self.done = self.done.max(Some(height));
        // A newer one may have come meanwhile.
        self.due = self.due.filter(|due| due.0 > height);
        let said = marked.said.into_iter().map(|height| PeerEvent::Marked { height });
        let mut told: Vec<PeerEvent> = said.collect();
        for (height, said) in marked.contradictions {
            if self.told.insert(height) {
                told.push(PeerEvent::MarkedOtherwise { height, said });
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(said: &[u64]) -> Result<Marked, Cause> {
        Ok(Marked { said: said.to_vec(), contradictions: Vec::new() })
    }

    #[test]
    fn a_fast_run_is_marked_once_in_a_pause_at_heights_that_a_number_divides() {
        let (mut plan, begun) = (Plan::new(16), Instant::now());
        let mut heights = Vec::new();
        for second in 0..600 {
            let now = begun + Duration::from_secs(second);
            plan.note(second, Hash::of(&second.to_le_bytes()));
            if let Some((height, record)) = plan.next(now) {
                assert_eq!(record, Hash::of(&height.to_le_bytes()));
                heights.push(height);
                plan.ended(height, marked(&[height]), now);
            }
        }
        assert!(heights.iter().all(|height| height % 16 == 0), "{heights:?}");
        assert!(heights.starts_with(&[0, 48]), "the newest there is: {heights:?}");
        assert!(heights.len() <= 10, "{heights:?}");
        plan.note(601, Hash::of(b"close"));
        plan.close();
        assert_eq!(
            plan.next(begun),
            Some((601, Hash::of(b"close"))),
            "the close waits for nothing"
        );
    }

    #[test]
    fn what_could_not_be_written_is_told_once_and_tried_again() {
        let (mut plan, now) = (Plan::new(16), Instant::now());
        plan.note(16, Hash::of(b"sixteen"));
        let failed = |plan: &mut Plan, now| plan.ended(16, Err("it is gone".into()), now);
        let why = PeerEvent::NotMarked { why: "it is gone".to_owned() };
        assert_eq!(failed(&mut plan, now), std::slice::from_ref(&why));
        assert_eq!(plan.next(now), None);
        assert_eq!(plan.next(now + RETRY), Some((16, Hash::of(b"sixteen"))));
        assert_eq!(failed(&mut plan, now + RETRY), []);
        let told = plan.ended(16, marked(&[16]), now + 2 * RETRY);
        assert_eq!(told, [PeerEvent::Marked { height: 16 }]);
        plan.note(16, Hash::of(b"sixteen"));
        assert_eq!(plan.next(now + PAUSE * 2), None, "it is done");
        plan.note(32, Hash::of(b"thirty-two"));
        assert_eq!(
            failed(&mut plan, now + PAUSE * 2),
            [why],
            "it is told again when it comes back"
        );
    }

    #[test]
    fn a_contradiction_is_told_once() {
        let (mut plan, now) = (Plan::new(16), Instant::now());
        let said = "x by Anna, y by Bert".to_owned();
        let seen = || Ok(Marked { said: vec![], contradictions: vec![(32, said.clone())] });
        let told = PeerEvent::MarkedOtherwise { height: 32, said: said.clone() };
        assert_eq!(plan.ended(48, seen(), now), [told]);
        assert_eq!(plan.ended(64, seen(), now), []);
    }
}
