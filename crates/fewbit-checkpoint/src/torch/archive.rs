//! The format of PyTorch 1.6 and later: a zip archive of `data.pkl`, `data/<key>` and a few words.

use std::collections::HashMap;

use super::tensors::{Stretch, locate_tensors};
use super::zip::{Entry, data_start, directory};
use crate::Limits;
use crate::checkpoint::Found;
use crate::error::{Fault, FormatError, check_limit};
use crate::file::ByteFile;
use crate::pickle::{Heap, Input, unpickle};

/// The tensors of a zip archive that `torch.save` wrote.
pub(crate) fn read_archive(file: &ByteFile, limits: &Limits) -> Result<Found, Fault> {
    let entries = directory(file, limits)?;
    // All entries are in one folder, called after the file that was saved.
    let folders = entries.keys().filter_map(|name| name.strip_suffix("data.pkl"));
    let folders = folders.filter(|folder| folder.is_empty() || folder.ends_with('/'));
    let Some(folder) = folders.min_by_key(|folder| (folder.len(), *folder)) else {
        return Err(FormatError::MissingEntry { entry: "data.pkl".into() }.into());
    };
    check_byte_order(file, &entries, &format!("{folder}byteorder"))?;

    let pickle = find(file, &entries, &format!("{folder}data.pkl"))?;
    let Some(pickle) = pickle else {
        return Err(FormatError::MissingEntry { entry: "data.pkl".into() }.into());
    };
    check_limit("bytes of a pickle", pickle.bytes, limits.header_bytes as u64)?;
    if let Some(expected) = pickle.sum {
        let found = crc32fast::hash(&file.bytes_at("the pickle", pickle.start, pickle.bytes as usize)?);
        if found != expected {
            return Err(FormatError::ChecksumMismatch { part: "data.pkl".into(), expected, found }.into());
        }
    }
    let mut heap = Heap::default();
    let mut input = Input::new(file, pickle.start..pickle.start + pickle.bytes, limits.header_bytes);
    let root = unpickle(&mut input, &mut heap, limits)?;
    let bytes = input.into_bytes();
    locate_tensors(root, &heap, &bytes, limits, |key| find(file, &entries, &format!("{folder}data/{key}")))
}

fn check_byte_order(file: &ByteFile, entries: &HashMap<String, Entry>, name: &str) -> Result<(), Fault> {
    // Files from before there was such an entry are little-endian.
    let Some(order) = find(file, entries, name)? else { return Ok(()) };
    let first = file.bytes_at(name, order.start, order.bytes.min(6) as usize)?;
    if first == b"little" { Ok(()) } else { Err(FormatError::BigEndian.into()) }
}

fn find(file: &ByteFile, entries: &HashMap<String, Entry>, name: &str) -> Result<Option<Stretch>, Fault> {
    let Some(entry) = entries.get(name) else { return Ok(None) };
    let start = data_start(file, name, entry)?;
    Ok(Some(Stretch { start, bytes: entry.bytes, sum: entry.sum() }))
}
