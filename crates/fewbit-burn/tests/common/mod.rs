//! A small network with batch norm and a task to train it on.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::ops::Range;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use fewbit_burn::nn::distilled_cross_entropy;
use fewbit_burn::train::{
    BatchRecord, METRICS_FILE, Metric, OnNonFinite, OptimizerKind, Schedule, Score, Split, Task, Teacher,
    TrainConfig,
};
use fewbit_burn::{FloatStorage, QuantizationConfig};

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

    fn batch(records: impl Iterator<Item = u64>, device: &Device) -> (Tensor<4>, Tensor<1, Int>) {
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for record in records {
            let (image, label) = Self::pixels(record);
            pixels.extend(image);
            labels.push(label);
        }
        let n = labels.len();
        (
            Tensor::from_data(TensorData::new(pixels, [n, 1, 6, 6]), device),
            Tensor::from_data(TensorData::new(labels, [n]), device),
        )
    }
}

impl Task for StripesTask {
    type Model = SmallNet;

    fn init(&self, device: &Device) -> SmallNet {
        SmallNet::new(device)
    }

    fn metric(&self) -> Metric {
        Metric::Accuracy
    }

    fn training_records(&self) -> usize {
        self.records
    }

    fn evaluation_records(&self, _split: Split) -> usize {
        90
    }

    fn loss(&self, model: &SmallNet, batch: &[BatchRecord], _seed: u64, device: &Device) -> Tensor<1> {
        let (images, labels) = Self::batch(batch.iter().map(|r| r.index as u64), device);
        CrossEntropyLossConfig::new().init(device).forward(model.forward(images), labels)
    }

    fn distilled_loss(
        &self,
        model: &SmallNet,
        teacher: &Teacher<SmallNet>,
        batch: &[BatchRecord],
        _seed: u64,
        device: &Device,
    ) -> Tensor<1> {
        let (images, labels) = Self::batch(batch.iter().map(|r| r.index as u64), device);
        let predicted = Tensor::from_inner(teacher.model.forward(images.clone().inner()));
        distilled_cross_entropy(model.forward(images), labels, predicted, teacher.share)
    }

    fn evaluate(&self, model: &SmallNet, split: Split, records: Range<usize>, device: &Device) -> Vec<Score> {
        let offset = if split == Split::Test { 200_000 } else { 100_000 };
        let numbers = records.map(|r| r as u64 + offset);
        let (images, labels) = Self::batch(numbers, device);
        let predicted: Vec<i64> =
            model.forward(images).argmax(1).into_data().convert::<i64>().try_into_vec().unwrap();
        let labels: Vec<i64> = labels.into_data().convert::<i64>().try_into_vec().unwrap();
        let score = |(p, l)| Score { value: f64::from(u8::from(p == l)), weight: 1.0 };
        predicted.into_iter().zip(labels).map(score).collect()
    }

    fn fingerprint(&self) -> u32 {
        self.records as u32
    }
}

/// A run of a second.
pub(crate) fn short_config() -> TrainConfig {
    TrainConfig {
        seed: 5,
        batch_size: 16,
        repeats: 1,
        float_steps: 12,
        quantized_steps: 18,
        optimizer: OptimizerKind::Sgd,
        momentum: 0.9,
        nesterov: true,
        weight_decay: 1e-4,
        learning_rate: 0.05,
        quantized_learning_rate: 0.05,
        schedule: Schedule::Cosine,
        warmup_steps: 2,
        bits_learning_rate: 0.05,
        bits_schedule: Schedule::Cosine,
        penalty: 100.0,
        clip_norm: 1.0,
        evaluate_every: 10,
        evaluation_batch_size: 32,
        norm_batches: 6,
        checkpoint_every: 5,
        quantization: QuantizationConfig::diffq(8).with_min_tensor_size(0).with_exclude(["*.bias", "norm.*"]),
        storage: FloatStorage::default(),
        budget: None,
        rounding_share: 0.5,
        distillation: 0.0,
        on_non_finite: OnNonFinite::Stop,
    }
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
