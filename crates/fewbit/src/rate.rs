//! What an entropy coder pays for levels, and how that changes when a weight moves.
//!
//! A coded tensor is written group by group: the width of the group, then its levels, each with the
//! frequencies that levels have in groups of that width. So a weight that is the only one of its group to be
//! so far from zero costs more than its own code: without it the whole group would be narrower. The bits are
//! a function of whole levels; between two levels they are continued as a straight line, which has a slope to
//! descend. (Ballé et al. 2017, section 3, and Oktay et al. 2020, section 2, make a rate differentiable by a
//! model of densities; here the frequencies themselves are at hand.)

use rayon::prelude::*;

/// Levels are at most this far from zero: widths of 8 bits.
pub const FURTHEST: i32 = 127;

/// Widths from 0 to 8; none is 1, as a level of 1 needs two bits.
const WIDTHS: usize = 9;

/// Levels from -128 to 127.
const LEVELS: usize = 256;

/// Weights that one task looks at.
const PART: usize = 1 << 14;

/// No level is dearer than this many bits: a rare one escapes to a plain code.
const DEAREST: f32 = 16.0;

/// The bits of a tensor's levels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    /// Bits of codes and widths, tables not among them.
    pub bits: f64,
}

/// The bits that levels take in groups of `group_size`, and their slope in each weight's position.
///
/// `positions` are weights in steps, in stored order: `weight / step`. `slopes` receives the derivative of
/// the bits in each position, in bits per step; 0 for what is beyond the last level.
///
/// # Panics
/// When the slices differ in length or `group_size` is 0.
pub fn rate(positions: &[f32], group_size: usize, slopes: &mut [f32]) -> Rate {
    assert_eq!(positions.len(), slopes.len(), "one slope per position");
    assert!(group_size > 0, "a group has at least one weight");
    let part = group_size * (PART / group_size).max(1);
    let costs = Costs::of(&frequencies(positions, group_size, part));
    let bits: Vec<f64> = positions
        .par_chunks(part)
        .zip(slopes.par_chunks_mut(part))
        .map(|(positions, slopes)| {
            let groups = positions.chunks(group_size).zip(slopes.chunks_mut(group_size));
            groups.map(|(positions, slopes)| f64::from(costs.group(positions, slopes))).sum()
        })
        .collect();
    // Added in their order, whatever the number of threads.
    Rate { bits: bits.into_iter().sum() }
}

/// The level of a position.
#[inline]
pub fn level(position: f32) -> i32 {
    // NaN becomes 0.
    (position.round_ties_even() as i32).clamp(-FURTHEST, FURTHEST)
}

/// The width that holds levels up to this far from zero on both sides.
#[inline]
const fn width(furthest: u32) -> usize {
    if furthest == 0 { 0 } else { 33 - furthest.leading_zeros() as usize }
}

/// How often each level occurs in groups of each width, and how many groups have it.
struct Frequencies {
    levels: Box<[[u32; LEVELS]; WIDTHS]>,
    groups: [u32; WIDTHS],
}

impl Frequencies {
    fn none() -> Self {
        Self { levels: Box::new([[0; LEVELS]; WIDTHS]), groups: [0; WIDTHS] }
    }

    fn add(mut self, other: Self) -> Self {
        for (mine, its) in self.levels.iter_mut().flatten().zip(other.levels.iter().flatten()) {
            *mine += its;
        }
        self.groups.iter_mut().zip(other.groups).for_each(|(mine, its)| *mine += its);
        self
    }
}

fn frequencies(positions: &[f32], group_size: usize, part: usize) -> Frequencies {
    let count = |positions: &[f32]| {
        let mut found = Frequencies::none();
        for group in positions.chunks(group_size) {
            let furthest = group.iter().map(|position| level(*position).unsigned_abs()).max();
            let width = width(furthest.unwrap_or(0));
            found.groups[width] += 1;
            for position in group {
                found.levels[width][place(level(*position))] += 1;
            }
        }
        found
    };
    // Whole numbers: their sum does not depend on the order.
    positions.par_chunks(part).map(count).reduce(Frequencies::none, Frequencies::add)
}

#[inline]
const fn place(level: i32) -> usize {
    (level + 128) as usize
}

/// Bits of each level in groups of each width, and of each width.
struct Costs {
    levels: Box<[[f32; LEVELS]; WIDTHS]>,
    widths: [f32; WIDTHS],
}

impl Costs {
    fn of(frequencies: &Frequencies) -> Self {
        let groups: u32 = frequencies.groups.iter().sum();
        // Half an occurrence for what has none, so that no cost is infinite.
        let bits = |count: u32, all: u32, kinds: usize| {
            let share = (f64::from(count) + 0.5) / (f64::from(all) + 0.5 * kinds as f64);
            (-share.log2() as f32).min(DEAREST)
        };
        let mut levels = Box::new([[0.0; LEVELS]; WIDTHS]);
        for (width, costs) in levels.iter_mut().enumerate().skip(1) {
            let counts = &frequencies.levels[width];
            let all: u32 = counts.iter().sum();
            for (cost, count) in costs.iter_mut().zip(counts) {
                *cost = bits(*count, all, 1 << width);
            }
        }
        let widths = frequencies.groups.map(|count| bits(count, groups, WIDTHS - 1));
        Self { levels, widths }
    }

    /// The bits of a group; `slopes` receives their derivative in each position.
    fn group(&self, positions: &[f32], slopes: &mut [f32]) -> f32 {
        let (mut first, mut second, mut furthest) = (0u32, 0u32, 0usize);
        for (index, position) in positions.iter().enumerate() {
            let magnitude = level(*position).unsigned_abs();
            if magnitude > first {
                (first, second, furthest) = (magnitude, first, index);
            } else {
                second = second.max(magnitude);
            }
        }
        let (own, without_furthest) = (width(first), width(second));
        let all = |width: usize| {
            let costs = &self.levels[width];
            let codes: f32 = positions.iter().map(|position| costs[place(level(*position))]).sum();
            self.widths[width] + codes
        };
        let bits = all(own);
        let mut wider = None;
        for (index, (position, slope)) in positions.iter().zip(slopes.iter_mut()).enumerate() {
            let below = position.floor() as i32;
            let here = level(*position);
            // The other of the two levels that the position lies between.
            let other = if here == below { below.saturating_add(1) } else { below };
            if other.unsigned_abs() > FURTHEST as u32 || position.is_nan() {
                *slope = 0.0;
                continue;
            }
            let others = if index == furthest { without_furthest } else { own };
            let needed = width(other.unsigned_abs()).max(others);
            let codes = &self.levels[needed];
            let difference = if needed == own {
                codes[place(other)] - codes[place(here)]
            } else if needed > own {
                let wider = *wider.get_or_insert_with(|| all(needed));
                wider - codes[place(here)] + codes[place(other)] - bits
            } else {
                // Only the group's furthest weight can make it narrower.
                let rest = positions.iter().enumerate().filter(|(at, _)| *at != index);
                let rest: f32 = rest.map(|(_, position)| codes[place(level(*position))]).sum();
                self.widths[needed] + rest + codes[place(other)] - bits
            };
            let difference = difference.clamp(-DEAREST, DEAREST);
            *slope = if other > here { difference } else { -difference };
        }
        bits
    }
}

#[cfg(test)]
mod tests {
    use fewbit_testing::Numbers;

    use super::*;

    fn rate_of(positions: &[f32], group_size: usize) -> (f64, Vec<f32>) {
        let mut slopes = vec![f32::NAN; positions.len()];
        (rate(positions, group_size, &mut slopes).bits, slopes)
    }

    #[test]
    fn a_width_holds_levels_on_both_sides_of_zero() {
        assert_eq!([0, 1, 2, 3, 4, 63, 64, 127].map(width), [0, 2, 3, 3, 4, 7, 8, 8]);
    }

    /// Two groups of two: one of zeros, one with a 1. Widths: shares (1 + 1/2)/(2 + 8/2) = 1/4 each, 2 bits.
    /// In the second group levels 0 and 1 occur once of 2: (1 + 1/2)/(2 + 4/2) = 3/8.
    #[test]
    fn a_case_by_hand() {
        let (bits, slopes) = rate_of(&[0.1, 0.2, 0.3, 0.9], 2);
        let code = -(3.0f64 / 8.0).log2();
        assert!((bits - (2.0 + 2.0 + 2.0 * code)).abs() < 1e-6, "{bits}");
        // The first weight on the way to 1: its group would have codes 1 and 0 in place of none.
        assert!((f64::from(slopes[0]) - 2.0 * code).abs() < 1e-6, "{}", slopes[0]);
        // Within the second group 0 and 1 cost the same.
        assert_eq!(slopes[2], 0.0);
        // The last weight on the way from 0: there its group would be one of zeros.
        assert!((f64::from(slopes[3]) - 2.0 * code).abs() < 1e-6, "{}", slopes[3]);
    }

    /// The slope is what moving one weight to the neighbouring level really changes, with the frequencies
    /// as they are: so many weights that one does not change them.
    #[test]
    fn the_slope_is_the_difference_between_two_levels() {
        let mut positions = Numbers::seeded(5).weights(1 << 16);
        positions.iter_mut().for_each(|position| *position *= 30.0);
        let (bits, slopes) = rate_of(&positions, 16);
        for index in [0, 77, 1234, 40_000, 65_535] {
            let (here, below) = (level(positions[index]), positions[index].floor() as i32);
            let other = if here == below { below + 1 } else { below };
            let mut moved = positions.clone();
            moved[index] = other as f32;
            let change = (rate_of(&moved, 16).0 - bits) * f64::from(other - here);
            assert!((change - f64::from(slopes[index])).abs() < 0.3, "{change}, {}", slopes[index]);
        }
    }

    #[test]
    fn beyond_the_last_level_and_for_nan_there_is_no_slope() {
        let (bits, slopes) = rate_of(&[300.0, -1e30, f32::NAN, f32::INFINITY], 4);
        assert!(bits.is_finite());
        assert_eq!(slopes, [0.0; 4]);
    }

    #[test]
    fn the_result_does_not_depend_on_the_number_of_threads() {
        let positions = Numbers::seeded(6).weights(100_000);
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| rate_of(&positions, 16))
        };
        assert!(on(1) == on(3));
    }
}
