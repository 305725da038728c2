//! Matrix products: one chain of fused multiply-adds per output, blocked and packed around that.
//!
//! All three products of a linear layer are `C[M,N] (+)= A[M,K] · B[K,N]` over strided views. Rows
//! of A are packed in groups of a tile's rows, columns of B in panels of a tile's columns, K is
//! walked in blocks in order, and C keeps the chains between blocks. One operand is packed once for
//! all threads, the other by each task for itself:
//!
//! - many rows: B is shared, a task is a run of rows and keeps its block of A in the second cache;
//! - few rows: A is shared, a task is a run of panels and keeps its panel of B in the first cache.

use std::ops::Range;

use crate::isa::Isa;
use crate::kernel::Kernel;
use crate::scratch::{Scratch, Shared};
use crate::simd::{Simd, Tile, each_isa};

/// Length of a block of K: a panel of this depth fits the first cache.
const DEPTH: usize = 384;
/// Rows of a block of A: with `DEPTH` columns it fits the second cache.
const BLOCK_ROWS: usize = 240;
/// Values of B that stay in the second cache beside the block of A.
const CHUNK: usize = 96 << 10;
/// At most this many rows count as few.
const FEW_ROWS: usize = 48;
/// How many rows ahead memory is fetched where rows are too far apart for the machine to foresee.
const AHEAD: usize = 16;
/// Values of B packed at once for all threads (16 MiB).
const SLAB: usize = 4 << 20;

impl Kernel {
    /// `y[m,n] = x[m,k] · wᵀ`, with `w` `[n, k]` (out × in) as in Hugging Face files.
    ///
    /// Bits: each output is one chain of fused multiply-adds over k in order, from zero.
    pub fn linear(&self, y: &mut [f32], x: &[f32], w: &[f32], m: usize, n: usize, k: usize) {
        self.forward(y, x, w, [m, n, k], false);
    }

    /// [`Kernel::linear`], but the chains start from what `y` holds (a residual).
    pub fn linear_add(&self, y: &mut [f32], x: &[f32], w: &[f32], m: usize, n: usize, k: usize) {
        self.forward(y, x, w, [m, n, k], true);
    }

    /// `dx[m,k] = dy[m,n] · w`; added to `dx` if `accumulate`.
    ///
    /// Bits: each output is one chain over n in order, from zero or from `dx`.
    pub fn linear_backward_input(
        &self,
        dx: &mut [f32],
        dy: &[f32],
        w: &[f32],
        m: usize,
        n: usize,
        k: usize,
        accumulate: bool,
    ) {
        assert_eq!(dx.len(), m * k, "linear_backward_input: dx");
        assert_eq!(dy.len(), m * n, "linear_backward_input: dy");
        assert_eq!(w.len(), n * k, "linear_backward_input: w");
        self.product(dx, View::rows(dy, n), View::rows(w, k), [m, k, n], accumulate);
    }

    /// `dw[n,k] += dyᵀ · x`.
    ///
    /// Bits: each output is one chain over the m tokens in order, continued from `dw`; so a batch
    /// may be split.
    pub fn linear_backward_weight(
        &self,
        dw: &mut [f32],
        dy: &[f32],
        x: &[f32],
        m: usize,
        n: usize,
        k: usize,
    ) {
        assert_eq!(dw.len(), n * k, "linear_backward_weight: dw");
        assert_eq!(dy.len(), m * n, "linear_backward_weight: dy");
        assert_eq!(x.len(), m * k, "linear_backward_weight: x");
        self.product(dw, View::columns(dy, n), View::rows(x, k), [n, k, m], true);
    }

    fn forward(
        &self,
        y: &mut [f32],
        x: &[f32],
        w: &[f32],
        [m, n, k]: [usize; 3],
        accumulate: bool,
    ) {
        assert_eq!(y.len(), m * n, "linear: y");
        assert_eq!(x.len(), m * k, "linear: x");
        assert_eq!(w.len(), n * k, "linear: w");
        self.product(y, View::rows(x, k), View::columns(w, k), [m, n, k], accumulate);
    }

    /// `c[m,n] (+)= a · b` with chains over k.
    fn product(&self, c: &mut [f32], a: View, b: View, [m, n, k]: [usize; 3], accumulate: bool) {
        if m == 0 || n == 0 {
            return;
        }
        if k == 0 {
            if !accumulate {
                c.fill(0.0);
            }
            return;
        }
        let c = Shared::new(c);
        let (c, shape) = (c.start(), [m, n, k]);
        let job = Product { a, b, c: Out(c), shape, accumulate };
        if m <= FEW_ROWS { self.few_rows(&job) } else { self.many_rows(&job) }
    }

    fn many_rows(&self, job: &Product) {
        let [m, n, k] = job.shape;
        let (rows, panel) = tile_shape(self.isa());
        let slab = (SLAB / k / panel).max(1) * panel;
        // Runs of rows: few enough to fit the cache, and as many for each thread.
        let blocks = m.div_ceil(BLOCK_ROWS).next_multiple_of(self.threads());
        let run = m.div_ceil(blocks).next_multiple_of(rows);
        for start in (0..n).step_by(slab) {
            let columns = start..n.min(start + slab);
            let panels = columns.len().div_ceil(panel);
            let mut packed = Scratch::new(panels * panel * k);
            let shared = Shared::new(&mut packed);
            self.split(panels, 1, panel * k, |run| {
                // SAFETY: runs of panels do not overlap.
                let to = unsafe { shared.part(run.start * panel * k..run.end * panel * k) };
                let end = columns.end.min(columns.start + run.end * panel);
                let lines = columns.start + run.start * panel..end;
                pack_panels(self.cpu, to, job.b.transposed(), lines, 0..k);
            });
            let packed: &[f32] = &packed;
            self.parallel(m.div_ceil(run), |task| {
                let rows = task * run..m.min((task + 1) * run);
                rows_of_product(self.cpu, job, packed, rows, columns.clone());
            });
        }
    }

    fn few_rows(&self, job: &Product) {
        let [m, n, k] = job.shape;
        let (rows, panel) = tile_shape(self.isa());
        let groups = m.div_ceil(rows);
        let mut packed = Scratch::new(groups * rows * k);
        pack_groups(self.cpu, &mut packed, job.a, 0..m, 0..k);
        let packed: &[f32] = &packed;
        self.split(n, panel, m.max(8) * k, |columns| {
            columns_of_product(self.cpu, job, packed, columns);
        });
    }
}

/// A matrix by strides: element (i, j) lies at `i * row + j * column`.
#[derive(Clone, Copy)]
pub(crate) struct View {
    pub start: *const f32,
    pub row: usize,
    pub column: usize,
}

// SAFETY: a `View` only reads, and lives inside one call that borrows what it reads.
unsafe impl Send for View {}
// SAFETY: as above.
unsafe impl Sync for View {}

impl View {
    /// A row-major matrix of `width` columns.
    pub(crate) fn rows(matrix: &[f32], width: usize) -> View {
        View { start: matrix.as_ptr(), row: width, column: 1 }
    }

    /// The transpose of a row-major matrix of `width` columns.
    fn columns(matrix: &[f32], width: usize) -> View {
        View { start: matrix.as_ptr(), row: 1, column: width }
    }

    /// The transpose.
    pub(crate) fn transposed(self) -> View {
        View { start: self.start, row: self.column, column: self.row }
    }
}

/// One product, as its tasks see it.
struct Product {
    a: View,
    b: View,
    c: Out,
    shape: [usize; 3],
    accumulate: bool,
}

/// Where C starts; its rows follow each other.
struct Out(*mut f32);

// SAFETY: tasks write to runs of rows or columns of their own.
unsafe impl Send for Out {}
// SAFETY: as above.
unsafe impl Sync for Out {}

/// Rows and columns of a tile.
pub(crate) fn tile_shape(isa: Isa) -> (usize, usize) {
    fn shape<S: Simd>() -> (usize, usize) {
        (S::ROWS, S::PANEL)
    }
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => shape::<crate::simd::avx512::Avx512>(),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 | Isa::AvxVnni => shape::<crate::simd::avx2::Avx2>(),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => shape::<crate::simd::neon::Neon>(),
        _ => shape::<crate::simd::scalar::Scalar>(),
    }
}

each_isa! {
    fn pack_panels(to: &mut [f32], from: View, lines: Range<usize>, depth: Range<usize>) = pack_panels_body;
    pub(crate) fn pack_groups(to: &mut [f32], from: View, lines: Range<usize>, depth: Range<usize>) = pack_groups_body;
    fn rows_of_product(job: &Product, b: &[f32], rows: Range<usize>, columns: Range<usize>) = rows_body;
    fn columns_of_product(job: &Product, a: &[f32], columns: Range<usize>) = columns_body;
}

#[inline(always)]
fn pack_panels_body<S: Simd>(to: &mut [f32], from: View, lines: Range<usize>, depth: Range<usize>) {
    pack::<S>(to, S::PANEL, from, lines, depth);
}

#[inline(always)]
fn pack_groups_body<S: Simd>(to: &mut [f32], from: View, lines: Range<usize>, depth: Range<usize>) {
    pack::<S>(to, S::ROWS, from, lines, depth);
}

/// The blocks of `0..k`: as even as can be, at most `DEPTH` long.
fn depths(k: usize) -> impl Iterator<Item = Range<usize>> {
    let block = k.div_ceil(k.div_ceil(DEPTH));
    (0..k).step_by(block).map(move |start| start..k.min(start + block))
}

/// All panels against a run of rows. A is packed here, block by block, unless its rows can be read
/// where they lie.
#[inline(always)]
fn rows_body<S: Simd>(job: &Product, b: &[f32], rows: Range<usize>, columns: Range<usize>) {
    let [_, n, k] = job.shape;
    let groups = rows.len().div_ceil(S::ROWS);
    // Rows a multiple of 4 KiB apart would all fall on the same places of the first cache; a
    // transposed A strides through memory, which pays only for some panels.
    let in_place = (job.a.column == 1 && !job.a.row.is_multiple_of(1024))
        || (job.a.row == 1 && columns.len() <= 12 * S::PANEL);
    let room = if in_place { 0 } else { groups * S::ROWS * k.min(DEPTH) };
    let mut packed = Scratch::new(room);
    for depth in depths(k) {
        let size = depth.len();
        if !in_place {
            let packed = &mut packed[..groups * S::ROWS * size];
            pack::<S>(packed, S::ROWS, job.a, rows.clone(), depth.clone());
        }
        // Some panels at a time stay in the second cache; a group of A stays in the first while
        // it meets them, and C is walked along its rows.
        let chunk = (CHUNK / size / S::PANEL).max(1) * S::PANEL;
        for first in columns.clone().step_by(chunk) {
            let last = columns.end.min(first + chunk);
            for i in rows.clone().step_by(S::ROWS) {
                let (a, a_row, a_step) = if in_place {
                    {
                        let start = i * job.a.row + depth.start * job.a.column;
                        (job.a.start.wrapping_add(start), job.a.row, job.a.column)
                    }
                } else {
                    (packed[(i - rows.start) * size..].as_ptr(), 1, S::ROWS)
                };
                for j in (first..last).step_by(S::PANEL) {
                    let panel = (j - columns.start) * k + depth.start * S::PANEL;
                    // SAFETY: the tile lies inside this task's rows of C; A's rows are inside the
                    // view or packed in whole groups, B in whole panels; the instruction set is
                    // that of the caller.
                    unsafe {
                        S::tile(&Tile {
                            rows: S::ROWS.min(rows.end - i),
                            cols: S::PANEL.min(columns.end - j),
                            depth: size,
                            a,
                            a_row,
                            a_step,
                            b: b[panel..].as_ptr(),
                            c: job.c.0.add(i * n + j),
                            c_row: n,
                            accumulate: job.accumulate || depth.start > 0,
                        });
                    }
                }
            }
        }
    }
}

/// All rows against a run of columns: each panel of B is packed here, block by block.
#[inline(always)]
fn columns_body<S: Simd>(job: &Product, a: &[f32], columns: Range<usize>) {
    let [m, n, k] = job.shape;
    let mut b = Scratch::new(S::PANEL * k.min(DEPTH));
    for j in columns.clone().step_by(S::PANEL) {
        let cols = S::PANEL.min(columns.end - j);
        for depth in depths(k) {
            let size = depth.len();
            pack::<S>(
                &mut b[..S::PANEL * size],
                S::PANEL,
                job.b.transposed(),
                j..j + cols,
                depth.clone(),
            );
            for i in (0..m).step_by(S::ROWS) {
                // SAFETY: the tile lies inside this task's columns of C; the packed operands
                // hold whole groups and panels; the instruction set is that of the caller.
                unsafe {
                    S::tile(&Tile {
                        rows: S::ROWS.min(m - i),
                        cols,
                        depth: size,
                        a: a[i * k + depth.start * S::ROWS..].as_ptr(),
                        a_row: 1,
                        a_step: S::ROWS,
                        b: b.as_ptr(),
                        c: job.c.0.add(i * n + j),
                        c_row: n,
                        accumulate: job.accumulate || depth.start > 0,
                    });
                }
            }
        }
    }
}

/// Rows of a left operand that is not packed: (i, p) lies at `i * row + p * step`.
#[derive(Clone, Copy)]
pub(crate) struct Lines {
    pub start: *const f32,
    pub row: usize,
    pub step: usize,
    pub count: usize,
}

/// A right operand in panels, each `stored` deep, of which `depth` are used after the first `skip`.
#[derive(Clone, Copy)]
pub(crate) struct Panels<'a> {
    pub values: &'a [f32],
    pub stored: usize,
    pub skip: usize,
    pub depth: usize,
    pub columns: usize,
}

/// `c (+)= a · b` in one block of K, all on this thread; `c` has rows `c_row` apart.
///
/// # Safety
/// All of `a` can be read, all of `c` written, and the machine has the instruction set.
#[inline(always)]
pub(crate) unsafe fn multiply<S: Simd>(
    a: Lines,
    b: Panels,
    c: *mut f32,
    c_row: usize,
    accumulate: bool,
) {
    assert!(b.skip + b.depth <= b.stored, "panels: depth");
    assert!(b.values.len() >= b.columns.next_multiple_of(S::PANEL) * b.stored, "panels: length");
    for j in (0..b.columns).step_by(S::PANEL) {
        for i in (0..a.count).step_by(S::ROWS) {
            // SAFETY: the caller vouches for `a`, `c` and the instruction set, the assertions for `b`.
            unsafe {
                S::tile(&Tile {
                    rows: S::ROWS.min(a.count - i),
                    cols: S::PANEL.min(b.columns - j),
                    depth: b.depth,
                    a: a.start.add(i * a.row),
                    a_row: a.row,
                    a_step: a.step,
                    b: b.values.as_ptr().add(j * b.stored + b.skip * S::PANEL),
                    c: c.add(i * c_row + j),
                    c_row,
                    accumulate,
                });
            }
        }
    }
}

/// Packs lines (rows of `from`) side by side, `width` to a panel: `to[panel][p][line]`, with zeros
/// where the last panel has no line.
#[inline(always)]
pub(crate) fn pack<S: Simd>(
    to: &mut [f32],
    width: usize,
    from: View,
    lines: Range<usize>,
    depth: Range<usize>,
) {
    let size = width * depth.len();
    assert!(to.len() >= lines.len().div_ceil(width) * size, "pack: room");
    for first in lines.clone().step_by(width) {
        let count = width.min(lines.end - first);
        let panel = &mut to[(first - lines.start) / width * size..][..size];
        if count < width {
            panel.fill(0.0);
        }
        if from.row != 1 {
            // SAFETY: the view covers all of `lines` × `depth`, and the panel `width` × `depth`.
            unsafe {
                let start = from.start.add(first * from.row + depth.start * from.column);
                S::transpose(panel.as_mut_ptr(), width, start, from.row, count, depth.len());
            }
        }
    }
    if from.row == 1 {
        pack_adjacent::<S>(to, width, from, lines, depth);
    }
}

/// [`pack`] where lines lie side by side: some depths for all panels before the next, so that
/// memory is walked along its rows.
#[inline(always)]
fn pack_adjacent<S: Simd>(
    to: &mut [f32],
    width: usize,
    from: View,
    lines: Range<usize>,
    depth: Range<usize>,
) {
    const TOGETHER: usize = 8;
    let (size, column) = (width * depth.len(), from.column);
    for block in depth.clone().step_by(TOGETHER) {
        let rows = block..depth.end.min(block + TOGETHER);
        for first in lines.clone().step_by(width) {
            let count = width.min(lines.end - first);
            let panel = &mut to[(first - lines.start) / width * size..][..size];
            let to = panel[(rows.start - depth.start) * width..].as_mut_ptr();
            // SAFETY: the view covers all of `lines` × `depth`, the panel `width` × `depth`.
            unsafe {
                let from = from.start.add(first + rows.start * from.column);
                match count {
                    32 if width == 32 => copy::<S, 32>(to, from, column, rows.len()),
                    16 if width == 16 => copy::<S, 16>(to, from, column, rows.len()),
                    12 if width == 12 => copy::<S, 12>(to, from, column, rows.len()),
                    8 if width == 8 => copy::<S, 8>(to, from, column, rows.len()),
                    6 if width == 6 => copy::<S, 6>(to, from, column, rows.len()),
                    _ => copy_edge(to, width, from, column, count, rows.len()),
                }
            }
        }
    }
}

/// Copies rows of `WIDTH` values, `stride` apart, one after another.
///
/// # Safety
/// All those addresses are valid.
#[inline(always)]
unsafe fn copy<S: Simd, const WIDTH: usize>(
    to: *mut f32,
    from: *const f32,
    stride: usize,
    rows: usize,
) {
    for p in 0..rows {
        // SAFETY: the caller vouches for these addresses.
        unsafe {
            let ahead = from.wrapping_add((p + AHEAD) * stride);
            S::fetch(ahead);
            S::fetch(ahead.wrapping_add(WIDTH - 1));
            let row = from.add(p * stride).cast::<[f32; WIDTH]>().read_unaligned();
            to.add(p * WIDTH).cast::<[f32; WIDTH]>().write_unaligned(row);
        }
    }
}

/// [`copy`] for a panel that is not full.
///
/// # Safety
/// All those addresses are valid.
unsafe fn copy_edge(
    to: *mut f32,
    width: usize,
    from: *const f32,
    stride: usize,
    count: usize,
    rows: usize,
) {
    for p in 0..rows {
        // SAFETY: the caller vouches for these addresses.
        unsafe {
            std::ptr::copy_nonoverlapping(from.add(p * stride), to.add(p * width), count);
        }
    }
}
