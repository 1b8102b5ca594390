//! Forward: each weight plus its step times its noise.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::dispatch::{InstructionSet, Kernel};
use crate::key::NoiseKey;
use crate::law::{Gaussian, Law, NoiseLaw, Uniform};
use crate::layout::{GroupLayout, Plan};
use crate::tile::{CHUNK, GroupWalker, NoiseTile, TILE};

/// `weights[i] + steps[group(i)] * noise(i)`, in a new vector.
///
/// `steps` has one entry per group of `layout`. The noise of a weight depends on `key`, `law` and
/// its index in the slice, nothing else. A non-finite weight or step gives a non-finite result.
///
/// # Panics
/// When `steps` has not one entry per group, or a transposed layout is not of this many weights.
///
/// Défossez et al. 2022: `w~ = w + Δ(b) ε`.
pub fn noisy_weights(
    weights: &[f32],
    steps: &[f32],
    layout: GroupLayout,
    key: NoiseKey,
    law: NoiseLaw,
) -> Vec<f32> {
    let mut noisy = Vec::with_capacity(weights.len());
    let free = &mut noisy.spare_capacity_mut()[..weights.len()];
    add_noise_on(InstructionSet::detect(), weights, steps, layout, key, law, free);
    // SAFETY: `add_noise_on` wrote each of the first `weights.len()` elements.
    unsafe { noisy.set_len(weights.len()) };
    noisy
}

/// Writes `weights[i] + steps[group(i)] * noise(i)` to `out`, as [`noisy_weights`] does.
///
/// # Panics
/// As [`noisy_weights`], and when `out` has not the length of `weights`.
pub fn add_noise(
    weights: &[f32],
    steps: &[f32],
    layout: GroupLayout,
    key: NoiseKey,
    law: NoiseLaw,
    out: &mut [f32],
) {
    add_noise_on(InstructionSet::detect(), weights, steps, layout, key, law, as_uninit(out));
}

/// The same elements as places that may be written.
pub(crate) fn as_uninit(out: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    // SAFETY: both types have the same layout, and what this module does with the result is to
    // write numbers, so that the caller's elements stay initialized.
    unsafe { &mut *(std::ptr::from_mut(out) as *mut [MaybeUninit<f32>]) }
}

pub(crate) fn add_noise_on(
    set: InstructionSet,
    weights: &[f32],
    steps: &[f32],
    layout: GroupLayout,
    key: NoiseKey,
    law: NoiseLaw,
    out: &mut [MaybeUninit<f32>],
) {
    let groups = layout.group_count(weights.len());
    assert_eq!(steps.len(), groups, "{} weights make {groups} groups", weights.len());
    assert_eq!(out.len(), weights.len(), "as many places as weights");
    let plan = layout.plan(weights.len());
    match law {
        NoiseLaw::Gaussian => add_by_plan(set, AddNoise { law: Gaussian, key, plan, steps, start: 0, weights, out }),
        NoiseLaw::Uniform => add_by_plan(set, AddNoise { law: Uniform, key, plan, steps, start: 0, weights, out }),
    }
}

fn add_by_plan<L: Law>(set: InstructionSet, whole: AddNoise<'_, L>) {
    let AddNoise { law, key, plan, steps, weights, out, .. } = whole;
    let chunk = match plan {
        Plan::Runs { .. } => CHUNK,
        Plan::Bands { columns, group_size, .. } => columns * rows_per_chunk(columns, group_size),
        Plan::Crossing { columns, .. } => columns * rows_per_chunk(columns, 1),
    };
    if weights.len() <= chunk {
        return set.run(AddNoise { law, key, plan, steps, start: 0, weights, out });
    }
    weights.par_chunks(chunk).zip(out.par_chunks_mut(chunk)).enumerate().for_each(|(place, (weights, out))| {
        set.run(AddNoise { law, key, plan, steps, start: place * chunk, weights, out });
    });
}

/// Rows that make about a chunk: whole bands, where a band is not much larger than that.
fn rows_per_chunk(columns: usize, group_size: usize) -> usize {
    let rows = (CHUNK / columns).max(1);
    if group_size * columns <= 4 * CHUNK { rows.next_multiple_of(group_size) } else { rows }
}

/// One chunk: the weights from index `start` of the tensor on, and all the tensor's steps.
struct AddNoise<'a, L> {
    law: L,
    key: NoiseKey,
    plan: Plan,
    steps: &'a [f32],
    start: usize,
    weights: &'a [f32],
    out: &'a mut [MaybeUninit<f32>],
}

impl<L: Law> Kernel for AddNoise<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        match self.plan {
            Plan::Runs { group_size } => self.along_runs(group_size),
            Plan::Bands { columns, group_size, bands } => self.along_bands(columns, group_size, bands),
            Plan::Crossing { rows, columns, group_size } => self.along_crossing(rows, columns, group_size),
        }
    }
}

impl<L: Law> AddNoise<'_, L> {
    #[inline(always)]
    fn along_runs(self, group_size: usize) {
        match group_size {
            1 => self.tile_by_tile(spread_even::<1>),
            2 => self.tile_by_tile(spread_even::<2>),
            4 => self.tile_by_tile(spread_even::<4>),
            8 => self.tile_by_tile(spread_even::<8>),
            16 => self.tile_by_tile(spread_even::<16>),
            32 => self.tile_by_tile(spread_even::<32>),
            _ => self.tile_by_tile(|steps, first, out| spread(steps, group_size, first, out)),
        }
    }

    /// Adds noise with the steps that `spread` writes for a tile.
    #[inline(always)]
    fn tile_by_tile(self, spread: impl Fn(&[f32], usize, &mut [f32; TILE])) {
        let mut noise = NoiseTile::new(self.law, self.key);
        let mut steps = [0.0; TILE];
        let mut first = self.start;
        for (weights, out) in self.weights.chunks(TILE).zip(self.out.chunks_mut(TILE)) {
            spread(self.steps, first, &mut steps);
            combine(weights, &steps, noise.fill(first, weights.len()), out);
            first += weights.len();
        }
    }

    #[inline(always)]
    fn along_bands(self, columns: usize, group_size: usize, bands: usize) {
        let mut noise = NoiseTile::new(self.law, self.key);
        // The steps of one band of rows, in the order of the columns: used for `group_size` rows.
        let mut steps = vec![0.0; columns];
        let mut band_of_steps = usize::MAX;
        let first_row = self.start / columns;
        let rows = self.weights.chunks(columns).zip(self.out.chunks_mut(columns));
        for (row, (weights, out)) in (first_row..).zip(rows) {
            let band = row / group_size;
            if band != band_of_steps {
                band_of_steps = band;
                for (step, group) in steps.iter_mut().zip((band..).step_by(bands)) {
                    *step = self.steps[group];
                }
            }
            let tiles = weights.chunks(TILE).zip(steps.chunks(TILE)).zip(out.chunks_mut(TILE));
            let mut first = row * columns;
            for ((weights, steps), out) in tiles {
                combine(weights, steps, noise.fill(first, weights.len()), out);
                first += weights.len();
            }
        }
    }

    #[inline(always)]
    fn along_crossing(self, rows: usize, columns: usize, group_size: usize) {
        let mut noise = NoiseTile::new(self.law, self.key);
        let mut steps = [0.0; TILE];
        let first_row = self.start / columns;
        let by_row = self.weights.chunks(columns).zip(self.out.chunks_mut(columns));
        for (row, (weights, out)) in (first_row..).zip(by_row) {
            let mut walker = GroupWalker::new(row, rows, group_size);
            let mut first = row * columns;
            for (weights, out) in weights.chunks(TILE).zip(out.chunks_mut(TILE)) {
                for step in &mut steps[..weights.len()] {
                    *step = self.steps[walker.group];
                    walker.advance();
                }
                combine(weights, &steps, noise.fill(first, weights.len()), out);
                first += weights.len();
            }
        }
    }
}

/// `out = weights + steps * noise`, elementwise over at most a tile.
#[inline(always)]
fn combine(weights: &[f32], steps: &[f32], noise: &[f32], out: &mut [MaybeUninit<f32>]) {
    for (((out, weight), step), noise) in out.iter_mut().zip(weights).zip(steps).zip(noise) {
        out.write(weight + step * noise);
    }
}

/// Writes the step of each weight of the tile from weight `first` on, given the step of each group.
///
/// Past the last group `out` keeps what it held.
#[inline(always)]
fn spread(steps: &[f32], group_size: usize, first: usize, out: &mut [f32; TILE]) {
    let mut begin = 0;
    let mut end = (group_size - first % group_size).min(TILE);
    for step in &steps[first / group_size..] {
        out[begin..end].fill(*step);
        begin = end;
        end = end.saturating_add(group_size).min(TILE);
        if begin == end {
            break;
        }
    }
}

/// [`spread`] for groups of `SIZE`, a power of two up to a tile.
///
/// Every step is doubled, then every one of those: a vector unit interleaves two registers faster
/// than it stores many short runs.
#[inline(always)]
fn spread_even<const SIZE: usize>(steps: &[f32], first: usize, out: &mut [f32; TILE]) {
    let steps = &steps[first / SIZE..];
    let mut even = [0.0; TILE];
    let mut odd = [0.0; TILE];
    let count = steps.len().min(TILE / SIZE);
    even[..count].copy_from_slice(&steps[..count]);
    let levels = SIZE.trailing_zeros();
    for level in 0..levels {
        let count = (TILE / SIZE) << level;
        if level % 2 == 0 {
            double_each(&even[..count], &mut odd[..2 * count]);
        } else {
            double_each(&odd[..count], &mut even[..2 * count]);
        }
    }
    *out = if levels % 2 == 0 { even } else { odd };
}

#[inline(always)]
fn double_each(values: &[f32], out: &mut [f32]) {
    for (pair, value) in out.as_chunks_mut::<2>().0.iter_mut().zip(values) {
        *pair = [*value, *value];
    }
}
