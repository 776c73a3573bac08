//! The way into a network: the pixels of a picture become the first layer's input, with the
//! normalisation folded into a table for each colour.

use alloc::vec::Vec;

use crate::disjoint::Disjoint;
use crate::quantization::{Quantization, SpecError};
use crate::workers::Workers;

/// Fewer bytes than that are not worth another worker.
const BYTES_A_WORKER: usize = 8 * 1024;

/// Tables from pixel values to quantized values, one for each colour.
#[derive(Clone, Debug)]
pub struct PixelTables {
    tables: Vec<[u8; 256]>,
}

impl PixelTables {
    /// For pixels that are normalised as `(p / 255 - mean) / deviation` (all in f32, in this
    /// order, as the trainer and torchvision do) and then quantized.
    ///
    /// # Errors
    ///
    /// [`SpecError::Length`] if there are no colours or not as many means as deviations, and
    /// [`SpecError::Scale`] if one of them, or the scale, makes no sense.
    pub fn normalised(mean: &[f32], deviation: &[f32], output: Quantization) -> Result<Self, SpecError> {
        output.check()?;
        if mean.is_empty() || mean.len() != deviation.len() {
            return Err(SpecError::Length {
                what: "deviations",
                expected: mean.len().max(1),
                actual: deviation.len(),
            });
        }
        let sound =
            |mean: &f32, deviation: &f32| mean.is_finite() && deviation.is_finite() && *deviation > 0.0;
        if !mean.iter().zip(deviation).all(|(mean, deviation)| sound(mean, deviation)) {
            return Err(SpecError::Scale);
        }
        let zero_point = f32::from(output.zero_point);
        let tables = mean.iter().zip(deviation).map(|(mean, deviation)| {
            core::array::from_fn(|pixel| {
                let real = (pixel as f32 / 255.0 - mean) / deviation;
                let steps = (real / output.scale).max(-zero_point).min(255.0 - zero_point);
                (crate::rounding::round_half_even(steps) + i32::from(output.zero_point)) as u8
            })
        });
        Ok(Self { tables: tables.collect() })
    }

    /// For any other way from pixels to values.
    ///
    /// # Errors
    ///
    /// [`SpecError::Length`] if there is none.
    pub fn new(tables: Vec<[u8; 256]>) -> Result<Self, SpecError> {
        if tables.is_empty() {
            return Err(SpecError::Length { what: "tables", expected: 1, actual: 0 });
        }
        Ok(Self { tables })
    }

    /// The tables, one for each colour.
    pub(crate) fn tables(&self) -> &[[u8; 256]] {
        &self.tables
    }

    /// How many colours a pixel has.
    pub fn colours(&self) -> usize {
        self.tables.len()
    }

    /// Turns pixels (height × width × colours) into the first layer's input.
    ///
    /// # Panics
    ///
    /// If the slices differ in length, or are not whole pixels.
    pub fn run(&self, pixels: &[u8], output: &mut [u8], workers: &Workers) {
        let colours = self.colours();
        assert!(pixels.len() == output.len() && pixels.len().is_multiple_of(colours), "whole pixels");
        let jobs = (pixels.len() / BYTES_A_WORKER).clamp(1, workers.count());
        let size = (pixels.len() / colours).div_ceil(jobs) * colours;
        let output = Disjoint::new(output);
        workers.run(jobs, &|job, _| {
            let start = (job * size).min(pixels.len());
            let end = (start + size).min(pixels.len());
            // SAFETY: the jobs' parts do not overlap.
            self.run_part(&pixels[start..end], unsafe { output.part(start, end - start) });
        });
    }

    fn run_part(&self, pixels: &[u8], output: &mut [u8]) {
        if let [red, green, blue] = self.tables.as_slice() {
            for (to, from) in output.chunks_exact_mut(3).zip(pixels.chunks_exact(3)) {
                to[0] = red[usize::from(from[0])];
                to[1] = green[usize::from(from[1])];
                to[2] = blue[usize::from(from[2])];
            }
            return;
        }
        let colours = self.colours();
        for (to, from) in output.chunks_exact_mut(colours).zip(pixels.chunks_exact(colours)) {
            for ((to, from), table) in to.iter_mut().zip(from).zip(&self.tables) {
                *to = table[usize::from(*from)];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_value_becomes_its_normalised_and_quantized_one() {
        let (mean, deviation) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
        let quantization = Quantization { scale: 0.0186, zero_point: 114 };
        let tables = PixelTables::normalised(&mean, &deviation, quantization).unwrap();
        for pixel in 0..=255u8 {
            let mut output = [0; 3];
            tables.run(&[pixel, 255 - pixel, pixel], &mut output, &Workers::one());
            for (colour, &byte) in output.iter().enumerate() {
                let pixel = if colour == 1 { 255 - pixel } else { pixel };
                let real =
                    (f64::from(pixel) / 255.0 - f64::from(mean[colour])) / f64::from(deviation[colour]);
                let steps = real / f64::from(quantization.scale);
                let value = (steps + 114.0).clamp(0.0, 255.0);
                assert!((f64::from(byte) - value).abs() <= 0.5 + 1e-4, "{pixel} of colour {colour}");
            }
        }
    }

    #[test]
    fn any_number_of_colours_has_its_own_tables() {
        let tables = [1u8, 2].map(|key| core::array::from_fn(|index| index as u8 ^ key));
        let tables = PixelTables::new(tables.to_vec()).unwrap();
        let mut output = [0; 4];
        tables.run(&[10, 10, 20, 20], &mut output, &Workers::one());
        assert_eq!(output, [11, 8, 21, 22]);
        assert!(PixelTables::new(Vec::new()).is_err());
    }

    #[cfg(feature = "std")]
    #[test]
    fn workers_share_the_pixels_of_large_pictures() {
        for colours in [1u8, 3] {
            let all: Vec<_> =
                (1..=colours).map(|key| core::array::from_fn(|index| index as u8 ^ key)).collect();
            let tables = PixelTables::new(all).unwrap();
            // Not a multiple of the number of workers.
            let pixels: Vec<u8> = (0..5 * 3 * 7001).map(|index| (index * 7 % 251) as u8).collect();
            let [mut alone, mut shared] = [std::vec![0; pixels.len()], std::vec![0; pixels.len()]];
            tables.run(&pixels, &mut alone, &Workers::one());
            tables.run(&pixels, &mut shared, &Workers::new(4));
            assert!(alone == shared && alone != pixels);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let quantization = Quantization { scale: 0.1, zero_point: 0 };
        assert!(PixelTables::normalised(&[], &[], quantization).is_err());
        assert!(PixelTables::normalised(&[0.5], &[0.5, 0.5], quantization).is_err());
        assert!(PixelTables::normalised(&[0.5], &[0.0], quantization).is_err());
        assert!(PixelTables::normalised(&[f32::NAN], &[1.0], quantization).is_err());
    }
}
