//! The convolutional network for MNIST of the shared checkpoint: three convolutions and two fully connected layers.

use burn::module::Module;
use burn::nn::conv::Conv2dConfig;
use burn::nn::{BatchNormConfig, LinearConfig};
use burn::tensor::{Device, Tensor};
use fewbit_burn::nn::{BatchNorm, Conv2d, Linear, relu};
use serde::{Deserialize, Serialize};

use super::ImageClassifier;
use super::counts::{batch_norm_values, linear_values};
use super::network::{ModelInput, NetworkConfig, NetworkVisitor, Settings};
use super::setting::{self, Kind};

/// Side of an image after three 3×3 convolutions without padding: 28 − 3·2.
const SIDE: usize = 22;

/// Sizes of a [`MnistCnn`]; the defaults are those of the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MnistCnnConfig {
    /// Channels out of each convolution.
    pub channels: [usize; 3],
    /// Width of the first fully connected layer.
    pub hidden: usize,
    /// Number of classes.
    pub classes: usize,
}

impl Default for MnistCnnConfig {
    fn default() -> Self {
        Self { channels: [8, 16, 24], hidden: 32, classes: 10 }
    }
}

/// Logits of images `[N, 1, 28, 28]`: conv, ReLU three times, batch norm, linear, ReLU, linear, batch norm.
///
/// Each ReLU comes before the batch norm that follows it: in this order the checkpoint gets 9,917 of the 10,000 MNIST test
/// images right, in the other 9,635. Field names are the checkpoint's.
#[derive(Module, Debug)]
pub struct MnistCnn {
    /// `[8, 1, 3, 3]` by default.
    pub conv1: Conv2d,
    /// `[16, 8, 3, 3]` by default.
    pub conv2: Conv2d,
    /// `[24, 16, 3, 3]` by default.
    pub conv3: Conv2d,
    /// Over the channels of the last convolution.
    pub norm1: BatchNorm,
    /// 11,616 to 32 by default.
    pub fc1: Linear,
    /// 32 to 10 by default.
    pub fc2: Linear,
    /// Over the logits.
    pub norm2: BatchNorm,
}

impl MnistCnnConfig {
    /// A network with fresh random weights.
    ///
    /// # Panics
    /// If a size is zero; [`ModelConfig::validate`](super::ModelConfig::validate) finds it first.
    pub fn init(&self, device: &Device) -> MnistCnn {
        let [first, second, third] = self.channels;
        let conv = |inputs, outputs| Conv2dConfig::new([inputs, outputs], [3, 3]).init(device).into();
        MnistCnn {
            conv1: conv(1, first),
            conv2: conv(first, second),
            conv3: conv(second, third),
            norm1: BatchNormConfig::new(third).init(device).into(),
            fc1: LinearConfig::new(third * SIDE * SIDE, self.hidden).init(device).into(),
            fc2: LinearConfig::new(self.hidden, self.classes).init(device).into(),
            norm2: BatchNormConfig::new(self.classes).init(device).into(),
        }
    }
}

impl NetworkConfig for MnistCnnConfig {
    fn input(&self) -> ModelInput {
        ModelInput::images([1, 28, 28], self.classes)
    }

    fn values(&self) -> u64 {
        let [first, second, third] = self.channels;
        linear_values(9, first)
            + linear_values(9 * first, second)
            + linear_values(9 * second, third)
            + batch_norm_values(third + self.classes)
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

impl Settings for MnistCnnConfig {
    const KEYS: &'static [(&'static str, Kind)] = setting::IMAGE_CNN;
}

impl MnistCnn {
    /// Images `[N, 1, 28, 28]` to logits `[N, classes]`.
    ///
    /// # Panics
    /// If the images have another shape.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = relu(self.conv1.forward(images));
        let x = relu(self.conv2.forward(x));
        let x = relu(self.conv3.forward(x));
        let x: Tensor<2> = self.norm1.forward(x).flatten(1, 3);
        let x = relu(self.fc1.forward(x));
        self.norm2.forward(self.fc2.forward(x))
    }
}

impl ImageClassifier for MnistCnn {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self.forward(images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::learning;

    /// The checkpoint has 376,938 values: 80 + 1,168 + 3,480 in the convolutions, 371,744 + 330
    /// in the linear layers, 4·24 + 4·10 in the norms, running statistics included.
    #[test]
    fn the_default_is_as_large_as_the_checkpoint() {
        let config = MnistCnnConfig::default();
        assert_eq!(config.values(), 376_938);
        assert_eq!(config.init(&Device::default()).num_params(), 376_938);
    }

    #[test]
    fn values_agree_with_burn_for_other_sizes() {
        let config = MnistCnnConfig { channels: [2, 3, 4], hidden: 5, classes: 7 };
        let model = config.init(&Device::default());
        assert_eq!(model.num_params() as u64, config.values());
    }

    #[test]
    fn a_step_down_the_gradient_lowers_the_loss() {
        let config = MnistCnnConfig { channels: [2, 3, 4], hidden: 8, classes: 10 };
        learning::classifier_learns_one_batch(|device| config.init(device), [1, 28, 28]);
    }
}
