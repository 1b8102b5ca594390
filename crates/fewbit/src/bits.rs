//! Bits per weight: whole once stored ([`BitWidth`]), real while learned ([`BitsLaw`]).

use std::f64::consts::LN_2;
use std::fmt;

pub use fewbit_kernels::Parametrisation as BitsParametrisation;

/// Bits kept per weight: always in `0..=16`; 0 is a pruned weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BitWidth(u8);

impl BitWidth {
    /// The widest that a code can be: 16 bits.
    pub const MAX: Self = Self(16);
    /// No bits at all: the group is pruned and reads back as zeros.
    pub const ZERO: Self = Self(0);
    /// How many widths there are, `0..=16`; the length of a histogram of widths.
    pub const COUNT: usize = Self::MAX.0 as usize + 1;

    /// The width of so many bits; `None` above 16.
    pub const fn new(bits: u8) -> Option<Self> {
        if bits <= Self::MAX.0 { Some(Self(bits)) } else { None }
    }

    /// The nearest whole width to a learned number of bits; `None` for NaN only.
    ///
    /// Ties go to the even width, and what lies outside `0..=16`, infinities included, to the nearer
    /// end.
    ///
    /// ```
    /// # use fewbit::BitWidth;
    /// let rounded = [2.5, 3.5, -1.0, 99.0].map(|bits| BitWidth::from_bits(bits).unwrap().get());
    /// assert_eq!(rounded, [2, 4, 0, 16]);
    /// assert!(BitWidth::from_bits(f32::NAN).is_none());
    /// ```
    pub fn from_bits(bits: f32) -> Option<Self> {
        if bits.is_nan() {
            return None;
        }
        // The clamp makes the cast exact.
        Some(Self(bits.round_ties_even().clamp(0.0, f32::from(Self::MAX.0)) as u8))
    }

    /// The number of bits.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Number of grid points, `2^b`: from 1 to 65,536.
    pub const fn levels(self) -> u32 {
        1 << self.0
    }
}

impl fmt::Display for BitWidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<BitWidth> for u8 {
    fn from(width: BitWidth) -> Self {
        width.0
    }
}

impl TryFrom<u8> for BitWidth {
    type Error = BitsLawError;

    fn try_from(bits: u8) -> Result<Self, BitsLawError> {
        Self::new(bits).ok_or(BitsLawError::OutOfRange { bound: "width", found: f32::from(bits) })
    }
}

/// Why a [`BitsLaw`] cannot be, or has no logit for a number of bits.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BitsLawError {
    /// An end is NaN, infinite or outside `0..=16`.
    #[error("the {bound} number of bits is {found}, it must lie in 0..=16")]
    OutOfRange {
        /// Which one: `minimum`, `maximum` or `width`.
        bound: &'static str,
        /// What it was.
        found: f32,
    },
    /// The ends are in the wrong order.
    #[error("the minimum number of bits, {minimum}, is above the maximum, {maximum}")]
    MinimumAboveMaximum {
        /// The minimum that was asked for.
        minimum: f32,
        /// The maximum that was asked for.
        maximum: f32,
    },
    /// At 0 bits the noise is infinite, so nothing can be interpolated from there.
    #[error("the noise parametrisation needs a minimum above 0 bits")]
    NoiseFromZeroBits,
    /// Only what lies strictly between the ends has a finite logit.
    #[error("{bits} bits has no logit: it must lie strictly between {minimum} and {maximum}")]
    NotInside {
        /// The number of bits that was asked for.
        bits: f32,
        /// The law's lower end.
        minimum: f32,
        /// The law's upper end.
        maximum: f32,
    },
}

/// The way from a trained logit to a number of bits between two ends, and back.
///
/// Défossez et al. 2022, section 3.3; the noise parametrisation is the reference implementation's
/// second choice. With `t = sigmoid(l)` the first interpolates the bits, the second the logarithm of
/// the noise. Finite logits give finite bits inside the ends, however large they are.
///
/// ```
/// # use fewbit::{BitsLaw, BitsParametrisation};
/// let law = BitsLaw::new(2.0, 15.0, BitsParametrisation::Bits)?;
/// let logit = law.logit(8.0)?;
/// assert!((logit - (6.0f32 / 7.0).ln()).abs() < 1e-6);
/// assert_eq!(law.bits(logit), 8.0);
/// # Ok::<(), fewbit::BitsLawError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BitsLaw {
    minimum: f32,
    maximum: f32,
    parametrisation: BitsParametrisation,
}

impl BitsLaw {
    /// The law between two ends in `0..=16`.
    ///
    /// Equal ends are allowed: the number of bits is then fixed, and no logit can be asked for.
    ///
    /// # Errors
    /// [`BitsLawError`] when an end is not finite or outside `0..=16`, when the minimum is above the
    /// maximum, and for noise from 0 bits.
    pub fn new(
        minimum: f32,
        maximum: f32,
        parametrisation: BitsParametrisation,
    ) -> Result<Self, BitsLawError> {
        let allowed = 0.0..=f32::from(BitWidth::MAX.get());
        for (bound, found) in [("minimum", minimum), ("maximum", maximum)] {
            // Also false for NaN and infinities.
            if !allowed.contains(&found) {
                return Err(BitsLawError::OutOfRange { bound, found });
            }
        }
        if minimum > maximum {
            return Err(BitsLawError::MinimumAboveMaximum { minimum, maximum });
        }
        if parametrisation == BitsParametrisation::Noise && minimum == 0.0 {
            return Err(BitsLawError::NoiseFromZeroBits);
        }
        Ok(Self { minimum, maximum, parametrisation })
    }

    /// The fewest bits.
    pub const fn minimum(&self) -> f32 {
        self.minimum
    }

    /// The most bits.
    pub const fn maximum(&self) -> f32 {
        self.maximum
    }

    /// What is interpolated.
    pub const fn parametrisation(&self) -> BitsParametrisation {
        self.parametrisation
    }

    /// The number of bits of a logit, in `minimum..=maximum`; NaN only for NaN.
    pub fn bits(&self, logit: f32) -> f32 {
        let t = sigmoid(logit.into());
        let (minimum, maximum) = (f64::from(self.minimum), f64::from(self.maximum));
        let bits = match self.parametrisation {
            BitsParametrisation::Bits => minimum + (maximum - minimum) * t,
            BitsParametrisation::Noise => {
                let (low, high) = (ln_levels(minimum), ln_levels(maximum));
                (low + (high - low) * t).exp().ln_1p() / LN_2
            }
        };
        // The way through logarithms may leave the interval by a rounding error.
        (bits as f32).clamp(self.minimum, self.maximum)
    }

    /// The logit whose number of bits is `bits`.
    ///
    /// # Errors
    /// [`BitsLawError::NotInside`] unless `bits` lies strictly between the ends.
    pub fn logit(&self, bits: f32) -> Result<f32, BitsLawError> {
        let outside = BitsLawError::NotInside { bits, minimum: self.minimum, maximum: self.maximum };
        if !(bits > self.minimum && bits < self.maximum) {
            return Err(outside);
        }
        let ends = [self.minimum, bits, self.maximum].map(f64::from);
        let [low, here, high] = match self.parametrisation {
            BitsParametrisation::Bits => ends,
            BitsParametrisation::Noise => ends.map(ln_levels),
        };
        // ln(t / (1 - t)) without the cancellation in 1 - t.
        let logit = ((here - low) / (high - here)).ln() as f32;
        if logit.is_finite() { Ok(logit) } else { Err(outside) }
    }

    /// The same law for the kernels, which evaluate it for many logits at once.
    pub(crate) fn kernel(&self) -> fewbit_kernels::BitsLaw {
        let law = fewbit_kernels::BitsLaw::new(self.minimum, self.maximum, self.parametrisation);
        law.expect("the kernels' bounds are wider")
    }

    /// The slope `db/dl` of [`bits`](Self::bits) at a logit; never negative.
    pub fn derivative(&self, logit: f32) -> f32 {
        let l = f64::from(logit);
        let slope_of_t = sigmoid(l) * sigmoid(-l);
        let (minimum, maximum) = (f64::from(self.minimum), f64::from(self.maximum));
        let slope = match self.parametrisation {
            BitsParametrisation::Bits => (maximum - minimum) * slope_of_t,
            BitsParametrisation::Noise => {
                // b = log2(1 + e^L) with L linear in t, so db/dL = sigmoid(L) / ln 2.
                let (low, high) = (ln_levels(minimum), ln_levels(maximum));
                let here = low + (high - low) * sigmoid(l);
                sigmoid(here) / LN_2 * (high - low) * slope_of_t
            }
        };
        slope as f32
    }
}

/// `1 / (1 + e^-x)`, which neither overflows nor cancels.
fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `ln(2^b - 1)`, the negated logarithm of the noise `u(b)`.
fn ln_levels(bits: f64) -> f64 {
    (bits * LN_2).exp_m1().ln()
}
