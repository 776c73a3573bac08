//! Fully connected layer: a convolution whose kernel is the whole input.

use crate::aligned::Workspace;
use crate::channels::Channels;
use crate::convolution::{ConvolutionSpec, Direct, Target, weight_sums};
use crate::disjoint::Disjoint;
use crate::isa::Isa;
use crate::kernel::Kernel;
use crate::quantization::{Activation, Quantization, Requantization, SpecError, check_length};
use crate::workers::Workers;

/// The shape of a dense layer. Its input is height × width × channels, channels last; a plain
/// vector is 1 × 1 × its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DenseSpec {
    /// Input height in pixels.
    pub height: usize,
    /// Input width in pixels.
    pub width: usize,
    /// Input channels.
    pub channels: usize,
    /// Number of outputs.
    pub outputs: usize,
}

/// The convolution that it is: its kernel is the whole input.
impl From<DenseSpec> for ConvolutionSpec {
    fn from(spec: DenseSpec) -> Self {
        Self {
            height: spec.height,
            width: spec.width,
            channels: spec.channels,
            outputs: spec.outputs,
            kernel: [spec.height, spec.width],
            stride: [1, 1],
            padding: [0; 4],
            groups: 1,
        }
    }
}

/// A dense layer, ready to run. Its results are bytes, or, for the last layer of a network, real.
pub struct Dense {
    inputs: usize,
    outputs: usize,
    kernel: &'static Kernel,
    channels: Channels,
    real: bool,
    direct: Direct,
}

impl Dense {
    /// A layer with a quantized result.
    ///
    /// `weights` are outputs × channels × height × width, as after ONNX's Flatten of channels
    /// first; `bias` is as for a [`Convolution`](crate::Convolution::new).
    ///
    /// # Errors
    ///
    /// [`SpecError`] says what is wrong with the description.
    pub fn new(
        spec: DenseSpec,
        weights: &[i8],
        bias: &[i32],
        requantization: &Requantization,
        isa: Isa,
    ) -> Result<Self, SpecError> {
        let spec = ConvolutionSpec::from(spec);
        spec.check()?;
        let inputs = spec.height * spec.width * spec.channels;
        check_length("weights", inputs * spec.outputs, weights.len())?;
        if !isa.is_available() {
            return Err(SpecError::Instructions(isa));
        }
        let kernel = isa.kernel();
        let zero_point = requantization.input.zero_point;
        let sums: alloc::vec::Vec<_> = weights.chunks_exact(inputs).map(weight_sums).collect();
        let offset = kernel.layout.form.offset(zero_point);
        Ok(Self {
            inputs,
            outputs: spec.outputs,
            channels: Channels::new(requantization, bias, &sums, offset)?,
            direct: Direct::new(&spec, weights, zero_point, kernel),
            real: false,
            kernel,
        })
    }

    /// A last layer: its results are the real numbers `sum·(input scale·weight scale)`, that
    /// factor computed in f64 and rounded to f32, with one f32 multiplication after the exact sum.
    ///
    /// # Errors
    ///
    /// As for [`Self::new`].
    pub fn with_logits(
        spec: DenseSpec,
        weights: &[i8],
        bias: &[i32],
        input: Quantization,
        weight_scales: &[f32],
        isa: Isa,
    ) -> Result<Self, SpecError> {
        let output = Quantization { scale: 1.0, zero_point: 0 };
        let requantization = Requantization { input, weight_scales, output, activation: Activation::None };
        Ok(Self { real: true, ..Self::new(spec, weights, bias, &requantization, isa)? })
    }

    /// Whether the results are real: then [`Self::run_logits`] is the one to call.
    pub fn has_logits(&self) -> bool {
        self.real
    }

    /// What it takes of the [`Workspace`] with so many workers.
    pub fn workspace_bytes(&self, workers: usize) -> usize {
        self.direct.workspace_bytes(workers)
    }

    /// Computes the layer.
    ///
    /// # Panics
    ///
    /// If the slices have other lengths than the spec says, or the layer gives logits.
    pub fn run(&self, input: &[u8], output: &mut [u8], workspace: &mut Workspace, workers: &Workers) {
        assert!(!self.real, "this layer gives logits");
        assert_eq!(output.len(), self.outputs, "length of the output");
        self.compute(input, &Target::Bytes(&Disjoint::new(output), &self.channels), workspace, workers);
    }

    /// Computes the layer.
    ///
    /// # Panics
    ///
    /// If the slices have other lengths than the spec says, or the layer gives bytes.
    pub fn run_logits(&self, input: &[u8], logits: &mut [f32], workspace: &mut Workspace, workers: &Workers) {
        assert!(self.real, "this layer gives bytes");
        assert_eq!(logits.len(), self.outputs, "length of the logits");
        self.compute(input, &Target::Logits(&Disjoint::new(logits), &self.channels), workspace, workers);
    }

    fn compute(&self, input: &[u8], target: &Target, workspace: &mut Workspace, workers: &Workers) {
        assert_eq!(input.len(), self.inputs, "length of the input");
        let room = workspace.room(self.direct.workspace_bytes(workers.count()));
        self.direct.run(self.kernel, input, target, &Disjoint::new(room), workers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;
    use proptest::prelude::*;
    use std::vec;

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: if cfg!(miri) { 8 } else { 200 },
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn all_versions_equal_the_reference(
            (height, width, channels, outputs) in (1usize..5, 1usize..5, 1usize..70, 1usize..70),
            zero_points in any::<[u8; 2]>(),
            output_scale in 0.05f32..2.0,
            activation in prop::sample::select(vec![
                Activation::None, Activation::Relu, Activation::Relu6, Activation::LeakyRelu(0.1),
                Activation::Table(std::boxed::Box::new(core::array::from_fn(|index| 255 - index as u8))),
            ]),
            extreme in any::<bool>(),
            seed in any::<u32>(),
        ) {
            let [zero_point, output_zero_point] = zero_points;
            let spec = DenseSpec { height, width, channels, outputs };
            let inputs = height * width * channels;
            let mix = |index: usize| {
                let number = (index as u32 ^ seed).wrapping_mul(2_654_435_761) >> 13;
                // The numbers of which sums are largest, or any.
                if extreme { number & 0x80 } else { number }
            };
            let input: std::vec::Vec<u8> = (0..inputs).map(|index| mix(index) as u8).collect();
            let weights: std::vec::Vec<i8> = (0..inputs * outputs).map(|index| mix(!index) as i8).collect();
            let bias: std::vec::Vec<i32> = (0..outputs).map(|index| mix(index + 9) as i32).collect();
            let scales: std::vec::Vec<f32> = (0..outputs).map(|index| 0.01 + index as f32 * 0.001).collect();
            let quantization = Quantization { scale: 0.25, zero_point };
            let requantization = Requantization {
                input: quantization,
                weight_scales: &scales,
                output: Quantization {
                    scale: output_scale * inputs as f32,
                    zero_point: output_zero_point,
                },
                activation: activation.clone(),
            };
            let convolution = ConvolutionSpec {
                height, width, channels, outputs,
                kernel: [height, width], stride: [1, 1], padding: [0; 4], groups: 1,
            };
            let sums = reference::convolve(&convolution, &input, zero_point, &weights, &bias);
            for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
                let mut workspace = Workspace::default();
                for workers in [Workers::one(), Workers::new(2)] {
                    let layer = Dense::new(spec, &weights, &bias, &requantization, isa).unwrap();
                    let mut output = vec![0; outputs];
                    layer.run(&input, &mut output, &mut workspace, &workers);
                    for (index, (&byte, &sum)) in output.iter().zip(&sums).enumerate() {
                        let steps = reference::steps(sum, index, &requantization);
                        prop_assert!(reference::is_quantized(
                            byte, steps, requantization.output, &requantization.activation));
                    }

                    let layer = Dense::with_logits(spec, &weights, &bias, quantization, &scales, isa).unwrap();
                    let mut logits = vec![0.0; outputs];
                    layer.run_logits(&input, &mut logits, &mut workspace, &workers);
                    for ((&logit, &sum), &scale) in logits.iter().zip(&sums).zip(&scales) {
                        // The sums are exact in f32 and 0.25 is a power of two: one rounding.
                        prop_assert_eq!(logit, sum as f32 * (scale * 0.25));
                    }
                }
            }
        }
    }
}
