//! A trained network that a run learns from, of whatever size: its file, and its way into the task.

use burn::module::Module;
use burn::tensor::Device;
use fewbit::ContainerReader;
use fewbit_burn::{LoadError, StoredModel, StoredTensor, value_count};

use super::{DATA, ExperimentError, MODEL};
use crate::data::DataSetKind;
use crate::models::{
    AnyNetworkVisitor, ByteLanguageModel, ForAny, ImageClassifier, ModelConfig, ModelInput, NetworkVisitor,
    Separator, WordLanguageModel,
};
use crate::recipe::Recipe;
use crate::task::{ByteTutor, ImageTutor, Tutor};

/// A trained network, as its file has it, and the share of its predictions in what is learned from.
#[derive(Clone, Debug)]
pub struct TeacherNetwork {
    model: ModelConfig,
    weights: StoredModel,
    share: f64,
}

impl TeacherNetwork {
    /// The network in the bytes of a `.fewbit` file, which `recipe` can learn from: one that was trained on the same
    /// data set and predicts the same things.
    ///
    /// # Errors
    /// [`ExperimentError`]: bytes that are no such file, metadata that is missing, a network for something else, or a
    /// recipe without `training.distillation`.
    pub fn of_file(bytes: &[u8], recipe: &Recipe) -> Result<Self, ExperimentError> {
        Self::of_reader(&ContainerReader::new(bytes).map_err(LoadError::from)?, recipe)
    }

    /// As [`of_file`](Self::of_file), of a file that is open.
    ///
    /// # Errors
    /// As [`of_file`](Self::of_file).
    pub fn of_reader<B: AsRef<[u8]>>(
        reader: &ContainerReader<B>,
        recipe: &Recipe,
    ) -> Result<Self, ExperimentError> {
        let share = recipe.training.distillation;
        if share == 0.0 {
            return Err(ExperimentError::TeacherUnused);
        }
        let text = |key| reader.metadata(key).ok_or(ExperimentError::MetadataMissing { key });
        let (model, set) = (ModelConfig::parse(text(MODEL)?)?, text(DATA)?.parse::<DataSetKind>()?);
        if set != recipe.data.set {
            let (needed, found) = (recipe.data.set.to_string(), set.to_string());
            return Err(ExperimentError::TeacherUnfit { needed, found });
        }
        let fits = match (model.input(), recipe.model.input()) {
            (ModelInput::Bytes { longest }, ModelInput::Bytes { .. }) => {
                longest.is_none_or(|longest| longest >= recipe.window())
            }
            (found @ ModelInput::Images { .. }, needed) => found == needed,
            _ => false,
        };
        if !fits {
            let described = |input: ModelInput| match input {
                ModelInput::Images { shape, classes } => format!("images {shape:?} of {classes} classes"),
                ModelInput::Bytes { longest } => match longest {
                    Some(longest) => format!("at most {longest} bytes"),
                    None => "bytes".to_owned(),
                },
                other => other.noun().to_owned(),
            };
            let needed = match recipe.model.input() {
                ModelInput::Bytes { .. } => format!("{} bytes", recipe.window()),
                input @ ModelInput::Images { .. } => described(input),
                _ => "images or bytes, as words and sounds have no other teacher than their float network"
                    .to_owned(),
            };
            return Err(ExperimentError::TeacherUnfit { needed, found: described(model.input()) });
        }
        // Before anything is unpacked: a small file can describe a large network.
        let found = value_count(reader);
        if found != model.values() {
            return Err(ExperimentError::ValueCount { found, needed: model.values() });
        }
        let weights = StoredModel::from_reader(reader).map_err(LoadError::from)?;
        let is_finite = |tensor: &StoredTensor| match tensor {
            StoredTensor::Float { values, .. } => values.iter().all(|value| value.is_finite()),
            // A grid has no other points.
            StoredTensor::Quantized(_) => true,
        };
        if let Some((name, _)) = weights.tensors.iter().find(|(_, tensor)| !is_finite(tensor)) {
            return Err(ExperimentError::TeacherNotFinite { tensor: name.clone() });
        }
        let network = Self { model, weights, share };
        // Whether the tensors are the network's, before anything is made of it.
        network.model.accept(ForAny(Fits(&network.weights)))?;
        Ok(network)
    }

    /// What it predicts of images, on `device`.
    pub(super) fn of_images(&self, device: &Device) -> Result<ImageTutor, ExperimentError> {
        match self.model.accept(Tutoring { network: self, device: device.clone().without_autodiff() })? {
            OfAny::Images(tutor) => Ok(tutor),
            OfAny::Bytes(_) => unreachable!("checked by `of_file`"),
        }
    }

    /// What it predicts of bytes, on `device`.
    pub(super) fn of_bytes(&self, device: &Device) -> Result<ByteTutor, ExperimentError> {
        match self.model.accept(Tutoring { network: self, device: device.clone().without_autodiff() })? {
            OfAny::Bytes(tutor) => Ok(tutor),
            OfAny::Images(_) => unreachable!("checked by `of_file`"),
        }
    }
}

/// Whether weights are those of a network.
struct Fits<'w>(&'w StoredModel);

impl AnyNetworkVisitor for Fits<'_> {
    type Output = Result<(), ExperimentError>;

    fn network<M: Module>(self, build: impl Fn(&Device) -> M) -> Self::Output {
        Ok(self.0.load_into(build(&Device::flex())).map(drop)?)
    }
}

/// A tutor of either kind.
enum OfAny {
    Images(ImageTutor),
    Bytes(ByteTutor),
}

/// Builds the network and forgets its type.
struct Tutoring<'t> {
    network: &'t TeacherNetwork,
    device: Device,
}

impl NetworkVisitor for Tutoring<'_> {
    type Output = Result<OfAny, ExperimentError>;

    fn images<M: ImageClassifier>(self, build: impl Fn(&Device) -> M) -> Self::Output {
        let Self { network: TeacherNetwork { weights, share, .. }, device } = self;
        let model = weights.load_into(build(&device))?;
        Ok(OfAny::Images(Tutor::new(move |images| model.logits(images), *share, device)))
    }

    fn bytes<M: ByteLanguageModel>(self, build: impl Fn(&Device) -> M) -> Self::Output {
        let Self { network: TeacherNetwork { weights, share, .. }, device } = self;
        let model = weights.load_into(build(&device))?;
        Ok(OfAny::Bytes(Tutor::new(move |bytes| model.logits(bytes), *share, device)))
    }

    fn words<M: WordLanguageModel>(self, _: impl Fn(&Device) -> M) -> Self::Output {
        unreachable!("checked by `of_file`")
    }

    fn mixtures<M: Separator>(self, _: impl Fn(&Device) -> M) -> Self::Output {
        unreachable!("checked by `of_file`")
    }
}
