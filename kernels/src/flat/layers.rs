//! The layers, as `encode` has written them. The arithmetic is that of `scalar`, `addition` and
//! `pooling`: the same whole numbers, and the same f32 operations in the same order. Each gives `None`
//! when its bytes make no sense, and is right otherwise.

use super::cursor::Cursor;
use super::{COLUMNS, LARGEST};
use crate::rounding::round_half_even;
use core::ops::Range;

/// A layer's inputs and output. A layer without one has an empty one.
pub(super) struct Tensors<'a> {
    pub(super) first: &'a [u8],
    pub(super) second: &'a [u8],
    pub(super) output: &'a mut [u8],
}

/// What is done to results in the end: see `channels`.
#[derive(Clone, Copy)]
struct Output<'a> {
    low: f32,
    high: f32,
    zero_point: i32,
    table: Option<&'a [u8; 256]>,
}

impl<'a> Output<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Option<Self> {
        let (low, high, zero_point) = (cursor.float()?, cursor.float()?, cursor.signed()?);
        let table = if cursor.number()? == 0 { None } else { Some(cursor.bytes(256)?.first_chunk()?) };
        Some(Self { low, high, zero_point, table })
    }

    fn quantize(&self, steps: f32) -> u8 {
        // Compared by hand: `f32::max` and `min`, which care for NaN, are slow calls on processors that
        // have no instruction for them, and nothing here is NaN.
        let steps = if steps > self.low { steps } else { self.low };
        let steps = if steps < self.high { steps } else { self.high };
        let value = round_half_even(steps).wrapping_add(self.zero_point) as u8;
        match self.table {
            Some(table) => table[usize::from(value)],
            None => value,
        }
    }
}

/// What is done to one channel's sum: bias, multiplier, multiplier of negative sums.
type Channel = [u8; 12];

fn channel_numbers(channel: &Channel) -> (i32, f32, f32) {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *channel;
    (i32::from_le_bytes([a, b, c, d]), f32::from_le_bytes([e, f, g, h]), f32::from_le_bytes([i, j, k, l]))
}

fn requantize(sum: i32, channel: &Channel, output: &Output) -> u8 {
    let (bias, multiplier, negative) = channel_numbers(channel);
    let sum = sum.wrapping_add(bias);
    output.quantize(sum as f32 * if sum < 0 { negative } else { multiplier })
}

/// The shape of what moves over a picture.
struct Window {
    height: usize,
    width: usize,
    channels: usize,
    output_height: usize,
    output_width: usize,
    kernel_height: usize,
    kernel_width: usize,
    stride_y: usize,
    stride_x: usize,
    top: usize,
    left: usize,
}

impl Window {
    fn read(cursor: &mut Cursor) -> Option<Self> {
        let mut side = || cursor.size().filter(|&size| size <= LARGEST);
        Some(Self {
            height: side()?,
            width: side()?,
            channels: side()?,
            output_height: side()?,
            output_width: side()?,
            kernel_height: side()?,
            kernel_width: side()?,
            stride_y: side()?,
            stride_x: side()?,
            top: side()?,
            left: side()?,
        })
    }

    /// The rows of the kernel that lie in the picture, for an output row; and the picture's row that
    /// the first of them is.
    fn rows(&self, y: usize) -> Option<(Range<usize>, usize)> {
        inside(y.checked_mul(self.stride_y)?, self.top, self.kernel_height, self.height)
    }

    /// The same for columns.
    fn columns(&self, x: usize) -> Option<(Range<usize>, usize)> {
        inside(x.checked_mul(self.stride_x)?, self.left, self.kernel_width, self.width)
    }
}

/// The part of a kernel that lies in the picture, and where it begins there.
fn inside(begin: usize, padding: usize, kernel: usize, size: usize) -> Option<(Range<usize>, usize)> {
    let first = padding.saturating_sub(begin);
    let end = size.checked_add(padding)?.saturating_sub(begin).min(kernel);
    Some((first..end, begin.checked_add(first)?.checked_sub(padding)?))
}

/// Part of a slice: `length` from `start` on.
fn part(bytes: &[u8], start: usize, length: usize) -> Option<&[u8]> {
    bytes.get(start..)?.get(..length)
}

pub(super) fn pixels(mut own: Cursor, picture: &[u8], output: &mut [u8]) -> Option<()> {
    let colours = own.size()?;
    let tables = own.0.as_chunks::<256>().0.get(..colours).filter(|tables| !tables.is_empty())?;
    let mut table = tables.iter().cycle();
    for (to, from) in output.iter_mut().zip(picture) {
        *to = table.next()?[usize::from(*from)];
    }
    (output.len() == picture.len()).then_some(())
}

/// A convolution's shape, and what its blocks have in common.
struct Convolution<'a> {
    window: Window,
    outputs: usize,
    groups: usize,
    zero_point: i32,
    output: Output<'a>,
}

impl<'a> Convolution<'a> {
    fn read(own: &mut Cursor<'a>) -> Option<Self> {
        Some(Self {
            window: Window::read(own)?,
            outputs: own.size().filter(|&outputs| outputs <= LARGEST)?,
            groups: own.size().filter(|&groups| groups <= LARGEST)?,
            zero_point: own.signed()?,
            output: Output::read(own)?,
        })
    }
}

/// A block of output channels: what is done to their sums, and their weights.
fn block<'a>(own: &mut Cursor<'a>, weights: usize) -> Option<(&'a [Channel; COLUMNS], &'a [[u8; COLUMNS]])> {
    let channels = own.bytes(size_of::<Channel>() * COLUMNS)?.as_chunks().0.first_chunk()?;
    Some((channels, own.bytes(weights.checked_mul(COLUMNS)?)?.as_chunks().0))
}

/// Adds a run of activations times their weights to the sums of a block.
#[inline(never)] // it needs all registers of a small processor
fn multiply(sums: &mut [i32; COLUMNS], run: &[u8], weights: &[[u8; COLUMNS]], zero_point: i32) {
    for (&x, weights) in run.iter().zip(weights) {
        let x = i32::from(x).wrapping_sub(zero_point);
        for (sum, &weight) in sums.iter_mut().zip(weights) {
            *sum = sum.wrapping_add(x.wrapping_mul(i32::from(weight as i8)));
        }
    }
}

/// The same for neighbouring channels that have their own weights: some taps, each so far from the one
/// before.
#[inline(never)] // as above
fn multiply_each(
    sums: &mut [i32; COLUMNS],
    xs: &[u8],
    weights: &[u8],
    taps: usize,
    step: usize,
    zero_point: i32,
) {
    let step = step.max(1);
    for (xs, weights) in xs.chunks(step).zip(weights.chunks(step)).take(taps) {
        let multiply = |(sum, (&x, &weight)): (&mut i32, (&u8, &u8))| {
            let x = i32::from(x).wrapping_sub(zero_point);
            *sum = sum.wrapping_add(x.wrapping_mul(i32::from(weight as i8)));
        };
        match (xs.first_chunk::<COLUMNS>(), weights.first_chunk::<COLUMNS>()) {
            // The sums of channels that are not there are left alone by the caller.
            (Some(xs), Some(weights)) => sums.iter_mut().zip(xs.iter().zip(weights)).for_each(multiply),
            _ => sums.iter_mut().zip(xs.iter().zip(weights)).for_each(multiply),
        }
    }
}

pub(super) fn convolution(mut own: Cursor, input: &[u8], output: &mut [u8]) -> Option<()> {
    let layer = Convolution::read(&mut own)?;
    let Window { width, channels, kernel_height, kernel_width, output_height, output_width, .. } =
        layer.window;
    let inputs = channels.checked_div(layer.groups)?;
    let outputs = layer.outputs.checked_div(layer.groups)?;
    let weights = kernel_height.checked_mul(kernel_width)?.checked_mul(inputs)?;
    for group in 0..layer.groups {
        for first in (0..outputs).step_by(COLUMNS) {
            let (channel, weights) = block(&mut own, weights)?;
            let channel = channel.get(..COLUMNS.min(outputs - first))?;
            let at = group.checked_mul(outputs)?.checked_add(first)?;
            // Each pixel's part of the output.
            let mut places = output.get_mut(at..)?.chunks_mut(layer.outputs.max(1));
            for y in 0..output_height {
                let (rows, source_y) = layer.window.rows(y)?;
                for x in 0..output_width {
                    let (columns, source_x) = layer.window.columns(x)?;
                    let mut sums = [0; COLUMNS];
                    for (row, y) in rows.clone().zip(source_y..) {
                        let source = (y * width + source_x).checked_mul(channels)?;
                        let tap = row * kernel_width + columns.start;
                        if layer.groups == 1 {
                            // All taps of a row are one run.
                            let run = part(input, source, columns.len().checked_mul(inputs)?)?;
                            multiply(&mut sums, run, weights.get(tap * inputs..)?, layer.zero_point);
                            continue;
                        }
                        for column in 0..columns.len() {
                            let run = part(input, source + column * channels + group * inputs, inputs)?;
                            let weights = weights.get((tap + column) * inputs..)?;
                            multiply(&mut sums, run, weights, layer.zero_point);
                        }
                    }
                    for ((to, &sum), channel) in places.next()?.iter_mut().zip(&sums).zip(channel) {
                        *to = requantize(sum, channel, &layer.output);
                    }
                }
            }
        }
    }
    Some(())
}

pub(super) fn depthwise(mut own: Cursor, input: &[u8], output: &mut [u8]) -> Option<()> {
    let layer = Convolution::read(&mut own)?;
    let Window { width, channels, kernel_height, kernel_width, output_height, output_width, .. } =
        layer.window;
    let channel = own.bytes(channels.checked_mul(size_of::<Channel>())?)?.as_chunks::<12>().0;
    let taps = kernel_height.checked_mul(kernel_width)?;
    let weights = own.bytes(taps.checked_mul(channels)?)?;
    let mut places = output.chunks_exact_mut(channels.max(1));
    for y in 0..output_height {
        let (rows, source_y) = layer.window.rows(y)?;
        for x in 0..output_width {
            let (columns, source_x) = layer.window.columns(x)?;
            let place = places.next()?;
            // A few channels at a time, so that their sums stay in registers.
            for (block, (to, channel)) in place.chunks_mut(COLUMNS).zip(channel.chunks(COLUMNS)).enumerate() {
                let first = block * COLUMNS;
                let mut sums = [0i32; COLUMNS];
                for (row, y) in rows.clone().zip(source_y..) {
                    let source = (y * width + source_x).checked_mul(channels)? + first;
                    let tap = (row * kernel_width + columns.start) * channels + first;
                    let (xs, weights) = (input.get(source..)?, weights.get(tap..)?);
                    multiply_each(&mut sums, xs, weights, columns.len(), channels, layer.zero_point);
                }
                for ((to, &sum), channel) in to.iter_mut().zip(&sums).zip(channel) {
                    *to = requantize(sum, channel, &layer.output);
                }
            }
        }
    }
    Some(())
}

/// A convolution whose kernel is the whole input, and whose results are real.
pub(super) fn logits(mut own: Cursor, input: &[u8], logits: &mut [f32]) -> Option<()> {
    let layer = Convolution::read(&mut own)?;
    (layer.outputs == logits.len()).then_some(())?;
    for logits in logits.chunks_mut(COLUMNS) {
        let (channel, weights) = block(&mut own, input.len())?;
        let mut sums = [0; COLUMNS];
        multiply(&mut sums, input, weights, layer.zero_point);
        for ((logit, sum), channel) in logits.iter_mut().zip(sums).zip(channel) {
            let (bias, multiplier, _) = channel_numbers(channel);
            *logit = sum.wrapping_add(bias) as f32 * multiplier;
        }
    }
    Some(())
}

pub(super) fn addition(mut own: Cursor, first: &[u8], second: &[u8], output: &mut [u8]) -> Option<()> {
    let (first_zero, first_multiplier) = (own.signed()?, own.float()?);
    let (second_zero, second_multiplier) = (own.signed()?, own.float()?);
    let slope = own.float()?;
    let range = Output::read(&mut own)?;
    for ((to, &a), &b) in output.iter_mut().zip(first).zip(second) {
        let a = i32::from(a).wrapping_sub(first_zero) as f32 * first_multiplier;
        let b = i32::from(b).wrapping_sub(second_zero) as f32 * second_multiplier;
        let steps = a + b;
        *to = range.quantize(if steps < 0.0 { steps * slope } else { steps });
    }
    (output.len() == first.len() && output.len() == second.len()).then_some(())
}

pub(super) fn global_average_pool(mut own: Cursor, input: &[u8], output: &mut [u8]) -> Option<()> {
    let (pixels, channels) = (own.size()?, own.size()?);
    let (zero_points, multiplier) = (own.signed()?, own.float()?);
    let range = Output::read(&mut own)?;
    (output.len() == channels && pixels.checked_mul(channels)? == input.len()).then_some(())?;
    for (channel, to) in output.iter_mut().enumerate() {
        let values = input.get(channel..)?.iter().step_by(channels.max(1));
        let sum = values.fold(0i32, |sum, &x| sum.wrapping_add(i32::from(x)));
        *to = range.quantize(sum.wrapping_sub(zero_points) as f32 * multiplier);
    }
    Some(())
}

pub(super) fn max_pool(mut own: Cursor, input: &[u8], output: &mut [u8]) -> Option<()> {
    let window = Window::read(&mut own)?;
    let Window { width, channels, output_height, output_width, .. } = window;
    let mut places = output.chunks_exact_mut(channels.max(1));
    for y in 0..output_height {
        let (rows, source_y) = window.rows(y)?;
        for x in 0..output_width {
            let (columns, source_x) = window.columns(x)?;
            let place = places.next()?;
            place.fill(0);
            for (_, y) in rows.clone().zip(source_y..) {
                let source = (y * width + source_x).checked_mul(channels)?;
                let run = part(input, source, columns.len().checked_mul(channels)?)?;
                for pixel in run.chunks_exact(channels.max(1)) {
                    for (to, &from) in place.iter_mut().zip(pixel) {
                        *to = from.max(*to);
                    }
                }
            }
        }
    }
    Some(())
}

pub(super) fn table(own: Cursor, input: &[u8], output: &mut [u8]) -> Option<()> {
    let table: &[u8; 256] = own.0.first_chunk()?;
    for (to, from) in output.iter_mut().zip(input) {
        *to = table[usize::from(*from)];
    }
    (output.len() == input.len()).then_some(())
}
