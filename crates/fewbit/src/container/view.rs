//! A tensor where it lies in the file.

use super::decode::{Source, split_ranges};
use super::entry::TensorEntry;
use super::{Encoding, ReadError};
use crate::{BitWidth, GroupSize, Ranges};

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

    /// The ranges of the tensor, its channels or its groups.
    ///
    /// # Errors
    /// [`ReadError::NotQuantized`], ranges or widths that do not decode, or no memory for them.
    pub fn ranges(&self) -> Result<Ranges, ReadError> {
        self.entry.decode_ranges(self.source).map_err(|fault| fault.error)
    }

    /// Packed codes, the streams of coded ones, floats, or the elements of a raw tensor.
    pub fn value_bytes(&self) -> &'r [u8] {
        self.split()[0]
    }

    /// Packed or coded widths; none for floats, nor where all groups have one width.
    pub fn width_bytes(&self) -> &'r [u8] {
        self.split()[1]
    }

    /// Packed or coded ranges; none for floats, nor where the tensor has but one range, which the table
    /// holds.
    pub fn range_bytes(&self) -> &'r [u8] {
        self.split()[2]
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
    /// [`ReadError::OutputLength`], [`ReadError::NotFloats`], or data that do not decode.
    pub fn dequantize_into(&self, values: &mut [f32]) -> Result<(), ReadError> {
        let (needed, found) = (self.entry.elements, values.len());
        if needed != found {
            return Err(ReadError::OutputLength { what: self.entry.name.clone(), needed, found });
        }
        self.entry.decode_into(self.source, values).map_err(|fault| fault.error)
    }

    /// What holds the values, then the widths, then the ranges.
    fn split(&self) -> [&'r [u8]; 3] {
        let Some(quantized) = self.entry.quantized.as_ref() else {
            return [self.source.data, &[], &[]];
        };
        let (data, ranges) = split_ranges(self.source.data, quantized);
        let widths = usize::try_from(quantized.width_bytes).unwrap_or(usize::MAX).min(data.len());
        match self.entry.encoding {
            Encoding::Coded => [&data[widths..], &data[..widths], ranges],
            _ => [&data[..data.len() - widths], &data[data.len() - widths..], ranges],
        }
    }
}
