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
use crate::convolution::{ConvolutionSpec, POSITIONS};
use crate::disjoint::Disjoint;
use crate::isa::Isa;

/// The most columns of any version's block.
pub(crate) const MAX_COLUMNS: usize = 64;

/// How a version wants activations: `x` is the input's u8 value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `x` as it is.
    U8,
    /// `x - 128` as i8.
    #[cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]
    I8,
    /// `x - zero_point` as i16; the weights are i16 as well.
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(dead_code))]
    I16,
}

impl Form {
    /// [`Self::convert`] to this form, as a function of a version.
    pub(crate) const fn converter(self) -> Convert {
        match self {
            Self::U8 => |source, zero_point, destination| Self::U8.convert(source, zero_point, destination),
            Self::I8 => |source, zero_point, destination| Self::I8.convert(source, zero_point, destination),
            Self::I16 => |source, zero_point, destination| Self::I16.convert(source, zero_point, destination),
        }
    }

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
    /// Output channels of a block of the weights, and of a tile.
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

/// Pixels times one block of output channels.
pub(crate) struct Block<'a> {
    /// The band, in the layout's form.
    pub(crate) activations: &'a [u8],
    /// Where each pixel begins, in numbers (not bytes).
    pub(crate) pixels: &'a [usize],
    /// Where each run begins, from there.
    pub(crate) runs: &'a [usize],
    /// Length of each run: a multiple of the depth.
    pub(crate) run: usize,
    /// The block.
    pub(crate) weights: &'a [u8],
    /// Its columns.
    pub(crate) columns: usize,
    /// Whether two weights of a column that are half a depth apart are both -128: the only ones
    /// of which the sum of two products, with activations of -128, does not fit 16 bits.
    #[cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]
    pub(crate) extreme: bool,
}

impl Block<'_> {
    /// Whether every number that will be read is there: what the SIMD versions rely on.
    pub(crate) fn is_sound(&self, layout: &Layout) -> bool {
        let bytes = layout.form.bytes();
        let last = |offsets: &[usize]| offsets.iter().copied().max().unwrap_or(0);
        self.columns.is_multiple_of(layout.vector)
            && (1..=layout.columns).contains(&self.columns)
            && self.run.is_multiple_of(layout.depth)
            && self.weights.len() >= self.runs.len() * self.run * self.columns * bytes
            && self.activations.len() >= (last(self.pixels) + last(self.runs) + self.run) * bytes
    }
}

/// Cuts pixels into as few parts as can be with at most so many each, all nearly equally long: a last
/// part of one or two pixels would take nearly as long as a whole one.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
#[inline(always)]
pub(crate) fn parts(pixels: usize, most: usize) -> impl Iterator<Item = usize> {
    let count = pixels.div_ceil(most);
    let (length, longer) = (pixels / count.max(1), pixels % count.max(1));
    (0..count).map(move |part| length + usize::from(part < longer))
}

/// Where the bytes of a block go: pixels at equal distances.
pub(crate) struct Place {
    /// The first output channel.
    pub(crate) channel: usize,
    /// How many there are: the block's last columns may be none.
    pub(crate) columns: usize,
    /// Where the first pixel's bytes go.
    pub(crate) start: usize,
    /// From there to the next pixel's.
    pub(crate) step: usize,
}

/// Where the bytes of a Winograd tile go: rows of such pixels.
pub(crate) struct TilePlace {
    /// The first row.
    pub(crate) first: Place,
    /// From there to the next one.
    pub(crate) row_step: usize,
    /// How many rows belong to the output.
    pub(crate) rows: usize,
    /// And how many pixels in each.
    pub(crate) pixels: usize,
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
pub(crate) enum DepthwiseKernel {
    Taps(TapsKernel),
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    Pairs(PairsKernel),
}

impl DepthwiseKernel {
    /// In which form it takes activations.
    pub(crate) fn form(&self) -> Form {
        match self {
            Self::Taps(kernel) => kernel.form,
            Self::Pairs(_) => Form::U8,
        }
    }
}

/// Channel by channel, from a band of padded input rows.
pub(crate) struct TapsKernel {
    pub(crate) form: Form,
    /// Brings activations into that form: source, zero point, destination.
    ///
    /// Safety: the processor has the instructions.
    pub(crate) convert: Convert,
    /// Packs weights, channels × taps.
    pub(crate) pack: fn(&[i8], usize) -> AlignedBytes,
    /// Computes the pixels.
    ///
    /// Safety: the processor has the instructions, every tap of every pixel and channel is in the
    /// activations, the weights were packed for as many channels and taps, and no one else uses
    /// the bytes of these pixels.
    pub(crate) run: unsafe fn(&Taps, &Channels, &Disjoint<u8>),
}

/// Channels that are computed together from pairs of rows.
pub(crate) const PAIR_CHANNELS: usize = 16;

/// Some output rows of [`PAIR_CHANNELS`] channels, from pairs of input rows.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(crate) struct PairsTask<'a> {
    pub(crate) spec: &'a ConvolutionSpec,
    /// Pixels of an output row.
    pub(crate) output_width: usize,
    pub(crate) ring: Ring,
    pub(crate) zero_point: u8,
    pub(crate) input: &'a [u8],
    /// Those of these channels, as the version packed them, for both parities.
    pub(crate) weights: [&'a [u8]; 2],
    /// The first of the channels. There may be fewer from there on.
    pub(crate) channel: usize,
    /// The output rows.
    pub(crate) rows: core::ops::Range<usize>,
}

/// How pairs of input rows are kept that several output rows need. A pair has for each pixel, padding
/// included, and each channel the values of a row of even number and of the one below it, as i16. A
/// kernel that begins at a row of odd number meets only the lower row of its first pair.
#[derive(Clone, Copy)]
pub(crate) struct Ring {
    /// How many pairs are kept: as many as an output row needs.
    pub(crate) kept: usize,
    /// Pixels of a pair.
    pub(crate) width: usize,
}

impl Ring {
    /// Kernels may be so high: there is room on the stack to note which pairs are kept.
    pub(crate) const MAX_HEIGHT: usize = 15;

    /// Bytes of a pixel.
    pub(crate) const PIXEL: usize = PAIR_CHANNELS * 4;

    pub(crate) fn new(spec: &ConvolutionSpec) -> Self {
        let width = spec.padding[1] + spec.width + spec.padding[3];
        Self { kept: Self::pairs(spec, 1), width }
    }

    /// How many pairs a kernel meets that begins at a row of even (0) or odd number (1).
    pub(crate) fn pairs(spec: &ConvolutionSpec, parity: usize) -> usize {
        (spec.kernel[0] + parity).div_ceil(2)
    }

    /// Of all pairs that are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.kept * self.width * Self::PIXEL
    }
}

/// Channel by channel, from pairs of input rows: an instruction multiplies both with their taps.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(crate) struct PairsKernel {
    /// Packs weights, channels × kernel height × kernel width, for kernels that begin at a row of even
    /// (0) or odd number (1): for each 16 channels, pair of rows and kernel column 64 bytes.
    pub(crate) pack: fn(&[i8], [usize; 2], usize) -> AlignedBytes,
    /// Computes the rows; the second argument is memory for the ring.
    ///
    /// Safety: the processor has the instructions, and no one else uses the bytes of these rows and
    /// channels.
    pub(crate) run: unsafe fn(&PairsTask, &mut [u8], &Channels, &Disjoint<u8>),
}

/// See [`WinogradKernel::input`].
type TransformInput = unsafe fn(&[&[u8]; POSITIONS], usize, u8, &mut [u8], usize);

/// How a version computes Winograd's method.
pub(crate) struct WinogradKernel {
    /// Of the products: the form is [`Form::I16`].
    pub(crate) layout: Layout,
    /// As [`Kernel::multiply`].
    pub(crate) multiply: Multiply,
    /// Transforms a tile's 6×6 pixels: so many channels (a multiple of 16), the zero point, where
    /// the first position's i16 go, and how many numbers later the next position's.
    ///
    /// Safety: the processor has the instructions.
    pub(crate) input: TransformInput,
    /// Transforms a tile's products to sums and these to bytes: the first position's products,
    /// how many numbers later the next position's are, and how many columns there are.
    ///
    /// Safety: the processor has the instructions, the columns are whole vectors, and no one else
    /// uses the bytes of these pixels and channels.
    pub(crate) output: unsafe fn(&[i32], usize, usize, &TilePlace, &Channels, &Disjoint<u8>),
}

/// See [`Kernel::convert`].
pub(crate) type Convert = unsafe fn(&[u8], u8, &mut [u8]);

/// See [`Kernel::multiply`].
pub(crate) type Multiply = unsafe fn(&Block, &mut [i32]);

/// See [`Kernel::convolve`].
pub(crate) type Convolve = unsafe fn(&Block, &Place, &Channels, &Disjoint<u8>);

/// One version.
pub(crate) struct Kernel {
    pub(crate) layout: Layout,
    /// Brings activations into the layout's form: source, zero point, destination.
    ///
    /// Safety: the processor has the instructions.
    pub(crate) convert: Convert,
    /// Computes a block's sums, modulo 2³²: `sums[pixel·columns + column]`.
    ///
    /// Safety: the processor has the instructions, and the block [is sound](Block::is_sound).
    pub(crate) multiply: Multiply,
    /// Computes a block and makes bytes of the sums: see [`crate::channels::requantize`].
    ///
    /// Safety: as above, and no one else uses the bytes of these pixels and channels.
    pub(crate) convolve: Convolve,
    pub(crate) depthwise: DepthwiseKernel,
    pub(crate) winograd: Option<WinogradKernel>,
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
            Self::Avx2 => &crate::x86::avx2::KERNEL,
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => &crate::x86::avxvnni::KERNEL,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => &crate::x86::avx512vnni::KERNEL,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => &crate::aarch64::neon::KERNEL,
            #[cfg(target_arch = "aarch64")]
            Self::Dotprod => &crate::aarch64::dotprod::KERNEL,
            #[cfg(target_arch = "aarch64")]
            Self::I8mm => &crate::aarch64::i8mm::KERNEL,
            _ => &crate::scalar::KERNEL,
        }
    }
}
