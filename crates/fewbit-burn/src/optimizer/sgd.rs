//! Stochastic gradient descent with momentum, as PyTorch defines it.

use burn::optim::{LearningRate, Optimizer, RecordState, StateSink, StateSource};
use burn::tensor::{Device, Tensor};
use fewbit_kernels::{SgdStep, sgd_step};

use super::{GradientScale, in_memory, numbers, tensor};
use crate::operation::buffers::{recycle, values};

/// The rule; its state is a velocity per weight, where there is momentum.
#[derive(Clone, Debug)]
pub(crate) struct Sgd {
    /// Share of the old velocity in the new; 0 is none.
    pub(crate) momentum: f64,
    /// Nesterov's form of momentum.
    pub(crate) nesterov: bool,
    /// Share of the weight that is added to its gradient.
    pub(crate) weight_decay: f64,
    pub(crate) scale: GradientScale,
}

/// What is kept from step to step.
#[derive(Clone, Debug)]
pub(crate) struct SgdState<const D: usize> {
    /// Of the shape of the weight.
    pub(crate) velocity: Tensor<D>,
}

// By hand: what burn's derive writes names items of burn's own crate root.
impl<const D: usize> RecordState for SgdState<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        out.push_tensor(prefix, "velocity", self.velocity.to_data());
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let velocity = source.take_tensor(prefix, "velocity")?;
        Some(Self { velocity: Tensor::from_data(velocity, device) })
    }
}

impl Optimizer for Sgd {
    type State<const D: usize> = SgdState<D>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        weight: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<SgdState<D>>,
    ) -> (Tensor<D>, Option<SgdState<D>>) {
        let first = state.is_none();
        let velocity = match state {
            Some(state) => state.velocity,
            // Of no meaning yet: the first step writes it, and without momentum nothing reads it.
            None => {
                Tensor::empty(if self.momentum == 0.0 { [0; D] } else { gradient.dims() }, &gradient.device())
            }
        };
        match in_memory([weight, gradient, velocity]) {
            Ok([mut weight, gradient, mut velocity]) => {
                let step = SgdStep {
                    rate: rate as f32,
                    momentum: self.momentum as f32,
                    nesterov: self.nesterov,
                    weight_decay: self.weight_decay as f32,
                    gradient_scale: self.scale.get() as f32,
                    first,
                };
                let kept = (self.momentum != 0.0).then(|| numbers(&mut velocity));
                sgd_step(numbers(&mut weight), values(&gradient), kept, step);
                recycle(gradient);
                let state = (self.momentum != 0.0).then(|| SgdState { velocity: tensor(velocity) });
                (tensor(weight), state)
            }
            Err([weight, gradient, velocity]) => {
                let mut gradient = gradient * self.scale.get();
                if self.weight_decay > 0.0 {
                    gradient = gradient + weight.clone() * self.weight_decay;
                }
                if self.momentum == 0.0 {
                    return (weight - gradient * rate, None);
                }
                let velocity =
                    if first { gradient.clone() } else { velocity * self.momentum + gradient.clone() };
                let direction = if self.nesterov {
                    velocity.clone() * self.momentum + gradient
                } else {
                    velocity.clone()
                };
                (weight - direction * rate, Some(SgdState { velocity }))
            }
        }
    }

    fn to_device<const D: usize>(state: SgdState<D>, device: &Device) -> SgdState<D> {
        SgdState { velocity: state.velocity.to_device(device) }
    }
}
