//! Convolution of each channel with its own kernel: vectors run along the channels, and each
//! output pixel adds up its taps, out of a band of padded rows. `pairs` is the other way.

use alloc::vec::Vec;

use super::ConvolutionSpec;
use super::band::Bands;
use crate::aligned::AlignedBytes;
use crate::channels::Channels;
use crate::disjoint::Disjoint;
use crate::kernel::{Taps, TapsKernel};
use crate::workers::Workers;

/// A plan for [`super::Method::Depthwise`] from taps.
pub(crate) struct Depthwise {
    bands: Bands,
    output_width: usize,
    channels: usize,
    /// Numbers from one pixel of an output row to the next.
    step: usize,
    taps: Vec<usize>,
    weights: AlignedBytes,
}

impl Depthwise {
    /// The spec has been checked; the weights have the length it asks for.
    pub(crate) fn new(spec: &ConvolutionSpec, weights: &[i8], zero_point: u8, kernel: &TapsKernel) -> Self {
        let [_, output_width] = spec.output_size().unwrap_or_default();
        let [height, width] = spec.kernel;
        let bands = Bands::new(spec, zero_point, kernel.form, 0);
        let taps = (0..height * width).map(|tap| tap / width * bands.row + tap % width * spec.channels);
        Self {
            output_width,
            channels: spec.channels,
            step: spec.stride[1] * spec.channels,
            taps: taps.collect(),
            weights: (kernel.pack)(weights, height * width),
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
        kernel: &TapsKernel,
        input: &[u8],
        output: &Disjoint<u8>,
        channels: &Channels,
        room: &Disjoint<u8>,
        workers: &Workers,
    ) {
        let height = self.bands.output_height;
        let rows = self.bands.rows.min(height.div_ceil(workers.count()));
        let size = self.bands.bytes();
        workers.run(height.div_ceil(rows), &|job, worker| {
            let first = job * rows;
            let here = rows.min(height - first);
            // SAFETY: each worker has its own part, and does one job at a time.
            let room = unsafe { room.part(worker * size, size) };
            let band = self.bands.make(input, first, here, room, kernel.convert);
            for y in 0..here {
                let task = Taps {
                    activations: band,
                    first: y * self.bands.stride * self.bands.row,
                    step: self.step,
                    pixels: self.output_width,
                    taps: &self.taps,
                    channels: self.channels,
                    weights: self.weights.bytes(),
                    start: (first + y) * self.output_width * self.channels,
                };
                // SAFETY: the instructions were available when the layer was made; the band has
                // all taps of its output rows, and no two jobs have the same rows.
                unsafe { (kernel.run)(&task, channels, output) };
            }
        });
    }
}
