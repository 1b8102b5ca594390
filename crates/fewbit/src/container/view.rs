//! A tensor where it lies in the file.

use super::decode::Source;
use super::entry::TensorEntry;
use super::{Encoding, ReadError};
use crate::{BitWidth, GroupSize, ValueRange};

/// The stored bytes of one tensor and what they mean, without a copy.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'r> {
    entry: &'r TensorEntry,
    source: Source<'r>,
}

impl<'r> TensorView<'r> {
    pub(super) const fn new(entry: &'r TensorEntry, source: Source<'r>) -> Self {
        Self { entry, source }
    }

    /// How the values are written.
    pub fn encoding(&self) -> Encoding {
        self.entry.encoding
    }

    /// The dimensions, `[out, …]`.
    pub fn shape(&self) -> &'r [usize] {
        &self.entry.shape
    }

    /// How many weights share a width; `None` for floats.
    pub fn group_size(&self) -> Option<GroupSize> {
        self.entry.group_size()
    }

    /// The smallest and largest value; `None` for floats.
    pub fn range(&self) -> Option<ValueRange> {
        self.entry.range()
    }

    /// Packed codes, the streams of coded ones, or floats.
    pub fn value_bytes(&self) -> &'r [u8] {
        self.split().0
    }

    /// Packed or coded widths; none for floats, nor where all groups have one width.
    pub fn width_bytes(&self) -> &'r [u8] {
        self.split().1
    }

    /// One width per group.
    ///
    /// # Errors
    /// [`ReadError::NotQuantized`], widths that do not decode, or no memory for them.
    pub fn widths(&self) -> Result<Vec<BitWidth>, ReadError> {
        self.entry.decode_widths(self.source).map_err(|fault| fault.error)
    }

    /// Writes the values.
    ///
    /// # Errors
    /// [`ReadError::OutputLength`], or data that do not decode.
    pub fn dequantize_into(&self, values: &mut [f32]) -> Result<(), ReadError> {
        let (needed, found) = (self.entry.elements, values.len());
        if needed != found {
            return Err(ReadError::OutputLength { what: self.entry.name.clone(), needed, found });
        }
        self.entry.decode_into(self.source, values).map_err(|fault| fault.error)
    }

    /// What holds the values, then the widths.
    fn split(&self) -> (&'r [u8], &'r [u8]) {
        let data = self.source.data;
        let widths = self.entry.quantized.as_ref().map_or(0, |quantized| quantized.width_bytes);
        let widths = usize::try_from(widths).unwrap_or(usize::MAX).min(data.len());
        match self.entry.encoding {
            Encoding::Coded => {
                let (widths, codes) = data.split_at(widths);
                (codes, widths)
            }
            _ => data.split_at(data.len() - widths),
        }
    }
}
