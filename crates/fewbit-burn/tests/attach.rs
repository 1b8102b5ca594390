//! DiffQ on stock burn layers: what is chosen, what is read in each mode, what is shared.

mod common;

use burn::module::{Module, Param};
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig, Lstm, LstmConfig};
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Device, Int, Tensor};
use common::{SmallNet, values};
use fewbit::StoredModel;
use fewbit::method::DiffQ;
use fewbit::selection::SelectionError;
use fewbit_burn::{
    AttachError, Mode, QuantizationConfig, SizePenalty, StoredModelExt, WeightQuantizer, soft_size,
};

fn autodiff() -> Device {
    Device::flex().autodiff()
}

fn all() -> QuantizationConfig {
    QuantizationConfig::diffq(8).with_min_tensor_size(0)
}

#[test]
fn size_and_patterns_choose_the_parameters() {
    let paths = |config: QuantizationConfig| {
        let (_, diffq) = config.attach(SmallNet::new(&autodiff()), 0).unwrap();
        diffq.parameters().map(|one| one.path().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(paths(all().with_exclude(["*.bias", "norm.*"])), ["conv.weight", "fc.weight"]);
    assert_eq!(paths(all().with_include(["fc.*"])), ["fc.weight", "fc.bias"]);
    // conv.weight has 36 elements: at the bound it stays float.
    assert_eq!(paths(QuantizationConfig::diffq(8).with_min_tensor_size(36)), ["fc.weight"]);
    assert!(!paths(all()).iter().any(|path| path.contains("running")));
}

#[test]
fn settings_that_cannot_be_meant_are_refused() {
    let attach = |config: QuantizationConfig| config.attach(SmallNet::new(&autodiff()), 0).unwrap_err();
    let nothing = attach(QuantizationConfig::diffq(8));
    assert!(matches!(nothing, AttachError::Selection(SelectionError::Nothing { .. })), "{nothing}");
    let unused = attach(all().with_exclude(["cnov.*"]));
    assert!(matches!(unused, AttachError::Selection(SelectionError::UnusedPattern { .. })), "{unused}");
    let diffq = DiffQ { min_bits: 9.0, max_bits: 4.0, ..DiffQ::default() };
    assert!(matches!(attach(QuantizationConfig::new(diffq)), AttachError::Method(_)));
}

#[test]
fn a_model_is_attached_once() {
    let (model, _) = all().attach(SmallNet::new(&autodiff()), 0).unwrap();
    let error = all().attach(model, 0).unwrap_err();
    assert!(matches!(&error, AttachError::Attached { path } if path == "conv.weight"), "{error}");
}

#[derive(Module, Debug)]
struct Cloned {
    a: Linear,
    b: Linear,
}

#[test]
fn clones_of_a_parameter_are_refused_by_name() {
    let a: Linear = LinearConfig::new(8, 8).init(&autodiff());
    let error = all().attach(Cloned { a: a.clone(), b: a }, 0).unwrap_err().to_string();
    assert!(error.contains("`a.weight`") && error.contains("`b.weight`"), "{error}");
}

#[test]
fn each_mode_reads_what_it_says() {
    let (model, diffq) = all().attach(SmallNet::new(&autodiff()), 0).unwrap();
    let base = values(model.fc.weight.base());
    let read = |mode| {
        diffq.control().set_mode(mode);
        values(model.fc.weight.val())
    };
    assert_eq!(read(Mode::Float), base);
    let noisy = read(Mode::Noise);
    let rounded = read(Mode::Rounded);
    assert_ne!(noisy, base);
    assert_ne!(rounded, base);
    assert_eq!(read(Mode::StraightThrough), rounded, "equal to the last bit");
    // Off the autodiff device noise never shows.
    diffq.control().set_mode(Mode::Noise);
    let valid = model.valid();
    assert_eq!(values(valid.fc.weight.val()), rounded);
    assert_eq!(values(valid.fc.weight.val()), rounded, "and it does not change from read to read");
    assert_eq!(values(valid.materialize().fc.weight.val()), rounded);
}

#[test]
fn straight_through_passes_the_gradient_and_rounded_does_not() {
    let (model, diffq) = all().attach(SmallNet::new(&autodiff()), 0).unwrap();
    diffq.control().set_mode(Mode::StraightThrough);
    let gradients = (model.fc.weight.val() * 3.0).sum().backward();
    assert!(values(model.fc.weight.base().grad(&gradients).unwrap()).iter().all(|&g| g == 3.0));
    diffq.control().set_mode(Mode::Rounded);
    let sum = model.fc.weight.val().sum() + model.conv.weight.base().sum();
    assert!(model.fc.weight.base().grad(&sum.backward()).is_none());
}

#[test]
fn noise_is_drawn_once_per_step_however_often_it_is_read() {
    let (model, diffq) = all().attach(SmallNet::new(&autodiff()), 9).unwrap();
    let read = || values(model.fc.weight.val());
    let first = read();
    assert_eq!(read(), first);
    diffq.advance_micro_step();
    let micro = read();
    assert_ne!(micro, first);
    diffq.advance();
    assert_ne!(read(), first);
    // The same draw again, as a resumed run makes it.
    let (model, _) = all().attach(model.valid().train().materialize(), 9).unwrap();
    assert_eq!(model.num_params(), SmallNet::new(&autodiff()).num_params() + 5 + 1 + 1 + 1 + 24 + 1);
}

#[test]
fn the_same_seed_gives_the_same_noise_and_another_does_not() {
    let model = SmallNet::new(&autodiff());
    let noisy = |seed| values(all().attach(model.clone(), seed).unwrap().0.conv.weight.val());
    assert_eq!(noisy(4), noisy(4));
    assert_ne!(noisy(4), noisy(5));
}

#[test]
fn a_recurrent_layer_reads_one_draw_at_all_time_steps() {
    let device = autodiff();
    let lstm: Lstm = LstmConfig::new(4, 6, true).init(&device);
    let (lstm, diffq) = all().with_exclude(["*.bias"]).attach(lstm, 0).unwrap();
    assert_eq!(diffq.parameters().len(), 8);
    let input = Tensor::<3>::ones([2, 5, 4], &device);
    let forward = || values(lstm.forward(input.clone(), None).0);
    let first = forward();
    assert_eq!(forward(), first);
    let gradients = lstm.forward(input.clone(), None).0.sum().backward();
    let weight = &lstm.input_gate.hidden_transform.weight;
    let logits = &weight.reparameterization::<WeightQuantizer>().unwrap().learned;
    assert!(logits.val().grad(&gradients).is_some());
    diffq.advance();
    assert_ne!(forward(), first);
}

/// Input and output embedding are one parameter, read twice.
#[derive(Module, Debug)]
struct Tied {
    embedding: Embedding,
}

impl Tied {
    fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let x = self.embedding.forward(tokens);
        let head: Tensor<2> = self.embedding.weight.val().transpose();
        x.matmul(head.unsqueeze())
    }
}

#[test]
fn a_tied_weight_has_one_noise_and_is_counted_and_stored_once() {
    let device = autodiff();
    let model = Tied { embedding: EmbeddingConfig::new(16, 8).init(&device) };
    let (model, diffq) = all().attach(model, 0).unwrap();
    assert_eq!(diffq.parameters().len(), 1);
    // 16 groups of 8 at 8 bits: 1024 codes + 64 range + 8 + 16·3 widths.
    assert_eq!(soft_size(&model, &diffq).unwrap().round(), 1024.0 + 64.0 + 8.0 + 48.0);
    let tokens = Tensor::<2, Int>::from_data([[1, 2, 3]], &device);
    let gradients = model.forward(tokens).sum().backward();
    assert!(model.embedding.weight.base().grad(&gradients).is_some());
    assert_eq!(StoredModel::rounded(&model, &diffq).unwrap().tensors.len(), 1);
}

#[test]
fn the_size_of_the_papers_example() {
    // One 64×128 weight, g 8, all widths 8: 65,536 + 64 + 8 + 1024·3 = 68,680 bits.
    let model: Linear = LinearConfig::new(64, 128).with_bias(false).init(&autodiff());
    let (model, diffq) = QuantizationConfig::diffq(8).attach(model, 0).unwrap();
    assert!((soft_size(&model, &diffq).unwrap() - 68_680.0).abs() < 0.1);
    // The part with a gradient, in MiB.
    let penalty = SizePenalty::of(&model, &diffq).unwrap().loss(2.0);
    assert!((f64::from(values(penalty)[0]) - 2.0 * 65_536.0 / 8_388_608.0).abs() < 1e-6);
}

#[test]
fn the_penalty_pulls_the_bits_down_and_the_loss_holds_them() {
    let device = autodiff();
    let model: Linear = LinearConfig::new(16, 8).with_bias(false).init(&device);
    let (mut model, diffq) = all().attach(model, 0).unwrap();
    let before = soft_size(&model, &diffq).unwrap();
    let mut optimizer = SgdConfig::new().init();
    for _ in 0..5 {
        let penalty = SizePenalty::of(&model, &diffq).unwrap().loss(1e5);
        let gradients = GradientsParams::from_grads(penalty.backward(), &model);
        assert_eq!(gradients.len(), 1, "only the logits have a gradient");
        model = optimizer.step(1.0, model, gradients);
        diffq.advance();
    }
    assert!(soft_size(&model, &diffq).unwrap() < before - 100.0);
}

#[test]
fn a_ragged_tail_counts_its_own_length() {
    // 10 weights in groups of 8: 8·b + 2·b.
    let model: Linear = LinearConfig::new(5, 2).with_bias(false).init(&autodiff());
    let (model, diffq) = all().attach(model, 0).unwrap();
    let penalty = SizePenalty::of(&model, &diffq).unwrap().loss(8.0 * 1024.0 * 1024.0);
    assert!((values(penalty)[0] - 80.0).abs() < 1e-3);
    let logits: &Param<Tensor<1>> = &model.weight.reparameterization::<WeightQuantizer>().unwrap().learned;
    assert_eq!(logits.val().dims(), [2]);
}
