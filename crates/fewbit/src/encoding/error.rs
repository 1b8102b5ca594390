//! What can be wrong with the bytes of a tensor, without its name: the container adds that.

use fewbit_kernels::packed::PackedError;
use fewbit_kernels::rans::{DecodeError, PaletteError, TableError};

use super::cursor::CursorError;
use crate::QuantizeError;

/// Why coded bytes do not decode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodingError {
    /// A frequency table is truncated, not in its canonical form, or does not sum to its total.
    #[error("invalid frequency table")]
    Table(#[from] TableError),
    /// The palette, which says what symbols stand for, is invalid.
    #[error("invalid palette")]
    Palette(#[from] PaletteError),
    /// Frequencies are shared with an earlier tensor, and there is none.
    #[error("no earlier tensor has frequencies to share")]
    NothingToShare,
    /// More raw bits per code than lie below eight coded ones.
    #[error("{found} raw bits per code; codes of {bits} bits have at most {limit}")]
    RawBits {
        /// Raw bits per code.
        found: u8,
        /// Width of the codes.
        bits: u8,
        /// The most there can be.
        limit: u8,
    },
    /// A frequency table has symbols that codes of the width cannot have.
    #[error("the frequency table has symbol {symbol}; codes of {bits} bits have none above {largest}")]
    SymbolTooLarge {
        /// The table's largest symbol.
        symbol: u8,
        /// Width of the codes.
        bits: u8,
        /// The largest symbol of that width.
        largest: u8,
    },
    /// A stream is longer or shorter than its symbols take, or is not what an encoder writes.
    #[error("invalid stream of symbols")]
    Stream(#[from] DecodeError),
    /// The wrong number of uncoded bytes.
    #[error("wrong number of uncoded bytes")]
    Cut,
    /// The raw bits of codes take more or fewer bytes, or are padded with other bits than zeros.
    #[error("the raw bits of codes are not correctly packed")]
    Packing(#[from] PackedError),
    /// The decoded widths do not match the table's histogram.
    #[error("the decoded bit widths do not match the histogram in the table")]
    WidthCounts,
}

/// What is wrong with what a table says of a tensor, or with its data.
#[derive(Debug)]
pub(crate) enum EncodingError {
    /// Bytes missing, or no number.
    Cursor(CursorError),
    /// Codes or ranges are modelled in a way that this version does not have.
    UnknownModel { found: u8 },
    /// Smallest and largest width are out of order, or no widths.
    WidthBounds { minimum: u8, maximum: u8 },
    /// The histogram of widths does not count each of so many groups once.
    WidthCounts { groups: usize },
    /// `what` is not correctly packed.
    Packing { what: &'static str, source: PackedError },
    /// `what` does not decode.
    Coding { what: &'static str, source: CodingError },
    /// A packed width is above the largest of the table.
    WidthAboveMaximum { group: usize, found: u16, maximum: u8 },
    /// The packed widths do not match the histogram.
    WidthsDiffer,
    /// A stored range is not one.
    Range { index: usize, source: QuantizeError },
    /// No memory for what is decoded.
    OutOfMemory,
}

impl From<CursorError> for EncodingError {
    fn from(error: CursorError) -> Self {
        Self::Cursor(error)
    }
}

/// What is wrong with a tensor's data, and where in them.
#[derive(Debug)]
pub(crate) struct EncodingFault {
    /// Where the faulty part begins, from the data's first byte.
    pub(crate) offset: usize,
    pub(crate) error: EncodingError,
}

impl EncodingFault {
    pub(crate) const fn new(offset: usize, error: EncodingError) -> Self {
        Self { offset, error }
    }

    /// A fault of codes, widths or ranges that do not decode.
    pub(crate) fn coding(offset: usize, what: &'static str, source: impl Into<CodingError>) -> Self {
        Self { offset, error: EncodingError::Coding { what, source: source.into() } }
    }

    pub(crate) fn packing(offset: usize, what: &'static str, source: PackedError) -> Self {
        Self { offset, error: EncodingError::Packing { what, source } }
    }

    /// The same fault in data of which these are a part that begins at `start`.
    pub(crate) fn after(self, start: usize) -> Self {
        Self { offset: self.offset + start, ..self }
    }
}

/// An empty vector with room for so many items, or a fault instead of an abort.
pub(crate) fn reserved<T>(count: usize) -> Result<Vec<T>, EncodingFault> {
    let mut items = Vec::new();
    match items.try_reserve_exact(count) {
        Ok(()) => Ok(items),
        Err(_) => Err(EncodingFault::new(0, EncodingError::OutOfMemory)),
    }
}
