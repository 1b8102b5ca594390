//! Which pictures there are: class folders in name order, in each its files in name order.

use std::ffi::OsString;
use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use super::DataError;

/// Labels are 16 bits.
const MAX_CLASSES: usize = 1 << 16;
/// Some 2 GB of names. ImageNet has 1,281,167.
const MAX_PICTURES: usize = 1 << 24;
const EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];

/// A class and its pictures.
pub(super) struct Class {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    /// File names.
    pub(super) pictures: Vec<OsString>,
}

/// The classes of `train/` or `val/`.
///
/// # Errors
/// [`DataError::Read`], [`DataError::TooLarge`], and [`DataError::NoRecords`] with the folder that has no class, or no
/// picture.
pub(super) fn classes(split: &Path) -> Result<Vec<Class>, DataError> {
    let folders = sorted(split, |entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))?;
    let too_large = |limit, unit| DataError::TooLarge { path: split.to_owned(), limit, unit };
    if folders.is_empty() {
        return Err(DataError::NoRecords { path: split.to_owned() });
    }
    if folders.len() > MAX_CLASSES {
        return Err(too_large(MAX_CLASSES as u64, "class folders"));
    }
    let mut count = 0;
    let mut classes = Vec::with_capacity(folders.len());
    for name in folders {
        let folder = split.join(&name);
        let pictures = sorted(&folder, is_picture)?;
        if pictures.is_empty() {
            return Err(DataError::NoRecords { path: folder });
        }
        count += pictures.len();
        if count > MAX_PICTURES {
            return Err(too_large(MAX_PICTURES as u64, "pictures"));
        }
        classes.push(Class { name: name.to_string_lossy().into_owned(), folder, pictures });
    }
    Ok(classes)
}

/// Whether it is a file, not a link, that is named like a picture.
fn is_picture(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    let extension = Path::new(&name).extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()))
        && entry.file_type().is_ok_and(|kind| kind.is_file())
}

/// The names in a folder that are wanted, in order of their bytes, so that it is the same order everywhere; hidden ones
/// are not.
fn sorted(folder: &Path, wanted: impl Fn(&DirEntry) -> bool) -> Result<Vec<OsString>, DataError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(DataError::read(folder))? {
        let entry = entry.map_err(DataError::read(folder))?;
        let name = entry.file_name();
        if !name.as_encoded_bytes().starts_with(b".") && wanted(&entry) {
            names.push(name);
        }
    }
    names.sort_unstable_by(|a, b| a.as_encoded_bytes().cmp(b.as_encoded_bytes()));
    Ok(names)
}
