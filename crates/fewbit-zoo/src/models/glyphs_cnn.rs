//! A small, fast convolutional network for 28×28 images: the quick start's.

use burn::module::Module;
use burn::nn::conv::Conv2dConfig;
use burn::nn::{BatchNormConfig, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor};
use fewbit_burn::nn::{BatchNorm, Conv2d, Linear, relu};
use serde::{Deserialize, Serialize};

use super::ImageClassifier;
use super::counts::{batch_norm_values, linear_values};
use super::network::{ModelInput, NetworkConfig, NetworkVisitor, Settings};
use super::setting::{self, Kind};

/// Side of an image after three strides of two: 28, 14, 7, 4.
const SIDE: usize = 4;

/// Sizes of a [`GlyphsCnn`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GlyphsCnnConfig {
    /// Channels out of each convolution.
    pub channels: [usize; 3],
    /// Width of the first fully connected layer.
    pub hidden: usize,
    /// Number of classes.
    pub classes: usize,
}

impl Default for GlyphsCnnConfig {
    fn default() -> Self {
        Self { channels: [16, 32, 32], hidden: 64, classes: 10 }
    }
}

/// Logits of images `[N, 1, 28, 28]`: conv, batch norm, ReLU three times, linear, ReLU, linear.
///
/// Every convolution has a stride of two, so that little is computed at full size. The convolutions have no bias: the batch
/// norm after each would take it away again.
#[derive(Module, Debug)]
pub struct GlyphsCnn {
    /// `[16, 1, 3, 3]` by default, stride 2: side 28 to 14.
    pub conv1: Conv2d,
    /// After `conv1`.
    pub norm1: BatchNorm,
    /// `[32, 16, 3, 3]` by default, stride 2: side 14 to 7.
    pub conv2: Conv2d,
    /// After `conv2`.
    pub norm2: BatchNorm,
    /// `[32, 32, 3, 3]` by default, stride 2: side 7 to 4.
    pub conv3: Conv2d,
    /// After `conv3`.
    pub norm3: BatchNorm,
    /// 512 to 64 by default.
    pub fc1: Linear,
    /// 64 to 10 by default.
    pub fc2: Linear,
}

impl GlyphsCnnConfig {
    /// A network with fresh random weights.
    ///
    /// # Panics
    /// If a size is zero; [`ModelConfig::validate`](super::ModelConfig::validate) finds it first.
    pub fn init(&self, device: &Device) -> GlyphsCnn {
        let [first, second, third] = self.channels;
        let conv = |inputs, outputs| {
            Conv2dConfig::new([inputs, outputs], [3, 3])
                .with_stride([2, 2])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .with_bias(false)
                .init(device)
                .into()
        };
        let norm = |channels| BatchNormConfig::new(channels).init(device).into();
        GlyphsCnn {
            conv1: conv(1, first),
            norm1: norm(first),
            conv2: conv(first, second),
            norm2: norm(second),
            conv3: conv(second, third),
            norm3: norm(third),
            fc1: LinearConfig::new(third * SIDE * SIDE, self.hidden).init(device).into(),
            fc2: LinearConfig::new(self.hidden, self.classes).init(device).into(),
        }
    }
}

impl NetworkConfig for GlyphsCnnConfig {
    fn input(&self) -> ModelInput {
        ModelInput::images([1, 28, 28], self.classes)
    }

    fn values(&self) -> u64 {
        let [first, second, third] = self.channels;
        9 * (first + first * second + second * third) as u64
            + batch_norm_values(first + second + third)
            + linear_values(third * SIDE * SIDE, self.hidden)
            + linear_values(self.hidden, self.classes)
    }

    fn batch_norm_epsilon(&self) -> Option<f64> {
        Some(super::BATCH_NORM_EPSILON)
    }

    fn accept<V: NetworkVisitor>(self, visitor: V) -> V::Output {
        visitor.images(|device| self.init(device))
    }
}

impl Settings for GlyphsCnnConfig {
    const KEYS: &'static [(&'static str, Kind)] = setting::IMAGE_CNN;
}

impl GlyphsCnn {
    /// Images `[N, 1, 28, 28]` to logits `[N, classes]`.
    ///
    /// # Panics
    /// If the images have another shape.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = self.norm1.forward_relu(self.conv1.forward(images));
        let x = self.norm2.forward_relu(self.conv2.forward(x));
        let x = self.norm3.forward_relu(self.conv3.forward(x));
        let x: Tensor<2> = x.flatten(1, 3);
        self.fc2.forward(relu(self.fc1.forward(x)))
    }
}

impl ImageClassifier for GlyphsCnn {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self.forward(images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::learning;

    /// 144 + 4,608 + 9,216 in the convolutions, 320 in the norms, 32,832 + 650 in the linear layers.
    #[test]
    fn the_default_has_the_values_worked_out_by_hand() {
        let config = GlyphsCnnConfig::default();
        assert_eq!(config.values(), 47_770);
        assert_eq!(config.init(&Device::default()).num_params(), 47_770);
    }

    #[test]
    fn a_step_down_the_gradient_lowers_the_loss() {
        let config = GlyphsCnnConfig { channels: [2, 3, 4], hidden: 8, classes: 10 };
        assert_eq!(config.init(&Device::default()).num_params() as u64, config.values());
        learning::classifier_learns_one_batch(|device| config.init(device), [1, 28, 28]);
    }
}
