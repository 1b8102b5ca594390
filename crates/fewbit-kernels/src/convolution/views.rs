//! Views of an image in which each tap of a kernel reads whole registers.
//!
//! A view is the image moved by a number of columns, cut to the columns of the grid and, for a
//! stride, thinned: one row of it after the other is what a tap multiplies, for all the grid's
//! places in their order. Taps that are rows apart read the same view from different rows on. The
//! padding is in the views as zeros, so that the products have no borders.

use std::cell::Cell;

use super::correlation::{Correlation, Tap};

/// Numbers of a register.
pub(super) const LANES: usize = 16;

/// Where the views of a band of grid rows lie in the scratch: channel after channel, view after view.
#[derive(Clone, Debug)]
pub(super) struct Views {
    views: Vec<View>,
    stride: [usize; 2],
    columns: usize,
    /// Rows of the grid in a band; the last band may have fewer.
    pub(super) band_rows: usize,
    pub(super) channel_len: usize,
}

#[derive(Clone, Copy, Debug)]
struct View {
    /// Shift of its columns.
    column: isize,
    /// Shift of its first row.
    row: isize,
    /// Rows it has beyond the band's.
    more_rows: usize,
    start: usize,
}

impl Views {
    /// The views of `band_rows` rows of the grid.
    pub(super) fn new(correlation: &Correlation, band_rows: usize) -> Self {
        let [down, _] = correlation.stride.map(|stride| stride as isize);
        let mut views: Vec<View> = Vec::new();
        for Tap { shift: [row, column], .. } in correlation.phases.iter().flat_map(|phase| &phase.taps) {
            let fits = |view: &&mut View| view.column == *column && (view.row - row) % down == 0;
            match views.iter_mut().find(fits) {
                Some(view) => {
                    let last = (view.row + view.more_rows as isize * down).max(*row);
                    view.row = view.row.min(*row);
                    view.more_rows = ((last - view.row) / down) as usize;
                }
                None => views.push(View { column: *column, row: *row, more_rows: 0, start: 0 }),
            }
        }
        let columns = correlation.grid[1];
        let mut channel_len = 0;
        for view in &mut views {
            view.start = channel_len;
            channel_len += (band_rows + view.more_rows) * columns;
        }
        Self { views, stride: correlation.stride, columns, band_rows, channel_len }
    }

    /// Where a tap begins to read in a channel's views.
    pub(super) fn offset(&self, tap: &Tap) -> usize {
        let [down, _] = self.stride.map(|stride| stride as isize);
        let [row, column] = tap.shift;
        let reads = |view: &&View| view.column == column && (row - view.row) % down == 0;
        let view = self.views.iter().find(reads).expect("a view was made for each tap");
        view.start + ((row - view.row) / down) as usize * self.columns
    }

    /// Writes the views of one channel, for the band of `rows` rows from row `first` of the grid on.
    ///
    /// # Panics
    /// When `channel` has not the pixels of `size`, or `out` not [`Self::channel_len`] numbers.
    #[inline(always)]
    pub(super) fn fill(&self, channel: &[f32], size: [usize; 2], first: usize, rows: usize, out: &mut [f32]) {
        assert_eq!(channel.len(), size[0] * size[1], "pixels of a channel");
        assert!(out.len() == self.channel_len && rows <= self.band_rows, "room for a channel's views");
        let [height, width] = size;
        let [down, right] = self.stride;
        for view in &self.views {
            let rows = rows + view.more_rows;
            let out = &mut out[view.start..][..rows * self.columns];
            let top = (first * down) as isize + view.row;
            let inside = places_inside(top, down, rows, height);
            let columns = places_inside(view.column, right, self.columns, width);
            out[..inside.start * self.columns].fill(0.0);
            out[inside.end * self.columns..].fill(0.0);
            if inside.is_empty() {
                continue;
            }
            let out = &mut out[inside.start * self.columns..inside.end * self.columns];
            let start = (top + (inside.start * down) as isize) as usize * width;
            if down == 1 && right == 1 && self.columns == width {
                shift_all(&channel[start..][..out.len()], view.column, out);
                for row in out.chunks_exact_mut(width) {
                    row[..columns.start].fill(0.0);
                    row[columns.end..].fill(0.0);
                }
                continue;
            }
            for (place, out) in out.chunks_exact_mut(self.columns).enumerate() {
                let source = &channel[start + place * down * width..][..width];
                out[..columns.start].fill(0.0);
                out[columns.end..].fill(0.0);
                if !columns.is_empty() {
                    let left = (view.column + (columns.start * right) as isize) as usize;
                    thin(&source[left..], right, &mut out[columns.clone()]);
                }
            }
        }
    }
}

/// The places `j` of `0..count` for which `shift + stride j` lies in `0..length`.
fn places_inside(shift: isize, stride: usize, count: usize, length: usize) -> std::ops::Range<usize> {
    let begin = (-shift).max(0).cast_unsigned().div_ceil(stride).min(count);
    let end = (length as isize - shift).max(0).cast_unsigned().div_ceil(stride).min(count);
    begin..end.max(begin)
}

/// Copies the pixels moved by `column` places; those that fall out at the ends stay as they were.
#[inline(always)]
fn shift_all(source: &[f32], column: isize, out: &mut [f32]) {
    let kept = source.len() - column.unsigned_abs().min(source.len());
    if column >= 0 {
        out[..kept].copy_from_slice(&source[source.len() - kept..]);
    } else {
        let moved = out.len() - kept;
        out[moved..].copy_from_slice(&source[..kept]);
    }
}

/// Copies each `stride`th number.
#[inline(always)]
fn thin(source: &[f32], stride: usize, out: &mut [f32]) {
    match stride {
        1 => out.copy_from_slice(&source[..out.len()]),
        2 => {
            // The last number may have no neighbour.
            let (last, most) = out.split_last_mut().expect("called for columns inside the image");
            *last = source[2 * most.len()];
            for (out, [number, _]) in most.iter_mut().zip(source.as_chunks::<2>().0) {
                *out = *number;
            }
        }
        _ => {
            for (out, number) in out.iter_mut().zip(source.iter().step_by(stride)) {
                *out = *number;
            }
        }
    }
}

/// A cache line, so that what begins a scratch is not stored across two.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LANES]);

thread_local! {
    static SCRATCH: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
}

/// Lends `work` so many numbers of this thread's scratch, whose contents are what the last one left.
pub(super) fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut lines = SCRATCH.take();
    if lines.len() < len.div_ceil(LANES) {
        lines.resize(len.div_ceil(LANES), Line([0.0; LANES]));
    }
    // SAFETY: a `Line` is sixteen numbers and nothing else, so that the lines are `16 lines.len()`
    // numbers in a row; they are borrowed for as long as `lines` is.
    let numbers = unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * LANES) };
    let result = work(&mut numbers[..len]);
    SCRATCH.set(lines);
    result
}
