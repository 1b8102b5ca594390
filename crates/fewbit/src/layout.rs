//! How a tensor lies in memory against the order in which it is stored.
//!
//! Stored tensors are `[out, …]` and groups run along that order, so that files mean the same whoever wrote them.
//! Frameworks keep some weights the other way round: burn's `Linear` is `[in, out]`, transposed convolutions are
//! `[in, out, …]` everywhere.

use std::num::NonZeroUsize;

use fewbit_kernels::{GroupLayout, swap_axes};

use crate::{GroupSize, Grouping};

/// The order of a tensor's values in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Orientation {
    /// Memory order is stored order.
    Stored,
    /// The first two axes are swapped in the stored tensor.
    Swapped,
}

impl Orientation {
    /// The stored shape of a tensor of shape `shape` in memory, and the other way round.
    pub fn swap_shape(self, shape: &[usize]) -> Vec<usize> {
        let mut shape = shape.to_vec();
        if self == Self::Swapped && shape.len() >= 2 {
            shape.swap(0, 1);
        }
        shape
    }

    /// The values of a tensor of shape `shape` in the order of the swapped shape.
    pub fn swap_values<V: Copy + Default + Send + Sync + 'static>(
        self,
        values: Vec<V>,
        shape: &[usize],
    ) -> Vec<V> {
        if self == Self::Stored || shape.len() < 2 {
            return values;
        }
        self.swapped(&values, shape)
    }

    /// As [`swap_values`](Self::swap_values), of values that stay.
    pub fn swapped<V: Copy + Default + Send + Sync + 'static>(self, values: &[V], shape: &[usize]) -> Vec<V> {
        if self == Self::Stored || shape.len() < 2 {
            return values.to_vec();
        }
        let mut swapped = vec![V::default(); values.len()];
        swap_axes(values, [shape[0], shape[1], shape[2..].iter().product()], &mut swapped);
        swapped
    }
}

/// The shape and memory order of a quantized tensor, and the groups of weights that share a learned number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    shape: Vec<usize>,
    orientation: Orientation,
    group_size: GroupSize,
}

impl Layout {
    /// The layout of a tensor of shape `shape` in memory.
    pub fn new(shape: Vec<usize>, orientation: Orientation, group_size: GroupSize) -> Self {
        Self { shape, orientation, group_size }
    }

    /// The shape in memory.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The order of values in memory.
    pub fn orientation(&self) -> Orientation {
        self.orientation
    }

    /// The shape of the stored tensor, `[out, …]`.
    pub fn stored_shape(&self) -> Vec<usize> {
        self.orientation.swap_shape(&self.shape)
    }

    /// Number of weights.
    #[expect(clippy::len_without_is_empty, reason = "it is the tensor's length, not a collection's")]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Weights that share a learned number.
    pub fn group_size(&self) -> GroupSize {
        self.group_size
    }

    /// The groups of weights that share a learned number, along the stored order.
    pub fn grouping(&self) -> Grouping {
        Grouping::new(self.group_size, self.len())
    }

    /// The same groups, as the kernels find them in memory.
    pub fn groups(&self) -> GroupLayout {
        let group_size = NonZeroUsize::new(self.grouping().size()).expect("a group has at least one weight");
        match (self.orientation, self.shape.as_slice()) {
            (Orientation::Swapped, &[rows, columns]) => GroupLayout::Transposed { rows, columns, group_size },
            (Orientation::Swapped, [rows, columns, inner @ ..]) => {
                let inner = inner.iter().product();
                GroupLayout::Swapped { rows: *rows, columns: *columns, inner, group_size }
            }
            _ => GroupLayout::Contiguous { group_size },
        }
    }

    /// Values from memory order to stored order.
    pub fn to_stored<V: Copy + Default + Send + Sync + 'static>(&self, values: Vec<V>) -> Vec<V> {
        self.orientation.swap_values(values, &self.shape)
    }

    /// Values from stored order to memory order.
    pub fn to_memory<V: Copy + Default + Send + Sync + 'static>(&self, values: Vec<V>) -> Vec<V> {
        self.orientation.swap_values(values, &self.stored_shape())
    }

    /// The group of each weight, in memory order.
    pub fn group_of_each(&self) -> Vec<usize> {
        let grouping = self.grouping();
        self.to_memory((0..grouping.len()).map(|index| grouping.group_of(index)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swapping_twice_gives_the_values_back() {
        let shape = [2, 3, 2];
        let values: Vec<f32> = (0..12).map(|v| v as f32).collect();
        let swapped = Orientation::Swapped.swap_values(values.clone(), &shape);
        assert_eq!(swapped, [0., 1., 6., 7., 2., 3., 8., 9., 4., 5., 10., 11.]);
        let swapped_shape = Orientation::Swapped.swap_shape(&shape);
        assert_eq!(swapped_shape, [3, 2, 2]);
        assert_eq!(Orientation::Swapped.swap_values(swapped, &swapped_shape), values);
    }

    #[test]
    fn any_matrix_is_transposed() {
        for (rows, columns) in [(1, 1), (1, 40), (40, 1), (16, 16), (17, 33), (50, 31), (0, 3), (3, 0)] {
            let values: Vec<usize> = (0..rows * columns).collect();
            let swapped = Orientation::Swapped.swapped(&values, &[rows, columns]);
            let expected = (0..columns).flat_map(|column| (0..rows).map(move |row| row * columns + column));
            assert!(swapped.into_iter().eq(expected), "{rows} x {columns}");
        }
    }

    /// Memory `[2, 3]`, stored `[3, 2]` in groups of four: the last stored row begins the second group.
    #[test]
    fn groups_follow_the_stored_order() {
        let group_size = GroupSize::new(4).unwrap();
        let layout = Layout::new(vec![2, 3], Orientation::Swapped, group_size);
        assert_eq!(layout.group_of_each(), [0, 0, 1, 0, 0, 1]);
        assert_eq!((layout.grouping().count(), layout.stored_shape()), (2, vec![3, 2]));
        let by_kernels = layout.groups();
        assert!((0..6).all(|index| by_kernels.group_of(index) == layout.group_of_each()[index]));
    }
}
