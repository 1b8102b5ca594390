//! How a tensor's codes, levels, floats and other elements become bytes, and back.
//!
//! [`codes`] is how codes are written, without what they mean: [`packed`] keeps every code at its width, to be
//! read where it lies; [`coded`] is the entropy coded form. Both share [`classes`], the histogram of widths in a
//! file's table. [`levels`] is what codes mean. Nothing here knows the name of a tensor: errors are without it
//! ([`EncodingError`]).

pub(crate) mod classes;
pub(crate) mod coded;
pub(crate) mod codes;
pub(crate) mod cursor;
mod elements;
mod error;
pub(crate) mod floats;
pub(crate) mod levels;
pub(crate) mod packed;
pub(crate) mod ranges;
mod streams;
#[cfg(test)]
mod tests;
pub(crate) mod widths;

pub use self::elements::ElementType;
pub use self::error::CodingError;
pub(crate) use self::error::{EncodingError, EncodingFault, reserved};

/// How the values of a tensor are written in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// 32-bit floats, bit for bit.
    Float32,
    /// Codes of their groups' widths, side by side: can be read where they lie.
    Packed,
    /// Codes of each width as an entropy coded stream.
    Coded,
    /// 16-bit floats of IEEE 754, five bits of exponent.
    Float16,
    /// The upper half of 32-bit floats, rounded.
    BFloat16,
    /// Elements that are not weights, byte for byte.
    Raw(ElementType),
}

impl Encoding {
    /// Its name in reports: `float32`, `packed`, `coded`, `float16` or `bfloat16`; for raw tensors the element
    /// type, such as `int64`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Packed => "packed",
            Self::Coded => "coded",
            Self::Float16 => "float16",
            Self::BFloat16 => "bfloat16",
            Self::Raw(elements) => elements.name(),
        }
    }
}

/// How codes are to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CodeEncoding {
    /// Whichever of the two takes fewer bytes.
    #[default]
    Smaller,
    /// As [`Encoding::Packed`].
    Packed,
    /// As [`Encoding::Coded`].
    Coded,
}
