//! The inner loop of every product: a tile of sums that stays in registers.
//!
//! Each sum adds its products one after the other, in the order of the steps, each rounded once.
//! How a matrix is cut in tiles therefore changes no bit of the result.

use crate::product::strip::Step;
use crate::simd::Simd;
use crate::tile::LANES;

/// Sums of `R` rows by `L` registers of sixteen columns.
pub(crate) struct Tile<S: Simd, const R: usize, const L: usize> {
    simd: S,
    pub(crate) sums: [[S::Lanes; L]; R],
}

impl<S: Simd, const R: usize, const L: usize> Tile<S, R, L> {
    #[inline(always)]
    pub(crate) fn zeros(simd: S) -> Self {
        Self { simd, sums: [[simd.splat(0.0); L]; R] }
    }

    /// Adds the product of `R` lanes of a strip, from lane `first` on, and strips of as many steps.
    #[expect(clippy::needless_range_loop, reason = "rows and registers are numbered, as in the formula")]
    #[inline(always)]
    pub(crate) fn add_lanes(mut self, strip: &[Step], first: usize, columns: [&[Step]; L]) -> Self {
        let steps = strip.len();
        assert!(first + R <= LANES, "rows are lanes of one strip");
        for column in columns {
            assert_eq!(column.len(), steps, "as many steps in rows and columns");
        }
        for step in 0..steps {
            let mut column = [self.simd.splat(0.0); L];
            for l in 0..L {
                // SAFETY: `step` is below the length of each strip, by the assertion above.
                column[l] = unsafe { self.simd.load(columns[l].get_unchecked(step).0.as_ptr()) };
            }
            // SAFETY: as above.
            let rows = unsafe { &strip.get_unchecked(step).0 };
            for r in 0..R {
                // SAFETY: `first + R` is at most the number of lanes.
                let row = self.simd.splat(unsafe { *rows.get_unchecked(first + r) });
                for l in 0..L {
                    self.sums[r][l] = self.simd.multiply_add(row, column[l], self.sums[r][l]);
                }
            }
        }
        self
    }

    /// Adds the product of `R` steps of a strip, whose lanes are now the steps, and strips of sixteen.
    #[expect(clippy::needless_range_loop, reason = "rows and registers are numbered, as in the formula")]
    #[inline(always)]
    pub(crate) fn add_steps(mut self, strip: &[Step; R], columns: [&[Step; LANES]; L]) -> Self {
        for lane in 0..LANES {
            let mut column = [self.simd.splat(0.0); L];
            for l in 0..L {
                // SAFETY: a step is sixteen numbers.
                column[l] = unsafe { self.simd.load(columns[l][lane].0.as_ptr()) };
            }
            for r in 0..R {
                let row = self.simd.splat(strip[r].0[lane]);
                for l in 0..L {
                    self.sums[r][l] = self.simd.multiply_add(row, column[l], self.sums[r][l]);
                }
            }
        }
        self
    }
}
