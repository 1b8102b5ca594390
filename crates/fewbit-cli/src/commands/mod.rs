//! One file per verb.

pub(crate) mod bench;
pub(crate) mod compress;
pub(crate) mod eval;
pub(crate) mod inspect;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod smoke;
pub(crate) mod sweep;
pub(crate) mod table;
pub(crate) mod train;
pub(crate) mod unpack;
pub(crate) mod verify;

use std::path::Path;

use fewbit::StoredModel;
use fewbit_burn::train::memory_limit;
use fewbit_checkpoint::{Checkpoint, CheckpointError};
use fewbit_zoo::recipe::{self, Recipe};
use fewbit_zoo::{ExperimentError, TeacherNetwork};

use crate::args::{BudgetArgs, DeviceKind};
use crate::failure::Failure;
use crate::report::mebibytes;

/// Sets the number of threads of everything that follows.
fn use_threads(threads: Option<u16>) -> Result<(), Failure> {
    if let Some(threads) = threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build_global()?;
    }
    Ok(())
}

/// The device by its name.
fn device(kind: DeviceKind) -> Result<fewbit_zoo::Device, Failure> {
    let kind = match kind {
        DeviceKind::Cpu => fewbit_zoo::DeviceKind::Cpu,
        DeviceKind::Cuda => fewbit_zoo::DeviceKind::Cuda,
        DeviceKind::Wgpu => fewbit_zoo::DeviceKind::Wgpu,
    };
    Ok(kind.device()?)
}

/// The failure of a run that needs more memory than there is; `None` where it fits or nobody knows.
fn does_not_fit(needed: u64) -> Option<Failure> {
    let limit = memory_limit().filter(|limit| needed > *limit)?;
    let [needed, limit] = [needed, limit].map(mebibytes);
    let message = format!("the run would take about {needed}, this machine has {limit} of memory");
    Some(Failure::new(message).hint("a smaller `training.batch_size` takes less"))
}

/// A checkpoint that cannot be read, with what may help.
fn checkpoint_failure(error: CheckpointError) -> Failure {
    let hint = error.hint();
    Failure::from(error).maybe_hint(hint)
}

/// A recipe with what the command line sets, in its order; a budget and a seed after that.
fn recipe_with(
    name: &str,
    overrides: &[String],
    budget: &BudgetArgs,
    seed: Option<u64>,
) -> Result<Recipe, Failure> {
    let mut settings = Vec::new();
    for text in overrides {
        let Some((key, value)) = text.split_once('=') else {
            return Err(Failure::new(format!("--set {text}: no `=` found, KEY=VALUE needed")));
        };
        settings.push((key.trim().to_owned(), value.trim().to_owned()));
    }
    settings.extend(budget.setting());
    settings.extend(seed.map(|seed| ("seed".to_owned(), seed.to_string())));
    Ok(recipe::resolve(name, &settings)?)
}

/// The bytes of a teacher's file and the network in them; checked that the recipe can learn from it.
fn teacher(path: &Path, recipe: &Recipe) -> Result<(Vec<u8>, TeacherNetwork), Failure> {
    let about = |error: ExperimentError| Failure::from(error).about(path);
    let reader = fewbit::read_file(path)?;
    let network = TeacherNetwork::of_reader(&reader, recipe).map_err(about)?;
    Ok((reader.into_bytes(), network))
}

/// The weights of a checkpoint under the names of the recipe's network; checked that they fit.
fn initial_weights(path: &Path, recipe: &Recipe) -> Result<StoredModel, Failure> {
    let checkpoint = Checkpoint::open(path).map_err(checkpoint_failure)?;
    let weights = fewbit_zoo::import(&checkpoint).map_err(checkpoint_failure)?;
    fewbit_zoo::as_network_of(recipe, &weights).map_err(|error| Failure::from(error).about(path))?;
    Ok(weights)
}
