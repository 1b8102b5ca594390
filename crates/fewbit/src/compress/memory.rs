//! Weights that are in memory already.

use std::collections::HashMap;
use std::convert::Infallible;

use super::{Sensitivity, SourceTensor, WeightSource};

/// A [`WeightSource`] of tensors in memory.
#[derive(Clone, Debug, Default)]
pub struct MemorySource {
    tensors: Vec<SourceTensor>,
    /// None of raw tensors.
    values: Vec<Vec<f32>>,
    /// None of others.
    bytes: Vec<Vec<u8>>,
    sensitivities: HashMap<usize, Sensitivity>,
}

impl MemorySource {
    /// Adds a tensor with its values in stored order.
    pub fn push(&mut self, tensor: SourceTensor, values: Vec<f32>) {
        self.tensors.push(tensor);
        self.values.push(values);
        self.bytes.push(Vec::new());
    }

    /// Adds a [raw](super::Treatment::Raw) tensor with the bytes of its elements in stored order.
    pub fn push_raw(&mut self, tensor: SourceTensor, bytes: Vec<u8>) {
        self.tensors.push(tensor);
        self.values.push(Vec::new());
        self.bytes.push(bytes);
    }

    /// Says how the loss depends on the tensor at a place.
    pub fn set_sensitivity(&mut self, place: usize, sensitivity: Sensitivity) {
        self.sensitivities.insert(place, sensitivity);
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

    fn read_raw(&mut self, place: usize, bytes: &mut Vec<u8>) -> Result<(), Infallible> {
        bytes.clone_from(&self.bytes[place]);
        Ok(())
    }

    fn sensitivity(&self, place: usize) -> Option<&Sensitivity> {
        self.sensitivities.get(&place)
    }
}
