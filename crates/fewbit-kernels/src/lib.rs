//! The fast slice operations of fewbit, each with its scalar twin.
//!
//! Pseudo quantization noise of DiffQ (Défossez, Adi, Synnaeve 2022), forward and backward, without
//! storing the noise: it is a pure function of a [`NoiseKey`], a [`NoiseLaw`] and a weight's index.
//! One training step of a tensor, cut in groups by a [`GroupLayout`]:
//!
//! ```
//! use std::num::NonZeroUsize;
//! use fewbit_kernels::{BitsLaw, GroupLayout, NoiseKey, NoiseLaw, Parametrisation};
//!
//! let weights: Vec<f32> = (0..100).map(|i| (i as f32).sin()).collect();
//! let layout = GroupLayout::Contiguous { group_size: NonZeroUsize::new(8).unwrap() };
//! let bits_law = BitsLaw::new(2.0, 15.0, Parametrisation::Bits)?;
//! let logits = vec![bits_law.logit_of(8.0); layout.group_count(weights.len())];
//! let key = NoiseKey::new(42, 0, 1000, 0, "conv1.weight");
//!
//! // Forward: the range, a step per group, the noisy weights.
//! let (minimum, maximum) = fewbit_kernels::minimum_maximum(&weights)?.expect("not empty");
//! let width = maximum - minimum;
//! let mut steps = vec![0.0; logits.len()];
//! fewbit_kernels::steps(&logits, &bits_law, width, &mut steps);
//! let noisy = fewbit_kernels::noisy_weights(&weights, &steps, layout, key, NoiseLaw::Gaussian);
//!
//! // Backward of the loss `sum of noisy`: its gradient is 1 at every weight.
//! let sums = fewbit_kernels::noise_gradient(&vec![1.0; 100], layout, key, NoiseLaw::Gaussian);
//! let mut logit_gradient = vec![0.0; logits.len()];
//! fewbit_kernels::logit_gradient(&sums, &logits, &bits_law, width, &mut logit_gradient);
//!
//! // The size penalty: the bits of all codes in MiB, and its gradient, here weighed with 5.
//! let scale = 5.0 / (1 << 23) as f32;
//! let mut penalty_gradient = vec![0.0; logits.len()];
//! let bits = fewbit_kernels::code_bits(&logits, &bits_law, layout, 100, scale, &mut penalty_gradient);
//! assert!((bits - 800.0).abs() < 1e-3);
//! assert!((noisy[0] - weights[0]).abs() < 3.0 * steps[0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Learned scales instead: [`round_to_scales`] and [`rounding_gradient`] round weights to multiples of the
//! scale of their group, and [`coded_size`] says what an entropy coder needs for them, and how that changes
//! with each weight and scale.
//!
//! Every result has the same bits for any number of threads and any instruction set.

mod activation;
mod add;
mod attention;
mod batch_norm;
mod bits;
mod coded_size;
mod convolution;
mod cross_entropy;
mod dispatch;
mod distillation;
mod elementwise;
mod embedding;
mod gradient;
mod group_fold;
mod group_values;
mod key;
mod law;
mod layer_norm;
mod layout;
mod linear;
mod logits;
mod math;
mod optimizer;
mod out_of_range;
pub mod packed;
mod pooling;
mod product;
mod range;
pub mod rans;
mod rounding;
pub mod scalar;
mod simd;
mod sums;
mod swap;
#[cfg(test)]
mod tests;
mod tile;

pub use activation::{bias_gelu, gelu, gelu_gradient, relu, relu_gradient};
pub use add::{add_noise, noisy_weights};
pub use attention::{Attention, attention, attention_gradient, cross_attention, cross_attention_gradient};
pub use batch_norm::{
    After, AfterGradient, BatchNormInput, BatchNormShape, batch_norm, batch_norm_gradient, batch_norm_with,
};
pub use bits::{BitsLaw, BitsLawError, MAX_BITS, MIN_BITS_OF_NOISE, Parametrisation};
pub use coded_size::{LARGEST_LEVEL, coded_size};
pub use convolution::{
    Convolution, ConvolutionError, ConvolutionOptions, convolution_bias_gradient, convolution_input_gradient,
    convolution_weight_gradient, convolve,
};
pub use cross_entropy::cross_entropy;
pub use dispatch::InstructionSet;
#[cfg(target_arch = "x86_64")]
pub use dispatch::{Avx2, Avx512};
pub use distillation::distilled_cross_entropy;
pub use elementwise::{add_to, sum_of};
pub use embedding::{embedding, embedding_gradient};
pub use gradient::{noise_gradient, write_noise_gradient};
pub use key::NoiseKey;
pub use law::NoiseLaw;
pub use layer_norm::{NormalizedRows, layer_norm, layer_norm_gradient};
pub use layout::GroupLayout;
pub use linear::{Linear, linear, linear_bias_gradient, linear_input_gradient, linear_weight_gradient};
pub use logits::{bits, bits_derivative, code_bits, logit_gradient, step_fractions, steps};
pub use optimizer::{AdamStep, SgdStep, adam_step, sgd_step, square_sum};
pub use out_of_range::OutOfRange;
pub use pooling::{
    PoolShape, Window, average_pool, average_pool_gradient, global_average_pool,
    global_average_pool_gradient, max_pool, max_pool_gradient,
};
pub use product::{Matrix, product};
pub use range::{NonFinite, minimum_maximum};
pub use rounding::{inverse_scale, largest_magnitudes, round_to_scales, rounding_gradient};
pub use swap::swap_axes;
