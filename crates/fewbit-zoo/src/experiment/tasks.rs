//! Data and network of a recipe or a file, put together to a task.

use burn::tensor::Device;
use fewbit_burn::train::{Task, Teacher};

use super::ExperimentError;
use super::data::{Data, mismatch};
use super::teacher::TeacherNetwork;
use crate::data::augment::Normalization;
use crate::data::stems::{Segments, StemAugmentation};
use crate::data::variation::Variation;
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
    /// How training records are varied, if they are; what does not concern those of the set is not heeded.
    pub(super) variation: Option<Variation>,
    pub(super) label_smoothing: f64,
    /// Who teaches beside the labels, and where.
    pub(super) teacher: Option<(TeacherNetwork, Device)>,
    /// Bytes, words or samples in a record of a sequence.
    pub(super) window: usize,
    /// Samples from one piece of a sound to the next.
    pub(super) segment_stride: usize,
}

impl TaskSettings {
    /// Those of a recipe, with so many records held back, images as they are and nobody who teaches.
    pub(super) fn plain(recipe: &Recipe, validation: usize) -> Self {
        Self {
            set: recipe.data.set,
            validation,
            variation: None,
            label_smoothing: recipe.training.label_smoothing,
            teacher: None,
            window: recipe.window(),
            segment_stride: recipe.training.segment_stride,
        }
    }
}

/// Something to do with a task of any type, and who teaches beside its labels.
pub(super) trait TaskVisitor {
    type Output;
    fn visit<T: Task>(self, task: &T, teacher: Option<Teacher<'_, T>>) -> Self::Output;
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
    model.accept(OnData { model, data, settings, visitor })
}

/// Puts the data beside a network.
struct OnData<'m, V> {
    model: &'m ModelConfig,
    data: Data,
    settings: TaskSettings,
    visitor: V,
}

impl<V, O> NetworkVisitor for OnData<'_, V>
where
    V: TaskVisitor<Output = Result<O, ExperimentError>>,
{
    type Output = Result<O, ExperimentError>;

    fn images<M: ImageClassifier>(self, build: impl Fn(&Device) -> M) -> Self::Output {
        let TaskSettings { set, validation, variation, label_smoothing, teacher, .. } = self.settings;
        let normalization = normalization(set)?;
        let task = match self.data {
            Data::Images(data) => ImageTask::new(build, data, validation, normalization, variation),
            Data::Folders { folders, side } => {
                ImageTask::from_folders(build, folders, side, validation, normalization, variation)
            }
            other => return Err(mismatch(self.model, set, &other)),
        };
        let task = task.with_label_smoothing(label_smoothing);
        let task = task.with_batch_norm_epsilon(self.model.batch_norm_epsilon());
        let teacher = teacher.map(|(network, device)| network.of_images(&device)).transpose()?;
        self.visitor.visit(&task, teacher.map(Teacher::new))
    }

    fn bytes<M: ByteLanguageModel>(self, build: impl Fn(&Device) -> M) -> Self::Output {
        let TaskSettings { set, validation, window, teacher, .. } = self.settings;
        let Data::Text(data) = self.data else { return Err(mismatch(self.model, set, &self.data)) };
        let teacher = teacher.map(|(network, device)| network.of_bytes(&device)).transpose()?;
        self.visitor.visit(&TextTask::new(build, data, validation, window), teacher.map(Teacher::new))
    }

    fn words<M: WordLanguageModel>(self, build: impl Fn(&Device) -> M) -> Self::Output {
        let TaskSettings { set, validation, window, .. } = self.settings;
        let Data::Words(data) = self.data else { return Err(mismatch(self.model, set, &self.data)) };
        self.visitor.visit(&WordTask::new(build, data, validation, window), None)
    }

    fn mixtures<M: Separator>(self, build: impl Fn(&Device) -> M) -> Self::Output {
        let TaskSettings { set, validation, variation, window, segment_stride, .. } = self.settings;
        let Data::Stems(data) = self.data else { return Err(mismatch(self.model, set, &self.data)) };
        let segments = Segments { length: window, stride: segment_stride };
        let augmentation = match variation {
            Some(_) => StemAugmentation::PAPER,
            None => StemAugmentation::NONE,
        };
        self.visitor.visit(&StemsTask::new(build, data, validation, segments, augmentation), None)
    }
}
