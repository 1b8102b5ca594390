//! How a tensor's codes, widths, floats and other elements become bytes, and back.
//!
//! [`packed`] keeps every code at its width, to be read where it lies; [`coded`] is the entropy coded
//! form. Both share [`classes`], what a file's table says of the widths; the speed of both is that of
//! [`fewbit_kernels`].

pub(crate) mod classes;
pub(crate) mod coded;
pub(crate) mod elements;
pub(crate) mod floats;
pub(crate) mod packed;
pub(crate) mod ranges;
mod streams;
#[cfg(test)]
mod tests;
pub(crate) mod widths;

pub use self::elements::ElementType;
use fewbit_kernels::packed::PackedError;
use fewbit_kernels::rans::{DecodeError, PaletteError, TableError};

/// How the values of a tensor are written in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// Elements that are no weights, byte for byte.
    Raw(ElementType),
}

impl Encoding {
    /// Its name in reports: `float32`, `packed`, `coded`, `float16` or `bfloat16`; of raw tensors that of their
    /// elements, such as `int64`.
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
pub enum CodeEncoding {
    /// Whichever of the two takes fewer bytes.
    #[default]
    Smaller,
    /// As [`Encoding::Packed`].
    Packed,
    /// As [`Encoding::Coded`].
    Coded,
}

/// Why coded bytes do not decode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodingError {
    /// A frequency table is cut, or not in its one form, or does not add up.
    #[error("a frequency table is not in order")]
    Table(#[from] TableError),
    /// The numbers that symbols stand for are not in order.
    #[error("the numbers that symbols stand for are not in order")]
    Palette(#[from] PaletteError),
    /// Frequencies are said to be those of a tensor before, and there is none.
    #[error("there are no frequencies of this width before it")]
    NothingToShare,
    /// More bits of each code are said to be left as they are than lie below eight others.
    #[error("{found} bits of each code are left as they are, of {bits} bits at most {limit} can be")]
    RawBits {
        /// Bits that are left as they are.
        found: u8,
        /// Width of the codes.
        bits: u8,
        /// The most that can be.
        limit: u8,
    },
    /// A frequency table has symbols that codes of the width cannot have.
    #[error("the frequency table has symbol {symbol}, codes of {bits} bits have none above {largest}")]
    SymbolTooLarge {
        /// The table's largest symbol.
        symbol: u8,
        /// Width of the codes.
        bits: u8,
        /// The largest symbol of that width.
        largest: u8,
    },
    /// A stream has fewer or more bytes than its symbols take, or other bytes than an encoder writes.
    #[error("a stream of symbols is not as an encoder leaves it")]
    Stream(#[from] DecodeError),
    /// Fewer or more bytes than there must be of what is not coded.
    #[error("bytes that are not coded are not as many as they must be")]
    Cut,
    /// Bits that are left as they are have fewer or more bytes than they take, or are not filled up with
    /// zeros.
    #[error("bits that are left as they are are not well packed")]
    Packing(#[from] PackedError),
    /// The widths are not as many of each as the table says.
    #[error("the widths are not as many of each as the table says")]
    WidthCounts,
    /// There is no memory for what is decoded.
    #[error("no memory for {codes} codes")]
    OutOfMemory {
        /// Codes that were to be decoded.
        codes: usize,
    },
}
