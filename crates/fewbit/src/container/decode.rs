//! One tensor's data to widths, codes and values.

use std::num::NonZeroUsize;

use fewbit_kernels::packed::{
    Levels, PackedError, SortedGroups, dequantize, dequantize_channels, place_channels, place_codes,
    place_weights,
};

use super::ReadError;
use super::cursor::Cursor;
use super::entry::{QuantizedEntry, TensorEntry};
use super::head::Fault;
use crate::encoding::coded::{CodedFault, Codes, Directory};
use crate::encoding::packed::Part;
use crate::encoding::ranges::{self, RangeDirectory, RangesFault};
use crate::encoding::widths::WidthsError;
use crate::encoding::{floats, packed, widths};
use crate::{
    BitWidth, Encoding, FloatEncoding, GridKind, QuantizedTensor, RangeGranularity, Ranges, ValueRange,
};

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
        decoding.codes_into(widths.as_deref(), &mut codes)?;
        let widths = decoding.all_widths(widths)?;
        let (quantized, ranges) = (decoding.quantized, decoding.ranges(&widths)?);
        // As many widths as groups and codes as weights, and each code has but its group's bits.
        Ok(QuantizedTensor::from_unpacked(self.shape.clone(), quantized.group_size, ranges, widths, codes))
    }

    /// One width per group; an error for floats.
    pub(super) fn decode_widths(&self, source: Source<'_>) -> Result<Vec<BitWidth>, Fault> {
        match self.decoding(source) {
            Some(decoding) => decoding.all_widths(decoding.widths()?),
            None => {
                let name = self.name.clone();
                Err(Fault::new(self.data_at.start, ReadError::NotQuantized { name }))
            }
        }
    }

    /// Its ranges; an error for floats.
    pub(super) fn decode_ranges(&self, source: Source<'_>) -> Result<Ranges, Fault> {
        let decoding = self.decoding(source).ok_or_else(|| {
            let name = self.name.clone();
            Fault::new(self.data_at.start, ReadError::NotQuantized { name })
        })?;
        match decoding.quantized.ranges.granularity {
            // Widths tell which groups have one.
            RangeGranularity::Group => decoding.ranges(&decoding.all_widths(decoding.widths()?)?),
            _ => decoding.ranges(&[]),
        }
    }

    /// Writes its values, as many as it has.
    pub(super) fn decode_into(&self, source: Source<'_>, values: &mut [f32]) -> Result<(), Fault> {
        match self.decoding(source) {
            Some(decoding) => decoding.values_into(values),
            None => {
                floats::read(source.data, self.float_encoding()?, values);
                Ok(())
            }
        }
    }

    /// How its floats are written; an error for elements that are none.
    pub(super) fn float_encoding(&self) -> Result<FloatEncoding, Fault> {
        match self.encoding {
            Encoding::Float16 => Ok(FloatEncoding::Float16),
            Encoding::BFloat16 => Ok(FloatEncoding::BFloat16),
            Encoding::Float32 | Encoding::Packed | Encoding::Coded => Ok(FloatEncoding::Float32),
            Encoding::Raw(found) => {
                let name = self.name.clone();
                Err(Fault::new(self.data_at.start, ReadError::NotFloats { name, found }))
            }
        }
    }

    /// Whether its data decode.
    pub(super) fn decode_nothing(&self, source: Source<'_>) -> Result<(), Fault> {
        match self.decoding(source) {
            Some(decoding) => decoding.check(),
            // Any bytes are floats and other elements, and the layout has as many as are needed.
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
    /// The codes and the widths of packed data.
    fn packed(&self) -> (&[u8], &[u8]) {
        let data = split_ranges(self.source.data, self.quantized).0;
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

    /// One width per group.
    fn all_widths(&self, widths: Option<Vec<u8>>) -> Result<Vec<BitWidth>, Fault> {
        let classes = &self.quantized.classes;
        match widths {
            // None is above the largest: they are those that the classes count.
            Some(widths) => {
                let width = |width| BitWidth::new(width).unwrap_or(BitWidth::MAX);
                Ok(widths.into_iter().map(width).collect())
            }
            None => {
                let count = classes.grouping().count();
                let mut widths = self.entry.reserved(count)?;
                widths.resize(count, classes.minimum());
                Ok(widths)
            }
        }
    }

    /// One width per group, as the classes count them; `None` where all are the smallest.
    fn widths(&self) -> Result<Option<Vec<u8>>, Fault> {
        match self.entry.encoding {
            Encoding::Coded => self.coded_widths(&self.directory()?),
            _ => {
                let (codes, packed) = self.packed();
                widths::unpack(packed, &self.quantized.classes)
                    .map_err(|error| self.widths_fault(error, codes.len()))
            }
        }
    }

    fn coded_widths(&self, directory: &Directory) -> Result<Option<Vec<u8>>, Fault> {
        directory.widths(self.source.data, &self.quantized.classes).map_err(|fault| self.coded_fault(fault))
    }

    fn codes_into(&self, widths: Option<&[u8]>, codes: &mut [u16]) -> Result<(), Fault> {
        let classes = &self.quantized.classes;
        match self.entry.encoding {
            Encoding::Coded => {
                let sorted = self.coded_codes(&self.directory()?)?;
                sorted
                    .place(classes, widths, codes, |_, groups, codes| place_codes(groups, codes))
                    .map_err(|fault| self.coded_fault(fault))
            }
            _ => packed::unpack(self.packed().0, classes, widths, codes)
                .map_err(|source| self.packing("codes", source, 0)),
        }
    }

    fn coded_codes(&self, directory: &Directory) -> Result<Codes<'_>, Fault> {
        directory.codes(self.source.data).map_err(|fault| self.coded_fault(fault))
    }

    /// The ranges that are in the data.
    fn stored_ranges(&self) -> Result<Vec<ValueRange>, Fault> {
        let (data, bytes) = split_ranges(self.source.data, self.quantized);
        let found = &self.quantized.ranges;
        if self.entry.encoding != Encoding::Coded {
            let ranges = ranges::unpack(bytes, found.form, found.stored);
            return ranges.map_err(|fault| self.ranges_fault(fault, data.len()));
        }
        // Read once before, when the file was opened.
        let mut places = found.tables_at;
        let mut cursor = Cursor::at(self.source.head, found.directory_at);
        RangeDirectory::read(&mut cursor, &self.entry.name, found.form, found.stored, &mut places)
            .map_err(|error| Fault { offset: found.directory_at as u64, error })?
            .decode(bytes)
            .map_err(|fault| self.ranges_fault(fault, data.len()))
    }

    /// All ranges, those of groups of no bits included; only for ranges of groups must `widths` be theirs.
    fn ranges(&self, widths: &[BitWidth]) -> Result<Ranges, Fault> {
        let values = self.range_values(widths.iter().map(|width| width.get()))?;
        let found = &self.quantized.ranges;
        Ok(Ranges::from_stored(found.granularity, found.kind, found.form, values))
    }

    /// The values of [`ranges`](Self::ranges).
    fn range_values(&self, widths: impl ExactSizeIterator<Item = u8>) -> Result<Vec<ValueRange>, Fault> {
        let found = &self.quantized.ranges;
        match (found.of_tensor, found.granularity) {
            (Some(range), _) => Ok(vec![range]),
            // None is left out.
            (None, RangeGranularity::Group) if found.stored != widths.len() => {
                let mut stored = self.stored_ranges()?.into_iter();
                let mut values = self.entry.reserved(widths.len())?;
                values.extend(widths.map(|width| match width {
                    0 => ValueRange::default(),
                    _ => stored.next().unwrap_or_default(),
                }));
                Ok(values)
            }
            _ => self.stored_ranges(),
        }
    }

    fn values_into(&self, values: &mut [f32]) -> Result<(), Fault> {
        let (classes, found) = (&self.quantized.classes, &self.quantized.ranges);
        // Ranges of groups are found by all widths.
        let by_parts = self.entry.encoding == Encoding::Packed
            && !classes.is_uniform()
            && (found.of_tensor.is_some() || found.granularity != RangeGranularity::Group);
        let widths = if by_parts { None } else { self.widths()? };
        let widths = widths.as_deref();
        if let Some(range) = found.of_tensor {
            let levels = levels(found.kind, range);
            return match self.entry.encoding {
                Encoding::Coded => self
                    .place_coded(widths, values, |_, groups, values| place_weights(groups, levels, values)),
                _ => self.unpack(by_parts, widths, values, |part, values| {
                    dequantize(part.codes, part.widths, levels, values)
                }),
            };
        }
        let ranges = match widths {
            Some(widths) => self.range_values(widths.iter().copied())?,
            None => {
                self.range_values(std::iter::repeat_n(classes.minimum().get(), classes.grouping().count()))?
            }
        };
        let of_run = |run: usize| levels(found.kind, ranges.get(run).copied().unwrap_or_default());
        let runs = found.granularity.runs(&self.entry.shape, classes.grouping());
        let size = NonZeroUsize::new(runs.size()).unwrap_or(NonZeroUsize::MIN);
        match self.entry.encoding {
            Encoding::Coded => self.place_coded(widths, values, |first, groups, values| {
                place_channels(groups, first, size, of_run, values);
            }),
            _ => self.unpack(by_parts, widths, values, |part, values| {
                dequantize_channels(part.codes, part.widths, part.first, size, of_run, values)
            }),
        }
    }

    /// Has packed codes unpacked by who knows what they mean, in one part or several.
    fn unpack(
        &self,
        by_parts: bool,
        widths: Option<&[u8]>,
        values: &mut [f32],
        work: impl Fn(Part<'_>, &mut [f32]) -> Result<(), PackedError>,
    ) -> Result<(), Fault> {
        let ((codes, packed_widths), classes) = (self.packed(), &self.quantized.classes);
        let found;
        let mut widths = widths;
        if by_parts {
            if packed::each_part([codes, packed_widths], classes, values, &work) {
                return Ok(());
            }
            // In one part it is found what is wrong.
            found = self.widths()?;
            widths = found.as_deref();
        }
        let part = Part { first: 0, codes, widths: packed::kernel_widths(classes, widths) };
        work(part, values).map_err(|source| self.packing("codes", source, 0))
    }

    /// Decodes, and has each run of groups placed by who knows what the codes mean.
    fn place_coded(
        &self,
        widths: Option<&[u8]>,
        values: &mut [f32],
        place: impl Fn(usize, SortedGroups<'_>, &mut [f32]) + Sync + Send,
    ) -> Result<(), Fault> {
        let placed =
            self.coded_codes(&self.directory()?)?.place(&self.quantized.classes, widths, values, place);
        placed.map_err(|fault| self.coded_fault(fault))
    }

    /// In the order in which the data lie.
    fn check(&self) -> Result<(), Fault> {
        match self.entry.encoding {
            Encoding::Coded => {
                let directory = self.directory()?;
                self.coded_widths(&directory)?;
                self.coded_codes(&directory)?.check().map_err(|fault| self.coded_fault(fault))?;
            }
            _ => {
                packed::check(self.packed().0, &self.quantized.classes)
                    .map_err(|source| self.packing("codes", source, 0))?;
                self.widths()?;
            }
        }
        self.stored_ranges().map(drop)
    }

    fn packing(&self, what: &'static str, source: PackedError, offset: usize) -> Fault {
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

    /// `start` is where the ranges begin in the tensor's data.
    fn ranges_fault(&self, fault: RangesFault, start: usize) -> Fault {
        let offset = self.entry.data_at.start + (start + fault.offset) as u64;
        let elements = self.entry.elements;
        Fault::new(offset, fault.error.of_tensor(&self.entry.name, elements))
    }

    fn coded_fault(&self, fault: CodedFault) -> Fault {
        let name = self.entry.name.clone();
        let CodedFault { offset, what, error } = fault;
        let offset = self.entry.data_at.start + offset as u64;
        Fault::new(offset, ReadError::BadCoding { name, what, source: error })
    }
}

/// What codes mean in a range.
fn levels(kind: GridKind, range: ValueRange) -> Levels {
    match kind {
        GridKind::MinMax => Levels::MinMax { minimum: range.minimum(), maximum: range.maximum() },
        GridKind::Signed => Levels::Signed { half_width: range.half_width() },
        GridKind::Stepped => Levels::Stepped { step: range.half_width() },
    }
}

/// The data of a tensor without its ranges, and those.
pub(super) fn split_ranges<'d>(data: &'d [u8], quantized: &QuantizedEntry) -> (&'d [u8], &'d [u8]) {
    let ranges = usize::try_from(quantized.ranges.bytes).unwrap_or(usize::MAX).min(data.len());
    data.split_at(data.len() - ranges)
}
