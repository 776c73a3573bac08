//! What a layer's numbers stand for: scale and zero point of tensors, activation, and the ways in
//! which a layer's description can be wrong.

use alloc::boxed::Box;
use core::fmt;

/// How the u8 values of a tensor stand for real numbers: `real = (q - zero_point)·scale`.
///
/// Signed tensors are those of [`Quantization::signed`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantization {
    /// Real difference between neighbouring values; positive and finite.
    pub scale: f32,
    /// The value that stands for 0.
    pub zero_point: u8,
}

impl Quantization {
    /// An i8 tensor, held as u8 with every value raised by 128 (the sign bit flipped), which stands
    /// for the very same numbers: see [`flip_sign`] for values that come from or go outside.
    pub fn signed(scale: f32, zero_point: i8) -> Self {
        Self { scale, zero_point: zero_point as u8 ^ 0x80 }
    }

    pub(crate) fn check(self) -> Result<(), SpecError> {
        if self.scale.is_finite() && self.scale > 0.0 { Ok(()) } else { Err(SpecError::Scale) }
    }
}

/// Turns the bytes of i8 values into the u8 values that stand for the same (see
/// [`Quantization::signed`]), and back.
pub fn flip_sign(bytes: &mut [u8]) {
    for byte in bytes {
        *byte ^= 0x80;
    }
}

/// What is done to a layer's real result before it is quantized.
#[derive(Clone, Debug, PartialEq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x` where positive, else `slope·x`; the slope is finite and not negative.
    LeakyRelu(f32),
    /// For any other function: the result is quantized with the output's scale and zero point,
    /// and the table says which value takes the place of which.
    Table(Box<[u8; 256]>),
}

/// From a layer's exact integer result to its output.
#[derive(Clone, Debug)]
pub struct Requantization<'a> {
    /// The input tensor's.
    pub input: Quantization,
    /// The weights' scales: one for all, or one for each output channel.
    pub weight_scales: &'a [f32],
    /// The output tensor's.
    pub output: Quantization,
    /// Applied in between.
    pub activation: Activation,
}

/// Why a layer cannot be made. What was described can still be computed in float elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpecError {
    /// A size is zero, or so large that the tensors' lengths overflow.
    Size,
    /// The kernel does not fit into the padded input, or the padding is not smaller than it.
    Kernel,
    /// The groups do not divide the channels of input and output.
    Groups,
    /// So many of these are needed, and so many were given.
    Length {
        /// `weights`, `bias`, `weight scales` or `tables`.
        what: &'static str,
        /// How many the layer needs.
        expected: usize,
        /// How many there were.
        actual: usize,
    },
    /// A scale is not positive and finite, or their quotient is too large for an f32.
    Scale,
    /// The slope of the leaky ReLU is negative or not finite.
    Slope,
    /// The exact result of this output channel can exceed 32 bits.
    Overflow(usize),
    /// This processor does not have these instructions.
    Instructions(crate::Isa),
    /// The layer cannot be computed with the method that was asked for.
    Method,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size => f.write_str("a size of the layer is zero or too large"),
            Self::Kernel => f.write_str("the kernel does not fit the padded input"),
            Self::Groups => f.write_str("the groups do not divide the channels"),
            Self::Length { what, expected, actual } => {
                write!(f, "the layer needs {expected} {what}, not {actual}")
            }
            Self::Scale => f.write_str("a scale is not positive and finite, or far too large"),
            Self::Slope => f.write_str("the slope of the leaky ReLU is negative or not finite"),
            Self::Overflow(channel) => write!(f, "output channel {channel} can exceed 32 bits"),
            Self::Instructions(isa) => write!(f, "this processor lacks the {} instructions", isa.name()),
            Self::Method => f.write_str("the layer cannot be computed with the method asked for"),
        }
    }
}

impl core::error::Error for SpecError {}

/// Checks a number of elements.
pub(crate) fn check_length(what: &'static str, expected: usize, actual: usize) -> Result<(), SpecError> {
    if expected == actual { Ok(()) } else { Err(SpecError::Length { what, expected, actual }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_tensor_stands_for_the_same_numbers() {
        let signed = Quantization::signed(0.5, -3);
        for q in i8::MIN..=i8::MAX {
            let mut byte = [q as u8];
            flip_sign(&mut byte);
            let real = (i32::from(byte[0]) - i32::from(signed.zero_point)) as f32 * signed.scale;
            assert_eq!(real, (i32::from(q) + 3) as f32 * 0.5);
        }
    }
}
