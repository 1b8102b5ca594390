//! From a logit to a number of bits and to a step: the two parametrisations and their slopes.

use std::f32::consts::LN_2;
use std::fmt;

use crate::math::{self, Sigmoid};

/// Most bits a law may allow, as of a stored width.
pub const MAX_BITS: f32 = 16.0;

/// Bits below which the noise grows no further.
///
/// The step `1 / (2^b - 1)` is infinite at `b = 0`. Below half a bit it keeps its value there, 2.41
/// times the range, and does not depend on the bits: its derivative is 0. This is where we depart
/// from the paper, which does not go below 1 bit.
pub const MIN_BITS_OF_NOISE: f32 = 0.5;

/// What is linear in `t = sigmoid(logit)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Parametrisation {
    /// The bits: `b = min + (max - min) t`. The default of DiffQ.
    #[default]
    Bits,
    /// The logarithm of the step `u`: `u = exp(t ln u(max) + (1 - t) ln u(min))`,
    /// `b = log2(1 + 1/u)`, with `u(b) = 1 / (2^b - 1)`; never below [`MIN_BITS_OF_NOISE`] bits.
    Noise,
}

/// How a logit becomes bits: two bounds and the parametrisation between them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BitsLaw {
    min_bits: f32,
    max_bits: f32,
    parametrisation: Parametrisation,
}

/// Bounds of bits that make no law.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BitsLawError {
    /// The lower bound found.
    pub min_bits: f32,
    /// The upper bound found.
    pub max_bits: f32,
}

impl fmt::Display for BitsLawError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min_bits, max_bits } = self;
        write!(formatter, "bits from {min_bits} to {max_bits}: 0 <= min <= max <= {MAX_BITS} is needed")
    }
}

impl std::error::Error for BitsLawError {}

impl BitsLaw {
    /// A law between two numbers of bits.
    ///
    /// # Errors
    /// [`BitsLawError`] unless `0 <= min_bits <= max_bits <= 16`.
    pub fn new(min_bits: f32, max_bits: f32, parametrisation: Parametrisation) -> Result<Self, BitsLawError> {
        // A NaN fails both comparisons.
        if 0.0 <= min_bits && min_bits <= max_bits && max_bits <= MAX_BITS {
            Ok(Self { min_bits, max_bits, parametrisation })
        } else {
            Err(BitsLawError { min_bits, max_bits })
        }
    }

    /// The lower bound.
    pub const fn min_bits(&self) -> f32 {
        self.min_bits
    }

    /// The upper bound.
    pub const fn max_bits(&self) -> f32 {
        self.max_bits
    }

    /// What is linear in the sigmoid of the logit.
    pub const fn parametrisation(&self) -> Parametrisation {
        self.parametrisation
    }

    /// The logit of a number of bits, held within ±30 (t within 1e-13 of 0 or 1); 0 where the two
    /// bounds are one.
    pub fn logit_of(&self, bits: f32) -> f32 {
        let (min, max, bits) = (f64::from(self.min_bits), f64::from(self.max_bits), f64::from(bits));
        let (part, whole) = match self.parametrisation {
            Parametrisation::Bits => (bits - min, max - min),
            Parametrisation::Noise => (ln_step(min) - ln_step(bits), ln_step(min) - ln_step(max)),
        };
        if whole == 0.0 {
            return 0.0;
        }
        let t = (part / whole).clamp(0.0, 1.0);
        ((t / (1.0 - t)).ln() as f32).clamp(-30.0, 30.0)
    }

    pub(crate) fn over_bits(&self) -> OverBits {
        OverBits { min: self.min_bits, span: self.max_bits - self.min_bits }
    }

    pub(crate) fn over_noise(&self) -> OverNoise {
        let coarsest = ln_step(f64::from(self.min_bits));
        let finest = ln_step(f64::from(self.max_bits));
        OverNoise { ln_coarsest: coarsest as f32, span: (coarsest - finest) as f32 }
    }
}

/// `ln u(b)`, with `b` held above [`MIN_BITS_OF_NOISE`].
fn ln_step(bits: f64) -> f64 {
    -(bits.max(f64::from(MIN_BITS_OF_NOISE)).exp2() - 1.0).ln()
}

/// What both parametrisations answer, given `t = sigmoid(l)` and its slope.
pub(crate) trait Curve: Copy + Send + Sync {
    /// `b(l)`.
    fn bits(self, sigmoid: Sigmoid) -> f32;
    /// `db/dl`.
    fn bits_slope(self, sigmoid: Sigmoid) -> f32;
    /// `u(b(l))`, the step as a fraction of the range.
    fn step(self, sigmoid: Sigmoid) -> f32;
    /// `du/dl`.
    fn step_slope(self, sigmoid: Sigmoid) -> f32;
}

/// [`Parametrisation::Bits`].
#[derive(Clone, Copy)]
pub(crate) struct OverBits {
    min: f32,
    span: f32,
}

impl Curve for OverBits {
    #[inline(always)]
    fn bits(self, sigmoid: Sigmoid) -> f32 {
        self.min + self.span * sigmoid.t
    }

    #[inline(always)]
    fn bits_slope(self, sigmoid: Sigmoid) -> f32 {
        self.span * sigmoid.slope
    }

    #[inline(always)]
    fn step(self, sigmoid: Sigmoid) -> f32 {
        let bits = self.bits(sigmoid);
        let bits = if bits < MIN_BITS_OF_NOISE { MIN_BITS_OF_NOISE } else { bits };
        1.0 / (math::exp2(bits) - 1.0)
    }

    /// `u'(b) = -ln2 2^b / (2^b - 1)^2 = -ln2 u (1 + u)`.
    #[inline(always)]
    fn step_slope(self, sigmoid: Sigmoid) -> f32 {
        let is_flat = self.bits(sigmoid) < MIN_BITS_OF_NOISE;
        let bits_slope = if is_flat { 0.0 } else { self.bits_slope(sigmoid) };
        let u = self.step(sigmoid);
        -LN_2 * u * (1.0 + u) * bits_slope
    }
}

/// [`Parametrisation::Noise`].
#[derive(Clone, Copy)]
pub(crate) struct OverNoise {
    ln_coarsest: f32,
    span: f32,
}

impl Curve for OverNoise {
    #[inline(always)]
    fn bits(self, sigmoid: Sigmoid) -> f32 {
        math::log2(1.0 + 1.0 / self.step(sigmoid))
    }

    /// `db/du du/dl = -1 / (ln2 u (1 + u)) du/dl`.
    #[inline(always)]
    fn bits_slope(self, sigmoid: Sigmoid) -> f32 {
        self.span * sigmoid.slope / (LN_2 * (1.0 + self.step(sigmoid)))
    }

    #[inline(always)]
    fn step(self, sigmoid: Sigmoid) -> f32 {
        math::exp(self.ln_coarsest - self.span * sigmoid.t)
    }

    #[inline(always)]
    fn step_slope(self, sigmoid: Sigmoid) -> f32 {
        -self.span * sigmoid.slope * self.step(sigmoid)
    }
}
