//! e to a power that is not positive, in f32, without branches, so that the compiler can
//! compute several at a time. The softmin needs no other power.

/// Below this the result is 0 (e to it is 1.6·10⁻³⁸, the last before subnormal numbers).
const LOWEST: f32 = -87.0;

/// `e^x` for `x ≤ 0`, within 2 roundings (2·2⁻²³) of the exact value; 0 for `x < −87`, also for
/// −∞.
#[inline(always)]
pub(crate) fn exp_of_non_positive(x: f32) -> f32 {
    // e^x = 2^n · e^r with n whole and |r| ≤ ln 2 / 2; the constants are those of Cephes' expf.
    const ROUND: f32 = 12_582_912.0; // 1.5·2^23: adding it rounds to a whole number
    const LN2_HIGH: f32 = 355.0 / 512.0; // few bits, so that n times it is exact
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let limited = if x > LOWEST { x } else { LOWEST };
    let shifted = limited * core::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = limited - n * LN2_HIGH - n * LN2_LOW;
    let mut series = 1.987_569_1e-4;
    series = series * r + 1.398_2e-3;
    series = series * r + 8.333_452e-3;
    series = series * r + 4.166_579_6e-2;
    series = series * r + 1.666_666_5e-1;
    series = series * r + 0.5;
    let power = series * (r * r) + r + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits());
    let scale = f32::from_bits(exponent.wrapping_add(127) << 23);
    if x < LOWEST { 0.0 } else { power * scale }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_within_two_roundings_of_the_exact_power() {
        let steps = 400_000;
        for step in 0..=steps {
            let x = -87.0 * step as f32 / steps as f32;
            let exact = libm::exp(f64::from(x));
            let relative = (f64::from(exp_of_non_positive(x)) / exact - 1.0).abs();
            assert!(relative <= 2.0 * f64::from(f32::EPSILON), "{x}: {relative}");
        }
    }

    #[test]
    fn zero_gives_one_and_very_negative_numbers_give_zero() {
        assert_eq!(exp_of_non_positive(0.0), 1.0);
        assert_eq!(exp_of_non_positive(-0.0), 1.0);
        for x in [-87.1, -1e3, -1e30, f32::MIN, f32::NEG_INFINITY] {
            assert_eq!(exp_of_non_positive(x), 0.0);
        }
        assert!(exp_of_non_positive(-87.0) > 0.0);
    }
}
