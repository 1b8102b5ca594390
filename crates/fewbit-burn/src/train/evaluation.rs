//! Evaluations and results: always of the bytes that the file has or would have.

use std::sync::Arc;

use burn::module::Module;
use fewbit::method::{FixedWidth, PtqMinMax};
use fewbit::{BitWidth, ExportError, StoredModel};

use super::checkpoint::CheckpointError;
use super::evaluator::{Evaluated, Evaluator};
use super::metrics::{Method, ResultRow, Row};
use super::order::Batches;
use super::outcome::TrainError;
use super::paired::sign_test;
use super::run_folder::{FLOAT_FILE, MODEL_FILE, RunFolder};
use super::state::State;
use super::task::{Split, Task};
use super::trainer::Trainer;
use crate::config::QuantizationConfig;
use crate::operation::forward_only;
use crate::penalty::soft_size;
use crate::stored::{LoadError, StoredModelExt};

impl<T: Task> Trainer<'_, T> {
    /// The file that would be written now.
    fn stored(&self, state: &State<T::Model>) -> Result<StoredModel, TrainError> {
        let stored = match &state.quantizer {
            None => StoredModel::float(&state.model)?,
            Some(quantizer) => return self.finished(StoredModel::rounded(&state.model, quantizer)?),
        };
        Ok(self.with_all_metadata(stored))
    }

    /// `stored` as the run's file has it: statistics of its own weights, then floats in the recipe's precision.
    pub(super) fn finished(&self, stored: StoredModel) -> Result<StoredModel, TrainError> {
        Ok(self.file().in_storage(self.with_own_statistics(stored)?))
    }

    pub(super) fn with_all_metadata(&self, stored: StoredModel) -> StoredModel {
        self.metadata.iter().fold(stored, |stored, (key, value)| stored.with_metadata(key, value.clone()))
    }

    /// `stored` with running statistics measured with its own weights, on training batches. Those of
    /// training belong to noisy weights, whose activations spread more than those of rounded ones.
    pub(super) fn with_own_statistics(&self, stored: StoredModel) -> Result<StoredModel, TrainError> {
        if self.config.norm_batches == 0 || !stored.has_running_statistics() {
            return Ok(stored);
        }
        let (seed, device) = (self.config.seed, self.autodiff());
        // For layers that draw numbers themselves; the next training step seeds the device again.
        self.device.seed(seed);
        let model = stored.load_into(self.task.init(&device))?.no_grad();
        // Every record once, as repeats would be the same again.
        let mut batches = Batches::new(seed, self.task.training_records(), self.config.batch_size);
        for step in 0..self.config.norm_batches {
            forward_only(&device, || self.task.observe(&model, &batches.at(step), seed, &device));
            self.check_records()?;
        }
        Ok(stored.with_running_statistics_of(StoredModel::float(&model)?))
    }

    /// That every record could be had so far.
    pub(super) fn check_records(&self) -> Result<(), TrainError> {
        self.task.failure().map_or(Ok(()), |reason| Err(TrainError::Record(reason)))
    }

    /// The evaluation of the network in the bytes of a file, through the reader, and the network.
    fn evaluated(&self, bytes: &[u8], split: Split) -> Result<Evaluated, TrainError> {
        Evaluator::new(self.task, self.config.evaluation_batch_size, &self.device).of_file(bytes, split)
    }

    /// The row of an evaluation on the validation records.
    pub(super) fn evaluate_now(&self, state: &State<T::Model>, seconds: f64) -> Result<Row, TrainError> {
        let stored = self.stored(state)?;
        let bytes = stored.to_bytes().map_err(ExportError::from)?;
        let evaluated = self.evaluated(&bytes, Split::Validation)?;
        let soft_bits = state.quantizer.as_ref().and_then(|quantizer| soft_size(&state.model, quantizer));
        Ok(Row::Evaluation {
            step: state.step,
            phase: state.phase().to_owned(),
            split: Split::Validation,
            metric: self.task.metric(),
            value: evaluated.value,
            bytes: bytes.len() as u64,
            mean_bits: stored.mean_bits(),
            soft_bytes: soft_bits.map(|bits| bits / 8.0),
            seconds,
        })
    }

    /// The rows of the table: float, rounded after training at the largest uniform width whose file
    /// is not larger, the method. Writes the file. Each row reads the test records once.
    pub(super) fn results(
        &self,
        state: &State<T::Model>,
        folder: &RunFolder,
        seconds: impl Fn() -> f64,
    ) -> Result<Vec<ResultRow>, TrainError> {
        let stored = match (&state.quantizer, &state.budget) {
            (Some(quantizer), Some(budget)) => self.within(budget, &state.model, quantizer)?,
            _ => self.stored(state)?,
        };
        let bytes = stored.to_bytes().map_err(ExportError::from)?;
        folder.write(MODEL_FILE, &bytes).map_err(CheckpointError::Write)?;
        let own = Method::of(self.method());
        let own_evaluated = self.evaluated(&bytes, Split::Test)?;
        let row = |method, evaluated: &Evaluated, stored: &StoredModel, bytes: usize| ResultRow {
            step: state.step,
            method,
            metric: self.task.metric(),
            value: evaluated.value,
            bytes: bytes as u64,
            float_bytes: stored.float_bytes(),
            mean_bits: stored.mean_bits(),
            p_value: (method != own).then(|| sign_test(&evaluated.scores, &own_evaluated.scores)),
            seconds: seconds(),
        };
        let file = fewbit::read_file(&folder.path().join(FLOAT_FILE)).map_err(LoadError::from)?;
        let float_evaluated = self.evaluated(file.as_bytes(), Split::Test)?;
        let float = StoredModel::from_reader(&file).map_err(LoadError::from)?;
        let mut rows = vec![row(Method::Float, &float_evaluated, &float, file.as_bytes().len())];
        if own != Method::RoundedAfterTraining
            && let Some((rounded, bytes)) = self.rounded_within(&float, bytes.len())?
        {
            let evaluated = self.evaluated(&bytes, Split::Test)?;
            rows.push(row(Method::RoundedAfterTraining, &evaluated, &rounded, bytes.len()));
        }
        rows.push(row(own, &own_evaluated, &stored, bytes.len()));
        Ok(rows)
    }

    /// The float network rounded after training at the largest width whose file has at most `bytes`,
    /// with running statistics of its own as the method has them.
    fn rounded_within(
        &self,
        float: &StoredModel,
        bytes: usize,
    ) -> Result<Option<(StoredModel, Vec<u8>)>, TrainError> {
        let file = |stored: &StoredModel| stored.to_bytes().map_err(ExportError::from);
        for width in (1..=BitWidth::MAX.get()).rev().filter_map(BitWidth::new) {
            let method = Arc::new(PtqMinMax(FixedWidth::of_tensor(width)));
            let config = QuantizationConfig { method, selection: self.config.quantization.selection.clone() };
            let model = float.load_into(self.task.init(&self.device))?;
            let (model, quantizer) = config.attach(model, self.config.seed)?;
            let rounded = StoredModel::rounded(&model, &quantizer)?;
            // The size before the statistics, which take long to measure and the same bytes.
            if file(&self.file().in_storage(rounded.clone()))?.len() <= bytes {
                let finished = self.finished(rounded)?;
                let bytes = file(&finished)?;
                return Ok(Some((finished, bytes)));
            }
        }
        Ok(None)
    }
}
