//! Log-mel spectrograms of short recordings, one byte a value.
//!
//! Frames of 40 ms every 20 ms, as in Zhang et al., "Hello edge", 2017; bands evenly spaced in mel, with the scale of
//! O'Shaughnessy 1987: `mel = 2595 · log10(1 + hertz / 700)`.

use std::f64::consts::PI;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

/// Length of a frame in thousandths of a second.
const FRAME_MS: usize = 40;
/// From the start of one frame to the next.
const HOP_MS: usize = 20;
/// The lowest frequency of any band, in hertz.
const LOWEST: f64 = 20.0;
/// A byte of 0 is so many decibels below the loudest value of the recording, or more.
const RANGE_DB: f32 = 80.0;
/// What silence has instead of nothing, so that it has a logarithm: −100 dB of a full-scale sample.
const FLOOR: f32 = 1e-10;

/// Makes spectrograms `[frames, bands]` of recordings of one sample rate.
pub(super) struct Spectrogram {
    frames: usize,
    /// Samples of a frame and from one to the next.
    length: usize,
    hop: usize,
    window: Vec<f32>,
    /// Of each band: the first bin of the spectrum that it hears, and the weights of the bins from there.
    bands: Vec<(usize, Vec<f32>)>,
    transform: Arc<dyn RealToComplex<f32>>,
}

impl Spectrogram {
    /// For recordings of `sample_rate` samples a second, at least 1,000.
    pub(super) fn new(sample_rate: u32, frames: usize, bands: usize) -> Self {
        let samples = |ms: usize| (ms * sample_rate as usize / 1000).max(1);
        let (length, hop) = (samples(FRAME_MS), samples(HOP_MS));
        let window =
            (0..length).map(|i| (0.5 - 0.5 * (2.0 * PI * i as f64 / length as f64).cos()) as f32).collect();
        let transform = RealFftPlanner::new().plan_fft_forward(length);
        let rate = f64::from(sample_rate);
        Self { frames, length, hop, window, bands: mel_bands(rate, length, bands), transform }
    }

    /// Samples of a whole recording; a longer one is cut.
    fn samples(&self) -> usize {
        self.length + self.frames.saturating_sub(1) * self.hop
    }

    /// The bytes `[frames, bands]` of mono samples with full scale ±1: decibels below the loudest value, linear from
    /// 0 at −80 and less to 255 at 0. Of a recording that is too long, the middle; a shorter one is put in the middle.
    /// What is silent throughout has zeros.
    pub(super) fn bytes(&self, samples: &[f32]) -> Vec<u8> {
        let mut centred = vec![0.0; self.samples()];
        let (from, to) = (
            samples.len().saturating_sub(centred.len()) / 2,
            centred.len().saturating_sub(samples.len()) / 2,
        );
        let kept = samples.len().min(centred.len());
        centred[to..to + kept].copy_from_slice(&samples[from..from + kept]);

        let mut frame = self.transform.make_input_vec();
        let mut spectrum = self.transform.make_output_vec();
        let mut scratch = self.transform.make_scratch_vec();
        let mut energies = Vec::with_capacity(self.frames * self.bands.len());
        for start in (0..self.frames).map(|frame| frame * self.hop) {
            let heard = &centred[start..start + self.length];
            for ((value, sample), weight) in frame.iter_mut().zip(heard).zip(&self.window) {
                *value = sample * weight;
            }
            // The buffers are the transform's own, so that their lengths fit.
            let _ = self.transform.process_with_scratch(&mut frame, &mut spectrum, &mut scratch);
            energies.extend(self.bands.iter().map(|(first, weights)| energy(&spectrum[*first..], weights)));
        }
        let loudest = energies.iter().copied().fold(0.0, f32::max);
        let decibels = |energy: f32| 10.0 * (energy / self.length as f32).max(FLOOR).log10();
        let top = decibels(loudest);
        let byte = |&energy: &f32| (255.0 * (1.0 + (decibels(energy) - top) / RANGE_DB)).round() as u8;
        match loudest / self.length as f32 > FLOOR {
            true => energies.iter().map(byte).collect(),
            false => vec![0; energies.len()],
        }
    }
}

/// The energy that a band hears.
fn energy(spectrum: &[Complex<f32>], weights: &[f32]) -> f32 {
    spectrum.iter().zip(weights).map(|(bin, weight)| bin.norm_sqr() * weight).sum()
}

/// Triangles with equal distances in mel from [`LOWEST`] to half the rate, each falling to 0 at the peaks beside it.
fn mel_bands(rate: f64, length: usize, count: usize) -> Vec<(usize, Vec<f32>)> {
    let mel = |hertz: f64| 2595.0 * (1.0 + hertz / 700.0).log10();
    let hertz = |mel: f64| 700.0 * (10f64.powf(mel / 2595.0) - 1.0);
    let (low, high) = (mel(LOWEST), mel(rate / 2.0));
    let edge = |place: usize| hertz(low + (high - low) * place as f64 / (count + 1) as f64);
    let bin = rate / length as f64;
    (0..count)
        .map(|band| {
            let [left, peak, right] = [0, 1, 2].map(|place| edge(band + place));
            let weight = |index: usize| {
                let at = index as f64 * bin;
                ((at - left) / (peak - left)).min((right - at) / (right - peak)).max(0.0) as f32
            };
            let first = (left / bin).floor() as usize;
            let last = ((right / bin).ceil() as usize).min(length / 2);
            let mut weights: Vec<f32> = (first..=last).map(weight).collect();
            if weights.iter().all(|&weight| weight == 0.0) {
                // A band narrower than a bin hears the bin that is nearest.
                let nearest = ((peak / bin).round() as usize).min(length / 2);
                return (nearest, vec![1.0]);
            }
            weights.shrink_to_fit();
            (first, weights)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f64, rate: f64, samples: usize, loudness: f64) -> Vec<f32> {
        (0..samples).map(|i| (loudness * (2.0 * PI * hertz * i as f64 / rate).sin()) as f32).collect()
    }

    /// 49 frames every 20 ms, the last 40 ms long, are a second.
    #[test]
    fn a_second_is_49_frames() {
        assert_eq!(Spectrogram::new(8_000, 49, 40).samples(), 8_000);
        assert_eq!(Spectrogram::new(16_000, 49, 40).samples(), 16_000);
    }

    /// 1,000 Hz is 1,000 mel; 20 Hz is 31.7 and 4,000 Hz 2,146.1. Of ten bands each peak is 192.2 mel after the one before,
    /// so that the fifth, at 992.9, is nearest.
    #[test]
    fn a_tone_is_loudest_in_its_band() {
        let bytes = Spectrogram::new(8_000, 49, 10).bytes(&tone(1_000.0, 8_000.0, 8_000, 0.5));
        for frame in bytes.chunks_exact(10) {
            let loudest = (0..10).max_by_key(|&band| frame[band]).unwrap();
            assert_eq!(loudest, 4, "{frame:?}");
        }
    }

    /// Half as loud is 6.02 dB less, 19.2 of 255 steps of 80 / 255 dB.
    #[test]
    fn decibels_are_counted_from_the_loudest() {
        let mut samples = tone(1_000.0, 8_000.0, 4_000, 0.5);
        samples.extend(tone(1_000.0, 8_000.0, 4_000, 0.25));
        let bytes = Spectrogram::new(8_000, 49, 10).bytes(&samples);
        let band = |frame: usize| f32::from(bytes[frame * 10 + 4]);
        assert!(band(10) > 253.0, "{}", band(10));
        assert!((band(10) - band(40) - 19.2).abs() < 1.5, "{} and {}", band(10), band(40));
    }

    #[test]
    fn loudness_changes_nothing_and_silence_is_zeros() {
        let spectrogram = Spectrogram::new(8_000, 20, 16);
        let (loud, quiet) = (tone(700.0, 8_000.0, 3_000, 0.9), tone(700.0, 8_000.0, 3_000, 0.2));
        let difference = spectrogram.bytes(&loud).into_iter().zip(spectrogram.bytes(&quiet));
        assert!(difference.into_iter().all(|(loud, quiet)| loud.abs_diff(quiet) <= 1));
        assert_eq!(spectrogram.bytes(&[]), [0; 20 * 16]);
        assert_eq!(spectrogram.bytes(&[0.0; 9_000]), [0; 20 * 16]);
    }

    #[test]
    fn a_short_recording_is_in_the_middle_and_a_long_one_is_cut_to_it() {
        let spectrogram = Spectrogram::new(8_000, 49, 4);
        let frames = |samples: &[f32]| -> Vec<bool> {
            spectrogram.bytes(samples).chunks_exact(4).map(|frame| frame.iter().any(|&b| b > 128)).collect()
        };
        // A tenth of a second in the middle of 49 frames: those that begin from 410 to 540 ms hear it.
        let short = frames(&tone(500.0, 8_000.0, 800, 0.5));
        assert!(short[23] && short[25] && !short[18] && !short[30], "{short:?}");
        let mut long = vec![0.0; 4_000];
        long.extend(tone(500.0, 8_000.0, 8_000, 0.5));
        long.extend(vec![0.0; 4_000]);
        assert!(frames(&long).iter().all(|&loud| loud));
    }

    /// Low bands are narrower than the bins of a frame.
    #[test]
    fn every_band_hears_something() {
        for (rate, bands) in [(8_000, 40), (16_000, 80), (4_000, 256), (1_000, 64)] {
            for (first, weights) in mel_bands(f64::from(rate), rate as usize * FRAME_MS / 1000, bands) {
                assert!(weights.iter().sum::<f32>() > 0.0);
                assert!(first + weights.len() <= rate as usize * FRAME_MS / 2000 + 1);
            }
        }
    }
}
