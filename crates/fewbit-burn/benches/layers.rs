//! Milliseconds of each fast layer, forward and backward, beside burn's layer of the same name.
//!
//! The two take turns, so that a change of the machine's load meets both; the figures are medians.
//! `layers.py` prints PyTorch's for the same shapes. Sums and weighing around a layer are the same for
//! both and part of the figures.

use std::time::Instant;

use burn::nn::conv::Conv2dConfig;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::MaxPool2dConfig;
use burn::nn::{BatchNormConfig, EmbeddingConfig, LayerNormConfig, LinearConfig, PaddingConfig2d};
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Device, Distribution, Int, Tensor, activation};
use fewbit_burn::nn;

const RUNS: usize = 9;

fn device() -> Device {
    Device::flex().autodiff()
}

fn numbers<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::random(shape, Distribution::Default, &device()).require_grad()
}

/// Seconds of a forward pass and of the backward pass of the sum of its result.
fn seconds<const D: usize>(forward: &dyn Fn() -> Tensor<D>) -> f64 {
    let began = Instant::now();
    drop(forward().sum().backward());
    began.elapsed().as_secs_f64()
}

fn row<const D: usize>(name: &str, ours: &dyn Fn() -> Tensor<D>, burns: &dyn Fn() -> Tensor<D>) {
    let mut times = [Vec::new(), Vec::new()];
    for run in 0..RUNS + 2 {
        for (times, forward) in times.iter_mut().zip([ours, burns]) {
            let seconds = seconds(forward);
            if run >= 2 {
                times.push(seconds);
            }
        }
    }
    let [ours, burns] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        1e3 * times[RUNS / 2]
    });
    println!("{name:<34} {ours:>9.2} {burns:>9.2} {:>7.1}", burns / ours);
}

fn convolution(name: &str, channels: [usize; 2], side: usize, kernel: usize, stride: usize, groups: usize) {
    let around = kernel / 2;
    let config = Conv2dConfig::new(channels, [kernel, kernel])
        .with_stride([stride, stride])
        .with_groups(groups)
        .with_padding(PaddingConfig2d::Explicit(around, around, around, around))
        .with_bias(false);
    let burns = config.init(&device());
    let ours: nn::Conv2d = burns.clone().into();
    let x = numbers([128, channels[0], side, side]);
    row(name, &|| ours.forward(x.clone()), &|| burns.forward(x.clone()));
}

fn batch_norm(channels: usize, side: usize) {
    let burns = BatchNormConfig::new(channels).init(&device());
    let ours: nn::BatchNorm = BatchNormConfig::new(channels).init(&device()).into();
    let x = numbers([128, channels, side, side]);
    let name = format!("batch norm and ReLU 128x{channels}x{side}x{side}");
    row(&name, &|| ours.forward_relu(x.clone()), &|| activation::relu(burns.forward(x.clone())));
}

fn linear(inputs: usize, outputs: usize) {
    let burns = LinearConfig::new(inputs, outputs).init(&device());
    let ours: nn::Linear = burns.clone().into();
    let x = numbers([2048, inputs]);
    let name = format!("linear 2048, {inputs} to {outputs}");
    row(&name, &|| ours.forward(x.clone()), &|| burns.forward(x.clone()));
}

fn main() {
    // Cargo passes `--bench`; under `cargo test` nothing is timed.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("{:<34} {:>9} {:>9} {:>7}", "forward and backward", "ours, ms", "burn, ms", "times");
    convolution("conv 3x3 3 to 16, side 32", [3, 16], 32, 3, 1, 1);
    convolution("conv 3x3 16 to 16, side 32", [16, 16], 32, 3, 1, 1);
    convolution("conv 3x3 16 to 32, stride 2", [16, 32], 32, 3, 2, 1);
    convolution("conv 3x3 32 to 32, side 16", [32, 32], 16, 3, 1, 1);
    convolution("conv 3x3 64 to 64, side 8", [64, 64], 8, 3, 1, 1);
    convolution("conv 1x1 32 to 64, stride 2", [32, 64], 16, 1, 2, 1);
    convolution("conv 3x3 depthwise 64, side 32", [64, 64], 32, 3, 1, 64);
    batch_norm(16, 32);
    batch_norm(64, 8);
    linear(256, 768);
    linear(256, 1024);
    linear(1024, 256);

    let burns = LayerNormConfig::new(256).init(&device());
    let ours = nn::LayerNorm::new(&LayerNormConfig::new(256), &device());
    let x = numbers([2048, 256]);
    row("layer norm 2048x256", &|| ours.forward(x.clone()), &|| burns.forward(x.clone()));

    let x = numbers([2048, 1024]);
    row("GELU 2048x1024", &|| nn::gelu(x.clone()), &|| activation::gelu(x.clone()));

    let logits = numbers([2048, 256]);
    let targets = Tensor::<1, Int>::arange(0..2048, &device()).remainder_scalar(256);
    let loss = CrossEntropyLossConfig::new().init(&device());
    row("cross entropy 2048x256", &|| nn::cross_entropy(logits.clone(), targets.clone()), &|| {
        loss.forward(logits.clone(), targets.clone())
    });

    let [logits, teacher] = [numbers([2048, 5000]), numbers([2048, 5000]).detach()];
    let mixed = || nn::distilled_cross_entropy(logits.clone(), targets.clone(), teacher.clone(), 0.5);
    row("distilled cross entropy 2048x5000", &mixed, &|| {
        let soft = activation::softmax(teacher.clone(), 1) * activation::log_softmax(logits.clone(), 1);
        soft.sum() * (-0.5 / 2048.0) + loss.forward(logits.clone(), targets.clone()) * 0.5
    });

    let burns = EmbeddingConfig::new(256, 256).init(&device());
    let ours: nn::Embedding = burns.clone().into();
    let tokens = targets.clone().reshape([16, 128]);
    row("embedding 16x128, 256 wide", &|| ours.forward(tokens.clone()), &|| burns.forward(tokens.clone()));

    let packed = numbers([16, 128, 768]);
    row("causal attention 16x128, 8 heads", &|| nn::self_attention(packed.clone(), 8, true), &|| {
        let split = packed.clone().reshape([16, 128, 24, 32]).swap_dims(1, 2);
        let [q, k, v] = [0, 8, 16].map(|first| split.clone().narrow(1, first, 8));
        let causal = AttentionModuleOptions { is_causal: true, ..Default::default() };
        attention(q, k, v, None, None, causal).swap_dims(1, 2).reshape([16, 128, 256])
    });

    let x = numbers([128, 16, 32, 32]);
    let config = MaxPool2dConfig::new([2, 2]);
    let (ours, burns) = (nn::MaxPool2d::new(&config), config.init());
    row("max pool 2x2 128x16x32x32", &|| ours.forward(x.clone()), &|| burns.forward(x.clone()));
    let x = numbers([128, 64, 8, 8]);
    row("mean of pixels 128x64x8x8", &|| nn::mean_of_pixels(x.clone()), &|| {
        let pixels: Tensor<3> = x.clone().flatten(2, 3);
        pixels.mean_dim(2).squeeze_dim(2)
    });
}
