//! Pictures of nothing known, made of two known ones: what is on one side of a random line is of one
//! class, what is on the other side of another. A network that is told that such a picture is as far from
//! every class as from any other learns to look at the whole of a thing, not at a telling part of it.
//!
//! The idea of synthetic unknowns in training, with the mixing of Yun et al. (CutMix, arXiv 1905.04899).
//! No picture of an unknown class is needed or used.

use rand::Rng;
use rand::rngs::StdRng;
use tch::{Device, Kind, Tensor};

/// Of `count` pairs of a batch (B×C×S×S, and its B classes) one picture each: n×C×S×S, n ≤ `count`.
/// Pairs of one class are left out.
pub fn composites(pictures: &Tensor, classes: &[usize], count: usize, random: &mut StdRng) -> Tensor {
    let (mut first, mut second, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..count.min(classes.len()) {
        let partner = random.random_range(0..classes.len());
        let angle: f32 = random.random_range(0.0..std::f32::consts::TAU);
        let offset: f32 = random.random_range(-0.25..0.25);
        if classes[partner] != classes[index] {
            first.push(index as i64);
            second.push(partner as i64);
            lines.push([angle.cos(), angle.sin(), offset]);
        }
    }
    let side = pictures.size()[3];
    let count = lines.len() as i64;
    let line = |part: usize| {
        let values: Vec<f32> = lines.iter().map(|line| line[part]).collect();
        Tensor::from_slice(&values).view([count, 1, 1, 1])
    };
    let across = Tensor::linspace(-1.0, 1.0, side, (Kind::Float, Device::Cpu));
    let (x, y) = (across.view([1, 1, 1, side]), across.view([1, 1, side, 1]));
    let is_first = (x * line(0) + y * line(1)).ge_tensor(&line(2));
    let pick = |indices: &[i64]| pictures.index_select(0, &Tensor::from_slice(indices));
    pick(&first).where_self(&is_first, &pick(&second))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn each_is_half_of_one_class_and_half_of_another() {
        // Class c is a picture of level c.
        let classes: Vec<usize> = (0..40).map(|index| index % 3).collect();
        let levels: Vec<f32> = classes.iter().map(|&class| class as f32).collect();
        let pictures = Tensor::from_slice(&levels).view([40, 1, 1, 1]).expand([40, 2, 16, 16], false);
        let made = composites(&pictures, &classes, 40, &mut StdRng::seed_from_u64(3));
        let count = made.size()[0];
        assert!((15..40).contains(&count), "{count}");
        for index in 0..count {
            let values = Vec::<f32>::try_from(made.get(index).flatten(0, -1)).unwrap();
            let (low, high) = values.iter().fold((9f32, -9f32), |(a, b), &v| (a.min(v), b.max(v)));
            assert!(low < high);
            let share = values.iter().filter(|value| **value == low).count() as f64 / values.len() as f64;
            assert!((0.2..0.8).contains(&share), "{share}");
            assert!(values.iter().all(|value| *value == low || *value == high));
        }
    }

    #[test]
    fn a_single_class_gives_none() {
        let pictures = Tensor::zeros([4, 1, 8, 8], (Kind::Float, Device::Cpu));
        assert_eq!(composites(&pictures, &[1; 4], 4, &mut StdRng::seed_from_u64(1)).size(), [0, 1, 8, 8]);
    }
}
