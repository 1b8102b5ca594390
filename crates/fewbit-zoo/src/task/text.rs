//! Predicting the next byte of a text.

use std::ops::Range;

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use fewbit_burn::train::{BatchRecord, Metric, Score, Split, Task, permutation};

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
}

impl<F> TextTask<F> {
    /// A task on `text` whose last `validation` training bytes are held back; `build` makes the
    /// network. `settings` is whatever else a resumed run must share.
    pub fn new(build: F, text: TextSet, validation: usize, context: usize, settings: &str) -> Self {
        let mut sum = crc32fast::Hasher::new_with_initial(text.fingerprint());
        sum.update(settings.as_bytes());
        let mut train = text.train;
        let validation = train.split_off(train.len().saturating_sub(validation));
        Self {
            build,
            train,
            validation,
            test: text.test,
            context: context.max(1),
            fingerprint: sum.finalize(),
        }
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
        let starts: Vec<usize> = batch
            .iter()
            .map(|record| {
                let shift = permutation(seed, record.epoch, self.context)[0] as usize;
                record.index * self.context + shift
            })
            .collect();
        let [inputs, targets] = windows(&self.train, &starts, self.context, device);
        let logits = model.logits(inputs);
        let [records, length, classes] = logits.dims();
        let logits = logits.reshape([records * length, classes]);
        let targets = targets.reshape([records * length]);
        CrossEntropyLossConfig::new().init(device).forward(logits, targets)
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
