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
pub(crate) fn in_memory<const D: usize, const N: usize>(
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
pub(crate) fn numbers(tensor: &mut FlexTensor) -> &mut [f32] {
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
        Err([values]) => fewbit_kernels::square_sum(&crate::layout::values(&values)),
    }
}

/// A tensor of rank `D` that is these numbers.
pub(crate) fn tensor<const D: usize>(primitive: FlexTensor) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(primitive)
}

#[cfg(test)]
mod tests {
    use burn::optim::decay::WeightDecayConfig;
    use burn::optim::momentum::MomentumConfig;
    use burn::optim::{AdamConfig, AdamWConfig, Optimizer, SgdConfig};
    use burn::tensor::{DType, Device, TensorData};
    use fewbit_testing::Numbers;

    use super::*;

    const STEPS: u64 = 5;

    fn numbers(seed: u64) -> Tensor<2> {
        let values = Numbers::seeded(seed).weights(7 * 33);
        Tensor::from_data(TensorData::new(values, [7, 33]), &Device::flex())
    }

    /// The weights after some steps along made-up gradients.
    fn trained(optimizer: &impl Optimizer, dtype: DType) -> Vec<f32> {
        let mut weight = numbers(1).cast(dtype);
        let mut state = None;
        for step in 0..STEPS {
            (weight, state) = optimizer.step(0.05, weight, numbers(10 + step).cast(dtype), state);
        }
        weight.cast(DType::F32).into_data().try_into_vec().unwrap()
    }

    /// Each step rounds a few times, by 6e-8 of numbers of about 1 (Adam divides by roots of at least 1e-3).
    #[track_caller]
    fn close(found: &[f32], expected: &[f32], what: &str) {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 3e-6, "{what}: {found}, {expected}");
        }
    }

    #[test]
    fn sgd_is_burns_on_the_fast_path_and_beside_it() {
        for (momentum, nesterov, weight_decay) in [(0.0, false, 0.0), (0.9, false, 0.1), (0.9, true, 0.01)] {
            let ours = Sgd { momentum, nesterov, weight_decay, scale: GradientScale::default() };
            let config =
                MomentumConfig::new().with_momentum(momentum).with_dampening(0.0).with_nesterov(nesterov);
            let decay = (weight_decay > 0.0).then(|| WeightDecayConfig::new(weight_decay as f32));
            let momentum = (momentum > 0.0).then_some(config);
            let burns = SgdConfig::new().with_momentum(momentum).with_weight_decay(decay).build();
            let expected = trained(&burns, DType::F32);
            close(&trained(&ours, DType::F32), &expected, "in one pass");
            close(&trained(&ours, DType::F64), &expected, "by tensors, in double precision");
        }
    }

    #[test]
    fn adam_is_burns_on_the_fast_path_and_beside_it() {
        let ours =
            |weight_decay, decoupled| Adam { weight_decay, decoupled, scale: GradientScale::default() };
        let config = AdamConfig::new().with_epsilon(1e-8);
        let decay = Some(WeightDecayConfig::new(0.1));
        let plain = trained(&config.build(), DType::F32);
        let coupled = trained(&config.with_weight_decay(decay).build(), DType::F32);
        let decoupled = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.1).build();
        let decoupled = trained(&decoupled, DType::F32);
        for (ours, expected) in
            [(ours(0.0, false), plain), (ours(0.1, false), coupled), (ours(0.1, true), decoupled)]
        {
            close(&trained(&ours, DType::F32), &expected, "in one pass");
            close(&trained(&ours, DType::F64), &expected, "by tensors, in double precision");
        }
    }

    #[test]
    fn the_scale_of_gradients_meets_them_before_the_decay() {
        for scaled in [0.5, 0.0] {
            let with = |scale: &GradientScale| Sgd {
                momentum: 0.9,
                nesterov: false,
                weight_decay: 0.1,
                scale: scale.clone(),
            };
            let scale = GradientScale::default();
            let ours = with(&scale);
            scale.set(scaled);
            close(&trained(&ours, DType::F32), &trained(&ours, DType::F64), "both ways");
        }
    }

    #[test]
    fn a_weight_that_something_else_refers_to_is_not_changed_in_its_place() {
        let (weight, gradient) = (numbers(1), numbers(2));
        let kept = weight.clone();
        let ours = Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0, scale: GradientScale::default() };
        let (moved, _) = ours.step(0.1, weight, gradient, None);
        assert_eq!(kept.into_data(), numbers(1).into_data());
        assert_ne!(moved.into_data(), numbers(1).into_data());
    }
}
