//! Weights as codes: the level of each, and the level below it.

use rayon::prelude::*;

use crate::dispatch::{InstructionSet, Kernel};
use crate::group_values::GroupValues;
use crate::layout::Plan;
use crate::tile::{CHUNK, stretches};

/// Levels are at most this far from zero: bit widths of at most 8.
pub const LARGEST_LEVEL: i16 = 127;

/// Levels from -128 to 127.
pub(crate) const LEVELS: usize = 256;

/// Where tables have a level.
#[inline(always)]
pub(crate) const fn place(level: i32) -> usize {
    (level + 128) as usize
}

/// The bit width that holds levels up to this far from zero on both sides; never 1, as a level of 1 needs
/// two bits.
#[inline(always)]
pub(crate) const fn width_of(furthest: u32) -> usize {
    if furthest == 0 { 0 } else { 33 - furthest.leading_zeros() as usize }
}

/// The [place](place) of the level in the low byte and, in the high one, that of the level at or below the
/// weight: 127 or -128 where the weight is a NaN or beyond the last level, so that there is no slope.
#[inline(always)]
fn code(position: f32) -> u16 {
    // Adding 1.5 * 2^23 rounds to a whole number, ties to even, and leaves it in the low bits.
    const ROUNDER: f32 = 12_582_912.0;
    let known = if position.is_nan() { 0.0 } else { position };
    let held = if known < -128.0 { -128.0 } else { known };
    let held = if held > 127.0 { 127.0 } else { held };
    let shifted = held + ROUNDER;
    let level = shifted.to_bits() as i32 - ROUNDER.to_bits() as i32;
    let below = level - i32::from(held < shifted - ROUNDER);
    let below = if position.is_nan() { 127 } else { below };
    let level = if level < -127 { -127 } else { level };
    ((level + 128) | (below + 128) << 8) as u16
}

/// The place of the level.
#[inline(always)]
pub(super) fn level_place(code: u16) -> usize {
    usize::from(code & 0xff)
}

/// The place of the level at or below the weight.
#[inline(always)]
pub(super) fn below_place(code: u16) -> usize {
    usize::from(code >> 8)
}

/// Writes the code of each weight, in the order of memory.
pub(super) fn write_codes(
    set: InstructionSet,
    plan: Plan,
    weights: &[f32],
    inverses: &[f32],
    codes: &mut [u16],
) {
    let chunk = plan.chunk(CHUNK);
    let work = |(place, (weights, codes)): (usize, (&[f32], &mut [u16]))| {
        set.run(WriteCodes { plan, inverses, start: place * chunk, weights, codes });
    };
    if weights.len() <= chunk {
        work((0, (weights, codes)));
    } else {
        weights.par_chunks(chunk).zip(codes.par_chunks_mut(chunk)).enumerate().for_each(work);
    }
}

struct WriteCodes<'a> {
    plan: Plan,
    inverses: &'a [f32],
    start: usize,
    weights: &'a [f32],
    codes: &'a mut [u16],
}

impl Kernel for WriteCodes<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let mut inverses = GroupValues::new(self.plan, self.inverses, self.start, self.weights.len());
        for (first, count) in stretches(self.plan, self.start, self.weights.len()) {
            let here = first - self.start..first - self.start + count;
            let positions = self.weights[here.clone()].iter().zip(inverses.of(first, count));
            for (found, (weight, inverse)) in self.codes[here].iter_mut().zip(positions) {
                *found = code(weight * inverse);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_width_holds_levels_on_both_sides_of_zero() {
        assert_eq!([0, 1, 2, 3, 4, 63, 64, 127].map(width_of), [0, 2, 3, 3, 4, 7, 8, 8]);
    }

    #[test]
    fn a_code_has_the_nearest_level_and_the_one_below() {
        for position in (-1040..1040).map(|eighth| eighth as f32 / 8.0) {
            let found = code(position);
            let level = position.round_ties_even().clamp(-127.0, 127.0) as i32;
            let below = (position.floor() as i32).clamp(-128, 127);
            assert_eq!((level_place(found), below_place(found)), (place(level), place(below)), "{position}");
        }
        let beyond = [f32::NAN, f32::INFINITY, 1e30, f32::NEG_INFINITY, -1e30].map(code);
        let expected = [(0, 127), (127, 127), (127, 127), (-127, -128), (-127, -128)];
        assert_eq!(
            beyond.map(|code| (level_place(code), below_place(code))),
            expected.map(|(level, below)| (place(level), place(below)))
        );
    }
}
