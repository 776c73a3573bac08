//! Groups by look: which unknown things are alike, so that a person labels a group instead of a picture.
//!
//! What is compared is the *direction* of the logits (or of the embedding): CAC pulls known classes to
//! anchors far from the origin, unknown things stay somewhere between it and them, and how far says less of
//! what they are than where to. Ward's method makes a tree of at most 3000 of them, evenly taken; the tree is
//! cut where groups are too wide, or clearly two; then everything goes to the nearest group's centre, which
//! is moved to its mean, some times over (Lloyd's iteration). So twenty thousand cost little more than three
//! thousand, and another number of groups costs no new tree.

use crate::directions::{Directions, squared_distance};
use kodama::{Method, linkage};
use std::collections::BinaryHeap;

/// As many are compared each with each. Fewer where they have many dimensions.
const SAMPLE: usize = 3000;
/// Multiplications that comparing each with each may take, and Lloyd's iterations.
const WORK: usize = 4_000_000_000;
/// A group this narrow is never split: a mean squared distance to its centre, of unit vectors.
const NARROW: f32 = 0.08;
/// A group is clearly two if its parts have less than this share of its spread.
const APART: f32 = 0.3;
/// More groups than that nobody looks through.
const MOST: f32 = 80.0;
/// Of many things, smaller groups join their neighbours.
const SMALLEST: f32 = 3.0;
/// Groups of less than this share of the things do.
const SMALL: f32 = 0.02;
/// Lloyd's iterations, at most: some five are enough.
const ROUNDS: usize = 20;

/// Few wide groups, or many narrow ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Detail {
    /// The fewest groups.
    Fewest,
    /// Fewer.
    Fewer,
    /// As many as the things' spread suggests.
    #[default]
    Usual,
    /// More.
    More,
    /// The most.
    Most,
}

impl Detail {
    /// From the fewest groups to the most.
    pub const ALL: [Self; 5] = [Self::Fewest, Self::Fewer, Self::Usual, Self::More, Self::Most];

    /// How wide a group may be, as a share of the spread of everything.
    fn width(self) -> f32 {
        match self {
            Self::Fewest => 0.75,
            Self::Fewer => 0.6,
            Self::Usual => 0.42,
            Self::More => 0.28,
            Self::Most => 0.18,
        }
    }

    /// How many groups so many things may have.
    fn limit(self, things: usize) -> usize {
        let usual = 2.0 * (things as f32).sqrt();
        let limit = match self {
            Self::Fewest => usual / 2.0,
            Self::Fewer => usual / 1.4,
            Self::Usual => usual,
            Self::More => usual * 1.4,
            Self::Most => usual * 2.0,
        };
        limit.clamp(1.0, MOST) as usize
    }
}

/// Where a thing belongs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// Its group, from 0, the largest first.
    pub group: usize,
    /// Squared distance to the group's centre, 0 to 4: the least are the most typical.
    pub distance: f32,
}

/// Directions, and the tree of those that were compared.
#[derive(Clone, Debug)]
pub struct Tree {
    directions: Directions,
    /// The leaves, and then each node that joins two earlier ones.
    nodes: Vec<Node>,
    leaves: usize,
}

#[derive(Clone, Debug)]
struct Node {
    /// The two that it joins; of a leaf, none.
    parts: Option<(usize, usize)>,
    size: f32,
    sum: Vec<f32>,
    /// Sum of the squared lengths.
    squares: f32,
}

impl Node {
    /// Mean squared distance to the centre.
    fn spread(&self) -> f32 {
        let centre: f32 = self.sum.iter().map(|x| (x / self.size).powi(2)).sum();
        (self.squares / self.size - centre).max(0.0)
    }

    fn centre(&self) -> Vec<f32> {
        self.sum.iter().map(|x| x / self.size).collect()
    }
}

impl Tree {
    /// Compares the directions.
    pub fn grow(directions: Directions) -> Self {
        let by_work = (WORK / directions.dimensions()).isqrt();
        let leaves = directions.len().min(SAMPLE).min(by_work.max(2));
        let sample: Vec<&[f32]> =
            (0..leaves).map(|leaf| directions.row(sampled(leaf, leaves, directions.len()))).collect();
        let mut nodes: Vec<Node> = sample.iter().map(|row| leaf(row)).collect();
        nodes.reserve(leaves);
        let mut distances = Vec::with_capacity(leaves * leaves.saturating_sub(1) / 2);
        for (index, row) in sample.iter().enumerate() {
            distances.extend(sample[index + 1..].iter().map(|other| squared_distance(row, other).sqrt()));
        }
        if leaves > 1 {
            for step in linkage(&mut distances, leaves, Method::Ward).steps() {
                nodes.push(joined(&nodes, step.cluster1, step.cluster2));
            }
        }
        Self { directions, nodes, leaves }
    }

    /// The group of each direction, in their order.
    pub fn groups(&self, detail: Detail) -> Vec<Place> {
        let mut centres = self.cut(detail);
        let mut places = self.nearest(&centres);
        let a_round = self.directions.len() * self.directions.dimensions() * centres.len();
        for _ in 0..(WORK / a_round.max(1)).clamp(1, ROUNDS) {
            centres = self.means(&places, centres.len());
            let moved = self.nearest(&centres);
            let settled = moved.iter().zip(&places).all(|(now, before)| now.group == before.group);
            places = moved;
            if settled {
                break;
            }
        }
        largest_first(places)
    }

    /// Centres of the groups that the tree is cut into: from the root, what is too wide or clearly two is
    /// split, the latest joint first.
    fn cut(&self, detail: Detail) -> Vec<Vec<f32>> {
        let Some(root) = self.nodes.last() else { return Vec::new() };
        let widest = (detail.width() * root.spread()).max(NARROW);
        let limit = detail.limit(self.leaves);
        let mut whole: Vec<&Node> = Vec::new();
        let mut to_split = BinaryHeap::from([self.nodes.len() - 1]);
        while let Some(index) = to_split.pop() {
            let node = &self.nodes[index];
            let is_allowed = whole.len() + to_split.len() + 1 < limit;
            match node.parts {
                Some(parts) if is_allowed && (node.spread() > widest || self.is_two(node, parts)) => {
                    to_split.extend([parts.0, parts.1]);
                }
                _ => whole.push(node),
            }
        }
        let smallest = (SMALL * self.leaves as f32).min(SMALLEST);
        if whole.iter().any(|node| node.size >= smallest) {
            whole.retain(|node| node.size >= smallest);
        }
        whole.into_iter().map(Node::centre).collect()
    }

    fn is_two(&self, node: &Node, parts: (usize, usize)) -> bool {
        let within = |part: usize| self.nodes[part].spread() * self.nodes[part].size;
        node.spread() > NARROW && within(parts.0) + within(parts.1) < APART * node.spread() * node.size
    }

    fn nearest(&self, centres: &[Vec<f32>]) -> Vec<Place> {
        let place = |row: &[f32]| {
            let distances = centres.iter().map(|centre| squared_distance(row, centre));
            let nearest = distances.enumerate().min_by(|one, other| one.1.total_cmp(&other.1));
            let (group, distance) = nearest.unwrap_or_default();
            Place { group, distance }
        };
        self.directions.rows().map(place).collect()
    }

    /// Of the groups that have something.
    fn means(&self, places: &[Place], groups: usize) -> Vec<Vec<f32>> {
        let mut sums = vec![(vec![0.0_f32; self.directions.dimensions()], 0.0_f32); groups];
        for (row, place) in self.directions.rows().zip(places) {
            let (sum, count) = &mut sums[place.group];
            sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            *count += 1.0;
        }
        let filled = sums.into_iter().filter(|(_, count)| *count > 0.0);
        filled.map(|(sum, count)| sum.into_iter().map(|x| x / count).collect()).collect()
    }
}

/// One of each stretch; not always at the same place in it, since what comes regularly would be missed.
fn sampled(leaf: usize, leaves: usize, of: usize) -> usize {
    let [start, end] = [leaf, leaf + 1].map(|leaf| leaf * of / leaves);
    let mixed = (leaf as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    start + ((mixed ^ (mixed >> 32)) % (end - start) as u64) as usize
}

fn leaf(row: &[f32]) -> Node {
    Node { parts: None, size: 1.0, sum: row.to_vec(), squares: row.iter().map(|x| x * x).sum() }
}

fn joined(nodes: &[Node], one: usize, other: usize) -> Node {
    let (first, second) = (&nodes[one], &nodes[other]);
    Node {
        parts: Some((one, other)),
        size: first.size + second.size,
        sum: first.sum.iter().zip(&second.sum).map(|(x, y)| x + y).collect(),
        squares: first.squares + second.squares,
    }
}

/// Renumbers the groups.
fn largest_first(mut places: Vec<Place>) -> Vec<Place> {
    let groups = places.iter().map(|place| place.group + 1).max().unwrap_or(0);
    let mut sizes: Vec<(usize, usize)> = (0..groups).map(|group| (0, group)).collect();
    places.iter().for_each(|place| sizes[place.group].0 += 1);
    sizes.sort_by_key(|(size, group)| (std::cmp::Reverse(*size), *group));
    let mut numbers = vec![0; groups];
    sizes.iter().enumerate().for_each(|(number, (_, group))| numbers[*group] = number);
    places.iter_mut().for_each(|place| place.group = numbers[place.group]);
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::{normalised_mutual_information, purity};

    /// The same numbers each time, in -1..1.
    fn noise(seed: &mut u64) -> f32 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// Classes with a direction each, at lengths from 0.5 to 9, and the class of each thing.
    fn made(classes: usize, each: usize, dimensions: usize, width: f32) -> (Directions, Vec<usize>) {
        let mut seed = 7;
        let means: Vec<Vec<f32>> =
            (0..classes).map(|_| (0..dimensions).map(|_| noise(&mut seed)).collect()).collect();
        let mut directions = Directions::new(dimensions);
        let mut of = Vec::new();
        for index in 0..classes * each {
            let class = index % classes;
            let length = 4.75 + 4.25 * noise(&mut seed);
            let vector: Vec<f32> =
                means[class].iter().map(|x| length * (x + width * noise(&mut seed))).collect();
            directions.push(&vector);
            of.push(class);
        }
        (directions, of)
    }

    fn numbers(places: &[Place]) -> Vec<usize> {
        places.iter().map(|place| place.group).collect()
    }

    #[test]
    fn classes_of_any_length_come_apart_at_any_size() {
        for (classes, each) in [(4, 5), (6, 50), (8, 375), (8, 2500)] {
            let (directions, of) = made(classes, each, 10, 0.25);
            let groups = numbers(&Tree::grow(directions).groups(Detail::Usual));
            let (pure, shared) = (purity(&groups, &of), normalised_mutual_information(&groups, &of));
            assert!(pure > 0.97 && shared > 0.8, "{classes} of {each}: purity {pure}, NMI {shared}");
            let sizes: Vec<usize> = (0..=*groups.iter().max().unwrap())
                .map(|n| groups.iter().filter(|g| **g == n).count())
                .collect();
            assert!(sizes.is_sorted_by(|one, other| one >= other), "{sizes:?}");
        }
    }

    #[test]
    fn more_detail_is_more_groups_and_one_heap_stays_whole() {
        let (directions, _) = made(6, 100, 8, 0.6);
        let tree = Tree::grow(directions);
        let counts: Vec<usize> = Detail::ALL
            .iter()
            .map(|detail| tree.groups(*detail).iter().map(|place| place.group).max().unwrap() + 1)
            .collect();
        assert!(counts.is_sorted() && counts[0] < counts[4], "{counts:?}");
        let (directions, _) = made(1, 300, 8, 0.1);
        assert!(Tree::grow(directions).groups(Detail::Most).iter().all(|place| place.group == 0));
    }

    #[test]
    fn few_or_strange_ones_do_no_harm() {
        assert!(Tree::grow(Directions::new(3)).groups(Detail::Usual).is_empty());
        let mut one = Directions::new(3);
        one.push(&[0.0, 2.0, 0.0]);
        assert_eq!(Tree::grow(one).groups(Detail::Most), [Place { group: 0, distance: 0.0 }]);
        let mut strange = Directions::new(2);
        for vector in [[0.0, 0.0], [f32::NAN, 1.0], [f32::INFINITY, 0.0], [3.0e38, 3.0e38], [1e-30, 0.0]] {
            strange.push(&vector);
        }
        let places = Tree::grow(strange).groups(Detail::Usual);
        assert!(places.len() == 5 && places.iter().all(|place| place.distance.is_finite()));
    }

    #[test]
    fn many_dimensions_are_sampled_less() {
        let (directions, of) = made(3, 700, 4000, 0.25);
        let tree = Tree::grow(directions);
        assert!(tree.leaves <= 1000);
        assert!(purity(&numbers(&tree.groups(Detail::Usual)), &of) > 0.97);
    }

    #[test]
    fn a_few_of_each_are_groups_too() {
        let (directions, of) = made(8, 2, 300, 0.25);
        let groups = numbers(&Tree::grow(directions).groups(Detail::Usual));
        assert!(purity(&groups, &of) > 0.9, "{groups:?}");
    }

    /// Real logits of unknown things, which are not so well apart.
    #[test]
    fn one_class_dominates_in_groups_of_cifar_10() {
        let lines = include_str!("../tests/data/cifar10-logits.csv").lines();
        let mut directions = Directions::new(6);
        let mut of = Vec::new();
        for line in lines.filter(|line| !line.starts_with('#')) {
            let (class, logits) = line.split_once(',').unwrap();
            directions.push(&logits.split(',').map(|x| x.parse().unwrap()).collect::<Vec<f32>>());
            of.push(class);
        }
        let tree = Tree::grow(directions);
        for detail in Detail::ALL {
            let groups = numbers(&tree.groups(detail));
            let (pure, shared) = (purity(&groups, &of), normalised_mutual_information(&groups, &of));
            let count = groups.iter().max().unwrap() + 1;
            println!("{detail:?}: {count} groups, purity {pure:.3}, NMI {shared:.3}");
            if detail == Detail::Usual {
                assert!(pure > 0.55 && shared > 0.2, "purity {pure}, NMI {shared}");
            }
        }
    }
}
