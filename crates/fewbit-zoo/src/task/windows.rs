//! A text cut into windows, whatever its tokens are.

use std::ops::Range;

use burn::tensor::Tensor;
use fewbit_burn::train::{BatchRecord, Score, Split, permutation};

use super::numbers;

/// The parts of a text. A record of it is a window of `context` tokens, each predicted from those before it in the
/// window.
#[derive(Debug)]
pub(super) struct Windows<T> {
    pub(super) train: Vec<T>,
    pub(super) validation: Vec<T>,
    pub(super) test: Vec<T>,
    pub(super) context: usize,
}

/// Windows of one length, and those that begin one token on: what follows each token.
pub(super) type InputsAndTargets<T> = [Vec<Vec<T>>; 2];

impl<T: Copy> Windows<T> {
    /// Windows to train on.
    pub(super) fn training_records(&self) -> usize {
        // One window is kept free for the shift, one token for the last target.
        (self.train.len().saturating_sub(1) / self.context).saturating_sub(1)
    }

    /// Windows of a part, of which the last may be shorter.
    pub(super) fn evaluation_records(&self, split: Split) -> usize {
        self.part(split).len().saturating_sub(1).div_ceil(self.context)
    }

    /// Those of a training batch, which tile the text anew each epoch, shifted by a random part of a window.
    pub(super) fn batch(&self, batch: &[BatchRecord], seed: u64) -> InputsAndTargets<T> {
        let starts = batch.iter().map(|record| {
            let shift = permutation(seed, record.epoch, self.context)[0] as usize;
            record.index * self.context + shift
        });
        windows(&self.train, starts, self.context)
    }

    /// Those of `records` of a part, in order: whole ones, and the text's last where it is shorter and among them.
    pub(super) fn evaluated(
        &self,
        split: Split,
        records: Range<usize>,
    ) -> impl Iterator<Item = InputsAndTargets<T>> {
        let text = self.part(split);
        let last_target = text.len().saturating_sub(1);
        let starts = records.map(|record| record * self.context);
        let (whole, rest): (Vec<usize>, Vec<usize>) =
            starts.partition(|start| start + self.context <= last_target);
        let shorter = rest.first().map_or(0, |start| last_target - start);
        let parts = [(whole, self.context), (rest, shorter)].into_iter();
        let parts = parts.filter(|(starts, length)| !starts.is_empty() && *length > 0);
        parts.map(|(starts, length)| windows(text, starts.into_iter(), length))
    }

    fn part(&self, split: Split) -> &[T] {
        if split == Split::Validation { &self.validation } else { &self.test }
    }
}

/// The score of each window of `length` tokens, given the nats of each token, window by window.
pub(super) fn scores<const D: usize>(nats: Tensor<D>, length: usize) -> Vec<Score> {
    let score = |window: &[f32]| Score {
        value: window.iter().map(|&nat| f64::from(nat)).sum(),
        weight: length as f64,
    };
    numbers(nats).chunks_exact(length).map(score).collect()
}

fn windows<T: Copy>(
    text: &[T],
    starts: impl Iterator<Item = usize> + Clone,
    length: usize,
) -> InputsAndTargets<T> {
    [0, 1].map(|shift| starts.clone().map(|start| text[start + shift..][..length].to_vec()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(test: usize) -> Windows<usize> {
        Windows { train: (0..400).collect(), validation: Vec::new(), test: (0..test).collect(), context: 16 }
    }

    #[test]
    fn a_target_is_the_token_after_its_own() {
        let [inputs, targets] = windows(&(0..20).collect::<Vec<_>>(), [3, 15].into_iter(), 4);
        assert_eq!(inputs, [[3, 4, 5, 6], [15, 16, 17, 18]]);
        assert_eq!(targets, [[4, 5, 6, 7], [16, 17, 18, 19]]);
    }

    #[test]
    fn every_token_but_the_first_is_a_target_once_whatever_the_batch() {
        // Whole windows only, one token over, one less, shorter than a window, one alone, none.
        for test in [65, 66, 64, 9, 1, 0] {
            let text = text(test);
            for batch in [1, 3, 100] {
                let records = 0..text.evaluation_records(Split::Test);
                let batches =
                    records.clone().step_by(batch).map(|start| start..records.end.min(start + batch));
                let targets: Vec<usize> = batches
                    .flat_map(|records| text.evaluated(Split::Test, records))
                    .flat_map(|[_, targets]| targets.concat())
                    .collect();
                assert_eq!(targets, (1..test.max(1)).collect::<Vec<_>>(), "{test} tokens, {batch} at once");
            }
        }
    }

    #[test]
    fn training_windows_stay_inside_the_training_part() {
        let text = text(0);
        let last = text.training_records() - 1;
        let mut furthest = 0;
        for epoch in 0..200 {
            let batch = [BatchRecord { epoch, index: 0 }, BatchRecord { epoch, index: last }];
            let [inputs, targets] = text.batch(&batch, 1);
            assert_eq!(inputs.len(), 2);
            furthest = furthest.max(targets.concat().into_iter().max().unwrap());
        }
        // 399 tokens have a target: 24 windows, of which one is kept free; the last of the others begins at 352, shifted
        // by 15 at most.
        assert_eq!(furthest, 352 + 15 + 16);
    }
}
