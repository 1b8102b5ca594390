//! Which parameters a model has, and in which order each is stored.
//!
//! Stored tensors are `[out, …]` and groups run along that order, whoever wrote the file. burn keeps
//! the weight of a `Linear` as `[in, out]` and that of a transposed convolution as `[in, out, …]`.

use std::collections::HashMap;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Bool, Int, Tensor};
use fewbit::Orientation;

/// The stored order of a parameter called `field` inside a layer of type `container`, as burn's visitors spell it
/// (`Struct:Linear`).
fn orientation(container: &str, field: &str, rank: usize) -> Orientation {
    let layer = container.rsplit(':').next().unwrap_or(container);
    let is_swapped =
        field == "weight" && rank >= 2 && (layer == "Linear" || layer.starts_with("ConvTranspose"));
    if is_swapped { Orientation::Swapped } else { Orientation::Stored }
}

/// One parameter or running statistic of a model.
#[derive(Clone, Debug)]
pub struct ParameterEntry {
    /// Its path in the module tree, as in `layers.0.fc.weight`.
    pub path: String,
    /// Its shape in memory.
    pub shape: Vec<usize>,
    /// The order in which it is stored.
    pub orientation: Orientation,
    /// burn's identity of it, random per run.
    pub id: ParamId,
}

impl ParameterEntry {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it holds no value at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Follows the path of a traversal, for visitors and mappers alike.
#[derive(Debug, Default)]
pub(crate) struct PathTracker {
    names: Vec<String>,
    containers: Vec<String>,
    /// How many reparameterizations the traversal is inside of.
    reparameterizations: usize,
}

impl PathTracker {
    pub(crate) fn enter(&mut self, name: &str, container: &str) {
        self.names.push(name.to_owned());
        self.containers.push(container.to_owned());
        self.reparameterizations += usize::from(container == "Reparameterization");
    }

    pub(crate) fn exit(&mut self, container: &str) {
        self.names.pop();
        self.containers.pop();
        self.reparameterizations -= usize::from(container == "Reparameterization");
    }

    pub(crate) fn path(&self) -> String {
        self.names.join(".")
    }

    /// Whether the current parameter belongs to a method, not to the model.
    pub(crate) fn inside_reparameterization(&self) -> bool {
        self.reparameterizations > 0
    }

    pub(crate) fn orientation(&self, rank: usize) -> Orientation {
        match (self.containers.last(), self.names.last()) {
            (Some(container), Some(field)) => orientation(container, field, rank),
            _ => Orientation::Stored,
        }
    }
}

/// A visitor that needs to know where in the module tree it is.
pub(crate) trait ParameterVisitor {
    /// Visits a float parameter or running statistic, with its path; `is_of_method` where it belongs to a method,
    /// not to the model.
    fn parameter<const D: usize>(&mut self, path: String, is_of_method: bool, param: &Param<Tensor<D>>);
}

/// Shows `visitor` every float parameter and running statistic of `model`, in the order of its traversal.
pub(crate) fn visit_parameters<M: Module>(model: &M, visitor: &mut impl ParameterVisitor) {
    struct Tracked<'v, V> {
        tracker: PathTracker,
        visitor: &'v mut V,
    }
    impl<V: ParameterVisitor> ModuleVisitor for Tracked<'_, V> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.tracker.enter(name, container);
        }

        fn exit_module(&mut self, _name: &str, container: &str) {
            self.tracker.exit(container);
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.visitor.parameter(self.tracker.path(), self.tracker.inside_reparameterization(), param);
        }
    }
    model.visit(&mut Tracked { tracker: PathTracker::default(), visitor });
}

#[derive(Default)]
struct Collector {
    tracker: PathTracker,
    entries: Vec<ParameterEntry>,
    other_kinds: Vec<String>,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.tracker.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.tracker.exit(container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !self.tracker.inside_reparameterization() {
            self.entries.push(ParameterEntry {
                path: self.tracker.path(),
                shape: param.lazy_shape().to_vec(),
                orientation: self.tracker.orientation(D),
                id: param.id,
            });
        }
    }

    fn visit_int<const D: usize>(&mut self, _param: &Param<Tensor<D, Int>>) {
        self.other_kinds.push(self.tracker.path());
    }

    fn visit_bool<const D: usize>(&mut self, _param: &Param<Tensor<D, Bool>>) {
        self.other_kinds.push(self.tracker.path());
    }
}

/// The float parameters and running statistics of `model` in the order of its traversal, and the
/// paths of parameters of other kinds, which a file cannot hold yet.
pub fn parameters<M: Module>(model: &M) -> (Vec<ParameterEntry>, Vec<String>) {
    let mut collector = Collector::default();
    model.visit(&mut collector);
    (collector.entries, collector.other_kinds)
}

/// The numbers of a tensor as float32, in memory order.
///
/// # Panics
/// When the backend cannot give them.
pub(crate) fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.to_data().convert::<f32>().try_into_vec().expect("converted to float32")
}

#[derive(Default)]
struct BaseValues(HashMap<String, Vec<f32>>);

impl ParameterVisitor for BaseValues {
    fn parameter<const D: usize>(&mut self, path: String, is_of_method: bool, param: &Param<Tensor<D>>) {
        if !is_of_method {
            self.0.insert(path, values(&param.base().detach()));
        }
    }
}

/// The stored (float) values of each parameter by its path, in memory order.
pub(crate) fn base_values<M: Module>(model: &M) -> HashMap<String, Vec<f32>> {
    let mut visitor = BaseValues::default();
    visit_parameters(model, &mut visitor);
    visitor.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::conv::Conv2dConfig;
    use burn::nn::{BatchNormConfig, LinearConfig, LstmConfig};
    use burn::tensor::Device;

    #[test]
    fn only_linear_weights_are_swapped() {
        let device = Device::flex();
        let (linear, _) = parameters(&LinearConfig::new(3, 2).init(&device));
        assert_eq!(linear[0].path, "weight");
        assert_eq!(linear[0].orientation, Orientation::Swapped);
        assert_eq!(linear[1].orientation, Orientation::Stored);
        let (conv, _) = parameters(&Conv2dConfig::new([1, 2], [3, 3]).init(&device));
        assert_eq!(conv[0].orientation, Orientation::Stored);
        let (lstm, _) = parameters(&LstmConfig::new(3, 2, true).init(&device));
        let weights: Vec<_> = lstm.iter().filter(|entry| entry.path.ends_with("weight")).collect();
        assert_eq!(weights.len(), 8);
        assert!(weights.iter().all(|entry| entry.orientation == Orientation::Swapped));
    }

    #[test]
    fn running_statistics_are_listed() {
        let (entries, _) = parameters(&BatchNormConfig::new(4).init(&Device::flex()));
        let paths: Vec<_> = entries.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(paths, ["gamma", "beta", "running_mean", "running_var"]);
    }
}
