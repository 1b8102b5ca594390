//! Pseudo quantization noise as an operation of burn: fused on the CPU, composed of plain tensor
//! operations elsewhere.
//!
//! Défossez et al. 2022, section 3: `w̃ = w + s·u(b)·ε`, fresh `ε` each step, `u(b) = 1/(2^b - 1)`,
//! `s` the width of the tensor's range. The fused operation draws `ε` from a counter and draws it
//! again in the backward pass, so nothing the size of the weights is kept.

use std::num::NonZeroUsize;

use burn::backend::flex::FlexTensor;
use burn::tensor::{Int, Tensor, TensorData, activation};
use fewbit::{BitsLaw, BitsParametrisation};
use fewbit_kernels::{GroupLayout, NoiseKey, NoiseLaw};

use crate::operation::buffers::{self, recycle, values};
use crate::operation::{Operation, apply, runs_on};
use crate::site::{Scheme, Site};

/// One draw of noise for one parameter: everything but the weights and the logits.
#[derive(Clone, Debug)]
struct NoiseDraw {
    key: NoiseKey,
    noise: NoiseLaw,
    layout: GroupLayout,
    law: fewbit_kernels::BitsLaw,
}

/// Of a tracked forward pass.
#[derive(Clone, Debug)]
struct Kept {
    logits: FlexTensor,
    range: f32,
}

/// `weight + s·u(bits(logits))·ε`.
impl Operation<2> for NoiseDraw {
    type Kept = Kept;

    fn forward(&self, [weight, logits]: [FlexTensor; 2], _: bool) -> (FlexTensor, Option<Kept>) {
        let weights = values(&weight);
        // A weight that is not finite makes the range, and so every weight, not finite: the loss shows
        // it in the same step and the training loop names the tensor.
        let range = match fewbit_kernels::minimum_maximum(weights) {
            Ok(Some((minimum, maximum))) => maximum - minimum,
            Ok(None) => 0.0,
            Err(_) => f32::NAN,
        };
        let mut steps = buffers::take(values(&logits).len());
        fewbit_kernels::steps(values(&logits), &self.law, range, &mut steps);
        let mut noisy = buffers::take(weights.len());
        fewbit_kernels::add_noise(weights, &steps, self.layout, self.key, self.noise, &mut noisy);
        recycle(buffers::tensor(steps, logits.layout().shape().clone()));
        (buffers::tensor(noisy, weight.layout().shape().clone()), Some(Kept { logits, range }))
    }

    fn backward(&self, kept: Kept, gradient: FlexTensor, needed: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let Kept { logits, range } = kept;
        let of_logits = needed[1].then(|| {
            let len = values(&logits).len();
            let mut sums = buffers::take(len);
            fewbit_kernels::write_noise_gradient(
                values(&gradient),
                self.layout,
                self.key,
                self.noise,
                &mut sums,
            );
            let mut out = buffers::take(len);
            fewbit_kernels::logit_gradient(&sums, values(&logits), &self.law, range, &mut out);
            recycle(buffers::tensor(sums, logits.layout().shape().clone()));
            buffers::tensor(out, logits.layout().shape().clone())
        });
        // The range is treated as a constant, so the gradient passes through unchanged.
        [Some(gradient), of_logits]
    }
}

/// The weight of `site` with this draw's noise: the fused operation on the CPU in float32, plain
/// tensor operations elsewhere. Gradients reach `weight` and `logits`.
pub fn add_noise<const D: usize>(
    weight: Tensor<D>,
    logits: Tensor<1>,
    site: &Site,
    key: NoiseKey,
) -> Tensor<D> {
    match (site.group_layout(), &site.scheme) {
        (Some(layout), Scheme::Bits { kernel_law, noise, .. }) if runs_on(&weight) && runs_on(&logits) => {
            let draw = NoiseDraw { key, noise: *noise, layout, law: *kernel_law };
            apply(draw, [weight.into(), logits.into()])
        }
        _ => add_noise_by_tensors(weight, logits, site, key),
    }
}

/// The same as [`add_noise`], composed of plain tensor operations: for every other backend, and the
/// twin that the fused operation is tested against. The noise is the same, drawn by the CPU.
pub fn add_noise_by_tensors<const D: usize>(
    weight: Tensor<D>,
    logits: Tensor<1>,
    site: &Site,
    key: NoiseKey,
) -> Tensor<D> {
    let device = weight.device();
    let len = site.grouping.len();
    let Scheme::Bits { law, noise, .. } = &site.scheme else { return weight };
    let noise = draw(*noise, key, len);
    let constant = device.clone().without_autodiff();
    let constants =
        |tensor: Tensor<1>| if device.is_autodiff() { Tensor::from_inner(tensor) } else { tensor };
    let noise = constants(Tensor::from_data(TensorData::new(noise, [len]), &constant));
    let groups = Tensor::<1, Int>::from_data(TensorData::new(site.group_of_each(), [len]), &device);
    let flat = weight.clone().detach();
    let range = flat.clone().max() - flat.min();
    let steps = step_fractions(bits(logits, law)) * range;
    let shape: [usize; D] = weight.dims();
    weight + (steps.select(0, groups) * noise).reshape(shape)
}

/// The bits of each group, differentiable in the logits: `[groups]`.
pub fn bits(logits: Tensor<1>, law: &BitsLaw) -> Tensor<1> {
    let t = activation::sigmoid(logits);
    match law.parametrisation() {
        BitsParametrisation::Bits => t * (law.maximum() - law.minimum()) + law.minimum(),
        BitsParametrisation::Noise => {
            let [coarse, fine] = [law.minimum(), law.maximum()].map(|b| noise_scale(b).ln());
            let log_u = t * (fine - coarse) + coarse;
            (log_u.neg().exp() + 1.0).log() / std::f32::consts::LN_2
        }
    }
}

/// `u(b) = 1/(2^b - 1)`, with `b` kept above the floor that the kernels use.
fn step_fractions(bits: Tensor<1>) -> Tensor<1> {
    let bits = bits.clamp_min(fewbit_kernels::MIN_BITS_OF_NOISE);
    ((bits * std::f32::consts::LN_2).exp() - 1.0).recip()
}

fn noise_scale(bits: f32) -> f32 {
    1.0 / (bits.max(fewbit_kernels::MIN_BITS_OF_NOISE).exp2() - 1.0)
}

/// The noise itself, `[len]`: what a step of 1 adds to weights of 0.
pub(crate) fn draw(law: NoiseLaw, key: NoiseKey, len: usize) -> Vec<f32> {
    let Some(group_size) = NonZeroUsize::new(len) else { return Vec::new() };
    let layout = GroupLayout::Contiguous { group_size };
    fewbit_kernels::noisy_weights(&vec![0.0; len], &[1.0], layout, key, law)
}
