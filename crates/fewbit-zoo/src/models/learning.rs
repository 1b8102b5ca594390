//! What must be true of every network, for the tests of each.

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{BYTES, ByteLanguageModel, ImageClassifier};

/// Eight random images, learned by heart for a few steps: the logits have the right shape and the loss falls by half.
pub(super) fn classifier_learns_one_batch<M: ImageClassifier>(
    init: impl FnOnce(&Device) -> M,
    [channels, height, width]: [usize; 3],
) {
    let device = Device::default().autodiff();
    device.seed(0);
    let model = init(&device);
    let pixels = numbers(8 * channels * height * width);
    let images = Tensor::<4>::from_data(TensorData::new(pixels, [8, channels, height, width]), &device);
    let labels = Tensor::<1, Int>::from_ints([0, 1, 2, 3, 4, 5, 6, 7], &device);
    assert_eq!(model.logits(images.clone()).dims(), [8, 10]);
    learns(model, labels, 40, |model| model.logits(images.clone()));
}

/// Four sequences of twelve bytes, learned by heart for a few steps: as [`classifier_learns_one_batch`].
pub(super) fn language_model_learns_one_batch<M: ByteLanguageModel>(init: impl FnOnce(&Device) -> M) {
    let device = Device::default().autodiff();
    device.seed(0);
    let model = init(&device);
    let bytes: Vec<i32> = (0..48).map(|i| i * 37 % 256).collect();
    let tokens = Tensor::<2, Int>::from_data(TensorData::new(bytes.clone(), [4, 12]), &device);
    let targets = Tensor::<1, Int>::from_ints(bytes.as_slice(), &device);
    assert_eq!(model.logits(tokens.clone()).dims(), [4, 12, BYTES]);
    learns(model, targets, 80, |model| model.logits(tokens.clone()).reshape([48, BYTES]));
}

/// Changing the last byte of a sequence changes the last position's logits and no other's.
pub(super) fn is_causal<M: ByteLanguageModel>(init: impl FnOnce(&Device) -> M) {
    let device = Device::default();
    device.seed(0);
    let model = init(&device);
    let logits = |last: i32| -> Vec<f32> {
        let tokens = Tensor::<2, Int>::from_ints([[5, 6, 7, last]], &device);
        model.logits(tokens).into_data().try_to_vec().unwrap()
    };
    let (one, other) = (logits(8), logits(200));
    let earlier = 3 * BYTES;
    assert_eq!(one[..earlier], other[..earlier]);
    assert_ne!(one[earlier..], other[earlier..]);
}

/// Adam at rate 0.01 halves the cross entropy within so many steps. A network that does not learn stays where it is; one
/// that learns by heart is far below half.
fn learns<M: Module>(mut model: M, targets: Tensor<1, Int>, steps: usize, logits: impl Fn(&M) -> Tensor<2>) {
    let cross_entropy = CrossEntropyLossConfig::new().init(&targets.device());
    let mut optimizer = AdamConfig::new().init();
    let loss = |model: &M| cross_entropy.forward(logits(model), targets.clone());
    let first: f32 = loss(&model).into_scalar();
    for _ in 0..steps {
        let gradients = GradientsParams::from_grads(loss(&model).backward(), &model);
        model = optimizer.step(0.01, model, gradients);
    }
    let last: f32 = loss(&model).into_scalar();
    assert!(last < 0.5 * first, "loss {first} before, {last} after");
}

/// Numbers in `-1..1` that look random: fractions of multiples of the golden ratio.
fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i as f64 * 0.618_033_988_749_895).fract() * 2.0 - 1.0) as f32).collect()
}
