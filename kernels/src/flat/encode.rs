//! From described layers to bytes. This runs where the model is, not on the microcontroller.

use alloc::vec::Vec;

use super::{COLUMNS, HEADER, Kind, LARGEST, MAGIC};
use crate::channels::{Channels, Output};
use crate::convolution::{ConvolutionSpec, weight_sums};
use crate::description::{DescribedStep, Description};
use crate::isa::Isa;
use crate::program::{Use, lay_out};
use crate::quantization::{Activation, Quantization, Requantization, SpecError};

/// A network of described layers as bytes for [`FlatProgram`](crate::FlatProgram). `lengths` are the
/// tensors' bytes by number; the last layer gives `logits` logits. The bytes are a multiple of 4.
///
/// # Errors
///
/// [`SpecError`] says what is wrong with a description.
///
/// # Panics
///
/// As [`Program::new`](crate::Program::new).
pub fn encode_flat(
    steps: &[DescribedStep],
    lengths: &[usize],
    logits: usize,
    picture: usize,
) -> Result<Vec<u8>, SpecError> {
    let uses: Vec<Use> = steps.iter().map(|step| (&step.inputs[..], step.output)).collect();
    let (places, arena) = lay_out(&uses, lengths, &[], 4);
    let mut body = Bytes(Vec::new());
    for step in steps {
        // Whatever is wrong with it is noticed where other processors' layers are made.
        step.description.pack(Isa::Scalar)?;
        let (kind, parameters) = parameters(&step.description)?;
        let place = |tensor: Option<&usize>| tensor.map_or(0..0, |&tensor| places[tensor].clone());
        body.number(kind as usize);
        body.number(6 * 4 + parameters.0.len());
        for place in [place(step.inputs.first()), place(step.inputs.get(1)), place(step.output.as_ref())] {
            body.number(place.start);
            body.number(place.len());
        }
        body.0.extend(parameters.0);
    }
    let mut all = Bytes(Vec::new());
    let total = HEADER * 4 + body.0.len();
    for number in [MAGIC as usize, total, arena, picture, logits, steps.len(), 0] {
        all.number(number);
    }
    all.0.extend(body.0);
    Ok(all.0)
}

/// Bytes being written.
struct Bytes(Vec<u8>);

impl Bytes {
    /// Sizes were checked to be far below 2³².
    fn number(&mut self, number: usize) {
        self.0.extend((number as u32).to_le_bytes());
    }

    fn signed(&mut self, number: i32) {
        self.0.extend(number.to_le_bytes());
    }

    fn float(&mut self, number: f32) {
        self.0.extend(number.to_le_bytes());
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// What is done to results in the end.
    fn output(&mut self, output: &Output) {
        self.float(output.low);
        self.float(output.high);
        self.signed(output.zero_point);
        self.number(usize::from(output.table.is_some()));
        if let Some(table) = &output.table {
            self.0.extend(table.iter());
        }
    }

    /// Bias and multipliers of one output channel; zeros for those that fill a block up.
    fn channel(&mut self, channels: &Channels, channel: Option<usize>) {
        self.signed(channel.map_or(0, |channel| channels.bias[channel]));
        self.float(channel.map_or(0.0, |channel| channels.multiplier[channel]));
        self.float(channel.map_or(0.0, |channel| channels.negative_multiplier[channel]));
    }
}

fn parameters(description: &Description) -> Result<(Kind, Bytes), SpecError> {
    let mut bytes = Bytes(Vec::new());
    let kind = match description {
        Description::Pixels(tables) => {
            bytes.number(tables.colours());
            tables.tables().iter().for_each(|table| bytes.0.extend(table));
            Kind::Pixels
        }
        Description::Convolution { spec, weights, bias, requantization } => {
            convolution(&mut bytes, spec, weights, bias, requantization)?
        }
        Description::Dense { spec, weights, bias, requantization } => {
            convolution(&mut bytes, &ConvolutionSpec::from(*spec), weights, bias, requantization)?
        }
        Description::Logits { spec, weights, bias, input, weight_scales } => {
            let requantization = Requantization {
                input: *input,
                weight_scales,
                output: Quantization { scale: 1.0, zero_point: 0 },
                activation: Activation::None,
            };
            convolution(&mut bytes, &ConvolutionSpec::from(*spec), weights, bias, &requantization)?;
            Kind::Logits
        }
        Description::Addition { inputs, output, activation } => {
            let output_range = Output::new(*output, activation)?;
            for input in inputs {
                bytes.signed(i32::from(input.zero_point));
                bytes.float((f64::from(input.scale) / f64::from(output.scale)) as f32);
            }
            bytes.float(output_range.slope);
            bytes.output(&output_range);
            Kind::Addition
        }
        Description::GlobalAveragePool { pixels, channels, input, output } => {
            bytes.number(*pixels);
            bytes.number(*channels);
            bytes.signed(i32::from(input.zero_point) * *pixels as i32);
            bytes.float((f64::from(input.scale) / (f64::from(output.scale) * *pixels as f64)) as f32);
            bytes.output(&Output::new(*output, &Activation::None)?);
            Kind::GlobalAveragePool
        }
        Description::MaxPool(spec) => {
            window(&mut bytes, spec)?;
            Kind::MaxPool
        }
        Description::Table(table) => {
            bytes.0.extend(table.iter());
            Kind::Table
        }
    };
    bytes.pad();
    Ok((kind, bytes))
}

/// The shape of what moves over a picture.
fn window(bytes: &mut Bytes, spec: &ConvolutionSpec) -> Result<(), SpecError> {
    let [output_height, output_width] = spec.output_size()?;
    let [kernel_height, kernel_width] = spec.kernel;
    let [stride_y, stride_x] = spec.stride;
    let [top, left, ..] = spec.padding;
    let numbers = [
        spec.height,
        spec.width,
        spec.channels,
        output_height,
        output_width,
        kernel_height,
        kernel_width,
        stride_y,
        stride_x,
        top,
        left,
    ];
    if numbers.iter().any(|&number| number > LARGEST) {
        return Err(SpecError::Size);
    }
    numbers.into_iter().for_each(|number| bytes.number(number));
    Ok(())
}

fn convolution(
    bytes: &mut Bytes,
    spec: &ConvolutionSpec,
    weights: &[i8],
    bias: &[i32],
    requantization: &Requantization,
) -> Result<Kind, SpecError> {
    window(bytes, spec)?;
    let inputs = spec.channels / spec.groups;
    let taps = spec.kernel[0] * spec.kernel[1];
    let sums: Vec<_> = weights.chunks_exact(taps * inputs).map(weight_sums).collect();
    // Activations have their zero point subtracted, so nothing is to be made up for.
    let channels = Channels::new(requantization, bias, &sums, 0)?;
    if spec.outputs > LARGEST {
        return Err(SpecError::Size);
    }
    bytes.number(spec.outputs);
    bytes.number(spec.groups);
    bytes.signed(i32::from(requantization.input.zero_point));
    bytes.output(&channels.output);
    let weight =
        |output: usize, input: usize, tap: usize| weights[(output * inputs + input) * taps + tap] as u8;
    if spec.is_depthwise() {
        for channel in 0..spec.channels {
            bytes.channel(&channels, Some(channel));
        }
        for tap in 0..taps {
            for channel in 0..spec.channels {
                bytes.0.push(weight(channel, 0, tap));
            }
        }
        return Ok(Kind::Depthwise);
    }
    // Block by block of output channels: first what is done to the sums, then the weights.
    let outputs = spec.outputs / spec.groups;
    for group in 0..spec.groups {
        for first in (0..outputs).step_by(COLUMNS) {
            let column = |column: usize| {
                let output = first + column;
                (output < outputs).then_some(group * outputs + output)
            };
            for index in 0..COLUMNS {
                bytes.channel(&channels, column(index));
            }
            for tap in 0..taps {
                for input in 0..inputs {
                    for index in 0..COLUMNS {
                        bytes.0.push(column(index).map_or(0, |output| weight(output, input, tap)));
                    }
                }
            }
        }
    }
    Ok(Kind::Convolution)
}
