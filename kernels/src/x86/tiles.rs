//! The product of pixels and a block of output channels, for any of the vector lengths and dot
//! products of x86-64: it differs only in these.

/// Defines `multiply` and, with the last argument, `convolve` (see [`crate::kernel::Kernel`]) for
///
/// - `features`: what the processor must have,
/// - `rows` pixels or `fewer`, and so many `vectors` of output channels in a tile,
/// - `element`: an activation's type, of which a step of the depth makes up 32 bits,
/// - `dot(sums, activations, weights)`: adds the dot products of a step,
/// - `set1`, `zero`, `load` and `store` for the vectors,
/// - `requantize(tile, start, place, channels, output)`: makes bytes of a tile's sums.
macro_rules! tiles {
    (
        features: $features:literal, lanes: $lanes:literal, rows: $rows:literal,
        fewer: [$($fewer:literal)+], vectors: [$($vectors:literal)+], element: $element:ty,
        zero: $zero:ident, set1: $set1:ident, load: $load:ident, store: $store:ident, dot: $dot:ident,
        requantize: $requantize:ident $(,)?
    ) => {
        tiles! {
            features: $features, lanes: $lanes, rows: $rows, fewer: [$($fewer)+],
            vectors: [$($vectors)+], element: $element,
            zero: $zero, set1: $set1, load: $load, store: $store, dot: $dot,
        }

        /// See [`crate::kernel::Kernel::convolve`].
        ///
        /// # Safety
        ///
        /// As there.
        pub(crate) unsafe fn convolve(
            block: &$crate::kernel::Block,
            place: &$crate::kernel::Place,
            channels: &$crate::channels::Channels,
            output: &$crate::disjoint::Disjoint<u8>,
        ) {
            // SAFETY: the caller promises what is needed.
            unsafe {
                match block.columns / $lanes {
                    $($vectors => convolve_columns::<$vectors>(block, place, channels, output),)+
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
                            $requantize::<$r, V>(&tile, start, place, channels, output);
                        }
                    }};
                }
                match pixels.len() {
                    $($fewer => rows!($fewer),)+
                    _ => rows!($rows),
                }
                start += pixels.len() * place.step;
            }
        }
    };
    (
        features: $features:literal, lanes: $lanes:literal, rows: $rows:literal,
        fewer: [$($fewer:literal)+], vectors: [$($vectors:literal)+], element: $element:ty,
        zero: $zero:ident, set1: $set1:ident, load: $load:ident, store: $store:ident, dot: $dot:ident $(,)?
    ) => {
        /// See [`crate::kernel::Kernel::multiply`].
        ///
        /// # Safety
        ///
        /// As there.
        pub(crate) unsafe fn multiply(block: &$crate::kernel::Block, sums: &mut [i32]) {
            assert!(sums.len() >= block.pixels.len() * block.columns);
            // SAFETY: the caller promises what is needed.
            unsafe {
                match block.columns / $lanes {
                    $($vectors => multiply_columns::<$vectors>(block, sums),)+
                    _ => unreachable!("a block is at most as wide as the layout says"),
                }
            }
        }

        /// # Safety
        ///
        /// As for `multiply`; the block has V vectors, and its sums have room.
        #[target_feature(enable = $features)]
        unsafe fn multiply_columns<const V: usize>(block: &$crate::kernel::Block, sums: &mut [i32]) {
            let mut chunks = sums.chunks_mut($rows * V * $lanes);
            for pixels in block.pixels.chunks($rows) {
                let Some(sums) = chunks.next() else { return };
                macro_rules! rows {
                    ($r:literal) => {{
                        // SAFETY: the caller promises what is needed.
                        let tile = unsafe { tile::<$r, V>(block, pixels) };
                        for (row, sums) in tile.iter().zip(sums.chunks_exact_mut(V * $lanes)) {
                            for (vector, sums) in row.iter().zip(sums.chunks_exact_mut($lanes)) {
                                // SAFETY: there is room for a vector.
                                unsafe { $store(sums.as_mut_ptr().cast(), *vector) };
                            }
                        }
                    }};
                }
                match pixels.len() {
                    $($fewer => rows!($fewer),)+
                    _ => rows!($rows),
                }
            }
        }

        /// The sums of R pixels and V vectors of output channels.
        ///
        /// # Safety
        ///
        /// The processor has the features, the block is sound and has V vectors.
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn tile<const R: usize, const V: usize>(
            block: &$crate::kernel::Block,
            pixels: &[usize],
        ) -> [[Vector; V]; R] {
            const DEPTH: usize = 4 / size_of::<$element>();
            let pixels: [usize; R] = core::array::from_fn(|row| pixels[row]);
            let activations = block.activations.as_ptr().cast::<$element>();
            let mut weights = block.weights.as_ptr().cast::<Vector>();
            let mut sums = [[$zero(); V]; R];
            for &run in block.runs {
                // SAFETY: the block is sound: runs and weights are as long as they are read here.
                unsafe {
                    let rows: [*const $element; R] =
                        core::array::from_fn(|row| activations.add(pixels[row] + run));
                    for step in (0..block.run).step_by(DEPTH) {
                        let w: [Vector; V] = core::array::from_fn(|vector| $load(weights.add(vector).cast()));
                        weights = weights.add(V);
                        for row in 0..R {
                            let x = $set1(rows[row].add(step).cast::<i32>().read_unaligned());
                            for vector in 0..V {
                                sums[row][vector] = $dot(sums[row][vector], x, w[vector]);
                            }
                        }
                    }
                }
            }
            sums
        }
    };
}

pub(super) use tiles;
