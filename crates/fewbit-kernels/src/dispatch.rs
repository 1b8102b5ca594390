//! Which vector instructions the machine has, as a value that proves it.
//!
//! Every operation is written once, as a [`Kernel`] of plain loops over slices that the compiler
//! turns into vector code. [`InstructionSet::run`] is the same loop compiled for wider registers.
//! Nothing is reordered, and a product is fused with a sum only where the source says `mul_add`, so
//! that all compilations round alike and give equal bits. A machine without fused instructions
//! (x86-64 before 2013) has to compute them in software, and is many times slower.

use crate::simd::{LaneKernel, Plain};

/// A loop to be compiled once per instruction set.
///
/// Implementations mark `run`, and all it calls, `#[inline(always)]`: only what is inlined into
/// the caller is compiled for the caller's registers.
pub(crate) trait Kernel {
    type Output;
    fn run(self) -> Self::Output;
}

/// The instructions an operation is run with; all give equal bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstructionSet {
    /// What every machine of the target has: SSE2 on x86-64, NEON on AArch64.
    Baseline,
    /// Registers of 256 bits, and fused products and sums.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// Registers of 512 bits.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

/// Proof that the machine has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

/// Proof that the machine has AVX-512 F, VL, DQ and BW.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512(());

#[cfg(target_arch = "x86_64")]
impl Avx2 {
    /// The only way in: holding one proves that the check was made.
    pub fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        found.then_some(Self(()))
    }

    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: `self` exists only where AVX2 and FMA were detected.
        unsafe { run_avx2(kernel) }
    }
}

#[cfg(target_arch = "x86_64")]
impl Avx512 {
    /// The only way in: holding one proves that the check was made.
    pub fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512bw");
        found.then_some(Self(()))
    }

    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: `self` exists only where these four were detected.
        unsafe { run_avx512(kernel) }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_lanes_avx2<K: LaneKernel>(kernel: K, proof: Avx2) -> K::Output {
    kernel.run(proof)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
fn run_lanes_avx512<K: LaneKernel>(kernel: K, proof: Avx512) -> K::Output {
    kernel.run(proof)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

impl InstructionSet {
    /// The widest set this machine has.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(proof) = Avx512::detect() {
                return Self::Avx512(proof);
            }
            if let Some(proof) = Avx2::detect() {
                return Self::Avx2(proof);
            }
        }
        Self::Baseline
    }

    /// Every set this machine has, the narrowest first; for tests and benches.
    pub fn available() -> Vec<Self> {
        let mut sets = vec![Self::Baseline];
        #[cfg(target_arch = "x86_64")]
        {
            sets.extend(Avx2::detect().map(Self::Avx2));
            sets.extend(Avx512::detect().map(Self::Avx512));
        }
        sets
    }

    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Self::Baseline => kernel.run(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(proof) => proof.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(proof) => proof.run(kernel),
        }
    }

    pub(crate) fn run_lanes<K: LaneKernel>(self, kernel: K) -> K::Output {
        match self {
            Self::Baseline => kernel.run(Plain),
            // SAFETY: the proof exists only where AVX2 and FMA were detected.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(proof) => unsafe { run_lanes_avx2(kernel, proof) },
            // SAFETY: the proof exists only where these sets were detected.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(proof) => unsafe { run_lanes_avx512(kernel, proof) },
        }
    }
}
