//! Buffers that a thread keeps from call to call, and outputs shared out among tasks.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;

/// One cache line, so that buffers start on one.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

thread_local! {
    static FREE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Runs `f` on a buffer of `len` values left over from earlier calls: its contents are arbitrary
/// (but initialised). Calls may be nested; each level keeps its own buffer.
pub(crate) fn with_scratch<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut lines = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
    if lines.len() < len.div_ceil(16) {
        lines.clear();
        lines.resize(len.div_ceil(16), Line([0.0; 16]));
    }
    // SAFETY: a Line is sixteen f32 without padding, so the lines are at least `len` values.
    let buffer = unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<f32>(), len) };
    let result = f(buffer);
    FREE.with_borrow_mut(|free| free.push(lines));
    result
}

/// A slice that tasks write to at the same time, each to places of its own.
pub(crate) struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    owner: PhantomData<&'a mut [T]>,
}

// SAFETY: a `Shared` is an exclusive borrow cut into pieces; `part` asks its callers to keep the
// pieces apart.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Shared { start: slice.as_mut_ptr(), len: slice.len(), owner: PhantomData }
    }

    /// One part of the slice.
    ///
    /// # Safety
    /// No two parts that live at the same time overlap.
    #[allow(clippy::mut_from_ref)] // that is the point: see the safety rule
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "part {range:?} of {}",
            self.len
        );
        // SAFETY: inside the slice by the assertion, and apart from the others by the caller.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The first value; for code that addresses the whole by itself and keeps to its own outputs.
    pub(crate) fn start(&self) -> *mut T {
        self.start
    }
}
