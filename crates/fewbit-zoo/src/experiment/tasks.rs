//! Data and network of a recipe or a file, put together to a task.

use burn::tensor::Device;
use fewbit_burn::train::Task;

use super::ExperimentError;
use super::data::Data;
use crate::data::augment::{Augmentation, Normalization};
use crate::data::stems::{Segments, StemAugmentation};
use crate::data::{DataError, DataSetKind};
use crate::models::{
    ByteLanguageModel, ImageClassifier, ModelConfig, NetworkVisitor, Separator, WordLanguageModel,
};
use crate::recipe::Recipe;
use crate::task::{ImageTask, StemsTask, TextTask, WordTask};

/// The normalization of a data set, a part of what a network trained on it means.
fn normalization(set: DataSetKind) -> Result<Normalization, DataError> {
    match set {
        DataSetKind::Keywords => Normalization::new(&[0.5], &[0.25]),
        DataSetKind::Mnist => Normalization::new(&[0.1307], &[0.3081]),
        DataSetKind::Cifar10 | DataSetKind::Cifar100 | DataSetKind::ClassFolders => {
            Normalization::new(&[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225])
        }
        _ => Normalization::new(&[0.5], &[0.5]),
    }
}

/// What a task needs beside model and data.
pub(super) struct TaskSettings {
    pub(super) set: DataSetKind,
    pub(super) validation: usize,
    pub(super) augmentation: Augmentation,
    /// Whether training records of other sets than images in memory are varied, as they then always are.
    pub(super) is_varied: bool,
    /// Bytes, words or samples in a record of a sequence.
    pub(super) window: usize,
    /// Samples from one piece of a sound to the next.
    pub(super) segment_stride: usize,
}

impl TaskSettings {
    /// Those of a recipe, with so many records held back and images as they are.
    pub(super) fn plain(recipe: &Recipe, validation: usize) -> Self {
        Self {
            set: recipe.data.set,
            validation,
            augmentation: Augmentation::NONE,
            is_varied: false,
            window: recipe.window(),
            segment_stride: recipe.training.segment_stride,
        }
    }
}

/// Something to do with a task of any type.
pub(super) trait TaskVisitor {
    type Output;
    fn visit<T: Task>(self, task: &T) -> Self::Output;
}

/// Builds the task of `model` on `data` and hands it to `visitor`.
pub(super) fn with_task<V, O>(
    model: &ModelConfig,
    data: Data,
    settings: TaskSettings,
    visitor: V,
) -> Result<O, ExperimentError>
where
    V: TaskVisitor<Output = Result<O, ExperimentError>>,
{
    model.accept(OnData { data, settings, visitor })
}

/// Puts the data beside a network.
struct OnData<V> {
    data: Data,
    settings: TaskSettings,
    visitor: V,
}

impl<V, O> NetworkVisitor for OnData<V>
where
    V: TaskVisitor<Output = Result<O, ExperimentError>>,
{
    type Output = Result<O, ExperimentError>;

    fn images<M: ImageClassifier>(self, build: impl Fn(&Device) -> M) -> Self::Output {
        let TaskSettings { set, validation, augmentation, is_varied, .. } = self.settings;
        let normalization = normalization(set)?;
        let task = match self.data {
            Data::Images(data) => ImageTask::new(build, data, validation, normalization, augmentation),
            Data::Folders { folders, side } => {
                ImageTask::from_folders(build, folders, side, validation, normalization, is_varied)
            }
            _ => unreachable!("checked by `check_fit`"),
        };
        self.visitor.visit(&task)
    }

    fn bytes<M: ByteLanguageModel>(self, build: impl Fn(&Device) -> M) -> Self::Output {
        let Data::Text(data) = self.data else { unreachable!("checked by `check_fit`") };
        let task = TextTask::new(build, data, self.settings.validation, self.settings.window);
        self.visitor.visit(&task)
    }

    fn words<M: WordLanguageModel>(self, build: impl Fn(&Device) -> M) -> Self::Output {
        let Data::Words(data) = self.data else { unreachable!("checked by `check_fit`") };
        let task = WordTask::new(build, data, self.settings.validation, self.settings.window);
        self.visitor.visit(&task)
    }

    fn mixtures<M: Separator>(self, build: impl Fn(&Device) -> M) -> Self::Output {
        let Data::Stems(data) = self.data else { unreachable!("checked by `check_fit`") };
        let TaskSettings { validation, is_varied, window, segment_stride, .. } = self.settings;
        let segments = Segments { length: window, stride: segment_stride };
        let augmentation = if is_varied { StemAugmentation::PAPER } else { StemAugmentation::NONE };
        let task = StemsTask::new(build, data, validation, segments, augmentation);
        self.visitor.visit(&task)
    }
}
