//! Everything before the data: read whole, checked by its sum, and enough to know where all bytes go.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use super::entry::TensorEntry;
use super::header::{over_limit, read_mark, read_metadata};
use super::layout::{Data, Section, lay_out, section_count};
use super::table::{Earlier, read_entry};
use super::{FileSize, Limits, ReadError, TensorKind};
use crate::Encoding;
use crate::encoding::cursor::Cursor;

/// Every checksum is a CRC-32.
pub(super) const CHECKSUM_BYTES: usize = 4;

/// An error and where in the file it was met.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) offset: u64,
    pub(super) error: ReadError,
}

impl Fault {
    pub(super) fn new(offset: u64, error: ReadError) -> Self {
        // Some errors know better.
        let offset = match &error {
            ReadError::Truncated { offset, .. }
            | ReadError::BadNumber { offset, .. }
            | ReadError::NotText { offset, .. } => *offset as u64,
            _ => offset,
        };
        Self { offset, error }
    }
}

/// What the header and the table of a file say.
#[derive(Debug)]
pub(super) struct Head {
    /// Its length, from the file's first byte to behind its checksum.
    pub(super) end: usize,
    pub(super) metadata: Vec<(String, String)>,
    pub(super) tensors: Vec<TensorEntry>,
    pub(super) by_name: HashMap<String, usize>,
    pub(super) sections: Vec<Section>,
    /// The checksum of each section.
    pub(super) sums: Vec<u32>,
    pub(super) size: FileSize,
}

/// Where the body of the header lies, from the mark, the version and its length.
pub(super) fn read_prefix(bytes: &[u8], limits: &Limits) -> Result<Range<usize>, Fault> {
    let mut cursor = Cursor::new(bytes);
    let read = |cursor: &mut Cursor<'_>| {
        read_mark(cursor, bytes)?;
        let length = cursor.count("the length of header and table")?;
        over_limit("bytes of header and table", length as u64, limits.header_bytes as u64)?;
        Ok(length)
    };
    let length = read(&mut cursor).map_err(|error| Fault::new(cursor.position() as u64, error))?;
    Ok(cursor.position()..cursor.position().saturating_add(length))
}

impl Head {
    /// The head of a file whose first bytes are these.
    pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Self, Fault> {
        Self::read_with(bytes, limits, |body, sum| {
            verify_checksum("header and table", &bytes[..body.end], sum)
        })
    }

    /// The same, whether or not its checksum is right.
    #[cfg(feature = "fuzzing")]
    pub(super) fn read_unchecked(bytes: &[u8], limits: &Limits) -> Result<Self, Fault> {
        Self::read_with(bytes, limits, |_, _| Ok(()))
    }

    fn read_with(
        bytes: &[u8],
        limits: &Limits,
        check: impl FnOnce(&Range<usize>, u32) -> Result<(), ReadError>,
    ) -> Result<Self, Fault> {
        let body = read_prefix(bytes, limits)?;
        let sum = take_body(bytes, &body).map_err(|error| Fault::new(body.start as u64, error))?;
        check(&body, sum).map_err(|error| Fault::new(body.end as u64, error))?;
        let mut cursor = Cursor::new(&bytes[..body.end]);
        Self::parse(&mut cursor, &body, limits).map_err(|error| Fault::new(cursor.position() as u64, error))
    }

    fn parse(cursor: &mut Cursor<'_>, body: &Range<usize>, limits: &Limits) -> Result<Self, ReadError> {
        cursor.take(body.start as u64, "the file's mark")?;
        let metadata = read_metadata(cursor, limits)?;
        let count = cursor.count("the number of tensors")?;
        over_limit("tensors", count as u64, limits.tensors as u64)?;
        let mut size = FileSize { header: cursor.position() as u64, ..FileSize::default() };
        let (mut tensors, by_name) = read_table(cursor, count, limits)?;

        let data: Vec<_> = tensors.iter().map(data_of).collect();
        let uncountable =
            || ReadError::OverLimit { what: "bytes of all data", found: u64::MAX, limit: u64::MAX - 1 };
        let mut sums = Vec::new();
        for _ in 0..section_count(&data).ok_or_else(uncountable)? {
            sums.push(u32::from_le_bytes(cursor.array("the checksum of a section")?));
        }
        if cursor.left() > 0 {
            let found = cursor.left();
            return Err(ReadError::BytesAfterTable { found });
        }
        let head_end = body.end + CHECKSUM_BYTES;
        let (sections, places) = lay_out(head_end as u64, &data).ok_or_else(uncountable)?;
        for section in &sections {
            tensors[section.tensors.start].bytes.unused = section.fill;
        }
        for (index, place) in places.into_iter().enumerate() {
            // Its target comes before it, so that its place is known.
            tensors[index].data_at = match tensors[index].kind {
                TensorKind::Alias { target } => tensors[target].data_at.clone(),
                _ => place,
            };
            size += tensors[index].bytes;
        }
        size.checksum = (CHECKSUM_BYTES * (sums.len() + 2)) as u64;
        Ok(Self { end: head_end, metadata, tensors, by_name, sections, sums, size })
    }

    /// The length of the whole file.
    pub(super) fn file_bytes(&self) -> u64 {
        self.data_end() + CHECKSUM_BYTES as u64
    }

    /// Where the data end and the checksum of the whole begins.
    pub(super) fn data_end(&self) -> u64 {
        self.sections.last().map_or(self.end as u64, |section| section.at.end)
    }

    /// What a section is called in errors.
    pub(super) fn section_name(&self, section: &Section) -> String {
        let names = &self.tensors[section.tensors.clone()];
        match names {
            [first, .., last] => format!("the section of tensors `{}` to `{}`", first.name, last.name),
            [only] => format!("the section of tensor `{}`", only.name),
            [] => "a section".to_owned(),
        }
    }
}

/// Goes past the body of the header, and returns the checksum behind it.
fn take_body(bytes: &[u8], body: &Range<usize>) -> Result<u32, ReadError> {
    let mut cursor = Cursor::new(bytes);
    cursor.take(body.start as u64, "the file's mark")?;
    cursor.take((body.end - body.start) as u64, "header and table")?;
    Ok(u32::from_le_bytes(cursor.array("the checksum of header and table")?))
}

fn read_table(
    cursor: &mut Cursor<'_>,
    count: usize,
    limits: &Limits,
) -> Result<(Vec<TensorEntry>, HashMap<String, usize>), ReadError> {
    let mut tensors: Vec<TensorEntry> = Vec::new();
    let mut by_name = HashMap::new();
    let mut known = Earlier::default();
    let (mut names, mut elements, mut output) = (0u64, 0u64, 0u64);
    for index in 0..count {
        let entry = read_entry(cursor, &tensors, &mut known, limits)?;
        if by_name.insert(entry.name.clone(), index).is_some() {
            return Err(ReadError::DuplicateName { name: entry.name });
        }
        names += entry.name.len() as u64;
        let read = names.saturating_add(cursor.position() as u64).saturating_add(known.table_bytes());
        over_limit("bytes of header and table", read, limits.header_bytes as u64)?;
        if entry.is_stored() {
            elements = elements.saturating_add(entry.elements as u64);
            over_limit("values of all tensors", elements, limits.elements)?;
        }
        // An alias counts like a tensor: whoever reads every name gets its values once more.
        output = output.saturating_add(entry.output_bytes());
        over_limit("bytes of all values", output, limits.output_bytes)?;
        tensors.push(entry);
    }
    Ok((tensors, by_name))
}

/// What the layout needs to know of a tensor.
pub(super) fn data_of(entry: &TensorEntry) -> Data {
    Data { bytes: entry.data_bytes, packed: entry.encoding == Encoding::Packed }
}

/// An error unless the bytes of a part have the checksum that was written.
pub(super) fn verify_checksum(part: impl fmt::Display, bytes: &[u8], expected: u32) -> Result<(), ReadError> {
    compare(part, crc32fast::hash(bytes), expected)
}

/// An error unless two checksums of a part are equal.
pub(super) fn compare(part: impl fmt::Display, found: u32, expected: u32) -> Result<(), ReadError> {
    if found == expected {
        return Ok(());
    }
    Err(ReadError::ChecksumMismatch { part: part.to_string(), expected, found })
}
