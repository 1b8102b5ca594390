//! The settings of a run.

use fewbit::FloatStorage;

use crate::budget_loop::mode_of;
use crate::config::QuantizationConfig;
use crate::control::Mode;

words! {
    /// The optimizer of the weights. Learned bit widths and scales have an Adam of their own.
    #[non_exhaustive]
    OptimizerKind {
        /// Stochastic gradient descent with momentum, as PyTorch defines it.
        Sgd = "sgd",
        /// Adam with PyTorch's ε of 1e-8; weight decay is added to the gradient.
        Adam = "adam",
        /// Adam with decoupled weight decay.
        AdamW = "adamw",
    }
}

words! {
    /// How a learning rate changes within a phase, after the warm-up.
    #[non_exhaustive]
    Schedule {
        /// Not at all.
        Constant = "constant",
        /// Half a cosine, from the full rate to 0 at the end of the phase.
        Cosine = "cosine",
        /// Multiplied by `schedule_factor` every `schedule_period` steps.
        Step = "step",
        /// Half a cosine to 0 in `schedule_period` steps, then again from `schedule_factor` times the rate in twice as many,
        /// and so on: Loshchilov and Hutter 2017, with rates that fall from one restart to the next.
        Restarts = "restarts",
    }
}

impl Schedule {
    /// What the rate is multiplied by after `done` of `all` steps.
    fn factor(self, done: u64, all: u64, period: u64, factor: f64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Cosine => half_cosine(done, all),
            Self::Step => {
                let times = i32::try_from(done / period.max(1)).unwrap_or(i32::MAX);
                factor.powi(times)
            }
            Self::Restarts => {
                let (mut start, mut length, mut rate) = (0, period.max(1), 1.0);
                while done - start >= length {
                    (start, length, rate) = (start + length, length.saturating_mul(2), rate * factor);
                }
                rate * half_cosine(done - start, length)
            }
        }
    }
}

/// From 1 to 0.
fn half_cosine(done: u64, all: u64) -> f64 {
    let share = done as f64 / all.max(1) as f64;
    0.5 * (1.0 + (std::f64::consts::PI * share).cos())
}

words! {
    /// What happens when a loss, a gradient, a weight or a learned precision is no longer finite.
    #[non_exhaustive]
    OnNonFinite {
        /// The run stops and says where; it can be resumed from its last checkpoint.
        Stop = "stop",
        /// The run goes back to its last checkpoint and continues with half the learning rates.
        RollBack = "roll-back",
    }
}

/// The settings of a run: float steps first, then steps with weights made small.
///
/// The defaults are those of a recipe that sets nothing, but for `storage`, which leaves floats as they are. Every setting has a
/// builder method.
///
/// ```
/// use fewbit_burn::train::{OptimizerKind, TrainConfig};
/// let config = TrainConfig::default()
///     .with_optimizer(OptimizerKind::AdamW)
///     .with_learning_rate(1e-3)
///     .with_quantized_learning_rate(1e-3);
/// assert_eq!(config.total_steps(), 2000);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TrainConfig {
    /// Decides the first weights, the order of records, their augmentation and the noise.
    pub seed: u64,
    /// Records per step.
    pub batch_size: usize,
    /// How many times in a row each record is shown, augmented anew each time; at least 1.
    pub repeats: usize,
    /// Steps of float training.
    pub float_steps: u64,
    /// Steps with small weights, after those.
    pub quantized_steps: u64,
    /// The optimizer of the weights.
    pub optimizer: OptimizerKind,
    /// Momentum coefficient of SGD, without dampening; 0 is none.
    pub momentum: f64,
    /// Whether the momentum of SGD is Nesterov's.
    pub nesterov: bool,
    /// L2 penalty on all weights (not on the bits).
    pub weight_decay: f64,
    /// Learning rate of the weights in the float phase, after the warm-up.
    pub learning_rate: f64,
    /// Learning rate of the weights in the quantized phase.
    pub quantized_learning_rate: f64,
    /// Learning-rate schedule of each phase.
    pub schedule: Schedule,
    /// The steps of [`Schedule::Step`] between changes, or of the first cosine of [`Schedule::Restarts`]; at least 1.
    pub schedule_period: u64,
    /// What the rate is then multiplied by; above 0 and at most 1.
    pub schedule_factor: f64,
    /// Steps at the start of each phase over which the rate rises from 0.
    pub warmup_steps: u64,
    /// Learning rate of bit widths and scales; where none is given, that of the [`Budget`](fewbit::Budget), or 1e-3
    /// without one.
    pub bits_learning_rate: Option<f64>,
    /// How that changes within the phase under noise. Where the rate of the weights falls to 0 and that
    /// of the bits does not, the last bits are lost when the weights can no longer follow.
    pub bits_schedule: Schedule,
    /// λ, per MiB; where none is given, as the [`Budget`](fewbit::Budget) finds it, or 5 without one.
    pub penalty: Option<f64>,
    /// Bound on the norm of all gradients of the weights together; 0 is none.
    pub clip_norm: f64,
    /// Steps between evaluations on the validation split; 0 is none.
    pub evaluate_every: u64,
    /// Records evaluated at once; part of what makes an evaluation repeatable to the last bit.
    pub evaluation_batch_size: usize,
    /// Training batches on which running statistics are measured anew with rounded weights, before each
    /// evaluation and for the file; 0 keeps those of the noisy weights.
    pub norm_batches: u64,
    /// Steps between checkpoints; 0 is none but when interrupted.
    pub checkpoint_every: u64,
    /// The method.
    pub quantization: QuantizationConfig,
    /// How tensors that are not quantized are stored, and so evaluated.
    pub storage: FloatStorage,
    /// Most bytes of the file; λ is then found while training.
    pub budget: Option<u64>,
    /// The share of a teacher in the loss, `0..=1`; the rest is the labels'. The teacher is the one that the run is given, in
    /// all steps, or else the float network, in quantized steps.
    pub distillation: f64,
    /// What happens when a number is no longer finite.
    pub on_non_finite: OnNonFinite,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            batch_size: 128,
            repeats: 1,
            float_steps: 1000,
            quantized_steps: 1000,
            optimizer: OptimizerKind::Sgd,
            momentum: 0.9,
            nesterov: true,
            weight_decay: 5e-4,
            learning_rate: 0.1,
            quantized_learning_rate: 0.1,
            schedule: Schedule::Cosine,
            schedule_period: 1000,
            schedule_factor: 0.1,
            warmup_steps: 0,
            bits_learning_rate: None,
            bits_schedule: Schedule::Constant,
            penalty: None,
            clip_norm: 0.0,
            evaluate_every: 500,
            evaluation_batch_size: 500,
            norm_batches: 50,
            checkpoint_every: 200,
            quantization: QuantizationConfig::default(),
            storage: FloatStorage::default(),
            budget: None,
            distillation: 0.0,
            on_non_finite: OnNonFinite::Stop,
        }
    }
}

/// A builder method for each field.
macro_rules! builders {
    ($($with:ident($field:ident: $type:ty),)*) => {
        $(
            #[doc = concat!("The same settings with another [`", stringify!($field), "`](Self::", stringify!($field), ").")]
            #[must_use]
            pub fn $with(self, $field: $type) -> Self {
                Self { $field, ..self }
            }
        )*
    };
}

impl TrainConfig {
    builders! {
        with_seed(seed: u64),
        with_batch_size(batch_size: usize),
        with_repeats(repeats: usize),
        with_float_steps(float_steps: u64),
        with_quantized_steps(quantized_steps: u64),
        with_optimizer(optimizer: OptimizerKind),
        with_momentum(momentum: f64),
        with_nesterov(nesterov: bool),
        with_weight_decay(weight_decay: f64),
        with_learning_rate(learning_rate: f64),
        with_quantized_learning_rate(quantized_learning_rate: f64),
        with_schedule(schedule: Schedule),
        with_schedule_period(schedule_period: u64),
        with_schedule_factor(schedule_factor: f64),
        with_warmup_steps(warmup_steps: u64),
        with_bits_learning_rate(bits_learning_rate: Option<f64>),
        with_bits_schedule(bits_schedule: Schedule),
        with_penalty(penalty: Option<f64>),
        with_clip_norm(clip_norm: f64),
        with_evaluate_every(evaluate_every: u64),
        with_evaluation_batch_size(evaluation_batch_size: usize),
        with_norm_batches(norm_batches: u64),
        with_checkpoint_every(checkpoint_every: u64),
        with_quantization(quantization: QuantizationConfig),
        with_storage(storage: FloatStorage),
        with_budget(budget: Option<u64>),
        with_distillation(distillation: f64),
        with_on_non_finite(on_non_finite: OnNonFinite),
    }
}

impl TrainConfig {
    /// Steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        self.float_steps + self.quantized_steps
    }

    /// The learning rate of the weights at `step` of the run.
    pub fn learning_rate_at(&self, step: u64) -> f64 {
        let (rate, at, steps) = if step < self.float_steps {
            (self.learning_rate, step, self.float_steps)
        } else {
            (self.quantized_learning_rate, step - self.float_steps, self.quantized_steps)
        };
        if at < self.warmup_steps {
            return rate * (at + 1) as f64 / self.warmup_steps as f64;
        }
        rate * self.factor_of(self.schedule, at - self.warmup_steps, steps.saturating_sub(self.warmup_steps))
    }

    /// What `schedule` multiplies a rate by after `done` of `all` steps.
    fn factor_of(&self, schedule: Schedule, done: u64, all: u64) -> f64 {
        schedule.factor(done, all, self.schedule_period, self.schedule_factor)
    }

    /// The learning rate of the bits or steps at `step` of the run.
    pub fn bits_learning_rate_at(&self, step: u64) -> f64 {
        self.bits_learning_rate.unwrap_or(1e-3) * self.bits_rate_factor_at(step)
    }

    /// What the rate of the bits is multiplied with at `step` of the run.
    pub(crate) fn bits_rate_factor_at(&self, step: u64) -> f64 {
        self.factor_of(self.bits_schedule, step.saturating_sub(self.float_steps), self.quantized_steps)
    }

    /// The share of the quantized steps that is done at `step` of the run.
    pub(crate) fn quantized_share(&self, step: u64) -> f64 {
        step.saturating_sub(self.float_steps) as f64 / self.quantized_steps.max(1) as f64
    }

    /// What reading a weight gives at `step` of the run, once the float steps are done.
    pub fn mode_at(&self, step: u64) -> Mode {
        mode_of(self.quantization.method.phase(self.quantized_share(step)))
    }

    /// λ where there is no budget that decides it.
    pub fn penalty_without_budget(&self) -> f64 {
        self.penalty.unwrap_or(5.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_fall_by_steps_and_begin_anew() {
        for (done, factor) in [(0, 1.0), (59, 1.0), (60, 0.2), (120, 0.04), (199, 0.008)] {
            assert!((Schedule::Step.factor(done, 200, 60, 0.2) - factor).abs() < 1e-12, "{done}");
        }
        // Cosines of 10, 20 and 40 steps from 1, 0.75 and 0.5625.
        for (done, factor) in [(0, 1.0), (5, 0.5), (10, 0.75), (20, 0.375), (30, 0.5625), (50, 0.28125)] {
            assert!((Schedule::Restarts.factor(done, 70, 10, 0.75) - factor).abs() < 1e-12, "{done}");
        }
    }
}
