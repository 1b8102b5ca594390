//! The residual network for CIFAR-10.
//!
//! He et al., "Deep residual learning for image recognition", section 4.2, with shortcuts of option A
//! (no parameters) or 1×1 convolutions.

use burn::module::Module;
use burn::nn::LinearConfig;
use burn::tensor::{Device, Tensor};
use fewbit_burn::nn::{BatchNorm, Conv2d, Linear, fork, mean_of_pixels};
use serde::{Deserialize, Serialize};

use super::ImageClassifier;
use super::convolutions::{conv, norm};
use super::counts::{batch_norm_values, linear_values};
use super::network::{ModelInput, NetworkConfig, NetworkVisitor, Settings};
use super::setting::{CLASSES, Kind, SettingError, dotted};

/// Channels of the three stages.
const CHANNELS: [usize; 3] = [16, 32, 64];

/// Depth of a [`ResNet`] and the kind of its shortcuts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResNetConfig {
    /// Layers with weights, 6n + 2 for n blocks in each stage: 20, 32, 44, 56.
    pub depth: usize,
    /// Number of classes.
    pub classes: usize,
    /// What brings the input to a block's output where their shapes differ.
    pub shortcut: Shortcut,
}

/// The way past a block that halves the side and doubles the channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shortcut {
    /// Every second pixel, and channels of zeros: option A, without parameters. Written `pad`.
    Pad,
    /// A 1×1 convolution with stride 2 and no norm. Written `projection`.
    Projection,
}

impl Default for ResNetConfig {
    fn default() -> Self {
        Self { depth: 20, classes: 10, shortcut: Shortcut::Pad }
    }
}

/// Logits of images `[N, 3, 32, 32]`: a convolution, three stages of blocks, the mean over each channel, a linear layer.
///
/// Field names are the checkpoints' (there `layer1.0.conv1` behind `module.`).
#[derive(Module, Debug)]
pub struct ResNet {
    /// 3 to 16 channels.
    pub conv1: Conv2d,
    /// After `conv1`.
    pub bn1: BatchNorm,
    /// Blocks of 16 channels, side 32.
    pub layer1: Vec<ResNetBlock>,
    /// Blocks of 32 channels, side 16.
    pub layer2: Vec<ResNetBlock>,
    /// Blocks of 64 channels, side 8.
    pub layer3: Vec<ResNetBlock>,
    /// 64 to the classes.
    pub linear: Linear,
}

/// Two convolutions beside a shortcut.
#[derive(Module, Debug)]
pub struct ResNetBlock {
    /// The convolution with the stride.
    pub conv1: Conv2d,
    /// After `conv1`.
    pub bn1: BatchNorm,
    /// The second convolution.
    pub conv2: Conv2d,
    /// After `conv2`, before the shortcut is added.
    pub bn2: BatchNorm,
    /// The shortcut, where it is a convolution.
    pub down: Option<Conv2d>,
}

impl ResNetConfig {
    /// A network with fresh random weights, scaled as He et al. do.
    ///
    /// A depth that is not 6n + 2 is rounded down to one.
    ///
    /// # Panics
    /// If there are no classes; [`ModelConfig::validate`](super::ModelConfig::validate) finds it first.
    pub fn init(&self, device: &Device) -> ResNet {
        let stage = |stage: usize| {
            let inputs = CHANNELS[stage.saturating_sub(1)];
            let block = |inputs| ResNetBlock::new(inputs, CHANNELS[stage], self.shortcut, device);
            let first = block(inputs);
            let rest = (1..self.blocks()).map(|_| block(CHANNELS[stage]));
            std::iter::once(first).chain(rest).collect()
        };
        ResNet {
            conv1: conv(3, CHANNELS[0], 3, 1, device),
            bn1: norm(CHANNELS[0], device),
            layer1: stage(0),
            layer2: stage(1),
            layer3: stage(2),
            linear: LinearConfig::new(CHANNELS[2], self.classes).init(device).into(),
        }
    }

    /// Blocks in each stage.
    fn blocks(&self) -> usize {
        (self.depth.saturating_sub(2) / 6).max(1)
    }
}

impl NetworkConfig for ResNetConfig {
    fn input(&self) -> ModelInput {
        ModelInput::images([3, 32, 32], self.classes)
    }

    fn values(&self) -> u64 {
        let conv = |inputs, outputs| (9 * inputs * outputs) as u64 + batch_norm_values(outputs);
        let mut inputs = CHANNELS[0];
        let mut total = conv(3, inputs) + linear_values(CHANNELS[2], self.classes);
        for outputs in CHANNELS {
            let square = 2 * self.blocks() as u64 - 1;
            total += conv(inputs, outputs) + square * conv(outputs, outputs);
            if self.shortcut == Shortcut::Projection && inputs != outputs {
                total += (inputs * outputs) as u64;
            }
            inputs = outputs;
        }
        total
    }

    fn batch_norm_epsilon(&self) -> Option<f64> {
        Some(super::BATCH_NORM_EPSILON)
    }

    fn accept<V: NetworkVisitor>(self, visitor: V) -> V::Output {
        visitor.images(|device| self.init(device))
    }
}

impl Settings for ResNetConfig {
    const KEYS: &'static [(&'static str, Kind)] = &[
        ("depth", Kind::Count { least: 8, most: 1202 }),
        CLASSES,
        ("shortcut", Kind::Choice(&["pad", "projection"])),
    ];

    fn validate_together(&self, section: &str) -> Result<(), SettingError> {
        if self.depth % 6 == 2 {
            return Ok(());
        }
        let needed = "a multiple of 6, plus 2: 20, 32, 44, 56, …";
        Err(SettingError::invalid(dotted(section, "depth"), self.depth, needed))
    }
}

impl ResNet {
    /// Images `[N, 3, H, W]`, 32×32 for CIFAR-10, to logits `[N, classes]`.
    ///
    /// # Panics
    /// If the images do not have three channels.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut x = self.bn1.forward_relu(self.conv1.forward(images));
        for block in self.layer1.iter().chain(&self.layer2).chain(&self.layer3) {
            x = block.forward(x);
        }
        self.linear.forward(mean_of_pixels(x))
    }
}

impl ResNetBlock {
    /// A block from `inputs` to `outputs` channels; more channels halve the side.
    fn new(inputs: usize, outputs: usize, shortcut: Shortcut, device: &Device) -> Self {
        let stride = if inputs == outputs { 1 } else { 2 };
        let projects = stride != 1 && shortcut == Shortcut::Projection;
        Self {
            conv1: conv(inputs, outputs, 3, stride, device),
            bn1: norm(outputs, device),
            conv2: conv(outputs, outputs, 3, 1, device),
            bn2: norm(outputs, device),
            down: projects.then(|| conv(inputs, outputs, 1, stride, device)),
        }
    }

    /// `[N, inputs, H, W]` to `[N, outputs, H / stride, W / stride]`.
    ///
    /// # Panics
    /// If the input has other channels.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let [input, past] = fork(input);
        let x = self.bn1.forward_relu(self.conv1.forward(input));
        self.bn2.forward_add_relu(self.conv2.forward(x), self.shortcut(past))
    }

    /// The convolution, or every second pixel and as many channels of zeros before as behind.
    fn shortcut(&self, input: Tensor<4>) -> Tensor<4> {
        if let Some(down) = &self.down {
            return down.forward(input);
        }
        let [stride, _] = self.conv1.stride;
        if stride == 1 {
            return input;
        }
        let [batch, inputs, height, width] = input.dims();
        let [outputs, ..] = self.conv1.weight.dims();
        let zeros = Tensor::zeros(
            [batch, (outputs - inputs) / 2, height.div_ceil(2), width.div_ceil(2)],
            &input.device(),
        );
        let kept = input.slice(burn::tensor::s![.., .., ..;2, ..;2]);
        Tensor::cat(vec![zeros.clone(), kept, zeros], 1)
    }
}

impl ImageClassifier for ResNet {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self.forward(images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::learning;

    /// The numbers of values in the checkpoints `resnet20-12fca82f` and `resnet56-4bfd9763`: 269,722 and 853,018 trainable
    /// ones, the others statistics.
    #[test]
    fn depths_20_and_56_are_as_large_as_the_checkpoints() {
        for (depth, values) in [(20, 271_098), (56, 857_082)] {
            let config = ResNetConfig { depth, ..Default::default() };
            assert_eq!(config.values(), values);
            assert_eq!(config.init(&Device::default()).num_params() as u64, values);
        }
        // Two projections: 16·32 and 32·64 weights.
        let projection = ResNetConfig { shortcut: Shortcut::Projection, ..Default::default() };
        assert_eq!(projection.values(), 271_098 + 512 + 2048);
        assert_eq!(projection.init(&Device::default()).num_params() as u64, projection.values());
    }

    /// One image, 16 channels of 4×4 with pixel (row, column) = 4·row + column: rows and columns 0 and 2 are kept.
    #[test]
    fn the_shortcut_keeps_every_second_pixel_between_channels_of_zeros() {
        let device = Device::default();
        let block = ResNetBlock::new(16, 32, Shortcut::Pad, &device);
        let pixels: Vec<f32> = (0..16).map(|pixel| pixel as f32).collect();
        let image = Tensor::<1>::from_floats(pixels.repeat(16).as_slice(), &device);
        let out = block.shortcut(image.reshape([1, 16, 4, 4]));
        assert_eq!(out.dims(), [1, 32, 2, 2]);
        let out: Vec<f32> = out.into_data().try_to_vec().unwrap();
        let expected = [vec![0.0; 32], [0.0, 2.0, 8.0, 10.0].repeat(16), vec![0.0; 32]].concat();
        assert_eq!(out, expected);
    }

    #[test]
    fn a_step_down_the_gradient_lowers_the_loss() {
        for shortcut in [Shortcut::Pad, Shortcut::Projection] {
            let config = ResNetConfig { depth: 8, shortcut, ..Default::default() };
            learning::classifier_learns_one_batch(|device| config.init(device), [3, 32, 32]);
        }
    }
}
