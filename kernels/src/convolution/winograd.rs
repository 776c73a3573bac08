//! 3×3 convolution of stride 1 with a quarter of the multiplications, and exact: Winograd's
//! F(4×4, 3×3) (Lavin and Gray, arXiv 1509.09308) in integers modulo 2³².
//!
//! `Y = Aᵀ·[(G·g·Gᵀ) ⊙ (Bᵀ·d·B)]·A` makes 4×4 outputs of 6×6 inputs. `Bᵀ` is integer, and takes
//! inputs of -255…255 to at most ±25 500, which fits 16 bits. `G` has fractions; its rows times
//! 4, -6, -6, 24, 24 and 1 are integer, take weights to at most ±6 272, and `Aᵀ` times 24 over
//! these factors is integer too: so everything is integer, and comes out 24² = 576 times too
//! large. In 32 bits that overflows, but sums and products are exact modulo 2³². Times the
//! inverse of 9 modulo 2³² the result is 64 times too large, and a shift by 6 bits undoes that
//! exactly as long as the true result is less than 2²⁵ in magnitude, which the weights tell
//! beforehand ([`LIMIT`]).

use alloc::vec::Vec;

use super::ConvolutionSpec;
use crate::aligned::AlignedBytes;
use crate::channels::Channels;
use crate::disjoint::Disjoint;
use crate::kernel::{Block, Layout, Place, TilePlace, WinogradKernel};
use crate::workers::Workers;

/// Results must be smaller in magnitude.
pub(crate) const LIMIT: i64 = 1 << 25;

/// The inverse of 9 modulo 2³².
pub(crate) const NINTH: i32 = 954_437_177;

/// Products that a tile needs.
pub(crate) const POSITIONS: usize = 36;

/// Channels are a multiple of that: what the input transforms take at a time.
const CHANNELS: usize = 16;

/// Tiles together: all their transformed inputs and a block of products stay in the second-level
/// cache, while each transformed weight is read once for them.
const GROUP: usize = 16;

/// A plan for [`super::Method::Winograd`].
pub(crate) struct Winograd {
    spec: ConvolutionSpec,
    output_size: [usize; 2],
    /// Tiles down and across.
    tiles: [usize; 2],
    zero_point: u8,
    /// Blocks of output channels × positions × channels.
    weights: AlignedBytes,
    /// A padding pixel.
    zeros: Vec<u8>,
    /// Where each tile of a group begins, in numbers.
    rows: Vec<usize>,
}

impl Winograd {
    /// Whether the method computes this layer. `ranges` has the smallest and largest result of
    /// each output channel, without the bias.
    pub(crate) fn fits(spec: &ConvolutionSpec, mut ranges: impl Iterator<Item = (i64, i64)>) -> bool {
        spec.kernel == [3, 3]
            && spec.stride == [1, 1]
            && spec.groups == 1
            && spec.channels.is_multiple_of(CHANNELS)
            && ranges.all(|(least, most)| -LIMIT < least && most < LIMIT)
    }

    /// Whether it is the faster one: tiles that reach beyond the output cost as much as whole ones.
    pub(crate) fn pays(spec: &ConvolutionSpec) -> bool {
        let [height, width] = spec.output_size().unwrap_or_default();
        let tiles = height.div_ceil(4) * width.div_ceil(4);
        spec.channels >= 2 * CHANNELS
            && spec.outputs >= CHANNELS
            && 2 * tiles * POSITIONS <= height * width * 9
    }

    /// The spec has been checked and [fits](Self::fits).
    pub(crate) fn new(
        spec: &ConvolutionSpec,
        weights: &[i8],
        zero_point: u8,
        kernel: &WinogradKernel,
    ) -> Self {
        let [height, width] = spec.output_size().unwrap_or_default();
        Self {
            spec: *spec,
            output_size: [height, width],
            tiles: [height.div_ceil(4), width.div_ceil(4)],
            zero_point,
            weights: transform_weights(spec, weights, &kernel.layout),
            zeros: alloc::vec![zero_point; spec.channels],
            rows: (0..GROUP).map(|tile| tile * spec.channels).collect(),
        }
    }

    /// Bytes of a group's transformed inputs, and of a block of products.
    fn sizes(&self, layout: &Layout) -> [usize; 2] {
        let inputs = POSITIONS * GROUP * self.spec.channels * size_of::<i16>();
        [inputs, POSITIONS * GROUP * layout.columns * size_of::<i32>()]
    }

    /// See [`super::Convolution::workspace_bytes`].
    pub(crate) fn workspace_bytes(&self, kernel: &WinogradKernel, workers: usize) -> usize {
        workers * self.sizes(&kernel.layout).iter().sum::<usize>()
    }

    /// Computes the layer; see [`super::Convolution::run`].
    pub(crate) fn run(
        &self,
        winograd: &WinogradKernel,
        input: &[u8],
        output: &Disjoint<u8>,
        channels: &Channels,
        room: &Disjoint<u8>,
        workers: &Workers,
    ) {
        let layout = &winograd.layout;
        let tiles = self.tiles[0] * self.tiles[1];
        let blocks = self.spec.outputs.div_ceil(layout.columns);
        let groups = tiles.div_ceil(GROUP);
        // Few groups: the workers share them by output channels, and each transforms the inputs.
        let parts = workers.count().div_ceil(groups).min(blocks);
        let sizes = self.sizes(layout);
        let size = sizes.iter().sum::<usize>();
        workers.run(groups * parts, &|job, worker| {
            // SAFETY: each worker has its own part, and does one job at a time.
            let room = unsafe { room.part(worker * size, size) };
            let (inputs, products) = room.split_at_mut(sizes[0]);
            let products = as_i32(products);
            let (group, part) = (job / parts, job % parts);
            let group = group * GROUP..tiles.min((group + 1) * GROUP);
            for (index, tile) in group.clone().enumerate() {
                let pixels = self.pixels(input, tile);
                let place = &mut inputs[index * self.spec.channels * size_of::<i16>()..];
                let step = GROUP * self.spec.channels;
                // SAFETY: the instructions were available when the layer was made; the pixels
                // have all channels, and there is room at every position.
                unsafe { (winograd.input)(&pixels, self.spec.channels, self.zero_point, place, step) };
            }
            for block in blocks * part / parts..blocks * (part + 1) / parts {
                let channel = block * layout.columns;
                let columns = layout.block(channel, self.spec.outputs);
                self.multiply(winograd, inputs, channel, columns, group.len(), products);
                for (index, tile) in group.clone().enumerate() {
                    let products = &products[index * columns..];
                    let place = self.place(tile, channel, columns);
                    // SAFETY: as above; the products have whole vectors of columns, and jobs
                    // differ in tiles or in blocks of channels.
                    unsafe {
                        (winograd.output)(products, GROUP * columns, columns, &place, channels, output);
                    }
                }
            }
        });
    }

    /// The 6×6 pixels of a tile.
    fn pixels<'a>(&'a self, input: &'a [u8], tile: usize) -> [&'a [u8]; POSITIONS] {
        let ConvolutionSpec { height, width, channels, padding, .. } = self.spec;
        let top = (tile / self.tiles[1] * 4).wrapping_sub(padding[0]);
        let left = (tile % self.tiles[1] * 4).wrapping_sub(padding[1]);
        core::array::from_fn(|position| {
            let (y, x) = (top.wrapping_add(position / 6), left.wrapping_add(position % 6));
            if y < height && x < width {
                &input[(y * width + x) * channels..][..channels]
            } else {
                &self.zeros
            }
        })
    }

    /// The products of a group's tiles with a block of output channels, at all positions.
    fn multiply(
        &self,
        winograd: &WinogradKernel,
        inputs: &[u8],
        channel: usize,
        columns: usize,
        tiles: usize,
        products: &mut [i32],
    ) {
        let layout = &winograd.layout;
        let channels = self.spec.channels;
        let block = columns * channels * size_of::<i16>();
        let weights = &self.weights.bytes()[channel * channels * size_of::<i16>() * POSITIONS..];
        for (position, weights) in weights.chunks_exact(block).take(POSITIONS).enumerate() {
            let activations = &inputs[position * GROUP * channels * size_of::<i16>()..];
            let products = &mut products[position * GROUP * columns..][..GROUP * columns];
            let pixels = &self.rows[..tiles];
            let block =
                Block { activations, pixels, runs: &[0], run: channels, weights, columns, extreme: false };
            if cfg!(test) {
                assert!(block.is_sound(layout));
            }
            // SAFETY: the instructions were available when the layer was made, and all
            // transformed numbers of the tiles are there.
            unsafe { (winograd.multiply)(&block, products) };
        }
    }

    /// Where a tile's 4×4 pixels go, as far as they belong to the output.
    fn place(&self, tile: usize, channel: usize, columns: usize) -> TilePlace {
        let [height, width] = self.output_size;
        let (y, x) = (tile / self.tiles[1] * 4, tile % self.tiles[1] * 4);
        let outputs = self.spec.outputs;
        TilePlace {
            first: Place {
                channel,
                columns: columns.min(outputs - channel),
                start: (y * width + x) * outputs + channel,
                step: outputs,
            },
            row_step: width * outputs,
            rows: 4.min(height - y),
            pixels: 4.min(width - x),
        }
    }
}

/// Aligned bytes as 32-bit numbers.
fn as_i32(bytes: &mut [u8]) -> &mut [i32] {
    // SAFETY: any bytes are valid numbers.
    let (before, numbers, _) = unsafe { bytes.align_to_mut() };
    debug_assert!(before.is_empty());
    numbers
}

/// `Bᵀ·d·B` of a tile, for a vector of channels: `load` gives a position's (row·6 + column), `store`
/// takes it, and `six` is [`six`] for the vectors.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)] // into functions that have the instructions
pub(crate) fn transform_input<T: Copy>(
    zero: T,
    load: impl Fn(usize) -> T,
    six: impl Fn([T; 6]) -> [T; 6],
    store: impl Fn(usize, T),
) {
    let mut rows = [[zero; 6]; 6];
    for x in 0..6 {
        let mut down = [zero; 6];
        for (y, vector) in down.iter_mut().enumerate() {
            *vector = load(y * 6 + x);
        }
        for (row, vector) in rows.iter_mut().zip(six(down)) {
            row[x] = vector;
        }
    }
    for (y, row) in rows.into_iter().enumerate() {
        for (x, vector) in six(row).into_iter().enumerate() {
            store(y * 6 + x, vector);
        }
    }
}

/// `Bᵀ·d` from additions, subtractions and multiplications by 4.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)] // as above
pub(crate) fn six<T: Copy>(
    d: [T; 6],
    add: impl Fn(T, T) -> T,
    sub: impl Fn(T, T) -> T,
    four: impl Fn(T) -> T,
) -> [T; 6] {
    let a = sub(d[4], four(d[2]));
    let b = sub(d[3], four(d[1]));
    let c = sub(d[4], d[2]);
    let e = sub(d[3], d[1]);
    let e = add(e, e);
    // 4·d0 - 5·d2 + d4 = 4·(d0 - d2) + c, and likewise the last.
    let first = add(four(sub(d[0], d[2])), c);
    let last = add(four(sub(d[1], d[3])), sub(d[5], d[3]));
    [first, add(a, b), sub(a, b), add(c, e), sub(c, e), last]
}

/// The first half of `Aᵀ·m·A` times 24, for a vector of output channels: `load` gives a position's
/// product, and `four` is [`four`] for the vectors. The second half is `four` of each row.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)] // as above
pub(crate) fn transform_output<T: Copy>(
    zero: T,
    load: impl Fn(usize) -> T,
    four: impl Fn([T; 6]) -> [T; 4],
) -> [[T; 6]; 4] {
    let mut rows = [[zero; 6]; 4];
    for x in 0..6 {
        let mut down = [zero; 6];
        for (y, vector) in down.iter_mut().enumerate() {
            *vector = load(y * 6 + x);
        }
        for (row, vector) in rows.iter_mut().zip(four(down)) {
            row[x] = vector;
        }
    }
    rows
}

/// `Aᵀ·m` times 24 from additions, subtractions and multiplications by 4.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)] // as above
pub(crate) fn four<T: Copy>(
    m: [T; 6],
    add: impl Fn(T, T) -> T,
    sub: impl Fn(T, T) -> T,
    four: impl Fn(T) -> T,
) -> [T; 4] {
    let twice = |a: T| add(a, a);
    let (s1, d1) = (add(m[1], m[2]), sub(m[1], m[2]));
    let (s2, d2) = (add(m[3], m[4]), sub(m[3], m[4]));
    // 6·m0 - 4·s1 + s2; -4·d1 + 2·d2; 4·(s2 - s1); -4·d1 + 8·d2 + 24·m5.
    let first = add(twice(sub(add(twice(m[0]), m[0]), twice(s1))), s2);
    let second = twice(sub(d2, twice(d1)));
    let third = four(sub(s2, s1));
    let last = add(sub(twice(d2), d1), twice(add(twice(m[5]), m[5])));
    [first, second, third, four(last)]
}

/// The rows of G times 4, -6, -6, 24, 24 and 1.
const G: [[i32; 3]; 6] = [[1, 0, 0], [1, 1, 1], [1, -1, 1], [1, 2, 4], [1, -2, 4], [0, 0, 1]];

/// `G·g·Gᵀ` of all kernels, as i16 in the order of [`Winograd::weights`].
fn transform_weights(spec: &ConvolutionSpec, weights: &[i8], layout: &Layout) -> AlignedBytes {
    let ConvolutionSpec { channels, outputs, .. } = *spec;
    let padded: usize = (0..outputs).step_by(layout.columns).map(|first| layout.block(first, outputs)).sum();
    let mut packed = AlignedBytes::zeroed(padded * POSITIONS * channels * size_of::<i16>());
    let bytes = packed.bytes_mut();
    for (index, kernel) in weights.chunks_exact(9).enumerate() {
        let (output, channel) = (index / channels, index % channels);
        let first = output / layout.columns * layout.columns;
        let columns = layout.block(first, outputs);
        for position in 0..POSITIONS {
            let (down, across) = (G[position / 6], G[position % 6]);
            let weight: i32 =
                (0..9).map(|tap| down[tap / 3] * across[tap % 3] * i32::from(kernel[tap])).sum();
            let place = first * POSITIONS * channels
                + position * columns * channels
                + (channel / layout.depth * columns + output - first) * layout.depth
                + channel % layout.depth;
            bytes[place * 2..][..2].copy_from_slice(&(weight as i16).to_ne_bytes());
        }
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_times_its_inverse_is_one() {
        assert_eq!(NINTH.wrapping_mul(9), 1);
    }
}
