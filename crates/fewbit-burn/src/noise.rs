//! Pseudo quantization noise as an operation of burn: fused on the CPU, composed of plain tensor
//! operations elsewhere.
//!
//! Défossez et al. 2022, section 3: `w̃ = w + s·u(b)·ε`, fresh `ε` each step, `u(b) = 1/(2^b - 1)`,
//! `s` the width of the tensor's range. The fused operation draws `ε` from a counter and draws it
//! again in the backward pass, so nothing the size of the weights is kept.

use std::num::NonZeroUsize;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Bytes, DType, Device, Int, Shape, Tensor, TensorData, activation};
use fewbit::BitsParametrisation;
use fewbit_kernels::{GroupLayout, NoiseKey, NoiseLaw};

use crate::site::Site;

/// One draw of noise for one parameter: everything but the weights and the logits.
#[derive(Clone, Debug)]
pub struct NoiseDraw {
    key: NoiseKey,
    noise: NoiseLaw,
    layout: GroupLayout,
    law: fewbit_kernels::BitsLaw,
}

/// The fused operation, for the backends that have it.
#[backend_extension(Autodiff, Flex)]
pub trait NoiseBackend: Backend {
    /// `weight + s·u(bits(logits))·ε`.
    fn add_pseudo_quantization_noise(
        weight: FloatTensor<Self>,
        logits: FloatTensor<Self>,
        draw: NoiseDraw,
    ) -> FloatTensor<Self>;
}

impl NoiseBackend for Flex {
    fn add_pseudo_quantization_noise(weight: FlexTensor, logits: FlexTensor, draw: NoiseDraw) -> FlexTensor {
        forward(weight, &logits, &draw).0
    }
}

impl<C: CheckpointStrategy> NoiseBackend for Autodiff<Flex, C> {
    fn add_pseudo_quantization_noise(
        weight: FloatTensor<Self>,
        logits: FloatTensor<Self>,
        draw: NoiseDraw,
    ) -> FloatTensor<Self> {
        let nodes = [weight.node(), logits.node()];
        match NoiseBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let logits = logits.into_primitive();
                let (noisy, range) = forward(weight.into_primitive(), &logits, &draw);
                prepared.finish(Kept { logits, range, draw }, noisy)
            }
            OpsKind::UnTracked(prepared) => {
                let (noisy, _) = forward(weight.into_primitive(), &logits.into_primitive(), &draw);
                prepared.finish(noisy)
            }
        }
    }
}

#[derive(Debug)]
struct NoiseBackward;

/// What the backward pass needs beside the incoming gradient.
#[derive(Clone, Debug)]
struct Kept {
    logits: FlexTensor,
    range: f32,
    draw: NoiseDraw,
}

impl Backward<Flex, 2> for NoiseBackward {
    type State = Kept;

    fn backward(self, ops: Ops<Kept, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [weight, logits] = ops.parents;
        let gradient = gradients.consume::<Flex>(&ops.node);
        if let Some(node) = logits {
            let Kept { logits, range, draw } = ops.state;
            let contiguous = gradient.to_contiguous();
            let sums = fewbit_kernels::noise_gradient(slice(&contiguous), draw.layout, draw.key, draw.noise);
            let logits = logits.to_contiguous();
            let mut gradient = vec![0.0; sums.len()];
            fewbit_kernels::logit_gradient(&sums, slice(&logits), &draw.law, range, &mut gradient);
            gradients.register::<Flex>(node.id, flex(gradient, logits.shape()));
        }
        if let Some(node) = weight {
            // The range is treated as a constant, so the gradient passes through unchanged.
            gradients.register::<Flex>(node.id, gradient);
        }
    }
}

fn forward(weight: FlexTensor, logits: &FlexTensor, draw: &NoiseDraw) -> (FlexTensor, f32) {
    let weight = weight.to_contiguous();
    let logits = logits.to_contiguous();
    let weights = slice(&weight);
    // A weight that is not finite makes the range, and so every weight, not finite: the loss shows
    // it in the same step and the training loop names the tensor.
    let range = match fewbit_kernels::minimum_maximum(weights) {
        Ok(Some((minimum, maximum))) => maximum - minimum,
        Ok(None) => 0.0,
        Err(_) => f32::NAN,
    };
    let mut steps = vec![0.0; slice(&logits).len()];
    fewbit_kernels::steps(slice(&logits), &draw.law, range, &mut steps);
    let noisy = fewbit_kernels::noisy_weights(weights, &steps, draw.layout, draw.key, draw.noise);
    (flex(noisy, weight.shape()), range)
}

fn slice(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("a contiguous float32 tensor")
}

fn flex(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape), DType::F32)
}

/// The weight of `site` with this draw's noise: the fused operation on the CPU in float32, plain
/// tensor operations elsewhere. Gradients reach `weight` and `logits`.
pub fn add_noise<const D: usize>(
    weight: Tensor<D>,
    logits: Tensor<1>,
    site: &Site,
    key: NoiseKey,
) -> Tensor<D> {
    let fused = is_flex(&weight.device()) && weight.dtype() == DType::F32;
    match site.group_layout() {
        Some(layout) if fused => {
            let draw = NoiseDraw { key, noise: site.noise, layout, law: site.kernel_law };
            Tensor::from_dispatch(<Dispatch as NoiseBackend>::add_pseudo_quantization_noise(
                weight.into_dispatch(),
                logits.into_dispatch(),
                draw,
            ))
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
    let noise = draw(site, key, len);
    let constant = device.clone().without_autodiff();
    let constants =
        |tensor: Tensor<1>| if device.is_autodiff() { Tensor::from_inner(tensor) } else { tensor };
    let noise = constants(Tensor::from_data(TensorData::new(noise, [len]), &constant));
    let groups = Tensor::<1, Int>::from_data(TensorData::new(site.group_of_each(), [len]), &device);
    let flat = weight.clone().detach();
    let range = flat.clone().max() - flat.min();
    let steps = step_fractions(bits(logits, site)) * range;
    let shape: [usize; D] = weight.dims();
    weight + (steps.select(0, groups) * noise).reshape(shape)
}

/// The bits of each group, differentiable in the logits: `[groups]`.
pub fn bits(logits: Tensor<1>, site: &Site) -> Tensor<1> {
    let law = &site.law;
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
fn draw(site: &Site, key: NoiseKey, len: usize) -> Vec<f32> {
    let Some(group_size) = NonZeroUsize::new(len) else { return Vec::new() };
    let layout = GroupLayout::Contiguous { group_size };
    fewbit_kernels::noisy_weights(&vec![0.0; len], &[1.0], layout, key, site.noise)
}

fn is_flex(device: &Device) -> bool {
    device.clone().without_autodiff() == Device::flex()
}
