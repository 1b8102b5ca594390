//! Batch norm.

use burn::module::{Flag, Module, Param, RunningState};
use burn::nn::BatchNormConfig;
use burn::tensor::{Device, Tensor, TensorData};

use crate::nn::{add, relu};
use crate::operation::batch_norm::{self, Statistics, Then};
use crate::operation::runs_on;

/// Each channel of `[N, C, …]` with mean 0 and variance 1, then scaled and shifted; see
/// [`burn::nn::BatchNorm`].
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// The scale, `[C]`.
    pub gamma: Param<Tensor<1>>,
    /// The shift, `[C]`.
    pub beta: Param<Tensor<1>>,
    /// Whether a forward pass on an autodiff device uses the batch's own statistics.
    pub training: Param<Flag>,
    /// Mean of each channel, for evaluation.
    pub running_mean: RunningState<Tensor<1>>,
    /// Biased variance of each channel, for evaluation.
    pub running_var: RunningState<Tensor<1>>,
    /// Share of a batch in the running statistics.
    pub momentum: f64,
    /// Added to the variance.
    pub epsilon: f64,
}

impl BatchNorm {
    /// A layer that scales by 1 and shifts by 0.
    pub fn new(config: &BatchNormConfig, device: &Device) -> Self {
        config.init(device).into()
    }

    /// `input`, normalised; of the same shape.
    ///
    /// # Panics
    /// If the second axis is not as long as the scale.
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        self.forward_then(input, Then::Nothing)
    }

    /// `max(y, 0)` of the normalised `y`, in the same pass.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn forward_relu<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        self.forward_then(input, Then::Relu)
    }

    /// `max(y + residual, 0)` of the normalised `y`, in the same pass.
    ///
    /// # Panics
    /// As [`forward`](Self::forward), and if the shape of `residual` is not the input's.
    pub fn forward_add_relu<const D: usize>(&self, input: Tensor<D>, residual: Tensor<D>) -> Tensor<D> {
        assert_eq!(residual.dims(), input.dims(), "shape of the residual");
        self.forward_then(input, Then::AddRelu(residual))
    }

    fn forward_then<const D: usize>(&self, input: Tensor<D>, then: Then<D>) -> Tensor<D> {
        let ([channels], found) = (self.gamma.dims(), input.dims()[1]);
        assert_eq!(found, channels, "channels of a batch norm's input: {found} found, {channels} needed");
        let (gamma, beta, device) = (self.gamma.val(), self.beta.val(), input.device());
        let mut operands_fast = runs_on(&input) && runs_on(&gamma) && runs_on(&beta);
        let mut tracked = [&gamma, &beta].iter().any(|tensor| tensor.is_autodiff());
        if let Then::AddRelu(residual) = &then {
            operands_fast &= runs_on(residual);
            tracked |= residual.is_autodiff();
        }
        let trains = device.is_autodiff() && self.training.is_enabled();
        match (trains, operands_fast) {
            (true, true) => {
                let (out, statistics) = batch_norm::batch_norm(input, gamma, beta, self.epsilon, then);
                let Statistics { mean, variance } = statistics;
                let tensor = |values| Tensor::from_data(TensorData::new(values, [channels]), &device);
                self.update(tensor(mean), tensor(variance));
                out
            }
            (true, false) => {
                let result = burn::tensor::module::batch_norm_train(input, gamma, beta, self.epsilon);
                self.update(result.mean, result.variance);
                after(result.output, then)
            }
            (false, _) => {
                let [mean, variance] =
                    [&self.running_mean, &self.running_var].map(|state| state.value().to_device(&device));
                if operands_fast && !tracked && !device.is_autodiff() {
                    return batch_norm::batch_norm_with(
                        input,
                        [gamma, beta, mean, variance],
                        self.epsilon,
                        then,
                    );
                }
                after(
                    burn::tensor::module::batch_norm(input, gamma, beta, mean, variance, self.epsilon),
                    then,
                )
            }
        }
    }

    /// Moves the running statistics towards those of a batch.
    fn update(&self, mean: Tensor<1>, variance: Tensor<1>) {
        for (state, batch) in [(&self.running_mean, mean), (&self.running_var, variance)] {
            let old = state.value_sync().to_device(&batch.device());
            let new = old.mul_scalar(1.0 - self.momentum).add(batch.detach().mul_scalar(self.momentum));
            state.update(new.detach());
        }
    }
}

fn after<const D: usize>(normalised: Tensor<D>, then: Then<D>) -> Tensor<D> {
    match then {
        Then::Nothing => normalised,
        Then::Relu => relu(normalised),
        Then::AddRelu(residual) => relu(add(normalised, residual)),
    }
}

impl From<burn::nn::BatchNorm> for BatchNorm {
    fn from(layer: burn::nn::BatchNorm) -> Self {
        Self {
            gamma: layer.gamma,
            beta: layer.beta,
            training: layer.training,
            running_mean: layer.running_mean,
            running_var: layer.running_var,
            momentum: layer.momentum,
            epsilon: layer.epsilon,
        }
    }
}
