//! Floats in four bytes or two.

use half::{bf16, f16};

use super::Encoding;

/// How floats are to be written.
///
/// ```
/// # use fewbit::FloatEncoding;
/// // Eleven bits of precision, and eight.
/// assert_eq!(FloatEncoding::Float16.round(1.0 / 3.0), 0.333_251_95);
/// assert_eq!(FloatEncoding::BFloat16.round(1.0 / 3.0), 0.333_984_38);
/// assert_eq!(FloatEncoding::Float32.round(1.0 / 3.0), 1.0 / 3.0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FloatEncoding {
    /// As [`Encoding::Float32`]: bit for bit.
    #[default]
    Float32,
    /// As [`Encoding::Float16`].
    Float16,
    /// As [`Encoding::BFloat16`].
    BFloat16,
}

impl FloatEncoding {
    /// What a value reads back as: the nearest that can be written, ties to the even one.
    pub fn round(self, value: f32) -> f32 {
        match self {
            Self::Float32 => value,
            Self::Float16 => f16::from_f32(value).to_f32(),
            Self::BFloat16 => bf16::from_f32(value).to_f32(),
        }
    }

    /// Bytes of one value.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Float32 => 4,
            Self::Float16 | Self::BFloat16 => 2,
        }
    }
}

impl From<FloatEncoding> for Encoding {
    fn from(encoding: FloatEncoding) -> Self {
        match encoding {
            FloatEncoding::Float32 => Self::Float32,
            FloatEncoding::Float16 => Self::Float16,
            FloatEncoding::BFloat16 => Self::BFloat16,
        }
    }
}

/// Appends values, the lowest byte of each first.
pub(crate) fn put(bytes: &mut Vec<u8>, values: &[f32], encoding: FloatEncoding) {
    bytes.reserve(values.len() * encoding.bytes());
    for &value in values {
        match encoding {
            FloatEncoding::Float32 => bytes.extend_from_slice(&value.to_le_bytes()),
            FloatEncoding::Float16 => bytes.extend_from_slice(&f16::from_f32(value).to_le_bytes()),
            FloatEncoding::BFloat16 => bytes.extend_from_slice(&bf16::from_f32(value).to_le_bytes()),
        }
    }
}

/// Writes the values that bytes hold, as many as both have.
pub(crate) fn read(bytes: &[u8], encoding: FloatEncoding, values: &mut [f32]) {
    match encoding {
        FloatEncoding::Float32 => {
            for (value, bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
                *value = f32::from_le_bytes(*bytes);
            }
        }
        FloatEncoding::Float16 => {
            for (value, bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
                *value = f16::from_le_bytes(*bytes).to_f32();
            }
        }
        FloatEncoding::BFloat16 => {
            for (value, bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
                *value = bf16::from_le_bytes(*bytes).to_f32();
            }
        }
    }
}
