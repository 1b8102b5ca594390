//! What a run will take and what its file can be, before the first step.

use std::time::Instant;

use fewbit::StoredModel;

use super::config::TrainConfig;
use super::memory::peak_memory;
use super::outcome::TrainError;
use super::state::State;
use super::task::Task;
use super::trainer::Trainer;
use crate::stored::StoredModelExt;

/// What a run will take and what its file can be.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RunPlan {
    /// Bytes of the smallest file.
    pub smallest: u64,
    /// Bytes of the largest file: widths of 8 bits, or what a method of one width makes.
    pub largest: u64,
    /// Seconds of a float step, the median; none where it was not timed or there are none.
    pub float_step_seconds: Option<f64>,
    /// Seconds of a quantized step.
    pub quantized_step_seconds: Option<f64>,
    /// Bytes of memory that the process has had at most, where the system tells.
    pub peak_memory: Option<u64>,
}

impl<T: Task> Trainer<'_, T> {
    /// The plan of the run. `timed_steps` steps of each phase are made to measure time and memory; none
    /// of it is kept.
    ///
    /// # Errors
    /// [`TrainError`]: a budget that no file keeps, a method that does not fit, weights that are not finite.
    pub fn plan(&self, timed_steps: u64) -> Result<RunPlan, TrainError> {
        let state = self.start()?;
        let (smallest, largest) = self.limits(&state.model)?;
        let config = self.config_of_trial();
        let [float_step_seconds, quantized_step_seconds] = if timed_steps > 0 {
            self.with_config(&config).try_steps(state, timed_steps)?
        } else {
            [None; 2]
        };
        let peak_memory = peak_memory();
        Ok(RunPlan { smallest, largest, float_step_seconds, quantized_step_seconds, peak_memory })
    }

    /// The settings of steps of which nothing is kept: nothing moves, so that no number can stop being one.
    pub(super) fn config_of_trial(&self) -> TrainConfig {
        TrainConfig {
            learning_rate: 0.0,
            quantized_learning_rate: 0.0,
            bits_learning_rate: Some(0.0),
            norm_batches: self.config.norm_batches.min(1),
            ..self.config.clone()
        }
    }

    /// The median of the seconds of `steps` steps of each phase, after one that makes memory and does not
    /// count; none where the run has no such steps. An evaluation follows, which takes memory, too.
    pub(super) fn try_steps(
        &self,
        mut state: State<T::Model>,
        steps: u64,
    ) -> Result<[Option<f64>; 2], TrainError> {
        let mut medians = [None; 2];
        let mut batches = self.batches();
        let phases = [(false, self.config.float_steps), (true, self.config.quantized_steps)];
        for (median, (is_quantized, all)) in medians.iter_mut().zip(phases) {
            if all == 0 {
                continue;
            }
            if is_quantized {
                state.step = self.config.float_steps;
                let float = StoredModel::float(&state.model)?;
                self.attach(&mut state, || Ok(float))?;
            }
            let mut seconds = Vec::new();
            for step in 0..=steps {
                let began = Instant::now();
                (state, _) = self.step(state, &mut batches)?;
                if step > 0 {
                    seconds.push(began.elapsed().as_secs_f64());
                }
            }
            seconds.sort_by(f64::total_cmp);
            *median = seconds.get(seconds.len() / 2).copied();
        }
        if self.task.validation_records() > 0 {
            self.evaluate_now(&state, 0.0)?;
        }
        Ok(medians)
    }
}
