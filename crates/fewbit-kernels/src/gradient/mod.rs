//! Backward: per group, the sum of gradient times noise, with the noise made again.

mod columns;
mod runs;

use crate::dispatch::InstructionSet;
use crate::key::NoiseKey;
use crate::law::{BLOCK, Gaussian, Law, NoiseLaw, Uniform};
use crate::layout::{GroupLayout, Plan, Swap};

/// Rows whose products are added in `f32` before they join an `f64` sum.
pub(crate) const ROWS_PER_PIECE: usize = 32;
/// Longest group that is added by adjacent pairs.
pub(crate) const LARGEST_SMALL_GROUP: usize = 32;
/// Columns of `inner` weights a row that are summed by one thread where groups cross columns.
pub(crate) fn columns_per_strip(inner: usize) -> usize {
    (BLOCK / inner).max(1)
}

/// `sum of gradient[i] * noise(i)` over the weights of each group, one number per group.
///
/// `gradient` is the loss's with respect to the noisy weights, in the order of the slice; the noise
/// is that which [`add_noise`](crate::add_noise) used for the same layout, key and law. The order
/// of the additions depends on the layout only: groups of a power of two up to 32 that lie in one
/// run are added by adjacent pairs in `f32`; longer or uneven ones by pieces of at most 256 weights
/// (32 rows, when transposed), whose sums are added in `f64`.
///
/// # Panics
/// When a swapped layout is not of this many weights.
///
/// Défossez et al. 2022: the factor of `∂L/∂b` that is not the same for the whole group.
pub fn noise_gradient(gradient: &[f32], layout: GroupLayout, key: NoiseKey, law: NoiseLaw) -> Vec<f32> {
    let mut sums = vec![0.0; layout.group_count(gradient.len())];
    write_noise_gradient(gradient, layout, key, law, &mut sums);
    sums
}

/// Writes to `sums` what [`noise_gradient`] returns.
///
/// # Panics
/// As [`noise_gradient`], and when `sums` has not one entry per group.
pub fn write_noise_gradient(
    gradient: &[f32],
    layout: GroupLayout,
    key: NoiseKey,
    law: NoiseLaw,
    sums: &mut [f32],
) {
    noise_gradient_on(InstructionSet::detect(), gradient, layout, key, law, sums);
}

pub(crate) fn noise_gradient_on(
    set: InstructionSet,
    gradient: &[f32],
    layout: GroupLayout,
    key: NoiseKey,
    law: NoiseLaw,
    sums: &mut [f32],
) {
    let groups = layout.group_count(gradient.len());
    assert_eq!(sums.len(), groups, "{} weights make {groups} groups", gradient.len());
    let plan = layout.plan(gradient.len());
    match law {
        NoiseLaw::Gaussian => sum_by_plan(set, Gaussian, key, plan, gradient, sums),
        NoiseLaw::Uniform => sum_by_plan(set, Uniform, key, plan, gradient, sums),
    }
}

fn sum_by_plan<L: Law>(
    set: InstructionSet,
    law: L,
    key: NoiseKey,
    plan: Plan,
    gradient: &[f32],
    sums: &mut [f32],
) {
    match plan {
        Plan::Runs { group_size } if group_size.is_power_of_two() && group_size <= LARGEST_SMALL_GROUP => {
            runs::sum_short(set, law, key, group_size, gradient, sums);
        }
        Plan::Runs { group_size } => runs::sum_long(set, law, key, group_size, gradient, sums),
        Plan::Bands { columns, group_size, bands } => {
            columns::sum_bands(set, law, key, (columns, group_size, bands), gradient, sums);
        }
        Plan::Crossing { rows, columns, inner, group_size } => {
            let swap = Swap { rows, columns, inner };
            columns::sum_crossing(set, law, key, (swap, group_size), gradient, sums);
        }
    }
}

/// Rounds the totals of groups that were added in parts.
fn round_all(totals: &[f64], sums: &mut [f32]) {
    for (sum, total) in sums.iter_mut().zip(totals) {
        *sum = *total as f32;
    }
}
