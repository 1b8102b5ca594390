//! The bits that the entropy coder will write for a model with learned steps, differentiable in weights and
//! steps.
//!
//! [`fewbit_kernels::coded_size`] gives the bits of a tensor's levels and their slope in each weight. Here that becomes a
//! term of a loss: a sum that is linear in weights and steps and has exactly those slopes.

use std::num::NonZeroUsize;

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};

use crate::layout::{ParameterVisitor, visit_parameters};
use crate::method::SizeEstimate;
use crate::quantizer::{Quantizer, learned};
use crate::reparam::values;
use crate::site::{Scheme, Site, Steps};

/// The size of a model's codes at some point of training.
pub(crate) struct CodedSize {
    /// A term whose gradient is that of the bits: shape `[1]`. Its value means nothing.
    pub(crate) term: Tensor<1>,
    /// Bits of codes and widths.
    pub(crate) bits: f64,
}

/// The coded size of every parameter with steps; `None` where there is none.
pub(crate) fn coded_size<M: Module>(model: &M, quantizer: &Quantizer) -> Option<CodedSize> {
    let mut visitor = Visitor { quantizer, learned: learned(model), found: None };
    visit_parameters(model, &mut visitor);
    visitor.found
}

struct Visitor<'q> {
    quantizer: &'q Quantizer,
    learned: Vec<(String, Param<Tensor<1>>)>,
    found: Option<CodedSize>,
}

impl ParameterVisitor for Visitor<'_> {
    fn parameter<const D: usize>(&mut self, path: String, is_of_method: bool, param: &Param<Tensor<D>>) {
        let Some(site) = self.quantizer.site(&path).filter(|_| !is_of_method) else { return };
        let Scheme::Steps(steps) = &site.scheme else { return };
        let Some(of_site) = self.learned.iter().find(|(owner, _)| *owner == path) else { return };
        if let Some(size) = of_parameter(param.base(), of_site.1.val(), site, steps) {
            self.found = Some(match self.found.take() {
                None => size,
                Some(before) => CodedSize { term: before.term + size.term, bits: before.bits + size.bits },
            });
        }
    }
}

fn of_parameter<const D: usize>(
    weight: Tensor<D>,
    learned: Tensor<1>,
    site: &Site,
    steps: &Steps,
) -> Option<CodedSize> {
    let found = values(&learned.clone().detach())?;
    let weights = values(&weight.clone().detach())?;
    let (estimate, width_group) = steps.size?;
    let layout = site.group_layout()?;
    let mut largest = vec![0.0; found.len()];
    fewbit_kernels::largest_magnitudes(&weights, layout, &mut largest);
    let scales = steps.reaching(steps.of(&found), largest.iter().copied());
    if estimate == SizeEstimate::Nominal {
        return Some(nominal(&largest, &scales, site, learned));
    }
    let width_group = NonZeroUsize::new(width_group)?;
    let (mut of_weights, mut of_learned) = (vec![0.0; weights.len()], vec![0.0; scales.len()]);
    let bits =
        fewbit_kernels::coded_size(&weights, &scales, layout, width_group, &mut of_weights, &mut of_learned);
    let device = weight.device();
    let of_weights = Tensor::<D>::from_data(TensorData::new(of_weights, weight.dims()), &device);
    let of_learned = Tensor::<1>::from_data(TensorData::new(of_learned, [found.len()]), &device);
    Some(CodedSize { term: (weight * of_weights).sum() + (learned * of_learned).sum(), bits })
}

/// As many bits for each weight as all steps between the outermost positions of its group need:
/// `log₂(2·max|w|/s + 1)`, with its derivative in the base 2 logarithm of the step.
fn nominal(largest: &[f32], scales: &[f32], site: &Site, learned: Tensor<1>) -> CodedSize {
    let (mut bits, mut slopes) = (0.0, Vec::new());
    for (group, (largest, scale)) in largest.iter().zip(scales).enumerate() {
        let len = site.grouping.range(group).len() as f64;
        let levels = 2.0 * f64::from(largest * fewbit_kernels::inverse_scale(*scale)) + 1.0;
        bits += len * levels.log2();
        slopes.push((-len * (levels - 1.0) / levels) as f32);
    }
    let count = slopes.len();
    let slopes = Tensor::<1>::from_data(TensorData::new(slopes, [count]), &learned.device());
    CodedSize { term: (learned * slopes).sum(), bits }
}

#[cfg(test)]
mod tests {
    use burn::nn::LinearConfig;
    use burn::tensor::Device;
    use fewbit::RangeGranularity;

    use super::*;
    use crate::config::QuantizationConfig;
    use crate::method::{Method, StepConfig};

    /// The coded size of a linear layer's weight `[6, 4]` with a step per output and its gradients: the
    /// groups of what is stored, `[4, 6]`, are columns of what is in memory.
    fn size(estimate: SizeEstimate, shift: f32) -> (f64, Vec<f32>, Vec<f32>) {
        let device = Device::flex().autodiff();
        let config = StepConfig { granularity: RangeGranularity::Channel, group_size: 2, estimate };
        let config = QuantizationConfig::new(Method::Fewbit(config)).with_min_tensor_size(0);
        let weights: Vec<f32> = (0..24).map(|i| ((i * 7 % 24) as f32 - 11.0) / 5.0).collect();
        let mut layer = LinearConfig::new(6, 4).with_bias(false).init(&device);
        let data = TensorData::new(weights, [6, 4]);
        layer.weight = layer.weight.map(|_| Tensor::from_data(data, &device).require_grad());
        let start = [("weight".to_owned(), vec![-1.0, 0.0 + shift, 0.5, 1.0])];
        let (layer, quantizer) = config.attach_from(layer, 0, start.into_iter().collect()).unwrap();
        let size = coded_size(&layer, &quantizer).unwrap();
        let gradients = size.term.backward();
        let of_weight = layer.weight.base().grad(&gradients);
        let of_learned = learned(&layer)[0].1.val().grad(&gradients).unwrap();
        (size.bits, of_weight.map_or(Vec::new(), |g| values(&g).unwrap()), values(&of_learned).unwrap())
    }

    #[test]
    fn slopes_reach_weights_and_steps_in_their_own_order() {
        let (bits, of_weight, of_learned) = size(SizeEstimate::Coded, 0.0);
        assert!(bits > 0.0 && of_weight.len() == 24 && of_learned.len() == 4);
        // Steps of 1/2, 1, √2 and 2: a weight `w` has the position `w/s`, so that Σ w·∂/∂w is -∂/∂(ln s).
        for (column, of_step) in of_learned.iter().enumerate() {
            let weight = |row: usize| ((row * 4 + column) * 7 % 24) as f32 / 5.0 - 2.2;
            let sum: f32 = (0..6).map(|row| weight(row) * of_weight[row * 4 + column]).sum();
            let expected = -std::f32::consts::LN_2 * sum;
            assert!((of_step - expected).abs() < 1e-3 * (1.0 + expected.abs()), "{of_step}, {expected}");
        }
    }

    #[test]
    fn nominal_bits_are_a_function_of_steps_alone() {
        let (_, _, slopes) = size(SizeEstimate::Nominal, 0.0);
        let (more, of_weight, _) = size(SizeEstimate::Nominal, 0.2);
        let (less, ..) = size(SizeEstimate::Nominal, -0.2);
        assert!(of_weight.iter().all(|slope| *slope == 0.0));
        let measured = (more - less) / 0.4;
        // Steps are stored as 16-bit floats.
        assert!((measured - f64::from(slopes[1])).abs() < 2e-2 * measured.abs(), "{measured}, {slopes:?}");
    }
}
