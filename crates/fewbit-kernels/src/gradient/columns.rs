//! Sums over groups that run down the columns of a matrix that is kept by rows.

use rayon::prelude::*;

use super::{ROWS_PER_PIECE, columns_per_strip, round_all};
use crate::dispatch::{InstructionSet, Kernel};
use crate::key::NoiseKey;
use crate::law::{BLOCK, Law};
use crate::layout::Swap;
use crate::tile::{Aligned, CHUNK, GroupWalker, NoiseBlock, for_each_part, pieces};

/// Groups that are `group_size` rows of one column each.
pub(super) fn sum_bands<L: Law>(
    set: InstructionSet,
    law: L,
    key: NoiseKey,
    (columns, group_size, bands): (usize, usize, usize),
    gradient: &[f32],
    sums: &mut [f32],
) {
    // A piece is at most 32 rows of a band, and has one row of sums.
    let pieces_per_band = group_size.div_ceil(ROWS_PER_PIECE);
    let pieces = bands * pieces_per_band;
    let pieces_per_task = (CHUNK / columns / group_size.min(ROWS_PER_PIECE)).max(1);
    let sum_of_pieces = |task: usize| {
        let from = task * pieces_per_task;
        let mut sums = vec![0.0f32; pieces_per_task.min(pieces - from) * columns];
        for (piece, sums) in (from..).zip(sums.chunks_mut(columns)) {
            let (band, part) = (piece / pieces_per_band, piece % pieces_per_band);
            let first_row = band * group_size + part * ROWS_PER_PIECE;
            let last_row = (first_row + ROWS_PER_PIECE).min((band + 1) * group_size);
            let start = first_row * columns;
            set.run(SumRows { law, key, start, gradient: &gradient[start..last_row * columns], sums });
        }
        sums
    };
    let tasks = 0..pieces.div_ceil(pieces_per_task);
    let partials: Vec<Vec<f32>> = if gradient.len() <= CHUNK {
        tasks.map(sum_of_pieces).collect()
    } else {
        tasks.into_par_iter().map(sum_of_pieces).collect()
    };
    let row_of =
        |piece: usize| &partials[piece / pieces_per_task][piece % pieces_per_task * columns..][..columns];
    let rows_of_band = |band: usize| (band * pieces_per_band..(band + 1) * pieces_per_band).map(row_of);
    for_each_part(gradient.len(), sums, STRIP * bands, |strip, sums| {
        for first_band in (0..bands).step_by(SQUARE) {
            for (square, sums) in sums.chunks_mut(SQUARE * bands).enumerate() {
                let column = strip * STRIP + square * SQUARE;
                turn(first_band, bands, sums, |band| total(rows_of_band(band), column));
            }
        }
    });
}

/// Columns of one piece of work: several squares side by side, so that a page is met once for all.
const STRIP: usize = 8 * SQUARE;
/// Bands and columns that are turned from the order of rows to the stored order at once: what is
/// read and what is written are whole cache lines.
const SQUARE: usize = 16;

/// The sums of some columns of a band: its pieces, added in `f64`.
fn total<'a>(rows: impl Iterator<Item = &'a [f32]>, first_column: usize) -> [f32; SQUARE] {
    let mut totals = [0.0f64; SQUARE];
    for row in rows {
        for (total, part) in totals.iter_mut().zip(&row[first_column..]) {
            *total += f64::from(*part);
        }
    }
    totals.map(|total| total as f32)
}

/// Writes the sums of some bands to their places in a strip of columns.
fn turn(first_band: usize, bands: usize, sums: &mut [f32], of_band: impl Fn(usize) -> [f32; SQUARE]) {
    let count = SQUARE.min(bands - first_band);
    let mut square = [[0.0f32; SQUARE]; SQUARE];
    for (place, row) in square[..count].iter_mut().enumerate() {
        *row = of_band(first_band + place);
    }
    for (column, sums) in sums.chunks_mut(bands).enumerate() {
        for (sum, row) in sums[first_band..][..count].iter_mut().zip(&square) {
            *sum = row[column];
        }
    }
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
    (swap, group_size): (Swap, usize),
    gradient: &[f32],
    sums: &mut [f32],
) {
    let per_strip = columns_per_strip(swap.inner);
    let strips: Vec<Vec<f64>> = (0..swap.columns.div_ceil(per_strip))
        .into_par_iter()
        .map(|strip| {
            let first_column = strip * per_strip;
            let width = per_strip.min(swap.columns - first_column);
            set.run(SumStrip { law, key, swap, group_size, first_column, width, gradient })
        })
        .collect();
    // Strips meet inside a group: its parts are added in the order of the columns.
    let mut totals = vec![0.0f64; sums.len()];
    for (strip, partial) in strips.iter().enumerate() {
        let first_group = strip * per_strip * swap.rows * swap.inner / group_size;
        for (total, part) in totals[first_group..].iter_mut().zip(partial) {
            *total += part;
        }
    }
    round_all(&totals, sums);
}

struct SumStrip<'a, L> {
    law: L,
    key: NoiseKey,
    swap: Swap,
    group_size: usize,
    first_column: usize,
    width: usize,
    gradient: &'a [f32],
}

impl<L: Law> Kernel for SumStrip<'_, L> {
    /// One sum per group of which this strip of columns has weights.
    type Output = Vec<f64>;

    #[inline(always)]
    fn run(self) -> Vec<f64> {
        let Swap { rows, columns, inner } = self.swap;
        let mut noise = NoiseBlock::new(self.law, self.key);
        let Aligned(products) = &mut Aligned::<f32, BLOCK>::zeros();
        let first_stored = self.first_column * rows * inner;
        let first_group = first_stored / self.group_size;
        let last_group = (first_stored + self.width * rows * inner - 1) / self.group_size;
        let mut sums = vec![0.0; last_group - first_group + 1];
        for row in 0..rows {
            let start = (row * columns + self.first_column) * inner;
            let mut walker = GroupWalker::new(self.swap, self.group_size, start);
            for (first, count) in pieces(start, self.width * inner) {
                noise.multiply(first, &self.gradient[first..first + count], products);
                let mut rest = &products[..count];
                while !rest.is_empty() {
                    let (group, length) = walker.run(rest.len());
                    let (run, after) = rest.split_at(length);
                    let sum = &mut sums[group - first_group];
                    run.iter().for_each(|product| *sum += f64::from(*product));
                    rest = after;
                }
            }
        }
        sums
    }
}
