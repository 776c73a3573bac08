//! The scalar version against the reference, and all others against the scalar one.

use proptest::prelude::*;
use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::quantization::{Activation, Quantization};
use crate::reference;

/// A layer with all its numbers.
#[derive(Clone, Debug)]
struct Case {
    spec: ConvolutionSpec,
    input: Vec<u8>,
    weights: Vec<i8>,
    bias: Vec<i32>,
    scales: Vec<f32>,
    quantizations: [Quantization; 2],
    activation: Activation,
}

impl Case {
    fn requantization(&self) -> Requantization<'_> {
        let [input, output] = self.quantizations;
        Requantization { input, weight_scales: &self.scales, output, activation: self.activation.clone() }
    }

    fn layer(&self, isa: Isa, method: Method) -> Result<Convolution, SpecError> {
        let requantization = self.requantization();
        Convolution::with_method(self.spec, &self.weights, &self.bias, &requantization, isa, method)
    }

    fn run(&self, layer: &Convolution, workers: &Workers) -> Vec<u8> {
        let [height, width] = layer.output_size();
        let mut output = vec![0xA5; height * width * self.spec.outputs];
        // What an earlier layer left there must not matter.
        let mut workspace = Workspace::with_bytes(layer.workspace_bytes(workers.count()));
        let bytes = workspace.bytes();
        workspace.room(bytes).fill(0x7F);
        layer.run(&self.input, &mut output, &mut workspace, workers);
        assert_eq!(workspace.bytes(), bytes, "the workspace has grown");
        output
    }

    /// The scalar version's result, which must be that of the reference.
    fn scalar(&self) -> Vec<u8> {
        let layer = self.layer(Isa::Scalar, Method::Direct).unwrap();
        let output = self.run(&layer, &Workers::one());
        let requantization = self.requantization();
        let zero_point = requantization.input.zero_point;
        let sums = reference::convolve(&self.spec, &self.input, zero_point, &self.weights, &self.bias);
        assert_eq!(sums.len(), output.len());
        for (index, (&sum, &byte)) in sums.iter().zip(&output).enumerate() {
            let steps = reference::steps(sum, index % self.spec.outputs, &requantization);
            assert!(
                reference::is_quantized(byte, steps, requantization.output, &self.activation),
                "at {index}: {byte} for {steps} steps"
            );
        }
        output
    }

    /// Checks all versions and methods that there are here.
    fn check(&self) {
        let expected = self.scalar();
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            for method in Method::ALL {
                let layer = match self.layer(isa, method) {
                    Ok(layer) => layer,
                    Err(SpecError::Method) => continue,
                    Err(error) => panic!("{isa:?} {method:?}: {error}"),
                };
                for workers in [Workers::one(), Workers::new(3)] {
                    assert!(
                        self.run(&layer, &workers) == expected,
                        "{isa:?} {method:?} with {} workers differs from the scalar version",
                        workers.count()
                    );
                }
            }
        }
    }
}

fn activations() -> impl Strategy<Value = Activation> {
    prop_oneof![
        Just(Activation::None),
        Just(Activation::Relu),
        Just(Activation::Relu6),
        (0.0f32..1.5).prop_map(Activation::LeakyRelu),
        any::<u8>().prop_map(|key| {
            Activation::Table(Box::new(core::array::from_fn(|index| (index as u8).wrapping_mul(7) ^ key)))
        }),
    ]
}

/// Mostly any number, sometimes the extremes only: sums are largest there.
fn bytes(length: usize) -> impl Strategy<Value = Vec<u8>> {
    let extremes = prop_oneof![Just(0u8), Just(255), Just(127), Just(128)];
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), length),
        1 => prop::collection::vec(extremes, length),
        1 => prop::sample::select(vec![0u8, 255, 128]).prop_map(move |byte| vec![byte; length]),
    ]
}

fn shapes() -> impl Strategy<Value = ConvolutionSpec> {
    let channels = prop_oneof![
        4 => (1usize..40, 1usize..40).prop_map(|(inputs, outputs)| (1, inputs, outputs)),
        2 => (1usize..9, 1usize..6, 1usize..20).prop_map(|(g, i, o)| (g, g * i, g * o)),
        2 => (2usize..70).prop_map(|channels| (channels, channels, channels)),
        // The widths that fast paths are made for.
        3 => (prop::sample::select(vec![16usize, 32, 48, 64]), prop::sample::select(vec![8usize, 16, 24, 64, 72]))
            .prop_map(|(inputs, outputs)| (1, inputs, outputs)),
    ];
    let kernel = prop_oneof![
        4 => Just([3usize, 3]),
        2 => Just([1, 1]),
        1 => Just([5, 5]),
        1 => [1usize..5, 1usize..5],
    ];
    let stride = prop_oneof![3 => Just([1usize, 1]), 2 => Just([2, 2]), 1 => [1usize..4, 1usize..4]];
    (channels, kernel, stride, [1usize..15, 1usize..15]).prop_flat_map(
        |((groups, channels, outputs), kernel, stride, [height, width])| {
            let padding = [0..kernel[0], 0..kernel[1], 0..kernel[0], 0..kernel[1]];
            padding.prop_map(move |padding| ConvolutionSpec {
                height: height.max(kernel[0].saturating_sub(padding[0] + padding[2])),
                width: width.max(kernel[1].saturating_sub(padding[1] + padding[3])),
                channels,
                outputs,
                kernel,
                stride,
                padding,
                groups,
            })
        },
    )
}

fn cases() -> impl Strategy<Value = Case> {
    shapes().prop_flat_map(|spec| {
        let weights = spec.outputs * (spec.channels / spec.groups) * spec.kernel[0] * spec.kernel[1];
        let numbers = (
            bytes(spec.height * spec.width * spec.channels),
            bytes(weights).prop_map(|bytes| bytes.into_iter().map(|byte| byte as i8).collect::<Vec<i8>>()),
            prop_oneof![
                Just(Vec::new()),
                prop::collection::vec(-60_000i32..60_000, spec.outputs),
                prop::collection::vec(-1_000_000_000i32..1_000_000_000, spec.outputs),
            ],
        );
        let scale = prop_oneof![3 => 0.001f32..0.05, 1 => Just(0.0078125), 1 => 1e-6f32..1e3];
        let scales = prop_oneof![
            prop::collection::vec(0.001f32..0.02, spec.outputs),
            prop::collection::vec(prop_oneof![Just(0.0078125f32), Just(0.00390625)], 1),
        ];
        let zero_point = prop_oneof![any::<u8>(), Just(0), Just(128), Just(255)];
        let quantization =
            (scale, zero_point).prop_map(|(scale, zero_point)| Quantization { scale, zero_point });
        (numbers, scales, [quantization.clone(), quantization], activations()).prop_map(
            move |((input, weights, bias), scales, quantizations, activation)| {
                let mut case = Case { spec, input, weights, bias, scales, quantizations, activation };
                // Else nearly all results would saturate: most are to lie within the output's range.
                let taps = (case.weights.len() / spec.outputs) as f32;
                if case.quantizations[1].scale < 0.05 {
                    case.quantizations[1].scale = case.quantizations[0].scale * case.scales[0] * 40.0 * taps;
                }
                case
            },
        )
    })
}

/// Fewer where every instruction is interpreted.
fn configuration(cases: u32) -> ProptestConfig {
    let cases = if cfg!(miri) { 8 } else { cases };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(configuration(600))]

    #[test]
    fn all_versions_equal_the_reference(case in cases()) {
        case.check();
    }
}

/// A layer with numbers that are spread by multiplication.
fn spread(spec: ConvolutionSpec, weight: impl Fn(usize) -> i8, activation: Activation) -> Case {
    let mix = |index: usize| (index as u32).wrapping_mul(2_654_435_761) >> 13;
    let weights = spec.outputs * (spec.channels / spec.groups) * spec.kernel[0] * spec.kernel[1];
    Case {
        spec,
        input: (0..spec.height * spec.width * spec.channels).map(|index| mix(index) as u8).collect(),
        weights: (0..weights).map(weight).collect(),
        bias: (0..spec.outputs).map(|index| mix(index) as i32 % 3000 - 1500).collect(),
        scales: (0..spec.outputs).map(|index| 0.01 + (index % 7) as f32 * 0.001).collect(),
        quantizations: [
            Quantization { scale: 0.02, zero_point: 114 },
            Quantization { scale: 0.02 * weights as f32 / spec.outputs as f32 * 0.3, zero_point: 100 },
        ],
        activation,
    }
}

fn same(side: usize, channels: usize, outputs: usize, kernel: usize, stride: usize) -> ConvolutionSpec {
    let pad = kernel / 2;
    ConvolutionSpec {
        height: side,
        width: side,
        channels,
        outputs,
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [pad; 4],
        groups: 1,
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes too long")]
fn the_layers_of_real_networks_equal_the_reference() {
    let mix = |index: usize| ((index as u32).wrapping_mul(2_246_822_519) >> 11) as i8;
    let depthwise = |side, channels, kernel, stride| ConvolutionSpec {
        groups: channels,
        ..same(side, channels, channels, kernel, stride)
    };
    for spec in [
        same(32, 3, 64, 3, 1),
        same(32, 64, 64, 3, 1),
        same(32, 64, 128, 3, 2),
        same(16, 128, 128, 3, 1),
        same(8, 128, 128, 3, 1),
        same(8, 128, 128, 3, 2),
        ConvolutionSpec { padding: [0, 0, 1, 1], ..same(33, 3, 32, 3, 2) },
        same(28, 96, 24, 1, 1),
        same(7, 320, 1280, 1, 1),
        depthwise(28, 96, 3, 2),
        depthwise(28, 144, 5, 1),
        ConvolutionSpec { padding: [1, 1, 2, 2], ..depthwise(28, 240, 5, 2) },
        // So many rows that workers share them, and that they are computed in several blocks.
        depthwise(61, 48, 3, 1),
        depthwise(61, 40, 5, 1),
        depthwise(91, 32, 5, 2),
    ] {
        spread(spec, mix, Activation::LeakyRelu(0.2)).check();
    }
}

#[test]
fn depthwise_kernels_of_any_height_are_computed() {
    for height in [14, 15, 16, 17] {
        let spec = ConvolutionSpec { kernel: [height, 2], groups: 24, ..same(19, 24, 24, 3, 1) };
        let case = spread(spec, |index| (index * 37) as i8, Activation::Relu6);
        case.check();
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let requantization = case.requantization();
            let layer = Convolution::new(spec, &case.weights, &case.bias, &requantization, isa).unwrap();
            assert!(case.run(&layer, &Workers::one()) == case.scalar(), "{isa:?} with height {height}");
        }
    }
}

#[test]
fn full_range_weights_and_activations_do_not_saturate() {
    // Every product is the largest there is; vpmaddubsw would saturate at two of them.
    for (weight, byte, zero_point) in
        [(-128, 255, 0), (-128, 0, 255), (127, 255, 0), (127, 0, 255), (-128, 0, 128), (-128, 255, 128)]
    {
        for groups in [1, 32] {
            let mut case =
                spread(ConvolutionSpec { groups, ..same(9, 32, 32, 3, 1) }, |_| weight, Activation::None);
            case.input.fill(byte);
            case.quantizations[0].zero_point = zero_point;
            case.check();
        }
    }
}

#[test]
fn ties_round_to_even() {
    // One weight of 1 and scales that are powers of two: the result is exactly q / 2.
    let spec = ConvolutionSpec { padding: [0; 4], ..same(16, 1, 1, 1, 1) };
    let mut case = spread(spec, |_| 1, Activation::None);
    case.input = (0..=255).collect();
    case.bias = vec![0];
    case.scales = vec![0.5];
    case.quantizations =
        [Quantization { scale: 1.0, zero_point: 128 }, Quantization { scale: 1.0, zero_point: 64 }];
    let output = case.scalar();
    for (q, result) in (0..=255).zip(output) {
        assert_eq!(f64::from(result), ((f64::from(q) - 128.0) / 2.0).round_ties_even() + 64.0);
    }
    case.check();
}

#[test]
fn wrong_descriptions_are_refused() {
    let good = spread(same(8, 4, 6, 3, 1), |_| 1, Activation::None);
    let error = |change: &dyn Fn(&mut Case)| {
        let mut case = good.clone();
        change(&mut case);
        case.layer(Isa::Scalar, Method::Direct).err()
    };
    assert_eq!(error(&|_| {}), None);
    assert_eq!(error(&|case| case.spec.groups = 4), Some(SpecError::Groups));
    assert_eq!(error(&|case| case.spec.stride = [0, 1]), Some(SpecError::Size));
    assert_eq!(error(&|case| case.spec.height = 0), Some(SpecError::Kernel));
    assert_eq!(error(&|case| case.spec.width = usize::MAX), Some(SpecError::Size));
    assert_eq!(error(&|case| case.spec.height = usize::MAX / 64), Some(SpecError::Size));
    assert_eq!(error(&|case| case.spec.padding = [3, 0, 0, 0]), Some(SpecError::Kernel));
    assert_eq!(error(&|case| case.quantizations[0].scale = 0.0), Some(SpecError::Scale));
    assert_eq!(error(&|case| case.scales[2] = f32::NAN), Some(SpecError::Scale));
    assert_eq!(error(&|case| case.activation = Activation::LeakyRelu(-0.1)), Some(SpecError::Slope));
    assert_eq!(error(&|case| case.bias[3] = i32::MAX - 10), Some(SpecError::Overflow(3)));
    let length = |what, expected, actual| Some(SpecError::Length { what, expected, actual });
    assert_eq!(error(&|case| case.weights.truncate(case.weights.len() - 1)), length("weights", 216, 215));
    assert_eq!(error(&|case| case.bias.truncate(case.bias.len() - 1)), length("bias", 6, 5));
    assert_eq!(error(&|case| case.scales.truncate(case.scales.len() - 1)), length("weight scales", 6, 5));
}
