//! How weights are quantized while a network is trained, and for its file: one file per method, without a tensor
//! library.
//!
//! A [`Method`] is the settings of one such way and all its formulas: which numbers are learned beside the weights
//! and where they start, the weight under noise and the rounded weight with their gradients, the size that a penalty
//! counts, the codes of a file, and how a file is made coarser or finer. Everything takes slices: a training loop of
//! any framework reads the weight that [`noisy`](Method::noisy) or [`rounded`](Method::rounded) writes in place of
//! the stored one and passes gradients back through [`noisy_gradient`](Method::noisy_gradient) or
//! [`rounded_gradient`](Method::rounded_gradient).
//!
//! | method | learned, per group | under noise | rounded |
//! |---|---|---|---|
//! | [`Fewbit`] | log2 of the scale | `w + s·ε` | `s·round(w/s)` |
//! | [`DiffQ`] | logit of the bit width | `w + Δ(b)·ε` | nearest point of the group's grid |
//! | [`Lsq`] | scale, or its log2 | | `s·clamp(round(w/s))` |
//! | [`Qat`], [`PtqMinMax`] | nothing | | one bit width, min–max grid |
//! | [`QuantNoise`] | nothing | a random share of the weights rounded | as `Qat` |
//! | [`PtqMse`] | scale, chosen once | | `s·clamp(round(w/s))` |

mod diffq;
mod fewbit;
mod lsq;
mod min_max;
mod post_training;
mod qat;
mod quant_noise;
mod scales;

use std::fmt;

pub use fewbit_kernels::{NoiseKey, NoiseLaw};

pub use self::diffq::DiffQ;
pub use self::fewbit::{Fewbit, SizeEstimate};
pub use self::lsq::{Lsq, ScaleSpace};
pub use self::min_max::FixedWidth;
pub use self::post_training::{PtqMinMax, PtqMse};
pub use self::qat::Qat;
pub use self::quant_noise::QuantNoise;
use crate::layout::{Layout, Orientation};
use crate::{BitsLawError, GroupSize, QuantizeError, QuantizedTensor};

/// What a quantized weight is in a training step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The weight plus pseudo quantization noise.
    Noise,
    /// The rounded weight, with the gradient passed straight through.
    Rounding,
}

/// How much coarser than learned a file is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Coarseness {
    /// Base 2 logarithm of the factor of all scales, or bits that each group has less; negative is finer.
    pub bits: f32,
    /// See [`quantize_to_scales`](crate::scale::quantize_to_scales).
    pub trade: f32,
}

/// Derivatives of a weight as a training step reads it, per weight in memory order.
#[derive(Debug)]
pub struct Slopes<'s> {
    /// In the stored weight.
    pub of_weights: &'s mut [f32],
    /// In the number learned for the weight's group.
    pub of_learned: &'s mut [f32],
}

/// What a size penalty counts for a tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    /// The bits.
    pub bits: f64,
    /// The learned numbers beyond which finer ones have no effect on these weights, one per group; `None` where there
    /// are none.
    pub finest: Option<Vec<f32>>,
}

/// Settings that no method can have.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MethodError {
    /// Bounds of bits that are not in order or out of range, or a start outside of them.
    #[error("min_bits, max_bits, init_bits: {0}")]
    Bits(#[from] BitsLawError),
}

/// A way to quantize weights in training and for a file.
///
/// In all functions `weights` are in memory order, `learned` has one number per group of the layout, and the noise
/// of a weight is a pure function of `key` and its index. A weight or learned number that is not finite gives weights
/// that are not, so that the loss shows it; only [`quantize`](Self::quantize) returns an error.
///
/// # Panics
/// All functions panic where slices do not have the layout's number of weights or groups.
pub trait Method: fmt::Debug + Send + Sync {
    /// The name in recipes, files and results.
    fn name(&self) -> &'static str;

    /// The name in tables for people.
    fn title(&self) -> &'static str;

    /// Checks the settings.
    ///
    /// # Errors
    /// [`MethodError`] naming the setting.
    fn check(&self) -> Result<(), MethodError> {
        Ok(())
    }

    /// Weights that share a learned number in a tensor of this stored shape.
    fn group_size(&self, stored_shape: &[usize]) -> GroupSize;

    /// What weights are when this share of the quantized steps is done.
    fn phase(&self, done: f64) -> Phase;

    /// The layout of a tensor of this shape in memory.
    fn layout(&self, shape: &[usize], orientation: Orientation) -> Layout {
        Layout::new(shape.to_vec(), orientation, self.group_size(&orientation.swap_shape(shape)))
    }

    /// The learned numbers at the start, one per group.
    ///
    /// By default zeros, for methods that learn nothing.
    fn initial(&self, layout: &Layout, _weights: &[f32]) -> Vec<f32> {
        vec![0.0; layout.grouping().count()]
    }

    /// Writes the weights under noise.
    ///
    /// By default the rounded weights, for methods without noise.
    fn noisy(&self, layout: &Layout, weights: &[f32], learned: &[f32], _key: NoiseKey, out: &mut [f32]) {
        self.rounded(layout, weights, learned, out);
    }

    /// Writes the derivatives of [`noisy`](Self::noisy).
    fn noisy_slopes(
        &self,
        layout: &Layout,
        weights: &[f32],
        learned: &[f32],
        _key: NoiseKey,
        slopes: Slopes<'_>,
    ) {
        self.rounded_slopes(layout, weights, learned, slopes);
    }

    /// Turns `gradient`, that of a loss in the noisy weights, into that in the stored weights, and writes that in the
    /// learned numbers: what [`noisy_slopes`](Self::noisy_slopes) gives, summed over groups.
    fn noisy_gradient(
        &self,
        layout: &Layout,
        weights: &[f32],
        learned: &[f32],
        _key: NoiseKey,
        gradient: &mut [f32],
        of_learned: &mut [f32],
    ) {
        self.rounded_gradient(layout, weights, learned, gradient, of_learned);
    }

    /// Writes the rounded weights, equal to the last bit to what [`quantize`](Self::quantize) stores.
    fn rounded(&self, layout: &Layout, weights: &[f32], learned: &[f32], out: &mut [f32]) {
        match self.quantize(layout, weights, learned, Coarseness::default()) {
            Ok(tensor) => out.copy_from_slice(&layout.to_memory(tensor.dequantize())),
            Err(_) => out.fill(f32::NAN),
        }
    }

    /// Writes the derivatives of [`rounded`](Self::rounded), straight through the rounding: by default 1 in the weight and
    /// 0 in what is learned.
    fn rounded_slopes(&self, _: &Layout, _weights: &[f32], _learned: &[f32], slopes: Slopes<'_>) {
        slopes.of_weights.fill(1.0);
        slopes.of_learned.fill(0.0);
    }

    /// As [`noisy_gradient`](Self::noisy_gradient), of the rounded weights.
    ///
    /// By default straight through, for methods that learn nothing.
    fn rounded_gradient(
        &self,
        _: &Layout,
        _weights: &[f32],
        _learned: &[f32],
        _gradient: &mut [f32],
        of_learned: &mut [f32],
    ) {
        of_learned.fill(0.0);
    }

    /// Whether the bits that a size penalty counts depend on the weights, and not on the learned numbers alone.
    fn size_depends_on_weights(&self) -> bool {
        false
    }

    /// What a size penalty counts for the tensor; writes its derivatives in the learned numbers and, where it
    /// [depends](Self::size_depends_on_weights) on them, in the weights. `None` where no size is learned.
    fn size(
        &self,
        _: &Layout,
        _weights: &[f32],
        _learned: &[f32],
        _of_weights: &mut [f32],
        _of_learned: &mut [f32],
    ) -> Option<Counted> {
        None
    }

    /// The size of codes, ranges and widths in bits by the formula of [`crate::size`], with real-valued bits; `None`
    /// where bits are not learned or not finite.
    fn nominal_size(&self, _: &Layout, _learned: &[f32]) -> Option<f64> {
        None
    }

    /// The codes that a file has for the tensor, in stored order.
    ///
    /// # Errors
    /// [`QuantizeError`] with the index of the first weight, in stored order, that is not finite.
    fn quantize(
        &self,
        layout: &Layout,
        weights: &[f32],
        learned: &[f32],
        coarseness: Coarseness,
    ) -> Result<QuantizedTensor, QuantizeError>;

    /// Whether learned numbers are moved by an optimizer of their own, not by that of the weights.
    fn has_own_optimizer(&self) -> bool {
        true
    }

    /// How the size of a file follows a budget; `None` where bit widths decide it.
    fn sizing(&self) -> Option<&dyn Sizing> {
        None
    }
}

/// What a method whose file can have any size says to a [`Budget`](crate::budget::Budget).
pub trait Sizing {
    /// The learned number of a scale that was chosen without training; `None` where scales are not learned.
    fn learned_of_scale(&self, scale: f64) -> Option<f32>;

    /// 1 where larger learned numbers are coarser, -1 where they are finer.
    fn coarser(&self) -> f32;

    /// Makes all learned numbers coarser by the same amount, or finer where that is negative, and none finer than
    /// `finest`: without that limit they would run away where a budget is larger than they can use.
    fn coarsen(&self, learned: &mut [f32], by: f32, finest: Option<&[f32]>) {
        let direction = self.coarser();
        learned.iter_mut().for_each(|number| *number += direction * by);
        for (number, finest) in learned.iter_mut().zip(finest.unwrap_or_default()) {
            *number = direction * (direction * *number).max(direction * finest);
        }
    }

    /// Whether levels may move towards zero to save bytes ([`Coarseness::trade`]).
    fn trades(&self) -> bool;
}
