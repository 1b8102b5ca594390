//! What changes from step to step, and its way into a checkpoint.

use burn::module::Module;
use burn::store::RecordError;
use fewbit::Budget;

use super::checkpoint::{Checkpoint, CheckpointError, Header};
use super::identity::Identity;
use super::optimizer::Optimizers;
use super::outcome::TrainError;
use crate::guard::first_non_finite;
use crate::quantizer::Quantizer;

/// A run between two steps.
pub(super) struct State<M> {
    pub(super) step: u64,
    pub(super) model: M,
    /// The method, once the float steps are done.
    pub(super) quantizer: Option<Quantizer>,
    /// What keeps the budget, where the file has one.
    pub(super) budget: Option<Budget>,
    /// The float network, where quantized steps learn from it.
    pub(super) teacher: Option<M>,
    pub(super) optimizers: Optimizers,
    /// What learning rates are multiplied with: less than 1 after a number has stopped being one.
    pub(super) rate_factor: f64,
    /// Seconds of the run before this process.
    pub(super) seconds_before: f64,
    /// Length of the metrics at the last checkpoint.
    pub(super) metrics_bytes: u64,
}

impl<M: Module> State<M> {
    /// `float`, or the mode of the method: `noise` or `straight_through`.
    pub(super) fn phase(&self) -> &'static str {
        self.quantizer.as_ref().map_or("float", |quantizer| quantizer.control().mode().name())
    }

    /// Whether every weight, running statistic and bit is a number.
    ///
    /// # Errors
    /// [`TrainError::NonFinite`] naming the first tensor that is not.
    pub(super) fn check_finite(&self) -> Result<(), TrainError> {
        // `valid` brings running statistics up to date, as a checkpoint will have them.
        first_non_finite(&self.model.valid())
            .map_or(Ok(()), |found| Err(non_finite(self.step, found.to_string())))
    }

    /// Everything that a resumed run needs.
    pub(super) fn checkpoint(
        &self,
        identity: &Identity,
        metrics_bytes: u64,
        seconds: f64,
    ) -> Result<Checkpoint, CheckpointError> {
        let record = |source: RecordError| CheckpointError::Record { step: self.step, source };
        // `valid` brings running statistics up to date, which a record alone would not.
        let model = self.model.valid().into_record().into_bytes().map_err(record)?;
        let weights = self.optimizers.weights.into_bytes().map_err(record)?;
        let bits = self.optimizers.bits.into_bytes().map_err(record)?;
        let header = Header {
            step: self.step,
            quantized: self.quantizer.is_some(),
            identity: identity.clone(),
            metrics_bytes,
            seconds,
            rate_factor: self.rate_factor,
            budget: self.budget.clone(),
            records: [0; 3],
        };
        Ok(Checkpoint { header, records: [model, weights, bits].map(|bytes| bytes.to_vec()) })
    }
}

/// The error for what is not finite before step `step`; which checkpoint there is, is not known here.
pub(super) fn non_finite(step: u64, culprit: String) -> TrainError {
    TrainError::NonFinite { step, culprit, checkpoint: None }
}
