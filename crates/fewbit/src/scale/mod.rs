//! Weights as integer multiples of a learned or chosen scale.
//!
//! Shared by training, which learns scales ([`crate::method`]), and by [`crate::compress`], which chooses them.

mod quantize;
pub(crate) mod rounding;
pub(crate) mod widths;

pub use fewbit_kernels::inverse_scale;

pub use self::quantize::{Scales, quantize_to_scales, stored_scale};
pub(crate) use self::quantize::{form_of, nearest_stored};

/// Levels are at most this far from zero: bit widths of at most 8.
pub const MAX_LEVEL: i16 = fewbit_kernels::LARGEST_LEVEL;

/// Weights per parallel task.
const PART: usize = 1 << 16;
