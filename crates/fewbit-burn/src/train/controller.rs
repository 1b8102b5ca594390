//! The price of a byte, found while training so that the file has the size that was asked for.
//!
//! The penalty's λ is the multiplier of the constraint "no more than so many bytes". It rises as long as the
//! file is too large and falls as long as it is too small (dual ascent, in the logarithm, as λ of different
//! networks differ by orders of magnitude), with a term for the present error beside the sum of all before,
//! so that the size does not swing about its target. The target itself falls from the size at the start to
//! the budget over the first part of the phase: who throws weights away at once never finds out which.

use serde::{Deserialize, Serialize};

/// How many times the budget the first target is.
pub(crate) const START: f64 = 1.5;

/// The share of the quantized steps over which the target falls to the budget.
pub(crate) const APPROACH: f64 = 0.35;

/// What the target is above the budget: a last pass trims, but has nothing good to spend bytes on.
const MARGIN: f64 = 1.004;

/// Steps between measurements of the file where there are so many quantized ones.
pub(crate) fn steps_per_measurement(quantized_steps: u64) -> u64 {
    (quantized_steps / 40).clamp(5, 50)
}

/// What λ is multiplied with per step and unit of error, and per unit of the present error, as exponents.
const GAIN: f64 = 0.5;
const DAMPING: f64 = 8.0;

/// Errors beyond a third of the target count as that.
const LARGEST_ERROR: f64 = 0.3;

/// λ and what it follows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SizeController {
    /// Bytes asked for.
    budget: f64,
    /// The logarithm of λ, without the term for the present error.
    level: f64,
    /// The term for the present error.
    present: f64,
    /// Bytes of the file when it was last measured, and the bits of the penalty then.
    measured: f64,
    bits_then: Option<f64>,
    /// The last estimate.
    bytes: f64,
    /// The size at the start.
    first: f64,
}

impl SizeController {
    /// A controller for a file of `budget` bytes that has `bytes` now; λ starts at `lambda`.
    pub(crate) fn new(budget: u64, bytes: u64, lambda: f64) -> Self {
        let (budget, bytes) = (budget as f64, bytes as f64);
        let level = lambda.max(1e-9).ln();
        Self { budget, level, present: 0.0, measured: bytes, bits_then: None, bytes, first: bytes }
    }

    /// λ for the coming step.
    pub(crate) fn lambda(&self) -> f64 {
        (self.level + self.present).exp()
    }

    /// The bytes that the file is thought to have.
    pub(crate) fn bytes(&self) -> f64 {
        self.bytes
    }

    /// Notes the length that the file has before the coming step.
    pub(crate) fn measure(&mut self, bytes: u64) {
        (self.measured, self.bits_then) = (bytes as f64, None);
    }

    /// The bytes that the file should have when a share of the quantized steps is done.
    fn target(&self, done: f64) -> f64 {
        let last = self.budget * MARGIN;
        let way = (done / APPROACH).min(1.0);
        (self.first.max(last).ln() * (1.0 - way) + last.ln() * way).exp()
    }

    /// Notes the penalty's bits in a step, made when a share of the quantized steps was `done`; `rate` is
    /// what the learning rate is multiplied with then: what no longer moves cannot be steered.
    pub(crate) fn observe(&mut self, bits: f64, done: f64, rate: f64) {
        let then = *self.bits_then.get_or_insert(bits);
        self.bytes = (self.measured + (bits - then) / 8.0).max(1.0);
        let error = (self.bytes / self.target(done)).ln().clamp(-LARGEST_ERROR, LARGEST_ERROR);
        self.level += GAIN * rate.clamp(0.2, 1.0) * error;
        self.present = DAMPING * error;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file whose size answers to λ with a delay and no faster than an optimizer moves steps.
    #[test]
    fn the_size_reaches_the_budget_and_lambda_settles() {
        for slope in [0.02, 0.3, 5.0] {
            let mut bits = 8.0 * 150_000.0;
            let mut controller = SizeController::new(100_000, 150_000, 1.0);
            let mut lambdas = Vec::new();
            for step in 0..2000u32 {
                if step.is_multiple_of(50) {
                    controller.measure((bits / 8.0) as u64);
                }
                controller.observe(bits, f64::from(step) / 2000.0, 1.0);
                // The size at which the loss has this slope, and a step towards it.
                let wanted = 8.0 * 100_000.0 * (slope / controller.lambda()).powf(0.3);
                bits *= (0.05 * (wanted / bits).ln()).clamp(-0.01, 0.01).exp();
                lambdas.push(controller.lambda());
            }
            assert!((bits / 8.0 / 100_400.0 - 1.0).abs() < 2e-3, "{slope}: {}", bits / 8.0);
            let last = &lambdas[1500..];
            let (low, high) = last.iter().fold((f64::MAX, 0.0f64), |(l, h), x| (l.min(*x), h.max(*x)));
            assert!(high / low < 1.05, "{slope}: {low} to {high}");
        }
    }
}
