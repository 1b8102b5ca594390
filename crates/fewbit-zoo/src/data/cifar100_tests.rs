use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;

/// Two label bytes and the planes.
const RECORD_BYTES: usize = 3_074;

/// A record whose planes are filled with one value.
fn record(coarse: u8, fine: u8, value: u8) -> Vec<u8> {
    let mut bytes = vec![coarse, fine];
    bytes.resize(RECORD_BYTES, value);
    bytes
}

/// Three training records and one test record.
fn whole_set() -> [Vec<u8>; 2] {
    [[record(0, 99, 1), record(19, 0, 2), record(7, 42, 3)].concat(), record(4, 5, 9)]
}

fn folder_of(below: &str, [train, test]: &[Vec<u8>; 2]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join(below);
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("train.bin"), train).unwrap();
    fs::write(home.join("test.bin"), test).unwrap();
    folder
}

fn packed(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, contents) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(contents.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *contents).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn load_set(set: &[Vec<u8>; 2]) -> Result<ImageData, DataError> {
    load(folder_of("", set).path(), Labels::Fine)
}

#[test]
fn fine_labels_are_the_second_byte_and_coarse_ones_the_first() {
    let folder = folder_of("", &whole_set());
    let fine = load(folder.path(), Labels::default()).unwrap();
    assert_eq!((fine.train.labels(), fine.test.labels()), (&[99, 0, 42][..], &[5][..]));
    assert_eq!((fine.train.classes(), fine.train.shape()), (100, SHAPE));
    assert_eq!(fine.train.image(1), [2; RECORD_BYTES - 2]);

    let coarse = load(folder.path(), Labels::Coarse).unwrap();
    assert_eq!((coarse.train.labels(), coarse.train.classes()), (&[0, 19, 7][..], 20));
    assert_eq!(coarse.train.pixels(), fine.train.pixels());
}

#[test]
fn folder_folder_below_archive_and_folder_with_the_archive_give_the_same_set() {
    let set = whole_set();
    let direct = load_set(&set).unwrap();
    assert_eq!(load(folder_of(NAME, &set).path(), Labels::Fine).unwrap(), direct);

    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("cifar-100-binary.tar.gz");
    let files: [(&str, &[u8]); 3] = [
        ("cifar-100-binary/fine_label_names.txt", b"apple"),
        ("cifar-100-binary/train.bin", &set[0]),
        ("cifar-100-binary/test.bin", &set[1]),
    ];
    fs::write(&archive, packed(&files)).unwrap();
    assert_eq!(load(&archive, Labels::Fine).unwrap(), direct);
    assert_eq!(load(folder.path(), Labels::Fine).unwrap(), direct);
}

#[test]
fn a_cut_record_is_an_error_with_both_lengths() {
    let mut set = whole_set();
    set[0].pop();
    let error = load_set(&set).unwrap_err().to_string();
    assert!(error.contains("train.bin`: 9221 bytes found, 9222 needed for 3 records of 3074"), "{error}");

    let mut set = whole_set();
    set[1].push(0);
    let error = load_set(&set).unwrap_err().to_string();
    assert!(error.contains("test.bin`: 3075 bytes found, 6148 needed"), "{error}");
}

#[test]
fn an_empty_file_is_an_error() {
    let error = load_set(&[record(0, 0, 0), Vec::new()]).unwrap_err();
    assert!(matches!(&error, DataError::NoRecords { path } if path.ends_with("test.bin")), "{error}");
}

#[test]
fn a_label_that_is_no_class_is_an_error_with_its_record() {
    let set = [[record(0, 0, 0), record(20, 100, 0)].concat(), record(0, 0, 0)];
    let folder = folder_of("", &set);
    for (labels, label, count) in [(Labels::Fine, 100, 100), (Labels::Coarse, 20, 20)] {
        let error = load(folder.path(), labels).unwrap_err();
        let DataError::Label { record: 1, found, classes, .. } = error else { panic!("{error}") };
        assert_eq!((found, classes), (label, count));
    }
}

#[test]
fn a_folder_of_something_else_is_told_what_was_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("data_batch_1.bin"), [0; 3_073]).unwrap();
    let error = load(folder.path(), Labels::Fine).unwrap_err().to_string();
    for part in ["cifar100", "train.bin and test.bin", "cifar-100-binary.tar.gz"] {
        assert!(error.contains(part), "{error}");
    }
    let error = load(&folder.path().join("nowhere"), Labels::Fine).unwrap_err();
    assert!(matches!(error, DataError::NotFound { .. }), "{error}");
}

#[test]
fn a_missing_half_is_named() {
    let folder = folder_of("", &whole_set());
    fs::remove_file(folder.path().join("test.bin")).unwrap();
    let error = load(folder.path(), Labels::Fine).unwrap_err();
    assert!(matches!(&error, DataError::NotFound { looked_for, .. } if looked_for == "test.bin"), "{error}");

    let archive = folder.path().join("half.tar.gz");
    fs::write(&archive, packed(&[("test.bin", &record(0, 0, 0))])).unwrap();
    let error = load(&archive, Labels::Fine).unwrap_err();
    assert!(matches!(&error, DataError::NotFound { looked_for, .. } if looked_for == "train.bin"), "{error}");
}

#[test]
fn an_archive_cut_anywhere_is_an_error() {
    let set = whole_set();
    let whole = packed(&[("train.bin", &set[0]), ("test.bin", &set[1])]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.tar.gz");
    for length in [0, 5, whole.len() / 2, whole.len() - 9, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(load(&path, Labels::Fine).is_err(), "cut to {length} of {}", whole.len());
    }
}
