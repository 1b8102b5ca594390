//! From a file into a model.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};

use super::{LoadError, StoredModel, StoredTensor};
use crate::layout::{PathTracker, parameters};

/// `model` with the weights of the `.fewbit` file at `path`.
///
/// # Errors
/// [`LoadError`]: the file cannot be read, or does not fit the model.
pub fn load<M: Module>(path: &Path, model: M) -> Result<M, LoadError> {
    StoredModel::from_bytes(&fewbit::read_file(path)?)?.load_into(model)
}

impl StoredModel {
    /// `model` with every parameter and running statistic replaced by the stored value.
    ///
    /// # Errors
    /// [`LoadError`] naming the first tensor that is missing, extra or of another shape; nothing is
    /// loaded then.
    pub fn load_into<M: Module>(&self, model: M) -> Result<M, LoadError> {
        let (entries, _) = parameters(&model);
        let tensors = self.unfolded()?;
        for entry in &entries {
            let needed = entry.orientation.swap_shape(&entry.shape);
            let Some(tensor) = tensors.get(&entry.path) else {
                return Err(LoadError::Missing { path: entry.path.clone(), shape: needed });
            };
            if tensor.shape() != needed {
                let found = tensor.shape().to_vec();
                return Err(LoadError::Shape { path: entry.path.clone(), found, needed });
            }
        }
        if let Some(path) = tensors.keys().find(|path| !entries.iter().any(|e| e.path == **path)) {
            return Err(LoadError::Extra { path: path.clone() });
        }
        Ok(model.map(&mut Loader { tracker: PathTracker::default(), tensors: &tensors }))
    }
}

struct Loader<'a> {
    tracker: PathTracker,
    tensors: &'a BTreeMap<String, StoredTensor>,
}

impl ModuleMapper for Loader<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.tracker.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.tracker.exit(container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let stored = self.tensors.get(&self.tracker.path());
        let Some(tensor) = stored.filter(|_| !self.tracker.inside_reparameterization()) else {
            return param;
        };
        let orientation = self.tracker.orientation(D);
        let values = orientation.swap_values(tensor.values(), tensor.shape());
        param.map(|old| {
            let data = TensorData::new(values, old.dims());
            let needs_gradient = old.is_require_grad();
            let new = Tensor::from_data(data, &old.device());
            if needs_gradient { new.require_grad() } else { new }
        })
    }
}
