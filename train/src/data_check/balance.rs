//! Whether there are enough pictures of each class, and whether their sizes make sense.

use super::findings::{Finding, Item, Kind};
use super::listing::Listing;
use super::scan::Scan;
use std::path::PathBuf;

/// Fewer pictures to learn a class from are too few even with pretrained weights.
const FEWEST: usize = 20;

/// More times as many pictures as the smallest class has are too many.
const UNEVEN: usize = 5;

/// A shorter side than this, in pixels, shows nothing.
const SHORTEST: u32 = 16;

/// A longer side of more times the shorter one is squeezed out of shape.
const LONGEST: u32 = 3;

/// Everything of this file.
pub fn findings(listing: &Listing, scan: &Scan) -> Vec<Finding> {
    let pictures = || {
        let seen = listing.pictures.iter().zip(&scan.seen);
        seen.filter_map(|(picture, seen)| Some((&picture.path, seen.as_ref()?.size)))
    };
    let sized = |wrong: &dyn Fn([u32; 2]) -> bool| {
        let item = |(path, [width, height]): (&PathBuf, [u32; 2])| Item {
            note: format!("{width}×{height}"),
            ..Item::file(path)
        };
        pictures().filter(|&(_, size)| wrong(size)).map(item).collect::<Vec<_>>()
    };
    [
        Finding::new(
            Kind::TooFew,
            too_few(listing, scan),
            |count| format!("{count} class(es) with too few pictures"),
            "Take more, in the light and the poses that the camera will see. Until then, --backbone efficientnet-lite0 needs the fewest.",
        ),
        Finding::new(
            Kind::Imbalance,
            uneven(listing, scan),
            |count| format!("{count} class(es) with more than {UNEVEN} times as many pictures as the smallest"),
            "The network will prefer them. Take more of the small classes, or leave some of the large ones out.",
        ),
        Finding::new(
            Kind::Small,
            sized(&|[width, height]| width.min(height) < SHORTEST),
            |count| format!("{count} picture(s) smaller than {SHORTEST} pixels"),
            "Too small to tell what is on them. Delete them, or cut the thing out of a larger picture.",
        ),
        Finding::new(
            Kind::OddShape,
            sized(&|[width, height]| width.max(height) > LONGEST * width.min(height)),
            |count| format!("{count} picture(s) more than {LONGEST} times as long as wide"),
            "fit squeezes a picture into a square. Cut the thing out, or give fit --resize centre-crop.",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Readable pictures of each class at each level: `[class][level]`.
fn readable(listing: &Listing, scan: &Scan) -> Vec<Vec<usize>> {
    let mut counts = vec![vec![0; listing.levels.len()]; listing.classes.len()];
    for (picture, _) in listing.pictures.iter().zip(&scan.seen).filter(|(_, seen)| seen.is_some()) {
        counts[picture.class][picture.level] += 1;
    }
    counts
}

/// Classes that can hardly be learned, or not be validated. What is not trained on at all serves as unknown.
fn too_few(listing: &Listing, scan: &Scan) -> Vec<Item> {
    let mut items = Vec::new();
    for (name, counts) in listing.classes.iter().zip(readable(listing, scan)) {
        if counts[0] > 0 && counts[0] < FEWEST {
            items.push(class(name, format!("{} to learn from, {FEWEST} or more are wanted", counts[0])));
        }
        for (level, &count) in listing.levels.iter().zip(&counts).skip(1) {
            if counts[0] > 0 && count == 0 {
                items.push(class(name, format!("none at the level {level}")));
            }
        }
    }
    items
}

/// Classes with many times as many pictures to learn from as the smallest.
fn uneven(listing: &Listing, scan: &Scan) -> Vec<Item> {
    let counts: Vec<usize> = readable(listing, scan).into_iter().map(|counts| counts[0]).collect();
    let Some((fewest, smallest)) =
        counts.iter().zip(&listing.classes).filter(|(count, _)| **count > 0).min_by_key(|(count, _)| **count)
    else {
        return Vec::new();
    };
    let many = counts.iter().zip(&listing.classes).filter(|(count, _)| **count > UNEVEN * fewest);
    many.map(|(count, name)| class(name, format!("{count}, and {smallest} has {fewest}"))).collect()
}

fn class(name: &str, note: String) -> Item {
    Item { path: PathBuf::from(name), note, ..Item::default() }
}
