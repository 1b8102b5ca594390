//! The byte budget of a run.

use fewbit::budget::{BudgetError, FileSettings, Finished, SizeLimits};
use fewbit::method::Coarseness;
use fewbit::{Budget, Snapshot, StoredModel};

use super::outcome::TrainError;
use super::state::State;
use super::task::Task;
use super::trainer::Trainer;
use crate::quantizer::Quantizer;
use crate::stored::{snapshot_before, snapshot_of};

impl<T: Task> Trainer<'_, T> {
    /// What the run's file holds beside the codes.
    pub(super) fn file(&self) -> FileSettings<'_> {
        FileSettings {
            method: self.config.quantization.method.as_ref(),
            storage: self.config.storage,
            batch_norm_epsilon: self.task.batch_norm_epsilon(),
            metadata: self.metadata.iter().cloned().collect(),
        }
    }

    /// The budget before the first step, where there is one.
    fn new_budget(&self) -> Result<Option<Budget>, BudgetError> {
        let Some(bytes) = self.config.budget else { return Ok(None) };
        // Without a step the file is that of weights as they are.
        let budget = Budget::new(bytes, self.config.quantized_steps.max(1))?;
        Ok(Some(budget.with_penalty(self.config.penalty).with_scale_rate(self.config.bits_learning_rate)))
    }

    /// Refuses a budget that no file of the network keeps.
    pub(super) fn check_budget(&self, model: &T::Model) -> Result<(), TrainError> {
        if let Some(mut budget) = self.new_budget()? {
            budget.start(&self.before(model)?, &self.file())?;
        }
        Ok(())
    }

    /// The network before the method is attached.
    fn before(&self, model: &T::Model) -> Result<Snapshot<'static>, TrainError> {
        Ok(snapshot_before(model, &self.config.quantization)?)
    }

    /// The model with the method attached, and the budget at its start.
    pub(super) fn attached(
        &self,
        model: T::Model,
    ) -> Result<(T::Model, Quantizer, Option<Budget>), TrainError> {
        let (config, seed) = (&self.config.quantization, self.config.seed);
        let mut budget = self.new_budget()?;
        let start = match &mut budget {
            Some(budget) => budget.start(&self.before(&model)?, &self.file())?,
            None => Default::default(),
        };
        let (model, quantizer) = config.attach_from(model, seed, start)?;
        Ok((model, quantizer, budget))
    }

    /// Bytes of the smallest and of the largest file.
    pub(super) fn limits(&self, model: &T::Model) -> Result<(u64, u64), TrainError> {
        let (before, file) = (self.before(model)?, self.file());
        if file.method.sizing().is_some() {
            let limits = SizeLimits::of(&before, &file, u64::MAX)?;
            return Ok((limits.smallest, limits.largest));
        }
        let stored = file.in_storage(before.rounded(file.method, Coarseness::default())?);
        let bytes = stored.to_writer().map_err(BudgetError::from)?.bytes();
        Ok((bytes, bytes))
    }

    /// Measures the file where that is due.
    pub(super) fn measure(&self, state: &mut State<T::Model>) -> Result<(), TrainError> {
        let (Some(quantizer), Some(budget)) = (&state.quantizer, &state.budget) else { return Ok(()) };
        if !budget.plan(quantizer.method().as_ref()).measures {
            return Ok(());
        }
        state.check_finite()?;
        let (Some(quantizer), Some(budget)) = (&state.quantizer, &mut state.budget) else { return Ok(()) };
        Ok(budget.measure(&snapshot_of(&state.model, quantizer)?, &self.file())?)
    }

    /// The network of the last file, within the budget.
    pub(super) fn within(
        &self,
        budget: &Budget,
        model: &T::Model,
        quantizer: &Quantizer,
    ) -> Result<StoredModel, TrainError> {
        let network = snapshot_of(model, quantizer)?;
        let prepare = |stored| self.with_own_statistics(stored);
        let Finished { stored, .. } = budget.finish::<TrainError>(&network, &self.file(), prepare)?;
        Ok(stored)
    }
}
