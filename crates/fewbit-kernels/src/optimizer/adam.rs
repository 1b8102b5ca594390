//! Adam, and its form with decoupled weight decay.

use super::{Rule, update};
use crate::dispatch::InstructionSet;
use crate::elementwise::check_length;

/// The settings of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// The learning rate.
    pub rate: f32,
    /// Share of the old first moment in the new.
    pub beta_1: f32,
    /// Share of the old second moment in the new.
    pub beta_2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Share of the weight that is added to its gradient or, decoupled, taken from it times the rate.
    pub weight_decay: f32,
    /// Whether the decay passes by the moments: AdamW.
    pub decoupled: bool,
    /// What the gradient is multiplied with before anything else.
    pub gradient_scale: f32,
    /// Steps so far, this one counted: from 1 on.
    pub time: u64,
}

/// Moves each weight by `rate·m̂ / (√v̂ + epsilon)`, after the moments have moved.
///
/// `m ← β₁·m + (1-β₁)·g` and `v ← β₂·v + (1-β₂)·g²` are the moments; `m̂ = m/(1-β₁ᵗ)` and `v̂ = v/(1-β₂ᵗ)` are free of the
/// bias of their start at 0. This is what PyTorch does.
///
/// # Panics
/// When `gradient` or a moment has not the length of `weights`.
///
/// Kingma, Ba 2015, algorithm 1; Loshchilov, Hutter 2019, algorithm 2.
pub fn adam_step(
    weights: &mut [f32],
    gradient: &[f32],
    first_moment: &mut [f32],
    second_moment: &mut [f32],
    step: AdamStep,
) {
    adam_step_on(InstructionSet::detect(), weights, gradient, [first_moment, second_moment], step);
}

pub(crate) fn adam_step_on(
    set: InstructionSet,
    weights: &mut [f32],
    gradient: &[f32],
    moments: [&mut [f32]; 2],
    step: AdamStep,
) {
    check_length("gradient", gradient.len(), weights.len());
    check_length("first_moment", moments[0].len(), weights.len());
    check_length("second_moment", moments[1].len(), weights.len());
    update(set, Adam::new(step), weights, gradient, moments);
}

#[derive(Clone, Copy)]
struct Adam {
    gradient_scale: f32,
    /// Share of the weight in the gradient.
    coupled_decay: f32,
    /// What the weight is multiplied with.
    keep: f32,
    beta: [f32; 2],
    /// `1 - β` of each.
    rest: [f32; 2],
    /// `rate·√(1-β₂ᵗ)/(1-β₁ᵗ)`.
    rate: f32,
    /// `epsilon·√(1-β₂ᵗ)`: so the root of `v` itself can be used.
    epsilon: f32,
}

impl Adam {
    fn new(step: AdamStep) -> Self {
        let AdamStep { rate, beta_1, beta_2, epsilon, weight_decay, decoupled, gradient_scale, time } = step;
        let [rate, beta_1, beta_2, epsilon, decay] =
            [rate, beta_1, beta_2, epsilon, weight_decay].map(f64::from);
        let started = |beta: f64| 1.0 - beta.powf(time as f64);
        let root = started(beta_2).sqrt();
        Self {
            gradient_scale,
            coupled_decay: if decoupled { 0.0 } else { weight_decay },
            keep: if decoupled { (1.0 - rate * decay) as f32 } else { 1.0 },
            beta: [beta_1, beta_2].map(|beta| beta as f32),
            rest: [beta_1, beta_2].map(|beta| (1.0 - beta) as f32),
            rate: (rate * root / started(beta_1)) as f32,
            epsilon: (epsilon * root) as f32,
        }
    }
}

impl Rule<2> for Adam {
    #[inline(always)]
    fn at(self, weight: f32, gradient: f32, [first, second]: [f32; 2]) -> (f32, [f32; 2]) {
        let gradient = weight.mul_add(self.coupled_decay, gradient * self.gradient_scale);
        let first = first.mul_add(self.beta[0], gradient * self.rest[0]);
        let second = second.mul_add(self.beta[1], gradient * gradient * self.rest[1]);
        let delta = first / (second.sqrt() + self.epsilon);
        (delta.mul_add(-self.rate, weight * self.keep), [first, second])
    }
}

#[cfg(test)]
mod tests {
    use fewbit_testing::{Numbers, RAGGED_LENGTHS};

    use super::*;
    use crate::elementwise::PIECE;

    const STEP: AdamStep = AdamStep {
        rate: 0.1,
        beta_1: 0.9,
        beta_2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.0,
        decoupled: false,
        gradient_scale: 1.0,
        time: 1,
    };

    /// By hand: in a first step both moments are the gradient's own, so that the weight moves by the
    /// rate against its sign, whatever its size. In the second, with gradients 2 and -1:
    /// m̂ = (0.9·0.2 - 0.1)/0.19 = 0.421053, v̂ = (0.999·0.004 + 0.001)/0.001999 = 2.49925,
    /// 0.421053/1.580902 = 0.266337.
    #[test]
    fn two_steps_worked_by_hand() {
        let (mut weight, mut first, mut second) = ([1.0f32], [0.0], [0.0]);
        adam_step(&mut weight, &[2.0], &mut first, &mut second, STEP);
        assert!((weight[0] - 0.9).abs() < 1e-6);
        adam_step(&mut weight, &[-1.0], &mut first, &mut second, AdamStep { time: 2, ..STEP });
        assert!((weight[0] - (0.9 - 0.026_633_7)).abs() < 1e-6, "{weight:?}");
    }

    #[test]
    fn decoupled_decay_shrinks_the_weight_and_coupled_decay_joins_the_gradient() {
        let moved = |step: AdamStep, gradient: f32| {
            let (mut weight, mut first, mut second) = ([1.0f32], [0.0], [0.0]);
            adam_step(&mut weight, &[gradient], &mut first, &mut second, step);
            weight[0]
        };
        let decay = AdamStep { weight_decay: 0.5, ..STEP };
        // 1 - 0.1·0.5 - 0.1; with coupled decay a gradient of -0.5 meets 0.5 and nothing moves.
        assert!((moved(AdamStep { decoupled: true, ..decay }, 2.0) - 0.85).abs() < 1e-6);
        assert!((moved(decay, -0.5) - 1.0).abs() < 1e-6);
        assert!((moved(AdamStep { gradient_scale: 0.0, ..STEP }, 2.0) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn every_set_and_every_place_moves_alike() {
        let mut numbers = Numbers::seeded(6);
        let rule = Adam::new(AdamStep { time: 7, ..STEP });
        for length in RAGGED_LENGTHS.into_iter().chain([513, PIECE + 1, 2 * PIECE + 700]) {
            let [weights, gradient, first, root] = [0; 4].map(|_| numbers.weights(length));
            let second: Vec<f32> = root.iter().map(|x| x * x).collect();
            for set in InstructionSet::available() {
                let (mut moved, mut m, mut v) = (weights.clone(), first.clone(), second.clone());
                adam_step_on(set, &mut moved, &gradient, [&mut m, &mut v], AdamStep { time: 7, ..STEP });
                for i in 0..length {
                    let alone = rule.at(weights[i], gradient[i], [first[i], second[i]]);
                    assert_eq!((moved[i], [m[i], v[i]]), alone, "weight {i} of {length}, {set:?}");
                }
            }
        }
    }
}
