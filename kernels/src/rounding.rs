//! Rounding, as every version does it.

/// To the nearest integer, ties to even, for |value| < 2²².
#[inline(always)]
pub(crate) fn round_half_even(value: f32) -> i32 {
    // 1.5·2²³: the sum has no bits left for a fraction, and the addition rounds as IEEE 754 says.
    const MAGIC: f32 = 12_582_912.0;
    ((value + MAGIC) - MAGIC) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_even_neighbour() {
        for (value, expected) in [
            (0.5, 0),
            (1.5, 2),
            (2.5, 2),
            (-0.5, 0),
            (-1.5, -2),
            (-2.5, -2),
            (254.5, 254),
            (3.49, 3),
            (-7.51, -8),
        ] {
            assert_eq!(round_half_even(value), expected, "{value}");
        }
    }
}
