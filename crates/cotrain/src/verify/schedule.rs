//! Which contribution to re-run next.
//!
//! A contribution starts with the carry that its author's contribution before left
//! over. Where that is in no store, re-running the one before makes it: those two go in order.

use super::history::Decided;
use std::{
    collections::BTreeSet,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};
use store::Store;

/// Jobs shared by several threads.
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// For each job the earlier one that has to be done before, if any.
    before: Vec<Option<usize>>,
}

struct State {
    /// In ascending order.
    waiting: BTreeSet<usize>,
    /// Neither waiting nor done.
    running: BTreeSet<usize>,
}

/// A job to do now; it counts as done when this is dropped.
pub struct Taken<'a> {
    /// Which.
    pub job: usize,
    queue: &'a Queue,
}

impl Queue {
    /// All of `jobs`, which are in the order of their heights.
    pub fn new(jobs: &[&Decided], store: &Store) -> Self {
        let before = |at: usize| {
            let needed = jobs[at].commit.body().carry_before?;
            let author = jobs[at].commit.author();
            let earlier = jobs[..at]
                .iter()
                .rposition(|j| j.commit.author() == author && j.commit.body().carry == needed);
            earlier.filter(|_| !store.has(&needed.hash))
        };
        Self::of((0..jobs.len()).map(before).collect())
    }

    fn of(before: Vec<Option<usize>>) -> Self {
        let (waiting, running) = ((0..before.len()).collect(), BTreeSet::new());
        Self { state: Mutex::new(State { waiting, running }), changed: Condvar::new(), before }
    }

    /// The next job that nothing stands in the way of; waits for one if there may be one yet.
    /// `None` when there is nothing left to take.
    pub fn take(&self) -> Option<Taken<'_>> {
        let mut state = self.lock();
        loop {
            let State { waiting, running } = &*state;
            let pending = |job: &usize| waiting.contains(job) || running.contains(job);
            let next = waiting.iter().find(|job| !self.before[**job].as_ref().is_some_and(pending));
            match next.copied() {
                Some(job) => {
                    state.waiting.remove(&job);
                    state.running.insert(job);
                    return Some(Taken { job, queue: self });
                }
                None if state.waiting.is_empty() => return None,
                // The first that waits can only stand behind one that runs.
                None => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// Gives out no more jobs.
    pub fn stop(&self) {
        self.lock().waiting.clear();
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.queue.lock().running.remove(&self.job);
        self.queue.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_comes_after_the_one_it_needs_and_others_overtake_it() {
        let queue = Queue::of(vec![None, Some(0), None]);
        let first = queue.take().expect("one is free");
        assert_eq!(first.job, 0);
        assert_eq!(queue.take().expect("another is free").job, 2, "1 waits for 0");
        drop(first);
        assert_eq!(queue.take().expect("now it is free").job, 1);
        assert!(queue.take().is_none());
    }

    #[test]
    fn threads_do_every_job_once_in_an_allowed_order() {
        let before: Vec<Option<usize>> = (0..40usize).map(|j| j.checked_sub(3)).collect();
        let queue = Queue::of(before.clone());
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Some(taken) = queue.take() {
                        order.lock().expect("no panic inside").push(taken.job);
                    }
                });
            }
        });
        let order = order.into_inner().expect("no panic inside");
        let at = |job| order.iter().position(|j| *j == job).expect("done");
        assert_eq!(order.len(), before.len());
        for (job, needs) in before.iter().enumerate() {
            assert!(needs.is_none_or(|n| at(n) < at(job)), "{job}");
        }
    }

    #[test]
    fn nothing_is_given_out_after_the_stop() {
        let queue = Queue::of(vec![None, None]);
        let running = queue.take();
        queue.stop();
        assert!(running.is_some() && queue.take().is_none());
    }
}
