//! The directory of a zip archive whose entries are stored as they are.
//!
//! After PKWARE's APPNOTE 6.3.10, sections 4.3 and 4.5.3, as far as `torch.save` uses it: no compression, no
//! encryption, one disk, the longer fields of zip64 included.

use std::collections::HashMap;

use crate::Limits;
use crate::error::{Fault, FormatError, check_limit};
use crate::file::ByteFile;

/// Bytes of the record that ends the archive, without its comment, and the longest comment.
const END: u64 = 22;
const COMMENT: u64 = 0xffff;
/// Bytes of the record that says where the end record of zip64 is, and of that one.
const LOCATOR: u64 = 20;
const END_64: u64 = 56;
/// Bytes of an entry in the directory, and before its data, without names and extras.
const ENTRY: usize = 46;
const LOCAL: u64 = 30;

/// What the directory says of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    header: u64,
    pub(super) bytes: u64,
    stored: u64,
    sum: u32,
    method: u16,
    flags: u16,
}

impl Entry {
    /// The checksum of its bytes; 0 was never computed.
    pub(super) fn sum(&self) -> Option<u32> {
        (self.sum != 0).then_some(self.sum)
    }
}

/// The entries of a zip archive, by name.
pub(super) fn directory(file: &ByteFile, limits: &Limits) -> Result<HashMap<String, Entry>, Fault> {
    let (start, bytes) = directory_place(file)?;
    check_limit("bytes of the zip directory", bytes, limits.header_bytes as u64)?;
    let directory = file.bytes_at("the zip directory", start, bytes as usize)?;
    let mut entries = HashMap::new();
    let mut rest = directory.as_slice();
    while let Some((fixed, after)) = rest.split_at_checked(ENTRY) {
        let offset = start + (directory.len() - rest.len()) as u64;
        let bad = || FormatError::Zip { what: "an entry of the directory", offset };
        if !fixed.starts_with(b"PK\x01\x02") {
            return Err(bad().into());
        }
        let (name, after) = after.split_at_checked(u16_at(fixed, 28).into()).ok_or_else(bad)?;
        let (extra, after) = after.split_at_checked(u16_at(fixed, 30).into()).ok_or_else(bad)?;
        let (_, after) = after.split_at_checked(u16_at(fixed, 32).into()).ok_or_else(bad)?;
        rest = after;
        let name = str::from_utf8(name)
            .map_err(|_| FormatError::NotText { what: "the name of a zip entry", offset })?
            .to_owned();

        // Fields of 32 bits that are full are in the extra of zip64, in this order.
        let mut wide = extra_64(extra);
        let mut field = |at| match u32_at(fixed, at) {
            u32::MAX => {
                let (value, after) = wide.split_first_chunk().ok_or_else(bad)?;
                wide = after;
                Ok(u64::from_le_bytes(*value))
            }
            short => Ok::<u64, FormatError>(short.into()),
        };
        let (bytes, stored, header) = (field(24)?, field(20)?, field(42)?);
        let (sum, method, flags) = (u32_at(fixed, 16), u16_at(fixed, 10), u16_at(fixed, 8));
        let entry = Entry { header, bytes, stored, sum, method, flags };
        if entries.insert(name.clone(), entry).is_some() {
            return Err(FormatError::DuplicateEntry { entry: name }.into());
        }
    }
    Ok(entries)
}

/// Where an entry's bytes begin, once it is known that they are stored as they are and all there.
pub(super) fn data_start(file: &ByteFile, name: &str, entry: &Entry) -> Result<u64, Fault> {
    let found = match entry {
        Entry { flags, .. } if flags & 1 != 0 => Some("encrypted"),
        Entry { method, .. } if *method != 0 => Some("compressed"),
        Entry { bytes, stored, .. } if bytes != stored => Some("of two lengths"),
        _ => None,
    };
    if let Some(found) = found {
        return Err(FormatError::ZipEntry { entry: name.to_owned(), found }.into());
    }
    let local = file.bytes_at(name, entry.header, LOCAL as usize)?;
    if !local.starts_with(b"PK\x03\x04") {
        return Err(FormatError::Zip { what: "an entry", offset: entry.header }.into());
    }
    let start = entry.header + LOCAL + u64::from(u16_at(&local, 26)) + u64::from(u16_at(&local, 28));
    file.check(name, start, entry.bytes)?;
    Ok(start)
}

/// Where the directory begins, and its bytes.
fn directory_place(file: &ByteFile) -> Result<(u64, u64), Fault> {
    let tail_start = file.len.saturating_sub(END + COMMENT);
    let tail = file.bytes_at("the zip archive", tail_start, (file.len - tail_start) as usize)?;
    // The last record whose comment reaches to the end of the file.
    let ends_file = |at: &usize| {
        let record = &tail[*at..];
        record.starts_with(b"PK\x05\x06") && record.len() == END as usize + usize::from(u16_at(record, 20))
    };
    let missing = FormatError::Zip { what: "the end", offset: file.len };
    let last = tail.len().checked_sub(END as usize).and_then(|last| (0..=last).rev().find(ends_file));
    let Some(at) = last else { return Err(missing.into()) };
    let record = &tail[at..];
    let (bytes, start) = (u32_at(record, 12), u32_at(record, 16));

    let end = tail_start + at as u64;
    if let Some(locator) = at.checked_sub(LOCATOR as usize).map(|before| &tail[before..at])
        && locator.starts_with(b"PK\x06\x07")
        && (bytes == u32::MAX || start == u32::MAX || u16_at(record, 10) == u16::MAX)
    {
        let offset = u64_at(locator, 8);
        let record = file.bytes_at("the end of the zip archive", offset, END_64 as usize)?;
        if !record.starts_with(b"PK\x06\x06") {
            return Err(FormatError::Zip { what: "the end", offset }.into());
        }
        return Ok((u64_at(&record, 48), u64_at(&record, 40)));
    }
    let (start, bytes) = (u64::from(start), u64::from(bytes));
    if start + bytes > end {
        return Err(FormatError::Zip { what: "the directory", offset: start }.into());
    }
    Ok((start, bytes))
}

/// The fields of zip64 among an entry's extras, or nothing.
fn extra_64(mut extra: &[u8]) -> &[u8] {
    while extra.len() >= 4 {
        let (id, len) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let Some((field, rest)) = extra[4..].split_at_checked(len) else { break };
        if id == 1 {
            return field;
        }
        extra = rest;
    }
    &[]
}

/// A number at a place; 0 where there is none, which the records' lengths exclude.
fn number_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or([0; N])
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(number_at(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(number_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(number_at(bytes, at))
}
