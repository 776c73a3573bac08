//! A whole network as one piece of bytes that runs from where it lies: for microcontrollers, whose
//! flash memory holds the weights and whose RAM one arena. Nothing is allocated, nothing is set up, and
//! damaged bytes are an error and no panic. The results are those of [`Program`](crate::Program), bit
//! for bit.
//!
//! # The bytes
//!
//! All numbers are little endian, and all but single bytes are in groups of four. A header of seven
//! numbers: `AWN\x01`, the bytes of the whole, of the arena, of a picture, how many logits there are,
//! how many layers, 0. Then the layers, each:
//!
//! | numbers | |
//! | --- | --- |
//! | 1 | what it is: [`Kind`] |
//! | 1 | bytes of the rest |
//! | 2 | where its first input begins in the arena, and its length |
//! | 2 | its second input's; 0 and 0 without |
//! | 2 | its output's; 0 and 0 for logits |
//! | | its parameters: see `encode` and `layers`, side by side |

mod cursor;
mod encode;
mod layers;
mod run;
#[cfg(test)]
mod tests;

pub use encode::encode_flat;
pub use run::{FlatError, FlatProgram, FlatSizes};

/// What bytes begin with; the last byte is the layout's version.
const MAGIC: u32 = u32::from_le_bytes(*b"AWN\x01");

/// Numbers of the header.
const HEADER: usize = 7;

/// Output channels that are computed together: their weights lie side by side.
const COLUMNS: usize = 4;

/// No side and no number of channels is larger, so that places fit into 32 bits.
const LARGEST: usize = 1 << 14;

/// What a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Kind {
    Pixels = 1,
    Convolution = 2,
    Depthwise = 3,
    Logits = 4,
    Addition = 5,
    GlobalAveragePool = 6,
    MaxPool = 7,
    Table = 8,
}

impl Kind {
    fn from_number(number: u32) -> Option<Self> {
        [
            Self::Pixels,
            Self::Convolution,
            Self::Depthwise,
            Self::Logits,
            Self::Addition,
            Self::GlobalAveragePool,
            Self::MaxPool,
            Self::Table,
        ]
        .into_iter()
        .find(|kind| *kind as u32 == number)
    }
}
