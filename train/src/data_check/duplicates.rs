//! Pictures that are there twice: in one class (a waste), in two classes (one label must be wrong), at two
//! levels (a leak: what is measured with was learned).
//!
//! Exact copies have the same pixels. Near ones have perceptual hashes a few bits apart, and small copies
//! that correlate in all colours: so another size, quality, brightness or contrast is still the same picture,
//! another colour is not. Mirrored, turned or much cut pictures are not found. How near-duplicates between
//! train and test flatter a network: Barz and Denzler, "Do We Train on Test Data?", arXiv 1902.00423.

use super::findings::{Finding, Item, Kind};
use super::listing::{Listed, Listing};
use super::near_pairs::near_pairs;
use super::scan::{Scan, Seen};
use crate::interrupt::Interrupt;
use anyhow::Result;
use std::collections::{BTreeMap, HashMap};

/// Copies that spread less than this (standard deviation, of 255) are of one colour: these are the same if
/// none of their values differ by more.
const FLAT: f32 = 2.0;

/// Two pictures that are the same; `one` is the earlier in the listing.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Twins {
    one: usize,
    other: usize,
    /// Of the small copies; none if the pixels are the same.
    correlation: Option<f32>,
}

impl Twins {
    /// Larger is more alike.
    fn likeness(&self) -> f32 {
        self.correlation.unwrap_or(f32::INFINITY)
    }
}

/// Duplicates of all three kinds, the worst first. Nearly the same are pictures whose small copies have a
/// correlation of `alike` or more.
///
/// # Errors
/// If it is interrupted.
pub fn findings(
    listing: &Listing,
    scan: &Scan,
    alike: f32,
    threads: usize,
    interrupt: &Interrupt,
) -> Result<Vec<Finding>> {
    let pictures = &listing.pictures;
    let twins = twins(pictures, &scan.seen, alike, threads, interrupt)?;
    let leak = |one: &Listed, other: &Listed| one.level != other.level;
    let conflict = |one: &Listed, other: &Listed| one.class != other.class;
    let findings = [
        Finding::new(
            Kind::LabelConflict,
            items(listing, &twins, conflict),
            |count| format!("{count} picture(s) are in another class too: one of the labels is wrong"),
            "Look at them, and keep each in one class only.",
        ),
        Finding::new(
            Kind::Leak,
            items(listing, &twins, leak),
            |count| {
                format!(
                    "{count} held-out picture(s) are at another level too: what is measured with was trained on"
                )
            },
            "Delete them at one of the levels; of one thing or one series, all pictures belong at the same level.",
        ),
        Finding::new(
            Kind::Duplicate,
            items(listing, &twins, |one, other| !leak(one, other) && !conflict(one, other)),
            |count| format!("{count} picture(s) are in their class twice"),
            "They teach nothing new, and where fit holds pictures out at random they flatter its figures. Delete one of each.",
        ),
    ];
    Ok(findings.into_iter().flatten().collect())
}

/// Each picture with an earlier twin of that kind: an exact one if there is one, else the first.
fn items(listing: &Listing, twins: &[Twins], of_kind: impl Fn(&Listed, &Listed) -> bool) -> Vec<Item> {
    let pictures = &listing.pictures;
    let mut earlier: BTreeMap<usize, &Twins> = BTreeMap::new();
    for pair in twins.iter().filter(|pair| of_kind(&pictures[pair.one], &pictures[pair.other])) {
        let best = earlier.entry(pair.other).or_insert(pair);
        if pair.likeness() > best.likeness() {
            *best = pair;
        }
    }
    let mut pairs: Vec<&Twins> = earlier.into_values().collect();
    pairs.sort_by(|one, other| other.likeness().total_cmp(&one.likeness()).then(one.other.cmp(&other.other)));
    let item = |pair: &Twins| Item {
        path: pictures[pair.other].path.clone(),
        beside: Some(pictures[pair.one].path.clone()),
        note: pair.correlation.map_or(String::new(), |correlation| format!("nearly ({correlation:.3})")),
    };
    pairs.into_iter().map(item).collect()
}

/// All twins. Of exact copies at one place (class and level) only the first is compared with what is
/// elsewhere, so a picture that is there a thousand times has a thousand twins, not half a million.
fn twins(
    pictures: &[Listed],
    seen: &[Option<Seen>],
    alike: f32,
    threads: usize,
    interrupt: &Interrupt,
) -> Result<Vec<Twins>> {
    let mut twins = Vec::new();
    let mut copies: HashMap<[u8; 32], Vec<usize>> = HashMap::new();
    let mut different: Vec<(usize, &Seen)> = Vec::new();
    for (at, seen) in seen.iter().enumerate().filter_map(|(at, seen)| Some((at, seen.as_ref()?))) {
        let place = |at: usize| (pictures[at].class, pictures[at].level);
        // The first copy at each place.
        let firsts = copies.entry(seen.digest).or_default();
        twins.extend(firsts.iter().map(|&one| Twins { one, other: at, correlation: None }));
        if firsts.iter().all(|&first| place(first) != place(at)) {
            firsts.push(at);
            different.push((at, seen));
        }
    }
    let hashes: Vec<u64> = different.iter().map(|(_, seen)| seen.hash).collect();
    let likeness = |one: usize, other: usize| {
        let [one, other] = [different[one].1, different[other].1];
        if one.digest == other.digest { None } else { likeness(&one.copy, &other.copy, alike) }
    };
    for (one, other) in near_pairs(&hashes, |one, other| likeness(one, other).is_some(), threads, interrupt)?
    {
        twins.push(Twins {
            one: different[one].0,
            other: different[other].0,
            correlation: likeness(one, other),
        });
    }
    Ok(twins)
}

/// Pearson's correlation of two small copies over all pixels and colours, if it is that of the same picture.
fn likeness(one: &[u8], other: &[u8], alike: f32) -> Option<f32> {
    let ([mean_one, spread_one], [mean_other, spread_other]) = (moments(one), moments(other));
    if spread_one < FLAT || spread_other < FLAT {
        let furthest = one.iter().zip(other).map(|(&one, &other)| one.abs_diff(other)).max().unwrap_or(0);
        return (f32::from(furthest) <= FLAT).then_some(1.0);
    }
    let product = |(&one, &other): (&u8, &u8)| (f32::from(one) - mean_one) * (f32::from(other) - mean_other);
    let covariance = one.iter().zip(other).map(product).sum::<f32>() / one.len() as f32;
    Some(covariance / (spread_one * spread_other)).filter(|&correlation| correlation >= alike)
}

/// Mean and standard deviation.
fn moments(values: &[u8]) -> [f32; 2] {
    let count = values.len() as f32;
    let mean = values.iter().map(|&value| f32::from(value)).sum::<f32>() / count;
    let square = values.iter().map(|&value| (f32::from(value) - mean).powi(2)).sum::<f32>() / count;
    [mean, square.sqrt()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_light_is_the_same_picture_and_another_colour_is_not() {
        let copy: Vec<u8> = (0..768).map(|value| (value * 37 % 200) as u8 + 20).collect();
        let darker: Vec<u8> = copy.iter().map(|&value| value / 2 + 10).collect();
        assert!(likeness(&copy, &darker, 0.96).unwrap() > 0.999);
        let swapped: Vec<u8> =
            copy.chunks_exact(3).flat_map(|pixel| [pixel[2], pixel[0], pixel[1]]).collect();
        assert_eq!(likeness(&copy, &swapped, 0.96), None);
        assert!(likeness(&[9; 768], &[10; 768], 0.96).is_some());
        assert_eq!(likeness(&[9; 768], &[90; 768], 0.96), None);
        assert_eq!(likeness(&[9; 768], &copy, 0.96), None);
    }
}
