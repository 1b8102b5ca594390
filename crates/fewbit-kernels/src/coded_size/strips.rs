//! Groups of sixteen weights, many side by side: a lane each.
//!
//! Down the columns of a transposed matrix such groups lie side by side as they are, so that nothing is transposed;
//! groups that follow each other in memory are transposed in registers. What a group needs from a table is looked up
//! in a register, too, where no group is wider than four bits: all their levels together are fewer than 32.

use rayon::prelude::*;

use super::costs::{Costs, Frequencies, TURNS, WIDTHS, narrower, no_counts, wider};
use super::levels::{LEVELS, level_place, place};
use crate::dispatch::InstructionSet;
use crate::layout::Swap;
use crate::simd::{LaneKernel, Simd, TABLE};
use crate::tile::{CHUNK, LANES};

/// Weights of a group.
pub(super) const GROUP: usize = 16;
/// Groups side by side.
const WIDE: usize = 4 * LANES;
/// The widest groups whose levels are looked up in a register.
const NARROW: u32 = 4;

/// The groups of sixteen of a slice of codes.
#[derive(Clone, Copy)]
pub(super) enum Groups {
    /// Each is a run of memory.
    Runs,
    /// Each is sixteen rows of one of so many columns.
    Columns(usize),
}

impl Groups {
    /// The groups of an array that is stored with these axes swapped, where they need no transposition.
    pub(super) fn in_columns(swap: Swap) -> Option<Self> {
        let Swap { rows, columns, inner } = swap;
        (inner == 1 && rows.is_multiple_of(GROUP)).then_some(Self::Columns(columns))
    }

    /// Weights of one piece of work.
    fn part(self) -> usize {
        match self {
            Self::Runs => CHUNK,
            Self::Columns(columns) => GROUP * columns * (CHUNK / (GROUP * columns)).max(1),
        }
    }

    /// Where each strip of so many weights begins, and its groups.
    fn strips(self, weights: usize) -> impl Iterator<Item = (usize, usize)> {
        // Groups that follow each other in memory are one row of groups.
        let columns = match self {
            Self::Runs => weights / GROUP,
            Self::Columns(columns) => columns,
        };
        let across = move |row: usize| {
            (0..columns).step_by(WIDE).map(move |first| {
                let start = match self {
                    Self::Runs => first * GROUP,
                    Self::Columns(columns) => row * GROUP * columns + first,
                };
                (start, WIDE.min(columns - first))
            })
        };
        (0..weights.checked_div(GROUP * columns).unwrap_or(0)).flat_map(across)
    }
}

/// Counts levels by the width of their groups.
pub(super) fn count(set: InstructionSet, groups: Groups, codes: &[u16]) -> Frequencies {
    if codes.is_empty() {
        return Frequencies::none();
    }
    let part = groups.part();
    if codes.len() <= part {
        return set.run_lanes(Count { groups, codes });
    }
    // Whole numbers: their sum does not depend on the order.
    codes
        .par_chunks(part)
        .map(|codes| set.run_lanes(Count { groups, codes }))
        .reduce(Frequencies::none, |a, b| a.added(&b))
}

/// Writes the slope of each weight, in bits per level.
pub(super) fn write_slopes(
    set: InstructionSet,
    groups: Groups,
    codes: &[u16],
    costs: &Costs,
    slopes: &mut [f32],
) {
    let tables = Tables::of(costs);
    let part = groups.part();
    let work = |(codes, slopes): (&[u16], &mut [f32])| {
        set.run_lanes(Slopes { groups, codes, tables: &tables, slopes });
    };
    if codes.len() <= part {
        work((codes, slopes));
    } else {
        codes.par_chunks(part).zip(slopes.par_chunks_mut(part)).for_each(work);
    }
}

/// The codes of groups side by side: a row for each weight of a group.
type Strip = [[u32; WIDE]; GROUP];

/// Level 0, and a weight at it: what lanes without a group hold.
const NOTHING: u32 = (place(0) | place(0) << 8) as u32;

#[inline(always)]
fn read<S: Simd>(simd: S, groups: Groups, codes: &[u16], start: usize, wide: usize, strip: &mut Strip) {
    match groups {
        Groups::Columns(columns) => {
            for (row, strip) in strip.iter_mut().enumerate() {
                let codes = &codes[start + row * columns..][..wide];
                match <&[u16; WIDE]>::try_from(codes) {
                    // The same, with a length that the compiler knows.
                    Ok(codes) => (0..WIDE).for_each(|lane| strip[lane] = u32::from(codes[lane])),
                    _ => strip.iter_mut().zip(codes).for_each(|(to, code)| *to = u32::from(*code)),
                }
            }
        }
        Groups::Runs => {
            let (runs, _) = codes[start..][..wide * GROUP].as_chunks::<GROUP>();
            for (place, runs) in runs.chunks(LANES).enumerate() {
                let mut tile = [[NOTHING; GROUP]; LANES];
                for (tile, run) in tile.iter_mut().zip(runs) {
                    (0..GROUP).for_each(|weight| tile[weight] = u32::from(run[weight]));
                }
                // Shuffles change no bit, whatever these mean as numbers.
                // SAFETY: each row has sixteen.
                let rows = tile.map(|row| unsafe { simd.load(row.as_ptr().cast()) });
                let columns = simd.transpose(rows);
                for (strip, column) in strip.iter_mut().zip(columns) {
                    let strip = &mut strip[place * LANES..][..LANES];
                    // SAFETY: the slice has sixteen lanes.
                    unsafe { simd.store(column, strip.as_mut_ptr().cast()) };
                }
            }
        }
    }
}

#[inline(always)]
fn write<S: Simd>(
    simd: S,
    groups: Groups,
    strip: &[[f32; WIDE]; GROUP],
    slopes: &mut [f32],
    start: usize,
    wide: usize,
) {
    match groups {
        Groups::Columns(columns) => {
            for (row, strip) in strip.iter().enumerate() {
                let slopes = &mut slopes[start + row * columns..][..wide];
                slopes.copy_from_slice(&strip[..wide]);
            }
        }
        Groups::Runs => {
            let (runs, _) = slopes[start..][..wide * GROUP].as_chunks_mut::<GROUP>();
            for (place, runs) in runs.chunks_mut(LANES).enumerate() {
                let mut rows = [simd.splat(0.0); GROUP];
                for (row, strip) in rows.iter_mut().zip(strip) {
                    // SAFETY: the slice has sixteen lanes.
                    *row = unsafe { simd.load(strip[place * LANES..][..LANES].as_ptr()) };
                }
                for (run, column) in runs.iter_mut().zip(simd.transpose(rows)) {
                    // SAFETY: a run has sixteen weights.
                    unsafe { simd.store(column, run.as_mut_ptr()) };
                }
            }
        }
    }
}

#[inline(always)]
fn level(code: u32) -> i32 {
    level_place(code as u16) as i32 - place(0) as i32
}

/// The largest magnitude of each group's levels.
#[inline(always)]
fn furthest(strip: &Strip) -> [i32; WIDE] {
    let mut furthest = [0; WIDE];
    for row in strip {
        for lane in 0..WIDE {
            furthest[lane] = furthest[lane].max(level(row[lane]).abs());
        }
    }
    furthest
}

/// [`width_of`](super::levels::width_of) in steps that a vector unit has: the exponent of the number.
#[inline(always)]
fn width(furthest: i32) -> u32 {
    if furthest == 0 { 0 } else { ((furthest as f32).to_bits() >> 23) - 125 }
}

struct Count<'a> {
    groups: Groups,
    codes: &'a [u16],
}

impl LaneKernel for Count<'_> {
    type Output = Frequencies;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Frequencies {
        let (mut counts, mut frequencies) = (no_counts(), Frequencies::none());
        let mut strip = [[NOTHING; WIDE]; GROUP];
        for (start, wide) in self.groups.strips(self.codes.len()) {
            read(simd, self.groups, self.codes, start, wide, &mut strip);
            let furthest = furthest(&strip);
            let mut widths = [0u32; WIDE];
            for lane in 0..WIDE {
                widths[lane] = width(furthest[lane]);
            }
            for (lane, width) in widths[..wide].iter().enumerate() {
                let width = *width as usize % WIDTHS;
                frequencies.groups[width] += 1;
                // Those of width 0 are all the same.
                if width > 0 {
                    for (turn, row) in strip.iter().enumerate() {
                        counts[turn % TURNS][width][level_place(row[lane] as u16)] += 1;
                    }
                }
            }
        }
        frequencies.levels[0][place(0)] = GROUP as u64 * frequencies.groups[0];
        frequencies.add(&counts);
        frequencies
    }
}

/// One number for each level of each width, and for those of narrow groups once more in few places.
struct OfLevels<'a> {
    all: &'a [[f32; LEVELS]; WIDTHS],
    narrow: [f32; TABLE],
}

/// Costs where they are looked up.
struct Tables<'a> {
    /// From each level to the next; of each in the wider width and in the narrower less in the own.
    next: OfLevels<'a>,
    wider: OfLevels<'a>,
    narrower: OfLevels<'a>,
    /// By width: of a group as such when it becomes wider, and of the level that does it, above and below zero.
    widening: [f32; TABLE],
    outwards: [[f32; TABLE]; 2],
    /// The same when it becomes narrower, of the one level that was too far from zero.
    narrowing: [f32; TABLE],
    inwards: [[f32; TABLE]; 2],
}

impl<'a> Tables<'a> {
    fn of(costs: &'a Costs) -> Self {
        let of_levels = |all: &'a [[f32; LEVELS]; WIDTHS]| {
            let mut narrow = [0.0; TABLE];
            for width in [0, 2, 3, NARROW] {
                let reach = reach(width) as i32;
                for level in -reach..reach {
                    narrow[(first_place(reach as u32) as i32 + level) as usize] =
                        all[width as usize][place(level)];
                }
            }
            OfLevels { all, narrow }
        };
        let by_width = |of: &dyn Fn(usize) -> f32| {
            let mut table = [0.0; TABLE];
            (0..WIDTHS).filter(|width| *width != 1).for_each(|width| table[width] = of(width));
            table
        };
        let step = |width: usize, from: i32, to: i32| {
            let costs = &costs.levels[width];
            costs[place(to)] - costs[place(from)]
        };
        let outwards = [1, -1].map(|side| {
            by_width(&|width| {
                let last = reach(width as u32) as i32 - 1;
                // The widest stay as they are.
                if width == WIDTHS - 1 { 0.0 } else { step(wider(width), side * last, side * (last + 1)) }
            })
        });
        let inwards = [1, -1].map(|side| {
            by_width(&|width| {
                let level = reach(width as u32) as i32 / 2;
                step(narrower(width), side * level, side * (level - 1))
            })
        });
        Self {
            next: of_levels(&costs.next),
            wider: of_levels(&costs.wider),
            narrower: of_levels(&costs.narrower),
            widening: by_width(&|width| costs.widths[wider(width)] - costs.widths[width]),
            outwards,
            narrowing: by_width(&|width| costs.widths[narrower(width)] - costs.widths[width]),
            inwards,
        }
    }
}

/// One more than the last level of a width.
#[inline(always)]
fn reach(width: u32) -> u32 {
    if width == 0 { 1 } else { 1 << (width - 1) }
}

/// Where the narrow tables have level 0 of the width that has this reach: first the two places of width 0, then four,
/// eight and sixteen.
#[inline(always)]
fn first_place(reach: u32) -> u32 {
    3 * reach - 2
}

struct Slopes<'a> {
    groups: Groups,
    codes: &'a [u16],
    tables: &'a Tables<'a>,
    slopes: &'a mut [f32],
}

impl LaneKernel for Slopes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (mut strip, mut slopes) = ([[NOTHING; WIDE]; GROUP], [[0.0; WIDE]; GROUP]);
        for (start, wide) in self.groups.strips(self.codes.len()) {
            read(simd, self.groups, self.codes, start, wide, &mut strip);
            slopes_of_strip(simd, self.tables, &strip, wide, &mut slopes);
            write(simd, self.groups, &slopes, self.slopes, start, wide);
        }
    }
}

/// One of two numbers, without the branch that the compiler makes where both lie in memory.
#[inline(always)]
fn chosen(is_first: bool, first: f32, second: f32) -> f32 {
    let mask = u32::from(is_first).wrapping_neg();
    f32::from_bits((first.to_bits() & mask) | (second.to_bits() & !mask))
}

/// A number for each group of a strip.
type Each<T> = [T; WIDE];

/// What is looked up for the groups of a strip.
struct LookUp<S> {
    simd: S,
    widths: Each<u32>,
    /// Where the narrow tables have what [`place`] puts in place 0: below their beginning.
    firsts: Each<u32>,
    /// Of each sixteen groups, whether there are any and whether all of them are narrow.
    are_narrow: [Option<bool>; WIDE / LANES],
}

impl<S: Simd> LookUp<S> {
    /// The numbers of the levels in these places, one for each group that `is_needed` has.
    #[inline(always)]
    fn of(
        &self,
        table: &OfLevels<'_>,
        places: &[Each<u32>; GROUP],
        is_needed: &Each<u32>,
        numbers: &mut [Each<f32>; GROUP],
    ) {
        for (sixteen, is_narrow) in self.are_narrow.into_iter().enumerate() {
            let start = LANES * sixteen;
            match is_narrow {
                None => {}
                Some(true) => {
                    let firsts: &[u32; LANES] = self.firsts[start..][..LANES].try_into().expect("so many");
                    for (places, numbers) in places.iter().zip(&mut *numbers) {
                        let mut at = [0u32; LANES];
                        for ((at, place), first) in at.iter_mut().zip(&places[start..]).zip(firsts) {
                            *at = first.wrapping_add(*place);
                        }
                        let found = self.simd.look_up(&table.narrow, &at);
                        // SAFETY: the slice has sixteen lanes.
                        unsafe { self.simd.store(found, numbers[start..][..LANES].as_mut_ptr()) };
                    }
                }
                Some(false) => {
                    for lane in start..start + LANES {
                        if is_needed[lane] != 0 {
                            let table = &table.all[(self.widths[lane] as usize).min(WIDTHS - 1)];
                            for (places, numbers) in places.iter().zip(&mut *numbers) {
                                numbers[lane] = table[places[lane] as usize % LEVELS];
                            }
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn by_width(&self, table: &[f32; TABLE]) -> Each<f32> {
        let mut numbers = [0.0; WIDE];
        for (numbers, widths) in
            numbers.as_chunks_mut::<LANES>().0.iter_mut().zip(self.widths.as_chunks::<LANES>().0)
        {
            // SAFETY: there are sixteen.
            unsafe { self.simd.store(self.simd.look_up(table, widths), numbers.as_mut_ptr()) };
        }
        numbers
    }

    /// The bits of the groups in another width less those in their own, in the order of additions that a
    /// [group by itself](super::groups) has.
    #[inline(always)]
    fn change(
        &self,
        table: &OfLevels<'_>,
        of_group: &[f32; TABLE],
        levels: &[Each<u32>; GROUP],
        is_needed: &Each<u32>,
    ) -> Each<f32> {
        let mut sums = [[0.0; WIDE]; GROUP];
        self.of(table, levels, is_needed, &mut sums);
        let mut half = GROUP / 2;
        while half > 0 {
            let (sums, others) = sums.split_at_mut(half);
            for (sums, others) in sums.iter_mut().zip(others) {
                for lane in 0..WIDE {
                    sums[lane] += others[lane];
                }
            }
            half /= 2;
        }
        let mut change = self.by_width(of_group);
        for lane in 0..WIDE {
            change[lane] += sums[0][lane];
        }
        change
    }
}

/// The slopes of the first groups of a strip: see [a group by itself](super::groups).
///
/// Loops over all lanes and their flags are numbers: so the compiler makes vectors of them.
#[inline(always)]
fn slopes_of_strip<S: Simd>(
    simd: S,
    tables: &Tables<'_>,
    strip: &Strip,
    wide: usize,
    slopes: &mut [Each<f32>; GROUP],
) {
    let furthest = furthest(strip);
    let [mut levels, mut belows] = [[[0u32; WIDE]; GROUP]; 2];
    let mut most = [0u32; WIDE];
    for row in 0..GROUP {
        for lane in 0..WIDE {
            let code = strip[row][lane];
            levels[row][lane] = code & 0xff;
            belows[row][lane] = code >> 8;
            most[lane] += u32::from(level(code).abs() == furthest[lane]);
        }
    }
    let [mut widths, mut reaches, mut firsts, mut widens, mut narrows] = [[0u32; WIDE]; 5];
    for lane in 0..WIDE {
        let width = width(furthest[lane]);
        let reach = reach(width);
        (widths[lane], reaches[lane]) = (width, reach);
        firsts[lane] = first_place(reach).wrapping_sub(place(0) as u32);
        // One more level outwards, and the group is wider.
        widens[lane] = u32::from(furthest[lane] as u32 + 1 == reach) & u32::from(width < WIDTHS as u32 - 1);
        // Without the one weight that is so far from zero the group is narrower.
        narrows[lane] = u32::from(most[lane] == 1)
            & u32::from(width >= 2)
            & u32::from(2 * furthest[lane] as u32 == reach);
    }
    let mut are_narrow = [None; WIDE / LANES];
    for (are_narrow, widths) in are_narrow.iter_mut().zip(widths[..wide].chunks(LANES)) {
        *are_narrow = Some(widths.iter().all(|width| *width <= NARROW));
    }
    let look_up = LookUp { simd, widths, firsts, are_narrow };
    let [mut up, mut down, mut inwards_above, mut inwards_below] = [[0.0f32; WIDE]; 4];
    if widens[..wide].contains(&1) {
        let change = look_up.change(&tables.wider, &tables.widening, &levels, &widens);
        let [above, below] = [look_up.by_width(&tables.outwards[0]), look_up.by_width(&tables.outwards[1])];
        for lane in 0..WIDE {
            up[lane] = Costs::held(change[lane] + above[lane]);
            down[lane] = -Costs::held(change[lane] + below[lane]);
        }
    }
    let is_any_narrower = narrows[..wide].contains(&1);
    if is_any_narrower {
        let change = look_up.change(&tables.narrower, &tables.narrowing, &levels, &narrows);
        let [above, below] = [look_up.by_width(&tables.inwards[0]), look_up.by_width(&tables.inwards[1])];
        for lane in 0..WIDE {
            inwards_above[lane] = -Costs::held(change[lane] + above[lane]);
            inwards_below[lane] = Costs::held(change[lane] + below[lane]);
        }
    }
    look_up.of(&tables.next, &belows, &[1; WIDE], slopes);
    for row in 0..GROUP {
        let (levels, belows, slopes) = (&levels[row], &belows[row], &mut slopes[row]);
        for lane in 0..WIDE {
            let (below, reach) = (belows[lane] as i32 - place(0) as i32, reaches[lane] as i32);
            let widens = widens[lane] != 0;
            let mut slope = chosen(widens & (below == reach - 1), up[lane], slopes[lane]);
            slope = chosen(widens & (below == -reach), down[lane], slope);
            // Beyond the last level, and a NaN.
            slope = chosen((below == 127) | (below == -128), 0.0, slope);
            slopes[lane] = slope;
        }
        if is_any_narrower {
            for lane in 0..WIDE {
                let level = levels[lane] as i32 - place(0) as i32;
                let is_above = level > 0;
                // It has to be on the way inwards.
                let is_on_its_way = is_above == (belows[lane] < levels[lane]);
                let inwards = chosen(is_above, inwards_above[lane], inwards_below[lane]);
                let is_it = (narrows[lane] != 0) & (level.abs() == furthest[lane]) & is_on_its_way;
                slopes[lane] = chosen(is_it, inwards, slopes[lane]);
            }
        }
    }
}
