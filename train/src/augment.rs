//! Augmentation of a training batch: flips, shifts, crops, turns and colours, on tensors.

use rand::Rng;
use rand::rngs::StdRng;
use tch::{Device, Kind, Tensor};

/// How much training pictures are varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Augment {
    /// Not at all
    None,
    /// Shifts of up to an eighth of the picture, and flips
    Light,
    /// The paper's recipe (random resized crop, flip, rotation), and some brightness and contrast
    Standard,
}

/// Turns B×C×S×S bytes into B×C×size×size floats (0 to 1), each picture varied at random.
///
/// `flip` says whether a picture may be mirrored left to right: right for objects, wrong for digits.
pub fn augment(bytes: &Tensor, size: i64, kind: Augment, flip: bool, random: &mut StdRng) -> Tensor {
    let shape = bytes.size();
    let (batch, channels, source) = (shape[0], shape[1], shape[2]);
    let pictures = bytes.to_kind(Kind::Float) * (1.0 / 255.0);
    if kind == Augment::None && source == size {
        return pictures;
    }
    let mut affine = Vec::with_capacity(batch as usize * 6);
    for _ in 0..batch {
        affine.extend(random_affine(source, kind, flip, random));
    }
    let affine = Tensor::from_slice(&affine).view([batch, 2, 3]);
    let grid = Tensor::affine_grid_generator(&affine, [batch, channels, size, size], false);
    const BILINEAR: i64 = 0;
    const REFLECTED: i64 = 2;
    let pictures = pictures.grid_sampler(&grid, BILINEAR, REFLECTED, false);
    if kind != Augment::Standard {
        return pictures;
    }
    let mut factor = |spread: f32| {
        let values: Vec<f32> = (0..batch).map(|_| 1.0 + random.random_range(-spread..spread)).collect();
        Tensor::from_slice(&values).view([batch, 1, 1, 1]).to_device(Device::Cpu)
    };
    let (brightness, contrast) = (factor(0.2), factor(0.2));
    let mean = pictures.mean_dim([1i64, 2, 3].as_slice(), true, None);
    (((pictures - &mean) * contrast + mean) * brightness).clamp(0.0, 1.0)
}

/// The 2×3 matrix from output to input coordinates (both −1 to 1) of one random variation.
fn random_affine(source: i64, kind: Augment, flip: bool, random: &mut StdRng) -> [f32; 6] {
    let mirror = if flip && kind != Augment::None && random.random_bool(0.5) { -1.0 } else { 1.0 };
    match kind {
        Augment::None => [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        Augment::Light => {
            // Whole pixels: nothing is blurred by resampling.
            let most = source / 8;
            let mut shift = || 2.0 * random.random_range(-most..=most) as f32 / source as f32;
            [mirror, 0.0, shift(), 0.0, 1.0, shift()]
        }
        Augment::Standard => {
            let area: f32 = random.random_range(0.5..1.0);
            let aspect: f32 = random.random_range(-0.2f32..0.2).exp();
            let (width, height) = ((area * aspect).sqrt().min(1.0), (area / aspect).sqrt().min(1.0));
            let angle: f32 = random.random_range(-10.0f32..10.0).to_radians();
            let (sine, cosine) = angle.sin_cos();
            let x = random.random_range(-1.0..1.0) * (1.0 - width);
            let y = random.random_range(-1.0..1.0) * (1.0 - height);
            [mirror * width * cosine, -height * sine, x, mirror * width * sine, height * cosine, y]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn light_augmentation_only_moves_pixels() {
        let bytes = Tensor::arange(256, (Kind::Uint8, Device::Cpu)).view([1, 1, 16, 16]);
        for seed in 0..20 {
            let mut random = StdRng::seed_from_u64(seed);
            let moved = augment(&bytes, 16, Augment::Light, true, &mut random) * 255.0;
            let rounded = moved.round();
            assert!((&moved - &rounded).abs().max().double_value(&[]) < 1e-2);
        }
    }

    #[test]
    fn none_keeps_the_picture_and_seeds_repeat() {
        let _generator = crate::variables::seed_libtorch(1);
        let bytes = Tensor::randint(255, [4, 3, 8, 8], (Kind::Uint8, Device::Cpu));
        let mut random = StdRng::seed_from_u64(1);
        let same = augment(&bytes, 8, Augment::None, true, &mut random) * 255.0;
        assert!((same - bytes.to_kind(Kind::Float)).abs().max().double_value(&[]) < 1e-4);
        let draw = |seed| augment(&bytes, 8, Augment::Standard, true, &mut StdRng::seed_from_u64(seed));
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }
}
