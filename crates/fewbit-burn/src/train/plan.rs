//! What a run will take and what its file can be, before the first step.

use std::time::Instant;

use super::order::Batches;
use super::outcome::TrainError;
use super::task::Task;
use super::trainer::Trainer;
use crate::site::Trim;
use crate::stored::StoredModel;

/// What a run will take and what its file can be.
#[derive(Clone, Copy, Debug, PartialEq)]
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
        let mut state = self.start()?;
        let (smallest, largest) = if self.config.quantization.method.keeps_a_budget() {
            (self.data_free(&state.model, 0)?.0, self.data_free(&state.model, u64::MAX)?.0)
        } else {
            let (model, quantizer) =
                self.config.quantization.attach(state.model.clone(), self.config.seed)?;
            let bytes = self.bytes_of(&model, &quantizer, Trim::default())?;
            (bytes, bytes)
        };
        let mut plan = RunPlan {
            smallest,
            largest,
            float_step_seconds: None,
            quantized_step_seconds: None,
            peak_memory: None,
        };
        let mut batches =
            Batches::new(self.config.seed, self.task.training_records(), self.config.batch_size);
        for (is_quantized, steps) in [(false, self.config.float_steps), (true, self.config.quantized_steps)] {
            if timed_steps == 0 || steps == 0 {
                continue;
            }
            if is_quantized {
                state.step = self.config.float_steps;
                let float = StoredModel::float(&state.model)?;
                self.attach(&mut state, || Ok(float))?;
                state.controller = self.controller(&state)?;
            }
            let mut seconds = Vec::new();
            // The first makes memory and does not count.
            for step in 0..=timed_steps {
                let began = Instant::now();
                (state, _) = self.step(state, &mut batches)?;
                if step > 0 {
                    seconds.push(began.elapsed().as_secs_f64());
                }
            }
            seconds.sort_by(f64::total_cmp);
            let median = seconds.get(seconds.len() / 2).copied();
            *(if is_quantized { &mut plan.quantized_step_seconds } else { &mut plan.float_step_seconds }) =
                median;
        }
        plan.peak_memory = peak_memory();
        Ok(plan)
    }
}

/// The most memory that this process has had, in bytes; none where the system does not tell.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024 * kibibytes)
}
