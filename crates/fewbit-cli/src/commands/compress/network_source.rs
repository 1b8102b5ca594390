//! The weights of a network that a recipe describes, under the names of its files.

use std::convert::Infallible;

use fewbit::compress::{SourceTensor, WeightSource};
use fewbit_burn::{StoredModel, StoredTensor};

use super::treatment;
use crate::args::CompressArgs;

/// The tensors of a network in memory.
pub(super) struct NetworkSource {
    tensors: Vec<SourceTensor>,
    values: Vec<Vec<f32>>,
}

impl NetworkSource {
    /// `model` holds floats only.
    pub(super) fn new(model: &StoredModel, args: &CompressArgs) -> Self {
        let mut source = Self { tensors: Vec::new(), values: Vec::new() };
        for (name, tensor) in &model.tensors {
            if let StoredTensor::Float { shape, values, .. } = tensor {
                let (name, shape) = (name.clone(), shape.clone());
                let treatment = treatment(&name, &shape, &args.exclude);
                source.tensors.push(SourceTensor { name, shape, treatment });
                source.values.push(values.clone());
            }
        }
        source
    }
}

impl WeightSource for NetworkSource {
    type Error = Infallible;

    fn tensors(&self) -> &[SourceTensor] {
        &self.tensors
    }

    fn read(&mut self, place: usize, values: &mut Vec<f32>) -> Result<(), Infallible> {
        values.clone_from(&self.values[place]);
        Ok(())
    }
}
