//! Which instruction set runs the kernels: found once, named by the user if wanted, passed on.

use std::fmt;
use std::str::FromStr;

/// An instruction set with an implementation here. All of them give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// Plain Rust without any extension, the specification itself. Slow where the machine has no
    /// fused multiply-add in its baseline.
    Scalar,
    /// x86-64 with AVX2, FMA and F16C: eight lanes to a register.
    Avx2,
    /// The same with AVX-VNNI: dot products of bytes.
    AvxVnni,
    /// x86-64 with AVX-512 (F, BW, DQ, VL): sixteen lanes to a register.
    Avx512,
    /// AArch64 with NEON: four lanes to a register.
    Neon,
}

impl Isa {
    /// Every instruction set this machine can run, slowest first; `Scalar` is always there.
    pub fn available() -> Vec<Isa> {
        [Isa::Scalar, Isa::Neon, Isa::Avx2, Isa::AvxVnni, Isa::Avx512]
            .into_iter()
            .filter(|isa| isa.is_available())
            .collect()
    }

    /// The fastest instruction set of this machine.
    pub fn best() -> Isa {
        Isa::available().last().copied().unwrap_or(Isa::Scalar)
    }

    /// The instruction set named by the environment variable `UNDERSTORY_ISA`, or the best one if
    /// it is not set.
    ///
    /// Errors: [`IsaError`] for a name that is unknown or that this machine cannot run.
    pub fn from_env() -> Result<Isa, IsaError> {
        let Some(value) = std::env::var_os("UNDERSTORY_ISA") else { return Ok(Isa::best()) };
        let value = value.to_string_lossy();
        match value.parse::<Isa>() {
            Ok(isa) if isa.is_available() => Ok(isa),
            _ => Err(IsaError { value: value.into_owned() }),
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn is_available(self) -> bool {
        match self {
            Isa::Scalar => true,
            Isa::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
            }
            Isa::AvxVnni => Isa::Avx2.is_available() && is_x86_feature_detected!("avxvnni"),
            Isa::Avx512 => {
                Isa::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            Isa::Neon => false,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn is_available(self) -> bool {
        // NEON is part of every AArch64 baseline that Rust supports.
        self == Isa::Scalar || (self == Isa::Neon && cfg!(target_arch = "aarch64"))
    }

    fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::AvxVnni => "avx-vnni",
            Isa::Avx512 => "avx512",
            Isa::Neon => "neon",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = IsaError;

    fn from_str(value: &str) -> Result<Isa, IsaError> {
        [Isa::Scalar, Isa::Avx2, Isa::AvxVnni, Isa::Avx512, Isa::Neon]
            .into_iter()
            .find(|isa| isa.name() == value)
            .ok_or_else(|| IsaError { value: value.to_owned() })
    }
}

/// An instruction set was asked for that is unknown or that this machine lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsaError {
    /// What was asked for.
    pub value: String,
}

impl fmt::Display for IsaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = Isa::available().into_iter().map(Isa::name).collect();
        write!(
            f,
            "no instruction set {:?} on this machine (available: {})",
            self.value,
            names.join(", ")
        )
    }
}

impl std::error::Error for IsaError {}

/// Proof that the machine can run an instruction set: the only way in is the check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu(Isa);

impl Cpu {
    /// Checks `isa` against the machine.
    pub(crate) fn new(isa: Isa) -> Result<Cpu, IsaError> {
        if isa.is_available() { Ok(Cpu(isa)) } else { Err(IsaError { value: isa.to_string() }) }
    }

    pub(crate) fn isa(self) -> Isa {
        self.0
    }

    /// Whether AVX-512 comes with its dot products of bytes (VNNI).
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn has_byte_products(self) -> bool {
        self.0 == Isa::Avx512 && is_x86_feature_detected!("avx512vnni")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_unknown_ones_are_refused_with_the_choices() {
        for isa in [Isa::Scalar, Isa::Avx2, Isa::AvxVnni, Isa::Avx512, Isa::Neon] {
            assert_eq!(isa.to_string().parse(), Ok(isa));
        }
        let message = "sse9".parse::<Isa>().expect_err("there is no sse9").to_string();
        assert!(message.contains("sse9") && message.contains("scalar"), "{message}");
    }

    #[test]
    fn an_isa_of_another_architecture_is_not_available() {
        let foreign = if cfg!(target_arch = "aarch64") { Isa::Avx2 } else { Isa::Neon };
        assert!(!Isa::available().contains(&foreign));
        assert!(Cpu::new(foreign).is_err());
        assert!(Isa::available().contains(&Isa::best()));
    }
}
