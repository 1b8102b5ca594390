//! What each method does to a weight: values, gradients, and that the file has what training saw.

mod common;

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData};
use common::values;
use fewbit::{BitWidth, GroupSize, RangeGranularity};
use fewbit_burn::{
    FixedWidth, Method, Mode, QuantizationConfig, Quantizer, StepConfig, StepSpace, StoredModel,
    StoredTensor, WeightQuantizer,
};

fn autodiff() -> Device {
    Device::flex().autodiff()
}

fn fixed(bits: u8, granularity: RangeGranularity) -> FixedWidth {
    let group_size = GroupSize::new(5).unwrap();
    FixedWidth { width: BitWidth::new(bits).unwrap(), granularity, group_size }
}

fn steps(granularity: RangeGranularity) -> Method {
    Method::Fewbit(StepConfig { granularity, group_size: 5, ..StepConfig::default() })
}

/// Groups of five end within channels of six, and the last has four.
const ALL: [RangeGranularity; 3] =
    [RangeGranularity::Tensor, RangeGranularity::Channel, RangeGranularity::Group];

/// A layer with a weight `[6, 4]` of numbers between -1 and 1.
fn layer(method: Method, device: &Device) -> (Linear, Quantizer) {
    let weights: Vec<f32> = (0..24).map(|i| ((i * 37 % 41) as f32 - 20.0) / 20.0).collect();
    layer_of(weights, [6, 4], method, device)
}

/// A layer with this weight.
fn layer_of(
    weights: Vec<f32>,
    [inputs, outputs]: [usize; 2],
    method: Method,
    device: &Device,
) -> (Linear, Quantizer) {
    let mut layer = LinearConfig::new(inputs, outputs).with_bias(false).init(device);
    let data = TensorData::new(weights, [inputs, outputs]);
    layer.weight = layer.weight.map(|_| Tensor::from_data(data, device).require_grad());
    QuantizationConfig::new(method).with_min_tensor_size(0).attach(layer, 3).unwrap()
}

fn learned(layer: &Linear) -> Tensor<1> {
    layer.weight.reparameterization::<WeightQuantizer>().unwrap().learned.val()
}

fn every_method() -> Vec<Method> {
    let of = |granularity| {
        let fixed = fixed(3, granularity);
        [
            steps(granularity),
            Method::Lsq(fixed, StepSpace::Linear),
            Method::Lsq(fixed, StepSpace::Logarithm),
            Method::Qat(fixed),
            Method::QuantNoise(fixed, 0.5),
            Method::Rounding(fixed),
            Method::NearestRounding(fixed),
        ]
    };
    ALL.into_iter().flat_map(of).collect()
}

#[test]
fn what_rounding_trains_with_is_what_the_file_has() {
    for method in every_method() {
        let (layer, quantizer) = layer(method.clone(), &autodiff());
        let stored = StoredModel::rounded(&layer, &quantizer).unwrap();
        let StoredTensor::Quantized(tensor) = &stored.tensors["weight"] else { panic!("not quantized") };
        let site = quantizer.site("weight").unwrap();
        let file = site.dequantize(tensor);
        for mode in [Mode::StraightThrough, Mode::Rounded] {
            quantizer.control().set_mode(mode);
            assert_eq!(values(layer.weight.val()), file, "{method:?}, {mode:?}");
        }
        let reloaded = StoredModel::from_bytes(&stored.to_bytes().unwrap()).unwrap();
        assert_eq!(reloaded, stored, "{method:?}");
    }
}

#[test]
fn a_fixed_width_has_at_most_its_levels() {
    let lsq = |fixed| Method::Lsq(fixed, StepSpace::Linear);
    for method in [lsq, Method::Qat, Method::Rounding, Method::NearestRounding] {
        for bits in 1..=4 {
            let (layer, quantizer) = layer(method(fixed(bits, RangeGranularity::Tensor)), &autodiff());
            quantizer.control().set_mode(Mode::Rounded);
            let mut found = values(layer.weight.val());
            found.sort_by(f32::total_cmp);
            found.dedup();
            assert!(found.len() <= 1 << bits, "{} levels of {bits} bits", found.len());
        }
    }
}

/// Of a gradient of ones: where a weight lies within its levels it passes, where it lies beyond it does not;
/// the step gets `Σ (q - w/s)` within and `Σ q` beyond (Esser et al. 2020, equation 3), times the factor.
#[test]
fn the_gradients_of_learned_steps_are_the_papers() {
    let (layer, quantizer) =
        layer(Method::Lsq(fixed(2, RangeGranularity::Tensor), StepSpace::Linear), &autodiff());
    quantizer.control().set_mode(Mode::StraightThrough);
    let gradients = layer.weight.val().sum().backward();
    let (weights, step) = (values(layer.weight.base().detach()), values(learned(&layer).detach())[0]);
    let of_weight = values(layer.weight.base().grad(&gradients).unwrap());
    let of_step = values(learned(&layer).grad(&gradients).unwrap())[0];
    let stored = fewbit::compress::stored_step(step);
    let mut expected = 0.0;
    for (weight, gradient) in weights.iter().zip(of_weight) {
        let position = weight / stored;
        let is_inside = (-2.0..=1.0).contains(&position);
        assert_eq!(gradient, if is_inside { 1.0 } else { 0.0 }, "{weight}");
        let level = position.round_ties_even().clamp(-2.0, 1.0);
        expected += if is_inside { level - position } else { level };
    }
    // Two levels above zero would be 2^(2-1) - 1 = 1: the factor is 1/√(24·1).
    expected /= 24f32.sqrt();
    assert!((of_step - expected).abs() < 1e-5, "{of_step}, {expected}");
}

/// Under noise the weight is a smooth function of the logarithm of its step.
#[test]
fn the_gradient_of_a_step_under_noise_is_that_of_finite_differences() {
    for granularity in ALL {
        let (layer, quantizer) = layer(steps(granularity), &autodiff());
        quantizer.control().set_mode(Mode::Noise);
        let loss = |layer: &Linear| {
            let weight = layer.weight.val();
            (weight.clone() * weight.clone() * weight).sum()
        };
        let gradients = loss(&layer).backward();
        let found = values(learned(&layer).grad(&gradients).unwrap());
        for (group, found) in found.into_iter().enumerate() {
            let at = |shift: f32| {
                let mut moved = values(learned(&layer).detach());
                moved[group] += shift;
                // A power of two times 16-bit floats would be one again; here steps are rounded to those.
                let steps: Vec<f32> = moved.iter().map(|l| fewbit::compress::stored_step(l.exp2())).collect();
                (f64::from(steps[group]), moved)
            };
            let value = |moved: Vec<f32>| {
                let mut shifted = layer.clone();
                let count = moved.len();
                let data = TensorData::new(moved, [count]);
                shifted = shifted.map(&mut Replace(data));
                let sum: f64 = loss(&shifted).detach().into_scalar();
                sum
            };
            let ((high, above), (low, below)) = (at(0.05), at(-0.05));
            let measured = (value(above) - value(below)) / (high.log2() - low.log2());
            let found = f64::from(found);
            assert!((measured - found).abs() < 2e-2 * (1.0 + found.abs()), "{measured}, {found}");
        }
    }
}

/// Puts other numbers in the place of what is learned, and forgets the weight that was drawn.
struct Replace(TensorData);

impl burn::module::ModuleMapper for Replace {
    fn map_float<const D: usize>(
        &mut self,
        param: burn::module::Param<Tensor<D>>,
    ) -> burn::module::Param<Tensor<D>> {
        if D == 1 {
            let data = self.0.clone();
            param.map(|old| Tensor::<D>::from_data(data, &old.device()).require_grad())
        } else {
            // Another node of the graph: what was read before is not read again.
            param.map(|old| old.detach().require_grad())
        }
    }
}

#[test]
fn quant_noise_rounds_a_share_of_the_weights_and_leaves_the_rest() {
    let shares = [0.0f32, 0.5, 1.0].map(|share| {
        let (layer, quantizer) =
            layer(Method::QuantNoise(fixed(2, RangeGranularity::Tensor), share), &autodiff());
        let base = values(layer.weight.base().detach());
        quantizer.control().set_mode(Mode::Rounded);
        let rounded = values(layer.weight.val());
        quantizer.control().set_mode(Mode::Noise);
        let (mut moved, mut able) = (0, 0);
        for _ in 0..200 {
            let noisy = values(layer.weight.val());
            for ((noisy, base), rounded) in noisy.iter().zip(&base).zip(&rounded) {
                let (is_base, is_rounded) = ((noisy - base).abs() < 1e-6, (noisy - rounded).abs() < 1e-6);
                assert!(is_base || is_rounded);
                able += u32::from((base - rounded).abs() > 1e-5);
                moved += u32::from(!is_base);
            }
            quantizer.advance();
        }
        f64::from(moved) / f64::from(able)
    });
    assert_eq!((shares[0], shares[2]), (0.0, 1.0));
    assert!((shares[1] - 0.5).abs() < 0.03, "{shares:?}");
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

/// A matrix whose rows are what is stored: as wide as it is stored, a step for each output.
#[test]
fn a_step_of_its_own_follows_each_channels_weights() {
    let (layer, quantizer) = layer(steps(RangeGranularity::Channel), &autodiff());
    let site = quantizer.site("weight").unwrap();
    let weights = values(layer.weight.base().detach());
    let found = values(learned(&layer).detach());
    for (column, step) in found.iter().enumerate() {
        let mean = (0..6).map(|row| weights[row * 4 + column].abs()).sum::<f32>() / 6.0;
        assert!((step.exp2() - 2.0 * mean / 7f32.sqrt()).abs() < 1e-5);
    }
    assert_eq!(site.stored_shape(), [4, 6]);
}

/// With more bytes than levels can use, steps shrink as far as they like: no weight may be cut for that.
#[test]
fn no_step_is_so_fine_that_a_weight_is_cut() {
    for granularity in ALL {
        let (layer, quantizer) = layer(steps(granularity), &autodiff());
        let count = learned(&layer).dims()[0];
        let layer = layer.map(&mut Replace(TensorData::new(vec![-30.0f32; count], [count])));
        let weights = values(layer.weight.base().detach());
        let stored = StoredModel::rounded(&layer, &quantizer).unwrap();
        let StoredTensor::Quantized(tensor) = &stored.tensors["weight"] else { panic!("not quantized") };
        let file = quantizer.site("weight").unwrap().dequantize(tensor);
        quantizer.control().set_mode(Mode::StraightThrough);
        assert_eq!(values(layer.weight.val()), file);
        for (weight, rounded) in weights.iter().zip(&file) {
            assert!((weight - rounded).abs() <= 0.51 / 127.0, "{weight}: {rounded}");
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
        let method = Method::Fewbit(StepConfig { granularity, group_size: 16, ..StepConfig::default() });
        let (layer, quantizer) = layer_of(weights.clone(), [inputs, outputs], method, &device);
        let count = learned(&layer).dims()[0];
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
