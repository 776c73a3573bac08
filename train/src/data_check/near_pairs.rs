//! Which of many 64-bit hashes differ in few bits, without comparing each with each.
//!
//! A hash has four parts of 16 bits. Of two that differ in at most seven bits, one part differs in at most
//! one: so it is enough to look, for each part, where that part is the same or has one other bit
//! (multi-index hashing: Norouzi, Punjani, Fleet, CVPR 2012, arXiv 1307.2982). Of 100 000 hashes that are
//! evenly spread, each is compared with some hundred others.

use crate::interrupt::Interrupt;
use anyhow::Result;

/// Bits in which a pair differs, at most.
pub const REACH: u32 = 7;

const PARTS: u32 = 4;
const VALUES: usize = 1 << 16;

/// Hashes between two looks at the interrupt.
const BETWEEN: usize = 1024;

/// All pairs (the smaller index first, sorted) that differ in at most [`REACH`] bits and that `confirm`
/// says yes to.
///
/// # Errors
/// If it is interrupted.
pub fn near_pairs(
    hashes: &[u64],
    confirm: impl Fn(usize, usize) -> bool + Sync,
    threads: usize,
    interrupt: &Interrupt,
) -> Result<Vec<(usize, usize)>> {
    let index: Vec<Buckets> = (0..PARTS).map(|number| Buckets::new(hashes, number)).collect();
    let share = hashes.len().div_ceil(threads.max(1)).max(1);
    let search = |from: usize| -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        for one in from..hashes.len().min(from + share) {
            if one % BETWEEN == 0 && interrupt.requested() {
                break;
            }
            for (number, buckets) in (0..PARTS).zip(&index) {
                let value = part(hashes[one], number);
                let probes = std::iter::once(value).chain((0..16).map(|bit| value ^ (1 << bit)));
                for &other in probes.flat_map(|probe| buckets.of(probe)) {
                    let differing = hashes[one] ^ hashes[other];
                    // Each pair once: from its smaller index, by the first part that shows it.
                    let new = other > one && first_near_part(differing) == Some(number);
                    if new && differing.count_ones() <= REACH && confirm(one, other) {
                        pairs.push((one, other));
                    }
                }
            }
        }
        pairs
    };
    let search = &search;
    let mut pairs: Vec<(usize, usize)> = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..hashes.len()).step_by(share).map(|from| scope.spawn(move || search(from))).collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined.flat_map(|found| found.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    interrupt.check()?;
    pairs.sort_unstable();
    Ok(pairs)
}

fn part(hash: u64, number: u32) -> u16 {
    (hash >> (16 * number)) as u16
}

/// The first part with at most one of these bits.
fn first_near_part(bits: u64) -> Option<u32> {
    (0..PARTS).find(|&number| part(bits, number).count_ones() <= 1)
}

/// The hashes by the value of one part.
struct Buckets {
    /// Where each value's begin in `indices`.
    starts: Vec<usize>,
    indices: Vec<usize>,
}

impl Buckets {
    fn new(hashes: &[u64], number: u32) -> Self {
        let mut indices: Vec<usize> = (0..hashes.len()).collect();
        indices.sort_by_key(|&index| part(hashes[index], number));
        let mut starts = vec![0; VALUES + 1];
        for &hash in hashes {
            starts[usize::from(part(hash, number)) + 1] += 1;
        }
        for value in 0..VALUES {
            starts[value + 1] += starts[value];
        }
        Self { starts, indices }
    }

    fn of(&self, value: u16) -> &[usize] {
        let value = usize::from(value);
        &self.indices[self.starts[value]..self.starts[value + 1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    fn kept(one: usize, other: usize) -> bool {
        !(one + other).is_multiple_of(3)
    }

    #[test]
    fn they_are_those_that_comparing_each_with_each_finds() {
        for seed in 0..20 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut hashes: Vec<u64> = (0..60).map(|_| random.random()).collect();
            for _ in 0..240 {
                // Near one that is there, up to just out of reach.
                let mut hash = hashes[random.random_range(0..hashes.len())];
                for _ in 0..random.random_range(0..=REACH + 2) {
                    hash ^= 1 << random.random_range(0..64);
                }
                hashes.push(hash);
            }
            let mut expected = Vec::new();
            for one in 0..hashes.len() {
                for other in one + 1..hashes.len() {
                    if (hashes[one] ^ hashes[other]).count_ones() <= REACH && kept(one, other) {
                        expected.push((one, other));
                    }
                }
            }
            assert!(expected.len() > 50);
            for threads in [1, 3] {
                let found = near_pairs(&hashes, kept, threads, &Interrupt::never()).unwrap();
                assert_eq!(found, expected, "seed {seed}");
            }
        }
        assert_eq!(near_pairs(&[], |_, _| true, 2, &Interrupt::never()).unwrap(), []);
    }
}
