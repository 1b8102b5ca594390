//! From weights and scales to codes.

use fewbit_kernels::inverse_scale;

use super::{rounding, widths};
use crate::{
    GridKind, GroupSize, Grouping, QuantizeError, QuantizedTensor, RangeForm, RangeGranularity, Ranges,
    ValueRange,
};

/// The scales of a tensor: distances between neighbouring levels.
#[derive(Clone, Copy, Debug)]
pub struct Scales<'s> {
    /// One per tensor, per output channel (the first dimension) or per group, in order.
    pub values: &'s [f32],
    /// What has a scale of its own.
    pub granularity: RangeGranularity,
    /// Group size where each group has a scale; otherwise the group size of widths is chosen by their cost.
    pub group_size: GroupSize,
}

/// Weights rounded to multiples of their scales, in the groups and widths that take the fewest bytes.
///
/// `weights` are in stored order. Scales are stored as by [`stored_scale`]. Levels are clamped to
/// `-lowest..=highest`. With a `trade` above 0 a level moves one towards zero where the added squared error is at
/// most that share of what the saved bits are worth; 0 rounds to nearest.
///
/// # Errors
/// [`QuantizeError`]: a weight or scale that is not finite, a negative scale, a shape or a number of scales that
/// does not fit.
pub fn quantize_to_scales(
    weights: &[f32],
    shape: &[usize],
    Scales { values: scales, granularity, group_size }: Scales<'_>,
    (lowest, highest): (i16, i16),
    trade: f32,
) -> Result<QuantizedTensor, QuantizeError> {
    if let Some(index) = weights.iter().position(|weight| !weight.is_finite()) {
        return Err(QuantizeError::NonFinite { index, value: weights[index] });
    }
    let mut scales =
        scales.iter().map(|scale| nearest_stored_checked(*scale)).collect::<Result<Vec<_>, _>>()?;
    let runs = granularity.runs(shape, Grouping::new(group_size, weights.len()));
    let mut positions = weights.to_vec();
    for (run, scale) in runs.ranges().zip(&scales) {
        let inverse = inverse_scale(scale.half_width());
        positions[run].iter_mut().for_each(|position| *position *= inverse);
    }
    let mut levels = rounding::levels(&positions, 1.0, trade);
    levels.iter_mut().for_each(|level| *level = (*level).clamp(-lowest, highest));
    let is_per_group = granularity == RangeGranularity::Group;
    if is_per_group {
        // The scale of a group of zeros is not stored, and must not decide how many bytes the others take.
        for (run, scale) in runs.ranges().zip(&mut scales) {
            if levels[run].iter().all(|level| *level == 0) {
                *scale = ValueRange::default();
            }
        }
    }
    let ranges = Ranges::new(granularity, GridKind::Stepped, form_of(&scales), scales)?;
    widths::with_cheapest_widths(levels, shape, ranges, is_per_group.then_some(group_size))
}

/// The scale that a file stores for this one: the nearest 16-bit float, or the scale itself where that is more than
/// 0.1 % away; NaN for one that is not finite or negative.
pub fn stored_scale(scale: f32) -> f32 {
    nearest_stored_checked(scale).map_or(f32::NAN, |scale| scale.half_width())
}

pub(crate) fn nearest_stored(scale: f32) -> ValueRange {
    nearest_stored_checked(scale).unwrap_or_default()
}

fn nearest_stored_checked(scale: f32) -> Result<ValueRange, QuantizeError> {
    let exact = ValueRange::symmetric(scale)?;
    let half = RangeForm::SymmetricHalf.nearest(exact).unwrap_or(exact);
    let is_close = (half.half_width() - exact.half_width()).abs() <= 1e-3 * exact.half_width();
    Ok(if is_close { half } else { exact })
}

/// Two bytes, where that is enough for all.
pub(crate) fn form_of(scales: &[ValueRange]) -> RangeForm {
    let is_half =
        |scale: &ValueRange| RangeForm::SymmetricHalf.nearest(*scale).is_ok_and(|half| half == *scale);
    if scales.iter().all(is_half) { RangeForm::SymmetricHalf } else { RangeForm::SymmetricFull }
}

#[cfg(test)]
mod tests {
    use fewbit_testing::Numbers;

    use super::*;

    fn per_channel(values: &[f32]) -> Scales<'_> {
        let granularity =
            if values.len() == 1 { RangeGranularity::Tensor } else { RangeGranularity::Channel };
        Scales { values, granularity, group_size: GroupSize::WholeTensor }
    }

    #[test]
    fn weights_are_the_nearest_multiples_of_their_channels_scale() {
        let weights = [0.2, 0.8, -3.0, 0.2, 0.8, -3.0];
        let tensor = quantize_to_scales(&weights, &[2, 3], per_channel(&[0.5, 1.0]), (4, 3), 0.0).unwrap();
        assert_eq!(tensor.dequantize(), [0.0, 1.0, -2.0, 0.0, 1.0, -3.0]);
        let tensor = quantize_to_scales(&weights, &[6], per_channel(&[0.0]), (4, 3), 0.0).unwrap();
        assert_eq!(tensor.dequantize(), [0.0; 6]);
    }

    #[test]
    fn groups_may_end_within_a_channel_and_groups_of_zeros_have_no_scale() {
        let weights = [0.2, 0.8, -3.0, 0.2, 0.8, -3.0, 0.1, 0.1];
        let scales = Scales {
            values: &[0.5, 1.0, 8.0],
            granularity: RangeGranularity::Group,
            group_size: GroupSize::new(3).unwrap(),
        };
        let tensor = quantize_to_scales(&weights, &[2, 4], scales, (4, 4), 0.0).unwrap();
        assert_eq!(tensor.dequantize(), [0.0, 1.0, -2.0, 0.0, 1.0, -3.0, 0.0, 0.0]);
        assert_eq!(tensor.widths()[2], crate::BitWidth::ZERO);
        let two = Scales { values: &[0.5, 1.0], ..scales };
        assert!(quantize_to_scales(&weights, &[2, 4], two, (4, 4), 0.0).is_err());
    }

    #[test]
    fn a_scale_takes_two_bytes_where_it_can() {
        assert_eq!(stored_scale(0.1), 0.099_975_586);
        assert_eq!(stored_scale(1e-30), 1e-30);
        assert_eq!(stored_scale(1e9), 1e9);
    }

    #[test]
    fn a_larger_trade_means_smaller_levels() {
        let weights = Numbers::seeded(3).weights(4096);
        let sum = |trade| {
            let scales = per_channel(&[0.05]);
            let tensor = quantize_to_scales(&weights, &[64, 64], scales, (127, 127), trade).unwrap();
            tensor.dequantize().iter().map(|value| value.abs()).sum::<f32>()
        };
        assert!(sum(2.0) < sum(1.0) && sum(1.0) < sum(0.0));
    }

    #[test]
    fn what_is_not_finite_is_refused() {
        let quantize = |weight, step| {
            quantize_to_scales(&[weight], &[1], per_channel(&[step]), (1, 1), 0.0).unwrap_err()
        };
        assert!(matches!(quantize(f32::NAN, 1.0), QuantizeError::NonFinite { index: 0, .. }));
        assert!(matches!(quantize(1.0, f32::NAN), QuantizeError::BadRange { .. }));
        assert!(matches!(quantize(1.0, -1.0), QuantizeError::NegativeHalfWidth { .. }));
    }
}
