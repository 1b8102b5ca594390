use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;

const NAMES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
const RECORD_BYTES: usize = 3_073;

/// A grey JPEG, 32 × 32, of value 96 everywhere, made by hand.
///
/// All quantisation steps are 8, so the mean of a block, 8 · (96 - 128) = -256, is stored as -32. That is category 6
/// with the bits 011111; the codes are 10 for category 6, 0 for category 0, 0 for the end of a block. The first block
/// is 10 011111 0, each of the fifteen others 0 0 (no difference), and a 1 fills the last byte.
fn grey_jpeg() -> Vec<u8> {
    let mut contents = vec![0xff, 0xd8];
    let mut segment = |mark: u8, body: &[u8]| {
        contents.extend([0xff, mark, 0, body.len() as u8 + 2]);
        contents.extend(body);
    };
    // Quantisation table 0.
    segment(0xdb, &[[0].as_slice(), &[8; 64]].concat());
    // Frame: 8 bits, height, width, one component, number 1, not subsampled, table 0.
    segment(0xc0, &[8, 0, 32, 0, 32, 1, 1, 0x11, 0]);
    // Codes of the means: one of 1 bit, one of 2 bits.
    segment(0xc4, &[[0x00, 1, 1].as_slice(), &[0; 14], &[0, 6]].concat());
    // Codes of the rest: one of 1 bit, the end of the block.
    segment(0xc4, &[[0x10, 1].as_slice(), &[0; 15], &[0]].concat());
    // Scan: one component, number 1, tables 0 and 0, all coefficients.
    segment(0xda, &[1, 1, 0, 0, 63, 0]);
    contents.extend([0b1001_1111, 0, 0, 0, 1]);
    contents.extend([0xff, 0xd9]);
    contents
}

/// A picture whose pixel (row, column) is (first, row, column).
fn png_picture(first: u8, height: u8, width: u8) -> Vec<u8> {
    let mut contents = Vec::new();
    let mut encoder = png::Encoder::new(&mut contents, width.into(), height.into());
    encoder.set_color(png::ColorType::Rgb);
    let pixels: Vec<u8> =
        (0..height).flat_map(|row| (0..width).flat_map(move |column| [first, row, column])).collect();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&pixels).unwrap();
    writer.finish().unwrap();
    contents
}

/// Two training pictures and one test picture of each class; the first value tells class and file.
fn whole_set() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for (class, name) in (0u8..).zip(NAMES) {
        files.push((format!("train/{name}/0001.png"), png_picture(100 + class, 32, 32)));
        files.push((format!("train/{name}/0000.png"), png_picture(class, 32, 32)));
        files.push((format!("test/{name}/0000.PNG"), png_picture(200 + class, 32, 32)));
    }
    files
}

fn changed(path: &str, contents: Vec<u8>) -> Vec<(String, Vec<u8>)> {
    let mut files = whole_set();
    files.retain(|(name, _)| name != path);
    files.push((path.to_owned(), contents));
    files
}

fn folder_of(files: &[(String, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, contents) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }
    folder
}

fn tar_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, contents) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(contents.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, contents.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(contents: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(contents).unwrap();
    encoder.finish().unwrap()
}

fn load_tar(contents: &[u8]) -> Result<ImageData, DataError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.tar");
    fs::write(&path, contents).unwrap();
    load(&path)
}

/// Six batches: the given number of records each, labels counting up.
fn batches(records: u8) -> Vec<(String, Vec<u8>)> {
    (1..=6u8)
        .map(|batch| {
            let name = match batch {
                6 => "test_batch.bin".to_owned(),
                _ => format!("data_batch_{batch}.bin"),
            };
            let mut contents = Vec::new();
            for record in 0..records {
                contents.push((batch + record) % 10);
                contents.extend([batch; RECORD_BYTES - 1]);
            }
            (name, contents)
        })
        .collect()
}

#[test]
fn pictures_become_planes_and_go_round_the_classes() {
    let data = load(folder_of(&whole_set()).path()).unwrap();
    assert_eq!((data.train.len(), data.test.len()), (20, 10));
    for record in 0..20 {
        assert_eq!(usize::from(data.train.label(record)), record % 10);
        // The first value of a picture is its class, and 100 more in the second file by name.
        let first = record % 10 + 100 * (record / 10);
        let image = data.train.image(record);
        let (row, column) = (3, 7);
        let values = [0, 1, 2].map(|plane| usize::from(image[plane * 1024 + row * 32 + column]));
        assert_eq!(values, [first, row, column]);
    }
}

#[test]
fn folder_tar_and_two_packed_tars_give_the_same_set() {
    let files = whole_set();
    let from_folder = load(folder_of(&files).path()).unwrap();
    assert_eq!(load_tar(&tar_of(&files)).unwrap(), from_folder);
    assert_eq!(load_tar(&gzip(&tar_of(&files))).unwrap(), from_folder);

    let (train, test): (Vec<_>, Vec<_>) = files.into_iter().partition(|(name, _)| name.starts_with("train"));
    let inside = |files: Vec<(String, Vec<u8>)>| {
        let renamed = files.into_iter().map(|(name, contents)| (format!("./any/{name}"), contents));
        gzip(&tar_of(&renamed.collect::<Vec<_>>()))
    };
    let folder = folder_of(&[
        ("a-train.tar.gz".to_owned(), inside(train)),
        ("b-test.tgz".to_owned(), inside(test)),
        ("README".to_owned(), b"not a tar".to_vec()),
    ]);
    assert_eq!(load(folder.path()).unwrap(), from_folder);
}

#[test]
fn what_is_not_a_picture_of_the_set_is_passed_over() {
    let mut files = whole_set();
    for other in ["train/cat/notes.txt", "train/cat/._0000.png", "elsewhere/cat/0000.png", "train/x.png"] {
        files.push((other.to_owned(), b"anything".to_vec()));
    }
    let plain = load(folder_of(&whole_set()).path()).unwrap();
    assert_eq!(load(folder_of(&files).path()).unwrap(), plain);
    assert_eq!(load_tar(&tar_of(&files)).unwrap(), plain);
}

#[test]
fn links_in_an_archive_are_passed_over() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "train/cat/0002.png", "/etc/passwd").unwrap();
    let link = builder.into_inner().unwrap();
    // Without the two blocks of zeros that end it, one archive continues in the next.
    let joined = [&link[..link.len() - 1_024], &tar_of(&whole_set())].concat();
    assert_eq!(load_tar(&joined).unwrap().train.len(), 20);
}

#[test]
fn batches_are_read_in_their_order_from_any_of_three_places() {
    let direct = load(folder_of(&batches(2)).path()).unwrap();
    assert_eq!(direct.train.labels(), [1, 2, 2, 3, 3, 4, 4, 5, 5, 6]);
    assert_eq!(direct.test.labels(), [6, 7]);
    assert_eq!(direct.train.image(4), [3; RECORD_BYTES - 1]);
    let below: Vec<_> = batches(2)
        .into_iter()
        .map(|(name, contents)| (format!("cifar-10-batches-bin/{name}"), contents))
        .collect();
    assert_eq!(load(folder_of(&below).path()).unwrap(), direct);
    assert_eq!(load_tar(&gzip(&tar_of(&below))).unwrap(), direct);
}

#[test]
fn a_missing_or_cut_or_mislabelled_batch_is_named() {
    let mut missing = batches(1);
    missing.remove(2);
    let error = load(folder_of(&missing).path()).unwrap_err().to_string();
    assert!(error.contains("data_batch_3.bin") && error.contains("kriz/cifar.html"), "{error}");

    let mut cut = batches(2);
    cut[5].1.pop();
    let error = load(folder_of(&cut).path()).unwrap_err().to_string();
    assert!(error.contains("test_batch.bin`: 6145 bytes found, 6146 needed"), "{error}");

    let mut empty = batches(2);
    empty[0].1.clear();
    let error = load(folder_of(&empty).path()).unwrap_err();
    assert!(matches!(error, DataError::NoRecords { .. }), "{error}");

    let mut mislabelled = batches(2);
    mislabelled[1].1[RECORD_BYTES] = 10;
    let error = load(folder_of(&mislabelled).path()).unwrap_err();
    assert!(matches!(error, DataError::Label { record: 1, found: 10, .. }), "{error}");
}

#[test]
fn an_empty_folder_is_told_what_was_looked_for() {
    let error = load(tempfile::tempdir().unwrap().path()).unwrap_err().to_string();
    for part in ["data_batch_1.bin", "train/<class>/*.jpg|png", "tar[.gz]", "--data"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn nine_classes_or_other_test_classes_are_an_error_with_their_names() {
    let mut nine = whole_set();
    nine.retain(|(name, _)| !name.contains("/ship/"));
    let error = load(folder_of(&nine).path()).unwrap_err().to_string();
    assert!(error.contains("9 class folders under train/ (airplane,"), "{error}");

    let mut renamed = whole_set();
    for (name, _) in &mut renamed {
        *name = name.replace("test/ship", "test/boat");
    }
    let error = load(folder_of(&renamed).path()).unwrap_err().to_string();
    assert!(error.contains("under test/") && error.contains("boat"), "{error}");

    let mut no_test = whole_set();
    no_test.retain(|(name, _)| name.starts_with("train"));
    let error = load(folder_of(&no_test).path()).unwrap_err();
    assert!(matches!(error, DataError::Classes { split: "test", .. }), "{error}");
}

#[test]
fn a_grey_jpeg_becomes_three_equal_planes() {
    let data = load(folder_of(&changed("test/cat/0000.PNG", grey_jpeg())).path()).unwrap();
    assert!(data.test.image(3).iter().all(|&value| value == 96));
}

#[test]
fn a_picture_cut_anywhere_is_an_error_with_its_place() {
    for whole in [grey_jpeg(), png_picture(1, 32, 32)] {
        for length in [3, 9, 40, whole.len() / 2, whole.len() - 20, whole.len() - 2, whole.len() - 1] {
            let files = changed("train/frog/0001.png", whole[..length].to_vec());
            for error in [load(folder_of(&files).path()), load_tar(&tar_of(&files))] {
                let error = error.expect_err(&format!("cut to {length} of {}", whole.len()));
                assert!(error.to_string().contains("train/frog/0001.png"), "{error}");
            }
        }
    }
}

#[test]
fn a_damaged_picture_keeps_its_cause() {
    let whole = png_picture(1, 32, 32);
    let files = changed("train/frog/0001.png", whole[..whole.len() / 2].to_vec());
    let error = load(folder_of(&files).path()).unwrap_err();
    assert!(matches!(error, DataError::Picture { format: "PNG", .. }), "{error}");
    assert!(error.source().is_some());
}

#[test]
fn another_size_is_an_error_before_anything_is_decoded() {
    let files = changed("test/deer/0000.PNG", png_picture(1, 31, 32));
    let error = load(folder_of(&files).path()).unwrap_err().to_string();
    assert!(error.contains("test/deer/0000.PNG`: 31 × 32 pixels found, 32 × 32 needed"), "{error}");
    // Width and height of 65,535 in the frame header, whose mark is ffc0; they follow it after length and depth.
    let mut huge = grey_jpeg();
    let frame = huge.windows(2).position(|mark| mark == [0xff, 0xc0]).unwrap();
    huge[frame + 5..frame + 9].fill(0xff);
    let files = changed("test/deer/0000.PNG", huge);
    let error = load(folder_of(&files).path()).unwrap_err().to_string();
    assert!(error.contains("test/deer/0000.PNG"), "{error}");
}

#[test]
fn a_text_named_like_a_picture_is_an_error() {
    let files = changed("test/deer/0000.PNG", b"hello".to_vec());
    let error = load(folder_of(&files).path()).unwrap_err();
    assert!(matches!(error, DataError::NotAPicture { .. }), "{error}");
}

#[test]
fn a_cut_archive_is_an_error_wherever_it_is_cut() {
    let whole = tar_of(&whole_set());
    let packed = gzip(&whole);
    // In a header, in a picture, between two entries, at the end mark.
    for length in [100, 512 + 70, whole.len() / 2, whole.len() / 1_024 * 512, whole.len() - 1_024] {
        assert!(load_tar(&whole[..length]).is_err(), "cut to {length} of {}", whole.len());
    }
    for length in [5, packed.len() / 2, packed.len() - 9, packed.len() - 1] {
        let error = load_tar(&packed[..length]).unwrap_err();
        assert!(error.to_string().contains("set.tar"), "{error}");
    }
    assert!(load_tar(&[]).is_err());
    assert!(load_tar(b"neither tar nor gzip, but long enough to be taken for something").is_err());
}

#[test]
fn a_picture_larger_than_any_picture_is_an_error() {
    let files = changed("train/dog/0000.png", vec![0; (1 << 20) + 1]);
    for error in [load(folder_of(&files).path()), load_tar(&tar_of(&files))] {
        let error = error.unwrap_err();
        assert!(matches!(error, DataError::TooLarge { limit: 1_048_576, .. }), "{error}");
    }
}

#[test]
fn the_jpeg_set_has_fifty_and_ten_thousand_in_equal_shares() {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/cifar10-jpeg");
    if !folder.is_dir() {
        println!("skipped: no {}", folder.display());
        return;
    }
    let data = load(&folder).unwrap();
    for (set, count) in [(&data.train, 50_000), (&data.test, 10_000)] {
        assert_eq!(set.len(), count);
        for class in 0..10 {
            let members = set.labels().iter().filter(|&&label| label == class).count();
            assert_eq!(members, count / 10);
        }
    }
}
