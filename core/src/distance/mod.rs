//! Euclidean distances from vectors of logits to all centres. What follows from the distances is
//! in `rejection`.
//!
//! The sums of squares are f32. Where such a sum has overflowed, or is so small that its
//! squares may have vanished, the distance is computed again in f64: see [`redo`].

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use crate::centres::Centres;
use crate::kernel::Kernel;

/// A distance below this is computed again in f64: squares as small as 2⁻¹⁰⁴ (24 bits above
/// the smallest normal f32) must not matter in a sum of up to 2²⁴ of them.
pub(crate) const SMALLEST_TRUSTED: f32 = f32::from_bits((127 - 40) << 23); // 2⁻⁴⁰

/// Writes the distances from B vectors (`logits`, B×N) to the M centres (`distances`, B×M).
///
/// A distance is correct only when [`trusted`] says so; else [`redo`] must compute it.
///
/// The lengths must fit and the kernel must be available on this processor.
pub(crate) fn distances(kernel: Kernel, centres: &Centres<'_>, logits: &[f32], distances: &mut [f32]) {
    assert_eq!(logits.len() % centres.logits(), 0);
    assert_eq!(distances.len(), logits.len() / centres.logits() * centres.classes());
    match kernel {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a scorer holds this kernel only where the processor has AVX2 and FMA; the
        // lengths were just checked.
        Kernel::Avx2 => unsafe {
            avx2::distances(centres.values(), centres.logits(), logits, distances);
        },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: NEON is part of the baseline of aarch64; the lengths were just checked.
        Kernel::Neon => unsafe {
            neon::distances(centres.values(), centres.logits(), logits, distances);
        },
        _ => scalar::distances(centres, logits, distances),
    }
}

/// Whether all of these distances came out of f32 without overflow and without loss.
#[inline(always)]
pub(crate) fn trusted(distances: &[f32]) -> bool {
    distances.iter().fold(true, |all, &distance| all & (SMALLEST_TRUSTED..=f32::MAX).contains(&distance))
}

/// Computes the untrusted ones among the distances of one vector again, in f64; a distance
/// larger than [`f32::MAX`] becomes [`f32::MAX`].
///
/// Returns false, with all distances NaN, when the logits are not finite.
#[cold]
pub(crate) fn redo(centres: &Centres<'_>, logits: &[f32], distances: &mut [f32]) -> bool {
    if !logits.iter().all(|logit| logit.is_finite()) {
        distances.fill(f32::NAN);
        return false;
    }
    for (centre, distance) in centres.rows().zip(distances) {
        if !trusted(core::slice::from_ref(distance)) {
            // Squares of f32 differences neither overflow nor vanish in f64.
            let squares = logits.iter().zip(centre).map(|(&x, &c)| {
                let difference = f64::from(x) - f64::from(c);
                difference * difference
            });
            *distance = limited(libm::sqrt(squares.sum()));
        }
    }
    true
}

/// To f32, with what is larger than [`f32::MAX`] given as that.
pub(crate) fn limited(distance: f64) -> f32 {
    (distance as f32).min(f32::MAX)
}
