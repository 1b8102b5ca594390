//! The settings of a run.

use serde::{Deserialize, Serialize};

use crate::config::QuantizationConfig;
use crate::control::Mode;
use crate::method::Method;
use crate::stored::FloatStorage;

/// Which rule moves the weights. The bits always have an Adam of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Stochastic gradient descent with momentum, as PyTorch defines it.
    Sgd,
    /// Adam with PyTorch's ε of 1e-8; weight decay is added to the gradient.
    Adam,
    /// Adam with decoupled weight decay.
    AdamW,
}

/// How the learning rate of the weights changes within a phase.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// It does not.
    Constant,
    /// Half a cosine, from the full rate to 0 at the end of the phase.
    Cosine,
    /// It is multiplied with `factor` every `period` steps.
    Step {
        /// Steps of one rate, at least 1.
        period: u64,
        /// Above 0 and at most 1.
        factor: f64,
    },
    /// Half a cosine to 0 in `period` steps, and again from `factor` times the rate in twice as many, and so on: Loshchilov
    /// and Hutter 2017, with rates that fall from one restart to the next.
    Restarts {
        /// Steps of the first cosine, at least 1.
        period: u64,
        /// Above 0 and at most 1.
        factor: f64,
    },
}

impl Schedule {
    /// What the rate is multiplied with after `done` of `all` steps.
    fn factor(self, done: u64, all: u64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Cosine => half_cosine(done, all),
            Self::Step { period, factor } => {
                let times = i32::try_from(done / period.max(1)).unwrap_or(i32::MAX);
                factor.powi(times)
            }
            Self::Restarts { period, factor } => {
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

/// What happens when a loss, a gradient, a weight or a precision is no longer a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnNonFinite {
    /// The run stops and says where.
    Stop,
    /// It goes back to its last checkpoint and on from there with half the learning rates.
    RollBack,
}

/// The settings of a run: float steps first, then steps with weights made small.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainConfig {
    /// Decides the first weights, the order of records, their augmentation and the noise.
    pub seed: u64,
    /// Records per step.
    pub batch_size: usize,
    /// How many times in a row each record is shown, varied anew; at least 1.
    pub repeats: usize,
    /// Steps of float training.
    pub float_steps: u64,
    /// Steps with small weights, after those.
    pub quantized_steps: u64,
    /// Which rule moves the weights.
    pub optimizer: OptimizerKind,
    /// Of SGD.
    pub momentum: f64,
    /// Nesterov's form of momentum.
    pub nesterov: bool,
    /// L2 penalty on all weights (not on the bits).
    pub weight_decay: f64,
    /// Of the weights in float steps.
    pub learning_rate: f64,
    /// Of the weights in quantized steps.
    pub quantized_learning_rate: f64,
    /// How both change within their phase.
    pub schedule: Schedule,
    /// Steps at the start of each phase over which the rate rises from 0.
    pub warmup_steps: u64,
    /// Of the bits.
    pub bits_learning_rate: f64,
    /// How that changes within the phase under noise. Where the rate of the weights falls to 0 and that
    /// of the bits does not, the last bits are lost when the weights can no longer follow.
    pub bits_schedule: Schedule,
    /// λ, per MiB.
    pub penalty: f64,
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
    /// Most bytes of the file; λ is then found while training, and `penalty` is where it starts.
    pub budget: Option<u64>,
    /// The share of the quantized steps, the last, in which fewbit's method rounds weights and adds no noise.
    pub rounding_share: f64,
    /// The share of the float network's predictions in what is learned from in quantized steps; the rest
    /// is the labels'.
    pub distillation: f64,
    /// What happens when a number stops being one.
    pub on_non_finite: OnNonFinite,
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
        rate * self.schedule.factor(at - self.warmup_steps, steps.saturating_sub(self.warmup_steps))
    }

    /// The learning rate of the bits or steps at `step` of the run.
    pub fn bits_learning_rate_at(&self, step: u64) -> f64 {
        self.bits_learning_rate * self.bits_rate_factor_at(step)
    }

    /// What the rate of the bits is multiplied with at `step` of the run.
    pub(crate) fn bits_rate_factor_at(&self, step: u64) -> f64 {
        self.bits_schedule.factor(step.saturating_sub(self.float_steps), self.quantized_steps)
    }

    /// The share of the quantized steps that is done at `step` of the run.
    pub(crate) fn quantized_share(&self, step: u64) -> f64 {
        step.saturating_sub(self.float_steps) as f64 / self.quantized_steps.max(1) as f64
    }

    /// What reading a weight gives at `step` of the run, once the float steps are done.
    pub fn mode_at(&self, step: u64) -> Mode {
        match self.quantization.method {
            Method::DiffQ(_) | Method::QuantNoise(..) => Mode::Noise,
            Method::Fewbit(_) if self.quantized_share(step) < 1.0 - self.rounding_share => Mode::Noise,
            _ => Mode::StraightThrough,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_fall_by_steps_and_begin_anew() {
        let step = Schedule::Step { period: 60, factor: 0.2 };
        for (done, factor) in [(0, 1.0), (59, 1.0), (60, 0.2), (120, 0.04), (199, 0.008)] {
            assert!((step.factor(done, 200) - factor).abs() < 1e-12, "{done}");
        }
        // Cosines of 10, 20 and 40 steps from 1, 0.75 and 0.5625.
        let restarts = Schedule::Restarts { period: 10, factor: 0.75 };
        for (done, factor) in [(0, 1.0), (5, 0.5), (10, 0.75), (20, 0.375), (30, 0.5625), (50, 0.28125)] {
            assert!((restarts.factor(done, 70) - factor).abs() < 1e-12, "{done}");
        }
    }
}
