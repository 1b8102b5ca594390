//! What a code becomes: itself, or the weight that it means.

use std::num::NonZeroUsize;

use super::MAX_WIDTH;
use super::lanes::Lanes;
use super::walk::Sink;

/// Codes stay codes.
pub(super) struct Codes;

impl Sink for Codes {
    type Element = u16;
    type Scale = ();

    #[inline(always)]
    unsafe fn scale(&self, _: usize, _: usize) {}

    #[inline(always)]
    unsafe fn eight<L: Lanes>(lanes: L, codes: L::Eight, (): (), out: *mut u16) {
        // SAFETY: the caller vouches for eight places.
        unsafe { lanes.store_eight_codes(codes, out) }
    }

    #[inline(always)]
    unsafe fn four<L: Lanes>(lanes: L, codes: L::Four, (): (), out: *mut u16) {
        // SAFETY: the caller vouches for four places.
        unsafe { lanes.store_four_codes(codes, out) }
    }
}

/// Where the weights that codes mean lie, at every width: `2^b` levels of a range or about zero.
///
/// A code of no bits means 0.0 in all of them. All is computed in double precision and rounded once, to
/// `f32`; where a number is not finite, nothing is said of the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Levels {
    /// Code `c` means `minimum + c (maximum - minimum) / (2^b - 1)`, and the last the maximum exactly
    /// (Défossez et al. 2022, section 3.1). Where both are equal, every code means that.
    MinMax {
        /// The value of code 0.
        minimum: f32,
        /// The value of the last code.
        maximum: f32,
    },
    /// Code `c` means `(c - 2^(b-1)) a / 2^(b-1)`: from `-a` to a step below `a`.
    Signed {
        /// That `a`, at least 0.
        half_width: f32,
    },
    /// Code `c` means `(c - 2^(b-1)) s`, whatever the width; what is beyond the largest finite `f32` is
    /// that one.
    Stepped {
        /// That `s`, at least 0.
        step: f32,
    },
}

impl Levels {
    /// What codes of so many bits mean, 16 at most.
    #[inline(always)]
    pub(super) fn of_width(self, width: usize) -> Level {
        if width == 0 {
            return Level::default();
        }
        let last_code = (1 << width) - 1;
        let half = f64::from(1 << (width - 1));
        let (span, points) = match self {
            Self::MinMax { minimum, maximum } => {
                let span = f64::from(maximum) - f64::from(minimum);
                // Every code means the maximum. Steps of -0 change no number, not even a zero's sign.
                let (base, step) = match span {
                    0.0 => (maximum, -0.0),
                    _ => (minimum, span / f64::from(last_code)),
                };
                return Level { base: base.into(), step, last: maximum, last_code };
            }
            Self::Signed { half_width } => (f64::from(half_width), half),
            Self::Stepped { step } => (f64::from(step), 1.0),
        };
        // Exact, as are the products of the formula: 24 bits and 17.
        let step = span / points;
        // Of no span every level is +0, the sum of the two zeros.
        let base = 0.0 - step * half;
        Level { base, step, last: finite((step * (half - 1.0) + 0.0) as f32), last_code }
    }
}

/// The grid of one width: the value of code `c` is `base + c step`, but `last` of the last code, and no
/// further from zero than a finite number can be.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Level {
    pub(super) base: f64,
    pub(super) step: f64,
    pub(super) last: f32,
    /// `2^b - 1`: the last code.
    pub(super) last_code: i32,
}

impl Level {
    /// The value of a code, which is not above the last.
    #[inline(always)]
    pub(super) fn value(self, code: i32) -> f32 {
        if code == self.last_code { self.last } else { finite(self.by_formula(code)) }
    }

    #[inline(always)]
    pub(super) fn by_formula(self, code: i32) -> f32 {
        (self.base + f64::from(code) * self.step) as f32
    }

    /// Whether the formula gives the value of every code, the ends' and so what is between.
    fn is_formula(self) -> bool {
        self.by_formula(self.last_code).to_bits() == self.last.to_bits() && self.by_formula(0).is_finite()
    }
}

/// The nearest number that is finite.
#[inline(always)]
pub(super) fn finite(value: f32) -> f32 {
    value.clamp(f32::MIN, f32::MAX)
}

/// The grid of every width over one range.
pub(super) struct Grids([Level; MAX_WIDTH as usize + 1]);

impl Grids {
    pub(super) fn new(levels: Levels) -> Self {
        Self(std::array::from_fn(|width| levels.of_width(width)))
    }

    /// Whether every width's formula gives the value of every code.
    ///
    /// Only a maximum that is tiny beside the minimum is missed, and steps so large that there is no number
    /// for the last. Not to look for these makes the others faster.
    pub(super) fn are_formulas(&self) -> bool {
        self.0.iter().all(|level| level.is_formula())
    }
}

/// Codes become weights; with `ENDS` the last code and what is beyond the finite numbers are looked for,
/// without it the formula is enough.
pub(super) struct Weights<'a, const ENDS: bool>(pub(super) &'a Grids);

impl<const ENDS: bool> Sink for Weights<'_, ENDS> {
    type Element = f32;
    type Scale = Level;

    #[inline(always)]
    unsafe fn scale(&self, width: usize, _: usize) -> Level {
        // SAFETY: the caller's promise is that a width is at most the largest.
        unsafe { *self.0.0.get_unchecked(width) }
    }

    #[inline(always)]
    unsafe fn eight<L: Lanes>(lanes: L, codes: L::Eight, level: Level, out: *mut f32) {
        // SAFETY: the caller vouches for eight places.
        unsafe { lanes.store_eight_levels::<ENDS>(codes, level, out) }
    }

    #[inline(always)]
    unsafe fn four<L: Lanes>(lanes: L, codes: L::Four, level: Level, out: *mut f32) {
        // SAFETY: the caller vouches for four places.
        unsafe { lanes.store_four_levels::<ENDS>(codes, level, out) }
    }
}

/// Codes become weights by the levels of their channels.
pub(super) struct ChannelWeights<F> {
    pub(super) levels: F,
    pub(super) channel_size: NonZeroUsize,
}

impl<F: Fn(usize) -> Levels + Sync> Sink for ChannelWeights<F> {
    type Element = f32;
    type Scale = Level;

    #[inline(always)]
    fn run_size(&self) -> Option<NonZeroUsize> {
        Some(self.channel_size)
    }

    #[inline(always)]
    unsafe fn scale(&self, width: usize, channel: usize) -> Level {
        (self.levels)(channel).of_width(width)
    }

    #[inline(always)]
    unsafe fn eight<L: Lanes>(lanes: L, codes: L::Eight, level: Level, out: *mut f32) {
        // SAFETY: the caller vouches for eight places.
        unsafe { lanes.store_eight_levels::<true>(codes, level, out) }
    }

    #[inline(always)]
    unsafe fn four<L: Lanes>(lanes: L, codes: L::Four, level: Level, out: *mut f32) {
        // SAFETY: the caller vouches for four places.
        unsafe { lanes.store_four_levels::<true>(codes, level, out) }
    }
}
