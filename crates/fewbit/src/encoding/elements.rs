//! Elements that are no weights, kept byte for byte.

use std::fmt;

/// What the elements of a raw tensor are; in a file they are little-endian.
///
/// Their bytes are never looked into: a file gives back what it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElementType {
    /// Signed integers of 8 bits.
    Int8,
    /// Bytes.
    UInt8,
    /// Signed integers of 16 bits.
    Int16,
    /// Unsigned integers of 16 bits.
    UInt16,
    /// Signed integers of 32 bits.
    Int32,
    /// Unsigned integers of 32 bits.
    UInt32,
    /// Signed integers of 64 bits.
    Int64,
    /// Unsigned integers of 64 bits.
    UInt64,
    /// One byte each, 0 or 1.
    Bool,
    /// Floats of 64 bits.
    Float64,
    /// Floats of 8 bits with 4 of exponent, without infinities.
    Float8E4M3,
    /// Floats of 8 bits with 5 of exponent.
    Float8E5M2,
    /// Pairs of 32-bit floats, real and imaginary part.
    Complex64,
}

impl ElementType {
    /// All of them, in the order of their numbers in a file.
    pub const ALL: &'static [Self] = &[
        Self::Int8,
        Self::UInt8,
        Self::Int16,
        Self::UInt16,
        Self::Int32,
        Self::UInt32,
        Self::Int64,
        Self::UInt64,
        Self::Bool,
        Self::Float64,
        Self::Float8E4M3,
        Self::Float8E5M2,
        Self::Complex64,
    ];

    /// Bytes of one element.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Int8 | Self::UInt8 | Self::Bool | Self::Float8E4M3 | Self::Float8E5M2 => 1,
            Self::Int16 | Self::UInt16 => 2,
            Self::Int32 | Self::UInt32 => 4,
            Self::Int64 | Self::UInt64 | Self::Float64 | Self::Complex64 => 8,
        }
    }

    /// Its name in reports, such as `int64`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::UInt8 => "uint8",
            Self::Int16 => "int16",
            Self::UInt16 => "uint16",
            Self::Int32 => "int32",
            Self::UInt32 => "uint32",
            Self::Int64 => "int64",
            Self::UInt64 => "uint64",
            Self::Bool => "bool",
            Self::Float64 => "float64",
            Self::Float8E4M3 => "float8_e4m3",
            Self::Float8E5M2 => "float8_e5m2",
            Self::Complex64 => "complex64",
        }
    }

    /// Its number in a file.
    pub(crate) const fn number(self) -> u8 {
        // The order of `ALL`, which a test holds it to.
        self as u8
    }

    /// The type of a number in a file; `None` for one that has no meaning.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_survives_its_number() {
        for (number, &element) in (0..).zip(ElementType::ALL) {
            assert_eq!(element.number(), number);
            assert_eq!(ElementType::from_number(number), Some(element));
        }
        assert_eq!(ElementType::from_number(ElementType::ALL.len() as u8), None);
    }
}
