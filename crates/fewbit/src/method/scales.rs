//! What methods with a scale per group share: rounding, noise and their gradients.

use std::f32::consts::LN_2;

use fewbit_kernels::{NoiseKey, NoiseLaw, add_noise, largest_magnitudes, round_to_scales, rounding_gradient};

use super::{Coarseness, Slopes};
use crate::layout::Layout;
use crate::scale::{self, Scales, inverse_scale, stored_scale};
use crate::{GroupSize, QuantizeError, QuantizedTensor, RangeGranularity};

/// Weights that share a scale in a tensor of this stored shape.
pub(super) fn sharing(
    granularity: RangeGranularity,
    group_size: GroupSize,
    stored_shape: &[usize],
) -> GroupSize {
    match granularity {
        RangeGranularity::Tensor => GroupSize::WholeTensor,
        RangeGranularity::Channel => {
            GroupSize::new(stored_shape.iter().skip(1).product()).unwrap_or(GroupSize::WholeTensor)
        }
        RangeGranularity::Group => group_size,
    }
}

/// Bounds of learned logarithms: scales are from 2^-100 to 2^100, wherever an optimizer takes them.
const LARGEST_EXPONENT: f32 = 100.0;

/// The scale, as stored, of its learned base 2 logarithm.
pub(super) fn scale_of_log2(learned: f32) -> f32 {
    stored_scale(learned.clamp(-LARGEST_EXPONENT, LARGEST_EXPONENT).exp2())
}

/// Derivatives of scales in their base 2 logarithms.
pub(super) fn log2_factors(scales: &[f32]) -> Vec<f32> {
    scales.iter().map(|scale| LN_2 * scale).collect()
}

/// Turns derivatives in scales into derivatives in what is learned.
pub(super) fn times(of_scales: &mut [f32], factors: &[f32]) {
    of_scales.iter_mut().zip(factors).for_each(|(slope, factor)| *slope *= factor);
}

/// Where learned scales start (Esser et al. 2020, section 2.1): `2·mean|w|/√highest`.
pub(super) fn lsq_scale(weights: &[f32], highest: f64) -> f32 {
    let sum: f64 = weights.iter().map(|weight| f64::from(weight.abs())).sum();
    let mean = sum / weights.len().max(1) as f64;
    ((2.0 * mean / highest.sqrt()) as f32).max(f32::MIN_POSITIVE)
}

/// What `of` makes of each group's weights, in stored order.
pub(super) fn of_groups(layout: &Layout, weights: &[f32], of: impl Fn(&[f32]) -> f32) -> Vec<f32> {
    let stored = layout.to_stored(weights.to_vec());
    layout.grouping().ranges().map(|group| of(&stored[group])).collect()
}

/// The largest magnitude of each group.
pub(super) fn largest_of_groups(layout: &Layout, weights: &[f32]) -> Vec<f32> {
    let mut largest = vec![0.0; layout.grouping().count()];
    largest_magnitudes(weights, layout.groups(), &mut largest);
    largest
}

/// Writes `w + s·ε` with `ε` uniform on -1/2 to 1/2.
pub(super) fn noisy(layout: &Layout, weights: &[f32], scales: &[f32], key: NoiseKey, out: &mut [f32]) {
    add_noise(weights, scales, layout.groups(), key, NoiseLaw::Uniform, out);
}

/// Writes 1 as the slope of each weight, and noise times the factor of its group as that of what is learned.
pub(super) fn noisy_slopes(
    layout: &Layout,
    factors: &[f32],
    key: NoiseKey,
    law: NoiseLaw,
    slopes: Slopes<'_>,
) {
    slopes.of_weights.fill(1.0);
    add_noise(&vec![0.0; layout.len()], factors, layout.groups(), key, law, slopes.of_learned);
}

/// Writes `Σ g·ε` of each group.
pub(super) fn noisy_gradient(layout: &Layout, key: NoiseKey, gradient: &[f32], of_scales: &mut [f32]) {
    fewbit_kernels::write_noise_gradient(gradient, layout.groups(), key, NoiseLaw::Uniform, of_scales);
}

/// Levels of a symmetric grid: how far they reach below and above zero.
pub(super) type Levels = (i16, i16);

/// Writes `s·clamp(round(w/s))`.
pub(super) fn rounded(layout: &Layout, weights: &[f32], scales: &[f32], levels: Levels, out: &mut [f32]) {
    round_to_scales(weights, scales, layout.groups(), levels, out);
}

/// Esser et al. 2020, equation 3: within the levels 1 and `q - w/s`, beyond them 0 and `q`; what is learned has the
/// scale's slope times the factor of its group.
pub(super) fn rounded_slopes(
    layout: &Layout,
    weights: &[f32],
    scales: &[f32],
    factors: &[f32],
    (lowest, highest): Levels,
    slopes: Slopes<'_>,
) {
    let (lowest, highest) = (-f32::from(lowest), f32::from(highest));
    let each = weights.iter().zip(layout.group_of_each()).zip(slopes.of_weights).zip(slopes.of_learned);
    for (((weight, group), of_weight), of_learned) in each {
        let position = weight * inverse_scale(scales[group]);
        let level = position.round_ties_even().clamp(lowest, highest);
        let is_inside = position >= lowest && position <= highest;
        let (inside, of_scale) = if is_inside { (1.0, level - position) } else { (0.0, level) };
        (*of_weight, *of_learned) = (inside, of_scale * factors[group]);
    }
}

/// As [`rounded_slopes`] with factors of 1, multiplied with a gradient and summed over groups.
pub(super) fn rounded_gradient(
    layout: &Layout,
    weights: &[f32],
    scales: &[f32],
    levels: Levels,
    gradient: &mut [f32],
    of_scales: &mut [f32],
) {
    rounding_gradient(weights, scales, layout.groups(), levels, gradient, of_scales);
}

/// The codes of `weights` as multiples of `scales`.
pub(super) fn quantize(
    layout: &Layout,
    weights: &[f32],
    scales: &[f32],
    granularity: RangeGranularity,
    levels: Levels,
    coarseness: Coarseness,
) -> Result<QuantizedTensor, QuantizeError> {
    let stored = layout.to_stored(weights.to_vec());
    let scales = Scales { values: scales, granularity, group_size: layout.group_size() };
    scale::quantize_to_scales(&stored, &layout.stored_shape(), scales, levels, coarseness.trade)
}
