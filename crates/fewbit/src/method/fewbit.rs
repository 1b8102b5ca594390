//! fewbit's own method: a learned scale per tensor, channel or group, under a penalty on coded bytes.
//!
//! The scale is `s = 2^l`, `l` learned. Under noise `w̃ = w + s·ε` with `ε` uniform on -1/2 to 1/2, whose gradient in
//! `l` is exact: `ln 2 · s · Σ g·ε`. Rounded it is `s·round(w/s)`, levels within ±[`MAX_LEVEL`]; the gradient passes
//! straight through to the weight, and to the scale as Esser et al. 2020 (equation 3) have it. The penalty counts what
//! the entropy coder writes for the levels and their groups' widths ([`fewbit_kernels::coded_size`]), so bit widths
//! are not learned but follow from levels: a group of zeros takes none.
//!
//! No scale is so small that its largest weight needs a level beyond [`MAX_LEVEL`].

use std::num::NonZeroUsize;

use fewbit_kernels::{NoiseKey, NoiseLaw, coded_size};

use super::{Coarseness, Counted, Method, Phase, Sizing, Slopes, scales};
use crate::layout::Layout;
use crate::scale::{MAX_LEVEL, stored_scale};
use crate::{GroupSize, QuantizeError, QuantizedTensor, RangeGranularity};

/// Levels reach as far below zero as above.
const LEVELS: (i16, i16) = (MAX_LEVEL, MAX_LEVEL);

/// Scales start as LSQ's of levels up to this: for 4 bits.
const HIGHEST_AT_START: f64 = 7.0;

/// The settings of fewbit's method.
#[derive(Clone, Debug, PartialEq)]
pub struct Fewbit {
    /// What has a scale of its own.
    pub granularity: RangeGranularity,
    /// Weights whose bit width the penalty counts as one, and that share a scale where groups have one.
    pub group_size: GroupSize,
    /// What the penalty counts.
    pub estimate: SizeEstimate,
    /// The last share of the quantized steps, in which weights are rounded and get no noise.
    pub rounding_share: f64,
}

/// What the size penalty of [`Fewbit`] counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SizeEstimate {
    /// Bits that the entropy coder writes, which depend on every weight.
    #[default]
    Coded,
    /// `log2(2·max|w|/s + 1)` bits per weight, which depend on scales alone; for ablations.
    Nominal,
}

impl Default for Fewbit {
    fn default() -> Self {
        Self {
            granularity: RangeGranularity::Tensor,
            group_size: GroupSize::new(16).expect("not 0"),
            estimate: SizeEstimate::Coded,
            rounding_share: 0.5,
        }
    }
}

impl Fewbit {
    /// The scales of learned numbers, none so small that a weight is clamped.
    fn scales(&self, layout: &Layout, weights: &[f32], learned: &[f32], factor: f32) -> Vec<f32> {
        scales_beside(&scales::largest_of_groups(layout, weights), learned, factor)
    }

    /// Weights whose bit width is counted as one.
    fn width_group(&self, len: usize) -> NonZeroUsize {
        match self.group_size {
            GroupSize::Weights(weights) => weights,
            GroupSize::WholeTensor => NonZeroUsize::new(len).unwrap_or(NonZeroUsize::MIN),
        }
    }

    fn nominal_bits(&self, layout: &Layout, largest: &[f32], scales: &[f32], of_learned: &mut [f32]) -> f64 {
        let mut bits = 0.0;
        for (group, (largest, scale)) in largest.iter().zip(scales).enumerate() {
            let weights = layout.grouping().group_len(group) as f64;
            let levels = 2.0 * f64::from(*largest) / f64::from(*scale) + 1.0;
            bits += weights * levels.log2();
            of_learned[group] = (-weights * (levels - 1.0) / levels) as f32;
        }
        bits
    }
}

impl Method for Fewbit {
    fn name(&self) -> &'static str {
        "fewbit"
    }

    fn title(&self) -> &'static str {
        "fewbit"
    }

    fn group_size(&self, stored_shape: &[usize]) -> GroupSize {
        scales::sharing(self.granularity, self.group_size, stored_shape)
    }

    fn phase(&self, done: f64) -> Phase {
        if done < 1.0 - self.rounding_share { Phase::Noise } else { Phase::Rounding }
    }

    fn initial(&self, layout: &Layout, weights: &[f32]) -> Vec<f32> {
        scales::of_groups(layout, weights, |group| scales::lsq_scale(group, HIGHEST_AT_START).log2())
    }

    fn noisy(&self, layout: &Layout, weights: &[f32], learned: &[f32], key: NoiseKey, out: &mut [f32]) {
        scales::noisy(layout, weights, &log2_scales(learned), key, out);
    }

    fn noisy_slopes(
        &self,
        layout: &Layout,
        _weights: &[f32],
        learned: &[f32],
        key: NoiseKey,
        slopes: Slopes<'_>,
    ) {
        let factors = scales::log2_factors(&log2_scales(learned));
        scales::noisy_slopes(layout, &factors, key, NoiseLaw::Uniform, slopes);
    }

    fn noisy_gradient(
        &self,
        layout: &Layout,
        _weights: &[f32],
        learned: &[f32],
        key: NoiseKey,
        gradient: &mut [f32],
        of_learned: &mut [f32],
    ) {
        scales::noisy_gradient(layout, key, gradient, of_learned);
        scales::times(of_learned, &scales::log2_factors(&log2_scales(learned)));
    }

    fn rounded(&self, layout: &Layout, weights: &[f32], learned: &[f32], out: &mut [f32]) {
        let scales = self.scales(layout, weights, learned, 1.0);
        scales::rounded(layout, weights, &scales, LEVELS, out);
    }

    fn rounded_slopes(&self, layout: &Layout, weights: &[f32], learned: &[f32], slopes: Slopes<'_>) {
        let scales = self.scales(layout, weights, learned, 1.0);
        scales::rounded_slopes(layout, weights, &scales, &scales::log2_factors(&scales), LEVELS, slopes);
    }

    fn rounded_gradient(
        &self,
        layout: &Layout,
        weights: &[f32],
        learned: &[f32],
        gradient: &mut [f32],
        of_learned: &mut [f32],
    ) {
        let scales = self.scales(layout, weights, learned, 1.0);
        scales::rounded_gradient(layout, weights, &scales, LEVELS, gradient, of_learned);
        scales::times(of_learned, &scales::log2_factors(&scales));
    }

    fn size_depends_on_weights(&self) -> bool {
        self.estimate == SizeEstimate::Coded
    }

    fn size(
        &self,
        layout: &Layout,
        weights: &[f32],
        learned: &[f32],
        of_weights: &mut [f32],
        of_learned: &mut [f32],
    ) -> Option<Counted> {
        let largest = scales::largest_of_groups(layout, weights);
        let scales = scales_beside(&largest, learned, 1.0);
        let bits = match self.estimate {
            SizeEstimate::Nominal => self.nominal_bits(layout, &largest, &scales, of_learned),
            SizeEstimate::Coded => {
                let width_group = self.width_group(weights.len());
                coded_size(weights, &scales, layout.groups(), width_group, of_weights, of_learned)
            }
        };
        let finest = |largest: f32| (largest / f32::from(MAX_LEVEL)).max(f32::MIN_POSITIVE).log2();
        Some(Counted { bits, finest: Some(largest.into_iter().map(finest).collect()) })
    }

    fn quantize(
        &self,
        layout: &Layout,
        weights: &[f32],
        learned: &[f32],
        coarseness: Coarseness,
    ) -> Result<QuantizedTensor, QuantizeError> {
        let scales = self.scales(layout, weights, learned, coarseness.bits.exp2());
        scales::quantize(layout, weights, &scales, self.granularity, LEVELS, coarseness)
    }

    fn sizing(&self) -> Option<&dyn Sizing> {
        Some(self)
    }
}

impl Sizing for Fewbit {
    fn learned_of_scale(&self, scale: f64) -> Option<f32> {
        Some((scale as f32).max(f32::MIN_POSITIVE).log2())
    }

    fn coarser(&self) -> f32 {
        1.0
    }

    fn trades(&self) -> bool {
        true
    }
}

/// The scales of learned numbers, times `factor`, none so small that the `largest` magnitude of its group is clamped.
fn scales_beside(largest: &[f32], learned: &[f32], factor: f32) -> Vec<f32> {
    // Coarser than what counts, not than what was learned, which may be far finer.
    let scale = |(learned, largest): (&f32, &f32)| {
        let finest = stored_scale(largest / f32::from(MAX_LEVEL));
        (scales::scale_of_log2(*learned).max(finest) * factor).max(finest)
    };
    learned.iter().zip(largest).map(scale).collect()
}

fn log2_scales(learned: &[f32]) -> Vec<f32> {
    learned.iter().map(|learned| scales::scale_of_log2(*learned)).collect()
}
