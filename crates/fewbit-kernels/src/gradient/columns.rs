//! Sums over groups that run down the columns of a matrix that is kept by rows.

use rayon::prelude::*;

use super::{COLUMNS_PER_STRIP, ROWS_PER_PIECE, round_all};
use crate::dispatch::{InstructionSet, Kernel};
use crate::key::NoiseKey;
use crate::law::{BLOCK, Law};
use crate::tile::{Aligned, GroupWalker, NoiseBlock, for_each_part, pieces};

/// Groups that are `group_size` rows of one column each.
pub(super) fn sum_bands<L: Law>(
    set: InstructionSet,
    law: L,
    key: NoiseKey,
    (columns, group_size, bands): (usize, usize, usize),
    gradient: &[f32],
    sums: &mut [f32],
) {
    let sum_of_bands = |(place, gradient): (usize, &[f32])| {
        let start = place * BANDS_PER_TILE * group_size * columns;
        set.run(SumBands { law, key, columns, group_size, start, gradient })
    };
    let length = BANDS_PER_TILE * group_size * columns;
    let partials: Vec<Vec<f32>> = if gradient.len() <= CHUNK {
        gradient.chunks(length).enumerate().map(sum_of_bands).collect()
    } else {
        gradient.par_chunks(length).enumerate().map(sum_of_bands).collect()
    };
    for_each_part(gradient.len(), sums, COLUMNS_PER_TILE * bands, |strip, sums| {
        for (tile, partials) in partials.iter().enumerate() {
            turn(partials, columns, strip * COLUMNS_PER_TILE, sums, bands, tile * BANDS_PER_TILE);
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
        let mut noise = NoiseBlock::new(self.law, self.key);
        let Aligned(products) = &mut Aligned::<f32, BLOCK>::zeros();
        let mut start = self.start;
        for row in self.gradient.chunks(self.sums.len()) {
            for (first, count) in pieces(start, row.len()) {
                let here = first - start..first - start + count;
                noise.multiply(first, &row[here.clone()], products);
                add_all(&products[..count], &mut self.sums[here]);
            }
            start += row.len();
        }
    }
}

#[inline(always)]
fn add_all(products: &[f32], sums: &mut [f32]) {
    for (sum, product) in sums.iter_mut().zip(products) {
        *sum += product;
    }
}

/// Groups that cross from one column to the next.
pub(super) fn sum_crossing<L: Law>(
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
        let mut noise = NoiseBlock::new(self.law, self.key);
        let Aligned(products) = &mut Aligned::<f32, BLOCK>::zeros();
        let first_stored = self.first_column * rows;
        let first_group = first_stored / group_size;
        let last_group = (first_stored + self.width * rows - 1) / group_size;
        let mut sums = vec![0.0; last_group - first_group + 1];
        for row in 0..rows {
            let mut walker = GroupWalker::new(first_stored + row, rows, group_size);
            for (first, count) in pieces(row * columns + self.first_column, self.width) {
                noise.multiply(first, &self.gradient[first..first + count], products);
                for product in &products[..count] {
                    sums[walker.group - first_group] += f64::from(*product);
                    walker.advance();
                }
            }
        }
        sums
    }
}
