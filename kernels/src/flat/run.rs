//! A network's bytes, and running them.

use core::fmt;

use super::cursor::Cursor;
use super::layers::{self, Tensors};
use super::{HEADER, Kind, MAGIC};

/// A network that runs from where its bytes lie.
#[derive(Clone, Copy, Debug)]
pub struct FlatProgram<'a> {
    layers: &'a [u8],
    count: u32,
    arena: usize,
    picture: usize,
    logits: usize,
}

/// What a network needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlatSizes {
    /// Bytes of the arena that it runs in.
    pub arena: usize,
    /// Bytes of a picture: height × width × colours.
    pub picture: usize,
    /// How many logits it gives.
    pub logits: usize,
}

/// Why a network cannot be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlatError {
    /// The bytes are no network, or one of a newer version.
    NoNetwork,
    /// The bytes are damaged.
    Damaged,
    /// The arena is too small.
    Arena {
        /// The bytes that it needs.
        needed: usize,
    },
    /// The picture has another length.
    Picture {
        /// The bytes that it should have.
        needed: usize,
    },
    /// The room for logits has another length.
    Logits {
        /// How many there are.
        needed: usize,
    },
}

impl fmt::Display for FlatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNetwork => f.write_str("these bytes are no network that this program can run"),
            Self::Damaged => f.write_str("the network's bytes are damaged"),
            Self::Arena { needed } => write!(f, "the network needs an arena of {needed} bytes"),
            Self::Picture { needed } => write!(f, "the network takes pictures of {needed} bytes"),
            Self::Logits { needed } => write!(f, "the network gives {needed} logits"),
        }
    }
}

impl core::error::Error for FlatError {}

impl<'a> FlatProgram<'a> {
    /// Takes bytes of [`encode_flat`](crate::encode_flat).
    ///
    /// # Errors
    ///
    /// When they are not, or not all of them. Other damage is noticed when it is run.
    pub fn new(bytes: &'a [u8]) -> Result<Self, FlatError> {
        let mut cursor = Cursor(bytes);
        let mut next = || cursor.size().ok_or(FlatError::NoNetwork);
        let [magic, total, arena, picture, logits, count, _]: [usize; HEADER] =
            [next()?, next()?, next()?, next()?, next()?, next()?, next()?];
        if magic != MAGIC as usize {
            return Err(FlatError::NoNetwork);
        }
        let layers = total.checked_sub(HEADER * 4).and_then(|length| cursor.bytes(length));
        Ok(Self { layers: layers.ok_or(FlatError::Damaged)?, count: count as u32, arena, picture, logits })
    }

    /// What it needs, known when the firmware is built; all 0 if these bytes are no network.
    pub const fn sizes_of(bytes: &[u8]) -> FlatSizes {
        const fn number(bytes: &[u8], at: usize) -> usize {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize
        }
        if bytes.len() < HEADER * 4 || number(bytes, 0) != MAGIC as usize {
            return FlatSizes { arena: 0, picture: 0, logits: 0 };
        }
        FlatSizes { arena: number(bytes, 8), picture: number(bytes, 12), logits: number(bytes, 16) }
    }

    /// The bytes of the arena that it runs in.
    pub fn arena_bytes(&self) -> usize {
        self.arena
    }

    /// The bytes of a picture: height × width × colours.
    pub fn picture_bytes(&self) -> usize {
        self.picture
    }

    /// How many logits it gives.
    pub fn logits(&self) -> usize {
        self.logits
    }

    /// Runs all layers on a picture. What the arena holds before is of no matter.
    ///
    /// # Errors
    ///
    /// When a length is not what it should be, or the bytes are damaged; the logits are of no use then.
    pub fn run(&self, picture: &[u8], arena: &mut [u8], logits: &mut [f32]) -> Result<(), FlatError> {
        if picture.len() != self.picture {
            return Err(FlatError::Picture { needed: self.picture });
        }
        if logits.len() != self.logits {
            return Err(FlatError::Logits { needed: self.logits });
        }
        let arena = arena.get_mut(..self.arena).ok_or(FlatError::Arena { needed: self.arena })?;
        let mut cursor = Cursor(self.layers);
        for _ in 0..self.count {
            layer(&mut cursor, picture, arena, logits).ok_or(FlatError::Damaged)?;
        }
        Ok(())
    }
}

/// Runs the next layer; `None` when its bytes make no sense.
fn layer(cursor: &mut Cursor, picture: &[u8], arena: &mut [u8], logits: &mut [f32]) -> Option<()> {
    let kind = Kind::from_number(cursor.number()?)?;
    let length = cursor.size()?;
    let mut own = Cursor(cursor.bytes(length)?);
    let mut place = || Some((own.size()?, own.size()?));
    let (first, second, output) = (place()?, place()?, place()?);
    let Tensors { first, second, output } = split(arena, first, second, output)?;
    match kind {
        Kind::Pixels => layers::pixels(own, picture, output),
        Kind::Convolution => layers::convolution(own, first, output),
        Kind::Depthwise => layers::depthwise(own, first, output),
        Kind::Logits => layers::logits(own, first, logits),
        Kind::Addition => layers::addition(own, first, second, output),
        Kind::GlobalAveragePool => layers::global_average_pool(own, first, output),
        Kind::MaxPool => layers::max_pool(own, first, output),
        Kind::Table => layers::table(own, first, output),
    }
}

/// A layer's tensors in the arena. Inputs and output do not overlap.
fn split(
    arena: &mut [u8],
    first: (usize, usize),
    second: (usize, usize),
    output: (usize, usize),
) -> Option<Tensors<'_>> {
    let (before, rest) = arena.split_at_mut_checked(output.0)?;
    let (out, after) = rest.split_at_mut_checked(output.1)?;
    let (before, after) = (&*before, &*after);
    let end = output.0.checked_add(output.1)?;
    let input = |(start, length): (usize, usize)| {
        if start < output.0 {
            before.get(start..)?.get(..length)
        } else if length == 0 {
            Some(&[][..])
        } else {
            after.get(start.checked_sub(end)?..)?.get(..length)
        }
    };
    Some(Tensors { first: input(first)?, second: input(second)?, output: out })
}
