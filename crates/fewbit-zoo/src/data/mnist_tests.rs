use std::error::Error;
use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;

const TRAIN_IMAGES: &str = "train-images-idx3-ubyte";
const TRAIN_LABELS: &str = "train-labels-idx1-ubyte";
const TEST_IMAGES: &str = "t10k-images-idx3-ubyte";
const TEST_LABELS: &str = "t10k-labels-idx1-ubyte";

fn idx(magic: u32, dimensions: &[u32], body: &[u8]) -> Vec<u8> {
    let header = [magic].into_iter().chain(dimensions.iter().copied());
    header.flat_map(u32::to_be_bytes).chain(body.iter().copied()).collect()
}

fn images(count: u32) -> Vec<u8> {
    let body: Vec<u8> = (0..count * 784).map(|index| (index % 253) as u8).collect();
    idx(IMAGES_MAGIC, &[count, 28, 28], &body)
}

fn labels(labels: &[u8]) -> Vec<u8> {
    idx(LABELS_MAGIC, &[labels.len() as u32], labels)
}

fn gzip(contents: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(contents).unwrap();
    encoder.finish().unwrap()
}

/// A whole set of three and two images; `changes` replaces files by name.
fn folder_with(changes: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let whole = [
        (TRAIN_IMAGES, images(3)),
        (TRAIN_LABELS, labels(&[7, 0, 9])),
        (TEST_IMAGES, images(2)),
        (TEST_LABELS, labels(&[1, 2])),
    ];
    for (name, contents) in whole.iter().chain(changes) {
        fs::write(folder.path().join(name), contents).unwrap();
    }
    folder
}

fn error_with(changes: &[(&str, Vec<u8>)]) -> DataError {
    load(folder_with(changes).path()).unwrap_err()
}

#[test]
fn a_small_set_is_read_back() {
    let data = load(folder_with(&[]).path()).unwrap();
    assert_eq!(data.train.labels(), [7, 0, 9]);
    assert_eq!(data.test.labels(), [1, 2]);
    // Pixel 5 of image 1 is number 789 of the body.
    assert_eq!(data.train.image(1)[5], (789 % 253) as u8);
}

#[test]
fn gzip_and_dotted_names_make_no_difference() {
    let plain = load(folder_with(&[]).path()).unwrap();
    let other = tempfile::tempdir().unwrap();
    let write = |name: &str, contents: Vec<u8>| fs::write(other.path().join(name), contents).unwrap();
    write("train-images.idx3-ubyte", images(3));
    write("train-labels-idx1-ubyte.gz", gzip(&labels(&[7, 0, 9])));
    write("t10k-images.idx3-ubyte.gz", gzip(&images(2)));
    write("t10k-labels-idx1-ubyte", labels(&[1, 2]));
    assert_eq!(load(other.path()).unwrap(), plain);
}

#[test]
fn a_missing_file_is_named() {
    let folder = folder_with(&[]);
    fs::remove_file(folder.path().join(TEST_LABELS)).unwrap();
    let error = load(folder.path()).unwrap_err().to_string();
    for part in [TEST_LABELS, "--data FOLDER", "ylecun/mnist"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_cut_file_is_an_error_with_both_lengths() {
    let whole = images(3);
    let error = error_with(&[(TRAIN_IMAGES, whole[..whole.len() - 1].to_vec())]);
    // 16 + 3 · 784
    assert!(
        error.to_string().ends_with("train-images-idx3-ubyte`: 2367 bytes found, 2368 needed for 3 images"),
        "{error}"
    );
    let error = error_with(&[(TRAIN_IMAGES, whole[..10].to_vec())]);
    assert!(matches!(error, DataError::Length { found: 10, needed: 16, .. }), "{error}");
    let error = error_with(&[(TEST_LABELS, Vec::new())]);
    assert!(matches!(error, DataError::Length { found: 0, needed: 8, .. }), "{error}");
}

#[test]
fn a_file_with_more_than_it_declares_is_an_error() {
    let mut longer = labels(&[7, 0, 9]);
    longer.push(3);
    let error = error_with(&[(TRAIN_LABELS, longer)]);
    assert!(error.to_string().contains("more than 11 bytes found, 11 needed"), "{error}");
}

#[test]
fn a_cut_gzip_file_is_an_error_that_keeps_its_cause() {
    let folder = folder_with(&[]);
    fs::remove_file(folder.path().join(TRAIN_IMAGES)).unwrap();
    let packed = gzip(&images(3));
    let name = format!("{TRAIN_IMAGES}.gz");
    fs::write(folder.path().join(&name), &packed[..packed.len() / 2]).unwrap();
    let error = load(folder.path()).unwrap_err();
    assert!(error.to_string().contains(&name) && error.source().is_some(), "{error}");
}

#[test]
fn another_mark_is_an_error_with_both_marks() {
    let error = error_with(&[(TRAIN_IMAGES, labels(&[7, 0, 9]))]);
    assert!(matches!(error, DataError::IdxMagic { found: 0x0801, needed: 0x0803, .. }), "{error}");
    let error = error_with(&[(TEST_LABELS, b"not IDX".to_vec())]);
    assert!(matches!(error, DataError::IdxMagic { needed: 0x0801, .. }), "{error}");
}

#[test]
fn another_image_size_is_an_error_with_both_sizes() {
    let small = idx(IMAGES_MAGIC, &[3, 27, 28], &[0; 3 * 27 * 28]);
    let error = error_with(&[(TRAIN_IMAGES, small)]).to_string();
    assert!(error.contains("27 × 28 pixels found, 28 × 28 needed"), "{error}");
}

#[test]
fn a_label_too_few_is_an_error_with_both_counts() {
    let error = error_with(&[(TRAIN_LABELS, labels(&[7, 0]))]).to_string();
    assert!(error.contains("has 3 images") && error.contains("has 2 labels"), "{error}");
}

#[test]
fn a_label_above_nine_is_an_error_with_its_record() {
    let error = error_with(&[(TEST_LABELS, labels(&[1, 10]))]);
    assert!(matches!(error, DataError::Label { record: 1, found: 10, .. }), "{error}");
}

#[test]
fn a_declared_count_is_not_believed() {
    let bold = idx(IMAGES_MAGIC, &[u32::MAX, 28, 28], &[0; 100]);
    let error = error_with(&[(TRAIN_IMAGES, bold)]);
    assert!(matches!(error, DataError::TooLarge { limit: 1_000_000, .. }), "{error}");
    // Within the limit but not there: found out by reading, not by reserving.
    let bold = idx(IMAGES_MAGIC, &[1_000_000, 28, 28], &[0; 100]);
    let error = error_with(&[(TRAIN_IMAGES, bold)]);
    assert!(matches!(error, DataError::Length { found: 116, needed: 784_000_016, .. }), "{error}");
}

#[test]
fn no_record_is_an_error() {
    let error = error_with(&[(TRAIN_LABELS, labels(&[]))]);
    assert!(matches!(error, DataError::NoRecords { .. }), "{error}");
}

#[test]
fn the_real_set_has_sixty_and_ten_thousand() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/mnist");
    if !folder.is_dir() {
        println!("skipped: no {}", folder.display());
        return;
    }
    let data = load(&folder).unwrap();
    assert_eq!((data.train.len(), data.test.len()), (60_000, 10_000));
    // The first training image is known to be a five, the first test image a seven.
    assert_eq!((data.train.label(0), data.test.label(0)), (5, 7));
}
