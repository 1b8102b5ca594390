//! The recordings of a folder or an archive, not decoded: which word each is and what it is for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::super::{DataError, DataSetKind, archive, bounded};

/// A minute at 48 kHz in stereo, 32 bits.
const MAX_FILE_BYTES: u64 = 32 << 20;
/// All recordings together. Speech Commands has 3.3 GB.
const MAX_TOTAL_BYTES: u64 = 8 << 30;
/// Speech Commands has 105,829.
const MAX_RECORDINGS: usize = 1 << 20;
/// The paths of a million recordings.
const MAX_LIST_BYTES: u64 = 64 << 20;
/// The list of the recordings for testing, one path a line.
const TEST_LIST: &str = "testing_list.txt";
/// Of `WORD_SPEAKER_NUMBER.wav`, numbers below this are for testing.
const FIRST_TRAINING_NUMBER: u32 = 5;

/// What a recording is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Split {
    Train,
    Test,
}

/// A file of sound.
pub(super) struct Recording {
    pub(super) word: String,
    pub(super) split: Split,
    /// Where it came from, for messages.
    pub(super) place: PathBuf,
    pub(super) bytes: Vec<u8>,
}

/// All recordings, those of each split in the order of the checksums of their paths, which mixes words and speakers.
pub(super) fn collect(path: &Path) -> Result<Vec<Recording>, DataError> {
    let mut found = Found { root: path.to_owned(), ..Found::default() };
    if path.is_dir() {
        found.add_folder(path, 0)?;
    } else if path.is_file() {
        archive::each_file(path, |inside, contents| {
            let role = Role::of(inside);
            let limit = role.limit();
            if limit == 0 {
                return Ok(None);
            }
            let bytes = bounded::take(contents, limit + 1, &path.join(inside))?;
            let count = bytes.len() as u64;
            found.add(role, inside, path.join(inside), bytes)?;
            Ok(Some(count))
        })?;
    } else {
        let looked_for = "a folder or a tar[.gz] archive";
        return Err(DataError::NotFound {
            kind: DataSetKind::Keywords,
            path: path.to_owned(),
            looked_for: looked_for.to_owned(),
        });
    }
    found.sorted()
}

/// What a file is, by its path alone.
enum Role {
    Sound,
    TestList,
    Nothing,
}

impl Role {
    fn of(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Names that begin with a dot are hidden files; archives made on macOS hold one per recording.
        if name.starts_with('.') {
            return Self::Nothing;
        }
        match name.to_ascii_lowercase() {
            name if name == TEST_LIST => Self::TestList,
            name if name.ends_with(".wav") => Self::Sound,
            _ => Self::Nothing,
        }
    }

    fn limit(&self) -> u64 {
        match self {
            Self::Sound => MAX_FILE_BYTES,
            Self::TestList => MAX_LIST_BYTES,
            Self::Nothing => 0,
        }
    }
}

#[derive(Default)]
struct Found {
    root: PathBuf,
    /// Path inside the set → where it is, and its bytes.
    sounds: BTreeMap<String, (PathBuf, Vec<u8>)>,
    test_list: Option<BTreeSet<String>>,
    total_bytes: u64,
}

impl Found {
    /// Folders two deep, `train/WORD`; links are not followed.
    fn add_folder(&mut self, folder: &Path, depth: usize) -> Result<(), DataError> {
        let entries = fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
        let mut entries = entries.map_err(DataError::read(folder))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (path, kind) = (entry.path(), entry.file_type().map_err(DataError::read(folder))?);
            if kind.is_dir() && depth < 2 {
                self.add_folder(&path, depth + 1)?;
            } else if kind.is_file() {
                let role = Role::of(&path);
                if role.limit() > 0 {
                    let bytes = bounded::read_up_to(&path, role.limit())?;
                    let inside = path.strip_prefix(&self.root).unwrap_or(&path).to_owned();
                    self.add(role, &inside, path, bytes)?;
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, role: Role, inside: &Path, place: PathBuf, bytes: Vec<u8>) -> Result<(), DataError> {
        let limit = role.limit();
        if bytes.len() as u64 > limit {
            return Err(DataError::TooLarge { path: place, limit, unit: "bytes" });
        }
        if let Role::TestList = role {
            let lines = String::from_utf8_lossy(&bytes);
            self.test_list = Some(lines.lines().map(|line| line.trim().to_owned()).collect());
            return Ok(());
        }
        self.total_bytes += bytes.len() as u64;
        if self.total_bytes > MAX_TOTAL_BYTES {
            return Err(DataError::TooLarge {
                path: self.root.clone(),
                limit: MAX_TOTAL_BYTES,
                unit: "bytes",
            });
        }
        let parts: Vec<_> =
            inside.iter().map(|part| part.to_string_lossy()).filter(|part| part != ".").collect();
        self.sounds.insert(parts.join("/"), (place, bytes));
        if self.sounds.len() > MAX_RECORDINGS {
            let limit = MAX_RECORDINGS as u64;
            return Err(DataError::TooLarge { path: self.root.clone(), limit, unit: "recordings" });
        }
        Ok(())
    }

    fn sorted(self) -> Result<Vec<Recording>, DataError> {
        let Self { root, sounds, test_list, .. } = self;
        let mut recordings: Vec<(u32, Recording)> = sounds
            .into_iter()
            .filter_map(|(inside, (place, bytes))| {
                let (word, split) = meaning(&inside, test_list.as_ref())?;
                let word = word.to_owned();
                Some((crc32fast::hash(inside.as_bytes()), Recording { word, split, place, bytes }))
            })
            .collect();
        if recordings.is_empty() {
            return Err(DataError::NoRecordings { path: root });
        }
        // Stable: equal checksums stay in the order of their paths.
        recordings.sort_by_key(|(sum, recording)| (recording.split, *sum));
        Ok(recordings.into_iter().map(|(_, recording)| recording).collect())
    }
}

/// The word of a recording and what it is for, by the last parts of its path; `None` where it is no word.
fn meaning<'p>(inside: &'p str, test_list: Option<&BTreeSet<String>>) -> Option<(&'p str, Split)> {
    let mut parts = inside.rsplit('/');
    let (name, folder, above) = (parts.next()?, parts.next(), parts.next());
    match (folder, above) {
        (Some(word), _) if word.starts_with('_') => None,
        (Some(word), Some("train")) => Some((word, Split::Train)),
        (Some(word), Some("test")) => Some((word, Split::Test)),
        (Some(word), _) if test_list.is_some() => {
            let listed = test_list.is_some_and(|list| list.contains(&format!("{word}/{name}")));
            Some((word, if listed { Split::Test } else { Split::Train }))
        }
        _ => {
            let (stem, _) = name.rsplit_once('.')?;
            let (rest, number) = stem.rsplit_once('_')?;
            let (word, _) = rest.split_once('_')?;
            let number: u32 = number.parse().ok()?;
            Some((word, if number < FIRST_TRAINING_NUMBER { Split::Test } else { Split::Train }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_say_the_word_and_the_split() {
        let list = BTreeSet::from(["yes/b.wav".to_owned()]);
        for (inside, listed, expected) in [
            ("yes/a.wav", true, Some(("yes", Split::Train))),
            ("speech/yes/b.wav", true, Some(("yes", Split::Test))),
            ("_background_noise_/hum.wav", true, None),
            ("train/no/1.wav", false, Some(("no", Split::Train))),
            ("set/test/no/1.wav", false, Some(("no", Split::Test))),
            ("7_jackson_4.wav", false, Some(("7", Split::Test))),
            ("recordings/7_jackson_5.wav", false, Some(("7", Split::Train))),
            ("7_jackson_x.wav", false, None),
            ("hum.wav", false, None),
        ] {
            assert_eq!(meaning(inside, listed.then_some(&list)), expected, "{inside}");
        }
    }
}
