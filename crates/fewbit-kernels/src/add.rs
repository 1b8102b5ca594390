//! Forward: each weight plus its step times its noise.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::dispatch::{InstructionSet, Kernel};
use crate::group_values::GroupValues;
use crate::key::NoiseKey;
use crate::law::{Gaussian, Law, NoiseLaw, Uniform};
use crate::layout::{GroupLayout, Plan};
use crate::tile::{CHUNK, NoiseBlock, stretches};

/// `weights[i] + steps[group(i)] * noise(i)`, in a new vector.
///
/// `steps` has one entry per group of `layout`. The noise of a weight depends on `key`, `law` and
/// its index in the slice, nothing else. A non-finite weight or step gives a non-finite result.
///
/// # Panics
/// When `steps` has not one entry per group, or a swapped layout is not of this many weights.
///
/// Défossez et al. 2022: `w~ = w + Δ(b) ε`.
pub fn noisy_weights(
    weights: &[f32],
    steps: &[f32],
    layout: GroupLayout,
    key: NoiseKey,
    law: NoiseLaw,
) -> Vec<f32> {
    let mut noisy = Vec::with_capacity(weights.len());
    let free = &mut noisy.spare_capacity_mut()[..weights.len()];
    add_noise_on(InstructionSet::detect(), weights, steps, layout, key, law, free);
    // SAFETY: `add_noise_on` wrote each of the first `weights.len()` elements.
    unsafe { noisy.set_len(weights.len()) };
    noisy
}

/// Writes `weights[i] + steps[group(i)] * noise(i)` to `out`, as [`noisy_weights`] does.
///
/// # Panics
/// As [`noisy_weights`], and when `out` has not the length of `weights`.
pub fn add_noise(
    weights: &[f32],
    steps: &[f32],
    layout: GroupLayout,
    key: NoiseKey,
    law: NoiseLaw,
    out: &mut [f32],
) {
    add_noise_on(InstructionSet::detect(), weights, steps, layout, key, law, as_uninit(out));
}

/// The same elements as places that may be written.
pub(crate) fn as_uninit(out: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    // SAFETY: both types have the same layout, and what this module does with the result is to
    // write numbers, so that the caller's elements stay initialized.
    unsafe { &mut *(std::ptr::from_mut(out) as *mut [MaybeUninit<f32>]) }
}

pub(crate) fn add_noise_on(
    set: InstructionSet,
    weights: &[f32],
    steps: &[f32],
    layout: GroupLayout,
    key: NoiseKey,
    law: NoiseLaw,
    out: &mut [MaybeUninit<f32>],
) {
    let groups = layout.group_count(weights.len());
    assert_eq!(steps.len(), groups, "{} weights make {groups} groups", weights.len());
    assert_eq!(out.len(), weights.len(), "as many places as weights");
    let plan = layout.plan(weights.len());
    match law {
        NoiseLaw::Gaussian => {
            add_by_plan(set, AddNoise { law: Gaussian, key, plan, steps, start: 0, weights, out })
        }
        NoiseLaw::Uniform => {
            add_by_plan(set, AddNoise { law: Uniform, key, plan, steps, start: 0, weights, out })
        }
    }
}

fn add_by_plan<L: Law>(set: InstructionSet, whole: AddNoise<'_, L>) {
    let AddNoise { law, key, plan, steps, weights, out, .. } = whole;
    let chunk = plan.chunk(CHUNK);
    if weights.len() <= chunk {
        return set.run(AddNoise { law, key, plan, steps, start: 0, weights, out });
    }
    weights.par_chunks(chunk).zip(out.par_chunks_mut(chunk)).enumerate().for_each(
        |(place, (weights, out))| {
            set.run(AddNoise { law, key, plan, steps, start: place * chunk, weights, out });
        },
    );
}

/// One chunk: the weights from index `start` of the tensor on, and all the tensor's steps.
struct AddNoise<'a, L> {
    law: L,
    key: NoiseKey,
    plan: Plan,
    steps: &'a [f32],
    start: usize,
    weights: &'a [f32],
    out: &'a mut [MaybeUninit<f32>],
}

impl<L: Law> Kernel for AddNoise<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let mut noise = NoiseBlock::new(self.law, self.key);
        let mut steps = GroupValues::new(self.plan, self.steps, self.start, self.weights.len());
        for (first, count) in stretches(self.plan, self.start, self.weights.len()) {
            let here = first - self.start..first - self.start + count;
            noise.add(first, &self.weights[here.clone()], steps.of(first, count), &mut self.out[here]);
        }
    }
}
