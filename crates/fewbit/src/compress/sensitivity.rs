//! What is known of how the loss depends on a tensor, and the steps that follow from it.
//!
//! Where a squared error of a weight costs `s`, it should err as `1/s`: at equal bytes the loss is least where every
//! weight's `s·step²` is the same. So steps are as `1/√s`, and what is left to find is their common factor.

use rayon::prelude::*;

use super::feedback::Feedback;
use super::second_moments::{MomentsError, SecondMoments};
use super::{Objective, PART, in_parts};
use crate::scale::{MAX_LEVEL, nearest_stored};
use crate::{QuantizeError, ValueRange};

/// Bits that a step of each channel's own costs: of its 16 the lower eight, and what coding leaves of the upper.
const BITS_OF_STEP: f64 = 11.0;

/// A channel counts as sensitive at least as this share of the tensor's mean: one that the calibration data never
/// reached may still be reached.
const LEAST_SHARE: f64 = 1e-3;

/// How the loss depends on a tensor's weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivity {
    /// What a squared error of a weight of each output channel costs, up to a factor that all tensors share.
    pub channels: Vec<f64>,
    /// How the inputs of the layer vary together; with them weights make up for each other's errors.
    pub inputs: Option<SecondMoments>,
}

/// What every file of a tensor needs to know of it.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// What the common factor is multiplied with: one number, or one for each channel.
    scales: Vec<f64>,
    /// The largest magnitude of the weights of each.
    largest: Vec<f32>,
    pub(super) feedback: Option<Feedback>,
}

/// Why there is no plan.
#[derive(Debug)]
pub(super) enum PlanError {
    Quantize(QuantizeError),
    Moments(MomentsError),
}

impl Plan {
    /// That of weights `[channels, …]`.
    pub(super) fn new(
        weights: &[f32],
        channels: usize,
        objective: Objective,
        known: Option<&Sensitivity>,
    ) -> Result<Self, PlanError> {
        let whole = ValueRange::fit(weights).map_err(PlanError::Quantize)?.half_width();
        let Some(known) = known else {
            return Ok(Self {
                scales: vec![scale(weights, objective)],
                largest: vec![whole],
                feedback: None,
            });
        };
        let inputs = weights.len() / channels.max(1);
        let feedback = match &known.inputs {
            Some(moments) if moments.inputs() != inputs => {
                let found = moments.inputs();
                return Err(PlanError::Moments(MomentsError::Inputs { found, needed: inputs }));
            }
            Some(moments) => Some(Feedback::new(moments).map_err(PlanError::Moments)?),
            None => None,
        };
        let gain = feedback.as_ref().map_or(1.0, Feedback::gain);
        let mean = known.channels.iter().sum::<f64>() / known.channels.len().max(1) as f64;
        let least = (LEAST_SHARE * mean).max(f64::MIN_POSITIVE);
        let scale = |cost: &f64| 1.0 / (cost.max(least) * gain).sqrt();
        if known.channels.len() != channels || !pays(&known.channels, least, inputs) {
            return Ok(Self { scales: vec![scale(&mean)], largest: vec![whole], feedback });
        }
        let magnitude = |part: &[f32]| part.iter().fold(0f32, |largest, weight| largest.max(weight.abs()));
        let largest = weights.chunks_exact(inputs).map(magnitude).collect();
        Ok(Self { scales: known.channels.iter().map(scale).collect(), largest, feedback })
    }

    /// The step of the tensor, or of each channel, for a common factor; and whether none could be smaller.
    pub(super) fn steps(&self, factor: f64) -> (Vec<ValueRange>, bool) {
        let mut is_smallest = true;
        let steps = self.scales.iter().zip(&self.largest).map(|(scale, largest)| {
            let (wanted, smallest) = ((factor * scale) as f32, largest / f32::from(MAX_LEVEL));
            is_smallest &= wanted <= smallest;
            nearest_stored(wanted.max(smallest))
        });
        (steps.collect(), is_smallest)
    }
}

/// Whether steps of the channels' own save more bits than they cost: against one step, by the mean of what errors
/// cost, a step by their geometric mean has as much less error as the two differ.
fn pays(channels: &[f64], least: f64, inputs: usize) -> bool {
    let count = channels.len() as f64;
    let mean = channels.iter().map(|cost| cost.max(least)).sum::<f64>() / count;
    let logarithm = channels.iter().map(|cost| cost.max(least).log2()).sum::<f64>() / count;
    inputs as f64 * 0.5 * (mean.log2() - logarithm) > BITS_OF_STEP
}

/// What a tensor's step is multiplied with where nothing but its weights is known.
fn scale(weights: &[f32], objective: Objective) -> f64 {
    match objective {
        Objective::Squared => 1.0,
        Objective::Relative => {
            let square = |part: &[f32]| part.iter().map(|weight| f64::from(*weight).powi(2)).sum::<f64>();
            (in_parts(weights.par_chunks(PART).map(square)) / weights.len().max(1) as f64).sqrt()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(weights: &[f32], channels: &[f64]) -> Plan {
        let known = Sensitivity { channels: channels.to_vec(), inputs: None };
        Plan::new(weights, channels.len(), Objective::Relative, Some(&known)).unwrap()
    }

    /// Costs of 4 and 1/4: half the step and twice; a step that would need more than 8 bits is not made smaller.
    #[test]
    fn steps_are_as_the_inverse_root_of_what_an_error_costs() {
        let weights = [vec![0.5; 500], vec![12.7; 500]].concat();
        let plan = plan(&weights, &[4.0, 0.25]);
        let found = |factor| {
            let (steps, is_smallest) = plan.steps(factor);
            (steps.iter().map(|step| step.half_width()).collect::<Vec<_>>(), is_smallest)
        };
        assert_eq!(found(1.0), (vec![0.5, 2.0], false));
        let (steps, is_smallest) = found(1.0 / 64.0);
        assert_eq!((steps[0], is_smallest), (1.0 / 128.0, false));
        assert!((steps[1] - 0.1).abs() < 1e-4, "{steps:?}");
        assert!(found(1e-3).1);
    }

    #[test]
    fn channels_that_are_nearly_alike_or_short_share_a_step() {
        assert_eq!(plan(&[1.0; 1000], &[1.0, 1.01]).scales.len(), 1);
        assert_eq!(plan(&[1.0; 8], &[4.0, 0.25]).scales.len(), 1);
        // Nothing is known of a channel that no error of was seen.
        let dead = plan(&[1.0; 1000], &[1.0, 0.0]);
        assert!((dead.scales[1] / dead.scales[0] - (2e3f64).sqrt()).abs() < 1e-9);
    }

    #[test]
    fn moments_of_another_layer_are_refused() {
        let known = Sensitivity { channels: vec![1.0; 2], inputs: Some(SecondMoments::new(3)) };
        let Err(PlanError::Moments(error)) = Plan::new(&[1.0; 8], 2, Objective::Relative, Some(&known))
        else {
            panic!("not refused")
        };
        assert_eq!(error, MomentsError::Inputs { found: 3, needed: 4 });
    }
}
