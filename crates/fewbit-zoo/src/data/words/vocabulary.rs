//! Which words are known, and which number each has.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::Path;

use super::KnownWords;
use crate::data::DataError;

/// The most different words that are counted.
pub const MAX_DIFFERENT_WORDS: usize = 1 << 24;

/// What stands for every word that is not known.
const UNKNOWN: &str = "<unk>";
/// What stands for the end of a line.
const LINE_END: &str = "<eos>";

/// The known words: `<unk>`, `<eos>`, then the others, the most frequent first, as an adaptive softmax needs them.
///
/// Of words that are equally frequent the one that comes first in the text is first here. The default has no words, for a
/// set of numbers that were never words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocabulary {
    words: Vec<String>,
}

/// How often a word was found.
struct Found {
    times: u64,
    /// How many other words were found before it.
    place: usize,
}

impl Vocabulary {
    /// The words of `text` that are `known`.
    ///
    /// # Errors
    /// [`DataError::TooLarge`] naming `file` for more than [`MAX_DIFFERENT_WORDS`].
    pub(super) fn of(text: &str, known: KnownWords, file: &Path) -> Result<Self, DataError> {
        let always = [UNKNOWN, LINE_END];
        let mut found: HashMap<&str, Found> = HashMap::new();
        let counted = match known.held_back {
            0 => usize::MAX,
            held_back => words_of(text).count().saturating_sub(held_back),
        };
        for word in words_of(text).take(counted).filter(|word| !always.contains(word)) {
            let place = found.len();
            found.entry(word).or_insert(Found { times: 0, place }).times += 1;
            if found.len() > MAX_DIFFERENT_WORDS {
                let limit = MAX_DIFFERENT_WORDS as u64;
                return Err(DataError::TooLarge { path: file.to_owned(), limit, unit: "different words" });
            }
        }
        found.retain(|_, found| found.times >= known.least_count);
        let mut ranked: Vec<(&str, Found)> = found.into_iter().collect();
        ranked.sort_unstable_by_key(|(_, found)| (Reverse(found.times), found.place));
        let others = ranked.into_iter().map(|(word, _)| word).take(known.most.saturating_sub(always.len()));
        Ok(Self { words: always.into_iter().chain(others).map(str::to_owned).collect() })
    }

    /// The words; the first has number 0.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// The number of each word of `text` and of each line's end; of `<unk>` for a word that is not known.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let numbered = self.words.iter().zip(0u32..);
        let numbers: HashMap<&str, u32> = numbered.map(|(word, number)| (word.as_str(), number)).collect();
        // `<unk>` is number 0.
        words_of(text).map(|word| numbers.get(word).copied().unwrap_or(0)).collect()
    }
}

/// The words of a text; those of each line are followed by `<eos>`.
fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split_ascii_whitespace().chain([LINE_END]))
}
