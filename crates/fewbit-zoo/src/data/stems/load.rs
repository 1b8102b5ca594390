//! Tracks in folders: `train/TRACK/{drums,bass,other,vocals}.wav`, with or without `mixture.wav`, and `test/…`, as
//! MUSDB18-HQ is unpacked.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{SOURCES, SoundFormat, StemData, Track};
use crate::data::corrupt::OnCorrupt;
use crate::data::wav::{Wav, read_wav_file};
use crate::data::{DataError, DataSetKind};

/// A set, and what is not in it.
#[derive(Debug)]
pub struct LoadedStems {
    /// The tracks that could be read.
    pub data: StemData,
    /// Why each track that is missing was left out; none under [`OnCorrupt::Fail`].
    pub skipped: Vec<String>,
}

/// Loads the tracks of a folder, in the order of their names.
///
/// All tracks have the format of the first that can be read; another format counts as damage. What the operating system
/// cannot read is an error whatever `on_corrupt` says: it tells nothing of the track.
///
/// # Errors
/// [`DataError::NotFound`] without `train/` and `test/`, [`DataError::NoRecords`] where one of them has no track left,
/// [`DataError::Read`], and under [`OnCorrupt::Fail`] whatever is wrong with the first damaged track.
pub fn load(folder: &Path, on_corrupt: OnCorrupt) -> Result<LoadedStems, DataError> {
    let mut loader = Loader { on_corrupt, format: None, skipped: Vec::new() };
    let train = loader.tracks(folder, "train")?;
    let test = loader.tracks(folder, "test")?;
    let Some(format) = loader.format else {
        return Err(DataError::NoRecords { path: folder.to_owned() });
    };
    Ok(LoadedStems { data: StemData { format, train, test }, skipped: loader.skipped })
}

struct Loader {
    on_corrupt: OnCorrupt,
    /// That of the first track.
    format: Option<SoundFormat>,
    skipped: Vec<String>,
}

impl Loader {
    /// The tracks of one part.
    fn tracks(&mut self, folder: &Path, split: &str) -> Result<Vec<Track>, DataError> {
        let part = folder.join(split);
        let folders = subfolders(folder, &part)?;
        let read: Vec<_> = folders.par_iter().map(|track| read_track(track)).collect();
        let mut tracks = Vec::with_capacity(read.len());
        for (folder, track) in folders.into_iter().zip(read) {
            match track.and_then(|(format, track)| self.fitting(format, track, &folder)) {
                Ok(track) => tracks.push(track),
                Err(reason) if self.on_corrupt == OnCorrupt::Fail => return Err(reason),
                Err(reason @ DataError::Read { .. }) => return Err(reason),
                Err(reason) => self.skipped.push(reason.to_string()),
            }
        }
        if tracks.is_empty() { Err(DataError::NoRecords { path: part }) } else { Ok(tracks) }
    }

    /// The track, if it has the format of those before it.
    fn fitting(&mut self, found: SoundFormat, track: Track, folder: &Path) -> Result<Track, DataError> {
        let needed = *self.format.get_or_insert(found);
        if found == needed {
            return Ok(track);
        }
        Err(DataError::SoundFormat { path: folder.to_owned(), found, needed })
    }
}

/// The folders of one part, by name.
fn subfolders(folder: &Path, part: &Path) -> Result<Vec<PathBuf>, DataError> {
    if !part.is_dir() {
        return Err(DataError::NotFound {
            kind: DataSetKind::Stems,
            path: folder.to_owned(),
            looked_for: format!("train/TRACK/{}.wav and the same in test/", SOURCES.join(".wav, ")),
        });
    }
    let mut folders = Vec::new();
    for entry in part.read_dir().map_err(DataError::read(part))? {
        let path = entry.map_err(DataError::read(part))?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// The track in a folder and its format.
fn read_track(folder: &Path) -> Result<(SoundFormat, Track), DataError> {
    // All are looked up before the first is read.
    for source in SOURCES {
        if !sound_path(folder, source).is_file() {
            return Err(DataError::SourceMissing { track: folder.to_owned(), source_name: source });
        }
    }
    let mut format = None;
    let mut sound = |name: &str| {
        let path = sound_path(folder, name);
        let Wav { sample_rate, channels, samples } = read_wav_file(&path)?;
        let found = SoundFormat { sample_rate, channels };
        let needed = *format.get_or_insert(found);
        if found == needed { Ok(samples) } else { Err(DataError::SoundFormat { path, found, needed }) }
    };
    let sources = [sound(SOURCES[0])?, sound(SOURCES[1])?, sound(SOURCES[2])?, sound(SOURCES[3])?];
    let mixture = sound_path(folder, "mixture").is_file().then(|| sound("mixture")).transpose()?;
    let Some(format) = format else { unreachable!("set by the first sound") };
    let track = Track::new(folder.display().to_string(), format.channels, sources, mixture)?;
    Ok((format, track))
}

fn sound_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.wav"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use hound::SampleFormat;
    use tempfile::TempDir;

    use super::*;
    use crate::data::wav::tests::wav;

    const FORMAT: [u32; 3] = [8_000, 2, 16];

    /// Writes a track of five instants whose sources hold the numbers 1 to 4.
    fn write_track(folder: &Path, format: [u32; 3]) {
        fs::create_dir_all(folder).unwrap();
        for (source, number) in SOURCES.into_iter().zip(1i16..) {
            let samples = vec![number; 5 * format[1] as usize];
            fs::write(sound_path(folder, source), wav(&samples, format, SampleFormat::Int)).unwrap();
        }
    }

    /// Two tracks to train on and one to test on.
    fn small_set() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for track in ["train/b", "train/a", "test/c"] {
            write_track(&folder.path().join(track), FORMAT);
        }
        folder
    }

    fn names(tracks: &[Track]) -> Vec<&str> {
        tracks.iter().map(|track| track.name().rsplit('/').next().unwrap()).collect()
    }

    #[test]
    fn a_small_set_is_read_back_in_the_order_of_its_names() {
        let folder = small_set();
        let mixture = wav(&[9i16; 10], FORMAT, SampleFormat::Int);
        fs::write(folder.path().join("test/c/mixture.wav"), mixture).unwrap();
        let LoadedStems { data, skipped } = load(folder.path(), OnCorrupt::Fail).unwrap();
        assert!(skipped.is_empty());
        assert_eq!(data.format, SoundFormat { sample_rate: 8_000, channels: 2 });
        assert_eq!((names(&data.train), names(&data.test)), (vec!["a", "b"], vec!["c"]));
        assert_eq!(data.train[0].source(3), [4.0 / 32_768.0; 10]);
        assert_eq!(data.train[0].mixture(), [10.0 / 32_768.0; 10]);
        assert_eq!(data.test[0].mixture(), [9.0 / 32_768.0; 10]);
    }

    /// Each kind of damage to track `a`: refused with the file's name, or left out and named.
    #[test]
    fn a_damaged_track_is_refused_or_left_out_by_name() {
        let bass = |folder: &TempDir| folder.path().join("train/a/bass.wav");
        let short = wav(&[2i16; 8], FORMAT, SampleFormat::Int);
        let slow = wav(&[2i16; 10], [4_000, 2, 16], SampleFormat::Int);
        let cut = short[..short.len() - 3].to_vec();
        for (damage, part) in [(cut, "bass.wav"), (short, "`bass`"), (slow, "4000 Hz"), (vec![], "bass.wav")]
        {
            let folder = small_set();
            fs::write(bass(&folder), damage).unwrap();
            let error = load(folder.path(), OnCorrupt::Fail).unwrap_err().to_string();
            assert!(error.contains("train/a") && error.contains(part), "{error}");
            let LoadedStems { data, skipped } = load(folder.path(), OnCorrupt::Skip).unwrap();
            assert_eq!(names(&data.train), ["b"]);
            assert_eq!(skipped.len(), 1);
            assert_eq!(skipped[0], error);
        }
        let folder = small_set();
        fs::remove_file(bass(&folder)).unwrap();
        let LoadedStems { skipped, .. } = load(folder.path(), OnCorrupt::Skip).unwrap();
        assert!(skipped[0].contains("bass.wav"), "{skipped:?}");
    }

    #[test]
    fn another_format_than_the_first_track_s_is_damage() {
        let folder = small_set();
        write_track(&folder.path().join("train/b"), [8_000, 1, 16]);
        let error = load(folder.path(), OnCorrupt::Fail).unwrap_err().to_string();
        assert!(error.contains("train/b") && error.contains("1 channels"), "{error}");
        assert_eq!(names(&load(folder.path(), OnCorrupt::Skip).unwrap().data.train), ["a"]);
    }

    #[test]
    fn a_part_without_tracks_is_an_error() {
        let folder = small_set();
        fs::remove_file(folder.path().join("test/c/bass.wav")).unwrap();
        let error = load(folder.path(), OnCorrupt::Skip).unwrap_err();
        assert!(matches!(&error, DataError::NoRecords { path } if path.ends_with("test")), "{error}");
        let nowhere = load(Path::new("no/such/place"), OnCorrupt::Skip).unwrap_err().to_string();
        assert!(nowhere.contains("no/such/place") && nowhere.contains("drums.wav"), "{nowhere}");
    }
}
