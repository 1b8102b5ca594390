//! Tensors to a file's bytes.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::path::Path;

use crc32fast::Hasher;

use super::header::{mark, put_metadata};
use super::layout::{Data, Section, lay_out};
use super::limits::{FREQUENCY_TABLE_BYTES, NAME_BYTES, RANK};
use super::table::{WrittenNames, put_alias, put_float, put_quantized, put_raw};
use super::{Limits, WriteError};
use crate::atomic::write_atomically_on;
use crate::disk::{Disk, SystemDisk};
use crate::encoding::classes::WidthClasses;
use crate::encoding::coded::{self, SharedModels};
use crate::encoding::cursor::{number_bytes, put_number};
use crate::encoding::ranges::{self, SharedRangeTables};
use crate::encoding::{floats, packed, widths};
use crate::group::element_count;
use crate::{
    CodeEncoding, ElementType, Encoding, FloatEncoding, QuantizeError, QuantizedTensor, RangeGranularity,
    ValueRange,
};

/// Builds a `.fewbit` file; what it accepts, a reader with default [`Limits`] reads.
///
/// Tensors are stored in the order they are added. The same calls give the same bytes. After an error
/// the file is as it was before the call. Tensors are encoded as they are added, so that what is kept in
/// memory is as large as the file.
#[derive(Clone, Debug, Default)]
pub struct ContainerWriter {
    metadata: Vec<u8>,
    keys: HashSet<String>,
    table: Vec<u8>,
    /// The data of each tensor of the table, and their bytes: apart, so that nothing moves as the file grows.
    data: Vec<Data>,
    payload: Vec<Vec<u8>>,
    /// The place of each tensor in the table, the bytes that it is read as, and whether it is an alias.
    tensors: HashMap<String, Written>,
    names: WrittenNames,
    /// The frequencies that coded tensors so far have brought.
    shared: SharedModels,
    shared_ranges: SharedRangeTables,
    /// How many frequency tables there are.
    tables: usize,
    elements: u64,
    output_bytes: u64,
    name_bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Written {
    place: usize,
    output_bytes: u64,
    alias: bool,
}

impl ContainerWriter {
    /// A file with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry of metadata.
    ///
    /// # Errors
    /// [`WriteError`]: an empty or repeated key, or too much of it.
    pub fn metadata(&mut self, key: &str, value: &str) -> Result<&mut Self, WriteError> {
        if key.is_empty() {
            let what = "a metadata key";
            return Err(WriteError::Empty { what });
        }
        if self.keys.contains(key) {
            let key = key.to_owned();
            return Err(WriteError::DuplicateKey { key });
        }
        let limits = Limits::default();
        within(key, "bytes of a key", key.len() as u64, NAME_BYTES as u64)?;
        within(key, "metadata entries", self.keys.len() as u64 + 1, limits.metadata as u64)?;
        self.header_within(key, key.len() + value.len())?;
        put_metadata(&mut self.metadata, key, value);
        self.keys.insert(key.to_owned());
        Ok(self)
    }

    /// Adds a quantized tensor, packed or coded, whichever takes fewer bytes.
    ///
    /// # Errors
    /// [`WriteError`]: an empty or repeated name, or too large a tensor.
    pub fn quantized(&mut self, name: &str, tensor: &QuantizedTensor) -> Result<&mut Self, WriteError> {
        self.quantized_as(name, tensor, CodeEncoding::Smaller)
    }

    /// Adds a quantized tensor in the encoding that is asked for.
    ///
    /// # Errors
    /// [`WriteError`], as for [`quantized`](Self::quantized).
    pub fn quantized_as(
        &mut self,
        name: &str,
        tensor: &QuantizedTensor,
        encoding: CodeEncoding,
    ) -> Result<&mut Self, WriteError> {
        self.check(name, tensor.shape(), tensor.len(), size_of::<f32>())?;
        let widths: Vec<u8> = tensor.widths().iter().map(|width| width.get()).collect();
        let classes = WidthClasses::of(tensor.grouping(), &widths);
        let packed = || packed_form(name, tensor, &classes, &widths);
        let coded = || coded_form(tensor, &classes, &widths, &self.shared, &self.shared_ranges);
        let mut chosen = match encoding {
            CodeEncoding::Packed => packed()?,
            CodeEncoding::Coded => coded(),
            CodeEncoding::Smaller => {
                let coded = coded();
                if (coded.bytes() as u64) < packed_form_bytes(tensor, &classes) { coded } else { packed()? }
            }
        };
        let directories = chosen.directories.iter().map(Vec::len).sum::<usize>();
        self.header_within(name, 2 * name.len() + directories + chosen.tables * FREQUENCY_TABLE_BYTES)?;
        if let Some(shared) = chosen.shared.take() {
            (self.shared, self.shared_ranges) = shared;
        }
        self.tables += chosen.tables;
        let size = [tensor.len(), size_of::<f32>()];
        let data = std::mem::take(&mut chosen.data);
        self.add(name, size, chosen.encoding, data, |table| {
            put_quantized(
                table,
                tensor,
                &classes,
                chosen.encoding,
                chosen.directories.each_ref().map(|d| &d[..]),
            );
        });
        Ok(self)
    }

    /// Adds a tensor as 32-bit floats, bit for bit.
    ///
    /// # Errors
    /// [`WriteError`]: an empty or repeated name, too large a tensor, or another number of values than
    /// the shape has.
    pub fn float(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Result<&mut Self, WriteError> {
        self.float_as(name, shape, values, FloatEncoding::Float32)
    }

    /// Adds a tensor as floats of a precision; values read back as [`FloatEncoding::round`] has them.
    ///
    /// # Errors
    /// [`WriteError`], as for [`float`](Self::float), and [`WriteError::TooLarge`] for a finite value
    /// that would become infinite.
    pub fn float_as(
        &mut self,
        name: &str,
        shape: &[usize],
        values: &[f32],
        encoding: FloatEncoding,
    ) -> Result<&mut Self, WriteError> {
        self.check(name, shape, values.len(), size_of::<f32>())?;
        let too_large = |value: &f32| value.is_finite() && !encoding.round(*value).is_finite();
        if let Some(index) = values.iter().position(too_large) {
            let (name, value) = (name.to_owned(), values[index]);
            let encoding = Encoding::from(encoding).name();
            return Err(WriteError::TooLarge { name, index, value, encoding });
        }
        let mut data = Vec::new();
        floats::put(&mut data, values, encoding);
        let size = [values.len(), size_of::<f32>()];
        self.add(name, size, encoding.into(), data, |table| put_float(table, shape, encoding));
        Ok(self)
    }

    /// Adds a tensor of elements that are not weights, byte for byte; `bytes` are the elements in stored
    /// order, little-endian.
    ///
    /// ```
    /// # use fewbit::{ContainerReader, ContainerWriter, ElementType};
    /// let counts = [7i64, -1].map(i64::to_le_bytes).concat();
    /// let mut writer = ContainerWriter::new();
    /// writer.raw("counts", &[2], ElementType::Int64, &counts)?;
    /// let file = writer.to_bytes();
    /// assert_eq!(ContainerReader::new(&file)?.raw("counts")?, counts);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`WriteError`]: an empty or repeated name, too large a tensor, or another number of bytes than the
    /// shape has.
    pub fn raw(
        &mut self,
        name: &str,
        shape: &[usize],
        elements: ElementType,
        bytes: &[u8],
    ) -> Result<&mut Self, WriteError> {
        // What cannot be counted, the check refuses as a shape.
        let count = element_count(shape).unwrap_or(usize::MAX);
        self.check(name, shape, count, elements.bytes())?;
        let (needed, found) = (count as u64 * elements.bytes() as u64, bytes.len());
        if needed != found as u64 {
            let (name, shape) = (name.to_owned(), shape.to_vec());
            return Err(WriteError::RawBytes { name, shape, elements, found, needed });
        }
        let size = [count, elements.bytes()];
        self.add(name, size, Encoding::Raw(elements), bytes.to_vec(), |table| {
            put_raw(table, shape, elements)
        });
        Ok(self)
    }

    /// Adds a second name for a tensor that was added before.
    ///
    /// # Errors
    /// [`WriteError`]: an empty or repeated name, or a target that is not there or itself an alias.
    pub fn alias(&mut self, name: &str, target: &str) -> Result<&mut Self, WriteError> {
        self.check(name, &[0], 0, 0)?;
        let Some(&Written { place, output_bytes, alias }) = self.tensors.get(target) else {
            let (name, target) = (name.to_owned(), target.to_owned());
            return Err(WriteError::UnknownTarget { name, target });
        };
        if alias {
            let (name, target) = (name.to_owned(), target.to_owned());
            return Err(WriteError::AliasOfAlias { name, target });
        }
        let output = self.output_bytes.saturating_add(output_bytes);
        within(name, "bytes of all values", output, Limits::default().output_bytes)?;
        self.add(name, [0; 2], Encoding::Float32, Vec::new(), |table| put_alias(table, place));
        self.output_bytes = output;
        self.tensors
            .insert(name.to_owned(), Written { place: self.data.len() - 1, output_bytes, alias: true });
        Ok(self)
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A vector takes whatever it is given.
        let _ = self.write_to(&mut bytes);
        bytes
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        // As `head` has it, without the sums themselves.
        let counts = number_bytes(self.keys.len() as u64) + number_bytes(self.data.len() as u64);
        let sums = 4 * self.sections(0).count() as u64;
        let body = counts + (self.metadata.len() + self.table.len()) as u64 + sums;
        let head = mark().len() as u64 + number_bytes(body) + body + 4;
        self.sections(head).map(|(section, _)| section.at.end).last().unwrap_or(head) + 4
    }

    /// Writes the file's bytes to anything, and returns how many they are.
    ///
    /// # Errors
    /// What `out` returns.
    pub fn write_to(&self, out: &mut (impl Write + ?Sized)) -> io::Result<u64> {
        let head = self.head();
        let mut whole = Hasher::new();
        let mut written = 0;
        let mut put = |bytes: &[u8]| {
            whole.update(bytes);
            written += bytes.len() as u64;
            out.write_all(bytes)
        };
        put(&head)?;
        put(&crc32fast::hash(&head).to_le_bytes())?;
        for (section, data) in self.sections(head.len() as u64 + 4) {
            put(&vec![0; section.fill as usize])?;
            data.iter().try_for_each(|data| put(data))?;
        }
        out.write_all(&whole.finalize().to_le_bytes())?;
        Ok(written + 4)
    }

    /// Writes the file, whole or not at all, and returns its length in bytes.
    ///
    /// # Errors
    /// [`WriteError::File`], which names the path; see
    /// [`write_atomically`](crate::atomic::write_atomically).
    pub fn write_file(&self, path: &Path) -> Result<u64, WriteError> {
        self.write_file_on(&SystemDisk, path)
    }

    /// As [`write_file`](Self::write_file), on a disk that may be another than the system's.
    ///
    /// # Errors
    /// As [`write_file`](Self::write_file).
    pub fn write_file_on(&self, disk: &dyn Disk, path: &Path) -> Result<u64, WriteError> {
        let mut written = 0;
        write_atomically_on(disk, path, |mut out| {
            written = self.write_to(&mut out)?;
            Ok(())
        })?;
        Ok(written)
    }

    /// Everything up to the checksum of header and table.
    fn head(&self) -> Vec<u8> {
        let mut body = Vec::new();
        put_number(&mut body, self.keys.len() as u64);
        body.extend_from_slice(&self.metadata);
        put_number(&mut body, self.data.len() as u64);
        body.extend_from_slice(&self.table);
        for (_, data) in self.sections(0) {
            let mut sum = Hasher::new();
            data.iter().for_each(|data| sum.update(data));
            body.extend_from_slice(&sum.finalize().to_le_bytes());
        }
        let mut head = mark();
        put_number(&mut head, body.len() as u64);
        head.extend_from_slice(&body);
        head
    }

    /// The sections of a file whose first begins at `start`, and the bytes of their tensors.
    fn sections(&self, start: u64) -> impl Iterator<Item = (Section, &[Vec<u8>])> {
        // All data are in memory, so their end can be counted.
        let (sections, _) = lay_out(start, &self.data).unwrap_or_default();
        sections.into_iter().map(|section| {
            let data = &self.payload[section.tensors.clone()];
            (section, data)
        })
    }

    /// Whether a tensor could be added, whose values are read as so many bytes each.
    fn check(
        &self,
        name: &str,
        shape: &[usize],
        values: usize,
        value_bytes: usize,
    ) -> Result<(), WriteError> {
        if name.is_empty() {
            let what = "a tensor's name";
            return Err(WriteError::Empty { what });
        }
        if self.tensors.contains_key(name) {
            let name = name.to_owned();
            return Err(WriteError::DuplicateName { name });
        }
        let limits = Limits::default();
        within(name, "bytes of a name", name.len() as u64, NAME_BYTES as u64)?;
        within(name, "tensors", self.tensors.len() as u64 + 1, limits.tensors as u64)?;
        within(name, "dimensions", shape.len() as u64, RANK as u64)?;
        let source = match element_count(shape) {
            None => QuantizeError::ShapeOverflow { shape: shape.to_vec() },
            Some(expected) if expected != values => {
                QuantizeError::ElementCount { shape: shape.to_vec(), expected, found: values }
            }
            Some(_) => {
                let elements = self.elements.saturating_add(values as u64);
                within(name, "values of all tensors", elements, limits.elements)?;
                let bytes = (values as u64).saturating_mul(value_bytes as u64);
                let bytes = self.output_bytes.saturating_add(bytes);
                within(name, "bytes of all values", bytes, limits.output_bytes)?;
                // Counted twice, as the reader does: once in the table, once written out.
                return self.header_within(name, 2 * name.len());
            }
        };
        let name = name.to_owned();
        Err(WriteError::Shape { name, source })
    }

    /// Whether header and table stay within what a reader accepts, with so many bytes more.
    fn header_within(&self, name: &str, added: usize) -> Result<(), WriteError> {
        /// More than the fixed fields of an entry, and of the header, can take.
        const FIXED: usize = 512;
        // At most one section for each tensor.
        let sums = 4 * self.data.len();
        let tables = self.tables * FREQUENCY_TABLE_BYTES;
        let bytes = self.metadata.len() + self.table.len() + sums + self.name_bytes + tables + added + FIXED;
        within(name, "bytes of header and table", bytes as u64, Limits::default().header_bytes as u64)
    }

    /// Adds an entry to the table, and its data; its size is its elements, and the bytes that each is read as.
    fn add(
        &mut self,
        name: &str,
        [elements, value_bytes]: [usize; 2],
        encoding: Encoding,
        data: Vec<u8>,
        put: impl FnOnce(&mut Vec<u8>),
    ) {
        self.names.put(&mut self.table, name);
        put(&mut self.table);
        let place = self.data.len();
        self.data.push(Data { bytes: data.len() as u64, packed: encoding == Encoding::Packed });
        self.payload.push(data);
        let output_bytes = elements as u64 * value_bytes as u64;
        self.tensors.insert(name.to_owned(), Written { place, output_bytes, alias: false });
        self.elements += elements as u64;
        self.output_bytes += output_bytes;
        self.name_bytes += name.len();
    }
}

/// A quantized tensor in one encoding.
struct Form {
    encoding: Encoding,
    /// How the streams of codes, and those of ranges, are divided.
    directories: [Vec<u8>; 2],
    /// Frequency tables in these.
    tables: usize,
    data: Vec<u8>,
    /// The frequencies that later tensors share, if it changes them.
    shared: Option<(SharedModels, SharedRangeTables)>,
}

impl Form {
    fn bytes(&self) -> usize {
        self.directories.iter().map(Vec::len).sum::<usize>() + self.data.len()
    }
}

fn packed_form(
    name: &str,
    tensor: &QuantizedTensor,
    classes: &WidthClasses,
    widths: &[u8],
) -> Result<Form, WriteError> {
    let packing = |source| WriteError::Packing { name: name.to_owned(), source };
    let mixed = Some(widths).filter(|_| !classes.is_uniform());
    let mut data = packed::pack(tensor.codes(), classes, mixed).map_err(packing)?;
    data.extend(widths::pack(widths, classes));
    data.extend(ranges::pack(&ranges_of_data(tensor), tensor.ranges().form()));
    debug_assert_eq!(data.len() as u64, packed_form_bytes(tensor, classes));
    Ok(Form { encoding: Encoding::Packed, directories: Default::default(), tables: 0, data, shared: None })
}

/// Bytes of the packed form, which need not be made to be counted.
fn packed_form_bytes(tensor: &QuantizedTensor, classes: &WidthClasses) -> u64 {
    let ranges = match tensor.ranges().granularity() {
        RangeGranularity::Tensor => 0,
        _ => tensor.ranges().stored(tensor.widths()).count() * tensor.ranges().form().bytes(),
    };
    packed::packed_bytes(classes) + widths::packed_bytes(classes) + ranges as u64
}

fn coded_form(
    tensor: &QuantizedTensor,
    classes: &WidthClasses,
    widths: &[u8],
    shared: &SharedModels,
    shared_ranges: &SharedRangeTables,
) -> Form {
    let coded = coded::encode(tensor.codes(), classes, widths, shared);
    let mut table = Vec::new();
    coded.directory.put(&mut table);
    let mut models = shared.clone();
    coded.directory.share(&mut models);
    let ranges = ranges::encode(&ranges_of_data(tensor), tensor.ranges().form(), shared_ranges);
    let mut data = coded.streams;
    data.reserve_exact(ranges.streams.len());
    data.extend(ranges.streams);
    Form {
        encoding: Encoding::Coded,
        directories: [table, ranges.directory],
        tables: coded.directory.tables() + ranges.tables,
        data,
        shared: Some((models, ranges.shared)),
    }
}

/// The ranges that are stored in a tensor's data: none where there is one for the whole tensor, as the
/// table has it.
fn ranges_of_data(tensor: &QuantizedTensor) -> Vec<ValueRange> {
    match tensor.ranges().granularity() {
        RangeGranularity::Tensor => Vec::new(),
        _ => tensor.ranges().stored(tensor.widths()).collect(),
    }
}

fn within(name: &str, what: &'static str, found: u64, limit: u64) -> Result<(), WriteError> {
    if found > limit {
        let name = name.to_owned();
        return Err(WriteError::OverLimit { name, what, found, limit });
    }
    Ok(())
}
