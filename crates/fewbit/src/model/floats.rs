//! What stays float, in fewer bytes: batch norms folded, values of 16 bits.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{StoredModel, StoredTensor};
use crate::batch_norm::{
    BETA, EPSILON_KEY, Folded, GAMMA, RUNNING_MEAN, RUNNING_VAR, SCALE, SHIFT, fold, folded_layers, layer_of,
    parse_epsilon, unit_variance,
};
use crate::{ContainerReader, FloatEncoding, TensorEntry, TensorKind};

/// An entry of metadata that loading depends on and that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("metadata `{key}` is {found:?}; expected {expected}")]
pub struct MetadataError {
    /// Its key.
    pub key: &'static str,
    /// What was found.
    pub found: String,
    /// What is expected.
    pub expected: &'static str,
}

/// How tensors that are not quantized are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FloatStorage {
    /// In how many bits.
    pub encoding: FloatEncoding,
    /// Whether a batch norm is stored as one scale and one shift per channel.
    pub fold_batch_norm: bool,
}

impl StoredModel {
    /// The same network with its floats stored in fewer bytes, for a file.
    ///
    /// `batch_norm_epsilon` is the ε of the model's batch norms, or `None` where it has none to fold. A
    /// tensor with a value that the encoding cannot hold stays float32. What is evaluated must be loaded
    /// from the result: its numbers differ from those before.
    #[must_use]
    pub fn with_floats_stored(mut self, storage: FloatStorage, batch_norm_epsilon: Option<f64>) -> Self {
        if let Some(epsilon) = batch_norm_epsilon.filter(|_| storage.fold_batch_norm) {
            self.fold(epsilon);
        }
        for tensor in self.tensors.values_mut() {
            if let StoredTensor::Float { values, encoding, .. } = tensor {
                let rounded: Vec<f32> = values.iter().map(|value| storage.encoding.round(*value)).collect();
                if rounded.iter().all(|value| value.is_finite()) {
                    (*values, *encoding) = (rounded, storage.encoding);
                }
            }
        }
        self
    }

    /// Puts scale and shift in the place of each batch norm's four tensors.
    fn fold(&mut self, epsilon: f64) {
        const FIELDS: [&str; 4] = [GAMMA, BETA, RUNNING_MEAN, RUNNING_VAR];
        let layers = self.tensors.keys().filter_map(|path| layer_of(path, RUNNING_MEAN));
        for layer in layers.map(str::to_owned).collect::<Vec<_>>() {
            let values = FIELDS.map(|field| match self.tensors.get(&format!("{layer}{field}")) {
                Some(StoredTensor::Float { values, .. }) => Some(values.as_slice()),
                _ => None,
            });
            let [Some(gamma), Some(beta), Some(mean), Some(variance)] = values else { continue };
            let Folded { scale, shift } = fold([gamma, beta, mean, variance], epsilon);
            FIELDS.iter().for_each(|field| drop(self.tensors.remove(&format!("{layer}{field}"))));
            self.tensors.insert(format!("{layer}{SCALE}"), vector(scale));
            self.tensors.insert(format!("{layer}{SHIFT}"), vector(shift));
            self.metadata.insert(EPSILON_KEY.to_owned(), epsilon.to_string());
        }
    }

    /// The tensors as a model has them: a folded batch norm with its four.
    ///
    /// # Errors
    /// [`MetadataError`] where the ε of the batch norms is not a number from 0 to 1.
    pub fn unfolded(&self) -> Result<Cow<'_, BTreeMap<String, StoredTensor>>, MetadataError> {
        let Some(epsilon) = folded_epsilon(self.metadata.get(EPSILON_KEY).map(String::as_str))? else {
            return Ok(Cow::Borrowed(&self.tensors));
        };
        let mut tensors = self.tensors.clone();
        for layer in folded_layers(self.tensors.keys().map(String::as_str)) {
            let [scale, shift] = [SCALE, SHIFT].map(|field| tensors.remove(&format!("{layer}{field}")));
            let (Some(scale), Some(shift)) = (scale, shift) else { continue };
            let channels: usize = scale.shape().iter().product();
            tensors.insert(format!("{layer}{RUNNING_MEAN}"), vector(vec![0.0; channels]));
            tensors.insert(format!("{layer}{RUNNING_VAR}"), vector(vec![unit_variance(epsilon); channels]));
            tensors.insert(format!("{layer}{GAMMA}"), scale);
            tensors.insert(format!("{layer}{BETA}"), shift);
        }
        Ok(Cow::Owned(tensors))
    }
}

/// The ε of a file's folded batch norms, from its metadata; `None` where there are none.
///
/// # Errors
/// [`MetadataError`] where it is not a number from 0 to 1.
pub fn folded_epsilon(metadata: Option<&str>) -> Result<Option<f64>, MetadataError> {
    let parsed = |text: &str| {
        parse_epsilon(text).ok_or_else(|| MetadataError {
            key: EPSILON_KEY,
            found: text.to_owned(),
            expected: "a number from 0 to 1",
        })
    };
    metadata.map(parsed).transpose()
}

/// How many values the network of a file has in memory, before anything is unpacked.
pub fn value_count<B: AsRef<[u8]>>(reader: &ContainerReader<B>) -> u64 {
    let floats = |entry: &&TensorEntry| matches!(entry.kind(), TensorKind::Quantized | TensorKind::Float32);
    let stored = reader.tensors().iter().filter(floats);
    let values = stored.map(|entry| (entry.name(), entry.len() as u64));
    unfolded_count(values, reader.metadata(EPSILON_KEY).is_some())
}

/// As many values as a model has whose stored tensors have so many.
pub(super) fn unfolded_count<'n>(tensors: impl Iterator<Item = (&'n str, u64)>, is_folded: bool) -> u64 {
    let count = |(path, elements): (&str, u64)| {
        let is_half = is_folded && [SCALE, SHIFT].iter().any(|field| layer_of(path, field).is_some());
        if is_half { 2 * elements } else { elements }
    };
    tensors.map(count).sum()
}

fn vector(values: Vec<f32>) -> StoredTensor {
    StoredTensor::Float { shape: vec![values.len()], values, encoding: FloatEncoding::Float32 }
}
