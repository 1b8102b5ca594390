//! Predicting the next byte of a text.

use std::ops::Range;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use fewbit_burn::nn::{cross_entropy, distilled_cross_entropy};
use fewbit_burn::train::{BatchRecord, Direction, Metric, Score, Split, Task};

use super::windows::{self, InputsAndTargets, Windows};
use crate::data::TextSet;
use crate::models::ByteLanguageModel;

/// Windows of bytes, and the bytes that follow each.
pub type ByteBatch = InputsAndTargets<u8>;

/// A byte-level language model with its text; the validation split is the end of the training part.
///
/// A record is a window of `context` bytes, each predicted from those before it in the window.
#[derive(Debug)]
pub struct TextTask<F> {
    build: F,
    text: Windows<u8>,
    fingerprint: u32,
}

impl<F> TextTask<F> {
    /// A task on `text` whose last `validation` training bytes are held back; `build` makes the
    /// network.
    pub fn new(build: F, text: TextSet, validation: usize, context: usize) -> Self {
        let fingerprint = text.fingerprint();
        let mut train = text.train;
        let validation = train.split_off(train.len().saturating_sub(validation));
        let text = Windows { train, validation, test: text.test, context: context.max(1) };
        Self { build, text, fingerprint }
    }
}

/// Bytes `[windows, length]`.
fn tensor(windows: &[Vec<u8>], device: &Device) -> Tensor<2, Int> {
    let shape = [windows.len(), windows.first().map_or(0, Vec::len)];
    let bytes: Vec<i64> = windows.iter().flatten().map(|&byte| byte.into()).collect();
    Tensor::from_data(TensorData::new(bytes, shape), device)
}

/// The logits of the next byte after each byte of `windows`, a row for each: `[windows · length, 256]`.
pub(crate) fn next_bytes<M: ByteLanguageModel>(model: &M, windows: &[Vec<u8>], device: &Device) -> Tensor<2> {
    let logits = model.logits(tensor(windows, device));
    let [records, length, classes] = logits.dims();
    logits.reshape([records * length, classes])
}

impl<M: ByteLanguageModel, F: Fn(&Device) -> M> Task for TextTask<F> {
    type Model = M;
    type Batch = ByteBatch;
    /// The logit of each next byte: `[records · context, 256]`.
    type Output = Tensor<2>;

    fn init(&self, device: &Device) -> M {
        (self.build)(device)
    }

    fn training_records(&self) -> usize {
        self.text.training_records()
    }

    fn validation_records(&self) -> usize {
        self.text.evaluation_records(Split::Validation)
    }

    fn test_records(&self) -> usize {
        self.text.evaluation_records(Split::Test)
    }

    fn batch(&self, records: &[BatchRecord], seed: u64) -> ByteBatch {
        self.text.batch(records, seed)
    }

    fn forward(&self, model: &M, [inputs, _]: &ByteBatch, device: &Device) -> Tensor<2> {
        next_bytes(model, inputs, device)
    }

    fn loss(&self, logits: Tensor<2>, [_, targets]: &ByteBatch) -> Tensor<1> {
        let targets = tensor(targets, &logits.device()).flatten(0, 1);
        cross_entropy(logits, targets)
    }

    fn distilled_loss(
        &self,
        logits: Tensor<2>,
        taught: Tensor<2>,
        [_, targets]: &ByteBatch,
        share: f64,
    ) -> Option<Tensor<1>> {
        let targets = tensor(targets, &logits.device()).flatten(0, 1);
        Some(distilled_cross_entropy(logits, targets, Tensor::from_inner(taught), share))
    }

    fn metric(&self) -> Metric {
        Metric::new("bits_per_byte", Direction::SmallerIsBetter)
    }

    /// The bits of each window.
    fn evaluate(&self, model: &M, split: Split, records: Range<usize>, device: &Device) -> Vec<Score> {
        let windows = self.text.evaluated(split, records).map(|windows| {
            let [inputs, targets] = windows.map(|windows| tensor(&windows, device));
            let [_, length] = inputs.dims();
            let nats = log_softmax(model.logits(inputs), 2).gather(2, targets.unsqueeze_dim(2)).neg();
            let bits = |score: Score| Score { value: score.value / std::f64::consts::LN_2, ..score };
            windows::scores(nats, length).into_iter().map(bits)
        });
        windows.flatten().collect()
    }

    fn fingerprint(&self) -> u32 {
        self.fingerprint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::{Module, Param};
    use fewbit_burn::train::evaluate;

    /// Gives every byte the same chance, whatever came before.
    #[derive(Module, Debug)]
    struct Uniform {
        logit: Param<Tensor<1>>,
    }

    impl ByteLanguageModel for Uniform {
        fn logits(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
            let [records, length] = tokens.dims();
            self.logit.val().reshape([1, 1, 1]).repeat(&[records, length, 256])
        }
    }

    fn task(test: usize) -> TextTask<impl Fn(&Device) -> Uniform> {
        let build = |device: &Device| Uniform { logit: Param::from_tensor(Tensor::zeros([1], device)) };
        let text = TextSet { train: vec![7; 500], test: (0..test).map(|i| i as u8).collect() };
        TextTask::new(build, text, 100, 16)
    }

    #[test]
    fn every_byte_but_the_first_is_scored_once_whatever_the_batch() {
        let device = Device::flex();
        // Whole windows only, one byte over, one byte less, shorter than a window.
        for test in [65, 66, 64, 9] {
            let task = task(test);
            for batch_size in [1, 3, 100] {
                let scores = evaluate(&task, &task.init(&device), Split::Test, batch_size, &device);
                let weight: f64 = scores.iter().map(|score| score.weight).sum();
                assert_eq!(weight, test as f64 - 1.0, "{test} bytes, {batch_size} at once");
                assert!((task.combine(&scores).unwrap() - 8.0).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn training_windows_stay_inside_the_training_part() {
        let (task, device) = (task(65), Device::flex().autodiff());
        let model = task.init(&device);
        let last = task.training_records() - 1;
        for epoch in 0..40 {
            let batch = [BatchRecord { epoch, index: 0 }, BatchRecord { epoch, index: last }];
            let batch = task.batch(&batch, 1);
            let loss: f32 = task.loss(task.forward(&model, &batch, &device), &batch).into_scalar();
            assert!((loss - 256f32.ln()).abs() < 1e-4);
        }
    }
}
