//! CIFAR-100, the binary version: `train.bin` and `test.bin`, in a folder or in `cifar-100-binary.tar.gz`.
//!
//! A record is a byte of coarse label (one of 20), a byte of fine label (one of 100) and three planes of 32 × 32.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::cifar_records::{self, Layout, SHAPE};
use super::{DataError, DataSetKind, ImageData, ImageSet, archive, bounded};

/// The folder that the archive unpacks to, and what its name begins with.
const NAME: &str = "cifar-100-binary";
/// In the order of [`ImageData`]'s fields.
const FILES: [&str; 2] = ["train.bin", "test.bin"];
/// `train.bin` has 153,700,000 bytes.
const MAX_FILE_BYTES: u64 = 1 << 28;

/// Which of the two labels of a record is its class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Labels {
    /// 100 classes: what results on CIFAR-100 are about.
    #[default]
    Fine,
    /// 20 classes of five fine ones each.
    Coarse,
}

impl Labels {
    const fn layout(self) -> Layout {
        match self {
            Self::Fine => Layout { label_bytes: 2, class_at: 1, classes: 100 },
            Self::Coarse => Layout { label_bytes: 2, class_at: 0, classes: 20 },
        }
    }
}

/// Loads the training and the test set, `[3, 32, 32]` each image, records in their order.
///
/// `path` is the tar archive (plain or gzip), or a folder that holds the two files, or one that holds
/// `cifar-100-binary` or `cifar-100-binary.tar.gz`.
///
/// # Errors
/// [`DataError`] with the file, or its place in the archive, that is missing, cut, too large or has a label that is no
/// class.
pub fn load(path: &Path, labels: Labels) -> Result<ImageData, DataError> {
    let [train, test] = if path.is_file() { from_archive(path)? } else { from_folder(path)? };
    let set = |file: Option<File>, name: &str| {
        let File { place, contents } = file.ok_or_else(|| not_found(path, name))?;
        let layout = labels.layout();
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        cifar_records::append(&place, &contents, layout, &mut pixels, &mut labels)?;
        ImageSet::new(SHAPE, layout.classes, pixels, labels)
    };
    Ok(ImageData { train: set(train, FILES[0])?, test: set(test, FILES[1])? })
}

/// A file's bytes and where they came from, for messages.
struct File {
    place: PathBuf,
    contents: Vec<u8>,
}

/// Those of [`FILES`] that are there.
type Found = [Option<File>; 2];

fn from_folder(folder: &Path) -> Result<Found, DataError> {
    let unpacked = folder.join(NAME);
    let Some(home) = [folder, unpacked.as_path()].into_iter().find(|home| home.join(FILES[0]).is_file())
    else {
        let packed = folder.join(format!("{NAME}.tar.gz"));
        if packed.is_file() {
            return from_archive(&packed);
        }
        return Err(not_found(folder, &format!("{} and {}, or {NAME}.tar.gz", FILES[0], FILES[1])));
    };
    let mut found = Found::default();
    for (file, name) in found.iter_mut().zip(FILES) {
        let place = home.join(name);
        if place.is_file() {
            let mut source = fs::File::open(&place).map_err(DataError::read(&place))?;
            let contents = take(&mut source, &place)?;
            *file = Some(File { place, contents });
        }
    }
    Ok(found)
}

/// A file found twice counts once: the later one, as when the archive is unpacked.
fn from_archive(path: &Path) -> Result<Found, DataError> {
    let mut found = Found::default();
    archive::each_file(path, |inside, source| {
        let Some(index) = FILES.iter().position(|name| inside.file_name().is_some_and(|file| file == *name))
        else {
            return Ok(None);
        };
        let place = path.join(inside);
        let contents = take(source, &place)?;
        let bytes = contents.len() as u64;
        found[index] = Some(File { place, contents });
        Ok(Some(bytes))
    })?;
    Ok(found)
}

fn take(source: &mut dyn Read, place: &Path) -> Result<Vec<u8>, DataError> {
    let contents = bounded::take(source, MAX_FILE_BYTES + 1, place)?;
    if contents.len() as u64 > MAX_FILE_BYTES {
        return Err(DataError::TooLarge { path: place.to_owned(), limit: MAX_FILE_BYTES, unit: "bytes" });
    }
    Ok(contents)
}

fn not_found(path: &Path, looked_for: &str) -> DataError {
    DataError::NotFound {
        kind: DataSetKind::Cifar100,
        path: path.to_owned(),
        looked_for: looked_for.to_owned(),
    }
}

#[cfg(test)]
#[path = "cifar100_tests.rs"]
mod tests;
