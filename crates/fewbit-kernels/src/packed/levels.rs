//! What a code becomes: itself, or the weight that it means.

use super::lanes::Lanes;
use super::stretch::Stretch;
use super::walk::{Sink, decode};
use super::{MAX_WIDTH, scalar};
use crate::dispatch::InstructionSet;

/// Codes stay codes.
pub(super) struct Codes;

impl Sink for Codes {
    type Element = u16;
    type Scale = ();

    #[inline(always)]
    unsafe fn scale(&self, _: usize) {}

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

/// The grid of one width: the value of code `c` is `base + c step`, but `last` of the last code.
#[derive(Clone, Copy, Debug)]
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
        if code == self.last_code { self.last } else { self.by_formula(code) }
    }

    #[inline(always)]
    pub(super) fn by_formula(self, code: i32) -> f32 {
        (self.base + f64::from(code) * self.step) as f32
    }

    /// Whether the formula gives the value of the last code too.
    fn meets_last(self) -> bool {
        self.by_formula(self.last_code).to_bits() == self.last.to_bits()
    }
}

/// The grid of every width over one range.
pub(super) struct Levels([Level; MAX_WIDTH as usize + 1]);

impl Levels {
    pub(super) fn new(minimum: f32, maximum: f32) -> Self {
        let mut levels = [Level { base: 0.0, step: 0.0, last: 0.0, last_code: 0 }; MAX_WIDTH as usize + 1];
        let span = f64::from(maximum) - f64::from(minimum);
        for (width, level) in levels.iter_mut().enumerate().skip(1) {
            level.last_code = (1 << width) - 1;
            level.last = maximum;
            if span == 0.0 {
                // Every code means the maximum. Steps of -0 change no number, not even a zero's sign.
                (level.base, level.step) = (maximum.into(), -0.0);
            } else {
                (level.base, level.step) = (minimum.into(), scalar::step(span, width as u8));
            }
        }
        Self(levels)
    }

    /// Whether every width's formula gives the value of its last code too.
    pub(super) fn meet_last(&self) -> bool {
        self.0.iter().all(|level| level.meets_last())
    }

    /// Writes the weights of a stretch, the first code of which begins at bit `position`.
    ///
    /// # Panics
    /// As [`decode`].
    pub(super) fn decode(
        &self,
        set: InstructionSet,
        bytes: &[u8],
        position: u64,
        stretch: Stretch<'_>,
        weights: &mut [f32],
    ) {
        // Only a maximum that is tiny beside the minimum is missed. Not to look for the last code makes the
        // others faster.
        if self.meet_last() {
            decode(set, bytes, position, stretch, &Weights::<false>(self), weights);
        } else {
            decode(set, bytes, position, stretch, &Weights::<true>(self), weights);
        }
    }
}

/// Codes become weights; with `ENDS` the last code is looked for, without it the formula is enough.
pub(super) struct Weights<'a, const ENDS: bool>(pub(super) &'a Levels);

impl<const ENDS: bool> Sink for Weights<'_, ENDS> {
    type Element = f32;
    type Scale = Level;

    #[inline(always)]
    unsafe fn scale(&self, width: usize) -> Level {
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
