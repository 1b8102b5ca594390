//! Forward: each weight plus its step times its noise.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::dispatch::{InstructionSet, Kernel};
use crate::key::NoiseKey;
use crate::law::{BLOCK, Gaussian, Law, NoiseLaw, Uniform};
use crate::layout::{GroupLayout, Plan};
use crate::tile::{Aligned, CHUNK, GroupWalker, NoiseBlock, pieces};

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
        NoiseLaw::Gaussian => {
            add_by_plan(set, AddNoise { law: Gaussian, key, plan, steps, start: 0, weights, out })
        }
        NoiseLaw::Uniform => {
            add_by_plan(set, AddNoise { law: Uniform, key, plan, steps, start: 0, weights, out })
        }
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
    weights.par_chunks(chunk).zip(out.par_chunks_mut(chunk)).enumerate().for_each(
        |(place, (weights, out))| {
            set.run(AddNoise { law, key, plan, steps, start: place * chunk, weights, out });
        },
    );
}

/// Rows that make about a chunk: whole bands, where a band is not much larger than that.
fn rows_per_chunk(columns: usize, group_size: usize) -> usize {
    let rows = (CHUNK / columns).max(1);
    if group_size * columns <= 4 * CHUNK { rows.next_multiple_of(group_size) } else { rows }
}

/// In place of a group size that is known when compiling.
const ANY: usize = 0;

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
            1 => self.block_by_block::<1>(1),
            2 => self.block_by_block::<2>(2),
            4 => self.block_by_block::<4>(4),
            8 => self.block_by_block::<8>(8),
            16 => self.block_by_block::<16>(16),
            32 => self.block_by_block::<32>(32),
            _ => self.block_by_block::<ANY>(group_size),
        }
    }

    /// For groups of `SIZE`, or of `group_size` where `SIZE` is `ANY`.
    #[inline(always)]
    fn block_by_block<const SIZE: usize>(self, group_size: usize) {
        let mut noise = NoiseBlock::new(self.law, self.key);
        let Aligned(steps) = &mut Aligned::<f32, BLOCK>::zeros();
        let Aligned(spare) = &mut Aligned::<f32, BLOCK>::zeros();
        let mut first = self.start;
        for (weights, out) in self.weights.chunks(BLOCK).zip(self.out.chunks_mut(BLOCK)) {
            if SIZE == ANY {
                spread(self.steps, group_size, first, steps);
            } else {
                spread_even::<SIZE>(self.steps, first, spare, steps);
            }
            noise.add(first, weights, &steps[..weights.len()], out);
            first += weights.len();
        }
    }

    #[inline(always)]
    fn along_bands(self, columns: usize, group_size: usize, bands: usize) {
        let mut noise = NoiseBlock::new(self.law, self.key);
        let first_row = self.start / columns;
        let first_band = first_row / group_size;
        let last_row = first_row + self.weights.len() / columns - 1;
        // The steps of this chunk's bands, each in the order of the columns. A column's lie side by
        // side in what is given, so they are fetched together.
        let here = last_row / group_size - first_band + 1;
        let mut steps_of_bands = vec![0.0; here * columns];
        for (column, steps) in self.steps.chunks(bands).enumerate() {
            for (band, step) in steps[first_band..][..here].iter().enumerate() {
                steps_of_bands[band * columns + column] = *step;
            }
        }
        let rows = self.weights.chunks(columns).zip(self.out.chunks_mut(columns));
        for (row, (weights, out)) in (first_row..).zip(rows) {
            let steps = &steps_of_bands[(row / group_size - first_band) * columns..][..columns];
            let start = row * columns;
            for (first, count) in pieces(start, columns) {
                let here = first - start..first - start + count;
                noise.add(first, &weights[here.clone()], &steps[here.clone()], &mut out[here]);
            }
        }
    }

    #[inline(always)]
    fn along_crossing(self, rows: usize, columns: usize, group_size: usize) {
        let mut noise = NoiseBlock::new(self.law, self.key);
        let Aligned(steps) = &mut Aligned::<f32, BLOCK>::zeros();
        let first_row = self.start / columns;
        let by_row = self.weights.chunks(columns).zip(self.out.chunks_mut(columns));
        for (row, (weights, out)) in (first_row..).zip(by_row) {
            let mut walker = GroupWalker::new(row, rows, group_size);
            let start = row * columns;
            for (first, count) in pieces(start, columns) {
                for step in &mut steps[..count] {
                    *step = self.steps[walker.group];
                    walker.advance();
                }
                let here = first - start..first - start + count;
                noise.add(first, &weights[here.clone()], &steps[..count], &mut out[here]);
            }
        }
    }
}

/// Writes the step of each weight of the block from weight `first` on, given the step of each group.
///
/// Past the last group `out` keeps what it held.
#[inline(always)]
fn spread(steps: &[f32], group_size: usize, first: usize, out: &mut [f32; BLOCK]) {
    let mut begin = 0;
    let mut end = (group_size - first % group_size).min(BLOCK);
    for step in &steps[first / group_size..] {
        out[begin..end].fill(*step);
        begin = end;
        end = end.saturating_add(group_size).min(BLOCK);
        if begin == end {
            break;
        }
    }
}

/// [`spread`] for groups of `SIZE`, a power of two up to a block; `spare` is room to work in.
///
/// Every step is doubled, then every one of those: a vector unit interleaves two registers faster
/// than it stores many short runs.
#[inline(always)]
fn spread_even<const SIZE: usize>(
    steps: &[f32],
    first: usize,
    spare: &mut [f32; BLOCK],
    out: &mut [f32; BLOCK],
) {
    let steps = &steps[first / SIZE..];
    // Twice the same, the first time with lengths that the compiler knows.
    match steps.get(..BLOCK / SIZE) {
        Some(steps) => double_up::<SIZE>(steps, spare, out),
        None => double_up::<SIZE>(steps, spare, out),
    }
}

#[inline(always)]
fn double_up<const SIZE: usize>(steps: &[f32], spare: &mut [f32; BLOCK], out: &mut [f32; BLOCK]) {
    let levels = SIZE.trailing_zeros();
    if levels == 0 {
        out[..steps.len()].copy_from_slice(steps);
    }
    for level in 0..levels {
        let count = (BLOCK / SIZE) << level;
        match (level, (levels - level).is_multiple_of(2)) {
            (0, true) => double_each(steps, &mut spare[..2 * count]),
            (0, false) => double_each(steps, &mut out[..2 * count]),
            (_, true) => double_each(&out[..count], &mut spare[..2 * count]),
            (_, false) => double_each(&spare[..count], &mut out[..2 * count]),
        }
    }
}

#[inline(always)]
fn double_each(values: &[f32], out: &mut [f32]) {
    for (pair, value) in out.as_chunks_mut::<2>().0.iter_mut().zip(values) {
        *pair = [*value, *value];
    }
}
