//! Bytes that begin on a cache line: packed weights and workspaces, read and written as numbers
//! of several widths by the SIMD versions.

use alloc::vec::Vec;

/// One cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A growable run of zeroed bytes, aligned to 64.
#[derive(Default)]
pub(crate) struct AlignedBytes {
    lines: Vec<Line>,
}

impl AlignedBytes {
    /// At least that many zeros.
    pub(crate) fn zeroed(length: usize) -> Self {
        let mut bytes = Self::default();
        bytes.grow(length);
        bytes
    }

    /// Makes it at least that long; what was in it stays.
    pub(crate) fn grow(&mut self, length: usize) {
        let lines = length.div_ceil(64);
        if lines > self.lines.len() {
            self.lines.resize(lines, Line([0; 64]));
        }
    }

    /// All bytes: a multiple of 64.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `Line` is 64 bytes without padding, and the length is that of the vector.
        unsafe { core::slice::from_raw_parts(self.lines.as_ptr().cast(), self.lines.len() * 64) }
    }

    /// All bytes: a multiple of 64.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; any byte is a valid part of a `Line`.
        unsafe { core::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.lines.len() * 64) }
    }
}

/// Memory that layers need while they run, owned by the caller and shared by all layers of a
/// network, one after another. It grows to what the largest layer asks for, and then stays.
#[derive(Default)]
pub struct Workspace {
    memory: AlignedBytes,
}

impl Workspace {
    /// With room for that many bytes at once; see each layer's `workspace_bytes`.
    pub fn with_bytes(bytes: usize) -> Self {
        Self { memory: AlignedBytes::zeroed(bytes) }
    }

    /// The bytes that it holds now.
    pub fn bytes(&self) -> usize {
        self.memory.bytes().len()
    }

    /// Room for that many bytes, with whatever the last layer left there.
    pub(crate) fn room(&mut self, bytes: usize) -> &mut [u8] {
        self.memory.grow(bytes);
        &mut self.memory.bytes_mut()[..bytes]
    }

    /// As [`Self::room`], for 32-bit numbers.
    pub(crate) fn room_i32(&mut self, length: usize) -> &mut [i32] {
        let bytes = self.room(length * size_of::<i32>());
        // SAFETY: lines are aligned to 64, any bytes are valid numbers, and it is as long.
        unsafe { core::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), length) }
    }
}
