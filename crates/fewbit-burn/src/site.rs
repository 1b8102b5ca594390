//! One quantized parameter: where it is, how it is cut in groups, and its rounding.

use std::num::NonZeroUsize;

use fewbit::{BitWidth, BitsLaw, GroupSize, Grouping, QuantizeError, QuantizedTensor};
use fewbit_kernels::{GroupLayout, NoiseKey, NoiseLaw};

use crate::control::NoiseClock;
use crate::layout::Orientation;

/// What does not change while a parameter is trained.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its path in the module tree; part of the key of its noise.
    pub path: String,
    /// Its shape in memory.
    pub shape: Vec<usize>,
    /// The order in which it is stored and grouped.
    pub orientation: Orientation,
    /// Weights per group.
    pub group_size: GroupSize,
    /// The groups, along the stored order.
    pub grouping: Grouping,
    /// From logits to bits.
    pub law: BitsLaw,
    /// The same law, for the kernels.
    pub kernel_law: fewbit_kernels::BitsLaw,
    /// The law of its noise.
    pub noise: NoiseLaw,
}

impl Site {
    /// The shape of the stored tensor, `[out, …]`.
    pub fn stored_shape(&self) -> Vec<usize> {
        self.orientation.swap_shape(&self.shape)
    }

    /// The key of the draw that `clock` names.
    pub fn noise_key(&self, clock: NoiseClock) -> NoiseKey {
        NoiseKey::new(clock.seed, clock.replica, clock.step, clock.micro_step, &self.path)
    }

    /// How groups lie in memory; `None` where only an index table can tell (a transposed convolution).
    pub fn group_layout(&self) -> Option<GroupLayout> {
        let group_size = NonZeroUsize::new(self.grouping.size())?;
        match (self.orientation, self.shape.as_slice()) {
            (Orientation::Stored, _) => Some(GroupLayout::Contiguous { group_size }),
            (Orientation::Swapped, &[rows, columns]) => {
                Some(GroupLayout::Transposed { rows, columns, group_size })
            }
            (Orientation::Swapped, _) => None,
        }
    }

    /// The group of each element in memory order.
    pub fn group_of_each(&self) -> Vec<i64> {
        let groups = (0..self.grouping.len()).map(|i| self.grouping.group_of(i) as i64).collect();
        self.orientation.swap_values(groups, &self.stored_shape())
    }

    /// The whole width of each group, as it is stored; `None` for a logit that is not finite.
    pub fn widths(&self, logits: &[f32]) -> Option<Vec<BitWidth>> {
        logits.iter().map(|&logit| BitWidth::from_bits(self.law.bits(logit))).collect()
    }

    /// The stored tensor of `values` (memory order): the one place where a weight is rounded, for
    /// the forward pass in straight-through and rounded mode and for the file.
    ///
    /// # Errors
    /// [`QuantizeError`] with the index of the first value that is not finite.
    pub fn quantize(
        &self,
        values: Vec<f32>,
        widths: Vec<BitWidth>,
    ) -> Result<QuantizedTensor, QuantizeError> {
        let stored = self.orientation.swap_values(values, &self.shape);
        QuantizedTensor::quantize(&stored, &self.stored_shape(), self.group_size, widths)
    }

    /// The rounded values in memory order.
    pub fn dequantize(&self, tensor: &QuantizedTensor) -> Vec<f32> {
        self.orientation.swap_values(tensor.dequantize(), &self.stored_shape())
    }
}
