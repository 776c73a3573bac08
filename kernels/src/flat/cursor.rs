//! Reading numbers one after the other.

/// Bytes that are still to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    /// The next bytes.
    pub(super) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// The next number.
    pub(super) fn number(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*bytes))
    }

    /// The next number, as a length or a place.
    pub(super) fn size(&mut self) -> Option<usize> {
        self.number().map(|number| number as usize)
    }

    /// The next number, which is one of i32.
    pub(super) fn signed(&mut self) -> Option<i32> {
        self.number().map(u32::cast_signed)
    }

    /// The next number, which is one of f32.
    pub(super) fn float(&mut self) -> Option<f32> {
        self.number().map(f32::from_bits)
    }
}
