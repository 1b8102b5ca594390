//! CIFAR-10, in any of the forms in which people keep it.
//!
//! | form | what it holds |
//! |---|---|
//! | binary batches | `data_batch_1.bin` … `data_batch_5.bin`, `test_batch.bin` |
//! | class folders | `train/<class>/<name>.jpg` or `.png`, `test/<class>/…` |
//! | tar, tar.gz or tgz | one of the above, inside any folder; one archive or several |

mod batches;
mod collect;
mod picture;
mod pictures;

use std::path::Path;

use self::collect::Collected;
use super::cifar_records::SHAPE;
use super::{DataError, DataSetKind, ImageData};

/// The names of the two splits in paths, in the order of [`ImageData`]'s fields.
const SPLITS: [&str; 2] = ["train", "test"];
const CLASSES: usize = 10;

/// Loads the training and the test set from a folder or an archive; see the [module](self) for what it may hold.
///
/// Labels are the classes in alphabetical order, as in the original. Binary records keep their order. Pictures go
/// round the classes: the first file (in name order) of each class, then the second of each, so that a validation
/// split taken from the end has every class in it.
///
/// # Errors
/// [`DataError`] with the file, or its place in the archive, that is missing, cut, damaged, of another size than
/// 32 × 32 or too large.
pub fn load(path: &Path) -> Result<ImageData, DataError> {
    let collected = if path.is_dir() {
        Collected::from_folder(path)?
    } else if path.is_file() {
        let mut collected = Collected::default();
        collected.add_tar(path)?;
        collected
    } else {
        return Err(not_found(path, "a folder or a tar[.gz] archive"));
    };
    if !collected.batches.is_empty() {
        return batches::assemble(path, collected.batches);
    }
    if collected.pictures.iter().all(|split| split.is_empty()) {
        return Err(not_found(
            path,
            "data_batch_1.bin … data_batch_5.bin and test_batch.bin, or train/<class>/*.jpg|png and \
             test/<class>/*.jpg|png, or tar[.gz] archives of either",
        ));
    }
    pictures::assemble(path, collected.pictures)
}

fn not_found(path: &Path, looked_for: &str) -> DataError {
    DataError::NotFound {
        kind: DataSetKind::Cifar10,
        path: path.to_owned(),
        looked_for: looked_for.to_owned(),
    }
}

#[cfg(test)]
mod tests;
