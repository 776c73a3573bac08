//! How long grouping takes, from 20 to 20 000 things:
//! `cargo run --release -p anchorwatch-review --example groups`
//!
//! Each is compared by 10 logits, and by an embedding of 1280 numbers; made up, of twelve classes that
//! overlap.

use anchorwatch_review::agreement::{normalised_mutual_information, purity};
use anchorwatch_review::directions::Directions;
use anchorwatch_review::grouping::{Detail, Tree};
use std::time::Instant;

const CLASSES: usize = 12;

/// The same numbers each time, in -1..1.
fn noise(seed: &mut u64) -> f32 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 40) as f32 / (1 << 23) as f32 - 1.0
}

fn main() {
    println!("dimensions  things  compare, s  group, s  another detail, s  groups  purity  NMI");
    for dimensions in [10, 1280] {
        for things in [20, 200, 3000, 20_000] {
            let mut seed = 1;
            let means: Vec<f32> = (0..CLASSES * dimensions).map(|_| noise(&mut seed)).collect();
            let mut directions = Directions::new(dimensions);
            let mut of = Vec::with_capacity(things);
            for thing in 0..things {
                let class = thing % CLASSES;
                let mean = &means[class * dimensions..][..dimensions];
                let vector: Vec<f32> = mean.iter().map(|x| x + 0.8 * noise(&mut seed)).collect();
                directions.push(&vector);
                of.push(class);
            }
            let began = Instant::now();
            let tree = Tree::grow(directions);
            let compared = began.elapsed().as_secs_f64();
            let places = tree.groups(Detail::Usual);
            let grouped = began.elapsed().as_secs_f64() - compared;
            tree.groups(Detail::More);
            let again = began.elapsed().as_secs_f64() - compared - grouped;
            let groups: Vec<usize> = places.iter().map(|place| place.group).collect();
            println!(
                "{dimensions:10}  {things:6}  {compared:10.3}  {grouped:8.3}  {again:17.3}  {:6}  {:6.3}  {:.3}",
                groups.iter().max().map_or(0, |most| most + 1),
                purity(&groups, &of),
                normalised_mutual_information(&groups, &of),
            );
        }
    }
}
