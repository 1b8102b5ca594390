//! One optimizer step: the weights by the recipe's rule, the bits by their own Adam.

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, AdamWConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::{Gradients, Tensor};

use super::config::{OptimizerKind, TrainConfig};
use crate::diffq::DiffQ;
use crate::penalty::SizePenalty;
use crate::reparam::values;

/// PyTorch's ε; burn's default is 1e-5.
const ADAM_EPSILON: f32 = 1e-8;

/// The optimizers of one phase: of the weights and of the bits.
pub struct Optimizers {
    pub(crate) weights: ModuleOptimizer,
    pub(crate) bits: ModuleOptimizer,
    logits: Vec<ParamId>,
}

impl Optimizers {
    /// Fresh optimizers for `model`; `diffq` where the method is attached.
    pub fn new<M: Module>(config: &TrainConfig, model: &M, diffq: Option<&DiffQ>) -> Self {
        let decay = (config.weight_decay > 0.0).then(|| WeightDecayConfig::new(config.weight_decay as f32));
        let weights = match config.optimizer {
            OptimizerKind::Sgd => {
                // Dampening 0 is PyTorch's momentum; burn's default is 0.1.
                let momentum = MomentumConfig::new()
                    .with_momentum(config.momentum)
                    .with_dampening(0.0)
                    .with_nesterov(config.nesterov);
                let momentum = (config.momentum > 0.0).then_some(momentum);
                SgdConfig::new().with_momentum(momentum).with_weight_decay(decay).init()
            }
            OptimizerKind::Adam => {
                AdamConfig::new().with_epsilon(ADAM_EPSILON).with_weight_decay(decay).init()
            }
            OptimizerKind::AdamW => AdamWConfig::new()
                .with_epsilon(ADAM_EPSILON)
                .with_weight_decay(config.weight_decay as f32)
                .init(),
        };
        let logits = diffq.map(|diffq| diffq.logit_ids(model).into_iter().collect());
        Self {
            weights,
            bits: AdamConfig::new().with_epsilon(ADAM_EPSILON).init(),
            logits: logits.unwrap_or_default(),
        }
    }

    /// The model after one step down the gradient of `loss` and, where the method is attached, of the
    /// size penalty. `step` counts from 0 over the whole run; the method's clock moves on.
    pub fn learn<M: Module>(
        &mut self,
        config: &TrainConfig,
        step: u64,
        model: M,
        diffq: Option<&DiffQ>,
        loss: Tensor<1>,
    ) -> M {
        let penalty = SizePenalty { lambda: config.penalty };
        let total = match diffq.and_then(|diffq| penalty.loss(&model, diffq)) {
            Some(penalty) => loss + penalty,
            None => loss,
        };
        let model = self.step(config, step, model, total.backward());
        if let Some(diffq) = diffq {
            diffq.advance();
        }
        model
    }

    /// The model after one step along `gradients`.
    fn step<M: Module>(&mut self, config: &TrainConfig, step: u64, model: M, mut gradients: Gradients) -> M {
        let bits = GradientsParams::from_params(&mut gradients, &model, &self.logits);
        let mut weights = GradientsParams::from_module(&mut gradients, &model);
        if config.clip_norm > 0.0 {
            weights = clip_by_global_norm(weights, &model, config.clip_norm);
        }
        let mut model = self.weights.step(config.learning_rate_at(step), model, weights);
        if !self.logits.is_empty() {
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
        // Added in index order in double precision, so that the norm is the same on any machine load.
        if let Some(values) = self.gradients.get::<D>(param.id).and_then(|gradient| values(&gradient)) {
            self.sum += values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
        }
    }
}

struct Scale {
    from: GradientsParams,
    to: GradientsParams,
    factor: f64,
}

impl ModuleVisitor for Scale {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.from.remove::<D>(param.id) {
            self.to.register(param.id, gradient * self.factor);
        }
    }
}

/// The gradients, scaled down together so that their common norm is at most `bound`.
fn clip_by_global_norm<M: Module>(gradients: GradientsParams, model: &M, bound: f64) -> GradientsParams {
    let mut squares = SquareSum { gradients: &gradients, sum: 0.0 };
    model.visit(&mut squares);
    let norm = squares.sum.sqrt();
    if norm <= bound || !norm.is_finite() {
        return gradients;
    }
    let mut scale = Scale { from: gradients, to: GradientsParams::new(), factor: bound / norm };
    model.visit(&mut scale);
    scale.to
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::LinearConfig;
    use burn::tensor::Device;

    #[test]
    fn clipping_bounds_the_norm_of_all_gradients_together() {
        let device = Device::flex().autodiff();
        let model = LinearConfig::new(2, 1).init(&device);
        // d/dw (3·w0 + 4·w1 + 12·b) = (3, 4, 12), norm 13.
        let weight = model.weight.val().reshape([2]);
        let bias = model.bias.as_ref().unwrap().val();
        let loss = (weight * Tensor::<1>::from_floats([3.0, 4.0], &device)).sum() + bias.sum() * 12.0;
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        let clipped = clip_by_global_norm(gradients, &model, 6.5);
        let weight = values(&clipped.get::<2>(model.weight.id).unwrap()).unwrap();
        let bias = values(&clipped.get::<1>(model.bias.as_ref().unwrap().id).unwrap()).unwrap();
        assert_eq!((weight, bias), (vec![1.5, 2.0], vec![6.0]));
    }
}
