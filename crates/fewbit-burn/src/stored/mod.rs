//! Between models of burn and what files hold of them.

mod error;
mod loading;

use std::borrow::Cow;
use std::collections::HashMap;

use burn::module::Module;
use fewbit::method::Coarseness;
use fewbit::{ExportError, Snapshot, SnapshotTensor, StoredModel};

pub use self::error::LoadError;
pub use self::loading::{load, load_into};
use crate::config::QuantizationConfig;
use crate::layout::{base_values, parameters, values};
use crate::quantizer::{Quantizer, learned};

/// What [`StoredModel`] offers for models of burn.
pub trait StoredModelExt: Sized {
    /// `model` with float values throughout, as before a method is attached.
    ///
    /// # Errors
    /// [`ExportError`] naming the tensor.
    fn float<M: Module>(model: &M) -> Result<Self, ExportError>;

    /// `model` with the rounded weights of its quantized parameters.
    ///
    /// # Errors
    /// [`ExportError`] naming the tensor.
    fn rounded<M: Module>(model: &M, quantizer: &Quantizer) -> Result<Self, ExportError>;

    /// `model` with every parameter and running statistic replaced by the stored value.
    ///
    /// # Errors
    /// [`LoadError`] naming the first tensor that is missing, extra or of another shape; nothing is loaded then.
    fn load_into<M: Module>(&self, model: M) -> Result<M, LoadError>;
}

impl StoredModelExt for StoredModel {
    fn float<M: Module>(model: &M) -> Result<Self, ExportError> {
        snapshot(model, |_, _| None)?.float()
    }

    fn rounded<M: Module>(model: &M, quantizer: &Quantizer) -> Result<Self, ExportError> {
        snapshot_of(model, quantizer)?.rounded(quantizer.method().as_ref(), Coarseness::default())
    }

    fn load_into<M: Module>(&self, model: M) -> Result<M, LoadError> {
        loading::load_stored(self, model)
    }
}

/// All tensors of an attached model with its learned numbers.
///
/// # Errors
/// [`ExportError::NotFloat`] for a parameter of another kind.
pub fn snapshot_of<M: Module>(model: &M, quantizer: &Quantizer) -> Result<Snapshot<'static>, ExportError> {
    let mut learned: HashMap<_, _> = learned(model).into_iter().collect();
    snapshot(model, |path, _| {
        quantizer.parameter(path)?;
        learned.remove(path).map(|param| values(&param.base().detach()))
    })
}

/// All tensors of a model without a method; those that `config` selects have the learned numbers that they would start
/// with.
///
/// # Errors
/// [`ExportError::NotFloat`] for a parameter of another kind.
pub fn snapshot_before<M: Module>(
    model: &M,
    config: &QuantizationConfig,
) -> Result<Snapshot<'static>, ExportError> {
    let mut snapshot = snapshot(model, |_, _| None)?;
    for tensor in &mut snapshot.tensors {
        if config.selection.chooses(&tensor.name, &tensor.shape) {
            let layout = tensor.layout(config.method.as_ref());
            tensor.learned = Some(config.method.initial(&layout, &tensor.values).into());
        }
    }
    Ok(snapshot)
}

fn snapshot<M: Module>(
    model: &M,
    mut learned: impl FnMut(&str, &[f32]) -> Option<Vec<f32>>,
) -> Result<Snapshot<'static>, ExportError> {
    // Running statistics are brought up to date by `valid`, which also leaves the graph behind.
    let model = model.valid();
    let (entries, other_kinds) = parameters(&model);
    if let Some(path) = other_kinds.into_iter().next() {
        return Err(ExportError::NotFloat { path });
    }
    let mut weights = base_values(&model);
    let tensors = entries.into_iter().map(|entry| {
        let values = weights.remove(&entry.path).expect("every parameter was visited");
        SnapshotTensor {
            learned: learned(&entry.path, &values).map(Cow::Owned),
            name: entry.path,
            shape: entry.shape,
            orientation: entry.orientation,
            values: values.into(),
        }
    });
    Ok(Snapshot { tensors: tensors.collect() })
}
