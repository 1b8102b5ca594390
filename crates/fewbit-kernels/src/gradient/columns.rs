//! Sums over groups that run down the columns of a matrix that is kept by rows.

use rayon::prelude::*;

use super::{COLUMNS_PER_STRIP, ROWS_PER_PIECE, round_all};
use crate::dispatch::{InstructionSet, Kernel};
use crate::key::NoiseKey;
use crate::law::{BLOCK, Law};
use crate::tile::{GroupWalker, NoiseBlock, for_each_part, pieces};

/// Groups that are `group_size` rows of one column each.
pub(super) fn sum_bands<L: Law>(
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
    for_each_part(gradient.len(), &mut partials, columns, |piece, sums| {
        let (band, part) = (piece / pieces_per_band, piece % pieces_per_band);
        let first_row = band * group_size + part * ROWS_PER_PIECE;
        let last_row = (first_row + ROWS_PER_PIECE).min((band + 1) * group_size);
        let start = first_row * columns;
        set.run(SumRows { law, key, start, gradient: &gradient[start..last_row * columns], sums });
    });
    // Turned to the stored order: neighbouring columns together, since they share cache lines.
    const COLUMNS: usize = 16;
    for_each_part(gradient.len(), sums, COLUMNS * bands, |strip, sums| {
        let width = sums.len() / bands;
        for (band, rows) in partials.chunks(pieces_per_band * columns).enumerate() {
            let mut totals = [0.0f64; COLUMNS];
            for row in rows.chunks(columns) {
                for (total, part) in totals.iter_mut().zip(&row[strip * COLUMNS..][..width]) {
                    *total += f64::from(*part);
                }
            }
            for (column, total) in totals[..width].iter().enumerate() {
                sums[column * bands + band] = *total as f32;
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
        let mut noise = NoiseBlock::new(self.law, self.key);
        let mut products = [0.0; BLOCK];
        let mut start = self.start;
        for row in self.gradient.chunks(self.sums.len()) {
            for (first, count) in pieces(start, row.len()) {
                let here = first - start..first - start + count;
                noise.multiply(first, &row[here.clone()], &mut products);
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
        let mut products = [0.0; BLOCK];
        let first_stored = self.first_column * rows;
        let first_group = first_stored / group_size;
        let last_group = (first_stored + self.width * rows - 1) / group_size;
        let mut sums = vec![0.0; last_group - first_group + 1];
        for row in 0..rows {
            let mut walker = GroupWalker::new(first_stored + row, rows, group_size);
            for (first, count) in pieces(row * columns + self.first_column, self.width) {
                noise.multiply(first, &self.gradient[first..first + count], &mut products);
                for product in &products[..count] {
                    sums[walker.group - first_group] += f64::from(*product);
                    walker.advance();
                }
            }
        }
        sums
    }
}
