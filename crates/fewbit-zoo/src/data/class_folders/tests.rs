use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::data::augment::Draw;

/// A PNG of the given kind whose samples are `samples`, 16-bit ones big-endian.
fn png_of(
    color: png::ColorType,
    depth: png::BitDepth,
    (height, width): (u32, u32),
    samples: &[u8],
) -> Vec<u8> {
    let mut contents = Vec::new();
    let mut encoder = png::Encoder::new(&mut contents, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(samples).unwrap();
    writer.finish().unwrap();
    contents
}

/// A picture of one colour.
fn plain(rgb: [u8; 3], height: u32, width: u32) -> Vec<u8> {
    let samples = rgb.repeat((height * width) as usize);
    png_of(png::ColorType::Rgb, png::BitDepth::Eight, (height, width), &samples)
}

/// A picture whose red tells the row, whose green tells the column.
fn sloped() -> Vec<u8> {
    let samples: Vec<u8> =
        (0..60).flat_map(|row| (0..80).flat_map(move |column| [4 * row, 3 * column, 9])).collect();
    png_of(png::ColorType::Rgb, png::BitDepth::Eight, (60, 80), &samples)
}

fn folder_of(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, contents) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }
    folder
}

/// Two classes; the red of a picture is different in each.
fn small_set() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("train/dog/b.png", plain([4, 0, 0], 3, 5)),
        ("train/dog/a.PNG", plain([2, 0, 0], 5, 3)),
        ("train/cat/z.jpeg", plain([1, 0, 0], 8, 8)),
        ("train/cat/zz.jpg", plain([3, 0, 0], 8, 8)),
        ("train/dog/c.png", plain([5, 0, 0], 1, 1)),
        ("val/cat/1.png", plain([6, 0, 0], 4, 4)),
        ("val/dog/1.png", plain([7, 0, 0], 4, 4)),
    ]
}

fn load_files(files: &[(&str, Vec<u8>)], on_corrupt: OnCorrupt) -> Result<ClassFolders, DataError> {
    load(folder_of(files).path(), on_corrupt)
}

fn draw(record: u64) -> Option<Draw> {
    Some(Draw { seed: 1, epoch: 2, record })
}

#[test]
fn classes_are_the_sorted_folders_and_records_go_round_them() {
    let folder = folder_of(&small_set());
    let set = load(folder.path(), OnCorrupt::Fail).unwrap();
    assert_eq!(set.classes, ["cat", "dog"]);
    let labels = |set: &FolderSet| (0..set.len()).map(|record| set.label(record)).collect::<Vec<_>>();
    assert_eq!((labels(&set.train), labels(&set.test)), (vec![1, 0, 1, 0, 1], vec![0, 1]));
    assert_eq!(set.train.path(0), folder.path().join("train/dog/a.PNG"));
    for (record, red) in [2, 1, 4, 3, 5].into_iter().enumerate() {
        let mut image = [9; 12];
        set.train.render(record, None, 2, &mut image).unwrap();
        assert_eq!(image, [red, red, red, red, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}

/// Twenty pictures of one class and two of another: the last quarter has both, as a validation split must.
#[test]
fn classes_of_all_sizes_end_together() {
    let names: Vec<String> = (0..20)
        .map(|i| format!("train/many/{i:02}.png"))
        .chain((0..2).map(|i| format!("train/few/{i}.png")))
        .collect();
    let tests = ["val/many/1.png", "val/few/1.png"].map(str::to_owned);
    let names: Vec<String> = names.into_iter().chain(tests).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), plain([1, 2, 3], 2, 2))).collect();
    let set = load_files(&files, OnCorrupt::Fail).unwrap().train;
    let last: Vec<u16> = (16..22).map(|record| set.label(record)).collect();
    assert!(last.contains(&0) && last.contains(&1), "{last:?}");
}

#[test]
fn a_folder_named_test_does_where_there_is_no_val() {
    let mut files = small_set();
    for (name, _) in &mut files {
        *name = match *name {
            "val/cat/1.png" => "test/cat/1.png",
            "val/dog/1.png" => "test/dog/1.png",
            other => other,
        };
    }
    let set = load_files(&files, OnCorrupt::Fail).unwrap();
    assert_eq!((set.train.len(), set.test.len()), (5, 2));
}

#[test]
fn what_is_no_picture_of_a_class_is_passed_over() {
    let mut files = small_set();
    for other in
        ["train/cat/notes.txt", "train/cat/._z.jpeg", "train/.hidden/a.png", "train/a.png", "other/a.png"]
    {
        files.push((other, b"anything".to_vec()));
    }
    let set = load_files(&files, OnCorrupt::Fail).unwrap();
    assert_eq!((set.classes.len(), set.train.len()), (2, 5));
}

#[cfg(unix)]
#[test]
fn links_are_passed_over() {
    let folder = folder_of(&small_set());
    let train = folder.path().join("train");
    std::os::unix::fs::symlink(train.join("cat/z.jpeg"), train.join("cat/link.png")).unwrap();
    std::os::unix::fs::symlink(train.join("cat"), train.join("lynx")).unwrap();
    let set = load(folder.path(), OnCorrupt::Fail).unwrap();
    assert_eq!((set.classes.len(), set.train.len()), (2, 5));
}

#[test]
fn an_empty_class_is_named() {
    let folder = folder_of(&small_set());
    fs::create_dir(folder.path().join("train/bird")).unwrap();
    let error = load(folder.path(), OnCorrupt::Skip).unwrap_err();
    assert!(matches!(&error, DataError::NoRecords { path } if path.ends_with("train/bird")), "{error}");
}

#[test]
fn other_classes_in_evaluation_are_an_error_with_their_names() {
    let mut files = small_set();
    files.push(("val/lynx/1.png", plain([0; 3], 2, 2)));
    files.push(("train/bird/1.png", plain([0; 3], 2, 2)));
    let error = load_files(&files, OnCorrupt::Fail).unwrap_err();
    let DataError::ClassesDiffer { missing, unknown, .. } = &error else { panic!("{error}") };
    assert_eq!((missing, unknown), (&vec!["bird".to_owned()], &vec!["lynx".to_owned()]));
}

#[test]
fn a_folder_of_something_else_is_told_what_was_looked_for() {
    for folder in [folder_of(&[("train/cat/a.png", Vec::new())]), tempfile::tempdir().unwrap()] {
        let error = load(folder.path(), OnCorrupt::Fail).unwrap_err().to_string();
        assert!(error.contains("train/CLASS/") && error.contains("val/CLASS/"), "{error}");
    }
}

#[test]
fn what_is_no_picture_fails_at_once_and_what_is_cut_when_it_is_wanted() {
    let mut files = small_set();
    files[1].1 = b"a text".to_vec();
    let error = load_files(&files, OnCorrupt::Fail).unwrap_err();
    assert!(matches!(&error, DataError::NotAPicture { path } if path.ends_with("dog/a.PNG")), "{error}");

    let mut files = small_set();
    let half = files[1].1.len() / 2;
    files[1].1.truncate(half);
    let folder = folder_of(&files);
    let set = load(folder.path(), OnCorrupt::Fail).unwrap();
    let wanted: Vec<_> = (0..5).map(|record| (record, draw(record as u64))).collect();
    let error = set.train.render_all(&wanted, 4).unwrap_err();
    assert!(matches!(&error, DataError::Picture { path, .. } if path.ends_with("dog/a.PNG")), "{error}");
}

#[test]
fn what_is_damaged_is_left_out_and_named() {
    let mut files = small_set();
    files[1].1 = b"a text".to_vec();
    let half = files[2].1.len() / 2;
    files[2].1.truncate(half);
    let folder = folder_of(&files);
    let set = load(folder.path(), OnCorrupt::Skip).unwrap();
    let names = |paths: Vec<PathBuf>| -> Vec<String> {
        paths.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    };
    // Left out first, then what is left, both in the order of records.
    let skipped = set.train.skipped();
    assert!(
        skipped.len() == 2 && skipped[0].contains("a.PNG") && skipped[1].contains("z.jpeg"),
        "{skipped:?}"
    );
    assert_eq!(names((0..3).map(|record| set.train.path(record)).collect()), ["b.png", "zz.jpg", "c.png"]);
    assert!(set.test.skipped().is_empty());
}

#[test]
fn a_class_with_nothing_left_is_an_error() {
    let mut files = small_set();
    files[5].1 = b"a text".to_vec();
    let error = load_files(&files, OnCorrupt::Skip).unwrap_err();
    assert!(matches!(&error, DataError::NoRecords { path } if path.ends_with("val/cat")), "{error}");
}

#[test]
fn the_same_draw_gives_the_same_bytes_however_they_are_asked_for() {
    let mut files = small_set();
    files[2].1 = sloped();
    let folder = folder_of(&files);
    let set = load(folder.path(), OnCorrupt::Skip).unwrap();
    let wanted: Vec<_> = (0..40).map(|number| (number % 5, draw(number as u64))).collect();
    let images = set.train.render_all(&wanted, 8).unwrap();
    let mut image = vec![0; 3 * 8 * 8];
    for (&(record, draw), expected) in wanted.iter().zip(images.chunks_exact(3 * 8 * 8)) {
        set.train.render(record, draw, 8, &mut image).unwrap();
        assert_eq!(image, expected);
    }
    // Two parts of the sloped picture.
    assert_ne!(images[192..2 * 192], images[6 * 192..7 * 192]);
    assert_eq!(load(folder.path(), OnCorrupt::Fail).unwrap().train.render_all(&wanted, 8).unwrap(), images);
}

#[test] // 60 × 80 at side 35: resized to 40 × 53, of which rows and columns from 2 and 9 on are seen.
fn evaluation_sees_the_middle() {
    let mut files = small_set();
    files[5].1 = sloped();
    let folder = folder_of(&files);
    let set = load(folder.path(), OnCorrupt::Fail).unwrap();
    let mut image = vec![0; 3 * 35 * 35];
    set.test.render(0, None, 35, &mut image).unwrap();
    // The middle of row 2 of 40 is at 2.5 · 60 / 40 = 3.75. Rows 2, 3, 4 have their middles 5/4, 1/4, 3/4 away and, by
    // a filter of radius 3/2, the weights 1, 5, 3 of 9: 4 · (2 + 15 + 12) / 9 = 12.9.
    assert_eq!(image[0], 13);
    // The middle of column 9 of 53 is at 9.5 · 80 / 53 = 14.34; columns 13, 14, 15 have the weights 0.283, 0.570,
    // 0.147: 3 · 13.86 = 41.6.
    assert_eq!(image[35 * 35], 42);
    assert!(image[2 * 35 * 35..].iter().all(|&blue| blue == 9));
}

#[test]
fn grey_alpha_sixteen_bits_and_a_single_pixel_become_three_planes() {
    use png::{BitDepth, ColorType};
    let pictures = [
        (png_of(ColorType::Grayscale, BitDepth::Eight, (1, 1), &[7]), [7, 7, 7]),
        (png_of(ColorType::GrayscaleAlpha, BitDepth::Eight, (1, 1), &[8, 0]), [8, 8, 8]),
        (png_of(ColorType::Rgba, BitDepth::Eight, (1, 1), &[1, 2, 3, 0]), [1, 2, 3]),
        (png_of(ColorType::Rgb, BitDepth::Sixteen, (1, 1), &[1, 0, 2, 0, 3, 0]), [1, 2, 3]),
        (png_of(ColorType::Grayscale, BitDepth::One, (1, 1), &[0x80]), [255, 255, 255]),
    ];
    for (picture, [red, green, blue]) in pictures {
        let mut files = small_set();
        files[5].1 = picture;
        let folder = folder_of(&files);
        let set = load(folder.path(), OnCorrupt::Skip).unwrap();
        for draw in [None, draw(0), draw(1)] {
            let image = set.test.render_all(&[(0, draw)], 2).unwrap();
            assert_eq!(image, [[red; 4], [green; 4], [blue; 4]].concat());
        }
    }
}

#[test]
fn a_picture_that_is_too_large_is_refused_before_it_is_decoded() {
    // Width and height stand at the 16th byte of a PNG, after its mark and the head of its first chunk; the checksum
    // of 13 + 4 bytes follows at 29.
    for (height, width, limit) in [(1, 1 << 15, 1 << 14), (1 << 14, 1 << 13, 1 << 26)] {
        let mut files = small_set();
        let picture = &mut files[5].1;
        picture[16..20].copy_from_slice(&u32::to_be_bytes(width));
        picture[20..24].copy_from_slice(&u32::to_be_bytes(height));
        let sum = crc32fast::hash(&picture[12..29]);
        picture[29..33].copy_from_slice(&sum.to_be_bytes());
        let folder = folder_of(&files);
        let set = load(folder.path(), OnCorrupt::Fail).unwrap();
        let error = set.test.render_all(&[(0, None)], 2).unwrap_err();
        assert!(matches!(error, DataError::TooLarge { limit: found, .. } if found == limit), "{error}");
    }
}

#[test]
fn the_fingerprint_sees_a_byte_a_name_and_a_class_but_not_how_it_was_loaded() {
    let print = |files: &[(&str, Vec<u8>)]| {
        let folder = folder_of(files);
        let [fail, skip] =
            [OnCorrupt::Fail, OnCorrupt::Skip].map(|on_corrupt| load(folder.path(), on_corrupt));
        let fingerprint = fail.unwrap().fingerprint();
        assert_eq!(skip.unwrap().fingerprint(), fingerprint);
        fingerprint
    };
    let mut byte = small_set();
    byte[0].1 = plain([99, 0, 0], 3, 5);
    let mut name = small_set();
    name[0].0 = "train/dog/bb.png";
    let mut class = small_set();
    class[0].0 = "train/cat/b.png";
    let prints = [small_set(), byte, name, class].map(|files| print(&files));
    for (index, found) in prints.iter().enumerate() {
        assert!(!prints[..index].contains(found), "{prints:?}");
    }
}
