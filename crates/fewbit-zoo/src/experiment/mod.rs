//! From a recipe to a run, and from a file back to its task.

mod calibration;
mod data;
mod error;
mod evaluation;
mod planning;
mod smoke;
mod tasks;
mod teacher;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::tensor::Device;
use fewbit_burn::train::{
    Event, INITIAL_FILE, Outcome, RunFolder, Start, TEACHER_FILE, Task, TrainConfig, TrainError, Trainer,
};
use fewbit_burn::{LoadError, QuantizationConfig, StoredModel};

pub use self::calibration::Calibrator;
use self::data::{Data, Loaded, load};
pub use self::error::ExperimentError;
pub use self::evaluation::{Evaluation, data_set_of, evaluate_file};
pub use self::planning::{Beginning, Plan, PlannedTensor, expected_memory, plan};
pub use self::smoke::shortened;
use self::tasks::{TaskSettings, TaskVisitor, with_task};
pub use self::teacher::TeacherNetwork;
use crate::data::OnCorrupt;
use crate::models::{AnyNetworkVisitor, ForAny};
use crate::recipe::Recipe;

/// The keys of the metadata that `eval` reads.
pub(super) const MODEL: &str = "model";
pub(super) const DATA: &str = "data";
pub(super) const BATCH: &str = "evaluation_batch_size";
pub(super) const CONTEXT: &str = "context";
/// Only where damaged items were left out.
pub(super) const ON_CORRUPT: &str = "on_corrupt";
pub(super) const SKIP: &str = "skip";

/// A recipe with its data, ready to run.
#[derive(Debug)]
pub struct Experiment<'a> {
    recipe: &'a Recipe,
    config: TrainConfig,
    data: Data,
    skipped: Vec<String>,
}

impl<'a> Experiment<'a> {
    /// Loads the data of `recipe` from `path` and checks that model and data go together.
    ///
    /// # Errors
    /// [`ExperimentError`] for the data, or where the two do not fit.
    pub fn prepare(recipe: &'a Recipe, path: Option<&Path>) -> Result<Self, ExperimentError> {
        let Loaded { data, skipped } = load(recipe.data.set, path, &recipe.model, recipe.data.on_corrupt)?;
        data.check_validation(recipe.data.validation, recipe.window())?;
        check_method(recipe)?;
        Ok(Self { recipe, config: recipe.train_config(), data, skipped })
    }

    /// Bytes that the data set takes in memory.
    pub fn data_bytes(&self) -> u64 {
        self.data.bytes()
    }

    /// Why each damaged item of the data was left out.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// Steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        self.config.total_steps()
    }

    /// Runs the recipe in `folder`, from the weights in its [`INITIAL_FILE`] and learning from the network in its
    /// [`TEACHER_FILE`], where it has them.
    ///
    /// # Errors
    /// [`TrainError`], as an [`ExperimentError`]; initial weights that are not the network's, a teacher of something else.
    pub fn train(
        mut self,
        device: &Device,
        folder: &mut RunFolder,
        start: Start,
        stop: &AtomicBool,
        observe: impl FnMut(Event<'_>),
    ) -> Result<Outcome, ExperimentError> {
        struct Run<'r, O> {
            experiment: &'r Recipe,
            config: TrainConfig,
            device: &'r Device,
            folder: &'r mut RunFolder,
            initial: Option<StoredModel>,
            /// Check sums of what is in the folder beside the recipe.
            sums: Vec<(&'static str, u32)>,
            start: Start,
            stop: &'r AtomicBool,
            observe: O,
        }
        impl<O: FnMut(Event<'_>)> TaskVisitor for Run<'_, O> {
            type Output = Result<Outcome, ExperimentError>;

            fn visit<T: Task>(self, task: &T) -> Self::Output {
                let recipe = self.experiment;
                let trainer =
                    Trainer::new(task, &self.config, self.device, self.stop).with_initial(self.initial);
                let trainer = metadata(recipe)
                    .into_iter()
                    .fold(trainer, |trainer, (key, value)| trainer.with_metadata(key, value));
                let settings = recipe.settings().into_iter().map(|(key, value)| (key, value.to_string()));
                let sums = self.sums.into_iter().map(|(what, sum)| (what.to_owned(), format!("{sum:08x}")));
                let trainer = settings
                    .chain(sums)
                    .fold(trainer, |trainer, (fact, value)| trainer.with_fact(fact, value));
                Ok(trainer.run(self.folder, self.start, self.observe)?)
            }
        }
        let [initial, teacher] = [INITIAL_FILE, TEACHER_FILE].map(|name| folder.path().join(name));
        let [initial, teacher] = [bytes_of(&initial)?, bytes_of(&teacher)?];
        let sums = [("initial weights", &initial), ("teacher", &teacher)];
        let sums = sums.into_iter().filter_map(|(what, bytes)| Some((what, check_sum(bytes.as_deref()?))));
        let sums = sums.collect();
        let initial =
            initial.map(|bytes| StoredModel::from_bytes(&bytes)).transpose().map_err(LoadError::from)?;
        let teacher = teacher.map(|bytes| TeacherNetwork::of_file(&bytes, self.recipe)).transpose()?;
        if teacher.is_some() {
            // The task's own loss has its share, in float steps, too; the float network is nobody's teacher then.
            self.config.distillation = 0.0;
        }
        let settings = TaskSettings {
            variation: Some(self.recipe.variation()),
            teacher: teacher.map(|teacher| (teacher, device.clone())),
            ..TaskSettings::plain(self.recipe, self.recipe.data.validation)
        };
        let run = Run {
            experiment: self.recipe,
            config: self.config,
            device,
            folder,
            initial,
            sums,
            start,
            stop,
            observe,
        };
        with_task(&self.recipe.model, self.data, settings, run)
    }
}

/// What is in a file, where it is there.
fn bytes_of(file: &Path) -> Result<Option<Vec<u8>>, ExperimentError> {
    match file.is_file() {
        true => Ok(Some(fewbit::read_file(file).map_err(LoadError::from)?)),
        false => Ok(None),
    }
}

/// A number that another file hardly shares.
///
/// A `.fewbit` file ends in its own CRC-32, and that of a text with its own behind it is the same for all texts.
fn check_sum(file: &[u8]) -> u32 {
    crc32fast::hash(&file[..file.len().saturating_sub(4)])
}

/// What files of a recipe say beside their tensors, so that `eval` can rebuild the network.
fn metadata(recipe: &Recipe) -> Vec<(&'static str, String)> {
    let mut entries = vec![
        ("creator", concat!("fewbit ", env!("CARGO_PKG_VERSION")).to_owned()),
        ("recipe", recipe.name.clone()),
        (MODEL, recipe.model.to_toml()),
        (DATA, recipe.data.set.name().to_owned()),
        (BATCH, recipe.training.evaluation_batch_size.to_string()),
        (CONTEXT, recipe.window().to_string()),
    ];
    if recipe.data.on_corrupt == OnCorrupt::Skip {
        entries.push((ON_CORRUPT, SKIP.to_owned()));
    }
    entries
}

/// The tensors of a trained network as `recipe`'s has them in memory.
///
/// # Errors
/// [`LoadError`](fewbit_burn::LoadError) for a tensor that is missing, of another shape or not the
/// network's.
pub fn as_float_network_of(recipe: &Recipe, weights: &StoredModel) -> Result<StoredModel, ExperimentError> {
    struct Whole<'w>(&'w StoredModel);
    impl AnyNetworkVisitor for Whole<'_> {
        type Output = Result<StoredModel, ExperimentError>;

        fn network<M: Module>(self, build: impl Fn(&Device) -> M) -> Self::Output {
            let model = self.0.load_into(build(&Device::flex()))?;
            Ok(StoredModel::float(&model).map_err(TrainError::from)?)
        }
    }
    recipe.model.accept(ForAny(Whole(weights)))
}

/// The tensors of a trained network as a file of `recipe` has them.
///
/// # Errors
/// As [`as_float_network_of`].
pub fn as_network_of(recipe: &Recipe, weights: &StoredModel) -> Result<StoredModel, ExperimentError> {
    Ok(as_file_of(recipe, as_float_network_of(recipe, weights)?))
}

/// `network` as a file of `recipe` has it: with its metadata, and floats in the recipe's form.
pub fn as_file_of(recipe: &Recipe, network: StoredModel) -> StoredModel {
    let storage = recipe.train_config().storage;
    let stored = network.with_floats_stored(storage, recipe.model.batch_norm_epsilon());
    metadata(recipe).into_iter().fold(stored, |stored, (key, value)| stored.with_metadata(key, value))
}

/// Whether the method fits the network: tried on a fresh one, whose weights are not drawn for it.
fn check_method(recipe: &Recipe) -> Result<(), ExperimentError> {
    struct Attach(QuantizationConfig);
    impl AnyNetworkVisitor for Attach {
        type Output = Result<(), ExperimentError>;

        fn network<M: Module>(self, build: impl Fn(&Device) -> M) -> Self::Output {
            let attached = self.0.attach(build(&Device::flex()), 0);
            attached.map(drop).map_err(|error| TrainError::from(error).into())
        }
    }
    recipe.model.accept(ForAny(Attach(recipe.quantization_config())))
}
