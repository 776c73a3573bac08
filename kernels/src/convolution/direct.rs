//! Convolution as a product of matrices, without ever copying a pixel's neighbourhood together:
//! bands of input rows are padded and brought into the form that the instructions want, and the
//! tiles read runs of them (see [`crate::kernel`]).

use alloc::vec::Vec;

use super::ConvolutionSpec;
use super::band::Bands;
use crate::aligned::AlignedBytes;
use crate::channels::Channels;
use crate::disjoint::Disjoint;
use crate::kernel::{Block, Form, Kernel, Layout, MAX_COLUMNS, Place};
use crate::workers::Workers;

/// Fewer pixels than that a worker are divided by output channels instead of rows.
const PIXELS_A_WORKER: usize = 48;

/// Where the sums go.
pub(crate) enum Target<'a> {
    /// Requantized, to a tensor of bytes.
    Bytes(&'a Disjoint<'a, u8>, &'a Channels),
    /// As real numbers: with the bias, times the channel's multiplier.
    Logits(&'a Disjoint<'a, f32>, &'a Channels),
}

/// A plan for [`super::Method::Direct`].
pub(crate) struct Direct {
    bands: Bands,
    output_width: usize,
    outputs: usize,
    groups: usize,
    /// Input numbers from one group to the next.
    group_step: usize,
    /// Where the pixels of a band begin.
    pixels: Vec<usize>,
    runs: Vec<usize>,
    run: usize,
    weights: AlignedBytes,
    /// Bytes of one group's weights.
    group_bytes: usize,
    /// See [`Block::extreme`]: of each group's blocks, one group after another.
    extreme: Vec<bool>,
}

impl Direct {
    /// The spec has been checked; the weights have the length it asks for.
    pub(crate) fn new(spec: &ConvolutionSpec, weights: &[i8], zero_point: u8, kernel: &Kernel) -> Self {
        let layout = &kernel.layout;
        let mut spec = *spec;
        if spec.kernel == [1, 1] && spec.stride == [1, 1] && spec.padding == [0; 4] {
            // Each pixel of a 1×1 convolution is a row of its own: bands can have any number of them.
            (spec.height, spec.width) = (spec.height * spec.width, 1);
        }
        let [_, output_width] = spec.output_size().unwrap_or_default();
        let [kernel_height, kernel_width] = spec.kernel;
        let [stride, stride_x] = spec.stride;
        let row = (spec.padding[1] + spec.width + spec.padding[3]) * spec.channels;

        // Neighbouring numbers of the band are one run.
        let inputs = spec.channels / spec.groups;
        let (count, length, run_step) = if spec.groups > 1 {
            (kernel_height * kernel_width, inputs, None)
        } else if kernel_width * spec.channels == row {
            (1, kernel_height * row, None)
        } else {
            (kernel_height, kernel_width * inputs, Some(row))
        };
        let runs = (0..count).map(|run| match run_step {
            Some(step) => run * step,
            None => run / kernel_width * row + run % kernel_width * spec.channels,
        });
        let run = length.next_multiple_of(layout.depth);
        // Padded runs are read beyond their end; their weights there are 0.
        let bands = Bands::new(&spec, zero_point, layout.form, run - length);

        let pixels = (0..bands.rows * output_width).map(|pixel| {
            pixel / output_width * stride * row + pixel % output_width * stride_x * spec.channels
        });

        let shape = Shape { groups: spec.groups, inputs, spec: &spec, count, length, run };
        let (weights, group_bytes) = pack(&shape, weights, layout);
        Self {
            output_width,
            outputs: spec.outputs,
            groups: spec.groups,
            group_step: inputs,
            pixels: pixels.collect(),
            runs: runs.collect(),
            run,
            extreme: extreme(&shape, weights.bytes(), group_bytes, layout),
            weights,
            group_bytes,
            bands,
        }
    }

    /// See [`super::Convolution::workspace_bytes`].
    pub(crate) fn workspace_bytes(&self, workers: usize) -> usize {
        workers * self.bands.bytes()
    }

    /// Computes the layer; see [`super::Convolution::run`].
    pub(crate) fn run(
        &self,
        kernel: &Kernel,
        input: &[u8],
        target: &Target,
        room: &Disjoint<u8>,
        workers: &Workers,
    ) {
        let count = workers.count();
        let height = self.bands.output_height;
        let blocks = (self.outputs / self.groups).div_ceil(kernel.layout.columns);
        let mut rows = self.bands.rows;
        let mut parts = 1;
        if count > 1 {
            if height * self.output_width >= count * PIXELS_A_WORKER {
                rows = rows.min(height.div_ceil(count));
            } else {
                parts = count.min(blocks);
            }
        }
        let size = self.bands.bytes();
        workers.run(height.div_ceil(rows) * parts, &|job, worker| {
            let first = job / parts * rows;
            let here = rows.min(height - first);
            let part = job % parts;
            // SAFETY: each worker has its own part, and does one job at a time.
            let room = unsafe { room.part(worker * size, size) };
            let band = self.bands.make(input, first, here, room, kernel.convert);
            let blocks = blocks * part / parts..blocks * (part + 1) / parts;
            self.multiply_band(kernel, band, first, here, blocks, target);
        });
    }

    /// Computes some blocks of the output channels of output rows `first..first + rows`.
    fn multiply_band(
        &self,
        kernel: &Kernel,
        band: &[u8],
        first: usize,
        rows: usize,
        blocks: core::ops::Range<usize>,
        target: &Target,
    ) {
        let layout = &kernel.layout;
        let outputs = self.outputs / self.groups;
        for group in 0..self.groups {
            let band = &band[group * self.group_step * layout.form.bytes()..];
            for index in blocks.clone() {
                let first_column = index * layout.columns;
                let columns = layout.block(first_column, outputs);
                let step = self.runs.len() * self.run * layout.form.bytes();
                let start = group * self.group_bytes + first_column * step;
                let block = Block {
                    activations: band,
                    pixels: &self.pixels[..rows * self.output_width],
                    runs: &self.runs,
                    run: self.run,
                    weights: &self.weights.bytes()[start..][..columns * step],
                    columns,
                    extreme: self.extreme[group * outputs.div_ceil(layout.columns) + index],
                };
                if cfg!(test) {
                    assert!(block.is_sound(layout));
                }
                let channel = group * outputs + first_column;
                let valid = columns.min(outputs - first_column);
                match target {
                    Target::Bytes(output, channels) => {
                        let start = first * self.output_width * self.outputs + channel;
                        let place = Place { channel, columns: valid, start, step: self.outputs };
                        // SAFETY: the instructions were available when the layer was made, its
                        // bands and blocks are as long as its pixels need, and jobs differ in
                        // pixels or in blocks of channels.
                        unsafe { (kernel.convolve)(&block, &place, channels, output) };
                    }
                    Target::Logits(output, channels) => {
                        let mut sums = [0; MAX_COLUMNS];
                        // SAFETY: as above; there is only one pixel.
                        let logits = unsafe {
                            (kernel.multiply)(&block, &mut sums);
                            output.part(channel, valid)
                        };
                        for ((logit, &sum), channel) in logits.iter_mut().zip(&sums).zip(channel..) {
                            let sum = sum.wrapping_add(channels.bias[channel]);
                            *logit = sum as f32 * channels.multiplier[channel];
                        }
                    }
                }
            }
        }
    }
}

/// How the runs of a kernel are cut.
struct Shape<'a> {
    spec: &'a ConvolutionSpec,
    groups: usize,
    /// Input channels of a group.
    inputs: usize,
    /// Number of runs, their length, and their length in the band.
    count: usize,
    length: usize,
    run: usize,
}

/// The weights in the layout's order (see [`crate::kernel`]), and the bytes of each group.
fn pack(shape: &Shape, weights: &[i8], layout: &Layout) -> (AlignedBytes, usize) {
    let [height, width] = shape.spec.kernel;
    let outputs = shape.spec.outputs / shape.groups;
    let bytes = layout.form.bytes();
    let padded = (0..outputs).step_by(layout.columns).map(|first| layout.block(first, outputs));
    let group_bytes = padded.sum::<usize>() * shape.count * shape.run * bytes;
    let mut packed = AlignedBytes::zeroed(group_bytes * shape.groups);
    let all = packed.bytes_mut();
    // The same for all outputs: which weight comes next, the step that it is in (its first number) and
    // where it is in the step.
    let order: Vec<[usize; 3]> = (0..shape.count * shape.length)
        .map(|index| {
            let position = index / shape.length * shape.run + index % shape.length;
            // In the band: kernel row, kernel column, channel.
            let (tap, channel) = (index / shape.inputs, index % shape.inputs);
            let within = position % layout.depth;
            [channel * height * width + tap, position - within, within]
        })
        .collect();
    for (output, weights) in weights.chunks_exact(shape.inputs * height * width).enumerate() {
        let (group, output) = (output / outputs, output % outputs);
        let first = output / layout.columns * layout.columns;
        let columns = layout.block(first, outputs);
        let block = group * group_bytes + first * shape.count * shape.run * bytes;
        let column = (output - first) * layout.depth;
        for &[from, step, within] in &order {
            let (weight, place) = (weights[from], step * columns + column + within);
            match layout.form {
                Form::I16 => all[block + place * 2..][..2].copy_from_slice(&i16::from(weight).to_ne_bytes()),
                Form::U8 | Form::I8 => all[block + place] = weight as u8,
            }
        }
    }
    (packed, group_bytes)
}

/// [`Block::extreme`] of all blocks.
fn extreme(shape: &Shape, packed: &[u8], group_bytes: usize, layout: &Layout) -> Vec<bool> {
    let outputs = shape.spec.outputs / shape.groups;
    let step = shape.count * shape.run * layout.form.bytes();
    let of_block = |start: usize, first: usize| {
        let weights = &packed[start + first * step..][..layout.block(first, outputs) * step];
        layout.form == Form::I8
            && weights.chunks_exact(layout.depth).any(|weights| {
                let (left, right) = weights.split_at(layout.depth / 2);
                left.iter().zip(right).any(|pair| pair == (&0x80, &0x80))
            })
    };
    (0..shape.groups)
        .flat_map(|group| (0..outputs).step_by(layout.columns).map(move |first| (group, first)))
        .map(|(group, first)| of_block(group * group_bytes, first))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    /// The layout of plain NEON: 16 numbers of a column together, of which those 8 apart are added in
    /// 16 bits.
    const LAYOUT: Layout = Layout { form: Form::I8, columns: 8, vector: 4, depth: 16 };

    /// [`extreme`] of 1×1 kernels with 2 groups of 32 inputs and 12 outputs, all weights 127 but these
    /// (output and input): two blocks of columns a group.
    fn blocks(extremes: &[(usize, usize)], layout: &Layout) -> Vec<bool> {
        let spec = ConvolutionSpec {
            height: 1,
            width: 1,
            channels: 64,
            outputs: 24,
            kernel: [1, 1],
            stride: [1, 1],
            padding: [0; 4],
            groups: 2,
        };
        let mut weights = vec![127i8; 24 * 32];
        for &(output, input) in extremes {
            weights[output * 32 + input] = -128;
        }
        let shape = Shape { spec: &spec, groups: 2, inputs: 32, count: 1, length: 32, run: 32 };
        let (packed, group_bytes) = pack(&shape, &weights, layout);
        extreme(&shape, packed.bytes(), group_bytes, layout)
    }

    #[test]
    fn blocks_are_extreme_where_two_weights_that_are_added_in_16_bits_are_both_the_least() {
        assert_eq!(blocks(&[], &LAYOUT), [false; 4]);
        // Eight apart within 16, in each of the blocks.
        for (block, output) in [0, 8, 12, 20].into_iter().enumerate() {
            for input in [0, 7, 16, 23] {
                let mut expected = [false; 4];
                expected[block] = true;
                let last = output + if block % 2 == 0 { 7 } else { 3 };
                for output in [output, last] {
                    assert_eq!(blocks(&[(output, input), (output, input + 8)], &LAYOUT), expected);
                }
            }
        }
    }

    #[test]
    fn blocks_are_not_extreme_where_the_least_weights_do_not_meet() {
        // One alone; neighbours; eight apart in two vectors; of two outputs.
        for extremes in [&[(0, 3)][..], &[(0, 3), (0, 4)], &[(0, 8), (0, 16)], &[(0, 3), (1, 11)]] {
            assert_eq!(blocks(extremes, &LAYOUT), [false; 4], "{extremes:?}");
        }
        // Other forms have nothing that is added in 16 bits.
        for form in [Form::U8, Form::I16] {
            assert_eq!(blocks(&[(0, 0), (0, 8)], &Layout { form, ..LAYOUT }), [false; 4]);
        }
    }
}
