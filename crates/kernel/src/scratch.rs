//! Buffers that a thread keeps from call to call, and outputs shared out among tasks.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};

/// One cache line, so that buffers start on one.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line([f32; 16]);

impl Line {
    /// Sixteen zeros.
    pub(crate) const ZERO: Line = Line([0.0; 16]);
}

/// The values of some lines.
pub(crate) fn floats(lines: &[Line]) -> &[f32] {
    // SAFETY: a Line is sixteen f32 without padding.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast::<f32>(), lines.len() * 16) }
}

/// The values of some lines, to be written.
pub(crate) fn floats_mut(lines: &mut [Line]) -> &mut [f32] {
    // SAFETY: as above, and the borrow is exclusive.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<f32>(), lines.len() * 16) }
}

thread_local! {
    static FREE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer left over from earlier calls on this thread: its contents are arbitrary (but
/// initialised). Goes back when dropped; several may be out at once.
///
/// A guard rather than a function that takes a closure: code in a closure would not be compiled
/// with the target features of the function around it.
pub(crate) struct Scratch {
    lines: Vec<Line>,
    len: usize,
}

impl Scratch {
    /// A buffer of `len` values.
    pub(crate) fn new(len: usize) -> Scratch {
        let mut lines = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
        if lines.len() < len.div_ceil(16) {
            lines.clear();
            lines.resize(len.div_ceil(16), Line::ZERO);
        }
        Scratch { lines, len }
    }
}

impl Scratch {
    /// The buffer as words.
    #[inline(always)]
    pub(crate) fn words(&mut self) -> &mut [u32] {
        // SAFETY: a Line is sixteen values of four bytes without padding, of which any bits are a
        // word; the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast::<u32>(), self.len) }
    }

    /// The buffer as integers with a sign.
    #[inline(always)]
    pub(crate) fn integers(&mut self) -> &mut [i32] {
        // SAFETY: as for words.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast::<i32>(), self.len) }
    }
}

impl Deref for Scratch {
    type Target = [f32];

    #[inline(always)]
    fn deref(&self) -> &[f32] {
        // SAFETY: a Line is sixteen f32 without padding, and there are lines for `len` values.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast::<f32>(), self.len) }
    }
}

impl DerefMut for Scratch {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast::<f32>(), self.len) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        // At the end of a thread its list may be gone already; then the buffer just ends too.
        let _ = FREE.try_with(|free| free.borrow_mut().push(lines));
    }
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
