//! The fused noise operation against its plain twin and against finite differences.

mod common;

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData};
use common::values;
use fewbit::BitsParametrisation;
use fewbit_burn::noise::{add_noise, add_noise_by_tensors};
use fewbit_burn::{NoiseLaw, QuantizationConfig, Quantizer, WeightQuantizer};

/// A loss whose gradient differs from weight to weight.
fn loss<const D: usize>(weight: Tensor<D>) -> Tensor<1> {
    let n = weight.dims().iter().product::<usize>();
    let factors: Vec<f32> = (0..n).map(|i| ((i * 31 + 7) % 17) as f32 / 8.0 - 1.0).collect();
    let factors = Tensor::<1>::from_data(TensorData::new(factors, [n]), &weight.device());
    let flat: Tensor<1> = weight.reshape([n]);
    (flat.clone() * factors).sum() + (flat.clone() * flat).sum()
}

struct Case<const D: usize> {
    weight: Param<Tensor<D>>,
    diffq: Quantizer,
    path: &'static str,
}

/// Value, gradient of the weight, gradient of the logits.
fn with_gradients<const D: usize>(case: &Case<D>, fused: bool) -> [Vec<f32>; 3] {
    let site = case.diffq.site(case.path).unwrap();
    let key = site.noise_key(case.diffq.control().clock());
    let logits = &case.weight.reparameterization::<WeightQuantizer>().unwrap().learned;
    // Different bits in each group.
    let n = site.grouping.count();
    let spread: Vec<f32> = (0..n).map(|k| (k as f32 * 0.7).sin() - 0.9).collect();
    let spread = Tensor::<1>::from_data(TensorData::new(spread, [n]), &logits.val().device());
    let spread = spread.require_grad();
    let base = case.weight.base();
    let add = if fused { add_noise } else { add_noise_by_tensors };
    let noisy = add(base.clone(), spread.clone(), site, key);
    let gradients = loss(noisy.clone()).backward();
    let weight = base.grad(&gradients).unwrap();
    [values(noisy), values(weight), values(spread.grad(&gradients).unwrap())]
}

fn check<const D: usize>(case: &Case<D>, name: &str) {
    let (fused, plain) = (with_gradients(case, true), with_gradients(case, false));
    for (part, (a, b)) in ["value", "weight gradient", "logit gradient"].iter().zip(fused.iter().zip(&plain))
    {
        assert_eq!(a.len(), b.len());
        // Sums of up to 300 terms of order 1 in another order, and exponentials by other polynomials.
        let scale = b.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
        for (i, (a, b)) in a.iter().zip(b).enumerate() {
            assert!((a - b).abs() <= 2e-4 * scale, "{name}, {part} {i}: fused {a}, plain {b}");
        }
    }
}

fn linear(config: &QuantizationConfig, shape: [usize; 2], device: &Device) -> Case<2> {
    let model: Linear = LinearConfig::new(shape[0], shape[1]).init(device);
    let (model, diffq) = config.attach(model, 3).unwrap();
    Case { weight: model.weight, diffq, path: "weight" }
}

#[test]
fn fused_noise_equals_its_plain_twin() {
    let device = Device::flex().autodiff();
    for noise in [NoiseLaw::Gaussian, NoiseLaw::Uniform] {
        for parametrisation in [BitsParametrisation::Bits, BitsParametrisation::Noise] {
            // Groups that divide the columns, groups that run across them, one group, a ragged tail.
            for group_size in [8, 5, 0, 7, 1] {
                let config = QuantizationConfig::diffq(group_size)
                    .with_noise(noise)
                    .with_parametrisation(parametrisation)
                    .with_min_tensor_size(0)
                    .with_include(["weight"]);
                let name = format!("{noise:?} {parametrisation:?} group {group_size}");
                for shape in [[16, 10], [33, 9], [1, 40], [40, 1]] {
                    check(&linear(&config, shape, &device), &format!("linear {shape:?} {name}"));
                }
                let conv: Conv2d = Conv2dConfig::new([3, 4], [3, 3]).init(&device);
                let (conv, diffq) = config.attach(conv, 3).unwrap();
                check(&Case { weight: conv.weight, diffq, path: "weight" }, &format!("conv {name}"));
                let conv: ConvTranspose2d = ConvTranspose2dConfig::new([3, 4], [2, 2]).init(&device);
                let (conv, diffq) = config.attach(conv, 3).unwrap();
                check(&Case { weight: conv.weight, diffq, path: "weight" }, &format!("transposed {name}"));
            }
        }
    }
}

#[test]
fn gradients_of_the_logits_agree_with_finite_differences() {
    let device = Device::flex().autodiff();
    for parametrisation in [BitsParametrisation::Bits, BitsParametrisation::Noise] {
        let config = QuantizationConfig::diffq(8)
            .with_parametrisation(parametrisation)
            .with_bits(2.0, 4.0, 8.0)
            .with_min_tensor_size(0)
            .with_include(["weight"]);
        let case = linear(&config, [12, 6], &device);
        let site = case.diffq.site("weight").unwrap();
        let key = site.noise_key(case.diffq.control().clock());
        let n = site.grouping.count();
        let start: Vec<f32> = (0..n).map(|k| 0.3 * k as f32 - 1.0).collect();
        let at = |logits: &[f32]| {
            let logits =
                Tensor::<1>::from_data(TensorData::new(logits.to_vec(), [n]), &device).require_grad();
            let loss = loss(add_noise(case.weight.base(), logits.clone(), site, key));
            (f64::from(values(loss.clone())[0]), values(logits.grad(&loss.backward()).unwrap()))
        };
        let (_, gradient) = at(&start);
        for k in 0..n {
            let moved = |h: f32| {
                let mut logits = start.clone();
                logits[k] += h;
                at(&logits).0
            };
            let difference = (moved(0.01) - moved(-0.01)) / 0.02;
            // Cancellation in f32: losses of order 10 are exact to 1e-6, over a step of 0.02.
            let found = f64::from(gradient[k]);
            assert!((difference - found).abs() < 2e-3 + 1e-2 * found.abs(), "{k}: {difference} and {found}");
        }
    }
}

#[test]
fn the_weight_keeps_the_whole_gradient() {
    let device = Device::flex().autodiff();
    let config = QuantizationConfig::diffq(8).with_min_tensor_size(0).with_include(["weight"]);
    let model: Linear = LinearConfig::new(8, 4).init(&device);
    let (model, _) = config.attach(model, 0).unwrap();
    let gradients = model.weight.val().sum().backward();
    let gradient = values(model.weight.base().grad(&gradients).unwrap());
    assert!(gradient.iter().all(|&g| g == 1.0));
    assert!(model.num_params() > 36, "the logits are ordinary parameters");
}
