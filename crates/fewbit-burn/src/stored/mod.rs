//! A model as a file holds it: the only road from trained weights to evaluated ones.
//!
//! Training's evaluation, the file's and a user's all go through [`StoredModel`]: the same tensors,
//! dequantized by the same function, written into a float model by the same mapper. So the numbers
//! of the last evaluation, of the reloaded file and of `eval` are equal to the last bit.

mod error;
mod floats;
mod loading;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use fewbit::{ContainerReader, ContainerWriter, FloatEncoding, QuantizedTensor, ReadError, WriteError};

pub use self::error::{ExportError, LoadError};
pub use self::floats::{FloatStorage, value_count};
pub use self::loading::{load, load_into};
use crate::layout::{ParameterEntry, ParameterVisitor, is_running_statistic, parameters, visit_parameters};
use crate::quantizer::{Quantizer, learned};
use crate::reparam::values;
use crate::site::Trim;

/// One tensor of a file, in stored order `[out, …]`.
#[derive(Clone, Debug, PartialEq)]
pub enum StoredTensor {
    /// Codes on a grid.
    Quantized(QuantizedTensor),
    /// Floats, in as many bits as `encoding` says.
    Float {
        /// The stored shape.
        shape: Vec<usize>,
        /// The values in stored order, each one that the encoding can hold.
        values: Vec<f32>,
        /// How the file holds them.
        encoding: FloatEncoding,
    },
}

impl StoredTensor {
    /// The stored shape.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Quantized(tensor) => tensor.shape(),
            Self::Float { shape, .. } => shape,
        }
    }

    fn values(&self) -> Vec<f32> {
        match self {
            Self::Quantized(tensor) => tensor.dequantize(),
            Self::Float { values, .. } => values.clone(),
        }
    }
}

/// Every tensor of a model by its path, and what else the file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredModel {
    /// The tensors by path.
    pub tensors: BTreeMap<String, StoredTensor>,
    /// What the file says beside its tensors, such as the model's configuration.
    pub metadata: BTreeMap<String, String>,
}

impl StoredModel {
    /// `model` with float values throughout, as before a method is attached.
    ///
    /// # Errors
    /// [`ExportError`] naming the tensor.
    pub fn float<M: Module>(model: &M) -> Result<Self, ExportError> {
        Self::collect(model, |_, _| Ok(None))
    }

    /// `model` with the rounded weights of its quantized parameters.
    ///
    /// # Errors
    /// [`ExportError`] naming the tensor.
    pub fn rounded<M: Module>(model: &M, quantizer: &Quantizer) -> Result<Self, ExportError> {
        Self::trimmed(model, quantizer, Trim::default())
    }

    /// As [`rounded`](Self::rounded), a little coarser.
    ///
    /// # Errors
    /// [`ExportError`] naming the tensor.
    pub fn trimmed<M: Module>(model: &M, quantizer: &Quantizer, trim: Trim) -> Result<Self, ExportError> {
        let mut learned: HashMap<String, Vec<f32>> = learned(model)
            .into_iter()
            .filter_map(|(path, param)| Some((path, values(&param.base().detach())?)))
            .collect();
        Self::collect(model, |entry, weights| {
            let (Some(site), Some(learned)) = (quantizer.site(&entry.path), learned.remove(&entry.path))
            else {
                return Ok(None);
            };
            if let Some(group) = learned.iter().position(|number| !number.is_finite()) {
                return Err(ExportError::Bits { path: entry.path.clone(), group });
            }
            let tensor = site
                .quantize(weights.to_vec(), &learned, trim)
                .map_err(|source| ExportError::Quantize { path: entry.path.clone(), source })?;
            Ok(Some(tensor))
        })
    }

    fn collect<M: Module>(
        model: &M,
        mut quantize: impl FnMut(&ParameterEntry, &[f32]) -> Result<Option<QuantizedTensor>, ExportError>,
    ) -> Result<Self, ExportError> {
        // Running statistics are brought up to date by `valid`, which also leaves the graph behind.
        let model = model.valid();
        let (entries, other_kinds) = parameters(&model);
        if let Some(path) = other_kinds.into_iter().next() {
            return Err(ExportError::NotFloat { path });
        }
        let mut weights = base_values(&model);
        let mut tensors = BTreeMap::new();
        for entry in entries {
            let values = weights.remove(&entry.path).unwrap_or_default();
            let tensor = match quantize(&entry, &values)? {
                Some(tensor) => StoredTensor::Quantized(tensor),
                None => {
                    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
                        let value = values[index];
                        return Err(ExportError::NonFinite { path: entry.path, index, value });
                    }
                    let values = entry.orientation.swap_values(values, &entry.shape);
                    let shape = entry.orientation.swap_shape(&entry.shape);
                    StoredTensor::Float { shape, values, encoding: FloatEncoding::Float32 }
                }
            };
            tensors.insert(entry.path, tensor);
        }
        Ok(Self { tensors, metadata: BTreeMap::new() })
    }

    /// Whether any tensor is a running statistic.
    pub fn has_running_statistics(&self) -> bool {
        self.tensors.keys().any(|path| is_running_statistic(path))
    }

    /// The same with the running statistics of `other`, of the same model.
    #[must_use]
    pub fn with_running_statistics_of(mut self, other: Self) -> Self {
        self.tensors.extend(other.tensors.into_iter().filter(|(path, _)| is_running_statistic(path)));
        self
    }

    /// Adds an entry of metadata.
    #[must_use]
    pub fn with_metadata(mut self, key: &str, value: impl Into<String>) -> Self {
        self.metadata.insert(key.to_owned(), value.into());
        self
    }

    /// Bytes that the network's tensors take as float32: what [`load_into`](Self::load_into) fills, not
    /// what a folded file has of them.
    pub fn float_bytes(&self) -> u64 {
        let is_folded = self.metadata.contains_key(fewbit::batch_norm::EPSILON_KEY);
        let elements = |tensor: &StoredTensor| tensor.shape().iter().product::<usize>() as u64;
        let values = self.tensors.iter().map(|(path, tensor)| (path.as_str(), elements(tensor)));
        4 * floats::unfolded_count(values, is_folded)
    }

    /// Mean bits of the quantized weights; 32 where there are none.
    pub fn mean_bits(&self) -> f64 {
        let (mut bits, mut weights) = (0.0, 0.0);
        for tensor in self.tensors.values() {
            if let StoredTensor::Quantized(tensor) = tensor {
                bits += tensor.mean_bits() * tensor.len() as f64;
                weights += tensor.len() as f64;
            }
        }
        if weights == 0.0 { 32.0 } else { bits / weights }
    }

    /// The file, ready to be written.
    ///
    /// # Errors
    /// [`WriteError`] for a name or shape that the format cannot hold.
    pub fn to_writer(&self) -> Result<ContainerWriter, WriteError> {
        let mut writer = ContainerWriter::new();
        for (key, value) in &self.metadata {
            writer.metadata(key, value)?;
        }
        for (path, tensor) in &self.tensors {
            match tensor {
                StoredTensor::Quantized(tensor) => writer.quantized(path, tensor)?,
                StoredTensor::Float { shape, values, encoding } => {
                    writer.float_as(path, shape, values, *encoding)?
                }
            };
        }
        Ok(writer)
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// [`WriteError`] for a name or shape that the format cannot hold.
    pub fn to_bytes(&self) -> Result<Vec<u8>, WriteError> {
        Ok(self.to_writer()?.to_bytes())
    }

    /// Writes the file at `path`, whole or not at all, and returns its length in bytes.
    ///
    /// # Errors
    /// [`WriteError`] naming the path and the cause.
    pub fn write_file(&self, path: &Path) -> Result<u64, WriteError> {
        self.to_writer()?.write_file(path)
    }

    /// The model in the bytes of a file, without PyTorch's counts of the batches that a norm has seen.
    ///
    /// # Errors
    /// [`ReadError`] saying what is wrong and where; [`ReadError::NotFloats`] for any other tensor that is
    /// not of floats, which no parameter can be.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReadError> {
        Self::from_reader(&ContainerReader::new(bytes)?)
    }
}

#[derive(Default)]
struct BaseValues(HashMap<String, Vec<f32>>);

impl ParameterVisitor for BaseValues {
    fn parameter<const D: usize>(&mut self, path: String, is_of_method: bool, param: &Param<Tensor<D>>) {
        if !is_of_method && let Some(values) = values(&param.base().detach()) {
            self.0.insert(path, values);
        }
    }
}

/// The stored (float) values of each parameter by its path, in memory order.
pub(crate) fn base_values<M: Module>(model: &M) -> HashMap<String, Vec<f32>> {
    let mut visitor = BaseValues::default();
    visit_parameters(model, &mut visitor);
    visitor.0
}
