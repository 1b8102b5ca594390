//! Separation of music into its sources, waveform to waveform: Demucs.
//!
//! Défossez et al. 2019, "Music source separation in the waveform domain", the second version of the network, with
//! resampling and rescaled first weights. Where we depart from it: the variance of a mixture is the mean square, not
//! divided by one sample less; fresh weights are drawn from the law that rescaling leads to (see `config.rs`), not
//! rescaled by the deviation that was drawn; a mixture of any length is padded with silence and cut again; the paper's
//! mean over random shifts of the input is left to the caller.

mod config;
mod recurrent;
mod resample;

pub use config::DemucsConfig;
pub use recurrent::{BidirectionalLstm, LstmDirection};

use burn::module::Module;
use burn::nn::conv::{Conv1d, ConvTranspose1d};
use burn::tensor::Tensor;
use burn::tensor::activation::glu;
use burn::tensor::ops::PadMode;
use fewbit_burn::nn::{Linear, relu};

/// Added to the deviation that a mixture is divided by, so that silence stays silence.
const SILENCE: f64 = 1e-5;

/// A network that tells apart the sources of a mixture.
pub trait Separator: Module {
    /// Mixtures `[N, channels, time]` of any length above 0 to sources `[N, sources, channels, time]`.
    fn separate(&self, mixture: Tensor<3>) -> Tensor<4>;

    /// To how many samples the network pads a mixture of `length` samples.
    fn valid_length(&self, length: usize) -> usize;
}

/// Sources of a mixture: convolutions that shorten it, an LSTM, convolutions that lengthen it again, and ways past from
/// each of the former to the latter of the same width.
///
/// Field names are those of `fixtures/models/demucs.py`.
#[derive(Module, Debug)]
pub struct Demucs {
    /// From the mixture to the widest layer.
    pub encoder: Vec<EncoderLayer>,
    /// Over time, at the widest.
    pub lstm: Vec<BidirectionalLstm>,
    /// From both directions of the LSTM to one.
    pub linear: Linear,
    /// From the widest layer to the sources.
    pub decoder: Vec<DecoderLayer>,
    /// Number of sources.
    pub sources: usize,
    /// Whether the convolutions work at twice the rate of the mixture.
    pub resample: bool,
}

/// A convolution with a stride, and a gate on each of its results.
#[derive(Module, Debug)]
pub struct EncoderLayer {
    /// Shortens; a ReLU follows.
    pub conv: Conv1d,
    /// One sample wide, to twice the channels; a gated linear unit follows.
    pub gate: Conv1d,
}

/// The reverse of an [`EncoderLayer`].
#[derive(Module, Debug)]
pub struct DecoderLayer {
    /// A few samples wide, to twice the channels; a gated linear unit follows.
    pub gate: Conv1d,
    /// Lengthens; a ReLU follows, except in the last layer.
    pub conv: ConvTranspose1d,
}

impl Demucs {
    /// Mixtures `[N, channels, time]` of any length above 0 to sources `[N, sources, channels, time]`.
    ///
    /// # Panics
    /// If the mixture has other channels than the network.
    pub fn forward(&self, mixture: Tensor<3>) -> Tensor<4> {
        let [batch, channels, length] = mixture.dims();
        let mono = mixture.clone().mean_dim(1);
        let mean = mono.clone().mean_dim(2);
        let deviation = (mono - mean.clone()).square().mean_dim(2).sqrt() + SILENCE;
        let x = (mixture - mean.clone()) / deviation.clone();
        let x = if self.resample {
            resample::half(self.separated(resample::double(x)))
        } else {
            self.separated(x)
        };
        (x * deviation + mean).reshape([batch, self.sources, channels, length])
    }

    /// `[N, channels, time]` to `[N, sources × channels, time]`, normalised and at the rate of the convolutions.
    fn separated(&self, mixture: Tensor<3>) -> Tensor<3> {
        let [_, _, length] = mixture.dims();
        let around = self.padded(length) - length;
        let mut x = mixture.pad([(around / 2, around - around / 2)], PadMode::Constant(0.0));
        let mut skips = Vec::with_capacity(self.encoder.len());
        for layer in &self.encoder {
            x = layer.forward(x);
            skips.push(x.clone());
        }
        x = self.recurrent(x);
        let last = self.decoder.len() - 1;
        for (index, (layer, skip)) in self.decoder.iter().zip(skips.into_iter().rev()).enumerate() {
            let [_, _, inner] = x.dims();
            x = layer.forward(x + centre(skip, inner));
            if index < last {
                x = relu(x);
            }
        }
        centre(x, length)
    }

    /// `[N, channels, time]` to the same shape, each place informed of all others.
    fn recurrent(&self, x: Tensor<3>) -> Tensor<3> {
        let x = self.lstm.iter().fold(x.swap_dims(1, 2), |x, layer| layer.forward(x));
        self.linear.forward(x).swap_dims(1, 2)
    }

    /// The shortest input that every stride divides and whose output is at least `length` long.
    fn padded(&self, length: usize) -> usize {
        let bottom = self.decoder.iter().rev().fold(length, |length, layer| layer.inputs_for(length));
        self.encoder.iter().rev().fold(bottom, |length, layer| layer.inputs_for(length))
    }
}

impl EncoderLayer {
    /// `[N, inputs, time]` to `[N, outputs, time']`.
    fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        glu(self.gate.forward(relu(self.conv.forward(input))), 1)
    }

    /// The length that gives `outputs`.
    fn inputs_for(&self, outputs: usize) -> usize {
        (outputs - 1) * self.conv.stride + self.conv.kernel_size
    }
}

impl DecoderLayer {
    /// `[N, inputs, time]` to `[N, outputs, time']`.
    fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        self.conv.forward(glu(self.gate.forward(input), 1))
    }

    /// The shortest length that gives at least `outputs`.
    fn inputs_for(&self, outputs: usize) -> usize {
        let gated = outputs.saturating_sub(self.conv.kernel_size).div_ceil(self.conv.stride) + 1;
        gated + self.gate.kernel_size - 1
    }
}

/// The middle `length` samples of `[N, channels, time]`.
fn centre(x: Tensor<3>, length: usize) -> Tensor<3> {
    let [_, _, found] = x.dims();
    x.narrow(2, (found - length) / 2, length)
}

impl Separator for Demucs {
    fn separate(&self, mixture: Tensor<3>) -> Tensor<4> {
        self.forward(mixture)
    }

    fn valid_length(&self, length: usize) -> usize {
        if self.resample { self.padded(2 * length).div_ceil(2) } else { self.padded(length) }
    }
}

#[cfg(test)]
mod tests;
