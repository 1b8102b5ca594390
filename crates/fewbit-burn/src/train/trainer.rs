//! The loop itself: steps, evaluations, checkpoints, resuming, and the file at the end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::Device;

use super::checkpoint::Checkpoint;
use super::config::TrainConfig;
use super::controller::STEPS_PER_MEASUREMENT;
use super::metrics::Row;
use super::order::Batches;
use super::outcome::{Event, Outcome, TrainError};
use super::run_folder::RunFolder;
use super::state::State;
use super::task::{Split, Task};
use crate::site::Trim;
use crate::stored::StoredModel;

/// A run of one task.
pub struct Trainer<'a, T: Task> {
    pub(super) task: &'a T,
    pub(super) config: &'a TrainConfig,
    /// Where to train, without autodiff; evaluation runs on it as it is.
    pub(super) device: Device,
    pub(super) metadata: Vec<(String, String)>,
    /// The weights to start from.
    pub(super) initial: Option<StoredModel>,
    stop: &'a AtomicBool,
}

impl<'a, T: Task> Trainer<'a, T> {
    /// A run of `task` on `device`; it ends after the current step once `stop` is set.
    pub fn new(task: &'a T, config: &'a TrainConfig, device: &Device, stop: &'a AtomicBool) -> Self {
        let device = device.clone().without_autodiff();
        Self { task, config, device, metadata: Vec::new(), initial: None, stop }
    }

    /// Adds an entry to the metadata of the files that the run writes.
    #[must_use]
    pub fn with_metadata(mut self, key: &str, value: impl Into<String>) -> Self {
        self.metadata.push((key.to_owned(), value.into()));
        self
    }

    /// Starts from these weights in place of random ones.
    #[must_use]
    pub fn with_initial(mut self, initial: Option<StoredModel>) -> Self {
        self.initial = initial;
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
            let (checkpoint, mut damaged) = Checkpoint::newest(folder.path())?;
            let state = match checkpoint {
                Some(checkpoint) => self.restore(checkpoint, folder)?,
                None if damaged.is_empty() => self.start()?,
                // Starting over would throw away what may still be saved by hand.
                None => {
                    let run = folder.path().to_owned();
                    return Err(TrainError::AllDamaged { run, newest: damaged.swap_remove(0) });
                }
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
            if state.step == self.config.float_steps && state.quantizer.is_none() {
                self.finish_float(&mut state, folder)?;
            }
            let loss;
            (state, loss) = self.step(state, &mut batches)?;
            let row = Row::Step {
                step: state.step,
                phase: state.phase().to_owned(),
                loss,
                penalty: state.controller.map(|controller| controller.lambda()),
                soft_bytes: state.controller.map(|controller| controller.bytes()),
                seconds: seconds(&state),
            };
            observe(Event::Row(&row));
            folder.append_metrics(&row.to_line())?;
            let last = state.step == self.config.total_steps();
            let stop = self.stop.load(Ordering::Relaxed);
            let evaluate = due(state.step, self.config.evaluate_every) || last;
            let save = due(state.step, self.config.checkpoint_every) || last || stop;
            if evaluate || save {
                state.check_finite(loss)?;
            }
            if evaluate && self.task.evaluation_records(Split::Validation) > 0 {
                let row = self.evaluate_now(&state, seconds(&state))?;
                observe(Event::Row(&row));
                folder.append_metrics(&row.to_line())?;
            }
            if save {
                let metrics_bytes = folder.sync_metrics()?;
                let fingerprint = self.task.fingerprint();
                state.checkpoint(fingerprint, metrics_bytes, seconds(&state))?.save(folder.path())?;
            }
            if stop && !last {
                return Ok(Outcome::Interrupted { step: state.step });
            }
        }
        if state.quantizer.is_none() {
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

    pub(super) fn autodiff(&self) -> Device {
        self.device.clone().autodiff()
    }

    /// Sets the phase of the coming step and, now and then, measures the file.
    fn prepare_quantized(&self, state: &mut State<T::Model>) -> Result<(), TrainError> {
        let Some(quantizer) = &state.quantizer else { return Ok(()) };
        quantizer.control().set_mode(self.config.mode_at(state.step));
        let done = state.step - self.config.float_steps;
        if state.controller.is_some() && done.is_multiple_of(STEPS_PER_MEASUREMENT) {
            let bytes = self.bytes_of(&state.model, quantizer, Trim::default())?;
            state.controller = state.controller.map(|mut controller| {
                controller.measure(bytes);
                controller
            });
        }
        Ok(())
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
        let batch = batches.at(state.step);
        self.prepare_quantized(&mut state)?;
        let (model, seed) = (&state.model, self.config.seed);
        let loss = match &state.teacher {
            Some(teacher) => self.task.distilled_loss(model, teacher, &batch, seed, &device),
            None => self.task.loss(model, &batch, seed, &device),
        };
        let loss_value: f64 = loss.clone().detach().into_scalar();
        if !loss_value.is_finite() {
            state.check_finite(loss_value)?;
            let culprit = "every weight and bit is finite, so an activation overflowed".to_owned();
            return Err(TrainError::NonFinite { step: state.step, loss: loss_value, culprit });
        }
        let (step, quantizer) = (state.step, state.quantizer.as_ref());
        let lambda = state.controller.map_or(self.config.penalty, |controller| controller.lambda());
        let bits;
        (state.model, bits) = state.optimizers.learn(self.config, step, state.model, quantizer, loss, lambda);
        if let (Some(controller), Some(bits)) = (&mut state.controller, bits) {
            let (done, rate) = (self.config.quantized_share(step), self.config.bits_rate_factor_at(step));
            controller.observe(bits, done, rate);
        }
        state.step += 1;
        Ok((state, loss_value))
    }
}

fn due(step: u64, every: u64) -> bool {
    every > 0 && step.is_multiple_of(every)
}
