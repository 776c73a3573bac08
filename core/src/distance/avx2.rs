//! Distances with AVX2 and FMA. Four centres at a time, so that each load of the logits serves
//! four sums; with many vectors two of them at a time, so that each load of a centre serves two.

use core::arch::x86_64::*;

/// Centres taken together.
const ROWS: usize = 4;
/// Numbers in a register.
const LANES: usize = 8;

/// See [`super::distances`]. `n` is the number of logits.
///
/// # Safety
///
/// The processor has AVX2 and FMA. `centres` is M×n, `logits` B×n and `distances` B×M.
#[target_feature(enable = "avx2,fma")]
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

/// All ones in the lanes that are left over when n numbers are read 8 at a time.
#[target_feature(enable = "avx2")]
fn tail_mask(n: usize) -> __m256i {
    let left = _mm256_set1_epi32((n % LANES) as i32);
    _mm256_cmpgt_epi32(left, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
}

/// Stores the first of four distances, as many as there is room for.
#[target_feature(enable = "avx2")]
fn store(four: __m128, out: &mut [f32]) {
    if let Some(out) = out.first_chunk_mut::<ROWS>() {
        // SAFETY: `out` is four numbers long.
        unsafe { _mm_storeu_ps(out.as_mut_ptr(), four) };
    } else {
        let mut all = [0.0; ROWS];
        // SAFETY: `all` is four numbers long.
        unsafe { _mm_storeu_ps(all.as_mut_ptr(), four) };
        out.copy_from_slice(&all[..out.len()]);
    }
}

/// The distances from one vector to four centres. Two sums a centre, so that eight additions
/// are under way at a time.
///
/// # Safety
///
/// The processor has AVX2 and FMA. Each row and `x` is n long; `mask` is that of n.
#[target_feature(enable = "avx2,fma")]
unsafe fn rows_by_vector(rows: [*const f32; ROWS], x: *const f32, n: usize, mask: __m256i) -> __m128 {
    let mut even = [_mm256_setzero_ps(); ROWS];
    let mut odd = [_mm256_setzero_ps(); ROWS];
    let mut at = 0;
    // SAFETY: full loads end at or before n; the masked load touches the numbers before n only.
    unsafe {
        while at + 2 * LANES <= n {
            let x_even = _mm256_loadu_ps(x.add(at));
            let x_odd = _mm256_loadu_ps(x.add(at + LANES));
            for row in 0..ROWS {
                let centre = _mm256_loadu_ps(rows[row].add(at));
                even[row] = add_square(even[row], x_even, centre);
                let centre = _mm256_loadu_ps(rows[row].add(at + LANES));
                odd[row] = add_square(odd[row], x_odd, centre);
            }
            at += 2 * LANES;
        }
        if at + LANES <= n {
            let x_even = _mm256_loadu_ps(x.add(at));
            for row in 0..ROWS {
                let centre = _mm256_loadu_ps(rows[row].add(at));
                even[row] = add_square(even[row], x_even, centre);
            }
            at += LANES;
        }
        if at < n {
            let x_odd = _mm256_maskload_ps(x.add(at), mask);
            for row in 0..ROWS {
                let centre = _mm256_maskload_ps(rows[row].add(at), mask);
                odd[row] = add_square(odd[row], x_odd, centre);
            }
        }
    }
    for row in 0..ROWS {
        even[row] = _mm256_add_ps(even[row], odd[row]);
    }
    roots_of_sums(even)
}

/// The distances from two vectors to four centres.
///
/// # Safety
///
/// The processor has AVX2 and FMA. Each row, `x` and `y` is n long; `mask` is that of n.
#[target_feature(enable = "avx2,fma")]
unsafe fn rows_by_two_vectors(
    rows: [*const f32; ROWS],
    x: *const f32,
    y: *const f32,
    n: usize,
    mask: __m256i,
) -> (__m128, __m128) {
    let mut of_x = [_mm256_setzero_ps(); ROWS];
    let mut of_y = [_mm256_setzero_ps(); ROWS];
    let mut at = 0;
    // SAFETY: full loads end at or before n; the masked load touches the numbers before n only.
    unsafe {
        while at + LANES <= n {
            let (x_here, y_here) = (_mm256_loadu_ps(x.add(at)), _mm256_loadu_ps(y.add(at)));
            for row in 0..ROWS {
                let centre = _mm256_loadu_ps(rows[row].add(at));
                of_x[row] = add_square(of_x[row], x_here, centre);
                of_y[row] = add_square(of_y[row], y_here, centre);
            }
            at += LANES;
        }
        if at < n {
            let x_here = _mm256_maskload_ps(x.add(at), mask);
            let y_here = _mm256_maskload_ps(y.add(at), mask);
            for row in 0..ROWS {
                let centre = _mm256_maskload_ps(rows[row].add(at), mask);
                of_x[row] = add_square(of_x[row], x_here, centre);
                of_y[row] = add_square(of_y[row], y_here, centre);
            }
        }
    }
    (roots_of_sums(of_x), roots_of_sums(of_y))
}

/// `sum + (a − b)²`
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_square(sum: __m256, a: __m256, b: __m256) -> __m256 {
    let difference = _mm256_sub_ps(a, b);
    _mm256_fmadd_ps(difference, difference, sum)
}

/// The square root of the sum of each of four registers.
#[inline]
#[target_feature(enable = "avx2")]
fn roots_of_sums([a, b, c, d]: [__m256; ROWS]) -> __m128 {
    let halves = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    let low = _mm256_castps256_ps128(halves);
    let high = _mm256_extractf128_ps::<1>(halves);
    _mm_sqrt_ps(_mm_add_ps(low, high))
}
