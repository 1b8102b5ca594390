//! A trained network that a run learns from, of whatever size: its file, and its way into the task.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use fewbit::ContainerReader;
use fewbit::{StoredModel, StoredTensor, value_count};
use fewbit_burn::{LoadError, StoredModelExt};

use super::{DATA, ExperimentError, MODEL};
use crate::data::DataSetKind;
use crate::models::{
    AnyNetworkVisitor, ByteLanguageModel, ForAny, ImageClassifier, ModelConfig, ModelInput, NetworkVisitor,
    Separator, WordLanguageModel,
};
use crate::recipe::Recipe;
use crate::task::{ByteBatch, ImageBatch, next_bytes};

/// What a network other than a run's own float network can teach.
const TEACHABLE: &str = "images or bytes, as words and sounds have no other teacher than their float network";

/// A trained network to learn from, as its file has it.
#[derive(Clone, Debug)]
pub struct TeacherNetwork {
    model: ModelConfig,
    weights: StoredModel,
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
        if recipe.training.distillation == 0.0 {
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
                _ => TEACHABLE.to_owned(),
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
        let network = Self { model, weights };
        // Whether the tensors are the network's, before anything is made of it.
        network.model.accept(ForAny(Fits(&network.weights)))?;
        Ok(network)
    }

    /// Its logits for images, computed on `device`.
    pub(super) fn of_images(&self, device: &Device) -> Result<ImageLogits, ExperimentError> {
        match self.model.accept(Teaching { network: self, device: device.clone().without_autodiff() })? {
            Logits::OfImages(logits) => Ok(logits),
            Logits::OfBytes(_) => Err(self.unfit("images".to_owned())),
        }
    }

    /// Its logits for bytes, computed on `device`.
    pub(super) fn of_bytes(&self, device: &Device) -> Result<ByteLogits, ExperimentError> {
        match self.model.accept(Teaching { network: self, device: device.clone().without_autodiff() })? {
            Logits::OfBytes(logits) => Ok(logits),
            Logits::OfImages(_) => Err(self.unfit("bytes".to_owned())),
        }
    }

    fn unfit(&self, needed: String) -> ExperimentError {
        ExperimentError::TeacherUnfit { needed, found: self.model.input().noun().to_owned() }
    }
}

type ImageLogits = Box<dyn Fn(&ImageBatch) -> Tensor<2> + Send>;
type ByteLogits = Box<dyn Fn(&ByteBatch) -> Tensor<2> + Send>;

/// Whether weights are those of a network.
struct Fits<'w>(&'w StoredModel);

impl AnyNetworkVisitor for Fits<'_> {
    type Output = Result<(), ExperimentError>;

    fn network<M: Module>(self, build: impl Fn(&Device) -> M) -> Self::Output {
        Ok(self.0.load_into(build(&Device::flex())).map(drop)?)
    }
}

/// What a teacher predicts, by what it is given.
enum Logits {
    OfImages(ImageLogits),
    OfBytes(ByteLogits),
}

/// Builds the network and forgets its type.
struct Teaching<'t> {
    network: &'t TeacherNetwork,
    device: Device,
}

impl NetworkVisitor for Teaching<'_> {
    type Output = Result<Logits, ExperimentError>;

    fn images<M: ImageClassifier>(self, build: impl Fn(&Device) -> M) -> Self::Output {
        let Self { network, device } = self;
        let model = network.weights.load_into(build(&device))?;
        Ok(Logits::OfImages(Box::new(move |batch| model.logits(batch.images(&device)))))
    }

    fn bytes<M: ByteLanguageModel>(self, build: impl Fn(&Device) -> M) -> Self::Output {
        let Self { network, device } = self;
        let model = network.weights.load_into(build(&device))?;
        Ok(Logits::OfBytes(Box::new(move |[inputs, _]| next_bytes(&model, inputs, &device))))
    }

    fn words<M: WordLanguageModel>(self, _: impl Fn(&Device) -> M) -> Self::Output {
        Err(self.network.unfit(TEACHABLE.to_owned()))
    }

    fn mixtures<M: Separator>(self, _: impl Fn(&Device) -> M) -> Self::Output {
        Err(self.network.unfit(TEACHABLE.to_owned()))
    }
}
