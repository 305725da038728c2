//! The handle through which everything runs.

use std::ops::Range;
use std::sync::Arc;

use crate::isa::{Cpu, Isa};
use crate::pool::Pool;

/// An instruction set and a pool of threads. Cheap to clone; clones share the threads.
///
/// Neither changes a bit of any result. Calls from several threads at once are allowed: one of
/// them gets the pool, the others run on their own thread.
#[derive(Clone)]
pub struct Kernel {
    pub(crate) cpu: Cpu,
    pool: Arc<Pool>,
}

impl Kernel {
    /// A kernel on `isa` with `threads` threads, the caller's included (0 counts as 1).
    ///
    /// Panics: if this machine lacks `isa`; see [`Isa::available`].
    pub fn new(isa: Isa, threads: usize) -> Kernel {
        let cpu = Cpu::new(isa).unwrap_or_else(|error| panic!("{error}"));
        Kernel { cpu, pool: Arc::new(Pool::new(threads)) }
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.cpu.isa()
    }

    /// The number of threads that work, the caller's included.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Calls `f(0)`, …, `f(tasks - 1)`, each once, in any order and on any thread, and returns
    /// when all are done. A call from inside a task runs on that task's thread.
    ///
    /// Bits: `f` must not let a result depend on the order or the thread.
    /// Panics: with the panic of a task.
    pub fn parallel(&self, tasks: usize, f: impl Fn(usize) + Sync) {
        self.pool.run(tasks, &f);
    }

    /// Splits `0..count` into runs of whole multiples of `unit` items, `cost` operations each, that
    /// are worth a task, and calls `f` on each.
    pub(crate) fn split(
        &self,
        count: usize,
        unit: usize,
        cost: usize,
        f: impl Fn(Range<usize>) + Sync,
    ) {
        const WORTH: usize = 16 * 1024;
        let smallest = WORTH.div_ceil(cost.max(1));
        let fair = count.div_ceil(4 * self.threads());
        let run = smallest.max(fair).next_multiple_of(unit);
        self.parallel(count.div_ceil(run), |task| f(task * run..count.min((task + 1) * run)));
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kernel({}, {} threads)", self.isa(), self.threads())
    }
}
