//! What has a range of its own, and how a range is stored: as two numbers or one, of four bytes or two.

use std::fmt;

use crate::group::element_count;
use crate::{GroupSize, Grouping};

/// What has a range of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RangeGranularity {
    /// The whole tensor.
    #[default]
    Tensor,
    /// Each output channel: `shape[0]` runs of weights, all as long. A tensor without dimensions is one
    /// channel, one without weights has none. Groups need not end where channels do.
    Channel,
    /// Each group of weights that share a width.
    Group,
}

impl RangeGranularity {
    /// Ranges of a tensor of a shape; `None` when its weights cannot be counted.
    pub fn count(self, shape: &[usize], group_size: GroupSize) -> Option<usize> {
        match self {
            Self::Tensor => element_count(shape).map(|_| 1),
            _ => Some(self.runs(shape, Grouping::new(group_size, element_count(shape)?)).count()),
        }
    }

    /// The weights of each range, of a tensor in this shape with these groups. A tensor without weights
    /// has none, though it may have a range.
    pub(crate) fn runs(self, shape: &[usize], grouping: Grouping) -> Grouping {
        let len = grouping.len();
        match self {
            Self::Tensor => Grouping::new(GroupSize::WholeTensor, len),
            Self::Channel => {
                let size = len.checked_div(shape.first().copied().unwrap_or(1)).and_then(GroupSize::new);
                Grouping::new(size.unwrap_or(GroupSize::WholeTensor), len)
            }
            Self::Group => grouping,
        }
    }
}

impl fmt::Display for RangeGranularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tensor => "tensor",
            Self::Channel => "channel",
            Self::Group => "group",
        })
    }
}

/// The numbers that a range takes in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RangeForm {
    /// Minimum and maximum as 32-bit floats: 8 bytes, any range exactly.
    #[default]
    Full,
    /// Minimum and maximum as 16-bit floats of IEEE 754: 4 bytes.
    Half,
    /// One 32-bit float `a`, for the range from `-a` to `a`: 4 bytes.
    SymmetricFull,
    /// One 16-bit float `a`, for the range from `-a` to `a`: 2 bytes.
    SymmetricHalf,
}

impl RangeForm {
    /// Every form.
    pub const ALL: &'static [Self] = &[Self::Full, Self::Half, Self::SymmetricFull, Self::SymmetricHalf];

    /// Whether its ranges are those from `-a` to `a`.
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::SymmetricFull | Self::SymmetricHalf)
    }

    /// Whether its numbers are 16-bit floats.
    pub const fn is_half(self) -> bool {
        matches!(self, Self::Half | Self::SymmetricHalf)
    }

    /// Numbers that a range takes: the minimum and the maximum, or the half-width alone.
    pub const fn numbers(self) -> usize {
        if self.is_symmetric() { 1 } else { 2 }
    }

    /// Bytes of one number.
    pub const fn number_bytes(self) -> usize {
        if self.is_half() { 2 } else { 4 }
    }

    /// Bytes that a range takes, before any coding.
    pub const fn bytes(self) -> usize {
        self.numbers() * self.number_bytes()
    }
}

impl fmt::Display for RangeForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Full => "full",
            Self::Half => "half",
            Self::SymmetricFull => "symmetric full",
            Self::SymmetricHalf => "symmetric half",
        })
    }
}
