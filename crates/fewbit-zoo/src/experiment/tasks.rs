//! Data and network of a recipe or a file, put together to a task.

use std::path::Path;

use burn::tensor::Device;
use fewbit_burn::train::Task;

use super::ExperimentError;
use crate::data::augment::{Augmentation, Normalization};
use crate::data::{DataError, DataSetKind, ImageData, TextSet, load_images, load_text};
use crate::models::{ByteLanguageModel, ImageClassifier, ModelConfig, ModelInput, NetworkVisitor};
use crate::task::{ImageTask, TextTask};

/// The generated set is one set, whatever the seed of the run, so that results can be compared.
const GLYPHS_SEED: u64 = 0;

/// Data in memory.
#[derive(Clone, Debug)]
pub(super) enum Data {
    Images(ImageData),
    Text(TextSet),
}

pub(super) fn load(set: DataSetKind, path: Option<&Path>) -> Result<Data, ExperimentError> {
    if let Some(path) = path.filter(|_| !set.needs_path()) {
        return Err(ExperimentError::PathNotRead { data: set, path: path.to_owned() });
    }
    match set {
        DataSetKind::Text => Ok(Data::Text(load_text(path)?)),
        _ => Ok(Data::Images(load_images(set, path, GLYPHS_SEED)?)),
    }
}

pub(super) fn check_fit(model: &ModelConfig, set: DataSetKind, data: &Data) -> Result<(), ExperimentError> {
    let mismatch = |needed: String, found: String| {
        let (model, data) = (model.kind().to_owned(), set.name().to_owned());
        Err(ExperimentError::Mismatch { model, needed, data, found })
    };
    match (model.input(), data) {
        (ModelInput::Bytes { .. }, Data::Text(_)) => Ok(()),
        (ModelInput::Images { shape, classes }, Data::Images(images)) => {
            let found = images.train.shape();
            let found_shape = [found.channels, found.height, found.width];
            if found_shape != shape || images.train.classes() > classes {
                let describe = |shape: [usize; 3], classes| format!("images {shape:?} of {classes} classes");
                return mismatch(describe(shape, classes), describe(found_shape, images.train.classes()));
            }
            Ok(())
        }
        (ModelInput::Bytes { .. }, Data::Images(_)) => mismatch("bytes".into(), "images".into()),
        (ModelInput::Images { .. }, Data::Text(_)) => mismatch("images".into(), "bytes".into()),
    }
}

/// The normalization of a data set, a part of what a network trained on it means.
fn normalization(set: DataSetKind) -> Result<Normalization, DataError> {
    match set {
        DataSetKind::Glyphs | DataSetKind::Text => Normalization::new(&[0.5], &[0.5]),
        DataSetKind::Mnist => Normalization::new(&[0.1307], &[0.3081]),
        DataSetKind::Cifar10 => Normalization::new(&[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225]),
    }
}

/// What a task needs beside model and data.
pub(super) struct TaskSettings {
    pub(super) set: DataSetKind,
    pub(super) validation: usize,
    pub(super) augmentation: Augmentation,
    pub(super) context: usize,
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
        let Data::Images(data) = self.data else { unreachable!("checked by `check_fit`") };
        let TaskSettings { set, validation, augmentation, .. } = self.settings;
        let task = ImageTask::new(build, data, validation, normalization(set)?, augmentation);
        self.visitor.visit(&task)
    }

    fn bytes<M: ByteLanguageModel>(self, build: impl Fn(&Device) -> M) -> Self::Output {
        let Data::Text(data) = self.data else { unreachable!("checked by `check_fit`") };
        let task = TextTask::new(build, data, self.settings.validation, self.settings.context);
        self.visitor.visit(&task)
    }
}
