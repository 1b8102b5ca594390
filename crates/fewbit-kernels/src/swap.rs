//! An array with its first two axes swapped.

use std::any::TypeId;

use crate::dispatch::InstructionSet;
use crate::elementwise::check_length;
use crate::layout::Swap;
use crate::simd::{LaneKernel, Simd};
use crate::tile::for_each_part;

/// Rows and columns that are swapped at once, in registers or the nearest cache.
const TILE: usize = 16;
/// Rows of the result that one thread writes at a time: a cache line or more of each row that it reads.
const STRIP: usize = 4 * TILE;

/// Writes an array `[rows, columns, inner]` as `[columns, rows, inner]`: a transposed matrix where `inner` is 1.
///
/// # Panics
/// When one of the slices is not of `rows * columns * inner` elements.
pub fn swap_axes<T: Copy + Default + Send + Sync + 'static>(
    source: &[T],
    [rows, columns, inner]: [usize; 3],
    target: &mut [T],
) {
    check_length("source", source.len(), rows * columns * inner);
    check_length("target", target.len(), source.len());
    if !source.is_empty() {
        Swap { rows, columns, inner }.write(InstructionSet::detect(), source, target);
    }
}

impl Swap {
    /// The way back.
    pub(crate) fn inverse(self) -> Self {
        Self { rows: self.columns, columns: self.rows, inner: self.inner }
    }

    /// Writes an array `[rows, columns, inner]` as `[columns, rows, inner]`.
    pub(crate) fn write<T: Copy + Default + Send + Sync + 'static>(
        self,
        set: InstructionSet,
        source: &[T],
        target: &mut [T],
    ) {
        for_each_part(source.len(), target, STRIP * self.rows * self.inner, |strip, target| {
            set.run_lanes(SwapStrip { swap: self, source, first_column: strip * STRIP, target });
        });
    }
}

struct SwapStrip<'a, T> {
    swap: Swap,
    source: &'a [T],
    first_column: usize,
    target: &'a mut [T],
}

impl<T: Copy + Default + 'static> LaneKernel for SwapStrip<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Swap { rows, columns, inner } = self.swap;
        let width = self.target.len() / (rows * inner);
        if inner > 1 {
            for row in 0..rows {
                for column in 0..width {
                    let from = &self.source[(row * columns + self.first_column + column) * inner..][..inner];
                    let to = &mut self.target[(column * rows + row) * inner..][..inner];
                    for (to, from) in to.iter_mut().zip(from) {
                        *to = *from;
                    }
                }
            }
            return;
        }
        let are_floats = TypeId::of::<T>() == TypeId::of::<f32>();
        for first_row in (0..rows).step_by(TILE) {
            let height = TILE.min(rows - first_row);
            for first in (0..width).step_by(TILE) {
                let place = |row: usize| (first_row + row) * columns + self.first_column + first;
                if height < TILE || first + TILE > width {
                    for column in 0..TILE.min(width - first) {
                        for row in 0..height {
                            self.target[(first + column) * rows + first_row + row] =
                                self.source[place(row) + column];
                        }
                    }
                } else if are_floats {
                    let mut lanes = [simd.splat(0.0); TILE];
                    for (row, lanes) in lanes.iter_mut().enumerate() {
                        let from = &self.source[place(row)..][..TILE];
                        // SAFETY: these are sixteen `f32`.
                        *lanes = unsafe { simd.load(from.as_ptr().cast()) };
                    }
                    for (column, lanes) in simd.transpose(lanes).into_iter().enumerate() {
                        let to = &mut self.target[(first + column) * rows + first_row..][..TILE];
                        // SAFETY: these are sixteen `f32`.
                        unsafe { simd.store(lanes, to.as_mut_ptr().cast()) };
                    }
                } else {
                    let mut tile = [[T::default(); TILE]; TILE];
                    for (row, tile) in tile.iter_mut().enumerate() {
                        tile.copy_from_slice(&self.source[place(row)..][..TILE]);
                    }
                    for column in 0..TILE {
                        let to = &mut self.target[(first + column) * rows + first_row..][..TILE];
                        for (to, row) in to.iter_mut().zip(&tile) {
                            *to = row[column];
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_goes_to_its_place_and_back() {
        for (rows, columns, inner) in [(2, 2, 1), (16, 16, 1), (17, 70, 1), (100, 1000, 1), (33, 130, 3)] {
            let swap = Swap { rows, columns, inner };
            let source: Vec<u32> = (0..(rows * columns * inner) as u32).collect();
            for set in InstructionSet::available() {
                let mut target = vec![0; source.len()];
                swap.write(set, &source, &mut target);
                for (index, element) in source.iter().enumerate() {
                    let (block, place) = (index / inner, index % inner);
                    let stored = (block % columns * rows + block / columns) * inner + place;
                    assert_eq!(target[stored], *element, "{swap:?}, {set:?}");
                }
                let mut back = vec![0; source.len()];
                swap.inverse().write(set, &target, &mut back);
                assert!(back == source, "{swap:?}, {set:?}");
            }
        }
    }
}
