//! What a trained network's own data say of it, without training: statistics of its norms, how the loss depends on
//! each weight, and how the inputs of each layer vary together.
//!
//! The data are the training records of a [`Task`], a few thousand of them, each seen once.

mod error;
mod inputs;
mod patches;
mod sensitivity;
mod statistics;

use burn::tensor::{Device, Tensor};

pub use self::error::CalibrationError;
use crate::train::{BatchRecord, Task};

/// A task whose training records are there to calibrate on.
#[derive(Debug)]
pub struct Calibration<'t, T> {
    task: &'t T,
    batch_size: usize,
    device: Device,
}

impl<'t, T: Task> Calibration<'t, T> {
    /// Calibrates on all training records of `task`, so many at a time.
    pub fn new(task: &'t T, batch_size: usize, device: &Device) -> Self {
        Self { task, batch_size: batch_size.max(1), device: device.clone().without_autodiff() }
    }

    /// The records in their order, cut in batches that differ in length by one at most.
    fn batches(&self) -> Result<Vec<Vec<BatchRecord>>, CalibrationError> {
        let records = self.task.training_records();
        if records == 0 {
            return Err(CalibrationError::NoRecords);
        }
        let count = records.div_ceil(self.batch_size);
        let batch = |place: usize| {
            let range = place * records / count..(place + 1) * records / count;
            range.map(|index| BatchRecord { epoch: 0, index }).collect()
        };
        Ok((0..count).map(batch).collect())
    }
    /// The mean loss over records, as they are: shape `[1]`.
    fn loss(&self, model: &T::Model, records: &[BatchRecord], device: &Device) -> Tensor<1> {
        let batch = self.task.batch(records, 0);
        self.task.loss(self.task.forward(model, &batch, device), &batch)
    }
}
