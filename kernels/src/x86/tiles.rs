//! The product of pixels and a block of output channels, for any of the vector lengths and dot
//! products of x86-64: it differs only in these.

/// Defines `multiply` and, with the last argument, `convolve` (see [`crate::kernel::Kernel`]) for
///
/// - `features`: what the processor must have,
/// - `rows` pixels or `fewer`, and so many `vectors` of output channels in a tile,
/// - `element`: an activation's type, of which a step of the depth makes up 32 bits,
/// - `dot(sums, activations, weights)`: adds the dot products of a step,
/// - `set1`, `zero`, `load` and `store` for the vectors,
/// - `six_by_two(rows, weights, steps, sums)`, where the version has one: adds a run to the sums of 6
///   pixels and 2 vectors faster than the compiler's code does,
/// - `constants`: a type whose `new::<V>(channels, place)` is what is needed to make bytes of sums, with
///   their `bias`, and whose `store(tile, start, output)` does that.
macro_rules! tiles {
    (
        features: $features:literal, lanes: $lanes:literal, rows: $rows:literal,
        fewer: [$($fewer:literal)+], vectors: [$($vectors:literal)+], element: $element:ty,
        zero: $zero:ident, set1: $set1:ident, load: $load:ident, store: $store:ident, dot: $dot:ident,
        $(six_by_two: $six_by_two:ident,)? constants: $constants:ident $(,)?
    ) => {
        tiles! {
            features: $features, lanes: $lanes, rows: $rows, fewer: [$($fewer)+],
            vectors: [$($vectors)+], element: $element,
            zero: $zero, set1: $set1, load: $load, store: $store, dot: $dot,
            $(six_by_two: $six_by_two,)?
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
            let constants = $constants::<V>::new(channels, place);
            let mut start = place.start;
            for pixels in block.pixels.chunks($rows) {
                macro_rules! rows {
                    ($r:literal) => {{
                        // SAFETY: the caller promises what is needed; the constants are those above.
                        unsafe {
                            let constants = &*$crate::x86::tiles::hidden(&raw const constants);
                            let tile = tile::<$r, V>(block, pixels, constants.bias);
                            constants.store::<$r>(&tile, start, output);
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
        zero: $zero:ident, set1: $set1:ident, load: $load:ident, store: $store:ident, dot: $dot:ident,
        $(six_by_two: $six_by_two:ident $(,)?)?
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
                        let tile = unsafe { tile::<$r, V>(block, pixels, [$zero(); V]) };
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

        /// The sums of R pixels and V vectors of output channels, each added to what it begins with.
        ///
        /// It is always inlined, into functions that have the features: its sums are to stay in
        /// registers.
        ///
        /// # Safety
        ///
        /// The processor has the features, the block is sound and has V vectors.
        #[inline(always)]
        unsafe fn tile<const R: usize, const V: usize>(
            block: &$crate::kernel::Block,
            pixels: &[usize],
            initial: [Vector; V],
        ) -> [[Vector; V]; R] {
            const DEPTH: usize = 4 / size_of::<$element>();
            // SAFETY: the caller promises the features, and that the block is sound: runs and weights
            // are as long as they are read here.
            unsafe {
                let pixels: [usize; R] = core::array::from_fn(|row| pixels[row]);
                let activations = block.activations.as_ptr().cast::<$element>();
                let mut weights = block.weights.as_ptr().cast::<Vector>();
                let mut sums = [initial; R];
                for &run in block.runs {
                    let rows: [*const $element; R] =
                        core::array::from_fn(|row| activations.add(pixels[row] + run));
                    $(if R == 6 && V == 2 {
                        let sums = (&raw mut sums).cast::<[[Vector; 2]; 6]>();
                        let steps = block.run / DEPTH;
                        $six_by_two(&*(&raw const rows).cast::<[*const $element; 6]>(), weights, steps, &mut *sums);
                        weights = weights.add(V * steps);
                        continue;
                    })?
                    for step in (0..block.run).step_by(DEPTH) {
                        let mut w = [$zero(); V];
                        for (vector, w) in w.iter_mut().enumerate() {
                            *w = $load(weights.add(vector).cast());
                        }
                        weights = weights.add(V);
                        for (row, sums) in rows.iter().zip(&mut sums) {
                            let x = $set1(row.add(step).cast::<i32>().read_unaligned());
                            for (sum, w) in sums.iter_mut().zip(w) {
                                *sum = $dot(*sum, x, w);
                            }
                        }
                    }
                }
                sums
            }
        }
    };
}

pub(super) use tiles;

/// The same pointer, of which the compiler does not know that it is the same: what is behind it is
/// read where it is needed, and does not take registers away from a tile's sums.
#[inline(always)]
#[allow(clippy::pointers_in_nomem_asm_block)] // it only passes through
pub(super) fn hidden<T>(mut pointer: *const T) -> *const T {
    // SAFETY: nothing is done.
    unsafe {
        core::arch::asm!("/* {0} */", inout(reg) pointer, options(nomem, nostack, preserves_flags));
    }
    pointer
}
