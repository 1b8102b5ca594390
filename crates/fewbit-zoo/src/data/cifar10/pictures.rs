//! The form of class folders: a picture per record, the class from its folder.

use std::path::Path;

use rayon::prelude::*;

use super::collect::{ClassFolders, Encoded};
use super::{CLASSES, DataError, SHAPE, SPLITS, picture};
use crate::data::{ImageData, ImageSet};

/// Both sets, decoded in parallel.
pub(super) fn assemble(path: &Path, folders: [ClassFolders; 2]) -> Result<ImageData, DataError> {
    let classes: Vec<String> = folders[0].keys().cloned().collect();
    if classes.len() != CLASSES {
        return Err(DataError::Classes {
            path: path.to_owned(),
            split: SPLITS[0],
            found: classes,
            needed: CLASSES.to_string(),
        });
    }
    if !folders[1].keys().eq(&classes) {
        return Err(DataError::Classes {
            path: path.to_owned(),
            split: SPLITS[1],
            found: folders[1].keys().cloned().collect(),
            needed: format!("those of {}/ ({})", SPLITS[0], classes.join(", ")),
        });
    }
    let [train, test] = &folders;
    Ok(ImageData { train: decode_all(&round_robin(train))?, test: decode_all(&round_robin(test))? })
}

/// Label and picture: the first file of every class, then the second of every class that has one, and so on.
fn round_robin(classes: &ClassFolders) -> Vec<(u8, &Encoded)> {
    let mut records: Vec<(usize, u8, &Encoded)> = (0u8..)
        .zip(classes.values())
        .flat_map(|(label, files)| {
            let ranked = files.values().enumerate();
            ranked.map(move |(rank, file)| (rank, label, file))
        })
        .collect();
    records.sort_by_key(|&(rank, label, _)| (rank, label));
    records.into_iter().map(|(_, label, file)| (label, file)).collect()
}

fn decode_all(records: &[(u8, &Encoded)]) -> Result<ImageSet, DataError> {
    let mut pixels = vec![0; records.len() * SHAPE.values()];
    // The first error in record order, so that the message does not depend on the threads.
    let first_error = records
        .par_iter()
        .zip(pixels.par_chunks_exact_mut(SHAPE.values()))
        .find_map_first(|((_, file), planes)| picture::decode(file, SHAPE, planes).err());
    if let Some(error) = first_error {
        return Err(error);
    }
    let labels = records.iter().map(|&(label, _)| label).collect();
    ImageSet::new(SHAPE, CLASSES, pixels, labels)
}
