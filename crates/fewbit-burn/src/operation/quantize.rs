//! The weight that a training step reads, and its size, as operations of burn: the method's own functions on the
//! CPU, tensor operations with the method's slopes on any other device.

use std::sync::Arc;

use burn::backend::flex::FlexTensor;
use burn::tensor::{Device, Int, Tensor, TensorData};
use fewbit::Layout;
use fewbit::method::{Counted, Slopes};
use fewbit_kernels::NoiseKey;

use super::buffers::{self, recycle, values as numbers};
use super::{Operation, apply, runs_on, shared};
use crate::layout::values;
use crate::parameter::QuantizedParameter;

/// The weight under noise. Gradients reach `weight` and `learned`.
pub(crate) fn noisy<const D: usize>(
    weight: Tensor<D>,
    learned: Tensor<1>,
    parameter: &Arc<QuantizedParameter>,
    key: NoiseKey,
) -> Tensor<D> {
    read(weight, learned, Read { parameter: parameter.clone(), noise: Some(key) })
}

/// The rounded weight. Gradients pass straight through to `weight`, and to `learned`.
pub(crate) fn rounded<const D: usize>(
    weight: Tensor<D>,
    learned: Tensor<1>,
    parameter: &Arc<QuantizedParameter>,
) -> Tensor<D> {
    read(weight, learned, Read { parameter: parameter.clone(), noise: None })
}

/// What a step reads in place of a weight.
#[derive(Clone, Debug)]
struct Read {
    parameter: Arc<QuantizedParameter>,
    /// The draw of the noise; none where the weight is rounded.
    noise: Option<NoiseKey>,
}

fn read<const D: usize>(weight: Tensor<D>, learned: Tensor<1>, read: Read) -> Tensor<D> {
    if runs_on(&weight) && runs_on(&learned) {
        apply(read, [weight.into(), learned.into()])
    } else {
        read.by_tensors(weight, learned)
    }
}

impl Read {
    fn write(&self, weights: &[f32], learned: &[f32], out: &mut [f32]) {
        let (layout, method) = (self.parameter.layout(), self.parameter.method());
        match self.noise {
            Some(key) => method.noisy(layout, weights, learned, key, out),
            None => method.rounded(layout, weights, learned, out),
        }
    }

    /// The same with the same derivatives by tensor operations, which any device has: twin of the operation.
    fn by_tensors<const D: usize>(&self, weight: Tensor<D>, learned: Tensor<1>) -> Tensor<D> {
        let (layout, method) = (self.parameter.layout(), self.parameter.method());
        let (weights, numbers) = (values(&weight.clone().detach()), values(&learned.clone().detach()));
        let [mut out, mut of_weights, mut of_learned] = [(); 3].map(|()| vec![0.0; weights.len()]);
        self.write(&weights, &numbers, &mut out);
        let slopes = Slopes { of_weights: &mut of_weights, of_learned: &mut of_learned };
        match self.noise {
            Some(key) => method.noisy_slopes(layout, &weights, &numbers, key, slopes),
            None => method.rounded_slopes(layout, &weights, &numbers, slopes),
        }
        let (device, shape) = (weight.device(), weight.dims());
        let [out, of_weights, of_learned] =
            [out, of_weights, of_learned].map(|values| constant(values, shape, &device));
        // Both differences are zero: they are there for their gradients.
        let of_weights = (weight.clone() - weight.detach()) * of_weights;
        let learned = of_each(learned.clone() - learned.detach(), layout).reshape(shape);
        out + of_weights + learned * of_learned
    }
}

impl Operation<2> for Read {
    type Kept = [FlexTensor; 2];

    fn forward(&self, [weight, learned]: [FlexTensor; 2], _: bool) -> (FlexTensor, Option<Self::Kept>) {
        let mut out = buffers::take(numbers(&weight).len());
        self.write(numbers(&weight), numbers(&learned), &mut out);
        (buffers::tensor(out, weight.layout().shape().clone()), Some([weight, learned]))
    }

    fn backward(
        &self,
        [weight, learned]: Self::Kept,
        mut gradient: FlexTensor,
        _: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let (layout, method) = (self.parameter.layout(), self.parameter.method());
        let mut of_learned = buffers::take(numbers(&learned).len());
        let (weights, learned_numbers) = (numbers(&weight), numbers(&learned));
        let gradients = gradient.storage_mut();
        match self.noise {
            Some(key) => {
                method.noisy_gradient(layout, weights, learned_numbers, key, gradients, &mut of_learned);
            }
            None => method.rounded_gradient(layout, weights, learned_numbers, gradients, &mut of_learned),
        }
        let of_learned = buffers::tensor(of_learned, learned.layout().shape().clone());
        recycle(weight);
        [Some(gradient), Some(of_learned)]
    }
}

/// The size of a parameter as its method counts it.
pub(crate) struct Size {
    pub(crate) bits: f64,
    /// The derivatives in the weights, where the size depends on them.
    pub(crate) of_weights: Option<Vec<f32>>,
    pub(crate) of_learned: Vec<f32>,
    /// The finest learned numbers that have an effect.
    pub(crate) finest: Option<Vec<f32>>,
}

/// The size of a parameter; `None` where the method learns no size.
pub(crate) fn size<const D: usize>(
    weight: &Tensor<D>,
    learned: &Tensor<1>,
    parameter: &QuantizedParameter,
) -> Option<Size> {
    let (layout, method) = (parameter.layout(), parameter.method());
    let count = |weights: &[f32], learned: &[f32]| {
        let mut of_weights = method.size_depends_on_weights().then(|| buffers::take(weights.len()));
        let mut of_learned = vec![0.0; learned.len()];
        let slopes = of_weights.as_deref_mut().unwrap_or_default();
        let Counted { bits, finest } = method.size(layout, weights, learned, slopes, &mut of_learned)?;
        Some(Size { bits, of_weights, of_learned, finest })
    };
    if runs_on(weight) && runs_on(learned) {
        count(numbers(&shared(weight)), numbers(&shared(learned)))
    } else {
        count(&values(&weight.clone().detach()), &values(&learned.clone().detach()))
    }
}

pub(crate) fn constant<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    let tensor = Tensor::from_data(TensorData::new(values, shape), &device.clone().without_autodiff());
    if device.is_autodiff() { Tensor::from_inner(tensor) } else { tensor }
}

/// What each weight has of its group, in memory order.
fn of_each(groups: Tensor<1>, layout: &Layout) -> Tensor<1> {
    let index: Vec<i64> = layout.group_of_each().into_iter().map(|group| group as i64).collect();
    let index = TensorData::new(index, [layout.len()]);
    let index = Tensor::<1, Int>::from_data(index, &groups.device());
    groups.select(0, index)
}

#[cfg(test)]
mod tests {
    use burn::module::{Module, Param};
    use burn::nn::LinearConfig;
    use burn::nn::conv::{Conv2dConfig, ConvTranspose2dConfig};
    use fewbit::RangeGranularity;
    use fewbit::method::{DiffQ, Fewbit, FixedWidth, Lsq, Method, ScaleSpace};
    use fewbit::{BitWidth, GroupSize};

    use super::*;
    use crate::config::QuantizationConfig;
    use crate::quantizer::learned;

    /// A loss whose gradient differs from weight to weight.
    fn loss<const D: usize>(weight: Tensor<D>) -> Tensor<1> {
        let len = weight.dims().iter().product::<usize>();
        let factors: Vec<f32> = (0..len).map(|i| ((i * 31 + 7) % 17) as f32 / 8.0 - 1.0).collect();
        let factors = Tensor::<1>::from_data(TensorData::new(factors, [len]), &weight.device());
        let flat: Tensor<1> = weight.reshape([len]);
        (flat.clone() * factors).sum() + (flat.clone() * flat).sum()
    }

    /// The operation gives the value of the tensor operations to the last bit, and their gradients but for the order
    /// of sums.
    fn check<M: Module, const D: usize>(
        model: M,
        config: &QuantizationConfig,
        weight: impl Fn(&M) -> Param<Tensor<D>>,
    ) {
        let (model, quantizer) = config.attach(model, 3).unwrap();
        let parameter = quantizer.parameter("weight").unwrap().clone();
        let key = parameter.noise_key(quantizer.control().clock());
        let (base, learned) = (weight(&model).base(), learned(&model)[0].1.val());
        for noise in [Some(key), None] {
            let read = Read { parameter: parameter.clone(), noise };
            let fast: Tensor<D> = apply(read.clone(), [base.clone().into(), learned.clone().into()]);
            let plain = read.by_tensors(base.clone(), learned.clone());
            assert_eq!(values(&fast.clone().detach()), values(&plain.clone().detach()), "{config:?}");
            let gradients = [fast, plain].map(|read| {
                let gradients = loss(read).backward();
                let of_learned = learned.grad(&gradients).unwrap();
                [values(&base.grad(&gradients).unwrap()), values(&of_learned)]
            });
            for (fast, plain) in gradients[0].iter().zip(&gradients[1]) {
                let scale = plain.iter().fold(1e-3f32, |most, slope| most.max(slope.abs()));
                for (fast, plain) in fast.iter().zip(plain) {
                    assert!((fast - plain).abs() <= 2e-4 * scale, "{config:?}: {fast}, {plain}");
                }
            }
        }
    }

    #[test]
    fn the_operation_is_what_tensor_operations_say() {
        let device = Device::flex().autodiff();
        let fixed = FixedWidth {
            width: BitWidth::new(2).unwrap(),
            granularity: RangeGranularity::Group,
            group_size: GroupSize::new(5).unwrap(),
        };
        let methods: [Arc<dyn Method>; 4] = [
            Arc::new(DiffQ::with_groups_of(5)),
            Arc::new(Fewbit { granularity: RangeGranularity::Channel, ..Fewbit::default() }),
            Arc::new(Lsq { fixed, space: ScaleSpace::Linear }),
            Arc::new(Lsq { fixed, space: ScaleSpace::Logarithm }),
        ];
        for method in methods {
            let config = QuantizationConfig { method, ..QuantizationConfig::diffq(8) };
            let config = config.with_min_tensor_size(0).with_include(["weight"]);
            for [inputs, outputs] in [[16, 10], [33, 9], [1, 40], [40, 1]] {
                let layer = LinearConfig::new(inputs, outputs).init(&device);
                check(layer, &config, |layer| layer.weight.clone());
            }
            check(Conv2dConfig::new([3, 4], [3, 3]).init(&device), &config, |conv| conv.weight.clone());
            let transposed = ConvTranspose2dConfig::new([3, 4], [2, 2]).init(&device);
            check(transposed, &config, |conv| conv.weight.clone());
        }
    }

    /// The slopes of the size reach weights and scales in their own order: a weight `w` has the position `w/s`, so that
    /// `Σ w·∂/∂w` of a scale's weights is `-∂/∂(ln s)`.
    #[test]
    fn slopes_of_the_size_reach_weights_and_scales() {
        let device = Device::flex().autodiff();
        let method = Fewbit {
            granularity: RangeGranularity::Channel,
            group_size: GroupSize::new(2).unwrap(),
            ..Fewbit::default()
        };
        let config = QuantizationConfig::new(method).with_min_tensor_size(0);
        let layer = LinearConfig::new(6, 4).with_bias(false).init(&device);
        let (layer, quantizer) = config.attach(layer, 0).unwrap();
        let (base, learned) = (layer.weight.base(), learned(&layer)[0].1.val());
        let Size { bits, of_weights, of_learned, .. } =
            size(&base, &learned, quantizer.parameter("weight").unwrap()).unwrap();
        let (weights, of_weights) = (values(&base.detach()), of_weights.unwrap());
        assert!(bits > 0.0);
        for (column, of_scale) in of_learned.iter().enumerate() {
            let sum: f32 = (0..6).map(|row| weights[row * 4 + column] * of_weights[row * 4 + column]).sum();
            let expected = -std::f32::consts::LN_2 * sum;
            assert!((of_scale - expected).abs() < 1e-3 * (1.0 + expected.abs()), "{of_scale}, {expected}");
        }
    }
}
