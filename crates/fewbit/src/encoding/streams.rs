//! What coded codes and coded ranges have in common: runs of symbols, each by a model, in streams whose
//! lengths the table has.

use fewbit_kernels::packed::{self, Widths};

use super::EncodingError;
use super::cursor::{Cursor, CursorError};

/// Symbols as they are.
pub(super) const STORED: u16 = 0;
/// Coded with frequencies of their own.
pub(super) const OWN: u16 = 1;
/// Coded with the frequencies that came last for their kind.
pub(super) const SHARED: u16 = 2;
/// Bits of one of these.
pub(super) const MODEL_BITS: u8 = 2;

/// The numbers of so many models, those of `codes` or of `ranges`.
pub(super) fn read_models(
    cursor: &mut Cursor<'_>,
    count: usize,
    of: &str,
) -> Result<Vec<u16>, EncodingError> {
    let mut models = vec![0; count];
    let bytes = (count * usize::from(MODEL_BITS)).div_ceil(8);
    let bytes = cursor.take(bytes as u64, format_args!("the models of {of}"))?;
    packed::unpack(bytes, Widths::Uniform(MODEL_BITS), &mut models)
        .map_err(|source| EncodingError::Packing { what: "models", source })?;
    Ok(models)
}

/// The lengths of so many streams.
pub(super) fn read_lengths(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<u64>, CursorError> {
    // Collected one by one: each takes a byte at least, so the file's length bounds them.
    let mut lengths = Vec::new();
    for _ in 0..count {
        lengths.push(cursor.number("the length of a stream")?);
    }
    Ok(lengths)
}

/// Bytes of all streams together.
pub(super) fn total(lengths: &[u64]) -> u64 {
    lengths.iter().fold(0, |sum, length| sum.saturating_add(*length))
}

/// Bytes that are cut in pieces, one after the other.
pub(super) struct Pieces<'d> {
    bytes: &'d [u8],
    at: usize,
}

impl<'d> Pieces<'d> {
    /// Begins at a place, or at the end of the bytes.
    pub(super) fn from(bytes: &'d [u8], at: u64) -> Self {
        Self { bytes, at: at.min(bytes.len() as u64) as usize }
    }

    /// The next piece and where it begins. It is too short only where the bytes are; decoders say so.
    pub(super) fn take(&mut self, length: u64) -> (usize, &'d [u8]) {
        let start = self.at;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.at = start.saturating_add(length).min(self.bytes.len());
        (start, &self.bytes[start..self.at])
    }
}
