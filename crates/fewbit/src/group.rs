//! Groups of weights that share one width, and the rule for a ragged tail.

use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::str::FromStr;

/// How many consecutive weights, in stored order, share one width.
///
/// Written `8` or `tensor`, in recipes and on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupSize {
    /// So many weights; the last group of a tensor may be shorter.
    Weights(NonZeroUsize),
    /// All weights of the tensor.
    WholeTensor,
}

impl GroupSize {
    /// Groups of so many weights; `None` for 0.
    pub const fn new(weights: usize) -> Option<Self> {
        match NonZeroUsize::new(weights) {
            Some(weights) => Some(Self::Weights(weights)),
            None => None,
        }
    }
}

impl fmt::Display for GroupSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Weights(weights) => weights.fmt(f),
            Self::WholeTensor => f.pad("tensor"),
        }
    }
}

/// A text that names no group size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("group size `{found}`: needed a whole number above 0, or `tensor` for one group per tensor")]
pub struct ParseGroupSizeError {
    found: String,
}

impl FromStr for GroupSize {
    type Err = ParseGroupSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "tensor" => Ok(Self::WholeTensor),
            _ => text.parse().map(Self::Weights).map_err(|_| ParseGroupSizeError { found: text.into() }),
        }
    }
}

/// A tensor's weights cut in groups.
///
/// Every group has the same size but the last, which takes what is left. A group larger than the
/// tensor is its one group; an empty tensor has none.
///
/// ```
/// # use fewbit::{GroupSize, Grouping};
/// let grouping = Grouping::new(GroupSize::new(4).unwrap(), 10);
/// assert_eq!(grouping.ranges().collect::<Vec<_>>(), [0..4, 4..8, 8..10]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// At least 1, so that it can divide.
    size: usize,
    len: usize,
}

impl Grouping {
    /// The groups of `len` weights.
    pub const fn new(size: GroupSize, len: usize) -> Self {
        let size = match size {
            GroupSize::Weights(weights) if weights.get() < len => weights.get(),
            _ if len == 0 => 1,
            _ => len,
        };
        Self { size, len }
    }

    /// Number of weights in all groups together.
    #[expect(clippy::len_without_is_empty, reason = "it is the tensor's length, not a collection's")]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Weights in every group but the last, which may have fewer.
    pub const fn size(&self) -> usize {
        self.size
    }

    /// Number of groups.
    pub const fn count(&self) -> usize {
        self.len.div_ceil(self.size)
    }

    /// Weights in group `group`; 0 when there is no such group.
    pub fn group_len(&self, group: usize) -> usize {
        self.range(group).len()
    }

    /// Where the weights of group `group` lie in stored order; empty when there is no such group.
    pub fn range(&self, group: usize) -> Range<usize> {
        let start = group.saturating_mul(self.size).min(self.len);
        start..start.saturating_add(self.size).min(self.len)
    }

    /// Where each group's weights lie, in order; together they are `0..len`.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = Range<usize>> + use<> {
        let grouping = *self;
        (0..self.count()).map(move |group| grouping.range(group))
    }

    /// The group that weight `index` belongs to.
    pub const fn group_of(&self, index: usize) -> usize {
        index / self.size
    }
}

/// The number of elements of a shape; `None` when it cannot be counted.
pub(crate) fn element_count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |product, &dimension| product.checked_mul(dimension))
}
