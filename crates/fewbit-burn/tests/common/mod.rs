//! A small network with batch norm and a task to train it on.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::ops::Range;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use fewbit_burn::QuantizationConfig;
use fewbit_burn::nn::distilled_cross_entropy;
use fewbit_burn::train::{BatchRecord, METRICS_FILE, Metric, Schedule, Score, Split, Task, TrainConfig};

/// Convolution, batch norm, ReLU, linear: images `[N, 1, 6, 6]` of 3 classes.
#[derive(Module, Debug)]
pub(crate) struct SmallNet {
    pub(crate) conv: Conv2d,
    pub(crate) norm: BatchNorm,
    pub(crate) fc: Linear,
}

impl SmallNet {
    pub(crate) fn new(device: &Device) -> Self {
        Self {
            conv: Conv2dConfig::new([1, 4], [3, 3]).init(device),
            norm: BatchNormConfig::new(4).init(device),
            fc: LinearConfig::new(64, 3).init(device),
        }
    }

    pub(crate) fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = activation::relu(self.norm.forward(self.conv.forward(images)));
        self.fc.forward(x.flatten(1, 3))
    }
}

/// Images whose class is the third of the picture that is brightest.
pub(crate) struct StripesTask {
    pub(crate) records: usize,
}

impl StripesTask {
    fn pixels(record: u64) -> (Vec<f32>, i64) {
        let class = record % 3;
        let pixels = (0..36).map(|i| {
            let noise = ((record * 7919 + i * 104_729) % 997) as f32 / 997.0 - 0.5;
            let bright = if i / 12 == class { 1.0 } else { 0.0 };
            bright + 1.5 * noise
        });
        (pixels.collect(), class as i64)
    }

    fn load(records: impl Iterator<Item = u64>) -> Stripes {
        let (pixels, labels): (Vec<_>, Vec<_>) = records.map(Self::pixels).unzip();
        Stripes { pixels: pixels.concat(), labels }
    }
}

/// Images with their classes.
pub(crate) struct Stripes {
    pixels: Vec<f32>,
    labels: Vec<i64>,
}

impl Stripes {
    fn images(&self, device: &Device) -> Tensor<4> {
        Tensor::from_data(TensorData::new(self.pixels.clone(), [self.labels.len(), 1, 6, 6]), device)
    }

    fn labels(&self, device: &Device) -> Tensor<1, Int> {
        Tensor::from_ints(self.labels.as_slice(), device)
    }
}

impl Task for StripesTask {
    type Model = SmallNet;
    type Batch = Stripes;
    type Output = Tensor<2>;

    fn init(&self, device: &Device) -> SmallNet {
        SmallNet::new(device)
    }

    fn training_records(&self) -> usize {
        self.records
    }

    fn validation_records(&self) -> usize {
        90
    }

    fn test_records(&self) -> usize {
        90
    }

    fn batch(&self, records: &[BatchRecord], _seed: u64) -> Stripes {
        Self::load(records.iter().map(|record| record.index as u64))
    }

    fn forward(&self, model: &SmallNet, batch: &Stripes, device: &Device) -> Tensor<2> {
        model.forward(batch.images(device))
    }

    fn loss(&self, logits: Tensor<2>, batch: &Stripes) -> Tensor<1> {
        let labels = batch.labels(&logits.device());
        CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, labels)
    }

    fn distilled_loss(
        &self,
        logits: Tensor<2>,
        taught: Tensor<2>,
        batch: &Stripes,
        share: f64,
    ) -> Option<Tensor<1>> {
        let labels = batch.labels(&logits.device());
        Some(distilled_cross_entropy(logits, labels, Tensor::from_inner(taught), share))
    }

    fn metric(&self) -> Metric {
        Metric::accuracy()
    }

    fn evaluate(&self, model: &SmallNet, split: Split, records: Range<usize>, device: &Device) -> Vec<Score> {
        let offset = if split == Split::Test { 200_000 } else { 100_000 };
        let batch = Self::load(records.map(|record| record as u64 + offset));
        let predicted: Vec<i64> = model
            .forward(batch.images(device))
            .argmax(1)
            .into_data()
            .convert::<i64>()
            .try_into_vec()
            .unwrap();
        let right = predicted.iter().zip(&batch.labels).map(|(found, label)| found == label);
        right.map(|right| Score::of(f64::from(u8::from(right)))).collect()
    }

    fn fingerprint(&self) -> u32 {
        self.records as u32
    }
}

/// A run of a second.
pub(crate) fn short_config() -> TrainConfig {
    TrainConfig::default()
        .with_seed(5)
        .with_batch_size(16)
        .with_float_steps(12)
        .with_quantized_steps(18)
        .with_weight_decay(1e-4)
        .with_learning_rate(0.05)
        .with_quantized_learning_rate(0.05)
        .with_warmup_steps(2)
        .with_bits_learning_rate(Some(0.05))
        .with_bits_schedule(Schedule::Cosine)
        .with_penalty(Some(100.0))
        .with_clip_norm(1.0)
        .with_evaluate_every(10)
        .with_evaluation_batch_size(32)
        .with_norm_batches(6)
        .with_checkpoint_every(5)
        .with_quantization(
            QuantizationConfig::diffq(8).with_min_tensor_size(0).with_exclude(["*.bias", "norm.*"]),
        )
}

/// The numbers of a tensor.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().unwrap()
}

/// The metrics of a run without their times.
pub(crate) fn metrics(path: &std::path::Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path.join(METRICS_FILE)).unwrap();
    let row = |line: &str| {
        let mut row: serde_json::Value = serde_json::from_str(line).unwrap();
        row.as_object_mut().unwrap().remove("seconds");
        row
    };
    text.lines().map(row).collect()
}
