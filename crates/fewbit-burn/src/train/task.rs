//! What the training loop must know of a model and its data.

use std::ops::Range;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Which records are evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// The end of the training set: checkpoints, rates and penalties are chosen on it.
    Validation,
    /// The held-out records, read once per result.
    Test,
}

/// What a score means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// The share of records that are classified correctly, 0..=1; larger is better.
    Accuracy,
    /// Bits needed per byte of text; smaller is better.
    BitsPerByte,
    /// e to the mean nats per word of text; smaller is better.
    Perplexity,
    /// Signal-to-distortion ratio in dB; larger is better.
    SignalToDistortion,
}

impl Metric {
    /// The word used in metrics and results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::BitsPerByte => "bits_per_byte",
            Self::Perplexity => "perplexity",
            Self::SignalToDistortion => "sdr_db",
        }
    }

    /// The metric of all records.
    pub fn of(self, scores: &[Score]) -> f64 {
        match self {
            // A number, whatever the network says: rows hold no infinity.
            Self::Perplexity => mean(scores).exp().min(f64::MAX),
            Self::Accuracy | Self::BitsPerByte | Self::SignalToDistortion => mean(scores),
        }
    }
}

/// The score of one record; [`Metric::of`] makes the metric of all, mostly the sum of the values over that of the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// 1 or 0 for a classified image, bits for a piece of text, nats for one of words, decibels, summed over the sources,
    /// for a track.
    pub value: f64,
    /// 1 for an image, bytes or words for a piece of text, sources for a track.
    pub weight: f64,
}

/// The sum of the values over that of the weights; 0 for none.
pub fn mean(scores: &[Score]) -> f64 {
    let weight: f64 = scores.iter().map(|score| score.weight).sum();
    let value: f64 = scores.iter().map(|score| score.value).sum();
    if weight == 0.0 { 0.0 } else { value / weight }
}

/// One record of a training batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchRecord {
    /// How often the record has been shown before: where records are not repeated, how often the training set has been gone
    /// through.
    pub epoch: u64,
    /// Which record of the training set.
    pub index: usize,
}

/// A network whose predictions another learns from.
#[derive(Clone, Debug)]
pub struct Teacher<M> {
    /// The network, on a device without autodiff.
    pub model: M,
    /// The share of its predictions; the rest is the labels'.
    pub share: f64,
    /// Where it is.
    pub device: Device,
}

/// A model with its data. Everything must be a pure function of its arguments: order and
/// augmentation come from (seed, epoch, index), so that a resumed run repeats them.
pub trait Task {
    /// The network; any burn module.
    type Model: Module;

    /// A fresh float network on `device`, drawn from the device's seed.
    fn init(&self, device: &Device) -> Self::Model;

    /// The ε of the network's batch norms; `None` where it has none, or where they must stay as they are
    /// in a file.
    fn batch_norm_epsilon(&self) -> Option<f64> {
        None
    }

    /// What [`Task::evaluate`] measures.
    fn metric(&self) -> Metric;

    /// Records to train on, those of the validation split not among them.
    fn training_records(&self) -> usize;

    /// Records of a split.
    fn evaluation_records(&self, split: Split) -> usize;

    /// The mean loss over `batch`: shape `[1]`. `seed` is the run's, for augmentation.
    fn loss(&self, model: &Self::Model, batch: &[BatchRecord], seed: u64, device: &Device) -> Tensor<1>;

    /// Runs `model` on the records of `batch`, for layers that measure what they are given. By default as in
    /// training; where training changes records into what evaluation never sees, without those changes.
    fn observe(&self, model: &Self::Model, batch: &[BatchRecord], seed: u64, device: &Device) {
        self.loss(model, batch, seed, device);
    }

    /// As [`loss`](Self::loss), where a share of what is learned from are a teacher's predictions on the
    /// same records in place of the labels.
    fn distilled_loss(
        &self,
        model: &Self::Model,
        teacher: &Teacher<Self::Model>,
        batch: &[BatchRecord],
        seed: u64,
        device: &Device,
    ) -> Tensor<1>;

    /// The score of each of `records` of a split, in order, without augmentation.
    fn evaluate(
        &self,
        model: &Self::Model,
        split: Split,
        records: Range<usize>,
        device: &Device,
    ) -> Vec<Score>;

    /// A check sum of data and settings that a resumed run must share.
    fn fingerprint(&self) -> u32;

    /// Why a record could not be had that was asked for since the task was made. What came of such a batch is not
    /// used.
    fn failure(&self) -> Option<String> {
        None
    }
}

/// The scores of every record of `split`, `batch_size` at a time.
pub fn evaluate<T: Task>(
    task: &T,
    model: &T::Model,
    split: Split,
    batch_size: usize,
    device: &Device,
) -> Vec<Score> {
    let records = task.evaluation_records(split);
    let mut scores = Vec::with_capacity(records);
    let mut start = 0;
    while start < records {
        let end = records.min(start + batch_size.max(1));
        scores.extend(task.evaluate(model, split, start..end, device));
        start = end;
    }
    scores
}
