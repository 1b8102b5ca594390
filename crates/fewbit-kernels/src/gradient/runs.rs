//! Sums over groups that are one run of memory each.

use rayon::prelude::*;

use super::{LARGEST_SMALL_GROUP, round_all};
use crate::dispatch::{InstructionSet, Kernel};
use crate::key::NoiseKey;
use crate::law::{BLOCK, Law};
use crate::tile::{Aligned, CHUNK, NoiseBlock, sum_of_run};

/// Groups of a power of two up to 32: by adjacent pairs, each group inside one block.
pub(super) fn sum_short<L: Law>(
    set: InstructionSet,
    law: L,
    key: NoiseKey,
    group_size: usize,
    gradient: &[f32],
    sums: &mut [f32],
) {
    if gradient.len() <= CHUNK {
        return set.run(ShortRuns { law, key, group_size, start: 0, gradient, sums });
    }
    gradient.par_chunks(CHUNK).zip(sums.par_chunks_mut(CHUNK / group_size)).enumerate().for_each(
        |(place, (gradient, sums))| {
            set.run(ShortRuns { law, key, group_size, start: place * CHUNK, gradient, sums });
        },
    );
}

struct ShortRuns<'a, L> {
    law: L,
    key: NoiseKey,
    group_size: usize,
    start: usize,
    gradient: &'a [f32],
    sums: &'a mut [f32],
}

impl<L: Law> Kernel for ShortRuns<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        match self.group_size {
            1 => self.block_by_block::<1>(),
            2 => self.block_by_block::<2>(),
            4 => self.block_by_block::<4>(),
            8 => self.block_by_block::<8>(),
            16 => self.block_by_block::<16>(),
            _ => self.block_by_block::<LARGEST_SMALL_GROUP>(),
        }
    }
}

impl<L: Law> ShortRuns<'_, L> {
    #[inline(always)]
    fn block_by_block<const SIZE: usize>(self) {
        let mut noise = NoiseBlock::new(self.law, self.key);
        let Aligned(products) = &mut Aligned::<f32, BLOCK>::zeros();
        let mut first = self.start;
        let blocks = self.gradient.chunks(BLOCK).zip(self.sums.chunks_mut(BLOCK / SIZE));
        for (gradient, sums) in blocks {
            if gradient.len() < BLOCK {
                // A ragged last group is as if its missing weights had gradient 0.
                products.fill(0.0);
            }
            noise.multiply(first, gradient, products);
            add_groups::<SIZE>(products, sums);
            first += gradient.len();
        }
    }
}

/// The sum of every `SIZE` products of a block, by adjacent pairs, then pairs of those.
#[inline(always)]
fn add_groups<const SIZE: usize>(products: &[f32; BLOCK], sums: &mut [f32]) {
    let Aligned(odd) = &mut Aligned::<f32, { BLOCK / 2 }>::zeros();
    let Aligned(even) = &mut Aligned::<f32, { BLOCK / 4 }>::zeros();
    let levels = SIZE.trailing_zeros();
    for level in 1..=levels {
        let count = BLOCK >> level;
        match level {
            1 => add_pairs(products, odd),
            _ if level.is_multiple_of(2) => add_pairs(&odd[..2 * count], &mut even[..count]),
            _ => add_pairs(&even[..2 * count], &mut odd[..count]),
        }
    }
    let last = match levels {
        0 => &products[..],
        _ if levels.is_multiple_of(2) => &even[..],
        _ => &odd[..],
    };
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

/// Groups of any other length: the part in each block in `f32`, these parts in `f64`.
pub(super) fn sum_long<L: Law>(
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
        let mut noise = NoiseBlock::new(self.law, self.key);
        let Aligned(products) = &mut Aligned::<f32, BLOCK>::zeros();
        let mut place = self.start % self.group_size;
        let mut sums = vec![0.0; (place + self.gradient.len()).div_ceil(self.group_size)];
        let mut group = 0;
        let mut first = self.start;
        for gradient in self.gradient.chunks(BLOCK) {
            noise.multiply(first, gradient, products);
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
