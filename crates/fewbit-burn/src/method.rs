//! The ways in which weights are made small: fewbit's own and those it is compared with.

use fewbit::{BitWidth, BitsLaw, BitsParametrisation, GroupSize, RangeGranularity};
use fewbit_kernels::NoiseLaw;

use crate::config::AttachError;

/// How the weights of a model are made small.
#[derive(Clone, Debug, PartialEq)]
pub enum Method {
    /// fewbit's own: the step between levels is learned, and a penalty on what the entropy coder will
    /// write pulls levels to cheaper ones. Noise of a step's width first, true rounding at the end.
    Fewbit(StepConfig),
    /// Differentiable bits through pseudo quantization noise, as published (Défossez et al. 2022).
    DiffQ(DiffQConfig),
    /// Learned step size quantization (Esser et al. 2020): one width, the step learned, rounding passed
    /// straight through.
    Lsq(FixedWidth, StepSpace),
    /// Quantization-aware training with a straight-through estimator (Jacob et al. 2018): one width from
    /// the smallest to the largest weight.
    Qat(FixedWidth),
    /// Scalar Quant-Noise (Fan et al. 2021): a random share of the weights is rounded in each step.
    QuantNoise(FixedWidth, f32),
    /// No training with rounded weights: one width from the smallest to the largest weight.
    Rounding(FixedWidth),
    /// No training with rounded weights: one width, with the step of the least squared error.
    NearestRounding(FixedWidth),
}

impl Method {
    /// Whether the size of its file can be chosen, not only its width.
    pub const fn keeps_a_budget(&self) -> bool {
        matches!(self, Self::Fewbit(_) | Self::DiffQ(_))
    }
}

/// The settings of fewbit's own method.
#[derive(Clone, Debug, PartialEq)]
pub struct StepConfig {
    /// What has a step of its own.
    pub granularity: RangeGranularity,
    /// Weights whose width is counted as one by the penalty, and that share a step where groups have one.
    pub group_size: usize,
    /// What the penalty counts.
    pub estimate: SizeEstimate,
}

/// What a penalty on size counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SizeEstimate {
    /// The bits that the entropy coder will write, which answer to every weight.
    #[default]
    Coded,
    /// The bits of a code without a coder, which answer to steps alone.
    Nominal,
}

impl Default for StepConfig {
    fn default() -> Self {
        Self { granularity: RangeGranularity::Tensor, group_size: 16, estimate: SizeEstimate::Coded }
    }
}

/// In which form LSQ learns a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StepSpace {
    /// As published: the step is a weight among weights, its gradient scaled.
    #[default]
    Linear,
    /// Its logarithm, by an Adam of its own: for networks whose weights Adam moves, to which the scale of a
    /// gradient means nothing.
    Logarithm,
}

/// One width for every weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedWidth {
    /// Bits of each code before it is entropy coded.
    pub width: BitWidth,
    /// What has a range or step of its own.
    pub granularity: RangeGranularity,
    /// The weights of a group, where each has a range or step of its own.
    pub group_size: GroupSize,
}

impl FixedWidth {
    /// One range or step for all weights of a tensor.
    pub const fn of_tensor(width: BitWidth) -> Self {
        Self { width, granularity: RangeGranularity::Tensor, group_size: GroupSize::WholeTensor }
    }

    /// How far levels reach below and above zero.
    pub(crate) fn levels(self) -> (i16, i16) {
        let half = (self.width.levels() / 2).min(1 << 15) as i32;
        (half.min(i32::from(i16::MAX)) as i16, (half - 1).max(0) as i16)
    }
}

/// The settings of DiffQ; the defaults are those published with the paper, with groups of 8.
#[derive(Clone, Debug, PartialEq)]
pub struct DiffQConfig {
    /// Weights that share one width.
    pub group_size: GroupSize,
    /// The law of the noise: gaussian by default.
    pub noise: NoiseLaw,
    /// What is linear in the sigmoid of a logit: the bits, or the logarithm of the noise.
    pub parametrisation: BitsParametrisation,
    /// The fewest bits a group can have.
    pub min_bits: f32,
    /// The most bits a group can have.
    pub max_bits: f32,
    /// The bits that every group starts with.
    pub init_bits: f32,
}

impl Default for DiffQConfig {
    fn default() -> Self {
        Self {
            group_size: GroupSize::new(8).unwrap_or(GroupSize::WholeTensor),
            noise: NoiseLaw::Gaussian,
            parametrisation: BitsParametrisation::Bits,
            min_bits: 2.0,
            max_bits: 15.0,
            init_bits: 8.0,
        }
    }
}

impl DiffQConfig {
    /// The law from logits to bits.
    ///
    /// # Errors
    /// [`AttachError::Bits`] where the bounds are not in order or outside of 0..=16.
    pub fn bits_law(&self) -> Result<BitsLaw, AttachError> {
        Ok(BitsLaw::new(self.min_bits, self.max_bits, self.parametrisation)?)
    }

    pub(crate) fn kernel_law(&self) -> Result<fewbit_kernels::BitsLaw, AttachError> {
        let parametrisation = match self.parametrisation {
            BitsParametrisation::Bits => fewbit_kernels::Parametrisation::Bits,
            BitsParametrisation::Noise => fewbit_kernels::Parametrisation::Noise,
        };
        Ok(fewbit_kernels::BitsLaw::new(self.min_bits, self.max_bits, parametrisation)?)
    }
}
