//! How a run starts, goes from float to quantized steps, and comes back from a checkpoint.

use burn::module::Module;
use burn::optim::OptimizerRecord;
use burn::store::{ModuleRecord, RecordError};
use burn::tensor::Bytes;
use fewbit::{ExportError, StoredModel};

use super::checkpoint::{Checkpoint, CheckpointError};
use super::optimizer::Optimizers;
use super::outcome::TrainError;
use super::run_folder::{FLOAT_FILE, RunFolder};
use super::state::{State, non_finite};
use super::task::Task;
use super::trainer::Trainer;
use crate::control::NoiseClock;
use crate::guard::first_non_finite;
use crate::quantizer::Quantizer;
use crate::stored::{LoadError, StoredModelExt};

impl<T: Task> Trainer<'_, T> {
    /// A run before its first step. A configuration or budget that does not fit the model is refused.
    pub(super) fn start(&self) -> Result<State<T::Model>, TrainError> {
        let state = self.fresh()?;
        self.config.quantization.attach(state.model.clone(), self.config.seed)?;
        self.check_budget(&state.model)?;
        Ok(state)
    }

    /// A run with the weights that it starts with.
    fn fresh(&self) -> Result<State<T::Model>, TrainError> {
        self.device.seed(self.config.seed);
        let mut model = self.task.init(&self.autodiff());
        if let Some(initial) = &self.initial {
            model = initial.load_into(model)?;
        }
        // burn draws weights when they are first read; reading them all here ties them to the seed.
        if let Some(found) = first_non_finite(&model) {
            return Err(non_finite(0, found.to_string()));
        }
        let optimizers = Optimizers::new(self.config, &model, None);
        Ok(State {
            step: 0,
            model,
            quantizer: None,
            budget: None,
            teacher: None,
            optimizers,
            rate_factor: 1.0,
            seconds_before: 0.0,
            metrics_bytes: 0,
        })
    }

    /// Ends the float phase: keeps the float network as a file and attaches the method.
    pub(super) fn finish_float(
        &self,
        state: &mut State<T::Model>,
        folder: &RunFolder,
    ) -> Result<(), TrainError> {
        let float = self.with_all_metadata(StoredModel::float(&state.model)?);
        let bytes = float.to_bytes().map_err(ExportError::from)?;
        folder.write(FLOAT_FILE, &bytes).map_err(CheckpointError::from)?;
        self.attach(state, || Ok(float))
    }

    /// Attaches the method. `float` gives the float network, which is asked for where it teaches.
    pub(super) fn attach(
        &self,
        state: &mut State<T::Model>,
        float: impl FnOnce() -> Result<StoredModel, TrainError>,
    ) -> Result<(), TrainError> {
        let (model, quantizer);
        (model, quantizer, state.budget) = self.attached(state.model.clone())?;
        self.go_on_with(state, model, quantizer, float)
    }

    /// The state with a model that has the method.
    fn go_on_with(
        &self,
        state: &mut State<T::Model>,
        model: T::Model,
        quantizer: Quantizer,
        float: impl FnOnce() -> Result<StoredModel, TrainError>,
    ) -> Result<(), TrainError> {
        quantizer.control().seek(self.clock(state.step));
        quantizer.control().set_mode(self.config.mode_at(state.step));
        state.optimizers = Optimizers::new(self.config, &model, Some(&quantizer));
        (state.model, state.quantizer) = (model, Some(quantizer));
        if self.float_teaches() {
            state.teacher = Some(float()?.load_into(self.task.init(&self.device))?);
        }
        Ok(())
    }

    fn clock(&self, step: u64) -> NoiseClock {
        NoiseClock { seed: self.config.seed, replica: 0, step, micro_step: 0 }
    }

    /// The run as a checkpoint has it.
    pub(super) fn restore(
        &self,
        checkpoint: Checkpoint,
        folder: &RunFolder,
    ) -> Result<State<T::Model>, TrainError> {
        let Checkpoint { header, records: [model, weights, bits] } = checkpoint;
        let mut state = self.fresh()?;
        state.step = header.step;
        if header.quantized {
            // What is learned and the budget come from the checkpoint.
            let (model, quantizer) =
                self.config.quantization.attach(state.model.clone(), self.config.seed)?;
            self.go_on_with(&mut state, model, quantizer, || {
                let float = fewbit::read_file(&folder.path().join(FLOAT_FILE)).map_err(LoadError::from)?;
                Ok(StoredModel::from_reader(&float).map_err(LoadError::from)?)
            })?;
        }
        let record = |source: RecordError| CheckpointError::Record { step: header.step, source };
        let model = ModuleRecord::from_bytes(Bytes::from_bytes_vec(model)).map_err(record)?;
        state.model = state.model.try_load_record(model).map_err(record)?;
        // The record brings its own parameter identities, which the optimizers' states refer to.
        state.optimizers = Optimizers::new(self.config, &state.model, state.quantizer.as_ref());
        let load = |bytes: Vec<u8>| OptimizerRecord::from_bytes(Bytes::from_bytes_vec(bytes)).map_err(record);
        state.optimizers.weights = state.optimizers.weights.load_record(load(weights)?);
        state.optimizers.bits = state.optimizers.bits.load_record(load(bits)?);
        (state.metrics_bytes, state.seconds_before) = (header.metrics_bytes, header.seconds);
        (state.budget, state.rate_factor) = (header.budget, header.rate_factor);
        Ok(state)
    }
}
