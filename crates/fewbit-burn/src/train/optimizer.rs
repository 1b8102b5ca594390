//! One optimizer step: the weights by the recipe's rule, the bits by their own Adam.

use std::collections::HashMap;

use burn::module::{Module, Param, ParamId};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use fewbit::budget::Observation;

use super::config::{OptimizerKind, TrainConfig};
use crate::guard::{NonFinite, NonFiniteKind, first_non_finite_value};
use crate::layout::{ParameterVisitor, visit_parameters};
use crate::optimizer::{Adam, GradientScale, Sgd, square_sum};
use crate::penalty::{SizeInStep, slope};
use crate::quantizer::Quantizer;

/// The optimizers of one phase: of the weights and of the bits.
pub struct Optimizers {
    pub(crate) weights: ModuleOptimizer,
    pub(crate) bits: ModuleOptimizer,
    /// What bounds the common norm of the weights' gradients.
    scale: GradientScale,
    /// What the second optimizer moves.
    learned: Vec<ParamId>,
}

impl Optimizers {
    /// Fresh optimizers for `model`; `quantizer` where the method is attached.
    pub fn new<M: Module>(config: &TrainConfig, model: &M, quantizer: Option<&Quantizer>) -> Self {
        let (scale, weight_decay) = (GradientScale::default(), config.weight_decay);
        let adam = |decoupled| Adam { weight_decay, decoupled, scale: scale.clone() };
        let weights = match config.optimizer {
            OptimizerKind::Sgd => {
                let (momentum, nesterov) = (config.momentum, config.nesterov);
                ModuleOptimizer::from(Sgd { momentum, nesterov, weight_decay, scale: scale.clone() })
            }
            OptimizerKind::Adam => ModuleOptimizer::from(adam(false)),
            OptimizerKind::AdamW => ModuleOptimizer::from(adam(true)),
        };
        let learned = quantizer.map(|quantizer| quantizer.learned_ids(model).into_iter().collect());
        let learned = learned.filter(|_| config.quantization.method.has_own_optimizer()).unwrap_or_default();
        Self { weights, bits: ModuleOptimizer::from(Adam::default()), scale, learned }
    }

    /// The model after one step down the gradient of `loss` and, where the method is attached, of `lambda` times the size
    /// in MiB, with what the step has shown of the size. The method's clock moves on.
    ///
    /// # Errors
    /// [`NonFinite`] naming the first gradient that is not finite, before anything has moved.
    pub fn learn<M: Module>(
        &mut self,
        config: &TrainConfig,
        model: M,
        quantizer: Option<&Quantizer>,
        loss: Tensor<1>,
        lambda: f64,
        rates: Rates,
    ) -> Result<(M, Option<Seen>), NonFinite> {
        let wants_size = config.budget.is_some() || lambda > 0.0;
        let mut gradients = loss.backward();
        let mut learned = GradientsParams::from_params(&mut gradients, &model, &self.learned);
        let mut weights = GradientsParams::from_module(&mut gradients, &model);
        let size = quantizer
            .filter(|_| wants_size)
            .and_then(|quantizer| SizeInStep::added(&model, quantizer, lambda, &mut weights, &mut learned));
        norm(&learned, &model)?;
        let norm = norm(&weights, &model)?;
        let is_clipped = config.clip_norm > 0.0 && norm > config.clip_norm;
        self.scale.set(if is_clipped { config.clip_norm / norm } else { 1.0 });
        let seen = size.map(|size| {
            let of_learned = self.learned.iter().filter_map(|id| learned.get::<1>(*id));
            let seen = size.observation(lambda, of_learned.map(|gradient| slope(&gradient)).sum());
            Seen { seen, finest: size.finest }
        });
        let mut model = self.weights.step(rates.weights, model, weights);
        if !self.learned.is_empty() {
            model = self.bits.step(rates.learned, model, learned);
        }
        if let Some(quantizer) = quantizer {
            quantizer.advance();
        }
        Ok((model, seen))
    }
}

/// What a step has shown of the size.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The size and its slopes.
    pub(crate) seen: Observation,
    /// The finest learned numbers that have an effect.
    pub(crate) finest: HashMap<ParamId, Vec<f32>>,
}

/// The learning rates of a step.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Of the weights.
    pub weights: f64,
    /// Of the learned numbers.
    pub learned: f64,
}

/// The norm of all gradients together.
///
/// # Errors
/// [`NonFinite`] for the first gradient that is not finite.
fn norm<M: Module>(gradients: &GradientsParams, model: &M) -> Result<f64, NonFinite> {
    let mut squares = SquareSum { gradients, sum: Ok(0.0) };
    visit_parameters(model, &mut squares);
    squares.sum.map(f64::sqrt)
}

struct SquareSum<'a> {
    gradients: &'a GradientsParams,
    sum: Result<f64, NonFinite>,
}

impl ParameterVisitor for SquareSum<'_> {
    fn parameter<const D: usize>(&mut self, path: String, _: bool, param: &Param<Tensor<D>>) {
        let Ok(sum) = &mut self.sum else { return };
        let Some(gradient) = self.gradients.get::<D>(param.id) else { return };
        let squares = square_sum(gradient.clone());
        if squares.is_finite() {
            *sum += squares;
        } else if let Some((index, value)) = first_non_finite_value(&gradient) {
            self.sum = Err(NonFinite { path, kind: NonFiniteKind::Gradient, index, value });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::LinearConfig;
    use burn::tensor::Device;

    #[test]
    fn the_norm_is_of_all_gradients_together() {
        let device = Device::flex().autodiff();
        let model = LinearConfig::new(2, 1).init(&device);
        // d/dw (3·w0 + 4·w1 + 12·b) = (3, 4, 12), norm 13.
        let weight = model.weight.val().reshape([2]);
        let bias = model.bias.as_ref().unwrap().val();
        let loss = (weight * Tensor::<1>::from_floats([3.0, 4.0], &device)).sum() + bias.sum() * 12.0;
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        assert_eq!(norm(&gradients, &model), Ok(13.0));
    }

    #[test]
    fn a_gradient_that_is_not_finite_is_named() {
        let device = Device::flex().autodiff();
        let model = LinearConfig::new(2, 1).init(&device);
        let factors = Tensor::<1>::from_floats([3.0, f32::INFINITY], &device);
        let loss = (model.weight.val().reshape([2]) * factors).sum();
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        let error = norm(&gradients, &model).unwrap_err().to_string();
        assert_eq!(error, "value 1 of the gradient of tensor `weight` is inf");
    }
}
