//! What the training loop asks of a model and its data.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::metric::Metric;

/// Which records are evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Split {
    /// Records held back from training: checkpoints, rates and penalties are chosen on them.
    Validation,
    /// The test records, read once per result.
    Test,
}

impl Split {
    /// The word in rows and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// The score of one record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// For example 1 or 0 for a classified image, the bits of a piece of text, the squared error of a prediction.
    pub value: f64,
    /// How much the record counts: 1 for an image or a prediction, the bytes of a piece of text.
    pub weight: f64,
}

impl Score {
    /// A score with weight 1.
    pub const fn of(value: f64) -> Self {
        Self { value, weight: 1.0 }
    }
}

/// The sum of the values over the sum of the weights; `None` where nothing has a weight, for which there is no mean.
pub fn mean(scores: &[Score]) -> Option<f64> {
    let weight: f64 = scores.iter().map(|score| score.weight).sum();
    let value: f64 = scores.iter().map(|score| score.value).sum();
    (weight != 0.0).then(|| value / weight)
}

/// One record of a training batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchRecord {
    /// How many times the record has been shown before: where records are not repeated, the number of complete passes over
    /// the training set.
    pub epoch: u64,
    /// Index of the record in the training set.
    pub index: usize,
}

/// A model with its data, as [`Trainer`](super::Trainer) needs them.
///
/// Everything must be a pure function of its arguments: order and augmentation follow from (seed, epoch, index), so that a
/// resumed run repeats them.
pub trait Task {
    /// The network; any burn module.
    type Model: Module;

    /// The inputs and labels of some records, on the host: loaded and augmented once, then read by the network, its teacher
    /// and the loss.
    type Batch;

    /// What the network makes of a batch.
    type Output: Clone;

    /// A fresh float network on `device`, drawn from the device's seed.
    fn init(&self, device: &Device) -> Self::Model;

    /// The number of records to train on, without those of the validation split.
    fn training_records(&self) -> usize;

    /// The number of test records, at least 1.
    fn test_records(&self) -> usize;

    /// The inputs and labels of these training records. `seed` is the run's, for augmentation.
    fn batch(&self, records: &[BatchRecord], seed: u64) -> Self::Batch;

    /// What `model`, which is on `device`, makes of a batch.
    fn forward(&self, model: &Self::Model, batch: &Self::Batch, device: &Device) -> Self::Output;

    /// The mean loss of an output, given the labels in its batch: shape `[1]`.
    fn loss(&self, output: Self::Output, batch: &Self::Batch) -> Tensor<1>;

    /// What [`evaluate`](Self::evaluate) measures.
    fn metric(&self) -> Metric;

    /// The score of each of `records` of a split, in order, without augmentation.
    fn evaluate(
        &self,
        model: &Self::Model,
        split: Split,
        records: Range<usize>,
        device: &Device,
    ) -> Vec<Score>;

    /// The metric of all records of a split, by default their weighted [`mean`]; `None` where these scores have no metric,
    /// which ends a run with an error.
    fn combine(&self, scores: &[Score]) -> Option<f64> {
        mean(scores)
    }

    /// The number of validation records; by default there are none.
    fn validation_records(&self) -> usize {
        0
    }

    /// The mean distance of an output from a teacher's output for the same batch, which has no autodiff: shape `[1]`. `None`,
    /// the default, where the task does not learn from a teacher.
    fn distance(&self, _output: Self::Output, _taught: Self::Output) -> Option<Tensor<1>> {
        None
    }

    /// The loss of an output where a `share`, `0..=1`, of what is learned is the distance to a teacher's output and the rest
    /// the loss given the labels. To be overridden where both are one pass over the output.
    fn distilled_loss(
        &self,
        output: Self::Output,
        taught: Self::Output,
        batch: &Self::Batch,
        share: f64,
    ) -> Option<Tensor<1>> {
        Some(self.distance(output.clone(), taught)? * share + self.loss(output, batch) * (1.0 - share))
    }

    /// Runs `model` on training records for layers that measure their inputs: by default as in training. To be overridden
    /// where augmentation changes the records into something that evaluation never sees.
    fn observe(&self, model: &Self::Model, records: &[BatchRecord], seed: u64, device: &Device) {
        self.forward(model, &self.batch(records, seed), device);
    }

    /// The ε of the network's batch norms; `None` where it has none, or where a file must hold them unfolded.
    fn batch_norm_epsilon(&self) -> Option<f64> {
        None
    }

    /// A checksum of data and settings that a resumed run must share; by default of the numbers of records alone.
    fn fingerprint(&self) -> u32 {
        let counts = [self.training_records(), self.validation_records(), self.test_records()];
        crc32fast::hash(&counts.map(|count| (count as u64).to_le_bytes()).concat())
    }

    /// Why a record could not be loaded since the task was made, if one could not. The batch that needed it is discarded and
    /// the run ends with this reason.
    fn failure(&self) -> Option<String> {
        None
    }

    /// The number of records of a split.
    fn evaluation_records(&self, split: Split) -> usize {
        match split {
            Split::Validation => self.validation_records(),
            Split::Test => self.test_records(),
        }
    }
}

/// The output of a task for a batch.
type Outputs<'t, T> = dyn Fn(&<T as Task>::Batch) -> <T as Task>::Output + Send + Sync + 't;

/// A trained network to learn from beside the labels, whatever its architecture: a function from a batch of the task to an
/// output of the task, without autodiff.
pub struct Teacher<'t, T: Task>(Arc<Outputs<'t, T>>);

impl<'t, T: Task> Teacher<'t, T> {
    /// A teacher whose outputs are those of `forward`.
    pub fn new(forward: impl Fn(&T::Batch) -> T::Output + Send + 't) -> Self {
        // Modules of burn are `Send` alone, and a run may move to another thread.
        let forward = Mutex::new(forward);
        Self(Arc::new(move |batch| forward.lock().unwrap_or_else(PoisonError::into_inner)(batch)))
    }

    /// The output for a batch.
    pub(crate) fn output(&self, batch: &T::Batch) -> T::Output {
        (self.0)(batch)
    }
}

impl<T: Task> Clone for Teacher<'_, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// The scores of every record of `split`, `batch_size` at a time.
///
/// # Panics
/// If the task gives another number of scores than it was asked for.
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
        assert_eq!(scores.len(), end, "scores after {end} records of the {} split", split.name());
        start = end;
    }
    scores
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_weighs_its_records_and_no_weight_has_none() {
        // (3 + 1) over (1 + 3).
        assert_eq!(mean(&[Score { value: 3.0, weight: 1.0 }, Score { value: 1.0, weight: 3.0 }]), Some(1.0));
        assert_eq!(mean(&[]), None);
        assert_eq!(mean(&[Score { value: 0.0, weight: 0.0 }]), None);
    }
}
