//! Random numbers by counter: the number at an index depends on nothing but seed, purpose, item
//! and index, so any part of a sequence can be made anywhere, in any order.
//!
//! Generator: Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").

use crate::kernel::Kernel;
use crate::math;
use crate::philox::philox;
use crate::scratch::Shared;
use crate::simd::scalar::Scalar;
use crate::simd::{LANES, Simd, each_isa};

/// One sequence of random numbers.
///
/// `u32_at(4 i) … u32_at(4 i + 3)` and `u64_at(2 i), u64_at(2 i + 1)` are the same bits, so a
/// stream should be read through one function only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    key: [u32; 2],
    item: [u32; 2],
}

impl Stream {
    /// The stream of `item` (a tensor, a sample, a worker) for one `purpose` under one `seed`.
    ///
    /// Bits: the key is `mix(seed) ^ mix(fnv1a64(purpose))`, with splitmix64's finaliser as `mix`
    /// after adding its odd constant once for the seed and twice for the purpose.
    pub fn new(seed: u64, purpose: &str, item: u64) -> Stream {
        let purpose = fnv1a64(purpose.as_bytes());
        let key = mix(seed.wrapping_add(GOLDEN)) ^ mix(purpose.wrapping_add(GOLDEN << 1));
        Stream { key: halves(key), item: halves(item) }
    }

    /// 32 random bits.
    pub fn u32_at(&self, index: u64) -> u32 {
        self.block(index / 4)[(index % 4) as usize]
    }

    /// 64 random bits.
    pub fn u64_at(&self, index: u64) -> u64 {
        let block = self.block(index / 2);
        let at = (index % 2) as usize * 2;
        u64::from(block[at]) | u64::from(block[at + 1]) << 32
    }

    /// A multiple of 2⁻²⁴ in [0, 1), from the upper bits of `u32_at`.
    pub fn uniform_at(&self, index: u64) -> f32 {
        unit(self.u32_at(index))
    }

    /// A standard normal number, from `u64_at` by Box & Muller: `√(−2 ln(1 − u)) · cos 2πv`.
    pub fn normal_at(&self, index: u64) -> f32 {
        normal_with::<Scalar>(self.u64_at(index))
    }

    /// A number below `n` (0 if `n` is 0): the upper half of `u64_at(index) * n`.
    pub fn below(&self, index: u64, n: u64) -> u64 {
        ((u128::from(self.u64_at(index)) * u128::from(n)) >> 64) as u64
    }

    /// Eight random bits: byte `index mod 4`, little-endian, of `u32_at(index / 4)`.
    pub fn byte_at(&self, index: u64) -> u8 {
        self.u32_at(index / 4).to_le_bytes()[(index % 4) as usize]
    }

    /// [`Stream::byte_at`] from `first` on, which is a multiple of [`BYTES`].
    #[inline(always)]
    pub(crate) fn bytes_at<S: Simd>(&self, first: u64) -> [u8; BYTES] {
        debug_assert!(first.is_multiple_of(BYTES as u64));
        // Sixteen blocks from a multiple of sixteen on: no carry.
        let [low, high] = halves(first / 16);
        let low = std::array::from_fn(|n| low | n as u32);
        let counter = [low, [high; LANES], [self.item[0]; LANES], [self.item[1]; LANES]];
        // SAFETY: whoever is compiled for an instruction set runs on a machine that has it.
        let words = unsafe { S::philox(counter, self.key) };
        let mut bytes = [0; BYTES];
        for (n, block) in bytes.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            for (i, to) in block.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                *to = words[i][n].to_le_bytes();
            }
        }
        bytes
    }

    fn block(&self, index: u64) -> [u32; 4] {
        let [low, high] = halves(index);
        philox([low, high, self.item[0], self.item[1]], self.key)
    }
}

impl Kernel {
    /// Many of [`Stream::normal_at`] at once, faster: `out[i]` is the number at `first + i`.
    pub fn normals(&self, out: &mut [f32], stream: &Stream, first: u64) {
        let count = out.len();
        let out = Shared::new(out);
        self.split(count, 2, 32, |at| {
            // SAFETY: runs do not overlap.
            let out = unsafe { out.part(at.clone()) };
            fill_normals(self.cpu, out, stream, first.wrapping_add(at.start as u64));
        });
    }
}

each_isa! {
    fn fill_normals(out: &mut [f32], stream: &Stream, first: u64) = fill_normals_body;
}

#[inline(always)]
fn fill_normals_body<S: Simd>(out: &mut [f32], stream: &Stream, first: u64) {
    const RUN: usize = 64;
    for (run, out) in out.chunks_mut(RUN).enumerate() {
        let mut bits = [0; RUN];
        let start = first.wrapping_add((run * RUN) as u64);
        for (i, bits) in bits.iter_mut().enumerate().take(out.len()) {
            *bits = stream.u64_at(start.wrapping_add(i as u64));
        }
        for (out, &bits) in out.iter_mut().zip(&bits) {
            *out = normal_with::<S>(bits);
        }
    }
}

#[inline(always)]
fn normal_with<S: Simd>(bits: u64) -> f32 {
    let [low, high] = halves(bits);
    let radius = (-2.0 * math::ln_with::<S>(1.0 - unit(low))).sqrt();
    radius * math::cos64(f64::from(std::f32::consts::TAU * unit(high))) as f32
}

/// Bytes that are made at a time: sixteen blocks.
pub(crate) const BYTES: usize = 16 * LANES;

#[inline(always)]
fn unit(bits: u32) -> f32 {
    (bits >> 8) as f32 * (1.0 / 16_777_216.0)
}

#[inline(always)]
fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

/// FNV-1a, 64 bits.
pub(crate) fn fnv1a64(bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325;
    bytes.iter().fold(start, |hash: u64, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The finaliser of splitmix64.
fn mix(x: u64) -> u64 {
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of the authors' Random123 (kat_vectors, philox4x32 10).
    #[test]
    fn philox_gives_the_published_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn bytes_at_once_are_those_one_by_one() {
        let stream = Stream::new(4, "bytes", 11);
        for isa in crate::Isa::available() {
            for first in [0, 5 << 8, (u64::from(u32::MAX) << 4) - 240, u64::MAX - 255] {
                let all = bytes(crate::isa::Cpu::new(isa).expect("it is there"), &stream, first);
                let one_by_one = std::array::from_fn(|i| stream.byte_at(first + i as u64));
                assert_eq!(all, one_by_one, "{isa} {first}");
            }
        }
        assert_eq!(stream.byte_at(7), (stream.u32_at(1) >> 24) as u8);
    }

    each_isa! {
        fn bytes(stream: &Stream, first: u64) -> [u8; BYTES] = bytes_body;
    }

    #[inline(always)]
    fn bytes_body<S: Simd>(stream: &Stream, first: u64) -> [u8; BYTES] {
        stream.bytes_at::<S>(first)
    }

    #[test]
    fn streams_differ_by_seed_purpose_and_item() {
        let base = Stream::new(1, "data", 2).u64_at(0);
        assert_eq!(base, Stream::new(1, "data", 2).u64_at(0));
        assert_ne!(base, Stream::new(2, "data", 2).u64_at(0));
        assert_ne!(base, Stream::new(1, "init", 2).u64_at(0));
        assert_ne!(base, Stream::new(1, "data", 3).u64_at(0));
        assert_ne!(base, Stream::new(1, "data", 2).u64_at(1));
    }

    #[test]
    fn numbers_have_the_moments_of_their_distribution() {
        let stream = Stream::new(7, "moments", 0);
        let n = 100_000u64;
        let (mut sum, mut squares, mut fourth, mut uniform) = (0.0, 0.0, 0.0, 0.0);
        for i in 0..n {
            let x = f64::from(stream.normal_at(i));
            sum += x;
            squares += x * x;
            fourth += x * x * x * x;
            let u = stream.uniform_at(i);
            assert!((0.0..1.0).contains(&u));
            uniform += f64::from(u);
        }
        let n = n as f64;
        assert!((sum / n).abs() < 0.015, "mean {}", sum / n);
        assert!((squares / n - 1.0).abs() < 0.02, "variance {}", squares / n);
        assert!((fourth / n - 3.0).abs() < 0.15, "fourth moment {}", fourth / n);
        assert!((uniform / n - 0.5).abs() < 0.005, "uniform mean {}", uniform / n);
    }

    #[test]
    fn many_normal_numbers_are_those_at_their_indices() {
        let stream = Stream::new(5, "many", 9);
        for isa in crate::Isa::available() {
            let mut many = vec![0.0; 5003];
            crate::Kernel::new(isa, 3).normals(&mut many, &stream, 17);
            for (i, x) in many.iter().enumerate() {
                assert_eq!(x.to_bits(), stream.normal_at(17 + i as u64).to_bits(), "{isa} {i}");
            }
        }
    }

    #[test]
    fn below_stays_below_and_reaches_everything() {
        let stream = Stream::new(3, "below", 0);
        let mut seen = [0u32; 7];
        for i in 0..7000 {
            seen[stream.below(i, 7) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| (850..1150).contains(&count)), "{seen:?}");
        assert_eq!(stream.below(0, 0), 0);
        assert_eq!(stream.below(0, 1), 0);
    }
}
