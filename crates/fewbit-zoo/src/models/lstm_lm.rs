//! A byte-level language model of recurrent layers.

use burn::module::Module;
use burn::nn::{EmbeddingConfig, LinearConfig, Lstm, LstmConfig};
use burn::tensor::{Device, Int, Tensor};
use fewbit_burn::nn::{Embedding, Linear};
use serde::{Deserialize, Serialize};

use super::counts::linear_values;
use super::network::{ModelInput, NetworkConfig, NetworkVisitor, Settings};
use super::setting::{Kind, LAYERS, WIDTH};
use super::{BYTES, ByteLanguageModel};

/// Sizes of a [`LstmLm`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LstmLmConfig {
    /// Width of the embedding of a byte.
    pub embedding: usize,
    /// Width of each recurrent layer.
    pub hidden: usize,
    /// Number of recurrent layers.
    pub layers: usize,
}

impl Default for LstmLmConfig {
    fn default() -> Self {
        Self { embedding: 64, hidden: 256, layers: 1 }
    }
}

/// Logits of the next byte: embedding, recurrent layers, linear layer.
#[derive(Module, Debug)]
pub struct LstmLm {
    /// `[256, embedding]`.
    pub emb: Embedding,
    /// The recurrent layers, the first from the embedding.
    pub lstm: Vec<Lstm>,
    /// `hidden` to 256.
    pub head: Linear,
}

impl LstmLmConfig {
    /// A network with fresh random weights.
    pub fn init(&self, device: &Device) -> LstmLm {
        let layer = |layer| {
            let inputs = if layer == 0 { self.embedding } else { self.hidden };
            LstmConfig::new(inputs, self.hidden, true).init(device)
        };
        LstmLm {
            emb: EmbeddingConfig::new(BYTES, self.embedding).init(device).into(),
            lstm: (0..self.layers).map(layer).collect(),
            head: LinearConfig::new(self.hidden, BYTES).init(device).into(),
        }
    }
}

impl NetworkConfig for LstmLmConfig {
    fn input(&self) -> ModelInput {
        ModelInput::Bytes { longest: None }
    }

    fn values(&self) -> u64 {
        // Four gates, each with one bias for the input and one for the state.
        let layer =
            |inputs| 4 * (linear_values(inputs, self.hidden) + linear_values(self.hidden, self.hidden));
        (BYTES * self.embedding) as u64
            + layer(self.embedding)
            + (self.layers as u64).saturating_sub(1) * layer(self.hidden)
            + linear_values(self.hidden, BYTES)
    }

    fn batch_norm_epsilon(&self) -> Option<f64> {
        None
    }

    fn accept<V: NetworkVisitor>(self, visitor: V) -> V::Output {
        visitor.bytes(|device| self.init(device))
    }
}

impl Settings for LstmLmConfig {
    const KEYS: &'static [(&'static str, Kind)] =
        &[("embedding", WIDTH), ("hidden", WIDTH), ("layers", LAYERS)];
}

impl LstmLm {
    /// Tokens `[N, T]` in `0..256` to logits `[N, T, 256]`; the state before the first token is zero.
    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let embedded = self.emb.forward(tokens);
        let states = self.lstm.iter().fold(embedded, |x, layer| layer.forward(x, None).0);
        self.head.forward(states)
    }
}

impl ByteLanguageModel for LstmLm {
    fn logits(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        self.forward(tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::learning;

    /// 256·3 + 4·(3·5 + 5 + 5·5 + 5) + 4·(2·(5·5 + 5)) + 5·256 + 256 = 768 + 200 + 240 + 1,536.
    #[test]
    fn two_small_layers_have_the_values_worked_out_by_hand() {
        let config = LstmLmConfig { embedding: 3, hidden: 5, layers: 2 };
        assert_eq!(config.values(), 2744);
        assert_eq!(config.init(&Device::default()).num_params(), 2744);
    }

    #[test]
    fn a_later_byte_does_not_change_an_earlier_logit() {
        let config = LstmLmConfig { embedding: 4, hidden: 8, layers: 2 };
        learning::is_causal(|device| config.init(device));
    }

    #[test]
    fn a_step_down_the_gradient_lowers_the_loss() {
        let config = LstmLmConfig { embedding: 8, hidden: 16, layers: 2 };
        learning::language_model_learns_one_batch(|device| config.init(device));
    }
}
