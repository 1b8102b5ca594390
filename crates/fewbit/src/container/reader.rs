//! A file's bytes to tensors.

use std::ops::Range;

use super::entry::{TensorEntry, TensorKind};
use super::head::{Fault, Head};
use super::sums::check_all_sums;
use super::{Encoding, FileSize, Limits, ReadError};
use crate::QuantizedTensor;

/// A `.fewbit` file in memory whose header, table and checksums have been checked.
///
/// It owns or borrows the file's bytes: `B` is a `Vec<u8>`, a slice, a memory map. They are parsed and their
/// checksums compared once, when it is made; tensors are decoded when they are asked for.
///
/// ```
/// # use fewbit::{ContainerReader, ContainerWriter};
/// # let mut writer = ContainerWriter::new();
/// # writer.float("bias", &[2], &[0.5, 1.0])?;
/// # let file = writer.to_bytes();
/// fn sum<B: AsRef<[u8]>>(reader: &ContainerReader<B>) -> Result<f32, fewbit::ReadError> {
///     let mut sum = 0.0;
///     for entry in reader.tensors() {
///         sum += reader.values(entry.name())?.iter().sum::<f32>();
///     }
///     Ok(sum)
/// }
/// assert_eq!(sum(&ContainerReader::new(&file)?)?, 1.5);
/// assert_eq!(sum(&ContainerReader::new(file)?)?, 1.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ContainerReader<B> {
    bytes: B,
    head: Head,
}

impl<B: AsRef<[u8]>> ContainerReader<B> {
    /// The reader of a whole file's bytes, within the default [`Limits`].
    ///
    /// # Errors
    /// [`ReadError`], for whatever is wrong with the header, the table, the file's length or a checksum. A
    /// truncated file is told from one that is damaged otherwise.
    pub fn new(bytes: B) -> Result<Self, ReadError> {
        Self::with_limits(bytes, &Limits::default())
    }

    /// The reader of a whole file's bytes, within limits.
    ///
    /// # Errors
    /// [`ReadError`], as for [`new`](Self::new).
    pub fn with_limits(bytes: B, limits: &Limits) -> Result<Self, ReadError> {
        let head = read_structure(bytes.as_ref(), limits).map_err(|fault| fault.error)?;
        check_all_sums(&head, bytes.as_ref()).map_err(|fault| fault.error)?;
        Ok(Self { bytes, head })
    }

    /// The file's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// The file's bytes, as they were given.
    pub fn into_bytes(self) -> B {
        self.bytes
    }

    /// The value of a metadata key.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata_entries().find(|(found, _)| *found == key).map(|(_, value)| value)
    }

    /// All metadata, in the order it was written.
    pub fn metadata_entries(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.head.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str()))
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

    /// Bits per weight of all quantized tensors together, codes alone and before they are coded; `None` where there
    /// are no such tensors.
    pub fn mean_bits(&self) -> Option<f64> {
        let quantized = self.tensors().iter().filter(|entry| entry.kind == TensorKind::Quantized);
        let (bits, weights) = quantized.fold((0.0, 0.0), |(bits, weights), entry| {
            (bits + entry.mean_bits() * entry.elements as f64, weights + entry.elements as f64)
        });
        (weights > 0.0).then_some(bits / weights)
    }

    /// The codes of a tensor, or of the one that an alias stands for, and what they mean.
    ///
    /// # Errors
    /// [`ReadError::UnknownTensor`], [`ReadError::NotQuantized`], data that do not decode, or no memory
    /// for them.
    pub fn quantized(&self, name: &str) -> Result<QuantizedTensor, ReadError> {
        let (entry, data) = self.found(name)?;
        entry.decode_codes(data).map_err(|fault| fault.error)
    }

    /// The bytes of a raw tensor, or of one that an alias stands for, as they were written; of what type its
    /// elements are, [`TensorEntry::encoding`] says.
    ///
    /// # Errors
    /// [`ReadError::UnknownTensor`] or [`ReadError::NotRaw`].
    pub fn raw(&self, name: &str) -> Result<&[u8], ReadError> {
        let (entry, data) = self.found(name)?;
        match entry.encoding {
            Encoding::Raw(_) => Ok(data),
            encoding => Err(ReadError::NotRaw { name: name.to_owned(), found: encoding.name() }),
        }
    }

    /// The values of a tensor, or of the one that an alias stands for: dequantized, or as stored.
    ///
    /// # Errors
    /// [`ReadError::UnknownTensor`], [`ReadError::NotFloats`], data that do not decode, or no memory for them.
    pub fn values(&self, name: &str) -> Result<Vec<f32>, ReadError> {
        let (entry, data) = self.found(name)?;
        entry.float_encoding().map_err(|fault| fault.error)?;
        // Fail with an error rather than abort; fresh zeros are not touched before the decoder writes them.
        entry.check_memory().map_err(|fault| fault.error)?;
        let mut values = vec![0.0; entry.elements];
        entry.decode_into(data, &mut values).map_err(|fault| fault.error)?;
        Ok(values)
    }

    /// Writes what [`values`](Self::values) returns.
    ///
    /// # Errors
    /// [`ReadError::UnknownTensor`], [`ReadError::OutputLength`] or data that do not decode; the content of
    /// `values` is unspecified then.
    pub fn values_into(&self, name: &str, values: &mut [f32]) -> Result<(), ReadError> {
        let (entry, data) = self.found(name)?;
        let (needed, found) = (entry.elements, values.len());
        entry.float_encoding().map_err(|fault| fault.error)?;
        if needed != found {
            return Err(ReadError::OutputLength { name: entry.name.clone(), needed, found });
        }
        entry.decode_into(data, values).map_err(|fault| fault.error)
    }

    /// The entry that holds the values of a name, and its bytes.
    fn found(&self, name: &str) -> Result<(&TensorEntry, &[u8]), ReadError> {
        let entry = self.tensor(name).ok_or_else(|| ReadError::UnknownTensor { name: name.to_owned() })?;
        let entry = match entry.kind {
            TensorKind::Alias { target } => &self.head.tensors[target],
            _ => entry,
        };
        Ok((entry, &self.as_bytes()[in_memory(&entry.data_at)]))
    }
}

/// The head of a file that is exactly as long as the head says.
pub(super) fn read_structure(bytes: &[u8], limits: &Limits) -> Result<Head, Fault> {
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
            None => cut("the checksum of the whole".to_owned(), head.data_end(), needed),
        };
        return Err(Fault::new(found as u64, error));
    }
    if found as u64 > needed {
        let found = (found as u64 - needed) as usize;
        return Err(Fault::new(needed, ReadError::TrailingBytes { found }));
    }
    Ok(head)
}

/// A place in the file as one in its bytes: the same, as the bytes were found to be as long as the file.
pub(super) fn in_memory(place: &Range<u64>) -> Range<usize> {
    place.start as usize..place.end as usize
}
