//! From the bytes of a file to the scores of the network in it.

use burn::tensor::Device;
use fewbit::ContainerReader;

use super::outcome::TrainError;
use super::task::{Score, Split, Task, evaluate};
use crate::stored::{LoadError, load_into};

/// Evaluates files on the records of a task; needs no [`Trainer`](super::Trainer).
#[derive(Debug)]
pub struct Evaluator<'t, T> {
    task: &'t T,
    batch_size: usize,
    device: Device,
}

/// The evaluation of a network on one split.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Evaluated {
    /// The task's metric.
    pub value: f64,
    /// The score of each record, in order.
    pub scores: Vec<Score>,
}

impl<'t, T: Task> Evaluator<'t, T> {
    /// An evaluator that runs `batch_size` records at a time on `device`.
    pub fn new(task: &'t T, batch_size: usize, device: &Device) -> Self {
        Self { task, batch_size, device: device.clone().without_autodiff() }
    }

    /// The scores of the network in the bytes of a `.fewbit` file.
    ///
    /// # Errors
    /// [`TrainError`]: bytes that are not a sound file, or what [`of_reader`](Self::of_reader) fails with.
    pub fn of_file(&self, bytes: &[u8], split: Split) -> Result<Evaluated, TrainError> {
        self.of_reader(&ContainerReader::new(bytes).map_err(LoadError::from)?, split)
    }

    /// The scores of the network in a file.
    ///
    /// # Errors
    /// [`TrainError`]: tensors that are not the network's or do not decode, or what [`of_model`](Self::of_model) fails
    /// with.
    pub fn of_reader<B: AsRef<[u8]> + Sync>(
        &self,
        reader: &ContainerReader<B>,
        split: Split,
    ) -> Result<Evaluated, TrainError> {
        self.of_model(&load_into(reader, self.task.init(&self.device))?, split)
    }

    /// The scores of a network in memory.
    ///
    /// # Errors
    /// [`TrainError::Record`] for a record that cannot be loaded, [`TrainError::NoScore`] where the scores have no metric,
    /// as those of an empty split.
    pub fn of_model(&self, model: &T::Model, split: Split) -> Result<Evaluated, TrainError> {
        let scores = evaluate(self.task, model, split, self.batch_size, &self.device);
        if let Some(reason) = self.task.failure() {
            return Err(TrainError::Record(reason));
        }
        let value = self.task.combine(&scores);
        let value = value.ok_or(TrainError::NoScore { split, records: scores.len() })?;
        Ok(Evaluated { value, scores })
    }
}
