//! SGD and Adam in one pass over each tensor on the CPU, in place; elsewhere by burn's operations.

mod adam;
mod sgd;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

pub(crate) use adam::Adam;
pub(crate) use sgd::Sgd;

use crate::operation::{self, runs_on};

/// What every gradient of the coming update is multiplied with: 1, or less to bound their common norm.
#[derive(Clone, Debug)]
pub(crate) struct GradientScale(Arc<AtomicU64>);

impl Default for GradientScale {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(1f64.to_bits())))
    }
}

impl GradientScale {
    pub(crate) fn set(&self, factor: f64) {
        self.0.store(factor.to_bits(), Ordering::Relaxed);
    }

    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// The tensors as numbers in memory, if all of them are that.
fn in_memory<const D: usize, const N: usize>(
    tensors: [Tensor<D>; N],
) -> Result<[FlexTensor; N], [Tensor<D>; N]> {
    if tensors.iter().any(|tensor| tensor.is_autodiff() || !runs_on(tensor)) {
        return Err(tensors);
    }
    Ok(tensors.map(|tensor| {
        let tensor = tensor.try_into_primitive::<Flex>().expect("a float32 tensor on the CPU");
        tensor.to_contiguous()
    }))
}

/// The numbers of a tensor, to be changed in place; copied first where something else refers to them.
fn numbers(tensor: &mut FlexTensor) -> &mut [f32] {
    if tensor.layout().start_offset() != 0 || tensor.storage::<f32>().len() != tensor.layout().num_elements()
    {
        // A part of a larger buffer.
        *tensor = FlexTensor::from_data(tensor.clone().into_data());
    }
    tensor.storage_mut()
}

/// The sum of a tensor's squares, in double precision and in an order of its own.
pub(crate) fn square_sum<const D: usize>(values: Tensor<D>) -> f64 {
    match in_memory([values]) {
        Ok([values]) => fewbit_kernels::square_sum(operation::buffers::values(&values)),
        Err([values]) => {
            crate::reparam::values(&values).map_or(f64::NAN, |values| fewbit_kernels::square_sum(&values))
        }
    }
}

fn tensor<const D: usize>(primitive: FlexTensor) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(primitive)
}
