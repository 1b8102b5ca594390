//! Weights as multiples of their scales: rounding, and its gradient straight through.
//!
//! Weights are in memory order, `layout` says which of them share a scale, and `scales` has one number
//! per group. Levels reach from `-lowest` to `highest`. A scale of which there is no finite reciprocal,
//! 0 among them, gives level 0 everywhere.

use rayon::prelude::*;

use crate::dispatch::{InstructionSet, Kernel};
use crate::elementwise::check_length;
use crate::group_fold::{Largest, Numbers, Sum, chunk, fold_groups};
use crate::group_values::GroupValues;
use crate::layout::{GroupLayout, Plan};
use crate::tile::{CHUNK, stretches};

/// Writes `scale * clamp(round(w / scale), -lowest, highest)` of each weight; ties round to even levels.
///
/// `w / scale` is `w` times [`inverse_scale`]. A NaN stays one.
///
/// # Panics
/// When `scales` has not one entry per group, `out` has not the length of `weights`, or a swapped layout
/// is not of this many weights.
pub fn round_to_scales(
    weights: &[f32],
    scales: &[f32],
    layout: GroupLayout,
    levels: (i16, i16),
    out: &mut [f32],
) {
    round_to_scales_on(InstructionSet::detect(), weights, scales, layout, levels, out);
}

/// The gradient of [`round_to_scales`], straight through: in place for the weights, which get 0 beyond the
/// last level, and written to `of_scales` for the scales.
///
/// `of_scales[k]` is the sum over the group of `g (q - w / scale)`, or of `g q` beyond the last level, with
/// the gradient `g` and the level `q` of each weight. Terms are added in `f32` in runs of at most 256, these
/// in `f64`.
///
/// # Panics
/// As [`round_to_scales`], with `gradient` for `out`, and when `of_scales` has not the length of `scales`.
///
/// Esser et al. 2020, equation 3, without its factor.
pub fn rounding_gradient(
    weights: &[f32],
    scales: &[f32],
    layout: GroupLayout,
    levels: (i16, i16),
    gradient: &mut [f32],
    of_scales: &mut [f32],
) {
    rounding_gradient_on(InstructionSet::detect(), weights, scales, layout, levels, gradient, of_scales);
}

/// Writes the largest magnitude of each group's weights, 0 for none. A NaN is passed over.
///
/// # Panics
/// When `out` has not one entry per group, or a swapped layout is not of this many weights.
pub fn largest_magnitudes(weights: &[f32], layout: GroupLayout, out: &mut [f32]) {
    largest_magnitudes_on(InstructionSet::detect(), weights, layout, out);
}

/// What a weight is multiplied with to be counted in scales: `1 / scale`, or 0 where that is not finite
/// or the scale is not above 0.
#[inline(always)]
pub fn inverse_scale(scale: f32) -> f32 {
    let inverse = 1.0 / scale;
    if scale > 0.0 && inverse < f32::INFINITY { inverse } else { 0.0 }
}

/// Panics unless a layout has so many groups; the layout as the fast paths see it.
#[track_caller]
pub(crate) fn checked_plan(layout: GroupLayout, weights: usize, name: &str, found: usize) -> Plan {
    let groups = layout.group_count(weights);
    assert_eq!(found, groups, "`{name}` has {found} elements, {weights} weights make {groups} groups");
    layout.plan(weights)
}

pub(crate) fn inverse_scales(scales: &[f32]) -> Vec<f32> {
    scales.iter().map(|scale| inverse_scale(*scale)).collect()
}

/// The lowest and the highest level.
pub(crate) fn limits((lowest, highest): (i16, i16)) -> (f32, f32) {
    (-f32::from(lowest), f32::from(highest))
}

/// The level of a weight of this many scales.
#[inline(always)]
pub(crate) fn level(position: f32, (lowest, highest): (f32, f32)) -> f32 {
    let level = position.round_ties_even();
    // Written so that NaN passes.
    let level = if level < lowest { lowest } else { level };
    if level > highest { highest } else { level }
}

pub(crate) fn round_to_scales_on(
    set: InstructionSet,
    weights: &[f32],
    scales: &[f32],
    layout: GroupLayout,
    levels: (i16, i16),
    out: &mut [f32],
) {
    let plan = checked_plan(layout, weights.len(), "scales", scales.len());
    check_length("out", out.len(), weights.len());
    let (inverses, limits) = (inverse_scales(scales), limits(levels));
    let chunk = plan.chunk(CHUNK);
    let work = |(place, (weights, out)): (usize, (&[f32], &mut [f32]))| {
        set.run(Round { plan, scales, inverses: &inverses, limits, start: place * chunk, weights, out });
    };
    if weights.len() <= chunk {
        work((0, (weights, out)));
    } else {
        weights.par_chunks(chunk).zip(out.par_chunks_mut(chunk)).enumerate().for_each(work);
    }
}

struct Round<'a> {
    plan: Plan,
    scales: &'a [f32],
    inverses: &'a [f32],
    limits: (f32, f32),
    start: usize,
    weights: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { plan, start, limits, .. } = self;
        let mut scales = GroupValues::new(plan, self.scales, start, self.weights.len());
        let mut inverses = GroupValues::new(plan, self.inverses, start, self.weights.len());
        for (first, count) in stretches(plan, start, self.weights.len()) {
            let here = first - start..first - start + count;
            let shared = scales.of(first, count).iter().zip(inverses.of(first, count));
            let both = self.out[here.clone()].iter_mut().zip(&self.weights[here]);
            for ((out, weight), (scale, inverse)) in both.zip(shared) {
                *out = level(weight * inverse, limits) * scale;
            }
        }
    }
}

pub(crate) fn rounding_gradient_on(
    set: InstructionSet,
    weights: &[f32],
    scales: &[f32],
    layout: GroupLayout,
    levels: (i16, i16),
    gradient: &mut [f32],
    of_scales: &mut [f32],
) {
    let plan = checked_plan(layout, weights.len(), "scales", scales.len());
    check_length("gradient", gradient.len(), weights.len());
    check_length("of_scales", of_scales.len(), scales.len());
    let (inverses, limits) = (inverse_scales(scales), limits(levels));
    let length = chunk(plan, scales.len());
    let chunks = weights.chunks(length).zip(gradient.chunks_mut(length)).enumerate();
    let chunks = chunks.map(|(place, (weights, gradient))| {
        let start = place * length;
        let inverses = GroupValues::new(plan, &inverses, start, weights.len());
        RoundingGradient { inverses, limits, start, weights, gradient }
    });
    let sums = fold_groups(set, Sum, plan, (weights.len(), scales.len()), chunks.collect());
    of_scales.iter_mut().zip(sums).for_each(|(of_scale, sum)| *of_scale = sum as f32);
}

struct RoundingGradient<'a> {
    inverses: GroupValues<'a>,
    limits: (f32, f32),
    start: usize,
    weights: &'a [f32],
    gradient: &'a mut [f32],
}

impl Numbers for RoundingGradient<'_> {
    #[inline(always)]
    fn write(&mut self, first: usize, numbers: &mut [f32]) {
        let here = first - self.start..first - self.start + numbers.len();
        let weights = self.weights[here.clone()].iter().zip(self.inverses.of(first, numbers.len()));
        for ((number, gradient), (weight, inverse)) in
            numbers.iter_mut().zip(&mut self.gradient[here]).zip(weights)
        {
            (*number, *gradient) = of_weight(weight * inverse, *gradient, self.limits);
        }
    }
}

/// The term of the scale's gradient, and the weight's own.
#[inline(always)]
pub(crate) fn of_weight(position: f32, gradient: f32, (lowest, highest): (f32, f32)) -> (f32, f32) {
    let level = level(position, (lowest, highest));
    let inside = position >= lowest && position <= highest;
    let distance = if inside { level - position } else { level };
    (gradient * distance, if inside { gradient } else { 0.0 })
}

pub(crate) fn largest_magnitudes_on(
    set: InstructionSet,
    weights: &[f32],
    layout: GroupLayout,
    out: &mut [f32],
) {
    let plan = checked_plan(layout, weights.len(), "out", out.len());
    let length = chunk(plan, out.len());
    let chunks = weights.chunks(length).enumerate();
    let chunks = chunks.map(|(place, weights)| Magnitudes { start: place * length, weights }).collect();
    out.copy_from_slice(&fold_groups(set, Largest, plan, (weights.len(), out.len()), chunks));
}

struct Magnitudes<'a> {
    start: usize,
    weights: &'a [f32],
}

impl Numbers for Magnitudes<'_> {
    #[inline(always)]
    fn write(&mut self, first: usize, numbers: &mut [f32]) {
        for (number, weight) in numbers.iter_mut().zip(&self.weights[first - self.start..]) {
            *number = weight.abs();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    fn pairs() -> GroupLayout {
        GroupLayout::Contiguous { group_size: NonZeroUsize::new(3).unwrap() }
    }

    /// Levels -2 to 1, scales 1/2 and 0. In scales the weights are 0.5, 1.6 and -2.4: the first rounds to
    /// the even 0, the other two lie beyond the last level.
    #[test]
    fn a_case_by_hand() {
        let (weights, scales) = ([0.25, 0.8, -1.2, 7.0, -7.0, 0.0], [0.5, 0.0]);
        let mut out = [f32::NAN; 6];
        round_to_scales(&weights, &scales, pairs(), (2, 1), &mut out);
        assert_eq!(out, [0.0, 0.5, -1.0, 0.0, 0.0, 0.0]);
        let (mut gradient, mut of_scales) = ([1.0, 2.0, 4.0, 1.0, 1.0, 1.0], [f32::NAN; 2]);
        rounding_gradient(&weights, &scales, pairs(), (2, 1), &mut gradient, &mut of_scales);
        assert_eq!(gradient, [1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        // 1 (0 - 0.5) + 2 * 1 + 4 * -2
        assert_eq!(of_scales, [-6.5, 0.0]);
        let mut largest = [f32::NAN; 2];
        largest_magnitudes(&weights, pairs(), &mut largest);
        assert_eq!(largest, [1.2, 7.0]);
    }

    #[test]
    fn a_scale_without_a_finite_reciprocal_has_none() {
        let inverses = [2.0, 0.5, 0.0, -1.0, f32::NAN, 1e-45, f32::INFINITY].map(inverse_scale);
        assert_eq!(inverses, [0.5, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
