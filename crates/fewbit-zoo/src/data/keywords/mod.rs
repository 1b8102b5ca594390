//! Spoken words, as pictures of their sound.
//!
//! Recordings of about a second in a folder or a tar archive, in one of three forms:
//!
//! - `WORD/NAME.wav` with the paths of the test recordings in `testing_list.txt`, as in Speech Commands (Warden 2018);
//! - `train/WORD/NAME.wav` and `test/WORD/NAME.wav`;
//! - `WORD_SPEAKER_NUMBER.wav`, of which those with numbers below 5 are for testing, as in the Free Spoken Digit Dataset.
//!
//! Folders whose names begin with `_` hold noise and no words. All recordings have one sample rate; of two channels the
//! mean is heard.

mod files;
mod spectrogram;

use std::collections::BTreeSet;
use std::path::Path;

use rayon::prelude::*;

use self::files::{Recording, Split};
use self::spectrogram::Spectrogram;
use super::corrupt::OnCorrupt;
use super::{DataError, ImageData, ImageSet, ImageShape, wav};

/// No word takes longer: a minute at 48 kHz.
const MAX_SAMPLES: usize = 60 * 48_000;
/// Below this a frame has too few samples for bands.
const LOWEST_RATE: u32 = 1_000;
/// Nobody records words faster.
const HIGHEST_RATE: u32 = 192_000;
/// All spectrograms together. Those of Speech Commands have 207 MB.
const MAX_SPECTROGRAM_BYTES: usize = 8 << 30;
/// Labels are bytes.
const MAX_WORDS: usize = 256;

/// What was loaded, and what was left out.
#[derive(Clone, Debug)]
pub struct Keywords {
    /// Spectrograms `[1, frames, bands]`; the training recordings in an order that mixes words and speakers.
    pub data: ImageData,
    /// The words, by their labels.
    pub words: Vec<String>,
    /// Why each recording that is missing was left out.
    pub skipped: Vec<String>,
}

/// Spectrograms of `frames` frames and `bands` bands of all recordings at `path`.
///
/// # Errors
/// [`DataError`] for a path that is not there, recordings in none of the forms, other numbers of words than 2 to 256, words
/// of the test set that are not in the training set, recordings of two sample rates, and with [`OnCorrupt::Fail`] for the
/// first that cannot be read.
pub fn load(path: &Path, frames: usize, bands: usize, on_corrupt: OnCorrupt) -> Result<Keywords, DataError> {
    let recordings = files::collect(path)?;
    let words: BTreeSet<&str> = of_split(&recordings, Split::Train).map(|r| r.word.as_str()).collect();
    let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    if !(2..=MAX_WORDS).contains(&words.len()) {
        return Err(DataError::WordCount { path: path.to_owned(), found: words.len() });
    }
    if frames.saturating_mul(bands).saturating_mul(recordings.len()) > MAX_SPECTROGRAM_BYTES {
        let limit = MAX_SPECTROGRAM_BYTES as u64;
        return Err(DataError::TooLarge { path: path.to_owned(), limit, unit: "bytes of spectrograms" });
    }
    let mut skipped = Vec::new();
    let mut rate = None;
    let mut set = |split| {
        let heard: Vec<_> = of_split(&recordings, split).collect();
        let sounds: Vec<_> = heard
            .par_iter()
            .map(|recording| wav::read_wav(&recording.bytes, &recording.place, MAX_SAMPLES))
            .collect();
        let mut kept = Vec::with_capacity(heard.len());
        for (recording, sound) in heard.into_iter().zip(sounds) {
            match sound.and_then(|sound| same_rate(recording, &mut rate, sound)) {
                Ok(sound) => kept.push((recording, sound)),
                Err(error) if on_corrupt == OnCorrupt::Skip => skipped.push(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        let Some(rate) = rate else { return Err(DataError::NoRecordings { path: path.to_owned() }) };
        let spectrogram = Spectrogram::new(rate, frames, bands);
        let pixels = kept.par_iter().map(|(_, sound)| spectrogram.bytes(&mono(sound))).flatten().collect();
        let label = |recording: &Recording| {
            let label = words.binary_search(&recording.word);
            label.map(|label| label as u8).map_err(|_| DataError::UnknownWord {
                path: recording.place.clone(),
                word: recording.word.clone(),
            })
        };
        let labels = kept.iter().map(|(recording, _)| label(recording)).collect::<Result<_, _>>()?;
        let shape = ImageShape { channels: 1, height: frames, width: bands };
        ImageSet::new(shape, words.len(), pixels, labels)
    };
    let data = ImageData { train: set(Split::Train)?, test: set(Split::Test)? };
    for (part, set) in [("train", &data.train), ("test", &data.test)] {
        if set.is_empty() {
            return Err(DataError::EmptyPart { path: path.to_owned(), part });
        }
    }
    Ok(Keywords { data, words, skipped })
}

fn of_split(recordings: &[Recording], split: Split) -> impl Iterator<Item = &Recording> {
    recordings.iter().filter(move |recording| recording.split == split)
}

/// The sound, if it has the rate of those before.
fn same_rate(recording: &Recording, rate: &mut Option<u32>, sound: wav::Wav) -> Result<wav::Wav, DataError> {
    let found = sound.sample_rate;
    let needed = rate.unwrap_or(found.clamp(LOWEST_RATE, HIGHEST_RATE));
    if found != needed {
        return Err(DataError::SampleRate { path: recording.place.clone(), found, needed });
    }
    *rate = Some(needed);
    Ok(sound)
}

/// The mean of the channels, full scale ±1.
fn mono(sound: &wav::Wav) -> Vec<f32> {
    let scale = 1.0 / (32_768.0 * sound.channels as f32);
    let instants = sound.samples.chunks_exact(sound.channels);
    instants.map(|instant| instant.iter().map(|&sample| f32::from(sample)).sum::<f32>() * scale).collect()
}

#[cfg(test)]
mod tests;
