//! From recognised layers to a program of kernels, and to what is told of them.

use super::features::Features;
use super::recognise::{Activation, IntegerPart, IntegerTensor, Kind, Layer};
use crate::network::layers::LayerReport;
use crate::network::metadata::InputSpec;
use anchorwatch_kernels::{
    Activation as KernelActivation, ConvolutionSpec, DenseSpec, DescribedStep, Description, Isa, Operation,
    PixelTables, Program, Quantization, Requantization, SpecError, encode_flat,
};

impl IntegerTensor {
    pub(super) fn quantization(&self) -> Quantization {
        let parameters = self.parameters;
        if parameters.signed {
            Quantization::signed(parameters.scale, parameters.zero_point as i8)
        } else {
            Quantization { scale: parameters.scale, zero_point: parameters.zero_point as u8 }
        }
    }

    fn bytes(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Packs the layers. With the program, the layer that each of its steps belongs to.
///
/// # Errors
/// If a layer's numbers are such that it cannot be computed exactly in 32 bits.
pub(super) fn program(
    part: &IntegerPart,
    features: Option<&Features>,
    input: &InputSpec,
    isa: Isa,
) -> Result<(Program, Vec<usize>), SpecError> {
    let Described { steps, layers, lengths, logits } = describe(part, input)?;
    let exits = part.exits.iter().filter_map(|exit| exit.tensor);
    let kept: Vec<usize> = exits.chain(features.map(|features| features.tensor)).collect();
    Ok((Program::pack(&steps, &lengths, &kept, logits, isa)?, layers))
}

/// The same for a microcontroller, as one piece of bytes.
///
/// # Errors
/// As [`program`], and if a layer is too large for one.
pub(super) fn flat(part: &IntegerPart, input: &InputSpec) -> Result<Vec<u8>, SpecError> {
    let Described { steps, lengths, logits, .. } = describe(part, input)?;
    encode_flat(&steps, &lengths, logits, input.bytes())
}

/// The layers in the kernels' terms.
struct Described<'a> {
    steps: Vec<DescribedStep<'a>>,
    /// The layer that each step belongs to.
    layers: Vec<usize>,
    /// Of each tensor, in bytes.
    lengths: Vec<usize>,
    logits: usize,
}

fn describe<'a>(part: &'a IntegerPart, input: &InputSpec) -> Result<Described<'a>, SpecError> {
    let mut lengths: Vec<usize> = part.tensors.iter().map(IntegerTensor::bytes).collect();
    let (mut steps, mut layers) = (Vec::new(), Vec::new());
    let mut logits = 0;
    for (index, layer) in part.layers.iter().enumerate() {
        if layer.output.is_none() {
            logits = layer.shape[2];
        }
        let description = description(part, layer, input)?;
        let mut output = layer.output;
        // Pooling has no activation of its own, and maxima keep their input's quantization.
        let table = after_pooling(part, layer);
        if table.is_some() {
            output = Some(lengths.len());
            lengths.push(layer.shape.iter().product());
        }
        steps.push(DescribedStep { description, inputs: layer.inputs.clone(), output });
        if let (Some(table), Some(between)) = (table, output) {
            steps.push(DescribedStep {
                description: Description::Table(table),
                inputs: vec![between],
                output: layer.output,
            });
        }
        layers.resize(steps.len(), index);
    }
    Ok(Described { steps, layers, lengths, logits })
}

fn description<'a>(
    part: &IntegerPart,
    layer: &'a Layer,
    input: &InputSpec,
) -> Result<Description<'a>, SpecError> {
    let tensor = |number: usize| part.tensors[layer.inputs[number]];
    let output = layer.output.map(|output| part.tensors[output].quantization());
    // Only logits have no quantization, and they have no use for this one.
    let quantized = output.unwrap_or(Quantization { scale: 1.0, zero_point: 0 });
    let activation = match layer.activation {
        Activation::None => KernelActivation::None,
        Activation::Relu => KernelActivation::Relu,
        Activation::Relu6 => KernelActivation::Relu6,
        Activation::LeakyRelu(slope) => KernelActivation::LeakyRelu(slope),
    };
    Ok(match &layer.kind {
        Kind::Pixels => Description::Pixels(PixelTables::normalised(&input.mean, &input.std, quantized)?),
        Kind::Convolution { weights, weight_scales, bias, outputs, kernel, stride, padding, groups } => {
            let [height, width, channels] = tensor(0).shape;
            let spec = ConvolutionSpec {
                height,
                width,
                channels,
                outputs: *outputs,
                kernel: *kernel,
                stride: *stride,
                padding: *padding,
                groups: *groups,
            };
            let input = tensor(0).quantization();
            let requantization = Requantization { input, weight_scales, output: quantized, activation };
            Description::Convolution { spec, weights, bias, requantization }
        }
        Kind::Dense { weights, weight_scales, bias, outputs } => {
            let [height, width, channels] = tensor(0).shape;
            let spec = DenseSpec { height, width, channels, outputs: *outputs };
            let input = tensor(0).quantization();
            if output.is_some() {
                let requantization = Requantization { input, weight_scales, output: quantized, activation };
                Description::Dense { spec, weights, bias, requantization }
            } else {
                Description::Logits { spec, weights, bias, input, weight_scales }
            }
        }
        Kind::Add => {
            let inputs = [tensor(0).quantization(), tensor(1).quantization()];
            Description::Addition { inputs, output: quantized, activation }
        }
        Kind::GlobalAveragePool => {
            let [height, width, channels] = tensor(0).shape;
            let input = tensor(0).quantization();
            Description::GlobalAveragePool { pixels: height * width, channels, input, output: quantized }
        }
        Kind::MaxPool { kernel, stride, padding } => {
            let [height, width, channels] = tensor(0).shape;
            Description::MaxPool(ConvolutionSpec {
                height,
                width,
                channels,
                outputs: channels,
                kernel: *kernel,
                stride: *stride,
                padding: *padding,
                groups: channels,
            })
        }
        Kind::Requantize => Description::Table(table(tensor(0).quantization(), layer.activation, quantized)),
    })
}

/// What remains to be done after a pooling layer, if anything.
fn after_pooling(part: &IntegerPart, layer: &Layer) -> Option<Box<[u8; 256]>> {
    let output = part.tensors[layer.output?].quantization();
    let pooled = match layer.kind {
        Kind::GlobalAveragePool => output,
        Kind::MaxPool { .. } => part.tensors[layer.inputs[0]].quantization(),
        _ => return None,
    };
    (pooled != output || layer.activation != Activation::None)
        .then(|| table(pooled, layer.activation, output))
}

/// Dequantizes each value, applies the activation and quantizes it, all in f32 as ONNX has it.
fn table(input: Quantization, activation: Activation, output: Quantization) -> Box<[u8; 256]> {
    Box::new(std::array::from_fn(|value| {
        let real = (value as f32 - f32::from(input.zero_point)) * input.scale;
        let real = match activation {
            Activation::None => real,
            Activation::Relu => real.max(0.0),
            Activation::Relu6 => real.clamp(0.0, 6.0),
            Activation::LeakyRelu(slope) => {
                if real < 0.0 {
                    real * slope
                } else {
                    real
                }
            }
        };
        // Casting to u8 saturates.
        ((real / output.scale).round_ties_even() + f32::from(output.zero_point)) as u8
    }))
}

/// What is told of the layers.
pub(super) fn reports(part: &IntegerPart, program: &Program) -> Vec<LayerReport> {
    let convolution = |name: &str| {
        let at = part.layers.iter().position(|layer| layer.name == name)?;
        let output = part.layers[at].output;
        program.steps().iter().find(|step| step.output == output).and_then(|step| match &step.operation {
            Operation::Convolution(convolution) => Some(convolution),
            _ => None,
        })
    };
    let report = |layer: &Layer| {
        let [height, width, channels] = layer.shape;
        let (kind, macs, parameters) = match &layer.kind {
            Kind::Pixels => ("quantize pixels".to_string(), 0, 0),
            Kind::Convolution { weights, outputs, kernel, stride, groups, .. } => {
                let depthwise = if groups == outputs && *groups > 1 { "depthwise " } else { "" };
                let step = if *stride == [1, 1] { String::new() } else { format!(" /{}", stride[0]) };
                let method = convolution(&layer.name).map_or(String::new(), |convolution| {
                    format!(" ({:?})", convolution.method()).to_lowercase()
                });
                let kind = format!("{depthwise}convolution {}×{}{step}{method}", kernel[0], kernel[1]);
                (kind, height * width * weights.len(), weights.len() + outputs)
            }
            Kind::Dense { weights, outputs, .. } => {
                ("dense".to_string(), weights.len(), weights.len() + outputs)
            }
            Kind::Add => ("addition".to_string(), 0, 0),
            Kind::GlobalAveragePool => ("global average pool".to_string(), 0, 0),
            Kind::MaxPool { kernel, .. } => (format!("max pool {}×{}", kernel[0], kernel[1]), 0, 0),
            Kind::Requantize => ("requantize".to_string(), 0, 0),
        };
        let activation = match layer.activation {
            Activation::None => "",
            Activation::Relu => " + ReLU",
            Activation::Relu6 => " + ReLU6",
            Activation::LeakyRelu(_) => " + LeakyReLU",
        };
        LayerReport {
            name: layer.name.clone(),
            kind: kind + activation,
            shape: vec![1, height, width, channels],
            macs: macs as u64,
            parameters: parameters as u64,
            precision: "int8".to_string(),
        }
    };
    part.layers.iter().map(report).collect()
}
