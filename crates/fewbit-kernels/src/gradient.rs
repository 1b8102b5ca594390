//! Backward: per group, the sum of gradient times noise, with the noise made again.

use rayon::prelude::*;

use crate::dispatch::{InstructionSet, Kernel};
use crate::key::NoiseKey;
use crate::law::{Gaussian, Law, NoiseLaw, Uniform};
use crate::layout::{GroupLayout, Plan};
use crate::tile::{CHUNK, GroupWalker, NoiseTile, TILE, sum_of_run};

/// Rows whose products are added in `f32` before they join an `f64` sum.
pub(crate) const ROWS_PER_PIECE: usize = 32;
/// Longest group that is added by adjacent pairs.
pub(crate) const LARGEST_SMALL_GROUP: usize = 32;
/// Columns that are summed by one thread where groups cross columns.
pub(crate) const COLUMNS_PER_STRIP: usize = TILE;

/// `sum of gradient[i] * noise(i)` over the weights of each group, one number per group.
///
/// `gradient` is the loss's with respect to the noisy weights, in the order of the slice; the noise
/// is that which [`add_noise`](crate::add_noise) used for the same layout, key and law. The order
/// of the additions depends on the layout only: groups of a power of two up to 32 that lie in one
/// run are added by adjacent pairs in `f32`; longer or uneven ones by pieces of at most 256 weights
/// (32 rows, when transposed), whose sums are added in `f64`.
///
/// # Panics
/// When a transposed layout is not of this many weights.
///
/// Défossez et al. 2022: the factor of `∂L/∂b` that is not the same for the whole group.
pub fn noise_gradient(gradient: &[f32], layout: GroupLayout, key: NoiseKey, law: NoiseLaw) -> Vec<f32> {
    let mut sums = vec![0.0; layout.group_count(gradient.len())];
    write_noise_gradient(gradient, layout, key, law, &mut sums);
    sums
}

/// Writes to `sums` what [`noise_gradient`] returns.
///
/// # Panics
/// As [`noise_gradient`], and when `sums` has not one entry per group.
pub fn write_noise_gradient(
    gradient: &[f32],
    layout: GroupLayout,
    key: NoiseKey,
    law: NoiseLaw,
    sums: &mut [f32],
) {
    noise_gradient_on(InstructionSet::detect(), gradient, layout, key, law, sums);
}

pub(crate) fn noise_gradient_on(
    set: InstructionSet,
    gradient: &[f32],
    layout: GroupLayout,
    key: NoiseKey,
    law: NoiseLaw,
    sums: &mut [f32],
) {
    let groups = layout.group_count(gradient.len());
    assert_eq!(sums.len(), groups, "{} weights make {groups} groups", gradient.len());
    let plan = layout.plan(gradient.len());
    match law {
        NoiseLaw::Gaussian => sum_by_plan(set, Gaussian, key, plan, gradient, sums),
        NoiseLaw::Uniform => sum_by_plan(set, Uniform, key, plan, gradient, sums),
    }
}

fn sum_by_plan<L: Law>(
    set: InstructionSet,
    law: L,
    key: NoiseKey,
    plan: Plan,
    gradient: &[f32],
    sums: &mut [f32],
) {
    match plan {
        Plan::Runs { group_size } if group_size.is_power_of_two() && group_size <= LARGEST_SMALL_GROUP => {
            sum_small_runs(set, law, key, group_size, gradient, sums);
        }
        Plan::Runs { group_size } => sum_runs(set, law, key, group_size, gradient, sums),
        Plan::Bands { columns, group_size, bands } => {
            sum_bands(set, law, key, (columns, group_size, bands), gradient, sums);
        }
        Plan::Crossing { rows, columns, group_size } => {
            sum_crossing(set, law, key, (rows, columns, group_size), gradient, sums);
        }
    }
}

// ---- short groups that divide a tile ----

fn sum_small_runs<L: Law>(
    set: InstructionSet,
    law: L,
    key: NoiseKey,
    group_size: usize,
    gradient: &[f32],
    sums: &mut [f32],
) {
    if gradient.len() <= CHUNK {
        return set.run(SmallRuns { law, key, group_size, start: 0, gradient, sums });
    }
    gradient.par_chunks(CHUNK).zip(sums.par_chunks_mut(CHUNK / group_size)).enumerate().for_each(
        |(place, (gradient, sums))| {
            set.run(SmallRuns { law, key, group_size, start: place * CHUNK, gradient, sums });
        },
    );
}

struct SmallRuns<'a, L> {
    law: L,
    key: NoiseKey,
    group_size: usize,
    start: usize,
    gradient: &'a [f32],
    sums: &'a mut [f32],
}

impl<L: Law> Kernel for SmallRuns<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        match self.group_size {
            1 => self.tile_by_tile::<1>(),
            2 => self.tile_by_tile::<2>(),
            4 => self.tile_by_tile::<4>(),
            8 => self.tile_by_tile::<8>(),
            16 => self.tile_by_tile::<16>(),
            _ => self.tile_by_tile::<LARGEST_SMALL_GROUP>(),
        }
    }
}

impl<L: Law> SmallRuns<'_, L> {
    #[inline(always)]
    fn tile_by_tile<const SIZE: usize>(self) {
        let mut noise = NoiseTile::new(self.law, self.key);
        let mut products = [0.0; TILE];
        let mut first = self.start;
        let tiles = self.gradient.chunks(TILE).zip(self.sums.chunks_mut(TILE / SIZE));
        for (gradient, sums) in tiles {
            if gradient.len() < TILE {
                // A ragged last group is as if its missing weights had gradient 0.
                products.fill(0.0);
            }
            multiply(gradient, noise.fill(first, gradient.len()), &mut products);
            add_groups::<SIZE>(&products, sums);
            first += gradient.len();
        }
    }
}

/// The sum of every `SIZE` products of a tile, by adjacent pairs, then pairs of those.
#[inline(always)]
fn add_groups<const SIZE: usize>(products: &[f32; TILE], sums: &mut [f32]) {
    let mut even = *products;
    let mut odd = [0.0; TILE];
    let levels = SIZE.trailing_zeros();
    for level in 0..levels {
        let count = TILE >> (level + 1);
        if level % 2 == 0 {
            add_pairs(&even[..2 * count], &mut odd[..count]);
        } else {
            add_pairs(&odd[..2 * count], &mut even[..count]);
        }
    }
    let last = if levels % 2 == 0 { &even } else { &odd };
    for (sum, last) in sums.iter_mut().zip(last) {
        *sum = *last;
    }
}

#[inline(always)]
fn add_pairs(pairs: &[f32], out: &mut [f32]) {
    for (out, pair) in out.iter_mut().zip(pairs.as_chunks::<2>().0) {
        *out = pair[0] + pair[1];
    }
}

#[inline(always)]
fn multiply(gradient: &[f32], noise: &[f32], products: &mut [f32]) {
    for ((product, gradient), noise) in products.iter_mut().zip(gradient).zip(noise) {
        *product = gradient * noise;
    }
}

// ---- groups of any other length, in one run each ----

fn sum_runs<L: Law>(
    set: InstructionSet,
    law: L,
    key: NoiseKey,
    group_size: usize,
    gradient: &[f32],
    sums: &mut [f32],
) {
    let partials: Vec<Vec<f64>> = gradient
        .par_chunks(CHUNK)
        .enumerate()
        .map(|(place, gradient)| set.run(LongRuns { law, key, group_size, start: place * CHUNK, gradient }))
        .collect();
    // Chunks meet inside a group: its parts are added in the order of the chunks.
    let mut totals = vec![0.0f64; sums.len()];
    for (place, partial) in partials.iter().enumerate() {
        let first_group = place * CHUNK / group_size;
        for (total, part) in totals[first_group..].iter_mut().zip(partial) {
            *total += part;
        }
    }
    round_all(&totals, sums);
}

fn round_all(totals: &[f64], sums: &mut [f32]) {
    for (sum, total) in sums.iter_mut().zip(totals) {
        *sum = *total as f32;
    }
}

struct LongRuns<'a, L> {
    law: L,
    key: NoiseKey,
    group_size: usize,
    start: usize,
    gradient: &'a [f32],
}

impl<L: Law> Kernel for LongRuns<'_, L> {
    /// One sum per group of which this chunk has weights, the first group perhaps begun before it.
    type Output = Vec<f64>;

    #[inline(always)]
    fn run(self) -> Vec<f64> {
        let mut noise = NoiseTile::new(self.law, self.key);
        let mut products = [0.0; TILE];
        let mut place = self.start % self.group_size;
        let mut sums = vec![0.0; (place + self.gradient.len()).div_ceil(self.group_size)];
        let mut group = 0;
        let mut first = self.start;
        for gradient in self.gradient.chunks(TILE) {
            multiply(gradient, noise.fill(first, gradient.len()), &mut products);
            first += gradient.len();
            let mut rest = &products[..gradient.len()];
            while !rest.is_empty() {
                let (run, after) = rest.split_at(rest.len().min(self.group_size - place));
                sums[group] += f64::from(sum_of_run(run));
                place += run.len();
                if place == self.group_size {
                    (place, group) = (0, group + 1);
                }
                rest = after;
            }
        }
        sums
    }
}

// ---- groups that are whole pieces of columns ----

fn sum_bands<L: Law>(
    set: InstructionSet,
    law: L,
    key: NoiseKey,
    (columns, group_size, bands): (usize, usize, usize),
    gradient: &[f32],
    sums: &mut [f32],
) {
    // Partial sums of at most 32 rows of a band, one row of them per piece.
    let pieces_per_band = group_size.div_ceil(ROWS_PER_PIECE);
    let mut partials = vec![0.0f32; bands * pieces_per_band * columns];
    partials.par_chunks_mut(columns).enumerate().for_each(|(piece, sums)| {
        let (band, part) = (piece / pieces_per_band, piece % pieces_per_band);
        let first_row = band * group_size + part * ROWS_PER_PIECE;
        let last_row = (first_row + ROWS_PER_PIECE).min((band + 1) * group_size);
        let start = first_row * columns;
        set.run(SumRows { law, key, start, gradient: &gradient[start..last_row * columns], sums });
    });
    // Turned to the stored order: neighbouring columns together, since they share cache lines.
    const COLUMNS: usize = 16;
    sums.par_chunks_mut(COLUMNS * bands).enumerate().for_each(|(strip, sums)| {
        let first_column = strip * COLUMNS;
        for band in 0..bands {
            for (column, sums) in (first_column..).zip(sums.chunks_mut(bands)) {
                let parts = partials[band * pieces_per_band * columns + column..].iter().step_by(columns);
                sums[band] = parts.take(pieces_per_band).map(|&part| f64::from(part)).sum::<f64>() as f32;
            }
        }
    });
}

/// Adds the products of some rows, row after row, to one sum per column.
struct SumRows<'a, L> {
    law: L,
    key: NoiseKey,
    start: usize,
    gradient: &'a [f32],
    sums: &'a mut [f32],
}

impl<L: Law> Kernel for SumRows<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let mut noise = NoiseTile::new(self.law, self.key);
        let mut first = self.start;
        for row in self.gradient.chunks(self.sums.len()) {
            for (gradient, sums) in row.chunks(TILE).zip(self.sums.chunks_mut(TILE)) {
                let noise = noise.fill(first, gradient.len());
                for ((sum, gradient), noise) in sums.iter_mut().zip(gradient).zip(noise) {
                    *sum += gradient * noise;
                }
                first += gradient.len();
            }
        }
    }
}

// ---- groups that cross from column to column ----

fn sum_crossing<L: Law>(
    set: InstructionSet,
    law: L,
    key: NoiseKey,
    (rows, columns, group_size): (usize, usize, usize),
    gradient: &[f32],
    sums: &mut [f32],
) {
    let strips: Vec<Vec<f64>> = (0..columns.div_ceil(COLUMNS_PER_STRIP))
        .into_par_iter()
        .map(|strip| {
            let first_column = strip * COLUMNS_PER_STRIP;
            let width = COLUMNS_PER_STRIP.min(columns - first_column);
            set.run(SumStrip { law, key, shape: (rows, columns, group_size), first_column, width, gradient })
        })
        .collect();
    // Strips meet inside a group: its parts are added in the order of the columns.
    let mut totals = vec![0.0f64; sums.len()];
    for (strip, partial) in strips.iter().enumerate() {
        let first_group = strip * COLUMNS_PER_STRIP * rows / group_size;
        for (total, part) in totals[first_group..].iter_mut().zip(partial) {
            *total += part;
        }
    }
    round_all(&totals, sums);
}

struct SumStrip<'a, L> {
    law: L,
    key: NoiseKey,
    shape: (usize, usize, usize),
    first_column: usize,
    width: usize,
    gradient: &'a [f32],
}

impl<L: Law> Kernel for SumStrip<'_, L> {
    /// One sum per group of which this strip of columns has weights.
    type Output = Vec<f64>;

    #[inline(always)]
    fn run(self) -> Vec<f64> {
        let (rows, columns, group_size) = self.shape;
        let mut noise = NoiseTile::new(self.law, self.key);
        let first_stored = self.first_column * rows;
        let first_group = first_stored / group_size;
        let last_group = (first_stored + self.width * rows - 1) / group_size;
        let mut sums = vec![0.0; last_group - first_group + 1];
        for row in 0..rows {
            let first = row * columns + self.first_column;
            let gradient = &self.gradient[first..first + self.width];
            let noise = noise.fill(first, self.width);
            let mut walker = GroupWalker::new(first_stored + row, rows, group_size);
            for (gradient, noise) in gradient.iter().zip(noise) {
                sums[walker.group - first_group] += f64::from(gradient * noise);
                walker.advance();
            }
        }
        sums
    }
}
