//! Flat programs against packed ones: the same bytes in, the same bits out.

use super::*;
use crate::{
    Activation, ConvolutionSpec, DenseSpec, DescribedStep, Description, Isa, PixelTables, Program,
    Quantization, Requantization, Workers,
};
use proptest::collection::vec as vector;
use proptest::prelude::*;
use std::boxed::Box;
use std::vec;
use std::vec::Vec;

/// Random numbers that depend on nothing but the seed.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0 >> 8
    }

    fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit
    }

    fn scale(&mut self) -> f32 {
        0.01 + self.below(1000) as f32 * 1e-4
    }

    fn quantization(&mut self) -> Quantization {
        Quantization { scale: self.scale(), zero_point: self.next() as u8 }
    }

    fn activation(&mut self) -> Activation {
        match self.below(5) {
            0 => Activation::None,
            1 => Activation::Relu,
            2 => Activation::Relu6,
            3 => Activation::LeakyRelu(0.2),
            _ => Activation::Table(Box::new(core::array::from_fn(|_| self.next() as u8))),
        }
    }
}

/// A layer with weights of its own.
#[derive(Clone)]
enum Layer {
    Convolution(ConvolutionSpec),
    Dense(DenseSpec),
    Logits(DenseSpec),
    Other(Description<'static>),
}

struct Owned {
    layer: Layer,
    weights: Vec<i8>,
    bias: Vec<i32>,
    scales: Vec<f32>,
    input: Quantization,
    output: Quantization,
    activation: Activation,
    inputs: Vec<usize>,
    makes: Option<usize>,
}

impl Owned {
    fn description(&self) -> Description<'_> {
        let Self { weights, bias, scales, input, output, activation, .. } = self;
        let requantization = Requantization {
            input: *input,
            weight_scales: scales,
            output: *output,
            activation: activation.clone(),
        };
        match &self.layer {
            Layer::Convolution(spec) => {
                Description::Convolution { spec: *spec, weights, bias, requantization }
            }
            Layer::Dense(spec) => Description::Dense { spec: *spec, weights, bias, requantization },
            Layer::Logits(spec) => {
                Description::Logits { spec: *spec, weights, bias, input: *input, weight_scales: scales }
            }
            Layer::Other(description) => description.clone(),
        }
    }
}

/// A network being made, its newest tensor last.
struct Network {
    random: Random,
    layers: Vec<Owned>,
    shapes: Vec<[usize; 3]>,
    quantizations: Vec<Quantization>,
    logits: usize,
}

impl Network {
    fn new(shape: [usize; 3], seed: u32) -> Self {
        let mut random = Random(seed);
        let tables = (0..shape[2]).map(|_| core::array::from_fn(|_| random.next() as u8)).collect();
        let pixels = Description::Pixels(PixelTables::new(tables).unwrap());
        let quantization = random.quantization();
        let mut network = Self { random, layers: vec![], shapes: vec![], quantizations: vec![], logits: 0 };
        network.other(pixels, vec![], shape, quantization);
        network
    }

    fn shape(&self) -> [usize; 3] {
        self.shapes[self.shapes.len() - 1]
    }

    fn last(&self) -> usize {
        self.shapes.len() - 1
    }

    fn other(&mut self, what: Description<'static>, inputs: Vec<usize>, shape: [usize; 3], to: Quantization) {
        self.layers.push(Owned {
            layer: Layer::Other(what),
            weights: vec![],
            bias: vec![],
            scales: vec![],
            input: to,
            output: to,
            activation: Activation::None,
            inputs,
            makes: Some(self.shapes.len()),
        });
        self.shapes.push(shape);
        self.quantizations.push(to);
    }

    fn weighted(&mut self, layer: Layer, taps: usize, shape: Option<[usize; 3]>, outputs: usize) {
        let random = &mut self.random;
        let weights = (0..taps * outputs).map(|_| random.next() as i8).collect();
        let bias = (0..outputs).map(|_| (random.next() as i32 >> 8) - (1 << 15)).collect();
        let scales =
            (0..if random.below(2) == 0 { 1 } else { outputs }).map(|_| random.scale() * 0.1).collect();
        let to = Quantization { scale: 0.05 * (taps as f32).sqrt(), zero_point: random.next() as u8 };
        let activation = random.activation();
        let input = self.quantizations[self.last()];
        self.layers.push(Owned {
            layer,
            weights,
            bias,
            scales,
            input,
            output: to,
            activation,
            inputs: vec![self.last()],
            makes: shape.map(|_| self.shapes.len()),
        });
        if let Some(shape) = shape {
            self.shapes.push(shape);
            self.quantizations.push(to);
        }
    }

    fn convolution(
        &mut self,
        outputs: usize,
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 4],
        groups: usize,
    ) {
        let [height, width, channels] = self.shape();
        let spec = ConvolutionSpec { height, width, channels, outputs, kernel, stride, padding, groups };
        let Ok([output_height, output_width]) = spec.output_size() else { return };
        let taps = kernel[0] * kernel[1] * (channels / groups);
        self.weighted(Layer::Convolution(spec), taps, Some([output_height, output_width, outputs]), outputs);
    }

    fn dense(&mut self, outputs: usize, real: bool) {
        let [height, width, channels] = self.shape();
        let spec = DenseSpec { height, width, channels, outputs };
        let taps = height * width * channels;
        if real {
            self.logits = outputs;
            self.weighted(Layer::Logits(spec), taps, None, outputs);
        } else {
            self.weighted(Layer::Dense(spec), taps, Some([1, 1, outputs]), outputs);
        }
    }

    /// A layer of some kind.
    fn grow(&mut self) {
        let [height, width, channels] = self.shape();
        let last = self.last();
        let kernel = [1 + self.random.below(3), 1 + self.random.below(3)];
        let stride = [1 + self.random.below(2), 1 + self.random.below(2)];
        let padding = core::array::from_fn(|side| self.random.below(kernel[side % 2]));
        match self.random.below(8) {
            0 => self.convolution(1 + self.random.0 as usize % 20, kernel, stride, padding, 1),
            1 => self.convolution(channels, kernel, stride, padding, channels),
            2 => {
                let groups = (1..=channels).rev().find(|groups| channels % groups == 0 && *groups < channels);
                let groups = groups.unwrap_or(1);
                let outputs = groups * (1 + self.random.below(6));
                self.convolution(outputs, kernel, stride, padding, groups);
            }
            3 => self.convolution(1 + self.random.0 as usize % 40, [1, 1], [1, 1], [0; 4], 1),
            4 => {
                let like = (0..=last)
                    .rev()
                    .skip(self.random.below(2))
                    .find(|&other| self.shapes[other] == self.shape());
                let other = like.unwrap_or(last);
                let inputs = [self.quantizations[last], self.quantizations[other]];
                let output = self.random.quantization();
                let sum = Description::Addition { inputs, output, activation: self.random.activation() };
                self.other(sum, vec![last, other], [height, width, channels], output);
            }
            5 => {
                let spec = ConvolutionSpec {
                    height,
                    width,
                    channels,
                    outputs: channels,
                    kernel,
                    stride,
                    padding,
                    groups: channels,
                };
                if let Ok([output_height, output_width]) = spec.output_size() {
                    let like = self.quantizations[last];
                    self.other(
                        Description::MaxPool(spec),
                        vec![last],
                        [output_height, output_width, channels],
                        like,
                    );
                }
            }
            6 => {
                let table = Box::new(core::array::from_fn(|_| self.random.next() as u8));
                let to = self.random.quantization();
                self.other(Description::Table(table), vec![last], [height, width, channels], to);
            }
            _ => {
                let (input, output) = (self.quantizations[last], self.random.quantization());
                let pool = Description::GlobalAveragePool { pixels: height * width, channels, input, output };
                self.other(pool, vec![last], [1, 1, channels], output);
            }
        }
    }

    fn steps(&self) -> Vec<DescribedStep<'_>> {
        let steps = self.layers.iter().map(|layer| DescribedStep {
            description: layer.description(),
            inputs: layer.inputs.clone(),
            output: layer.makes,
        });
        steps.collect()
    }

    fn lengths(&self) -> Vec<usize> {
        self.shapes.iter().map(|shape| shape.iter().product()).collect()
    }

    fn encode(&self) -> Vec<u8> {
        encode_flat(&self.steps(), &self.lengths(), self.logits, self.lengths()[0]).unwrap()
    }

    /// The logits of both, as bits.
    fn assert_agrees(&self, picture: &[u8]) {
        let program = Program::pack(&self.steps(), &self.lengths(), &[], self.logits, Isa::detect()).unwrap();
        let mut memory = program.memory(1);
        program.run(picture, &mut memory, &Workers::one());
        let bytes = self.encode();
        let flat = FlatProgram::new(&bytes).unwrap();
        let (arena, picture_bytes, logits) = (flat.arena_bytes(), flat.picture_bytes(), flat.logits());
        assert_eq!(FlatProgram::sizes_of(&bytes), FlatSizes { arena, picture: picture_bytes, logits });
        // Whatever was in the arena.
        let mut arena = vec![0xA5; flat.arena_bytes()];
        let mut logits = vec![f32::NAN; flat.logits()];
        flat.run(picture, &mut arena, &mut logits).unwrap();
        let bits = |logits: &[f32]| logits.iter().map(|logit| logit.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&logits), bits(memory.logits()));
    }
}

fn random_network(shape: [usize; 3], layers: usize, logits: usize, seed: u32) -> Network {
    let mut network = Network::new(shape, seed);
    (0..layers).for_each(|_| network.grow());
    if seed.is_multiple_of(3) {
        network.dense(1 + seed as usize % 9, false);
    }
    network.dense(logits, true);
    network
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_network_gives_the_same_logits(
        shape in [1usize..12, 1usize..12, 1usize..5], layers in 0usize..8, logits in 1usize..12, seed in any::<u32>(),
    ) {
        let network = random_network(shape, layers, logits, seed);
        let mut random = Random(!seed);
        let picture: Vec<u8> = (0..network.lengths()[0]).map(|_| random.next() as u8).collect();
        network.assert_agrees(&picture);
    }

    #[test]
    fn damaged_bytes_are_an_error_or_another_network_and_never_a_panic(
        seed in any::<u32>(), damage in vector((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in any::<prop::sample::Index>(),
    ) {
        let network = random_network([6, 5, 3], 4, 5, seed);
        let mut bytes = network.encode();
        let picture = vec![7; network.lengths()[0]];
        for (at, value) in damage {
            // Mostly the numbers of the first layers.
            let at = at.index(bytes.len().min(400));
            bytes[at] = value;
            if let Ok(flat) = FlatProgram::new(&bytes)
                && flat.arena_bytes() < 1 << 20
                && flat.logits() < 100
            {
                let mut arena = vec![0; flat.arena_bytes()];
                let _ = flat.run(&picture, &mut arena, &mut vec![0.0; flat.logits()]);
            }
        }
        let bytes = network.encode();
        prop_assert!(FlatProgram::new(&bytes[..cut.index(bytes.len())]).is_err());
    }
}

#[test]
fn the_tiny_network_fits_a_microcontroller() {
    let mut network = Network::new([32, 32, 3], 1);
    network.convolution(16, [3, 3], [1, 1], [1; 4], 1);
    for (inputs, outputs, stride) in
        [(16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 128, 1)]
    {
        network.convolution(inputs, [3, 3], [stride; 2], [1; 4], inputs);
        network.convolution(outputs, [1, 1], [1, 1], [0; 4], 1);
    }
    let input = network.quantizations[network.last()];
    let output = network.random.quantization();
    let pool = Description::GlobalAveragePool { pixels: 16, channels: 128, input, output };
    network.other(pool, vec![network.last()], [1, 1, 128], output);
    network.dense(10, true);
    let picture: Vec<u8> = (0..3072).map(|_| network.random.next() as u8).collect();
    network.assert_agrees(&picture);
    let bytes = network.encode();
    assert!(bytes.len() <= 80 * 1024, "{}", bytes.len());
    let sizes = FlatProgram::sizes_of(&bytes);
    assert!(sizes.arena <= 24 * 1024, "{sizes:?}");
}

#[test]
fn wrong_lengths_are_said() {
    let network = random_network([4, 4, 3], 0, 2, 9);
    let bytes = network.encode();
    let flat = FlatProgram::new(&bytes).unwrap();
    let (mut arena, picture) = (vec![0; flat.arena_bytes()], [0; 48]);
    let needed = flat.arena_bytes();
    assert_eq!(flat.run(&picture, &mut arena[1..], &mut [0.0; 2]), Err(FlatError::Arena { needed }));
    assert_eq!(flat.run(&picture[1..], &mut arena, &mut [0.0; 2]), Err(FlatError::Picture { needed: 48 }));
    assert_eq!(flat.run(&picture, &mut arena, &mut [0.0; 3]), Err(FlatError::Logits { needed: 2 }));
    assert_eq!(FlatProgram::new(b"AWN\x02").unwrap_err(), FlatError::NoNetwork);
    assert_eq!(FlatProgram::sizes_of(b"AWN\x02").arena, 0);
}
