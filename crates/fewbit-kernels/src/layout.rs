//! Which weights share a step: groups along the stored order of a tensor.

use std::num::NonZeroUsize;

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
}

impl GroupLayout {
    /// Weights per group, the last perhaps excepted.
    pub fn group_size(&self) -> NonZeroUsize {
        match *self {
            Self::Contiguous { group_size } | Self::Transposed { group_size, .. } => group_size,
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
        match *self {
            Self::Contiguous { group_size } => index / group_size,
            Self::Transposed { rows, columns, group_size } => {
                let (row, column) = (index / columns, index % columns);
                (column * rows + row) / group_size
            }
        }
    }

    /// The layout as the fast paths see it, with the group size cut to the number of weights.
    ///
    /// # Panics
    /// When a transposed layout's `rows * columns` is not `weights`.
    pub(crate) fn plan(&self, weights: usize) -> Plan {
        let group_size = self.group_size().get().min(weights.max(1));
        match *self {
            Self::Contiguous { .. } => Plan::Runs { group_size },
            Self::Transposed { rows, columns, .. } => {
                assert_eq!(
                    rows.checked_mul(columns),
                    Some(weights),
                    "a layout of {rows} rows and {columns} columns needs their product of weights"
                );
                // A single row or column, or a single group, is the same either way round.
                if rows <= 1 || columns <= 1 || group_size == weights {
                    Plan::Runs { group_size }
                } else if rows.is_multiple_of(group_size) {
                    Plan::Bands { columns, group_size, bands: rows / group_size }
                } else {
                    Plan::Crossing { rows, columns, group_size }
                }
            }
        }
    }
}

/// The three ways in which groups lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Each group is one run of memory.
    Runs { group_size: usize },
    /// Each group is `group_size` rows of one column; `bands` groups make a column.
    Bands { columns: usize, group_size: usize, bands: usize },
    /// Groups run down the columns and cross from one to the next.
    Crossing { rows: usize, columns: usize, group_size: usize },
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
        assert_eq!(layout.plan(6), Plan::Crossing { rows: 3, columns: 2, group_size: 2 });
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
