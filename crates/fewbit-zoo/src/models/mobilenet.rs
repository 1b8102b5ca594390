//! MobileNet for CIFAR: convolutions of each channel apart, followed by those of each pixel.
//!
//! Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision applications", 2017, table 1,
//! with stride 1 in front and four halvings, as it is used for images of 32×32.

use burn::module::Module;
use burn::nn::LinearConfig;
use burn::tensor::{Device, Tensor};
use fewbit_burn::nn::{BatchNorm, Conv2d, Linear, mean_of_pixels};
use serde::{Deserialize, Serialize};

use super::ImageClassifier;
use super::convolutions::{conv, depthwise, norm};
use super::counts::{batch_norm_values, linear_values};
use super::network::{ModelInput, NetworkConfig, NetworkVisitor, Settings};
use super::setting::{CLASSES, Kind, WIDTH};

/// Of each block: how many times more channels than the first convolution it has, and its stride.
const BLOCKS: [(usize, usize); 13] = [
    (2, 1),
    (4, 2),
    (4, 1),
    (8, 2),
    (8, 1),
    (16, 2),
    (16, 1),
    (16, 1),
    (16, 1),
    (16, 1),
    (16, 1),
    (32, 2),
    (32, 1),
];

/// Width of a [`MobileNet`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MobileNetConfig {
    /// Channels of the first convolution; the last blocks have 32 times as many.
    pub channels: usize,
    /// Number of classes.
    pub classes: usize,
}

impl Default for MobileNetConfig {
    fn default() -> Self {
        Self { channels: 32, classes: 10 }
    }
}

/// Logits of images `[N, 3, 32, 32]`: a convolution, 13 blocks, the mean over each channel, a linear layer.
#[derive(Module, Debug)]
pub struct MobileNet {
    /// 3 to `channels`.
    pub conv1: Conv2d,
    /// After `conv1`.
    pub bn1: BatchNorm,
    /// The blocks.
    pub layers: Vec<SeparableBlock>,
    /// 32 · `channels` to the classes.
    pub linear: Linear,
}

/// A 3×3 convolution of each channel apart, then a 1×1 convolution, each with norm and ReLU.
#[derive(Module, Debug)]
pub struct SeparableBlock {
    /// Each channel apart.
    pub conv1: Conv2d,
    /// After `conv1`.
    pub bn1: BatchNorm,
    /// Each pixel apart.
    pub conv2: Conv2d,
    /// After `conv2`.
    pub bn2: BatchNorm,
}

impl MobileNetConfig {
    /// A network with fresh random weights, scaled as He et al. do.
    ///
    /// # Panics
    /// If a size is zero; [`ModelConfig::validate`](super::ModelConfig::validate) finds it first.
    pub fn init(&self, device: &Device) -> MobileNet {
        let mut inputs = self.channels;
        let layers = BLOCKS.map(|(times, stride)| {
            let outputs = times * self.channels;
            let block = SeparableBlock::new(inputs, outputs, stride, device);
            inputs = outputs;
            block
        });
        MobileNet {
            conv1: conv(3, self.channels, 3, 1, device),
            bn1: norm(self.channels, device),
            layers: layers.into(),
            linear: LinearConfig::new(inputs, self.classes).init(device).into(),
        }
    }
}

impl NetworkConfig for MobileNetConfig {
    fn input(&self) -> ModelInput {
        ModelInput::images([3, 32, 32], self.classes)
    }

    fn values(&self) -> u64 {
        let mut inputs = self.channels;
        let mut total = 27 * inputs as u64 + batch_norm_values(inputs);
        for (times, _) in BLOCKS {
            let outputs = times * self.channels;
            total += separable_values(inputs, outputs);
            inputs = outputs;
        }
        total + linear_values(inputs, self.classes)
    }

    fn batch_norm_epsilon(&self) -> Option<f64> {
        Some(super::BATCH_NORM_EPSILON)
    }

    fn accept<V: NetworkVisitor>(self, visitor: V) -> V::Output {
        visitor.images(|device| self.init(device))
    }
}

impl Settings for MobileNetConfig {
    const KEYS: &'static [(&'static str, Kind)] = &[("channels", WIDTH), CLASSES];
}

impl MobileNet {
    /// Images `[N, 3, H, W]`, 32×32 for CIFAR, to logits `[N, classes]`.
    ///
    /// # Panics
    /// If the images do not have three channels.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut x = self.bn1.forward_relu(self.conv1.forward(images));
        for layer in &self.layers {
            x = layer.forward(x);
        }
        self.linear.forward(mean_of_pixels(x))
    }
}

/// Values of a [`SeparableBlock`].
fn separable_values(inputs: usize, outputs: usize) -> u64 {
    let pixels = inputs as u64 * outputs as u64;
    9 * inputs as u64 + batch_norm_values(inputs) + pixels + batch_norm_values(outputs)
}

impl SeparableBlock {
    fn new(inputs: usize, outputs: usize, stride: usize, device: &Device) -> Self {
        Self {
            conv1: depthwise(inputs, 3, stride, device),
            bn1: norm(inputs, device),
            conv2: conv(inputs, outputs, 1, 1, device),
            bn2: norm(outputs, device),
        }
    }

    /// `[N, inputs, H, W]` to `[N, outputs, H / stride, W / stride]`.
    ///
    /// # Panics
    /// If the input has other channels.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let x = self.bn1.forward_relu(self.conv1.forward(input));
        self.bn2.forward_relu(self.conv2.forward(x))
    }
}

impl ImageClassifier for MobileNet {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self.forward(images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{learning, sizes};

    /// 12.27 MB and, with 100 classes, 12.62 MB of 2^20 bytes: notes on DiffQ, section 2. 21,888 values are statistics.
    #[test]
    fn it_is_as_large_as_published() {
        assert_eq!(MobileNetConfig::default().values(), 3_217_226 + 21_888);
        sizes::is_of_megabytes(3_217_226, 12.27);
        let hundred = MobileNetConfig { classes: 100, ..Default::default() };
        assert_eq!(hundred.values(), 3_309_476 + 21_888);
        sizes::is_of_megabytes(3_309_476, 12.62);
    }

    #[test]
    fn values_agree_with_burn() {
        let config = MobileNetConfig { channels: 3, classes: 7 };
        assert_eq!(config.init(&Device::default()).num_params() as u64, config.values());
    }

    #[test]
    fn a_step_down_the_gradient_lowers_the_loss() {
        let config = MobileNetConfig { channels: 4, classes: 10 };
        learning::classifier_learns_one_batch(|device| config.init(device), [3, 32, 32]);
    }
}
