//! Stochastic gradient descent.

use super::{Rule, update};
use crate::dispatch::InstructionSet;
use crate::elementwise::check_length;

/// The settings of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// The learning rate.
    pub rate: f32,
    /// Share of the old velocity in the new.
    pub momentum: f32,
    /// Nesterov's form of momentum: the step looks one velocity ahead.
    pub nesterov: bool,
    /// Share of the weight that is added to its gradient.
    pub weight_decay: f32,
    /// What the gradient is multiplied with before anything else.
    pub gradient_scale: f32,
    /// Whether there is no velocity yet: it then becomes the gradient, whatever it held.
    pub first: bool,
}

/// Moves each weight: `g ← scale·gradient + decay·w`, `v ← momentum·v + g`, `w ← w - rate·v`.
///
/// With Nesterov's form the last is `w - rate·(g + momentum·v)`; without a velocity `w - rate·g`. This is
/// what PyTorch does.
///
/// # Panics
/// When `gradient` or `velocity` has not the length of `weights`.
///
/// Sutskever et al. 2013, section 2.
pub fn sgd_step(weights: &mut [f32], gradient: &[f32], velocity: Option<&mut [f32]>, step: SgdStep) {
    sgd_step_on(InstructionSet::detect(), weights, gradient, velocity, step);
}

pub(crate) fn sgd_step_on(
    set: InstructionSet,
    weights: &mut [f32],
    gradient: &[f32],
    velocity: Option<&mut [f32]>,
    step: SgdStep,
) {
    check_length("gradient", gradient.len(), weights.len());
    let Some(velocity) = velocity else { return update(set, Plain(step), weights, gradient, []) };
    check_length("velocity", velocity.len(), weights.len());
    if step.first {
        // Zero times what lies there could be NaN.
        velocity.fill(0.0);
    }
    update(set, WithVelocity(step), weights, gradient, [velocity]);
}

#[inline(always)]
fn decayed(step: SgdStep, weight: f32, gradient: f32) -> f32 {
    weight.mul_add(step.weight_decay, gradient * step.gradient_scale)
}

#[derive(Clone, Copy)]
struct Plain(SgdStep);

impl Rule<0> for Plain {
    #[inline(always)]
    fn at(self, weight: f32, gradient: f32, _: [f32; 0]) -> (f32, [f32; 0]) {
        (decayed(self.0, weight, gradient).mul_add(-self.0.rate, weight), [])
    }
}

#[derive(Clone, Copy)]
struct WithVelocity(SgdStep);

impl Rule<1> for WithVelocity {
    #[inline(always)]
    fn at(self, weight: f32, gradient: f32, [velocity]: [f32; 1]) -> (f32, [f32; 1]) {
        let Self(step) = self;
        let gradient = decayed(step, weight, gradient);
        let velocity = velocity.mul_add(step.momentum, gradient);
        let direction = if step.nesterov { velocity.mul_add(step.momentum, gradient) } else { velocity };
        (direction.mul_add(-step.rate, weight), [velocity])
    }
}

#[cfg(test)]
mod tests {
    use fewbit_testing::{Numbers, RAGGED_LENGTHS};

    use super::*;
    use crate::elementwise::PIECE;

    const STEP: SgdStep = SgdStep {
        rate: 0.1,
        momentum: 0.9,
        nesterov: false,
        weight_decay: 0.0,
        gradient_scale: 1.0,
        first: false,
    };

    /// By hand, weight 1, gradient 2, velocity 3: v = 0.9·3 + 2 = 4.7, w = 1 - 0.47; Nesterov's
    /// direction is 2 + 0.9·4.7 = 6.23; decay 0.5 makes the gradient 2.5; a first step has v = g.
    #[test]
    fn a_step_worked_by_hand() {
        let cases = [
            (STEP, 0.53, 4.7),
            (SgdStep { nesterov: true, ..STEP }, 0.377, 4.7),
            (SgdStep { weight_decay: 0.5, ..STEP }, 0.48, 5.2),
            (SgdStep { gradient_scale: 0.5, ..STEP }, 0.63, 3.7),
            (SgdStep { first: true, ..STEP }, 0.8, 2.0),
        ];
        for (step, weight, velocity) in cases {
            let (mut weights, mut velocities) = ([1.0], [3.0]);
            sgd_step(&mut weights, &[2.0], Some(&mut velocities), step);
            assert!(
                (weights[0] - weight).abs() < 1e-6 && (velocities[0] - velocity).abs() < 1e-6,
                "{step:?}"
            );
        }
        let mut weights = [1.0];
        sgd_step(&mut weights, &[2.0], None, STEP);
        assert!((weights[0] - 0.8f32).abs() < 1e-6);
        let mut velocity = [f32::NAN];
        sgd_step(&mut weights, &[2.0], Some(&mut velocity), SgdStep { first: true, ..STEP });
        assert_eq!(velocity, [2.0]);
    }

    #[test]
    fn every_set_and_every_place_moves_alike() {
        let mut numbers = Numbers::seeded(5);
        for length in RAGGED_LENGTHS.into_iter().chain([513, PIECE, PIECE + 1, 2 * PIECE + 700]) {
            let [weights, gradient, velocity] = [0; 3].map(|_| numbers.weights(length));
            let alone: Vec<(f32, f32)> = (0..length)
                .map(|i| {
                    let (w, [v]) = WithVelocity(STEP).at(weights[i], gradient[i], [velocity[i]]);
                    (w, v)
                })
                .collect();
            for set in InstructionSet::available() {
                let (mut moved, mut kept) = (weights.clone(), velocity.clone());
                sgd_step_on(set, &mut moved, &gradient, Some(&mut kept), STEP);
                assert!(moved.into_iter().zip(kept).eq(alone.iter().copied()), "{length} weights, {set:?}");
            }
        }
    }
}
