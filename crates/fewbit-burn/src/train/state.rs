//! What changes from step to step, and its way into a checkpoint and back.

use burn::module::Module;
use burn::optim::OptimizerRecord;
use burn::store::{ModuleRecord, RecordError};
use burn::tensor::Bytes;

use super::checkpoint::{Checkpoint, CheckpointError, Header};
use super::controller::SizeController;
use super::identity::Identity;
use super::optimizer::Optimizers;
use super::outcome::TrainError;
use super::run_folder::{FLOAT_FILE, RunFolder};
use super::task::Task;
use super::trainer::Trainer;
use crate::control::NoiseClock;
use crate::guard::first_non_finite;
use crate::quantizer::Quantizer;
use crate::stored::{ExportError, LoadError, StoredModel};

/// A run between two steps.
pub(super) struct State<M> {
    pub(super) step: u64,
    pub(super) model: M,
    /// The method, once the float steps are done.
    pub(super) quantizer: Option<Quantizer>,
    /// What finds λ, where the file has a budget.
    pub(super) controller: Option<SizeController>,
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
            controller: self.controller,
            records: [0; 3],
        };
        Ok(Checkpoint { header, records: [model, weights, bits].map(|bytes| bytes.to_vec()) })
    }
}

impl<T: Task> Trainer<'_, T> {
    /// A run before its first step.
    pub(super) fn start(&self) -> Result<State<T::Model>, TrainError> {
        self.device.seed(self.config.seed);
        let mut model = self.task.init(&self.autodiff());
        if let Some(initial) = &self.initial {
            model = initial.load_into(model)?;
        }
        // burn draws weights when they are first read; reading them all here ties them to the seed.
        if let Some(found) = first_non_finite(&model) {
            return Err(non_finite(0, found.to_string()));
        }
        // A configuration or budget that does not fit the model is refused before the first step.
        self.config.quantization.attach(model.clone(), self.config.seed)?;
        self.check_budget(&model)?;
        let optimizers = Optimizers::new(self.config, &model, None);
        Ok(State {
            step: 0,
            model,
            quantizer: None,
            controller: None,
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
        self.attach(state, || Ok(float))?;
        state.controller = self.controller(state)?;
        Ok(())
    }

    /// Attaches the method. `float` gives the float network, which is asked for where it teaches.
    pub(super) fn attach(
        &self,
        state: &mut State<T::Model>,
        float: impl FnOnce() -> Result<StoredModel, TrainError>,
    ) -> Result<(), TrainError> {
        let (config, seed) = (&self.config.quantization, self.config.seed);
        let start = self.start_of_steps(&state.model)?;
        let (model, quantizer) = config.attach_from(state.model.clone(), seed, start)?;
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
        let mut state = self.start()?;
        state.step = header.step;
        if header.quantized {
            self.attach(&mut state, || {
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
        (state.controller, state.rate_factor) = (header.controller, header.rate_factor);
        Ok(state)
    }
}

/// The error for what is not finite before step `step`; which checkpoint there is, is not known here.
pub(super) fn non_finite(step: u64, culprit: String) -> TrainError {
    TrainError::NonFinite { step, culprit, checkpoint: None }
}
