//! The scorer beside plain ndarray and nalgebra versions of the same formula.
//!
//!     cargo bench -p anchorwatch-benches --bench scorer

use anchorwatch_benches::contest::{Contender, least_times};
use anchorwatch_core::{Centres, Kernel, Scorer, Verdict};
use nalgebra::{DMatrix, DVector};
use ndarray::{Array1, Array2, Axis};
use std::time::Duration;

/// Numbers in −1 to 1 that are the same in every run.
fn numbers(count: usize, mut state: u64) -> Vec<f32> {
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(next).collect()
}

/// Class and score as one would write them with ndarray.
fn by_ndarray(centres: &Array2<f32>, logits: &Array1<f32>) -> (usize, f32) {
    let distances = (centres - logits).mapv(|x| x * x).sum_axis(Axis(1)).mapv(f32::sqrt);
    let least = distances.iter().copied().fold(f32::INFINITY, f32::min);
    let softmin = distances.mapv(|d| (least - d).exp());
    let sum = softmin.sum();
    let scores = &distances * &softmin.mapv(|s| 1.0 - s / sum);
    smallest(scores.iter())
}

/// The same with nalgebra, centres as columns, since that is how it stores matrices.
fn by_nalgebra(centres: &DMatrix<f32>, logits: &DVector<f32>) -> (usize, f32) {
    let distances =
        DVector::from_iterator(centres.ncols(), centres.column_iter().map(|c| (c - logits).norm()));
    let least = distances.min();
    let softmin = distances.map(|d| (least - d).exp());
    let sum = softmin.sum();
    let scores = distances.component_mul(&softmin.map(|s| 1.0 - s / sum));
    smallest(scores.iter())
}

fn smallest<'a>(scores: impl Iterator<Item = &'a f32>) -> (usize, f32) {
    scores.copied().enumerate().fold(
        (0, f32::INFINITY),
        |best, (class, score)| {
            if score < best.1 { (class, score) } else { best }
        },
    )
}

fn main() {
    println!("One vector of N logits judged against M = N centres; least time of many turns.");
    println!("Ratio: our time with the fastest kernel ÷ the peer's; below 1 we are faster.\n");
    println!("{:>6}  {:<14} {:>12}  {:>8}", "M = N", "", "ns", "ratio");
    for size in [10, 100, 1000] {
        let (centres, logits) = (numbers(size * size, 1), numbers(size, 2));
        let view = Centres::new(&centres, size).expect("finite centres");
        let array = Array2::from_shape_vec((size, size), centres.clone()).expect("M×N numbers");
        let vector = Array1::from_vec(logits.clone());
        let matrix = DMatrix::from_column_slice(size, size, &centres);
        let column = DVector::from_column_slice(&logits);

        let score = |scorer: Scorer<'_>, distances: &mut [f32]| -> Verdict {
            scorer.score(&logits, 1.0, distances).expect("lengths that fit")
        };
        let mut distances = vec![0.0; size];
        let ours = score(Scorer::new(view), &mut distances);
        for (class, value) in [by_ndarray(&array, &vector), by_nalgebra(&matrix, &column)] {
            assert_eq!(ours.class, Some(class), "the peers compute the same");
            assert!((ours.score - value).abs() <= 1e-3 * value, "{} {value}", ours.score);
        }

        let fastest = Kernel::detect();
        let mut rooms = [distances.clone(), distances];
        let [first, second] = &mut rooms;
        let scalar = Scorer::with_kernel(view, Kernel::Scalar).expect("always there");
        let mut contenders = [
            Contender::new(fastest.name(), || score(Scorer::new(view), first)),
            Contender::new("scalar", || score(scalar, second)),
            Contender::new("ndarray", || by_ndarray(&array, &vector)),
            Contender::new("nalgebra", || by_nalgebra(&matrix, &column)),
        ];
        let times = least_times(&mut contenders, Duration::from_secs(2));
        for (contender, time) in contenders.iter().zip(&times) {
            let nanoseconds = time.as_secs_f64() * 1e9;
            let ratio = times[0].as_secs_f64() / time.as_secs_f64();
            println!("{size:>6}  {:<14} {nanoseconds:>12.1}  {ratio:>8.2}", contender.name);
        }
    }
}
