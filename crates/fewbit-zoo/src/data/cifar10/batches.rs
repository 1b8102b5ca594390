//! The original binary form: records of one label byte and three planes.

use std::collections::BTreeMap;
use std::path::Path;

use super::collect::Encoded;
use super::{CLASSES, DataError, SHAPE, not_found};
use crate::data::{ImageData, ImageSet};

/// The folder that the original archive unpacks to.
pub(super) const BATCH_FOLDER: &str = "cifar-10-batches-bin";
const TRAIN_BATCHES: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
const TEST_BATCHES: [&str; 1] = ["test_batch.bin"];
/// One byte of label, then the planes.
const RECORD_BYTES: usize = 1 + SHAPE.values();

pub(super) fn is_batch_name(name: &str) -> bool {
    TRAIN_BATCHES.contains(&name) || TEST_BATCHES.contains(&name)
}

/// Both sets from the six batches, by name.
pub(super) fn assemble(path: &Path, batches: BTreeMap<String, Encoded>) -> Result<ImageData, DataError> {
    let set = |names: &[&str]| {
        let mut pixels = Vec::new();
        let mut labels = Vec::new();
        for name in names {
            let batch = batches
                .get(*name)
                .ok_or_else(|| not_found(path, &format!("{name} (other batches are there)")))?;
            append_records(batch, &mut pixels, &mut labels)?;
        }
        ImageSet::new(SHAPE, CLASSES, pixels, labels)
    };
    Ok(ImageData { train: set(&TRAIN_BATCHES)?, test: set(&TEST_BATCHES)? })
}

fn append_records(batch: &Encoded, pixels: &mut Vec<u8>, labels: &mut Vec<u8>) -> Result<(), DataError> {
    let records = batch.bytes.len().div_ceil(RECORD_BYTES);
    if records == 0 {
        return Err(DataError::NoRecords { path: batch.place.clone() });
    }
    if batch.bytes.len() != records * RECORD_BYTES {
        return Err(DataError::Length {
            path: batch.place.clone(),
            found: batch.bytes.len() as u64,
            needed: (records * RECORD_BYTES) as u64,
            contents: format!("{records} records of {RECORD_BYTES}"),
        });
    }
    for (record, bytes) in batch.bytes.chunks_exact(RECORD_BYTES).enumerate() {
        let (label, planes) = (bytes[0], &bytes[1..]);
        if usize::from(label) >= CLASSES {
            return Err(DataError::Label {
                path: batch.place.clone(),
                record,
                found: label,
                classes: CLASSES,
            });
        }
        labels.push(label);
        pixels.extend_from_slice(planes);
    }
    Ok(())
}
