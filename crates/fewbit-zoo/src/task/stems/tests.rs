use burn::module::{Module, Param};
use fewbit_burn::train::evaluate;

use super::*;

/// Gives each source the same share of the mixture.
#[derive(Module, Debug)]
struct Share {
    share: Param<Tensor<1>>,
}

impl Separator for Share {
    fn separate(&self, mixture: Tensor<3>) -> Tensor<4> {
        let estimate: Tensor<4> = mixture.unsqueeze_dim(1);
        estimate.repeat_dim(1, SOURCES.len()) * self.share.val().unsqueeze::<4>()
    }

    fn valid_length(&self, length: usize) -> usize {
        length
    }
}

const RATE: usize = 50;

/// A stereo track of noise in which only the drums are heard.
fn drums(frames: usize) -> Track {
    let noise = (0..2 * frames as i64).map(|at| (at * 7919 % 20_001 - 10_000) as i16).collect();
    let silence = || vec![0i16; 2 * frames];
    Track::new("drums".into(), 2, [noise, silence(), silence(), silence()], None).unwrap()
}

fn task(share: f32, test: usize, length: usize) -> StemsTask<impl Fn(&Device) -> Share> {
    let build =
        move |device: &Device| Share { share: Param::from_tensor(Tensor::from_floats([share], device)) };
    let format = SoundFormat { sample_rate: RATE as u32, channels: 2 };
    let data = StemData { format, train: vec![drums(200), drums(90)], test: vec![drums(test)] };
    StemsTask::new(build, data, 1, Segments { length, stride: 10 }, StemAugmentation::PAPER)
}

/// The estimate of the drums is 0.9 of them: (1 / 0.1)² = 20 dB, whatever the chunks. The silent sources do not count.
/// Chunks: one, a part of one, many with a last one of one sample, single samples.
#[test]
fn a_tenth_that_is_missing_is_twenty_decibels_however_the_track_is_cut() {
    let device = Device::flex();
    for (frames, length) in [(120, 120), (120, 500), (121, 40), (7, 1), (130, 3)] {
        let task = task(0.9, frames, length);
        let model = task.init(&device);
        for split in [Split::Test, Split::Validation] {
            let scores = evaluate(&task, &model, split, 3, &device);
            assert_eq!(scores.len(), 1);
            assert_eq!(scores[0].weight, 1.0);
            assert!((task.combine(&scores).unwrap() - 20.0).abs() < 1e-3, "{frames}, {length}: {scores:?}");
        }
    }
}

/// The network gives a quarter of what it hears, so that the whole is a quarter of the mixture.
#[test]
fn the_blended_chunks_are_the_estimate_itself() {
    let device = Device::flex();
    let track = drums(101);
    let model = task(0.25, 1, 1).init(&device);
    for length in [1, 2, 7, 40, 101, 1000] {
        let found = separate_in_chunks(&model, &track.mixture(), 2, length, &device);
        let expected: Vec<f32> = track.mixture().iter().map(|sample| 0.25 * sample).collect();
        assert_eq!(found.len(), 4 * expected.len());
        for estimate in found.chunks(expected.len()) {
            let off = estimate.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // A weighted mean of equal numbers below 0.1: a few roundings.
            assert!(off < 1e-6, "{length}: {off}");
        }
    }
}

#[test]
fn a_batch_is_a_function_of_seed_epoch_and_record() {
    let device = Device::flex().autodiff();
    let task = task(0.0, 10, 30);
    // 200 samples, pieces of 30 every 10: 170 are left.
    assert_eq!(task.training_records(), 17);
    let model = task.init(&device);
    let loss = |epoch, seed| -> f32 {
        let batch = task.batch(&[3, 16].map(|index| BatchRecord { epoch, index }), seed);
        task.loss(task.forward(&model, &batch, &device), &batch).into_scalar()
    };
    assert_eq!(loss(0, 1), loss(0, 1));
    assert_ne!(loss(0, 1), loss(1, 1));
    assert_ne!(loss(0, 1), loss(0, 2));
}

/// A network that gives nothing has the mean amplitude of the sources for its loss; a teacher of the same kind the same.
#[test]
fn the_loss_is_the_mean_distance_to_the_sources() {
    let device = Device::flex().autodiff();
    let task = task(0.0, 10, 30);
    let (model, batch) = (task.init(&device), task.batch(&[BatchRecord { epoch: 0, index: 5 }], 1));
    let sources = batch.sources(&device);
    assert_eq!(sources.dims(), [1, 4, 2, 30]);
    let amplitude: f32 = sources.abs().mean().into_scalar();
    let found = task.forward(&model, &batch, &device);
    let loss: f32 = task.loss(found.clone(), &batch).into_scalar();
    assert!(loss > 0.0 && (loss - amplitude).abs() < 1e-6, "{loss}, {amplitude}");
    let inner = Device::flex();
    let taught = task.forward(&task.init(&inner), &batch, &inner);
    let distilled: f32 = task.distilled_loss(found, taught, &batch, 0.75).unwrap().into_scalar();
    // Three quarters are at the teacher's silence already.
    assert!((distilled - 0.25 * amplitude).abs() < 1e-6, "{distilled}, {amplitude}");
}
