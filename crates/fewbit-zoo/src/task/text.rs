//! Predicting the next byte of a text.

use std::ops::Range;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use fewbit_burn::nn::{cross_entropy, distilled_cross_entropy};
use fewbit_burn::train::{BatchRecord, Metric, Score, Split, Task, Teacher, permutation};

use super::tutor::ByteTutor;
use crate::data::TextSet;
use crate::models::ByteLanguageModel;

/// A byte-level language model with its text; the validation split is the end of the training part.
///
/// A record is a window of `context` bytes, each predicted from those before it in the window.
/// Training windows tile the text anew each epoch, shifted by a random part of a window.
#[derive(Debug)]
pub struct TextTask<F> {
    build: F,
    train: Vec<u8>,
    validation: Vec<u8>,
    test: Vec<u8>,
    context: usize,
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
        let (context, tutor) = (context.max(1), None);
        Self { build, train, validation, test: text.test, context, fingerprint, tutor }
    }

    /// The same task, learned from a trained network, too.
    #[must_use]
    pub fn with_tutor(mut self, tutor: Option<ByteTutor>) -> Self {
        self.tutor = tutor;
        self
    }

    /// The bytes of a training batch and those that follow them: `[records, context]`.
    fn batch(&self, batch: &[BatchRecord], seed: u64, device: &Device) -> [Tensor<2, Int>; 2] {
        let starts: Vec<usize> = batch
            .iter()
            .map(|record| {
                let shift = permutation(seed, record.epoch, self.context)[0] as usize;
                record.index * self.context + shift
            })
            .collect();
        windows(&self.train, &starts, self.context, device)
    }

    fn text(&self, split: Split) -> &[u8] {
        match split {
            Split::Validation => &self.validation,
            Split::Test => &self.test,
        }
    }
}

/// Inputs and targets `[windows, length]` of windows that start at `starts`.
fn windows(text: &[u8], starts: &[usize], length: usize, device: &Device) -> [Tensor<2, Int>; 2] {
    [0, 1].map(|shift| {
        let tokens: Vec<i64> = starts
            .iter()
            .flat_map(|start| &text[start + shift..start + shift + length])
            .map(|&byte| i64::from(byte))
            .collect();
        Tensor::from_data(TensorData::new(tokens, [starts.len(), length]), device)
    })
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
        // One window is kept free for the shift, one byte for the last target.
        (self.train.len().saturating_sub(1) / self.context).saturating_sub(1)
    }

    fn evaluation_records(&self, split: Split) -> usize {
        self.text(split).len().saturating_sub(1).div_ceil(self.context)
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
        let text = self.text(split);
        let last_target = text.len().saturating_sub(1);
        let (mut whole, mut rest): (Vec<usize>, Vec<usize>) = Default::default();
        for start in records.map(|record| record * self.context) {
            if start + self.context <= last_target { whole.push(start) } else { rest.push(start) }
        }
        let mut scores = Vec::with_capacity(whole.len() + rest.len());
        for (starts, length) in [
            (whole, self.context),
            // At most one window, the text's last, is shorter.
            (rest.clone(), rest.first().map_or(0, |start| last_target - start)),
        ] {
            if starts.is_empty() || length == 0 {
                continue;
            }
            let [inputs, targets] = windows(text, &starts, length, device);
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
