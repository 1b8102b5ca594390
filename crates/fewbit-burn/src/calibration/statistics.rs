//! Running statistics of a network's norms, measured anew.

use fewbit::FloatEncoding;

use super::{Calibration, CalibrationError};
use crate::layout::is_running_statistic;
use crate::stored::{StoredModel, StoredTensor};
use crate::train::Task;

impl<T: Task> Calibration<'_, T> {
    /// `stored` with running statistics measured with its own weights on the calibration records, whatever they
    /// were before. `momentum` is the share that a batch has in those of the network's norms.
    ///
    /// What a running statistic has forgotten of its start is known: started from zero, it is made up for by a
    /// factor.
    ///
    /// # Errors
    /// [`CalibrationError`]: no records, or weights that are not the network's.
    pub fn with_statistics(
        &self,
        stored: StoredModel,
        momentum: f64,
    ) -> Result<StoredModel, CalibrationError> {
        let batches = self.batches()?;
        if !stored.has_running_statistics() {
            return Ok(stored);
        }
        let mut blank = stored.clone();
        blank.scale_statistics(0.0);
        let device = self.device.clone().autodiff();
        // For layers that draw numbers themselves.
        self.device.seed(0);
        let model = blank.load_into(self.task.init(&device))?;
        for batch in &batches {
            self.task.loss(&model, batch, 0, &device);
        }
        let mut measured = StoredModel::float(&model)?;
        measured.scale_statistics(1.0 / (1.0 - (1.0 - momentum).powi(batches.len() as i32)));
        Ok(stored.with_running_statistics_of(measured))
    }
}

impl StoredModel {
    fn scale_statistics(&mut self, factor: f64) {
        for (path, tensor) in &mut self.tensors {
            if let StoredTensor::Float { values, encoding, .. } = tensor
                && is_running_statistic(path)
            {
                values.iter_mut().for_each(|value| *value = (f64::from(*value) * factor) as f32);
                *encoding = FloatEncoding::Float32;
            }
        }
    }
}
