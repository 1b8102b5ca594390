//! The keyword spotting network of convolutions that treat each channel apart, DS-CNN.
//!
//! Zhang et al., "Hello edge: keyword spotting on microcontrollers", 2017, and the network of the MLPerf Tiny benchmark
//! (Banbury et al. 2021), whose every convolution has a bias in front of its norm.

use burn::module::Module;
use burn::nn::conv::Conv2dConfig;
use burn::nn::{Dropout, DropoutConfig, Initializer, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor};
use fewbit_burn::nn::{BatchNorm, Conv2d, Linear, mean_of_pixels};
use serde::{Deserialize, Serialize};

use super::ImageClassifier;
use super::convolutions::norm;
use super::counts::{batch_norm_values, linear_values};
use super::network::{ModelInput, NetworkConfig, NetworkVisitor, Settings};
use super::setting::{CLASSES, DROPOUT, Kind, LAYERS, WIDTH};

/// Frames and bands that the first convolution sees at once.
const KERNEL: [usize; 2] = [10, 4];

/// Sizes of a [`DsCnn`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DsCnnConfig {
    /// Frames of a recording.
    pub frames: usize,
    /// Bands of frequency in each frame.
    pub bands: usize,
    /// Channels of every layer.
    pub channels: usize,
    /// Blocks after the first convolution.
    pub blocks: usize,
    /// Probability of dropping an activation after the first convolution in training, from 0 to 0.9.
    pub dropout: f64,
    /// Number of words.
    pub classes: usize,
}

impl Default for DsCnnConfig {
    fn default() -> Self {
        Self { frames: 49, bands: 40, channels: 64, blocks: 4, dropout: 0.2, classes: 10 }
    }
}

/// Logits of spectrograms `[N, 1, frames, bands]`: a convolution, blocks, the mean over each channel, a linear layer.
#[derive(Module, Debug)]
pub struct DsCnn {
    /// 1 to `channels`, 10×4 with stride 2.
    pub conv1: Conv2d,
    /// After `conv1`.
    pub bn1: BatchNorm,
    /// After the first ReLU.
    pub dropout: Dropout,
    /// The blocks.
    pub layers: Vec<DsCnnBlock>,
    /// `channels` to the words.
    pub linear: Linear,
}

/// A 3×3 convolution of each channel apart, then a 1×1 convolution, each with bias, norm and ReLU.
#[derive(Module, Debug)]
pub struct DsCnnBlock {
    /// Each channel apart.
    pub conv1: Conv2d,
    /// After `conv1`.
    pub bn1: BatchNorm,
    /// Each place apart.
    pub conv2: Conv2d,
    /// After `conv2`.
    pub bn2: BatchNorm,
}

impl DsCnnConfig {
    /// A network with fresh random weights, scaled as He et al. do.
    ///
    /// # Panics
    /// If a size is zero; [`ModelConfig::validate`](super::ModelConfig::validate) finds it first.
    pub fn init(&self, device: &Device) -> DsCnn {
        let channels = self.channels;
        let block = |_| DsCnnBlock {
            conv1: conv([channels; 2], [3, 3], 1, channels, device),
            bn1: norm(channels, device),
            conv2: conv([channels; 2], [1, 1], 1, 1, device),
            bn2: norm(channels, device),
        };
        DsCnn {
            conv1: conv([1, channels], KERNEL, 2, 1, device),
            bn1: norm(channels, device),
            dropout: DropoutConfig::new(self.dropout).init(),
            layers: (0..self.blocks).map(block).collect(),
            linear: LinearConfig::new(channels, self.classes).init(device).into(),
        }
    }
}

/// A convolution with bias and so many results as the stride leaves of the input, zeros around it, more of them behind
/// where their number is odd.
fn conv(channels: [usize; 2], kernel: [usize; 2], stride: usize, groups: usize, device: &Device) -> Conv2d {
    let config = Conv2dConfig::new(channels, kernel)
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Same)
        .with_groups(groups)
        .with_initializer(Initializer::KaimingNormal { gain: std::f64::consts::SQRT_2, fan_out_only: false });
    Conv2d::new(&config, device)
}

impl NetworkConfig for DsCnnConfig {
    fn input(&self) -> ModelInput {
        ModelInput::images([1, self.frames, self.bands], self.classes)
    }

    fn values(&self) -> u64 {
        let norm = batch_norm_values(self.channels);
        let block = linear_values(9, self.channels) + linear_values(self.channels, self.channels) + 2 * norm;
        linear_values(KERNEL[0] * KERNEL[1], self.channels)
            + norm
            + self.blocks as u64 * block
            + linear_values(self.channels, self.classes)
    }

    fn batch_norm_epsilon(&self) -> Option<f64> {
        Some(super::BATCH_NORM_EPSILON)
    }

    fn accept<V: NetworkVisitor>(self, visitor: V) -> V::Output {
        visitor.images(|device| self.init(device))
    }
}

impl Settings for DsCnnConfig {
    const KEYS: &'static [(&'static str, Kind)] = &[
        ("frames", Kind::Count { least: 1, most: 1024 }),
        ("bands", Kind::Count { least: 1, most: 256 }),
        ("channels", WIDTH),
        ("blocks", LAYERS),
        DROPOUT,
        CLASSES,
    ];
}

impl DsCnn {
    /// Spectrograms `[N, 1, frames, bands]` to logits `[N, classes]`.
    ///
    /// # Panics
    /// If there is not one channel.
    pub fn forward(&self, spectrograms: Tensor<4>) -> Tensor<2> {
        let mut x = self.dropout.forward(self.bn1.forward_relu(self.conv1.forward(spectrograms)));
        for layer in &self.layers {
            x = layer.bn1.forward_relu(layer.conv1.forward(x));
            x = layer.bn2.forward_relu(layer.conv2.forward(x));
        }
        self.linear.forward(mean_of_pixels(x))
    }
}

impl ImageClassifier for DsCnn {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self.forward(images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::learning;

    /// The network of MLPerf Tiny for twelve words has 24,908 values, 1,152 of them statistics.
    #[test]
    fn it_is_as_large_as_the_benchmarks() {
        let config = DsCnnConfig { bands: 10, classes: 12, ..Default::default() };
        assert_eq!(config.values(), 24_908);
        assert_eq!(config.init(&Device::default()).num_params(), 24_908);
    }

    #[test]
    fn values_agree_with_burn() {
        let config = DsCnnConfig { channels: 6, blocks: 2, classes: 3, ..Default::default() };
        assert_eq!(config.init(&Device::default()).num_params() as u64, config.values());
    }

    #[test]
    fn a_step_down_the_gradient_lowers_the_loss() {
        let config = DsCnnConfig { channels: 32, blocks: 1, dropout: 0.0, ..Default::default() };
        learning::classifier_learns_one_batch(|device| config.init(device), [1, 49, 40]);
    }
}
