//! The product of pixels and a block of output channels, cut into tiles whose sums stay in
//! registers: how a tile is computed is each version's own.

/// Defines `multiply` and, with the last word, `convolve` (see [`crate::kernel::Kernel`]) for
///
/// - `features`: what the processor must have,
/// - `rows` pixels or `fewer` in a tile, which is one or two vectors of four output channels wide,
/// - a function `tile::<R, V>(block, pixels)` that gives the sums of R pixels and V vectors.
macro_rules! tiles {
    (features: $features:literal, rows: $rows:literal, fewer: [$($fewer:literal)*], convolve $(,)?) => {
        // Only the last layer, which has one pixel, wants sums.
        tiles! { features: $features, rows: 1, fewer: [] }

        /// See [`crate::kernel::Kernel::convolve`].
        ///
        /// # Safety
        ///
        /// As there.
        pub(super) unsafe fn convolve(
            block: &$crate::kernel::Block,
            place: &$crate::kernel::Place,
            channels: &$crate::channels::Channels,
            output: &$crate::disjoint::Disjoint<u8>,
        ) {
            // SAFETY: the caller promises what is needed.
            unsafe {
                match block.columns {
                    4 => convolve_columns::<1>(block, place, channels, output),
                    8 => convolve_columns::<2>(block, place, channels, output),
                    _ => unreachable!("a block is at most as wide as the layout says"),
                }
            }
        }

        /// # Safety
        ///
        /// As for `convolve`; the block has V vectors.
        #[target_feature(enable = $features)]
        unsafe fn convolve_columns<const V: usize>(
            block: &$crate::kernel::Block,
            place: &$crate::kernel::Place,
            channels: &$crate::channels::Channels,
            output: &$crate::disjoint::Disjoint<u8>,
        ) {
            let mut start = place.start;
            for pixels in block.pixels.chunks($rows) {
                macro_rules! rows {
                    ($r:literal) => {{
                        // SAFETY: the caller promises what is needed.
                        unsafe {
                            let tile = tile::<$r, V>(block, pixels);
                            $crate::aarch64::requantization::requantize_tile::<$r, V>(
                                &tile, start, place, channels, output,
                            );
                        }
                    }};
                }
                match pixels.len() {
                    $($fewer => rows!($fewer),)*
                    _ => rows!($rows),
                }
                start += pixels.len() * place.step;
            }
        }
    };
    (features: $features:literal, rows: $rows:literal, fewer: [$($fewer:literal)*] $(,)?) => {
        /// See [`crate::kernel::Kernel::multiply`].
        ///
        /// # Safety
        ///
        /// As there.
        pub(super) unsafe fn multiply(block: &$crate::kernel::Block, sums: &mut [i32]) {
            assert!(sums.len() >= block.pixels.len() * block.columns);
            // SAFETY: the caller promises what is needed.
            unsafe {
                match block.columns {
                    4 => multiply_columns::<1>(block, sums),
                    8 => multiply_columns::<2>(block, sums),
                    _ => unreachable!("a block is at most as wide as the layout says"),
                }
            }
        }

        /// # Safety
        ///
        /// As for `multiply`; the block has V vectors, and its sums have room.
        #[target_feature(enable = $features)]
        unsafe fn multiply_columns<const V: usize>(block: &$crate::kernel::Block, sums: &mut [i32]) {
            let chunks = sums.chunks_mut($rows * V * 4);
            for (pixels, sums) in block.pixels.chunks($rows).zip(chunks) {
                macro_rules! rows {
                    ($r:literal) => {{
                        // SAFETY: the caller promises what is needed.
                        let tile = unsafe { tile::<$r, V>(block, pixels) };
                        let (vectors, _) = sums.as_chunks_mut::<4>();
                        for (vector, sums) in tile.as_flattened().iter().zip(vectors) {
                            // SAFETY: there is room for a vector.
                            unsafe { core::arch::aarch64::vst1q_s32(sums.as_mut_ptr(), *vector) };
                        }
                    }};
                }
                match pixels.len() {
                    $($fewer => rows!($fewer),)*
                    _ => rows!($rows),
                }
            }
        }
    };
}

pub(super) use tiles;
