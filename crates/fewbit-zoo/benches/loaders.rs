//! How long a training step waits for its batch, data set by data set, on two threads.
//!
//! Each task is asked for the loss of a network that does nothing, so that reading, decoding, varying and normalising are
//! what is timed. The sets are generated: photographs as JPEG for class folders, noise for the others. Prints
//! milliseconds, the median and the quartiles of so many batches, the first left out.
//!
//!     cargo bench -p fewbit-zoo --bench loaders

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use fewbit_burn::train::{BatchRecord, Task};
use fewbit_zoo::data::augment::{Augmentation, Normalization};
use fewbit_zoo::data::stems::{SOURCES, Segments, SoundFormat, StemAugmentation, StemData, Track};
use fewbit_zoo::data::{ImageData, ImageSet, ImageShape, OnCorrupt, TextSet, class_folders};
use fewbit_zoo::models::{ByteLanguageModel, ImageClassifier, Separator};
use fewbit_zoo::task::{ImageTask, StemsTask, TextTask};
use jpeg_encoder::{ColorType, Encoder};

const THREADS: usize = 2;
const BATCHES: usize = 15;
const CLASSES: usize = 10;
/// Training pictures of each class.
const PICTURES: usize = 20;
/// Height and width of most pictures of ImageNet, and of CIFAR's.
const SIZES: [[u16; 2]; 2] = [[375, 500], [32, 32]];

/// A network whose answer does not depend on what it is asked.
#[derive(Module, Debug)]
struct Nothing;

impl ImageClassifier for Nothing {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        Tensor::zeros([images.dims()[0], CLASSES], &images.device())
    }
}

impl ByteLanguageModel for Nothing {
    fn logits(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let [sequences, length] = tokens.dims();
        Tensor::zeros([sequences, length, 256], &tokens.device())
    }
}

impl Separator for Nothing {
    fn separate(&self, mixture: Tensor<3>) -> Tensor<4> {
        let [count, channels, length] = mixture.dims();
        Tensor::zeros([count, SOURCES.len(), channels, length], &mixture.device())
    }

    fn valid_length(&self, length: usize) -> usize {
        length
    }
}

/// Bytes in which nothing repeats.
fn noise(count: usize) -> Vec<u8> {
    (0..count as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// Times batches of `size` records and prints a row.
fn row(name: &str, task: &impl Task<Model = Nothing>, size: usize) {
    let device = Device::default();
    let mut milliseconds: Vec<f64> = (0..=BATCHES)
        .map(|batch| {
            let records: Vec<_> = (0..size)
                .map(|place| (batch * size + place) * 7_919 % task.training_records())
                .map(|index| BatchRecord { epoch: batch as u64, index })
                .collect();
            let start = Instant::now();
            let batch = task.batch(&records, 0);
            task.loss(task.forward(&Nothing, &batch, &device), &batch).into_scalar::<f32>();
            1e3 * start.elapsed().as_secs_f64()
        })
        .skip(1)
        .collect();
    assert_eq!(task.failure(), None);
    milliseconds.sort_by(f64::total_cmp);
    let [lower, median, upper] = [1, 2, 3].map(|quarter| milliseconds[BATCHES * quarter / 4]);
    let rate = 1e3 * size as f64 / median;
    println!("{name:<52} {size:>5} {median:>9.2} {lower:>9.2} {upper:>9.2} {rate:>10.0}");
}

fn images([channels, height, width]: [usize; 3], count: usize) -> Result<ImageData, Box<dyn Error>> {
    let shape = ImageShape { channels, height, width };
    let set = || {
        let labels = (0..count).map(|record| (record % CLASSES) as u8).collect();
        ImageSet::new(shape, CLASSES, noise(count * shape.values()), labels)
    };
    Ok(ImageData { train: set()?, test: set()? })
}

/// Waves of colour with a little grain, as JPEG of quality 90.
fn write_photographs(folder: &Path, [height, width]: [u16; 2]) -> Result<(), Box<dyn Error>> {
    let grain = noise(usize::from(width) * usize::from(height) * 3);
    for (part, count) in [("train", PICTURES), ("val", 1)] {
        for class in 0..CLASSES {
            let folder = folder.join(part).join(class.to_string());
            fs::create_dir_all(&folder)?;
            for number in 0..count {
                let path = folder.join(format!("{number}.jpg"));
                let rgb = photograph(&grain, width.into(), class as f32, number as f32);
                Encoder::new_file(path, 90)?.encode(&rgb, width, height, ColorType::Rgb)?;
            }
        }
    }
    Ok(())
}

fn photograph(grain: &[u8], width: usize, class: f32, number: f32) -> Vec<u8> {
    let value = |(place, &grain): (usize, &u8)| {
        let (pixel, channel) = (place / 3, place % 3);
        let (x, y) = ((pixel % width) as f32, (pixel / width) as f32);
        let wave = (x / (9.0 + class)).sin() + (y / (5.0 + number)).cos();
        (110.0 + 40.0 * wave + 10.0 * channel as f32 + f32::from(grain % 24)) as u8
    };
    grain.iter().enumerate().map(value).collect()
}

/// Tracks of a minute.
fn stems() -> Result<StemData, Box<dyn Error>> {
    let format = SoundFormat { sample_rate: 44_100, channels: 2 };
    let sound = || noise(60 * 44_100 * 2).into_iter().map(|byte| i16::from(byte) << 7).collect();
    let track = |name: &str| Track::new(name.to_owned(), 2, std::array::from_fn(|_| sound()), None);
    Ok(StemData { format, train: vec![track("a")?, track("b")?], test: vec![track("c")?] })
}

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo passes `--bench`; under `cargo test` nothing is timed.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    rayon::ThreadPoolBuilder::new().num_threads(THREADS).build_global()?;
    println!("{:<52} batch    median   quarter  3 quarters  records/s", "milliseconds");
    let build = |_: &Device| Nothing;
    let colours = Normalization::new(&[0.5; 3], &[0.25; 3])?;
    let grey = Normalization::new(&[0.5], &[0.25])?;

    let data = images([3, 32, 32], 20_000)?;
    let task = ImageTask::new(build, data, 0, colours.clone(), Some(Augmentation::CIFAR10.into()));
    row("images of 32 × 32 in memory, crop and flip", &task, 128);

    let data = images([1, 49, 40], 20_000)?;
    let task = ImageTask::new(build, data, 0, grey, Some(Augmentation::TIME_SHIFT.into()));
    row("spectrograms of 49 × 40 in memory, shift", &task, 64);

    for ([height, width], side, batch) in [(SIZES[0], 224, 64), (SIZES[1], 32, 128)] {
        let folder = tempfile::tempdir()?;
        write_photographs(folder.path(), [height, width])?;
        let folders = class_folders::load(folder.path(), OnCorrupt::Fail)?;
        let task = ImageTask::from_folders(
            build,
            folders,
            side,
            0,
            colours.clone(),
            Some(Augmentation::NONE.into()),
        );
        row(&format!("JPEG of {width} × {height} to {side} pixels, random crops"), &task, batch);
    }

    let text = TextSet { train: noise(10_000_000), test: noise(10_000) };
    row("text, sequences of 128 bytes", &TextTask::new(build, text, 0, 128), 16);

    let segments = Segments { length: 441_000, stride: 44_100 };
    let task = StemsTask::new(build, stems()?, 0, segments, StemAugmentation::PAPER);
    row("stems of 10 s, stereo, 44.1 kHz, all variations", &task, 8);
    Ok(())
}
