//! The binary records of CIFAR-10 and CIFAR-100: label bytes, then three planes of 32 × 32.

use std::path::Path;

use super::{DataError, ImageShape};

/// Three planes of 32 × 32: red, green, blue.
pub(super) const SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };

/// What stands before the planes of a record.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// Number of label bytes.
    pub(super) label_bytes: usize,
    /// The one of them that is the class.
    pub(super) class_at: usize,
    /// Number of classes.
    pub(super) classes: usize,
}

/// Adds the records of the file at `place` to the sets' pixels and labels.
///
/// # Errors
/// [`DataError::NoRecords`], [`DataError::Length`] unless the last record is whole, [`DataError::Label`] with the
/// first that is no class.
pub(super) fn append(
    place: &Path,
    contents: &[u8],
    layout: Layout,
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u8>,
) -> Result<(), DataError> {
    let record_bytes = layout.label_bytes + SHAPE.values();
    let records = contents.len().div_ceil(record_bytes);
    if records == 0 {
        return Err(DataError::NoRecords { path: place.to_owned() });
    }
    if contents.len() != records * record_bytes {
        return Err(DataError::Length {
            path: place.to_owned(),
            found: contents.len() as u64,
            needed: (records * record_bytes) as u64,
            contents: format!("{records} records of {record_bytes}"),
        });
    }
    for (record, bytes) in contents.chunks_exact(record_bytes).enumerate() {
        let (found, planes) = (bytes[layout.class_at], &bytes[layout.label_bytes..]);
        let classes = layout.classes;
        if usize::from(found) >= classes {
            return Err(DataError::Label { path: place.to_owned(), record, found, classes });
        }
        labels.push(found);
        pixels.extend_from_slice(planes);
    }
    Ok(())
}
