//! What each set of instructions must provide, and how it wants its numbers laid out. The layers
//! are written once on top of this; `scalar` is the reference.
//!
//! A convolution is a product of matrices: rows are output pixels, columns output channels. The
//! packed weights come in blocks of [`Layout::columns`] output channels; in a block, steps of
//! [`Layout::depth`] input numbers follow each other, each with all its columns' weights. Rows
//! are not copied together: the activations of a pixel are *runs* at the same distances from
//! where the pixel begins, in a band of padded input rows.

use crate::addition::Terms;
use crate::aligned::AlignedBytes;
use crate::channels::Channels;
use crate::disjoint::Disjoint;
use crate::isa::Isa;

/// The most rows × columns of any version's tile.
pub(crate) const MAX_TILE: usize = 8 * 64;

/// How a version wants activations: `x` is the input's u8 value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `x` as it is.
    U8,
    /// `x - 128` as i8.
    #[cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]
    I8,
    /// `x - zero_point` as i16; the weights are i16 as well.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    I16,
}

impl Form {
    /// Bytes of one activation, and of one weight.
    pub(crate) fn bytes(self) -> usize {
        if self == Self::I16 { 2 } else { 1 }
    }

    /// What the form of `x` is larger by than `x - zero_point`.
    pub(crate) fn offset(self, zero_point: u8) -> i32 {
        match self {
            Self::U8 => i32::from(zero_point),
            Self::I8 => i32::from(zero_point) - 128,
            Self::I16 => 0,
        }
    }

    /// Brings activations into this form, in plain Rust.
    pub(crate) fn convert(self, source: &[u8], zero_point: u8, destination: &mut [u8]) {
        match self {
            Self::U8 => destination.copy_from_slice(source),
            Self::I8 => {
                for (to, from) in destination.iter_mut().zip(source) {
                    *to = from ^ 0x80;
                }
            }
            Self::I16 => {
                for (to, from) in destination.chunks_exact_mut(2).zip(source) {
                    to.copy_from_slice(&(i16::from(*from) - i16::from(zero_point)).to_ne_bytes());
                }
            }
        }
    }

    /// Fills a part with the activation that stands for 0.
    pub(crate) fn fill(self, zero_point: u8, destination: &mut [u8]) {
        destination.fill(match self {
            Self::U8 => zero_point,
            Self::I8 => zero_point ^ 0x80,
            Self::I16 => 0,
        });
    }
}

/// How packed weights and tiles look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Of activations and weights.
    pub(crate) form: Form,
    /// Most pixels in a tile.
    pub(crate) rows: usize,
    /// Most output channels in a tile; a block of the weights.
    pub(crate) columns: usize,
    /// The last block has a multiple of so many columns.
    pub(crate) vector: usize,
    /// Neighbouring input numbers that are multiplied together; runs are padded to a multiple.
    pub(crate) depth: usize,
}

impl Layout {
    /// Columns of the block that begins at output channel `first` of `outputs`.
    pub(crate) fn block(&self, first: usize, outputs: usize) -> usize {
        (outputs - first).next_multiple_of(self.vector).min(self.columns)
    }
}

/// Up to [`Layout::rows`] pixels times one block of output channels.
pub(crate) struct Tile<'a> {
    /// The band, in the layout's form.
    pub(crate) activations: &'a [u8],
    /// Where each pixel begins, in numbers (not bytes).
    pub(crate) rows: &'a [usize],
    /// Where each run begins, from there.
    pub(crate) runs: &'a [usize],
    /// Length of each run: a multiple of the depth.
    pub(crate) run: usize,
    /// The block.
    pub(crate) weights: &'a [u8],
    /// Its columns.
    pub(crate) columns: usize,
}

impl Tile<'_> {
    /// Whether every number that will be read is there: what the SIMD versions rely on.
    pub(crate) fn is_sound(&self, layout: &Layout) -> bool {
        let bytes = layout.form.bytes();
        let last = |offsets: &[usize]| offsets.iter().copied().max().unwrap_or(0);
        self.columns.is_multiple_of(layout.vector)
            && (1..=layout.columns).contains(&self.columns)
            && (1..=layout.rows).contains(&self.rows.len())
            && self.run.is_multiple_of(layout.depth)
            && self.weights.len() >= self.runs.len() * self.run * self.columns * bytes
            && self.activations.len() >= (last(self.rows) + last(self.runs) + self.run) * bytes
    }
}

/// Sums that become bytes of neighbouring pixels.
pub(crate) struct Sums<'a> {
    /// The sums, pixel after pixel.
    pub(crate) sums: &'a [i32],
    /// From one pixel's sums to the next one's.
    pub(crate) stride: usize,
    /// How many pixels.
    pub(crate) rows: usize,
    /// How many output channels: all at most `stride`.
    pub(crate) columns: usize,
    /// The first output channel.
    pub(crate) channel: usize,
    /// Where the first pixel's bytes go.
    pub(crate) start: usize,
    /// From there to the next pixel's.
    pub(crate) step: usize,
}

/// Output pixels of one row, each channel with its own taps.
pub(crate) struct Taps<'a> {
    /// The band, in the version's form.
    pub(crate) activations: &'a [u8],
    /// Where the first pixel begins, and how far it is to the next one.
    pub(crate) first: usize,
    /// See `first`.
    pub(crate) step: usize,
    /// How many pixels.
    pub(crate) pixels: usize,
    /// Where each tap is, from where a pixel begins.
    pub(crate) taps: &'a [usize],
    /// How many channels.
    pub(crate) channels: usize,
    /// As the version packed them.
    pub(crate) weights: &'a [u8],
    /// Where the first pixel's bytes go; the others follow at once.
    pub(crate) start: usize,
}

/// How a version convolves channel by channel.
pub(crate) struct DepthwiseKernel {
    pub(crate) form: Form,
    /// Brings activations into that form: source, zero point, destination.
    ///
    /// Safety: the processor has the instructions.
    pub(crate) convert: unsafe fn(&[u8], u8, &mut [u8]),
    /// Packs weights, channels × taps.
    pub(crate) pack: fn(&[i8], usize) -> AlignedBytes,
    /// Computes the pixels.
    ///
    /// Safety: the processor has the instructions, every tap of every pixel and channel is in the
    /// activations, the weights were packed for as many channels and taps, and no one else uses
    /// the bytes of these pixels.
    pub(crate) run: unsafe fn(&Taps, &Channels, &Disjoint<u8>),
}

/// One version.
pub(crate) struct Kernel {
    pub(crate) layout: Layout,
    /// Brings activations into the layout's form: source, zero point, destination.
    ///
    /// Safety: the processor has the instructions.
    pub(crate) convert: unsafe fn(&[u8], u8, &mut [u8]),
    /// Computes a tile: `sums[row·columns + column]`, modulo 2³².
    ///
    /// Safety: the processor has the instructions, the tile [is sound](Tile::is_sound) and the
    /// sums have room for it.
    pub(crate) multiply: unsafe fn(&Tile, &mut [i32]),
    /// Turns sums into bytes; see [`crate::channels::requantize`].
    ///
    /// Safety: the processor has the instructions, and no one else uses the bytes of these pixels
    /// and channels.
    pub(crate) requantize: unsafe fn(&Sums, &Channels, &Disjoint<u8>),
    pub(crate) depthwise: DepthwiseKernel,
    /// Adds two tensors, all of one length; see [`crate::addition::add`].
    ///
    /// Safety: the processor has the instructions.
    pub(crate) add: unsafe fn(&[u8], &[u8], &mut [u8], &Terms),
    /// Adds each pixel's channels to the sums.
    ///
    /// Safety: the processor has the instructions.
    pub(crate) sum_pixels: unsafe fn(&[u8], &mut [i32]),
    /// Puts the larger of both into the second, equally long slice.
    ///
    /// Safety: the processor has the instructions.
    pub(crate) max: unsafe fn(&[u8], &mut [u8]),
}

impl Isa {
    /// The version that runs with these instructions, which must be available.
    pub(crate) fn kernel(self) -> &'static Kernel {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 | Self::AvxVnni | Self::Avx512Vnni => &crate::x86::avx2::KERNEL,
            _ => &crate::scalar::KERNEL,
        }
    }
}
