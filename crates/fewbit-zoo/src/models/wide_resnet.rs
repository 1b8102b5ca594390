//! The wide residual network for CIFAR, WRN-28-10.
//!
//! Zagoruyko and Komodakis, "Wide residual networks", 2016: norm and ReLU come before each convolution. As in the
//! networks that DiffQ was published with, every convolution has a bias.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, LinearConfig};
use burn::tensor::{Device, Tensor};
use fewbit_burn::nn::{BatchNorm, Conv2d, Linear, add, fork, mean_of_pixels};
use serde::{Deserialize, Serialize};

use super::ImageClassifier;
use super::convolutions::{biased_conv, norm};
use super::counts::{batch_norm_values, linear_values};
use super::network::{ModelInput, NetworkConfig, NetworkVisitor, Settings};
use super::setting::{CLASSES, DROPOUT, Kind, SettingError, WIDTH, dotted};

/// Channels of the first convolution, which the width multiplies in the stages.
const CHANNELS: usize = 16;

/// Depth and width of a [`WideResNet`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WideResNetConfig {
    /// Layers with weights, 6n + 4 for n blocks in each of the three stages.
    pub depth: usize,
    /// How many times wider than a residual network of 16, 32 and 64 channels.
    pub width: usize,
    /// Probability of dropping an activation between a block's convolutions in training, from 0 to 0.9.
    pub dropout: f64,
    /// Number of classes.
    pub classes: usize,
}

impl Default for WideResNetConfig {
    fn default() -> Self {
        Self { depth: 28, width: 10, dropout: 0.3, classes: 10 }
    }
}

/// Logits of images `[N, 3, 32, 32]`: a convolution, three stages of blocks, norm, the mean over each channel, a linear
/// layer.
#[derive(Module, Debug)]
pub struct WideResNet {
    /// 3 to 16 channels.
    pub conv1: Conv2d,
    /// Side 32.
    pub layer1: Vec<WideBlock>,
    /// Side 16.
    pub layer2: Vec<WideBlock>,
    /// Side 8.
    pub layer3: Vec<WideBlock>,
    /// After the last stage.
    pub bn1: BatchNorm,
    /// 64 · `width` to the classes.
    pub linear: Linear,
}

/// Two convolutions, each of the normalised input, added to the input.
#[derive(Module, Debug)]
pub struct WideBlock {
    /// Before `conv1`.
    pub bn1: BatchNorm,
    /// To the block's channels.
    pub conv1: Conv2d,
    /// After `conv1`.
    pub dropout: Dropout,
    /// Before `conv2`.
    pub bn2: BatchNorm,
    /// The convolution with the stride.
    pub conv2: Conv2d,
    /// A 1×1 convolution of the input where the block changes the shape. Checkpoints call it `shortcut.0`.
    pub shortcut: Option<Conv2d>,
}

impl WideResNetConfig {
    /// A network with fresh random weights, scaled as He et al. do.
    ///
    /// A depth that is not 6n + 4 is rounded down to one.
    ///
    /// # Panics
    /// If a size is zero; [`ModelConfig::validate`](super::ModelConfig::validate) finds it first.
    pub fn init(&self, device: &Device) -> WideResNet {
        let stage = |stage: usize| {
            let outputs = self.channels(stage);
            let inputs = if stage == 0 { CHANNELS } else { self.channels(stage - 1) };
            let stride = if stage == 0 { 1 } else { 2 };
            let first = WideBlock::new(self, inputs, outputs, stride, device);
            let rest = (1..self.blocks()).map(|_| WideBlock::new(self, outputs, outputs, 1, device));
            std::iter::once(first).chain(rest).collect()
        };
        let last = self.channels(2);
        WideResNet {
            conv1: biased_conv(3, CHANNELS, 3, 1, device),
            layer1: stage(0),
            layer2: stage(1),
            layer3: stage(2),
            bn1: norm(last, device),
            linear: LinearConfig::new(last, self.classes).init(device).into(),
        }
    }

    /// Blocks in each stage.
    fn blocks(&self) -> usize {
        (self.depth.saturating_sub(4) / 6).max(1)
    }

    fn channels(&self, stage: usize) -> usize {
        (CHANNELS * self.width) << stage
    }
}

impl NetworkConfig for WideResNetConfig {
    fn input(&self) -> ModelInput {
        ModelInput::images([3, 32, 32], self.classes)
    }

    fn values(&self) -> u64 {
        let block = |inputs: usize, outputs: usize| {
            batch_norm_values(inputs)
                + linear_values(9 * inputs, outputs)
                + batch_norm_values(outputs)
                + linear_values(9 * outputs, outputs)
                + if inputs == outputs { 0 } else { linear_values(inputs, outputs) }
        };
        let mut inputs = CHANNELS;
        let mut total = linear_values(27, CHANNELS);
        for outputs in [0, 1, 2].map(|stage| self.channels(stage)) {
            total += block(inputs, outputs) + (self.blocks() as u64 - 1) * block(outputs, outputs);
            inputs = outputs;
        }
        total + batch_norm_values(inputs) + linear_values(inputs, self.classes)
    }

    fn batch_norm_epsilon(&self) -> Option<f64> {
        Some(super::BATCH_NORM_EPSILON)
    }

    fn accept<V: NetworkVisitor>(self, visitor: V) -> V::Output {
        visitor.images(|device| self.init(device))
    }
}

impl Settings for WideResNetConfig {
    const KEYS: &'static [(&'static str, Kind)] =
        &[("depth", Kind::Count { least: 10, most: 1204 }), ("width", WIDTH), DROPOUT, CLASSES];

    fn validate_together(&self, section: &str) -> Result<(), SettingError> {
        if self.depth % 6 == 4 {
            return Ok(());
        }
        let needed = "a multiple of 6, plus 4: 10, 16, 22, 28, 40, …";
        Err(SettingError::invalid(dotted(section, "depth"), self.depth, needed))
    }
}

impl WideResNet {
    /// Images `[N, 3, H, W]`, 32×32 for CIFAR, to logits `[N, classes]`.
    ///
    /// # Panics
    /// If the images do not have three channels.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut x = self.conv1.forward(images);
        for block in self.layer1.iter().chain(&self.layer2).chain(&self.layer3) {
            x = block.forward(x);
        }
        self.linear.forward(mean_of_pixels(self.bn1.forward_relu(x)))
    }
}

impl WideBlock {
    fn new(config: &WideResNetConfig, inputs: usize, outputs: usize, stride: usize, device: &Device) -> Self {
        Self {
            bn1: norm(inputs, device),
            conv1: biased_conv(inputs, outputs, 3, 1, device),
            dropout: DropoutConfig::new(config.dropout).init(),
            bn2: norm(outputs, device),
            conv2: biased_conv(outputs, outputs, 3, stride, device),
            shortcut: (inputs != outputs).then(|| biased_conv(inputs, outputs, 1, stride, device)),
        }
    }

    /// `[N, inputs, H, W]` to `[N, outputs, H / stride, W / stride]`.
    ///
    /// # Panics
    /// If the input has other channels.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let [input, past] = fork(input);
        let x = self.dropout.forward(self.conv1.forward(self.bn1.forward_relu(input)));
        let x = self.conv2.forward(self.bn2.forward_relu(x));
        let past = match &self.shortcut {
            Some(shortcut) => shortcut.forward(past),
            None => past,
        };
        add(x, past)
    }
}

impl ImageClassifier for WideResNet {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self.forward(images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{learning, sizes};

    /// 139.20 MB and, with 100 classes, 139.42 MB of 2^20 bytes: notes on DiffQ, section 2. 17,952 values are statistics.
    #[test]
    fn wrn_28_10_is_as_large_as_published() {
        assert_eq!(WideResNetConfig::default().values(), 36_489_290 + 17_952);
        sizes::is_of_megabytes(36_489_290, 139.20);
        let hundred = WideResNetConfig { classes: 100, ..Default::default() };
        assert_eq!(hundred.values(), 36_546_980 + 17_952);
        sizes::is_of_megabytes(36_546_980, 139.42);
    }

    #[test]
    fn values_agree_with_burn() {
        for (depth, width) in [(10, 1), (16, 2)] {
            let config = WideResNetConfig { depth, width, ..Default::default() };
            assert_eq!(config.init(&Device::default()).num_params() as u64, config.values());
        }
    }

    #[test]
    fn a_step_down_the_gradient_lowers_the_loss() {
        let config = WideResNetConfig { depth: 10, width: 1, dropout: 0.0, classes: 10 };
        learning::classifier_learns_one_batch(|device| config.init(device), [3, 32, 32]);
    }
}
