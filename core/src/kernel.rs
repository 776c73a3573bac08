//! Which instructions compute the score: found out once, when a scorer is made. The
//! computations themselves are in `distance` and `rejection`.

/// A set of instructions that the scorer can be run with.
///
/// All of them give the same answer within the tolerance stated in the [crate docs](crate).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Plain Rust: for every processor.
    Scalar,
    /// AVX2 and FMA of x86-64, 8 numbers at a time.
    Avx2,
    /// NEON of 64-bit ARM, 4 numbers at a time.
    Neon,
}

impl Kernel {
    /// All kernels, on whatever processor.
    pub const ALL: [Self; 3] = [Self::Scalar, Self::Avx2, Self::Neon];

    /// The fastest kernel of this processor.
    pub fn detect() -> Self {
        if Self::Avx2.is_available() {
            Self::Avx2
        } else if Self::Neon.is_available() {
            Self::Neon
        } else {
            Self::Scalar
        }
    }

    /// Whether this processor has the instructions.
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            Self::Avx2 => has_avx2(),
            // Every 64-bit ARM processor of an application profile has NEON.
            Self::Neon => cfg!(all(target_arch = "aarch64", target_feature = "neon")),
        }
    }

    /// The name for logs and tables: `scalar`, `avx2` or `neon`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
        }
    }
}

#[cfg(all(target_arch = "x86_64", feature = "std"))]
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
}

#[cfg(not(all(target_arch = "x86_64", feature = "std")))]
fn has_avx2() -> bool {
    cfg!(all(target_arch = "x86_64", target_feature = "avx2", target_feature = "fma"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detected_kernel_is_available_and_the_scalar_one_always_is() {
        assert!(Kernel::detect().is_available());
        assert!(Kernel::Scalar.is_available());
        assert!(!(Kernel::Avx2.is_available() && Kernel::Neon.is_available()));
    }

    #[test]
    #[cfg(target_arch = "aarch64")]
    fn neon_is_chosen_on_64_bit_arm() {
        assert_eq!(Kernel::detect(), Kernel::Neon);
    }
}
