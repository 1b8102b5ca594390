use std::path::PathBuf;

use hound::SampleFormat;

use super::super::wav::tests::wav;
use super::*;

/// A word is a tone of its own; `NAME` makes recordings of it differ.
fn tone(word: usize, name: usize, rate: u32) -> Vec<u8> {
    let samples: Vec<i16> = (0..rate / 4)
        .map(|i| {
            let hertz = 300.0 * (word + 1) as f64 + name as f64;
            (8_000.0 * (f64::from(i) * hertz * std::f64::consts::TAU / f64::from(rate)).sin()) as i16
        })
        .collect();
    wav(&samples, [rate, 1, 16], SampleFormat::Int)
}

/// A folder of `paths`, each a recording of the word of its place in `words`.
fn folder(paths: &[(&str, usize)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, (path, word)) in paths.iter().enumerate() {
        write(folder.path().join(path), tone(*word, name, 8_000));
    }
    folder
}

fn write(path: PathBuf, bytes: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn load_from(folder: &tempfile::TempDir, on_corrupt: OnCorrupt) -> Result<Keywords, DataError> {
    load(folder.path(), 10, 8, on_corrupt)
}

const DIGITS: [(&str, usize); 5] =
    [("0_ann_0.wav", 0), ("0_ann_5.wav", 0), ("1_ann_1.wav", 1), ("1_bob_7.wav", 1), ("1_bob_8.wav", 1)];

#[test]
fn digits_in_one_folder_are_split_by_their_numbers() {
    let found = load_from(&folder(&DIGITS), OnCorrupt::Fail).unwrap();
    assert_eq!(found.words, ["0", "1"]);
    assert_eq!((found.data.train.len(), found.data.test.len()), (3, 2));
    assert_eq!(found.data.train.shape(), ImageShape { channels: 1, height: 10, width: 8 });
    assert!(found.skipped.is_empty());
    let mut labels = found.data.train.labels().to_vec();
    labels.sort();
    assert_eq!(labels, [0, 1, 1]);
}

#[test]
fn the_three_forms_and_an_archive_hold_the_same_set() {
    let lists =
        folder(&[("yes/a.wav", 0), ("yes/b.wav", 0), ("no/a.wav", 1), ("no/b.wav", 1), ("_hum_/x.wav", 0)]);
    write(lists.path().join("testing_list.txt"), "yes/b.wav\nno/b.wav\n");
    let folders =
        folder(&[("train/yes/a.wav", 0), ("test/yes/b.wav", 0), ("train/no/a.wav", 1), ("test/no/b.wav", 1)]);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_dir_all("speech", lists.path()).unwrap();
    let archived = tempfile::tempdir().unwrap();
    let path = archived.path().join("speech.tar");
    std::fs::write(&path, archive.into_inner().unwrap()).unwrap();
    for found in [
        load_from(&lists, OnCorrupt::Fail).unwrap(),
        load_from(&folders, OnCorrupt::Fail).unwrap(),
        load(&path, 10, 8, OnCorrupt::Fail).unwrap(),
    ] {
        assert_eq!(found.words, ["no", "yes"]);
        assert_eq!((found.data.train.len(), found.data.test.len()), (2, 2));
    }
}

#[test]
fn a_damaged_recording_is_named_and_fatal_or_left_out() {
    let folder = folder(&DIGITS);
    write(folder.path().join("1_cut_9.wav"), &tone(1, 0, 8_000)[..300]);
    let error = load_from(&folder, OnCorrupt::Fail).unwrap_err().to_string();
    assert!(error.contains("1_cut_9.wav"), "{error}");
    let found = load_from(&folder, OnCorrupt::Skip).unwrap();
    assert_eq!(found.data.train.len(), 3);
    assert!(found.skipped[0].contains("1_cut_9.wav") && found.skipped.len() == 1, "{:?}", found.skipped);
}

#[test]
fn sets_that_cannot_be_used_are_refused_with_a_reason() {
    let refused = |folder: &tempfile::TempDir| load_from(folder, OnCorrupt::Fail).unwrap_err().to_string();
    let none = refused(&folder(&[]));
    assert!(none.contains("no recordings"), "{none}");
    let one = refused(&folder(&DIGITS[..2]));
    assert!(one.contains("1 word"), "{one}");
    let untested = refused(&folder(&[DIGITS[1], DIGITS[3]]));
    assert!(untested.contains("test"), "{untested}");
    let unknown = refused(&folder(&[DIGITS[1], DIGITS[3], ("9_ann_0.wav", 2)]));
    assert!(unknown.contains("`9`"), "{unknown}");
    let rates = folder(&DIGITS);
    write(rates.path().join("1_fast_9.wav"), tone(1, 0, 16_000));
    let rates = refused(&rates);
    assert!(rates.contains("16000") && rates.contains("8000"), "{rates}");
    let nowhere = load(Path::new("no/such/place"), 10, 8, OnCorrupt::Fail).unwrap_err().to_string();
    assert!(nowhere.contains("no/such/place"), "{nowhere}");
}
