//! Finds the tensor that stopped being finite.

use std::fmt;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

use crate::layout::PathTracker;
use crate::reparam::values;

/// The first value of a model that is not finite.
#[derive(Clone, Debug, PartialEq)]
pub struct NonFinite {
    /// Path of the parameter; that of what is learned about its precision ends in `.quantizer.learned`.
    pub path: String,
    /// Index in memory order.
    pub index: usize,
    /// What was found.
    pub value: f32,
}

impl fmt::Display for NonFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, index, value } = self;
        match path.strip_suffix(".quantizer.learned") {
            Some(owner) => write!(f, "the learned precision of group {index} of tensor `{owner}` is {value}"),
            None => write!(f, "value {index} of tensor `{path}` is {value}"),
        }
    }
}

#[derive(Default)]
struct Scan {
    tracker: PathTracker,
    found: Option<NonFinite>,
}

impl ModuleVisitor for Scan {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.tracker.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.tracker.exit(container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.found.is_some() {
            return;
        }
        let values = values(&param.base().detach()).unwrap_or_default();
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            self.found = Some(NonFinite { path: self.tracker.path(), index, value: values[index] });
        }
    }
}

/// The first weight, running statistic or learned precision of `model` that is not finite.
pub fn first_non_finite<M: Module>(model: &M) -> Option<NonFinite> {
    let mut scan = Scan::default();
    model.visit(&mut scan);
    scan.found
}
