//! Weights that are in memory already.

use std::convert::Infallible;

use super::{SourceTensor, WeightSource};

/// A [`WeightSource`] of tensors in memory.
#[derive(Clone, Debug, Default)]
pub struct MemorySource {
    tensors: Vec<SourceTensor>,
    values: Vec<Vec<f32>>,
}

impl MemorySource {
    /// Adds a tensor with its values in stored order.
    pub fn push(&mut self, tensor: SourceTensor, values: Vec<f32>) {
        self.tensors.push(tensor);
        self.values.push(values);
    }

    /// The values of the tensor at a place.
    ///
    /// # Panics
    /// When there is none.
    pub fn values_mut(&mut self, place: usize) -> &mut Vec<f32> {
        &mut self.values[place]
    }

    /// Each tensor with its values.
    pub fn iter(&self) -> impl Iterator<Item = (&SourceTensor, &[f32])> {
        self.tensors.iter().zip(self.values.iter().map(Vec::as_slice))
    }
}

impl WeightSource for MemorySource {
    type Error = Infallible;

    fn tensors(&self) -> &[SourceTensor] {
        &self.tensors
    }

    fn read(&mut self, place: usize, values: &mut Vec<f32>) -> Result<(), Infallible> {
        values.clone_from(&self.values[place]);
        Ok(())
    }
}
