//! Global average pooling and max pooling.

use crate::aligned::Workspace;
use crate::channels::Output;
use crate::convolution::ConvolutionSpec;
use crate::disjoint::Disjoint;
use crate::isa::Isa;
use crate::kernel::Kernel;
use crate::quantization::{Activation, Quantization, SpecError};
use crate::workers::Workers;

/// The mean over all pixels, channel by channel: the exact sum less the zero points, times
/// `input scale / (output scale·pixels)`, that factor computed in f64 and rounded to f32.
pub struct GlobalAveragePool {
    pixels: usize,
    channels: usize,
    zero_points: i32,
    multiplier: f32,
    output: Output,
    kernel: &'static Kernel,
}

impl GlobalAveragePool {
    /// For tensors of so many pixels (height · width) and channels.
    ///
    /// # Errors
    ///
    /// [`SpecError`] says what is wrong with the description.
    pub fn new(
        pixels: usize,
        channels: usize,
        input: Quantization,
        output: Quantization,
        isa: Isa,
    ) -> Result<Self, SpecError> {
        if !isa.is_available() {
            return Err(SpecError::Instructions(isa));
        }
        // 2²³ pixels are far more than any picture has, and their sum still fits 32 bits.
        if pixels == 0 || pixels > 1 << 23 || channels == 0 {
            return Err(SpecError::Size);
        }
        input.check()?;
        let range = Output::new(output, &Activation::None)?;
        let multiplier = (f64::from(input.scale) / (f64::from(output.scale) * pixels as f64)) as f32;
        if !multiplier.is_finite() {
            return Err(SpecError::Scale);
        }
        let zero_points = pixels as i32 * i32::from(input.zero_point);
        Ok(Self { pixels, channels, zero_points, multiplier, output: range, kernel: isa.kernel() })
    }

    /// What it takes of the [`Workspace`].
    pub fn workspace_bytes(&self) -> usize {
        self.channels * size_of::<i32>()
    }

    /// Computes the layer: pixels × channels become channels.
    ///
    /// # Panics
    ///
    /// If the slices have other lengths.
    pub fn run(&self, input: &[u8], output: &mut [u8], workspace: &mut Workspace) {
        assert_eq!(input.len(), self.pixels * self.channels, "length of the input");
        assert_eq!(output.len(), self.channels, "length of the output");
        let sums = workspace.room_i32(self.channels);
        sums.fill(0);
        // SAFETY: the instructions were available when the layer was made, and the lengths fit.
        unsafe { (self.kernel.sum_pixels)(input, sums) };
        for (result, sum) in output.iter_mut().zip(sums) {
            *result = self.output.quantize((*sum - self.zero_points) as f32 * self.multiplier);
        }
    }
}

/// The largest value in a window; padding does not count. Output and input have the same scale
/// and zero point.
pub struct MaxPool {
    spec: ConvolutionSpec,
    output_size: [usize; 2],
    kernel: &'static Kernel,
}

impl MaxPool {
    /// `spec` is read as for a depthwise convolution; its channels, outputs and groups must agree.
    ///
    /// # Errors
    ///
    /// [`SpecError`] says what is wrong with the description.
    pub fn new(spec: ConvolutionSpec, isa: Isa) -> Result<Self, SpecError> {
        if !isa.is_available() {
            return Err(SpecError::Instructions(isa));
        }
        spec.check()?;
        if spec.groups != spec.channels || spec.outputs != spec.channels {
            return Err(SpecError::Groups);
        }
        Ok(Self { output_size: spec.output_size()?, spec, kernel: isa.kernel() })
    }

    /// Output height and width.
    pub fn output_size(&self) -> [usize; 2] {
        self.output_size
    }

    /// Computes the layer: `input` is height × width × channels, `output` likewise.
    ///
    /// # Panics
    ///
    /// If the slices have other lengths.
    pub fn run(&self, input: &[u8], output: &mut [u8], workers: &Workers) {
        let ConvolutionSpec { height, width, channels, kernel, stride, padding, .. } = self.spec;
        let [output_height, output_width] = self.output_size;
        assert_eq!(input.len(), height * width * channels, "length of the input");
        assert_eq!(output.len(), output_height * output_width * channels, "length of the output");
        let output = Disjoint::new(output);
        let row = output_width * channels;
        // The part of a window that lies in the input.
        let window = |at: usize, axis: usize, size: usize| {
            let begin = at * stride[axis];
            let inside = begin.saturating_sub(padding[axis]);
            inside..(begin + kernel[axis] - padding[axis]).min(size)
        };
        workers.run(output_height, &|y, _| {
            // SAFETY: each job has its own row.
            let results = unsafe { output.part(y * row, row) };
            for (x, results) in results.chunks_exact_mut(channels).enumerate() {
                results.fill(0);
                for source_y in window(y, 0, height) {
                    for source_x in window(x, 1, width) {
                        let pixel = &input[(source_y * width + source_x) * channels..][..channels];
                        // SAFETY: the instructions were available when the layer was made.
                        unsafe { (self.kernel.max)(pixel, results) };
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    fn numbers(length: usize, seed: u32) -> Vec<u8> {
        (0..length).map(|index| ((index as u32 ^ seed).wrapping_mul(2_654_435_761) >> 13) as u8).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: if cfg!(miri) { 8 } else { 200 },
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn the_average_of_all_versions_is_that_of_the_reference(
            (pixels, channels) in (1usize..70, 1usize..90),
            scales in [0.005f32..0.5, 0.005f32..0.5],
            zero_points in any::<[u8; 2]>(),
            seed in any::<u32>(),
        ) {
            let [from, to] = core::array::from_fn(|index| Quantization {
                scale: scales[index],
                zero_point: zero_points[index],
            });
            let input = numbers(pixels * channels, seed);
            for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
                let layer = GlobalAveragePool::new(pixels, channels, from, to, isa).unwrap();
                let mut output = vec![0; channels];
                layer.run(&input, &mut output, &mut Workspace::with_bytes(layer.workspace_bytes()));
                for (channel, &byte) in output.iter().enumerate() {
                    let values = input.iter().skip(channel).step_by(channels);
                    let sum: i64 = values.map(|&x| i64::from(x) - i64::from(from.zero_point)).sum();
                    let mean = sum as f64 * f64::from(from.scale) / pixels as f64;
                    let steps = mean / f64::from(to.scale);
                    prop_assert!(reference::is_quantized(byte, steps, to, &Activation::None));
                }
            }
        }

        #[test]
        fn the_maximum_of_all_versions_is_that_of_a_plain_loop(
            (height, width, channels) in (1usize..10, 1usize..10, 1usize..70),
            (kernel, stride) in ([1usize..4, 1usize..4], [1usize..4, 1usize..4]),
            padding in [0usize..3, 0usize..3, 0usize..3, 0usize..3],
            workers in 1usize..3,
            seed in any::<u32>(),
        ) {
            let spec = ConvolutionSpec {
                height, width, channels, outputs: channels, kernel, stride, padding, groups: channels,
            };
            let input = numbers(height * width * channels, seed);
            for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
                let Ok(layer) = MaxPool::new(spec, isa) else {
                    prop_assert!(spec.output_size().is_err());
                    continue;
                };
                let [output_height, output_width] = layer.output_size();
                let mut output = vec![0; output_height * output_width * channels];
                layer.run(&input, &mut output, &Workers::new(workers));
                for (index, &byte) in output.iter().enumerate() {
                    let (pixel, channel) = (index / channels, index % channels);
                    let (y, x) = (pixel / output_width * stride[0], pixel % output_width * stride[1]);
                    let mut largest = 0;
                    for ky in y..y + kernel[0] {
                        for kx in x..x + kernel[1] {
                            let inside = (padding[0]..padding[0] + height).contains(&ky)
                                && (padding[1]..padding[1] + width).contains(&kx);
                            if inside {
                                let pixel = (ky - padding[0]) * width + kx - padding[1];
                                largest = largest.max(input[pixel * channels + channel]);
                            }
                        }
                    }
                    prop_assert_eq!(byte, largest);
                }
            }
        }
    }
}
