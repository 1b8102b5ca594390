//! From a recipe to a run, and from a file back to its task.

mod beginning;
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
use fewbit::StoredModel;
use fewbit_burn::train::{Event, Outcome, RunFolder, Start, Task, Teacher, TrainConfig, TrainError, Trainer};
use fewbit_burn::{QuantizationConfig, StoredModelExt};

pub use self::beginning::Beginning;
use self::beginning::Checksums;
pub use self::calibration::Calibrator;
use self::data::{Data, Loaded, of_recipe};
pub use self::error::ExperimentError;
pub use self::evaluation::{Evaluation, data_set_of, evaluate_file};
pub use self::planning::{Plan, PlannedTensor, expected_memory, plan};
pub use self::smoke::shortened;
use self::tasks::{TaskSettings, TaskVisitor, with_task};
pub use self::teacher::TeacherNetwork;
use crate::data::{DataSetKind, OnCorrupt};
use crate::models::{AnyNetworkVisitor, ForAny};
use crate::recipe::Recipe;

/// The keys of the metadata that `eval` reads.
pub(super) const MODEL: &str = "model";
pub(super) const DATA: &str = "data";
pub(super) const BATCH: &str = "evaluation_batch_size";
pub(super) const CONTEXT: &str = "context";
/// Only for words: as many may have been held back, which the network does not know.
pub(super) const VALIDATION: &str = "validation";
/// Only where damaged items were left out.
pub(super) const ON_CORRUPT: &str = "on_corrupt";

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
        let Loaded { data, skipped } = of_recipe(recipe, path)?;
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

    /// Runs the recipe in `folder`, with what it keeps for the run ([`Beginning::in_folder`]).
    ///
    /// # Errors
    /// [`TrainError`], as an [`ExperimentError`]; initial weights that are not the network's, a teacher of something else.
    pub fn train(
        self,
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
            /// Checksums of what is in the folder beside the recipe.
            sums: Checksums,
            start: Start,
            stop: &'r AtomicBool,
            observe: O,
        }
        impl<O: FnMut(Event<'_>)> TaskVisitor for Run<'_, O> {
            type Output = Result<Outcome, ExperimentError>;

            fn visit<T: Task>(self, task: &T, teacher: Option<Teacher<'_, T>>) -> Self::Output {
                let recipe = self.experiment;
                let trainer = Trainer::new(task, &self.config, self.device, self.stop)
                    .with_initial(self.initial)
                    .with_teacher(teacher);
                let trainer = metadata(recipe)
                    .into_iter()
                    .fold(trainer, |trainer, (key, value)| trainer.with_metadata(key, value));
                let settings = recipe.settings().into_iter().map(|(key, value)| (key, value.to_string()));
                let sums = self.sums.into_iter().map(|(what, sum)| (what.to_owned(), sum));
                let trainer = settings
                    .chain(sums)
                    .fold(trainer, |trainer, (fact, value)| trainer.with_fact(fact, value));
                Ok(trainer.run(self.folder, self.start, self.observe)?)
            }
        }
        let (beginning, sums) = Beginning::with_checksums(folder.path(), self.recipe)?;
        let Beginning { initial, teacher } = beginning;
        let settings = TaskSettings {
            variation: Some(self.recipe.variation()),
            teacher: teacher.map(|teacher| (teacher, device.clone())),
            ..TaskSettings::plain(self.recipe, self.recipe.data.validation)
        };
        let config = self.config;
        let run =
            Run { experiment: self.recipe, config, device, folder, initial, sums, start, stop, observe };
        with_task(&self.recipe.model, self.data, settings, run)
    }
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
    if recipe.data.set == DataSetKind::Words {
        entries.push((VALIDATION, recipe.data.validation.to_string()));
    }
    if recipe.data.on_corrupt == OnCorrupt::Skip {
        entries.push((ON_CORRUPT, OnCorrupt::Skip.word().to_owned()));
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
