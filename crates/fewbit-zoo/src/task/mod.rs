//! The benchmarks' tasks: a network with its data, as the training loop wants them.

mod images;
mod text;

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Int, Tensor};

pub use images::ImageTask;
pub use text::TextTask;

/// The mean cross entropy in nats of logits `[records, classes]` and classes `[records]`: shape `[1]`.
pub(crate) fn cross_entropy(logits: Tensor<2>, classes: Tensor<1, Int>) -> Tensor<1> {
    CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, classes)
}
