//! Which instructions compute the layers: found out once, when a network is made ready. What is
//! done with them is in `scalar`, `x86` and `aarch64`.

/// A set of instructions that the layers can be computed with. All give the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Plain Rust, for every processor: the reference of all the others.
    Scalar,
    /// AVX2 of x86-64: `vpmaddwd` on activations and weights widened to 16 bits.
    Avx2,
    /// AVX-VNNI of x86-64: `vpdpbusd`, 256 bits at a time.
    AvxVnni,
    /// AVX-512 with VNNI of x86-64: `vpdpbusd`, 512 bits at a time.
    Avx512Vnni,
    /// NEON of every 64-bit ARM processor (Cortex-A53, A72): `smull` and `sadalp`.
    Neon,
    /// NEON with the dot product (Cortex-A76, A78AE): `sdot`.
    Dotprod,
    /// NEON with the matrix product of 8-bit numbers (Neoverse N2, Cortex-A710): `usmmla`.
    I8mm,
}

/// What the environment variable [`Isa::VARIABLE`] asks for cannot be done here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IsaError {
    /// Not one of the names.
    Unknown,
    /// This processor does not have the instructions.
    Unavailable(Isa),
}

impl core::fmt::Display for IsaError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unknown => {
                write!(f, "{} must be one of", Isa::VARIABLE)?;
                Isa::ALL.iter().try_for_each(|isa| write!(f, " {}", isa.name()))
            }
            Self::Unavailable(isa) => {
                write!(f, "{}={}: this processor lacks these instructions", Isa::VARIABLE, isa.name())
            }
        }
    }
}

impl core::error::Error for IsaError {}

impl Isa {
    /// All of them, on whatever processor, from the plainest to the most capable of its family.
    pub const ALL: [Self; 7] =
        [Self::Scalar, Self::Avx2, Self::AvxVnni, Self::Avx512Vnni, Self::Neon, Self::Dotprod, Self::I8mm];

    /// The environment variable that overrides the choice, for tests and comparisons.
    pub const VARIABLE: &str = "ANCHORWATCH_KERNEL";

    /// The fastest of this processor.
    pub fn detect() -> Self {
        let mut available = Self::ALL.into_iter().rev().filter(|isa| isa.is_available());
        available.next().unwrap_or(Self::Scalar)
    }

    /// What the environment variable [`Self::VARIABLE`] asks for, or else the fastest.
    ///
    /// # Errors
    ///
    /// The variable has an unknown name or one of instructions that this processor lacks.
    #[cfg(feature = "std")]
    pub fn from_environment() -> Result<Self, IsaError> {
        match std::env::var(Self::VARIABLE) {
            Ok(name) if !name.is_empty() => {
                let isa = Self::from_name(&name).ok_or(IsaError::Unknown)?;
                if isa.is_available() { Ok(isa) } else { Err(IsaError::Unavailable(isa)) }
            }
            _ => Ok(Self::detect()),
        }
    }

    /// Whether this processor has the instructions.
    pub fn is_available(self) -> bool {
        self == Self::Scalar || available(self)
    }

    /// The name for logs, tables and the environment variable.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avxvnni",
            Self::Avx512Vnni => "avx512vnni",
            Self::Neon => "neon",
            Self::Dotprod => "dotprod",
            Self::I8mm => "i8mm",
        }
    }

    /// The most multiplications with additions of 8-bit numbers a cycle, in one core of the
    /// processors that the version is written for; `None` where that cannot be said. Winograd's
    /// method needs fewer of them than it is counted for, and may seem to exceed it.
    pub fn peak_macs_per_cycle(self) -> Option<u32> {
        match self {
            Self::Scalar => None,
            // Two `vpmaddwd` of 16 products (Zen 2 to 4, Haswell and later).
            Self::Avx2 => Some(32),
            // Two `vpdpbusd` of 32 (Alder Lake), or 64 (Ice Lake server, Zen 5; Zen 4 has half).
            Self::AvxVnni => Some(64),
            Self::Avx512Vnni => Some(128),
            // One `smull` of 8 (Cortex-A72: multiplications have one pipe).
            Self::Neon => Some(8),
            // Two `sdot` of 16 (Cortex-A76), or two `smmla` of 32.
            Self::Dotprod => Some(32),
            Self::I8mm => Some(64),
        }
    }

    /// The one of that [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|isa| isa.name() == name)
    }
}

/// Whether the instructions are there: asked of the processor with `std`, else of the compiler.
#[cfg(target_arch = "x86_64")]
fn available(isa: Isa) -> bool {
    #[cfg(feature = "std")]
    use std::arch::is_x86_feature_detected as has;
    #[cfg(not(feature = "std"))]
    macro_rules! has {
        ($feature:tt) => {
            cfg!(target_feature = $feature)
        };
    }
    match isa {
        Isa::Avx2 => has!("avx2"),
        Isa::AvxVnni => has!("avx2") && has!("avxvnni"),
        Isa::Avx512Vnni => {
            has!("avx2") && has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx512vnni")
        }
        _ => false,
    }
}

/// Whether the instructions are there: asked of the processor with `std`, else of the compiler.
#[cfg(target_arch = "aarch64")]
fn available(isa: Isa) -> bool {
    #[cfg(feature = "std")]
    use std::arch::is_aarch64_feature_detected as has;
    #[cfg(not(feature = "std"))]
    macro_rules! has {
        ($feature:tt) => {
            cfg!(target_feature = $feature)
        };
    }
    match isa {
        Isa::Neon => has!("neon"),
        Isa::Dotprod => has!("neon") && has!("dotprod"),
        Isa::I8mm => has!("neon") && has!("dotprod") && has!("i8mm"),
        _ => false,
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn available(_: Isa) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detected_one_is_available_and_the_scalar_one_always_is() {
        assert!(Isa::detect().is_available());
        assert!(Isa::Scalar.is_available());
    }

    #[test]
    fn every_name_leads_back_to_its_instructions() {
        for isa in Isa::ALL {
            assert_eq!(Isa::from_name(isa.name()), Some(isa));
        }
        assert_eq!(Isa::from_name("sse9"), None);
    }

    /// Prints them too: the script that emulates processors looks whether they are the right ones.
    #[test]
    fn versions_of_this_processor() {
        let found: std::vec::Vec<&str> =
            Isa::ALL.into_iter().filter(|isa| isa.is_available()).map(Isa::name).collect();
        std::println!("versions here: {}", found.join(" "));
        assert_eq!(found[0], "scalar");
        assert_eq!(found.last(), Some(&Isa::detect().name()));
        #[cfg(target_arch = "aarch64")]
        assert_eq!(found[1], "neon");
    }
}
