//! Methods on models of burn: that the file has what training read, and that gradients pass. The formulas are tested in
//! the core.

mod common;

use std::sync::Arc;

use burn::module::{Module, ModuleMapper, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData};
use common::values;
use fewbit::method::{Fewbit, FixedWidth, Lsq, Method, PtqMinMax, PtqMse, Qat, QuantNoise, ScaleSpace};
use fewbit::{BitWidth, GroupSize, RangeGranularity, StoredModel, StoredTensor};
use fewbit_burn::{Mode, QuantizationConfig, Quantizer, StoredModelExt};

fn autodiff() -> Device {
    Device::flex().autodiff()
}

fn fixed(bits: u8, granularity: RangeGranularity) -> FixedWidth {
    let group_size = GroupSize::new(5).unwrap();
    FixedWidth { width: BitWidth::new(bits).unwrap(), granularity, group_size }
}

/// A layer with a weight `[6, 4]` of numbers between -1 and 1. Groups of five end within channels of six.
fn layer(method: Arc<dyn Method>, device: &Device) -> (Linear, Quantizer) {
    let weights: Vec<f32> = (0..24).map(|i| ((i * 37 % 41) as f32 - 20.0) / 20.0).collect();
    layer_of(weights, [6, 4], method, device)
}

/// A layer with this weight.
fn layer_of(
    weights: Vec<f32>,
    [inputs, outputs]: [usize; 2],
    method: Arc<dyn Method>,
    device: &Device,
) -> (Linear, Quantizer) {
    let mut layer = LinearConfig::new(inputs, outputs).with_bias(false).init(device);
    let data = TensorData::new(weights, [inputs, outputs]);
    layer.weight = layer.weight.map(|_| Tensor::from_data(data, device).require_grad());
    let config = QuantizationConfig { method, ..QuantizationConfig::diffq(8) };
    config.with_min_tensor_size(0).attach(layer, 3).unwrap()
}

fn every_method() -> Vec<Arc<dyn Method>> {
    let of = |granularity| -> [Arc<dyn Method>; 7] {
        let fixed = fixed(3, granularity);
        let group_size = GroupSize::new(5).unwrap();
        [
            Arc::new(Fewbit { granularity, group_size, ..Fewbit::default() }),
            Arc::new(Lsq { fixed, space: ScaleSpace::Linear }),
            Arc::new(Lsq { fixed, space: ScaleSpace::Logarithm }),
            Arc::new(Qat(fixed)),
            Arc::new(QuantNoise { fixed, share: 0.5 }),
            Arc::new(PtqMinMax(fixed)),
            Arc::new(PtqMse(fixed)),
        ]
    };
    [RangeGranularity::Tensor, RangeGranularity::Channel, RangeGranularity::Group]
        .into_iter()
        .flat_map(of)
        .collect()
}

/// The values of the only tensor, in memory order.
fn in_file(stored: &StoredModel, quantizer: &Quantizer) -> Vec<f32> {
    quantizer.parameter("weight").unwrap().layout().to_memory(stored.tensors["weight"].values())
}

#[test]
fn what_rounding_trains_with_is_what_the_file_has() {
    for method in every_method() {
        let (layer, quantizer) = layer(method.clone(), &autodiff());
        let stored = StoredModel::rounded(&layer, &quantizer).unwrap();
        for mode in [Mode::StraightThrough, Mode::Rounded] {
            quantizer.control().set_mode(mode);
            assert_eq!(values(layer.weight.val()), in_file(&stored, &quantizer), "{method:?}, {mode:?}");
        }
        let reloaded = StoredModel::from_bytes(&stored.to_bytes().unwrap()).unwrap();
        assert_eq!(reloaded, stored, "{method:?}");
    }
}

/// A gradient reaches the stored weight in every mode that trains, whatever the method.
#[test]
fn gradients_pass_in_every_mode() {
    for method in every_method() {
        let (layer, quantizer) = layer(method.clone(), &autodiff());
        for mode in [Mode::Noise, Mode::StraightThrough] {
            quantizer.control().set_mode(mode);
            let gradients = layer.weight.val().sum().backward();
            let gradient = values(layer.weight.base().grad(&gradients).unwrap());
            assert!(gradient.contains(&1.0), "{method:?}, {mode:?}");
            quantizer.advance();
        }
    }
}

/// Puts other numbers in the place of what is learned, and forgets the weight that was drawn.
struct Replace(TensorData);

impl ModuleMapper for Replace {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if D == 1 {
            let data = self.0.clone();
            param.map(|old| Tensor::<D>::from_data(data, &old.device()).require_grad())
        } else {
            // Another node of the graph: what was read before is not read again.
            param.map(|old| old.detach().require_grad())
        }
    }
}

/// Whole channels, and groups within the others, whose weights are below half a step: no bit in the file, and
/// zeros in whatever reads it.
#[test]
fn channels_and_groups_that_round_to_nothing_take_no_bits() {
    let (inputs, outputs, device) = (64, 32, autodiff());
    let vanishes = |input: usize, output: usize| output.is_multiple_of(3) || input / 16 == output % 4;
    let weight = |i: usize| {
        let value = ((i * 37 % 41) as f32 - 20.5) / 20.0;
        if vanishes(i / outputs, i % outputs) { 1e-3 * value } else { value }
    };
    let weights: Vec<f32> = (0..inputs * outputs).map(weight).collect();
    for granularity in [RangeGranularity::Tensor, RangeGranularity::Channel] {
        let method = Arc::new(Fewbit { granularity, ..Fewbit::default() });
        let (layer, quantizer) = layer_of(weights.clone(), [inputs, outputs], method, &device);
        let count = quantizer.parameter("weight").unwrap().layout().grouping().count();
        let layer = layer.map(&mut Replace(TensorData::new(vec![-2.0f32; count], [count])));

        let bytes = StoredModel::rounded(&layer, &quantizer).unwrap().to_bytes().unwrap();
        let stored = StoredModel::from_bytes(&bytes).unwrap();
        let StoredTensor::Quantized(tensor) = &stored.tensors["weight"] else { panic!("not quantized") };
        let (values, groups) = (tensor.dequantize(), tensor.widths());
        assert_eq!((tensor.shape(), groups.len()), ([outputs, inputs].as_slice(), outputs * inputs / 16));
        for (group, width) in groups.iter().enumerate() {
            let (output, input) = (group / 4, group % 4 * 16);
            let found = &values[16 * group..16 * (group + 1)];
            assert_eq!(width.get() == 0, vanishes(input, output), "{granularity:?}, group {group}");
            assert_eq!(found.iter().all(|value| *value == 0.0), vanishes(input, output));
        }
    }
}
