//! The loop itself: steps, evaluations, checkpoints, resuming, and the file at the end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::Device;
use fewbit::{Method, StoredModel};

use super::checkpoint::{Checkpoint, CheckpointError};
use super::config::{OnNonFinite, TrainConfig};
use super::identity::Identity;
use super::metrics::Row;
use super::optimizer::{Rates, Seen};
use super::order::Batches;
use super::outcome::{Event, Outcome, Start, TrainError};
use super::run_folder::RunFolder;
use super::state::{State, non_finite};
use super::task::{Task, Teacher};
use crate::budget_loop::coarser;
use crate::guard::furthest_value;

/// What learning rates are multiplied with each time that a run goes back, and the least that they come to.
const ROLL_BACK_FACTOR: f64 = 0.5;
const LEAST_RATE_FACTOR: f64 = 1e-3;

/// A run of one task.
pub struct Trainer<'a, T: Task> {
    pub(super) task: &'a T,
    pub(super) config: &'a TrainConfig,
    /// Where to train, without autodiff; evaluation runs on it as it is.
    pub(super) device: Device,
    pub(super) metadata: Vec<(String, String)>,
    /// The weights to start from.
    pub(super) initial: Option<StoredModel>,
    /// Who teaches in all steps, in place of the float network.
    teacher: Option<Teacher<'a, T>>,
    /// What makes the run what it is.
    identity: Identity,
    stop: &'a AtomicBool,
}

impl<'a, T: Task> Trainer<'a, T> {
    /// A run of `task` on `device`; it ends after the current step once `stop` is set.
    pub fn new(task: &'a T, config: &'a TrainConfig, device: &Device, stop: &'a AtomicBool) -> Self {
        let device = device.clone().without_autodiff();
        let mut identity = Identity::default();
        identity.insert("fewbit", env!("CARGO_PKG_VERSION"));
        identity.insert("data", format!("{:08x}", task.fingerprint()));
        let (metadata, initial, teacher) = (Vec::new(), None, None);
        Self { task, config, device, metadata, initial, teacher, identity, stop }
    }

    /// Adds a fact that a checkpoint and the run that goes on with it must share, such as a setting. The data
    /// and the version of this library are among them already.
    #[must_use]
    pub fn with_fact(mut self, fact: impl Into<String>, value: impl Into<String>) -> Self {
        self.identity.insert(fact, value);
        self
    }

    /// Adds an entry to the metadata of the files that the run writes.
    #[must_use]
    pub fn with_metadata(mut self, key: &str, value: impl Into<String>) -> Self {
        self.metadata.push((key.to_owned(), value.into()));
        self
    }

    /// The same run with other settings.
    pub(super) fn with_config<'c>(&'c self, config: &'c TrainConfig) -> Trainer<'c, T> {
        Trainer {
            task: self.task,
            config,
            device: self.device.clone(),
            metadata: self.metadata.clone(),
            initial: self.initial.clone(),
            teacher: self.teacher.clone(),
            identity: self.identity.clone(),
            stop: self.stop,
        }
    }

    /// Starts from these weights in place of random ones.
    #[must_use]
    pub fn with_initial(mut self, initial: Option<StoredModel>) -> Self {
        self.initial = initial;
        self
    }

    /// Learns from a trained network beside the labels in all steps, with the share of
    /// [`distillation`](TrainConfig::distillation).
    #[must_use]
    pub fn with_teacher(mut self, teacher: Option<Teacher<'a, T>>) -> Self {
        self.teacher = teacher;
        self
    }

    /// Trains to the end, from step 0 or from the newest sound checkpoint in `folder`, which no other process
    /// may train in meanwhile.
    ///
    /// # Errors
    /// [`TrainError`]. What was saved before stays; a run that stopped can be resumed.
    pub fn run(
        &self,
        folder: &mut RunFolder,
        start: Start,
        mut observe: impl FnMut(Event<'_>),
    ) -> Result<Outcome, TrainError> {
        if self.task.training_records() == 0 {
            return Err(TrainError::NoRecords);
        }
        folder.lock()?;
        let (mut state, has_changed) = self.begin(folder, start, &mut observe)?;
        folder.rewind_metrics(state.metrics_bytes)?;
        let (began, seconds_before) = (Instant::now(), state.seconds_before);
        if has_changed {
            // From now on it is the run that it has become.
            self.save(&state, folder, seconds_before)?;
        }
        let seconds = || seconds_before + began.elapsed().as_secs_f64();
        let mut batches = self.batches();
        while state.step < self.config.total_steps() {
            let rate_factor = state.rate_factor;
            let loss;
            (state, loss) = match self.checked_step(state, folder, &mut batches) {
                Ok(done) => done,
                Err(cause) => {
                    state = self.roll_back(cause, rate_factor, folder, seconds(), &mut observe)?;
                    continue;
                }
            };
            let row = Row::Step {
                step: state.step,
                phase: state.phase().to_owned(),
                loss,
                penalty: state.budget.as_ref().map(|budget| budget.plan(self.method()).lambda),
                soft_bytes: state.budget.as_ref().and_then(|budget| budget.estimated_bytes()),
                seconds: seconds(),
            };
            observe(Event::Row(&row));
            folder.append_metrics(&row.to_line())?;
            let last = self.is_last(state.step);
            let stop = self.stop.load(Ordering::Relaxed);
            if self.evaluates_after(state.step) && self.task.validation_records() > 0 {
                let row = self.evaluate_now(&state, seconds())?;
                observe(Event::Row(&row));
                folder.append_metrics(&row.to_line())?;
            }
            // A stop may come after a step whose numbers have not been looked at: then the checkpoint before is the last.
            if self.saves_after(state.step) || stop && state.check_finite().is_ok() {
                self.save(&state, folder, seconds())?;
            }
            if stop && !last {
                return Ok(Outcome::Interrupted { step: state.step });
            }
        }
        if state.quantizer.is_none() {
            self.finish_float(&mut state, folder)?;
        }
        let results = self.results(&state, folder, seconds)?;
        for row in &results {
            let row = Row::Result(row.clone());
            observe(Event::Row(&row));
            folder.append_metrics(&row.to_line())?;
        }
        folder.sync_metrics()?;
        Ok(Outcome::Finished(results))
    }

    /// The run before its next step, and whether it is no longer what its checkpoint was of.
    fn begin(
        &self,
        folder: &RunFolder,
        start: Start,
        observe: &mut impl FnMut(Event<'_>),
    ) -> Result<(State<T::Model>, bool), TrainError> {
        if start == Start::New {
            return Ok((self.start()?, false));
        }
        let (checkpoint, mut damaged) = Checkpoint::newest(folder.path())?;
        let mut differences = Vec::new();
        let has_checkpoint = checkpoint.is_some();
        let state = match checkpoint {
            Some(checkpoint) => {
                differences = checkpoint.header.identity.differences(&self.identity);
                if !differences.is_empty() && start == Start::Resume {
                    let path = checkpoint.path_in(folder);
                    return Err(CheckpointError::OtherRun { path, differences }.into());
                }
                self.restore(checkpoint, folder)?
            }
            None if damaged.is_empty() => self.start()?,
            // Starting over would throw away what may still be saved by hand.
            None => {
                let run = folder.path().to_owned();
                return Err(TrainError::AllDamaged { run, newest: damaged.swap_remove(0) });
            }
        };
        let step = has_checkpoint.then_some(state.step);
        observe(Event::Resumed { step, damaged: &damaged, differences: &differences });
        Ok((state, !differences.is_empty()))
    }

    /// A step between states whose numbers are all finite, where something is made of them.
    fn checked_step(
        &self,
        mut state: State<T::Model>,
        folder: &RunFolder,
        batches: &mut Batches,
    ) -> Result<(State<T::Model>, f64), TrainError> {
        if state.step >= self.config.float_steps && state.quantizer.is_none() {
            state.check_finite()?;
            self.finish_float(&mut state, folder)?;
        }
        let (state, loss) = self.step(state, batches)?;
        if self.evaluates_after(state.step) || self.saves_after(state.step) {
            state.check_finite()?;
        }
        Ok((state, loss))
    }

    /// The run as a checkpoint has it with lower learning rates, where a number has stopped being one and the
    /// recipe wants that; otherwise the error, with the checkpoint that there is.
    fn roll_back(
        &self,
        cause: TrainError,
        rate_factor: f64,
        folder: &mut RunFolder,
        seconds: f64,
        observe: &mut impl FnMut(Event<'_>),
    ) -> Result<State<T::Model>, TrainError> {
        let TrainError::NonFinite { step, culprit, .. } = cause else { return Err(cause) };
        // From a checkpoint of this very step the same step would fail in the same way.
        let (found, _) = Checkpoint::newest_before(folder.path(), step)?;
        let checkpoint = found.as_ref().map(|checkpoint| checkpoint.header.step);
        let cause = TrainError::NonFinite { step, culprit, checkpoint };
        let rate_factor = rate_factor * ROLL_BACK_FACTOR;
        if self.config.on_non_finite == OnNonFinite::Stop || rate_factor < LEAST_RATE_FACTOR {
            return Err(cause);
        }
        let mut state = match found {
            Some(checkpoint) => self.restore(checkpoint, folder)?,
            None => self.start()?,
        };
        state.rate_factor = rate_factor;
        // First, as they name more rows than there will be: what is killed from here on fails and goes back once more.
        Checkpoint::remove_after(folder, state.step)?;
        folder.rewind_metrics(state.metrics_bytes)?;
        observe(Event::RolledBack { cause: &cause, step: state.step, rate_factor });
        let row = Row::RollBack { step: state.step, cause: cause.to_string(), rate_factor };
        folder.append_metrics(&row.to_line())?;
        // With the lower rates: what is killed from here on must not go back once more.
        self.save(&state, folder, seconds)?;
        Ok(state)
    }

    fn save(&self, state: &State<T::Model>, folder: &mut RunFolder, seconds: f64) -> Result<(), TrainError> {
        let metrics_bytes = folder.sync_metrics()?;
        Ok(state.checkpoint(&self.identity, metrics_bytes, seconds)?.save(folder)?)
    }

    fn is_last(&self, step: u64) -> bool {
        step == self.config.total_steps()
    }

    fn evaluates_after(&self, step: u64) -> bool {
        due(step, self.config.evaluate_every) || self.is_last(step)
    }

    fn saves_after(&self, step: u64) -> bool {
        due(step, self.config.checkpoint_every) || self.is_last(step)
    }

    /// The batches of the run's training records.
    pub(super) fn batches(&self) -> Batches {
        let TrainConfig { seed, batch_size, repeats, .. } = *self.config;
        Batches::new(seed, self.task.training_records(), batch_size).with_repeats(repeats)
    }

    /// Whether quantized steps learn from the float network.
    pub(super) fn float_teaches(&self) -> bool {
        self.config.distillation > 0.0 && self.teacher.is_none()
    }

    pub(super) fn autodiff(&self) -> Device {
        self.device.clone().autodiff()
    }

    pub(super) fn method(&self) -> &dyn Method {
        self.config.quantization.method.as_ref()
    }

    /// Sets the phase of the coming step, and measures the file where that is due.
    fn prepare_quantized(&self, state: &mut State<T::Model>) -> Result<(), TrainError> {
        let Some(quantizer) = &state.quantizer else { return Ok(()) };
        quantizer.control().set_mode(self.config.mode_at(state.step));
        self.measure(state)
    }

    /// The state after one optimizer step, and the loss before it.
    pub(super) fn step(
        &self,
        mut state: State<T::Model>,
        batches: &mut Batches,
    ) -> Result<(State<T::Model>, f64), TrainError> {
        let device = self.autodiff();
        // For layers that draw numbers themselves, such as dropout.
        self.device.seed(self.config.seed ^ (state.step + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let records = batches.at(state.step);
        self.prepare_quantized(&mut state)?;
        let batch = self.task.batch(&records, self.config.seed);
        let taught = match (&self.teacher, &state.teacher) {
            (Some(given), _) => Some(given.output(&batch)),
            (None, Some(float)) => Some(self.task.forward(float, &batch, &self.device)),
            (None, None) => None,
        };
        let output = self.task.forward(&state.model, &batch, &device);
        let loss = match taught {
            Some(taught) => {
                let loss = self.task.distilled_loss(output, taught, &batch, self.config.distillation);
                loss.ok_or(TrainError::NoDistance)?
            }
            None => self.task.loss(output, &batch),
        };
        self.check_records()?;
        let loss_value: f64 = loss.clone().detach().into_scalar();
        if !loss_value.is_finite() {
            state.check_finite()?;
            let furthest = furthest_value(&state.model).unwrap_or_default();
            let culprit = format!("the loss is {loss_value}; every weight is finite, {furthest}");
            return Err(non_finite(state.step, culprit));
        }
        let (step, quantizer) = (state.step, state.quantizer.as_ref());
        let plan = state.budget.as_ref().map(|budget| budget.plan(self.method()));
        let lambda = plan.map_or(self.config.penalty_without_budget(), |plan| plan.lambda);
        let rates = Rates {
            weights: self.config.learning_rate_at(step) * state.rate_factor,
            learned: plan.map_or(self.config.bits_learning_rate_at(step), |plan| plan.scale_rate)
                * state.rate_factor,
        };
        let seen;
        (state.model, seen) = state
            .optimizers
            .learn(self.config, state.model, quantizer, loss, lambda, rates)
            .map_err(|found| non_finite(step, format!("the loss is {loss_value}; {found}")))?;
        if let (Some(budget), Some(quantizer), Some(Seen { seen, finest })) =
            (&mut state.budget, &state.quantizer, seen)
        {
            let by = budget.observe(seen);
            state.model = coarser(state.model, quantizer, by, finest);
        }
        state.step += 1;
        Ok((state, loss_value))
    }
}

fn due(step: u64, every: u64) -> bool {
    every > 0 && step.is_multiple_of(every)
}
