//! A file's bytes to tensors.

use std::collections::HashMap;
use std::ops::Range;

use super::cursor::Cursor;
use super::header::{over_limit, read_mark, read_metadata};
use super::table::{TensorEntry, TensorKind, read_entry};
use super::{FileSize, Limits, ReadError};
use crate::bitpack::{self, BitReader, check_padding};
use crate::size::bits_to_tell;
use crate::{BitWidth, Grouping, QuantizedTensor};

/// A `.fewbit` file that has been checked: its sum, its structure, every width.
///
/// Values are unpacked when they are asked for, from the bytes it borrows.
#[derive(Debug)]
pub struct ContainerReader<'a> {
    bytes: &'a [u8],
    metadata: Vec<(&'a str, &'a str)>,
    tensors: Vec<TensorEntry>,
    by_name: HashMap<String, usize>,
    size: FileSize,
}

/// The check sum at the end.
const CHECKSUM_BYTES: usize = 4;

impl<'a> ContainerReader<'a> {
    /// The reader of a whole file's bytes, within the default [`Limits`].
    ///
    /// # Errors
    /// [`ReadError`], for whatever is wrong with the file. One that is cut is told from one that is
    /// damaged otherwise.
    pub fn new(bytes: &'a [u8]) -> Result<Self, ReadError> {
        Self::with_limits(bytes, &Limits::default())
    }

    /// The reader of a whole file's bytes, within limits.
    ///
    /// # Errors
    /// [`ReadError`], as for [`new`](Self::new).
    pub fn with_limits(bytes: &'a [u8], limits: &Limits) -> Result<Self, ReadError> {
        let mut cursor = Cursor::new(bytes);
        read_mark(&mut cursor, bytes)?;
        let Some((body, expected)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
            return Err(cursor.array::<CHECKSUM_BYTES>("the check sum").err().unwrap_or(ReadError::Empty));
        };
        let expected = u32::from_le_bytes(*expected);
        let found = crc32fast::hash(body);
        match Self::read(bytes, body, limits) {
            result if found == expected => result,
            // A cut file has no check sum, so that it is cut says more.
            Err(cut @ ReadError::Truncated { .. }) => Err(cut),
            _ => Err(ReadError::ChecksumMismatch { expected, found }),
        }
    }

    fn read(bytes: &'a [u8], body: &'a [u8], limits: &Limits) -> Result<Self, ReadError> {
        let mut cursor = Cursor::new(body);
        read_mark(&mut cursor, body)?;
        let metadata = read_metadata(&mut cursor, limits)?;
        let count = cursor.count("the number of tensors")?;
        over_limit("tensors", count as u64, limits.tensors as u64)?;
        let header_bytes = cursor.position();

        let mut tensors = Vec::new();
        let mut by_name = HashMap::new();
        let (mut names, mut elements) = (0u64, 0u64);
        for index in 0..count {
            let entry = read_entry(&mut cursor, &tensors, limits)?;
            if by_name.insert(entry.name.clone(), index).is_some() {
                return Err(ReadError::DuplicateName { name: entry.name });
            }
            names += entry.name.len() as u64;
            let read = names.saturating_add(cursor.position() as u64);
            over_limit("bytes of header and table", read, limits.header_bytes as u64)?;
            // An alias counts like a tensor: whoever reads every name gets its values once more.
            let values = match entry.kind {
                TensorKind::Alias { target } => tensors[target].elements,
                _ => entry.elements,
            };
            elements = elements.saturating_add(values as u64);
            over_limit("values of all tensors", elements, limits.elements)?;
            tensors.push(entry);
        }
        for entry in &mut tensors {
            read_payload(&mut cursor, entry)?;
        }
        if cursor.left() > 0 {
            let found = cursor.left();
            return Err(ReadError::TrailingBytes { found });
        }
        describe_aliases(&mut tensors);

        let mut size =
            FileSize { header: header_bytes as u64, checksum: CHECKSUM_BYTES as u64, ..FileSize::default() };
        for entry in &tensors {
            size += entry.bytes;
        }
        Ok(Self { bytes, metadata, tensors, by_name, size })
    }

    /// The value of a metadata key.
    pub fn metadata(&self, key: &str) -> Option<&'a str> {
        let found = self.metadata.iter().find(|(found, _)| *found == key)?;
        Some(found.1)
    }

    /// All metadata, in the order it was written.
    pub fn metadata_entries(&self) -> &[(&'a str, &'a str)] {
        &self.metadata
    }

    /// All tensors, aliases included, in the order they were written.
    pub fn tensors(&self) -> &[TensorEntry] {
        &self.tensors
    }

    /// The tensor of a name.
    pub fn tensor(&self, name: &str) -> Option<&TensorEntry> {
        self.tensors.get(*self.by_name.get(name)?)
    }

    /// The codes of a tensor, or of the one that an alias stands for.
    ///
    /// # Errors
    /// [`ReadError::UnknownTensor`], [`ReadError::NotQuantized`], or no memory for it.
    pub fn quantized(&self, name: &str) -> Result<QuantizedTensor, ReadError> {
        let entry = self.stored(name)?;
        let Some(quantized) = &entry.quantized else {
            let name = name.to_owned();
            return Err(ReadError::NotQuantized { name });
        };
        let packing = |what| move |source| ReadError::BadPacking { name: name.to_owned(), what, source };
        let grouping = Grouping::new(quantized.group_size, entry.elements);
        let offset_width = offset_width(quantized.minimum, quantized.maximum);
        let mut offsets = BitReader::new(&self.bytes[quantized.widths_at.clone()]);
        let mut widths = reserved(grouping.count(), entry)?;
        widths.extend((0..grouping.count()).map(|_| {
            let offset = offsets.take(offset_width);
            // In range: every width was checked when the file was opened.
            BitWidth::new(quantized.minimum.get() + offset as u8).unwrap_or(quantized.maximum)
        }));
        let packed = &self.bytes[entry.values_at.clone()];
        let codes = bitpack::unpack(packed, grouping, &widths).map_err(packing("codes"))?;
        let shape = entry.shape.clone();
        // As many widths as groups and codes as weights, and each code has but its group's bits.
        let (size, range) = (quantized.group_size, quantized.range);
        Ok(QuantizedTensor::from_unpacked(shape, size, range, widths, codes))
    }

    /// The values of a tensor, or of the one that an alias stands for: dequantized, or as stored.
    ///
    /// # Errors
    /// [`ReadError::UnknownTensor`], or no memory for it.
    pub fn values(&self, name: &str) -> Result<Vec<f32>, ReadError> {
        let entry = self.stored(name)?;
        let mut values = reserved(entry.elements, entry)?;
        if entry.quantized.is_some() {
            values.resize(entry.elements, 0.0);
            self.quantized(name)?.dequantize_into(&mut values);
        } else {
            let (floats, _) = self.bytes[entry.values_at.clone()].as_chunks();
            values.extend(floats.iter().map(|float| f32::from_le_bytes(*float)));
        }
        Ok(values)
    }

    /// Where the file's bytes go, to the last one.
    pub fn size(&self) -> FileSize {
        self.size
    }

    /// The entry that holds the values of a name.
    fn stored(&self, name: &str) -> Result<&TensorEntry, ReadError> {
        let entry = self.tensor(name);
        let stored = entry.and_then(|entry| match entry.kind {
            TensorKind::Alias { target } => self.tensors.get(target),
            _ => Some(entry),
        });
        stored.ok_or_else(|| ReadError::UnknownTensor { name: name.to_owned() })
    }
}

/// Goes past a tensor's widths and codes or floats, and notes where they are.
fn read_payload(cursor: &mut Cursor<'_>, entry: &mut TensorEntry) -> Result<(), ReadError> {
    let name = entry.name.as_str();
    let packing = |what| move |source| ReadError::BadPacking { name: name.to_owned(), what, source };
    let elements = entry.elements as u64;
    match (entry.kind, &mut entry.quantized) {
        (TensorKind::Quantized, Some(quantized)) => {
            let grouping = Grouping::new(quantized.group_size, entry.elements);
            let offset_width = offset_width(quantized.minimum, quantized.maximum);
            let bits = (grouping.count() as u64).saturating_mul(offset_width.into());
            let what = format_args!("the widths of tensor `{name}`");
            let (at, packed) = take(cursor, bits.div_ceil(8), what)?;
            check_padding(packed, bits).map_err(packing("widths"))?;
            quantized.widths_at = at;
            if offset_width > 0 {
                let counts = count_widths(packed, grouping, name, quantized.minimum, quantized.maximum)?;
                (quantized.histogram, quantized.code_bits) = counts;
            }
            let bits = quantized.code_bits;
            let what = format_args!("the codes of tensor `{name}`");
            let (at, codes) = take(cursor, bits.div_ceil(8), what)?;
            check_padding(codes, bits).map_err(packing("codes"))?;
            entry.bytes.widths = packed.len() as u64;
            entry.bytes.codes = codes.len() as u64;
            entry.values_at = at;
        }
        (TensorKind::Float32, _) => {
            let what = format_args!("the values of tensor `{name}`");
            let (at, floats) = take(cursor, elements.saturating_mul(4), what)?;
            entry.bytes.unquantized = floats.len() as u64;
            entry.values_at = at;
        }
        _ => {}
    }
    Ok(())
}

/// Number of groups of each width, and the bits of all their codes.
fn count_widths(
    packed: &[u8],
    grouping: Grouping,
    name: &str,
    minimum: BitWidth,
    maximum: BitWidth,
) -> Result<([usize; BitWidth::COUNT], u64), ReadError> {
    let mut histogram = [0; BitWidth::COUNT];
    let mut code_bits = 0u64;
    let mut offsets = BitReader::new(packed);
    let offset_width = offset_width(minimum, maximum);
    for group in 0..grouping.count() {
        let width = u16::from(minimum.get()) + offsets.take(offset_width);
        if width > u16::from(maximum.get()) {
            return Err(ReadError::WidthAboveMaximum {
                name: name.to_owned(),
                group,
                found: width,
                maximum: maximum.get(),
            });
        }
        histogram[usize::from(width)] += 1;
        let bits = (grouping.group_len(group) as u64).saturating_mul(width.into());
        code_bits = code_bits.saturating_add(bits);
    }
    Ok((histogram, code_bits))
}

/// An alias's widths are those of what it stands for.
fn describe_aliases(tensors: &mut [TensorEntry]) {
    for index in 0..tensors.len() {
        if let TensorKind::Alias { target } = tensors[index].kind {
            tensors[index].quantized = tensors[target].quantized.clone();
        }
    }
}

/// Bits that tell a group's width, as how far it is above the tensor's smallest.
pub(super) fn offset_width(minimum: BitWidth, maximum: BitWidth) -> u32 {
    bits_to_tell(1 + maximum.get().saturating_sub(minimum.get()))
}

/// The next bytes and where they are.
fn take<'a>(
    cursor: &mut Cursor<'a>,
    count: u64,
    what: std::fmt::Arguments<'_>,
) -> Result<(Range<usize>, &'a [u8]), ReadError> {
    let start = cursor.position();
    let taken = cursor.take(count, what)?;
    Ok((start..cursor.position(), taken))
}

/// Room for so many things of a tensor, or an error instead of an abort.
fn reserved<T>(count: usize, entry: &TensorEntry) -> Result<Vec<T>, ReadError> {
    let mut things = Vec::new();
    match things.try_reserve_exact(count) {
        Ok(()) => Ok(things),
        Err(_) => Err(ReadError::OutOfMemory { name: entry.name.clone(), elements: entry.elements }),
    }
}

/// Reads everything that a file has, as a stranger's file is read.
///
/// # Errors
/// The first [`ReadError`].
pub fn probe(bytes: &[u8]) -> Result<(), ReadError> {
    probe_with_limits(bytes, &Limits::default())
}

/// As [`probe`], within limits.
///
/// # Errors
/// The first [`ReadError`].
pub fn probe_with_limits(bytes: &[u8], limits: &Limits) -> Result<(), ReadError> {
    let reader = ContainerReader::with_limits(bytes, limits)?;
    for entry in reader.tensors() {
        // An alias costs its writer a few bytes: what it stands for is read once.
        if !matches!(entry.kind(), TensorKind::Alias { .. }) {
            reader.values(entry.name())?;
        }
    }
    Ok(())
}
