//! For tests only: networks and variables made at random, and what tract makes of a model.

use crate::architecture::{Activation, Architecture, Layer};
use crate::variables::{Variables, seed_libtorch};
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tch::{Kind, Tensor, no_grad};
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::{DatumExt, Framework, InferenceModelExt, IntoRunnable, tvec};

/// Gives batch normalisations and biases values as training leaves them, instead of 0 and 1.
pub fn randomise(variables: &mut Variables, seed: u64) {
    let _generator = seed_libtorch(seed);
    let names: Vec<String> = variables.by_name().keys().cloned().collect();
    for name in names {
        let mut variable = variables.get(&name).shallow_clone();
        no_grad(|| {
            if name.ends_with("running_var") {
                let _ = variable.uniform_(0.3, 3.0);
            } else if name.ends_with("running_mean") || name.ends_with(".bias") {
                let _ = variable.normal_(0.0, 0.3);
            } else if variable.dim() == 1 {
                let _ = variable.uniform_(0.5, 1.5);
            }
        });
    }
}

/// A small network of everything there is: odd and uneven padding, strides, groups, depthwise and
/// pointwise convolutions, with and without bias and batch normalisation, all activations,
/// residual sums, pooled or not at the end.
pub fn random_architecture(seed: u64) -> Architecture {
    let mut random = StdRng::seed_from_u64(seed);
    let input = [random.random_range(1..=4), random.random_range(7..=12), random.random_range(7..=12)];
    let [mut channels, mut height, mut width] = input;
    let mut layers = vec![Layer::Input];
    for number in 0..random.random_range(2..=5) {
        let kernel = [1, 2, 3, 5][random.random_range(0..4)];
        let start = layers.len() - 1;
        let residual = number > 0 && random.random_bool(0.4);
        let depthwise = random.random_bool(0.3);
        let stride = if residual || height.min(width) < 5 { 1 } else { random.random_range(1..=2) };
        let padding = if residual {
            [(kernel - 1) / 2, kernel - 1 - (kernel - 1) / 2]
        } else {
            [random.random_range(0..=kernel / 2), random.random_range(kernel / 2..=kernel)]
        };
        let (outputs, groups) = match (residual, depthwise) {
            (_, true) => (channels, channels),
            (true, false) => (channels, 1),
            (false, false) if channels % 2 == 0 && random.random_bool(0.5) => (6, 2),
            (false, false) => (random.random_range(2..=8), 1),
        };
        let name = format!("conv{number}");
        let bias = random.random_bool(0.5);
        layers.push(Layer::Conv { name, inputs: channels, outputs, kernel, stride, padding, groups, bias });
        if random.random_bool(0.7) {
            let name = format!("bn{number}");
            layers.push(Layer::BatchNorm { name, channels: outputs, eps: 1e-3 });
        }
        if residual && random.random_bool(0.5) {
            layers.push(Layer::Add { with: start });
        }
        if let Some(activation) = [
            None,
            Some(Activation::Relu),
            Some(Activation::Relu6),
            Some(Activation::LeakyRelu(0.2)),
            Some(Activation::LeakyRelu(0.01)),
        ][random.random_range(0..5)]
        {
            layers.push(Layer::Activation(activation));
        }
        let side = |size: i64| (size + padding[0] + padding[1] - kernel) / stride + 1;
        (channels, height, width) = (outputs, side(height), side(width));
    }
    if random.random_bool(0.5) {
        layers.push(Layer::GlobalAveragePool);
        (height, width) = (1, 1);
    }
    layers.push(Layer::Flatten);
    layers.push(Layer::Dropout(0.2));
    let mut inputs = channels * height * width;
    if random.random_bool(0.3) {
        layers.push(Layer::Dense { name: "hidden".to_string(), inputs, outputs: 16, bias: true });
        layers.push(Layer::Activation(Activation::Relu));
        inputs = 16;
    }
    let logits = random.random_range(1..=7);
    layers.push(Layer::Dense { name: "classify".to_string(), inputs, outputs: logits, bias: true });
    Architecture { name: format!("random{seed}"), input, logits, layers }
}

/// Variables for it, with values as training leaves them.
pub fn random_variables(architecture: &Architecture, seed: u64) -> Variables {
    let mut variables = Variables::initialise(architecture, seed);
    randomise(&mut variables, seed);
    variables
}

/// Inputs B×C×H×W as normalised pictures are: neighbouring pixels alike.
pub fn random_pictures(architecture: &Architecture, batch: i64, seed: u64) -> Tensor {
    let _generator = seed_libtorch(seed);
    let [channels, height, width] = architecture.input;
    let float = (Kind::Float, tch::Device::Cpu);
    let coarse = Tensor::randn([batch, channels, 4, 4], float);
    coarse.upsample_bilinear2d([height, width], false, None, None)
        + 0.2 * Tensor::randn([batch, channels, height, width], float)
}

/// The logits that tract computes from the bytes of the model, one picture at a time.
pub fn tract_logits(model: &ModelProto, input: &Tensor) -> Tensor {
    let bytes = model.encode_to_vec();
    let mut shape: Vec<usize> = input.size().iter().map(|&size| size as usize).collect();
    shape[0] = 1;
    let model = tract_onnx::onnx()
        .model_for_read(&mut bytes.as_slice())
        .unwrap()
        .with_input_fact(0, f32::fact(&shape).into())
        .unwrap()
        .into_optimized()
        .unwrap()
        .into_runnable()
        .unwrap();
    let logits: Vec<Tensor> = (0..input.size()[0])
        .map(|index| {
            let picture = Vec::<f32>::try_from(input.narrow(0, index, 1).contiguous().view([-1])).unwrap();
            let picture = tract_onnx::prelude::Tensor::from_shape(&shape, &picture).unwrap();
            let outputs = model.run(tvec!(picture.into())).unwrap();
            let logits: Vec<f32> = outputs[0].to_plain_array_view::<f32>().unwrap().iter().copied().collect();
            tch::Tensor::from_slice(&logits)
        })
        .collect();
    Tensor::stack(&logits, 0)
}
