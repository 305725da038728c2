//! The hash of bytes that nobody has in one piece of memory, found on several threads.

use crate::Hash;
use blake3::hazmat::{self, ChainingValue, HasherExt, Mode};
use std::sync::OnceLock;

/// Bytes that one task hashes: a subtree of BLAKE3, and little enough to stay in a core's cache.
const PIECE: usize = 64 << 10;

impl Hash {
    /// [`Hash::of`] the `len` bytes that `read(at, out)` writes: `out` gets those from `at` on.
    ///
    /// `each(n, task)` calls `task` once with every number below `n`, in any order, on any
    /// threads. BLAKE3 is a tree, so the pieces are hashed apart and joined.
    pub fn of_pieces(
        len: usize,
        read: impl Fn(usize, &mut [u8]) + Sync,
        each: impl FnOnce(usize, &(dyn Fn(usize) + Sync)),
    ) -> Self {
        if len <= PIECE {
            let mut bytes = vec![0; len];
            read(0, &mut bytes);
            return Self::of(&bytes);
        }
        let hashes: Vec<OnceLock<ChainingValue>> = vec![OnceLock::new(); len.div_ceil(PIECE)];
        each(hashes.len(), &|piece| {
            let at = piece * PIECE;
            let mut buffer = [0; PIECE];
            let bytes = &mut buffer[..PIECE.min(len - at)];
            read(at, bytes);
            let mut hasher = blake3::Hasher::new();
            hasher.set_input_offset(at as u64).update(bytes);
            let _ = hashes[piece].set(hasher.finalize_non_root());
        });
        let found = |hash: &OnceLock<_>| *hash.get().expect("every piece was hashed");
        let hashes: Vec<ChainingValue> = hashes.iter().map(found).collect();
        let (left, right) = halves(&hashes);
        let root = hazmat::merge_subtrees_root(&join(left), &join(right), Mode::Hash);
        Self(*root.as_bytes())
    }
}

/// The chaining value over one or more pieces.
fn join(pieces: &[ChainingValue]) -> ChainingValue {
    if let [one] = pieces {
        return *one;
    }
    let (left, right) = halves(pieces);
    hazmat::merge_subtrees_non_root(&join(left), &join(right), Mode::Hash)
}

/// The left subtree has the largest power of two that leaves something for the right one.
fn halves(pieces: &[ChainingValue]) -> (&[ChainingValue], &[ChainingValue]) {
    pieces.split_at(pieces.len().next_power_of_two() / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_give_the_hash_of_the_whole() {
        let bytes: Vec<u8> = (0..9 * PIECE + 5).map(|i| ((i * i) >> 7) as u8).collect();
        let exact = [2, 3, 4, 5, 8].map(|n| n * PIECE);
        let odd = [0, 1, 1024, PIECE, PIECE + 1, 3 * PIECE - 1, bytes.len()];
        for len in exact.into_iter().chain(odd) {
            let read = |at: usize, out: &mut [u8]| out.copy_from_slice(&bytes[at..at + out.len()]);
            // Backwards: the order must not matter.
            let hash = Hash::of_pieces(len, read, |n, task| (0..n).rev().for_each(task));
            assert_eq!(hash, Hash::of(&bytes[..len]), "{len} bytes");
        }
    }
}
