//! The front of a file: the mark, the version and the metadata.

use std::collections::HashSet;

use super::limits::NAME_BYTES;
use super::{FORMAT_VERSION, Limits, ReadError};
use crate::encoding::cursor::{Cursor, put_text};

/// The first bytes of every file, of every version.
///
/// The first is no ASCII and begins no UTF-8 text; the line ends and the end-of-file character show
/// when a transfer in text mode has changed them, as in PNG.
pub(super) const MAGIC: [u8; 8] = *b"\x8bFWB\r\n\x1a\n";

/// The mark and the version, as they are written.
pub(super) fn mark() -> Vec<u8> {
    [&MAGIC[..], &FORMAT_VERSION.to_le_bytes()].concat()
}

/// Goes past the mark and the version, once they are known to be ours.
pub(super) fn read_mark(cursor: &mut Cursor<'_>, bytes: &[u8]) -> Result<(), ReadError> {
    if bytes.is_empty() {
        return Err(ReadError::Empty);
    }
    let first = &bytes[..bytes.len().min(MAGIC.len())];
    if !MAGIC.starts_with(first) {
        let found = first.to_vec();
        return Err(ReadError::NotFewbit { found });
    }
    cursor.array::<{ MAGIC.len() }>("the file's mark")?;
    let found = u16::from_le_bytes(cursor.array("the format version")?);
    match found {
        0 => Err(ReadError::UnreleasedVersion { found }),
        found if found > FORMAT_VERSION => Err(ReadError::NewerVersion { found, supported: FORMAT_VERSION }),
        _ => Ok(()),
    }
}

/// The keys and values, in order.
pub(super) fn read_metadata(
    cursor: &mut Cursor<'_>,
    limits: &Limits,
) -> Result<Vec<(String, String)>, ReadError> {
    let count = cursor.count("the number of metadata entries")?;
    over_limit("metadata entries", count as u64, limits.metadata as u64)?;
    let mut entries = Vec::new();
    let mut keys = HashSet::new();
    for index in 0..count {
        let key = cursor.text("a metadata key")?;
        if key.is_empty() {
            return Err(ReadError::EmptyKey { index });
        }
        over_limit("bytes of a metadata key", key.len() as u64, NAME_BYTES as u64)?;
        if !keys.insert(key) {
            let key = key.to_owned();
            return Err(ReadError::DuplicateKey { key });
        }
        entries.push((key.to_owned(), cursor.text("a metadata value")?.to_owned()));
    }
    Ok(entries)
}

/// Appends one key and its value.
pub(super) fn put_metadata(bytes: &mut Vec<u8>, key: &str, value: &str) {
    put_text(bytes, key);
    put_text(bytes, value);
}

/// An error when there is more of something than allowed.
pub(super) fn over_limit(what: &'static str, found: u64, limit: u64) -> Result<(), ReadError> {
    if found > limit {
        return Err(ReadError::OverLimit { what, found, limit });
    }
    Ok(())
}
