//! Which weights share a step: groups along the stored order of a tensor.

use std::num::NonZeroUsize;

use crate::tile::CHUNK;

/// How the weights of a slice fall into groups.
///
/// Groups are consecutive in the *stored* order; the last may be shorter. A group size of at least
/// the number of weights makes them all one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupLayout {
    /// The slice is in stored order: weight `i` belongs to group `i / group_size`.
    Contiguous {
        /// Weights per group.
        group_size: NonZeroUsize,
    },
    /// The slice is a row-major matrix `[rows, columns]`, stored transposed, as `[columns, rows]`.
    ///
    /// So a linear layer kept as `[in, out]` is stored as `[out, in]`. Weight `(r, c)`, at
    /// `r * columns + c` of the slice, has the stored index `c * rows + r`. Groups run down the
    /// columns, and go on in the next column where `group_size` does not divide `rows`.
    Transposed {
        /// Rows of the slice, columns of what is stored.
        rows: usize,
        /// Columns of the slice, rows of what is stored.
        columns: usize,
        /// Weights per group.
        group_size: NonZeroUsize,
    },
    /// The slice is a row-major array `[rows, columns, inner]`, stored as `[columns, rows, inner]`.
    ///
    /// So a transposed convolution kept as `[in, out, k…]` is stored as `[out, in, k…]`. Weight
    /// `(r, c, i)`, at `(r * columns + c) * inner + i` of the slice, has the stored index
    /// `(c * rows + r) * inner + i`. With `inner` 1 this is [`Transposed`](Self::Transposed).
    Swapped {
        /// Rows of the slice, columns of what is stored.
        rows: usize,
        /// Columns of the slice, rows of what is stored.
        columns: usize,
        /// Weights that lie side by side both ways.
        inner: usize,
        /// Weights per group.
        group_size: NonZeroUsize,
    },
}

impl GroupLayout {
    /// Weights per group, the last perhaps excepted.
    pub fn group_size(&self) -> NonZeroUsize {
        match *self {
            Self::Contiguous { group_size }
            | Self::Transposed { group_size, .. }
            | Self::Swapped { group_size, .. } => group_size,
        }
    }

    /// Number of groups that `weights` weights make; no weights make none.
    pub fn group_count(&self, weights: usize) -> usize {
        weights.div_ceil(self.group_size().get())
    }

    /// Weights of group `group` among `weights` weights: 0 past the last group.
    pub fn group_length(&self, group: usize, weights: usize) -> usize {
        let size = self.group_size().get();
        weights.saturating_sub(group.saturating_mul(size)).min(size)
    }

    /// The group of the weight at `index` of the slice.
    pub fn group_of(&self, index: usize) -> usize {
        self.stored_index(index) / self.group_size()
    }

    /// The place in stored order of the weight at `index` of the slice.
    pub(crate) fn stored_index(&self, index: usize) -> usize {
        let Some((rows, columns, inner)) = self.axes() else { return index };
        let (block, place) = (index / inner, index % inner);
        (block % columns * rows + block / columns) * inner + place
    }

    /// `(rows, columns, inner)` of a layout whose first two axes are swapped.
    fn axes(&self) -> Option<(usize, usize, usize)> {
        match *self {
            Self::Contiguous { .. } => None,
            Self::Transposed { rows, columns, .. } => Some((rows, columns, 1)),
            Self::Swapped { rows, columns, inner, .. } => Some((rows, columns, inner)),
        }
    }

    /// The swapped axes, or `None` where memory order and stored order of `weights` weights are the same.
    ///
    /// # Panics
    /// When the layout is swapped and `rows * columns * inner` is not `weights`.
    pub(crate) fn swap(&self, weights: usize) -> Option<Swap> {
        let (rows, columns, inner) = self.axes()?;
        assert_eq!(
            rows.checked_mul(columns).and_then(|blocks| blocks.checked_mul(inner)),
            Some(weights),
            "a layout of shape [{rows}, {columns}, {inner}] needs as many weights"
        );
        (rows > 1 && columns > 1 && inner > 0).then_some(Swap { rows, columns, inner })
    }

    /// The layout as the fast paths see it, with the group size cut to the number of weights.
    ///
    /// # Panics
    /// When a swapped layout is not of this many weights.
    pub(crate) fn plan(&self, weights: usize) -> Plan {
        let group_size = self.group_size().get().min(weights.max(1));
        match self.swap(weights) {
            None => Plan::Runs { group_size },
            // A single group is the same either way round.
            Some(_) if group_size == weights => Plan::Runs { group_size },
            Some(Swap { rows, columns, inner: 1 }) if rows.is_multiple_of(group_size) => {
                Plan::Bands { columns, group_size, bands: rows / group_size }
            }
            Some(Swap { rows, columns, inner }) => Plan::Crossing { rows, columns, inner, group_size },
        }
    }
}

/// An array `[rows, columns, inner]` that is stored as `[columns, rows, inner]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Swap {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) inner: usize,
}

/// The three ways in which groups lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Each group is one run of memory.
    Runs { group_size: usize },
    /// Each group is `group_size` rows of one column; `bands` groups make a column.
    Bands { columns: usize, group_size: usize, bands: usize },
    /// Groups run down the columns, `inner` weights in each row, and cross from one to the next.
    Crossing { rows: usize, columns: usize, inner: usize, group_size: usize },
}

impl Plan {
    /// Weights of a row of memory; `None` where memory is one run.
    pub(crate) fn row_length(self) -> Option<usize> {
        match self {
            Self::Runs { .. } => None,
            Self::Bands { columns, .. } => Some(columns),
            Self::Crossing { columns, inner, .. } => Some(columns * inner),
        }
    }

    /// Weights of one piece of work, at least about `at_least`: whole rows, and whole bands where these are
    /// not much larger than that.
    pub(crate) fn chunk(self, at_least: usize) -> usize {
        let Some(row) = self.row_length() else { return at_least.next_multiple_of(CHUNK) };
        let rows = (at_least / row).max(1);
        match self {
            Self::Bands { group_size, .. } if group_size * row <= 4 * at_least => {
                rows.next_multiple_of(group_size) * row
            }
            _ => rows * row,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(group_size: usize) -> NonZeroUsize {
        NonZeroUsize::new(group_size).unwrap()
    }

    // [3 rows, 2 columns] in memory: a b / c d / e f; stored: a c | e b | d f in groups of two.
    #[test]
    fn transposed_groups_follow_the_stored_order_across_columns() {
        let layout = GroupLayout::Transposed { rows: 3, columns: 2, group_size: size(2) };
        let groups: Vec<_> = (0..6).map(|index| layout.group_of(index)).collect();
        assert_eq!(groups, [0, 1, 0, 2, 1, 2]);
        assert_eq!(layout.plan(6), Plan::Crossing { rows: 3, columns: 2, inner: 1, group_size: 2 });
    }

    // [2 rows, 2 columns, 2 inner] in memory: ab cd / ef gh; stored: ab e | f cd | gh in groups of three.
    #[test]
    fn blocks_that_are_swapped_stay_whole() {
        let layout = GroupLayout::Swapped { rows: 2, columns: 2, inner: 2, group_size: size(3) };
        let groups: Vec<_> = (0..8).map(|index| layout.group_of(index)).collect();
        assert_eq!(groups, [0, 0, 1, 1, 0, 1, 2, 2]);
        let transposed = GroupLayout::Transposed { rows: 6, columns: 4, group_size: size(3) };
        let swapped = GroupLayout::Swapped { rows: 6, columns: 4, inner: 1, group_size: size(3) };
        assert_eq!(transposed.plan(24), swapped.plan(24));
    }

    #[test]
    fn the_last_group_is_shorter_and_a_large_group_takes_all() {
        let layout = GroupLayout::Contiguous { group_size: size(8) };
        assert_eq!((layout.group_count(17), layout.group_count(16), layout.group_count(0)), (3, 2, 0));
        assert_eq!([0, 1, 2, 3].map(|group| layout.group_length(group, 17)), [8, 8, 1, 0]);
        let all = GroupLayout::Contiguous { group_size: size(usize::MAX) };
        assert_eq!((all.group_count(17), all.group_length(0, 17), all.group_of(16)), (1, 17, 0));
    }
}
