//! Sound files that a stranger made: WAV, 16 bits a sample in memory whatever the file has.

use std::path::Path;

use hound::{SampleFormat, WavReader};

use super::{DataError, bounded};

/// The longest file that is read: 1 GiB, at 16 bits in stereo an hour and 41 minutes.
const MAX_WAV_BYTES: u64 = 1 << 30;

/// A sound: samples of one instant side by side, channel after channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wav {
    /// Samples a second in each channel, above 0.
    pub(crate) sample_rate: u32,
    /// 1 or 2.
    pub(crate) channels: usize,
    /// `[time, channels]`; full scale is ±32,768.
    pub(crate) samples: Vec<i16>,
}

/// The sound in a file.
///
/// # Errors
/// [`DataError::Read`], [`DataError::TooLarge`] above 1 GiB, and those of [`read_wav`].
pub(super) fn read_wav_file(path: &Path) -> Result<Wav, DataError> {
    read_wav(&bounded::read_up_to(path, MAX_WAV_BYTES)?, path, usize::MAX)
}

/// The sound in the bytes of a file, which `path` names in errors.
///
/// 24 bits and floats of ±1 are rounded to 16 bits, ties up; what is beyond full scale is cut, and what is no number is
/// 0.
///
/// # Errors
/// [`DataError::TooLarge`] for more than `max_samples` in all channels together, [`DataError::WavFormat`] for another
/// coding than 16 or 24 bits integer or 32 bits float or more than two channels, [`DataError::Wav`] for a file that is
/// cut, damaged or no WAV at all.
pub(crate) fn read_wav(bytes: &[u8], path: &Path, max_samples: usize) -> Result<Wav, DataError> {
    let damaged = |source| DataError::Wav { path: path.to_owned(), source };
    let mut reader = WavReader::new(bytes).map_err(damaged)?;
    let spec = reader.spec();
    if reader.len() as usize > max_samples {
        let limit = max_samples as u64;
        return Err(DataError::TooLarge { path: path.to_owned(), limit, unit: "samples" });
    }
    let channels = usize::from(spec.channels);
    let is_known = (1..=2).contains(&channels) && spec.sample_rate > 0;
    let samples = match (spec.sample_format, spec.bits_per_sample) {
        (SampleFormat::Int, 16) if is_known => collect(reader.samples::<i16>(), |sample| sample),
        (SampleFormat::Int, 24) if is_known => collect(reader.samples::<i32>(), from_24_bits),
        (SampleFormat::Float, 32) if is_known => collect(reader.samples::<f32>(), from_float),
        (coding, bits) => {
            return Err(DataError::WavFormat {
                path: path.to_owned(),
                bits,
                is_float: coding == SampleFormat::Float,
                channels: spec.channels,
                sample_rate: spec.sample_rate,
            });
        }
    };
    let samples = samples.map_err(damaged)?;
    Ok(Wav { sample_rate: spec.sample_rate, channels, samples })
}

fn collect<S>(
    samples: impl Iterator<Item = Result<S, hound::Error>>,
    to_16_bits: impl Fn(S) -> i16,
) -> Result<Vec<i16>, hound::Error> {
    // Nothing is reserved on the word of the header.
    let mut collected = Vec::new();
    for sample in samples {
        collected.push(to_16_bits(sample?));
    }
    Ok(collected)
}

fn from_24_bits(sample: i32) -> i16 {
    ((sample + 128) >> 8).clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

/// `as` cuts at the ends of the range and makes a NaN 0.
fn from_float(sample: f32) -> i16 {
    (sample * 32_768.0 + 0.5).floor() as i16
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Cursor;

    use hound::{Sample, WavSpec, WavWriter};

    use super::*;

    /// The bytes of a WAV file.
    pub(in crate::data) fn wav<S: Sample + Copy>(
        samples: &[S],
        [sample_rate, channels, bits]: [u32; 3],
        sample_format: SampleFormat,
    ) -> Vec<u8> {
        let (channels, bits_per_sample) = (channels as u16, bits as u16);
        let mut bytes = Cursor::new(Vec::new());
        let spec = WavSpec { channels, sample_rate, bits_per_sample, sample_format };
        let mut writer = WavWriter::new(&mut bytes, spec).unwrap();
        for &sample in samples {
            writer.write_sample(sample).unwrap();
        }
        writer.finalize().unwrap();
        bytes.into_inner()
    }

    fn read(bytes: &[u8]) -> Result<Wav, DataError> {
        read_wav(bytes, Path::new("a.wav"), 1000)
    }

    #[test]
    fn sixteen_bits_are_read_as_they_are() {
        let samples = [0i16, 1, -1, i16::MAX, i16::MIN, 77];
        let stereo = read(&wav(&samples, [44_100, 2, 16], SampleFormat::Int)).unwrap();
        assert_eq!(stereo, Wav { sample_rate: 44_100, channels: 2, samples: samples.to_vec() });
        let mono = read(&wav(&samples, [16_000, 1, 16], SampleFormat::Int)).unwrap();
        assert_eq!((mono.sample_rate, mono.channels), (16_000, 1));
    }

    /// A step of 16 bits is 256 of 24: 127 rounds down, 128 up; the loudest rounds beyond the range and is cut.
    #[test]
    fn twenty_four_bits_are_rounded() {
        let samples = [0, 127, 128, -128, -129, 8_388_607, -8_388_608];
        let found = read(&wav(&samples, [8_000, 1, 24], SampleFormat::Int)).unwrap();
        assert_eq!(found.samples, [0, 0, 1, 0, -1, i16::MAX, i16::MIN]);
    }

    #[test]
    fn floats_are_rounded_and_cut_at_full_scale() {
        let samples = [0.0, 0.5, -0.5, 1.0, -1.0, 7.0, f32::NEG_INFINITY, f32::NAN, 0.6 / 32_768.0];
        let found = read(&wav(&samples, [8_000, 1, 32], SampleFormat::Float)).unwrap();
        assert_eq!(found.samples, [0, 16_384, -16_384, i16::MAX, i16::MIN, i16::MAX, i16::MIN, 0, 1]);
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error_that_names_it() {
        let whole = wav(&[1i16; 20], [8_000, 2, 16], SampleFormat::Int);
        for length in 0..whole.len() {
            let error = read(&whole[..length]).unwrap_err();
            assert!(matches!(error, DataError::Wav { .. }), "{length}: {error}");
            assert!(error.to_string().contains("a.wav"), "{error}");
        }
    }

    /// Damage may leave a readable file, never a panic and never more samples than there are bytes for.
    #[test]
    fn no_damaged_byte_makes_a_panic() {
        let whole = wav(&[1i16; 20], [8_000, 2, 16], SampleFormat::Int);
        for place in 0..whole.len() {
            for value in [0, 1, 3, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[place] = value;
                if let Ok(found) = read(&damaged) {
                    assert!(2 * found.samples.len() <= whole.len(), "byte {place} = {value}");
                }
            }
        }
    }

    #[test]
    fn other_codings_and_long_sounds_are_refused_with_what_was_found() {
        let eight = read(&wav(&[0i8; 4], [8_000, 1, 8], SampleFormat::Int)).unwrap_err().to_string();
        assert!(eight.contains("8 bits integer"), "{eight}");
        let three = read(&wav(&[0i16; 6], [8_000, 3, 16], SampleFormat::Int)).unwrap_err().to_string();
        assert!(three.contains("3 channels"), "{three}");
        let long = read(&wav(&[0i16; 1001], [8_000, 1, 16], SampleFormat::Int)).unwrap_err().to_string();
        assert!(long.contains("more than 1000 samples"), "{long}");
    }
}
