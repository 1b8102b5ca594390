//! What an entropy coder pays for rounded weights, and how that changes when a weight moves.
//!
//! A coded tensor is written group by group: the bit width of the group, then its levels, each with the
//! frequencies that levels have in groups of that width. So a weight that is the only one of its group to
//! be so far from zero costs more than its own code: without it the whole group would be narrower. The
//! bits are a function of whole levels; between two levels they are continued as a straight line, which
//! has a slope to descend. (Ballé et al. 2017, section 3, and Oktay et al. 2020, section 2, make a rate
//! differentiable by a model of densities; here the frequencies themselves are at hand.)
//!
//! Two passes over the weights as 16-bit codes: one counts levels by width, one looks up each weight's slope. Groups of
//! sixteen go [side by side](strips), others [one by one](groups). Where memory order is not the stored one, codes and
//! slopes are swapped on the way, unless groups of sixteen lie side by side as they are.

mod costs;
mod groups;
mod levels;
mod strips;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;

pub use self::levels::LARGEST_LEVEL;

pub(crate) use self::costs::{Costs, Frequencies};
pub(crate) use self::levels::{place, width_of};

use crate::dispatch::InstructionSet;
use crate::elementwise::check_length;
use crate::group_fold::{Numbers, Sum, chunk, fold_groups};
use crate::group_values::GroupValues;
use crate::layout::GroupLayout;
use crate::rounding::{checked_plan, inverse_scales};

/// The bits that an entropy coder needs for weights rounded to multiples of their scales, and the
/// derivative of these bits. Tables of frequencies are not among them.
///
/// `weights` are in memory order; `layout` says which of them share a scale, `scales` has one number per
/// group of it. Levels are held within ±[`LARGEST_LEVEL`]. `width_group` weights, consecutive in stored
/// order, share a bit width; the last group may be shorter.
///
/// Writes the derivative of the bits in each weight to `of_weights`, and that in the base 2 logarithm of
/// each scale to `of_scales`: `-ln 2 Σ slope * w / scale`, with the slope in bits per scale. The slope is
/// the difference in bits between the two levels that a weight lies between, with frequencies as they
/// are; at most 16, and 0 beyond the last level and for a NaN, which counts as level 0.
///
/// # Panics
/// When `scales` or `of_scales` has not one entry per group, `of_weights` has not the length of
/// `weights`, or a swapped layout is not of this many weights.
pub fn coded_size(
    weights: &[f32],
    scales: &[f32],
    layout: GroupLayout,
    width_group: NonZeroUsize,
    of_weights: &mut [f32],
    of_scales: &mut [f32],
) -> f64 {
    coded_size_on(InstructionSet::detect(), weights, scales, layout, width_group, of_weights, of_scales)
}

pub(crate) fn coded_size_on(
    set: InstructionSet,
    weights: &[f32],
    scales: &[f32],
    layout: GroupLayout,
    width_group: NonZeroUsize,
    of_weights: &mut [f32],
    of_scales: &mut [f32],
) -> f64 {
    let plan = checked_plan(layout, weights.len(), "scales", scales.len());
    check_length("of_weights", of_weights.len(), weights.len());
    check_length("of_scales", of_scales.len(), scales.len());
    if weights.is_empty() {
        return 0.0;
    }
    let inverses = inverse_scales(scales);
    let mut codes = vec![0u16; weights.len()];
    levels::write_codes(set, plan, weights, &inverses, &mut codes);
    let width_group = width_group.get().min(weights.len());
    let is_sixteen = width_group == strips::GROUP;
    let mut swap = layout.swap(weights.len());
    let columns = swap.filter(|_| is_sixteen).and_then(strips::Groups::in_columns);
    swap = swap.filter(|_| columns.is_none());
    if let Some(swap) = swap {
        let mut stored = vec![0u16; weights.len()];
        swap.write(set, &codes, &mut stored);
        codes = stored;
    }
    let strips = columns.unwrap_or(strips::Groups::Runs);
    let in_strips = if is_sixteen { weights.len() / strips::GROUP * strips::GROUP } else { 0 };
    let (whole, rest) = codes.split_at(in_strips);
    let mut furthest = vec![0u8; rest.len().div_ceil(width_group)];
    let frequencies =
        strips::count(set, strips, whole).added(&groups::count(set, rest, width_group, &mut furthest));
    let costs = Costs::of(&frequencies);
    let write_slopes = |slopes: &mut [f32]| {
        let (of_whole, of_rest) = slopes.split_at_mut(in_strips);
        strips::write_slopes(set, strips, whole, &costs, of_whole);
        groups::write_slopes(set, rest, width_group, &furthest, &costs, of_rest);
    };
    match swap {
        None => write_slopes(of_weights),
        Some(swap) => {
            let mut stored = vec![0.0f32; weights.len()];
            write_slopes(&mut stored);
            swap.inverse().write(set, &stored, of_weights);
        }
    }
    let length = chunk(plan, scales.len());
    let chunks = weights.chunks(length).zip(of_weights.chunks_mut(length)).enumerate();
    let chunks = chunks.map(|(place, (weights, slopes))| {
        let start = place * length;
        let inverses = GroupValues::new(plan, &inverses, start, weights.len());
        Derivatives { inverses, start, weights, slopes }
    });
    let sums = fold_groups(set, Sum, plan, (weights.len(), scales.len()), chunks.collect());
    for (of_scale, sum) in of_scales.iter_mut().zip(sums) {
        *of_scale = (-std::f64::consts::LN_2 * sum) as f32;
    }
    costs.total(&frequencies)
}

/// From slopes per scale to derivatives, in place; the numbers to be added are those of the scales.
struct Derivatives<'a> {
    inverses: GroupValues<'a>,
    start: usize,
    weights: &'a [f32],
    slopes: &'a mut [f32],
}

impl Numbers for Derivatives<'_> {
    #[inline(always)]
    fn write(&mut self, first: usize, numbers: &mut [f32]) {
        let here = first - self.start..first - self.start + numbers.len();
        let weights = self.weights[here.clone()].iter().zip(self.inverses.of(first, numbers.len()));
        for ((number, slope), (weight, inverse)) in
            numbers.iter_mut().zip(&mut self.slopes[here]).zip(weights)
        {
            (*number, *slope) = derivatives(*weight, *inverse, *slope);
        }
    }
}

/// `slope * w / scale` and `slope / scale`.
#[inline(always)]
pub(crate) fn derivatives(weight: f32, inverse: f32, slope: f32) -> (f32, f32) {
    // A weight that is not finite has slope 0, and adds nothing.
    let product = if slope == 0.0 { 0.0 } else { slope * (weight * inverse) };
    (product, slope * inverse)
}
