//! Convolution of each channel with its own kernel, from pairs of input rows: for 16 channels at a
//! time, the values of a row and of the row below it are brought next to each other once, padding
//! included, and then serve all kernel columns and several output rows. The pairs that are still
//! needed are kept in a ring.

use super::ConvolutionSpec;
use crate::aligned::AlignedBytes;
use crate::channels::Channels;
use crate::disjoint::Disjoint;
use crate::kernel::{PAIR_CHANNELS, PairsKernel, PairsTask, Ring};
use crate::workers::Workers;

/// 16 channels after another are computed of so many bytes of input and output: they come from the
/// second-level cache, since each line of them has more channels than 16.
const BLOCK: usize = 128 * 1024;

/// Rows are divided among workers if each gets at least so many; else each takes a part of the
/// channels, which lie together.
const ROWS_A_WORKER: usize = 7;

/// A plan for [`super::Method::Depthwise`] from pairs of rows.
pub(crate) struct Pairs {
    spec: ConvolutionSpec,
    output_size: [usize; 2],
    zero_point: u8,
    ring: Ring,
    /// Output rows that are computed for one 16 channels after another.
    rows: usize,
    /// For kernels that begin at a row of even number, and of odd number.
    weights: [AlignedBytes; 2],
}

impl Pairs {
    /// Whether it can be computed so. The spec has been checked.
    pub(crate) fn fits(spec: &ConvolutionSpec) -> bool {
        spec.is_depthwise() && spec.kernel[0] <= Ring::MAX_HEIGHT
    }

    /// The spec [fits](Self::fits); the weights have the length it asks for.
    pub(crate) fn new(spec: &ConvolutionSpec, weights: &[i8], zero_point: u8, kernel: &PairsKernel) -> Self {
        let [height, width] = spec.output_size().unwrap_or_default();
        let row = (spec.stride[0] * spec.width + width) * spec.channels;
        Self {
            spec: *spec,
            output_size: [height, width],
            zero_point,
            ring: Ring::new(spec),
            rows: (BLOCK / row).max(4),
            weights: [0, 1].map(|parity| (kernel.pack)(weights, spec.kernel, parity)),
        }
    }

    /// See [`super::Convolution::workspace_bytes`].
    pub(crate) fn workspace_bytes(&self, workers: usize) -> usize {
        workers * self.ring.bytes()
    }

    /// Computes the layer; see [`super::Convolution::run`].
    pub(crate) fn run(
        &self,
        kernel: &PairsKernel,
        input: &[u8],
        output: &Disjoint<u8>,
        channels: &Channels,
        room: &Disjoint<u8>,
        workers: &Workers,
    ) {
        let height = self.output_size[0];
        let groups = self.spec.channels.div_ceil(PAIR_CHANNELS);
        let count = workers.count();
        // Parts of the rows, and of the channels.
        let (rows, share) = if count == 1 {
            (height, groups)
        } else if height >= count * ROWS_A_WORKER {
            (height.div_ceil(2 * count).max(ROWS_A_WORKER), groups)
        } else {
            (height, groups.div_ceil(count))
        };
        let shares = groups.div_ceil(share);
        let size = self.ring.bytes();
        workers.run(height.div_ceil(rows) * shares, &|job, worker| {
            let (part, share_index) = (job / shares, job % shares);
            let first = share_index * share;
            // SAFETY: each worker has its own part, and does one job at a time.
            let ring = unsafe { room.part(worker * size, size) };
            let end = height.min((part + 1) * rows);
            let mut start = part * rows;
            while start < end {
                let rows = start..end.min(start + self.rows);
                for group in first..groups.min(first + share) {
                    let weights = [0, 1].map(|parity| {
                        let step = Ring::pairs(&self.spec, parity) * self.spec.kernel[1] * Ring::PIXEL;
                        &self.weights[parity].bytes()[group * step..][..step]
                    });
                    let task = PairsTask {
                        spec: &self.spec,
                        output_width: self.output_size[1],
                        ring: self.ring,
                        zero_point: self.zero_point,
                        input,
                        weights,
                        channel: group * PAIR_CHANNELS,
                        rows: rows.clone(),
                    };
                    // SAFETY: the instructions were available when the layer was made, and no two jobs
                    // have the same rows and channels.
                    unsafe { (kernel.run)(&task, ring, channels, output) };
                }
                start += self.rows;
            }
        });
    }
}
