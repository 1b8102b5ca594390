//! Adam (Kingma and Ba 2015) and its form with decoupled weight decay (Loshchilov and Hutter 2019).

use burn::optim::{AdamConfig, AdamState, AdaptiveMomentumState, LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};
use fewbit_kernels::{AdamStep, adam_step};

use super::{GradientScale, in_memory, numbers, tensor};
use crate::operation::buffers::{recycle, values};

const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.999;
/// PyTorch's ε; burn's default is 1e-5.
const EPSILON: f32 = 1e-8;

/// The rule; its state is burn's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Adam {
    /// Share of the weight that is added to its gradient or, decoupled, taken from it times the rate.
    pub(crate) weight_decay: f64,
    /// Whether the decay passes by the moments.
    pub(crate) decoupled: bool,
    pub(crate) scale: GradientScale,
}

impl Optimizer for Adam {
    type State<const D: usize> = AdamState<D>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        weight: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<AdamState<D>>,
    ) -> (Tensor<D>, Option<AdamState<D>>) {
        let (time, first, second) = match state.map(|state| state.momentum) {
            Some(AdaptiveMomentumState { time, moment_1, moment_2, .. }) => (time + 1, moment_1, moment_2),
            None => (1, gradient.zeros_like(), gradient.zeros_like()),
        };
        let state =
            |time, first, second| Some(AdamState::new(AdaptiveMomentumState::new(time, first, second)));
        match in_memory([weight, gradient, first, second]) {
            Ok([mut weight, gradient, mut first, mut second]) => {
                let step = AdamStep {
                    rate: rate as f32,
                    beta_1: BETA_1,
                    beta_2: BETA_2,
                    epsilon: EPSILON,
                    weight_decay: self.weight_decay as f32,
                    decoupled: self.decoupled,
                    gradient_scale: self.scale.get() as f32,
                    time: time as u64,
                };
                let (moments, weights) = ((numbers(&mut first), numbers(&mut second)), numbers(&mut weight));
                adam_step(weights, values(&gradient), moments.0, moments.1, step);
                recycle(gradient);
                (tensor(weight), state(time, tensor(first), tensor(second)))
            }
            Err([mut weight, gradient, first, second]) => {
                let mut gradient = gradient * self.scale.get();
                if self.decoupled {
                    weight = weight * (1.0 - rate * self.weight_decay);
                } else if self.weight_decay > 0.0 {
                    gradient = gradient + weight.clone() * self.weight_decay;
                }
                let plain =
                    AdamConfig::new().with_beta_1(BETA_1).with_beta_2(BETA_2).with_epsilon(EPSILON).build();
                plain.step(rate, weight, gradient, state(time - 1, first, second))
            }
        }
    }

    fn to_device<const D: usize>(state: AdamState<D>, device: &Device) -> AdamState<D> {
        <burn::optim::Adam as Optimizer>::to_device(state, device)
    }
}
