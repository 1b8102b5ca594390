//! Post-training quantization (PTQ): weights are rounded once, after training, to one bit width.

use super::{Coarseness, FixedWidth, Method, Phase, scales};
use crate::layout::Layout;
use crate::scale::stored_scale;
use crate::{GroupSize, QuantizeError, QuantizedTensor};

/// Rounding to a grid from the smallest to the largest weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PtqMinMax(pub FixedWidth);

/// Rounding to multiples of the scale of least squared error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PtqMse(pub FixedWidth);

impl Method for PtqMinMax {
    fn name(&self) -> &'static str {
        "ptq-minmax"
    }

    fn title(&self) -> &'static str {
        "PTQ, min–max"
    }

    fn group_size(&self, stored_shape: &[usize]) -> GroupSize {
        self.0.sharing(stored_shape)
    }

    fn phase(&self, _: f64) -> Phase {
        Phase::Rounding
    }

    fn quantize(
        &self,
        layout: &Layout,
        weights: &[f32],
        _learned: &[f32],
        _: Coarseness,
    ) -> Result<QuantizedTensor, QuantizeError> {
        self.0.quantize(layout, weights)
    }
}

impl Method for PtqMse {
    fn name(&self) -> &'static str {
        "ptq-mse"
    }

    fn title(&self) -> &'static str {
        "PTQ, least error"
    }

    fn group_size(&self, stored_shape: &[usize]) -> GroupSize {
        self.0.sharing(stored_shape)
    }

    fn phase(&self, _: f64) -> Phase {
        Phase::Rounding
    }

    fn initial(&self, layout: &Layout, weights: &[f32]) -> Vec<f32> {
        scales::of_groups(layout, weights, |group| best_scale(group, self.0.levels()))
    }

    fn rounded(&self, layout: &Layout, weights: &[f32], learned: &[f32], out: &mut [f32]) {
        scales::rounded(layout, weights, &stored_scales(learned), self.0.levels(), out);
    }

    fn quantize(
        &self,
        layout: &Layout,
        weights: &[f32],
        learned: &[f32],
        coarseness: Coarseness,
    ) -> Result<QuantizedTensor, QuantizeError> {
        let scales = stored_scales(learned);
        scales::quantize(layout, weights, &scales, self.0.granularity, self.0.levels(), coarseness)
    }
}

fn stored_scales(learned: &[f32]) -> Vec<f32> {
    learned.iter().map(|scale| stored_scale(*scale)).collect()
}

/// Scales that are tried for the least squared error.
const CANDIDATES: u32 = 100;

/// Of a hundred scales up to that of the largest weight, the one of least squared error.
fn best_scale(weights: &[f32], (lowest, highest): (i16, i16)) -> f32 {
    let largest = weights.iter().fold(0.0f32, |most, weight| most.max(weight.abs()));
    let error = |scale: f32| -> f64 {
        let square = |weight: &f32| {
            let level = (weight / scale).round_ties_even().clamp(-f32::from(lowest), highest.into());
            f64::from(weight - level * scale).powi(2)
        };
        weights.iter().map(square).sum()
    };
    let scale = |share: u32| largest / f32::from(highest.max(1)) * share as f32 / CANDIDATES as f32;
    let candidates = (1..=CANDIDATES).map(scale).filter(|scale| *scale > 0.0);
    let errors = candidates.map(|scale| (error(scale), scale));
    errors.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(f32::MIN_POSITIVE, |(_, scale)| scale)
}
