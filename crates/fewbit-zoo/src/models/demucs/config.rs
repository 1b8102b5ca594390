//! The sizes of a Demucs, and its first weights.

use burn::nn::conv::{Conv1dConfig, ConvTranspose1dConfig};
use burn::nn::{Initializer, LinearConfig};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::{BidirectionalLstm, DecoderLayer, Demucs, EncoderLayer};
use crate::models::counts::linear_values;
use crate::models::network::{ModelInput, NetworkConfig, NetworkVisitor, Settings};
use crate::models::setting::{Kind, SettingError, dotted};

/// The deviation that first weights are drawn towards.
const RESCALE: f64 = 0.1;
/// The most samples of a mixture for one step of the LSTM: a stranger's description could ask for more than there is
/// memory. The published network has 4⁶ = 4,096.
const MAX_HOP: usize = 1 << 16;

/// Sizes of a [`Demucs`]. The default is small; the published network has 64 channels, a depth of 6 and resamples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DemucsConfig {
    /// Channels after the first layer.
    pub channels: usize,
    /// Number of layers on the way in, and on the way out.
    pub depth: usize,
    /// How many times wider each layer is than the one before it.
    pub growth: usize,
    /// Number of sources.
    pub sources: usize,
    /// Channels of the mixture and of each source: 1, or 2 for stereo.
    pub audio_channels: usize,
    /// Layers of the LSTM.
    pub lstm_layers: usize,
    /// Samples that a layer on the way in sees at once.
    pub kernel: usize,
    /// Samples from one result of such a layer to the next.
    pub stride: usize,
    /// Samples that a gate on the way out sees at once: an odd number.
    pub context: usize,
    /// Whether the convolutions work at twice the rate of the mixture.
    pub resample: bool,
}

impl Default for DemucsConfig {
    fn default() -> Self {
        Self {
            channels: 8,
            depth: 4,
            growth: 2,
            sources: 4,
            audio_channels: 2,
            lstm_layers: 2,
            kernel: 8,
            stride: 4,
            context: 3,
            resample: false,
        }
    }
}

/// Channels of one layer on the way in and of its reverse.
struct Level {
    /// Into the encoder's layer.
    inputs: usize,
    /// Out of the encoder's layer and into the decoder's.
    width: usize,
    /// Out of the decoder's layer.
    outputs: usize,
}

impl DemucsConfig {
    /// A network with fresh random weights.
    ///
    /// # Panics
    /// If a size is 0; [`ModelConfig::validate`](crate::models::ModelConfig::validate) finds it first.
    pub fn init(&self, device: &Device) -> Demucs {
        let conv = |inputs, outputs, kernel, stride| {
            Conv1dConfig::new(inputs, outputs, kernel)
                .with_stride(stride)
                .with_initializer(rescaled(inputs * kernel))
                .init(device)
        };
        let encoder = |level: &Level| EncoderLayer {
            conv: conv(level.inputs, level.width, self.kernel, self.stride),
            gate: conv(level.width, 2 * level.width, 1, 1),
        };
        let decoder = |level: &Level| DecoderLayer {
            gate: conv(level.width, 2 * level.width, self.context, 1),
            conv: ConvTranspose1dConfig::new([level.width, level.outputs], self.kernel)
                .with_stride(self.stride)
                // PyTorch takes the outputs of a transposed convolution for its inputs.
                .with_initializer(rescaled(level.outputs * self.kernel))
                .init(device),
        };
        let levels = self.levels();
        let widest = self.widest();
        let lstm = |layer| {
            let inputs = if layer == 0 { widest } else { 2 * widest };
            BidirectionalLstm::new(inputs, widest, device)
        };
        Demucs {
            encoder: levels.iter().map(encoder).collect(),
            lstm: (0..self.lstm_layers).map(lstm).collect(),
            linear: LinearConfig::new(2 * widest, widest).init(device).into(),
            decoder: levels.iter().rev().map(decoder).collect(),
            sources: self.sources,
            resample: self.resample,
        }
    }

    /// Every layer of the encoder, in order.
    fn levels(&self) -> Vec<Level> {
        let mut inputs = self.audio_channels;
        let mut outputs = self.sources * self.audio_channels;
        let mut width = self.channels;
        let mut levels = Vec::with_capacity(self.depth);
        for _ in 0..self.depth {
            levels.push(Level { inputs, width, outputs });
            (inputs, outputs, width) = (width, width, width * self.growth);
        }
        levels
    }

    /// Channels of the LSTM.
    fn widest(&self) -> usize {
        self.levels().last().map_or(0, |level| level.width)
    }
}

/// The law of first weights with `inputs` values to a sum.
///
/// PyTorch draws uniformly from ±b, b = 1 / √inputs: deviation σ = b / √3. The network's first weights and biases are
/// those divided by √(σ / 0.1): the paper's "weight rescaling at initialization".
fn rescaled(inputs: usize) -> Initializer {
    let bound = 1.0 / (inputs as f64).sqrt();
    let deviation = bound / 3f64.sqrt();
    let bound = bound / (deviation / RESCALE).sqrt();
    Initializer::Uniform { min: -bound, max: bound }
}

impl NetworkConfig for DemucsConfig {
    fn input(&self) -> ModelInput {
        ModelInput::Mixtures { channels: self.audio_channels, sources: self.sources }
    }

    fn values(&self) -> u64 {
        let level = |Level { inputs, width, outputs }: Level| {
            linear_values(inputs * self.kernel, width)
                + linear_values(width, 2 * width)
                + linear_values(width * self.context, 2 * width)
                + linear_values(width * self.kernel, outputs)
        };
        let widest = self.widest();
        // Two directions of four gates, each with one bias for the input and one for the state.
        let lstm = |inputs| 2 * (linear_values(inputs, 4 * widest) + linear_values(widest, 4 * widest));
        self.levels().into_iter().map(level).sum::<u64>()
            + lstm(widest)
            + (self.lstm_layers as u64).saturating_sub(1) * lstm(2 * widest)
            + linear_values(2 * widest, widest)
    }

    fn batch_norm_epsilon(&self) -> Option<f64> {
        None
    }

    fn accept<V: NetworkVisitor>(self, visitor: V) -> V::Output {
        visitor.mixtures(|device| self.init(device))
    }
}

/// A size that is at least 1.
const fn up_to(most: i64) -> Kind {
    Kind::Count { least: 1, most }
}

impl Settings for DemucsConfig {
    const KEYS: &'static [(&'static str, Kind)] = &[
        ("channels", up_to(1024)),
        ("depth", up_to(8)),
        ("growth", up_to(4)),
        ("sources", up_to(64)),
        ("audio_channels", up_to(2)),
        ("lstm_layers", up_to(8)),
        ("kernel", up_to(64)),
        ("stride", up_to(64)),
        ("context", up_to(15)),
        ("resample", Kind::Flag),
    ];

    fn validate_together(&self, section: &str) -> Result<(), SettingError> {
        let refuse = |key, found: usize, needed: String| {
            Err(SettingError::invalid(dotted(section, key), found, needed))
        };
        if self.context.is_multiple_of(2) {
            return refuse("context", self.context, "an odd number: as many samples before as behind".into());
        }
        if self.stride > self.kernel {
            let kernel = self.kernel;
            return refuse(
                "stride",
                self.stride,
                format!("at most `{}`, {kernel}", dotted(section, "kernel")),
            );
        }
        let hop = self.stride.checked_pow(self.depth as u32).filter(|&hop| hop <= MAX_HOP);
        if hop.is_none() {
            let needed =
                format!("a depth whose power of `{}` is at most {MAX_HOP}", dotted(section, "stride"));
            return refuse("depth", self.depth, needed);
        }
        Ok(())
    }
}
