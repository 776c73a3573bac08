//! Distances with NEON. Four centres at a time, so that each load of the logits serves four
//! sums; with many vectors two of them at a time, so that each load of a centre serves two.

use core::arch::aarch64::*;

/// Centres taken together.
const ROWS: usize = 4;
/// Numbers in a register.
const LANES: usize = 4;

/// See [`super::distances`]. `n` is the number of logits.
///
/// # Safety
///
/// The processor has NEON. `centres` is M×n, `logits` B×n and `distances` B×M.
#[target_feature(enable = "neon")]
pub(super) unsafe fn distances(centres: &[f32], n: usize, logits: &[f32], distances: &mut [f32]) {
    let classes = centres.len() / n;
    let vectors = logits.len() / n;
    let mask = tail_mask(n);
    let mut class = 0;
    while class < classes {
        let here = ROWS.min(classes - class);
        // A last block that is not full repeats its last centre.
        let row = |index: usize| {
            // SAFETY: the class is below M, so the whole row lies in `centres`.
            unsafe { centres.as_ptr().add((class + index.min(here - 1)) * n) }
        };
        let rows = [row(0), row(1), row(2), row(3)];
        let mut vector = 0;
        while vector + 2 <= vectors {
            // SAFETY: both vectors are below B, so they lie whole in `logits`; the rows are n long.
            let (first, second) = unsafe {
                let x = logits.as_ptr().add(vector * n);
                rows_by_two_vectors(rows, x, x.add(n), n, mask)
            };
            let out = &mut distances[vector * classes + class..];
            store(first, &mut out[..here]);
            store(second, &mut out[classes..][..here]);
            vector += 2;
        }
        if vector < vectors {
            // SAFETY: the vector is below B, so it lies whole in `logits`; the rows are n long.
            let four = unsafe { rows_by_vector(rows, logits.as_ptr().add(vector * n), n, mask) };
            store(four, &mut distances[vector * classes + class..][..here]);
        }
        class += here;
    }
}

/// All ones in the lanes of a register loaded from n − 4 on that full registers from 0 on have not
/// covered yet.
#[target_feature(enable = "neon")]
fn tail_mask(n: usize) -> uint32x4_t {
    let covered = vdupq_n_u32((LANES - n % LANES) as u32);
    let lanes: [u32; LANES] = [0, 1, 2, 3];
    // SAFETY: `lanes` is four numbers long.
    let lanes = unsafe { vld1q_u32(lanes.as_ptr()) };
    vcgeq_u32(lanes, covered)
}

/// The last n % 4 numbers of a row, the other lanes being zero. (NEON has no masked load.)
///
/// # Safety
///
/// The processor has NEON. `row` is n long; `mask` is that of n.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load_tail(row: *const f32, n: usize, mask: uint32x4_t) -> float32x4_t {
    if n >= LANES {
        // SAFETY: the four numbers before the end of a row of at least four.
        let last = unsafe { vld1q_f32(row.add(n - LANES)) };
        vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(last), mask))
    } else {
        let mut padded = [0.0; LANES];
        for (index, number) in padded.iter_mut().enumerate().take(n) {
            // SAFETY: the index is below n.
            *number = unsafe { *row.add(index) };
        }
        // SAFETY: `padded` is four numbers long.
        unsafe { vld1q_f32(padded.as_ptr()) }
    }
}

/// Stores the first of four distances, as many as there is room for.
#[inline]
#[target_feature(enable = "neon")]
fn store(four: float32x4_t, out: &mut [f32]) {
    if let Some(out) = out.first_chunk_mut::<ROWS>() {
        // SAFETY: `out` is four numbers long.
        unsafe { vst1q_f32(out.as_mut_ptr(), four) };
    } else {
        let mut all = [0.0; ROWS];
        // SAFETY: `all` is four numbers long.
        unsafe { vst1q_f32(all.as_mut_ptr(), four) };
        out.copy_from_slice(&all[..out.len()]);
    }
}

/// The distances from one vector to four centres. Two sums a centre, so that eight additions
/// are under way at a time.
///
/// # Safety
///
/// The processor has NEON. Each row and `x` is n long; `mask` is that of n.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn rows_by_vector(rows: [*const f32; ROWS], x: *const f32, n: usize, mask: uint32x4_t) -> float32x4_t {
    let mut even = [vdupq_n_f32(0.0); ROWS];
    let mut odd = [vdupq_n_f32(0.0); ROWS];
    let mut at = 0;
    // SAFETY: full loads end at or before n; `load_tail` reads within rows of length n.
    unsafe {
        while at + 2 * LANES <= n {
            let x_even = vld1q_f32(x.add(at));
            let x_odd = vld1q_f32(x.add(at + LANES));
            for row in 0..ROWS {
                let centre = vld1q_f32(rows[row].add(at));
                even[row] = add_square(even[row], x_even, centre);
                let centre = vld1q_f32(rows[row].add(at + LANES));
                odd[row] = add_square(odd[row], x_odd, centre);
            }
            at += 2 * LANES;
        }
        if at + LANES <= n {
            let x_even = vld1q_f32(x.add(at));
            for row in 0..ROWS {
                let centre = vld1q_f32(rows[row].add(at));
                even[row] = add_square(even[row], x_even, centre);
            }
            at += LANES;
        }
        if at < n {
            let x_odd = load_tail(x, n, mask);
            for row in 0..ROWS {
                let centre = load_tail(rows[row], n, mask);
                odd[row] = add_square(odd[row], x_odd, centre);
            }
        }
    }
    for row in 0..ROWS {
        even[row] = vaddq_f32(even[row], odd[row]);
    }
    roots_of_sums(even)
}

/// The distances from two vectors to four centres.
///
/// # Safety
///
/// The processor has NEON. Each row, `x` and `y` is n long; `mask` is that of n.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn rows_by_two_vectors(
    rows: [*const f32; ROWS],
    x: *const f32,
    y: *const f32,
    n: usize,
    mask: uint32x4_t,
) -> (float32x4_t, float32x4_t) {
    let mut of_x = [vdupq_n_f32(0.0); ROWS];
    let mut of_y = [vdupq_n_f32(0.0); ROWS];
    let mut at = 0;
    // SAFETY: full loads end at or before n; `load_tail` reads within rows of length n.
    unsafe {
        while at + LANES <= n {
            let (x_here, y_here) = (vld1q_f32(x.add(at)), vld1q_f32(y.add(at)));
            for row in 0..ROWS {
                let centre = vld1q_f32(rows[row].add(at));
                of_x[row] = add_square(of_x[row], x_here, centre);
                of_y[row] = add_square(of_y[row], y_here, centre);
            }
            at += LANES;
        }
        if at < n {
            let (x_here, y_here) = (load_tail(x, n, mask), load_tail(y, n, mask));
            for row in 0..ROWS {
                let centre = load_tail(rows[row], n, mask);
                of_x[row] = add_square(of_x[row], x_here, centre);
                of_y[row] = add_square(of_y[row], y_here, centre);
            }
        }
    }
    (roots_of_sums(of_x), roots_of_sums(of_y))
}

/// `sum + (a − b)²`
#[inline]
#[target_feature(enable = "neon")]
fn add_square(sum: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
    let difference = vsubq_f32(a, b);
    vfmaq_f32(sum, difference, difference)
}

/// The square root of the sum of each of four registers.
#[inline]
#[target_feature(enable = "neon")]
fn roots_of_sums([a, b, c, d]: [float32x4_t; ROWS]) -> float32x4_t {
    vsqrtq_f32(vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)))
}
