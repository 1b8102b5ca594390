//! The sizes of an [`AdaptiveTransformer`], and how many values they come to.

use burn::nn::{DropoutConfig, Initializer, LayerNormConfig, LinearConfig};
use burn::tensor::Device;
use fewbit_burn::nn::{LayerNorm, Linear};
use serde::{Deserialize, Serialize};

use super::{AdaptiveTransformer, AdaptiveWords};
use crate::models::counts::linear_values;
use crate::models::network::{ModelInput, NetworkConfig, NetworkVisitor, Settings};
use crate::models::setting::{self, DROPOUT, Kind, LAYERS, SettingError, WIDTH};
use crate::models::{Activation, TransformerBlock};

/// The most words of a vocabulary.
const MOST_WORDS: i64 = 1 << 24;

/// Sizes of an [`AdaptiveTransformer`]. The default is for a computer with two cores.
///
/// That of Baevski & Auli 2019 for Wikitext-103 is `vocabulary = 267744`, `cutoffs = [20000, 60000]`, `dim = 1024`,
/// `layers = 16`, `heads = 8`, `ffn = 4096` and `final_norm = false`: 942 MiB of floats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdaptiveTransformerConfig {
    /// Number of words, the most frequent first.
    pub vocabulary: usize,
    /// Where a new band of words begins, in ascending order, each above 0 and below `vocabulary`.
    pub cutoffs: Vec<usize>,
    /// How many times narrower each band is than the one before; its power of the number of cut-offs divides `dim`.
    pub factor: usize,
    /// Width of the first band and of every layer.
    pub dim: usize,
    /// Number of layers.
    pub layers: usize,
    /// Attention heads per layer; divides `dim`.
    pub heads: usize,
    /// Width inside the perceptrons.
    pub ffn: usize,
    /// Whether the output of the last layer is normalised.
    pub final_norm: bool,
    /// Probability of dropping an activation in training, from 0 to 0.9.
    pub dropout: f64,
    /// Probability of leaving a layer out of a training step, from 0 to 0.9.
    pub layer_drop: f64,
}

/// The size of one band of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BandSize {
    pub(super) words: usize,
    pub(super) width: usize,
}

impl Default for AdaptiveTransformerConfig {
    fn default() -> Self {
        Self {
            vocabulary: 10_000,
            cutoffs: vec![2000, 5000],
            factor: 4,
            dim: 128,
            layers: 4,
            heads: 4,
            ffn: 512,
            final_norm: true,
            dropout: 0.0,
            layer_drop: 0.0,
        }
    }
}

impl AdaptiveTransformerConfig {
    /// A network with fresh random weights.
    ///
    /// # Panics
    /// If the settings do not fit each other, which [`ModelConfig::validate`](crate::models::ModelConfig::validate)
    /// finds first.
    pub fn init(&self, device: &Device) -> AdaptiveTransformer {
        AdaptiveTransformer {
            words: AdaptiveWords::new(&self.bands(), self.dim, device),
            dropout: DropoutConfig::new(self.dropout).init(),
            layers: (0..self.layers).map(|_| self.layer(device)).collect(),
            norm: self.final_norm.then(|| self.layer_norm(device)),
            layer_drop: self.layer_drop,
        }
    }

    fn layer(&self, device: &Device) -> TransformerBlock {
        let linear = |inputs, outputs| {
            let config = LinearConfig::new(inputs, outputs);
            Linear::new(&config.with_initializer(Initializer::XavierUniform { gain: 1.0 }), device)
        };
        TransformerBlock {
            n1: self.layer_norm(device),
            n2: self.layer_norm(device),
            qkv: linear(self.dim, 3 * self.dim),
            out: linear(self.dim, self.dim),
            up: linear(self.dim, self.ffn),
            down: linear(self.ffn, self.dim),
            dropout: DropoutConfig::new(self.dropout).init(),
            heads: self.heads,
            activation: Activation::Relu,
        }
    }

    fn layer_norm(&self, device: &Device) -> LayerNorm {
        LayerNorm::new(&LayerNormConfig::new(self.dim), device)
    }

    /// The size of each band: the words between two cut-offs, `dim / factor^band` wide.
    pub(super) fn bands(&self) -> Vec<BandSize> {
        let starts = std::iter::once(0).chain(self.cutoffs.iter().copied());
        let ends = self.cutoffs.iter().copied().chain([self.vocabulary]);
        let sizes = starts.zip(ends).enumerate().map(|(band, (start, end))| BandSize {
            words: end.saturating_sub(start),
            width: self.factor.checked_pow(band as u32).map_or(0, |narrower| self.dim / narrower.max(1)),
        });
        sizes.collect()
    }
}

impl NetworkConfig for AdaptiveTransformerConfig {
    fn input(&self) -> ModelInput {
        ModelInput::Words { vocabulary: self.vocabulary }
    }

    fn values(&self) -> u64 {
        let dim = self.dim;
        let norm = 2 * dim as u64;
        let words: u64 = self.bands().iter().map(|band| (band.words + dim) as u64 * band.width as u64).sum();
        let clusters = (self.cutoffs.len() * dim) as u64;
        let layer = 2 * norm
            + linear_values(dim, 3 * dim)
            + linear_values(dim, dim)
            + linear_values(dim, self.ffn)
            + linear_values(self.ffn, dim);
        words + clusters + self.layers as u64 * layer + u64::from(self.final_norm) * norm
    }

    fn batch_norm_epsilon(&self) -> Option<f64> {
        None
    }

    fn accept<V: NetworkVisitor>(self, visitor: V) -> V::Output {
        visitor.words(|device| self.init(device))
    }
}

impl Settings for AdaptiveTransformerConfig {
    const KEYS: &'static [(&'static str, Kind)] = &[
        ("vocabulary", Kind::Count { least: 2, most: MOST_WORDS }),
        ("cutoffs", Kind::CountList { most_len: 8, least: 1, most: MOST_WORDS }),
        ("factor", Kind::Count { least: 1, most: 64 }),
        ("dim", WIDTH),
        ("layers", LAYERS),
        ("heads", WIDTH),
        ("ffn", WIDTH),
        ("final_norm", Kind::Flag),
        DROPOUT,
        ("layer_drop", Kind::Number { least: 0.0, most: 0.9 }),
    ];

    fn validate_together(&self, section: &str) -> Result<(), SettingError> {
        if self.bands().iter().any(|band| band.words == 0) {
            let needed = format!(
                "ascending numbers below `{}`, {}",
                setting::dotted(section, "vocabulary"),
                self.vocabulary
            );
            return Err(SettingError::invalid(
                setting::dotted(section, "cutoffs"),
                format!("{:?}", self.cutoffs),
                needed,
            ));
        }
        let narrower = self.factor.checked_pow(self.cutoffs.len() as u32);
        if narrower.is_none_or(|narrower| !self.dim.is_multiple_of(narrower)) {
            let power = self.cutoffs.len();
            let needed = format!(
                "a number whose power {power}, one for each cut-off, divides `{}`, {}",
                setting::dotted(section, "dim"),
                self.dim
            );
            return Err(SettingError::invalid(setting::dotted(section, "factor"), self.factor, needed));
        }
        setting::divides(section, ("heads", self.heads), ("dim", self.dim))
    }
}
