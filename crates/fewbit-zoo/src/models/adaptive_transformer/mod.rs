//! A word-level language model for large vocabularies: rare words have narrower vectors than frequent ones.
//!
//! Baevski & Auli 2019 (arXiv 1809.10853): a causal transformer whose layers normalise their input, over the vectors of
//! [`AdaptiveWords`]. Two things differ from the published runs: dropout is of what a branch adds and of the sum of word
//! and position only, not inside attention, perceptrons and softmax; and positions are those of Vaswani et al. 2017,
//! section 3.5, counted from 0, sine and cosine in turn.

mod adaptive_words;
mod config;
#[cfg(test)]
mod tests;

pub use self::adaptive_words::{AdaptiveWords, Band};
pub use self::config::AdaptiveTransformerConfig;

use burn::module::Module;
use burn::nn::Dropout;
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use fewbit_burn::nn::LayerNorm;

use super::{TransformerBlock, WordLanguageModel, WordScores};

/// Chances of the next word: vectors of words, layers, norm, adaptive softmax over the same vectors.
#[derive(Module, Debug)]
pub struct AdaptiveTransformer {
    /// What words go in as and come out of.
    pub words: AdaptiveWords,
    /// After words and positions are added.
    pub dropout: Dropout,
    /// The layers.
    pub layers: Vec<TransformerBlock>,
    /// After the last layer.
    pub norm: Option<LayerNorm>,
    /// Probability of leaving a layer out of a training step.
    pub layer_drop: f64,
}

impl AdaptiveTransformer {
    /// What is known at each position: N sequences of T words give `[N·T, dim]`, where position `t` has seen words
    /// `0..=t` of its sequence.
    ///
    /// # Panics
    /// If the sequences are not equally long, or a word is not in the vocabulary.
    pub fn states(&self, sequences: &[Vec<u32>], device: &Device) -> Tensor<2> {
        let (count, length) = (sequences.len(), sequences.first().map_or(0, Vec::len));
        assert!(sequences.iter().all(|words| words.len() == length), "sequences of one length");
        let vectors = self.words.vectors(&sequences.concat(), device);
        let [_, dim] = vectors.dims();
        // Vaswani et al. 2017, section 3.4: vectors that also score words are small, beside positions.
        let vectors = (vectors * (dim as f64).sqrt()).reshape([count, length, dim]);
        let mut x = self.dropout.forward(vectors + positions(length, dim, device).unsqueeze_dim::<3>(0));
        for (layer, _) in self.layers.iter().zip(self.kept_layers(device)).filter(|(_, kept)| *kept) {
            x = layer.forward(x);
        }
        if let Some(norm) = &self.norm {
            x = norm.forward(x);
        }
        x.flatten(0, 1)
    }

    /// Which layers take part: all of them but in training, where each is left out by chance (Fan et al. 2020).
    fn kept_layers(&self, device: &Device) -> Vec<bool> {
        let training = self.dropout.training.is_enabled() && device.is_autodiff();
        if !training || self.layer_drop == 0.0 {
            return vec![true; self.layers.len()];
        }
        // Drawn on the device as dropout is, so that a resumed run draws the same.
        let kept =
            Tensor::<1>::random([self.layers.len()], Distribution::Bernoulli(1.0 - self.layer_drop), device);
        let kept: Vec<f32> = kept.into_data().convert::<f32>().try_into_vec().expect("float32 was asked for");
        kept.into_iter().map(|kept| kept > 0.5).collect()
    }
}

/// A vector for each position, `[length, dim]`: element `2i` is `sin(t / 10000^(2i/dim))` and `2i + 1` its cosine.
///
/// Vaswani et al. 2017, section 3.5.
fn positions(length: usize, dim: usize, device: &Device) -> Tensor<2> {
    let wave = |position: usize, element: usize| {
        let pair = (element / 2 * 2) as f64;
        let angle = position as f64 / 10_000f64.powf(pair / dim as f64);
        (if element.is_multiple_of(2) { angle.sin() } else { angle.cos() }) as f32
    };
    let values: Vec<f32> =
        (0..length).flat_map(|position| (0..dim).map(move |element| wave(position, element))).collect();
    Tensor::from_data(TensorData::new(values, [length, dim]), device)
}

/// The states at each position, and the vectors that turn them into scores of words.
#[derive(Clone, Debug)]
pub struct AdaptiveScores {
    words: AdaptiveWords,
    /// `[N·T, dim]`.
    states: Tensor<2>,
}

impl WordLanguageModel for AdaptiveTransformer {
    type Scores = AdaptiveScores;

    fn scores(&self, sequences: &[Vec<u32>], device: &Device) -> AdaptiveScores {
        AdaptiveScores { states: self.states(sequences, device), words: self.words.clone() }
    }

    fn vocabulary(&self) -> usize {
        self.words.vocabulary()
    }
}

impl WordScores for AdaptiveScores {
    fn nats(&self, targets: &[u32]) -> Tensor<1> {
        self.words.nats(self.states.clone(), targets, &self.states.device())
    }

    fn distilled_nats(&self, targets: &[u32], teacher: &Self, share: f64) -> Tensor<1> {
        let taught = (&teacher.words, teacher.states.clone());
        self.words.distilled_nats(self.states.clone(), targets, taught, share, &self.states.device())
    }
}
