//! A file's bytes to tensors.

use std::ops::Range;

use rayon::prelude::*;

use super::decode::Source;
use super::entry::{TensorEntry, TensorKind};
use super::head::{Fault, Head, check_sum};
use super::sums::check_all_sums;
use super::view::TensorView;
use super::{Encoding, FileSize, Limits, ReadError};
use crate::QuantizedTensor;

/// A `.fewbit` file whose header and table have been checked.
///
/// What a tensor is and where every byte goes is known at once; data are read when they are asked for,
/// from the bytes it borrows.
#[derive(Debug)]
pub struct ContainerReader<'a> {
    bytes: &'a [u8],
    head: Head<'a>,
    /// Whether all check sums were compared, so that they need not be again.
    summed: bool,
}

impl<'a> ContainerReader<'a> {
    /// The reader of a whole file's bytes, within the default [`Limits`], after comparing every check
    /// sum.
    ///
    /// # Errors
    /// [`ReadError`], for whatever is wrong with the header, the table, the file's length or a sum. One
    /// that is cut is told from one that is damaged otherwise.
    pub fn new(bytes: &'a [u8]) -> Result<Self, ReadError> {
        Self::with_limits(bytes, &Limits::default())
    }

    /// The reader of a whole file's bytes, within limits, after comparing every check sum.
    ///
    /// # Errors
    /// [`ReadError`], as for [`new`](Self::new).
    pub fn with_limits(bytes: &'a [u8], limits: &Limits) -> Result<Self, ReadError> {
        let mut reader = Self::open(bytes, limits)?;
        check_all_sums(&reader.head, bytes).map_err(|fault| fault.error)?;
        reader.summed = true;
        Ok(reader)
    }

    /// The reader of a whole file's bytes, within limits, which looks at header and table only.
    ///
    /// The sum of a tensor's section is compared each time the tensor is asked for; the sum of the whole
    /// never is. For a few tensors out of a large file that is mapped into memory.
    ///
    /// # Errors
    /// [`ReadError`], for whatever is wrong with the header, the table or the file's length.
    pub fn open(bytes: &'a [u8], limits: &Limits) -> Result<Self, ReadError> {
        Self::open_or_fault(bytes, limits).map_err(|fault| fault.error)
    }

    pub(super) fn open_or_fault(bytes: &'a [u8], limits: &Limits) -> Result<Self, Fault> {
        let head = Head::read(bytes, limits)?;
        let needed = head.file_bytes();
        let found = bytes.len();
        if (found as u64) < needed {
            let cut = |what, offset: u64, end: u64| ReadError::Truncated {
                what,
                offset: offset as usize,
                needed: end - offset,
                found: (found as u64).saturating_sub(offset) as usize,
            };
            let section = head.sections.iter().find(|section| section.at.end > found as u64);
            let error = match section {
                Some(section) => cut(head.section_name(section), section.at.start, section.at.end),
                None => cut("the check sum of the whole".to_owned(), head.data_end(), needed),
            };
            return Err(Fault::new(found as u64, error));
        }
        if found as u64 > needed {
            let found = (found as u64 - needed) as usize;
            return Err(Fault::new(needed, ReadError::TrailingBytes { found }));
        }
        Ok(Self { bytes, head, summed: false })
    }

    /// The value of a metadata key.
    pub fn metadata(&self, key: &str) -> Option<&'a str> {
        let found = self.head.metadata.iter().find(|(found, _)| *found == key)?;
        Some(found.1)
    }

    /// All metadata, in the order it was written.
    pub fn metadata_entries(&self) -> &[(&'a str, &'a str)] {
        &self.head.metadata
    }

    /// All tensors, aliases included, in the order they were written.
    pub fn tensors(&self) -> &[TensorEntry] {
        &self.head.tensors
    }

    /// The tensor of a name.
    pub fn tensor(&self, name: &str) -> Option<&TensorEntry> {
        self.head.tensors.get(*self.head.by_name.get(name)?)
    }

    /// Where the file's bytes go, to the last one.
    pub fn size(&self) -> FileSize {
        self.head.size
    }

    /// The bytes of a tensor, or of the one that an alias stands for, as they lie in the file.
    ///
    /// # Errors
    /// [`ReadError::UnknownTensor`], or a check sum that is not the section's.
    pub fn view(&self, name: &str) -> Result<TensorView<'_>, ReadError> {
        let (entry, source) = self.found(name)?;
        Ok(TensorView::new(entry, source))
    }

    /// The codes of a tensor, or of the one that an alias stands for.
    ///
    /// # Errors
    /// [`ReadError::UnknownTensor`], [`ReadError::NotQuantized`], data that do not decode, or no memory
    /// for them.
    pub fn quantized(&self, name: &str) -> Result<QuantizedTensor, ReadError> {
        let (entry, source) = self.found(name)?;
        entry.decode_codes(source).map_err(|fault| fault.error)
    }

    /// The bytes of a raw tensor, or of one that an alias stands for, as they were written; of what type its
    /// elements are, [`TensorEntry::encoding`] says.
    ///
    /// # Errors
    /// [`ReadError::UnknownTensor`], [`ReadError::NotRaw`], or a check sum that is not the section's.
    pub fn raw(&self, name: &str) -> Result<&[u8], ReadError> {
        let (entry, source) = self.found(name)?;
        match entry.encoding {
            Encoding::Raw(_) => Ok(source.data),
            encoding => Err(ReadError::NotRaw { name: name.to_owned(), found: encoding.name() }),
        }
    }

    /// The values of a tensor, or of the one that an alias stands for: dequantized, or as stored.
    ///
    /// # Errors
    /// [`ReadError::UnknownTensor`], [`ReadError::NotFloats`], data that do not decode, or no memory for them.
    pub fn values(&self, name: &str) -> Result<Vec<f32>, ReadError> {
        let (entry, source) = self.found(name)?;
        entry.float_encoding().map_err(|fault| fault.error)?;
        // So that too much is an error, and fresh memory is written first by who needs it.
        drop(entry.reserved::<f32>(entry.elements).map_err(|fault| fault.error)?);
        let mut values = vec![0.0; entry.elements];
        entry.decode_into(source, &mut values).map_err(|fault| fault.error)?;
        Ok(values)
    }

    /// Writes what [`values`](Self::values) returns.
    ///
    /// # Errors
    /// [`ReadError::UnknownTensor`], [`ReadError::OutputLength`] or data that do not decode; what
    /// `values` holds then is not said.
    pub fn dequantize_into(&self, name: &str, values: &mut [f32]) -> Result<(), ReadError> {
        let (entry, source) = self.found(name)?;
        check_room(&entry.name, entry.elements, values.len())?;
        entry.decode_into(source, values).map_err(|fault| fault.error)
    }

    /// Where the values of each tensor lie in what [`all_values`](Self::all_values) returns: side by
    /// side in the table's order, those of an alias where its target's are; raw tensors have none.
    pub fn value_ranges(&self) -> Vec<Range<usize>> {
        let mut ranges: Vec<Range<usize>> = Vec::with_capacity(self.tensors().len());
        let mut end = 0usize;
        for entry in self.tensors() {
            ranges.push(match entry.kind {
                TensorKind::Alias { target } => ranges[target].clone(),
                TensorKind::Raw => end..end,
                _ => {
                    let start = end;
                    // Past `usize` there are no buffers either, so that nothing is ever read from there.
                    end = end.saturating_add(entry.elements);
                    start..end
                }
            });
        }
        ranges
    }

    /// The values of all tensors but raw ones, on all cores; see [`value_ranges`](Self::value_ranges).
    ///
    /// # Errors
    /// Data that do not decode, or no memory for them.
    pub fn all_values(&self) -> Result<Vec<f32>, ReadError> {
        let elements = self.stored_elements();
        // So that too much is an error, and fresh memory is written first by who needs it.
        drop(try_room(elements)?);
        let mut values = vec![0.0; elements];
        self.all_values_into(&mut values)?;
        Ok(values)
    }

    /// Writes what [`all_values`](Self::all_values) returns.
    ///
    /// # Errors
    /// [`ReadError::OutputLength`], or data that do not decode: the first fault in the table's order.
    pub fn all_values_into(&self, values: &mut [f32]) -> Result<(), ReadError> {
        check_room("the whole file", self.stored_elements(), values.len())?;
        let mut rest = values;
        let mut parts = Vec::new();
        for (index, entry) in self.tensors().iter().enumerate().filter(|(_, entry)| entry.has_values()) {
            let (part, others) = rest.split_at_mut(entry.elements);
            parts.push((index, entry, part));
            rest = others;
        }
        let decode = |(index, entry, part): (usize, &TensorEntry, &mut [f32])| {
            let source = self.source(index, entry)?;
            entry.decode_into(source, part).map_err(|fault| fault.error)
        };
        let results: Vec<_> = parts.into_par_iter().map(decode).collect();
        results.into_iter().collect()
    }

    /// Values of all tensors, aliases and raw ones not counted.
    fn stored_elements(&self) -> usize {
        let stored = self.tensors().iter().filter(|entry| entry.has_values());
        stored.fold(0, |sum, entry| sum.saturating_add(entry.elements))
    }

    pub(super) fn head(&self) -> &Head<'a> {
        &self.head
    }

    /// The entry that holds the values of a name, and its bytes.
    fn found(&self, name: &str) -> Result<(&TensorEntry, Source<'_>), ReadError> {
        let index = self.head.by_name.get(name).map(|&index| match self.head.tensors[index].kind {
            TensorKind::Alias { target } => target,
            _ => index,
        });
        let Some(index) = index else {
            return Err(ReadError::UnknownTensor { name: name.to_owned() });
        };
        let entry = &self.head.tensors[index];
        Ok((entry, self.source(index, entry)?))
    }

    /// The bytes of a stored tensor, once its section is known to be sound.
    fn source(&self, index: usize, entry: &TensorEntry) -> Result<Source<'_>, ReadError> {
        if !self.summed && entry.data_bytes > 0 {
            let place = self.head.sections.partition_point(|section| section.tensors.end <= index);
            let section = &self.head.sections[place];
            let bytes = &self.bytes[in_memory(&section.at)];
            check_sum(self.head.section_name(section), bytes, self.head.sums[place])?;
        }
        Ok(self.unchecked_source(entry))
    }

    /// The bytes of a tensor.
    pub(super) fn unchecked_source(&self, entry: &TensorEntry) -> Source<'_> {
        Source { head: self.head.bytes, data: &self.bytes[in_memory(&entry.data_at)] }
    }
}

/// A place in the file as one in its bytes: the same, as the bytes were found to be as long as the file.
pub(super) fn in_memory(place: &Range<u64>) -> Range<usize> {
    place.start as usize..place.end as usize
}

fn check_room(what: &str, needed: usize, found: usize) -> Result<(), ReadError> {
    if needed == found {
        return Ok(());
    }
    Err(ReadError::OutputLength { what: what.to_owned(), needed, found })
}

fn try_room(elements: usize) -> Result<Vec<f32>, ReadError> {
    let mut room = Vec::new();
    match room.try_reserve_exact(elements) {
        Ok(()) => Ok(room),
        Err(_) => Err(ReadError::OutOfMemory { name: "the whole file".to_owned(), elements }),
    }
}
