//! The loop itself: steps, evaluations, checkpoints, resuming, and the file at the end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::module::Module;
use burn::optim::OptimizerRecord;
use burn::store::{ModuleRecord, RecordError};
use burn::tensor::{Bytes, Device};
use fewbit::BitWidth;

use super::checkpoint::{Checkpoint, CheckpointError, Header};
use super::config::TrainConfig;
use super::metrics::{Method, ResultRow, Row};
use super::optimizer::Optimizers;
use super::order::Batches;
use super::paired::sign_test;
use super::run_folder::{FLOAT_FILE, MODEL_FILE, RunFolder, RunFolderError};
use super::task::{Score, Split, Task, evaluate, mean};
use crate::config::AttachError;
use crate::control::NoiseClock;
use crate::diffq::DiffQ;
use crate::guard::first_non_finite;
use crate::penalty::{SizePenalty, soft_size};
use crate::stored::{ExportError, LoadError, StoredModel};

/// Why a run stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The method does not fit the model.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The run folder.
    #[error(transparent)]
    RunFolder(#[from] RunFolderError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The file.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The file, read back.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A number stopped being one.
    #[error("step {step}: the loss is {loss}; {culprit}")]
    NonFinite {
        /// Steps done before.
        step: u64,
        /// What the loss was.
        loss: f64,
        /// The first tensor that is not finite, in words.
        culprit: String,
    },
    /// There is nothing to train on.
    #[error("the training set has no record")]
    NoRecords,
}

/// What happens in a run, as it happens.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The run goes on from a checkpoint, or from the start where there is none.
    Resumed {
        /// Steps done before.
        step: u64,
        /// What is wrong with newer checkpoints.
        damaged: &'a [CheckpointError],
    },
    /// A row was added to the metrics.
    Row(&'a Row),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All steps are done; the rows of the result table.
    Finished(Vec<ResultRow>),
    /// It was asked to stop and has saved what it needs to go on.
    Interrupted {
        /// Steps done.
        step: u64,
    },
}

/// A run of one task.
pub struct Trainer<'a, T: Task> {
    task: &'a T,
    config: &'a TrainConfig,
    /// Where to train, without autodiff; evaluation runs on it as it is.
    device: Device,
    metadata: Vec<(String, String)>,
    stop: &'a AtomicBool,
}

/// What changes from step to step.
struct State<M> {
    step: u64,
    model: M,
    diffq: Option<DiffQ>,
    optimizers: Optimizers,
    seconds_before: f64,
    metrics_bytes: u64,
    rows: Vec<u8>,
}

impl<'a, T: Task> Trainer<'a, T> {
    /// A run of `task` on `device`; it ends after the current step once `stop` is set.
    pub fn new(task: &'a T, config: &'a TrainConfig, device: &Device, stop: &'a AtomicBool) -> Self {
        let device = device.clone().without_autodiff();
        Self { task, config, device, metadata: Vec::new(), stop }
    }

    /// Adds an entry to the metadata of the files that the run writes.
    #[must_use]
    pub fn with_metadata(mut self, key: &str, value: impl Into<String>) -> Self {
        self.metadata.push((key.to_owned(), value.into()));
        self
    }

    /// Trains from the start, or from the newest sound checkpoint in `folder`, to the end.
    ///
    /// # Errors
    /// [`TrainError`]. What was saved before stays; a run that stopped can be resumed.
    pub fn run(
        &self,
        folder: &mut RunFolder,
        resume: bool,
        mut observe: impl FnMut(Event<'_>),
    ) -> Result<Outcome, TrainError> {
        if self.task.training_records() == 0 {
            return Err(TrainError::NoRecords);
        }
        let mut state = if resume {
            let (checkpoint, damaged) = Checkpoint::newest(folder.path())?;
            let state = match checkpoint {
                Some(checkpoint) => self.restore(checkpoint, folder)?,
                None => self.start()?,
            };
            observe(Event::Resumed { step: state.step, damaged: &damaged });
            state
        } else {
            self.start()?
        };
        folder.rewind_metrics(state.metrics_bytes)?;
        let began = Instant::now();
        let seconds = |state: &State<T::Model>| state.seconds_before + began.elapsed().as_secs_f64();
        let mut batches =
            Batches::new(self.config.seed, self.task.training_records(), self.config.batch_size);
        while state.step < self.config.total_steps() {
            if state.step == self.config.float_steps && state.diffq.is_none() {
                self.finish_float(&mut state, folder)?;
            }
            state = self.step(state, &mut batches, |state, loss| {
                let row = Row::Step {
                    step: state.step,
                    phase: phase(state).to_owned(),
                    loss,
                    seconds: seconds(state),
                };
                observe(Event::Row(&row));
                row
            })?;
            let last = state.step == self.config.total_steps();
            if due(state.step, self.config.evaluate_every) || last {
                let row = self.evaluate_now(&state, seconds(&state))?;
                observe(Event::Row(&row));
                state.rows.extend(row.to_line());
            }
            let stop = self.stop.load(Ordering::Relaxed);
            if due(state.step, self.config.checkpoint_every) || last || stop {
                let now = seconds(&state);
                self.save(&mut state, folder, now)?;
            }
            if stop && !last {
                return Ok(Outcome::Interrupted { step: state.step });
            }
        }
        if state.diffq.is_none() {
            self.finish_float(&mut state, folder)?;
        }
        let results = self.results(&state, folder, || seconds(&state))?;
        for row in &results {
            let row = Row::Result(row.clone());
            observe(Event::Row(&row));
            folder.append_metrics(&row.to_line())?;
        }
        Ok(Outcome::Finished(results))
    }

    fn autodiff(&self) -> Device {
        self.device.clone().autodiff()
    }

    fn start(&self) -> Result<State<T::Model>, TrainError> {
        self.device.seed(self.config.seed);
        let model = self.task.init(&self.autodiff());
        // burn draws weights when they are first read; reading them all here ties them to the seed.
        if let Some(found) = first_non_finite(&model) {
            return Err(TrainError::NonFinite { step: 0, loss: f64::NAN, culprit: found.to_string() });
        }
        // A configuration that does not fit the model is refused before the first step.
        self.config.quantization.attach(model.clone(), self.config.seed)?;
        let optimizers = Optimizers::new(self.config, &model, None);
        Ok(State {
            step: 0,
            model,
            diffq: None,
            optimizers,
            seconds_before: 0.0,
            metrics_bytes: 0,
            rows: Vec::new(),
        })
    }

    /// Ends the float phase: keeps the float network as a file and attaches the method.
    fn finish_float(&self, state: &mut State<T::Model>, folder: &RunFolder) -> Result<(), TrainError> {
        let float = self.with_all_metadata(StoredModel::float(&state.model)?);
        float.write_file(&folder.path().join(FLOAT_FILE)).map_err(ExportError::from)?;
        self.attach(state)
    }

    fn attach(&self, state: &mut State<T::Model>) -> Result<(), TrainError> {
        let (model, diffq) = self.config.quantization.attach(state.model.clone(), self.config.seed)?;
        diffq.control().seek(self.clock(state.step));
        state.optimizers = Optimizers::new(self.config, &model, Some(&diffq));
        (state.model, state.diffq) = (model, Some(diffq));
        Ok(())
    }

    fn clock(&self, step: u64) -> NoiseClock {
        NoiseClock { seed: self.config.seed, replica: 0, step, micro_step: 0 }
    }

    fn step(
        &self,
        mut state: State<T::Model>,
        batches: &mut Batches,
        row: impl FnOnce(&State<T::Model>, f64) -> Row,
    ) -> Result<State<T::Model>, TrainError> {
        let device = self.autodiff();
        // For layers that draw numbers themselves, such as dropout.
        self.device.seed(self.config.seed ^ (state.step + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let batch = batches.at(state.step);
        let loss = self.task.loss(&state.model, &batch, self.config.seed, &device);
        let loss_value: f64 = loss.clone().detach().into_scalar();
        if !loss_value.is_finite() {
            let culprit = match first_non_finite(&state.model) {
                Some(found) => found.to_string(),
                None => "every weight and bit is finite, so an activation overflowed".to_owned(),
            };
            return Err(TrainError::NonFinite { step: state.step, loss: loss_value, culprit });
        }
        let penalty = SizePenalty { lambda: self.config.penalty };
        let penalty = state.diffq.as_ref().and_then(|diffq| penalty.loss(&state.model, diffq));
        let total = match penalty {
            Some(penalty) => loss + penalty,
            None => loss,
        };
        let gradients = total.backward();
        state.model = state.optimizers.step(self.config, state.step, state.model, gradients);
        if let Some(diffq) = &state.diffq {
            diffq.advance();
        }
        state.step += 1;
        let row = row(&state, loss_value);
        state.rows.extend(row.to_line());
        Ok(state)
    }

    /// What would be in the file if it were written now.
    fn stored(&self, state: &State<T::Model>) -> Result<StoredModel, ExportError> {
        let stored = match &state.diffq {
            None => StoredModel::float(&state.model)?,
            Some(diffq) => StoredModel::rounded(&state.model, diffq)?,
        };
        Ok(self.with_all_metadata(stored))
    }

    fn with_all_metadata(&self, stored: StoredModel) -> StoredModel {
        self.metadata.iter().fold(stored, |stored, (key, value)| stored.with_metadata(key, value.clone()))
    }

    /// The scores of the network in the bytes of a file, through the reader.
    fn score(&self, bytes: &[u8], split: Split) -> Result<(Vec<Score>, StoredModel), LoadError> {
        let stored = StoredModel::from_bytes(bytes)?;
        let model = stored.load_into(self.task.init(&self.device).valid())?;
        let batch_size = self.config.evaluation_batch_size;
        Ok((evaluate(self.task, &model, split, batch_size, &self.device), stored))
    }

    fn evaluate_now(&self, state: &State<T::Model>, seconds: f64) -> Result<Row, TrainError> {
        let bytes = self.stored(state)?.to_bytes().map_err(ExportError::from)?;
        let (scores, stored) = self.score(&bytes, Split::Validation)?;
        let soft_bits = state.diffq.as_ref().and_then(|diffq| soft_size(&state.model, diffq));
        Ok(Row::Evaluation {
            step: state.step,
            phase: phase(state).to_owned(),
            split: Split::Validation,
            metric: self.task.metric().name().to_owned(),
            value: mean(&scores),
            bytes: bytes.len() as u64,
            mean_bits: stored.mean_bits(),
            soft_bytes: soft_bits.map(|bits| bits / 8.0),
            seconds,
        })
    }

    /// The rows of the table: float, rounded after training at the largest uniform width whose file
    /// is not larger, DiffQ. Writes the file. Each row reads the test records once.
    fn results(
        &self,
        state: &State<T::Model>,
        folder: &RunFolder,
        seconds: impl Fn() -> f64,
    ) -> Result<Vec<ResultRow>, TrainError> {
        let bytes = self.stored(state)?.to_bytes().map_err(ExportError::from)?;
        let write = |source| CheckpointError::Write(source);
        fewbit::atomic::write_atomically(&folder.path().join(MODEL_FILE), &bytes).map_err(write)?;
        let (diffq_scores, diffq) = self.score(&bytes, Split::Test)?;
        let row = |method, scores: &[Score], stored: &StoredModel, bytes: usize| ResultRow {
            step: state.step,
            method,
            metric: self.task.metric().name().to_owned(),
            value: mean(scores),
            bytes: bytes as u64,
            float_bytes: stored.float_bytes(),
            mean_bits: stored.mean_bits(),
            p_value: (method != Method::Diffq).then(|| sign_test(scores, &diffq_scores)),
            seconds: seconds(),
        };
        let float_bytes = fewbit::read_file(&folder.path().join(FLOAT_FILE)).map_err(LoadError::from)?;
        let (float_scores, float) = self.score(&float_bytes, Split::Test)?;
        let mut rows = vec![row(Method::Float, &float_scores, &float, float_bytes.len())];
        if let Some(rounded) = self.rounded_within(&float, bytes.len())? {
            let (scores, stored) = self.score(&rounded, Split::Test)?;
            rows.push(row(Method::RoundedAfterTraining, &scores, &stored, rounded.len()));
        }
        rows.push(row(Method::Diffq, &diffq_scores, &diffq, bytes.len()));
        Ok(rows)
    }

    /// The float network rounded after training at the largest width whose file has at most `bytes`.
    fn rounded_within(&self, float: &StoredModel, bytes: usize) -> Result<Option<Vec<u8>>, TrainError> {
        let model = float.load_into(self.task.init(&self.device).valid())?;
        for bits in (1..=BitWidth::MAX.get()).rev() {
            let Some(width) = BitWidth::new(bits) else { continue };
            let rounded = StoredModel::rounded_after_training(&model, &self.config.quantization, width)?;
            let file = self.with_all_metadata(rounded).to_bytes().map_err(ExportError::from)?;
            if file.len() <= bytes {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    fn save(
        &self,
        state: &mut State<T::Model>,
        folder: &mut RunFolder,
        seconds: f64,
    ) -> Result<(), TrainError> {
        folder.append_metrics(&state.rows)?;
        state.metrics_bytes += state.rows.len() as u64;
        state.rows.clear();
        let record = |source: RecordError| CheckpointError::Record { step: state.step, source };
        // `valid` brings running statistics up to date, which a record alone would not.
        let model = state.model.valid().into_record().into_bytes().map_err(record)?;
        let weights = state.optimizers.weights.into_bytes().map_err(record)?;
        let bits = state.optimizers.bits.into_bytes().map_err(record)?;
        let header = Header::new(
            state.step,
            state.diffq.is_some(),
            phase(state),
            self.task.fingerprint(),
            state.metrics_bytes,
            seconds,
        );
        let records = [model, weights, bits].map(|bytes| bytes.to_vec());
        Checkpoint { header, records }.save(folder.path())?;
        Ok(())
    }

    fn restore(&self, checkpoint: Checkpoint, folder: &RunFolder) -> Result<State<T::Model>, TrainError> {
        let Checkpoint { header, records: [model, weights, bits] } = checkpoint;
        let needed = self.task.fingerprint();
        if header.fingerprint != needed {
            let path = folder.path().join(super::checkpoint::file_name(header.step));
            return Err(CheckpointError::OtherRun { path, found: header.fingerprint, needed }.into());
        }
        let mut state = self.start()?;
        state.step = header.step;
        if header.quantized {
            self.attach(&mut state)?;
        }
        let record = |source: RecordError| CheckpointError::Record { step: header.step, source };
        let model = ModuleRecord::from_bytes(Bytes::from_bytes_vec(model)).map_err(record)?;
        state.model = state.model.try_load_record(model).map_err(record)?;
        // The record brings its own parameter identities, which the optimizers' states refer to.
        state.optimizers = Optimizers::new(self.config, &state.model, state.diffq.as_ref());
        let load = |bytes: Vec<u8>| OptimizerRecord::from_bytes(Bytes::from_bytes_vec(bytes)).map_err(record);
        state.optimizers.weights = state.optimizers.weights.load_record(load(weights)?);
        state.optimizers.bits = state.optimizers.bits.load_record(load(bits)?);
        (state.metrics_bytes, state.seconds_before) = (header.metrics_bytes, header.seconds);
        Ok(state)
    }
}

fn due(step: u64, every: u64) -> bool {
    every > 0 && step.is_multiple_of(every)
}

fn phase<M>(state: &State<M>) -> &'static str {
    match &state.diffq {
        None => "float",
        Some(diffq) => diffq.control().mode().name(),
    }
}
