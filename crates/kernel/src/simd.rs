//! What an instruction set must offer, and how one body becomes one function per instruction set.
//!
//! Element-wise kernels are written once, as loops over scalars with [`Simd::fma`]; the compiler
//! vectorises the same operations for each instruction set (Rust never contracts or reorders
//! floating-point arithmetic). Only the matrix tiles use registers by hand.

use std::ops::Range;

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
pub(crate) mod scalar;

/// Virtual lanes of every reduction along a row, on every instruction set.
pub(crate) const LANES: usize = 16;

/// One instruction set.
///
/// Its functions are `inline(always)` or carry the target feature themselves; they must run on a
/// machine that has it, which a [`crate::isa::Cpu`] proves.
pub(crate) trait Simd: Copy + 'static {
    /// Rows of a matrix tile.
    const ROWS: usize;
    /// Columns of a matrix tile and of a packed panel.
    const PANEL: usize;

    /// `a * b + c`, rounded once.
    fn fma(a: f32, b: f32, c: f32) -> f32;

    /// One tile of a matrix product, see [`Tile`].
    ///
    /// # Safety
    /// The machine has the instruction set and every address that `tile` describes is valid.
    unsafe fn tile(tile: &Tile);

    /// Brings a line of memory closer; the address need not be valid.
    #[inline(always)]
    fn fetch(_line: *const f32) {}

    /// Brings a line of memory into the second cache; the address need not be valid.
    #[inline(always)]
    fn fetch_far(_line: *const u8) {}

    /// Sixteen values in registers.
    type Row: Copy;
    /// Whether sixteen [`Simd::Row`] and more fit the registers.
    const MANY_REGISTERS: bool = false;

    /// Sixteen values from memory, at any alignment.
    ///
    /// # Safety
    /// They lie at `from`; the machine has the instruction set.
    unsafe fn load_row(from: *const f32) -> Self::Row;

    /// Sixteen binary16 widened, a signalling NaN made quiet.
    ///
    /// # Safety
    /// As for [`Simd::load_row`].
    unsafe fn load_f16(from: *const u16) -> Self::Row;

    /// Sixteen bfloat16 (upper halves of f32) widened.
    ///
    /// # Safety
    /// As for [`Simd::load_row`].
    unsafe fn load_bf16(from: *const u16) -> Self::Row;

    /// Sixteen values to memory, at any alignment.
    ///
    /// # Safety
    /// There is room at `to`; the machine has the instruction set.
    unsafe fn store_row(to: *mut f32, row: Self::Row);

    /// `a * b + c` for each value, rounded once.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn fma_row(a: f32, b: Self::Row, c: Self::Row) -> Self::Row;

    /// Sixteen blocks of Philox 4x32 with ten rounds: number `i` of block `n` is `[i][n]`.
    ///
    /// # Safety
    /// The machine has the instruction set.
    #[inline(always)]
    unsafe fn philox(counter: [[u32; LANES]; 4], key: [u32; 2]) -> [[u32; LANES]; 4] {
        let mut out = [[0; LANES]; 4];
        for n in 0..LANES {
            let block = crate::philox::philox(std::array::from_fn(|i| counter[i][n]), key);
            (0..4).for_each(|i| out[i][n] = block[i]);
        }
        out
    }

    /// `to[p * width + j] = from[j * stride + p]` for `p < depth`, `j < count`: a transposing copy.
    ///
    /// # Safety
    /// The machine has the instruction set and all those addresses are valid.
    #[inline(always)]
    unsafe fn transpose(
        to: *mut f32,
        width: usize,
        from: *const f32,
        stride: usize,
        count: usize,
        depth: usize,
    ) {
        // SAFETY: passed on to the caller.
        unsafe { transpose_plain(to, width, from, stride, 0..count, 0..depth) }
    }
}

/// An array made by a loop, for code whose instruction set is that of the function around it. A
/// closure given to `std::array::from_fn` or `map` is a function of its own without that instruction
/// set: where the compiler happens not to inline it, each of its instructions is a call (measured:
/// products with Q3_K were twenty times slower).
macro_rules! array_of {
    ($count:expr, |$at:ident| $value:expr) => {{
        let first = {
            let $at: usize = 0;
            $value
        };
        let mut all = [first; $count];
        for $at in 1..$count {
            all[$at] = $value;
        }
        all
    }};
}
pub(crate) use array_of;

/// The sixteen values of [`Simd::Row`] as an array, for instruction sets without code of their own.
macro_rules! plain_rows {
    ($fma:path) => {
        type Row = [f32; $crate::simd::LANES];

        #[inline(always)]
        unsafe fn load_row(from: *const f32) -> Self::Row {
            // SAFETY: the caller's.
            unsafe { from.cast::<Self::Row>().read_unaligned() }
        }

        #[inline(always)]
        unsafe fn load_f16(from: *const u16) -> Self::Row {
            // SAFETY: the caller's.
            let bits = unsafe { from.cast::<[u16; $crate::simd::LANES]>().read_unaligned() };
            $crate::simd::array_of!($crate::simd::LANES, |l| $crate::matrix::half::f16(bits[l]))
        }

        #[inline(always)]
        unsafe fn load_bf16(from: *const u16) -> Self::Row {
            // SAFETY: the caller's.
            let bits = unsafe { from.cast::<[u16; $crate::simd::LANES]>().read_unaligned() };
            $crate::simd::array_of!($crate::simd::LANES, |l| $crate::matrix::half::bf16(bits[l]))
        }

        #[inline(always)]
        unsafe fn store_row(to: *mut f32, row: Self::Row) {
            // SAFETY: the caller's.
            unsafe { to.cast::<Self::Row>().write_unaligned(row) }
        }

        #[inline(always)]
        unsafe fn fma_row(a: f32, b: Self::Row, c: Self::Row) -> Self::Row {
            $crate::simd::array_of!($crate::simd::LANES, |l| $fma(a, b[l], c[l]))
        }
    };
}
pub(crate) use plain_rows;

/// [`Simd::transpose`] for some lines and depths, one value at a time.
///
/// # Safety
/// As there.
#[inline(always)]
pub(crate) unsafe fn transpose_plain(
    to: *mut f32,
    width: usize,
    from: *const f32,
    stride: usize,
    lines: Range<usize>,
    depth: Range<usize>,
) {
    for j in lines {
        for p in depth.clone() {
            // SAFETY: the caller vouches for these addresses.
            unsafe { *to.add(p * width + j) = *from.add(j * stride + p) };
        }
    }
}

/// `c[i, j] = Σ_p a[i, p] · b[p, j]`, each output one chain over `p` in order, from zero or from `c`.
pub(crate) struct Tile {
    /// Rows, at most [`Simd::ROWS`].
    pub rows: usize,
    /// Columns of `c` that exist, at most [`Simd::PANEL`]; a panel of `b` always has all of them.
    pub cols: usize,
    /// Length of the chain.
    pub depth: usize,
    /// `a[i, p]` lies at `i * a_row + p * a_step`.
    pub a: *const f32,
    pub a_row: usize,
    pub a_step: usize,
    /// A packed panel: `b[p, j]` lies at `p * Simd::PANEL + j`.
    pub b: *const f32,
    /// `c[i, j]` lies at `i * c_row + j`.
    pub c: *mut f32,
    pub c_row: usize,
    /// Whether the chains continue from what `c` holds.
    pub accumulate: bool,
}

/// Writes the tile kernel of an instruction set for every number of rows up to its `ROWS`.
///
/// `$lanes` values fill a register, on which `$load`, `$store`, `$splat` and `$fma` work; `$fetch` brings a
/// line closer; a tile has
/// `$panel` columns.
macro_rules! tiles {
    ($(#[$feature:meta])* $panel:literal / $lanes:literal, $load:path, $store:path, $splat:path, $fma:path, $fetch:path, [$($rows:literal)*]) => {
        $(#[$feature])*
        unsafe fn tile(tile: &$crate::simd::Tile) {
            // SAFETY: the caller vouches for the addresses in `tile`.
            unsafe {
                match (tile.rows, tile.a_row == 1) {
                    $(($rows, true) => rows::<$rows, true>(tile),)*
                    $(($rows, false) => rows::<$rows, false>(tile),)*
                    _ => unreachable!("a tile of {} rows", tile.rows),
                }
            }
        }

        $(#[$feature])*
        unsafe fn rows<const ROWS: usize, const ADJACENT: bool>(t: &$crate::simd::Tile) {
            const VECTORS: usize = $panel / $lanes;
            // SAFETY: all offsets stay inside what the caller vouches for: `a` has ROWS rows, `b`
            // whole panels, and `c` rows of `cols` entries; a partial row goes through `edge`.
            unsafe {
                let whole = t.cols == $panel;
                let mut acc = [[$splat(0.0); VECTORS]; ROWS];
                if t.accumulate {
                    for i in 0..ROWS {
                        // The next tile lies to the right, most often.
                        $fetch(t.c.wrapping_add(i * t.c_row + $panel));
                        $fetch(t.c.wrapping_add(i * t.c_row + 2 * $panel - 1));
                        let from = t.c.add(i * t.c_row).cast_const();
                        if whole {
                            for j in 0..VECTORS {
                                acc[i][j] = $load(from.add(j * $lanes));
                            }
                        } else {
                            let mut edge = [0f32; $panel];
                            std::ptr::copy_nonoverlapping(from, edge.as_mut_ptr(), t.cols);
                            for j in 0..VECTORS {
                                acc[i][j] = $load(edge.as_ptr().add(j * $lanes));
                            }
                        }
                    }
                }
                let row = if ADJACENT { 1 } else { t.a_row };
                let (mut a, mut b) = (t.a, t.b);
                for _ in 0..t.depth {
                    let mut panel = [$splat(0.0); VECTORS];
                    for j in 0..VECTORS {
                        panel[j] = $load(b.add(j * $lanes));
                    }
                    for i in 0..ROWS {
                        let x = $splat(*a.add(i * row));
                        for j in 0..VECTORS {
                            acc[i][j] = $fma(x, panel[j], acc[i][j]);
                        }
                    }
                    a = a.add(t.a_step);
                    b = b.add($panel);
                }
                for i in 0..ROWS {
                    let to = t.c.add(i * t.c_row);
                    if whole {
                        for j in 0..VECTORS {
                            $store(to.add(j * $lanes), acc[i][j]);
                        }
                    } else {
                        let mut edge = [0f32; $panel];
                        for j in 0..VECTORS {
                            $store(edge.as_mut_ptr().add(j * $lanes), acc[i][j]);
                        }
                        std::ptr::copy_nonoverlapping(edge.as_ptr(), to, t.cols);
                    }
                }
            }
        }
    };
}
pub(crate) use tiles;

/// Makes one function per instruction set from a generic body and a front that picks one.
///
/// `each_isa! { fn name(a: A, …) -> R = body }` gives `fn name(cpu: Cpu, a: A, …) -> R`. The body
/// must be `#[inline(always)] fn body<S: Simd>(a: A, …) -> R`, so that it is compiled with the
/// features of the function that it lands in.
macro_rules! each_isa {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:ident;)*) => {$(
        $(#[$meta])*
        $vis fn $name(cpu: $crate::isa::Cpu, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
            fn avx512($($arg: $ty),*) $(-> $ret)? {
                $body::<$crate::simd::avx512::Avx512>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn avx2($($arg: $ty),*) $(-> $ret)? {
                $body::<$crate::simd::avx2::Avx2>($($arg),*)
            }
            match cpu.isa() {
                // SAFETY: a `Cpu` proves that the machine has the instruction set.
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Isa::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Isa::Avx2 | $crate::isa::Isa::AvxVnni => unsafe { avx2($($arg),*) },
                #[cfg(target_arch = "aarch64")]
                $crate::isa::Isa::Neon => $body::<$crate::simd::neon::Neon>($($arg),*),
                _ => $body::<$crate::simd::scalar::Scalar>($($arg),*),
            }
        }
    )*};
}
pub(crate) use each_isa;

/// Folds 16 lanes into one: 8, 4, 2, 1 apart.
#[inline(always)]
pub(crate) fn fold_sum(mut lanes: [f32; LANES]) -> f32 {
    for half in [8, 4, 2, 1] {
        for l in 0..half {
            lanes[l] += lanes[l + half];
        }
    }
    lanes[0]
}

/// The greatest of `x`, `-inf` for none; lanes and fold as for a sum, so that zeros keep their sign.
#[inline(always)]
pub(crate) fn max_of(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, tail) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for l in 0..LANES {
            lanes[l] = larger(lanes[l], chunk[l]);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(tail) {
        *lane = larger(*lane, value);
    }
    for half in [8, 4, 2, 1] {
        for l in 0..half {
            lanes[l] = larger(lanes[l], lanes[l + half]);
        }
    }
    lanes[0]
}

/// The sum of a row in 16 lanes: `add(lane, x[i])` for lane `i % 16`, indices rising, then the fold.
#[inline(always)]
pub(crate) fn lane_sum(x: &[f32], add: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let (chunks, tail) = x.as_chunks::<LANES>();
    for x in chunks {
        for l in 0..LANES {
            lanes[l] = add(lanes[l], x[l]);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(tail) {
        *lane = add(*lane, x);
    }
    fold_sum(lanes)
}

/// [`lane_sum`] over two rows of one length.
#[inline(always)]
pub(crate) fn lane_sum2(x: &[f32], y: &[f32], add: impl Fn(f32, f32, f32) -> f32) -> f32 {
    lane_sum3(x, y, y, |sum, x, y, _| add(sum, x, y))
}

/// [`lane_sum`] over three rows of one length.
#[inline(always)]
pub(crate) fn lane_sum3(
    x: &[f32],
    y: &[f32],
    z: &[f32],
    add: impl Fn(f32, f32, f32, f32) -> f32,
) -> f32 {
    let mut lanes = [0f32; LANES];
    let ((xs, x), (ys, y), (zs, z)) =
        (x.as_chunks::<LANES>(), y.as_chunks::<LANES>(), z.as_chunks::<LANES>());
    for ((x, y), z) in xs.iter().zip(ys).zip(zs) {
        for l in 0..LANES {
            lanes[l] = add(lanes[l], x[l], y[l], z[l]);
        }
    }
    for (lane, ((&x, &y), &z)) in lanes.iter_mut().zip(x.iter().zip(y).zip(z)) {
        *lane = add(*lane, x, y, z);
    }
    fold_sum(lanes)
}

#[inline(always)]
pub(crate) fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}
