//! How well groups agree with classes: purity and normalised mutual information, both 0 to 1, larger is
//! better. Neither is needed for looking through; they say how good the groups are where the classes are
//! known.

use std::collections::HashMap;
use std::hash::Hash;

/// The share of things that are of their group's commonest class (Manning, Raghavan, Schütze:
/// *Introduction to Information Retrieval*, section 16.3). More groups are never less pure.
///
/// Each place of `groups` and `classes` is one thing; 0 if there are none.
///
/// # Panics
/// If the two are not of the same length.
pub fn purity<G: Eq + Hash, C: Eq + Hash>(groups: &[G], classes: &[C]) -> f64 {
    assert_eq!(groups.len(), classes.len(), "each thing has a group and a class");
    let mut commonest: HashMap<&G, usize> = HashMap::new();
    for ((group, _), count) in count(groups.iter().zip(classes)) {
        let most = commonest.entry(group).or_default();
        *most = count.max(*most);
    }
    commonest.values().sum::<usize>() as f64 / groups.len().max(1) as f64
}

/// Mutual information of groups and classes ÷ the mean of their two entropies (arithmetic, as
/// scikit-learn's `normalized_mutual_info_score`). More groups than needed cost something.
///
/// Each place of `groups` and `classes` is one thing. If there is one group and one class it is 1, if
/// one of them says nothing it is 0.
///
/// # Panics
/// If the two are not of the same length.
pub fn normalised_mutual_information<G: Eq + Hash, C: Eq + Hash>(groups: &[G], classes: &[C]) -> f64 {
    assert_eq!(groups.len(), classes.len(), "each thing has a group and a class");
    let all = groups.len() as f64;
    let (of_groups, of_classes) = (entropy(groups), entropy(classes));
    let joint: f64 = count(groups.iter().zip(classes)).values().map(|count| part(*count as f64 / all)).sum();
    let mean = (of_groups + of_classes) / 2.0;
    if mean > 0.0 { ((of_groups + of_classes - joint) / mean).clamp(0.0, 1.0) } else { 1.0 }
}

/// In nats.
fn entropy<T: Eq + Hash>(of: &[T]) -> f64 {
    count(of).values().map(|count| part(*count as f64 / of.len() as f64)).sum()
}

fn part(share: f64) -> f64 {
    -share * share.ln()
}

fn count<T: Eq + Hash>(of: impl IntoIterator<Item = T>) -> HashMap<T, usize> {
    let mut counts = HashMap::new();
    for one in of {
        *counts.entry(one).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_near(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 1e-4, "{found} is not {wanted}");
    }

    #[test]
    fn by_hand() {
        // Three things of one class with one of another: 3/4, whatever the groups are called.
        assert_near(purity(&["a", "a", "a", "b"], &['x', 'x', 'y', 'y']), 0.75);
        // H(class) = ln 2; H(class | group) = 3/4 · H(1/3) = 0.4774; H(group) = 0.5623:
        // 0.2158 / 0.6277.
        assert_near(normalised_mutual_information(&["a", "a", "a", "b"], &['x', 'x', 'y', 'y']), 0.3437);
        // The example of the book, figure 16.4: purity 12/17, and normalised mutual information 0.36.
        let groups = [[1; 6].as_slice(), &[2; 6], &[3; 5]].concat();
        let classes: Vec<char> = "xxxxxo".chars().chain("xoooo#".chars()).chain("xx###".chars()).collect();
        assert_near(purity(&groups, &classes), 12.0 / 17.0);
        assert!((normalised_mutual_information(&groups, &classes) - 0.36).abs() < 0.01);
    }

    #[test]
    fn at_the_ends() {
        assert_near(purity(&[0, 0, 1, 1], &[1, 1, 0, 0]), 1.0);
        assert_near(normalised_mutual_information(&[0, 0, 1, 1], &[1, 1, 0, 0]), 1.0);
        assert_near(normalised_mutual_information(&[0, 1, 0, 1], &[0, 0, 1, 1]), 0.0);
        assert_near(normalised_mutual_information(&[0, 0, 0], &[0, 1, 2]), 0.0);
        assert_near(normalised_mutual_information(&[0, 0], &[5, 5]), 1.0);
        assert_near(purity::<u8, u8>(&[], &[]), 0.0);
        // Groups of one are pure, and say too much.
        assert_near(purity(&[0, 1, 2, 3], &[0, 0, 1, 1]), 1.0);
        assert_near(normalised_mutual_information(&[0, 1, 2, 3], &[0, 0, 1, 1]), 2.0 / 3.0);
    }
}
