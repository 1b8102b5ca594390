//! The bits that the entropy coder will write for a model with learned steps, differentiable in weights and
//! steps.
//!
//! [`fewbit::rate`] gives the bits of a tensor's levels and their slope in each weight. Here that becomes a
//! term of a loss: a sum that is linear in weights and steps and has exactly those slopes.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use fewbit::rate::rate;

use crate::layout::PathTracker;
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
    let mut visitor = Visitor {
        tracker: PathTracker::default(),
        quantizer,
        learned: learned(model),
        found: None,
    };
    model.visit(&mut visitor);
    visitor.found
}

struct Visitor<'q> {
    tracker: PathTracker,
    quantizer: &'q Quantizer,
    learned: Vec<(String, Param<Tensor<1>>)>,
    found: Option<CodedSize>,
}

impl ModuleVisitor for Visitor<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.tracker.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.tracker.exit(container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.tracker.path();
        let Some(site) = self.quantizer.site(&path).filter(|_| !self.tracker.inside_reparameterization())
        else {
            return;
        };
        let Scheme::Steps(steps) = &site.scheme else { return };
        let Some(of_site) = self.learned.iter().find(|(owner, _)| *owner == path) else { return };
        if let Some(size) = of_parameter(param.base(), of_site.1.val(), site, steps) {
            self.found = Some(match self.found.take() {
                None => size,
                Some(before) => {
                    CodedSize { term: before.term + size.term, bits: before.bits + size.bits }
                }
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
    let step_of = steps.of(&found);
    let group = site.grouping.size().max(1);
    let weights = values(&weight.clone().detach())?;
    let Some(rate_group) = steps.rate_group else {
        return None;
    };
    let mut positions = site.orientation.swap_values(weights, &site.shape);
    for (positions, step) in positions.chunks_mut(group).zip(&step_of) {
        let inverse = if *step > 0.0 { 1.0 / step } else { 0.0 };
        positions.iter_mut().for_each(|position| *position *= inverse);
    }
    let mut slopes = vec![0.0; positions.len()];
    let bits = rate(&positions, rate_group, &mut slopes).bits;
    // A position is `w/s`: its derivative is `1/s` in the weight and `-ln 2·w/s` in the step's logarithm.
    let of_learned: Vec<f32> = positions
        .chunks(group)
        .zip(slopes.chunks(group))
        .map(|(positions, slopes)| {
            let products = positions.iter().zip(slopes).map(|(p, slope)| f64::from(*p) * f64::from(*slope));
            (-std::f64::consts::LN_2 * products.sum::<f64>()) as f32
        })
        .collect();
    for (slopes, step) in slopes.chunks_mut(group).zip(&step_of) {
        let inverse = if *step > 0.0 { 1.0 / step } else { 0.0 };
        slopes.iter_mut().for_each(|slope| *slope *= inverse);
    }
    let slopes = site.orientation.swap_values(slopes, &site.stored_shape());
    let device = weight.device();
    let slopes = Tensor::<D>::from_data(TensorData::new(slopes, weight.dims()), &device);
    let of_learned = Tensor::<1>::from_data(TensorData::new(of_learned, [found.len()]), &device);
    Some(CodedSize { term: (weight * slopes).sum() + (learned * of_learned).sum(), bits })
}
