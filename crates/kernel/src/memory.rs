//! Memory for weights: on large pages where the system offers them.
//!
//! Weights stream through the caches once for each token. With pages of 4 KiB a virtual machine
//! spends about half of that time on finding them (measured: 18 against 33 GB/s on one core), so
//! the matrices of a model share regions that the system is asked to back with large pages.

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Bytes of a cache line, where every piece starts.
const LINE: usize = 64;
/// Bytes of a large page.
const LARGE: usize = 2 << 20;
/// Bytes of a region that several matrices share. More than the C library keeps for itself, so that
/// what is never written is never touched.
const REGION: usize = 48 << 20;
/// From this size on a matrix has a region of its own.
const ALONE: usize = 8 << 20;
/// Up to this size large pages are not worth it.
const SMALL: usize = 64 << 10;

/// Asks the system to back memory with large pages: before it is first written, and for memory of
/// many megabytes that is read from end to end. Does nothing where there is no such request.
pub fn prefer_large_pages<T>(memory: &mut [T]) {
    let range = memory.as_mut_ptr_range();
    let start = (range.start as usize).next_multiple_of(LARGE);
    let end = range.end as usize / LARGE * LARGE;
    if start < end {
        advise(start, end - start);
    }
}

#[cfg(target_os = "linux")]
fn advise(start: usize, len: usize) {
    unsafe extern "C" {
        fn madvise(start: *mut u8, len: usize, advice: i32) -> i32;
    }
    const LARGE_PAGES: i32 = 14;
    // SAFETY: whole pages inside one borrowed slice; this advice changes no contents. A refusal
    // leaves everything as it was.
    let _ = unsafe { madvise(start as *mut u8, len, LARGE_PAGES) };
}

#[cfg(not(target_os = "linux"))]
fn advise(_start: usize, _len: usize) {}

/// A piece of zeroed memory that starts on a cache line.
pub(crate) struct Memory {
    start: *mut u8,
    len: usize,
    /// Keeps the region alive.
    _region: Arc<Region>,
}

// SAFETY: a piece belongs to its holder alone, as a `Vec` does.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// `len` zero bytes.
    pub(crate) fn zeroed(len: usize) -> Memory {
        /// The region that has room left. Weak: it ends with the last matrix in it.
        static OPEN: Mutex<(Weak<Region>, usize)> = Mutex::new((Weak::new(), 0));
        if len <= SMALL || len >= ALONE {
            return Region::new(len).piece(0, len);
        }
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let (region, used) = (open.0.upgrade(), open.1);
        let (region, first) = match region {
            Some(region) if used + len <= region.len => (region, used),
            _ => (Region::new(REGION), 0),
        };
        *open = (Arc::downgrade(&region), (first + len).next_multiple_of(LINE));
        region.piece(first, len)
    }
}

impl Deref for Memory {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        // SAFETY: `len` initialised bytes that nobody else writes.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl DerefMut for Memory {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

/// Memory out of which pieces are given, each byte at most once.
struct Region {
    /// The parts of a `Vec`.
    start: *mut u8,
    capacity: usize,
    /// Where the first piece starts, and how much there is from there.
    offset: usize,
    len: usize,
}

// SAFETY: a region is only addresses; what lies there belongs to its pieces.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    fn new(len: usize) -> Arc<Region> {
        let border = if len > SMALL { LARGE } else { LINE };
        let mut memory = ManuallyDrop::new(vec![0u8; len + border]);
        prefer_large_pages(&mut memory);
        let offset = memory.as_ptr().align_offset(border);
        let (start, capacity) = (memory.as_mut_ptr(), memory.capacity());
        Arc::new(Region { start, capacity, offset, len })
    }

    /// The piece from `first` on, which nobody else has been given.
    fn piece(self: Arc<Region>, first: usize, len: usize) -> Memory {
        assert!(first + len <= self.len, "a piece of {len} at {first} of {}", self.len);
        // SAFETY: inside the memory, which has `len` bytes after the offset.
        let start = unsafe { self.start.add(self.offset + first) };
        Memory { start, len, _region: self }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the parts of the `Vec` that was taken apart; no piece is left.
        drop(unsafe { Vec::from_raw_parts(self.start, 0, self.capacity) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_zero_aligned_and_apart() {
        std::thread::scope(|scope| {
            for fill in 1..4u8 {
                scope.spawn(move || {
                    for round in 0..3 {
                        let sizes = [0, 1, SMALL, SMALL + 1, 3 << 20, ALONE - 1, ALONE + 7];
                        let mut pieces: Vec<Memory> = sizes.map(Memory::zeroed).into();
                        for (piece, size) in pieces.iter_mut().zip(sizes) {
                            assert_eq!(piece.len(), size);
                            assert!(piece.as_ptr().addr().is_multiple_of(LINE));
                            assert!(piece.iter().all(|byte| *byte == 0), "round {round}");
                            piece.fill(fill);
                        }
                        assert!(pieces.iter().all(|piece| piece.iter().all(|byte| *byte == fill)));
                    }
                });
            }
        });
    }

    #[test]
    fn a_full_region_is_followed_by_another() {
        let size = 7 << 20;
        let pieces: Vec<Memory> = (0..3 * REGION / size).map(|_| Memory::zeroed(size)).collect();
        let mut starts: Vec<usize> = pieces.iter().map(|piece| piece.as_ptr().addr()).collect();
        starts.sort_unstable();
        assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= size));
    }
}
