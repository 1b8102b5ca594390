//! Predicting the next byte of a text.

use std::ops::Range;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use fewbit_burn::nn::{cross_entropy, distilled_cross_entropy};
use fewbit_burn::train::{BatchRecord, Metric, Score, Split, Task, Teacher};

use super::tutor::ByteTutor;
use super::windows::Windows;
use crate::data::TextSet;
use crate::models::ByteLanguageModel;

/// A byte-level language model with its text; the validation split is the end of the training part.
///
/// A record is a window of `context` bytes, each predicted from those before it in the window.
#[derive(Debug)]
pub struct TextTask<F> {
    build: F,
    text: Windows<u8>,
    fingerprint: u32,
    tutor: Option<ByteTutor>,
}

impl<F> TextTask<F> {
    /// A task on `text` whose last `validation` training bytes are held back; `build` makes the
    /// network.
    pub fn new(build: F, text: TextSet, validation: usize, context: usize) -> Self {
        let fingerprint = text.fingerprint();
        let mut train = text.train;
        let validation = train.split_off(train.len().saturating_sub(validation));
        let text = Windows { train, validation, test: text.test, context: context.max(1) };
        Self { build, text, fingerprint, tutor: None }
    }

    /// The same task, learned from a trained network, too.
    #[must_use]
    pub fn with_tutor(mut self, tutor: Option<ByteTutor>) -> Self {
        self.tutor = tutor;
        self
    }

    /// The bytes of a training batch and those that follow them: `[records, context]`.
    fn batch(&self, batch: &[BatchRecord], seed: u64, device: &Device) -> [Tensor<2, Int>; 2] {
        self.text.batch(batch, seed).map(|windows| tensor(&windows, device))
    }
}

/// Bytes `[windows, length]`.
fn tensor(windows: &[Vec<u8>], device: &Device) -> Tensor<2, Int> {
    let shape = [windows.len(), windows.first().map_or(0, Vec::len)];
    let bytes: Vec<i64> = windows.iter().flatten().map(|&byte| byte.into()).collect();
    Tensor::from_data(TensorData::new(bytes, shape), device)
}

/// One row of logits for each token.
fn rows(logits: Tensor<3>) -> Tensor<2> {
    let [records, length, classes] = logits.dims();
    logits.reshape([records * length, classes])
}

impl<M: ByteLanguageModel, F: Fn(&Device) -> M> Task for TextTask<F> {
    type Model = M;

    fn init(&self, device: &Device) -> M {
        (self.build)(device)
    }

    fn metric(&self) -> Metric {
        Metric::BitsPerByte
    }

    fn training_records(&self) -> usize {
        self.text.training_records()
    }

    fn evaluation_records(&self, split: Split) -> usize {
        self.text.evaluation_records(split)
    }

    fn loss(&self, model: &M, batch: &[BatchRecord], seed: u64, device: &Device) -> Tensor<1> {
        let [inputs, targets] = self.batch(batch, seed, device);
        let (logits, targets) = (rows(model.logits(inputs)), targets.flatten(0, 1));
        let Some(tutor) = &self.tutor else { return cross_entropy(logits, targets) };
        let [plain, _] = self.batch(batch, seed, &tutor.device);
        let predicted = Tensor::from_inner(rows(tutor.predict(plain)));
        distilled_cross_entropy(logits, targets, predicted, tutor.share)
    }

    fn distilled_loss(
        &self,
        model: &M,
        teacher: &Teacher<M>,
        batch: &[BatchRecord],
        seed: u64,
        device: &Device,
    ) -> Tensor<1> {
        let [inputs, targets] = self.batch(batch, seed, device);
        let [plain, _] = self.batch(batch, seed, &teacher.device);
        let predicted = Tensor::from_inner(rows(teacher.model.logits(plain)));
        let logits = rows(model.logits(inputs));
        distilled_cross_entropy(logits, targets.flatten(0, 1), predicted, teacher.share)
    }

    fn evaluate(&self, model: &M, split: Split, records: Range<usize>, device: &Device) -> Vec<Score> {
        let mut scores = Vec::with_capacity(records.len());
        for windows in self.text.evaluated(split, records) {
            let [inputs, targets] = windows.map(|windows| tensor(&windows, device));
            let [_, length] = inputs.dims();
            let logits = log_softmax(model.logits(inputs), 2);
            let picked = logits.gather(2, targets.unsqueeze_dim(2));
            let nats: Vec<f32> = picked.into_data().convert::<f32>().try_into_vec().unwrap_or_default();
            scores.extend(nats.chunks_exact(length).map(|window| {
                let sum: f64 = window.iter().map(|&nat| f64::from(nat)).sum();
                Score { value: -sum / std::f64::consts::LN_2, weight: length as f64 }
            }));
        }
        scores
    }

    fn fingerprint(&self) -> u32 {
        self.fingerprint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::{Module, Param};
    use fewbit_burn::train::{evaluate, mean};

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
                assert!((mean(&scores) - 8.0).abs() < 1e-5);
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
            let loss: f32 = task.loss(&model, &batch, 1, &device).into_scalar();
            assert!((loss - 256f32.ln()).abs() < 1e-4);
        }
    }
}
