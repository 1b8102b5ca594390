use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, TensorData};

use super::*;
use crate::models::NetworkConfig;

fn small() -> DemucsConfig {
    DemucsConfig { channels: 4, depth: 2, lstm_layers: 1, ..Default::default() }
}

/// One channel, three sources, a growth of 2 and two layers of the LSTM.
fn mono() -> DemucsConfig {
    DemucsConfig { channels: 3, depth: 2, sources: 3, audio_channels: 1, ..Default::default() }
}

/// Waves of length `time`: one frequency per row of `shape`'s first two axes.
fn waves<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let time = shape[D - 1];
    let count: usize = shape.iter().product();
    let values: Vec<f32> =
        (0..count).map(|i| ((i % time) as f32 * (0.05 + 0.07 * (i / time) as f32)).sin()).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// The count is PyTorch 2.15's of the same layers (`nn.Conv1d`, `nn.ConvTranspose1d`, `nn.LSTM`, `nn.Linear`) on its meta
/// device. Four bytes each are 1013.5 MiB; the size published with the network is 1014 MB.
#[test]
fn the_published_network_is_as_large_as_pytorch_counts() {
    let published = DemucsConfig { channels: 64, depth: 6, resample: true, ..Default::default() };
    assert_eq!(published.values(), 265_679_496);
}

/// By hand for `mono`: the first level 1·8·3 + 3, 3·6 + 6, 3·3·6 + 6, 3·8·3 + 3 = 27 + 24 + 60 + 75; the second
/// 3·8·6 + 6, 6·12 + 12, 6·3·12 + 12, 6·8·3 + 3 = 150 + 84 + 228 + 147; the LSTM 2·(6·24 + 24 + 6·24 + 24) = 672 and
/// 2·(12·24 + 24 + 6·24 + 24) = 960; the linear layer 12·6 + 6 = 78. PyTorch counts the same.
#[test]
fn small_networks_have_the_values_worked_out_by_hand() {
    let sizes: [u64; 4] = [27 + 24 + 60 + 75, 150 + 84 + 228 + 147, 672 + 960, 78];
    for (config, values) in [(mono(), sizes.iter().sum::<u64>()), (small(), 2832)] {
        assert_eq!(config.values(), values);
        assert_eq!(config.init(&Device::default()).num_params() as u64, values);
    }
}

/// Kernel 8, stride 4, context 3, two layers. For 75 samples: the last decoder layer needs ⌈67/4⌉ + 1 + 2 = 20, the first
/// ⌈12/4⌉ + 1 + 2 = 6; the encoder gives these from 5·4 + 8 = 28, and 28 from 27·4 + 8 = 116. A single sample needs 3,
/// 3 at the bottom as well, which come from 16, and those from 68.
#[test]
fn the_padded_length_is_the_one_worked_out_by_hand() {
    let model = small().init(&Device::default());
    assert_eq!([1, 75, 101].map(|length| model.valid_length(length)), [68, 116, 148]);
    let doubled = DemucsConfig { resample: true, ..small() }.init(&Device::default());
    // 2 · 50 = 100 and 101 samples need the same.
    assert_eq!(doubled.valid_length(50), 74);
}

#[test]
fn every_length_gives_sources_of_that_length() {
    let device = Device::default();
    for resample in [false, true] {
        let stereo = DemucsConfig { resample, ..small() }.init(&device);
        let mono = DemucsConfig { resample, ..mono() }.init(&device);
        for length in [1, 7, 75, 116, 333] {
            assert_eq!(stereo.forward(waves([2, 2, length], &device)).dims(), [2, 4, 2, length]);
            assert_eq!(mono.forward(waves([2, 1, length], &device)).dims(), [2, 3, 1, length]);
        }
    }
}

/// What is normalised before the layers and undone behind them: a mixture `a` times as loud gives sources `a` times as
/// loud, but for the 1e-5 that silence needs.
#[test]
fn a_louder_mixture_gives_louder_sources() {
    let device = Device::default();
    device.seed(0);
    let model = small().init(&device);
    let mixture = waves([1, 2, 90], &device);
    let once = model.forward(mixture.clone());
    let twice = model.forward(mixture * 2.0);
    let difference: f32 = (once * 2.0 - twice).abs().max().into_scalar();
    assert!(difference < 1e-3, "{difference}");
}

/// States `[forward, reverse]` of two each: of the first step only the reverse ones know of the last input.
#[test]
fn the_last_input_reaches_the_first_state_of_the_reverse_direction() {
    let device = Device::default();
    device.seed(0);
    let layer = BidirectionalLstm::new(3, 2, &device);
    let input = waves([1, 5, 3], &device);
    let changed =
        input.clone().slice_assign(burn::tensor::s![.., 4..5, ..], Tensor::zeros([1, 1, 3], &device));
    let first = |input| -> Vec<f32> {
        let states: Tensor<3> = layer.forward(input);
        states.narrow(1, 0, 1).into_data().try_to_vec().unwrap()
    };
    let (before, after) = (first(input), first(changed));
    assert_eq!(before[..2], after[..2]);
    assert_ne!(before[2..], after[2..]);
}

#[test]
fn steps_down_the_gradient_lower_the_distance_to_the_sources() {
    let device = Device::default().autodiff();
    device.seed(0);
    let mut model = small().init(&device);
    let sources: Tensor<4> = waves([2, 4, 2, 100], &device);
    let mixture: Tensor<3> = sources.clone().sum_dim(1).squeeze_dim(1);
    let loss = |model: &Demucs| (model.forward(mixture.clone()) - sources.clone()).abs().mean();
    let first: f32 = loss(&model).into_scalar();
    let mut optimizer = AdamConfig::new().init();
    for _ in 0..30 {
        let gradients = GradientsParams::from_grads(loss(&model).backward(), &model);
        model = optimizer.step(0.01, model, gradients);
    }
    let last: f32 = loss(&model).into_scalar();
    assert!(last < 0.9 * first, "distance {first} before, {last} after");
}
