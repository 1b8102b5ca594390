//! Sorting images into classes.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Device, Tensor, TensorData};
use fewbit_burn::train::{BatchRecord, Metric, Score, Split, Task};

use super::labels::Labels;
use super::numbers;
use super::pictures::{InFolders, InMemory, Part, Pictures, Variations};
use crate::data::ImageData;
use crate::data::augment::{Draw, Normalization};
use crate::data::class_folders::ClassFolders;
use crate::data::mixing::Mixing;
use crate::data::variation::Variation;
use crate::models::ImageClassifier;

/// A classifier with its images; the validation split is the end of the training set.
#[derive(Debug)]
pub struct ImageTask<F> {
    build: F,
    train: Part,
    validation: Part,
    test: Part,
    fingerprint: u32,
    mixing: Mixing,
    label_smoothing: f64,
    batch_norm_epsilon: Option<f64>,
    /// Why an image of a batch could not be read.
    failure: Mutex<Option<String>>,
}

impl<F> ImageTask<F> {
    /// A task on `data` whose last `validation` training images are held back and the others varied; `build` makes
    /// the network.
    pub fn new(
        build: F,
        data: ImageData,
        validation: usize,
        normalization: Normalization,
        variation: Option<Variation>,
    ) -> Self {
        let fingerprint = data.fingerprint();
        let sets = [data.train, data.test].map(|set| {
            let normalization = normalization.clone();
            Arc::new(InMemory { set, normalization, variation }) as Arc<dyn Pictures>
        });
        Self::of(build, sets, validation, variation, fingerprint)
    }

    /// A task on pictures in folders, read batch by batch and brought to `side` pixels a side; in training by
    /// random crops, where they are varied.
    pub fn from_folders(
        build: F,
        folders: ClassFolders,
        side: usize,
        validation: usize,
        normalization: Normalization,
        variation: Option<Variation>,
    ) -> Self {
        let fingerprint = folders.fingerprint();
        let sets = [folders.train, folders.test].map(|set| {
            let normalization = normalization.clone();
            Arc::new(InFolders { set, side, normalization, variation }) as Arc<dyn Pictures>
        });
        Self::of(build, sets, validation, variation, fingerprint)
    }

    fn of(
        build: F,
        [train, test]: [Arc<dyn Pictures>; 2],
        validation: usize,
        variation: Option<Variation>,
        fingerprint: u32,
    ) -> Self {
        let [train, validation] = Part::whole(train).split_last(validation);
        Self {
            build,
            train,
            validation,
            test: Part::whole(test),
            fingerprint,
            mixing: variation.map_or(Mixing::NONE, |variation| variation.mixing),
            label_smoothing: 0.0,
            batch_norm_epsilon: None,
            failure: Mutex::new(None),
        }
    }

    /// The same task with labels of which a share is spread over all classes (Szegedy et al. 2015, section 7).
    #[must_use]
    pub fn with_label_smoothing(mut self, share: f64) -> Self {
        self.label_smoothing = share;
        self
    }

    /// The same task with the ε of the network's batch norms, which then are one scale and one shift per channel in a file.
    #[must_use]
    pub fn with_batch_norm_epsilon(mut self, epsilon: Option<f64>) -> Self {
        self.batch_norm_epsilon = epsilon;
        self
    }

    /// The varied images and the labels of training records.
    fn load(&self, records: &[BatchRecord], seed: u64) -> ImageBatch {
        let draws = draws(records, seed);
        let mut pixels = self.pixels(&self.train, &draws, Variations::All);
        let share = draws.first().and_then(|&(_, draw)| {
            // A batch is drawn for by its first record.
            self.mixing.apply(&mut pixels, self.train.shape(), draw?)
        });
        let classes = records.iter().map(|record| self.train.label(record.index) as i64).collect();
        let labels = Labels { classes, own_share: share, smoothing: self.label_smoothing };
        ImageBatch { images: self.batch_of(pixels, records.len()), labels }
    }

    /// Images that cannot be read are black, and the first reason is kept for [`Task::failure`].
    fn pixels(&self, set: &Part, draws: &[(usize, Option<Draw>)], variations: Variations) -> Vec<f32> {
        set.normalised(draws, variations).unwrap_or_else(|error| {
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert(error.to_string());
            vec![0.0; draws.len() * set.shape().values()]
        })
    }

    fn batch_of(&self, pixels: Vec<f32>, images: usize) -> TensorData {
        let shape = self.train.shape();
        TensorData::new(pixels, [images, shape.channels, shape.height, shape.width])
    }
}

/// Augmented images with their labels.
#[derive(Clone, Debug)]
pub struct ImageBatch {
    images: TensorData,
    labels: Labels,
}

impl ImageBatch {
    /// The images on `device`: `[N, channels, height, width]`.
    pub fn images(&self, device: &Device) -> Tensor<4> {
        Tensor::from_data(self.images.clone(), device)
    }
}

impl<M: ImageClassifier, F: Fn(&Device) -> M> Task for ImageTask<F> {
    type Model = M;
    type Batch = ImageBatch;
    /// The logit of each class: `[N, classes]`.
    type Output = Tensor<2>;

    fn init(&self, device: &Device) -> M {
        (self.build)(device)
    }

    fn training_records(&self) -> usize {
        self.train.len()
    }

    fn validation_records(&self) -> usize {
        self.validation.len()
    }

    fn test_records(&self) -> usize {
        self.test.len()
    }

    fn batch(&self, records: &[BatchRecord], seed: u64) -> ImageBatch {
        self.load(records, seed)
    }

    fn forward(&self, model: &M, batch: &ImageBatch, device: &Device) -> Tensor<2> {
        model.logits(batch.images(device))
    }

    fn loss(&self, logits: Tensor<2>, batch: &ImageBatch) -> Tensor<1> {
        batch.labels.loss(logits)
    }

    fn distilled_loss(
        &self,
        logits: Tensor<2>,
        taught: Tensor<2>,
        batch: &ImageBatch,
        share: f64,
    ) -> Option<Tensor<1>> {
        Some(batch.labels.distilled_loss(logits, Tensor::from_inner(taught), share))
    }

    /// Crops alone: nothing is mixed, erased or inverted in evaluation.
    fn observe(&self, model: &M, records: &[BatchRecord], seed: u64, device: &Device) {
        let pixels = self.pixels(&self.train, &draws(records, seed), Variations::Crop);
        model.logits(Tensor::from_data(self.batch_of(pixels, records.len()), device));
    }

    fn metric(&self) -> Metric {
        Metric::accuracy()
    }

    fn evaluate(&self, model: &M, split: Split, records: Range<usize>, device: &Device) -> Vec<Score> {
        let set = if split == Split::Validation { &self.validation } else { &self.test };
        let draws: Vec<_> = records.clone().map(|record| (record, None)).collect();
        let images = self.batch_of(self.pixels(set, &draws, Variations::All), draws.len());
        let logits = model.logits(Tensor::from_data(images, device));
        let [_, classes] = logits.dims();
        let logits = numbers(logits);
        let right = records
            .zip(logits.chunks_exact(classes))
            .map(|(record, logits)| largest(logits) == Some(set.label(record)));
        right.map(|right| Score::of(f64::from(u8::from(right)))).collect()
    }

    fn batch_norm_epsilon(&self) -> Option<f64> {
        self.batch_norm_epsilon
    }

    fn fingerprint(&self) -> u32 {
        self.fingerprint
    }

    fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The records of a training batch, each with what decides its variation.
fn draws(batch: &[BatchRecord], seed: u64) -> Vec<(usize, Option<Draw>)> {
    let draw = |&BatchRecord { epoch, index }| (index, Some(Draw { seed, epoch, record: index as u64 }));
    batch.iter().map(draw).collect()
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
    use crate::data::augment::Augmentation;
    use crate::data::{ImageSet, ImageShape};

    const SHAPE: ImageShape = ImageShape { channels: 3, height: 12, width: 10 };

    /// Eight pictures in colour, of two classes, varied in this way.
    fn task(variation: Variation) -> ImageTask<()> {
        let pixels = (0..8 * SHAPE.values()).map(|at| (at * at % 251) as u8).collect();
        let train = ImageSet::new(SHAPE, 2, pixels, vec![0, 1, 1, 0, 0, 1, 0, 1]).unwrap();
        let data = ImageData { test: train.range(0..1), train };
        let normalization = Normalization::new(&[0.5; 3], &[0.25; 3]).unwrap();
        ImageTask::new((), data, 0, normalization, Some(variation))
    }

    fn batch() -> Vec<BatchRecord> {
        (0..8).map(|index| BatchRecord { epoch: 3, index }).collect()
    }

    fn pixels(task: &ImageTask<()>, variations: Variations) -> Vec<f32> {
        task.pixels(&task.train, &draws(&batch(), 5), variations)
    }

    fn all() -> Variation {
        let mixing = Mixing { mixup: 0.8, cutmix: 0.0 };
        Variation { crop: Augmentation::CIFAR10, rand_augment: 9.0, erasing: 1.0, mixing }
    }

    #[test]
    fn what_is_measured_on_batches_is_cropped_and_nothing_else() {
        let cropped = pixels(&task(Augmentation::CIFAR10.into()), Variations::All);
        assert_eq!(pixels(&task(all()), Variations::Crop), cropped);
        for more in [Variation { rand_augment: 0.0, ..all() }, Variation { erasing: 0.0, ..all() }] {
            assert_ne!(pixels(&task(more), Variations::All), cropped);
            assert_ne!(pixels(&task(more), Variations::All), pixels(&task(all()), Variations::All));
        }
    }

    #[test]
    fn images_of_a_batch_and_their_labels_are_mixed_alike() {
        let (whole, mixed) = (task(Variation { mixing: Mixing::NONE, ..all() }), task(all()));
        let ImageBatch { images: plain, labels } = whole.load(&batch(), 5);
        assert_eq!((labels.own_share, &labels.classes), (None, &vec![0, 1, 1, 0, 0, 1, 0, 1]));
        let ImageBatch { images, labels } = mixed.load(&batch(), 5);
        let share = labels.own_share.unwrap() as f32;
        assert!((0.001..0.999).contains(&share), "{share}");
        let numbers = |images: TensorData| -> Vec<f32> { images.try_into_vec().unwrap() };
        let (plain, images) = (numbers(plain), numbers(images));
        let partners = plain.chunks(SHAPE.values()).rev().flatten();
        for ((own, partner), mixed) in plain.iter().zip(partners).zip(images) {
            assert!((share * own + (1.0 - share) * partner - mixed).abs() < 1e-5);
        }
    }

    #[test]
    fn the_first_of_equal_classes_wins_and_nan_is_never_right() {
        assert_eq!(largest(&[0.0, 2.0, 2.0]), Some(1));
        assert_eq!(largest(&[f32::NAN, 1.0]), None);
        assert_eq!(largest(&[]), None);
    }
}
