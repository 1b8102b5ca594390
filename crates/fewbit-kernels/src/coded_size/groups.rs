//! Groups that share a bit width: counted, and then the slope of each weight.

use rayon::prelude::*;

use super::costs::{Costs, Counts, Frequencies, TURNS, WIDTHS, narrower, no_counts, wider};
use super::levels::{LEVELS, below_place, level_place, place, width_of};
use crate::dispatch::{InstructionSet, Kernel};
use crate::tile::{CHUNK, LANES};

/// Beside the largest magnitude of a group's levels: only one of them has it.
const ALONE: u8 = 0x80;

/// Weights of one piece of work: whole groups.
fn part(group_size: usize) -> usize {
    group_size * (CHUNK / group_size).max(1)
}

/// Counts levels by the width of their groups; writes the largest magnitude of each group's levels, with
/// [`ALONE`].
pub(super) fn count(
    set: InstructionSet,
    codes: &[u16],
    group_size: usize,
    furthest: &mut [u8],
) -> Frequencies {
    if codes.is_empty() {
        return Frequencies::none();
    }
    let part = part(group_size);
    if codes.len() <= part {
        return set.run(Count { codes, group_size, furthest });
    }
    // Whole numbers: their sum does not depend on the order.
    codes
        .par_chunks(part)
        .zip(furthest.par_chunks_mut(part / group_size))
        .map(|(codes, furthest)| set.run(Count { codes, group_size, furthest }))
        .reduce(Frequencies::none, |a, b| a.added(&b))
}

struct Count<'a> {
    codes: &'a [u16],
    group_size: usize,
    furthest: &'a mut [u8],
}

impl Kernel for Count<'_> {
    type Output = Frequencies;

    #[inline(always)]
    fn run(self) -> Frequencies {
        let (mut counts, mut frequencies) = (no_counts(), Frequencies::none());
        for (codes, furthest) in self.codes.chunks(self.group_size).zip(self.furthest) {
            *furthest = count_group(codes, &mut counts, &mut frequencies.groups);
        }
        frequencies.add(&counts);
        frequencies
    }
}

#[inline(always)]
fn count_group(codes: &[u16], counts: &mut Counts, groups: &mut [u64; WIDTHS]) -> u8 {
    let mut furthest = 0;
    for code in codes {
        let magnitude = ((code & 0xff) as i16 - 128).abs();
        furthest = if magnitude > furthest { magnitude } else { furthest };
    }
    let width = width_of(furthest as u32).min(WIDTHS - 1);
    groups[width] += 1;
    for (turn, code) in codes.iter().enumerate() {
        counts[turn % TURNS][width][level_place(*code)] += 1;
    }
    let mut count = 0u32;
    for code in codes {
        count += u32::from(((code & 0xff) as i16 - 128).abs() == furthest);
    }
    furthest as u8 | if count == 1 { ALONE } else { 0 }
}

/// Writes the slope of each weight, in bits per level.
pub(super) fn write_slopes(
    set: InstructionSet,
    codes: &[u16],
    group_size: usize,
    furthest: &[u8],
    costs: &Costs,
    slopes: &mut [f32],
) {
    let part = part(group_size);
    if codes.len() <= part {
        return set.run(Slopes { codes, group_size, furthest, costs, slopes });
    }
    let parts = codes.par_chunks(part).zip(furthest.par_chunks(part / group_size));
    parts.zip(slopes.par_chunks_mut(part)).for_each(|((codes, furthest), slopes)| {
        set.run(Slopes { codes, group_size, furthest, costs, slopes });
    });
}

struct Slopes<'a> {
    codes: &'a [u16],
    group_size: usize,
    furthest: &'a [u8],
    costs: &'a Costs,
    slopes: &'a mut [f32],
}

impl Kernel for Slopes<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let mut next = self.costs.next.clone();
        let groups = self.codes.chunks(self.group_size).zip(self.slopes.chunks_mut(self.group_size));
        for ((codes, slopes), furthest) in groups.zip(self.furthest) {
            slopes_of_group(self.costs, &mut next, codes, *furthest, slopes);
        }
    }
}

/// `next` has the bits to the next level up; what leads out of a width is written anew by each group that
/// has weights there.
#[inline(always)]
fn slopes_of_group(
    costs: &Costs,
    next: &mut [[f32; LEVELS]; WIDTHS],
    codes: &[u16],
    furthest: u8,
    slopes: &mut [f32],
) {
    let (is_alone, furthest) = (furthest & ALONE != 0, u32::from(furthest & !ALONE));
    let width = width_of(furthest);
    let next = &mut next[width];
    let last = if width == 0 { 0 } else { (1 << (width - 1)) - 1 };
    if furthest == last && width < WIDTHS - 1 {
        // One more level outwards, and the group is wider.
        let needed = wider(width);
        let change = change(costs, codes, &costs.wider[width], (width, needed));
        let of = |from: i32, to: i32| {
            let costs = &costs.levels[needed];
            Costs::held(change + (costs[place(to)] - costs[place(from)]))
        };
        let last = last as i32;
        next[place(last)] = of(last, last + 1);
        next[place(-last - 1)] = -of(-last, -last - 1);
    }
    for (slope, code) in slopes.iter_mut().zip(codes) {
        *slope = next[below_place(*code)];
    }
    if is_alone && width >= 2 && furthest == 1 << (width - 2) {
        // Without the one weight that is so far from zero the group is narrower.
        let is_furthest = |code: &u16| (level_place(*code) as i32 - 128).unsigned_abs() == furthest;
        let index = codes.iter().position(is_furthest).unwrap_or(0);
        let (level, below) = (level_place(codes[index]), below_place(codes[index]));
        let is_above = level > place(0);
        // It has to be on the way inwards.
        if is_above == (below < level) {
            let needed = narrower(width);
            let change = change(costs, codes, &costs.narrower[width], (width, needed));
            let inwards = if is_above { level - 1 } else { level + 1 };
            let costs = &costs.levels[needed];
            let difference = Costs::held(change + (costs[inwards] - costs[level]));
            slopes[index] = if is_above { -difference } else { difference };
        }
    }
}

/// The bits of a group in another width less those in its own; `differences` are those of its levels.
///
/// Sixteen sums of every sixteenth difference, then the upper half of them onto the lower, and again.
#[inline(always)]
fn change(costs: &Costs, codes: &[u16], differences: &[f32; LEVELS], (width, needed): (usize, usize)) -> f32 {
    let mut lanes = [0.0f32; LANES];
    for codes in codes.chunks(LANES) {
        for (lane, code) in lanes.iter_mut().zip(codes) {
            *lane += differences[level_place(*code)];
        }
    }
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    (costs.widths[needed] - costs.widths[width]) + lanes[0]
}
