//! One quantized parameter: where it is, what is learned about it, and its rounding.

use std::num::NonZeroUsize;

use fewbit::compress::{self, quantize_stepped};
use fewbit::{
    BitWidth, BitsLaw, GridKind, GroupSize, Grouping, QuantizeError, QuantizedTensor, RangeForm,
    RangeGranularity, Ranges,
};
use fewbit_kernels::{GroupLayout, NoiseKey, NoiseLaw};

use crate::config::AttachError;
use crate::control::NoiseClock;
use crate::layout::{Orientation, ParameterEntry};
use crate::method::{FixedWidth, Method, SizeEstimate, StepSpace};
use crate::step::{best_step, lsq_step};

/// What does not change while a parameter is trained.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its path in the module tree; part of the key of its noise.
    pub path: String,
    /// Its shape in memory.
    pub shape: Vec<usize>,
    /// The order in which it is stored and grouped.
    pub orientation: Orientation,
    /// Weights that share a learned number.
    pub group_size: GroupSize,
    /// The groups, along the stored order.
    pub grouping: Grouping,
    /// What the learned numbers mean, and what rounding is.
    pub scheme: Scheme,
}

/// What the learned numbers of a parameter mean, and how its weights are rounded.
#[derive(Clone, Debug)]
pub enum Scheme {
    /// A logit for the bits of each group, on one grid from the smallest to the largest weight.
    Bits {
        /// From logits to bits.
        law: BitsLaw,
        /// The same law, for the kernels.
        kernel_law: fewbit_kernels::BitsLaw,
        /// The law of its noise.
        noise: NoiseLaw,
    },
    /// The step of each group.
    Steps(Steps),
    /// Nothing is learned: one width from the smallest to the largest weight.
    MinMax {
        /// Bits of each code.
        fixed: FixedWidth,
        /// Of the weights that a step of training rounds.
        share: f32,
    },
}

/// Steps are from 2^-100 to 2^100, wherever an optimizer takes their logarithm, so that none is infinite.
pub(crate) const FURTHEST_EXPONENT: f32 = 100.0;

/// How a parameter with steps is rounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Steps {
    /// How far levels reach below and above zero.
    pub levels: (i16, i16),
    /// What has a step of its own.
    pub granularity: RangeGranularity,
    /// The factor of the step's gradient where the step itself is learned; none where the logarithm to
    /// base 2 is.
    pub gradient_scale: Option<f32>,
    /// What the penalty counts, and of how many weights it counts the width as one; none where the size is
    /// not learned.
    pub size: Option<(SizeEstimate, usize)>,
}

impl Steps {
    /// The steps of learned numbers.
    pub fn of(&self, learned: &[f32]) -> Vec<f32> {
        let step = |learned: &f32| match self.gradient_scale {
            Some(_) => learned.abs(),
            None => learned.clamp(-FURTHEST_EXPONENT, FURTHEST_EXPONENT).exp2(),
        };
        learned.iter().map(|learned| compress::stored_step(step(learned))).collect()
    }

    /// `steps` where levels are no choice but a bound: none so fine that the largest weight of its group, in
    /// `largest`, would be cut.
    pub(crate) fn reaching(&self, mut steps: Vec<f32>, largest: impl IntoIterator<Item = f32>) -> Vec<f32> {
        if self.size.is_some() {
            for (step, largest) in steps.iter_mut().zip(largest) {
                let finest = compress::stored_step(largest / f32::from(self.levels.1.max(1)));
                *step = step.max(finest);
            }
        }
        steps
    }
}

/// The largest distance from zero; 0 for none.
pub(crate) fn furthest(weights: &[f32]) -> f32 {
    weights.iter().fold(0.0, |most, weight| most.max(weight.abs()))
}

/// How a file is made a little smaller than what was trained.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Trim {
    /// The base 2 logarithm of what steps are multiplied with, or bits that each group has less.
    pub coarser: f32,
    /// See [`quantize_stepped`].
    pub trade: f32,
}

impl Site {
    pub(crate) fn new(entry: &ParameterEntry, method: &Method) -> Result<Self, AttachError> {
        let len = entry.len();
        let shape = entry.orientation.swap_shape(&entry.shape);
        let channel = len.checked_div(shape.first().copied().unwrap_or(1)).unwrap_or(0);
        let sharing = |granularity, group_size| match granularity {
            RangeGranularity::Tensor => GroupSize::WholeTensor,
            RangeGranularity::Channel => GroupSize::new(channel).unwrap_or(GroupSize::WholeTensor),
            RangeGranularity::Group => group_size,
        };
        let of_fixed = |fixed: &FixedWidth| sharing(fixed.granularity, fixed.group_size);
        let (group_size, scheme) = match method {
            Method::DiffQ(config) => {
                let (law, kernel_law) = (config.bits_law()?, config.kernel_law()?);
                (config.group_size, Scheme::Bits { law, kernel_law, noise: config.noise })
            }
            Method::Fewbit(config) => {
                let furthest = fewbit_kernels::LARGEST_LEVEL;
                let size = Some((config.estimate, config.group_size.max(1)));
                let granularity = config.granularity;
                let steps = Steps { levels: (furthest, furthest), granularity, gradient_scale: None, size };
                let group_size = GroupSize::new(config.group_size).unwrap_or(GroupSize::WholeTensor);
                (sharing(granularity, group_size), Scheme::Steps(steps))
            }
            Method::Lsq(fixed, _) | Method::NearestRounding(fixed) => {
                let (levels, groups) = (fixed.levels(), of_fixed(fixed));
                let weights = Grouping::new(groups, len).size() as f32;
                // Esser et al. 2020, section 2.2; of one bit the levels above zero count as one.
                let scale = 1.0 / (weights * f32::from(levels.1.max(1))).sqrt();
                let is_linear = !matches!(method, Method::Lsq(_, StepSpace::Logarithm));
                let gradient_scale = is_linear.then_some(scale);
                let steps = Steps { levels, granularity: fixed.granularity, gradient_scale, size: None };
                (groups, Scheme::Steps(steps))
            }
            Method::Qat(fixed) | Method::Rounding(fixed) => {
                (of_fixed(fixed), Scheme::MinMax { fixed: *fixed, share: 1.0 })
            }
            Method::QuantNoise(fixed, share) => {
                (of_fixed(fixed), Scheme::MinMax { fixed: *fixed, share: *share })
            }
        };
        Ok(Self {
            path: entry.path.clone(),
            shape: entry.shape.clone(),
            orientation: entry.orientation,
            group_size,
            grouping: Grouping::new(group_size, len),
            scheme,
        })
    }

    /// What is learned, as it starts out for `weights` in memory order: one number per group.
    pub(crate) fn initial(&self, weights: &[f32], method: &Method) -> Result<Vec<f32>, AttachError> {
        let stored = || self.orientation.swap_values(weights.to_vec(), &self.shape);
        Ok(match (method, &self.scheme) {
            (Method::DiffQ(config), Scheme::Bits { law, .. }) => {
                vec![law.logit(config.init_bits)?; self.grouping.count()]
            }
            (Method::NearestRounding(fixed), _) => {
                let stored = stored();
                self.grouping.ranges().map(|group| best_step(&stored[group], fixed.levels())).collect()
            }
            (_, Scheme::Steps(steps)) => {
                let stored = stored();
                let step = |group| lsq_step(&stored[group], steps.levels.1);
                let learned = |step: f32| match steps.gradient_scale {
                    Some(_) => step,
                    None => step.log2(),
                };
                self.grouping.ranges().map(|group| learned(step(group))).collect()
            }
            _ => vec![0.0; self.grouping.count()],
        })
    }

    /// The shape of the stored tensor, `[out, …]`.
    pub fn stored_shape(&self) -> Vec<usize> {
        self.orientation.swap_shape(&self.shape)
    }

    /// The key of the draw that `clock` names.
    pub fn noise_key(&self, clock: NoiseClock) -> NoiseKey {
        NoiseKey::new(clock.seed, clock.replica, clock.step, clock.micro_step, &self.path)
    }

    /// How groups lie in memory; `None` of a swapped parameter with fewer than two axes.
    pub fn group_layout(&self) -> Option<GroupLayout> {
        let group_size = NonZeroUsize::new(self.grouping.size())?;
        match (self.orientation, self.shape.as_slice()) {
            (Orientation::Stored, _) => Some(GroupLayout::Contiguous { group_size }),
            (Orientation::Swapped, [rows, columns, inner @ ..]) => Some(GroupLayout::Swapped {
                rows: *rows,
                columns: *columns,
                inner: inner.iter().product(),
                group_size,
            }),
            (Orientation::Swapped, _) => None,
        }
    }

    /// The group of each element in memory order.
    pub fn group_of_each(&self) -> Vec<i64> {
        let groups = (0..self.grouping.len()).map(|i| self.grouping.group_of(i) as i64).collect();
        self.orientation.swap_values(groups, &self.stored_shape())
    }

    /// The stored tensor of `weights` (memory order) under what was `learned`: the one place where a
    /// weight is rounded for a file, and so for evaluation.
    ///
    /// # Errors
    /// [`QuantizeError`] with the index of the first weight that is not finite. A learned number that is
    /// not finite is a range that is not.
    pub fn quantize(
        &self,
        weights: Vec<f32>,
        learned: &[f32],
        trim: Trim,
    ) -> Result<QuantizedTensor, QuantizeError> {
        let stored = self.orientation.swap_values(weights, &self.shape);
        let shape = self.stored_shape();
        match &self.scheme {
            Scheme::Bits { law, .. } => {
                let width = |logit: &f32| {
                    BitWidth::from_bits((law.bits(*logit) - trim.coarser).max(0.0))
                        .ok_or(QuantizeError::BadRange { minimum: f32::NAN, maximum: f32::NAN })
                };
                let widths = learned.iter().map(width).collect::<Result<_, _>>()?;
                QuantizedTensor::quantize(&stored, &shape, self.group_size, widths)
            }
            Scheme::Steps(steps) => {
                let factor = trim.coarser.exp2();
                let largest = || self.grouping.ranges().map(|group| furthest(&stored[group]));
                // Coarser than what counts, not than what was learned, which may be far finer.
                let found = steps.reaching(steps.of(learned), largest());
                let found = found.iter().map(|step| step * factor).collect();
                let found = steps.reaching(found, largest());
                let (granularity, group_size) = (steps.granularity, self.group_size);
                let found = compress::Steps { values: &found, granularity, group_size };
                quantize_stepped(&stored, &shape, found, steps.levels, trim.trade)
            }
            Scheme::MinMax { fixed, .. } => self.quantize_min_max(&stored, &shape, *fixed),
        }
    }

    fn quantize_min_max(
        &self,
        stored: &[f32],
        shape: &[usize],
        fixed: FixedWidth,
    ) -> Result<QuantizedTensor, QuantizeError> {
        let (kind, form) = (GridKind::MinMax, RangeForm::Full);
        // Of one width there is one group, but where groups have ranges.
        let group_size = match fixed.granularity {
            RangeGranularity::Group => self.group_size,
            _ => GroupSize::WholeTensor,
        };
        let widths = vec![fixed.width; Grouping::new(group_size, stored.len()).count()];
        let ranges = Ranges::fit(stored, shape, group_size, fixed.granularity, kind, form)?;
        QuantizedTensor::quantize_with(stored, ranges, shape, group_size, widths)
    }

    /// The rounded values in memory order.
    pub fn dequantize(&self, tensor: &QuantizedTensor) -> Vec<f32> {
        self.orientation.swap_values(tensor.dequantize(), &self.stored_shape())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_learned_number_makes_a_step_that_is_none() {
        let granularity = RangeGranularity::Tensor;
        let steps = Steps { levels: (127, 127), granularity, gradient_scale: None, size: None };
        for learned in [f32::MIN, -1e4, 0.0, 1e4, f32::MAX, f32::NEG_INFINITY, f32::INFINITY] {
            let step = steps.of(&[learned])[0];
            assert!(step.is_finite() && step > 0.0, "{learned}: {step}");
        }
    }
}
