//! Weights as multiples of a learned step, as operations of burn.
//!
//! Under noise a weight moves by less than half a step either way: `w̃ = w + s·ε`, `ε` uniform. Rounded it
//! is `s·q` with `q = round(w/s)` within its levels; the gradient passes straight through to the weight
//! where it is within them, and to the step as Esser et al. 2020 (equation 3) have it: `q - w/s`, or `q`
//! beyond the last level.

use std::ops::Range;

use burn::backend::flex::FlexTensor;
use burn::tensor::{Int, Tensor, TensorData};
use fewbit::compress::inverse_step;
use fewbit_kernels::{NoiseKey, NoiseLaw};
use rayon::prelude::*;

use crate::layout::Orientation;
use crate::noise::draw;
use crate::operation::buffers::{self, recycle, values};
use crate::operation::{Operation, apply, runs_on};
use crate::site::{FURTHEST_EXPONENT, Site, Steps, furthest};

/// Weights that one task rounds.
const PART: usize = 1 << 15;

/// Steps that are tried for the least squared error.
const TRIED: u32 = 100;

/// Where learned steps start (Esser et al. 2020, section 2.1): `2·mean|w|/√highest`; for levels without
/// end, as if the highest were 7.
pub(crate) fn lsq_step(weights: &[f32], highest: i16) -> f32 {
    let sum: f64 = weights.iter().map(|weight| f64::from(weight.abs())).sum();
    let mean = sum / weights.len().max(1) as f64;
    let levels = if highest >= 127 { 7.0 } else { f64::from(highest.max(1)) };
    ((2.0 * mean / levels.sqrt()) as f32).max(f32::MIN_POSITIVE)
}

/// Of a hundred steps up to that of the largest weight, the one whose rounded weights have the least
/// squared error.
pub(crate) fn best_step(weights: &[f32], (lowest, highest): (i16, i16)) -> f32 {
    let largest = furthest(weights);
    let error = |step: f32| -> f64 {
        let square = |weight: &f32| {
            let level = (weight / step).round_ties_even().clamp(-f32::from(lowest), highest.into());
            f64::from(weight - level * step).powi(2)
        };
        weights.iter().map(square).sum()
    };
    let step = |share: u32| largest / f32::from(highest.max(1)) * share as f32 / TRIED as f32;
    let tried = (1..=TRIED).map(step).filter(|step| *step > 0.0);
    let errors = tried.map(|step| (error(step), step));
    errors.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(f32::MIN_POSITIVE, |(_, step)| step)
}

/// The weight with noise of its steps. Gradients reach `weight` and `learned`.
pub(crate) fn add_step_noise<const D: usize>(
    weight: Tensor<D>,
    learned: Tensor<1>,
    site: &Site,
    steps: Steps,
    key: NoiseKey,
) -> Tensor<D> {
    if runs_on(&weight) && runs_on(&learned) && site.group_layout().is_some() {
        return apply(StepNoise { site: site.clone(), steps, key }, [weight.into(), learned.into()]);
    }
    let shape: [usize; D] = weight.dims();
    let noise = constant(draw(NoiseLaw::Uniform, key, site.grouping.len()), &weight);
    weight + (of_each(steps_of_groups(learned, steps), site) * noise).reshape(shape)
}

/// The rounded weight. Gradients reach `weight` and `learned`.
pub(crate) fn round_to_steps<const D: usize>(
    weight: Tensor<D>,
    learned: Tensor<1>,
    site: &Site,
    steps: Steps,
) -> Tensor<D> {
    if runs_on(&weight) && runs_on(&learned) {
        return apply(StepRounding { site: site.clone(), steps }, [weight.into(), learned.into()]);
    }
    let (lowest, highest) = (-f64::from(steps.levels.0), f64::from(steps.levels.1));
    let shape: [usize; D] = weight.dims();
    // The factor of the step's gradient, on the way back only.
    let learned = match steps.gradient_scale {
        Some(scale) => learned.clone() * scale + (learned.clone() - learned * scale).detach(),
        None => learned,
    };
    let flat: Tensor<1> = weight.reshape([site.grouping.len()]);
    let mut step = steps_of_groups(learned, steps);
    if steps.size.is_some() {
        // As `Steps::reaching` has it; its gradient is that of the step that was learned.
        let largest = furthest_of_groups(flat.clone().detach(), site);
        let missing = (largest / highest.max(1.0) - step.clone().detach()).clamp_min(0.0);
        step = step + missing;
    }
    let step = of_each(step, site);
    let position = flat.clone().detach() / step.clone().detach();
    let level = position.clone().round().clamp(lowest, highest);
    let inside = position.clone().clamp(lowest, highest).equal(position.clone()).float();
    let distance = level - position * inside.clone();
    (step * distance + flat * inside).reshape(shape)
}

fn constant<const D: usize>(values: Vec<f32>, like: &Tensor<D>) -> Tensor<1> {
    let device = like.device();
    let len = values.len();
    let tensor = Tensor::from_data(TensorData::new(values, [len]), &device.clone().without_autodiff());
    if device.is_autodiff() { Tensor::from_inner(tensor) } else { tensor }
}

/// The step of each group, by plain tensor operations.
fn steps_of_groups(learned: Tensor<1>, steps: Steps) -> Tensor<1> {
    match steps.gradient_scale {
        Some(_) => learned.abs(),
        None => (learned.clamp(-FURTHEST_EXPONENT, FURTHEST_EXPONENT) * std::f32::consts::LN_2).exp(),
    }
}

/// What each weight has of its group, in memory order.
fn of_each(groups: Tensor<1>, site: &Site) -> Tensor<1> {
    let index = TensorData::new(site.group_of_each(), [site.grouping.len()]);
    let index = Tensor::<1, Int>::from_data(index, &groups.device());
    groups.select(0, index)
}

/// The largest distance from zero in each group of weights in memory order, by plain tensor operations.
fn furthest_of_groups(weights: Tensor<1>, site: &Site) -> Tensor<1> {
    let (rows, columns, inner) = blocks(site);
    let stored: Tensor<1> = weights.abs().reshape([rows, columns, inner]).swap_dims(0, 1).reshape([-1]);
    let (groups, size) = (site.grouping.count(), site.grouping.size());
    let missing = Tensor::zeros([groups * size - site.grouping.len()], &stored.device());
    Tensor::cat(vec![stored, missing], 0).reshape([groups, size]).max_dim(1).reshape([groups])
}

/// Rows and columns of the blocks of a parameter, and how many weights each has. Within a block weights lie
/// as they are stored; the blocks are stored column by column.
fn blocks(site: &Site) -> (usize, usize, usize) {
    match (site.orientation, site.shape.as_slice()) {
        (Orientation::Swapped, [rows, columns, inner @ ..]) => (*rows, *columns, inner.iter().product()),
        _ => (1, 1, site.grouping.len()),
    }
}

/// Calls `work` with each stretch of memory whose weights share a step, and their group.
fn each_run(site: &Site, mut work: impl FnMut(Range<usize>, usize)) {
    let (rows, columns, inner) = blocks(site);
    for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
        let (start, mut stored) = ((row * columns + column) * inner, (column * rows + row) * inner);
        let mut place = start;
        while place < start + inner {
            let group = site.grouping.group_of(stored);
            let len = (site.grouping.range(group).end - stored).min(start + inner - place);
            work(place..place + len, group);
            (place, stored) = (place + len, stored + len);
        }
    }
}

/// The factor from a gradient in the step to that in what is learned.
fn slope(steps: &Steps, learned: f32, step: f32) -> f32 {
    match steps.gradient_scale {
        Some(scale) => scale * learned.signum(),
        None => step * std::f32::consts::LN_2,
    }
}

fn tensor_like(numbers: Vec<f32>, like: &FlexTensor) -> FlexTensor {
    buffers::tensor(numbers, like.layout().shape().clone())
}

#[derive(Clone, Debug)]
struct StepNoise {
    site: Site,
    steps: Steps,
    key: NoiseKey,
}

impl Operation<2> for StepNoise {
    type Kept = FlexTensor;

    fn forward(&self, [weight, learned]: [FlexTensor; 2], _: bool) -> (FlexTensor, Option<FlexTensor>) {
        let weights = values(&weight);
        let steps = self.steps.of(values(&learned));
        let layout = self.site.group_layout().expect("checked before");
        let mut noisy = buffers::take(weights.len());
        fewbit_kernels::add_noise(weights, &steps, layout, self.key, NoiseLaw::Uniform, &mut noisy);
        (tensor_like(noisy, &weight), Some(learned))
    }

    fn backward(
        &self,
        learned: FlexTensor,
        gradient: FlexTensor,
        needed: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let of_learned = needed[1].then(|| {
            let layout = self.site.group_layout().expect("checked before");
            let mut sums = vec![0.0; values(&learned).len()];
            let law = NoiseLaw::Uniform;
            fewbit_kernels::write_noise_gradient(values(&gradient), layout, self.key, law, &mut sums);
            let steps = self.steps.of(values(&learned));
            for ((sum, learned), step) in sums.iter_mut().zip(values(&learned)).zip(steps) {
                *sum *= slope(&self.steps, *learned, step);
            }
            tensor_like(sums, &learned)
        });
        [Some(gradient), of_learned]
    }
}

#[derive(Clone, Debug)]
struct StepRounding {
    site: Site,
    steps: Steps,
}

impl StepRounding {
    fn limits(&self) -> (f32, f32) {
        (-f32::from(self.steps.levels.0), self.steps.levels.1.into())
    }

    fn steps_of(&self, learned: &FlexTensor, weight: &FlexTensor) -> Vec<f32> {
        let steps = self.steps.of(values(learned));
        if self.steps.size.is_none() {
            return steps;
        }
        let (weights, mut largest) = (values(weight), vec![0.0f32; steps.len()]);
        each_run(&self.site, |run, group| largest[group] = largest[group].max(furthest(&weights[run])));
        self.steps.reaching(steps, largest)
    }
}

impl Operation<2> for StepRounding {
    type Kept = (FlexTensor, FlexTensor);

    fn forward(&self, [weight, learned]: [FlexTensor; 2], _: bool) -> (FlexTensor, Option<Self::Kept>) {
        let steps = self.steps_of(&learned, &weight);
        let (lowest, highest) = self.limits();
        let mut rounded = buffers::take(values(&weight).len());
        let round = |(out, weights): (&mut [f32], &[f32]), step: f32| {
            let inverse = inverse_step(step);
            for (out, weight) in out.iter_mut().zip(weights) {
                *out = (weight * inverse).round_ties_even().clamp(lowest, highest) * step;
            }
        };
        if let [step] = steps[..] {
            let parts = rounded.par_chunks_mut(PART).zip(values(&weight).par_chunks(PART));
            parts.for_each(|part| round(part, step));
        } else {
            let weights = values(&weight);
            each_run(&self.site, |run, group| {
                round((&mut rounded[run.clone()], &weights[run]), steps[group]);
            });
        }
        (tensor_like(rounded, &weight), Some((weight, learned)))
    }

    fn backward(
        &self,
        (weight, learned): Self::Kept,
        mut gradient: FlexTensor,
        _: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let steps = self.steps_of(&learned, &weight);
        let (lowest, highest) = self.limits();
        // Stops the gradient of what is beyond the last level; returns that of the step.
        let part = |(gradients, weights): (&mut [f32], &[f32]), step: f32| -> f64 {
            let inverse = inverse_step(step);
            let mut sum = 0.0;
            for (gradient, weight) in gradients.iter_mut().zip(weights) {
                let position = weight * inverse;
                let level = position.round_ties_even().clamp(lowest, highest);
                let inside = position >= lowest && position <= highest;
                let distance = if inside { level - position } else { level };
                sum += f64::from(*gradient * distance);
                *gradient = if inside { *gradient } else { 0.0 };
            }
            sum
        };
        let gradients: &mut [f32] = gradient.storage_mut();
        let mut sums = vec![0.0f64; steps.len()];
        if let [step] = steps[..] {
            let parts = gradients.par_chunks_mut(PART).zip(values(&weight).par_chunks(PART));
            // Added in their order, whatever the number of threads.
            sums[0] = parts.map(|both| part(both, step)).collect::<Vec<_>>().into_iter().sum();
        } else {
            let weights = values(&weight);
            each_run(&self.site, |run, group| {
                sums[group] += part((&mut gradients[run.clone()], &weights[run]), steps[group]);
            });
        }
        let of_learned = sums.iter().zip(values(&learned)).zip(&steps);
        let of_learned = of_learned
            .map(|((sum, learned), step)| (sum * f64::from(slope(&self.steps, *learned, *step))) as f32)
            .collect();
        let of_learned = tensor_like(of_learned, &learned);
        recycle(weight);
        [Some(gradient), Some(of_learned)]
    }
}
