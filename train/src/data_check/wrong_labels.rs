//! Pictures that may have the wrong label: their neighbours, in the features of a network, are of another
//! class.
//!
//! A picture's k nearest neighbours vote, each class weighed by how rare it is: shares p. Which picture is
//! suspect is decided as confident learning does (Northcutt, Jiang, Chuang, arXiv 1911.00068): a class's
//! own threshold is the mean share that its pictures give it, and a picture is suspect if, of the classes
//! whose thresholds it reaches, the largest share is another's than its label's. That neighbours in the
//! features of another task's network serve for this, without training: Zhu, Dong, Liu, arXiv 2110.06283.

use super::findings::{Finding, Item, Kind};
use super::listing::Listing;
use super::scan::Scan;
use crate::interrupt::Interrupt;
use crate::progress;
use anyhow::Result;
use tch::{Kind as Numbers, Tensor};

/// Neighbours that vote, at most.
const NEIGHBOURS: usize = 15;

/// Pictures among which neighbours are looked for, at most: evenly of all classes.
const BANK: usize = 20_000;

/// Neighbours more than vote, for a picture's own copies do not.
const SPARE: usize = 8;

/// Pictures whose similarities are computed at a time.
const QUERIES: usize = 256;

/// Shares of own and other label must be so far apart.
const MARGIN: f64 = 0.5;

/// Where fewer pictures agree with their neighbours, the features do not tell the classes apart.
const LEAST_AGREEMENT: f64 = 0.6;

/// A picture that looks like another class.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Suspect {
    picture: usize,
    /// The class of its neighbours.
    looks_like: usize,
    /// The neighbours' share for its label, and for that class.
    shares: [f64; 2],
}

/// What the neighbours say.
pub struct WrongLabels {
    /// Share of the pictures with the class of most of their neighbours (larger is better).
    pub agreement: f64,
    /// The most suspect first.
    suspects: Vec<Suspect>,
}

/// A picture with features.
struct Row {
    picture: usize,
    class: usize,
    digest: [u8; 32],
}

impl WrongLabels {
    /// Compares every picture with its neighbours; None if there are too few to say anything.
    ///
    /// # Errors
    /// If it is interrupted.
    pub fn find(listing: &Listing, scan: &Scan, interrupt: &Interrupt) -> Result<Option<Self>> {
        let (mut rows, mut numbers) = (Vec::new(), Vec::new());
        for (at, seen) in scan.seen.iter().enumerate() {
            let Some(seen) = seen.as_ref().filter(|seen| !seen.features.is_empty()) else { continue };
            rows.push(Row { picture: at, class: listing.pictures[at].class, digest: seen.digest });
            numbers.extend_from_slice(&seen.features);
        }
        let classes = listing.classes.len();
        let bank = bank(&rows, classes);
        let mut sizes = vec![0usize; classes];
        for &row in &bank {
            sizes[rows[row].class] += 1;
        }
        // Of a small class there must be more than a vote's half.
        let mut present: Vec<usize> = sizes.iter().copied().filter(|&size| size > 0).collect();
        present.sort_unstable();
        if present.len() < 2 || present[present.len() / 2] < 4 {
            return Ok(None);
        }
        let neighbours = (present[present.len() / 2] / 2).clamp(2, NEIGHBOURS);
        let features = Tensor::from_slice(&numbers).view([rows.len() as i64, -1]);
        drop(numbers);
        let votes = votes(&features, &rows, &bank, neighbours, interrupt)?;
        let shares: Vec<Vec<f64>> = votes.iter().map(|votes| shares(votes, &sizes)).collect();
        Ok(Some(Self { agreement: agreement(&rows, &shares), suspects: suspects(&rows, &shares, classes) }))
    }

    /// The suspects, as long as the features are worth something.
    pub fn finding(&self, listing: &Listing) -> Option<Finding> {
        if self.agreement < LEAST_AGREEMENT {
            log::warn!(
                "the features do not tell these classes apart ({:.0} % of the pictures agree with their neighbours): wrong labels are not looked for. Give a --model that was trained on such pictures",
                self.agreement * 100.0
            );
            return None;
        }
        let item = |suspect: &Suspect| Item {
            note: format!(
                "looks like {} ({:.0} % of its neighbours; {:.0} % have its label)",
                listing.classes[suspect.looks_like],
                suspect.shares[1] * 100.0,
                suspect.shares[0] * 100.0
            ),
            ..Item::file(&listing.pictures[suspect.picture].path)
        };
        Finding::new(
            Kind::WrongLabel,
            self.suspects.iter().map(item).collect(),
            |count| format!("{count} picture(s) may have the wrong label, the most suspect first"),
            "Look at them: some are only unusual, and those are worth keeping.",
        )
    }
}

/// Rows evenly spread over each class, so that no class has more than its part.
fn bank(rows: &[Row], classes: usize) -> Vec<usize> {
    let mut bank = Vec::new();
    for class in 0..classes {
        let of_class: Vec<usize> = (0..rows.len()).filter(|&row| rows[row].class == class).collect();
        let count = of_class.len().min(BANK / classes.max(1));
        bank.extend((0..count).map(|index| of_class[index * of_class.len() / count]));
    }
    bank
}

/// Votes for each class of each row's neighbours by the cosine of their features, itself and its exact
/// copies left out.
fn votes(
    features: &Tensor,
    rows: &[Row],
    bank: &[usize],
    neighbours: usize,
    interrupt: &Interrupt,
) -> Result<Vec<Vec<usize>>> {
    let classes = rows.iter().map(|row| row.class + 1).max().unwrap_or(0);
    let indices: Vec<i64> = bank.iter().map(|&row| row as i64).collect();
    let bank_features = features.index_select(0, &Tensor::from_slice(&indices)).tr();
    let wanted = (neighbours + SPARE).min(bank.len());
    let bar = progress::bar(rows.len() as u64, "comparing neighbours");
    let mut votes = Vec::with_capacity(rows.len());
    for start in (0..rows.len()).step_by(QUERIES) {
        interrupt.check()?;
        let count = QUERIES.min(rows.len() - start);
        let similar = features.narrow(0, start as i64, count as i64).matmul(&bank_features);
        let (_, nearest) = similar.topk(wanted as i64, -1, true, true);
        let nearest = Vec::<i64>::try_from(nearest.to_kind(Numbers::Int64).flatten(0, -1).contiguous())?;
        for (row, nearest) in rows[start..start + count].iter().zip(nearest.chunks_exact(wanted)) {
            let others = nearest.iter().map(|&at| &rows[bank[at as usize]]);
            let mut of_row = vec![0; classes];
            for other in others.filter(|other| other.digest != row.digest).take(neighbours) {
                of_row[other.class] += 1;
            }
            votes.push(of_row);
        }
        bar.inc(count as u64);
    }
    bar.finish_and_clear();
    Ok(votes)
}

/// From votes to shares: a class with fewer pictures in the bank can have fewer votes.
fn shares(votes: &[usize], sizes: &[usize]) -> Vec<f64> {
    let weighed: Vec<f64> =
        votes.iter().zip(sizes).map(|(&votes, &size)| votes as f64 / size.max(1) as f64).collect();
    let sum = weighed.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    weighed.into_iter().map(|votes| votes / sum).collect()
}

fn largest(shares: &[f64], among: impl Fn(usize) -> bool) -> Option<usize> {
    let candidates = (0..shares.len()).filter(|&class| among(class));
    candidates.max_by(|&one, &other| shares[one].total_cmp(&shares[other]).then(other.cmp(&one)))
}

fn agreement(rows: &[Row], shares: &[Vec<f64>]) -> f64 {
    let agree = rows.iter().zip(shares).filter(|(row, shares)| largest(shares, |_| true) == Some(row.class));
    agree.count() as f64 / rows.len().max(1) as f64
}

fn suspects(rows: &[Row], shares: &[Vec<f64>], classes: usize) -> Vec<Suspect> {
    // Of each class: how many pictures, and the sum of the shares that they give it.
    let mut own = vec![(0usize, 0f64); classes];
    for (row, shares) in rows.iter().zip(shares) {
        own[row.class].0 += 1;
        own[row.class].1 += shares[row.class];
    }
    let threshold = |class: usize| own[class].1 / own[class].0.max(1) as f64;
    let mut suspects: Vec<Suspect> = rows
        .iter()
        .zip(shares)
        .filter_map(|(row, shares)| {
            let looks_like = largest(shares, |class| own[class].0 > 0 && shares[class] >= threshold(class))?;
            let shares = [shares[row.class], shares[looks_like]];
            let suspect = looks_like != row.class && shares[1] - shares[0] >= MARGIN;
            suspect.then_some(Suspect { picture: row.picture, looks_like, shares })
        })
        .collect();
    let margin = |suspect: &Suspect| suspect.shares[1] - suspect.shares[0];
    suspects
        .sort_by(|one, other| margin(other).total_cmp(&margin(one)).then(one.picture.cmp(&other.picture)));
    suspects
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(picture: usize, class: usize) -> Row {
        Row { picture, class, digest: [picture as u8; 32] }
    }

    #[test]
    fn votes_are_weighed_by_how_rare_a_class_is() {
        assert_eq!(shares(&[6, 3], &[20, 10]), [0.5, 0.5]);
        assert_eq!(shares(&[0, 0], &[20, 10]), [0.0, 0.0]);
        assert_eq!(shares(&[0, 3, 0], &[20, 10, 0]), [0.0, 1.0, 0.0]);
    }

    #[test]
    fn a_neighbour_is_no_copy_and_not_itself() {
        // Two directions; picture 2 lies among those of class 1, and picture 6 is a copy of it.
        let features =
            [[1.0f32, 0.0], [0.99, 0.1], [0.0, 1.0], [0.1, 0.99], [0.05, 1.0], [0.02, 1.0], [0.0, 1.0]];
        let mut rows: Vec<Row> = [0, 0, 0, 1, 1, 1, 0]
            .into_iter()
            .enumerate()
            .map(|(picture, class)| row(picture, class))
            .collect();
        rows[6].digest = rows[2].digest;
        let features = Tensor::from_slice(features.as_flattened()).view([7, 2]);
        let bank: Vec<usize> = (0..7).collect();
        let votes = votes(&features, &rows, &bank, 3, &Interrupt::never()).unwrap();
        assert_eq!(votes[2], [0, 3]);
        assert_eq!(votes[5], [2, 1], "two copies are neighbours of another picture");
        assert!(votes.iter().all(|votes| votes.iter().sum::<usize>() == 3));
    }

    #[test]
    fn only_what_is_far_over_on_the_other_side_is_suspect() {
        let rows: Vec<Row> = [0, 0, 0, 0, 1, 1, 1, 1]
            .into_iter()
            .enumerate()
            .map(|(picture, class)| row(picture, class))
            .collect();
        let mut own: Vec<Vec<f64>> =
            rows.iter().map(|row| vec![1.0 - row.class as f64, row.class as f64]).collect();
        assert!(suspects(&rows, &own, 2).is_empty());
        assert_eq!(agreement(&rows, &own), 1.0);
        own[1] = vec![0.45, 0.55];
        own[2] = vec![0.0, 1.0];
        let found = suspects(&rows, &own, 2);
        assert_eq!(found, [Suspect { picture: 2, looks_like: 1, shares: [0.0, 1.0] }]);
        assert_eq!(agreement(&rows, &own), 0.75);
    }

    #[test]
    fn the_bank_has_the_same_of_each_class_as_far_as_there_are_any() {
        let rows: Vec<Row> =
            (0..30_000).map(|picture| row(picture, usize::from(picture >= 29_000))).collect();
        let bank = bank(&rows, 2);
        assert_eq!(bank.iter().filter(|&&at| rows[at].class == 0).count(), 10_000);
        assert_eq!(bank.len(), 11_000);
    }
}
