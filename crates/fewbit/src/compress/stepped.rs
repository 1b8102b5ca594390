//! Weights as multiples of given steps.

use super::{rounding, widths};
use crate::{
    GridKind, GroupSize, Grouping, QuantizeError, QuantizedTensor, RangeForm, RangeGranularity, Ranges,
    ValueRange,
};

/// The distances between neighbouring levels of a tensor.
#[derive(Clone, Copy, Debug)]
pub struct Steps<'s> {
    /// One for all weights, for each output channel (the first dimension) or for each group, in order.
    pub values: &'s [f32],
    /// What has a step of its own.
    pub granularity: RangeGranularity,
    /// The weights of a group, where each has a step of its own; found otherwise.
    pub group_size: GroupSize,
}

impl<'s> Steps<'s> {
    /// One step for all weights, or as many as there are output channels.
    pub fn of_channels(values: &'s [f32]) -> Self {
        let granularity =
            if values.len() == 1 { RangeGranularity::Tensor } else { RangeGranularity::Channel };
        Self { values, granularity, group_size: GroupSize::WholeTensor }
    }
}

/// The tensor whose weights are the nearest multiples of a step, in the groups and widths that cost the
/// fewest bytes.
///
/// `weights` are in stored order. Each step is stored as [`stored_step`] has it. Levels are from `-lowest`
/// to `highest`. `trade` is the share of the exchange rate between error and bits at which a level may be
/// one nearer to zero than the nearest is: 0 rounds to the nearest.
///
/// # Errors
/// [`QuantizeError`]: a weight or step that is not finite, a negative step, a shape that does not fit, or
/// another number of steps than it asks for.
pub fn quantize_stepped(
    weights: &[f32],
    shape: &[usize],
    Steps { values: steps, granularity, group_size }: Steps<'_>,
    (lowest, highest): (i16, i16),
    trade: f32,
) -> Result<QuantizedTensor, QuantizeError> {
    if let Some(index) = weights.iter().position(|weight| !weight.is_finite()) {
        return Err(QuantizeError::NonFinite { index, value: weights[index] });
    }
    let mut steps = steps.iter().map(|step| nearest_stored_checked(*step)).collect::<Result<Vec<_>, _>>()?;
    let runs = granularity.runs(shape, Grouping::new(group_size, weights.len()));
    let mut positions = weights.to_vec();
    for (run, step) in runs.ranges().zip(&steps) {
        let inverse = inverse_step(step.half_width());
        positions[run].iter_mut().for_each(|position| *position *= inverse);
    }
    let mut levels = rounding::levels(&positions, 1.0, trade);
    levels.iter_mut().for_each(|level| *level = (*level).clamp(-lowest, highest));
    let is_per_group = granularity == RangeGranularity::Group;
    if is_per_group {
        // What multiplies zeros alone is not stored, and must not decide how many bytes the others take.
        for (run, step) in runs.ranges().zip(&mut steps) {
            if levels[run].iter().all(|level| *level == 0) {
                *step = ValueRange::default();
            }
        }
    }
    let ranges = Ranges::new(granularity, GridKind::Stepped, form_of(&steps), steps)?;
    widths::with_cheapest_widths(levels, shape, ranges, is_per_group.then_some(group_size))
}

/// The step that a file has for this one: the nearest that takes two bytes, or the step itself where
/// that would be too coarse for it.
pub fn stored_step(step: f32) -> f32 {
    nearest_stored(step).half_width()
}

/// What a weight is multiplied with to be a number of steps; 0 for a step of 0.
pub fn inverse_step(step: f32) -> f32 {
    if step > 0.0 { 1.0 / step } else { 0.0 }
}

pub(super) fn nearest_stored(step: f32) -> ValueRange {
    nearest_stored_checked(step).unwrap_or_default()
}

fn nearest_stored_checked(step: f32) -> Result<ValueRange, QuantizeError> {
    let exact = ValueRange::symmetric(step)?;
    let half = RangeForm::SymmetricHalf.nearest(exact).unwrap_or(exact);
    let is_close = (half.half_width() - exact.half_width()).abs() <= 1e-3 * exact.half_width();
    Ok(if is_close { half } else { exact })
}

/// Two bytes, where that is enough for all.
pub(super) fn form_of(steps: &[ValueRange]) -> RangeForm {
    let is_half = |step: &ValueRange| RangeForm::SymmetricHalf.nearest(*step).is_ok_and(|half| half == *step);
    if steps.iter().all(is_half) { RangeForm::SymmetricHalf } else { RangeForm::SymmetricFull }
}

#[cfg(test)]
mod tests {
    use fewbit_testing::Numbers;

    use super::*;

    #[test]
    fn weights_are_the_nearest_multiples_of_their_channels_step() {
        let weights = [0.2, 0.8, -3.0, 0.2, 0.8, -3.0];
        let tensor =
            quantize_stepped(&weights, &[2, 3], Steps::of_channels(&[0.5, 1.0]), (4, 3), 0.0).unwrap();
        assert_eq!(tensor.dequantize(), [0.0, 1.0, -2.0, 0.0, 1.0, -3.0]);
        let tensor = quantize_stepped(&weights, &[6], Steps::of_channels(&[0.0]), (4, 3), 0.0).unwrap();
        assert_eq!(tensor.dequantize(), [0.0; 6]);
    }

    #[test]
    fn groups_may_end_within_a_channel_and_those_of_zeros_tell_no_step() {
        let weights = [0.2, 0.8, -3.0, 0.2, 0.8, -3.0, 0.1, 0.1];
        let steps = Steps {
            values: &[0.5, 1.0, 8.0],
            granularity: RangeGranularity::Group,
            group_size: GroupSize::new(3).unwrap(),
        };
        let tensor = quantize_stepped(&weights, &[2, 4], steps, (4, 4), 0.0).unwrap();
        assert_eq!(tensor.dequantize(), [0.0, 1.0, -2.0, 0.0, 1.0, -3.0, 0.0, 0.0]);
        assert_eq!(tensor.widths()[2], crate::BitWidth::ZERO);
        let two = Steps { values: &[0.5, 1.0], ..steps };
        assert!(quantize_stepped(&weights, &[2, 4], two, (4, 4), 0.0).is_err());
    }

    #[test]
    fn a_step_takes_two_bytes_where_it_can() {
        assert_eq!(stored_step(0.1), 0.099_975_586);
        assert_eq!(stored_step(1e-30), 1e-30);
        assert_eq!(stored_step(1e9), 1e9);
    }

    #[test]
    fn a_larger_trade_means_smaller_levels() {
        let weights = Numbers::seeded(3).weights(4096);
        let sum = |trade| {
            let steps = Steps::of_channels(&[0.05]);
            let tensor = quantize_stepped(&weights, &[64, 64], steps, (127, 127), trade).unwrap();
            tensor.dequantize().iter().map(|value| value.abs()).sum::<f32>()
        };
        assert!(sum(2.0) < sum(1.0) && sum(1.0) < sum(0.0));
    }

    #[test]
    fn what_is_not_finite_is_refused() {
        let quantize = |weight, step| {
            quantize_stepped(&[weight], &[1], Steps::of_channels(&[step]), (1, 1), 0.0).unwrap_err()
        };
        assert!(matches!(quantize(f32::NAN, 1.0), QuantizeError::NonFinite { index: 0, .. }));
        assert!(matches!(quantize(1.0, f32::NAN), QuantizeError::BadRange { .. }));
        assert!(matches!(quantize(1.0, -1.0), QuantizeError::NegativeHalfWidth { .. }));
    }
}
