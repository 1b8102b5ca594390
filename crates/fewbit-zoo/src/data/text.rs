//! Any text as bytes: the first nine tenths to train on, the last tenth held out.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{DataError, DataSetKind, bounded};

/// The longest text that is read, after decompression: 1 GiB.
pub const MAX_TEXT_BYTES: u64 = 1 << 30;
/// The shortest text worth splitting: below it the held-out tenth says nothing.
pub const MIN_TEXT_BYTES: usize = 1_000;

/// Bytes to learn from and bytes to be judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextSet {
    /// The first `⌊9n/10⌋` bytes.
    pub train: Vec<u8>,
    /// The rest.
    pub test: Vec<u8>,
}

impl TextSet {
    /// CRC-32 of both parts and where they were cut: tells a resumed run that its data changed.
    pub fn fingerprint(&self) -> u32 {
        let mut sum = crc32fast::Hasher::new();
        for part in [&self.train, &self.test] {
            sum.update(&(part.len() as u64).to_le_bytes());
            sum.update(part);
        }
        sum.finalize()
    }
}

/// Loads a text: a file, plain or gzip, or a folder with `input.txt[.gz]` or exactly one text file.
///
/// In a folder a text file is one named `*.txt` or `*.txt.gz`; if there is none, the folder's only file will do.
/// Any bytes are text: no encoding is checked.
///
/// # Errors
/// [`DataError::NotFound`], [`DataError::WhichText`], [`DataError::TextTooShort`] below [`MIN_TEXT_BYTES`],
/// [`DataError::TooLarge`] above [`MAX_TEXT_BYTES`], [`DataError::Read`].
pub fn load(path: &Path) -> Result<TextSet, DataError> {
    let file = find_text(path)?;
    let mut train = bounded::read_up_to(&file, MAX_TEXT_BYTES)?;
    if train.len() < MIN_TEXT_BYTES {
        return Err(DataError::TextTooShort { path: file, found: train.len(), needed: MIN_TEXT_BYTES });
    }
    // In u64: nine times a text of 1 GiB does not fit a usize of 32 bits.
    let cut = (train.len() as u64 * 9 / 10) as usize;
    let test = train.split_off(cut);
    Ok(TextSet { train, test })
}

fn find_text(path: &Path) -> Result<PathBuf, DataError> {
    if path.is_file() {
        return Ok(path.to_owned());
    }
    if !path.is_dir() {
        return Err(DataError::NotFound {
            kind: DataSetKind::Text,
            path: path.to_owned(),
            looked_for: "a text file (gzip too), or a folder with input.txt[.gz] or exactly one text file"
                .into(),
        });
    }
    for usual in ["input.txt", "input.txt.gz"] {
        let file = path.join(usual);
        if file.is_file() {
            return Ok(file);
        }
    }
    let mut files = Vec::new();
    for entry in path.read_dir().map_err(DataError::read(path))? {
        let file = entry.map_err(DataError::read(path))?.path();
        if file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    let texts: Vec<&PathBuf> = files.iter().filter(|file| is_text_name(file)).collect();
    match (texts.as_slice(), files.as_slice()) {
        ([only], _) => Ok((*only).clone()),
        ([], [only]) => Ok(only.clone()),
        _ => Err(DataError::WhichText {
            path: path.to_owned(),
            found: texts.iter().map(|file| name_of(file)).collect(),
        }),
    }
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or_else(|| OsStr::new("")).to_string_lossy().into_owned()
}

fn is_text_name(file: &Path) -> bool {
    let name = name_of(file).to_ascii_lowercase();
    name.ends_with(".txt") || name.ends_with(".txt.gz")
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::fs;
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(contents: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(contents).unwrap();
        encoder.finish().unwrap()
    }

    fn some_text() -> Vec<u8> {
        (0..1_234u32).map(|index| (index % 251) as u8).collect()
    }

    #[test]
    fn the_last_tenth_is_held_out_and_nothing_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("novel");
        fs::write(&file, some_text()).unwrap();
        let set = load(&file).unwrap();
        // 1234 · 9 / 10 = 1110.6
        assert_eq!((set.train.len(), set.test.len()), (1110, 124));
        assert_eq!([set.train, set.test].concat(), some_text());
    }

    #[test]
    fn gzip_is_recognised_by_its_first_bytes_not_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let (plain, packed) = (folder.path().join("a.gz"), folder.path().join("b.txt"));
        fs::write(&plain, some_text()).unwrap();
        fs::write(&packed, gzip(&some_text())).unwrap();
        let (plain, packed) = (load(&plain).unwrap(), load(&packed).unwrap());
        assert_eq!(plain, packed);
        assert_eq!(plain.fingerprint(), packed.fingerprint());
    }

    #[test]
    fn a_folder_stands_for_its_only_text_or_for_input_txt() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| fs::write(folder.path().join(name), some_text()).unwrap();
        write("corpus");
        assert!(load(folder.path()).is_ok(), "the only file");
        fs::write(folder.path().join("README"), "not long enough").unwrap();
        write("play.txt");
        assert!(load(folder.path()).is_ok(), "the only text file");
        write("prose.TXT");
        let error = load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("2 text files (play.txt, prose.TXT)"), "{error}");
        write("input.txt");
        assert!(load(folder.path()).is_ok(), "the usual name");
    }

    #[test]
    fn an_empty_or_short_text_is_an_error_with_both_lengths() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("short.txt");
        for contents in [vec![], vec![b'x'; 999], gzip(b""), gzip(b"short")] {
            fs::write(&file, contents).unwrap();
            let error = load(&file).unwrap_err();
            assert!(matches!(error, DataError::TextTooShort { needed: 1_000, .. }), "{error}");
        }
    }

    #[test]
    fn a_cut_gzip_text_is_an_error_that_keeps_its_cause() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cut.txt.gz");
        let whole = gzip(&some_text());
        fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        let error = load(&file).unwrap_err();
        assert!(error.to_string().contains("cut.txt.gz"), "{error}");
        assert!(error.source().is_some());
    }

    #[test]
    fn a_missing_text_says_what_to_pass() {
        let error = load(Path::new("no/such/text")).unwrap_err().to_string();
        assert!(error.contains("no/such/text") && error.contains("--data FILE"), "{error}");
    }

    #[test]
    fn the_limit_is_found_out_without_reading_on() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bomb.gz");
        fs::write(&file, gzip(&vec![0; 1 << 20])).unwrap();
        let error = bounded::read_up_to(&file, 1_000).unwrap_err();
        assert!(matches!(error, DataError::TooLarge { limit: 1_000, .. }), "{error}");
        assert!(bounded::read_up_to(&file, 1 << 20).is_ok());
    }

    #[test]
    fn the_plays_are_cut_at_nine_tenths() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/text/tinyshakespeare");
        if !folder.is_dir() {
            println!("skipped: no {}", folder.display());
            return;
        }
        let set = load(&folder).unwrap();
        // 1,115,394 · 9 / 10 = 1,003,854.6
        assert_eq!((set.train.len(), set.test.len()), (1_003_854, 111_540));
    }
}
