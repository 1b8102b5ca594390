//! Tensors to a file's bytes.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::cursor::put_number;
use super::header::{mark, put_metadata};
use super::limits::{NAME_BYTES, RANK};
use super::reader::offset_width;
use super::table::{put_alias, put_float, put_name, put_quantized, width_bounds};
use super::{Limits, WriteError};
use crate::atomic::write_atomically;
use crate::bitpack;
use crate::tensor::element_count;
use crate::{BitWidth, GroupSize, Grouping, QuantizeError, QuantizedTensor};

/// Builds a `.fewbit` file; what it accepts, a reader with default [`Limits`] reads.
///
/// Tensors are stored in the order they are added. The same calls give the same bytes. After an error
/// the file is as it was before the call.
#[derive(Clone, Debug, Default)]
pub struct ContainerWriter {
    metadata: Vec<u8>,
    keys: HashSet<String>,
    table: Vec<u8>,
    payload: Vec<u8>,
    /// The place of each tensor in the table, and whether it is an alias.
    tensors: HashMap<String, (usize, bool)>,
    last_name: String,
    elements: u64,
    name_bytes: usize,
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
        within(key, "bytes of a key", key.len(), NAME_BYTES as u64)?;
        within(key, "metadata entries", self.keys.len() + 1, limits.metadata as u64)?;
        let added = key.len() + value.len();
        self.header_within(key, added)?;
        put_metadata(&mut self.metadata, key, value);
        self.keys.insert(key.to_owned());
        Ok(self)
    }

    /// Adds a quantized tensor.
    ///
    /// # Errors
    /// [`WriteError`]: an empty or repeated name, or too large a tensor.
    pub fn quantized(&mut self, name: &str, tensor: &QuantizedTensor) -> Result<&mut Self, WriteError> {
        self.check(name, tensor.shape(), tensor.len())?;
        let packing = |source| WriteError::Packing { name: name.to_owned(), source };
        let (minimum, maximum) = width_bounds(tensor.widths());
        let offsets: Vec<u16> =
            tensor.widths().iter().map(|width| u16::from(width.get() - minimum.get())).collect();
        // Widths are packed as codes are: one group, as wide as the largest offset needs.
        let all = Grouping::new(GroupSize::WholeTensor, offsets.len());
        let width = BitWidth::new(offset_width(minimum, maximum) as u8).unwrap_or(BitWidth::MAX);
        let widths = bitpack::pack(&offsets, all, &vec![width; all.count()]).map_err(packing)?;
        let codes = bitpack::pack(tensor.codes(), tensor.grouping(), tensor.widths()).map_err(packing)?;
        self.add(name, tensor.len(), false, |table| put_quantized(table, tensor));
        self.payload.extend_from_slice(&widths);
        self.payload.extend_from_slice(&codes);
        Ok(self)
    }

    /// Adds a tensor as 32-bit floats, bit for bit.
    ///
    /// # Errors
    /// [`WriteError`]: an empty or repeated name, too large a tensor, or another number of values than
    /// the shape has.
    pub fn float(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Result<&mut Self, WriteError> {
        self.check(name, shape, values.len())?;
        self.add(name, values.len(), false, |table| put_float(table, shape));
        self.payload.reserve(4 * values.len());
        for value in values {
            self.payload.extend_from_slice(&value.to_le_bytes());
        }
        Ok(self)
    }

    /// Adds a second name for a tensor that was added before.
    ///
    /// # Errors
    /// [`WriteError`]: an empty or repeated name, or a target that is not there or itself an alias.
    pub fn alias(&mut self, name: &str, target: &str) -> Result<&mut Self, WriteError> {
        self.check(name, &[], 1)?;
        let names = || (name.to_owned(), target.to_owned());
        match self.tensors.get(target) {
            None => {
                let (name, target) = names();
                Err(WriteError::UnknownTarget { name, target })
            }
            Some((_, true)) => {
                let (name, target) = names();
                Err(WriteError::AliasOfAlias { name, target })
            }
            Some(&(place, false)) => {
                self.add(name, 0, true, |table| put_alias(table, place));
                Ok(self)
            }
        }
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = mark();
        put_number(&mut bytes, self.keys.len() as u64);
        bytes.extend_from_slice(&self.metadata);
        put_number(&mut bytes, self.tensors.len() as u64);
        bytes.extend_from_slice(&self.table);
        bytes.extend_from_slice(&self.payload);
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Writes the file, whole or not at all, and returns its length in bytes.
    ///
    /// # Errors
    /// [`WriteError::File`], which names the path; see [`write_atomically`].
    pub fn write_file(&self, path: &Path) -> Result<u64, WriteError> {
        let bytes = self.to_bytes();
        write_atomically(path, &bytes)?;
        Ok(bytes.len() as u64)
    }

    /// Whether a tensor could be added.
    fn check(&self, name: &str, shape: &[usize], values: usize) -> Result<(), WriteError> {
        if name.is_empty() {
            let what = "a tensor's name";
            return Err(WriteError::Empty { what });
        }
        if self.tensors.contains_key(name) {
            let name = name.to_owned();
            return Err(WriteError::DuplicateName { name });
        }
        let limits = Limits::default();
        within(name, "bytes of a name", name.len(), NAME_BYTES as u64)?;
        within(name, "tensors", self.tensors.len() + 1, limits.tensors as u64)?;
        within(name, "dimensions", shape.len(), RANK as u64)?;
        let source = match element_count(shape) {
            None => QuantizeError::ShapeOverflow { shape: shape.to_vec() },
            Some(expected) if expected != values => {
                QuantizeError::ElementCount { shape: shape.to_vec(), expected, found: values }
            }
            Some(_) => {
                let elements = self.elements.saturating_add(values as u64);
                within_u64(name, "values of all tensors", elements, limits.elements)?;
                let bytes = (values as u64).saturating_mul(4);
                within_u64(name, "bytes of values", bytes, limits.output_bytes)?;
                // Counted twice, as the reader does: once in the table, once written out.
                return self.header_within(name, 2 * name.len());
            }
        };
        let name = name.to_owned();
        Err(WriteError::Shape { name, source })
    }

    /// Whether header and table stay within what a reader accepts, with so many bytes of text more.
    fn header_within(&self, name: &str, added: usize) -> Result<(), WriteError> {
        /// More than the fixed fields of an entry, and of the header, can take.
        const FIXED: usize = 256;
        let bytes = self.metadata.len() + self.table.len() + self.name_bytes + added + FIXED;
        let limit = Limits::default().header_bytes as u64;
        within(name, "bytes of header and table", bytes, limit)
    }

    /// Adds an entry to the table.
    fn add(&mut self, name: &str, values: usize, alias: bool, put: impl FnOnce(&mut Vec<u8>)) {
        put_name(&mut self.table, &self.last_name, name);
        put(&mut self.table);
        let place = self.tensors.len();
        self.tensors.insert(name.to_owned(), (place, alias));
        self.last_name = name.to_owned();
        self.elements += values as u64;
        self.name_bytes += name.len();
    }
}

fn within(name: &str, what: &'static str, found: usize, limit: u64) -> Result<(), WriteError> {
    within_u64(name, what, found as u64, limit)
}

fn within_u64(name: &str, what: &'static str, found: u64, limit: u64) -> Result<(), WriteError> {
    if found > limit {
        let name = name.to_owned();
        return Err(WriteError::OverLimit { name, what, found, limit });
    }
    Ok(())
}
