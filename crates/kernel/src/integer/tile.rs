//! Tiles of sums: the part that is written for each instruction set by hand.

use crate::isa::{Cpu, Isa};

/// `c[i, j] = Σ_q a[i, q] · b[q, j]` over groups of four integers each, from zero or from `c`; sums
/// wrap around. Operands are as [`Tiles::form`] says.
pub(super) struct Tile {
    /// Rows, at most [`Tiles::rows`].
    pub rows: usize,
    /// Groups of a sum.
    pub depth: usize,
    /// Word `w` of `a[i, q]` lies at `(q * Tiles::rows + i) * Form::words() + w`.
    pub a: *const u32,
    /// A packed panel: word `w` of `b[q, j]` lies at `(q * Form::words() + w) * Tiles::panel + j`.
    pub b: *const u32,
    /// `c[i, j]` lies at `i * c_row + j`; there is room for a whole panel in each row.
    pub c: *mut i32,
    pub c_row: usize,
    /// Whether the sums continue from what `c` holds.
    pub accumulate: bool,
}

/// How an instruction set works on tiles.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    /// Rows of a tile.
    pub rows: usize,
    /// Columns of a tile and of a packed panel.
    pub panel: usize,
    /// How operands are packed.
    pub form: Form,
    run: unsafe fn(&Tile),
}

/// How four integers that follow each other in a sum are packed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As bytes of a word.
    Bytes,
    /// The same, but integers of `b` are 128 higher: some instructions take one operand without a
    /// sign.
    Offset,
    /// As halves of two words.
    Halves,
}

impl Form {
    /// Words of four integers.
    pub(super) fn words(self) -> usize {
        if self == Form::Halves { 2 } else { 1 }
    }
}

impl Tiles {
    /// Those of a machine.
    pub(super) fn of(cpu: Cpu) -> Tiles {
        match cpu.isa() {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if cpu.has_byte_products() => x86::AVX512,
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni => x86::AVX_VNNI,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 | Isa::Avx512 => x86::AVX2,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon if std::arch::is_aarch64_feature_detected!("dotprod") => neon::DOT,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => neon::PLAIN,
            _ => SCALAR,
        }
    }

    /// Works on one tile.
    ///
    /// # Safety
    /// All addresses that `tile` describes are valid, and these are the tiles of this machine.
    #[inline(always)]
    pub(super) unsafe fn run(&self, tile: &Tile) {
        debug_assert!((1..=self.rows).contains(&tile.rows));
        // SAFETY: the caller's.
        unsafe { (self.run)(tile) }
    }
}

/// The specification.
const SCALAR: Tiles = Tiles { rows: 4, panel: 8, form: Form::Bytes, run: scalar };

unsafe fn scalar(t: &Tile) {
    // SAFETY: the caller vouches for the addresses in `t`.
    unsafe {
        for i in 0..t.rows {
            let row = t.c.add(i * t.c_row).cast::<[i32; 8]>();
            let mut sums = if t.accumulate { row.read_unaligned() } else { [0; 8] };
            for q in 0..t.depth {
                let a = (*t.a.add(q * 4 + i)).to_ne_bytes();
                let b = t.b.add(q * 8).cast::<[[u8; 4]; 8]>().read_unaligned();
                for (sum, b) in sums.iter_mut().zip(b) {
                    for (a, b) in a.into_iter().zip(b) {
                        *sum += i32::from(a.cast_signed()) * i32::from(b.cast_signed());
                    }
                }
            }
            row.write_unaligned(sums);
        }
    }
}

/// Writes a function for tiles of `$rows` rows or fewer. `$load` and `$store` move a register of
/// `$lanes` sums or words, `$splat` sends a word to all lanes, and `$dot(sums, a, b)` adds the
/// products of each lane; four integers are `$words` words.
macro_rules! tiles {
    ($(#[$feature:meta])* $name:ident, $panel:literal / $lanes:literal, $top:literal, $words:literal,
     $zero:expr, $load:expr, $store:expr, $splat:expr, $dot:expr, [$($rows:literal)*]) => {
        $(#[$feature])*
        unsafe fn $name(t: &super::Tile) {
            $(#[$feature])*
            unsafe fn rows<const ROWS: usize>(t: &super::Tile) {
                const VECTORS: usize = $panel / $lanes;
                // SAFETY: all offsets stay inside what the caller vouches for.
                unsafe {
                    let mut sums = [[$zero; VECTORS]; ROWS];
                    if t.accumulate {
                        for i in 0..ROWS {
                            for j in 0..VECTORS {
                                sums[i][j] = $load(t.c.add(i * t.c_row + j * $lanes).cast_const().cast());
                            }
                        }
                    }
                    let (mut a, mut b) = (t.a, t.b);
                    for _ in 0..t.depth {
                        for w in 0..$words {
                            let mut panel = [$zero; VECTORS];
                            for j in 0..VECTORS {
                                panel[j] = $load(b.add(w * $panel + j * $lanes).cast());
                            }
                            for i in 0..ROWS {
                                let a = $splat(a.add(i * $words + w));
                                for j in 0..VECTORS {
                                    sums[i][j] = $dot(sums[i][j], a, panel[j]);
                                }
                            }
                        }
                        a = a.add($words * $top);
                        b = b.add($words * $panel);
                    }
                    for i in 0..ROWS {
                        for j in 0..VECTORS {
                            $store(t.c.add(i * t.c_row + j * $lanes).cast(), sums[i][j]);
                        }
                    }
                }
            }
            // SAFETY: passed on to the caller.
            unsafe {
                match t.rows {
                    $($rows => rows::<$rows>(t),)*
                    _ => unreachable!("a tile of {} rows", t.rows),
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    #![allow(clippy::needless_range_loop)] // arrays of registers are walked by their places

    use std::arch::x86_64::*;

    use super::{Form, Tiles};

    /// Products of halves: those of bytes (`vpmaddubsw`) would need a sign moved over for each, and
    /// leave less room in sixteen registers.
    pub(super) const AVX2: Tiles = Tiles { rows: 6, panel: 16, form: Form::Halves, run: avx2 };
    /// `vpdpbusd` takes the panel without a sign: its integers are 128 higher.
    pub(super) const AVX_VNNI: Tiles =
        Tiles { rows: 6, panel: 16, form: Form::Offset, run: avx_vnni };
    /// The same with 512 bits.
    pub(super) const AVX512: Tiles = Tiles { rows: 12, panel: 32, form: Form::Offset, run: avx512 };

    tiles! {
        #[target_feature(enable = "avx2")]
        avx2, 16 / 8, 6, 2, _mm256_setzero_si256(),
        |from: *const __m256i| _mm256_loadu_si256(from),
        |to: *mut __m256i, sums| _mm256_storeu_si256(to, sums),
        |word: *const u32| _mm256_set1_epi32(word.read().cast_signed()),
        |sums, a, b| _mm256_add_epi32(sums, _mm256_madd_epi16(a, b)),
        [1 2 3 4 5 6]
    }

    tiles! {
        #[target_feature(enable = "avx2,avxvnni")]
        avx_vnni, 16 / 8, 6, 1, _mm256_setzero_si256(),
        |from: *const __m256i| _mm256_loadu_si256(from),
        |to: *mut __m256i, sums| _mm256_storeu_si256(to, sums),
        |word: *const u32| _mm256_set1_epi32(word.read().cast_signed()),
        // Not the saturating form (`vpdpbusds`): sums wrap around, and the offset is taken off.
        |sums, a, b| _mm256_dpbusd_avx_epi32(sums, b, a),
        [1 2 3 4 5 6]
    }

    tiles! {
        #[target_feature(enable = "avx512f,avx512vnni")]
        avx512, 32 / 16, 12, 1, _mm512_setzero_si512(),
        |from: *const __m512i| _mm512_loadu_si512(from),
        |to: *mut __m512i, sums| _mm512_storeu_si512(to, sums),
        |word: *const u32| _mm512_set1_epi32(word.read().cast_signed()),
        // As above.
        |sums, a, b| _mm512_dpbusd_epi32(sums, b, a),
        [1 2 3 4 5 6 7 8 9 10 11 12]
    }
}

#[cfg(target_arch = "aarch64")]
mod neon {
    #![allow(clippy::needless_range_loop)] // arrays of registers are walked by their places

    use std::arch::aarch64::*;
    use std::arch::asm;

    use super::{Form, Tiles};

    /// With the dot products of bytes that most machines have since 2018.
    pub(super) const DOT: Tiles = Tiles { rows: 6, panel: 16, form: Form::Bytes, run: dot };
    /// Without.
    pub(super) const PLAIN: Tiles = Tiles { rows: 4, panel: 8, form: Form::Bytes, run: plain };

    tiles! {
        #[target_feature(enable = "neon,dotprod")]
        dot, 16 / 4, 6, 1, vdupq_n_s32(0),
        |from: *const i32| vld1q_s32(from),
        |to: *mut i32, sums| vst1q_s32(to, sums),
        |word: *const u32| vdupq_n_s32(word.read().cast_signed()),
        |sums, a, b| dot_bytes(sums, a, b),
        [1 2 3 4 5 6]
    }

    tiles! {
        #[target_feature(enable = "neon")]
        plain, 8 / 4, 4, 1, vdupq_n_s32(0),
        |from: *const i32| vld1q_s32(from),
        |to: *mut i32, sums| vst1q_s32(to, sums),
        |word: *const u32| vdupq_n_s32(word.read().cast_signed()),
        |sums, a, b| {
            let (a, b) = (vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b));
            let low = vmull_s8(vget_low_s8(a), vget_low_s8(b));
            let high = vmull_high_s8(a, b);
            // Neighbours' sums of products, and those of two neighbours again.
            vaddq_s32(sums, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)))
        },
        [1 2 3 4]
    }

    /// The instruction `sdot`, whose intrinsic is not stable yet.
    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    fn dot_bytes(mut sums: int32x4_t, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: it reads and writes these registers and nothing else.
        unsafe {
            asm!(
                "sdot {sums:v}.4s, {a:v}.16b, {b:v}.16b",
                sums = inout(vreg) sums, a = in(vreg) a, b = in(vreg) b,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        sums
    }
}
