//! One optimizer step: the weights by the recipe's rule, the bits by their own Adam.

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Gradients, Tensor};
use fewbit::size::BITS_PER_MEBIBYTE;

use super::config::{OptimizerKind, TrainConfig};
use crate::method::{Method, StepSpace};
use crate::optimizer::{Adam, GradientScale, Sgd, square_sum};
use crate::penalty::model_bits;
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
        // LSQ's steps are weights among weights, as published.
        let is_apart = !matches!(config.quantization.method, Method::Lsq(_, StepSpace::Linear));
        let learned = learned.filter(|_| is_apart).unwrap_or_default();
        Self { weights, bits: ModuleOptimizer::from(Adam::default()), scale, learned }
    }

    /// The model after one step down the gradient of `loss` and, where the method is attached, of `lambda`
    /// times the size in MiB, with that size in bits. `step` counts from 0 over the whole run; the method's
    /// clock moves on.
    pub fn learn<M: Module>(
        &mut self,
        config: &TrainConfig,
        step: u64,
        model: M,
        quantizer: Option<&Quantizer>,
        loss: Tensor<1>,
        lambda: f64,
    ) -> (M, Option<f64>) {
        let size = quantizer.filter(|_| lambda > 0.0).and_then(|quantizer| model_bits(&model, quantizer));
        let (total, bits) = match size {
            Some(size) => (loss + size.term * (lambda / BITS_PER_MEBIBYTE), Some(size.bits)),
            None => (loss, None),
        };
        let model = self.step(config, step, model, total.backward());
        if let Some(quantizer) = quantizer {
            quantizer.advance();
        }
        (model, bits)
    }

    /// The model after one step along `gradients`.
    fn step<M: Module>(&mut self, config: &TrainConfig, step: u64, model: M, mut gradients: Gradients) -> M {
        let bits = GradientsParams::from_params(&mut gradients, &model, &self.learned);
        let weights = GradientsParams::from_module(&mut gradients, &model);
        self.scale.set(if config.clip_norm > 0.0 {
            clip_scale(&weights, &model, config.clip_norm)
        } else {
            1.0
        });
        let mut model = self.weights.step(config.learning_rate_at(step), model, weights);
        if !self.learned.is_empty() {
            model = self.bits.step(config.bits_learning_rate_at(step), model, bits);
        }
        model
    }
}

struct SquareSum<'a> {
    gradients: &'a GradientsParams,
    sum: f64,
}

impl ModuleVisitor for SquareSum<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.sum += square_sum(gradient);
        }
    }
}

/// What to multiply the gradients with so that their common norm is at most `bound`. A norm that is not
/// finite is left to the checks that name its tensor.
fn clip_scale<M: Module>(gradients: &GradientsParams, model: &M, bound: f64) -> f64 {
    let mut squares = SquareSum { gradients, sum: 0.0 };
    model.visit(&mut squares);
    let norm = squares.sum.sqrt();
    if norm <= bound || !norm.is_finite() { 1.0 } else { bound / norm }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::LinearConfig;
    use burn::tensor::Device;

    #[test]
    fn clipping_looks_at_the_norm_of_all_gradients_together() {
        let device = Device::flex().autodiff();
        let model = LinearConfig::new(2, 1).init(&device);
        // d/dw (3·w0 + 4·w1 + 12·b) = (3, 4, 12), norm 13.
        let weight = model.weight.val().reshape([2]);
        let bias = model.bias.as_ref().unwrap().val();
        let loss = (weight * Tensor::<1>::from_floats([3.0, 4.0], &device)).sum() + bias.sum() * 12.0;
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        assert_eq!(clip_scale(&gradients, &model, 6.5), 0.5);
        assert_eq!(clip_scale(&gradients, &model, 13.5), 1.0);
    }
}
