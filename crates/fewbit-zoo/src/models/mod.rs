//! The networks of the benchmarks, built from burn's own layers, and their description as data.
//!
//! A [`ModelConfig`] says which network and how large; it is the `[model]` section of a recipe, and as JSON it travels in
//! the file so that the network can be built again. Field names are those of the checkpoints that people have, so that
//! reading one is a map of names.

mod adaptive_transformer;
mod basic_resnet;
mod config;
mod convolutions;
mod counts;
mod demucs;
mod ds_cnn;
mod glyphs_cnn;
#[cfg(test)]
mod learning;
mod lstm_lm;
mod mnist_cnn;
mod mobilenet;
mod network;
mod resnet;
pub(crate) mod setting;
#[cfg(test)]
mod sizes;
mod transformer_lm;
mod vision_transformer;
mod wide_resnet;

pub use adaptive_transformer::{
    AdaptiveScores, AdaptiveTransformer, AdaptiveTransformerConfig, AdaptiveWords, Band,
};
pub use basic_resnet::{BasicBlock, BasicResNet, BasicResNetConfig, Projection};
pub use config::{MAX_VALUES, ModelConfig, ModelError};
pub use demucs::{
    BidirectionalLstm, DecoderLayer, Demucs, DemucsConfig, EncoderLayer, LstmDirection, Separator,
};
pub use ds_cnn::{DsCnn, DsCnnBlock, DsCnnConfig};
pub use glyphs_cnn::{GlyphsCnn, GlyphsCnnConfig};
pub use lstm_lm::{LstmLm, LstmLmConfig};
pub use mnist_cnn::{MnistCnn, MnistCnnConfig};
pub use mobilenet::{MobileNet, MobileNetConfig, SeparableBlock};
pub use network::{AnyNetworkVisitor, ForAny, ModelInput, NetworkConfig, NetworkVisitor};
pub use resnet::{ResNet, ResNetBlock, ResNetConfig, Shortcut};
pub use setting::SettingError;
pub use transformer_lm::{Activation, TransformerBlock, TransformerLm, TransformerLmConfig};
pub use vision_transformer::{
    PatchEmbedding, VisionAttention, VisionBlock, VisionPerceptron, VisionTransformer,
    VisionTransformerConfig,
};
pub use wide_resnet::{WideBlock, WideResNet, WideResNetConfig};

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};

/// Values that one byte can take: the tokens of the language models.
pub const BYTES: usize = 256;

/// The ε of burn's batch norms, which all networks here have.
const BATCH_NORM_EPSILON: f64 = 1e-5;

/// The share that a batch has in their running statistics.
pub(crate) const BATCH_NORM_MOMENTUM: f64 = 0.1;

/// A network that sorts images into classes.
pub trait ImageClassifier: Module + 'static {
    /// The logit of each class: images `[N, channels, height, width]` give `[N, classes]`.
    fn logits(&self, images: Tensor<4>) -> Tensor<2>;
}

/// A network that predicts the next byte from those before it.
pub trait ByteLanguageModel: Module + 'static {
    /// The logit of each next byte: tokens `[N, T]` in `0..256` give `[N, T, 256]`. Position `t` sees tokens `0..=t` only.
    fn logits(&self, tokens: Tensor<2, Int>) -> Tensor<3>;
}

/// A network that predicts the next word from those before it.
///
/// Words come as numbers on the host, N sequences of one length T: a large vocabulary is sorted there into frequent and
/// rare.
pub trait WordLanguageModel: Module {
    /// What the network makes of sequences, to score words with: position `t` sees words `0..=t` only.
    type Scores: WordScores;

    /// The scores at each position of N sequences of T words.
    fn scores(&self, sequences: &[Vec<u32>], device: &Device) -> Self::Scores;

    /// Number of words: each is below it.
    fn vocabulary(&self) -> usize;
}

/// Probabilities of the next word at the N·T positions of a batch, sequence by sequence, no more of them computed than are
/// asked for.
pub trait WordScores: Clone {
    /// −ln of the probability of each target: `[N·T]`.
    fn nats(&self, targets: &[u32]) -> Tensor<1>;

    /// The mean over positions of the cross entropy, of which a `share` is with the teacher's distribution and the rest with
    /// the targets: shape `[1]`. The teacher's scores are without autodiff.
    fn distilled_nats(&self, targets: &[u32], teacher: &Self, share: f64) -> Tensor<1>;
}
