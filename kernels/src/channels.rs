//! What is done to each output channel's 32-bit sum: bias, requantization, activation. The order
//! of the float operations is that of [`requantize`], and every version keeps to it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::quantization::{Activation, Quantization, Requantization, SpecError, check_length};
use crate::rounding::round_half_even;

/// Entries after the last channel, so that vectors can be read whole.
const SLACK: usize = 64;

/// A layer's channels, ready for the SIMD versions.
pub(crate) struct Channels {
    /// Bias, with what the zero point of the activations adds, modulo 2³².
    pub(crate) bias: Vec<i32>,
    /// `input scale·weight scale / output scale`, computed in f64 and rounded once.
    pub(crate) multiplier: Vec<f32>,
    /// The same for negative sums: times the slope of a leaky ReLU.
    pub(crate) negative_multiplier: Vec<f32>,
    /// What every channel's result meets in the end.
    pub(crate) output: Output,
    /// Whether negative sums are not multiplied by anything else, and every result in steps of the
    /// output fits 32 bits: then the versions need to look at neither before they round.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    pub(crate) plain: bool,
}

impl Channels {
    /// `weight_sums` has for each output channel the sum of the weights and of their magnitudes;
    /// `offset` is what the versions' activations are short of the true ones: their sums are
    /// `Σ w·(x - zero_point + offset)`.
    pub(crate) fn new(
        requantization: &Requantization,
        bias: &[i32],
        weight_sums: &[(i64, i64)],
        offset: i32,
    ) -> Result<Self, SpecError> {
        let Requantization { input, weight_scales, output, activation } = requantization;
        let outputs = weight_sums.len();
        input.check()?;
        let output_range = Output::new(*output, activation)?;
        if !bias.is_empty() {
            check_length("bias", outputs, bias.len())?;
        }
        if weight_scales.len() != 1 {
            check_length("weight scales", outputs, weight_scales.len())?;
        }
        let mut channels = Self {
            bias: Vec::with_capacity(outputs + SLACK),
            multiplier: Vec::with_capacity(outputs + SLACK),
            negative_multiplier: Vec::with_capacity(outputs + SLACK),
            plain: output_range.slope == 1.0,
            output: output_range,
        };
        for (channel, &(sum, _)) in weight_sums.iter().enumerate() {
            let bias = bias.get(channel).copied().unwrap_or(0);
            let (least, most) = range(weight_sums[channel], input.zero_point);
            if most.max(-least) + i64::from(bias).abs() > i64::from(i32::MAX) {
                return Err(SpecError::Overflow(channel));
            }
            channels.bias.push((i64::from(bias) - sum * i64::from(offset)) as i32);
            let weight_scale = weight_scales[if weight_scales.len() == 1 { 0 } else { channel }];
            if !(weight_scale.is_finite() && weight_scale > 0.0) {
                return Err(SpecError::Scale);
            }
            let multiplier = f64::from(input.scale) * f64::from(weight_scale) / f64::from(output.scale);
            let negative = multiplier * f64::from(channels.output.slope);
            if !((multiplier as f32).is_finite() && (negative as f32).is_finite()) {
                return Err(SpecError::Scale);
            }
            let largest = (most.max(-least) + i64::from(bias).abs()) as f64 * multiplier;
            channels.plain &= largest < f64::from(i32::MAX / 2);
            channels.multiplier.push(multiplier as f32);
            channels.negative_multiplier.push(negative as f32);
        }
        channels.bias.resize(outputs + SLACK, 0);
        channels.multiplier.resize(outputs + SLACK, 0.0);
        channels.negative_multiplier.resize(outputs + SLACK, 0.0);
        Ok(channels)
    }
}

/// The smallest and the largest sum that an output channel can have, without its bias, from the sum
/// of its weights and of their magnitudes.
pub(crate) fn range((sum, magnitude): (i64, i64), zero_point: u8) -> (i64, i64) {
    let (positive, negative) = ((magnitude + sum) / 2, (magnitude - sum) / 2);
    let (below, above) = (i64::from(zero_point), 255 - i64::from(zero_point));
    (-(positive * below + negative * above), positive * above + negative * below)
}

/// From real values in steps of the output to bytes.
pub(crate) struct Output {
    /// Of a leaky ReLU; else 1.
    pub(crate) slope: f32,
    /// Bounds of the rounded value before the zero point is added: of u8 and of the activation.
    pub(crate) low: f32,
    /// See `low`.
    pub(crate) high: f32,
    /// Added last.
    pub(crate) zero_point: i32,
    /// Replaces the result.
    pub(crate) table: Option<Box<[u8; 256]>>,
}

impl Output {
    pub(crate) fn new(output: Quantization, activation: &Activation) -> Result<Self, SpecError> {
        output.check()?;
        let zero_point = f32::from(output.zero_point);
        let mut range = Self {
            slope: 1.0,
            low: -zero_point,
            high: 255.0 - zero_point,
            zero_point: i32::from(output.zero_point),
            table: None,
        };
        // Rounding and saturating keep the order of numbers, so the bounds of the activation
        // can be taken after them.
        match activation {
            Activation::None => {}
            Activation::Relu => range.low = 0.0,
            Activation::Relu6 => {
                range.low = 0.0;
                let six = (6.0 / f64::from(output.scale)).min(256.0) as f32;
                range.high = range.high.min(round_half_even(six) as f32);
            }
            Activation::LeakyRelu(slope) if slope.is_finite() && *slope >= 0.0 => range.slope = *slope,
            Activation::LeakyRelu(_) => return Err(SpecError::Slope),
            Activation::Table(table) => range.table = Some(table.clone()),
        }
        Ok(range)
    }

    /// Rounds and saturates one value: the reference of all versions.
    #[inline(always)]
    pub(crate) fn round(&self, steps: f32) -> u8 {
        (round_half_even(steps.max(self.low).min(self.high)) + self.zero_point) as u8
    }

    /// The same, then looks it up.
    #[inline(always)]
    pub(crate) fn quantize(&self, steps: f32) -> u8 {
        let value = self.round(steps);
        self.table.as_ref().map_or(value, |table| table[usize::from(value)])
    }

    /// Puts the table's values in place of the results.
    #[inline(always)]
    pub(crate) fn look_up(&self, results: &mut [u8]) {
        if let Some(table) = &self.table {
            for result in results {
                *result = table[usize::from(*result)];
            }
        }
    }
}

/// One sum's result: the reference of all versions.
#[inline(always)]
pub(crate) fn requantize(sum: i32, channel: usize, channels: &Channels) -> u8 {
    let sum = sum.wrapping_add(channels.bias[channel]);
    let multiplier =
        if sum < 0 { channels.negative_multiplier[channel] } else { channels.multiplier[channel] };
    channels.output.quantize(sum as f32 * multiplier)
}
