//! One thread's block of a product: laid out in strips, then tile by tile.

use std::cell::Cell;
use std::ops::Range;

use crate::product::DEPTH;
use crate::product::shared::Shared;
use crate::product::strip::{Room, Source, Step};
use crate::product::tile::Tile;
use crate::simd::{LaneKernel, Simd};
use crate::tile::LANES;

/// What a product is added to.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    Zero,
    /// The numbers that the output holds.
    Old,
    /// The same numbers in each row.
    Row(&'a [f32]),
}

/// The rows and columns of a product that one thread makes.
#[derive(Clone)]
pub(crate) struct Block<'a> {
    /// Lanes are rows of the product.
    pub(crate) rows: Source<'a>,
    /// Lanes are columns of the product.
    pub(crate) columns: Source<'a>,
    pub(crate) depth: usize,
    pub(crate) start: Start<'a>,
    /// Written at `row_range` and `column_range`, and nowhere else.
    pub(crate) out: &'a Shared<'a>,
    pub(crate) row_range: Range<usize>,
    pub(crate) column_range: Range<usize>,
    /// Columns of the whole output.
    pub(crate) out_columns: usize,
}

thread_local! {
    /// One strip of rows, and the columns of a block.
    static ROOM: Cell<[Room; 2]> = Cell::default();
}

impl LaneKernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // As many sums as leave a few of the 32 or 16 registers for rows and columns.
        if S::REGISTERS == 1 {
            self.by_tiles::<S, 14, 2>(simd, 14)
        } else {
            self.by_tiles::<S, 6, 1>(simd, 12)
        }
    }
}

impl Block<'_> {
    /// With tiles of up to `R` by `L`; a strip has up to `strip_rows` rows.
    #[inline(always)]
    fn by_tiles<S: Simd, const R: usize, const L: usize>(self, simd: S, strip_rows: usize) {
        // Taken and put back, not borrowed: what a closure does is not compiled for this machine.
        let [mut row_room, mut column_room] = ROOM.take();
        let strips = self.column_range.len().div_ceil(LANES);
        // Without a single step there is still the start to be written.
        for first_step in (0..self.depth.max(1)).step_by(DEPTH) {
            let steps = DEPTH.min(self.depth - first_step);
            let columns = column_room.take(strips * steps);
            for (strip, out) in columns.chunks_exact_mut(steps.max(1)).enumerate() {
                let column = self.column_range.start + strip * LANES;
                let lanes = LANES.min(self.column_range.end - column);
                self.columns.from(column, first_step).copy(simd, lanes, out);
            }
            let parts = self.row_range.len().div_ceil(strip_rows);
            for place in 0..parts {
                let here = super::part(self.row_range.len(), parts, 1, place);
                let row = self.row_range.start + here.start;
                let rows = row_room.take(steps);
                self.rows.from(row, first_step).copy(simd, here.len(), rows);
                let strip = Strip { block: &self, rows, columns, row, first_step };
                for first in (0..here.len()).step_by(R) {
                    strip.write_rows::<S, L>(simd, first, R.min(here.len() - first));
                }
            }
        }
        ROOM.set([row_room, column_room]);
    }
}

/// One strip of rows and all the columns of its block, over one stretch of steps.
struct Strip<'a> {
    block: &'a Block<'a>,
    rows: &'a [Step],
    columns: &'a [Step],
    /// The first row.
    row: usize,
    first_step: usize,
}

impl Strip<'_> {
    /// Up to fourteen rows of the strip, from its lane `first` on.
    #[inline(always)]
    fn write_rows<S: Simd, const L: usize>(&self, simd: S, first: usize, rows: usize) {
        match rows {
            1 => self.write_tiles::<S, 1, L>(simd, first),
            2 => self.write_tiles::<S, 2, L>(simd, first),
            3 => self.write_tiles::<S, 3, L>(simd, first),
            4 => self.write_tiles::<S, 4, L>(simd, first),
            5 => self.write_tiles::<S, 5, L>(simd, first),
            6 => self.write_tiles::<S, 6, L>(simd, first),
            // Narrow machines stop here.
            _ if L == 1 => unreachable!("tiles of one register have up to six rows"),
            7 => self.write_tiles::<S, 7, L>(simd, first),
            8 => self.write_tiles::<S, 8, L>(simd, first),
            9 => self.write_tiles::<S, 9, L>(simd, first),
            10 => self.write_tiles::<S, 10, L>(simd, first),
            11 => self.write_tiles::<S, 11, L>(simd, first),
            12 => self.write_tiles::<S, 12, L>(simd, first),
            13 => self.write_tiles::<S, 13, L>(simd, first),
            _ => self.write_tiles::<S, 14, L>(simd, first),
        }
    }

    #[inline(always)]
    fn write_tiles<S: Simd, const R: usize, const L: usize>(&self, simd: S, first: usize) {
        let steps = self.rows.len();
        let columns = self.block.column_range.len();
        let mut column = 0;
        while column < columns {
            let strip = |l: usize| &self.columns[(column / LANES + l) * steps..][..steps];
            if column + (L - 1) * LANES < columns {
                let strips: [&[Step]; L] = std::array::from_fn(strip);
                let tile = Tile::<S, R, L>::zeros(simd).add_lanes(self.rows, first, strips);
                self.write(simd, first, column, tile.sums);
                column += L * LANES;
            } else {
                let tile = Tile::<S, R, 1>::zeros(simd).add_lanes(self.rows, first, [strip(0)]);
                self.write(simd, first, column, tile.sums);
                column += LANES;
            }
        }
    }

    /// Writes sums that begin at a lane of the strip and a column of the block.
    #[expect(clippy::needless_range_loop, reason = "rows and registers are numbered, as in the tile")]
    #[inline(always)]
    fn write<S: Simd, const R: usize, const L: usize>(
        &self,
        simd: S,
        first: usize,
        column: usize,
        sums: [[S::Lanes; L]; R],
    ) {
        let block = self.block;
        let start = if self.first_step == 0 { block.start } else { Start::Old };
        for l in 0..L {
            let lane_column = block.column_range.start + column + l * LANES;
            let lanes = LANES.min(block.column_range.end - lane_column);
            for r in 0..R {
                let place = (self.row + first + r) * block.out_columns + lane_column;
                // SAFETY: rows and columns of this block, which no other thread writes.
                let out = unsafe { block.out.part(place, lanes) };
                let sum = sums[r][l];
                let sum = match start {
                    Start::Zero => sum,
                    Start::Old => simd.add(load(simd, out), sum),
                    Start::Row(row) => simd.add(load(simd, &row[lane_column..][..lanes]), sum),
                };
                store(simd, sum, out);
            }
        }
    }
}

/// Up to sixteen numbers, then zeros.
#[inline(always)]
pub(crate) fn load<S: Simd>(simd: S, source: &[f32]) -> S::Lanes {
    if source.len() >= LANES {
        // SAFETY: sixteen numbers by the line above.
        return unsafe { simd.load(source.as_ptr()) };
    }
    let mut whole = [0.0; LANES];
    whole[..source.len()].copy_from_slice(source);
    // SAFETY: sixteen numbers.
    unsafe { simd.load(whole.as_ptr()) }
}

/// The first lanes, as many as `out` holds.
#[inline(always)]
pub(crate) fn store<S: Simd>(simd: S, lanes: S::Lanes, out: &mut [f32]) {
    if out.len() >= LANES {
        // SAFETY: sixteen numbers by the line above.
        return unsafe { simd.store(lanes, out.as_mut_ptr()) };
    }
    let mut whole = [0.0; LANES];
    // SAFETY: sixteen numbers.
    unsafe { simd.store(lanes, whole.as_mut_ptr()) };
    out.copy_from_slice(&whole[..out.len()]);
}
