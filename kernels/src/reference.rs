//! The layers as ONNX defines them on dequantized tensors, in i64 and f64 and as plainly as
//! possible: what the tests hold the scalar version against. Nothing of the crate's arithmetic
//! is used here.

use std::vec::Vec;

use crate::{Activation, ConvolutionSpec, Quantization, Requantization};

/// The exact sums of a convolution: output height × output width × outputs.
pub(crate) fn convolve(
    spec: &ConvolutionSpec,
    input: &[u8],
    zero_point: u8,
    weights: &[i8],
    bias: &[i32],
) -> Vec<i64> {
    let ConvolutionSpec { height, width, channels, outputs, kernel, stride, padding, groups } = *spec;
    let inputs = channels / groups;
    let mut sums = Vec::new();
    let mut y = -(padding[0] as i64);
    while y + kernel[0] as i64 <= (height + padding[2]) as i64 {
        let mut x = -(padding[1] as i64);
        while x + kernel[1] as i64 <= (width + padding[3]) as i64 {
            for output in 0..outputs {
                let group = output / (outputs / groups);
                let mut sum = bias.get(output).map_or(0, |&bias| i64::from(bias));
                for channel in 0..inputs {
                    for ky in 0..kernel[0] {
                        for kx in 0..kernel[1] {
                            let (y, x) = (y + ky as i64, x + kx as i64);
                            if y < 0 || x < 0 || y >= height as i64 || x >= width as i64 {
                                continue;
                            }
                            let pixel = y as usize * width + x as usize;
                            let value = input[pixel * channels + group * inputs + channel];
                            let weight =
                                weights[((output * inputs + channel) * kernel[0] + ky) * kernel[1] + kx];
                            sum += (i64::from(value) - i64::from(zero_point)) * i64::from(weight);
                        }
                    }
                }
                sums.push(sum);
            }
            x += stride[1] as i64;
        }
        y += stride[0] as i64;
    }
    sums
}

/// The real result of a sum, activation included (but for a table), in steps of the output above
/// its zero point, before it is rounded and saturated.
pub(crate) fn steps(sum: i64, output_channel: usize, requantization: &Requantization) -> f64 {
    let scales = requantization.weight_scales;
    let weight_scale = scales[if scales.len() == 1 { 0 } else { output_channel }];
    let real = sum as f64 * f64::from(requantization.input.scale) * f64::from(weight_scale);
    activate(real, &requantization.activation) / f64::from(requantization.output.scale)
}

pub(crate) fn activate(real: f64, activation: &Activation) -> f64 {
    match activation {
        Activation::None | Activation::Table(_) => real,
        Activation::Relu => real.max(0.0),
        Activation::Relu6 => real.clamp(0.0, 6.0),
        Activation::LeakyRelu(slope) => {
            if real < 0.0 {
                real * f64::from(*slope)
            } else {
                real
            }
        }
    }
}

/// Whether the byte is the quantized value of so many steps. Only where these are so near to the
/// middle between two values that f32 cannot tell, the byte may be either.
pub(crate) fn is_quantized(byte: u8, steps: f64, output: Quantization, activation: &Activation) -> bool {
    let tolerance = steps.abs() * 2f64.powi(-21);
    let accepted = |steps: f64| {
        let value = (steps.round_ties_even() + f64::from(output.zero_point)).clamp(0.0, 255.0) as u8;
        if let Activation::Table(table) = activation { table[usize::from(value)] } else { value }
    };
    byte == accepted(steps) || byte == accepted(steps - tolerance) || byte == accepted(steps + tolerance)
}
