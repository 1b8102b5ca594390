//! The wider residual network for CIFAR: ResNet-18 with a first convolution for small images.
//!
//! He et al., "Deep residual learning for image recognition", table 1, as it is used for images of 32×32: a 3×3
//! convolution of stride 1 in front and no pooling. One of the three networks of DiffQ's CIFAR experiments.

use burn::module::Module;
use burn::nn::LinearConfig;
use burn::tensor::{Device, Tensor};
use fewbit_burn::nn::{BatchNorm, Conv2d, Linear, fork, mean_of_pixels};
use serde::{Deserialize, Serialize};

use super::ImageClassifier;
use super::convolutions::{conv, norm};
use super::counts::{batch_norm_values, linear_values};
use super::network::{ModelInput, NetworkConfig, NetworkVisitor, Settings};
use super::setting::{CLASSES, Kind, WIDTH};

/// Width of a [`BasicResNet`] and blocks of its stages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BasicResNetConfig {
    /// Channels of the first stage; each of the three others has twice those before it.
    pub channels: usize,
    /// Blocks of the four stages: 2, 2, 2, 2 of ResNet-18, 3, 4, 6, 3 of ResNet-34.
    pub blocks: [usize; 4],
    /// Number of classes.
    pub classes: usize,
}

impl Default for BasicResNetConfig {
    fn default() -> Self {
        Self { channels: 64, blocks: [2; 4], classes: 10 }
    }
}

/// Logits of images `[N, 3, 32, 32]`: a convolution, four stages of blocks, the mean over each channel, a linear layer.
#[derive(Module, Debug)]
pub struct BasicResNet {
    /// 3 to `channels`.
    pub conv1: Conv2d,
    /// After `conv1`.
    pub bn1: BatchNorm,
    /// Side 32.
    pub layer1: Vec<BasicBlock>,
    /// Side 16.
    pub layer2: Vec<BasicBlock>,
    /// Side 8.
    pub layer3: Vec<BasicBlock>,
    /// Side 4.
    pub layer4: Vec<BasicBlock>,
    /// 8 · `channels` to the classes.
    pub linear: Linear,
}

/// Two 3×3 convolutions beside a shortcut.
#[derive(Module, Debug)]
pub struct BasicBlock {
    /// The convolution with the stride.
    pub conv1: Conv2d,
    /// After `conv1`.
    pub bn1: BatchNorm,
    /// The second convolution.
    pub conv2: Conv2d,
    /// After `conv2`, before the shortcut is added.
    pub bn2: BatchNorm,
    /// Where the block changes the shape. Checkpoints call the two layers `shortcut.0` and `shortcut.1`.
    pub shortcut: Option<Projection>,
}

/// A 1×1 convolution and its norm.
#[derive(Module, Debug)]
pub struct Projection {
    /// The convolution.
    pub conv: Conv2d,
    /// After it.
    pub norm: BatchNorm,
}

impl BasicResNetConfig {
    /// A network with fresh random weights, scaled as He et al. do.
    ///
    /// # Panics
    /// If a size is zero; [`ModelConfig::validate`](super::ModelConfig::validate) finds it first.
    pub fn init(&self, device: &Device) -> BasicResNet {
        let stage = |stage: usize| {
            let outputs = self.channels << stage;
            let inputs = if stage == 0 { outputs } else { outputs / 2 };
            let stride = if stage == 0 { 1 } else { 2 };
            let first = BasicBlock::new(inputs, outputs, stride, device);
            let rest = (1..self.blocks[stage]).map(|_| BasicBlock::new(outputs, outputs, 1, device));
            std::iter::once(first).chain(rest).collect()
        };
        BasicResNet {
            conv1: conv(3, self.channels, 3, 1, device),
            bn1: norm(self.channels, device),
            layer1: stage(0),
            layer2: stage(1),
            layer3: stage(2),
            layer4: stage(3),
            linear: LinearConfig::new(8 * self.channels, self.classes).init(device).into(),
        }
    }
}

impl NetworkConfig for BasicResNetConfig {
    fn input(&self) -> ModelInput {
        ModelInput::images([3, 32, 32], self.classes)
    }

    fn values(&self) -> u64 {
        let conv = |inputs: usize, outputs: usize, side: u64| {
            side * side * inputs as u64 * outputs as u64 + batch_norm_values(outputs)
        };
        let mut inputs = self.channels;
        let mut total = conv(3, inputs, 3) + linear_values(8 * self.channels, self.classes);
        for (stage, &blocks) in self.blocks.iter().enumerate() {
            let outputs = self.channels << stage;
            let square = 2 * blocks as u64 - 1;
            total += conv(inputs, outputs, 3) + square * conv(outputs, outputs, 3);
            if inputs != outputs {
                total += conv(inputs, outputs, 1);
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

impl Settings for BasicResNetConfig {
    const KEYS: &'static [(&'static str, Kind)] =
        &[("channels", WIDTH), ("blocks", Kind::Counts { len: 4, least: 1, most: 64 }), CLASSES];
}

impl BasicResNet {
    /// Images `[N, 3, H, W]`, 32×32 for CIFAR, to logits `[N, classes]`.
    ///
    /// # Panics
    /// If the images do not have three channels.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut x = self.bn1.forward_relu(self.conv1.forward(images));
        for block in [&self.layer1, &self.layer2, &self.layer3, &self.layer4].into_iter().flatten() {
            x = block.forward(x);
        }
        self.linear.forward(mean_of_pixels(x))
    }
}

impl BasicBlock {
    fn new(inputs: usize, outputs: usize, stride: usize, device: &Device) -> Self {
        let projects = stride != 1 || inputs != outputs;
        Self {
            conv1: conv(inputs, outputs, 3, stride, device),
            bn1: norm(outputs, device),
            conv2: conv(outputs, outputs, 3, 1, device),
            bn2: norm(outputs, device),
            shortcut: projects.then(|| Projection {
                conv: conv(inputs, outputs, 1, stride, device),
                norm: norm(outputs, device),
            }),
        }
    }

    /// `[N, inputs, H, W]` to `[N, outputs, H / stride, W / stride]`.
    ///
    /// # Panics
    /// If the input has other channels.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let [input, past] = fork(input);
        let x = self.bn1.forward_relu(self.conv1.forward(input));
        let past = match &self.shortcut {
            Some(shortcut) => shortcut.norm.forward(shortcut.conv.forward(past)),
            None => past,
        };
        self.bn2.forward_add_relu(self.conv2.forward(x), past)
    }
}

impl ImageClassifier for BasicResNet {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self.forward(images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{learning, sizes};

    /// 42.63 MB and, with 100 classes, 42.80 MB of 2^20 bytes: notes on DiffQ, section 2. 9,600 values are statistics.
    #[test]
    fn resnet_18_is_as_large_as_published() {
        assert_eq!(BasicResNetConfig::default().values(), 11_173_962 + 9_600);
        sizes::is_of_megabytes(11_173_962, 42.63);
        let hundred = BasicResNetConfig { classes: 100, ..Default::default() };
        assert_eq!(hundred.values(), 11_220_132 + 9_600);
        sizes::is_of_megabytes(11_220_132, 42.80);
    }

    #[test]
    fn values_agree_with_burn() {
        for config in [
            BasicResNetConfig { channels: 4, ..Default::default() },
            BasicResNetConfig { channels: 3, blocks: [1, 2, 1, 3], classes: 5 },
        ] {
            assert_eq!(config.init(&Device::default()).num_params() as u64, config.values());
        }
    }

    #[test]
    fn a_step_down_the_gradient_lowers_the_loss() {
        let config = BasicResNetConfig { channels: 4, blocks: [1; 4], classes: 10 };
        learning::classifier_learns_one_batch(|device| config.init(device), [3, 32, 32]);
    }
}
