//! Telling apart the sources of music.

mod chunks;
mod sdr;

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use fewbit_burn::train::{BatchRecord, Direction, Metric, Score, Split, Task};

use self::chunks::separate_in_chunks;
use self::sdr::median_sdr;
use crate::data::augment::Draw;
use crate::data::stems::{
    SOURCES, Segments, SoundFormat, StemAugmentation, StemData, Track, TrainingCut, training_cuts,
    write_batch,
};
use crate::models::Separator;

/// A separator with its tracks; the validation split is the end of the training set.
///
/// A training record is a piece of a track, whose mixture is the sum of its varied sources; the loss is their mean
/// distance to the estimates (L1). An evaluation record is a whole track.
///
/// The score of a track and source is the median over windows of one second of the signal-to-distortion ratio in dB; the
/// metric is their mean over all sources of all tracks, those left out that are silent throughout. Défossez et al. 2019
/// report the median over tracks of ratios by BSSEval, which forgives more, so that their numbers are not ours.
#[derive(Debug)]
pub struct StemsTask<F> {
    build: F,
    format: SoundFormat,
    train: Vec<Track>,
    validation: Vec<Track>,
    test: Vec<Track>,
    cuts: Vec<TrainingCut>,
    segments: Segments,
    augmentation: StemAugmentation,
    fingerprint: u32,
}

impl<F> StemsTask<F> {
    /// A task on `data` whose last `validation` training tracks are held back; `build` makes the network.
    ///
    /// Training pieces and the chunks that long tracks are evaluated in are as long as `segments` says, at least one
    /// sample.
    pub fn new(
        build: F,
        data: StemData,
        validation: usize,
        segments: Segments,
        augmentation: StemAugmentation,
    ) -> Self {
        let fingerprint = data.fingerprint();
        let StemData { format, mut train, test } = data;
        let validation = train.split_off(train.len().saturating_sub(validation));
        let segments = Segments { length: segments.length.max(1), stride: segments.stride.max(1) };
        let cuts = training_cuts(&train, segments);
        Self { build, format, train, validation, test, cuts, segments, augmentation, fingerprint }
    }

    fn tracks(&self, split: Split) -> &[Track] {
        if split == Split::Validation { &self.validation } else { &self.test }
    }
}

/// The varied sources of training pieces, which are the labels of their mixtures: `[batch, sources, channels, time]`.
#[derive(Clone, Debug)]
pub struct StemBatch(TensorData);

impl StemBatch {
    fn sources(&self, device: &Device) -> Tensor<4> {
        Tensor::from_data(self.0.clone(), device)
    }
}

/// The mixture `[batch, channels, time]` of sources `[batch, sources, channels, time]`.
fn mixed(sources: Tensor<4>) -> Tensor<3> {
    sources.sum_dim(1).squeeze_dim(1)
}

/// The mean distance of two tensors of one shape: shape `[1]`.
fn distance(a: Tensor<4>, b: Tensor<4>) -> Tensor<1> {
    (a - b).abs().mean()
}

impl<M: Separator, F: Fn(&Device) -> M> Task for StemsTask<F> {
    type Model = M;
    type Batch = StemBatch;
    /// The estimated sources: `[batch, sources, channels, time]`.
    type Output = Tensor<4>;

    fn init(&self, device: &Device) -> M {
        (self.build)(device)
    }

    fn training_records(&self) -> usize {
        self.cuts.len()
    }

    fn validation_records(&self) -> usize {
        self.validation.len()
    }

    fn test_records(&self) -> usize {
        self.test.len()
    }

    fn batch(&self, records: &[BatchRecord], seed: u64) -> StemBatch {
        let cuts: Vec<_> = records
            .iter()
            .map(|&BatchRecord { epoch, index }| {
                (self.cuts[index], Draw { seed, epoch, record: index as u64 })
            })
            .collect();
        let (channels, length) = (self.format.channels, self.segments.length);
        let shape = [records.len(), SOURCES.len(), channels, length];
        let mut samples = vec![0.0; shape.iter().product()];
        write_batch(&self.train, &cuts, self.augmentation, channels, &mut samples);
        StemBatch(TensorData::new(samples, shape))
    }

    fn forward(&self, model: &M, batch: &StemBatch, device: &Device) -> Tensor<4> {
        model.separate(mixed(batch.sources(device)))
    }

    fn loss(&self, found: Tensor<4>, batch: &StemBatch) -> Tensor<1> {
        let sources = batch.sources(&found.device());
        distance(found, sources)
    }

    fn distance(&self, found: Tensor<4>, taught: Tensor<4>) -> Option<Tensor<1>> {
        Some(distance(found, Tensor::from_inner(taught)))
    }

    fn metric(&self) -> Metric {
        Metric::new("sdr_db", Direction::LargerIsBetter).with_unit("dB")
    }

    fn evaluate(&self, model: &M, split: Split, records: Range<usize>, device: &Device) -> Vec<Score> {
        let (channels, window) = (self.format.channels, self.format.sample_rate as usize);
        let score = |track: &Track| {
            let frames = track.frames();
            let estimates =
                separate_in_chunks(model, &track.mixture(), channels, self.segments.length, device);
            let ratios: Vec<f64> = estimates
                .chunks_exact(channels * frames)
                .enumerate()
                .filter_map(|(source, estimate)| median_sdr(&track.source(source), estimate, frames, window))
                .collect();
            Score { value: ratios.iter().sum(), weight: ratios.len() as f64 }
        };
        self.tracks(split)[records].iter().map(score).collect()
    }

    fn fingerprint(&self) -> u32 {
        self.fingerprint
    }
}

#[cfg(test)]
mod tests;
