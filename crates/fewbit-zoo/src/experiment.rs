//! From a recipe to a run, and from a file back to its task.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::tensor::Device;
use fewbit::ContainerReader;
use fewbit_burn::train::{
    Event, Metric, Outcome, RunFolder, Split, Task, TrainConfig, TrainError, Trainer, evaluate, mean,
};
use fewbit_burn::{DiffQConfig, LoadError, StoredModel};

use crate::data::augment::{Augmentation, Normalization};
use crate::data::{DataError, DataSetKind, ImageData, TextSet, load_images, load_text};
use crate::models::{ByteLanguageModel, ImageClassifier, ModelConfig, ModelError, ModelInput};
use crate::recipe::{MAX_CONTEXT, MAX_EVALUATION_BATCH, Recipe};
use crate::task::{ImageTask, TextTask};

/// The generated set is one set, whatever the seed of the run, so that results can be compared.
const GLYPHS_SEED: u64 = 0;

/// Why a recipe or a file cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExperimentError {
    /// The data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The model in the file.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The file.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The run.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// An entry of the metadata that `eval` needs.
    #[error("the file does not say its `{key}`, which evaluating it needs: was it made by `fewbit train`?")]
    MetadataMissing {
        /// The key.
        key: &'static str,
    },
    /// An entry of the metadata that means nothing.
    #[error("the file's `{key}` is `{found}`, {needed} needed")]
    MetadataInvalid {
        /// The key.
        key: &'static str,
        /// What was found.
        found: String,
        /// What was needed.
        needed: String,
    },
    /// Tensors that cannot be the described network's.
    #[error("the file has {found} values, the network that it describes has {needed}")]
    ValueCount {
        /// Values of all tensors.
        found: u64,
        /// Values of the network.
        needed: u64,
    },
    /// A path where none is read.
    #[error("data set `{data}` is generated and reads no path, but `{}` was passed", path.display())]
    PathNotRead {
        /// The data set.
        data: DataSetKind,
        /// What was passed.
        path: PathBuf,
    },
    /// A network and a data set that do not go together.
    #[error("model `{model}` takes {needed}, data set `{data}` has {found}")]
    Mismatch {
        /// The kind of model.
        model: String,
        /// What it takes.
        needed: String,
        /// The data set.
        data: String,
        /// What it has.
        found: String,
    },
    /// A validation split that leaves nothing to train on.
    #[error(
        "data.validation is {validation}: it leaves {left} {unit} of {all} to train on, at least {needed} needed"
    )]
    Validation {
        /// To hold back.
        validation: usize,
        /// What is left.
        left: usize,
        /// What there is.
        all: usize,
        /// What is needed.
        needed: usize,
        /// Images or bytes.
        unit: &'static str,
    },
}

/// Data in memory.
#[derive(Debug)]
enum Data {
    Images(ImageData),
    Text(TextSet),
}

/// A recipe with its data, ready to run.
#[derive(Debug)]
pub struct Experiment<'a> {
    recipe: &'a Recipe,
    config: TrainConfig,
    data: Data,
}

/// The keys of the metadata that `eval` reads.
const MODEL: &str = "model";
const DATA: &str = "data";
const BATCH: &str = "evaluation_batch_size";
const CONTEXT: &str = "context";

impl<'a> Experiment<'a> {
    /// Loads the data of `recipe` from `path` and checks that model and data go together.
    ///
    /// # Errors
    /// [`ExperimentError`] for the data, or where the two do not fit.
    pub fn prepare(recipe: &'a Recipe, path: Option<&Path>) -> Result<Self, ExperimentError> {
        let data = load(recipe.data.set, path)?;
        check_fit(&recipe.model, recipe.data.set, &data)?;
        let (all, needed, unit) = match &data {
            Data::Images(images) => (images.train.len(), 1, "images"),
            // One window to train on, room for its random shift, and the last target.
            Data::Text(text) => (text.train.len(), 2 * recipe.training.context + 1, "bytes"),
        };
        let validation = recipe.data.validation;
        let left = all.saturating_sub(validation);
        if left < needed {
            return Err(ExperimentError::Validation { validation, left, all, needed, unit });
        }
        check_method(recipe)?;
        Ok(Self { recipe, config: recipe.train_config(), data })
    }

    /// Steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        self.config.total_steps()
    }

    /// Runs the recipe in `folder`, from its newest checkpoint where `resume` is set.
    ///
    /// # Errors
    /// [`TrainError`], as an [`ExperimentError`].
    pub fn train(
        self,
        device: &Device,
        folder: &mut RunFolder,
        resume: bool,
        stop: &AtomicBool,
        observe: impl FnMut(Event<'_>),
    ) -> Result<Outcome, ExperimentError> {
        struct Run<'r, O> {
            experiment: &'r Recipe,
            config: TrainConfig,
            device: &'r Device,
            folder: &'r mut RunFolder,
            resume: bool,
            stop: &'r AtomicBool,
            observe: O,
        }
        impl<O: FnMut(Event<'_>)> TaskVisitor for Run<'_, O> {
            type Output = Result<Outcome, ExperimentError>;

            fn visit<T: Task>(self, task: &T) -> Self::Output {
                let recipe = self.experiment;
                let trainer = Trainer::new(task, &self.config, self.device, self.stop)
                    .with_metadata("creator", concat!("fewbit ", env!("CARGO_PKG_VERSION")))
                    .with_metadata("recipe", recipe.name.clone())
                    .with_metadata(MODEL, recipe.model.to_json())
                    .with_metadata(DATA, recipe.data.set.name())
                    .with_metadata(BATCH, recipe.training.evaluation_batch_size.to_string())
                    .with_metadata(CONTEXT, recipe.training.context.to_string());
                Ok(trainer.run(self.folder, self.resume, self.observe)?)
            }
        }
        let settings = TaskSettings {
            set: self.recipe.data.set,
            validation: self.recipe.data.validation,
            augmentation: self.recipe.augmentation(),
            context: self.recipe.training.context,
            fingerprinted: self.recipe.to_toml(),
        };
        let run = Run { experiment: self.recipe, config: self.config, device, folder, resume, stop, observe };
        with_task(&self.recipe.model, self.data, settings, run)
    }
}

/// What `eval` found.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// What was measured.
    pub metric: Metric,
    /// Its value on the test records.
    pub value: f64,
    /// Test records.
    pub records: usize,
    /// 4 × every stored value.
    pub float_bytes: u64,
    /// Mean bits of the quantized weights.
    pub mean_bits: f64,
    /// The data set.
    pub data: String,
    /// The kind of model.
    pub model: String,
}

/// The metric of the network in the bytes of a file, on the test records of the data set that the
/// file names, read from `path`.
///
/// # Errors
/// [`ExperimentError`]: metadata that is missing or wrong, data that is not there, tensors that do not
/// fit the model.
pub fn evaluate_file(
    bytes: &[u8],
    path: Option<&Path>,
    device: &Device,
) -> Result<Evaluation, ExperimentError> {
    struct Evaluate<'e> {
        stored: &'e StoredModel,
        batch_size: usize,
        device: &'e Device,
    }
    impl TaskVisitor for Evaluate<'_> {
        type Output = Result<(Metric, f64, usize), ExperimentError>;

        fn visit<T: Task>(self, task: &T) -> Self::Output {
            let model = self.stored.load_into(task.init(self.device))?;
            let scores = evaluate(task, &model, Split::Test, self.batch_size, self.device);
            Ok((task.metric(), mean(&scores), scores.len()))
        }
    }
    let reader = ContainerReader::new(bytes).map_err(LoadError::from)?;
    let text = |key| reader.metadata(key).ok_or(ExperimentError::MetadataMissing { key });
    let number = |key, most: usize| {
        let found = text(key)?;
        found.parse().ok().filter(|number| (1..=most).contains(number)).ok_or_else(|| {
            let found = found.to_owned();
            ExperimentError::MetadataInvalid {
                key,
                found,
                needed: format!("a whole number from 1 to {most}"),
            }
        })
    };
    let model = ModelConfig::from_json(text(MODEL)?)?;
    let set: DataSetKind = text(DATA)?.parse()?;
    let batch_size = number(BATCH, MAX_EVALUATION_BATCH)?;
    let context = match model.input() {
        ModelInput::Bytes { longest } => number(CONTEXT, longest.unwrap_or(MAX_CONTEXT).min(MAX_CONTEXT))?,
        ModelInput::Images { .. } => 1,
    };
    // Before anything is unpacked: a small file can describe a large network.
    let found = reader.tensors().iter().map(|entry| entry.len() as u64).sum();
    if found != model.values() {
        return Err(ExperimentError::ValueCount { found, needed: model.values() });
    }
    let stored = StoredModel::from_bytes(bytes).map_err(LoadError::from)?;
    let data = load(set, path)?;
    check_fit(&model, set, &data)?;
    let settings = TaskSettings {
        set,
        validation: 0,
        augmentation: Augmentation::NONE,
        context,
        fingerprinted: String::new(),
    };
    let device = device.clone().without_autodiff();
    let visitor = Evaluate { stored: &stored, batch_size, device: &device };
    let (metric, value, records) = with_task(&model, data, settings, visitor)?;
    Ok(Evaluation {
        metric,
        value,
        records,
        float_bytes: stored.float_bytes(),
        mean_bits: stored.mean_bits(),
        data: set.name().to_owned(),
        model: model.kind().to_owned(),
    })
}

fn load(set: DataSetKind, path: Option<&Path>) -> Result<Data, ExperimentError> {
    if let Some(path) = path.filter(|_| !set.needs_path()) {
        return Err(ExperimentError::PathNotRead { data: set, path: path.to_owned() });
    }
    match set {
        DataSetKind::Text => Ok(Data::Text(load_text(path)?)),
        _ => Ok(Data::Images(load_images(set, path, GLYPHS_SEED)?)),
    }
}

/// Whether the method fits the network: tried on a fresh one, whose weights are not drawn for it.
fn check_method(recipe: &Recipe) -> Result<(), ExperimentError> {
    fn attach<M: Module>(model: M, config: &DiffQConfig) -> Result<(), ExperimentError> {
        config.attach(model, 0).map(drop).map_err(|error| TrainError::from(error).into())
    }
    let (device, config) = (Device::flex(), recipe.diffq_config());
    match &recipe.model {
        ModelConfig::MnistCnn(model) => attach(model.init(&device), &config),
        ModelConfig::GlyphsCnn(model) => attach(model.init(&device), &config),
        ModelConfig::ResNet(model) => attach(model.init(&device), &config),
        ModelConfig::LstmLm(model) => attach(model.init(&device), &config),
        ModelConfig::TransformerLm(model) => attach(model.init(&device), &config),
    }
}

fn check_fit(model: &ModelConfig, set: DataSetKind, data: &Data) -> Result<(), ExperimentError> {
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
struct TaskSettings {
    set: DataSetKind,
    validation: usize,
    augmentation: Augmentation,
    context: usize,
    fingerprinted: String,
}

/// Something to do with a task of any type.
trait TaskVisitor {
    type Output;
    fn visit<T: Task>(self, task: &T) -> Self::Output;
}

/// Builds the task of `model` on `data` and hands it to `visitor`.
fn with_task<V, O>(
    model: &ModelConfig,
    data: Data,
    settings: TaskSettings,
    visitor: V,
) -> Result<O, ExperimentError>
where
    V: TaskVisitor<Output = Result<O, ExperimentError>>,
{
    match model.clone() {
        ModelConfig::MnistCnn(config) => {
            images(move |device: &Device| config.init(device), data, settings, visitor)
        }
        ModelConfig::GlyphsCnn(config) => {
            images(move |device: &Device| config.init(device), data, settings, visitor)
        }
        ModelConfig::ResNet(config) => {
            images(move |device: &Device| config.init(device), data, settings, visitor)
        }
        ModelConfig::LstmLm(config) => {
            text(move |device: &Device| config.init(device), data, settings, visitor)
        }
        ModelConfig::TransformerLm(config) => {
            text(move |device: &Device| config.init(device), data, settings, visitor)
        }
    }
}

fn images<M, F, V, O>(build: F, data: Data, settings: TaskSettings, visitor: V) -> Result<O, ExperimentError>
where
    M: ImageClassifier,
    F: Fn(&Device) -> M,
    V: TaskVisitor<Output = Result<O, ExperimentError>>,
{
    let Data::Images(data) = data else { unreachable!("checked by `check_fit`") };
    let TaskSettings { set, validation, augmentation, fingerprinted, .. } = settings;
    let task = ImageTask::new(build, data, validation, normalization(set)?, augmentation, &fingerprinted);
    visitor.visit(&task)
}

fn text<M, F, V, O>(build: F, data: Data, settings: TaskSettings, visitor: V) -> Result<O, ExperimentError>
where
    M: ByteLanguageModel,
    F: Fn(&Device) -> M,
    V: TaskVisitor<Output = Result<O, ExperimentError>>,
{
    let Data::Text(data) = data else { unreachable!("checked by `check_fit`") };
    let task = TextTask::new(build, data, settings.validation, settings.context, &settings.fingerprinted);
    visitor.visit(&task)
}
