//! Plain Rust: what all other versions must equal, and what runs where there are none.

use crate::addition::{Terms, add};
use crate::aligned::AlignedBytes;
use crate::channels::{Channels, requantize};
use crate::disjoint::Disjoint;
use crate::kernel::{Block, DepthwiseKernel, Form, Kernel, Layout, Place, Taps, TapsKernel};

pub(crate) static KERNEL: Kernel = Kernel {
    layout: Layout { form: Form::U8, columns: 8, vector: 4, depth: 1 },
    convert: Form::U8.converter(),
    multiply,
    convolve,
    depthwise: DepthwiseKernel::Taps(TapsKernel {
        form: Form::U8,
        convert: Form::U8.converter(),
        pack: pack_depthwise,
        run: depthwise,
    }),
    winograd: None,
    add: add_tensors,
    sum_pixels,
    max,
};

/// See [`Kernel::multiply`].
fn multiply(block: &Block, sums: &mut [i32]) {
    for (&pixel, sums) in block.pixels.iter().zip(sums.chunks_exact_mut(block.columns)) {
        sums.fill(0);
        let mut weights = block.weights.chunks_exact(block.columns);
        for &run in block.runs {
            for (&x, weights) in block.activations[pixel + run..][..block.run].iter().zip(&mut weights) {
                for (sum, &weight) in sums.iter_mut().zip(weights) {
                    *sum = sum.wrapping_add(i32::from(x) * i32::from(weight as i8));
                }
            }
        }
    }
}

/// See [`Kernel::convolve`].
///
/// # Safety
///
/// No one else uses the bytes of these pixels and channels.
unsafe fn convolve(block: &Block, place: &Place, channels: &Channels, output: &Disjoint<u8>) {
    let mut sums = [0; KERNEL.layout.columns];
    for (index, pixel) in block.pixels.chunks(1).enumerate() {
        multiply(&Block { pixels: pixel, ..*block }, &mut sums);
        // SAFETY: the caller promises that these bytes are his alone.
        let results = unsafe { output.part(place.start + index * place.step, place.columns) };
        for ((result, &sum), channel) in results.iter_mut().zip(&sums).zip(place.channel..) {
            *result = requantize(sum, channel, channels);
        }
    }
}

/// Taps × channels.
pub(crate) fn pack_depthwise(weights: &[i8], taps: usize) -> AlignedBytes {
    let channels = weights.len() / taps;
    let mut packed = AlignedBytes::zeroed(weights.len());
    for (channel, weights) in weights.chunks_exact(taps).enumerate() {
        for (tap, &weight) in weights.iter().enumerate() {
            packed.bytes_mut()[tap * channels + channel] = weight as u8;
        }
    }
    packed
}

/// See [`TapsKernel::run`].
///
/// # Safety
///
/// No one else uses the bytes of these pixels.
unsafe fn depthwise(task: &Taps, channels: &Channels, output: &Disjoint<u8>) {
    for pixel in 0..task.pixels {
        let begin = task.first + pixel * task.step;
        // SAFETY: the caller promises that these bytes are his alone.
        let results = unsafe { output.part(task.start + pixel * task.channels, task.channels) };
        for (channel, result) in results.iter_mut().enumerate() {
            let weights = task.weights[channel..].iter().step_by(task.channels);
            let sum = task.taps.iter().zip(weights).fold(0i32, |sum, (tap, &weight)| {
                let x = i32::from(task.activations[begin + tap + channel]);
                sum.wrapping_add(x * i32::from(weight as i8))
            });
            *result = requantize(sum, channel, channels);
        }
    }
}

/// See [`Kernel::add`].
#[inline(always)] // into versions that are compiled for better instructions
pub(crate) fn add_tensors(a: &[u8], b: &[u8], results: &mut [u8], terms: &Terms) {
    for ((result, &a), &b) in results.iter_mut().zip(a).zip(b) {
        *result = add(a, b, terms);
    }
}

/// See [`Kernel::sum_pixels`].
#[inline(always)] // as above
pub(crate) fn sum_pixels(input: &[u8], sums: &mut [i32]) {
    for pixel in input.chunks_exact(sums.len()) {
        for (sum, &x) in sums.iter_mut().zip(pixel) {
            *sum += i32::from(x);
        }
    }
}

/// See [`Kernel::max`].
#[inline(always)] // as above
pub(crate) fn max(pixel: &[u8], results: &mut [u8]) {
    for (result, &x) in results.iter_mut().zip(pixel) {
        *result = x.max(*result);
    }
}
