//! What stays float, in fewer bytes: batch norms folded, values of 16 bits.
//!
//! A trained batch norm keeps four numbers per channel, but its output is `scale · x + shift`. Folded, a
//! layer `p` is stored as `p.scale` and `p.shift`, and whoever loads it puts them in place of `gamma` and
//! `beta`, beside statistics that change nothing: a mean of 0 and a variance that is 1 once ε is added.

use std::borrow::Cow;
use std::collections::BTreeMap;

use fewbit::{ContainerReader, FloatEncoding, TensorEntry, TensorKind};

use super::{LoadError, StoredModel, StoredTensor};

/// The metadata key of a file with folded batch norms: the ε of its layers.
pub(super) const EPSILON: &str = "batch_norm_epsilon";

/// The parameters and statistics of a batch norm.
const GAMMA: &str = "gamma";
const BETA: &str = "beta";
const MEAN: &str = "running_mean";
const VARIANCE: &str = "running_var";
/// What is left of them.
const SCALE: &str = "scale";
const SHIFT: &str = "shift";

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
        let layers: Vec<String> =
            self.tensors.keys().filter_map(|path| path.strip_suffix(MEAN)).map(str::to_owned).collect();
        for layer in layers {
            let of = |field| match self.tensors.get(&format!("{layer}{field}")) {
                Some(StoredTensor::Float { values, .. }) => Some(values.as_slice()),
                _ => None,
            };
            let (Some(gamma), Some(beta)) = (of(GAMMA), of(BETA)) else { continue };
            let (Some(mean), Some(variance)) = (of(MEAN), of(VARIANCE)) else { continue };
            let scale =
                |(gamma, variance): (&f32, &f32)| f64::from(*gamma) / (f64::from(*variance) + epsilon).sqrt();
            let scales: Vec<f64> = gamma.iter().zip(variance).map(scale).collect();
            let shift = |((beta, mean), scale): ((&f32, &f32), &f64)| {
                (f64::from(*beta) - f64::from(*mean) * scale) as f32
            };
            let shifts = beta.iter().zip(mean).zip(&scales).map(shift).collect();
            let scales = scales.into_iter().map(|scale| scale as f32).collect();
            for field in [GAMMA, BETA, MEAN, VARIANCE] {
                self.tensors.remove(&format!("{layer}{field}"));
            }
            self.tensors.insert(format!("{layer}{SCALE}"), vector(scales));
            self.tensors.insert(format!("{layer}{SHIFT}"), vector(shifts));
            self.metadata.insert(EPSILON.to_owned(), epsilon.to_string());
        }
    }

    /// The tensors as a model has them: a folded batch norm with its four.
    pub(super) fn unfolded(&self) -> Result<Cow<'_, BTreeMap<String, StoredTensor>>, LoadError> {
        let Some(text) = self.metadata.get(EPSILON) else { return Ok(Cow::Borrowed(&self.tensors)) };
        let epsilon = text.parse().ok().filter(|epsilon| (0.0..1.0).contains(epsilon));
        let epsilon: f64 = epsilon.ok_or_else(|| LoadError::Metadata {
            key: EPSILON,
            found: text.clone(),
            needed: "a number from 0 to 1",
        })?;
        let mut tensors = self.tensors.clone();
        let layers: Vec<String> =
            tensors.keys().filter_map(|path| path.strip_suffix(SCALE)).map(str::to_owned).collect();
        for layer in layers {
            let [scale, shift] = [SCALE, SHIFT].map(|field| format!("{layer}{field}"));
            if !tensors.contains_key(&shift) {
                continue;
            }
            let (Some(scale), Some(shift)) = (tensors.remove(&scale), tensors.remove(&shift)) else {
                continue;
            };
            let channels: usize = scale.shape().iter().product();
            tensors.insert(format!("{layer}{MEAN}"), vector(vec![0.0; channels]));
            tensors
                .insert(format!("{layer}{VARIANCE}"), vector(vec![unit_variance(epsilon as f32); channels]));
            tensors.insert(format!("{layer}{GAMMA}"), scale);
            tensors.insert(format!("{layer}{BETA}"), shift);
        }
        Ok(Cow::Owned(tensors))
    }
}

/// How many values the network of a file has in memory, before anything is unpacked.
pub fn value_count(reader: &ContainerReader<'_>) -> u64 {
    let floats = |entry: &&TensorEntry| matches!(entry.kind(), TensorKind::Quantized | TensorKind::Float32);
    let stored = reader.tensors().iter().filter(floats);
    let values = stored.map(|entry| (entry.name(), entry.len() as u64));
    unfolded_count(values, reader.metadata(EPSILON).is_some())
}

/// As many values as a model has whose stored tensors have so many.
pub(super) fn unfolded_count<'n>(tensors: impl Iterator<Item = (&'n str, u64)>, is_folded: bool) -> u64 {
    let count = |(path, elements): (&str, u64)| {
        let is_half = is_folded && matches!(path.rsplit('.').next(), Some(SCALE | SHIFT));
        if is_half { 2 * elements } else { elements }
    };
    tensors.map(count).sum()
}

fn vector(values: Vec<f32>) -> StoredTensor {
    StoredTensor::Float { shape: vec![values.len()], values, encoding: FloatEncoding::Float32 }
}

/// The variance that is exactly 1 once ε is added, as 32-bit floats add.
fn unit_variance(epsilon: f32) -> f32 {
    let near = 1.0 - epsilon;
    let candidates = [near, near.next_up(), near.next_down()];
    candidates.into_iter().find(|variance| variance + epsilon == 1.0).unwrap_or(near)
}
