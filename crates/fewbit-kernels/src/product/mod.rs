//! Products of matrices.
//!
//! The order of every sum is fixed: products of [`DEPTH`] steps are added one after the other, and
//! the sums of such stretches in their order. Rows and columns may then be cut for caches,
//! registers and threads as it suits the machine, without changing a bit.

pub(crate) mod block;
pub(crate) mod shared;
pub(crate) mod strip;
#[cfg(test)]
mod tests;
pub(crate) mod tile;

use std::ops::Range;

use rayon::prelude::*;

use crate::dispatch::InstructionSet;
use crate::tile::LANES;
use block::Block;
pub(crate) use block::Start;
use shared::Shared;
use strip::Source;

/// Steps whose products are summed in registers before they meet what was summed before.
pub(crate) const DEPTH: usize = 256;
/// Most columns of a piece of work: with [`DEPTH`] steps each, half of the second cache.
const BLOCK_COLUMNS: usize = 512;
/// Pieces of work for each thread: so that one that is held up leaves some to the others.
const BLOCKS_PER_THREAD: usize = 2;
/// Multiplications below which waking another thread takes longer than the product.
const SMALL: usize = 1 << 17;

/// A matrix in a slice, or the transpose of the one that lies there.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// The numbers, row by row of the matrix as stored.
    pub values: &'a [f32],
    /// Rows of the matrix meant: columns of what is stored, where `transposed`.
    pub rows: usize,
    /// Columns of the matrix meant: rows of what is stored, where `transposed`.
    pub columns: usize,
    /// Whether the transpose is stored.
    pub transposed: bool,
}

impl<'a> Matrix<'a> {
    /// `[rows, columns]` as stored.
    pub const fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self { values, rows, columns, transposed: false }
    }

    /// The transpose, `[columns, rows]`, of the same numbers.
    pub const fn transpose(self) -> Self {
        Self { values: self.values, rows: self.columns, columns: self.rows, transposed: !self.transposed }
    }

    fn check(&self, name: &str) {
        let Self { values, rows, columns, .. } = self;
        let (found, needed) = (values.len(), size(*rows, *columns));
        assert_eq!(found, needed, "`{name}`: {found} numbers, {needed} needed for {rows} by {columns}");
    }

    /// Rows as lanes, columns as steps.
    fn by_rows(&self) -> Source<'a> {
        let [lane_stride, step_stride] = if self.transposed { [1, self.rows] } else { [self.columns, 1] };
        Source { values: self.values, lane_stride, step_stride }
    }
}

/// Writes the matrix product `a b` to `out`, or adds it to what `out` holds where `accumulate`.
///
/// `a` is `[rows, depth]`, `b` `[depth, columns]`, `out` `[rows, columns]`, row by row.
///
/// # Panics
/// When a slice has not the length of its matrix, or `b` has not as many rows as `a` has columns.
///
/// ```
/// use fewbit_kernels::{Matrix, product};
///
/// let a = Matrix::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3);
/// let mut out = [0.0; 4];
/// product(a, a.transpose(), false, &mut out);
/// assert_eq!(out, [14.0, 32.0, 32.0, 77.0]);
/// ```
pub fn product(a: Matrix<'_>, b: Matrix<'_>, accumulate: bool, out: &mut [f32]) {
    let start = if accumulate { Start::Old } else { Start::Zero };
    product_on(InstructionSet::detect(), a, b, start, out);
}

/// Writes `start + a b` to `out`.
pub(crate) fn product_on(
    set: InstructionSet,
    a: Matrix<'_>,
    b: Matrix<'_>,
    start: Start<'_>,
    out: &mut [f32],
) {
    a.check("a");
    b.check("b");
    let (rows, depth, columns) = (a.rows, a.columns, b.columns);
    assert_eq!(b.rows, depth, "`b`: {} rows, {depth} needed for the columns of `a`", b.rows);
    let (found, needed) = (out.len(), size(rows, columns));
    assert_eq!(found, needed, "`out`: {found} numbers, {needed} needed for {rows} by {columns}");
    if out.is_empty() {
        return;
    }
    let whole = Block {
        rows: a.by_rows(),
        columns: b.transpose().by_rows(),
        depth,
        start,
        out: &Shared::new(out),
        row_range: 0..rows,
        column_range: 0..columns,
        out_columns: columns,
    };
    if size(rows, columns).saturating_mul(depth.max(1)) <= SMALL {
        set.run_lanes(whole);
        return;
    }
    let (row_blocks, column_blocks) = blocks(rows, columns, rayon::current_num_threads());
    (0..row_blocks * column_blocks).into_par_iter().with_max_len(1).for_each(|place| {
        let row_range = part(rows, row_blocks, 1, place % row_blocks);
        let column_range = part(columns, column_blocks, 2 * LANES, place / row_blocks);
        // Each block writes the elements of its own rows and columns.
        set.run_lanes(Block { row_range, column_range, ..whole });
    });
}

/// Numbers of a matrix. Threads write parts of the output by place, so that a product that wraps must not pass.
fn size(rows: usize, columns: usize) -> usize {
    rows.checked_mul(columns).unwrap_or_else(|| panic!("{rows} by {columns} numbers are too many to count"))
}

/// Into how many parts rows and columns are cut.
///
/// Each part of the rows lays out all columns anew, and each part of the columns all rows: of the
/// ways to get enough parts, the one with the least of it.
fn blocks(rows: usize, columns: usize, threads: usize) -> (usize, usize) {
    let least = BLOCKS_PER_THREAD * threads;
    let fewest = columns.div_ceil(BLOCK_COLUMNS);
    (fewest..=fewest.max(least).min(columns.div_ceil(2 * LANES)))
        .map(|column_blocks| (least.div_ceil(column_blocks).min(rows), column_blocks))
        .min_by_key(|(row_blocks, column_blocks)| row_blocks * columns + column_blocks * rows)
        .unwrap_or((1, fewest))
}

/// Part `place` of `count` parts of `0..length`, even ones, of whole units.
fn part(length: usize, count: usize, unit: usize, place: usize) -> Range<usize> {
    let units = length.div_ceil(unit);
    let bound = |place: usize| (units * place / count * unit).min(length);
    bound(place)..bound(place + 1)
}
