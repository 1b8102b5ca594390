//! Rows of a table, looked up by index, and the gradient that comes back to them.

use rayon::prelude::*;

use crate::dispatch::{InstructionSet, Kernel};
use crate::elementwise::{PIECE, check_length};
use crate::out_of_range::OutOfRange;

/// Writes the row of `table` that each index names, `[indices, width]`.
///
/// # Errors
/// [`OutOfRange`] with the first index that is no row of the table; `out` is as it was.
///
/// # Panics
/// When `table` is not whole rows of `width`, or `out` not one row per index.
pub fn embedding(table: &[f32], width: usize, indices: &[i64], out: &mut [f32]) -> Result<(), OutOfRange> {
    let rows = table.len().checked_div(width).unwrap_or(0);
    check_length("table", table.len(), rows * width);
    check_length("out", out.len(), indices.len() * width);
    if width == 0 {
        return Ok(());
    }
    OutOfRange::check(indices, rows)?;
    let copy = |(indices, out): (&[i64], &mut [f32])| {
        for (&index, out) in indices.iter().zip(out.chunks_exact_mut(width)) {
            out.copy_from_slice(&table[index as usize * width..][..width]);
        }
    };
    if out.len() <= PIECE {
        copy((indices, out));
    } else {
        let piece = (PIECE / width).max(1);
        indices.par_chunks(piece).zip(out.par_chunks_mut(piece * width)).for_each(copy);
    }
    Ok(())
}

/// Writes to each row of `out` the sum of the gradients of the places whose index names it.
///
/// `gradient` is `[indices, width]`, `out` `[rows, width]`. The rows are shared out among the
/// threads, and each adds its places in their order.
///
/// # Errors
/// [`OutOfRange`] with the first index that is no row of `out`; `out` is as it was.
///
/// # Panics
/// When `gradient` is not one row of `width` per index, or `out` not whole rows.
pub fn embedding_gradient(
    indices: &[i64],
    gradient: &[f32],
    width: usize,
    out: &mut [f32],
) -> Result<(), OutOfRange> {
    embedding_gradient_on(InstructionSet::detect(), indices, gradient, width, out)
}

pub(crate) fn embedding_gradient_on(
    set: InstructionSet,
    indices: &[i64],
    gradient: &[f32],
    width: usize,
    out: &mut [f32],
) -> Result<(), OutOfRange> {
    let rows = out.len().checked_div(width).unwrap_or(0);
    check_length("out", out.len(), rows * width);
    check_length("gradient", gradient.len(), indices.len() * width);
    if width == 0 {
        return Ok(());
    }
    OutOfRange::check(indices, rows)?;
    let places = PlacesByRow::new(indices, rows);
    let add = |(row, out): (usize, &mut [f32])| {
        set.run(AddRows { gradient, width, places: places.of(row), out });
    };
    if out.len().max(gradient.len()) <= PIECE {
        out.chunks_exact_mut(width).enumerate().for_each(add);
    } else {
        let fewest = (PIECE / width / 8).max(1);
        out.par_chunks_exact_mut(width).with_min_len(fewest).enumerate().for_each(add);
    }
    Ok(())
}

/// The places of each row's index, in their order.
struct PlacesByRow {
    /// Where the places of each row end.
    ends: Vec<usize>,
    places: Vec<usize>,
}

impl PlacesByRow {
    /// A counting sort; all indices are in `0..rows`.
    fn new(indices: &[i64], rows: usize) -> Self {
        let mut ends = vec![0; rows];
        for &index in indices {
            ends[index as usize] += 1;
        }
        // From how many there are of each row to where each begins.
        let mut next = 0;
        for end in &mut ends {
            next += std::mem::replace(end, next);
        }
        let mut places = vec![0; indices.len()];
        for (place, &index) in indices.iter().enumerate() {
            let end = &mut ends[index as usize];
            places[*end] = place;
            *end += 1;
        }
        Self { ends, places }
    }

    fn of(&self, row: usize) -> &[usize] {
        let begin = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.places[begin..self.ends[row]]
    }
}

struct AddRows<'a> {
    gradient: &'a [f32],
    width: usize,
    places: &'a [usize],
    out: &'a mut [f32],
}

impl Kernel for AddRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let row = |place: usize| &self.gradient[place * self.width..][..self.width];
        // The first is copied: that saves writing zeros.
        let Some((&first, others)) = self.places.split_first() else { return self.out.fill(0.0) };
        self.out.copy_from_slice(row(first));
        for &place in others {
            for (out, x) in self.out.iter_mut().zip(row(place)) {
                *out += x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use fewbit_testing::Numbers;

    use super::*;

    #[test]
    fn rows_are_looked_up_and_their_gradients_added() {
        let mut numbers = Numbers::seeded(9);
        for (rows, width, count) in
            [(1, 1, 0), (1, 1, 5), (4, 3, 7), (256, 64, 900), (3, 40, 700), (700, 33, 2)]
        {
            let (table, gradient) = (numbers.weights(rows * width), numbers.weights(count * width));
            let indices: Vec<i64> = (0..count).map(|_| numbers.below(rows) as i64).collect();
            let mut out = vec![f32::NAN; count * width];
            embedding(&table, width, &indices, &mut out).unwrap();
            let mut expected = vec![0.0; rows * width];
            for (place, &index) in indices.iter().enumerate() {
                let row = index as usize * width;
                assert_eq!(out[place * width..][..width], table[row..][..width]);
                for column in 0..width {
                    expected[row + column] += gradient[place * width + column];
                }
            }
            for set in InstructionSet::available() {
                let mut sums = vec![f32::NAN; rows * width];
                embedding_gradient_on(set, &indices, &gradient, width, &mut sums).unwrap();
                assert!(sums == expected, "{rows} x {width}, {count} places, {set:?}");
            }
        }
    }

    #[test]
    fn an_index_of_no_row_is_an_error_that_names_it() {
        let mut out = [7.0; 4];
        let error = OutOfRange { place: 1, found: 3, count: 3 };
        assert_eq!(embedding(&[0.0; 6], 2, &[2, 3], &mut out), Err(error));
        let error = OutOfRange { place: 0, found: -1, count: 2 };
        assert_eq!(embedding_gradient(&[-1, 0], &[0.0; 4], 2, &mut out), Err(error));
        assert_eq!(out, [7.0; 4]);
    }
}
