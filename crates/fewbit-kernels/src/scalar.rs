//! The scalar twins: every operation once more, weight by weight, as the formulas read.
//!
//! They give the bits of the fast paths and are what these are tested against.

use crate::gradient::{LARGEST_SMALL_GROUP, ROWS_PER_PIECE, columns_per_strip};
use crate::key::NoiseKey;
use crate::law::{BLOCK, Gaussian, NoiseLaw, Uniform, noise_at};
use crate::layout::{GroupLayout, Plan, Swap};
use crate::range::NonFinite;
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
