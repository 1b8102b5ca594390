//! The original binary form: records of one label byte and three planes.

use std::collections::BTreeMap;
use std::path::Path;

use super::collect::Encoded;
use super::{CLASSES, DataError, SHAPE, not_found};
use crate::data::cifar_records::{self, Layout};
use crate::data::{ImageData, ImageSet};

/// The folder that the original archive unpacks to.
pub(super) const BATCH_FOLDER: &str = "cifar-10-batches-bin";
const TRAIN_BATCHES: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
const TEST_BATCHES: [&str; 1] = ["test_batch.bin"];
const LAYOUT: Layout = Layout { label_bytes: 1, class_at: 0, classes: CLASSES };

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
            cifar_records::append(&batch.place, &batch.bytes, LAYOUT, &mut pixels, &mut labels)?;
        }
        ImageSet::new(SHAPE, CLASSES, pixels, labels)
    };
    Ok(ImageData { train: set(&TRAIN_BATCHES)?, test: set(&TEST_BATCHES)? })
}
