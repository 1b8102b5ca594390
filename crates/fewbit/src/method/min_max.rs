//! What methods of one bit width share: a grid from the smallest to the largest weight.

use super::scales;
use crate::layout::Layout;
use crate::{
    BitWidth, GridKind, GroupSize, Grouping, QuantizeError, QuantizedTensor, RangeForm, RangeGranularity,
    Ranges,
};

/// One bit width for every weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedWidth {
    /// Bits of each code before it is entropy coded.
    pub width: BitWidth,
    /// What has a range or scale of its own.
    pub granularity: RangeGranularity,
    /// The weights of a group, where each has a range or scale of its own.
    pub group_size: GroupSize,
}

impl FixedWidth {
    /// One range or scale per tensor.
    pub const fn of_tensor(width: BitWidth) -> Self {
        Self { width, granularity: RangeGranularity::Tensor, group_size: GroupSize::WholeTensor }
    }

    /// How far levels of a symmetric grid reach below and above zero: `2^(b-1)` and one less.
    pub(super) fn levels(self) -> (i16, i16) {
        let half = self.width.levels() / 2;
        let within = |level: u32| i16::try_from(level).unwrap_or(i16::MAX);
        (within(half), within(half.saturating_sub(1)))
    }

    /// Weights that share a range or scale in a tensor of this stored shape.
    pub(super) fn sharing(self, stored_shape: &[usize]) -> GroupSize {
        scales::sharing(self.granularity, self.group_size, stored_shape)
    }

    /// The codes on a grid from the smallest to the largest weight of each range.
    pub(super) fn quantize(self, layout: &Layout, weights: &[f32]) -> Result<QuantizedTensor, QuantizeError> {
        let (stored, shape) = (layout.to_stored(weights.to_vec()), layout.stored_shape());
        // One width is one group, but where groups have ranges.
        let group_size = match self.granularity {
            RangeGranularity::Group => layout.group_size(),
            _ => GroupSize::WholeTensor,
        };
        let widths = vec![self.width; Grouping::new(group_size, stored.len()).count()];
        let (kind, form) = (GridKind::MinMax, RangeForm::Full);
        let ranges = Ranges::fit(&stored, &shape, group_size, self.granularity, kind, form)?;
        QuantizedTensor::quantize_with(&stored, ranges, &shape, group_size, widths)
    }
}
