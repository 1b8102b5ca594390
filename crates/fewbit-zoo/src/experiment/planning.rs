//! What a recipe will take and what its file can be, without its data.

use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::tensor::Device;
use fewbit::StoredModel;
use fewbit_burn::QuantizationConfig;
use fewbit_burn::layout::parameters;
use fewbit_burn::train::{RunPlan, Task, Teacher, TrainConfig, Trainer};

use super::beginning::Beginning;
use super::data::{Data, noise_validation};
use super::tasks::{TaskSettings, TaskVisitor, with_task};
use super::teacher::TeacherNetwork;
use super::{ExperimentError, metadata};
use crate::recipe::Recipe;

/// The plan of a recipe.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Time, memory and the sizes that a file can have.
    pub run: RunPlan,
    /// Most bytes that the recipe allows.
    pub budget: Option<u64>,
    /// Steps of each phase.
    pub float_steps: u64,
    /// Steps with quantization.
    pub quantized_steps: u64,
    /// Every tensor of the network, the largest first.
    pub tensors: Vec<PlannedTensor>,
}

/// A tensor of the network.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedTensor {
    /// Its path.
    pub path: String,
    /// Its stored shape.
    pub shape: Vec<usize>,
    /// Its values.
    pub values: u64,
    /// Whether the method makes it small.
    pub quantized: bool,
}

impl Plan {
    /// Values of the network.
    pub fn values(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.values).sum()
    }

    /// Values that the method makes small.
    pub fn quantized(&self) -> u64 {
        self.tensors.iter().filter(|tensor| tensor.quantized).map(|tensor| tensor.values).sum()
    }

    /// Seconds of all steps, where they were timed.
    pub fn seconds(&self) -> Option<f64> {
        let phase = |steps: u64, seconds: Option<f64>| {
            if steps == 0 { Some(0.0) } else { seconds.map(|seconds| seconds * steps as f64) }
        };
        let float = phase(self.float_steps, self.run.float_step_seconds)?;
        Some(float + phase(self.quantized_steps, self.run.quantized_step_seconds)?)
    }
}

/// The plan of `recipe` with what it is given. `timed_steps` steps of each phase are made
/// on records of noise to measure time and memory.
///
/// # Errors
/// [`ExperimentError`]: a budget that no file keeps, `initial` weights that are not the network's, a
/// method that does not fit.
pub fn plan(
    recipe: &Recipe,
    beginning: Beginning,
    timed_steps: u64,
    device: &Device,
) -> Result<Plan, ExperimentError> {
    let config = recipe.train_config();
    let (float_steps, quantized_steps, budget) = (config.float_steps, config.quantized_steps, config.budget);
    let Beginning { initial, teacher } = beginning;
    let planning = Planning { recipe, config, initial, timed_steps, device };
    let (run, tensors) = on_noise(recipe, teacher, device, planning)?;
    Ok(Plan { run, budget, float_steps, quantized_steps, tensors })
}

/// The most memory in bytes that a run of `recipe` will take, without its data set; none where that cannot be
/// found out. Steps with smaller batches are made for it, on records of noise, in a process that has not
/// trained before.
///
/// # Errors
/// [`ExperimentError`]: `initial` weights that are not the network's, a method that does not fit.
pub fn expected_memory(
    recipe: &Recipe,
    beginning: Beginning,
    device: &Device,
) -> Result<Option<u64>, ExperimentError> {
    struct Expected<'r>(TrainConfig, Option<StoredModel>, &'r Device);
    impl TaskVisitor for Expected<'_> {
        type Output = Result<Option<u64>, ExperimentError>;

        fn visit<T: Task>(self, task: &T, teacher: Option<Teacher<'_, T>>) -> Self::Output {
            let stop = AtomicBool::new(false);
            let trainer = Trainer::new(task, &self.0, self.2, &stop);
            Ok(trainer.with_initial(self.1).with_teacher(teacher).expected_memory()?)
        }
    }
    let config = recipe.train_config();
    let Beginning { initial, teacher } = beginning;
    on_noise(recipe, teacher, device, Expected(config, initial, device))
}

struct Planning<'r> {
    recipe: &'r Recipe,
    config: TrainConfig,
    initial: Option<StoredModel>,
    timed_steps: u64,
    device: &'r Device,
}

impl TaskVisitor for Planning<'_> {
    type Output = Result<(RunPlan, Vec<PlannedTensor>), ExperimentError>;

    fn visit<T: Task>(self, task: &T, teacher: Option<Teacher<'_, T>>) -> Self::Output {
        let stop = AtomicBool::new(false);
        let trainer = Trainer::new(task, &self.config, self.device, &stop)
            .with_initial(self.initial)
            .with_teacher(teacher);
        let trainer = metadata(self.recipe)
            .into_iter()
            .fold(trainer, |trainer, (key, value)| trainer.with_metadata(key, value));
        let tensors = tensors(&task.init(self.device), &self.config.quantization);
        Ok((trainer.plan(self.timed_steps)?, tensors))
    }
}

/// What `visitor` makes of the recipe's network, its teacher and one batch of noise.
fn on_noise<V, O>(
    recipe: &Recipe,
    teacher: Option<TeacherNetwork>,
    device: &Device,
    visitor: V,
) -> Result<O, ExperimentError>
where
    V: TaskVisitor<Output = Result<O, ExperimentError>>,
{
    let teacher = teacher.map(|teacher| (teacher, device.clone()));
    let settings = TaskSettings { teacher, ..TaskSettings::plain(recipe, noise_validation(recipe)) };
    with_task(&recipe.model, Data::noise(recipe)?, settings, visitor)
}

fn tensors<M: Module>(model: &M, config: &QuantizationConfig) -> Vec<PlannedTensor> {
    let (entries, _) = parameters(model);
    let planned = entries.iter().map(|entry| PlannedTensor {
        path: entry.path.clone(),
        shape: entry.orientation.swap_shape(&entry.shape),
        values: entry.len() as u64,
        quantized: config.chooses(entry),
    });
    let mut planned: Vec<_> = planned.collect();
    planned.sort_by_key(|tensor| std::cmp::Reverse(tensor.values));
    planned
}
