//! Quantization-aware training with a straight-through estimator (Jacob et al. 2018): one bit width, a grid from
//! the smallest to the largest weight, the gradient passed to the weight unchanged. Nothing is learned.

use super::{Coarseness, FixedWidth, Method, Phase};
use crate::layout::Layout;
use crate::{GroupSize, QuantizeError, QuantizedTensor};

/// The settings of quantization-aware training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Qat(pub FixedWidth);

impl Method for Qat {
    fn name(&self) -> &'static str {
        "qat"
    }

    fn title(&self) -> &'static str {
        "QAT"
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
