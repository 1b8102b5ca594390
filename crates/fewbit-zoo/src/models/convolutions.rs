//! The layers that the networks for images are made of.

use burn::nn::conv::Conv2dConfig;
use burn::nn::{BatchNormConfig, Initializer, PaddingConfig2d};
use burn::tensor::Device;
use fewbit_burn::nn::{BatchNorm, Conv2d};

/// A convolution of `side`×`side` that keeps the image's size but for the stride; without bias, as a
/// batch norm follows. Fresh weights are scaled as He et al. do.
pub(super) fn conv(inputs: usize, outputs: usize, side: usize, stride: usize, device: &Device) -> Conv2d {
    Conv2d::new(&config([inputs, outputs], side, stride), device)
}

/// As [`conv`], with a bias.
pub(super) fn biased_conv(
    inputs: usize,
    outputs: usize,
    side: usize,
    stride: usize,
    device: &Device,
) -> Conv2d {
    Conv2d::new(&config([inputs, outputs], side, stride).with_bias(true), device)
}

/// As [`conv`], each channel apart from the others.
pub(super) fn depthwise(channels: usize, side: usize, stride: usize, device: &Device) -> Conv2d {
    Conv2d::new(&config([channels; 2], side, stride).with_groups(channels), device)
}

/// A batch norm as PyTorch's are by default.
pub(super) fn norm(channels: usize, device: &Device) -> BatchNorm {
    BatchNorm::new(&BatchNormConfig::new(channels), device)
}

fn config(channels: [usize; 2], side: usize, stride: usize) -> Conv2dConfig {
    let around = side / 2;
    Conv2dConfig::new(channels, [side, side])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(around, around, around, around))
        .with_bias(false)
        .with_initializer(Initializer::KaimingNormal { gain: std::f64::consts::SQRT_2, fan_out_only: false })
}
