//! Sorting images into classes.

use std::ops::Range;

use burn::tensor::{Device, Int, Tensor, TensorData};
use fewbit_burn::nn::{cross_entropy, distilled_cross_entropy};
use fewbit_burn::train::{BatchRecord, Metric, Score, Split, Task, Teacher};
use rayon::prelude::*;

use crate::data::augment::{Augmentation, Draw, Normalization, augment};
use crate::data::{ImageData, ImageSet};
use crate::models::ImageClassifier;

/// A classifier with its images; the validation split is the end of the training set.
#[derive(Debug)]
pub struct ImageTask<F> {
    build: F,
    train: ImageSet,
    validation: ImageSet,
    test: ImageSet,
    normalization: Normalization,
    augmentation: Augmentation,
    fingerprint: u32,
}

impl<F> ImageTask<F> {
    /// A task on `data` whose last `validation` training images are held back; `build` makes the
    /// network.
    pub fn new(
        build: F,
        data: ImageData,
        validation: usize,
        normalization: Normalization,
        augmentation: Augmentation,
    ) -> Self {
        let fingerprint = data.fingerprint();
        let (train, validation) = data.train.split_last(validation);
        Self { build, train, validation, test: data.test, normalization, augmentation, fingerprint }
    }

    /// The augmented images and the labels of a training batch.
    fn batch(&self, batch: &[BatchRecord], seed: u64, device: &Device) -> (Tensor<4>, Tensor<1, Int>) {
        let draws: Vec<_> = batch
            .iter()
            .map(|&BatchRecord { epoch, index }| (index, Some(Draw { seed, epoch, record: index as u64 })))
            .collect();
        let labels: Vec<i64> = batch.iter().map(|record| self.train.label(record.index).into()).collect();
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [batch.len()]), device);
        (self.images(&self.train, &draws, device), labels)
    }

    fn images(&self, set: &ImageSet, draws: &[(usize, Option<Draw>)], device: &Device) -> Tensor<4> {
        let shape = set.shape();
        let (normalization, augmentation) = (&self.normalization, self.augmentation);
        let mut pixels = vec![0.0; draws.len() * shape.values()];
        pixels.par_chunks_exact_mut(shape.values()).zip(draws).for_each(|(out, &(record, draw))| {
            let image = set.image(record);
            match draw {
                Some(draw) => {
                    augment(image, shape, augmentation, normalization, draw, out);
                }
                None => normalization.apply(image, shape, out),
            }
        });
        let shape = [draws.len(), shape.channels, shape.height, shape.width];
        Tensor::from_data(TensorData::new(pixels, shape), device)
    }
}

impl<M: ImageClassifier, F: Fn(&Device) -> M> Task for ImageTask<F> {
    type Model = M;

    fn init(&self, device: &Device) -> M {
        (self.build)(device)
    }

    fn batch_norm_epsilon(&self) -> Option<f64> {
        M::BATCH_NORM_EPSILON
    }

    fn metric(&self) -> Metric {
        Metric::Accuracy
    }

    fn training_records(&self) -> usize {
        self.train.len()
    }

    fn evaluation_records(&self, split: Split) -> usize {
        match split {
            Split::Validation => self.validation.len(),
            Split::Test => self.test.len(),
        }
    }

    fn loss(&self, model: &M, batch: &[BatchRecord], seed: u64, device: &Device) -> Tensor<1> {
        let (images, labels) = self.batch(batch, seed, device);
        cross_entropy(model.logits(images), labels)
    }

    fn distilled_loss(
        &self,
        model: &M,
        teacher: &Teacher<M>,
        batch: &[BatchRecord],
        seed: u64,
        device: &Device,
    ) -> Tensor<1> {
        let (images, labels) = self.batch(batch, seed, device);
        let predicted = teacher.model.logits(images.clone().inner());
        distilled_cross_entropy(model.logits(images), labels, Tensor::from_inner(predicted), teacher.share)
    }

    fn evaluate(&self, model: &M, split: Split, records: Range<usize>, device: &Device) -> Vec<Score> {
        let set = match split {
            Split::Validation => &self.validation,
            Split::Test => &self.test,
        };
        let draws: Vec<_> = records.clone().map(|record| (record, None)).collect();
        let logits = model.logits(self.images(set, &draws, device));
        let logits: Vec<f32> = logits.into_data().convert::<f32>().try_into_vec().unwrap_or_default();
        let classes = logits.len() / draws.len().max(1);
        records
            .zip(logits.chunks_exact(classes.max(1)))
            .map(|(record, logits)| {
                let correct = largest(logits) == Some(usize::from(set.label(record)));
                Score { value: f64::from(u8::from(correct)), weight: 1.0 }
            })
            .collect()
    }

    fn fingerprint(&self) -> u32 {
        self.fingerprint
    }
}

/// The first of the largest; none among numbers of which one is NaN.
fn largest(logits: &[f32]) -> Option<usize> {
    let mut best = 0;
    for (class, logit) in logits.iter().enumerate() {
        if logit.is_nan() {
            return None;
        }
        if *logit > logits[best] {
            best = class;
        }
    }
    (!logits.is_empty()).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_classes_wins_and_nan_is_never_right() {
        assert_eq!(largest(&[0.0, 2.0, 2.0]), Some(1));
        assert_eq!(largest(&[f32::NAN, 1.0]), None);
        assert_eq!(largest(&[]), None);
    }
}
