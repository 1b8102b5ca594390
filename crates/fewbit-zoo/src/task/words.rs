//! Predicting the next word of a text.

use std::ops::Range;

use burn::tensor::{Device, Tensor};
use fewbit_burn::train::{BatchRecord, Direction, Metric, Score, Split, Task, mean};

use super::windows::{self, InputsAndTargets, Windows};
use crate::data::WordSet;
use crate::models::{WordLanguageModel, WordScores};

/// Windows of words, and the words that follow each.
pub type WordBatch = InputsAndTargets<u32>;

/// A word-level language model with its text.
///
/// A record is a window of `context` words, each predicted from those before it in the window: the loss and the
/// perplexity count all of them, the first of a window with nothing before them but one word. Published perplexities
/// on Wikitext-103 give every word a long past and are lower. Training windows tile the text anew each epoch, shifted by
/// a random part of a window.
#[derive(Debug)]
pub struct WordTask<F> {
    build: F,
    text: Windows<u32>,
    fingerprint: u32,
}

impl<F> WordTask<F> {
    /// A task on `words`, validated with the first `validation` words of their validation part; where they have none,
    /// with as many from the end of the training part, which are held back. `build` makes the network.
    pub fn new(build: F, words: WordSet, validation: usize, context: usize) -> Self {
        let fingerprint = words.fingerprint();
        let mut train = words.train;
        let validation = match words.validation {
            Some(mut part) => {
                part.truncate(validation);
                part
            }
            None => train.split_off(train.len().saturating_sub(validation)),
        };
        let text = Windows { train, validation, test: words.test, context: context.max(1) };
        Self { build, text, fingerprint }
    }
}

impl<M: WordLanguageModel, F: Fn(&Device) -> M> Task for WordTask<F> {
    type Model = M;
    type Batch = WordBatch;
    type Output = M::Scores;

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

    fn batch(&self, records: &[BatchRecord], seed: u64) -> WordBatch {
        self.text.batch(records, seed)
    }

    fn forward(&self, model: &M, [words, _]: &WordBatch, device: &Device) -> M::Scores {
        model.scores(words, device)
    }

    fn loss(&self, scores: M::Scores, [_, targets]: &WordBatch) -> Tensor<1> {
        scores.nats(&targets.concat()).mean()
    }

    fn distilled_loss(
        &self,
        scores: M::Scores,
        taught: M::Scores,
        [_, targets]: &WordBatch,
        share: f64,
    ) -> Option<Tensor<1>> {
        Some(scores.distilled_nats(&targets.concat(), &taught, share))
    }

    fn metric(&self) -> Metric {
        Metric::new("perplexity", Direction::SmallerIsBetter)
    }

    /// The nats of each window.
    fn evaluate(&self, model: &M, split: Split, records: Range<usize>, device: &Device) -> Vec<Score> {
        let windows = self.text.evaluated(split, records).map(|[words, targets]| {
            let length = words.first().map_or(0, Vec::len);
            windows::scores(model.scores(&words, device).nats(&targets.concat()), length)
        });
        windows.flatten().collect()
    }

    /// e to the mean nats per word; a finite number, whatever the network predicts, as rows hold no infinity.
    fn combine(&self, scores: &[Score]) -> Option<f64> {
        Some(mean(scores)?.exp().min(f64::MAX))
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

    const VOCABULARY: usize = 8;

    /// Gives every word the same chance, whatever came before.
    #[derive(Module, Debug)]
    struct Uniform {
        logit: Param<Tensor<1>>,
    }

    /// Logarithms of even probabilities, which know their words no longer.
    #[derive(Clone)]
    struct Even(Tensor<1>);

    impl WordLanguageModel for Uniform {
        type Scores = Even;

        fn scores(&self, sequences: &[Vec<u32>], _: &Device) -> Even {
            assert!(sequences.iter().flatten().all(|&word| (word as usize) < VOCABULARY));
            Even(self.logit.val())
        }

        fn vocabulary(&self) -> usize {
            VOCABULARY
        }
    }

    impl WordScores for Even {
        fn nats(&self, targets: &[u32]) -> Tensor<1> {
            self.0.clone().repeat(&[targets.len()]) + (VOCABULARY as f64).ln()
        }

        fn distilled_nats(&self, targets: &[u32], _: &Self, _: f64) -> Tensor<1> {
            self.nats(targets).mean()
        }
    }

    /// A text of 500 words to train on, of so many to validate and of `test` to test with.
    fn words(validation: Option<usize>, test: usize) -> WordSet {
        let count = |count: usize| (0..count).map(|i| (i % VOCABULARY) as u32).collect::<Vec<u32>>();
        WordSet {
            vocabulary: Default::default(),
            train: count(500),
            validation: validation.map(count),
            test: count(test),
        }
    }

    fn task(test: usize) -> WordTask<impl Fn(&Device) -> Uniform> {
        WordTask::new(uniform, words(None, test), 100, 16)
    }

    fn uniform(device: &Device) -> Uniform {
        Uniform { logit: Param::from_tensor(Tensor::zeros([1], device)) }
    }

    #[test]
    fn every_word_but_the_first_is_scored_once_whatever_the_batch() {
        let device = Device::flex();
        // Whole windows only, one word over, one word less, shorter than a window.
        for test in [65, 66, 64, 9] {
            let task = task(test);
            for batch_size in [1, 3, 100] {
                let scores = evaluate(&task, &task.init(&device), Split::Test, batch_size, &device);
                let weight: f64 = scores.iter().map(|score| score.weight).sum();
                assert_eq!(weight, test as f64 - 1.0, "{test} words, {batch_size} at once");
                // Of eight words with one chance the perplexity is eight.
                assert!((task.combine(&scores).unwrap() - 8.0).abs() < 1e-4);
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
            assert!((loss - 8f32.ln()).abs() < 1e-4);
        }
    }

    /// 500 words less the 100 that are held back, or all 500 beside 100 of the 130 of the set's own.
    #[test]
    fn a_set_is_validated_with_its_own_part_where_it_has_one() {
        for (own, train) in [(None, 400), (Some(130), 500)] {
            let task = WordTask::new(uniform, words(own, 65), 100, 16);
            assert_eq!((task.text.train.len(), task.text.validation.len()), (train, 100));
        }
    }

    /// A teacher of even chances, and a network of even chances: the loss is that of the labels at any share.
    #[test]
    fn a_distilled_loss_is_of_the_same_words() {
        let (task, device) = (task(65), Device::flex().autodiff());
        let model = task.init(&device);
        let plain = Device::flex();
        let batch = task.batch(&[BatchRecord { epoch: 0, index: 2 }], 1);
        for share in [0.0, 0.3, 1.0] {
            let taught = task.forward(&uniform(&plain), &batch, &plain);
            let found = task.forward(&model, &batch, &device);
            let loss: f32 = task.distilled_loss(found, taught, &batch, share).unwrap().into_scalar();
            assert!((loss - 8f32.ln()).abs() < 1e-4, "{share}: {loss}");
        }
    }
}
