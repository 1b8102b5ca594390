//! MNIST, or any set in its format: four IDX files in one folder, plain or gzip.

use std::path::{Path, PathBuf};

use super::image_set::first_bad_label;
use super::{DataError, DataSetKind, ImageData, ImageSet, ImageShape, bounded};

/// One grey plane of 28 × 28.
const SHAPE: ImageShape = ImageShape { channels: 1, height: 28, width: 28 };
const CLASSES: usize = 10;
/// Bytes of unsigned type in three dimensions: record, row, column.
const IMAGES_MAGIC: u32 = 0x0803;
/// Bytes of unsigned type in one dimension.
const LABELS_MAGIC: u32 = 0x0801;
/// A file may declare four billion records; more than this are not read (784 MB of pixels).
const MAX_RECORDS: usize = 1_000_000;

/// Loads the training and the test set from a folder.
///
/// Each file may end in `.gz` and may be named with a dot (`train-images.idx3-ubyte`).
///
/// # Errors
/// [`DataError`] with the file if one is missing, cut or too long, not IDX, of another image size, or does not fit
/// its partner.
pub fn load(folder: &Path) -> Result<ImageData, DataError> {
    // All four are looked up before the first is read: a person learns of a missing file at once.
    let train = find_pair(folder, "train")?;
    let test = find_pair(folder, "t10k")?;
    Ok(ImageData { train: load_pair(&train)?, test: load_pair(&test)? })
}

struct IdxPair {
    images: PathBuf,
    labels: PathBuf,
}

fn find_pair(folder: &Path, split: &str) -> Result<IdxPair, DataError> {
    let find = |contents: &str, dimensions: u8| {
        let dash = format!("{split}-{contents}-idx{dimensions}-ubyte");
        let dot = format!("{split}-{contents}.idx{dimensions}-ubyte");
        [dash.clone(), format!("{dash}.gz"), dot.clone(), format!("{dot}.gz")]
            .iter()
            .map(|name| folder.join(name))
            .find(|path| path.is_file())
            .ok_or_else(|| DataError::NotFound {
                kind: DataSetKind::Mnist,
                path: folder.to_owned(),
                looked_for: format!("{dash}[.gz] or {dot}[.gz]"),
            })
    };
    Ok(IdxPair { images: find("images", 3)?, labels: find("labels", 1)? })
}

fn load_pair(pair: &IdxPair) -> Result<ImageSet, DataError> {
    let labels = read_idx(&pair.labels, LABELS_MAGIC, "labels", [])?;
    let pixels = read_idx(&pair.images, IMAGES_MAGIC, "images", [SHAPE.height, SHAPE.width])?;
    let image_count = pixels.len() / SHAPE.values();
    if image_count != labels.len() {
        return Err(DataError::CountMismatch {
            images: pair.images.clone(),
            labels: pair.labels.clone(),
            image_count,
            label_count: labels.len(),
        });
    }
    if let Some((record, &found)) = first_bad_label(&labels, CLASSES) {
        return Err(DataError::Label { path: pair.labels.clone(), record, found, classes: CLASSES });
    }
    ImageSet::new(SHAPE, CLASSES, pixels, labels)
}

/// The bytes of an IDX file after its header: `0x0000`, the type, the number of dimensions, then each dimension as
/// four bytes, big-endian, the number of records first.
fn read_idx<const D: usize>(
    path: &Path,
    magic: u32,
    contents: &'static str,
    record_shape: [usize; D],
) -> Result<Vec<u8>, DataError> {
    let mut file = bounded::open(path)?;
    let header_bytes = 4 * (2 + D);
    let header = bounded::take(&mut file, header_bytes as u64, path)?;
    let length_error = |found: usize, needed: usize, contents: String| DataError::Length {
        path: path.to_owned(),
        found: found as u64,
        needed: needed as u64,
        contents,
    };
    let mut numbers = header
        .chunks_exact(4)
        .map(|bytes| bytes.iter().fold(0u32, |number, &byte| number << 8 | u32::from(byte)));
    // A wrong mark is reported before a short header: a text file is not a truncated IDX file.
    if let Some(found) = numbers.next().filter(|&found| found != magic) {
        return Err(DataError::IdxMagic { path: path.to_owned(), found, needed: magic, contents });
    }
    if header.len() < header_bytes {
        let contents = format!("the header of IDX {contents}");
        return Err(length_error(header.len(), header_bytes, contents));
    }
    let records = numbers.next().unwrap_or(0) as usize;
    let found_shape: Vec<usize> = numbers.map(|side| side as usize).collect();
    if found_shape != record_shape {
        let pair = |sides: &[usize]| (sides[0], sides[1]);
        return Err(DataError::ImageSize {
            path: path.to_owned(),
            found: pair(&found_shape),
            needed: pair(&record_shape),
        });
    }
    if records == 0 {
        return Err(DataError::NoRecords { path: path.to_owned() });
    }
    if records > MAX_RECORDS {
        return Err(DataError::TooLarge { path: path.to_owned(), limit: MAX_RECORDS as u64, unit: contents });
    }
    let needed = records * record_shape.iter().product::<usize>();
    let body = bounded::take(&mut file, needed as u64 + 1, path)?;
    if body.len() != needed {
        let contents = format!("{records} {contents}");
        return Err(length_error(header_bytes + body.len(), header_bytes + needed, contents));
    }
    Ok(body)
}

#[cfg(test)]
#[path = "mnist_tests.rs"]
mod tests;
