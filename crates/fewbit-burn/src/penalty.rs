//! The size penalty: λ times the size of a model's codes in MiB, differentiable in weights and learned numbers.

use std::collections::HashMap;

use burn::module::{Module, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};
use fewbit::budget::Observation;
use fewbit::size::BITS_PER_MEBIBYTE;

use crate::layout::{ParameterVisitor, parameters, values, visit_parameters};
use crate::operation::buffers::give;
use crate::operation::quantize::{Size, constant, size};
use crate::optimizer::{in_memory, numbers, tensor};
use crate::quantizer::{Quantizer, learned};

/// The size of a model's codes as its method counts it: nominal bits for DiffQ, coded bits for fewbit's own.
#[derive(Clone, Debug)]
pub struct SizePenalty {
    term: Tensor<1>,
    bits: f64,
}

impl SizePenalty {
    /// The size of `model`; `None` where the method learns no size.
    pub fn of<M: Module>(model: &M, quantizer: &Quantizer) -> Option<Self> {
        let mut found: Option<Self> = None;
        each_size(model, quantizer, Terms { found: &mut found });
        found
    }

    /// λ times the size in MiB, shape `[1]`: a term of the loss.
    pub fn loss(&self, lambda: f64) -> Tensor<1> {
        self.term.clone() * (lambda / BITS_PER_MEBIBYTE)
    }

    /// The size in bits.
    pub fn bits(&self) -> f64 {
        self.bits
    }
}

/// The size of a model in a step that descends on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SizeInStep {
    bits: f64,
    /// The sum of its derivatives in all learned numbers.
    slope: f64,
    /// 1 where larger learned numbers are coarser, -1 where they are finer.
    coarser: f64,
    /// The finest learned numbers that have an effect, by parameter.
    pub(crate) finest: HashMap<ParamId, Vec<f32>>,
}

impl SizeInStep {
    /// Adds the gradients of `lambda` times the size in MiB to those of `weights` and of the `learned` numbers, as a
    /// [term of the loss](SizePenalty::loss) would, at less cost. `None` where the method learns no size.
    pub(crate) fn added<M: Module>(
        model: &M,
        quantizer: &Quantizer,
        lambda: f64,
        weights: &mut GradientsParams,
        learned: &mut GradientsParams,
    ) -> Option<Self> {
        let coarser = quantizer.method().sizing().map_or(1.0, |sizing| sizing.coarser().into());
        let mut size = Self { coarser, ..Self::default() };
        let factor = (lambda / BITS_PER_MEBIBYTE) as f32;
        let has_any = each_size(model, quantizer, Gradients { size: &mut size, factor, weights, learned });
        has_any.then_some(size)
    }

    /// What a step has shown whose loss had `lambda` times this size, and a gradient of which `slope` is the sum over all
    /// learned numbers.
    pub(crate) fn observation(&self, lambda: f64, slope: f64) -> Observation {
        let loss_slope = slope - lambda / BITS_PER_MEBIBYTE * self.slope;
        let (bits_slope, loss_slope) = (self.coarser * self.slope, self.coarser * loss_slope);
        Observation { bits: self.bits, bits_slope, loss_slope }
    }
}

/// The sum of a gradient.
pub(crate) fn slope(gradient: &Tensor<1>) -> f64 {
    values(gradient).iter().map(|slope| f64::from(*slope)).sum()
}

/// Something done with the size of each quantized parameter.
trait OfSizes {
    fn size<const D: usize>(&mut self, size: Size, weight: &Param<Tensor<D>>, learned: &Param<Tensor<1>>);
}

/// Whether there was any.
fn each_size<M: Module>(model: &M, quantizer: &Quantizer, of_sizes: impl OfSizes) -> bool {
    let mut visitor = Visitor { quantizer, learned: learned(model), has_any: false, of_sizes };
    visit_parameters(model, &mut visitor);
    visitor.has_any
}

struct Visitor<'q, O> {
    quantizer: &'q Quantizer,
    learned: Vec<(String, Param<Tensor<1>>)>,
    has_any: bool,
    of_sizes: O,
}

impl<O: OfSizes> ParameterVisitor for Visitor<'_, O> {
    fn parameter<const D: usize>(&mut self, path: String, is_of_method: bool, param: &Param<Tensor<D>>) {
        let Some(parameter) = self.quantizer.parameter(&path).filter(|_| !is_of_method) else { return };
        let Some((_, learned)) = self.learned.iter().find(|(owner, _)| *owner == path) else { return };
        let Some(size) = size(&param.base(), &learned.base(), parameter) else { return };
        self.has_any = true;
        self.of_sizes.size(size, param, learned);
    }
}

struct Terms<'a> {
    found: &'a mut Option<SizePenalty>,
}

impl OfSizes for Terms<'_> {
    fn size<const D: usize>(&mut self, size: Size, weight: &Param<Tensor<D>>, learned: &Param<Tensor<1>>) {
        let (weight, learned) = (weight.base(), learned.val());
        let of_learned = constant(size.of_learned, learned.dims(), &learned.device());
        let mut term = constant(vec![size.bits as f32], [1], &learned.device());
        // Both differences are zero: they are there for their gradients.
        term = term + ((learned.clone() - learned.detach()) * of_learned).sum();
        if let Some(of_weights) = size.of_weights {
            let of_weights = constant(of_weights, weight.dims(), &weight.device());
            term = term + ((weight.clone() - weight.detach()) * of_weights).sum();
        }
        let found = self.found.take();
        *self.found = Some(match found {
            None => SizePenalty { term, bits: size.bits },
            Some(before) => SizePenalty { term: before.term + term, bits: before.bits + size.bits },
        });
    }
}

struct Gradients<'a> {
    size: &'a mut SizeInStep,
    factor: f32,
    weights: &'a mut GradientsParams,
    learned: &'a mut GradientsParams,
}

impl OfSizes for Gradients<'_> {
    fn size<const D: usize>(&mut self, size: Size, weight: &Param<Tensor<D>>, learned: &Param<Tensor<1>>) {
        self.size.bits += size.bits;
        self.size.slope += size.of_learned.iter().map(|slope| f64::from(*slope)).sum::<f64>();
        self.size.finest.extend(size.finest.map(|finest| (learned.id, finest)));
        if self.factor == 0.0 {
            size.of_weights.into_iter().for_each(give);
            return;
        }
        add_slopes(self.learned, learned, size.of_learned, self.factor);
        if let Some(of_weights) = size.of_weights {
            // A frozen weight stays where it is.
            if weight.base().is_require_grad() {
                add_slopes(self.weights, weight, of_weights, self.factor);
            } else {
                give(of_weights);
            }
        }
    }
}

/// Adds `factor` times `slopes` to the gradient of a parameter, or is its gradient where it has none.
fn add_slopes<const D: usize>(
    gradients: &mut GradientsParams,
    parameter: &Param<Tensor<D>>,
    slopes: Vec<f32>,
    factor: f32,
) {
    let scaled = |mut slopes: Vec<f32>| {
        slopes.iter_mut().for_each(|slope| *slope *= factor);
        let (shape, device) = (parameter.dims(), parameter.device().without_autodiff());
        Tensor::<D>::from_data(TensorData::new(slopes, shape), &device)
    };
    let sum = match gradients.remove::<D>(parameter.id) {
        None => scaled(slopes),
        Some(gradient) => match in_memory([gradient]) {
            Ok([mut gradient]) => {
                let sums = numbers(&mut gradient).iter_mut().zip(&slopes);
                sums.for_each(|(sum, slope)| *sum += slope * factor);
                give(slopes);
                tensor(gradient)
            }
            Err([gradient]) => gradient + scaled(slopes),
        },
    };
    gradients.register(parameter.id, sum);
}

/// The nominal size of the whole model in bits, with real-valued bits, by the formula of [`fewbit::size`]. `None` where
/// bits are not learned or not finite.
pub fn soft_size<M: Module>(model: &M, quantizer: &Quantizer) -> Option<f64> {
    let (mut bits, mut quantized) = (0.0, 0);
    for (path, param) in learned(model) {
        let parameter = quantizer.parameter(&path)?;
        let numbers = values(&param.base().detach());
        bits += parameter.method().nominal_size(parameter.layout(), &numbers)?;
        quantized += parameter.layout().len();
    }
    let all: usize = parameters(model).0.iter().map(|entry| entry.len()).sum();
    Some(bits + 32.0 * (all - quantized) as f64)
}

#[cfg(test)]
mod tests {
    use burn::nn::LinearConfig;
    use burn::tensor::Device;
    use fewbit::method::{DiffQ, Fewbit};

    use super::*;
    use crate::config::QuantizationConfig;

    /// Of a model with one frozen and two other weights, with and without a gradient of the loss.
    #[test]
    fn added_gradients_are_those_of_a_term_of_the_loss() {
        let device = Device::flex().autodiff();
        let configs = [QuantizationConfig::new(DiffQ::default()), QuantizationConfig::new(Fewbit::default())];
        for config in configs {
            let layer = || LinearConfig::new(96, 64).with_bias(false).init(&device);
            let model = vec![layer().no_grad(), layer(), layer()];
            let (model, quantizer) = config.attach(model, 1).unwrap();
            let clock = quantizer.control().clock();
            let loss = || {
                // Another draw between, or the graph of the first backward pass would be used again.
                quantizer.advance();
                let _ = [&model[0], &model[1]].map(|layer| layer.weight.val());
                quantizer.control().seek(clock);
                (model[0].weight.val() * model[1].weight.val()).sum()
            };
            let ids: Vec<ParamId> = quantizer.learned_ids(&model).into_iter().collect();
            let split = |loss: Tensor<1>| {
                let mut gradients = loss.backward();
                let learned = GradientsParams::from_params(&mut gradients, &model, &ids);
                (GradientsParams::from_module(&mut gradients, &model), learned)
            };
            let term = SizePenalty::of(&model, &quantizer).unwrap();
            let (weights, learned) = split(loss() + term.loss(3.0));
            let (mut found_weights, mut found_learned) = split(loss());
            let (to, numbers) = (&mut found_weights, &mut found_learned);
            let size = SizeInStep::added(&model, &quantizer, 3.0, to, numbers).unwrap();
            assert_eq!(size.bits, term.bits());
            assert_eq!((found_weights.len(), found_learned.len()), (weights.len(), learned.len()));
            for layer in &model {
                let id = layer.weight.id;
                let of = |gradients: &GradientsParams| gradients.get::<2>(id).map(|of| values(&of));
                assert_eq!(of(&found_weights), of(&weights), "{config:?}");
            }
            for id in &ids {
                let of = |gradients: &GradientsParams| gradients.get::<1>(*id).map(|of| values(&of));
                assert_eq!(of(&found_learned), of(&learned), "{config:?}");
            }
        }
    }
}
