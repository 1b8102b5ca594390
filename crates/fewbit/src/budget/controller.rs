//! Holds the size of the file on its way to the budget, and finds what a byte is worth.
//!
//! Each step gives the bits of the file and their derivative in a common change of all scales. So the size needs no
//! search: after each step one Newton step in the common scale brings the file to its target. The target falls
//! geometrically from the first file's length to the budget over the first part of the phase: weights that are thrown
//! away at once never show what they are worth.
//!
//! λ, the multiplier of the constraint "at most so many bytes", is not searched for either. At the optimum a common
//! change of all scales gains nothing: `∂loss + λ·∂size = 0`. Each step gives both slopes, and λ is the ratio of their
//! running means. It weighs scales against each other, and weights against the bits that they take.

use serde::{Deserialize, Serialize};

use super::Observation;
use crate::size::BITS_PER_MEBIBYTE;

/// Share of the steps over which the target falls to the budget.
const APPROACH: f64 = 0.35;

/// The last target over the budget: the final search trims a file that is a little too large at less harm than it fills
/// one that is too small.
const MARGIN: f64 = 1.004;

/// Time constant of the running means, as a share of the steps, and the least in steps.
const WINDOW: f64 = 0.05;
const MIN_WINDOW: f64 = 5.0;

/// The most that all scales move together after a step, in bits.
const MAX_SHIFT: f64 = 0.5;

/// A slope of the bits counts as at least this share of them.
const MIN_SLOPE: f64 = 0.05;

/// How far Adam can move a scale in all steps at the full rate, in bits, and the largest rate.
const REACH: f64 = 20.0;
const MAX_RATE: f64 = 0.2;

/// Steps between measurements of the file.
pub(super) fn steps_per_measurement(steps: u64) -> u64 {
    (steps / 40).clamp(5, 50)
}

/// The learning rate of the Adam that moves scales against each other, in bits per step. Their common change is not
/// left to it, so it can be fast.
pub(super) fn scale_rate(steps: u64) -> f64 {
    (REACH / steps.max(1) as f64).min(MAX_RATE)
}

/// Holds the size and finds λ.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SizeController {
    /// Bytes asked for.
    budget: f64,
    /// Bytes at the start.
    first: f64,
    steps: f64,
    /// λ, where it was set by hand.
    fixed: Option<f64>,
    /// Running means of the slopes of loss and bits, which start at 0 alike.
    loss_slope: f64,
    bits_slope: f64,
    /// Bytes of the file when it was last measured, and the penalty's bits then.
    measured: f64,
    bits_then: Option<f64>,
    /// The last estimate.
    bytes: f64,
}

impl SizeController {
    /// A controller for a file of `budget` bytes that has `bytes` now; `fixed` is λ, where it is set by hand.
    pub(super) fn new(budget: u64, bytes: u64, steps: u64, fixed: Option<f64>) -> Self {
        let bytes = bytes as f64;
        Self {
            budget: budget as f64,
            first: bytes,
            steps: steps.max(1) as f64,
            fixed,
            loss_slope: 0.0,
            bits_slope: 0.0,
            measured: bytes,
            bits_then: None,
            bytes,
        }
    }

    /// λ per MiB for the coming step: 0 before the first, and where coarser scales do no harm.
    pub(super) fn lambda(&self) -> f64 {
        let found = || (BITS_PER_MEBIBYTE * self.loss_slope / self.bits_slope.abs().max(1e-9)).max(0.0);
        self.fixed.unwrap_or_else(found)
    }

    /// The estimated bytes of the file.
    pub(super) fn bytes(&self) -> f64 {
        self.bytes
    }

    /// Notes the length that the file has before the coming step.
    pub(super) fn measure(&mut self, bytes: u64) {
        (self.measured, self.bits_then) = (bytes as f64, None);
    }

    /// The bytes that the file should have after so many steps.
    fn target(&self, steps: f64) -> f64 {
        let last = self.budget * MARGIN;
        let done = (steps / (APPROACH * self.steps)).min(1.0);
        (self.first.max(last).ln() * (1.0 - done) + last.ln() * done).exp()
    }

    /// Notes what step `step`, counted from 0, has shown, and returns by how much all scales become coarser after it.
    pub(super) fn observe(&mut self, seen: Observation, step: u64) -> f64 {
        let new = 1.0 - (-1.0 / (WINDOW * self.steps).max(MIN_WINDOW)).exp();
        self.loss_slope += new * (seen.loss_slope - self.loss_slope);
        // Where hardly a bit changes, a small loss must not make a huge λ.
        let bits_slope = seen.bits_slope.min(-MIN_SLOPE * seen.bits.max(1.0));
        self.bits_slope += new * (bits_slope - self.bits_slope);
        let then = *self.bits_then.get_or_insert(seen.bits);
        self.bytes = (self.measured + (seen.bits - then) / 8.0).max(1.0);
        let missing = self.target(step as f64 + 1.0) - self.bytes;
        (8.0 * missing / bits_slope).clamp(-MAX_SHIFT, MAX_SHIFT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights of a normal law on a grid: as many bits as its entropy at high rate and fewer at a low one, and a
    /// loss that grows with the square of the scale, times a slope; gradients are right but for noise.
    struct Toy {
        scale: f64,
        weights: f64,
        curvature: f64,
        /// What the weights do to the bits on their own in a step.
        drift: f64,
    }

    impl Toy {
        fn bits(&self) -> f64 {
            self.weights * (1.0 + (-self.scale).exp2()).log2()
        }

        fn slopes(&self, step: u64) -> Observation {
            let inverse = (-self.scale).exp2();
            let noise = if step.is_multiple_of(2) { 3.0 } else { -1.0 };
            let bits_slope = -self.weights * inverse / (1.0 + inverse);
            let loss_slope = self.curvature * (2.0 * self.scale).exp2() * noise;
            Observation { bits: self.bits(), bits_slope, loss_slope }
        }

        /// Bytes and λ of each of `steps` steps to a file of `budget` bytes, of which 4,000 are no codes.
        fn run(&mut self, budget: u64, steps: u64) -> Vec<(f64, f64)> {
            let bytes = |toy: &Self| 4000.0 + toy.bits() / 8.0;
            let mut controller = SizeController::new(budget, bytes(self) as u64, steps, None);
            (0..steps)
                .map(|step| {
                    if step.is_multiple_of(steps_per_measurement(steps)) {
                        controller.measure(bytes(self) as u64);
                    }
                    self.scale += controller.observe(self.slopes(step), step) + self.drift;
                    (bytes(self), controller.lambda())
                })
                .collect()
        }
    }

    #[test]
    fn the_size_is_held_from_the_approach_on_in_few_steps_and_many() {
        for steps in [20, 150, 2000] {
            for (budget, scale) in [(30_000, -3.5), (5_000, 1.0), (60_000, -6.5)] {
                for drift in [-0.01, 0.0, 0.01] {
                    let mut toy = Toy { scale, weights: 80_000.0, curvature: 1e-3, drift };
                    let path = toy.run(budget, steps);
                    let held = &path[(steps as usize * 2).div_ceil(5)..];
                    for (bytes, _) in held {
                        let share = bytes / (MARGIN * budget as f64);
                        assert!((share - 1.0).abs() < 0.01, "{budget} in {steps}, {drift}: {share}");
                    }
                }
            }
        }
    }

    /// At the scale of the budget a bit costs `curvature·4^scale / (∂bits)` of loss: noise of both signs of three
    /// times as much has that mean.
    #[test]
    fn lambda_is_what_a_mebibyte_is_worth_at_the_budget() {
        for curvature in [1e-6, 1e-2, 1e2] {
            let mut toy = Toy { scale: -3.5, weights: 80_000.0, curvature, drift: 0.0 };
            let (_, lambda) = toy.run(30_000, 400)[399];
            let slopes = toy.slopes(0);
            let worth = BITS_PER_MEBIBYTE * slopes.loss_slope / 3.0 / -slopes.bits_slope;
            assert!((lambda / worth - 1.0).abs() < 0.15, "{lambda}, {worth}");
        }
    }

    /// A loss that falls and bits that do not change: 0.05·320,000 bits count.
    #[test]
    fn bits_that_do_not_change_make_no_huge_lambda() {
        let mut controller = SizeController::new(40_000, 50_000, 100, None);
        let none = Observation { bits: 320_000.0, bits_slope: 0.0, loss_slope: 1e-3 };
        assert!((0.0..=MAX_SHIFT).contains(&controller.observe(none, 0)));
        assert!(controller.lambda() <= 1e-3 * BITS_PER_MEBIBYTE / 16_000.0 * (1.0 + 1e-9));
    }

    #[test]
    fn a_given_lambda_stays() {
        let mut controller = SizeController::new(1000, 1500, 10, Some(3.0));
        controller.observe(Observation { bits: 8000.0, bits_slope: -4000.0, loss_slope: 100.0 }, 0);
        assert_eq!(controller.lambda(), 3.0);
    }
}
