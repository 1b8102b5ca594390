//! One tensor's data to widths, codes and values.

use super::ReadError;
use super::cursor::Cursor;
use super::entry::{QuantizedEntry, TensorEntry};
use super::head::Fault;
use crate::bitpack::BitpackError;
use crate::encoding::coded::{CodedFault, Directory};
use crate::encoding::widths::WidthsError;
use crate::encoding::{Levels, floats, packed, widths};
use crate::{BitWidth, Encoding, FloatEncoding, QuantizedTensor};

/// The bytes that a tensor is decoded from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'b> {
    /// The head of the file.
    pub(super) head: &'b [u8],
    /// The tensor's own data, exactly as many as the table says.
    pub(super) data: &'b [u8],
}

/// A tensor and where its bytes are.
struct Decoding<'b> {
    entry: &'b TensorEntry,
    quantized: &'b QuantizedEntry,
    source: Source<'b>,
}

impl TensorEntry {
    /// Its codes; an error for floats.
    pub(super) fn decode_codes(&self, source: Source<'_>) -> Result<QuantizedTensor, Fault> {
        let decoding = self.decoding(source).ok_or_else(|| {
            let name = self.name.clone();
            Fault::new(self.data_at.start, ReadError::NotQuantized { name })
        })?;
        let widths = decoding.widths()?;
        let mut codes = self.reserved(self.elements)?;
        codes.resize(self.elements, 0u16);
        decoding.codes_into(&widths, &mut codes)?;
        let quantized = decoding.quantized;
        // As many widths as groups and codes as weights, and each code has but its group's bits.
        Ok(QuantizedTensor::from_unpacked(
            self.shape.clone(),
            quantized.group_size,
            quantized.range,
            widths,
            codes,
        ))
    }

    /// One width per group; an error for floats.
    pub(super) fn decode_widths(&self, source: Source<'_>) -> Result<Vec<BitWidth>, Fault> {
        match self.decoding(source) {
            Some(decoding) => decoding.widths(),
            None => {
                let name = self.name.clone();
                Err(Fault::new(self.data_at.start, ReadError::NotQuantized { name }))
            }
        }
    }

    /// Writes its values, as many as it has.
    pub(super) fn decode_into(&self, source: Source<'_>, values: &mut [f32]) -> Result<(), Fault> {
        match self.decoding(source) {
            Some(decoding) => decoding.values_into(values),
            None => {
                let encoding = match self.encoding {
                    Encoding::Float16 => FloatEncoding::Float16,
                    Encoding::BFloat16 => FloatEncoding::BFloat16,
                    _ => FloatEncoding::Float32,
                };
                floats::read(source.data, encoding, values);
                Ok(())
            }
        }
    }

    /// Whether its data decode.
    pub(super) fn decode_nothing(&self, source: Source<'_>) -> Result<(), Fault> {
        match self.decoding(source) {
            Some(decoding) => decoding.check(),
            // Any bytes are floats, and the layout has as many as are needed.
            None => Ok(()),
        }
    }

    fn decoding<'b>(&'b self, source: Source<'b>) -> Option<Decoding<'b>> {
        Some(Decoding { entry: self, quantized: self.quantized.as_deref()?, source })
    }

    /// Room for so many things, or an error instead of an abort.
    pub(super) fn reserved<T>(&self, count: usize) -> Result<Vec<T>, Fault> {
        let mut things = Vec::new();
        match things.try_reserve_exact(count) {
            Ok(()) => Ok(things),
            Err(_) => Err(self.no_memory()),
        }
    }

    fn no_memory(&self) -> Fault {
        let (name, elements) = (self.name.clone(), self.elements);
        Fault::new(self.data_at.start, ReadError::OutOfMemory { name, elements })
    }
}

impl Decoding<'_> {
    /// The widths and the codes of packed data.
    fn packed(&self) -> (&[u8], &[u8]) {
        let data = self.source.data;
        data.split_at(data.len() - self.width_bytes())
    }

    fn width_bytes(&self) -> usize {
        usize::try_from(self.quantized.width_bytes).unwrap_or(usize::MAX).min(self.source.data.len())
    }

    fn directory(&self) -> Result<Directory, Fault> {
        let at = self.quantized.directory_at.start;
        let (name, classes) = (&self.entry.name, &self.quantized.classes);
        // Read once before, when the file was opened.
        let mut places = self.quantized.tables_at;
        Directory::read(&mut Cursor::at(self.source.head, at), name, classes, &mut places)
            .map_err(|error| Fault { offset: at as u64, error })
    }

    fn widths(&self) -> Result<Vec<BitWidth>, Fault> {
        match self.entry.encoding {
            Encoding::Coded => self.coded_widths(&self.directory()?),
            _ => {
                let (codes, packed) = self.packed();
                widths::unpack(packed, &self.quantized.classes)
                    .map_err(|error| self.widths_fault(error, codes.len()))
            }
        }
    }

    fn coded_widths(&self, directory: &Directory) -> Result<Vec<BitWidth>, Fault> {
        directory.widths(self.source.data, &self.quantized.classes).map_err(|fault| self.coded_fault(fault))
    }

    fn codes_into(&self, widths: &[BitWidth], codes: &mut [u16]) -> Result<(), Fault> {
        let classes = &self.quantized.classes;
        match self.entry.encoding {
            Encoding::Coded => {
                let sorted = self.coded_codes(&self.directory()?)?;
                sorted.place(classes, widths, codes, |_, code| code);
                Ok(())
            }
            _ => packed::unpack(self.packed().0, classes, widths, codes)
                .map_err(|source| self.packing("codes", source, 0)),
        }
    }

    fn coded_codes(&self, directory: &Directory) -> Result<crate::encoding::coded::Codes<'_>, Fault> {
        directory.codes(self.source.data).map_err(|fault| self.coded_fault(fault))
    }

    fn values_into(&self, values: &mut [f32]) -> Result<(), Fault> {
        let classes = &self.quantized.classes;
        let levels = Levels::new(self.quantized.range, classes);
        match self.entry.encoding {
            Encoding::Coded => {
                let directory = self.directory()?;
                let widths = self.coded_widths(&directory)?;
                let sorted = self.coded_codes(&directory)?;
                sorted.place(classes, &widths, values, |width, code| levels.value(width, code));
                Ok(())
            }
            _ => {
                let widths = self.widths()?;
                packed::dequantize(self.packed().0, classes, &widths, &levels, values)
                    .map_err(|source| self.packing("codes", source, 0))
            }
        }
    }

    /// In the order in which the data lie.
    fn check(&self) -> Result<(), Fault> {
        match self.entry.encoding {
            Encoding::Coded => {
                let directory = self.directory()?;
                self.coded_widths(&directory)?;
                self.coded_codes(&directory)?;
            }
            _ => {
                packed::check(self.packed().0, &self.quantized.classes)
                    .map_err(|source| self.packing("codes", source, 0))?;
                self.widths()?;
            }
        }
        Ok(())
    }

    fn packing(&self, what: &'static str, source: BitpackError, offset: usize) -> Fault {
        let name = self.entry.name.clone();
        Fault::new(self.entry.data_at.start + offset as u64, ReadError::BadPacking { name, what, source })
    }

    fn widths_fault(&self, error: WidthsError, offset: usize) -> Fault {
        let name = self.entry.name.clone();
        let error = match error {
            WidthsError::Packing(source) => return self.packing("widths", source, offset),
            WidthsError::OutOfMemory => return self.entry.no_memory(),
            WidthsError::Differ => ReadError::WidthsDiffer { name },
            WidthsError::AboveMaximum { group, found } => {
                let maximum = self.quantized.classes.maximum().get();
                ReadError::WidthAboveMaximum { name, group, found, maximum }
            }
        };
        Fault::new(self.entry.data_at.start + offset as u64, error)
    }

    fn coded_fault(&self, fault: CodedFault) -> Fault {
        let name = self.entry.name.clone();
        let CodedFault { offset, what, error } = fault;
        let offset = self.entry.data_at.start + offset as u64;
        Fault::new(offset, ReadError::BadCoding { name, what, source: error })
    }
}
