//! The scalar twins: every operation once more, weight by weight, as the formulas read.
//!
//! They give the bits of the fast paths and are what these are tested against.

use crate::coded_size::{Costs, Frequencies, LARGEST_LEVEL, derivatives, place, width_of};
use crate::gradient::{LARGEST_SMALL_GROUP, ROWS_PER_PIECE, columns_per_strip};
use crate::group_fold;
use crate::key::NoiseKey;
use crate::law::{BLOCK, Gaussian, NoiseLaw, Uniform, noise_at};
use crate::layout::{GroupLayout, Plan, Swap};
use crate::range::NonFinite;
use crate::rounding::{inverse_scale, level, limits, of_weight};
use crate::tile::{CHUNK, LANES};

/// The noise of the weight at `index`, in steps of the grid.
pub fn noise(key: NoiseKey, law: NoiseLaw, index: u64) -> f32 {
    match law {
        NoiseLaw::Gaussian => noise_at(Gaussian, key, index),
        NoiseLaw::Uniform => noise_at(Uniform, key, index),
    }
}

/// Twin of [`minimum_maximum`](crate::minimum_maximum).
///
/// # Errors
/// [`NonFinite`] with the first NaN or infinity.
pub fn minimum_maximum(weights: &[f32]) -> Result<Option<(f32, f32)>, NonFinite> {
    if let Some(index) = weights.iter().position(|weight| !weight.is_finite()) {
        return Err(NonFinite { index, value: weights[index] });
    }
    let minimum = weights.iter().copied().reduce(f32::min);
    let maximum = weights.iter().copied().reduce(f32::max);
    Ok(minimum.zip(maximum).map(|(minimum, maximum)| (minimum + 0.0, maximum + 0.0)))
}

/// Twin of [`noisy_weights`](crate::noisy_weights).
///
/// # Panics
/// When `steps` has fewer entries than there are groups.
pub fn noisy_weights(
    weights: &[f32],
    steps: &[f32],
    layout: GroupLayout,
    key: NoiseKey,
    law: NoiseLaw,
) -> Vec<f32> {
    let noisy = |(index, weight): (usize, &f32)| {
        weight + steps[layout.group_of(index)] * noise(key, law, index as u64)
    };
    weights.iter().enumerate().map(noisy).collect()
}

/// Twin of [`noise_gradient`](crate::noise_gradient): the same sums, in the same order.
///
/// # Panics
/// When a swapped layout is not of this many weights.
pub fn noise_gradient(gradient: &[f32], layout: GroupLayout, key: NoiseKey, law: NoiseLaw) -> Vec<f32> {
    let products: Vec<f32> =
        (0..).zip(gradient).map(|(index, gradient)| gradient * noise(key, law, index)).collect();
    match layout.plan(gradient.len()) {
        Plan::Runs { group_size } if group_size.is_power_of_two() && group_size <= LARGEST_SMALL_GROUP => {
            products.chunks(group_size).map(|group| sum_by_adjacent_pairs(group, group_size)).collect()
        }
        Plan::Runs { group_size } => sums_of_runs(&products, group_size),
        Plan::Bands { columns, group_size, bands } => sums_of_bands(&products, columns, group_size, bands),
        Plan::Crossing { inner, .. } => sums_of_crossing(&products, layout, inner),
    }
}

/// `((a + b) + (c + d)) + …`, over `size` places of which the missing ones are 0.
fn sum_by_adjacent_pairs(group: &[f32], size: usize) -> f32 {
    if size == 1 {
        return group.first().copied().unwrap_or(0.0);
    }
    let (left, right) = group.split_at(group.len().min(size / 2));
    sum_by_adjacent_pairs(left, size / 2) + sum_by_adjacent_pairs(right, size / 2)
}

/// Per group: the parts that lie in one block each, added up per chunk, and these added up.
fn sums_of_runs(products: &[f32], group_size: usize) -> Vec<f32> {
    let sum_of_group = |group: usize| {
        let end = ((group + 1) * group_size).min(products.len());
        let mut place = group * group_size;
        let (mut total, mut chunk_total) = (0.0f64, 0.0f64);
        while place < end {
            let block_end = ((place / BLOCK + 1) * BLOCK).min(end);
            chunk_total += f64::from(sum_by_lanes(&products[place..block_end]));
            place = block_end;
            if place.is_multiple_of(CHUNK) || place == end {
                total += std::mem::take(&mut chunk_total);
            }
        }
        total as f32
    };
    (0..products.len().div_ceil(group_size)).map(sum_of_group).collect()
}

/// Sixteen sums of every sixteenth number, then the upper half of them onto the lower, and again.
fn sum_by_lanes(run: &[f32]) -> f32 {
    let mut lanes: Vec<f32> =
        (0..LANES).map(|lane| run.iter().skip(lane).step_by(LANES).fold(0.0, |sum, x| sum + x)).collect();
    while lanes.len() > 1 {
        let upper = lanes.split_off(lanes.len() / 2);
        lanes.iter_mut().zip(upper).for_each(|(lane, upper)| *lane += upper);
    }
    lanes[0]
}

/// Per group: pieces of 32 rows in `f32`, these in `f64`.
fn sums_of_bands(products: &[f32], columns: usize, group_size: usize, bands: usize) -> Vec<f32> {
    let sum_of_group = |group: usize| {
        let (column, band) = (group / bands, group % bands);
        let rows: Vec<usize> = (band * group_size..(band + 1) * group_size).collect();
        let pieces = rows.chunks(ROWS_PER_PIECE);
        let sums =
            pieces.map(|piece| piece.iter().fold(0.0f32, |sum, row| sum + products[row * columns + column]));
        sums.map(f64::from).sum::<f64>() as f32
    };
    (0..columns * bands).map(sum_of_group).collect()
}

/// Per group, in `f64`: strip of columns after strip, row after row of each.
fn sums_of_crossing(products: &[f32], layout: GroupLayout, inner: usize) -> Vec<f32> {
    let Some(Swap { rows, columns, .. }) = layout.swap(products.len()) else { return Vec::new() };
    let mut totals = vec![0.0f64; layout.group_count(products.len())];
    let strip = columns_per_strip(inner) * inner;
    for first in (0..columns * inner).step_by(strip) {
        let mut sums = vec![0.0f64; totals.len()];
        for row in 0..rows {
            for place in first..(first + strip).min(columns * inner) {
                let index = row * columns * inner + place;
                sums[layout.group_of(index)] += f64::from(products[index]);
            }
        }
        totals.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
    }
    totals.iter().map(|&total| total as f32).collect()
}

/// Twin of [`round_to_scales`](crate::round_to_scales).
///
/// # Panics
/// When `scales` has fewer entries than there are groups.
pub fn round_to_scales(weights: &[f32], scales: &[f32], layout: GroupLayout, levels: (i16, i16)) -> Vec<f32> {
    let rounded = |(index, weight): (usize, &f32)| {
        let scale = scales[layout.group_of(index)];
        level(weight * inverse_scale(scale), limits(levels)) * scale
    };
    weights.iter().enumerate().map(rounded).collect()
}

/// Twin of [`rounding_gradient`](crate::rounding_gradient): the gradients of weights and scales.
///
/// # Panics
/// When `scales` has fewer entries than there are groups, or a swapped layout is not of this many weights.
pub fn rounding_gradient(
    weights: &[f32],
    scales: &[f32],
    layout: GroupLayout,
    levels: (i16, i16),
    gradient: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let of = |(index, (weight, gradient)): (usize, (&f32, &f32))| {
        of_weight(weight * inverse_scale(scales[layout.group_of(index)]), *gradient, limits(levels))
    };
    let (terms, of_weights): (Vec<_>, _) = weights.iter().zip(gradient).enumerate().map(of).unzip();
    (of_weights, sums_of_groups(&terms, layout).iter().map(|sum| *sum as f32).collect())
}

/// Twin of [`largest_magnitudes`](crate::largest_magnitudes).
pub fn largest_magnitudes(weights: &[f32], layout: GroupLayout) -> Vec<f32> {
    let mut largest = vec![0.0f32; layout.group_count(weights.len())];
    for (index, weight) in weights.iter().enumerate() {
        let largest = &mut largest[layout.group_of(index)];
        *largest = largest.max(weight.abs());
    }
    largest
}

/// Per group, in the order of memory: within a chunk in `f64`, and these added. Where groups are runs of
/// memory, the part of each block is added in `f32`.
fn sums_of_groups(terms: &[f32], layout: GroupLayout) -> Vec<f64> {
    let plan = layout.plan(terms.len());
    let groups = layout.group_count(terms.len());
    let mut totals = vec![0.0f64; groups];
    for (place, chunk) in terms.chunks(group_fold::chunk(plan, groups)).enumerate() {
        let start = place * group_fold::chunk(plan, groups);
        let mut sums = vec![0.0f64; groups];
        if let Plan::Runs { group_size } = plan {
            let mut first = start;
            while first < start + chunk.len() {
                let block_end = (first / BLOCK + 1) * BLOCK;
                let group = first / group_size;
                let end = block_end.min((group + 1) * group_size).min(start + chunk.len());
                sums[group] += f64::from(sum_by_lanes(&terms[first..end]));
                first = end;
            }
        } else {
            for (index, term) in (start..).zip(chunk) {
                sums[layout.group_of(index)] += f64::from(*term);
            }
        }
        totals.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
    }
    totals
}

/// Twin of [`coded_size`](crate::coded_size): the bits, and their derivatives in weights and in the
/// logarithms of scales.
///
/// # Panics
/// When `scales` has fewer entries than there are groups, or a swapped layout is not of this many weights.
pub fn coded_size(
    weights: &[f32],
    scales: &[f32],
    layout: GroupLayout,
    width_group: usize,
) -> (f64, Vec<f32>, Vec<f32>) {
    let inverse_of = |index: usize| inverse_scale(scales[layout.group_of(index)]);
    let mut positions = vec![0.0; weights.len()];
    for (index, weight) in weights.iter().enumerate() {
        positions[layout.stored_index(index)] = weight * inverse_of(index);
    }
    let levels: Vec<Vec<i32>> =
        positions.chunks(width_group).map(|group| group.iter().map(|p| level_of(*p)).collect()).collect();
    let mut frequencies = Frequencies::none();
    for levels in &levels {
        let width = width_of_all(levels);
        frequencies.groups[width] += 1;
        levels.iter().for_each(|level| frequencies.levels[width][place(*level)] += 1);
    }
    let costs = Costs::of(&frequencies);
    let mut slopes = Vec::new();
    for (positions, levels) in positions.chunks(width_group).zip(&levels) {
        slopes.extend((0..levels.len()).map(|index| slope(&costs, positions[index], levels, index)));
    }
    let derivatives = |(index, weight): (usize, &f32)| {
        derivatives(*weight, inverse_of(index), slopes[layout.stored_index(index)])
    };
    let (terms, of_weights): (Vec<_>, _) = weights.iter().enumerate().map(derivatives).unzip();
    let of_scales = sums_of_groups(&terms, layout);
    let of_scales = of_scales.iter().map(|sum| (-std::f64::consts::LN_2 * sum) as f32).collect();
    (costs.total(&frequencies), of_weights, of_scales)
}

/// The level of a weight of so many scales; a NaN has level 0.
fn level_of(position: f32) -> i32 {
    (position.round_ties_even() as i32).clamp(-i32::from(LARGEST_LEVEL), LARGEST_LEVEL.into())
}

fn width_of_all(levels: &[i32]) -> usize {
    width_of(levels.iter().map(|level| level.unsigned_abs()).max().unwrap_or(0))
}

/// The bits of a group with one level changed to the other that its weight lies next to, less those
/// without, per level upwards.
fn slope(costs: &Costs, position: f32, levels: &[i32], index: usize) -> f32 {
    let (below, here) = (position.floor() as i32, levels[index]);
    let other = if here == below { below.saturating_add(1) } else { below };
    if other.unsigned_abs() > LARGEST_LEVEL as u32 || position.is_nan() {
        return 0.0;
    }
    let mut moved = levels.to_vec();
    moved[index] = other;
    let (width, needed) = (width_of_all(levels), width_of_all(&moved));
    let codes = &costs.levels[needed];
    if needed == width {
        return Costs::held(codes[place(here.max(other))] - codes[place(here.min(other))]);
    }
    let differences: Vec<f32> =
        levels.iter().map(|level| codes[place(*level)] - costs.levels[width][place(*level)]).collect();
    let change = (costs.widths[needed] - costs.widths[width]) + sum_by_lanes(&differences);
    let difference = Costs::held(change + (codes[place(other)] - codes[place(here)]));
    if other > here { difference } else { -difference }
}
