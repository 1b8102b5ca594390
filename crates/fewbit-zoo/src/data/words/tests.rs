use std::error::Error;
use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;

const ALL: KnownWords = KnownWords { most: 100, least_count: 1, held_back: 0 };

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, contents) in files {
        fs::write(folder.path().join(name), contents).unwrap();
    }
    folder
}

fn gzip(contents: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(contents).unwrap();
    encoder.finish().unwrap()
}

fn vocabulary(text: &str, known: KnownWords) -> Vec<String> {
    Vocabulary::of(text, known, Path::new("text")).unwrap().words().to_vec()
}

/// Three of `b`; two each of `c` and `a`, of which `c` is first; one `d`.
const TEXT: &str = "c a b\n\n d b <unk> b a \r\nc";

#[test]
fn the_most_frequent_words_are_first_and_equals_are_in_the_order_of_the_text() {
    assert_eq!(vocabulary(TEXT, ALL), ["<unk>", "<eos>", "b", "c", "a", "d"]);
    let twice = KnownWords { least_count: 2, ..ALL };
    assert_eq!(vocabulary(TEXT, twice), ["<unk>", "<eos>", "b", "c", "a"]);
    let four = KnownWords { most: 4, ..ALL };
    assert_eq!(vocabulary(TEXT, four), ["<unk>", "<eos>", "b", "c"]);
}

#[test]
fn every_line_ends_with_a_word_of_its_own_and_strangers_are_unknown() {
    let numbers = |known| Vocabulary::of(TEXT, known, Path::new("text")).unwrap().encode(TEXT);
    assert_eq!(numbers(ALL), [3, 4, 2, 1, 1, 5, 2, 0, 2, 4, 1, 3, 1]);
    assert_eq!(numbers(KnownWords { most: 3, ..ALL }), [0, 0, 2, 1, 1, 0, 2, 0, 2, 0, 1, 0, 1]);
}

#[test]
fn a_vocabulary_too_small_for_any_word_knows_line_ends_alone() {
    for most in [0, 1, 2] {
        let vocabulary = Vocabulary::of(TEXT, KnownWords { most, ..ALL }, Path::new("text")).unwrap();
        assert_eq!(vocabulary.words(), ["<unk>", "<eos>"]);
        assert_eq!(vocabulary.encode("b b\n"), [0, 0, 1]);
    }
}

#[test]
fn the_vocabulary_is_that_of_the_training_part() {
    let folder = folder(&[
        ("wiki.train.tokens", b"a a b\n"),
        ("wiki.valid.tokens", b"b z\n"),
        ("wiki.test.tokens", b"y a\n"),
    ]);
    let set = load(folder.path(), ALL).unwrap();
    assert_eq!(set.vocabulary.words(), ["<unk>", "<eos>", "a", "b"]);
    assert_eq!(set.train, [2, 2, 3, 1]);
    assert_eq!(set.validation, Some(vec![3, 0, 1]));
    assert_eq!(set.test, [0, 2, 1]);
}

#[test]
fn either_way_of_naming_and_gzip_give_the_same_set() {
    let (train, valid, test) = (b"a a b\n".as_slice(), b"b a\n".as_slice(), b"b b\n".as_slice());
    let (packed_train, packed_test) = (gzip(train), gzip(test));
    let sets = [
        folder(&[("wiki.train.tokens", train), ("wiki.valid.tokens", valid), ("wiki.test.tokens", test)]),
        folder(&[("train.txt", train), ("valid.txt", valid), ("test.txt", test)]),
        folder(&[
            ("train.txt.gz", &packed_train),
            ("valid.txt", valid),
            ("wiki.test.tokens.gz", &packed_test),
        ]),
    ];
    let [one, two, three] = sets.map(|folder| load(folder.path(), ALL).unwrap());
    assert_eq!(one, two);
    assert_eq!(one, three);
    assert_eq!(one.fingerprint(), three.fingerprint());
}

#[test]
fn without_a_training_part_the_validation_part_is_trained_on() {
    let folder = folder(&[("valid.txt", b"a b\n"), ("test.txt", b"b\n")]);
    let set = load(folder.path(), ALL).unwrap();
    assert_eq!((set.train, set.validation, set.test), (vec![2, 3, 1], None, vec![3, 1]));
}

/// The last three of seven words are held back, a line's end among them: of them `a` is known from before, `c` is not.
#[test]
fn words_that_are_held_back_are_strangers() {
    let text = b"a b\na c a\n".as_slice();
    let parts = [("valid.txt", text), ("test.txt", b"b c\n".as_slice())];
    let known = KnownWords { held_back: 3, ..ALL };
    let set = load(folder(&parts).path(), known).unwrap();
    assert_eq!(set.vocabulary.words(), ["<unk>", "<eos>", "a", "b"]);
    assert_eq!((set.train, set.test), (vec![2, 3, 1, 2, 0, 2, 1], vec![3, 0, 1]));
    // Nothing is held back of a training part beside a validation part, and more than there is is all.
    let whole = [("train.txt", text), parts[1], ("valid.txt", b"d d\n".as_slice())];
    assert_eq!(load(folder(&whole).path(), known).unwrap().vocabulary.words().len(), 5);
    let most = KnownWords { held_back: 100, ..ALL };
    assert_eq!(load(folder(&parts).path(), most).unwrap().vocabulary.words(), ["<unk>", "<eos>"]);
}

#[test]
fn a_part_that_is_not_there_is_named() {
    for (files, part) in [
        (vec![("train.txt", b"a b\n".as_slice())], "wiki.test.tokens[.gz] or test.txt[.gz]"),
        (vec![("test.txt", b"a b\n".as_slice())], "wiki.train.tokens[.gz] or train.txt[.gz]"),
    ] {
        let folder = folder(&files);
        let error = load(folder.path(), ALL).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("--data FOLDER"), "{error}");
    }
    let error = load(Path::new("no/such/place"), ALL).unwrap_err().to_string();
    assert!(error.contains("no/such/place"), "{error}");
}

#[test]
fn bytes_that_are_no_text_are_named_with_their_place_and_keep_their_cause() {
    let folder = folder(&[("train.txt", b"good\nb\xffd\n"), ("test.txt", b"a b\n")]);
    let error = load(folder.path(), ALL).unwrap_err();
    assert!(matches!(error, DataError::NotUtf8 { .. }), "{error}");
    assert!(error.to_string().contains("train.txt") && error.to_string().contains("index 6"), "{error}");
    assert!(error.source().is_some());
}

#[test]
fn a_part_with_nothing_to_predict_is_refused_with_both_counts() {
    let enough = b"a b\n".as_slice();
    for (short, found) in [(b"".as_slice(), 0), (b"\n".as_slice(), 1)] {
        for parts in [[short, enough, enough], [enough, short, enough], [enough, enough, short]] {
            let names = ["train.txt", "valid.txt", "test.txt"];
            let files: Vec<(&str, &[u8])> = names.into_iter().zip(parts).collect();
            let folder = folder(&files);
            let error = load(folder.path(), ALL).unwrap_err();
            assert!(
                matches!(error, DataError::TooFewWords { found: n, needed: 2, .. } if n == found),
                "{error}"
            );
        }
    }
}

#[test]
fn a_cut_gzip_part_is_an_error_that_keeps_its_cause() {
    let whole = gzip(&b"many different words ".repeat(100));
    let folder = folder(&[("train.txt.gz", &whole[..whole.len() / 2]), ("test.txt", b"a b\n")]);
    let error = load(folder.path(), ALL).unwrap_err();
    assert!(error.to_string().contains("train.txt.gz"), "{error}");
    assert!(error.source().is_some());
}

/// Moving a word from one part to the next, or calling it otherwise, is another set.
#[test]
fn the_fingerprint_tells_sets_apart() {
    let set = |words: &str, train: &[u32], validation: Option<Vec<u32>>, test: &[u32]| WordSet {
        vocabulary: Vocabulary::of(words, ALL, Path::new("text")).unwrap(),
        train: train.to_vec(),
        validation,
        test: test.to_vec(),
    };
    let sums = [
        set("a b", &[2, 3, 1], Some(vec![2]), &[3]),
        set("a c", &[2, 3, 1], Some(vec![2]), &[3]),
        set("a b", &[2, 3], Some(vec![1, 2]), &[3]),
        set("a b", &[2, 3, 1], None, &[2, 3]),
        set("a b", &[2, 3, 1], Some(vec![2, 3]), &[]),
    ]
    .map(|set| set.fingerprint());
    for (index, sum) in sums.iter().enumerate() {
        assert!(!sums[..index].contains(sum), "set {index}");
    }
}

/// The counts that the sets are known by, 217,646 and 245,569; the different words beside `<unk>` were counted with
/// `sort -u`.
#[test]
fn wikitext_has_its_published_number_of_words() {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/text/wikitext-2-valid-test");
    if !folder.is_dir() {
        println!("skipped: no {}", folder.display());
        return;
    }
    let known = KnownWords { most: 100_000, ..ALL };
    let set = load(&folder, known).unwrap();
    assert_eq!((set.train.len(), set.validation, set.test.len()), (217_646, None, 245_569));
    assert_eq!(set.vocabulary.words().len(), 13_775 + 2);
    assert_eq!(set.vocabulary.words()[2], "the");
}
