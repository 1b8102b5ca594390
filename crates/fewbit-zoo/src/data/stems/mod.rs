//! Music whose sources are known: each track as a mixture and as the sounds that make it up.
//!
//! Everything is in memory at 16 bits a sample: a stereo track of four minutes at 44.1 kHz takes 42 MB for each of its
//! four sources and for its mixture, the hundred tracks of MUSDB18-HQ's training part about 20 GB.

mod load;
mod segments;

pub use load::{LoadedStems, load};
pub use segments::{Segments, StemAugmentation, TrainingCut, training_cuts, write_batch};

use std::fmt;
use std::path::PathBuf;

use super::DataError;

/// The sources, in the order that networks give them.
pub const SOURCES: [&str; 4] = ["drums", "bass", "other", "vocals"];

/// How the sounds of a set are sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoundFormat {
    /// Samples a second in each channel, above 0.
    pub sample_rate: u32,
    /// 1, or 2 for stereo.
    pub channels: usize,
}

impl fmt::Display for SoundFormat {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} Hz with {} channels", self.sample_rate, self.channels)
    }
}

/// One piece of music.
///
/// Holds by construction: all its sounds are equally long, and not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    name: String,
    channels: usize,
    /// `[time, channels]` each.
    sources: [Vec<i16>; SOURCES.len()],
    mixture: Option<Vec<i16>>,
}

impl Track {
    /// Puts sounds `[time, channels]`, in the order of [`SOURCES`], together; without a mixture it is their sum.
    ///
    /// # Errors
    /// [`DataError::NoRecords`] for a track of no length, [`DataError::TrackLength`] for a sound that is shorter or
    /// longer than the first.
    ///
    /// # Panics
    /// If there are no channels.
    pub fn new(
        name: String,
        channels: usize,
        sources: [Vec<i16>; SOURCES.len()],
        mixture: Option<Vec<i16>>,
    ) -> Result<Self, DataError> {
        let needed = sources[0].len();
        if needed < channels {
            return Err(DataError::NoRecords { path: PathBuf::from(name) });
        }
        let sounds = SOURCES.into_iter().zip(&sources).chain(mixture.iter().map(|sound| ("mixture", sound)));
        for (sound, samples) in sounds {
            if samples.len() != needed || !samples.len().is_multiple_of(channels) {
                let (found, needed) = (samples.len() / channels, needed / channels);
                return Err(DataError::TrackLength { track: name, sound, found, needed });
            }
        }
        Ok(Self { name, channels, sources, mixture })
    }

    /// Where it was read, or what it was called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Samples in each channel.
    pub fn frames(&self) -> usize {
        self.sources[0].len() / self.channels
    }

    /// One source as numbers in ±1, `[channels, time]`.
    ///
    /// # Panics
    /// If there is no such source.
    pub fn source(&self, source: usize) -> Vec<f32> {
        by_channel(self.channels, self.sources[source].iter().map(|&sample| unit(sample)))
    }

    /// The mixture as numbers in ±1, or beyond where it is the sum of the sources: `[channels, time]`.
    pub fn mixture(&self) -> Vec<f32> {
        match &self.mixture {
            Some(mixture) => by_channel(self.channels, mixture.iter().map(|&sample| unit(sample))),
            None => {
                let sum = |at: usize| self.sources.iter().map(|source| unit(source[at])).sum::<f32>();
                by_channel(self.channels, (0..self.sources[0].len()).map(sum))
            }
        }
    }

    fn sounds(&self) -> impl Iterator<Item = &Vec<i16>> {
        self.sources.iter().chain(&self.mixture)
    }
}

/// A sample as a part of full scale.
fn unit(sample: i16) -> f32 {
    f32::from(sample) / 32_768.0
}

/// Samples `[time, channels]` as `[channels, time]`.
fn by_channel(channels: usize, samples: impl ExactSizeIterator<Item = f32>) -> Vec<f32> {
    let frames = samples.len() / channels;
    let mut sorted = vec![0.0; samples.len()];
    for (at, sample) in samples.enumerate() {
        sorted[at % channels * frames + at / channels] = sample;
    }
    sorted
}

/// Tracks to learn from and tracks to be judged by, all of one format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StemData {
    /// The format of every sound.
    pub format: SoundFormat,
    /// Tracks to train (and to validate) on.
    pub train: Vec<Track>,
    /// Tracks of the reported metric.
    pub test: Vec<Track>,
}

impl StemData {
    /// Bytes that it takes in memory.
    pub fn bytes(&self) -> u64 {
        let sounds = self.train.iter().chain(&self.test).flat_map(Track::sounds);
        sounds.map(|sound| size_of_val(sound.as_slice()) as u64).sum()
    }

    /// CRC-32 of the format and of every sample: tells a resumed run that its data changed.
    pub fn fingerprint(&self) -> u32 {
        let mut sum = crc32fast::Hasher::new();
        sum.update(&self.format.sample_rate.to_le_bytes());
        let mut bytes = Vec::new();
        for tracks in [&self.train, &self.test] {
            sum.update(&(tracks.len() as u64).to_le_bytes());
            for track in tracks {
                for number in [track.channels, track.frames(), usize::from(track.mixture.is_some())] {
                    sum.update(&(number as u64).to_le_bytes());
                }
                for samples in track.sounds().flat_map(|sound| sound.chunks(1 << 16)) {
                    bytes.clear();
                    bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
                    sum.update(&bytes);
                }
            }
        }
        sum.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stereo track whose sources hold their numbers, `[left, right]`, twice.
    fn track(mixture: Option<Vec<i16>>) -> Track {
        let sources = [1, 2, 3, 4].map(|source: i16| [1024 * source, -1024 * source].repeat(2));
        Track::new("a song".into(), 2, sources, mixture).unwrap()
    }

    #[test]
    fn the_mixture_is_the_sum_where_none_is_given() {
        let step = 1.0 / 32.0;
        assert_eq!(track(None).source(2), [3.0 * step, 3.0 * step, -3.0 * step, -3.0 * step]);
        assert_eq!(track(None).mixture(), [10.0 * step, 10.0 * step, -10.0 * step, -10.0 * step]);
        let given = track(Some(vec![1024, 2048, 3072, 4096]));
        assert_eq!(given.mixture(), [step, 3.0 * step, 2.0 * step, 4.0 * step]);
        assert_eq!(given.frames(), 2);
    }

    #[test]
    fn sounds_of_different_lengths_are_no_track() {
        let sources = [vec![0; 4], vec![0; 4], vec![0; 6], vec![0; 4]];
        let error = Track::new("a song".into(), 2, sources, None).unwrap_err().to_string();
        for part in ["a song", "other", "3", "2"] {
            assert!(error.contains(part), "{error}");
        }
        let error = Track::new("a song".into(), 2, Default::default(), None).unwrap_err();
        assert!(matches!(error, DataError::NoRecords { .. }), "{error}");
    }

    #[test]
    fn the_fingerprint_sees_a_sample_the_mixture_the_rate_and_the_split() {
        let format = SoundFormat { sample_rate: 8000, channels: 2 };
        let one = StemData { format, train: vec![track(None); 2], test: vec![track(None)] };
        let mut others = vec![one.clone(); 4];
        others[0].train[1].sources[3][2] += 1;
        others[1].test[0] = track(Some(vec![0; 4]));
        others[2].format.sample_rate = 8001;
        let moved = others[3].train.pop().unwrap();
        others[3].test.push(moved);
        let mut prints: Vec<u32> = others.iter().chain([&one]).map(StemData::fingerprint).collect();
        prints.sort_unstable();
        prints.dedup();
        assert_eq!(prints.len(), 5);
        assert_eq!(one.fingerprint(), one.clone().fingerprint());
        // Three tracks of four sources of four samples of two bytes.
        assert_eq!(one.bytes(), 96);
    }
}
