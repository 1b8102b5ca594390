//! From a file into a model.
//!
//! [`load_into`] decodes each tensor straight into the parameter's order; [`StoredModelExt::load_into`](super::StoredModelExt::load_into) does the same from
//! codes that are in memory, for what has no file. Both give the same numbers to the last bit.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};
use fewbit::batch_norm::{
    BETA, EPSILON_KEY, GAMMA, RUNNING_MEAN, RUNNING_VAR, SCALE, SHIFT, folded_layers, unit_variance,
};
use fewbit::model::{folded_epsilon, parameter_tensors};
use fewbit::{ContainerReader, Orientation, ReadError, StoredModel, TensorEntry};
use rayon::prelude::*;

use super::LoadError;
use crate::layout::{ParameterEntry, PathTracker, parameters};

/// `model` with the weights of the `.fewbit` file at `path`.
///
/// # Errors
/// [`LoadError`]: the file cannot be read, or does not fit the model.
pub fn load<M: Module>(path: &Path, model: M) -> Result<M, LoadError> {
    load_into(&fewbit::read_file(path)?, model)
}

/// `model` with every parameter and running statistic replaced by the value in a file.
///
/// Each value is that of [`QuantizedTensor::dequantize`](fewbit::QuantizedTensor::dequantize), to the last bit. A parameter
/// that has not been initialized stays so until it gets its value.
///
/// # Errors
/// [`LoadError`] naming the first tensor that is missing, extra, of another shape or does not decode; nothing is
/// loaded then.
pub fn load_into<B: AsRef<[u8]> + Sync, M: Module>(
    reader: &ContainerReader<B>,
    model: M,
) -> Result<M, LoadError> {
    let tensors = sources(reader)?;
    let (entries, _) = parameters(&model);
    check_fit(&entries, tensors.iter().map(|(path, source)| (path.as_str(), source.shape())))?;
    let decode = |stored: &mut Vec<f32>, entry: &ParameterEntry| {
        let values = tensors[&entry.path].values(reader, entry.orientation, stored)?;
        Ok((entry.path.clone(), values))
    };
    let values: Vec<Result<_, ReadError>> = entries.par_iter().map_init(Vec::new, decode).collect();
    let values = values.into_iter().collect::<Result<_, _>>()?;
    Ok(model.map(&mut Loader { tracker: PathTracker::default(), values }))
}

/// Where the values of a parameter come from.
enum Source<'r> {
    /// A tensor of the file.
    Stored(&'r TensorEntry),
    /// A statistic of a folded batch norm: this value for each of so many channels.
    Constant([usize; 1], f32),
}

impl Source<'_> {
    fn shape(&self) -> &[usize] {
        match self {
            Self::Stored(entry) => entry.shape(),
            Self::Constant(shape, _) => shape,
        }
    }

    /// The values in a parameter's order; `stored` is room for those in the file's.
    fn values<B: AsRef<[u8]>>(
        &self,
        reader: &ContainerReader<B>,
        orientation: Orientation,
        stored: &mut Vec<f32>,
    ) -> Result<Vec<f32>, ReadError> {
        match self {
            Self::Constant([channels], value) => Ok(vec![*value; *channels]),
            Self::Stored(entry) if orientation == Orientation::Stored => reader.values(entry.name()),
            Self::Stored(entry) => {
                if stored.len() < entry.len() {
                    // Fresh zeros are not touched before the decoder writes them.
                    *stored = vec![0.0; entry.len()];
                }
                let stored = &mut stored[..entry.len()];
                reader.values_into(entry.name(), stored)?;
                Ok(orientation.swapped(stored, entry.shape()))
            }
        }
    }
}

/// The tensors of a file as a model has them, by path: a folded batch norm has its four, counts of batches are left
/// out.
fn sources<B: AsRef<[u8]>>(reader: &ContainerReader<B>) -> Result<BTreeMap<String, Source<'_>>, LoadError> {
    let mut sources = BTreeMap::new();
    for entry in parameter_tensors(reader)? {
        sources.insert(entry.name().to_owned(), Source::Stored(entry));
    }
    let Some(epsilon) = folded_epsilon(reader.metadata(EPSILON_KEY))? else { return Ok(sources) };
    for layer in folded_layers(reader.tensors().iter().map(TensorEntry::name)) {
        let [scale, shift] = [SCALE, SHIFT].map(|field| sources.remove(&format!("{layer}{field}")));
        let (Some(scale), Some(shift)) = (scale, shift) else { continue };
        let channels = [scale.shape().iter().product()];
        for (field, source) in [
            (GAMMA, scale),
            (BETA, shift),
            (RUNNING_MEAN, Source::Constant(channels, 0.0)),
            (RUNNING_VAR, Source::Constant(channels, unit_variance(epsilon))),
        ] {
            sources.insert(format!("{layer}{field}"), source);
        }
    }
    Ok(sources)
}

/// An error unless tensors, sorted by path, are those that a model needs.
fn check_fit<'t>(
    entries: &[ParameterEntry],
    tensors: impl Iterator<Item = (&'t str, &'t [usize])>,
) -> Result<(), LoadError> {
    let mut tensors: BTreeMap<&str, &[usize]> = tensors.collect();
    for entry in entries {
        let needed = entry.orientation.swap_shape(&entry.shape);
        match tensors.remove(entry.path.as_str()) {
            None => return Err(LoadError::Missing { path: entry.path.clone(), shape: needed }),
            Some(found) if found != needed => {
                return Err(LoadError::Shape { path: entry.path.clone(), found: found.to_vec(), needed });
            }
            Some(_) => {}
        }
    }
    match tensors.into_keys().next() {
        Some(path) => Err(LoadError::Extra { path: path.to_owned() }),
        None => Ok(()),
    }
}

/// See [`StoredModelExt::load_into`](super::StoredModelExt::load_into).
pub(super) fn load_stored<M: Module>(stored: &StoredModel, model: M) -> Result<M, LoadError> {
    let (entries, _) = parameters(&model);
    let tensors = stored.unfolded()?;
    check_fit(&entries, tensors.iter().map(|(path, tensor)| (path.as_str(), tensor.shape())))?;
    let values = entries.iter().map(|entry| {
        let tensor = &tensors[&entry.path];
        (entry.path.clone(), entry.orientation.swap_values(tensor.values(), tensor.shape()))
    });
    Ok(model.map(&mut Loader { tracker: PathTracker::default(), values: values.collect() }))
}

/// Gives each parameter its values.
struct Loader {
    tracker: PathTracker,
    /// By path, in the parameter's order.
    values: HashMap<String, Vec<f32>>,
}

impl ModuleMapper for Loader {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.tracker.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.tracker.exit(container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.tracker.inside_reparameterization() {
            return param;
        }
        let Some(values) = self.values.remove(&self.tracker.path()) else { return param };
        let data = TensorData::new(values, param.lazy_shape());
        if !param.is_initialized() {
            // Its random values are not drawn first.
            let (device, id) = (param.lazy_device(), param.id);
            return param.transform_for_load(Tensor::from_data(data, &device), id);
        }
        param.map(|old| {
            let needs_gradient = old.is_require_grad();
            let new = Tensor::from_data(data, &old.device());
            if needs_gradient { new.require_grad() } else { new }
        })
    }
}
