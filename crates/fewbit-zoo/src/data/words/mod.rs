//! Text as words that spaces separate, as the Wikitext sets have it: each line ends with the word `<eos>`, and words
//! that are not known are `<unk>`.

#[cfg(test)]
mod tests;
mod vocabulary;

use std::path::{Path, PathBuf};

pub use self::vocabulary::{MAX_DIFFERENT_WORDS, Vocabulary};
use super::{DataError, DataSetKind, bounded};

/// The longest part of a set that is read, after decompression: 1 GiB.
pub const MAX_PART_BYTES: u64 = 1 << 30;
/// The fewest words of a part: one to predict another from.
pub const MIN_PART_WORDS: usize = 2;

/// The names that each part may have; each with `.gz` too.
const TRAIN: [&str; 2] = ["wiki.train.tokens", "train.txt"];
const VALIDATION: [&str; 2] = ["wiki.valid.tokens", "valid.txt"];
const TEST: [&str; 2] = ["wiki.test.tokens", "test.txt"];

/// Words to learn from, words to choose by and words to be judged by, each as its place in the vocabulary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordSet {
    /// The known words, by frequency in `train`.
    pub vocabulary: Vocabulary,
    /// The training part.
    pub train: Vec<u32>,
    /// The validation part; `None` where it had to be the training part.
    pub validation: Option<Vec<u32>>,
    /// The test part.
    pub test: Vec<u32>,
}

/// Which words of the training part are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownWords {
    /// The most that a vocabulary has, `<unk>` and `<eos>` among them: the most frequent. At least those two are known.
    pub most: usize,
    /// How often a word must be there.
    pub least_count: u64,
    /// Words at the end of the training part that count for nothing, where they are held back for want of a validation
    /// part: they are to be as strange as those of the test part.
    pub held_back: usize,
}

impl WordSet {
    /// CRC-32 of the vocabulary and of all parts: tells a resumed run that its data changed.
    pub fn fingerprint(&self) -> u32 {
        let mut sum = crc32fast::Hasher::new();
        for word in self.vocabulary.words() {
            sum.update(word.as_bytes());
            sum.update(b"\n");
        }
        let validation = self.validation.as_deref().unwrap_or_default();
        for part in [self.train.as_slice(), validation, &self.test] {
            sum.update(&(part.len() as u64).to_le_bytes());
            for piece in part.chunks(1 << 12) {
                let bytes: Vec<u8> = piece.iter().flat_map(|word| word.to_le_bytes()).collect();
                sum.update(&bytes);
            }
        }
        sum.finalize()
    }
}

/// Loads a folder with `wiki.train.tokens`, `wiki.valid.tokens` and `wiki.test.tokens`, or `train.txt`, `valid.txt` and
/// `test.txt`; plain or gzip, and then with `.gz` after the name.
///
/// Where there is no training part, the validation part is trained on, and the set has no validation part of its own.
/// The vocabulary is that of the training part, less what is held back.
///
/// # Errors
/// [`DataError::NotFound`] without a test part, or with neither of the other two; [`DataError::NotUtf8`];
/// [`DataError::TooFewWords`] below [`MIN_PART_WORDS`]; [`DataError::TooLarge`] above [`MAX_PART_BYTES`] or
/// [`MAX_DIFFERENT_WORDS`]; [`DataError::Read`].
pub fn load(path: &Path, known: KnownWords) -> Result<WordSet, DataError> {
    let not_found = |names: [&str; 2]| DataError::NotFound {
        kind: DataSetKind::Words,
        path: path.to_owned(),
        looked_for: format!("{}[.gz] or {}[.gz]", names[0], names[1]),
    };
    let test = find(path, TEST).ok_or_else(|| not_found(TEST))?;
    let (train, validation) = match (find(path, TRAIN), find(path, VALIDATION)) {
        (Some(train), validation) => (train, validation),
        (None, Some(validation)) => (validation, None),
        (None, None) => return Err(not_found(TRAIN)),
    };
    let text = read(&train)?;
    let held_back = if validation.is_some() { 0 } else { known.held_back };
    let known = KnownWords { held_back, ..known };
    let vocabulary = Vocabulary::of(&text, known, &train)?;
    let encode = |text: &str, file: &Path| match vocabulary.encode(text) {
        words if words.len() < MIN_PART_WORDS => {
            Err(DataError::TooFewWords { path: file.to_owned(), found: words.len(), needed: MIN_PART_WORDS })
        }
        words => Ok(words),
    };
    let train = encode(&text, &train)?;
    drop(text);
    let validation = validation.map(|file| encode(&read(&file)?, &file)).transpose()?;
    let test = encode(&read(&test)?, &test)?;
    Ok(WordSet { vocabulary, train, validation, test })
}

/// The file of `folder` with one of these names.
fn find(folder: &Path, names: [&str; 2]) -> Option<PathBuf> {
    let files = names.into_iter().flat_map(|name| [name.to_owned(), format!("{name}.gz")]);
    files.map(|name| folder.join(name)).find(|file| file.is_file())
}

fn read(file: &Path) -> Result<String, DataError> {
    String::from_utf8(bounded::read_up_to(file, MAX_PART_BYTES)?)
        .map_err(|error| DataError::NotUtf8 { path: file.to_owned(), source: error.utf8_error() })
}
