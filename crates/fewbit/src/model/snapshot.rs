//! The tensors of a network in training, at one moment.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{ExportError, StoredModel, StoredTensor};
use crate::FloatEncoding;
use crate::layout::{Layout, Orientation};
use crate::method::{Coarseness, Method};

/// All float tensors of a network with what is learned about the quantized ones.
#[derive(Clone, Debug, Default)]
pub struct Snapshot<'v> {
    /// The tensors, in any order.
    pub tensors: Vec<SnapshotTensor<'v>>,
}

/// A float tensor in training.
#[derive(Clone, Debug)]
pub struct SnapshotTensor<'v> {
    /// The name in the file.
    pub name: String,
    /// The shape in memory.
    pub shape: Vec<usize>,
    /// The order in memory.
    pub orientation: Orientation,
    /// The values in memory order.
    pub values: Cow<'v, [f32]>,
    /// The learned numbers of a quantized tensor, one per group; `None` for one that stays float.
    pub learned: Option<Cow<'v, [f32]>>,
}

impl SnapshotTensor<'_> {
    /// The layout under a method.
    pub fn layout(&self, method: &dyn Method) -> Layout {
        method.layout(&self.shape, self.orientation)
    }

    fn check(&self) -> Result<(), ExportError> {
        let (expected, found) = (self.shape.iter().product(), self.values.len());
        if expected == found {
            return Ok(());
        }
        Err(ExportError::Length { path: self.name.clone(), shape: self.shape.clone(), expected, found })
    }

    fn quantized(
        &self,
        learned: &[f32],
        method: &dyn Method,
        by: Coarseness,
    ) -> Result<StoredTensor, ExportError> {
        let path = || self.name.clone();
        if let Some(group) = learned.iter().position(|number| !number.is_finite()) {
            return Err(ExportError::Learned { path: path(), group, value: learned[group] });
        }
        let tensor = method.quantize(&self.layout(method), &self.values, learned, by);
        Ok(StoredTensor::Quantized(tensor.map_err(|source| ExportError::Quantize { path: path(), source })?))
    }

    fn float(&self) -> Result<StoredTensor, ExportError> {
        if let Some(index) = self.values.iter().position(|value| !value.is_finite()) {
            return Err(ExportError::NonFinite { path: self.name.clone(), index, value: self.values[index] });
        }
        let values = self.orientation.swap_values(self.values.to_vec(), &self.shape);
        let shape = self.orientation.swap_shape(&self.shape);
        Ok(StoredTensor::Float { shape, values, encoding: FloatEncoding::Float32 })
    }
}

impl Snapshot<'_> {
    /// The network with the rounded weights of its quantized tensors, a little coarser than learned.
    ///
    /// # Errors
    /// [`ExportError`] naming the tensor.
    pub fn rounded(&self, method: &dyn Method, by: Coarseness) -> Result<StoredModel, ExportError> {
        self.stored(|tensor| match &tensor.learned {
            Some(learned) => tensor.quantized(learned, method, by),
            None => tensor.float(),
        })
    }

    /// The network with float values throughout.
    ///
    /// # Errors
    /// [`ExportError`] naming the tensor.
    pub fn float(&self) -> Result<StoredModel, ExportError> {
        self.stored(|tensor| tensor.float())
    }

    fn stored(
        &self,
        store: impl Fn(&SnapshotTensor<'_>) -> Result<StoredTensor, ExportError>,
    ) -> Result<StoredModel, ExportError> {
        let mut tensors = BTreeMap::new();
        for tensor in &self.tensors {
            tensor.check()?;
            tensors.insert(tensor.name.clone(), store(tensor)?);
        }
        Ok(StoredModel { tensors, metadata: BTreeMap::new() })
    }
}
