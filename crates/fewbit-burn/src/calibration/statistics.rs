//! Running statistics of a network's norms, measured anew or brought in line with other weights.
//!
//! Rounding changes the mean and the spread of what a norm is given. Measured on the calibration records before and after,
//! they say by how much, and the norm's own statistics are moved as far: with means `μ` and deviations `σ` of the float
//! network and `μ'`, `σ'` of the rounded one, a norm with mean `m` and deviation `s` gets
//!
//! ```text
//! s' = s·σ'/σ,    m' = μ' - (σ'/σ)·(μ - m)
//! ```
//!
//! so that on these records its output has the mean and the spread that it had. Where `m` and `s` were measured on the same
//! records, these are `μ'` and `σ'`; where they were not, what the network has learned on other ones is kept.

use burn::module::Module;
use fewbit::StoredModel;

use super::{Calibration, CalibrationError};
use crate::operation::forward_only;
use crate::stored::StoredModelExt;
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
        let model = blank.load_into(self.task.init(&device))?.no_grad();
        for batch in &batches {
            forward_only(&device, || self.task.observe(&model, batch, 0, &device));
            if let Some(reason) = self.task.failure() {
                return Err(CalibrationError::Record(reason));
            }
        }
        let mut measured = StoredModel::float(&model)?;
        measured.scale_statistics(1.0 / (1.0 - (1.0 - momentum).powi(batches.len() as i32)));
        Ok(stored.with_running_statistics_of(measured))
    }
}
