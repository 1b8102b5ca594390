//! A byte-level language model of causal self-attention layers, each normalised before it is used.

use burn::module::{Module, Param};
use burn::nn::{Dropout, DropoutConfig, EmbeddingConfig, Initializer, LayerNormConfig, LinearConfig};
use burn::tensor::{Device, Int, Tensor};
use fewbit_burn::nn::{Embedding, LayerNorm, Linear, add, fork, gelu, relu, self_attention};
use serde::{Deserialize, Serialize};

use super::counts::linear_values;
use super::network::{ModelInput, NetworkConfig, NetworkVisitor, Settings};
use super::setting::{self, DROPOUT, Kind, LAYERS, SettingError, WIDTH};
use super::{BYTES, ByteLanguageModel};

/// Standard deviation of fresh weights. Radford et al. 2019 (GPT-2) use it, with the layers that end a residual
/// branch divided by the square root of the number of branches.
///
/// From burn's own, larger start a small network lingers longer at what pairs of bytes alone can tell.
const WEIGHT_STD: f64 = 0.02;

/// Sizes of a [`TransformerLm`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransformerLmConfig {
    /// Width of the embedding and of every layer.
    pub dim: usize,
    /// Number of layers.
    pub layers: usize,
    /// Attention heads per layer; divides `dim`.
    pub heads: usize,
    /// Whether each position has a learned embedding. Without, order is known from the causal mask alone.
    pub positions: bool,
    /// Number of positions that have an embedding: with `positions`, the longest sequence.
    pub context: usize,
    /// Between the two layers of each perceptron.
    pub activation: Activation,
    /// Probability of dropping an activation in training, from 0 to 0.9.
    pub dropout: f64,
}

/// What stands between the two layers of a perceptron.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// `x · Φ(x)`, written `gelu`.
    Gelu,
    /// `max(x, 0)`, written `relu`.
    Relu,
}

impl Default for TransformerLmConfig {
    fn default() -> Self {
        Self {
            dim: 128,
            layers: 4,
            heads: 4,
            positions: true,
            context: 128,
            activation: Activation::Gelu,
            dropout: 0.0,
        }
    }
}

/// Logits of the next byte: embedding, layers, norm, linear layer.
#[derive(Module, Debug)]
pub struct TransformerLm {
    /// `[256, dim]`.
    pub emb: Embedding,
    /// `[context, dim]`, added to the embedding.
    pub pos: Option<Param<Tensor<2>>>,
    /// After the embedding.
    pub dropout: Dropout,
    /// The layers.
    pub layers: Vec<TransformerBlock>,
    /// After the last layer.
    pub norm: LayerNorm,
    /// `dim` to 256.
    pub head: Linear,
}

/// Self-attention and a two-layer perceptron, each on the normalised input and added to it.
#[derive(Module, Debug)]
pub struct TransformerBlock {
    /// Before the attention.
    pub n1: LayerNorm,
    /// Before the perceptron.
    pub n2: LayerNorm,
    /// `dim` to queries, keys and values, in this order, each all heads side by side.
    pub qkv: Linear,
    /// After the attention, `dim` to `dim`.
    pub out: Linear,
    /// `dim` to the perceptron's width, here 4 · `dim`.
    pub up: Linear,
    /// That width to `dim`.
    pub down: Linear,
    /// Before each of the two is added.
    pub dropout: Dropout,
    /// Attention heads.
    pub heads: usize,
    /// Between `up` and `down`.
    #[module(skip)]
    pub activation: Activation,
}

impl TransformerLmConfig {
    /// A network with fresh random weights.
    ///
    /// # Panics
    /// If `dropout` is not in `0..1`; [`ModelConfig::validate`](super::ModelConfig::validate) finds it first.
    pub fn init(&self, device: &Device) -> TransformerLm {
        let embedding = normal(WEIGHT_STD);
        TransformerLm {
            emb: Embedding::new(
                &EmbeddingConfig::new(BYTES, self.dim).with_initializer(embedding.clone()),
                device,
            ),
            pos: self.positions.then(|| embedding.init([self.context, self.dim], device)),
            dropout: DropoutConfig::new(self.dropout).init(),
            layers: (0..self.layers).map(|_| TransformerBlock::new(self, device)).collect(),
            norm: LayerNorm::new(&LayerNormConfig::new(self.dim), device),
            head: Linear::new(&LinearConfig::new(self.dim, BYTES), device),
        }
    }
}

impl NetworkConfig for TransformerLmConfig {
    fn input(&self) -> ModelInput {
        ModelInput::Bytes { longest: self.positions.then_some(self.context) }
    }

    fn values(&self) -> u64 {
        let dim = self.dim;
        let norm = 2 * dim as u64;
        let layer = 2 * norm
            + linear_values(dim, 3 * dim)
            + linear_values(dim, dim)
            + linear_values(dim, 4 * dim)
            + linear_values(4 * dim, dim);
        let positions = if self.positions { self.context } else { 0 };
        ((BYTES + positions) * dim) as u64 + self.layers as u64 * layer + norm + linear_values(dim, BYTES)
    }

    fn batch_norm_epsilon(&self) -> Option<f64> {
        None
    }

    fn accept<V: NetworkVisitor>(self, visitor: V) -> V::Output {
        visitor.bytes(|device| self.init(device))
    }
}

impl Settings for TransformerLmConfig {
    const KEYS: &'static [(&'static str, Kind)] = &[
        ("dim", WIDTH),
        ("layers", LAYERS),
        ("heads", WIDTH),
        ("positions", Kind::Flag),
        ("context", WIDTH),
        ("activation", Kind::Choice(&["gelu", "relu"])),
        DROPOUT,
    ];

    fn validate_together(&self, section: &str) -> Result<(), SettingError> {
        setting::divides(section, ("heads", self.heads), ("dim", self.dim))
    }
}

impl TransformerLm {
    /// Tokens `[N, T]` in `0..256` to logits `[N, T, 256]`.
    ///
    /// # Panics
    /// If the network has positions and T is more than their number.
    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let [_, length] = tokens.dims();
        let mut x = self.emb.forward(tokens);
        if let Some(pos) = &self.pos {
            let [context, dim] = pos.dims();
            assert!(
                length <= context,
                "{length} tokens in a sequence, but the network has {context} positions"
            );
            x = x + pos.val().slice([0..length, 0..dim]).unsqueeze_dim::<3>(0);
        }
        x = self.dropout.forward(x);
        for layer in &self.layers {
            x = layer.forward(x);
        }
        self.head.forward(self.norm.forward(x))
    }
}

impl TransformerBlock {
    fn new(config: &TransformerLmConfig, device: &Device) -> Self {
        let dim = config.dim;
        let linear = |inputs, outputs, std| {
            Linear::new(&LinearConfig::new(inputs, outputs).with_initializer(normal(std)), device)
        };
        let norm = || LayerNorm::new(&LayerNormConfig::new(dim), device);
        let branches = 2.0 * config.layers as f64;
        let end_std = WEIGHT_STD / branches.sqrt();
        Self {
            n1: norm(),
            n2: norm(),
            qkv: linear(dim, 3 * dim, WEIGHT_STD),
            out: linear(dim, dim, end_std),
            up: linear(dim, 4 * dim, WEIGHT_STD),
            down: linear(4 * dim, dim, end_std),
            dropout: DropoutConfig::new(config.dropout).init(),
            heads: config.heads,
            activation: config.activation,
        }
    }

    /// `[N, T, dim]` to the same shape; position `t` sees `0..=t` only.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [x, past] = fork(x);
        let packed = self.qkv.forward(self.n1.forward(x));
        let attended = self_attention(packed, self.heads, true);
        let [x, past] = fork(add(past, self.dropout.forward(self.out.forward(attended))));
        let wide = self.up.forward(self.n2.forward(x));
        let wide = match self.activation {
            Activation::Gelu => gelu(wide),
            Activation::Relu => relu(wide),
        };
        add(past, self.dropout.forward(self.down.forward(wide)))
    }
}

fn normal(std: f64) -> Initializer {
    Initializer::Normal { mean: 0.0, std }
}

impl ByteLanguageModel for TransformerLm {
    fn logits(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        self.forward(tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::learning;

    fn small() -> TransformerLmConfig {
        TransformerLmConfig {
            dim: 8,
            layers: 2,
            heads: 2,
            positions: true,
            context: 16,
            activation: Activation::Relu,
            dropout: 0.0,
        }
    }

    /// Per layer 12·8² weights, 9·8 biases, 4·8 in the norms: 872. Outside (256 + 16)·8, 2·8 and 8·256 + 256.
    #[test]
    fn two_small_layers_have_the_values_worked_out_by_hand() {
        let config = small();
        assert_eq!(config.values(), 2 * 872 + 2176 + 16 + 2304);
        assert_eq!(config.init(&Device::default()).num_params() as u64, config.values());
        let without = TransformerLmConfig { positions: false, ..config };
        assert_eq!(without.init(&Device::default()).num_params() as u64, without.values());
    }

    #[test]
    fn a_later_byte_does_not_change_an_earlier_logit() {
        learning::is_causal(|device| small().init(device));
    }

    #[test]
    #[should_panic(expected = "17 tokens in a sequence, but the network has 16 positions")]
    fn a_sequence_longer_than_the_positions_is_refused() {
        let device = Device::default();
        small().init(&device).forward(Tensor::zeros([1, 17], &device));
    }

    #[test]
    fn a_step_down_the_gradient_lowers_the_loss() {
        for activation in [Activation::Gelu, Activation::Relu] {
            let config = TransformerLmConfig { activation, ..small() };
            learning::language_model_learns_one_batch(|device| config.init(device));
        }
    }
}
