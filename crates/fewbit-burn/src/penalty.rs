//! The size penalty: λ times the size of a model's codes in MiB, differentiable in weights and learned numbers.

use std::collections::HashMap;

use burn::module::{Module, Param, ParamId};
use burn::tensor::Tensor;
use fewbit::budget::Observation;
use fewbit::size::BITS_PER_MEBIBYTE;

use crate::layout::{ParameterVisitor, parameters, values, visit_parameters};
use crate::operation::quantize::{Size, size};
use crate::quantizer::{Quantizer, learned};

/// The size of a model's codes as its method counts it: nominal bits for DiffQ, coded bits for fewbit's own.
#[derive(Clone, Debug)]
pub struct SizePenalty {
    term: Tensor<1>,
    bits: f64,
    /// The sum of its derivatives in all learned numbers.
    slope: f64,
    /// 1 where larger learned numbers are coarser, -1 where they are finer.
    coarser: f64,
    /// The finest learned numbers that have an effect.
    finest: HashMap<ParamId, Vec<f32>>,
}

impl SizePenalty {
    /// The size of `model`; `None` where the method learns no size.
    pub fn of<M: Module>(model: &M, quantizer: &Quantizer) -> Option<Self> {
        let mut visitor = Visitor { quantizer, learned: learned(model), found: None };
        visit_parameters(model, &mut visitor);
        visitor.found
    }

    /// λ times the size in MiB, shape `[1]`: a term of the loss.
    pub fn loss(&self, lambda: f64) -> Tensor<1> {
        self.term.clone() * (lambda / BITS_PER_MEBIBYTE)
    }

    /// `loss` with the size, where there is one, `lambda` times.
    pub(crate) fn add_to(loss: Tensor<1>, size: Option<&Self>, lambda: f64) -> Tensor<1> {
        match size {
            Some(size) if lambda > 0.0 => loss + size.loss(lambda),
            _ => loss,
        }
    }

    /// What a step has shown whose loss had `lambda` times this size, and a gradient of which `slope` is the sum over all
    /// learned numbers.
    pub fn observation(&self, lambda: f64, slope: f64) -> Observation {
        let loss_slope = slope - lambda / BITS_PER_MEBIBYTE * self.slope;
        let (bits_slope, loss_slope) = (self.coarser * self.slope, self.coarser * loss_slope);
        Observation { bits: self.bits, bits_slope, loss_slope }
    }

    /// The finest learned numbers that have an effect, by parameter.
    pub(crate) fn into_finest(self) -> HashMap<ParamId, Vec<f32>> {
        self.finest
    }

    /// The size in bits.
    pub fn bits(&self) -> f64 {
        self.bits
    }
}

/// The sum of a gradient.
pub(crate) fn slope(gradient: &Tensor<1>) -> f64 {
    values(gradient).iter().map(|slope| f64::from(*slope)).sum()
}

struct Visitor<'q> {
    quantizer: &'q Quantizer,
    learned: Vec<(String, Param<Tensor<1>>)>,
    found: Option<SizePenalty>,
}

impl ParameterVisitor for Visitor<'_> {
    fn parameter<const D: usize>(&mut self, path: String, is_of_method: bool, param: &Param<Tensor<D>>) {
        let Some(parameter) = self.quantizer.parameter(&path).filter(|_| !is_of_method) else { return };
        let Some((_, learned)) = self.learned.iter().find(|(owner, _)| *owner == path) else { return };
        let Some(Size { term, bits, slope, finest }) = size(param.base(), learned.val(), parameter) else {
            return;
        };
        let finest = finest.map(|finest| (learned.id, finest));
        self.found = Some(match self.found.take() {
            None => {
                let coarser = parameter.method().sizing().map_or(1.0, |sizing| sizing.coarser().into());
                SizePenalty { term, bits, slope, coarser, finest: finest.into_iter().collect() }
            }
            Some(before) => SizePenalty {
                term: before.term + term,
                bits: before.bits + bits,
                slope: before.slope + slope,
                coarser: before.coarser,
                finest: before.finest.into_iter().chain(finest).collect(),
            },
        });
    }
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
