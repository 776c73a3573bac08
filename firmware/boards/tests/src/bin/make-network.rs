//! Writes a network of the shape of the trainer's `tiny` (see `train/src/backbones.rs`) with random
//! weights, for a microcontroller, and pictures with the logits that the runtime's kernels give them:
//! what `anchorwatch firmware --vectors` writes of a real model.
//!
//!     make-network DIR

use anchorwatch_kernels::{
    Activation, ConvolutionSpec, DenseSpec, DescribedStep, Description, Isa, PixelTables, Program,
    Quantization, Requantization, Workers, encode_flat,
};
use std::error::Error;
use std::path::Path;

const SIDE: usize = 32;
const LOGITS: usize = 10;
const PICTURES: u32 = 100;

/// Marsaglia's generator: the same numbers each time.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 >> 8
    }
}

struct Layer {
    spec: ConvolutionSpec,
    weights: Vec<i8>,
    bias: Vec<i32>,
    scales: Vec<f32>,
    input: Quantization,
    output: Quantization,
}

fn layer(random: &mut Random, spec: ConvolutionSpec, input: Quantization) -> Result<Layer, Box<dyn Error>> {
    let taps = spec.kernel[0] * spec.kernel[1] * spec.channels / spec.groups;
    let weights = (0..taps * spec.outputs).map(|_| random.next() as i8).collect();
    let bias = (0..spec.outputs).map(|_| random.next() as i32 % 20_000 - 5000).collect();
    let scales = (0..spec.outputs).map(|_| 0.001 + (random.next() % 1000) as f32 * 1e-6).collect();
    // So that the results fill their range: the weights' deviation is 74, and 1.5e-3 their scale.
    let deviation = (taps as f32).sqrt() * 74.0 * 1.5e-3 * 60.0 * input.scale;
    Ok(Layer {
        spec,
        weights,
        bias,
        scales,
        input,
        output: Quantization { scale: deviation / 60.0, zero_point: 0 },
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("make-network DIR")?;
    let folder = Path::new(&folder);
    let mut random = Random(2_463_534_242);

    let pixels = Quantization { scale: 0.0186, zero_point: 114 };
    let tables = PixelTables::normalised(&[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225], pixels)?;
    let mut shapes = vec![(16, 3, 1, false)]; // outputs, kernel, stride, depthwise
    for (inputs, outputs, stride) in
        [(16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 128, 1)]
    {
        shapes.push((inputs, 3, stride, true));
        shapes.push((outputs, 1, 1, false));
    }
    let (mut height, mut width, mut channels, mut input) = (SIDE, SIDE, 3, pixels);
    let mut layers = Vec::new();
    let mut lengths = vec![SIDE * SIDE * 3];
    for (outputs, kernel, stride, depthwise) in shapes {
        let spec = ConvolutionSpec {
            height,
            width,
            channels,
            outputs,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [kernel / 2; 4],
            groups: if depthwise { channels } else { 1 },
        };
        let layer = layer(&mut random, spec, input)?;
        [height, width] = spec.output_size()?;
        (channels, input) = (outputs, layer.output);
        lengths.push(height * width * channels);
        layers.push(layer);
    }

    let mut steps =
        vec![DescribedStep { description: Description::Pixels(tables), inputs: vec![], output: Some(0) }];
    for (index, layer) in layers.iter().enumerate() {
        let requantization = Requantization {
            input: layer.input,
            weight_scales: &layer.scales,
            output: layer.output,
            activation: Activation::Relu,
        };
        let Layer { spec, weights, bias, .. } = layer;
        let description = Description::Convolution { spec: *spec, weights, bias, requantization };
        steps.push(DescribedStep { description, inputs: vec![index], output: Some(index + 1) });
    }
    let last = layers.len();
    let pooled = Quantization { scale: input.scale / 2.0, zero_point: 0 };
    let pool = Description::GlobalAveragePool { pixels: height * width, channels, input, output: pooled };
    steps.push(DescribedStep { description: pool, inputs: vec![last], output: Some(last + 1) });
    lengths.push(channels);
    let dense = layer(
        &mut random,
        ConvolutionSpec::from(DenseSpec { height: 1, width: 1, channels, outputs: LOGITS }),
        pooled,
    )?;
    let description = Description::Logits {
        spec: DenseSpec { height: 1, width: 1, channels, outputs: LOGITS },
        weights: &dense.weights,
        bias: &dense.bias,
        input: pooled,
        weight_scales: &dense.scales,
    };
    steps.push(DescribedStep { description, inputs: vec![last + 1], output: None });

    std::fs::write(folder.join("network.bin"), encode_flat(&steps, &lengths, LOGITS, lengths[0])?)?;
    let program = Program::pack(&steps, &lengths, &[], LOGITS, Isa::detect())?;
    let mut memory = program.memory(1);
    let mut vectors = Vec::new();
    for number in [PICTURES, lengths[0] as u32, LOGITS as u32] {
        vectors.extend(number.to_le_bytes());
    }
    for _ in 0..PICTURES {
        let picture: Vec<u8> = (0..lengths[0]).map(|_| random.next() as u8).collect();
        program.run(&picture, &mut memory, &Workers::one());
        vectors.extend(&picture);
        vectors.extend(memory.logits().iter().flat_map(|logit| logit.to_le_bytes()));
    }
    std::fs::write(folder.join("vectors.bin"), vectors)?;
    Ok(())
}
