//! What the design rests on in burn 0.22, each fact with its test: when one falls, an update has
//! changed something that this crate must follow.

mod common;

use burn::module::{Module, Param};
use burn::nn::{BatchNormConfig, Linear, LinearConfig};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Device, Tensor, TensorData};
use common::{SmallNet, values};
use fewbit_burn::{QuantizationConfig, WeightQuantizer};

fn autodiff() -> Device {
    Device::flex().autodiff()
}

#[test]
fn parameter_identities_differ_from_run_to_run() {
    let (a, b) = (SmallNet::new(&autodiff()), SmallNet::new(&autodiff()));
    assert_ne!(a.fc.weight.id, b.fc.weight.id, "so noise is keyed by path");
}

#[test]
fn clones_of_a_parameter_drift_apart() {
    let model: Linear = LinearConfig::new(2, 2).with_bias(false).init(&autodiff());
    let pair = [model.clone(), model];
    let loss = pair[0].weight.val().sum() + pair[1].weight.val().sum();
    let gradients = GradientsParams::from_grads(loss.backward(), &pair);
    let pair = SgdConfig::new().init().step(0.1, pair, gradients);
    assert_ne!(values(pair[0].weight.val()), values(pair[1].weight.val()));
}

#[test]
fn momentum_is_damped_unless_told_otherwise() {
    assert_eq!(MomentumConfig::new().dampening, 0.1, "PyTorch has 0");
    // With dampening 0: v1 = g, v2 = 0.9·g + g, so the second step is 1.9 times the first.
    let mut model: Linear = LinearConfig::new(1, 1).with_bias(false).init(&autodiff());
    let momentum = MomentumConfig::new().with_dampening(0.0);
    let mut optimizer = SgdConfig::new().with_momentum(Some(momentum)).init();
    let mut at = vec![values(model.weight.val())[0]];
    for _ in 0..2 {
        let gradients = GradientsParams::from_grads(model.weight.val().sum().backward(), &model);
        model = optimizer.step(0.1, model, gradients);
        at.push(values(model.weight.val())[0]);
    }
    assert!(((at[1] - at[2]) / (at[0] - at[1]) - 1.9).abs() < 1e-4);
}

#[test]
fn a_record_alone_lags_one_update_of_the_running_statistics() {
    let device = autodiff();
    let norm = BatchNormConfig::new(1).with_momentum(1.0).init(&device);
    norm.forward(Tensor::<2>::from_floats([[1.0], [3.0]], &device));
    assert_eq!(values(norm.running_mean.value()), [0.0], "not synced yet");
    assert_eq!(values(norm.valid().running_mean.value()), [2.0], "`valid` syncs");
}

#[test]
fn a_clone_shares_its_running_statistics() {
    let device = autodiff();
    let norm = BatchNormConfig::new(1).with_momentum(1.0).init(&device);
    let clone = norm.clone();
    norm.forward(Tensor::<2>::from_floats([[1.0], [3.0]], &device));
    assert_eq!(values(clone.valid().running_mean.value()), [2.0], "so roll back from records");
}

#[test]
fn variance_is_biased_in_the_running_statistics() {
    let device = autodiff();
    let norm = BatchNormConfig::new(1).with_momentum(1.0).init(&device);
    norm.forward(Tensor::<2>::from_floats([[1.0], [3.0]], &device));
    assert_eq!(values(norm.valid().running_var.value()), [1.0], "PyTorch stores 2");
}

#[test]
fn a_materialized_model_has_no_logits_and_an_attached_one_has() {
    let config = QuantizationConfig::diffq(8).with_min_tensor_size(0);
    let (model, _) = config.attach(SmallNet::new(&autodiff()), 0).unwrap();
    let paths = |model: SmallNet| {
        let bytes = model.into_record().into_bytes().unwrap();
        String::from_utf8_lossy(&bytes).contains("learned")
    };
    assert!(paths(model.clone()));
    assert!(!paths(model.valid().materialize()));
}

#[test]
fn a_record_brings_logits_and_identities_back() {
    let config = QuantizationConfig::diffq(8).with_min_tensor_size(0);
    let (model, _) = config.attach(SmallNet::new(&autodiff()), 0).unwrap();
    let (other, _) = config.attach(SmallNet::new(&autodiff()), 0).unwrap();
    let loaded = other.load_record(model.valid().into_record());
    assert_eq!(loaded.fc.weight.id, model.fc.weight.id);
    let logits =
        |model: &SmallNet| model.fc.weight.reparameterization::<WeightQuantizer>().unwrap().learned.id;
    assert_eq!(logits(&loaded), logits(&model));
    let gradients = loaded.fc.weight.val().sum().backward();
    assert!(loaded.fc.weight.base().grad(&gradients).is_some(), "and it can be trained");
}

#[test]
fn data_survives_the_way_through_a_tensor() {
    let data: Vec<f32> = (0..7).map(|i| f32::from_bits(0x3f80_0001 + i)).collect();
    let tensor = Tensor::<1>::from_data(TensorData::new(data.clone(), [7]), &Device::flex());
    assert_eq!(values(tensor.clone()), data);
    assert_eq!(values(Param::from_tensor(tensor).val()), data);
}
