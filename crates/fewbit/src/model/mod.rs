//! A network as a file holds it: the only way from trained weights to evaluated ones.
//!
//! Evaluation in training, of a file and by a user all go through [`StoredModel`], so that the numbers of the last
//! evaluation, of the file read again and of `eval` are equal to the last bit.

mod error;
mod floats;
mod snapshot;
mod statistics;

use std::collections::BTreeMap;
use std::path::Path;

pub use self::error::ExportError;
pub use self::floats::{FloatStorage, MetadataError, folded_epsilon, value_count};
pub use self::snapshot::{Snapshot, SnapshotTensor};
use crate::names::is_batch_count;
use crate::{
    ContainerReader, ContainerWriter, Encoding, FloatEncoding, QuantizedTensor, ReadError, TensorEntry,
    WriteError,
};

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

    /// The values that a network computes with, in stored order.
    pub fn values(&self) -> Vec<f32> {
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
    /// Adds an entry of metadata.
    #[must_use]
    pub fn with_metadata(mut self, key: &str, value: impl Into<String>) -> Self {
        self.metadata.insert(key.to_owned(), value.into());
        self
    }

    /// Bytes that the network's tensors take as float32: what loading it into a network fills, not
    /// what a folded file has of them.
    pub fn float_bytes(&self) -> u64 {
        let is_folded = self.metadata.contains_key(crate::batch_norm::EPSILON_KEY);
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
    /// [`ReadError`] saying what is wrong and where; [`ReadError::NotFloats`] for any other tensor that is not of floats,
    /// which no parameter can be.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReadError> {
        Self::from_reader(&ContainerReader::new(bytes)?)
    }

    /// The model in a file, its codes in memory, without PyTorch's counts of the batches that a norm has seen.
    ///
    /// # Errors
    /// [`ReadError`] saying what does not decode; [`ReadError::NotFloats`] for any other tensor that is not of floats,
    /// which no parameter can be.
    pub fn from_reader<B: AsRef<[u8]>>(reader: &ContainerReader<B>) -> Result<Self, ReadError> {
        let mut stored = Self::default();
        for (key, value) in reader.metadata_entries() {
            stored.metadata.insert(key.to_owned(), value.to_owned());
        }
        for entry in parameter_tensors(reader)? {
            let float = |encoding| -> Result<_, ReadError> {
                let (shape, values) = (entry.shape().to_vec(), reader.values(entry.name())?);
                Ok(StoredTensor::Float { shape, values, encoding })
            };
            let tensor = match entry.encoding() {
                Encoding::Packed | Encoding::Coded => {
                    StoredTensor::Quantized(reader.quantized(entry.name())?)
                }
                Encoding::Float16 => float(FloatEncoding::Float16)?,
                Encoding::BFloat16 => float(FloatEncoding::BFloat16)?,
                _ => float(FloatEncoding::Float32)?,
            };
            stored.tensors.insert(entry.name().to_owned(), tensor);
        }
        Ok(stored)
    }
}

/// The tensors of a file but for counts of batches; an error for any other that is not of floats, which no parameter
/// can be.
///
/// # Errors
/// [`ReadError::NotFloats`] naming it.
pub fn parameter_tensors<B: AsRef<[u8]>>(
    reader: &ContainerReader<B>,
) -> Result<Vec<&TensorEntry>, ReadError> {
    let mut tensors = Vec::new();
    for entry in reader.tensors() {
        match entry.encoding() {
            Encoding::Raw(_) if is_batch_count(entry.name()) => {}
            Encoding::Raw(found) => {
                return Err(ReadError::NotFloats { name: entry.name().to_owned(), found });
            }
            _ => tensors.push(entry),
        }
    }
    Ok(tensors)
}
