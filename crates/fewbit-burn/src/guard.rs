//! Finds the tensor that stopped being finite.

use std::fmt;

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::layout::{ParameterVisitor, values, visit_parameters};

/// Of what a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonFiniteKind {
    /// Of the parameter itself.
    Value,
    /// Of its gradient.
    Gradient,
}

/// The first value of a model, or of its gradients, that is not finite.
#[derive(Clone, Debug, PartialEq)]
pub struct NonFinite {
    /// Path of the parameter; that of what is learned about its precision ends in `.quantizer.learned`.
    pub path: String,
    /// Of what the value is.
    pub kind: NonFiniteKind,
    /// Index in memory order.
    pub index: usize,
    /// What was found.
    pub value: f32,
}

impl fmt::Display for NonFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, kind, index, value } = self;
        let gradient = if *kind == NonFiniteKind::Gradient { "the gradient of " } else { "" };
        match path.strip_suffix(".quantizer.learned") {
            Some(owner) => {
                write!(f, "{gradient}the learned precision of group {index} of tensor `{owner}` is {value}")
            }
            None => write!(f, "value {index} of {gradient}tensor `{path}` is {value}"),
        }
    }
}

#[derive(Default)]
struct Scan {
    found: Option<NonFinite>,
}

impl ParameterVisitor for Scan {
    fn parameter<const D: usize>(&mut self, path: String, _: bool, param: &Param<Tensor<D>>) {
        if self.found.is_some() {
            return;
        }
        if let Some((index, value)) = first_non_finite_value(&param.base().detach()) {
            self.found = Some(NonFinite { path, kind: NonFiniteKind::Value, index, value });
        }
    }
}

/// The first value of a tensor that is not finite, and where it is in memory order.
pub(crate) fn first_non_finite_value<const D: usize>(tensor: &Tensor<D>) -> Option<(usize, f32)> {
    let values = values(tensor);
    let index = values.iter().position(|value| !value.is_finite())?;
    Some((index, values[index]))
}

/// Where a loss is not finite though every weight is: the weight that is furthest from zero, in words.
pub(crate) fn furthest_value<M: Module>(model: &M) -> Option<String> {
    #[derive(Default)]
    struct Furthest(Option<(f32, String)>);
    impl ParameterVisitor for Furthest {
        fn parameter<const D: usize>(&mut self, path: String, is_of_method: bool, param: &Param<Tensor<D>>) {
            let values = values(&param.base().detach());
            for (index, value) in values.iter().enumerate().filter(|_| !is_of_method) {
                if self.0.as_ref().is_none_or(|(most, _)| value.abs() > most.abs()) {
                    self.0 = Some((*value, format!("value {index} of tensor `{path}` is {value:e}")));
                }
            }
        }
    }
    let mut furthest = Furthest::default();
    visit_parameters(model, &mut furthest);
    furthest.0.map(|(_, words)| words)
}

/// The first weight, running statistic or learned precision of `model` that is not finite.
pub fn first_non_finite<M: Module>(model: &M) -> Option<NonFinite> {
    let mut scan = Scan::default();
    visit_parameters(model, &mut scan);
    scan.found
}
