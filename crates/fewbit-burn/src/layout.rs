//! Which parameters a model has, and in which order each is stored.
//!
//! Stored tensors are `[out, …]` and groups run along that order, whoever wrote the file. burn keeps
//! the weight of a `Linear` as `[in, out]` and that of a transposed convolution as `[in, out, …]`.

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Bool, Int, Tensor};
use rayon::prelude::*;

/// How the elements of a parameter in memory relate to those of the stored tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orientation {
    /// Memory order is stored order.
    Stored,
    /// The first two axes are swapped in the stored tensor.
    Swapped,
}

impl Orientation {
    /// The stored order of a parameter called `field` inside a layer of type `container`, as burn's
    /// visitors spell it (`Struct:Linear`).
    pub fn of(container: &str, field: &str, rank: usize) -> Self {
        let layer = container.rsplit(':').next().unwrap_or(container);
        let swapped =
            field == "weight" && rank >= 2 && (layer == "Linear" || layer.starts_with("ConvTranspose"));
        if swapped { Self::Swapped } else { Self::Stored }
    }

    /// The shape of the stored tensor for a parameter of shape `shape`, and the other way round.
    pub fn swap_shape(self, shape: &[usize]) -> Vec<usize> {
        let mut shape = shape.to_vec();
        if self == Self::Swapped && shape.len() >= 2 {
            shape.swap(0, 1);
        }
        shape
    }

    /// The values of a parameter of shape `shape`, put in the order of the swapped shape.
    pub fn swap_values<V: Copy + Default + Send + Sync>(self, values: Vec<V>, shape: &[usize]) -> Vec<V> {
        if self == Self::Stored || shape.len() < 2 {
            return values;
        }
        self.swapped(&values, shape)
    }

    /// As [`swap_values`](Self::swap_values), of values that stay.
    pub(crate) fn swapped<V: Copy + Default + Send + Sync>(self, values: &[V], shape: &[usize]) -> Vec<V> {
        if self == Self::Stored || shape.len() < 2 {
            return values.to_vec();
        }
        let (rows, columns) = (shape[0], shape[1]);
        let inner: usize = shape[2..].iter().product();
        let mut swapped = vec![V::default(); values.len()];
        if values.is_empty() {
            return swapped;
        }
        let band = BAND * rows * inner;
        swapped.par_chunks_mut(band).enumerate().for_each(|(index, swapped)| {
            let values = &values[index * BAND * inner..];
            match inner {
                1 => transpose_band(values, columns, swapped, rows),
                _ => {
                    for (row, values) in values.chunks(columns * inner).enumerate() {
                        let new_rows = swapped.chunks_exact_mut(rows * inner);
                        for (new_row, value) in new_rows.zip(values.chunks_exact(inner)) {
                            new_row[row * inner..][..inner].copy_from_slice(value);
                        }
                    }
                }
            }
        });
        swapped
    }
}

/// Side of the blocks that are transposed at once: of 32-bit values a row of one is a cache line, so that each line is
/// read once and written once.
const SIDE: usize = 16;
/// Columns that one task makes rows: several blocks side by side, as each visit to a row may be one to another page.
const BAND: usize = 4 * SIDE;

/// Writes up to [`BAND`] columns of a matrix as rows; `values` begin with the first of them.
fn transpose_band<V: Copy>(values: &[V], columns: usize, out: &mut [V], rows: usize) {
    for first in (0..rows).step_by(SIDE) {
        for (index, out) in out.chunks_mut(SIDE * rows).enumerate() {
            let row = |row: usize| &values[(first + row) * columns + index * SIDE..];
            if rows - first >= SIDE && out.len() == SIDE * rows {
                // Of a whole block each row begins with as many values.
                let block: [&[V; SIDE]; SIDE] =
                    std::array::from_fn(|at| row(at).first_chunk().expect("a whole block"));
                for (column, out) in out.chunks_exact_mut(rows).enumerate() {
                    out[first..first + SIDE].copy_from_slice(&block.map(|row| row[column]));
                }
            } else {
                for (column, out) in out.chunks_exact_mut(rows).enumerate() {
                    let values = (0..SIDE.min(rows - first)).map(|at| row(at)[column]);
                    out[first..].iter_mut().zip(values).for_each(|(out, value)| *out = value);
                }
            }
        }
    }
}

/// Whether the tensor at `path` is a statistic that batch norm keeps, not a parameter.
pub(crate) fn is_running_statistic(path: &str) -> bool {
    matches!(path.rsplit('.').next(), Some("running_mean" | "running_var"))
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
            (Some(container), Some(field)) => Orientation::of(container, field, rank),
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

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::conv::Conv2dConfig;
    use burn::nn::{BatchNormConfig, LinearConfig, LstmConfig};
    use burn::tensor::Device;

    #[test]
    fn swapping_twice_gives_the_values_back() {
        let shape = [2, 3, 2];
        let values: Vec<f32> = (0..12).map(|v| v as f32).collect();
        let swapped = Orientation::Swapped.swap_values(values.clone(), &shape);
        assert_eq!(swapped, [0., 1., 6., 7., 2., 3., 8., 9., 4., 5., 10., 11.]);
        let swapped_shape = Orientation::Swapped.swap_shape(&shape);
        assert_eq!(swapped_shape, [3, 2, 2]);
        assert_eq!(Orientation::Swapped.swap_values(swapped, &swapped_shape), values);
    }

    #[test]
    fn any_matrix_is_transposed() {
        for (rows, columns) in [(1, 1), (1, 40), (40, 1), (16, 16), (17, 33), (50, 31), (0, 3), (3, 0)] {
            let values: Vec<usize> = (0..rows * columns).collect();
            let swapped = Orientation::Swapped.swapped(&values, &[rows, columns]);
            let expected = (0..columns).flat_map(|column| (0..rows).map(move |row| row * columns + column));
            assert!(swapped.into_iter().eq(expected), "{rows} x {columns}");
        }
    }

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
