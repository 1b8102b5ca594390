//! Learned step size quantization (Esser et al. 2020): one bit width, the scale of each tensor, channel or group
//! learned under true rounding.
//!
//! `s·clamp(round(w/s), -2^(b-1), 2^(b-1) - 1)`, with the gradient of equation 3 and a start of
//! `2·mean|w|/√(2^(b-1) - 1)` (section 2.1).

use super::{Coarseness, FixedWidth, Method, Phase, Slopes, scales};
use crate::layout::Layout;
use crate::scale::stored_scale;
use crate::{GroupSize, QuantizeError, QuantizedTensor};

/// The settings of LSQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lsq {
    /// Bit width and what has a scale of its own.
    pub fixed: FixedWidth,
    /// In which form a scale is learned.
    pub space: ScaleSpace,
}

/// In which form LSQ learns a scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScaleSpace {
    /// As published: the scale is a weight among weights, its gradient times `1/√(N·(2^(b-1) - 1))` (section 2.2).
    #[default]
    Linear,
    /// Its base 2 logarithm, by an Adam of its own: for networks whose weights are moved by Adam, which ignores the
    /// factor of a gradient.
    Logarithm,
}

impl Lsq {
    fn scales(&self, learned: &[f32]) -> Vec<f32> {
        let scale = |learned: &f32| match self.space {
            ScaleSpace::Linear => stored_scale(learned.abs()),
            ScaleSpace::Logarithm => scales::scale_of_log2(*learned),
        };
        learned.iter().map(scale).collect()
    }

    /// The factors from gradients in scales to gradients in what is learned.
    fn factors(&self, layout: &Layout, learned: &[f32], scales: &[f32]) -> Vec<f32> {
        let (_, highest) = self.fixed.levels();
        // Of one bit the levels above zero count as one.
        let weights = layout.grouping().size() as f32;
        let linear = 1.0 / (weights * f32::from(highest.max(1))).sqrt();
        match self.space {
            ScaleSpace::Linear => learned.iter().map(|learned| linear * learned.signum()).collect(),
            ScaleSpace::Logarithm => scales::log2_factors(scales),
        }
    }
}

impl Method for Lsq {
    fn name(&self) -> &'static str {
        "lsq"
    }

    fn title(&self) -> &'static str {
        "LSQ"
    }

    fn group_size(&self, stored_shape: &[usize]) -> GroupSize {
        self.fixed.sharing(stored_shape)
    }

    fn phase(&self, _: f64) -> Phase {
        Phase::Rounding
    }

    fn initial(&self, layout: &Layout, weights: &[f32]) -> Vec<f32> {
        let (_, highest) = self.fixed.levels();
        scales::of_groups(layout, weights, |group| {
            let scale = scales::lsq_scale(group, f64::from(highest.max(1)));
            match self.space {
                ScaleSpace::Linear => scale,
                ScaleSpace::Logarithm => scale.log2(),
            }
        })
    }

    fn rounded(&self, layout: &Layout, weights: &[f32], learned: &[f32], out: &mut [f32]) {
        scales::rounded(layout, weights, &self.scales(learned), self.fixed.levels(), out);
    }

    fn rounded_slopes(&self, layout: &Layout, weights: &[f32], learned: &[f32], slopes: Slopes<'_>) {
        let scales = self.scales(learned);
        let factors = self.factors(layout, learned, &scales);
        scales::rounded_slopes(layout, weights, &scales, &factors, self.fixed.levels(), slopes);
    }

    fn rounded_gradient(
        &self,
        layout: &Layout,
        weights: &[f32],
        learned: &[f32],
        gradient: &mut [f32],
        of_learned: &mut [f32],
    ) {
        let scales = self.scales(learned);
        scales::rounded_gradient(layout, weights, &scales, self.fixed.levels(), gradient, of_learned);
        scales::times(of_learned, &self.factors(layout, learned, &scales));
    }

    fn quantize(
        &self,
        layout: &Layout,
        weights: &[f32],
        learned: &[f32],
        coarseness: Coarseness,
    ) -> Result<QuantizedTensor, QuantizeError> {
        let (scales, granularity) = (self.scales(learned), self.fixed.granularity);
        scales::quantize(layout, weights, &scales, granularity, self.fixed.levels(), coarseness)
    }

    fn has_own_optimizer(&self) -> bool {
        self.space == ScaleSpace::Logarithm
    }
}
