//! What a tensor's elements are, and how floats of other widths become `f32`.

use std::fmt;

use half::{bf16, f16};
use safetensors::Dtype;

/// The kind of a tensor's elements, little-endian in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// Floats of 64 bits.
    F64,
    /// Floats of 32 bits.
    F32,
    /// IEEE 754 floats of 16 bits.
    F16,
    /// The upper halves of floats of 32 bits.
    BF16,
    /// Floats of 8 bits with 4 of exponent, without infinities; kept as bytes.
    F8E4M3,
    /// Floats of 8 bits with 5 of exponent; kept as bytes.
    F8E5M2,
    /// Pairs of `f32`, real and imaginary part; kept as bytes.
    C64,
    /// Signed integers of 64 bits.
    I64,
    /// Signed integers of 32 bits.
    I32,
    /// Signed integers of 16 bits.
    I16,
    /// Signed integers of 8 bits.
    I8,
    /// Unsigned integers of 64 bits.
    U64,
    /// Unsigned integers of 32 bits.
    U32,
    /// Unsigned integers of 16 bits.
    U16,
    /// Bytes.
    U8,
    /// One byte each, 0 or 1.
    Bool,
}

impl DType {
    /// Bytes of one element.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 | Self::C64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => 2,
            Self::F8E4M3 | Self::F8E5M2 | Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// Whether [`Checkpoint::read_f32`](crate::Checkpoint::read_f32) reads it: real floats of 16 bits and
    /// more.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::BF16)
    }

    /// Its name, as safetensors spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::F8E4M3 => "F8_E4M3",
            Self::F8E5M2 => "F8_E5M2",
            Self::C64 => "C64",
            Self::I64 => "I64",
            Self::I32 => "I32",
            Self::I16 => "I16",
            Self::I8 => "I8",
            Self::U64 => "U64",
            Self::U32 => "U32",
            Self::U16 => "U16",
            Self::U8 => "U8",
            Self::Bool => "BOOL",
        }
    }

    /// `None` for elements that we do not know or that are no whole bytes.
    pub(crate) fn of_safetensors(dtype: Dtype) -> Option<Self> {
        Some(match dtype {
            Dtype::F64 => Self::F64,
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::BF16,
            Dtype::F8_E4M3 => Self::F8E4M3,
            Dtype::F8_E5M2 => Self::F8E5M2,
            Dtype::C64 => Self::C64,
            Dtype::I64 => Self::I64,
            Dtype::I32 => Self::I32,
            Dtype::I16 => Self::I16,
            Dtype::I8 => Self::I8,
            Dtype::U64 => Self::U64,
            Dtype::U32 => Self::U32,
            Dtype::U16 => Self::U16,
            Dtype::U8 => Self::U8,
            Dtype::BOOL => Self::Bool,
            _ => return None,
        })
    }

    /// The elements of a class such as `torch.FloatStorage`.
    pub(crate) fn of_torch_storage(class: &str) -> Option<Self> {
        Some(match class {
            "DoubleStorage" => Self::F64,
            "FloatStorage" => Self::F32,
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::BF16,
            "ComplexFloatStorage" => Self::C64,
            "LongStorage" => Self::I64,
            "IntStorage" => Self::I32,
            "ShortStorage" => Self::I16,
            "CharStorage" => Self::I8,
            "ByteStorage" => Self::U8,
            "BoolStorage" => Self::Bool,
            _ => return None,
        })
    }

    /// The elements of a name such as `torch.float32`.
    pub(crate) fn of_torch_dtype(name: &str) -> Option<Self> {
        Some(match name {
            "float64" => Self::F64,
            "float32" => Self::F32,
            "float16" => Self::F16,
            "bfloat16" => Self::BF16,
            "float8_e4m3fn" => Self::F8E4M3,
            "float8_e5m2" => Self::F8E5M2,
            "complex64" => Self::C64,
            "int64" => Self::I64,
            "int32" => Self::I32,
            "int16" => Self::I16,
            "int8" => Self::I8,
            "uint64" => Self::U64,
            "uint32" => Self::U32,
            "uint16" => Self::U16,
            "uint8" => Self::U8,
            "bool" => Self::Bool,
            _ => return None,
        })
    }

    /// Adds floats to `values`, from their bytes; nothing for elements that are no floats.
    pub(crate) fn extend_f32(self, bytes: &[u8], values: &mut Vec<f32>) {
        match self {
            Self::F32 => values.extend(whole(bytes).map(f32::from_le_bytes)),
            Self::F64 => values.extend(whole(bytes).map(|bytes| f64::from_le_bytes(bytes) as f32)),
            Self::F16 => values.extend(whole(bytes).map(|bytes| f16::from_le_bytes(bytes).to_f32())),
            Self::BF16 => values.extend(whole(bytes).map(|bytes| bf16::from_le_bytes(bytes).to_f32())),
            _ => {}
        }
    }

    /// One float from its bytes; 0 for what is no float.
    pub(crate) fn one_f32(self, bytes: &[u8]) -> f32 {
        fn first<const N: usize, T>(bytes: &[u8], of: impl Fn([u8; N]) -> T) -> Option<T> {
            bytes.first_chunk().map(|bytes| of(*bytes))
        }
        let value = match self {
            Self::F32 => first(bytes, f32::from_le_bytes),
            Self::F64 => first(bytes, |bytes| f64::from_le_bytes(bytes) as f32),
            Self::F16 => first(bytes, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Self::BF16 => first(bytes, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            _ => None,
        };
        value.unwrap_or(0.0)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

fn whole<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks().0.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_of_every_width_become_the_nearest_f32() {
        // 1/3 as f64 rounds to the f32 nearest to it; f16 and bf16 values are f32 values.
        let cases: [(DType, Vec<u8>, f32); 5] = [
            (DType::F64, (1.0f64 / 3.0).to_le_bytes().to_vec(), 1.0 / 3.0),
            (DType::F64, f64::MAX.to_le_bytes().to_vec(), f32::INFINITY),
            (DType::F32, 0x8000_0000u32.to_le_bytes().to_vec(), -0.0),
            (DType::F16, 0x3555u16.to_le_bytes().to_vec(), 0.333_251_95),
            (DType::BF16, 0x3eabu16.to_le_bytes().to_vec(), 0.333_984_38),
        ];
        for (dtype, bytes, expected) in cases {
            let mut values = Vec::new();
            dtype.extend_f32(&bytes, &mut values);
            assert_eq!(values.iter().map(|value| value.to_bits()).collect::<Vec<_>>(), [expected.to_bits()]);
            assert_eq!(dtype.one_f32(&bytes).to_bits(), expected.to_bits());
        }
    }
}
