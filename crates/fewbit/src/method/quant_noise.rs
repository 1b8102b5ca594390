//! Scalar Quant-Noise (Fan et al. 2021): in each step a random share of the weights is rounded, the rest is exact.
//! The gradient passes straight through, nothing is learned; the file is that of [`Qat`](super::Qat).

use fewbit_kernels::{GroupLayout, NoiseKey, NoiseLaw, noisy_weights};

use super::{Coarseness, FixedWidth, Method, Phase};
use crate::layout::Layout;
use crate::{GroupSize, QuantizeError, QuantizedTensor};

/// The settings of scalar Quant-Noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantNoise {
    /// Bit width and ranges.
    pub fixed: FixedWidth,
    /// Share of the weights that are rounded in a step, 0 to 1.
    pub share: f32,
}

impl Method for QuantNoise {
    fn name(&self) -> &'static str {
        "quant-noise"
    }

    fn title(&self) -> &'static str {
        "Quant-Noise"
    }

    fn group_size(&self, stored_shape: &[usize]) -> GroupSize {
        self.fixed.sharing(stored_shape)
    }

    fn phase(&self, _: f64) -> Phase {
        Phase::Noise
    }

    fn noisy(&self, layout: &Layout, weights: &[f32], learned: &[f32], key: NoiseKey, out: &mut [f32]) {
        self.rounded(layout, weights, learned, out);
        let Some(group_size) = std::num::NonZeroUsize::new(weights.len()) else { return };
        let whole = GroupLayout::Contiguous { group_size };
        let drawn = noisy_weights(&vec![0.0; weights.len()], &[1.0], whole, key, NoiseLaw::Uniform);
        // Of numbers uniform on -1/2 to 1/2 the share below `share - 1/2` is rounded.
        for ((out, weight), number) in out.iter_mut().zip(weights).zip(drawn) {
            if number >= self.share - 0.5 {
                *out = *weight;
            }
        }
    }

    fn quantize(
        &self,
        layout: &Layout,
        weights: &[f32],
        _learned: &[f32],
        _: Coarseness,
    ) -> Result<QuantizedTensor, QuantizeError> {
        self.fixed.quantize(layout, weights)
    }
}
