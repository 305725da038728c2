//! A fork-join thread pool: tasks are claimed from a counter, the caller works too.
//!
//! Waiting threads spin for some microseconds and then sleep, so that several processes can share
//! the cores. No result may depend on who runs a task: the kernels split work by outputs only.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Turns of the spin loop before a thread sleeps: about 30 µs on a 3.5 GHz machine.
const SPINS: usize = 1500;

/// Worker threads beside the caller. Dropping the pool ends them.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Held by the one caller whose job runs; everybody else, nested calls included, runs inline.
    caller: Mutex<()>,
}

struct Shared {
    state: Mutex<State>,
    /// Workers sleep here between jobs.
    work: Condvar,
    /// The caller sleeps here until the last worker has left the job.
    done: Condvar,
    /// Number of jobs published so far; workers spin on it.
    epoch: AtomicUsize,
    /// Workers inside the current job. Changed under `state`, read while spinning.
    active: AtomicUsize,
    /// The next task nobody has claimed.
    next: AtomicUsize,
}

struct State {
    job: Option<Job>,
    /// Workers asleep; with none the wake-up call to the system is saved.
    sleepers: usize,
    stop: bool,
    panic: Option<Box<dyn Any + Send>>,
}

/// A job as workers see it. The pointer is valid while the job is published or a worker is inside.
#[derive(Clone, Copy)]
struct Job {
    run: *const (dyn Fn(usize) + Sync),
    tasks: usize,
}

// SAFETY: the closure behind the pointer is Sync, and `Pool::run` keeps it alive until every
// worker that took the pointer has left the job.
unsafe impl Send for Job {}

impl Pool {
    /// A pool in which `threads` threads work on a job: the caller and `threads - 1` workers.
    pub(crate) fn new(threads: usize) -> Pool {
        let shared = Arc::new(Shared {
            state: Mutex::new(State { job: None, sleepers: 0, stop: false, panic: None }),
            work: Condvar::new(),
            done: Condvar::new(),
            epoch: AtomicUsize::new(0),
            active: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
        });
        let workers = (1..threads)
            .map(|index| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new()
                    .name(format!("kernel-{index}"))
                    .spawn(move || shared.work())
                    .expect("the system can start a thread")
            })
            .collect();
        Pool { shared, workers, caller: Mutex::new(()) }
    }

    /// Threads that work on a job, the caller included.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `f(0)`, …, `f(tasks - 1)`, each once, in any order, and returns when all are done.
    /// A panic in a task is passed on to the caller after the other threads have stopped.
    pub(crate) fn run(&self, tasks: usize, f: &(dyn Fn(usize) + Sync)) {
        let free =
            if self.workers.is_empty() || tasks < 2 { None } else { self.caller.try_lock().ok() };
        let Some(_held) = free else {
            (0..tasks).for_each(f);
            return;
        };
        self.shared.publish(f, tasks);
        let mine = catch_unwind(AssertUnwindSafe(|| self.shared.claim(f, tasks)));
        if mine.is_err() {
            self.shared.next.store(tasks, Ordering::Relaxed); // nobody starts another task
        }
        let theirs = self.shared.retire();
        if let Some(payload) = mine.err().or(theirs) {
            drop(_held);
            resume_unwind(payload);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.epoch.fetch_add(1, Ordering::Release);
        self.shared.work.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its tasks, so there is nothing to report here.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, f: &(dyn Fn(usize) + Sync), tasks: usize) {
        // SAFETY: only the lifetime is erased; `retire` runs before `f` goes out of scope.
        let run: *const (dyn Fn(usize) + Sync + 'static) = unsafe { std::mem::transmute(f) };
        let mut state = self.lock();
        let epoch = self.epoch.load(Ordering::Relaxed) + 1;
        state.job = Some(Job { run, tasks });
        self.next.store(0, Ordering::Relaxed);
        self.epoch.store(epoch, Ordering::Release);
        let asleep = state.sleepers > 0;
        drop(state);
        if asleep {
            self.work.notify_all();
        }
    }

    fn claim(&self, f: &(dyn Fn(usize) + Sync), tasks: usize) {
        loop {
            let task = self.next.fetch_add(1, Ordering::Relaxed);
            if task >= tasks {
                return;
            }
            f(task);
        }
    }

    /// Closes the job to newcomers, waits for the workers inside, returns a panic of theirs.
    fn retire(&self) -> Option<Box<dyn Any + Send>> {
        self.lock().job = None;
        for _ in 0..SPINS {
            if self.active.load(Ordering::Acquire) == 0 {
                break;
            }
            std::hint::spin_loop();
        }
        let mut state = self.lock();
        while self.active.load(Ordering::Acquire) != 0 {
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.panic.take()
    }

    /// The life of a worker.
    fn work(&self) {
        let mut seen = 0;
        while let Some(job) = self.enter(&mut seen) {
            // SAFETY: this worker is counted in `active`, so `retire`, and with it the owner of
            // the closure, waits for `leave`.
            let f = unsafe { &*job.run };
            let panic = catch_unwind(AssertUnwindSafe(|| self.claim(f, job.tasks))).err();
            if panic.is_some() {
                self.next.store(job.tasks, Ordering::Relaxed);
            }
            self.leave(panic);
        }
    }

    /// Waits for a job newer than `seen` and enters it; `None` when the pool ends.
    fn enter(&self, seen: &mut usize) -> Option<Job> {
        loop {
            for _ in 0..SPINS {
                if self.epoch.load(Ordering::Acquire) != *seen {
                    break;
                }
                std::hint::spin_loop();
            }
            let mut state = self.lock();
            while !state.stop && self.epoch.load(Ordering::Relaxed) == *seen {
                state.sleepers += 1;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.sleepers -= 1;
            }
            if state.stop {
                return None;
            }
            *seen = self.epoch.load(Ordering::Relaxed);
            if let Some(job) = state.job {
                self.active.fetch_add(1, Ordering::Relaxed);
                return Some(job);
            }
            // The job ended before this worker came: look out for the next one.
        }
    }

    fn leave(&self, panic: Option<Box<dyn Any + Send>>) {
        let mut state = self.lock();
        if panic.is_some() {
            state.panic = panic;
        }
        let last = self.active.fetch_sub(1, Ordering::Release) == 1;
        if last && state.job.is_none() {
            self.done.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_for_any_number_of_threads() {
        for threads in [1, 2, 3, 7] {
            let pool = Pool::new(threads);
            assert_eq!(pool.threads(), threads);
            for tasks in [0, 1, 2, 5, 100] {
                let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(tasks, &|task| {
                    counts[task].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn nested_and_concurrent_calls_run_inline() {
        let pool = Pool::new(3);
        let count = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        pool.run(4, &|_| {
                            pool.run(3, &|_| {
                                count.fetch_add(1, Ordering::Relaxed);
                            });
                        });
                    }
                });
            }
        });
        assert_eq!(count.load(Ordering::Relaxed), 4 * 200 * 4 * 3);
    }

    #[test]
    fn a_panic_in_a_task_reaches_the_caller_and_the_pool_lives_on() {
        for threads in [1, 3] {
            let pool = Pool::new(threads);
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                pool.run(50, &|task| assert!(task != 20, "task twenty"));
            }));
            let payload = outcome.expect_err("task 20 panics");
            assert!(payload.downcast_ref::<&str>().is_some_and(|text| text.contains("twenty")));
            let count = AtomicUsize::new(0);
            pool.run(10, &|_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(count.load(Ordering::Relaxed), 10);
        }
    }
}
