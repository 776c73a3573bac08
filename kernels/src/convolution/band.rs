//! A band of input rows with its padding, in the form that the instructions want: what tiles and
//! depthwise taps read, so that none of them has to know where the picture ends.

use super::ConvolutionSpec;
use crate::kernel::Form;

/// A band and its outputs are at most so many bytes, if they can be: they stay in the cache while
/// one block of output channels after another is computed.
const BYTES: usize = 24 * 1024;

/// A band has at least so many pixels: fewer would not make up for reading the weights.
const PIXELS: usize = 24;

/// How bands are cut out of the input. Lengths are in numbers, not bytes.
pub(crate) struct Bands {
    height: usize,
    /// An input row without padding.
    length: usize,
    top: usize,
    left: usize,
    /// An input row with padding.
    pub(crate) row: usize,
    kernel_height: usize,
    pub(crate) stride: usize,
    zero_point: u8,
    form: Form,
    /// Numbers after the last row that may be read, and are 0.
    slack: usize,
    /// Whether the input itself can be the band.
    pub(crate) in_place: bool,
    /// Output rows of the largest band.
    pub(crate) rows: usize,
    pub(crate) output_height: usize,
}

impl Bands {
    /// The spec has been checked. Without slack, unpadded inputs are used in place if the form
    /// is that of the input.
    pub(crate) fn new(spec: &ConvolutionSpec, zero_point: u8, form: Form, slack: usize) -> Self {
        let [output_height, output_width] = spec.output_size().unwrap_or_default();
        let [top, left, _, right] = spec.padding;
        let (stride, kernel_height) = (spec.stride[0], spec.kernel[0]);
        let row = (left + spec.width + right) * spec.channels;
        let in_place = spec.padding == [0; 4] && form == Form::U8 && slack == 0;
        let fixed = kernel_height.saturating_sub(stride) * row * form.bytes();
        let each = stride * row * form.bytes() + output_width * spec.outputs;
        let rows = (BYTES.saturating_sub(fixed) / each).max(PIXELS.div_ceil(output_width));
        Self {
            height: spec.height,
            length: spec.width * spec.channels,
            top,
            left: left * spec.channels,
            row,
            kernel_height,
            stride,
            zero_point,
            form,
            slack,
            in_place,
            rows: rows.min(output_height),
            output_height,
        }
    }

    /// Input rows of a band with so many output rows.
    fn input_rows(&self, rows: usize) -> usize {
        (rows - 1) * self.stride + self.kernel_height
    }

    /// Bytes of the largest band; 0 if the input is used in place.
    pub(crate) fn bytes(&self) -> usize {
        let numbers = self.input_rows(self.rows) * self.row + self.slack;
        if self.in_place { 0 } else { (numbers * self.form.bytes()).next_multiple_of(64) }
    }

    /// The band of output rows `first..first + rows`, in place or made in `room`.
    pub(crate) fn make<'a>(
        &self,
        input: &'a [u8],
        first: usize,
        rows: usize,
        room: &'a mut [u8],
        convert: unsafe fn(&[u8], u8, &mut [u8]),
    ) -> &'a [u8] {
        let start = first * self.stride;
        if self.in_place {
            return &input[start * self.row..];
        }
        let bytes = self.form.bytes();
        let convert = |source: &[u8], destination: &mut [u8]| {
            // SAFETY: the instructions were available when the layer was made.
            unsafe { convert(source, self.zero_point, destination) };
        };
        let input_rows = self.input_rows(rows);
        let (padded, rest) = room.split_at_mut(input_rows * self.row * bytes);
        if self.row == self.length && self.top == 0 && start + input_rows <= self.height {
            convert(&input[start * self.row..][..input_rows * self.row], padded);
        } else {
            for (index, row) in padded.chunks_exact_mut(self.row * bytes).enumerate() {
                let y = (start + index).wrapping_sub(self.top);
                if y >= self.height {
                    self.form.fill(self.zero_point, row);
                    continue;
                }
                let (left, row) = row.split_at_mut(self.left * bytes);
                let (middle, right) = row.split_at_mut(self.length * bytes);
                self.form.fill(self.zero_point, left);
                convert(&input[y * self.length..][..self.length], middle);
                self.form.fill(self.zero_point, right);
            }
        }
        rest[..self.slack * bytes].fill(0);
        room
    }
}
