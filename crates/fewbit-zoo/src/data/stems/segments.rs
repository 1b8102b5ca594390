//! What a training step hears: pieces of tracks, varied and mixed anew.
//!
//! What comes out is a pure function of the tracks, the batch and (seed, epoch, record): a resumed run hears the same.
//!
//! Défossez et al. 2019, "Music source separation in the waveform domain", data augmentation of section 5: a random
//! shift, channels swapped, signs flipped, a gain from 0.25 to 1.25, and sources of different tracks put together.

use std::ops::Range;

use rayon::prelude::*;

use super::{SOURCES, Track, unit};
use crate::data::augment::Draw;
use crate::data::random::CounterRng;

/// Keep the words of shifts, of variations and of remixing apart from each other and from other users of the seed.
const SHIFT: u64 = 0x7368_6966;
const VARIATION: u64 = 0x7661_7279;
const REMIX: u64 = 0x7265_6d69;

/// What the amplitude of a source is multiplied with, where it is varied.
const GAIN: Range<f32> = 0.25..1.25;

/// How tracks are cut, in samples of each channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// Of one piece.
    pub length: usize,
    /// From the earliest start of one piece to that of the next; up to this far each piece is shifted.
    pub stride: usize,
}

/// How a training piece is varied, each source alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StemAugmentation {
    /// Whether every other source, by chance, has left and right exchanged.
    pub swap_channels: bool,
    /// Whether every other source, by chance, is negated.
    pub flip_sign: bool,
    /// Whether each source gets a gain, uniform in 0.25..1.25.
    pub gain: bool,
    /// Whether the sources of a batch are put together anew.
    pub remix: bool,
}

impl StemAugmentation {
    /// The sources as they are.
    pub const NONE: Self = Self { swap_channels: false, flip_sign: false, gain: false, remix: false };
    /// All of them, as the paper does.
    pub const PAPER: Self = Self { swap_channels: true, flip_sign: true, gain: true, remix: true };
}

/// Where a training record comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainingCut {
    /// Number of the track.
    pub track: usize,
    /// The earliest sample that it may start at.
    pub start: usize,
    /// How many starts there are.
    pub starts: usize,
}

/// The training records of `tracks`: of each track a piece every [`Segments::stride`] samples whose shifts stay inside
/// the track. A track too short for that has one piece, with silence behind it where it is shorter than the piece.
pub fn training_cuts(tracks: &[Track], segments: Segments) -> Vec<TrainingCut> {
    let stride = segments.stride.max(1);
    let of_track = |(track, frames): (usize, usize)| {
        let room = frames.saturating_sub(segments.length);
        let starts = stride.min(room + 1);
        (0..(room / stride).max(1)).map(move |place| TrainingCut { track, start: place * stride, starts })
    };
    tracks.iter().map(Track::frames).enumerate().flat_map(of_track).collect()
}

/// The sources of a batch, cut and varied, into `out`, `[batch, sources, channels, length]`.
///
/// # Panics
/// If a cut names no track of `tracks`, or `out` does not have room for pieces of one length and `channels` each.
pub fn write_batch(
    tracks: &[Track],
    batch: &[(TrainingCut, Draw)],
    augmentation: StemAugmentation,
    channels: usize,
    out: &mut [f32],
) {
    let rows = batch.len() * SOURCES.len();
    if rows == 0 {
        return;
    }
    assert!(out.len().is_multiple_of(rows * channels), "as many samples for every source");
    let length = out.len() / (rows * channels);
    let draws: Vec<Draw> = batch.iter().map(|&(_, draw)| draw).collect();
    let orders: Vec<Vec<usize>> = (0..SOURCES.len())
        .map(|source| if augmentation.remix { remixed(&draws, source) } else { (0..batch.len()).collect() })
        .collect();
    out.par_chunks_exact_mut(channels * length).enumerate().for_each(|(row, out)| {
        let (record, source) = (row / SOURCES.len(), row % SOURCES.len());
        let (cut, draw) = batch[orders[source][record]];
        let track = &tracks[cut.track];
        let start = cut.start + shift(draw, cut.starts);
        let variation = Variation::draw(draw, source, augmentation);
        for (channel, out) in out.chunks_exact_mut(length).enumerate() {
            let from = if variation.is_swapped { channels - 1 - channel } else { channel };
            let samples = track.sources[source].chunks_exact(track.channels).skip(start);
            let samples = samples.map(|frame| variation.factor * unit(frame[from]));
            for (out, sample) in out.iter_mut().zip(samples.chain(std::iter::repeat(0.0))) {
                *out = sample;
            }
        }
    });
}

/// How far a piece is moved: in `0..starts`, the same for all its sources.
fn shift(draw: Draw, starts: usize) -> usize {
    CounterRng::new(&[SHIFT, draw.seed, draw.epoch, draw.record]).below(starts)
}

/// What happens to one source of one record.
struct Variation {
    is_swapped: bool,
    factor: f32,
}

impl Variation {
    fn draw(draw: Draw, source: usize, augmentation: StemAugmentation) -> Self {
        let mut rng = CounterRng::new(&[VARIATION, draw.seed, draw.epoch, draw.record, source as u64]);
        // All three are drawn whatever the settings, so that each stays the same when another is switched off.
        let is_swapped = rng.chance(0.5) && augmentation.swap_channels;
        let is_flipped = rng.chance(0.5) && augmentation.flip_sign;
        let gain = rng.between(GAIN.start, GAIN.end);
        let gain = if augmentation.gain { gain } else { 1.0 };
        Self { is_swapped, factor: if is_flipped { -gain } else { gain } }
    }
}

/// From which record of the batch each gets this source: every order is equally likely.
fn remixed(draws: &[Draw], source: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..draws.len()).collect();
    if let Some(&Draw { seed, epoch, record }) = draws.first() {
        let mut rng = CounterRng::new(&[REMIX, seed, epoch, record, source as u64]);
        for last in (1..order.len()).rev() {
            order.swap(last, rng.below(last + 1));
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stereo track whose source `s` is `100·s + time` on the left and its negative on the right, times 1 / 32,768.
    fn track(frames: i16) -> Track {
        let sources = [0, 1, 2, 3].map(|source: i16| {
            (0..frames).flat_map(|time| [100 * source + time, -(100 * source + time)]).collect()
        });
        Track::new("ramp".into(), 2, sources, None).unwrap()
    }

    fn draw(epoch: u64, record: u64) -> Draw {
        Draw { seed: 5, epoch, record }
    }

    /// The batch in steps of 1 / 32,768.
    fn batch(
        tracks: &[Track],
        cuts: &[(TrainingCut, Draw)],
        augmentation: StemAugmentation,
        length: usize,
    ) -> Vec<f32> {
        let mut out = vec![f32::NAN; cuts.len() * 4 * 2 * length];
        write_batch(tracks, cuts, augmentation, 2, &mut out);
        out.into_iter().map(|sample| sample * 32_768.0).collect()
    }

    /// Pieces of 10 every 4: of 21 samples 11 are left, two whole strides; of 12 two, one piece with three starts; a
    /// track of exactly 10 or less has one piece and one start.
    #[test]
    fn pieces_and_their_shifts_stay_inside_the_track() {
        let cuts = |frames| training_cuts(&[track(frames)], Segments { length: 10, stride: 4 });
        let cut = |start, starts| TrainingCut { track: 0, start, starts };
        assert_eq!(cuts(21), [cut(0, 4), cut(4, 4)]);
        assert_eq!(cuts(12), [cut(0, 3)]);
        assert_eq!(cuts(10), [cut(0, 1)]);
        assert_eq!(cuts(3), [cut(0, 1)]);
    }

    #[test]
    fn a_piece_is_the_track_from_its_start_and_silence_behind_its_end() {
        let tracks = [track(7), track(3)];
        let cut = |track, start| TrainingCut { track, start, starts: 1 };
        let cuts = [(cut(0, 2), draw(0, 0)), (cut(1, 0), draw(0, 1))];
        let found = batch(&tracks, &cuts, StemAugmentation::NONE, 4);
        assert_eq!(found[..8], [2.0, 3.0, 4.0, 5.0, -2.0, -3.0, -4.0, -5.0]);
        assert_eq!(found[8..12], [102.0, 103.0, 104.0, 105.0]);
        assert_eq!(found[40..48], [100.0, 101.0, 102.0, 0.0, -100.0, -101.0, -102.0, 0.0]);
    }

    /// In 200 draws of each of four sources all variations occur, and each source is one of those that there may be.
    #[test]
    fn each_source_is_varied_within_its_bounds() {
        let tracks = [track(1)];
        let cut = TrainingCut { track: 0, start: 0, starts: 1 };
        let (mut positive, mut lowest, mut highest) = (0, f32::MAX, 0.0f32);
        for epoch in 0..200 {
            let found = batch(&tracks, &[(cut, draw(epoch, 0))], StemAugmentation::PAPER, 1);
            for (source, pair) in found.chunks(2).enumerate().skip(1) {
                assert_eq!(pair[0], -pair[1]);
                let gain = pair[0].abs() / (100 * source) as f32;
                assert!((0.2499..1.2501).contains(&gain), "{gain}");
                positive += i32::from(pair[0] > 0.0);
                (lowest, highest) = (lowest.min(gain), highest.max(gain));
            }
        }
        // Of 600, by two fair coins: deviation 12.2; 5 of those. No gain in a tenth of the range: 0.9^600.
        assert!((239..=361).contains(&positive), "{positive}");
        assert!(lowest < 0.35 && highest > 1.15, "{lowest}..{highest}");
    }

    #[test]
    fn remixing_uses_every_piece_once_and_depends_on_the_draw_alone() {
        let tracks: Vec<Track> = (1..=6).map(track).collect();
        let cuts = |epoch| -> Vec<_> {
            let cut = |track: usize| TrainingCut { track, start: track, starts: 1 };
            (0..6).map(|track| (cut(track), draw(epoch, track as u64))).collect()
        };
        let remix = StemAugmentation { remix: true, ..StemAugmentation::NONE };
        let sources = |epoch: u64| batch(&tracks, &cuts(epoch), remix, 1);
        let vocals = |batch: &[f32]| -> Vec<f32> { batch.chunks(8).map(|record| record[6]).collect() };
        let mut found = vocals(&sources(0));
        assert_ne!(found, vocals(&sources(1)));
        assert_eq!(sources(0), sources(0));
        found.sort_by(f32::total_cmp);
        assert_eq!(found, [300.0, 301.0, 302.0, 303.0, 304.0, 305.0]);
    }

    #[test]
    fn shifts_reach_every_start() {
        let mut seen = [false; 4];
        (0..100).for_each(|record| seen[shift(draw(0, record), 4)] = true);
        assert_eq!(seen, [true; 4]);
    }
}
