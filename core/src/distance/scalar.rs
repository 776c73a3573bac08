//! Distances in plain Rust, for every processor. A few sums run side by side, so that the
//! processor need not wait for one addition to start the next.

use crate::centres::Centres;

const LANES: usize = 4;

/// See [`super::distances`]. The lengths fit.
pub(super) fn distances(centres: &Centres<'_>, logits: &[f32], distances: &mut [f32]) {
    let vectors = logits.chunks_exact(centres.logits());
    // There is a class at least.
    for (x, row) in vectors.zip(distances.chunks_exact_mut(centres.classes().max(1))) {
        for (centre, distance) in centres.rows().zip(row) {
            *distance = libm::sqrtf(squared_distance(x, centre));
        }
    }
}

fn squared_distance(x: &[f32], centre: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    let (x_blocks, x_rest) = x.as_chunks::<LANES>();
    let (centre_blocks, centre_rest) = centre.as_chunks::<LANES>();
    for (x, centre) in x_blocks.iter().zip(centre_blocks) {
        for lane in 0..LANES {
            let difference = x[lane] - centre[lane];
            sums[lane] += difference * difference;
        }
    }
    for ((sum, x), centre) in sums.iter_mut().zip(x_rest).zip(centre_rest) {
        let difference = x - centre;
        *sum += difference * difference;
    }
    let [a, b, c, d] = sums;
    (a + c) + (b + d)
}
