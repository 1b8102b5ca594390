//! The handle on an attached model: its quantized parameters, its mode and clock, its size.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use burn::module::{Module, Param, ParamId, Reparameterizer};
use burn::tensor::{Tensor, TensorData};
use fewbit::Method;

use crate::control::Control;
use crate::layout::{ParameterVisitor, visit_parameters};
use crate::parameter::QuantizedParameter;
use crate::reparam::{Draw, WeightQuantizer};

/// What an attach hands to burn.
pub(crate) struct Attach<'a> {
    by_path: HashMap<&'a str, &'a Quantized>,
    control: &'a Control,
    initial: HashMap<String, Vec<f32>>,
}

impl<'a> Attach<'a> {
    /// `initial` is what each quantized parameter learns, as it starts out, by its path.
    pub(crate) fn new(quantizer: &'a Quantizer, initial: HashMap<String, Vec<f32>>) -> Self {
        let by_path = quantizer.quantized.iter().map(|one| (one.parameter.path(), one)).collect();
        Self { by_path, control: &quantizer.control, initial }
    }
}

impl Reparameterizer for Attach<'_> {
    type Reparam = WeightQuantizer;

    fn reparameterize<const D: usize>(
        &mut self,
        path: &str,
        param: Param<Tensor<D>>,
    ) -> (Param<Tensor<D>>, Option<WeightQuantizer>) {
        let Some(Quantized { parameter, draw }) = self.by_path.get(path) else { return (param, None) };
        let learned = self.initial.remove(path).expect("every quantized parameter has learned numbers");
        let learned = TensorData::new(learned, [parameter.layout().grouping().count()]);
        let method = WeightQuantizer {
            learned: Param::from_tensor(Tensor::from_data(learned, &param.lazy_device())),
            parameter: parameter.clone(),
            control: self.control.clone(),
            draw: draw.clone(),
        };
        (param, Some(method))
    }
}

#[derive(Debug)]
struct Quantized {
    parameter: Arc<QuantizedParameter>,
    draw: Draw,
}

/// Drives the quantized parameters of one model; clones share their state.
#[derive(Clone, Debug)]
pub struct Quantizer {
    method: Arc<dyn Method>,
    quantized: Arc<Vec<Quantized>>,
    control: Control,
}

impl Quantizer {
    pub(crate) fn new(
        method: Arc<dyn Method>,
        parameters: Vec<Arc<QuantizedParameter>>,
        control: Control,
    ) -> Self {
        let quantized = |parameter| Quantized { parameter, draw: Draw::default() };
        let quantized = parameters.into_iter().map(quantized).collect();
        Self { method, quantized: Arc::new(quantized), control }
    }

    /// The quantized parameters, in the order of the model's traversal.
    pub fn parameters(&self) -> impl ExactSizeIterator<Item = &Arc<QuantizedParameter>> {
        self.quantized.iter().map(|one| &one.parameter)
    }

    /// The quantized parameter at `path`, if it is one.
    pub fn parameter(&self, path: &str) -> Option<&Arc<QuantizedParameter>> {
        self.parameters().find(|parameter| parameter.path() == path)
    }

    /// The method of all quantized parameters.
    pub fn method(&self) -> &Arc<dyn Method> {
        &self.method
    }

    /// The mode and the noise clock.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Call once after each optimizer step: the next read draws fresh noise, and the graph of the
    /// step is released.
    pub fn advance(&self) {
        self.control.advance();
        self.quantized.iter().for_each(|one| one.draw.forget());
    }

    /// Call after each backward pass that is not yet followed by an optimizer step: the next read draws fresh noise.
    pub fn advance_micro_step(&self) {
        self.control.advance_micro_step();
        self.quantized.iter().for_each(|one| one.draw.forget());
    }

    /// The parameters that hold what is learned about precision, for an optimizer group of their own.
    pub fn learned_ids<M: Module>(&self, model: &M) -> HashSet<ParamId> {
        learned(model).into_iter().map(|(_, param)| param.id).collect()
    }
}

struct LearnedVisitor(Vec<(String, Param<Tensor<1>>)>);

impl ParameterVisitor for LearnedVisitor {
    fn parameter<const D: usize>(&mut self, path: String, is_of_method: bool, param: &Param<Tensor<D>>) {
        if let Some(owner) = path.strip_suffix(".quantizer.learned")
            && is_of_method
            && let Some(param) = (param as &dyn std::any::Any).downcast_ref::<Param<Tensor<1>>>()
        {
            self.0.push((owner.to_owned(), param.clone()));
        }
    }
}

/// What each quantized parameter learns, by its path.
pub(crate) fn learned<M: Module>(model: &M) -> Vec<(String, Param<Tensor<1>>)> {
    let mut visitor = LearnedVisitor(Vec::new());
    visit_parameters(model, &mut visitor);
    visitor.0
}
